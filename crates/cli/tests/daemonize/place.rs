//! Where a case is tried, and with whom: a world, a program, and the calls that are made of it.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use ward_testkit::patience::wait_until;
use ward_testkit::processes::signal_marked;
use ward_testkit::programs::{in_path, skipped};
use ward_testkit::run::text;
use ward_testkit::world;
use ward_testkit::world::{Who, World, is_root};

use crate::Result;
use crate::seen::is_gone;

/// Whom a case is tried with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Original,
    Verb,
    Link,
}

/// A world in which one of them is tried.
pub(crate) struct Place {
    pub(crate) world: World,
    pub(crate) kind: Kind,
    pub(crate) program: PathBuf,
}

/// What was seen of one call.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: ExitStatus,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Tries everybody there is with a case, each in a world of its own, and sees to it that
/// nobody is left.
pub(crate) fn each(case: impl Fn(&Place) -> Result) -> Result {
    for kind in [Kind::Original, Kind::Verb, Kind::Link] {
        let Some(place) = Place::new(kind)? else {
            continue;
        };
        case(&place).with_context(|| format!("{kind:?}"))?;
        place.end_everybody().with_context(|| format!("{kind:?}"))?;
    }
    Ok(())
}

/// As [`each`], for cases that need root.
pub(crate) fn each_as_root(what: &str, case: impl Fn(&Place) -> Result) -> Result {
    if is_root() {
        return each(case);
    }
    skipped(what, "only root can become somebody else");
    Ok(())
}

/// The original, if it is installed; says aloud if not.
fn original() -> Option<PathBuf> {
    let found = in_path("daemonize").filter(|path| {
        // Ward may have been put in its place.
        fs::canonicalize(path).is_ok_and(|real| !real.ends_with("ward"))
    });
    if found.is_none() {
        skipped("the original daemonize", "it is not installed");
    }
    found
}

impl Place {
    fn new(kind: Kind) -> Result<Option<Self>> {
        if let Ok(chosen) = std::env::var("WARD_TEST_DAEMONIZE")
            && !format!("{kind:?}").eq_ignore_ascii_case(&chosen)
        {
            skipped(&format!("{kind:?}"), "WARD_TEST_DAEMONIZE asks for another");
            return Ok(None);
        }
        let world = world!()?;
        let program = match kind {
            Kind::Original => match original() {
                Some(path) => path,
                None => return Ok(None),
            },
            Kind::Verb => world.ward_program().to_owned(),
            Kind::Link => {
                let link = world.programs().join("daemonize");
                symlink(world.ward_program(), &link)?;
                link
            }
        };
        Ok(Some(Self {
            world,
            kind,
            program,
        }))
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.kind != Kind::Original
    }

    /// A path in the directory for files.
    pub(crate) fn path(&self, name: &str) -> String {
        text(self.world.path(name))
    }

    /// The words that begin a command line.
    pub(crate) fn beginning(&self) -> Vec<OsString> {
        let mut words = vec![self.program.clone().into()];
        if self.kind == Kind::Verb {
            words.push("daemonize".into());
        }
        words
    }

    /// A call, begun by `wrapper` (a shell's text that ends in `exec "$@"`) if there is one.
    pub(crate) fn command_as(&self, who: Who, wrapper: Option<&str>, words: &[&str]) -> Command {
        let beginning = self.beginning();
        let mut command = match wrapper {
            None => {
                let mut command = self.world.command_as(who, &beginning[0]);
                command.args(&beginning[1..]);
                command
            }
            Some(text) => {
                let mut command = self.world.command_as(who, "/bin/sh");
                command.args(["-c", text, "sh"]).args(beginning);
                command
            }
        };
        command
            .args(words)
            .env("WARD_STATE_DIR", self.world.path("state"))
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        self.command_as(Who::Myself, None, words)
    }

    pub(crate) fn say(&self, words: &[&str]) -> Result<Said> {
        said(&mut self.command(words))
    }

    /// A call that is refused: exactly these words, status 1, and nothing runs.
    pub(crate) fn refuses(&self, words: &[&str], complaint: &str) -> Result {
        let marker = self.path("was started");
        let mut words = words.to_vec();
        if words.last() == Some(&TOUCH) {
            words.push(&marker);
        }
        let said = self.say(&words)?;
        ensure!(said.err == complaint, "{words:?}: {said:?}");
        ensure!(said.status.code() == Some(1), "{words:?}: {said:?}");
        ensure!(said.out.is_empty(), "{words:?}: {said:?}");
        ensure!(!Path::new(&marker).exists(), "{words:?}: it was started");
        Ok(())
    }

    /// The words of a daemon that waits.
    pub(crate) fn lingering(&self) -> Vec<String> {
        self.world.hostile(&["linger"])
    }

    /// Starts a daemon that waits.
    pub(crate) fn daemon(&self, options: &[&str]) -> Result<i32> {
        self.daemon_by(None, options)
    }

    pub(crate) fn daemon_by(&self, wrapper: Option<&str>, options: &[&str]) -> Result<i32> {
        let daemon = self.lingering();
        let words: Vec<&str> = options
            .iter()
            .copied()
            .chain(daemon.iter().map(String::as_str))
            .collect();
        self.start(&mut self.command_as(Who::Myself, wrapper, &words))
    }

    /// Makes a call that succeeds without a word, and waits for the daemon to sign.
    pub(crate) fn start(&self, command: &mut Command) -> Result<i32> {
        let before = self.world.signed().len();
        said(command)?.is_silent_success()?;
        let signed = self.world.await_signatures(before + 1)?;
        Ok(signed[before])
    }

    /// Runs a script of `sh` under these options to its end.
    pub(crate) fn script(&self, options: &[&str], script: &str) -> Result {
        let done = self.path("done");
        let _ = fs::remove_file(&done);
        let script = format!("{script}\n: >{done}");
        let words: Vec<&str> = options
            .iter()
            .copied()
            .chain(["/bin/sh", "-c", &script, "sh", "first", "-x", "--", "last"])
            .collect();
        self.say(&words)?.is_silent_success()?;
        wait_until("the script to end", || Path::new(&done).exists())
    }

    /// Ends a daemon and waits until it is gone.
    pub(crate) fn end(&self, pid: i32) -> Result {
        signal_marked(pid, self.world.mark(), Signal::KILL);
        wait_until("the daemon to be gone", || is_gone(pid))
    }

    /// Ends all daemons, after which ward's own processes end by themselves.
    fn end_everybody(&self) -> Result {
        for seen in self.world.survivors() {
            signal_marked(seen.pid, self.world.mark(), Signal::KILL);
        }
        wait_until("the daemons to be gone", || {
            self.world.survivors().is_empty()
        })?;
        wait_until("ward's own processes to be gone", || {
            self.world.wards().is_empty()
        })
        .with_context(|| format!("{:#?}", self.world.wards()))
    }
}

/// Creates the file that is its argument: what must not run.
pub(crate) const TOUCH: &str = "/usr/bin/touch";

pub(crate) fn said(command: &mut Command) -> Result<Said> {
    let output = command.output()?;
    Ok(Said {
        status: output.status,
        out: String::from_utf8(output.stdout)?,
        err: String::from_utf8(output.stderr)?,
    })
}

impl Said {
    pub(crate) fn is_silent_success(&self) -> Result {
        ensure!(self.status.success(), "{self:?}");
        ensure!(self.out.is_empty() && self.err.is_empty(), "{self:?}");
        Ok(())
    }
}

/// By another process: a file that is open for writing cannot be executed.
pub(crate) fn write_program(path: &str, content: &str) -> Result {
    let script = format!("cat >'{path}' && chmod 755 '{path}'");
    let mut child = Command::new("/bin/sh")
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .spawn()?;
    let mut pipe = child.stdin.take().context("no pipe")?;
    std::io::Write::write_all(&mut pipe, content.as_bytes())?;
    drop(pipe);
    ensure!(child.wait()?.success(), "{path}");
    Ok(())
}
