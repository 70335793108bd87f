//! The configuration of the build server, and the directory where it keeps everything.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use ward_config::build::BuildServer;
use ward_config::diagnostics::Palette;
use ward_config::host::Host;
use ward_config::load::{Builds, load_builds};
use ward_model::cluster::variable;
use ward_model::exit_code;
use ward_supervise::configuration::{self, Disk};

use crate::args::Whose;
use crate::commands::check::host;
use crate::commands::say_findings;
use crate::compat::configuration_file::find_configuration;
use crate::failure::Failure;

/// What is looked for before the places of `ward ctl`.
const OURS: &str = "ward.conf";
/// The server's socket in its directory, for its own user and root.
pub(super) const SOCKET: &str = "control.sock";
/// Where secrets are in it.
pub(super) const SECRETS: &str = "secrets";

/// A configuration that has a `[build]` section.
pub(super) struct Read {
    pub(super) path: PathBuf,
    pub(super) builds: Builds,
    pub(super) server: BuildServer,
    /// What is passed over in it, for people; mistakes are refused.
    pub(super) warnings: Vec<String>,
}

/// The configuration that is meant; `None` if none is named and none is found.
pub(super) fn found(named: Option<&Path>) -> Option<PathBuf> {
    if let Some(path) = named {
        return Some(path.to_owned());
    }
    let ours = Path::new(OURS);
    if ours.exists() {
        return Some(ours.to_owned());
    }
    let called = std::env::args_os().next().unwrap_or_default();
    find_configuration(&called).ok()
}

/// Reads the jobs and the server of a configuration; says everything that is wrong with them.
pub(super) fn load(path: &Path) -> Result<Builds, Failure> {
    Ok(load_all(path, None)?.0)
}

/// The same, with what is passed over.
fn load_all(path: &Path, told: Option<Told>) -> Result<(Builds, Vec<String>), Failure> {
    let host = Host {
        told,
        ..host(false)?
    };
    let loaded = load_builds(&path.to_string_lossy(), &host, &Disk);
    if loaded.builds.is_none() {
        say_findings(&loaded.diagnostics, &loaded.sources);
    }
    let warnings = loaded
        .diagnostics
        .iter()
        .map(|found| found.render(&loaded.sources, Palette::default()))
        .collect();
    let builds = loaded.builds.map(|builds| (builds, warnings));
    builds.ok_or_else(|| {
        Failure::with_code(
            format!("{}: it cannot be used", path.display()),
            Some("`ward check -c FILE` tells all about it"),
            exit_code::USAGE,
        )
    })
}

/// The variables by which a supervisor tells which cluster keeps locks.
type Told = BTreeMap<String, String>;

/// What the supervisor has told us, if one has started us.
pub(super) fn told(supervised: bool) -> Option<Told> {
    let names = variable::ALL.into_iter().chain([variable::FILE]);
    let told = names.filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)));
    supervised.then(|| told.collect())
}

/// Reads a configuration that must have a server.
pub(super) fn read(named: Option<&Path>) -> Result<Read, Failure> {
    read_as_told(named, None)
}

/// The same, for a server that a supervisor has told of the cluster.
pub(super) fn read_as_told(named: Option<&Path>, told: Option<Told>) -> Result<Read, Failure> {
    let path = found(named).ok_or_else(|| {
        Failure::usage(
            "there is no configuration: neither ./ward.conf nor any that `ward ctl` would find",
            "name one with -c FILE",
        )
    })?;
    let (builds, warnings) = load_all(&path, told)?;
    let Some(server) = builds.server.clone() else {
        return Err(Failure::usage(
            format!("{} has no section [build]", path.display()),
            "add a line [build]; nothing has to follow it",
        ));
    };
    Ok(Read {
        path,
        builds,
        server,
        warnings,
    })
}

/// Where a server keeps everything.
pub(super) fn home_of(server: &BuildServer) -> Result<PathBuf, Failure> {
    Ok(configuration::home_of(server, &host(false)?)?)
}

/// The directory of a configuration's server, for commands that change what is in it; it is made.
/// Refuses to work as another user: the server could not read what would be written.
pub(super) fn for_changes(whose: &Whose) -> Result<(PathBuf, Read), Failure> {
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
    let read = read(whose.configuration.as_deref())?;
    let home = home_of(&read.server)?;
    let failed =
        |error: io::Error| Failure::ours(&format!("cannot use {}", home.display()), &error);
    let own = rustix::process::getuid();
    if read.server.user.is_some() && own.is_root() && !home.exists() {
        return Err(Failure::with_code(
            format!("{} is not there yet", home.display()),
            Some("start the server first: what root would make there its own user could not use"),
            exit_code::TAKEN,
        ));
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&home)
        .map_err(failed)?;
    let owner = std::fs::metadata(&home).map_err(failed)?.uid();
    if owner != own.as_raw() {
        return Err(Failure::with_code(
            format!("{} belongs to user {owner}", home.display()),
            Some("do it as that user: `ward run --user NAME -- ward build …`"),
            exit_code::TAKEN,
        ));
    }
    Ok((home, read))
}

/// Where a server's secrets are.
pub(super) fn secrets_of(server: &BuildServer, home: &Path) -> PathBuf {
    let named = server.secrets.as_deref().map(PathBuf::from);
    named.unwrap_or_else(|| home.join(SECRETS))
}
