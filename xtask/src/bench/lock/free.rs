//! From start to exit: `true` under a lock that nobody else wants.

use anyhow::Result;

use super::super::latency::{self, BARE, Series};
use super::super::peers::{Peer, Peers};
use super::super::results::{Bound, Goal, Latency};
use super::super::setup::Setup;
use super::super::statistics::ratio_between;
use super::etcd::Server;
use super::rivals::{ETCDCTL, FLOCK, SEM, WARD, WARD_ETCD, in_etcd, on_this_host};

/// They take ten times as long as everybody else.
const SLOW: [&str; 3] = [SEM, ETCDCTL, WARD_ETCD];
/// Starts of a slow one in one round.
const FEW_STARTS: usize = 5;

pub(in super::super) struct Found {
    pub(in super::super) rows: Vec<Latency>,
    pub(in super::super) goals: Vec<Goal>,
    pub(in super::super) missing: Vec<String>,
}

pub(in super::super) fn measure(setup: &mut Setup) -> Result<Found> {
    let mut peers = on_this_host(setup)?;
    peers.here.push(Peer::new(BARE, Vec::new()));
    let server = Server::start(setup)?;
    match &server {
        Some(server) => in_etcd(setup, &server.endpoint(), &mut peers)?,
        None => peers.missing.push(format!(
            "{ETCDCTL}, {WARD_ETCD}: there is no `etcd` here (package etcd-server)"
        )),
    }
    let Peers { here, missing } = latency::tried(peers)?;
    let mut series = Vec::new();
    for peer in &here {
        let mut one = Series::of(setup, peer)?;
        if SLOW.contains(&one.name.as_str()) {
            one.starts = FEW_STARTS;
        }
        series.push(one);
    }
    latency::sample(setup, "start to exit under a lock", &mut series)?;
    let sampled = latency::sampled(&series);
    let goal = |what: &str, ours, theirs, most| Goal {
        what: format!("start to exit: {what}"),
        value: ratio_between(&sampled, ours, theirs),
        bound: Bound::AtMost(most),
    };
    Ok(Found {
        goals: vec![
            goal("ward lock, of flock", WARD, FLOCK, 1.2),
            goal("ward lock --etcd, of etcdctl lock", WARD_ETCD, ETCDCTL, 0.5),
        ],
        rows: Latency::rows(&sampled, FLOCK),
        missing,
    })
}
