//! `ward spawn` and its family from the outside: ask, read the answer, and look into the
//! ledger that they keep.
//!
//! What the ledger looks like is part of the contract: a person who has nothing but a shell
//! left must be able to read it. So this reads the files themselves, and not through ward.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::patience::{wait_for, wait_until};
use crate::processes::{look, start_ticks};
use crate::run::Capture;
use crate::world::{Who, World};

/// Variables by which ward learns who builds, beyond those that [`World::furnish`] takes away:
/// the tests themselves may run in somebody's build.
pub const ORIGINS: [&str; 16] = [
    "BUILD_NUMBER",
    "BUILD_TAG",
    "BUILD_URL",
    "BUILDKITE",
    "CI",
    "GITEA_ACTIONS",
    "GITHUB_ACTIONS",
    "GITLAB_CI",
    "HUDSON_COOKIE",
    "HUDSON_SERVER_COOKIE",
    "HUDSON_URL",
    "JENKINS_SERVER_COOKIE",
    "JENKINS_URL",
    "JOB_BASE_NAME",
    "JOB_NAME",
    "WARD_RUN_ID",
];

/// A call of ward that is being described.
#[must_use]
pub struct Ask<'w> {
    world: &'w World,
    command: Command,
}

impl<'w> Ask<'w> {
    /// `ward WORDS…`, asked by the test itself.
    pub fn new<T: AsRef<OsStr>>(world: &'w World, words: impl IntoIterator<Item = T>) -> Self {
        Self::by(world, Who::Myself, words)
    }

    /// `ward WORDS…`, asked by `who`.
    pub fn by<T: AsRef<OsStr>>(
        world: &'w World,
        who: Who,
        words: impl IntoIterator<Item = T>,
    ) -> Self {
        Self::of(world, who, world.ward_program().as_os_str()).words(words)
    }

    /// `/bin/sh -c TEXT`: a script that asks ward.
    pub fn shell(world: &'w World, text: &str) -> Self {
        let mark = world.mark();
        Self::of(world, Who::Myself, "/bin/sh".as_ref()).words(["-c", text, mark])
    }

    /// Another program that asks ward.
    pub fn of(world: &'w World, who: Who, program: &OsStr) -> Self {
        let mut command = world.command_as(who, program);
        command.stdin(Stdio::null());
        for name in ORIGINS {
            command.env_remove(name);
        }
        Self { world, command }
    }

    /// Further words.
    pub fn words<T: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = T>) -> Self {
        self.command.args(words);
        self
    }

    /// `-- hostile MOOD…`.
    pub fn hostile(self, mood: &[&str]) -> Self {
        let words = self.world.hostile(mood);
        self.words(["--"]).words(words)
    }

    /// `-- /bin/sh -c TEXT`, with the mark as its `$0`, so that it can be found.
    pub fn sh(self, text: &str) -> Self {
        let mark = self.world.mark().to_owned();
        self.words(["--", "/bin/sh", "-c", text, mark.as_str()])
    }

    /// Where the caller is.
    pub fn directory(mut self, directory: impl AsRef<Path>) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// Variables in the caller's environment.
    pub fn variables(mut self, variables: &[crate::killers::Variable]) -> Self {
        let pairs = variables.iter().map(|(name, value)| (*name, value));
        self.command.envs(pairs);
        self
    }

    /// A variable in the caller's environment.
    pub fn variable(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Without these variables in the caller's environment.
    pub fn without(mut self, names: &[&str]) -> Self {
        for name in names {
            self.command.env_remove(name);
        }
        self
    }

    /// The caller's standard input.
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.command.stdin(stdin);
        self
    }

    /// Asks, and does not wait.
    ///
    /// # Errors
    /// When ward cannot be started.
    pub fn start(mut self) -> anyhow::Result<Asked> {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().context("starting ward")?;
        let out = child.stdout.take().context("no stdout")?;
        let err = child.stderr.take().context("no stderr")?;
        Ok(Asked {
            question: format!("{:?}", self.command),
            child,
            streams: Some((Capture::of(out.into()), Capture::of(err.into()))),
        })
    }

    /// Asks, and waits for the answer and for the end of both streams: whoever is left must
    /// not hold them.
    ///
    /// # Errors
    /// When ward cannot be started, or does not end, or somebody holds its streams.
    pub fn answer(self) -> anyhow::Result<Answer> {
        self.start()?.answer()
    }

    /// Asks, and insists on the exit status.
    ///
    /// # Errors
    /// As [`Ask::answer`], and when the status is another.
    pub fn expect(self, code: i32) -> anyhow::Result<Answer> {
        self.answer()?.expect(code)
    }
}

/// A question without an answer yet.
pub struct Asked {
    question: String,
    child: Child,
    streams: Option<(Capture, Capture)>,
}

impl Asked {
    /// The process that was asked.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Sends it a signal. Only this value reaps it, so it is still the same process.
    ///
    /// # Errors
    /// When the system does not.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = Pid::from_raw(self.pid()).context("no process")?;
        kill_process(pid, signal).with_context(|| format!("sending {signal:?}"))
    }

    /// Whether it has ended.
    pub fn is_over(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// What it said so far on standard output.
    #[must_use]
    pub fn out_so_far(&self) -> String {
        let bytes = self.streams.as_ref().map(|(out, _)| out.so_far());
        String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
    }

    /// Waits for its end and for the end of its streams.
    ///
    /// # Errors
    /// When one of them does not end.
    pub fn answer(mut self) -> anyhow::Result<Answer> {
        let child = &mut self.child;
        let status = wait_for("ward to answer", || child.try_wait().ok().flatten())
            .with_context(|| self.so_far())?;
        let (out, err) = self.streams.take().context("answered already")?;
        let (out_until_now, err_until_now) = (out.so_far(), err.so_far());
        let read = |stream: Capture, what| stream.to_end(what);
        let out = read(out, "ward's stdout").with_context(|| {
            format!(
                "{} ended with {status}; stdout {:?}, stderr {:?}",
                self.question,
                String::from_utf8_lossy(&out_until_now),
                String::from_utf8_lossy(&err_until_now),
            )
        })?;
        let err = read(err, "ward's stderr").context(self.question.clone())?;
        Ok(Answer {
            question: std::mem::take(&mut self.question),
            status,
            out: String::from_utf8_lossy(&out).into_owned(),
            err: String::from_utf8_lossy(&err).into_owned(),
        })
    }

    fn so_far(&self) -> String {
        let err = self.streams.as_ref().map(|(_, err)| err.so_far());
        format!(
            "{}; stdout {:?}, stderr {:?}",
            self.question,
            self.out_so_far(),
            String::from_utf8_lossy(&err.unwrap_or_default())
        )
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if !self.is_over() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// What ward answered.
#[derive(Debug, Clone)]
pub struct Answer {
    question: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Answer {
    /// The exit status, or the signal as a shell shows it.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.status
            .code()
            .or_else(|| self.status.signal().map(|signal| 128 + signal))
            .unwrap_or(-1)
    }

    /// Insists on the exit status.
    ///
    /// # Errors
    /// When it is another.
    pub fn expect(self, code: i32) -> anyhow::Result<Self> {
        ensure!(
            self.code() == code,
            "{} ended with {}, not {code}\nstdout: {}\nstderr: {}",
            self.question,
            self.status,
            self.out,
            self.err
        );
        Ok(self)
    }

    /// Standard output as JSON.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.out).with_context(|| format!("not JSON: {}", self.out))
    }

    /// The number in `…, pid N`.
    ///
    /// # Errors
    /// When there is none.
    pub fn pid(&self) -> anyhow::Result<i32> {
        self.out
            .trim_end()
            .rsplit_once("pid ")
            .and_then(|(_, number)| number.parse().ok())
            .with_context(|| format!("no process id in {:?}", self.out))
    }
}

/// A process as the ledger names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its number.
    pub pid: i32,
    /// When it was started, as [`start_ticks`] says.
    pub ticks: u64,
}

impl Member {
    /// A process as it is now.
    ///
    /// # Errors
    /// When there is none.
    pub fn now(pid: i32) -> anyhow::Result<Self> {
        let ticks = start_ticks(pid).with_context(|| format!("no process {pid}"))?;
        Ok(Self { pid, ticks })
    }

    /// Whether this very process is alive.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        start_ticks(self.pid) == Some(self.ticks)
            && look(self.pid).is_some_and(|seen| !seen.is_zombie())
    }
}

/// Who holds a daemon, and the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Custody {
    /// The one that is asked to stop.
    pub front: Member,
    /// The parent of the tree.
    pub guardian: Member,
    /// The daemon's first process.
    pub leader: Member,
}

/// Where ward keeps what it knows of a daemon.
#[must_use]
pub fn directory(world: &World, name: &str) -> PathBuf {
    world.state_of(Who::Myself).join("daemons").join(name)
}

/// Everybody whom the ledger names for a daemon, with what he is.
///
/// # Errors
/// When the ledger cannot be read as it is promised.
pub fn members(world: &World, name: &str) -> anyhow::Result<Vec<(String, Member)>> {
    let path = directory(world, name).join("processes");
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.with_context(|| format!("reading {}", path.display()))?,
    };
    // Whoever writes may be killed in the middle of a line, which then has no end.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole
        .lines()
        .map(|line| {
            let [role, pid, ticks] = line.split(' ').collect::<Vec<_>>()[..] else {
                anyhow::bail!("{}: {line:?}", path.display());
            };
            let (pid, ticks) = (pid.parse()?, ticks.parse()?);
            Ok((role.to_owned(), Member { pid, ticks }))
        })
        .collect()
}

/// Who holds a daemon now, and its first process.
///
/// # Errors
/// When the ledger does not say.
pub fn custody(world: &World, name: &str) -> anyhow::Result<Custody> {
    let members = members(world, name)?;
    let last = |role: &str| {
        members
            .iter()
            .rev()
            .find(|(known, _)| known == role)
            .map(|(_, member)| *member)
            .with_context(|| format!("no {role} of `{name}` in {members:?}"))
    };
    Ok(Custody {
        front: last("front")?,
        guardian: last("guardian")?,
        leader: last("leader")?,
    })
}

/// The daemons of this world that `ward ps --json` lists; root is shown everybody's.
///
/// # Errors
/// When ward does not answer as promised.
pub fn ps(world: &World, options: &[&str]) -> anyhow::Result<Vec<Value>> {
    let all = Ask::new(world, ["ps", "--json"])
        .words(options)
        .expect(0)?
        .json()?;
    let daemons = all["daemons"].as_array().context("no list of daemons")?;
    let ours = world.state_of(Who::Myself);
    let is_ours = |daemon: &&Value| {
        let place = daemon["state_directory"].as_str();
        place.is_some_and(|place| Path::new(place).starts_with(&ours))
    };
    Ok(daemons.iter().filter(is_ours).cloned().collect())
}

/// What `ward ps` says of one daemon, if it knows it.
///
/// # Errors
/// When ward does not answer as promised.
pub fn shown(world: &World, name: &str) -> anyhow::Result<Option<Value>> {
    let mut found = ps(world, &["--all"])?;
    found.retain(|daemon| daemon["name"] == name);
    ensure!(found.len() <= 1, "`{name}` twice: {found:#?}");
    Ok(found.pop())
}

/// The state that `ward ps` says a daemon is in.
///
/// # Errors
/// When it says nothing of it.
pub fn state(world: &World, name: &str) -> anyhow::Result<String> {
    let shown = shown(world, name)?.with_context(|| format!("ward ps does not know `{name}`"))?;
    Ok(shown["state"].as_str().context("no state")?.to_owned())
}

/// Waits until `ward ps` says that a daemon is in a state.
///
/// # Errors
/// When it does not come to be.
pub fn await_state(world: &World, name: &str, wanted: &str) -> anyhow::Result<()> {
    let mut last = String::new();
    wait_until("a state", || {
        last = match state(world, name) {
            Ok(state) => state,
            Err(error) => format!("{error:#}"),
        };
        last == wanted
    })
    .with_context(|| format!("`{name}` is not {wanted}, but: {last}"))
}

/// `ward stop NAME`; nobody of the tree is left when it returns, and soon nobody of ward's own,
/// nor the cgroup that held them.
///
/// # Errors
/// When it fails, or somebody or something is left.
pub fn stop(world: &World, names: &[&str]) -> anyhow::Result<Answer> {
    let cgroups: Vec<PathBuf> = names
        .iter()
        .filter_map(|name| cgroup(world, name))
        .collect();
    let answer = Ask::new(world, ["stop"]).words(names).expect(0)?;
    nobody_is_left(world).context(format!("after {answer:?}"))?;
    wait_until("its cgroup to be removed", || {
        !cgroups.iter().any(|path| path.exists())
    })
    .with_context(|| format!("{cgroups:?}"))?;
    Ok(answer)
}

/// The cgroup that holds a daemon, if one does.
#[must_use]
pub fn cgroup(world: &World, name: &str) -> Option<PathBuf> {
    let entry = fs::read(directory(world, name).join("entry")).ok()?;
    // The environment follows in further lines, as it is no text.
    let order: Value = serde_json::from_slice(entry.split(|byte| *byte == b'\n').next()?).ok()?;
    Some(PathBuf::from(order["cgroup"].as_str()?))
}

/// Nobody who belongs to the world is alive; only ward's own may still be on their way out.
///
/// # Errors
/// Who is left.
pub fn nobody_is_left(world: &World) -> anyhow::Result<()> {
    let left = world.survivors();
    ensure!(left.is_empty(), "left: {left:#?}");
    wait_until("ward's own processes to end", || world.wards().is_empty())
        .with_context(|| format!("left: {:#?}", world.wards()))
}

/// The whole log of a daemon, from the oldest part that is kept.
///
/// # Errors
/// When a part cannot be read.
pub fn whole_log(world: &World, name: &str) -> anyhow::Result<Vec<u8>> {
    let directory = directory(world, name);
    let mut older: Vec<u32> = fs::read_dir(&directory)?
        .flatten()
        .filter_map(|entry| {
            entry
                .file_name()
                .to_str()?
                .strip_prefix("log.")?
                .parse()
                .ok()
        })
        .collect();
    older.sort_unstable_by(|a, b| b.cmp(a));
    // A number may be missing, if who rotated was killed at it.
    let part = |number: &u32| directory.join(format!("log.{number}"));
    let mut parts: Vec<PathBuf> = older.iter().map(part).collect();
    parts.push(directory.join("log"));
    let mut log = Vec::new();
    for part in parts {
        log.extend(fs::read(&part).with_context(|| format!("reading {}", part.display()))?);
    }
    Ok(log)
}

/// Everything that the ledger says of a daemon, for a message when something is wrong.
#[must_use]
pub fn everything(world: &World, name: &str) -> String {
    let directory = directory(world, name);
    let mut said = String::new();
    for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
        let text = fs::read(entry.path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text[..text.len().min(400)]).into_owned();
        let _ = writeln!(said, "--- {}\n{text}", entry.path().display());
    }
    said
}

/// `ward spawn --name NAME …`, of the hostile program in a mood; gives who holds it.
///
/// # Errors
/// When it does not start.
pub fn spawn(
    world: &World,
    name: &str,
    options: &[&str],
    mood: &[&str],
) -> anyhow::Result<Custody> {
    Ask::new(world, ["spawn", "--name", name])
        .words(options)
        .hostile(mood)
        .expect(0)?;
    custody(world, name)
}

/// A port on which nobody listens.
///
/// # Errors
/// When there is none.
pub fn free_port() -> anyhow::Result<u16> {
    let probe = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    Ok(probe.local_addr()?.port())
}
