//! What was found when the first findings were mended, and what was mended wrongly.

use std::fs;
use std::future::Future as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, chown};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Barrier, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use ward_lock::{Gives, LockError, Patience, Request, Wanted};
use ward_model::lock::Mode;
use ward_testkit::moments::{let_pass, rounds};
use ward_testkit::patience::wait_until;
use ward_testkit::programs::{in_path, skipped};
use ward_testkit::world::is_root;

use super::kills::Chance;
use super::place::Place;
use super::{Result, users};

/// Whoever makes a lock's file may be killed before he could give it to the group: then it is not
/// there.
#[test]
fn a_file_that_was_only_just_made_is_the_groups() -> Result {
    let Some(place) = users::shared()? else {
        return Ok(());
    };
    let mut bert = users::user(&place, 54_002, true, "022")?;
    ensure!(bert.hear()? == "here");
    for round in 0..rounds() {
        let mut anna = users::user(&place, 54_001, true, "077")?;
        ensure!(anna.hear()? == "here");
        let name = |number: u32| format!("r{round}-{number}");
        anna.order(&format!("try-ever-more r{round}"))?;
        wait_until("the first", || place.file(&name(0)).exists())?;
        let_pass(Duration::from_micros(u64::from(round) * 137 % 3000));
        anna.kill()?;
        let mut last = 0;
        while place.file(&name(last)).exists() {
            last += 1;
        }
        for number in [last.saturating_sub(1), last] {
            bert.expect(&format!("try {}", name(number)), "held")?;
            bert.expect("drop", "dropped")?;
        }
    }
    Ok(())
}

/// Whoever gives numbers may be killed in the middle of it, and leave what others cannot change.
#[test]
fn who_was_killed_while_he_wrote_is_in_nobodys_way() -> Result {
    let Some(place) = users::shared()? else {
        return Ok(());
    };
    let mut bert = users::user(&place, 54_002, true, "022")?;
    ensure!(bert.hear()? == "here");
    let mut number = || -> Result {
        bert.expect("number builds", "held")?;
        bert.expect("commit", "committed")?;
        bert.expect("release", "released")?;
        Ok(())
    };
    number()?;
    let kept = fs::read_dir(place.directory())?
        .flatten()
        .find(|entry| entry.path().is_dir())
        .context("nothing is kept")?;
    for mode in [0o660, 0o600] {
        let left = kept.path().join("builds%new");
        fs::write(&left, "{")?;
        fs::set_permissions(&left, fs::Permissions::from_mode(mode))?;
        chown(&left, Some(54_001), Some(54_321))?;
        number().with_context(|| format!("{mode:o}"))?;
        let _ = fs::remove_file(&left);
    }
    Ok(())
}

/// Many threads make the same file, and many different ones, at the same moment.
#[test]
fn a_file_is_made_by_many_at_once() -> Result {
    const THREADS: usize = 8;
    let place = Place::new()?;
    for round in 0..rounds() * 10 {
        let begin = Barrier::new(THREADS);
        let failures = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for number in 0..THREADS {
                let (locks, begin, failures) = (&place.locks, &begin, &failures);
                scope.spawn(move || {
                    begin.wait();
                    if let Err(error) = locks.lock(&format!("it-{round}-{}", number % 4)) {
                        failures.lock().expect("nobody panicked").push(error);
                    }
                });
            }
        });
        let failures = failures.into_inner()?;
        ensure!(failures.is_empty(), "{round}: {failures:?}");
    }
    Ok(())
}

/// Modes are not all in one another's way: who goes with who holds, and with all who wait before him,
/// holds beside them.
#[test]
fn a_mode_that_goes_with_all_before_it_does_not_wait() -> Result {
    use Mode::{CR, EX, PR, PW};
    let place = Place::new()?;
    let first = place.now("it")?;
    let failures = Mutex::new(Vec::new());
    let (go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    thread::scope(|scope| -> Result {
        // Dropped at the end, whatever the end is.
        let go = go;
        for (number, mode) in [EX, PR, PW, PW, PW, CR].into_iter().enumerate() {
            let (locks, failures, gate) = (&place.locks, &failures, &gate);
            scope.spawn(move || {
                let wanted = Wanted::new("it").expect("a name").mode(mode);
                match locks.acquire(&Request::new(vec![wanted]), Patience::Never, None) {
                    Ok(held) => {
                        if matches!(mode, PR | CR) {
                            let _ = gate.lock().expect("nobody panicked").recv();
                        }
                        held[0].release();
                    }
                    Err(error) => failures.lock().expect("nobody panicked").push(error),
                }
            });
            place.await_queue("it", (1, number + 1))?;
        }
        first.release();
        let both = place.await_queue("it", (2, 3));
        drop(go);
        both
    })?;
    let failures = failures.into_inner()?;
    ensure!(failures.is_empty(), "{failures:?}");
    Ok(())
}

/// Whoever made room was killed between writing down who holds now and waking them: they learn of it
/// all the same, though those before them hold on.
#[test]
fn who_holds_knows_it() -> Result {
    const WAITERS: usize = 4;
    if in_path("strace").is_none() {
        skipped(
            "to be killed between two system calls",
            "there is no strace",
        );
        return Ok(());
    }
    let place = Place::new()?;
    let slots =
        |take| -> Result<Request> { Ok(Request::new(vec![Wanted::new("it")?.slots(take, 5)?])) };
    for _ in 0..2 {
        let held = place.locks.acquire(&slots(5)?, Patience::None, None)?;
        held[0].release();
    }
    // What it writes: that it holds, that it does not and who does, and the first one's number.
    let mut command = Command::new("strace");
    command
        .args(["--output=/dev/null", "--trace=pwrite64"])
        .arg("--inject=pwrite64:signal=SIGKILL:when=3")
        .arg("--follow-forks")
        .arg(std::env::current_exe()?);
    let mut first = place.worker_through(command)?;
    ensure!(first.hear()? == "here");
    first.expect("slots it 5 5", "held")?;
    let (know, known) = mpsc::channel();
    let (go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    thread::scope(|scope| -> Result {
        let go = go;
        for number in 0..WAITERS {
            let (locks, request, know, gate) = (&place.locks, slots(1)?, know.clone(), &gate);
            scope.spawn(move || {
                let held = locks.acquire(&request, Patience::Never, None);
                let _ = know.send(held.is_ok());
                // Everybody holds on until everybody knows.
                let _ = gate.lock().expect("nobody panicked").recv();
            });
            place.await_queue("it", (1, number + 1))?;
        }
        ensure!(first.ask("release").is_err(), "it was not killed");
        let mut left = WAITERS;
        let all = wait_until("them to know", || {
            left -= known.try_iter().filter(|held| *held).count();
            left == 0
        });
        drop(go);
        all.with_context(|| format!("{left} of {WAITERS} hold, and do not know it"))
    })
}

/// Futures that are dropped, at whatever moment: nothing of them is left, and nobody was inside with
/// somebody else.
#[test]
fn what_nobody_waits_for_any_more_is_gone() -> Result {
    let place = Place::new()?;
    // Other tests have threads of their own.
    let is_one = |task: &fs::DirEntry| {
        fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim() == "ward-lock")
    };
    let is_any_left = || {
        let tasks = fs::read_dir("/proc/self/task").into_iter().flatten();
        tasks.flatten().any(|task| is_one(&task))
    };
    let inside = AtomicU32::new(0);
    let mut chance = Chance::new(11);
    for _ in 0..rounds() * 20 {
        let mut context = Context::from_waker(Waker::noop());
        let mut all: Vec<_> = (0..3)
            .map(|_| Some(Box::pin(place.locks.acquire_async(one()))))
            .collect();
        let until = Duration::from_micros(chance.below(800));
        let since = Instant::now();
        while since.elapsed() < until {
            for slot in &mut all {
                let Some(future) = slot else {
                    continue;
                };
                if let Poll::Ready(got) = future.as_mut().poll(&mut context) {
                    let guards = got?;
                    ensure!(inside.fetch_add(1, Ordering::SeqCst) == 0, "two are inside");
                    inside.fetch_sub(1, Ordering::SeqCst);
                    drop(guards);
                    *slot = None;
                }
            }
        }
    }
    wait_until("their threads to end", || !is_any_left())?;
    place.await_queue("it", (0, 0))?;
    place.now("it")?.release();
    Ok(())
}

fn one() -> Request {
    Request::exclusive("it").expect("a name")
}

/// As the library sums up a queue, to put another boot's id into it.
fn sum(generation: u64, bytes: &[u8]) -> u64 {
    let mix = |hash: u64, word: u64| {
        let mixed = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29)
    };
    let seed = mix(generation, bytes.len() as u64);
    let mut rows: [u64; 4] = std::array::from_fn(|row| seed.wrapping_add(row as u64));
    let mut padded = bytes.to_vec();
    padded.resize((bytes.len() / 32 + 1) * 32, 0);
    for (at, word) in padded.as_chunks().0.iter().enumerate() {
        rows[at % 4] = mix(rows[at % 4], u64::from_le_bytes(*word));
    }
    rows.into_iter().fold(seed, mix)
}

/// In a directory that outlives the boot, the first one does not know the boot: those who do must not
/// take what he wrote for the one before.
#[test]
fn who_does_not_know_the_boot_is_not_taken_for_one_of_another() -> Result {
    if !is_root() {
        skipped("a /proc without the rest", "it takes root");
        return Ok(());
    }
    let place = Place::new()?;
    place.now("it")?.release();
    place.now("it")?.release();
    let file = place.open("it")?;
    for at in [4 << 10, 512 << 10] {
        let mut image = vec![0; 24];
        file.read_exact_at(&mut image, at)?;
        let length = u64::from_le_bytes(image[16..24].try_into()?);
        image.resize(usize::try_from(length)?, 0);
        file.read_exact_at(&mut image, at)?;
        let generation = u64::from_le_bytes(image[8..16].try_into()?);
        let was = u64::from_le_bytes(image[24..32].try_into()?);
        ensure!(was == sum(generation, &image[32..]), "it sums up otherwise");
        image[32..48].fill(0x11);
        let sum = sum(generation, &image[32..]);
        image[24..32].copy_from_slice(&sum.to_le_bytes());
        file.write_all_at(&image, at)?;
    }
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c"])
        .arg("mount -t proc -o subset=pid none /proc && exec \"$0\" \"$@\"")
        .arg(std::env::current_exe()?);
    let mut worker = place.worker_through(command)?;
    ensure!(worker.hear()? == "here");
    worker.expect("lock it", "held")?;
    let got = place.now("it");
    ensure!(
        matches!(got, Err(LockError::Busy { .. })),
        "two are inside: {got:?}"
    );
    Ok(())
}

/// A user of a service or a container, who has a home and no runtime directory: his locks and what they
/// must not forget are not in one another's way.
#[test]
fn who_has_no_runtime_directory_has_numbers() -> Result {
    const UID: u32 = 54_004;
    let Some(place) = users::shared()? else {
        return Ok(());
    };
    if fs::exists(format!("/run/user/{UID}"))? {
        skipped("a user without a runtime directory", "he has one");
        return Ok(());
    }
    let home = place.path("home");
    fs::create_dir(&home)?;
    chown(&home, Some(UID), Some(UID))?;
    for expected in ["1", "2"] {
        let mut command = Command::new("setpriv");
        command
            .args([format!("--reuid={UID}"), format!("--regid={UID}")])
            .arg("--clear-groups")
            .arg(place.program_for_all()?)
            .env("HOME", &home)
            .env("WARD_TEST_USUAL", "1");
        for variable in [
            "XDG_RUNTIME_DIR",
            "XDG_STATE_HOME",
            "WARD_LOCK_DIR",
            "WARD_STATE_DIR",
        ] {
            command.env_remove(variable);
        }
        let mut worker = place.worker_through(command)?;
        ensure!(worker.hear()? == "here");
        let said = worker.expect("number builds", "held")?;
        ensure!(said.ends_with(&format!(" {expected}")), "{said}");
        worker.expect("commit", "committed")?;
    }
    Ok(())
}

/// Times run ahead of a clock that was set back by one unit a unit, and not by one a second.
#[test]
fn times_do_not_run_away() -> Result {
    let place = Place::new()?;
    let wanted = Wanted::new("it")?.giving(Gives::Timestamp {
        format: "%Y%m%d-%H".into(),
    });
    let request = Request::new(vec![wanted]);
    place.locks.acquire(&request, Patience::None, None)?[0].release();
    let kept = fs::read_dir(place.directory())?
        .flatten()
        .find(|entry| entry.path().is_dir())
        .context("nothing is kept")?;
    let file = kept.path().join("it");
    let mut value: serde_json::Value = serde_json::from_slice(&fs::read(&file)?)?;
    let ahead = value["stamp"].as_i64().context("a time")? + 10 * 3_600_000_000;
    value["stamp"] = ahead.into();
    fs::write(&file, serde_json::to_vec(&value)?)?;
    let got = place
        .locks
        .acquire(&request, Patience::For(Duration::from_secs(3)), None);
    ensure!(matches!(got, Err(LockError::NotDue(_))), "{got:?}");
    Ok(())
}
