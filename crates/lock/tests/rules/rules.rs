//! The rules.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use ward_lock::{Crowd, Gives, Holding as _, LockError, Locks as _, Patience, Request, Wanted};
use ward_model::lock::{Mode, Shape, Turn};

use crate::place::{Place, free};

pub(crate) fn one(name: &str) -> Request {
    Request::exclusive(name).expect("a name")
}

pub(crate) fn many(wanted: Vec<Wanted>) -> Request {
    Request::new(wanted)
}

pub(crate) fn lock(name: &str) -> Wanted {
    Wanted::new(name).expect("a name")
}

pub(crate) fn one_at_a_time_and_the_next_one_when_it_goes(place: &impl Place) {
    let (first, granted) = place.now(&one("deploy")).expect("free");
    assert_eq!((granted.name.as_str(), granted.mode), ("deploy", Mode::EX));
    let refused = place.now(&one("deploy")).map(|_| ()).expect_err("held");
    assert!(matches!(&refused, LockError::Busy { holders, .. } if holders.len() == 1));
    let said = refused.to_string();
    assert!(said.contains(&std::process::id().to_string()), "{said}");
    // Who was refused does not wait.
    let listed = place.shown("deploy");
    assert_eq!((listed.holders.len(), listed.waiting.len()), (1, 0));
    free(first);
    let (second, next) = place.now(&one("deploy")).expect("free again");
    assert!(next.token > granted.token);
    assert_ne!(next.badge, granted.badge);
    free(second);
}

pub(crate) fn many_wait_in_order_and_never_two_are_inside(place: &impl Place) {
    const MANY: usize = 24;
    let inside = Arc::new(AtomicU32::new(0));
    let (first, _) = place.now(&one("busy")).expect("free");
    let (got, gets) = mpsc::channel();
    let mut threads = Vec::new();
    for number in 0..MANY {
        let waiter = place.begin(one("busy"));
        let (inside, got) = (Arc::clone(&inside), got.clone());
        threads.push(thread::spawn(move || {
            let held = waiter.answer().expect("granted");
            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
            got.send(number).expect("heard");
            inside.fetch_sub(1, Ordering::SeqCst);
            free(held);
        }));
    }
    assert_eq!(place.shown("busy").waiting.len(), MANY);
    free(first);
    for thread in threads {
        thread.join().expect("no two inside");
    }
    let order: Vec<usize> = gets.try_iter().collect();
    assert_eq!(order, (0..MANY).collect::<Vec<_>>());
}

pub(crate) fn every_pair_of_modes(place: &impl Place) {
    for held in Mode::ALL {
        for asked in Mode::ALL {
            let wanted = |mode| many(vec![lock("it").mode(mode)]);
            let (first, granted) = place.now(&wanted(held)).expect("free");
            assert_eq!(granted.mode, held);
            let second = place.now(&wanted(asked));
            assert_eq!(second.is_ok(), held.goes_with(asked), "{held} {asked}");
            if let Ok((second, _)) = second {
                free(second);
            }
            free(first);
        }
    }
}

pub(crate) fn slots_are_shared_and_their_number_is_agreed_on(place: &impl Place) {
    let order = |take, of| many(vec![lock("slots").slots(take, of).expect("enough")]);
    let refusal = |request: &Request| place.now(request).map(|_| ()).expect_err("refused");
    let (two, _) = place.now(&order(2, 3)).expect("two of three");
    let (one, _) = place.now(&order(1, 3)).expect("the third");
    assert!(matches!(refusal(&order(1, 3)), LockError::Busy { .. }));
    assert!(matches!(refusal(&order(1, 4)), LockError::Shape { .. }));
    assert!(matches!(
        lock("slots").slots(4, 3),
        Err(LockError::TooMuch { .. })
    ));
    free(two);
    let (again, _) = place.now(&order(2, 3)).expect("two of three");
    free(one);
    free(again);
    let (other, _) = place
        .now(&order(4, 4))
        .expect("nobody is left who meant three");
    free(other);
}

pub(crate) fn a_pool_tells_which_one(place: &impl Place) {
    let any = |things: &[&str], take| {
        let things = things.iter().map(ToString::to_string).collect();
        many(vec![lock("port").things(take, things).expect("enough")])
    };
    let (first, one) = place.now(&any(&["a", "b", "c"], 1)).expect("free");
    let (second, two) = place.now(&any(&["c", "b", "a"], 2)).expect("free");
    let mut all: Vec<&String> = one.elements.iter().chain(&two.elements).collect();
    all.sort_unstable();
    assert_eq!(all, ["a", "b", "c"]);
    let refused = place.now(&any(&["a", "b"], 1)).map(|_| ());
    assert!(matches!(refused, Err(LockError::Busy { .. })));
    let (other, granted) = place.now(&any(&["a", "d"], 1)).expect("d is free");
    assert_eq!(granted.elements, ["d"]);
    assert_eq!(place.shown("port").holders[0].has, one.elements);
    free(first);
    let (again, granted) = place.now(&any(&["a", "b", "c"], 1)).expect("one is free");
    assert_eq!(granted.elements.len(), 1);
    assert!(lock("p").things(1, vec!["a,b".into()]).is_err());
    assert!(lock("p").things(1, vec!["a".into(), "a".into()]).is_err());
    for held in [again, second, other] {
        free(held);
    }
    // Over time all are used.
    let mut used = HashSet::new();
    for _ in 0..40 {
        let (held, granted) = place.now(&any(&["a", "b", "c"], 1)).expect("free");
        used.insert(granted.elements[0].clone());
        free(held);
    }
    assert_eq!(used.len(), 3);
}

pub(crate) fn what_is_above_and_below(place: &impl Place) {
    let (held, _) = place.now(&one("db/main/users")).expect("free");
    for (name, is_free) in [
        ("db/main/users", false),
        ("db/main", false),
        ("db", false),
        ("db/main/users/anna", false),
        ("db/main/user", true),
        ("db/other", true),
        ("dbx", true),
    ] {
        let got = place.now(&one(name));
        assert_eq!(got.is_ok(), is_free, "{name}");
        if let Ok((got, _)) = got {
            free(got);
        }
    }
    free(held);
    let (root, _) = place.now(&one("db")).expect("free");
    assert!(place.now(&one("db/main")).is_err());
    free(root);
}

pub(crate) fn several_are_held_all_or_none(place: &impl Place) {
    let three = many(vec![lock("c"), lock("a").mode(Mode::PR), lock("b")]);
    let held = place.all(&three).expect("free");
    let grants = held.grants();
    let names: Vec<&str> = grants.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["c", "a", "b"]);
    free(held);
    let (b, _) = place.now(&one("b")).expect("free");
    let refused = place.all(&three).map(|_| ());
    assert!(matches!(refused, Err(LockError::Busy { name, .. }) if name == "b"));
    // Nothing of it is held.
    for name in ["a", "c"] {
        free(place.now(&one(name)).expect("free").0);
    }
    // While it waits for b, it holds neither a nor c, but is before others in their queues.
    let waits = place.begin(three);
    assert!(place.now(&one("a")).is_err());
    free(b);
    free(waits.answer().expect("granted"));
    let twice = place.all(&many(vec![lock("a/x"), lock("a/y")])).map(|_| ());
    assert!(matches!(twice, Err(LockError::Twice(_))));
}

/// Two orders of the same names, by many threads at once: nobody waits for ever, and no two who
/// share a name are inside.
pub(crate) fn several_in_any_order_do_not_deadlock(place: &impl Place) {
    const NAMES: [&str; 4] = ["a", "b", "c", "d"];
    let inside: [AtomicUsize; 4] = Default::default();
    // By one of them, which all of them share.
    let locks = &place.locks();
    let work = |thread: usize| {
        for round in 0..40usize {
            let first = (thread + round) % 4;
            let second = (first + 1 + (thread * 7 + round) % 3) % 4;
            let request = many(vec![lock(NAMES[first]), lock(NAMES[second])]);
            let held = locks
                .acquire(&request, Patience::Never, None)
                .expect("granted");
            for at in [first, second] {
                assert_eq!(inside[at].fetch_add(1, Ordering::SeqCst), 0);
            }
            thread::yield_now();
            for at in [first, second] {
                inside[at].fetch_sub(1, Ordering::SeqCst);
            }
            free(held);
        }
    };
    thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || work(thread));
        }
    });
}

pub(crate) fn numbers_are_given_once_and_on_trial_again(place: &impl Place) {
    let next = |name: &str, transactional| {
        let wanted = lock(name).giving(Gives::Sequence { transactional });
        let (held, granted) = place.now(&many(vec![wanted])).expect("free");
        (held, granted.elements)
    };
    for expected in 1..40u32 {
        let (held, number) = next("builds", false);
        assert_eq!(number, [expected.to_string()]);
        free(held);
    }
    let (first, number) = next("trial", true);
    assert_eq!(number, ["1"]);
    free(first);
    let (mut again, number) = next("trial", true);
    assert_eq!(number, ["1"]);
    again.commit().expect("committed");
    free(again);
    for _ in 0..2 {
        let (held, number) = next("trial", true);
        assert_eq!(number, ["2"]);
        free(held);
    }
}

pub(crate) fn times_are_given_once(place: &impl Place) {
    let wanted = |format: &str| {
        let format = format.to_owned();
        many(vec![lock("backup").giving(Gives::Timestamp { format })])
    };
    let mut all = HashSet::new();
    for _ in 0..5 {
        let held = place.wait(&wanted("%H%M%S#ff")).expect("granted");
        assert!(all.insert(held.grants()[0].elements.clone()), "{all:?}");
        free(held);
    }
    let bad = place.now(&wanted("%Y")).map(|_| ());
    assert!(matches!(bad, Err(LockError::Format { .. })));
}

pub(crate) fn turns(place: &impl Place) {
    let (got, gets) = mpsc::channel();
    let (first, _) = place.now(&one("it")).expect("free");
    let orders = [
        ("plain", 0, Turn::InOrder),
        ("high", 5, Turn::InOrder),
        ("new", 0, Turn::NewestFirst),
        ("newer", 0, Turn::NewestFirst),
        ("low", -1, Turn::InOrder),
    ];
    let mut threads = Vec::new();
    for (name, priority, turn) in orders {
        let waiter = place.begin(Request {
            priority,
            turn,
            why: Some(name.to_owned()),
            ..one("it")
        });
        let got = got.clone();
        threads.push(thread::spawn(move || {
            let held = waiter.answer().expect("granted");
            got.send((name, held.grants()[0].token)).expect("heard");
            free(held);
        }));
    }
    // Who is next is shown first.
    let shown = place.shown("it").waiting;
    let shown: Vec<&str> = shown.iter().filter_map(|it| it.why.as_deref()).collect();
    free(first);
    for thread in threads {
        thread.join().expect("ended");
    }
    let (order, tokens): (Vec<&str>, Vec<u64>) = gets.try_iter().unzip();
    assert_eq!(order, ["high", "newer", "new", "plain", "low"]);
    assert_eq!(shown, order);
    assert!(tokens.is_sorted(), "{tokens:?}");
    // First fit: a reader passes a writer that waits.
    let reader = many(vec![lock("it").mode(Mode::PR)]);
    let (first, _) = place.now(&reader).expect("free");
    let writer = place.begin(one("it"));
    assert!(place.now(&reader).is_err());
    let fits = Request {
        turn: Turn::FirstFit,
        ..reader
    };
    free(place.now(&fits).expect("it fits").0);
    free(first);
    free(writer.answer().expect("granted"));
}

pub(crate) fn crowds(place: &impl Place) {
    let (first, _) = place.now(&one("it")).expect("free");
    let skip = Request {
        crowd: Crowd::SkipIfQueued,
        ..one("it")
    };
    let refusal = || place.now(&skip).map(|_| ()).expect_err("refused");
    assert!(matches!(refusal(), LockError::Busy { .. }));
    let pending: Vec<_> = (0..6).map(|_| place.begin(one("it"))).collect();
    assert!(matches!(refusal(), LockError::Queued { .. }));
    let replacement = place.begin(Request {
        crowd: Crowd::ReplacePending,
        ..one("it")
    });
    for pending in pending {
        let refused = pending.answer().map(|_| ());
        assert!(
            matches!(refused, Err(LockError::Dismissed { why, .. }) if why.contains("replaced"))
        );
    }
    assert_eq!(place.shown("it").waiting.len(), 1);
    free(first);
    free(replacement.answer().expect("granted"));
}

pub(crate) fn who_holds_it_above_does_not_wait_for_himself(place: &impl Place) {
    let (outer, granted) = place.now(&one("a")).expect("free");
    let below = Request {
        held_above: vec![granted.badge],
        ..one("a")
    };
    let refused = place.wait(&below).map(|_| ());
    assert!(matches!(refused, Err(LockError::Deadlock { .. })));
    let shared = Request {
        reentrant: true,
        ..below
    };
    let (inner, _) = place.now(&shared).expect("shared");
    assert!(place.now(&one("a")).is_err());
    free(inner);
    free(outer);
}

pub(crate) fn who_must_not_be_the_first(place: &impl Place) {
    let second = many(vec![lock("it").only_if_used()]);
    let refused = place.now(&second).map(|_| ());
    assert!(matches!(refused, Err(LockError::Absent { .. })));
    let (first, _) = place.now(&one("it")).expect("free");
    let refused = place.now(&second).map(|_| ());
    assert!(matches!(refused, Err(LockError::Busy { .. })));
    let waits = place.begin(second);
    free(first);
    free(waits.answer().expect("granted"));
}

pub(crate) fn what_is_shown(place: &impl Place) {
    assert!(place.locks().list().expect("listed").locks.is_empty());
    let nobody = place.shown("it");
    assert_eq!(
        (nobody.name.as_str(), nobody.holders.len()),
        ("it", 0),
        "{nobody:?}"
    );
    // Unless another program has named one so.
    assert!(matches!(
        place.locks().show("-no name"),
        Err(LockError::Name(_))
    ));
    let odd = Wanted::exact("-no name", "").expect("short enough");
    let (held, _) = place.now(&many(vec![odd])).expect("free");
    assert_eq!(place.shown("-no name").holders.len(), 1);
    free(held);
    let reader = Request {
        why: Some("to read".into()),
        command: "cat it".into(),
        ..many(vec![
            lock("it").mode(Mode::PR),
            lock("z").slots(2, 3).expect("two"),
        ])
    };
    let (first, second) = (
        place.all(&reader).expect("free"),
        place.wait(&many(vec![lock("it").mode(Mode::PR)])),
    );
    let second = second.expect("free");
    let waiter = place.begin(one("it"));
    let listing = place.locks().list().expect("listed");
    assert!(listing.unreadable.is_empty());
    let names: Vec<&str> = listing.locks.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["it", "z"]);
    let [it, z] = &listing.locks[..] else {
        panic!("{listing:?}");
    };
    assert_eq!((it.shape, z.shape), (Shape::Modes, Shape::Slots(3)));
    assert_eq!((it.holders.len(), it.waiting.len()), (2, 1));
    let holder = &it.holders[0];
    let said = (holder.why.as_deref(), holder.command.as_str());
    assert_eq!(said, (Some("to read"), "cat it"));
    assert_eq!(holder.token, Some(first.grants()[0].token));
    assert_eq!(holder.ticket, first.grants()[0].badge.ticket);
    assert_eq!(place.shown("it").holders, it.holders);
    for held in [first, second] {
        free(held);
    }
    free(waiter.answer().expect("granted"));
    let patience = Patience::For(std::time::Duration::from_secs(20));
    let last = place.locks().acquire(&one("it"), patience, None);
    free(last.expect("free"));
    assert!(place.locks().list().expect("listed").locks.is_empty());
}

/// Who is told to stop is one of these: nobody else is.
pub(crate) fn only_who_is_in_the_way_is_named(place: &impl Place) {
    let because = |why: &str, wanted| Request {
        why: Some(why.into()),
        ..many(vec![wanted])
    };
    let refused = |request: &Request| {
        let refused = place.now(request).map(|_| ()).expect_err("held");
        let LockError::Busy { holders, .. } = refused else {
            panic!("{refused:?}");
        };
        let why = holders.into_iter().filter_map(|it| it.why);
        why.collect::<Vec<String>>()
    };
    let parts = ["db/x", "db/y"].map(|name| place.now(&because(name, lock(name))).expect("free"));
    assert_eq!(refused(&one("db/x")), ["db/x"]);
    assert_eq!(refused(&one("db")), ["db/x", "db/y"]);
    let things = |among: &[&str]| {
        let among = among.iter().map(|it| (*it).to_owned()).collect();
        lock("p").things(1, among).expect("things")
    };
    let pool = ["a", "b"].map(|it| place.now(&because(it, things(&[it]))).expect("free"));
    assert_eq!(refused(&many(vec![things(&["b"])])), ["b"]);
    let modes = [("cr", Mode::CR), ("cw", Mode::CW)];
    let modes = modes.map(|(why, mode)| {
        place
            .now(&because(why, lock("m").mode(mode)))
            .expect("free")
    });
    assert_eq!(refused(&many(vec![lock("m").mode(Mode::PR)])), ["cw"]);
    // Who waits is kept by others, and so are we.
    let writer = place.begin(many(vec![lock("m").mode(Mode::PW)]));
    assert_eq!(refused(&many(vec![lock("m").mode(Mode::CW)])), ["cw"]);
    for held in [parts, pool, modes] {
        held.into_iter().for_each(|(held, _)| free(held));
    }
    free(writer.answer().expect("granted"));
}
