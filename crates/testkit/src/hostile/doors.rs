//! Ways into a place, for who cannot run code between fork and exec: the test starts this
//! program, which goes there and then becomes the one that was wanted.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::Context as _;
use rustix::fs::{Mode, OFlags};
use rustix::process::setsid;
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

fn after_separator(arguments: &[OsString]) -> anyhow::Result<(&[OsString], Command)> {
    let separator = arguments
        .iter()
        .position(|argument| argument == OsStr::new("--"))
        .context("no `--`")?;
    let (program, rest) = arguments[separator + 1..]
        .split_first()
        .context("no command after `--`")?;
    let mut command = Command::new(program);
    command.args(rest);
    Ok((&arguments[..separator], command))
}

/// `enter [cgroup=DIR] [uid=N] [gid=N] -- COMMAND…`
pub(super) fn enter(arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    let (options, mut command) = after_separator(arguments)?;
    for option in options {
        let text = option.to_str().context("an option that is not UTF-8")?;
        let (name, value) = text.split_once('=').context("an option without a value")?;
        match name {
            "cgroup" => std::fs::write(format!("{value}/cgroup.procs"), "0")
                .with_context(|| format!("entering {value}"))?,
            "uid" => {
                command.uid(value.parse()?);
            }
            "gid" => {
                command.gid(value.parse()?);
            }
            _ => anyhow::bail!("no such option: {name}"),
        }
    }
    Err(command.exec().into())
}

/// `on-terminal DEVICE -- COMMAND…`
pub(super) fn on_terminal(arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    let (options, mut command) = after_separator(arguments)?;
    let [device] = options else {
        anyhow::bail!("which terminal?");
    };
    setsid()?;
    // The first terminal that the leader of a session opens becomes the session's own.
    let terminal = rustix::fs::open(device, OFlags::RDWR, Mode::empty())
        .with_context(|| format!("opening {}", device.display()))?;
    dup2_stdin(&terminal)?;
    dup2_stdout(&terminal)?;
    dup2_stderr(&terminal)?;
    drop(terminal);
    Err(command.exec().into())
}
