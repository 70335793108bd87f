//! Locks of one host through the Rust API: what is not so in a cluster, too. What is, is in `rules`.

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
    Directory, Ended, Gives, Guard, Held, LockError, Patience, Record, Request, Waiting, Wanted,
};
use ward_model::lock::Mode;

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
    let audit = fs::read_to_string(place.locks.audit_log().path()).expect("written");
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

/// Whoever asks for somebody by his badge finds him, whatever the lock is called.
#[test]
fn who_has_a_badge() {
    let place = Place::new("badges");
    for wanted in [
        Wanted::new("a/b").expect("a name"),
        Wanted::exact("/A", "B/C").expect("a name"),
        Wanted::exact("-no name, but one", "").expect("a name"),
    ] {
        let name = wanted.name().to_owned();
        let request = Request::new(vec![wanted]);
        let held = place
            .locks
            .acquire(&request, Patience::None, None)
            .expect("free");
        let badge = held[0].badge();
        let holder = place.locks.holder(&badge).expect("read").expect("somebody");
        assert_eq!((holder.name, holder.ticket), (name, badge.ticket));
        held[0].release();
        assert_eq!(place.locks.holder(&badge).expect("read"), None);
    }
}
