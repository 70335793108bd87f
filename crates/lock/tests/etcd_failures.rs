//! What the client of etcd makes of members that die, hang, or have lost the others.
//!
//! Three real members; where there is no etcd this says so and tests nothing.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use ward_lock::etcd::{
    Change, Cluster, Compare, EtcdError, Failure, Keys, Lease, Op, Seen, Settings, Txn, Watch,
};
use ward_sys::clock::since_boot;
use ward_testkit::etcd::Members;
use ward_testkit::patience::LIMIT;

type Result = anyhow::Result<()>;

/// What a request may take: while members fail, a new leader takes its time.
const TIMEOUT: Duration = Duration::from_secs(10);

fn connect(members: &Members) -> anyhow::Result<Cluster> {
    Ok(Cluster::new(Settings {
        endpoints: members.endpoints(),
        timeout: TIMEOUT,
        ..Settings::default()
    })?)
}

fn put(cluster: &mut Cluster, key: &str, value: &str) -> anyhow::Result<u64> {
    Ok(cluster.txn(&Txn::new().then(Op::put(key, value)))?.revision)
}

/// The next key that is put; the lease is kept alive meanwhile.
fn next_put(watch: &mut Watch, cluster: &mut Cluster, lease: &mut Lease) -> anyhow::Result<String> {
    let limit = since_boot() + LIMIT;
    loop {
        ensure!(since_boot() < limit, "nothing comes");
        let soon = since_boot() + Duration::from_millis(300);
        match watch.next(cluster, Some(soon))? {
            Seen::Events { events, .. } => {
                let first = events.first().context("no event")?;
                ensure!(first.change == Change::Put, "{first:?}");
                return Ok(String::from_utf8_lossy(&first.pair.key).into_owned());
            }
            Seen::Deadline => {
                cluster.keep_alive(lease)?;
                ensure!(!lease.left().is_zero(), "the lease was lost");
            }
            other => bail!("{other:?}"),
        }
    }
}

/// The member that a cluster talks to.
fn partner(members: &Members, cluster: &Cluster) -> anyhow::Result<usize> {
    members.at(&cluster.member())
}

#[test]
fn a_watch_and_a_lease_outlive_the_member_that_is_talked_to() -> Result {
    let Some(mut members) = Members::start(3)? else {
        return Ok(());
    };
    let mut cluster = connect(&members)?;
    let mut other = connect(&members)?;
    let mut lease = cluster.grant(Duration::from_secs(20))?;
    let held = Txn::new().then(Op::put_with("w/held", "", lease.id));
    let revision = cluster.txn(&held)?.revision;
    let mut watch = cluster.watch(Keys::prefix("w/"), revision + 1);
    put(&mut other, "w/start", "")?;
    assert_eq!(next_put(&mut watch, &mut cluster, &mut lease)?, "w/start");

    let mut talked_to = BTreeSet::new();
    for round in 0..3 {
        let dead = partner(&members, &cluster)?;
        talked_to.insert(dead);
        members.kill(dead)?;
        let key = format!("w/{round}");
        put(&mut other, &key, "")?;
        assert_eq!(next_put(&mut watch, &mut cluster, &mut lease)?, key);
        assert_ne!(partner(&members, &cluster)?, dead);
        cluster.keep_alive(&mut lease)?;
        // While it was away things happened that it has to learn.
        members.restart(dead)?;
    }
    assert!(talked_to.len() > 1, "{talked_to:?}");
    assert!(cluster.get("w/held")?.is_some());
    cluster.revoke(lease.id)?;
    assert!(cluster.get("w/held")?.is_none());
    Ok(())
}

#[test]
fn a_member_that_hangs_is_passed_over() -> Result {
    let Some(members) = Members::start(3)? else {
        return Ok(());
    };
    let mut cluster = connect(&members)?;
    let mut lease = cluster.grant(Duration::from_secs(30))?;
    let mut watch = cluster.watch(Keys::prefix("w/"), 1);
    put(&mut cluster, "w/start", "")?;
    assert_eq!(next_put(&mut watch, &mut cluster, &mut lease)?, "w/start");

    // Each of them in turn, the leader too.
    for round in 0..3 {
        let hung = partner(&members, &cluster)?;
        members.pause(hung)?;
        let start = since_boot();
        let left = cluster.keep_alive(&mut lease)?;
        assert!(since_boot() - start < TIMEOUT);
        assert_ne!(partner(&members, &cluster)?, hung);
        // Counted from when the one that answered was asked, not from the first attempt on.
        assert!(lease.deadline > start + left, "an attempt was lost");
        assert!(lease.left() < left);

        let key = format!("w/{round}");
        put(&mut cluster, &key, "")?;
        // Once the others have a leader, all goes on as quickly as ever: nothing is tried with
        // the one that hangs any more.
        let limit = since_boot() + LIMIT;
        loop {
            let start = since_boot();
            put(&mut cluster, "other", "")?;
            cluster.range(&Keys::prefix("w/"))?;
            if since_boot() - start < TIMEOUT / 12 {
                break;
            }
            ensure!(since_boot() < limit, "it stays slow");
        }
        assert_eq!(next_put(&mut watch, &mut cluster, &mut lease)?, key);
        members.resume(hung)?;
    }
    Ok(())
}

#[test]
fn a_watch_that_nobody_disturbs_leaves_a_member_that_hangs() -> Result {
    let Some(members) = Members::start(3)? else {
        return Ok(());
    };
    let mut cluster = connect(&members)?;
    cluster.set_timeout(Duration::from_secs(2));
    let mut other = connect(&members)?;
    let revision = put(&mut other, "w/a", "")?;
    let mut watch = cluster.watch(Keys::prefix("w/"), revision + 1);
    assert_eq!(
        watch.next(
            &mut cluster,
            Some(since_boot() + Duration::from_millis(100))
        )?,
        Seen::Deadline
    );
    let hung = partner(&members, &cluster)?;
    members.pause(hung)?;
    let start = since_boot();
    put(&mut other, "w/b", "")?;
    let seen = loop {
        // The others may be electing a leader.
        match watch.next(&mut cluster, Some(since_boot() + LIMIT)) {
            Err(EtcdError::Unreachable { .. }) if since_boot() < start + LIMIT => {}
            outcome => break outcome?,
        }
    };
    let Seen::Events { events, .. } = seen else {
        bail!("{seen:?}");
    };
    assert_eq!(events[0].pair.key, b"w/b");
    assert!(since_boot() - start < LIMIT / 2);
    members.resume(hung)?;
    Ok(())
}

#[test]
fn what_is_put_twice_tells_so() -> Result {
    let Some(members) = Members::start(3)? else {
        return Ok(());
    };
    let mut cluster = connect(&members)?;
    let lease = cluster.grant(Duration::from_secs(60))?;
    let join = Txn::new()
        .when(Compare::absent("q/me"))
        .then(Op::put_with("q/me", "mine", lease.id))
        .otherwise(Op::range(Keys::one("q/me")));
    let hung = partner(&members, &cluster)?;
    members.pause(hung)?;
    let joined = cluster.txn(&join)?;
    assert!(joined.repeated, "the one that hangs may have it");
    let is_ours = joined.succeeded
        || joined
            .range(0)
            .is_some_and(|range| range.pairs.iter().any(|pair| pair.value == b"mine"));
    assert!(is_ours, "{joined:?}");
    // What it finds in its socket when it wakes up does no harm.
    members.resume(hung)?;
    cluster.revoke(lease.id)?;
    assert!(
        !cluster
            .txn(&Txn::new().when(Compare::present("q/me")))?
            .succeeded
    );
    Ok(())
}

#[test]
fn without_a_majority_there_is_no_leader_and_soon_a_word_about_it() -> Result {
    let Some(mut members) = Members::start(3)? else {
        return Ok(());
    };
    let mut cluster = connect(&members)?;
    cluster.set_timeout(Duration::from_secs(5));
    let mut lease = cluster.grant(Duration::from_secs(60))?;
    let mut watch = cluster.watch(Keys::prefix("w/"), 1);
    put(&mut cluster, "w/a", "")?;
    assert_eq!(next_put(&mut watch, &mut cluster, &mut lease)?, "w/a");
    members.pause(1)?;
    members.kill(2)?;
    // A leader that has not noticed yet that it is alone keeps leases alive for a moment.
    let start = since_boot();
    let error = loop {
        ensure!(since_boot() < start + LIMIT, "nobody notices");
        if let Err(error) = cluster.keep_alive(&mut lease) {
            break error;
        }
    };
    let EtcdError::Unreachable { failures, .. } = &error else {
        bail!("{error:?}");
    };
    assert_eq!(failures.len(), 3, "{error}");
    assert!(matches!(failures[2].1, Failure::Connect { .. }), "{error}");
    // The watch does not pretend that all is well either.
    let limit = since_boot() + LIMIT;
    let error = watch
        .next(&mut cluster, Some(limit))
        .expect_err("no majority");
    assert!(matches!(error, EtcdError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("no leader"), "{error}");

    members.resume(1)?;
    let limit = since_boot() + LIMIT;
    while let Err(error) = cluster.keep_alive(&mut lease) {
        ensure!(since_boot() < limit, "{error}");
    }
    put(&mut cluster, "w/b", "")?;
    assert_eq!(next_put(&mut watch, &mut cluster, &mut lease)?, "w/b");
    Ok(())
}

#[test]
fn when_nobody_is_there_each_is_named() -> Result {
    let Some(mut members) = Members::start(3)? else {
        return Ok(());
    };
    let mut cluster = connect(&members)?;
    let mut lease = cluster.grant(Duration::from_secs(60))?;
    let revision = put(&mut cluster, "w/a", "")?;
    let mut watch = cluster.watch(Keys::prefix("w/"), revision + 1);
    let now = since_boot();
    assert_eq!(watch.next(&mut cluster, Some(now))?, Seen::Deadline);
    for index in 0..members.len() {
        members.kill(index)?;
    }
    let start = since_boot();
    let error = cluster.keep_alive(&mut lease).expect_err("nobody");
    assert!(
        since_boot() - start < Duration::from_secs(3),
        "it is known at once"
    );
    for endpoint in members.endpoints() {
        assert!(error.to_string().contains(&endpoint), "{error}");
    }
    assert!(error.to_string().contains("Connection refused"), "{error}");
    assert!(error.hint().is_some());
    let limit = since_boot() + LIMIT;
    watch.next(&mut cluster, Some(limit)).expect_err("nobody");

    // Two are enough. (The first one alone cannot get healthy.)
    let mut fresh = connect(&members)?;
    let error = fresh.get("w/a").expect_err("nobody");
    assert!(!error.may_have_happened(), "nothing was sent");
    members.restart_all()?;
    cluster.keep_alive(&mut lease)?;
    assert!(fresh.get("w/a")?.is_some());
    put(&mut fresh, "w/b", "")?;
    assert_eq!(next_put(&mut watch, &mut cluster, &mut lease)?, "w/b");
    Ok(())
}

/// Counts up by one, in one of several attempts of which nobody knows which was the one.
fn count_up(cluster: &mut Cluster, value: u64) -> Result {
    let key = "n/counter";
    let limit = since_boot() + LIMIT;
    let before = loop {
        match cluster.get(key) {
            Ok(found) => break found.context("no counter")?,
            Err(error) => ensure!(since_boot() < limit, "{error}"),
        }
    };
    let count = Txn::new()
        .when(Compare::unchanged(key, before.mod_revision))
        .then(Op::put(key, value.to_string()))
        .otherwise(Op::range(Keys::one(key)));
    loop {
        match cluster.txn(&count) {
            Ok(counted) if counted.succeeded => return Ok(()),
            Ok(counted) => {
                let found = counted.range(0).and_then(|range| range.pairs.first());
                let found = found.context("no counter")?;
                ensure!(found.value == value.to_string().as_bytes(), "{found:?}");
                return Ok(());
            }
            Err(error) => ensure!(since_boot() < limit, "{error}"),
        }
    }
}

#[test]
fn nothing_is_done_twice_and_no_change_goes_unseen() -> Result {
    const ROUNDS: u64 = 8;
    const STEPS: u64 = 15;
    let Some(mut members) = Members::start(3)? else {
        return Ok(());
    };
    let mut cluster = connect(&members)?;
    let mut watcher = connect(&members)?;
    let first = put(&mut cluster, "n/counter", "0")?;
    let mut watch = watcher.watch(Keys::prefix("n/"), first);
    let mut seen: Vec<String> = Vec::new();
    let mut look = |until: u64| -> Result {
        let limit = since_boot() + LIMIT;
        while seen.last() != Some(&until.to_string()) {
            ensure!(since_boot() < limit, "{seen:?}");
            match watch.next(&mut watcher, Some(since_boot() + Duration::from_secs(1))) {
                Ok(Seen::Events { events, .. }) => seen.extend(
                    events
                        .iter()
                        .map(|event| String::from_utf8_lossy(&event.pair.value).into_owned()),
                ),
                // The members may be electing a leader.
                Ok(Seen::Deadline) | Err(EtcdError::Unreachable { .. }) => {}
                other => bail!("{other:?}"),
            }
        }
        Ok(())
    };
    let mut value = 0;
    for round in 0..ROUNDS {
        // In turn the one that is talked to, the leader, and whoever it is, hangs or dies.
        let victim = match round % 3 {
            0 => partner(&members, &cluster)?,
            1 => members.leader()?,
            _ => usize::try_from(round)? % members.len(),
        };
        let hangs = round % 2 == 0;
        for step in 0..STEPS {
            if step == STEPS / 3 {
                if hangs {
                    members.pause(victim)?;
                } else {
                    members.kill(victim)?;
                }
            }
            if step == STEPS * 2 / 3 {
                if hangs {
                    members.resume(victim)?;
                } else {
                    members.restart(victim)?;
                }
            }
            value += 1;
            count_up(&mut cluster, value)?;
        }
        look(value)?;
    }
    let expected: Vec<String> = (0..=ROUNDS * STEPS)
        .map(|value| value.to_string())
        .collect();
    assert_eq!(seen, expected);
    let last = cluster.get("n/counter")?.context("no counter")?;
    assert_eq!(last.version, ROUNDS * STEPS + 1);
    Ok(())
}
