//! Locks of one host through the Rust API.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ward_lock::{
    Crowd, Directory, Ended, Gives, Guard, Held, LockError, Patience, Record, Request, Waiting,
    Wanted,
};
use ward_model::lock::{Mode, Turn};

/// A lock directory of a test's own.
struct Place {
    path: PathBuf,
    locks: Directory,
}

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ward-locks-{name}-{}", std::process::id()));
        let locks = Directory::open(Some(&path)).expect("a directory");
        Self { path, locks }
    }

    fn now(&self, request: &Request) -> Result<Held, LockError> {
        self.all(request).map(|mut held| held.remove(0))
    }

    fn all(&self, request: &Request) -> Result<Vec<Held>, LockError> {
        self.locks.acquire(request, Patience::None, None)
    }

    /// Waits in a thread of its own; returns when it is in the queue.
    fn wait(&self, request: Request) -> thread::JoinHandle<Result<Vec<Held>, LockError>> {
        let (came, come) = mpsc::channel();
        let locks = self.locks.clone();
        let thread = thread::spawn(move || {
            locks.acquire(
                &request,
                Patience::Never,
                Some(&mut |_| {
                    let _ = came.send(());
                }),
            )
        });
        come.recv().expect("in the queue");
        thread
    }

    fn waiting(&self, name: &str) -> Vec<Record> {
        self.locks.show(name).expect("shown").waiting
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn one(name: &str) -> Request {
    Request::exclusive(name).expect("a name")
}

fn many(wanted: Vec<Wanted>) -> Request {
    Request::new(wanted)
}

fn lock(name: &str) -> Wanted {
    Wanted::new(name).expect("a name")
}

/// It is dropped when most of what a thread has for itself is gone already.
#[test]
fn a_thread_keeps_a_guard_to_its_end() {
    thread_local! {
        static KEPT: RefCell<Option<Guard>> = const { RefCell::new(None) };
    }
    let place = Place::new("thread");
    let lock = || place.locks.lock("it").expect("free");
    let take = || KEPT.with(|kept| *kept.borrow_mut() = Some(lock()));
    thread::scope(|scope| scope.spawn(take).join()).expect("no panic");
    assert!(place.locks.try_lock("it").expect("asked").is_some());
}

#[test]
fn one_at_a_time_and_the_next_one_when_it_goes() {
    let place = Place::new("one");
    let order = one("deploy");
    let first = place.now(&order).expect("free");
    let refused = place.now(&order).expect_err("held");
    assert!(matches!(&refused, LockError::Busy { holders, .. } if holders.len() == 1));
    let said = refused.to_string();
    assert!(said.contains(&std::process::id().to_string()), "{said}");
    let listed = place.locks.show("deploy").expect("listed");
    // Who was refused does not wait.
    assert_eq!((listed.holders.len(), listed.waiting.len()), (1, 0));
    let token = first.token();
    first.release();
    let second = place.now(&order).expect("free again");
    assert!(second.token() > token);
    // Dropped without a word, as by a kill.
    drop(second);
    let guard = place
        .locks
        .try_lock("deploy")
        .expect("asked")
        .expect("free");
    assert!(place.locks.try_lock("deploy").expect("asked").is_none());
    drop(guard);
    place.now(&order).expect("free again").release();
    let statistics = place.locks.show("deploy").expect("listed").statistics;
    assert_eq!((statistics.granted, statistics.refused), (4, 2));
}

#[test]
fn many_wait_in_order_and_never_two_are_inside() {
    const MANY: usize = 24;
    let place = Place::new("many");
    let inside = Arc::new(AtomicU32::new(0));
    let first = place.now(&one("busy")).expect("free");
    let (got, gets) = mpsc::channel();
    let mut threads = Vec::new();
    for number in 0..MANY {
        let (came, come) = mpsc::channel();
        let (locks, inside, got) = (place.locks.clone(), Arc::clone(&inside), got.clone());
        threads.push(thread::spawn(move || {
            let mut tell = |_: &Waiting| {
                let _ = came.send(());
            };
            let held = locks.acquire(&one("busy"), Patience::Never, Some(&mut tell));
            let held = held.expect("granted").remove(0);
            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
            got.send(number).expect("heard");
            inside.fetch_sub(1, Ordering::SeqCst);
            // One in two goes as if it were killed.
            if number % 2 == 0 {
                held.release();
            }
        }));
        // The next one comes when this one is in the queue.
        come.recv().expect("in the queue");
    }
    assert_eq!(place.waiting("busy").len(), MANY);
    first.release();
    for thread in threads {
        thread.join().expect("no two inside");
    }
    let order: Vec<usize> = gets.try_iter().collect();
    assert_eq!(order, (0..MANY).collect::<Vec<_>>());
}

#[test]
fn every_pair_of_modes() {
    let place = Place::new("pairs");
    for held in Mode::ALL {
        for asked in Mode::ALL {
            let wanted = |mode| many(vec![lock("it").mode(mode)]);
            let first = place.now(&wanted(held)).expect("free");
            let second = place.now(&wanted(asked));
            assert_eq!(second.is_ok(), held.goes_with(asked), "{held} {asked}");
            if let Ok(second) = second {
                second.release();
            }
            first.release();
        }
    }
}

#[test]
fn slots_are_shared_and_their_number_is_agreed_on() {
    let place = Place::new("slots");
    let order = |take, of| many(vec![lock("slots").slots(take, of).expect("enough")]);
    let two = place.now(&order(2, 3)).expect("two of three");
    let one = place.now(&order(1, 3)).expect("the third");
    assert!(matches!(
        place.now(&order(1, 3)),
        Err(LockError::Busy { .. })
    ));
    assert!(matches!(
        place.now(&order(1, 4)),
        Err(LockError::Shape { .. })
    ));
    assert!(matches!(
        lock("slots").slots(4, 3),
        Err(LockError::TooMuch { .. })
    ));
    two.release();
    let again = place.now(&order(2, 3)).expect("two of three");
    drop((one, again));
    place
        .now(&order(4, 4))
        .expect("nobody is left who meant three")
        .release();
}

#[test]
fn a_pool_tells_which_one() {
    let place = Place::new("pool");
    let any = |things: &[&str], take| {
        let things = things.iter().map(ToString::to_string).collect();
        many(vec![lock("port").things(take, things).expect("enough")])
    };
    let first = place.now(&any(&["a", "b", "c"], 1)).expect("free");
    let second = place.now(&any(&["c", "b", "a"], 2)).expect("free");
    let mut all: Vec<String> = [&first, &second]
        .iter()
        .flat_map(|held| held.elements().to_vec())
        .collect();
    all.sort_unstable();
    assert_eq!(all, ["a", "b", "c"]);
    assert!(matches!(
        place.now(&any(&["a", "b"], 1)),
        Err(LockError::Busy { .. })
    ));
    let other = place.now(&any(&["a", "d"], 1)).expect("d is free");
    assert_eq!(other.elements(), ["d"]);
    let shown = place.locks.show("port").expect("shown");
    assert_eq!(shown.holders[0].has, first.elements());
    first.release();
    let again = place.now(&any(&["a", "b", "c"], 1)).expect("one is free");
    assert_eq!(again.elements().len(), 1);
    assert!(lock("p").things(1, vec!["a,b".into()]).is_err());
    assert!(lock("p").things(1, vec!["a".into(), "a".into()]).is_err());
    // Over time all are used.
    drop((again, second, other));
    let mut used = std::collections::HashSet::new();
    for _ in 0..12 {
        let held = place.now(&any(&["a", "b", "c"], 1)).expect("free");
        used.insert(held.elements()[0].clone());
        held.release();
    }
    assert_eq!(used.len(), 3);
}

#[test]
fn what_is_above_and_below() {
    let place = Place::new("paths");
    let held = place.now(&one("db/main/users")).expect("free");
    for (name, free) in [
        ("db/main/users", false),
        ("db/main", false),
        ("db", false),
        ("db/main/users/anna", false),
        ("db/main/user", true),
        ("db/other", true),
        ("dbx", true),
    ] {
        let got = place.now(&one(name));
        assert_eq!(got.is_ok(), free, "{name}");
        drop(got);
    }
    held.release();
    let root = place.now(&one("db")).expect("free");
    assert!(place.now(&one("db/main")).is_err());
    root.release();
}

#[test]
fn several_are_held_all_or_none() {
    let place = Place::new("several");
    let three = many(vec![lock("c"), lock("a").mode(Mode::PR), lock("b")]);
    let held = place.all(&three).expect("free");
    let names: Vec<&str> = held.iter().map(Held::name).collect();
    assert_eq!(names, ["c", "a", "b"]);
    for held in &held {
        held.release();
    }
    let b = place.now(&one("b")).expect("free");
    assert!(matches!(place.all(&three), Err(LockError::Busy { name, .. }) if name == "b"));
    // Nothing of it is held.
    place.now(&one("a")).expect("free").release();
    place.now(&one("c")).expect("free").release();
    // While it waits for b, it holds neither a nor c, but is before others in their queues.
    let waits = place.wait(three);
    assert!(place.now(&one("a")).is_err());
    b.release();
    let held = waits.join().expect("ended").expect("granted");
    drop(held);
    assert!(matches!(
        place.all(&many(vec![lock("a/x"), lock("a/y")])),
        Err(LockError::Twice(_))
    ));
}

/// Two orders of the same names, by many threads at once: nobody waits for ever, and no two who
/// share a name are inside.
#[test]
fn several_in_any_order_do_not_deadlock() {
    const NAMES: [&str; 4] = ["a", "b", "c", "d"];
    let place = Place::new("orders");
    let inside: Arc<[AtomicUsize; 4]> = Arc::default();
    let threads: Vec<_> = (0..8usize)
        .map(|thread| {
            let (locks, inside) = (place.locks.clone(), Arc::clone(&inside));
            thread::spawn(move || {
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
                    if round % 3 > 0 {
                        held.iter().for_each(Held::release);
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("no two inside");
    }
}

#[test]
fn numbers_are_given_once_and_on_trial_again() {
    let place = Place::new("numbers");
    let next = |name: &str, transactional| {
        let wanted = lock(name).giving(Gives::Sequence { transactional });
        place.now(&many(vec![wanted])).expect("free")
    };
    for expected in 1..100u32 {
        let held = next("builds", false);
        assert_eq!(held.elements(), [expected.to_string()]);
        held.release();
    }
    // The host has started anew: its runtime directory is empty.
    fs::remove_file(place.path.join("builds")).expect("removed");
    let after: u32 = next("builds", false).elements()[0]
        .parse()
        .expect("a number");
    assert!((100..=129).contains(&after), "{after}");
    let first = next("trial", true);
    first.release();
    let again = next("trial", true);
    assert_eq!(again.elements(), ["1"]);
    again.commit().expect("committed");
    again.release();
    let two = next("trial", true);
    assert_eq!(two.elements(), ["2"]);
    drop(two);
    assert_eq!(next("trial", true).elements(), ["2"]);
    fs::remove_file(place.path.join("trial")).expect("removed");
    assert_eq!(next("trial", true).elements(), ["2"]);
}

#[test]
fn times_are_given_once() {
    let place = Place::new("times");
    let wanted = lock("backup").giving(Gives::Timestamp {
        format: "%H%M%S#ff".into(),
    });
    let mut all = Vec::new();
    for _ in 0..5 {
        let held = place
            .locks
            .acquire(&many(vec![wanted.clone()]), Patience::Never, None)
            .expect("granted");
        all.push(held[0].elements()[0].clone());
    }
    let mut different = all.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), all.len(), "{all:?}");
    let bad = lock("backup").giving(Gives::Timestamp {
        format: "%Y".into(),
    });
    assert!(matches!(
        place.now(&many(vec![bad])),
        Err(LockError::Format { .. })
    ));
}

#[test]
fn turns() {
    let place = Place::new("turns");
    let (got, gets) = mpsc::channel();
    let first = place.now(&one("it")).expect("free");
    let orders = [
        ("plain", 0, Turn::InOrder),
        ("high", 5, Turn::InOrder),
        ("new", 0, Turn::NewestFirst),
        ("newer", 0, Turn::NewestFirst),
        ("low", -1, Turn::InOrder),
    ];
    let mut threads = Vec::new();
    for (name, priority, turn) in orders {
        let waiter = place.wait(Request {
            priority,
            turn,
            ..one("it")
        });
        let got = got.clone();
        threads.push(thread::spawn(move || {
            let held = waiter.join().expect("ended").expect("granted");
            got.send((name, held[0].token())).expect("heard");
            held[0].release();
        }));
    }
    first.release();
    for thread in threads {
        thread.join().expect("ended");
    }
    let (order, tokens): (Vec<&str>, Vec<u64>) = gets.try_iter().unzip();
    assert_eq!(order, ["high", "newer", "new", "plain", "low"]);
    assert!(tokens.is_sorted(), "{tokens:?}");
    // First fit: a reader passes a writer that waits.
    let reader = many(vec![lock("it").mode(Mode::PR)]);
    let first = place.now(&reader).expect("free");
    let writer = place.wait(one("it"));
    assert!(place.now(&reader).is_err());
    let fits = Request {
        turn: Turn::FirstFit,
        ..reader
    };
    place.now(&fits).expect("it fits").release();
    first.release();
    drop(writer.join().expect("ended").expect("granted"));
}

#[test]
fn crowds() {
    let place = Place::new("crowds");
    let first = place.now(&one("it")).expect("free");
    let skip = Request {
        crowd: Crowd::SkipIfQueued,
        ..one("it")
    };
    assert!(matches!(place.now(&skip), Err(LockError::Busy { .. })));
    let pending: Vec<_> = (0..6).map(|_| place.wait(one("it"))).collect();
    assert!(matches!(place.now(&skip), Err(LockError::Queued { .. })));
    let replacement = place.wait(Request {
        crowd: Crowd::ReplacePending,
        ..one("it")
    });
    for pending in pending {
        let refused = pending.join().expect("ended");
        assert!(
            matches!(refused, Err(LockError::Dismissed { why, .. }) if why.contains("replaced"))
        );
    }
    assert_eq!(place.waiting("it").len(), 1);
    first.release();
    drop(replacement.join().expect("ended").expect("granted"));
}

#[test]
fn what_would_wait_for_ever_is_refused() {
    let place = Place::new("rings");
    let outer = place.now(&one("a")).expect("free");
    let below = |above: &Held, name: &str| Request {
        held_above: vec![above.badge()],
        command: format!("wants {name}"),
        ..one(name)
    };
    let never = |request: &Request| place.locks.acquire(request, Patience::Never, None);
    // Itself.
    assert!(matches!(
        never(&below(&outer, "a")),
        Err(LockError::Deadlock { .. })
    ));
    // Shared with it instead.
    let shared = Request {
        reentrant: true,
        ..below(&outer, "a")
    };
    let inner = place.now(&shared).expect("shared");
    assert!(place.now(&one("a")).is_err());
    inner.release();
    // Somebody waits between: he waits for us.
    let readers = many(vec![lock("r").mode(Mode::PR)]);
    let reader = place.now(&readers).expect("free");
    let writer = place.wait(one("r"));
    let again = Request {
        held_above: vec![reader.badge()],
        ..readers
    };
    assert!(matches!(never(&again), Err(LockError::Deadlock { .. })));
    reader.release();
    drop(writer.join().expect("ended").expect("granted"));
    // Two, each of whom wants what the other has: the later one gives up, and both are named.
    let other = place.now(&one("b")).expect("free");
    let first = place.wait(below(&outer, "b"));
    let refused = never(&below(&other, "a")).expect_err("a ring");
    let LockError::Deadlock { ring, .. } = &refused else {
        panic!("{refused}");
    };
    let said = ring.join("\n");
    assert!(
        said.contains("wants a") && said.contains("wants b"),
        "{said}"
    );
    other.release();
    drop(first.join().expect("ended").expect("granted"));
}

#[test]
fn who_must_not_be_the_first_waits_for_the_first() {
    let place = Place::new("absent");
    let second = many(vec![lock("it").only_if_used()]);
    assert!(matches!(place.now(&second), Err(LockError::Absent { .. })));
    let locks = place.locks.clone();
    let waits = thread::spawn(move || locks.acquire(&second, Patience::Never, None));
    let first = Request {
        idle: Duration::from_secs(3600),
        ..one("it")
    };
    let first = place.now(&first).expect("free");
    first.release();
    drop(waits.join().expect("ended").expect("granted"));
    // It counts as used for an hour more.
    let again = many(vec![lock("it").only_if_used()]);
    place.now(&again).expect("known").release();
}

#[test]
fn a_torn_change_is_as_if_it_had_not_been() {
    let place = Place::new("torn");
    let get = || place.now(&one("torn"));
    let held = get().expect("free");
    let token = held.token();
    drop(held);
    let file = fs::File::options()
        .write(true)
        .open(place.path.join("torn"))
        .expect("the file");
    for at in [4 << 10, 512 << 10] {
        file.write_all_at(b"nonsense", at + 40).expect("written");
        let next = get().expect("free");
        assert!(next.token() > token);
    }
}

#[test]
fn what_was_is_remembered() {
    let place = Place::new("history");
    let order = |command: &str| Request {
        command: command.to_owned(),
        why: Some("to see".into()),
        ..one("it")
    };
    for number in 0..300 {
        let held = place.now(&order(&format!("make {number}"))).expect("free");
        if number != 299 {
            held.release();
        }
    }
    // The last one went without a word, and is found out by the next.
    place.now(&order("next")).expect("free").release();
    let history = place.locks.history("it").expect("read");
    assert_eq!(history.len(), 128);
    let last = &history[history.len() - 2];
    assert_eq!(last.record.command, "make 299");
    assert_eq!(last.ended, Ended::Gone);
    assert_eq!(history[0].record.command, "make 173");
    assert_eq!(history[0].ended, Ended::Released);
    assert_eq!(history[0].record.why.as_deref(), Some("to see"));
}

#[test]
fn in_the_background() {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Wake, Waker};
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let place = Place::new("async");
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let first = place.now(&one("it")).expect("free");
    let mut second = pin!(place.locks.acquire_async(one("it")));
    assert!(second.as_mut().poll(&mut context).is_pending());
    while place.waiting("it").is_empty() {
        thread::yield_now();
    }
    // One that nobody wants any more leaves the queue.
    let mut third = Box::pin(place.locks.acquire_async(one("it")));
    assert!(third.as_mut().poll(&mut context).is_pending());
    while place.waiting("it").len() < 2 {
        thread::yield_now();
    }
    drop(third);
    while place.waiting("it").len() > 1 {
        thread::yield_now();
    }
    first.release();
    let guards = loop {
        match second.as_mut().poll(&mut context) {
            Poll::Ready(got) => break got.expect("granted"),
            Poll::Pending => thread::park(),
        }
    };
    assert!(place.now(&one("it")).is_err());
    drop(guards);
    place.now(&one("it")).expect("free").release();
}

#[test]
fn names_of_other_programs() {
    let place = Place::new("exact");
    let odd = |root: &str, path: &str| many(vec![Wanted::exact(root, path).expect("short enough")]);
    let held = place.now(&odd("N[3]", "")).expect("free");
    assert!(place.now(&odd("N[3]", "")).is_err());
    place.now(&odd("N[2]", "")).expect("another").release();
    let listed = place.locks.list().expect("listed").locks;
    assert_eq!(listed[0].name, "N[3]");
    assert_eq!(place.locks.show("N[3]").expect("shown").holders.len(), 1);
    held.release();
    let deep = place.now(&odd("level one", "two\nlines/x")).expect("free");
    assert!(place.now(&odd("level one", "two\nlines")).is_err());
    deep.release();
    assert!(Wanted::exact(&"ä".repeat(60), "").is_err());
}

#[test]
fn people_hold_free_and_take() {
    let place = Place::new("people");
    let note = |why: &str| Request {
        why: Some(why.into()),
        ..one("it")
    };
    let now = Patience::None;
    place
        .locks
        .reserve(&note("repair"), now, None, None)
        .expect("free");
    let refused = place.now(&one("it")).expect_err("reserved");
    assert!(
        refused.to_string().contains("reserved, repair"),
        "{refused}"
    );
    let waits = place.wait(one("it"));
    let freed = place
        .locks
        .free("it", None, false, Some("done"))
        .expect("freed");
    assert!(freed[0].reserved);
    let held = waits.join().expect("ended").expect("granted");
    // Work that goes on is not passed over by mistake.
    let refused = place.locks.free("it", None, false, None);
    assert!(matches!(refused, Err(LockError::InUse { .. })));
    let from = place.locks.steal(&note("mine"), None).expect("stolen");
    assert_eq!(from[0].token, Some(held[0].token()));
    held[0].release();
    assert!(place.now(&one("it")).is_err());
    place.locks.free("it", None, false, None).expect("freed");
    assert!(matches!(
        place.locks.free("it", None, false, None),
        Err(LockError::Free(_))
    ));
    // A reservation ends by itself.
    let shortly = Some(Duration::from_millis(1));
    place
        .locks
        .reserve(&note("a moment"), now, shortly, None)
        .expect("free");
    drop(
        place
            .locks
            .acquire(&one("it"), Patience::Never, None)
            .expect("over"),
    );
    let audit = fs::read_to_string(place.locks.audit_log()).expect("written");
    let actions: Vec<String> = audit
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            format!("{} {}", line["action"], line["note"])
        })
        .collect();
    let expected = [
        r#""reserve" "repair""#,
        r#""release" "done""#,
        r#""steal" "mine""#,
        r#""release" null"#,
        r#""reserve" "a moment""#,
    ];
    assert_eq!(actions, expected);
}
