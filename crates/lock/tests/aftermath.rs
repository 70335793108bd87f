//! What somebody leaves behind in a lock directory, and what somebody who stands still keeps from
//! others.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ward_lock::{Directory, Gives, Held, LockError, Patience, Request, Waiting, Wanted};
use ward_model::lock::Mode;
use ward_sys::lockfile;
use ward_testkit::patience::wait_until;

struct Place(Directory);

impl Place {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("ward-aftermath-{name}-{}", std::process::id()));
        Self(Directory::open(Some(&path)).expect("a directory"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// By a description of the test's own.
    fn open(&self, name: &str) -> File {
        let options = File::options().read(true).write(true).open(self.file(name));
        options.expect("there")
    }

    fn now(&self, wanted: Vec<Wanted>) -> Result<Vec<Held>, LockError> {
        self.0.acquire(&Request::new(wanted), Patience::None, None)
    }

    fn one(&self, wanted: Wanted) -> Held {
        self.now(vec![wanted]).expect("free").remove(0)
    }

    /// Waits in a thread of its own; returns when it is in the queue.
    fn wait(&self, wanted: Wanted) -> thread::JoinHandle<Vec<Held>> {
        let (came, come) = mpsc::channel();
        let locks = self.0.clone();
        let thread = thread::spawn(move || {
            let mut tell = |_: &Waiting| {
                let _ = came.send(());
            };
            let request = Request::new(vec![wanted]);
            let got = locks.acquire(&request, Patience::Never, Some(&mut tell));
            got.expect("granted")
        });
        come.recv().expect("in the queue");
        thread
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.0.path());
    }
}

fn lock(name: &str) -> Wanted {
    Wanted::new(name).expect("a name")
}

fn slots(take: u32, of: u32) -> Wanted {
    lock("slots").slots(take, of).expect("so many")
}

fn on_trial(name: &str) -> Wanted {
    let slots = lock(name).slots(1, 8).expect("so many");
    slots.giving(Gives::Sequence {
        transactional: true,
    })
}

#[test]
fn the_history_of_a_name_takes_no_more_than_its_room() {
    let place = Place::new("history");
    let request = |number: u32| Request {
        command: format!("make {number} {}", "x".repeat(400)),
        why: Some("w".repeat(400)),
        origin: Some("o".repeat(400)),
        ..Request::new(vec![Wanted::exact("it", &"l".repeat(900)).expect("a path")])
    };
    for number in 0..300 {
        let held = place.0.acquire(&request(number), Patience::None, None);
        held.expect("free").remove(0).release();
    }
    let history = place.0.history("it").expect("read");
    assert_eq!(history.len(), 128);
    assert!(history[127].record.command.starts_with("make 299 x"));
    let meta = fs::metadata(place.file("it")).expect("there");
    assert!(meta.blocks() * 512 <= 256 << 10, "{} blocks", meta.blocks());
    assert!(meta.len() < 2 << 20, "{} bytes", meta.len());
}

#[test]
fn numbers_reach_the_disk_before_a_queue_does_when_the_power_goes() {
    let place = Place::new("power");
    let held = place.one(lock("it"));
    let waits = place.wait(lock("it"));
    held.release();
    drop(waits.join().expect("ended"));
    drop(held);
    // Only the first page was written.
    let file = place.open("it");
    file.set_len(4096).expect("cut");
    assert!(
        fs::read(place.file("it"))
            .expect("read")
            .iter()
            .any(|byte| *byte != 0)
    );
    place.one(lock("it")).release();
}

#[test]
fn others_are_listed_though_one_cannot_be_read() {
    let place = Place::new("list");
    let held = place.one(lock("it"));
    // No lock of ours has a name as long.
    fs::write(place.file(&"x".repeat(250)), "").expect("written");
    let listing = place.0.list().expect("listed");
    assert_eq!(listing.locks.len(), 1);
    assert_eq!(listing.locks[0].name, "it");
    assert_eq!(listing.unreadable.len(), 1);
    held.release();
}

#[test]
fn who_stands_still_in_one_of_two_locks_keeps_nobody_from_the_other() {
    let place = Place::new("still");
    for name in ["a", "b"] {
        place.one(lock(name)).release();
    }
    // Somebody is stopped in the middle of a change of `b`.
    let still = place.open("b");
    assert!(lockfile::try_lock(&still, 0).expect("locked"));
    let locks = place.0.clone();
    let both = thread::spawn(move || {
        let request = Request::new(vec![lock("a"), lock("b")]);
        locks.acquire(&request, Patience::Never, None)
    });
    for _ in 0..200 {
        place.one(lock("a")).release();
    }
    lockfile::unlock(&still, 0).expect("freed");
    drop(both.join().expect("ended").expect("granted"));
}

#[test]
fn who_writes_numbers_to_the_disk_keeps_nobody() {
    let place = Place::new("disk");
    place.one(on_trial("it")).release();
    // A disk that takes its time.
    let slow = place.open("%durable/it%lock");
    assert!(lockfile::try_lock(&slow, 0).expect("locked"));
    let locks = place.0.clone();
    let numbered = thread::spawn(move || {
        let request = Request::new(vec![on_trial("it")]);
        locks.acquire(&request, Patience::Never, None)
    });
    wait_until("somebody to want a number", || {
        place.0.show("it").is_ok_and(|it| it.waiting.len() == 1)
    })
    .expect("he comes");
    // He is first, and it is his turn; but to come and go takes nobody's time.
    let plain = lock("it").slots(1, 8).expect("so many");
    for _ in 0..50 {
        place.one(plain.clone()).release();
    }
    lockfile::unlock(&slow, 0).expect("freed");
    let got = numbered.join().expect("ended").expect("granted");
    assert_eq!(got[0].elements(), ["1"]);
}

#[test]
fn numbers_come_back_in_the_order_in_which_their_work_failed() {
    let place = Place::new("failed");
    let mut held: Vec<Held> = (0..3).map(|_| place.one(on_trial("it"))).collect();
    let number = |held: &Held| held.elements().join("");
    assert_eq!(held.iter().map(number).collect::<String>(), "123");
    let third = held.pop().expect("three");
    third.release();
    held[0].release();
    held[1].commit().expect("written");
    held[1].release();
    let again: Vec<Held> = (0..3).map(|_| place.one(on_trial("it"))).collect();
    assert_eq!(again.iter().map(number).collect::<String>(), "314");
}

#[test]
fn who_goes_with_the_next_one_is_let_in_with_him_whoever_waits_between() {
    let place = Place::new("beside");
    let held = place.one(lock("it"));
    let mut waiting = Vec::new();
    for mode in [Mode::PW, Mode::PW, Mode::PW, Mode::PW, Mode::CR] {
        waiting.push(place.wait(lock("it").mode(mode)));
    }
    held.release();
    // By whoever made room: nobody need look for himself.
    let listed = place.0.show("it").expect("shown");
    let modes: Vec<Mode> = listed.holders.iter().map(|it| it.ask.mode).collect();
    assert_eq!(modes, [Mode::PW, Mode::CR]);
    drop(held);
    for one in waiting {
        drop(one.join().expect("ended"));
    }
}

#[test]
fn no_more_slots_are_taken_away_than_are_wanted() {
    let place = Place::new("steal");
    let held: Vec<Held> = [3, 1, 2].map(|take| place.one(slots(take, 6))).into();
    let steal = |take| {
        let request = Request {
            why: Some("incident".into()),
            ..Request::new(vec![slots(take, 6)])
        };
        let from = place.0.steal(&request, None).expect("taken");
        from.iter().map(|it| it.ticket).collect::<Vec<_>>()
    };
    // From who came last; who came before him keeps what is not needed.
    assert_eq!(steal(1), [held[2].ticket()]);
    // One is free by now; what was stolen is held, too, and came later.
    assert_eq!(steal(1), Vec::<u64>::new());
    let all = place.0.free("slots", None, true, None).expect("freed");
    assert_eq!(all.len(), 4);
    let held: Vec<Held> = [3, 1].map(|take| place.one(slots(take, 4))).into();
    // The last one's is not enough, and is not needed with the other one's.
    assert_eq!(
        place
            .0
            .steal(&Request::new(vec![slots(3, 4)]), None)
            .expect("taken")
            .len(),
        1
    );
    drop(held);
}

#[test]
fn who_holds_it_with_another_token_is_named() {
    let place = Place::new("token");
    let held = place.one(lock("it"));
    let refused = place
        .0
        .free("it", Some(7), true, None)
        .expect_err("another");
    let said = refused.to_string();
    assert!(
        said.contains("token 7") && said.contains(&held.token().to_string()),
        "{said}"
    );
    assert!(matches!(
        place.0.free("other", Some(7), true, None),
        Err(LockError::Free(_))
    ));
    held.release();
    assert!(matches!(
        place.0.free("it", Some(7), true, None),
        Err(LockError::Free(_))
    ));
}

#[test]
fn a_time_that_is_not_due_is_said_to_be_so() {
    let place = Place::new("due");
    let hours = || {
        lock("it").mode(Mode::NL).giving(Gives::Timestamp {
            format: "%Y%m%d-%H".into(),
        })
    };
    drop(place.one(hours()));
    let refused = place.now(vec![hours()]).expect_err("an hour later");
    assert!(
        matches!(refused, LockError::NotDue(_)) && refused.is_busy(),
        "{refused}"
    );
    // One that is kept by somebody is held.
    let held = place.one(lock("other"));
    let refused = place.now(vec![lock("other")]).expect_err("held");
    assert!(matches!(refused, LockError::Busy { .. }), "{refused}");
    held.release();
}

#[test]
fn of_several_locks_that_are_wanted_the_one_is_named_that_keeps_us() {
    let place = Place::new("ring");
    let a = place.one(lock("a"));
    let within = Request {
        held_above: vec![a.badge()],
        // `z` is free.
        ..Request::new(vec![lock("a"), lock("z")])
    };
    let refused = place
        .0
        .acquire(&within, Patience::Never, None)
        .expect_err("a ring");
    let LockError::Deadlock { ring, .. } = &refused else {
        panic!("{refused}");
    };
    assert!(ring[0].contains("waits for `a`"), "{ring:?}");
    a.release();
    let z = place.one(lock("z"));
    let within = Request {
        held_above: vec![z.badge()],
        ..Request::new(vec![lock("a"), lock("z")])
    };
    let refused = place
        .0
        .acquire(&within, Patience::For(Duration::from_secs(20)), None);
    let said = refused.expect_err("a ring").to_string();
    assert!(
        said.contains("waits for `z`") && !said.contains("waits for `a`"),
        "{said}"
    );
    z.release();
}
