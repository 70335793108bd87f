//! Which cluster is meant: the options', else the environment's, else the file's.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ward_config::cluster::Cluster;
use ward_config::load::load_cluster;
use ward_engine::chain;
use ward_lock::etcd::{Secret, Settings, SettingsError};
use ward_lock::hosts::Hosts;
use ward_model::cluster::{SHORTEST_LEASE, USUAL_LEASE, variable};
use ward_model::{exit_code, quantity};
use ward_supervise::configuration::Disk;

use super::keeper::BEATS;
use crate::args::ClusterArgs;
use crate::commands::check::host;
use crate::commands::say_findings;
use crate::failure::Failure;

/// Names the file whose `[cluster]` says which cluster is meant. Empty, it names none, and there is
/// no cluster unless it is said otherwise.
const FILE: &str = "WARD_CLUSTER_CONFIG";

/// The file if none is named. There is one for all users of a host, and none of a user's own: who
/// waits for each other's locks must look for them in the same place.
const USUAL_FILE: &str = "/etc/ward.conf";

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        Self::with_code(chain(&error), error.hint(), exit_code::USAGE)
    }
}

/// A cluster, not asked for anything yet.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) hosts: Hosts,
    /// How long a lease lasts.
    pub(crate) lease: Duration,
}

/// The cluster that the options name, else the environment, else a file; none if nobody names one.
pub(crate) fn chosen(arguments: &ClusterArgs) -> Result<Option<Chosen>, Failure> {
    if arguments.local {
        return Ok(None);
    }
    let variables = Variables::around(arguments)?;
    if arguments.etcd.is_empty() && variables.get(variable::ENDPOINTS).is_none() {
        // Who says who he is to a cluster does not mean this host alone.
        return if names_us(arguments) {
            Err(SettingsError::NoEndpoint.into())
        } else {
            Ok(None)
        };
    }
    let lease = variables.lease(arguments.lease)?;
    let mut settings = Settings::from_variables(|name| variables.get(name))?;
    if !arguments.etcd.is_empty() {
        settings.endpoints.clone_from(&arguments.etcd);
    }
    let or = |given: &Option<_>, known| given.clone().or(known);
    settings.ca = or(&arguments.etcd_cacert, settings.ca);
    settings.certificate = or(&arguments.etcd_cert, settings.certificate);
    settings.key = or(&arguments.etcd_key, settings.key);
    if arguments.etcd_user.is_some() {
        settings.user.clone_from(&arguments.etcd_user);
    }
    if let Some(file) = &arguments.etcd_password_file {
        settings.password = Some(Secret::read(file)?);
    }
    // Several are tried within the time that the lease leaves.
    settings.timeout = settings.timeout.min(lease / BEATS);
    let prefix = match &arguments.etcd_prefix {
        Some(prefix) => Some(prefix.clone()),
        None => variables.text(variable::PREFIX)?,
    };
    let hosts = Hosts::new(settings, prefix.as_deref(), lease);
    // Nobody was asked for anything yet.
    let hosts = hosts.map_err(|error| Failure::from(error).with_status(exit_code::USAGE))?;
    Ok(Some(Chosen { hosts, lease }))
}

/// The cluster that the environment or a file names.
pub(crate) fn of_surroundings() -> Result<Option<Chosen>, Failure> {
    chosen(&ClusterArgs::default())
}

/// That the cluster cannot be used by who becomes the command.
pub(crate) fn not_with_exec() -> Failure {
    Failure::usage(
        "--exec leaves nobody who could keep a cluster's lock",
        "leave --exec out, or add --local",
    )
}

/// Whether options say who we are to a cluster.
fn names_us(arguments: &ClusterArgs) -> bool {
    arguments.etcd_user.is_some()
        || [
            &arguments.etcd_password_file,
            &arguments.etcd_cacert,
            &arguments.etcd_cert,
            &arguments.etcd_key,
        ]
        .into_iter()
        .any(Option::is_some)
}

/// The environment, and behind it what a file says, where that names the cluster.
#[derive(Debug)]
struct Variables {
    file: Option<BTreeMap<String, String>>,
}

impl Variables {
    /// A file counts as a whole, or not at all: nobody's password is told to another cluster than it
    /// was written for.
    fn around(arguments: &ClusterArgs) -> Result<Self, Failure> {
        let named = match &arguments.cluster_config {
            Some(file) => Some(file.clone()),
            None if !arguments.etcd.is_empty() || own(variable::ENDPOINTS).is_some() => {
                return Ok(Self { file: None });
            }
            None => match std::env::var_os(FILE) {
                Some(file) if file.is_empty() => return Ok(Self { file: None }),
                file => file.map(PathBuf::from),
            },
        };
        let cluster = match &named {
            Some(path) => read(path)?.ok_or_else(|| {
                Failure::usage(
                    format!("{} has no section [cluster]", path.display()),
                    "add it, with `endpoints = https://HOST:2379`, or name another file",
                )
            })?,
            None => match usual()? {
                Some(cluster) => cluster,
                None => return Ok(Self { file: None }),
            },
        };
        Ok(Self {
            file: Some(cluster.variables()),
        })
    }

    /// The value of a variable, unless it is empty. What belongs together comes from one place.
    fn get(&self, name: &str) -> Option<OsString> {
        const TOGETHER: [&[&str]; 2] = [
            &[variable::USER, variable::PASSWORD_FILE],
            &[variable::CERT, variable::KEY],
        ];
        let Some(file) = &self.file else {
            return own(name);
        };
        // Where the endpoints are is the one thing that the environment does not say here; and what it
        // says to etcdctl is about some other cluster.
        if name != variable::ENDPOINTS && variable::ALL.contains(&name) {
            let group = TOGETHER.into_iter().find(|group| group.contains(&name));
            let group = group.unwrap_or(&[]);
            if group.iter().any(|one| own(one).is_some()) || own(name).is_some() {
                return own(name);
            }
        }
        file.get(name).map(OsString::from)
    }

    fn text(&self, name: &'static str) -> Result<Option<String>, Failure> {
        let value = self.get(name).map(OsString::into_string).transpose();
        value.map_err(|_| SettingsError::Text(name).into())
    }

    fn lease(&self, given: Option<Duration>) -> Result<Duration, Failure> {
        let (lease, by) = match given {
            Some(lease) => (lease, "--lease"),
            None => match self.text(variable::LEASE)? {
                Some(text) => {
                    let lease = quantity::duration(&text).map_err(|error| {
                        Failure::usage(
                            format!("{}: {error}", variable::LEASE),
                            "30s are usual, 5s the least",
                        )
                    })?;
                    (lease, variable::LEASE)
                }
                None => (USUAL_LEASE, "the lease"),
            },
        };
        if lease < SHORTEST_LEASE {
            return Err(Failure::usage(
                format!("{by} is too short to be renewed in time"),
                "give it 5 seconds at least; 30 are usual",
            ));
        }
        Ok(lease)
    }
}

fn own(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// What the usual file says of a cluster. It need not be there.
fn usual() -> Result<Option<Cluster>, Failure> {
    let path = Path::new(USUAL_FILE);
    // Any other mistake is told: who may not read it must not take another lock than who may.
    match path.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Ok(_) | Err(_) => read(path),
    }
}

fn read(path: &Path) -> Result<Option<Cluster>, Failure> {
    let loaded = load_cluster(&path.to_string_lossy(), &host(false)?, &Disk);
    loaded.cluster.ok_or_else(|| {
        say_findings(&loaded.diagnostics, &loaded.sources);
        Failure::with_code(
            format!(
                "{}: which cluster keeps the locks cannot be read",
                path.display()
            ),
            Some("`ward check -c FILE` tells all about it"),
            exit_code::USAGE,
        )
    })
}
