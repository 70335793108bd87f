//! The cluster that keeps the locks of several hosts: the typed form of `[cluster]`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use ward_model::cluster::{BadEndpoint, Endpoint, SHORTEST_LEASE, variable};

use crate::diagnostics::Diagnostics;
use crate::host::join;
use crate::ini::document::{Document, Section, strip};
use crate::keys;
use crate::nearest::nearest;
use crate::read::{Context, Origins, Reader};
use crate::server::Supervisord;
use crate::source::{FileId, Span};
use crate::value::{Complaint, LONGEST};

/// The main file.
const MAIN: FileId = FileId(0);

/// An etcd cluster, and who we are to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cluster {
    /// Its members; there is at least one.
    pub endpoints: Vec<String>,
    /// Whom to sign in as.
    pub user: Option<String>,
    /// Where the user's password is. Absolute, as all that follow.
    pub password_file: Option<String>,
    /// Who vouches for the members.
    pub cacert: Option<String>,
    /// Our certificate.
    pub cert: Option<String>,
    /// Its key.
    pub key: Option<String>,
    /// The key below which the locks are.
    pub prefix: Option<String>,
    /// How long a lease lasts.
    pub lease: Option<Duration>,
    /// Where each key was given.
    #[serde(skip)]
    pub origins: Origins,
    /// The section's header.
    #[serde(skip)]
    pub span: Span,
}

impl Cluster {
    /// The variables that say the same to `ward lock` ([`variable`]); empty where nothing is said, so
    /// that nothing of another cluster is taken for it. No secret is in them.
    #[must_use]
    pub fn variables(&self) -> BTreeMap<String, String> {
        let lease = self.lease.map(|lease| match lease.subsec_millis() {
            0 => format!("{}s", lease.as_secs()),
            _ => format!("{}ms", lease.as_millis()),
        });
        [
            (variable::ENDPOINTS, Some(self.endpoints.join(","))),
            (variable::USER, self.user.clone()),
            (variable::PASSWORD_FILE, self.password_file.clone()),
            (variable::CACERT, self.cacert.clone()),
            (variable::CERT, self.cert.clone()),
            (variable::KEY, self.key.clone()),
            (variable::PREFIX, self.prefix.clone()),
            (variable::LEASE, lease),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.unwrap_or_default()))
        .collect()
    }
}

/// Adds to the environment of all programs what they are told of the cluster, where it does not say
/// that itself. The same is to be told to builds, and is returned.
pub(crate) fn tell(
    cluster: Option<&Cluster>,
    supervisord: &mut Supervisord,
) -> BTreeMap<String, String> {
    let names = variable::ALL.into_iter().chain([variable::FILE]);
    let nearer = names.filter_map(|name| supervisord.environment.get_key_value(name));
    let nearer = nearer.map(|(name, value)| (name.clone(), value.clone()));
    let farther = cluster.map(Cluster::variables).unwrap_or_default();
    let told = over(farther, nearer.collect());
    supervisord.environment.extend(told.clone());
    told
}

/// The variables `nearer`, and those of `farther` that it says nothing of. What belongs to a cluster
/// together comes from one of them ([`variable::superseded`]).
pub(crate) fn over(
    mut farther: BTreeMap<String, String>,
    nearer: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    if variable::ALL.iter().any(|name| farther.contains_key(*name)) {
        for name in variable::superseded(|name| nearer.contains_key(name)) {
            farther.insert(name.to_owned(), String::new());
        }
    }
    farther.extend(nearer);
    farther
}

/// Reads `[cluster]` of the main file, if there is one. An included file may not say anything of it:
/// who may read the main file and not the other one would hold his locks somewhere else.
pub(crate) fn read(
    main: &Document,
    around: &Context<'_>,
    found: &mut Diagnostics,
) -> Option<Cluster> {
    let everywhere = around.document.section(keys::CLUSTER.word)?;
    let here = main.section(keys::CLUSTER.word);
    let elsewhere = everywhere.entries().find(|entry| entry.span.file != MAIN);
    if here.is_none() || elsewhere.is_some() {
        found.error(
            elsewhere.map_or(everywhere.span, |entry| entry.span),
            "[cluster] may not be in an included file: not everybody may be able to read it",
            Some("put it into the main file".into()),
        );
    }
    let context = around.of(main);
    Some(of_section(&context, here?, found))
}

/// Complains of a section that was probably meant to be this one.
pub(crate) fn misspelt(document: &Document, found: &mut Diagnostics) {
    for section in document.sections() {
        let word = section.name.to_lowercase();
        let is_near = nearest(&word, [keys::CLUSTER.word]).is_some();
        if is_near && keys::kind_of(&section.name).is_none() {
            found.error(
                section.span,
                format!("[{}] is no section that is known here", section.name),
                Some("did you mean [cluster]?".into()),
            );
        }
    }
}

fn of_section(context: &Context<'_>, section: &Section, found: &mut Diagnostics) -> Cluster {
    for entry in context.document.entries(section) {
        if keys::CLUSTER.key(&entry.key).is_none() {
            // What is passed over may be what would have made it another cluster, or another prefix.
            let names = keys::CLUSTER.keys().map(|key| key.name);
            let near = nearest(&entry.key, names);
            found.error(
                entry.span,
                format!("`{}` is no key of [cluster]", entry.key),
                near.map(|near| format!("did you mean {near}?")),
            );
        }
    }
    let mut reader = Reader::new(context, section, keys::CLUSTER, found);
    let cluster = Cluster {
        endpoints: endpoints(&mut reader),
        user: full(&mut reader, "user"),
        password_file: path(&mut reader, "password_file"),
        cacert: path(&mut reader, "cacert"),
        cert: path(&mut reader, "cert"),
        key: path(&mut reader, "key"),
        prefix: full(&mut reader, "prefix"),
        lease: reader.time_within("lease", SHORTEST_LEASE, LONGEST),
        origins: reader.origins(),
        span: section.span,
    };
    let is_there = |one: &Option<String>| one.is_some();
    pair(
        &mut reader,
        ("user", is_there(&cluster.user)),
        ("password_file", is_there(&cluster.password_file)),
    );
    pair(
        &mut reader,
        ("cert", is_there(&cluster.cert)),
        ("key", is_there(&cluster.key)),
    );
    cluster
}

fn full(reader: &mut Reader<'_, '_>, key: &str) -> Option<String> {
    reader.text(key).filter(|text| !text.is_empty())
}

/// A path, from the file's own directory on: commands read it wherever they are.
fn path(reader: &mut Reader<'_, '_>, key: &str) -> Option<String> {
    let text = full(reader, key)?;
    let host = reader.context.host;
    Some(host.absolute(&join(reader.context.here, &host.expand_home(&text))))
}

fn endpoints(reader: &mut Reader<'_, '_>) -> Vec<String> {
    // That the key is missing has been said.
    let Some(text) = reader.text("endpoints") else {
        return Vec::new();
    };
    let parts = text.split(['\n', ',']).map(strip);
    let endpoints: Vec<String> = parts
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect();
    for endpoint in &endpoints {
        if let Err(BadEndpoint(why)) = Endpoint::parse(endpoint, false) {
            let complaint = Complaint::new(
                format!("a member cannot be there: {why}"),
                "write https://host:port or http://host:port, with commas between several",
            );
            reader.complain("endpoints", endpoint, complaint);
        }
    }
    if endpoints.is_empty() {
        let complaint = Complaint::new("there is no member", "endpoints = https://host:2379");
        reader.complain("endpoints", &text, complaint);
    }
    endpoints
}

/// Neither of them says anything without the other.
fn pair(reader: &mut Reader<'_, '_>, one: (&str, bool), other: (&str, bool)) {
    let (has, lacks) = match (one.1, other.1) {
        (true, false) => (one.0, other.0),
        (false, true) => (other.0, one.0),
        (true, true) | (false, false) => return,
    };
    let span = reader.span(has);
    reader.error(
        span,
        format!("there is a {has} and no {lacks}"),
        Some(format!("give both, or neither: {lacks} = …")),
    );
}
