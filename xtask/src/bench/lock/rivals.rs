//! Who runs a command under a lock: ward, and the others that this machine has.

use std::ffi::OsString;
use std::fs;
use std::process::Stdio;

use anyhow::{Context, Result};

use super::super::peers::{Peer, Peers, which};
use super::super::setup::{Setup, silent};

pub(super) const WARD: &str = "ward lock x --";
pub(super) const WARD_GUARDIAN: &str = "ward lock --containment guardian x --";
/// With no wrapper: what runs has the lock, as with setlock.
pub(super) const WARD_EXEC: &str = "ward lock --exec x --";
pub(super) const WARD_FLOM: &str = "ward flom -r x --";
pub(super) const WARD_ETCD: &str = "ward lock --etcd ENDPOINT x --";
pub(super) const FLOCK: &str = "flock FILE";
pub(super) const SETLOCK: &str = "setlock FILE";
pub(super) const LCKDO: &str = "lckdo FILE";
pub(super) const SEM: &str = "sem --fg --id x";
pub(super) const FLOM: &str = "flom -r x --";
pub(super) const ETCDCTL: &str = "etcdctl lock x";

/// Those whose locks are on this host.
pub(super) fn on_this_host(setup: &Setup) -> Result<Peers> {
    let mut peers = Peers::default();
    let ward = |name, words: &[&str]| Peer::ward(name, &setup.ward, words);
    peers.here.extend([
        ward(WARD, &["lock", "x", "--"]),
        ward(
            WARD_GUARDIAN,
            &["lock", "--containment", "guardian", "x", "--"],
        ),
        ward(WARD_EXEC, &["lock", "--exec", "x", "--"]),
    ]);
    if ward_says(setup, &["flom", "--version"])?.is_some() {
        let words = ["flom", "-r", "x", "--"];
        peers.here.push(ward(WARD_FLOM, &words));
    } else {
        peers
            .missing
            .push(format!("{WARD_FLOM}: this ward has no `flom`"));
    }
    for (name, program, package) in [
        (FLOCK, "flock", "package util-linux"),
        (SETLOCK, "setlock", "package daemontools"),
        (LCKDO, "lckdo", "package moreutils"),
    ] {
        let file = setup.work.join(format!("lock-of-{program}"));
        peers.look_for(name, &[program.into(), file.into()], package);
    }
    let sem = ["sem", "--fg", "--id", "x"].map(OsString::from);
    peers.look_for(SEM, &sem, "package parallel");
    if flom_is_ward(setup) {
        peers
            .missing
            .push(format!("{FLOM}: the `flom` of this host is ward itself"));
    } else {
        peers.look_for(FLOM, &flom(setup), "FLoM is in no Debian package");
    }
    Ok(peers)
}

/// With a socket of its own, and a daemon that is not started anew between two rounds.
fn flom(setup: &Setup) -> Vec<OsString> {
    let socket = setup.work.join("flom").into_os_string();
    let (options, lock) = (["-d", "-1"], ["-r", "x", "--"]);
    [
        vec!["flom".into(), "-s".into(), socket],
        options.map(OsString::from).into(),
        lock.map(OsString::from).into(),
    ]
    .concat()
}

/// Ward goes by that name too where it takes the place of the other.
fn flom_is_ward(setup: &Setup) -> bool {
    which("flom")
        .and_then(|path| fs::canonicalize(path).ok())
        .is_some_and(|path| path.file_name() == setup.ward.file_name())
}

/// Those whose locks are in the etcd at `endpoint`.
pub(super) fn in_etcd(setup: &Setup, endpoint: &str, peers: &mut Peers) -> Result<()> {
    let words = ["etcdctl", "--endpoints", endpoint, "lock", "x"].map(OsString::from);
    peers.look_for(ETCDCTL, &words, "package etcd-client");
    let help = ward_says(setup, &["lock", "--help"])?;
    if help.is_some_and(|help| help.contains("--etcd")) {
        let words = ["lock", "--etcd", endpoint, "x", "--"];
        peers.here.push(Peer::ward(WARD_ETCD, &setup.ward, words));
    } else {
        peers
            .missing
            .push(format!("{WARD_ETCD}: this ward has no `--etcd`"));
    }
    Ok(())
}

/// What ward says on standard output, if it succeeds.
fn ward_says(setup: &Setup, words: &[&str]) -> Result<Option<String>> {
    let output = silent(&Peer::ward("ward", &setup.ward, words).words(&[]))
        .stdout(Stdio::piped())
        .output()
        .context("starting ward")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(output.status.success().then_some(said))
}
