//! Files and disks that are not as they should be: an error that says so, or it goes on; never two
//! inside, never a hang.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use anyhow::{Context as _, ensure};
use ward_lock::{Directory, Held, LockError, Patience, Request};
use ward_testkit::moments::rounds;
use ward_testkit::patience::LIMIT;
use ward_testkit::programs::skipped;
use ward_testkit::world::is_root;

use super::Result;
use super::kills::Chance;
use super::place::Place;

/// A file system that is mounted until this is dropped.
struct Mount(PathBuf);

impl Mount {
    fn new(at: &Path, words: &[&str]) -> Option<Self> {
        if !is_root() {
            skipped("a file system of our own", "it takes root");
            return None;
        }
        fs::create_dir_all(at).ok()?;
        let output = Command::new("mount").args(words).arg(at).output().ok()?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            skipped("a file system of our own", &why);
            return None;
        }
        Some(Self(at.to_owned()))
    }

    fn full(&self) -> PathBuf {
        self.0.join("filling")
    }

    fn fill(&self) -> Result {
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(self.full())?;
        for size in [64 << 10, 4 << 10, 512, 1] {
            while file.write_all(&vec![b'x'; size]).is_ok() {}
        }
        Ok(())
    }

    fn empty(&self) -> Result {
        Ok(fs::remove_file(self.full())?)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

/// Asks, and fails if there is no answer in the time that is a hang.
fn asked(locks: &Directory, name: &str) -> Result<std::result::Result<Vec<Held>, LockError>> {
    let request = Request::exclusive(name)?;
    let (answer, answered) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = answer.send(locks.acquire(&request, Patience::None, None));
        });
        answered.recv_timeout(LIMIT).context("it hangs")
    })
}

#[test]
fn a_full_disk() -> Result {
    let place = Place::new()?;
    let words = ["-t", "tmpfs", "-o", "size=1m", "none"];
    let Some(disk) = Mount::new(&place.path("small"), &words) else {
        return Ok(());
    };
    let locks = Directory::open(Some(&place.path("small/locks")))?;
    let get = |name: &str| asked(&locks, name);
    let failed =
        |got: &std::result::Result<Vec<Held>, LockError>| matches!(got, Err(LockError::Io { .. }));
    let held = get("begun")??;
    get("known")??[0].release();
    get("known")??[0].release();
    disk.fill()?;
    // New ones cannot be; one that is known can; nobody gets what is held.
    ensure!(failed(&get("new")?));
    ensure!(failed(&get("new")?));
    get("known")??[0].release();
    let got = get("begun")?;
    ensure!(
        matches!(got, Err(LockError::Busy { .. } | LockError::Io { .. })),
        "{got:?}"
    );
    // Somebody waits while nothing can be written: he gets it, or learns why not.
    disk.empty()?;
    let mut worker = super::place::Worker::start(
        Command::new(std::env::current_exe()?),
        "obey",
        &place.path("small/locks"),
    )?;
    ensure!(worker.hear()? == "here");
    worker.order("lock begun")?;
    ward_testkit::patience::wait_until("him to wait", || {
        locks.show("begun").is_ok_and(|it| it.waiting.len() == 1)
    })?;
    disk.fill()?;
    held[0].release();
    drop(held);
    let said = worker.hear()?;
    ensure!(
        said.starts_with("held") || said.starts_with("failed Io"),
        "{said}"
    );
    let got = get("begun")?;
    ensure!(!said.starts_with("held") || got.is_err(), "two are inside");
    drop(got);
    worker.kill()?;
    disk.empty()?;
    for name in ["new", "known", "begun"] {
        get(name)??[0].release();
    }
    Ok(())
}

#[test]
fn a_directory_that_can_only_be_read() -> Result {
    let place = Place::new()?;
    place.now("it")?.release();
    let source = place.directory();
    let at = place.path("view");
    let words = ["--bind", source.to_str().context("a plain name")?];
    let Some(view) = Mount::new(&at, &words) else {
        return Ok(());
    };
    let made = Command::new("mount")
        .args(["-o", "remount,bind,ro"])
        .arg(&view.0)
        .status()?;
    ensure!(made.success());
    let locks = Directory::open(Some(&at))?;
    for name in ["it", "another"] {
        let got = asked(&locks, name)?;
        let why = format!("{got:?}");
        ensure!(
            matches!(got, Err(LockError::Io { .. })) && why.contains("ReadOnly"),
            "{why}"
        );
    }
    place.now("it")?.release();
    Ok(())
}

#[test]
fn no_more_descriptors() -> Result {
    let place = Place::new()?;
    let mut worker = place.worker()?;
    ensure!(worker.hear()? == "here");
    worker.expect("lock it", "held")?;
    let open = fs::read_dir(format!("/proc/{}/fd", worker.pid()))?.count();
    worker.expect(&format!("descriptors {open}"), "limited")?;
    let failed = worker.expect("try other", "failed")?;
    ensure!(failed.contains("code: 24"), "{failed}");
    // What is held can be given back, and somebody else hears of it.
    let mut other = place.worker()?;
    ensure!(other.hear()? == "here");
    other.order("lock it")?;
    place.await_queue("it", (1, 1))?;
    worker.expect("release", "released")?;
    ensure!(other.hear()?.starts_with("held"));
    Ok(())
}

#[test]
fn what_is_no_file() -> Result {
    let place = Place::new()?;
    let target = place.path("target");
    fs::write(&target, "precious")?;
    symlink(&target, place.file("link"))?;
    symlink(place.path("nowhere"), place.file("dangling"))?;
    symlink("/dev/zero", place.file("device"))?;
    fs::create_dir(place.file("directory"))?;
    let made = Command::new("mkfifo").arg(place.file("pipe")).status()?;
    ensure!(made.success());
    for name in ["link", "dangling", "device", "directory", "pipe"] {
        let got = asked(&place.locks, name)?;
        ensure!(matches!(got, Err(LockError::Io { .. })), "{name}: {got:?}");
    }
    ensure!(fs::read(&target)? == b"precious");
    ensure!(!place.path("nowhere").exists());
    // Who looks at all of them is not disturbed.
    place.now("it")?.release();
    ensure!(place.locks.list()?.locks.is_empty());
    Ok(())
}

/// Whatever is in the file, with nobody inside: no panic, no hang, and afterwards it is a lock again.
#[test]
fn nonsense_in_the_file() -> Result {
    let place = Place::new()?;
    let mut chance = Chance::new(3);
    for round in 0..rounds() {
        let name = format!("it-{round}");
        for _ in 0..=round % 2 {
            place.now(&name)?.release();
        }
        let file = place.open(&name)?;
        match round % 4 {
            // Here and there.
            0 => {
                for _ in 0..1 + chance.below(200) {
                    let byte = u8::try_from(chance.below(256))?;
                    let at = [0, 4 << 10, 512 << 10][usize::try_from(chance.below(3))?];
                    file.write_all_at(&[byte], at + chance.below(600))?;
                }
            }
            // Heads that promise more than there is, or than there can be.
            1 => {
                for at in [4 << 10, 512 << 10] {
                    let mut head = b"wardlk4\n".to_vec();
                    head.extend_from_slice(&u64::MAX.to_le_bytes());
                    let length =
                        [u64::MAX, 160, 161, 400_000, 0][usize::try_from(chance.below(5))?];
                    head.extend_from_slice(&length.to_le_bytes());
                    file.write_all_at(&head, at)?;
                }
            }
            2 => file.set_len(chance.below(600_000))?,
            _ => {
                let nonsense: Vec<u8> = (0..8192).map(|_| chance.below(256) as u8).collect();
                for at in [0, 4 << 10, 512 << 10, 1 << 20, 1152 << 10] {
                    file.write_all_at(&nonsense, at)?;
                }
            }
        }
        let got = asked(&place.locks, &name)?;
        let told = matches!(
            got,
            Ok(_) | Err(LockError::Io { .. } | LockError::Damaged { .. })
        );
        ensure!(told, "{round}: {got:?}");
        if let Ok(held) = got {
            ensure!(place.now(&name).is_err(), "{round}: two are inside");
            // Dropped, it would stay as long as a worker of another test has it who is just being made.
            held.iter().for_each(Held::release);
            place.now(&name)?.release();
        }
        let _ = place.locks.history(&name);
        let _ = place.locks.list();
    }
    Ok(())
}

/// One of the two copies is nonsense while somebody is inside and others wait.
#[test]
fn one_copy_is_nonsense() -> Result {
    let place = Place::new()?;
    for round in 0..rounds().min(20) {
        let held = place.now("it")?;
        let mut worker = place.worker()?;
        ensure!(worker.hear()? == "here");
        worker.order("lock it")?;
        place.await_queue("it", (1, 1))?;
        // The older one: the newer one is the truth.
        let file = place.open("it")?;
        let number = |at: u64| -> Result<u64> {
            let mut bytes = [0; 8];
            file.read_exact_at(&mut bytes, at + 8)?;
            Ok(u64::from_le_bytes(bytes))
        };
        let copies = [4 << 10, 512 << 10];
        let older = copies[usize::from(number(copies[1])? < number(copies[0])?)];
        file.write_all_at(&[u8::try_from(round)?; 64], older)?;
        ensure!(matches!(place.now("it"), Err(LockError::Busy { .. })));
        held.release();
        ensure!(worker.hear()?.starts_with("held"));
        worker.expect("release", "released")?;
    }
    Ok(())
}
