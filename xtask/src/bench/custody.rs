//! Three processes, so that nothing that is measured outlives the measurement.
//!
//! The front is what the user started. It starts a keeper in a session of its own, out of the
//! reach of Ctrl-C, and holds a pipe to it; the keeper starts the process that measures. When
//! the measurement is over, or the pipe ends because the front was interrupted or killed, the
//! keeper ends all that is left below it and removes what was made.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::Plan;
use super::control::Group;
use super::processes;

/// No measurement takes this long; one that does hangs.
const LONGEST: Timespec = Timespec {
    tv_sec: 3600,
    tv_nsec: 0,
};

/// How long ending what is left may take.
const LAST_ORDERS: Duration = Duration::from_secs(30);

/// Starts the keeper and waits for it.
pub(super) fn front(plan: &Plan) -> Result<()> {
    let mut keeper = ourselves("keep", plan)?
        .stdin(Stdio::piped())
        .spawn()
        .context("starting the keeper")?;
    // Our end of its standard input is never written to: it ends when we do.
    let lifeline = keeper.stdin.take();
    let status = keeper.wait().context("waiting for the keeper")?;
    drop(lifeline);
    if !status.success() {
        bail!("the measurement failed ({status})");
    }
    Ok(())
}

/// Keeps the process that measures, and ends everything when it or the front is gone.
pub(super) fn keep(mut plan: Plan) -> Result<()> {
    rustix::process::setsid().context("leaving the session")?;
    processes::adopt_orphans().context("adopting orphans")?;
    let name = format!("ward-bench-{}", std::process::id());
    let work = work_directory(&name)?;
    let group = Group::own().and_then(|own| own.make(&name).ok());
    plan.work = Some(work.clone());
    plan.group = group.as_ref().map(|group| group.path().to_owned());

    let measured = kept(&plan);

    let ended = end_all(group.as_ref());
    let removed = group.map_or(Ok(()), |group| group.remove(LAST_ORDERS));
    let emptied = fs::remove_dir_all(&work);
    measured?;
    ended?;
    removed.context("removing the control group")?;
    emptied.with_context(|| format!("removing {}", work.display()))
}

/// Starts the process that measures; returns when it, the front, or the time is over.
fn kept(plan: &Plan) -> Result<()> {
    let mut measuring = ourselves("measure", plan)?;
    if let Some(work) = &plan.work {
        // What is measured keeps its files with us, not with the user.
        measuring
            .env("WARD_LOCK_DIR", work.join("locks"))
            .env("PARALLEL_HOME", work.join("parallel"));
    }
    let mut measuring = measuring
        .stdin(Stdio::null())
        .spawn()
        .context("starting the measurement")?;
    let its_end = pidfd_open(Pid::from_child(&measuring), PidfdFlags::empty())
        .context("opening a pidfd of the measurement")?;
    let stdin = std::io::stdin();
    let mut both = [
        PollFd::new(&its_end, PollFlags::IN),
        PollFd::new(&stdin, PollFlags::IN),
    ];
    loop {
        match poll(&mut both, Some(&LONGEST)) {
            Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("waiting for the measurement"),
            Ok(0) => bail!("the measurement hangs"),
            Ok(_) => break,
        }
    }
    if both[0].revents().is_empty() {
        bail!("interrupted");
    }
    let status = measuring.wait().context("waiting for the measurement")?;
    if !status.success() {
        bail!("the measuring process failed ({status})");
    }
    Ok(())
}

fn end_all(group: Option<&Group>) -> Result<()> {
    if let Some(group) = group {
        group
            .kill(LAST_ORDERS)
            .context("emptying the control group")?;
    }
    processes::end_all(LAST_ORDERS).context("ending what was started")
}

/// A directory in memory where there is one, so that no disk is measured.
fn work_directory(name: &str) -> Result<PathBuf> {
    let in_memory = Path::new("/dev/shm").join(name);
    if fs::create_dir(&in_memory).is_ok() {
        return Ok(in_memory);
    }
    let work = env::temp_dir().join(name);
    fs::create_dir(&work).with_context(|| format!("making {}", work.display()))?;
    Ok(work)
}

fn ourselves(verb: &str, plan: &Plan) -> Result<Command> {
    let mut command = Command::new(env::current_exe().context("finding ourselves")?);
    command.args(["bench", verb]).args(plan.arguments());
    Ok(command)
}
