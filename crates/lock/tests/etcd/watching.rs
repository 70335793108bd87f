//! What the tests of the client of etcd have in common: how to reach the members, and what a
//! watch has seen, as text.

use std::time::Duration;

use anyhow::bail;
use ward_lock::etcd::{Change, Cluster, Seen, Settings, Watch};
use ward_sys::clock::since_boot;
use ward_testkit::etcd::Members;
use ward_testkit::patience::LIMIT;

/// How to reach a cluster, with time enough for a busy machine.
pub(crate) fn settings(members: &Members) -> Settings {
    Settings {
        endpoints: members.endpoints(),
        timeout: Duration::from_secs(20),
        ..Settings::default()
    }
}

/// Some time from now, since boot.
pub(crate) fn within(time: Duration) -> Option<Duration> {
    Some(since_boot() + time)
}

/// What happened, as `+KEY=VALUE` and `-KEY`, until there are so many of them.
pub(crate) fn events(
    watch: &mut Watch,
    cluster: &mut Cluster,
    count: usize,
) -> anyhow::Result<Vec<String>> {
    let mut all = Vec::new();
    while all.len() < count {
        match watch.next(cluster, within(LIMIT))? {
            Seen::Events { events, .. } => all.extend(events.into_iter().map(|event| {
                let key = String::from_utf8_lossy(&event.pair.key).into_owned();
                match event.change {
                    Change::Put => format!("+{key}={}", event.pair.value.escape_ascii()),
                    Change::Deleted => format!("-{key}"),
                }
            })),
            other => bail!("{other:?} after {all:?}"),
        }
    }
    Ok(all)
}
