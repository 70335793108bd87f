//! Which cluster is meant: the options', else the environment's, else the file's.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ward_config::cluster::Cluster;
use ward_config::load::load_cluster;
use ward_engine::chain;
use ward_lock::etcd::{Secret, Settings, SettingsError, endpoints, is_about};
use ward_lock::hosts::Hosts;
use ward_model::cluster::{SHORTEST_LEASE, USUAL_LEASE, variable};
use ward_model::{exit_code, quantity};
use ward_supervise::configuration::{Disk, host_in};

use super::keeper::BEATS;
use crate::args::ClusterArgs;
use crate::commands::check::host;
use crate::commands::say_findings;
use crate::failure::Failure;

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
    /// What named it.
    by: String,
}

/// The cluster that the options name, else the environment, else a file; none if nobody names one.
pub(crate) fn chosen(arguments: &ClusterArgs) -> Result<Option<Chosen>, Failure> {
    if arguments.local {
        return Ok(None);
    }
    let said = Said::of(arguments)?;
    let Some(by) = said.by() else {
        // Who says who he is to a cluster does not mean this host alone.
        return if is_about_a_cluster(arguments) {
            Err(SettingsError::NoEndpoint.into())
        } else {
            Ok(None)
        };
    };
    let lease = said.lease(arguments.lease)?;
    // What options replace need not be readable.
    let is_replaced = arguments.etcd_user.is_some() || arguments.etcd_password_file.is_some();
    let mut settings = Settings::from_variables(&arguments.etcd, |name| {
        let is_asked = !(is_replaced && name == variable::PASSWORD_FILE);
        said.get(name).filter(|_| is_asked)
    })?;
    if arguments.etcd_cacert.is_some() {
        settings.ca.clone_from(&arguments.etcd_cacert);
    }
    // A certificate goes with its key, and a user with his password.
    if arguments.etcd_cert.is_some() || arguments.etcd_key.is_some() {
        settings.certificate.clone_from(&arguments.etcd_cert);
        settings.key.clone_from(&arguments.etcd_key);
    }
    if arguments.etcd_user.is_some() {
        settings.user.clone_from(&arguments.etcd_user);
        settings.password = None;
    }
    if let Some(file) = &arguments.etcd_password_file {
        settings.password = Some(Secret::read(file)?);
    }
    // Several are tried within the time that the lease leaves.
    settings.timeout = settings.timeout.min(lease / BEATS);
    let prefix = match &arguments.etcd_prefix {
        Some(prefix) => Some(prefix.clone()),
        None => said.text(variable::PREFIX)?,
    };
    let hosts = Hosts::new(settings, prefix.as_deref(), lease);
    // Nobody was asked for anything yet.
    let hosts = hosts.map_err(|error| Failure::from(error).with_status(exit_code::USAGE))?;
    Ok(Some(Chosen { hosts, lease, by }))
}

/// The cluster that the environment or a file names.
pub(crate) fn of_surroundings() -> Result<Option<Chosen>, Failure> {
    chosen(&ClusterArgs::default())
}

impl Chosen {
    /// That it cannot be used by who becomes the command.
    pub(crate) fn not_with_exec(&self) -> Failure {
        Failure::usage(
            format!(
                "--exec leaves nobody who could keep a cluster's lock, and {} names a cluster",
                self.by
            ),
            "leave --exec out, or add --local",
        )
    }
}

/// Whether options are about a cluster.
fn is_about_a_cluster(arguments: &ClusterArgs) -> bool {
    let files = [
        &arguments.etcd_password_file,
        &arguments.etcd_cacert,
        &arguments.etcd_cert,
        &arguments.etcd_key,
    ];
    arguments.etcd_user.is_some()
        || arguments.etcd_prefix.is_some()
        || arguments.lease.is_some()
        || files.into_iter().any(Option::is_some)
}

/// Where it is said which cluster is meant. Only one place counts: nobody's password is told to
/// another cluster than it was written for, and all who name one file mean the same lock.
#[derive(Debug)]
enum Said {
    Nowhere,
    /// By options; what the environment says of other endpoints is not about it.
    Options {
        with_variables: bool,
    },
    Variables,
    File {
        path: PathBuf,
        variables: BTreeMap<String, String>,
    },
}

impl Said {
    fn of(arguments: &ClusterArgs) -> Result<Self, Failure> {
        if let Some(path) = &arguments.cluster_config {
            return Self::by_file(path.clone());
        }
        let named = own(variable::ENDPOINTS).unwrap_or_default();
        let named = endpoints(&named.to_string_lossy());
        if !arguments.etcd.is_empty() {
            return Ok(Self::Options {
                with_variables: is_about(&named, &arguments.etcd),
            });
        }
        if own(variable::ENDPOINTS).is_some() {
            return Ok(Self::Variables);
        }
        match std::env::var_os(variable::FILE) {
            Some(path) if path.is_empty() => Ok(Self::Nowhere),
            Some(path) => Self::by_file(path.into()),
            None => usual(),
        }
    }

    fn by_file(path: PathBuf) -> Result<Self, Failure> {
        match read(&path)? {
            Some(cluster) => Ok(Self::File {
                path,
                variables: cluster.variables(),
            }),
            None => Err(Failure::usage(
                format!("{} has no section [cluster]", path.display()),
                "add it, with `endpoints = https://HOST:2379`, or name another file",
            )),
        }
    }

    /// What names the cluster, for people.
    fn by(&self) -> Option<String> {
        match self {
            Self::Nowhere => None,
            Self::Options { .. } => Some("--etcd".to_owned()),
            Self::Variables => Some(variable::ENDPOINTS.to_owned()),
            Self::File { path, .. } => Some(path.display().to_string()),
        }
    }

    /// What is said by this name; set and empty, it is none.
    fn get(&self, name: &str) -> Option<OsString> {
        match self {
            Self::File { variables, .. } => variables.get(name).map(OsString::from),
            Self::Options {
                with_variables: false,
            } if variable::ALL.contains(&name) => None,
            Self::Options { .. } | Self::Variables | Self::Nowhere => std::env::var_os(name),
        }
    }

    fn text(&self, name: &'static str) -> Result<Option<String>, Failure> {
        let value = self.get(name).filter(|value| !value.is_empty());
        let text = value.map(OsString::into_string).transpose();
        text.map_err(|_| SettingsError::Text(name).into())
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
fn usual() -> Result<Said, Failure> {
    let path = Path::new(USUAL_FILE);
    // Any other mistake is told, and so is a link to what is not there: who cannot read it must not take
    // another lock than who can.
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Said::Nowhere),
        Ok(_) | Err(_) => Ok(match read(path)? {
            Some(cluster) => Said::File {
                path: path.to_owned(),
                variables: cluster.variables(),
            },
            None => Said::Nowhere,
        }),
    }
}

fn read(path: &Path) -> Result<Option<Cluster>, Failure> {
    let Some(text) = path.to_str() else {
        return Err(Failure::usage(
            format!("the name of `{}` is not text", path.display()),
            "name the file in UTF-8",
        ));
    };
    let host = if path.is_absolute() {
        // Whoever works in a directory that is gone can be given a lock all the same.
        host_in(Path::new("/"))
    } else {
        host(false)?
    };
    let loaded = load_cluster(text, &host, &Disk);
    loaded.cluster.ok_or_else(|| {
        say_findings(&loaded.diagnostics, &loaded.sources);
        Failure::with_code(
            format!("{text} may name the cluster that keeps the locks, and cannot be used"),
            Some(
                "mend it, and let everybody read it who is to hold the same locks; `ward lock --local` is about \
                 this host alone",
            ),
            exit_code::USAGE,
        )
    })
}
