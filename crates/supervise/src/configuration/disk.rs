//! This host, as far as a configuration depends on it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::{fs, io};

use thiserror::Error;
use ward_config::host::{Accounts, Files, Host};

/// Why this host cannot be described.
#[derive(Debug, Error)]
#[error("the current directory is not known")]
pub struct HostError(#[source] io::Error);

/// The files of this host.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn exists(&self, path: &Path) -> bool {
        path.symlink_metadata().is_ok()
    }

    fn is_directory(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn list(&self, directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    }
}

/// This host and this process's surroundings. `environment` is what configurations may name.
///
/// # Errors
/// When the current directory is gone.
pub fn this_host(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Host, HostError> {
    let directory = std::env::current_dir().map_err(HostError)?;
    Ok(Host {
        environment: texts(environment),
        ..host_in(&directory)
    })
}

/// This host and this process's surroundings, seen from another directory than its own.
#[must_use]
pub fn host_in(directory: &Path) -> Host {
    // Without the file there are no accounts, and every name is told to be unknown.
    let read = |file| fs::read(file).unwrap_or_default();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Host {
        environment: texts(std::env::vars_os()),
        node_name: rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned(),
        current_directory: directory.to_string_lossy().into_owned(),
        temporary_directory: std::env::temp_dir().to_string_lossy().into_owned(),
        accounts: Accounts::parse(&text(read("/etc/passwd")), &text(read("/etc/group"))),
        uid: rustix::process::getuid().as_raw(),
        told: None,
        elsewhere: false,
    }
}

fn texts(variables: impl IntoIterator<Item = (OsString, OsString)>) -> BTreeMap<String, String> {
    let lossy = |text: OsString| text.to_string_lossy().into_owned();
    let pairs = variables.into_iter();
    pairs
        .map(|(name, value)| (lossy(name), lossy(value)))
        .collect()
}
