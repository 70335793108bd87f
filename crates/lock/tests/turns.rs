//! Locks whose files stay open between two turns, and nobody notices: they are free meanwhile, they are
//! those of their names, and a fork of ours is somebody else.
//!
//! Without a harness: a process that has other threads must not be forked, and what it has open is its own.

#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, waitpid};
use ward_lock::{Directory, Held, LockError, Patience, Request, Turn, Turns, Wanted};
use ward_sys::fork::{Side, fork_single_threaded};
use ward_sys::lockfile;

/// How often what depends on the moment is tried.
const ROUNDS: usize = 40;

/// How many turns each half of a fork takes.
const TURNS: usize = 200;

type Check = (&'static str, fn(&Place) -> Result<()>);

const CHECKS: [Check; 11] = [
    ("the_file_stays_open_with_nothing_locked", stays_open),
    ("a_file_that_is_not_the_one_of_its_name", is_another),
    ("a_file_that_was_removed", is_removed),
    (
        "a_damaged_file_that_was_removed",
        is_removed_as_it_was_damaged,
    ),
    ("a_queue_that_was_begun_anew", is_begun_anew),
    ("a_descriptor_that_somebody_else_has", is_lent),
    ("several_at_once", several),
    ("a_turn_that_is_not_had", is_not_had),
    ("the_halves_of_a_fork_are_two", halves_exclude_each_other),
    ("a_copy_of_a_turn_frees_no_other", forked_in_a_turn),
    (
        "who_is_killed_is_gone_though_his_parent_lives",
        fork_is_killed,
    ),
];

fn main() -> ExitCode {
    let mut failed = false;
    for (name, check) in CHECKS {
        let done = Place::new(name).and_then(|place| check(&place));
        match done {
            Ok(()) => println!("test {name} ... ok"),
            Err(error) => {
                failed = true;
                println!("test {name} ... FAILED: {error:#}");
            }
        }
    }
    ExitCode::from(u8::from(failed))
}

/// A lock directory of a test's own.
struct Place {
    path: PathBuf,
    locks: Directory,
    own: PathBuf,
}

impl Place {
    fn new(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("ward-turns-{name}-{}", std::process::id()));
        let locks = Directory::open(Some(&path))?;
        let own = path.join("it");
        Ok(Self { path, locks, own })
    }

    fn turns(&self) -> Result<Turns> {
        Ok(self.locks.turns(Request::exclusive("it")?))
    }

    /// As another program would ask.
    fn now(&self) -> Result<Held, LockError> {
        let request = Request::exclusive("it")?;
        let held = self.locks.acquire(&request, Patience::None, None);
        held.map(|mut held| held.remove(0))
    }

    fn turn(&self) -> Result<()> {
        drop(self.now()?.guard());
        Ok(())
    }

    /// Files of this place that we have open.
    fn open(&self) -> Result<Vec<PathBuf>> {
        let mut open = Vec::new();
        for entry in fs::read_dir("/proc/self/fd")? {
            // That of the directory itself is closed by the time it is looked at.
            let file = fs::read_link(entry?.path()).unwrap_or_default();
            if file.starts_with(&self.path) {
                open.push(file);
            }
        }
        Ok(open)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn now(turns: &mut Turns) -> Result<Turn<'_>, LockError> {
    turns.take(Patience::None)
}

fn is_locked(path: &Path) -> Result<bool> {
    let file = File::options().read(true).write(true).open(path)?;
    Ok(lockfile::is_any_locked(&file, 0)?)
}

fn inode(turn: &Turn<'_>) -> Result<u64> {
    let number = turn[0].descriptor().as_raw_fd();
    Ok(fs::metadata(format!("/proc/self/fd/{number}"))?.ino())
}

fn stays_open(place: &Place) -> Result<()> {
    let mut turns = place.turns()?;
    let mut last = 0;
    for _ in 0..3 {
        let turn = now(&mut turns)?;
        ensure!(turn[0].token() > last, "tokens do not rise");
        last = turn[0].token();
        ensure!(is_locked(&place.own)?);
        ensure!(matches!(place.now(), Err(LockError::Busy { .. })));
        drop(turn);
        ensure!(place.open()? == [place.own.clone()], "it is not kept");
        ensure!(!is_locked(&place.own)?);
        place.turn()?;
    }
    drop(turns);
    ensure!(place.open()?.is_empty());
    Ok(())
}

fn is_another(place: &Place) -> Result<()> {
    let aside = place.path.with_extension("aside");
    let mut turns = place.turns()?;
    for somebody_was_here in [false, true] {
        drop(now(&mut turns)?);
        fs::rename(&place.path, &aside)?;
        fs::create_dir(&place.path)?;
        if somebody_was_here {
            fs::copy(aside.join("it"), &place.own)?;
        }
        let turn = now(&mut turns)?;
        ensure!(fs::metadata(&place.own)?.ino() == inode(&turn)?);
        drop(turn);
        fs::remove_dir_all(&aside)?;
    }
    Ok(())
}

fn is_removed(place: &Place) -> Result<()> {
    let mut turns = place.turns()?;
    drop(now(&mut turns)?);
    fs::remove_file(&place.own)?;
    let turn = now(&mut turns)?;
    ensure!(is_locked(&place.own)?);
    drop(turn);
    // In the middle of a turn.
    let turn = now(&mut turns)?;
    fs::remove_file(&place.own)?;
    drop(turn);
    drop(now(&mut turns)?);
    ensure!(place.own.exists());
    Ok(())
}

/// What is wrong with a file that is gone is nobody's concern.
fn is_removed_as_it_was_damaged(place: &Place) -> Result<()> {
    let mut turns = place.turns()?;
    drop(now(&mut turns)?);
    let length = usize::try_from(fs::metadata(&place.own)?.len())?;
    fs::write(&place.own, vec![b'x'; length])?;
    ensure!(matches!(now(&mut turns), Err(LockError::Damaged { .. })));
    fs::remove_file(&place.own)?;
    drop(now(&mut turns)?);
    // Damaged only after the turn, and removed.
    fs::write(&place.own, vec![b'x'; length])?;
    fs::remove_file(&place.own)?;
    drop(now(&mut turns)?);
    Ok(())
}

/// Somebody empties the file while nobody is there, and others begin it anew: the numbers of its changes
/// are the same again.
fn is_begun_anew(place: &Place) -> Result<()> {
    for length in [0, 4 << 10, 5 << 10] {
        for before in 1..4 {
            let mut turns = place.turns()?;
            let _ = fs::remove_file(&place.own);
            for _ in 0..before {
                drop(now(&mut turns)?);
            }
            for others in 0..=before {
                let file = File::options().write(true).open(&place.own)?;
                file.set_len(length)?;
                for _ in 0..others {
                    place.turn()?;
                }
                let held = place.now()?;
                let second = now(&mut turns);
                ensure!(
                    matches!(second, Err(LockError::Busy { .. })),
                    "{length}, {before}, {others}: two are inside"
                );
                drop(second);
                held.release();
                drop(held);
                drop(now(&mut turns)?);
            }
        }
    }
    Ok(())
}

fn is_lent(place: &Place) -> Result<()> {
    let mut turns = place.turns()?;
    let turn = now(&mut turns)?;
    let other = turn[0].descriptor().try_clone_to_owned()?;
    drop(turn);
    let turn = now(&mut turns)?;
    // Nobody sees what he has locked himself.
    ensure!(lockfile::is_any_locked(&other, 0)?, "it is his, too");
    drop(turn);
    Ok(())
}

fn several(place: &Place) -> Result<()> {
    let wanted = ["b", "a", "c"].map(Wanted::new);
    let wanted = wanted.into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut turns = place.locks.turns(Request::new(wanted));
    for _ in 0..4 {
        let turn = now(&mut turns)?;
        let names: Vec<&str> = turn.iter().map(Held::name).collect();
        ensure!(names == ["b", "a", "c"], "{names:?}");
        drop(turn);
        ensure!(place.open()?.len() == 3);
        fs::remove_file(place.path.join("a"))?;
    }
    Ok(())
}

fn is_not_had(place: &Place) -> Result<()> {
    let mut turns = place.turns()?;
    drop(now(&mut turns)?);
    let held = place.now()?;
    for _ in 0..3 {
        ensure!(matches!(now(&mut turns), Err(LockError::Busy { .. })));
    }
    held.release();
    drop(held);
    drop(now(&mut turns)?);
    ensure!(!is_locked(&place.own)?);
    Ok(())
}

/// Forks, and does this in the child, which then ends.
fn beside(work: impl FnOnce() -> Result<()>) -> Result<Pid> {
    match fork_single_threaded()? {
        Side::Parent(child) => Ok(child),
        Side::Child => {
            let done = work();
            if let Err(error) = &done {
                eprintln!("in a child: {error:#}");
            }
            #[expect(clippy::disallowed_methods, reason = "a forked half ends here")]
            std::process::exit(i32::from(done.is_err()))
        }
    }
}

fn ended(child: Pid) -> Result<WaitStatus> {
    let (_, status) = waitpid(Some(child), WaitOptions::empty())?.context("it has not ended")?;
    Ok(status)
}

fn until_closed(mut pipe: &PipeReader) -> Result<()> {
    pipe.read_to_end(&mut Vec::new())?;
    Ok(())
}

fn heard(pipe: &mut PipeReader) -> Result<()> {
    pipe.read_exact(&mut [0]).context("nothing was said")
}

fn say(pipe: &mut PipeWriter) -> Result<()> {
    Ok(pipe.write_all(b".")?)
}

/// Both have the description that was kept.
fn halves_exclude_each_other(place: &Place) -> Result<()> {
    let inside = place.path.join("%inside");
    let take_turns = |turns: &mut Turns| -> Result<()> {
        for _ in 0..TURNS {
            let turn = turns.take(Patience::Never)?;
            File::create_new(&inside).context("two are inside")?;
            fs::remove_file(&inside)?;
            drop(turn);
        }
        Ok(())
    };
    let mut turns = place.turns()?;
    for _ in 0..ROUNDS {
        drop(now(&mut turns)?);
        let child = beside(|| take_turns(&mut turns))?;
        let ours = take_turns(&mut turns);
        let status = ended(child)?;
        ours?;
        ensure!(status.exit_status() == Some(0), "{status:?}");
    }
    Ok(())
}

/// A fork of whoever has it open takes it and is killed.
fn fork_is_killed(place: &Place) -> Result<()> {
    let mut turns = place.turns()?;
    for _ in 0..ROUNDS {
        let (mut holds, mut held) = std::io::pipe()?;
        let (stay, leave) = std::io::pipe()?;
        let mut leave = Some(leave);
        drop(now(&mut turns)?);
        let holder = beside(|| {
            drop(leave.take());
            let turn = now(&mut turns)?;
            say(&mut held)?;
            until_closed(&stay)?;
            drop(turn);
            Ok(())
        })?;
        heard(&mut holds)?;
        ensure!(is_locked(&place.own)?, "nobody has it");
        ensure!(matches!(now(&mut turns), Err(LockError::Busy { .. })));
        drop(now(&mut place.turns()?).err().context("two are inside")?);
        kill_process(holder, Signal::KILL)?;
        ended(holder)?;
        ensure!(!is_locked(&place.own)?, "we keep it for him");
    }
    Ok(())
}

/// A fork ends the turn that its parent was in when it was forked, while the parent is in the next one.
fn forked_in_a_turn(place: &Place) -> Result<()> {
    let mut turns = place.turns()?;
    for _ in 0..ROUNDS {
        let (mut may_end, mut end) = std::io::pipe()?;
        let turn = now(&mut turns)?;
        // Both halves drop it: we do here.
        let child = beside(move || {
            heard(&mut may_end)?;
            drop(turn);
            Ok(())
        })?;
        let next = now(&mut turns)?;
        say(&mut end)?;
        let status = ended(child)?;
        ensure!(status.exit_status() == Some(0), "{status:?}");
        ensure!(is_locked(&place.own)?, "it was freed for us");
        ensure!(matches!(place.now(), Err(LockError::Busy { .. })));
        drop(next);
    }
    Ok(())
}
