//! A tree of processes that is hard to end: one in six of each way out of a parent's reach.

use std::env;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// Children of one node; the tree has the shape of a heap.
const FAN: u64 = 8;

/// However a measurement ends, its tree ends after this.
const LIFE: Duration = Duration::from_secs(300);

/// How node `index` is held by its parent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flavour {
    Plain,
    /// In a session of its own.
    Session,
    /// Its parent is gone: forked twice.
    Orphan,
    /// Both, as daemons do.
    Daemon,
    /// A daemon that kept nothing of the environment.
    Clean,
    /// Ignores the stop signal.
    Deaf,
}

impl Flavour {
    fn of(index: u64) -> Self {
        match index % 6 {
            0 => Self::Plain,
            1 => Self::Session,
            2 => Self::Orphan,
            3 => Self::Daemon,
            4 => Self::Clean,
            _ => Self::Deaf,
        }
    }
}

/// Starts the children of node `index` of `size`, adds one byte to `ready`, and sleeps.
pub(crate) fn node(ready: &str, size: u64, index: u64) -> io::Result<()> {
    if matches!(
        Flavour::of(index),
        Flavour::Session | Flavour::Daemon | Flavour::Clean
    ) && index > 0
    {
        rustix::process::setsid()?;
    }
    for child in FAN * index + 1..=FAN * index + FAN {
        if child < size {
            start(ready, size, child)?;
        }
    }
    OpenOptions::new()
        .append(true)
        .open(ready)?
        .write_all(b".")?;
    thread::sleep(LIFE);
    Ok(())
}

/// The middle of a double fork: starts the node and leaves it.
pub(crate) fn hop(ready: &str, size: u64, index: u64) -> io::Result<()> {
    let mut command = this_program("node", ready, size, index)?;
    if Flavour::of(index) == Flavour::Clean {
        command.env_clear();
    }
    leave(command)
}

fn start(ready: &str, size: u64, child: u64) -> io::Result<()> {
    match Flavour::of(child) {
        Flavour::Plain | Flavour::Session => leave(this_program("node", ready, size, child)?),
        Flavour::Orphan | Flavour::Daemon | Flavour::Clean => {
            let status = this_program("hop", ready, size, child)?.status()?;
            if status.success() {
                Ok(())
            } else {
                Err(io::Error::other(format!(
                    "the middle of a double fork: {status}"
                )))
            }
        }
        Flavour::Deaf => {
            // An ignored signal stays ignored over exec, and a shell can ask for it safely.
            let node = this_program("node", ready, size, child)?;
            let mut shell = Command::new("/bin/sh");
            shell
                .args(["-c", "trap '' TERM; exec \"$@\"", "sh"])
                .arg(node.get_program())
                .args(node.get_args())
                .stdin(Stdio::null());
            leave(shell)
        }
    }
}

/// Starts a process that nobody will wait for.
fn leave(mut command: Command) -> io::Result<()> {
    command.spawn().map(drop)
}

fn this_program(verb: &str, ready: &str, size: u64, index: u64) -> io::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command
        .args([verb, ready, &size.to_string(), &index.to_string()])
        .stdin(Stdio::null());
    Ok(command)
}
