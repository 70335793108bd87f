//! Ways to have two inside, or nobody, or to lose something, that were found by reading. Each of these
//! failed once.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use ward_lock::{Directory, Gives, Held, LockError, Patience, Request, Wanted};
use ward_model::lock::Turn;
use ward_sys::lockfile;
use ward_testkit::patience::wait_until;
use ward_testkit::world::is_root;

use super::place::{Place, Worker, next_ticket};
use super::{Result, crowds, namespaces, users};

/// The bytes that say who is there begin here.
const ALIVE: u64 = 1 << 40;

fn is_busy(got: &std::result::Result<Held, LockError>) -> bool {
    matches!(got, Err(LockError::Busy { .. }))
}

/// Somebody took a number and its byte, failed before he could write it down, and has not closed the
/// file yet, or a fork of his has not. The next one gets the same number, and a byte that is not his.
#[test]
fn a_number_whose_byte_is_taken_is_not_given() -> Result {
    let place = Place::new()?;
    place.now("it")?.release();
    let other = place.open("it")?;
    let next = next_ticket(&other)?;
    ensure!(lockfile::try_lock(&other, ALIVE + next)?);
    let held = place.now("it")?;
    drop(other);
    let second = place.now("it");
    ensure!(is_busy(&second), "two are inside: {held:?} and {second:?}");
    Ok(())
}

/// Both copies are lost while somebody is inside, as by `: > file`.
#[test]
fn who_is_inside_of_a_file_that_was_emptied_stays_alone() -> Result {
    for length in [0, 4 << 10, 5 << 10] {
        let place = Place::new()?;
        place.now("it")?.release();
        let held = place.now("it")?;
        place.open("it")?.set_len(length)?;
        let second = place.now("it");
        ensure!(
            second.is_err(),
            "{length}: two are inside: {held:?} and {second:?}"
        );
        drop(held);
        place.now("it")?.release();
    }
    Ok(())
}

/// The same, by somebody who writes nonsense over it.
#[test]
fn who_is_inside_of_a_file_of_nonsense_stays_alone() -> Result {
    let place = Place::new()?;
    place.now("it")?.release();
    let held = place.now("it")?;
    let file = place.open("it")?;
    for at in [4 << 10, 512 << 10] {
        file.write_all_at(&[0x5a; 4096], at)?;
    }
    let second = place.now("it");
    ensure!(second.is_err(), "two are inside: {held:?} and {second:?}");
    Ok(())
}

/// A file that is there and was never a lock's is somebody's data.
#[test]
fn a_file_that_is_no_lock_is_left_alone() -> Result {
    let place = Place::new()?;
    let precious = "all: main.o\n\tcc -o all main.o\n";
    fs::write(place.file("Makefile"), precious)?;
    let got = place.now("Makefile");
    ensure!(
        fs::read_to_string(place.file("Makefile"))? == precious,
        "it is gone"
    );
    ensure!(got.is_err());
    Ok(())
}

/// Somebody empties the file while others wait: an error, or they go on waiting; not a signal.
#[test]
fn nobody_is_killed_by_a_file_that_gets_shorter() -> Result {
    let place = Place::new()?;
    let held = place.now("it")?;
    let mut workers = vec![place.worker()?, place.worker()?];
    for (number, worker) in workers.iter_mut().enumerate() {
        ensure!(worker.hear()? == "here");
        worker.order("lock it")?;
        place.await_queue("it", (1, number + 1))?;
    }
    place.open("it")?.set_len(0)?;
    // They look every second.
    let looked = Instant::now();
    wait_until("them to look", || looked.elapsed() > Duration::from_secs(2))?;
    for worker in &workers {
        ensure!(worker.state().is_some_and(|it| it != 'Z'), "killed");
    }
    held.release();
    drop(held);
    for worker in &mut workers {
        let said = worker.hear()?;
        ensure!(
            said.starts_with("held") || said.starts_with("failed"),
            "{said}"
        );
        worker.kill()?;
    }
    Ok(())
}

#[test]
fn a_thousand_wait_in_order() -> Result {
    crowds::served_in_order(1000)
}

/// Everybody has waited for more than a second, so that those sleep who are not next. Returns how long
/// it took until all had their turn.
fn turns(requests: Vec<Request>) -> Result<Duration> {
    let place = Place::new()?;
    let first = place.now("it")?;
    let failures = Mutex::new(Vec::new());
    let took = thread::scope(|scope| -> Result<Duration> {
        for (number, request) in requests.into_iter().enumerate() {
            let (locks, failures) = (&place.locks, &failures);
            scope.spawn(
                move || match locks.acquire(&request, Patience::Never, None) {
                    Ok(held) => held[0].release(),
                    Err(error) => failures.lock().expect("nobody panicked").push(error),
                },
            );
            place.await_queue("it", (1, number + 1))?;
        }
        let asked = Instant::now();
        wait_until("them to sleep", || {
            asked.elapsed() > Duration::from_millis(1500)
        })?;
        let began = Instant::now();
        first.release();
        place.await_queue("it", (0, 0))?;
        Ok(began.elapsed())
    })?;
    let failures = failures.into_inner()?;
    ensure!(failures.is_empty(), "{failures:?}");
    Ok(took)
}

/// The lock is not left alone while somebody waits who could have it.
#[test]
fn whoever_is_next_is_woken_whatever_his_turn() -> Result {
    let one = || Request::exclusive("it");
    let in_order = turns(
        (0..8)
            .map(|_| one())
            .collect::<std::result::Result<_, _>>()?,
    )?;
    let newest = Request {
        turn: Turn::NewestFirst,
        ..one()?
    };
    let newest_first = turns(vec![newest; 8])?;
    let mut mixed = vec![one()?; 3];
    let high = Request {
        priority: 5,
        ..one()?
    };
    mixed.extend(vec![high; 5]);
    let by_priority = turns(mixed)?;
    let said =
        format!("in order {in_order:.1?}, {newest_first:.1?}, by priority {by_priority:.1?}");
    // Not to measure anything: the difference is that of microseconds and seconds.
    let bound = in_order * 20 + Duration::from_millis(700);
    ensure!(newest_first < bound && by_priority < bound, "{said}");
    Ok(())
}

/// A third branch of a tree of names is not held up by two others that are held and waited for.
#[test]
fn branches_of_a_tree_are_not_in_one_anothers_way() -> Result {
    let place = Place::new()?;
    let a = place.now("db/a")?;
    let b = place.now("db/b")?;
    let c = place.now("db/c")?;
    let failures = Mutex::new(Vec::new());
    let took = thread::scope(|scope| -> Result<Duration> {
        let names = ["a", "a", "a", "b", "b", "b", "c", "c", "c", "c", "c", "c"];
        for (number, name) in names.into_iter().enumerate() {
            let (locks, failures) = (&place.locks, &failures);
            scope.spawn(move || match locks.lock(&format!("db/{name}")) {
                Ok(guard) => drop(guard),
                Err(error) => failures.lock().expect("nobody panicked").push(error),
            });
            place.await_queue("db", (3, number + 1))?;
        }
        let began = Instant::now();
        c.release();
        place.await_queue("db", (2, 6))?;
        let took = began.elapsed();
        a.release();
        b.release();
        Ok(took)
    })?;
    ensure!(failures.into_inner()?.is_empty());
    ensure!(
        took < Duration::from_millis(500),
        "six turns took {took:.1?}"
    );
    Ok(())
}

/// A process that cannot read the boot's id, as in a service with `ProcSubset=pid`.
#[test]
fn who_does_not_know_the_boot_does_not_forget_who_holds() -> Result {
    if !is_root() {
        ward_testkit::programs::skipped("a /proc without the rest", "it takes root");
        return Ok(());
    }
    let place = Place::new()?;
    let held = place.now("it")?;
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c"])
        .arg("mount -t proc -o subset=pid none /proc && exec \"$0\" \"$@\"")
        .arg(std::env::current_exe()?);
    let mut worker = place.worker_through(command)?;
    ensure!(worker.hear()? == "here");
    let said = worker.ask("try it")?;
    ensure!(
        !said.starts_with("held"),
        "two are inside: {held:?} and {said}"
    );
    Ok(())
}

/// Two users whose processes do not see one another (`hidepid=2`): work that has closed its descriptor
/// holds all the same.
#[test]
fn work_of_another_user_that_is_hidden_holds() -> Result {
    let Some(place) = users::shared()? else {
        return Ok(());
    };
    let mut anna = users::user(&place, 54_001, true, "022")?;
    ensure!(anna.hear()? == "here");
    anna.expect("lock it", "held")?;
    let work = anna.expect("work", "works")?;
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c"])
        .arg("mount -t proc -o hidepid=2 none /proc && exec setpriv \"$@\"")
        .args(["sh", "--reuid=54002", "--regid=54002", "--groups=54321"])
        .arg(place.program_for_all()?);
    let mut bert = place.worker_through(command)?;
    ensure!(bert.hear()? == "here");
    bert.expect("try it", "busy")?;
    anna.kill()?;
    let said = bert.ask("try it")?;
    let killed = Command::new("kill").args(["-KILL", &work]).status()?;
    ensure!(killed.success(), "it has ended by itself");
    ensure!(
        said.starts_with("busy"),
        "while the work of another goes on: {said}"
    );
    Ok(())
}

#[test]
fn work_in_another_namespace_is_told_from_others_of_its_age() -> Result {
    namespaces::work_is_told_from_others_of_its_age()
}

/// Two nested ones wait for one another; there are more lock files than descriptors.
#[test]
fn rings_are_seen_however_many_locks_there_are() -> Result {
    for many in [3, 600] {
        let place = Place::new()?;
        for number in 0..many {
            place.now(&format!("used-{number}"))?.release();
        }
        a_ring(&place).with_context(|| format!("among {many}"))?;
    }
    Ok(())
}

fn a_ring(place: &Place) -> Result {
    let mut workers: Vec<Worker> = Vec::new();
    for name in ["a", "b"] {
        let mut worker = place.worker()?;
        ensure!(worker.hear()? == "here");
        worker.expect(&format!("lock {name}"), "held")?;
        worker.expect("descriptors 64", "limited")?;
        workers.push(worker);
    }
    // Those that are left suffice for a lock.
    for worker in &mut workers {
        worker.expect("spare 20", "spared")?;
    }
    workers[0].order("above a b")?;
    place.await_queue("b", (1, 1))?;
    workers[1].order("above b a")?;
    let said = workers[1].hear()?;
    ensure!(said.contains("Deadlock"), "{said}");
    Ok(())
}

/// The directory of what outlives the host's run is in the way of a lock of that name.
#[test]
fn a_lock_may_have_any_name() -> Result {
    let place = Place::new()?;
    place.now("durable")?.release();
    let numbers = Wanted::new("numbers")?.giving(Gives::Sequence {
        transactional: true,
    });
    let request = Request::new(vec![numbers]);
    place.locks.acquire(&request, Patience::None, None)?;
    Ok(())
}

/// What is kept for long is the group's too, whatever the umask.
#[test]
fn a_group_shares_its_numbers() -> Result {
    let Some(place) = users::shared()? else {
        return Ok(());
    };
    let mut expected = 1;
    for umask in ["022", "077"] {
        for uid in [54_001, 54_002] {
            let mut user = users::user(&place, uid, true, umask)?;
            ensure!(user.hear()? == "here");
            let said = user.ask("number builds")?;
            let number = said.split(' ').nth(2);
            ensure!(
                number == Some(expected.to_string().as_str()),
                "{uid}: {said}"
            );
            user.expect("commit", "committed")?;
            user.expect("release", "released")?;
            expected += 1;
        }
    }
    Ok(())
}

/// Whoever makes a file is killed, or has a umask of his own: no file comes to be that others cannot use.
#[test]
fn a_file_is_the_groups_from_the_first() -> Result {
    let Some(place) = users::shared()? else {
        return Ok(());
    };
    let mut anna = users::user(&place, 54_001, true, "077")?;
    ensure!(anna.hear()? == "here");
    anna.expect("lock it", "held")?;
    anna.kill()?;
    let mut bert = users::user(&place, 54_002, true, "022")?;
    ensure!(bert.hear()? == "here");
    bert.expect("lock it", "held")?;
    Ok(())
}

/// A name by another program's rules is shared with what is below like any other.
#[test]
fn locks_above_are_shared_whatever_their_name() -> Result {
    let place = Place::new()?;
    let wanted = || Wanted::exact("N[3]", "");
    let outer = place
        .locks
        .acquire(&Request::new(vec![wanted()?]), Patience::None, None)?;
    let inner = Request {
        held_above: vec![outer[0].badge()],
        reentrant: true,
        ..Request::new(vec![wanted()?])
    };
    place.locks.acquire(&inner, Patience::None, None)?;
    Ok(())
}

/// A number that was taken away and given to somebody else cannot be used up any more.
#[test]
fn a_number_is_used_up_once() -> Result {
    let place = Place::new()?;
    let number = Wanted::new("number")?.giving(Gives::Sequence {
        transactional: true,
    });
    let request = Request::new(vec![number]);
    let get = || place.locks.acquire(&request, Patience::None, None);
    let first = get()?;
    place.locks.free("number", None, true, None)?;
    let second = get()?;
    ensure!(first[0].elements() == second[0].elements());
    ensure!(first[0].commit().is_err(), "it is somebody else's by now");
    second[0].commit()?;
    Ok(())
}

/// Whoever gives up has done so when his time is over, though somebody stands still in the middle of
/// a change.
#[test]
fn a_time_to_wait_is_a_time_in_all() -> Result {
    let place = Place::new()?;
    let _held = place.now("it")?;
    let mut worker = place.worker()?;
    ensure!(worker.hear()? == "here");
    let request = Request::exclusive("it")?;
    let began = Instant::now();
    let patience = Patience::For(Duration::from_millis(500));
    thread::scope(|scope| -> Result {
        let waiter = scope.spawn(|| place.locks.acquire(&request, patience, None));
        place.await_queue("it", (1, 1))?;
        worker.expect("stand-still it", "stands")?;
        let got = waiter.join().map_err(|_| anyhow::anyhow!("it panicked"))?;
        ensure!(got.is_err());
        Ok(())
    })?;
    // The documented bound for somebody who stands still is two seconds.
    let took = began.elapsed();
    worker.kill()?;
    ensure!(took < Duration::from_secs(6), "0.5 s took {took:.1?}");
    Ok(())
}

/// A file of the same name in the place of one that is held: a directory of a session that has ended
/// and begun anew, a careless cleaner.
#[test]
fn who_holds_a_file_that_was_removed_is_found_out() -> Result {
    let place = Place::new()?;
    let held = place.now("it")?;
    let mut worker = place.worker()?;
    ensure!(worker.hear()? == "here");
    worker.order("lock it")?;
    place.await_queue("it", (1, 1))?;
    fs::remove_file(place.file("it"))?;
    // Who holds cannot know; but who waits must not be granted the file that nobody else sees.
    let second = place.now("it")?;
    held.release();
    // He comes to the one that all see, and waits there.
    place.await_queue("it", (1, 1))?;
    second.release();
    let said = worker.hear()?;
    ensure!(said.starts_with("held"), "{said}");
    Ok(())
}

/// A file whose writer could not write: the next one is not mixed up with him.
#[test]
fn who_cannot_write_is_nobody_else() -> Result {
    let place = Place::new()?;
    place.now("it")?.release();
    // It may write the first copy, but not the second, which is further on in the file.
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' XFSZ; ulimit -f 600; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe()?);
    let mut poor = place.worker_through(command)?;
    ensure!(poor.hear()? == "here");
    poor.order("fail-often it")?;
    let locks = Directory::open(Some(&place.directory()))?;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(5) {
        let Some(one) = locks.try_lock("it").context("the first")? else {
            continue;
        };
        for _ in 0..200 {
            let two = locks.try_lock("it")?;
            ensure!(two.is_none(), "two are inside: {one:?} and {two:?}");
        }
    }
    Ok(())
}
