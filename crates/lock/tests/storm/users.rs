//! Users who share a directory by their group.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::process::Command;

use anyhow::ensure;
use ward_testkit::programs::in_path;
use ward_testkit::world::is_root;

use super::Result;
use super::place::{Place, Worker};

const GROUP: u32 = 54_321;

/// A directory that a group shares; none if we cannot be others.
pub(crate) fn shared() -> Result<Option<Place>> {
    if !is_root() || in_path("setpriv").is_none() {
        println!("SKIPPED: to be several users takes root, and setpriv");
        return Ok(None);
    }
    let place = Place::new()?;
    place.program_for_all()?;
    chown(place.directory(), Some(0), Some(GROUP))?;
    fs::set_permissions(place.directory(), fs::Permissions::from_mode(0o2770))?;
    Ok(Some(place))
}

/// A process of this user, of the group if he is a member, with this umask.
pub(crate) fn user(place: &Place, uid: u32, member: bool, umask: &str) -> Result<Worker> {
    let groups = if member {
        format!("--groups={GROUP}")
    } else {
        "--clear-groups".to_owned()
    };
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            &format!("umask {umask}; exec \"$0\" \"$@\""),
            "setpriv",
        ])
        .args([format!("--reuid={uid}"), format!("--regid={uid}"), groups])
        .arg(place.program_for_all()?);
    place.worker_through(command)
}

#[test]
fn a_group_shares_its_locks() -> Result {
    let Some(place) = shared()? else {
        return Ok(());
    };
    for umask in ["077", "022", "000"] {
        let mut anna = user(&place, 54_001, true, umask)?;
        let mut bert = user(&place, 54_002, true, umask)?;
        ensure!(anna.hear()? == "here" && bert.hear()? == "here");
        let name = format!("it-{umask}");
        let (take, wait) = (format!("explain {name}"), format!("lock {name}"));
        anna.expect(&take, "held")?;
        let meta = fs::metadata(place.file(&name))?;
        ensure!(
            (meta.mode() & 0o7777, meta.gid()) == (0o660, GROUP),
            "{meta:?}"
        );
        let busy = bert.expect(&take, "busy")?;
        ensure!(busy == anna.pid().to_string());
        bert.order(&wait)?;
        place.await_queue(&name, (1, 1))?;
        anna.kill()?;
        ensure!(bert.hear()?.starts_with("held"));
        bert.expect("release", "released")?;
        place.now(&name)?.release();
    }
    Ok(())
}

#[test]
fn a_stranger_is_refused() -> Result {
    let Some(place) = shared()? else {
        return Ok(());
    };
    place.now("it")?.release();
    let mut stranger = user(&place, 54_003, false, "022")?;
    ensure!(stranger.hear()? == "here");
    for name in ["it", "another"] {
        let failed = stranger.expect(&format!("try {name}"), "failed")?;
        ensure!(failed.contains("PermissionDenied"), "{failed}");
    }
    Ok(())
}

#[test]
fn a_directory_for_everybody_is_refused() -> Result {
    let Some(place) = shared()? else {
        return Ok(());
    };
    for mode in [0o2777, 0o1777, 0o702] {
        fs::set_permissions(place.directory(), fs::Permissions::from_mode(mode))?;
        let worker = user(&place, 54_001, true, "022")?;
        let said = worker.hear()?;
        ensure!(said.starts_with("refused Open"), "{mode:o}: {said}");
    }
    Ok(())
}
