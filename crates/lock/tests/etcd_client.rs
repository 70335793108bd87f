//! The client of etcd and one real member: keys, transactions, leases, watching.
//!
//! Where there is no etcd this says so and tests nothing.

#![forbid(unsafe_code)]

#[path = "etcd/watching.rs"]
mod watching;

use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context as _, bail};
use ward_lock::etcd::{
    Cluster, Compare, EtcdError, Keys, Op, OpAnswer, Range, Relation, Seen, Target, Txn,
};
use ward_sys::clock::since_boot;
use ward_testkit::etcd::{Members, Plan};
use ward_testkit::patience::LIMIT;

use watching::{events, settings, within};

type Result = anyhow::Result<()>;

fn keys(range: &Range) -> Vec<String> {
    let text = |key: &Vec<u8>| String::from_utf8_lossy(key).into_owned();
    range.pairs.iter().map(|pair| text(&pair.key)).collect()
}

/// A descriptor that is readable after this time.
fn alarm(time: Duration) -> anyhow::Result<OwnedFd> {
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
    let value = Itimerspec {
        it_interval: Timespec::default(),
        it_value: Timespec::try_from(time)?,
    };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &value)?;
    Ok(timer)
}

#[test]
fn keys_are_bytes_and_come_in_the_order_in_which_they_were_made() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let mut cluster = Cluster::new(settings(&members))?;
    let value: Vec<u8> = (0..=255).collect();
    for key in ["q/c", "q/a", "q/b", "r/x", "q", "q0"] {
        let put = Txn::new().then(Op::put(key, &value));
        assert!(cluster.txn(&put)?.succeeded);
    }
    let odd = b"q/\xff\x00\n";
    cluster.txn(&Txn::new().then(Op::put(odd, "")))?;
    // Changing one does not move it.
    let changed = cluster.txn(&Txn::new().then(Op::put("q/c", "new")))?;

    let range = cluster.range(&Keys::prefix("q/"))?;
    let found: Vec<&[u8]> = range.pairs.iter().map(|pair| &pair.key[..]).collect();
    assert_eq!(found, [&b"q/c"[..], b"q/a", b"q/b", odd]);
    assert_eq!(range.revision, changed.revision);
    let [first, second, ..] = &range.pairs[..] else {
        bail!("{range:?}");
    };
    assert_eq!((&first.value[..], first.version), (&b"new"[..], 2));
    assert_eq!(first.mod_revision, changed.revision);
    assert_eq!(
        (&second.value, second.version, second.lease),
        (&value, 1, None)
    );
    assert!(first.create_revision < second.create_revision);

    assert_eq!(cluster.get("q/b")?.context("it is there")?.value, value);
    assert_eq!(cluster.get("q/z")?, None);
    assert_eq!(cluster.delete(&Keys::one("q/b"))?, 1);
    assert_eq!(cluster.delete(&Keys::one("q/b"))?, 0);
    assert_eq!(cluster.delete(&Keys::prefix("q/"))?, 3);
    assert_eq!(keys(&cluster.range(&Keys::prefix(""))?), ["r/x", "q", "q0"]);

    // What others see of it.
    if let Some(text) = members.etcdctl(["get", "r/x", "--print-value-only", "--hex"])? {
        assert!(text.contains(r"\x00\x01\x02"), "{text}");
    }
    let error = cluster.get("").expect_err("a key without a byte");
    let EtcdError::Refused { code: 3, .. } = error else {
        bail!("{error:?}");
    };
    assert!(error.to_string().contains("read keys"), "{error}");
    Ok(())
}

#[test]
fn transactions_compare_and_answer() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let mut cluster = Cluster::new(settings(&members))?;
    let lease = cluster.grant(Duration::from_secs(60))?;

    // Several queues are joined in one go.
    let (a, b) = (format!("l/a/{:x}", lease.id), format!("l/b/{:x}", lease.id));
    let join = Txn::new()
        .when(Compare::absent(&a))
        .when(Compare::absent(&b))
        .then(Op::put_with(&a, "waits", lease.id))
        .then(Op::put_with(&b, "waits", lease.id))
        .then(Op::range(Keys::prefix("l/a/")))
        .otherwise(Op::range(Keys::one(&a)));
    let joined = cluster.txn(&join)?;
    assert!(joined.succeeded && !joined.repeated);
    let seen = joined.range(2).context("a range")?;
    assert_eq!(seen.pairs[0].lease, Some(lease.id));
    assert_eq!(seen.pairs[0].create_revision, joined.revision);
    assert_eq!(joined.range(0), None);
    // A second time it does no harm, and tells that it was done.
    let again = cluster.txn(&join)?;
    assert!(!again.succeeded);
    assert_eq!(again.range(0).context("a range")?.pairs[0].value, b"waits");

    // Granted if nothing of the queue has changed since it was judged.
    let judged = cluster.range(&Keys::prefix("l/a/"))?;
    let take = |revision| {
        Txn::new()
            .when(Compare::unchanged(&a, joined.revision))
            .when(Compare::not_since(Keys::prefix("l/a/"), revision))
            .then(Op::put_with(&a, "holds", lease.id))
            .otherwise(Op::range(Keys::prefix("l/a/")))
    };
    let other = cluster.txn(&Txn::new().then(Op::put("l/a/other", "waits")))?;
    let late = cluster.txn(&take(judged.revision))?;
    assert!(!late.succeeded, "somebody came in between");
    let judged = late.range(0).context("a range")?;
    assert_eq!(keys(judged), [a.as_str(), "l/a/other"]);
    assert!(judged.revision >= other.revision);
    assert!(cluster.txn(&take(judged.revision))?.succeeded);

    // Every target and relation.
    let pair = cluster.get(&a)?.context("it is there")?;
    for (target, relation, expected) in [
        (
            Target::CreateRevision(pair.create_revision),
            Relation::Equal,
            true,
        ),
        (
            Target::CreateRevision(pair.create_revision),
            Relation::Greater,
            false,
        ),
        (
            Target::ModRevision(pair.mod_revision + 1),
            Relation::Less,
            true,
        ),
        (Target::Version(2), Relation::NotEqual, false),
        (Target::Version(1), Relation::Greater, true),
        (Target::Value(b"holds".to_vec()), Relation::Equal, true),
        (Target::Value(b"a".to_vec()), Relation::Greater, true),
        (Target::Value(b"waits".to_vec()), Relation::Equal, false),
        (Target::Lease(lease.id), Relation::Equal, true),
        (Target::Lease(0), Relation::Equal, false),
    ] {
        let condition = Compare {
            keys: Keys::one(&a),
            target,
            relation,
        };
        let tried = cluster.txn(&Txn::new().when(condition.clone()))?;
        assert_eq!(tried.succeeded, expected, "{condition:?}");
    }
    assert!(
        !cluster
            .txn(&Txn::new().when(Compare::present("nobody")))?
            .succeeded
    );

    let delete = Txn::new().then(Op::delete(Keys::prefix("l/")));
    assert_eq!(cluster.txn(&delete)?.answers, [OpAnswer::Deleted(3)]);

    let twice = Txn::new().then(Op::put("x", "1")).then(Op::put("x", "2"));
    let error = cluster.txn(&twice).expect_err("the same key twice");
    assert!(error.to_string().contains("duplicate key"), "{error}");
    assert!(!error.may_have_happened());
    Ok(())
}

#[test]
fn a_lease_ends_what_was_put_under_it() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let mut cluster = Cluster::new(settings(&members))?;
    let before = since_boot();
    let mut lease = cluster.grant(Duration::from_millis(2500))?;
    assert_eq!(lease.ttl, Duration::from_secs(3), "whole seconds");
    assert!(lease.deadline >= before + lease.ttl);
    assert!(
        lease.deadline < since_boot() + lease.ttl,
        "counted from before"
    );
    let put = Txn::new().then(Op::put_with("k", "v", lease.id));
    let put = cluster.txn(&put)?;
    let mut watch = cluster.watch(Keys::one("k"), put.revision);
    assert_eq!(events(&mut watch, &mut cluster, 1)?, ["+k=v"]);

    // Kept alive beyond its first end.
    let first_end = lease.deadline;
    while since_boot() < first_end + Duration::from_secs(1) {
        let seen = watch.next(&mut cluster, within(Duration::from_millis(500)))?;
        assert_eq!(seen, Seen::Deadline);
        let before = since_boot();
        assert_eq!(cluster.keep_alive(&mut lease)?, lease.ttl);
        assert!(lease.deadline >= before + lease.ttl);
        assert!(lease.left() <= lease.ttl);
    }
    // Then left alone: it is gone no sooner than was said.
    assert_eq!(events(&mut watch, &mut cluster, 1)?, ["-k"]);
    assert!(since_boot() >= lease.deadline);
    let error = cluster.keep_alive(&mut lease).expect_err("it is gone");
    assert!(matches!(error, EtcdError::LeaseGone { lease: gone } if gone == lease.id));
    assert!(error.hint().is_some());
    let put = Txn::new().then(Op::put_with("k", "v", lease.id));
    let error = cluster.txn(&put).expect_err("it is gone");
    assert!(matches!(error, EtcdError::LeaseGone { .. }), "{error:?}");

    let lease = cluster.grant(Duration::from_secs(1000))?;
    cluster.txn(&Txn::new().then(Op::put_with("k", "v", lease.id)))?;
    cluster.revoke(lease.id)?;
    assert_eq!(cluster.get("k")?, None);
    cluster.revoke(lease.id)?;
    Ok(())
}

#[test]
fn many_keys_and_long_values_are_read_in_parts() -> Result {
    const MANY: usize = 5000;
    let Some(members) = Plan::of(1).option("--max-txn-ops=1000").start()? else {
        return Ok(());
    };
    let mut cluster = Cluster::new(settings(&members))?;
    let numbers: Vec<usize> = (0..MANY).collect();
    for part in numbers.chunks(1000) {
        let mut txn = Txn::new();
        for number in part {
            // Later ones have smaller keys.
            txn = txn.then(Op::put(
                format!("many/{:06}", MANY - number),
                number.to_string(),
            ));
        }
        cluster.txn(&txn)?;
    }
    let range = cluster.range(&Keys::prefix("many/"))?;
    assert_eq!(range.pairs.len(), MANY);
    assert!(
        range
            .pairs
            .is_sorted_by_key(|pair| (pair.create_revision, pair.key.clone()))
    );
    let distinct: std::collections::HashSet<&[u8]> =
        range.pairs.iter().map(|pair| &pair.key[..]).collect();
    assert_eq!(distinct.len(), MANY);
    assert_eq!(range.pairs[0].key, b"many/004001");

    // Together they are more than is taken in one answer.
    let long = vec![b'x'; 1 << 20];
    for number in 0..20 {
        cluster.txn(&Txn::new().then(Op::put(format!("long/{number:02}"), &long)))?;
    }
    let range = cluster.range(&Keys::prefix("long/"))?;
    assert_eq!(range.pairs.len(), 20);
    assert!(range.pairs.iter().all(|pair| pair.value == long));
    let whole = Txn::new().then(Op::range(Keys::prefix("long/")));
    let error = cluster.txn(&whole).expect_err("too long");
    assert!(matches!(error, EtcdError::TooLong { .. }), "{error:?}");

    // The same by a watch: in pieces.
    let mut watch = cluster.watch(Keys::prefix("long/"), 1);
    assert_eq!(events(&mut watch, &mut cluster, 20)?.len(), 20);

    let huge = Txn::new().then(Op::put("huge", vec![0; 1_700_000]));
    let error = cluster.txn(&huge).expect_err("more than etcd takes");
    assert!(error.to_string().contains("too large"), "{error}");
    Ok(())
}

#[test]
fn a_watch_sees_everything_from_a_revision_on() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let mut cluster = Cluster::new(settings(&members))?;
    let first = cluster.txn(&Txn::new().then(Op::put("w/a", "1")))?;
    cluster.txn(&Txn::new().then(Op::put("other", "x")))?;
    cluster.txn(&Txn::new().then(Op::put("w/\n", b"\x00")))?;
    cluster.delete(&Keys::one("w/a"))?;
    let mut watch = cluster.watch(Keys::prefix("w/"), first.revision);
    let expected = ["+w/a=1", "+w/\n=\\x00", "-w/a"];
    assert_eq!(events(&mut watch, &mut cluster, 3)?, expected);

    // Nothing more; and then something, also if nobody waits for it.
    assert_eq!(
        watch.next(&mut cluster, Some(Duration::ZERO))?,
        Seen::Deadline
    );
    let soon = within(Duration::from_millis(50));
    assert_eq!(watch.next(&mut cluster, soon)?, Seen::Deadline);
    assert!(soon.is_some_and(|soon| since_boot() >= soon));
    let range = cluster.range(&Keys::prefix("w/"))?;
    let put = cluster.txn(
        &Txn::new()
            .then(Op::put("w/b", "2"))
            .then(Op::put("w/c", "3")),
    )?;
    assert_eq!(events(&mut watch, &mut cluster, 2)?, ["+w/b=2", "+w/c=3"]);
    assert_eq!(watch.revision(), put.revision + 1);
    let mut second = cluster.watch(Keys::prefix("w/"), range.revision + 1);
    assert_eq!(events(&mut second, &mut cluster, 2)?, ["+w/b=2", "+w/c=3"]);

    // Told to stop, at once and in the middle of waiting, and what was requested too.
    cluster.cancel_on(Some(alarm(Duration::from_millis(100))?))?;
    assert_eq!(watch.next(&mut cluster, within(LIMIT))?, Seen::Cancelled);
    assert_eq!(watch.next(&mut cluster, within(LIMIT))?, Seen::Cancelled);
    let mut third = cluster.watch(Keys::prefix("w/"), 1);
    assert_eq!(third.next(&mut cluster, within(LIMIT))?, Seen::Cancelled);
    members.pause(0)?;
    let error = cluster.get("w/b").expect_err("told to stop");
    assert!(
        matches!(
            error,
            EtcdError::Cancelled {
                uncertain: true,
                ..
            }
        ),
        "{error:?}"
    );
    members.resume(0)?;
    cluster.cancel_on(None)?;
    cluster.delete(&Keys::one("w/b"))?;
    assert_eq!(events(&mut watch, &mut cluster, 1)?, ["-w/b"]);
    Ok(())
}

#[test]
fn what_the_cluster_has_forgotten_is_said_to_be_missed() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let mut cluster = Cluster::new(settings(&members))?;
    let mut last = 0;
    for number in 0..5 {
        let put = Txn::new().then(Op::put("w/a", number.to_string()));
        last = cluster.txn(&put)?.revision;
    }
    if members.etcdctl(["compact", &last.to_string()])?.is_none() {
        return Ok(());
    }
    let mut watch = cluster.watch(Keys::prefix("w/"), 2);
    let seen = watch.next(&mut cluster, within(LIMIT))?;
    assert_eq!(seen, Seen::Missed { revision: last });
    // From here on nothing is missed.
    cluster.txn(&Txn::new().then(Op::put("w/b", "new")))?;
    assert_eq!(events(&mut watch, &mut cluster, 1)?, ["+w/b=new"]);
    Ok(())
}

#[test]
fn a_full_database_says_so() -> Result {
    let plan = Plan::of(1).option("--quota-backend-bytes=1000000");
    let Some(members) = plan.start()? else {
        return Ok(());
    };
    let mut cluster = Cluster::new(settings(&members))?;
    let lease = cluster.grant(Duration::from_secs(60))?;
    let fill = |cluster: &mut Cluster| {
        for number in 0..100 {
            let key = format!("fill/{number}");
            cluster.txn(&Txn::new().then(Op::put_with(key, vec![0; 100_000], lease.id)))?;
        }
        Ok(())
    };
    let error: EtcdError = fill(&mut cluster).expect_err("full");
    assert!(matches!(error, EtcdError::NoSpace { .. }), "{error:?}");
    assert!(
        error
            .hint()
            .is_some_and(|hint| hint.contains("alarm disarm"))
    );
    // Reading and letting go go on.
    assert!(cluster.get("fill/0")?.is_some());
    cluster.revoke(lease.id)?;
    assert_eq!(cluster.get("fill/0")?, None);
    Ok(())
}
