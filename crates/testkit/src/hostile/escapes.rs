//! Moods about getting away: out of the process group, the session, the parent, the
//! environment, the user, and out of every list that somebody has just made.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};
use std::str::FromStr;
use std::time::Duration;

use rustix::process::{DumpableBehavior, getuid, set_dumpable_behavior, setsid};

use super::body::Body;
use super::stubborn::take_no_notice;

/// `nobody` on every Linux.
const NOBODY: u32 = 65534;

/// How a process gets away from who started it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escape {
    /// It does not.
    Plain,
    /// Into a process group of its own.
    Group,
    /// Into a session of its own.
    Session,
    /// Its parent ends.
    Orphan,
    /// Its parent, the leader of a session of its own, ends.
    Daemon,
    /// The same, with an empty environment.
    NamelessDaemon,
    /// It takes no notice of stop signals.
    Deaf,
}

const ESCAPES: [(Escape, &str); 7] = [
    (Escape::Plain, "plain"),
    (Escape::Group, "group"),
    (Escape::Session, "session"),
    (Escape::Orphan, "orphan"),
    (Escape::Daemon, "daemon"),
    (Escape::NamelessDaemon, "nameless-daemon"),
    (Escape::Deaf, "deaf"),
];

impl Escape {
    fn name(self) -> &'static str {
        ESCAPES
            .iter()
            .find(|(escape, _)| *escape == self)
            .map_or("plain", |(_, name)| name)
    }
}

impl FromStr for Escape {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        ESCAPES
            .iter()
            .find(|(_, name)| *name == text)
            .map(|(escape, _)| *escape)
            .ok_or_else(|| anyhow::anyhow!("no such escape: {text}"))
    }
}

/// Starts `mood` so that it gets away by `escape`, and waits for a parent in between to end.
fn start(body: &Body, escape: Escape, mood: &[&str]) -> anyhow::Result<()> {
    match escape {
        Escape::Plain | Escape::Session | Escape::Deaf => {
            body.again(mood)?.spawn()?;
        }
        Escape::Group => {
            body.again(mood)?.process_group(0).spawn()?;
        }
        Escape::Orphan | Escape::Daemon | Escape::NamelessDaemon => {
            let mut step = vec!["stepping-stone", escape.name()];
            step.extend(mood);
            let status = body.again(&step)?.status()?;
            anyhow::ensure!(
                status.success(),
                "the parent in between ended with {status}"
            );
        }
    }
    Ok(())
}

/// The parent in between.
pub(super) fn stepping_stone(
    body: &Body,
    escape: Escape,
    next: &[&str],
) -> anyhow::Result<ExitCode> {
    let mut command = body.again(next)?;
    if matches!(escape, Escape::Daemon | Escape::NamelessDaemon) {
        setsid()?;
    }
    if escape == Escape::NamelessDaemon {
        command.env_clear();
    }
    command.spawn()?;
    Ok(ExitCode::SUCCESS)
}

fn without_descriptors(command: &mut Command) -> &mut Command {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
}

pub(super) fn daemonize(body: &Body) -> anyhow::Result<ExitCode> {
    let mut step = body.again(&["stepping-stone", "daemon", "linger"])?;
    without_descriptors(&mut step).current_dir("/").status()?;
    body.await_signatures(1)?;
    Ok(body.leave())
}

pub(super) fn hold_pipe(body: &Body) -> anyhow::Result<ExitCode> {
    body.again(&["linger"])?.spawn()?;
    body.await_signatures(1)?;
    Ok(body.leave())
}

pub(super) fn close_and_stay(body: &Body) -> anyhow::Result<ExitCode> {
    // What a program inherits besides the first three has been marked close-on-exec by
    // nobody: a shell closes it, since this program cannot without unsafe code.
    let mut command = Command::new("/bin/sh");
    let again = body.again(&["linger"])?;
    command
        .arg("-c")
        .arg("for fd in 3 4 5 6 7 8 9; do eval \"exec $fd>&-\"; done; exec \"$@\"")
        .arg("sh")
        .arg(again.get_program())
        .args(again.get_args());
    Err(without_descriptors(&mut command).exec().into())
}

pub(super) fn wipe_environ(body: &Body) -> anyhow::Result<ExitCode> {
    if std::env::vars_os().next().is_none() {
        return body.stay();
    }
    Err(body.again(&["wipe-environ"])?.env_clear().exec().into())
}

pub(super) fn undumpable(body: &Body) -> anyhow::Result<ExitCode> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    body.stay()
}

pub(super) fn change_user(body: &Body) -> anyhow::Result<ExitCode> {
    if !getuid().is_root() {
        return body.stay();
    }
    let mut command = body.again(&["linger"])?;
    Err(command.uid(NOBODY).gid(NOBODY).exec().into())
}

pub(super) fn sleepers(body: &Body, count: usize) -> anyhow::Result<ExitCode> {
    let mut steps = Vec::new();
    for _ in 0..count {
        steps.push(
            body.again(&["stepping-stone", "daemon", "linger"])?
                .spawn()?,
        );
    }
    for mut step in steps {
        step.wait()?;
    }
    body.await_signatures(count)?;
    Ok(body.leave())
}

pub(super) fn mixed_tree(body: &Body, count: usize, leave: bool) -> anyhow::Result<ExitCode> {
    grow(body, 0, count)?;
    body.sign()?;
    body.await_signatures(count)?;
    if leave {
        return Ok(body.leave());
    }
    std::thread::sleep(body.remaining());
    Ok(ExitCode::SUCCESS)
}

/// One node of the tree: gets away, has its children, waits.
pub(super) fn node(
    body: &Body,
    index: usize,
    count: usize,
    escape: Escape,
) -> anyhow::Result<ExitCode> {
    match escape {
        Escape::Session => {
            setsid()?;
        }
        Escape::Deaf => take_no_notice()?,
        Escape::Plain
        | Escape::Group
        | Escape::Orphan
        | Escape::Daemon
        | Escape::NamelessDaemon => {}
    }
    grow(body, index, count)?;
    body.stay()
}

fn grow(body: &Body, index: usize, count: usize) -> anyhow::Result<()> {
    for child in [2 * index + 1, 2 * index + 2] {
        if child >= count {
            continue;
        }
        let escape = ESCAPES[child % ESCAPES.len()].0;
        let (child, count) = (child.to_string(), count.to_string());
        start(body, escape, &["node", &child, &count, escape.name()])?;
    }
    Ok(())
}

/// A storm is bounded by its number of processes as well as by its time.
const LINKS: u32 = 20_000;

pub(super) fn fork_storm(
    body: &Body,
    chains: u32,
    seconds: u64,
    stay: bool,
) -> anyhow::Result<ExitCode> {
    let storm = body.shorter(Duration::from_secs(seconds));
    for _ in 0..chains {
        storm
            .again(&["link", &(LINKS / chains.max(1)).to_string()])?
            .spawn()?;
    }
    body.sign()?;
    if stay {
        std::thread::sleep(body.remaining());
    }
    Ok(body.leave())
}

/// One link of a chain: starts the next one and is gone, each in a session of its own.
pub(super) fn link(body: &Body, links: u32) -> anyhow::Result<ExitCode> {
    // The leader of a process group cannot have a session of its own; each link is a plain
    // child of the one before, so none is.
    setsid()?;
    while !body.is_over() && links > 0 {
        if body
            .again(&["link", &(links - 1).to_string()])?
            .spawn()
            .is_ok()
        {
            break;
        }
        // No more processes for now: those who are here will end.
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(ExitCode::SUCCESS)
}
