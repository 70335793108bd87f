//! `ward up` where its daemon, or all of it, is killed at bad moments.

#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use ward_testkit::patience::wait_for_within;
use ward_testkit::programs::{in_path, skipped};

/// Nothing takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// A supervisor in a directory of its own; it and all that it started end with the test.
struct Place {
    directory: TempDir,
    keeper: Option<Child>,
}

impl Place {
    fn new(programs: &str) -> Result<Self> {
        let place = Self {
            directory: tempfile::tempdir()?,
            keeper: None,
        };
        fs::create_dir(place.path("logs"))?;
        fs::create_dir(place.path("state"))?;
        place.configure(programs)?;
        Ok(place)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn configure(&self, programs: &str) -> Result<()> {
        let head = "[unix_http_server]\nfile=%(here)s/s\n\
            [supervisord]\nlogfile=%(here)s/d.log\npidfile=%(here)s/d.pid\nchildlogdir=%(here)s/logs\n\
            [rpcinterface:supervisor]\n\
            supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
            [supervisorctl]\nserverurl=unix://%(here)s/s\n";
        fs::write(self.path("c.conf"), format!("{head}{programs}"))?;
        Ok(())
    }

    fn ward(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ward"));
        command
            .args(words)
            .arg("-c")
            .arg(self.path("c.conf"))
            .env("WARD_STATE_DIR", self.path("state"))
            .current_dir(self.directory.path())
            .stdin(Stdio::null());
        command
    }

    fn start(&mut self) -> Result<()> {
        let child = self
            .ward(&["up", "-n"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        self.keeper = Some(child);
        self.until("an answer", || {
            Ok(self.path("s").exists() && self.daemon().is_some())
        })
    }

    fn ctl(&self, words: &[&str]) -> Result<Output> {
        let mut command = self.ward(&["ctl"]);
        Ok(command.args(words).output()?)
    }

    fn says(&self, words: &[&str]) -> Result<String> {
        let output = self.ctl(words)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The line of `status` about a process begins so, behind its name.
    fn is(&self, name: &str, state: &str) -> Result<bool> {
        let status = self.says(&["status", name])?;
        Ok(status.split_whitespace().nth(1) == Some(state))
    }

    fn pid_of(&self, name: &str) -> Result<i32> {
        let text = self.says(&["pid", name])?;
        text.trim().parse().with_context(|| text.clone())
    }

    fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }

    fn keeper(&self) -> Option<i32> {
        Some(self.keeper.as_ref()?.id().cast_signed())
    }

    fn daemon(&self) -> Option<i32> {
        children(self.keeper()?)
            .into_iter()
            .find(|pid| name_of(*pid) == "ward-daemon")
    }

    fn kill_daemon(&self) -> Result<()> {
        self.kill_held_daemon(None)
    }

    /// A tracer would keep its death to itself.
    fn kill_held_daemon(&self, tracer: Option<Tracer>) -> Result<()> {
        let old = self.daemon().context("no daemon")?;
        send(old, Signal::KILL)?;
        drop(tracer);
        self.until("another daemon", || {
            Ok(self.daemon().is_some_and(|pid| pid != old) && self.ctl(&["pid"])?.status.success())
        })
    }

    /// Keeper and daemon at once.
    fn kill_both(&mut self) -> Result<()> {
        let daemon = self.daemon().context("no daemon")?;
        let mut keeper = self.keeper.take().context("no keeper")?;
        let pid = keeper.id().cast_signed();
        send(pid, Signal::STOP)?;
        send(daemon, Signal::KILL)?;
        send(pid, Signal::KILL)?;
        keeper.wait()?;
        self.until("nobody", || Ok(!runs(daemon)))
    }

    /// Holds the daemon for ever in its next write to this pipe.
    fn hold(&self, daemon: i32, sent: Sent, pipe: &Path) -> Result<Tracer> {
        const FOR_EVER: &str = "3000000000";
        let at = match sent {
            Sent::Not => "delay_enter",
            Sent::Unread | Sent::Heard | Sent::Answered => "delay_exit",
        };
        let strace = Command::new("strace")
            .args(["--output=/dev/null", "--follow-forks", "--trace=write"])
            .arg(format!("--trace-path={}", pipe.display()))
            .arg(format!("--inject=write:{at}={FOR_EVER}"))
            .arg(format!("--attach={daemon}"))
            .stderr(Stdio::null())
            .spawn()?;
        let strace = Tracer(strace);
        self.until("a tracer", || Ok(is_traced(daemon)))?;
        Ok(strace)
    }

    fn until(&self, what: &str, mut so: impl FnMut() -> Result<bool>) -> Result<()> {
        // An error ends the wait too, and is told.
        wait_for_within(LIMIT, what, || match so() {
            Ok(false) => None,
            Ok(true) => Some(Ok(())),
            Err(error) => Some(Err(error)),
        })
        .with_context(|| self.read("d.log"))?
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            let mut all = descendants(keeper.id().cast_signed());
            all.insert(0, keeper.id().cast_signed());
            for pid in all {
                let _ = send(pid, Signal::KILL);
            }
            let _ = keeper.wait();
        }
    }
}

/// Ends with the test, and lets go of whom it holds.
struct Tracer(Child);

impl Drop for Tracer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn is_traced(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let tracer = status
        .lines()
        .find_map(|line| line.strip_prefix("TracerPid:"));
    tracer.is_some_and(|tracer| tracer.trim() != "0")
}

/// Whether it is in a system call about this file.
fn is_in_a_call_about(pid: i32, file: &Path) -> bool {
    let call = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    let fd = call.split(' ').nth(1).and_then(|it| it.strip_prefix("0x"));
    let fd = fd.and_then(|it| u32::from_str_radix(it, 16).ok());
    let about = fd.and_then(|fd| fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok());
    about.as_deref() == Some(file)
}

fn send(pid: i32, signal: Signal) -> Result<()> {
    Ok(kill_process(
        Pid::from_raw(pid).context("no process")?,
        signal,
    )?)
}

fn children(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    text.unwrap_or_default()
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

fn descendants(pid: i32) -> Vec<i32> {
    let mut all = children(pid);
    let mut at = 0;
    while let Some(pid) = all.get(at).copied() {
        all.extend(children(pid));
        at += 1;
    }
    all
}

fn name_of(pid: i32) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    text.trim().to_owned()
}

fn state_of(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.trim_start().chars().next()
}

fn runs(pid: i32) -> bool {
    state_of(pid).is_some_and(|state| state != 'Z')
}

fn number_in(path: &Path) -> Option<i32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[test]
fn a_killed_daemon_goes_on_whatever_has_become_of_the_file() -> Result<()> {
    let mut place = Place::new("[program:a]\ncommand=sleep 1000\nstartsecs=0\n")?;
    place.start()?;
    place.until("a process", || place.is("a", "RUNNING"))?;
    let pid = place.pid_of("a")?;
    let good = place.read("c.conf");
    fs::write(
        place.path("c.conf"),
        "[supervisord]\n[program:a]\nstartsecs=no\n",
    )?;
    let old = place.daemon().context("no daemon")?;
    send(old, Signal::KILL)?;
    place.until("another daemon", || {
        Ok(place.daemon().is_some_and(|pid| pid != old)
            && place.read("d.log").contains("the daemon before this one"))
    })?;
    fs::write(place.path("c.conf"), good)?;
    ensure!(place.is("a", "RUNNING")?, "it is kept");
    ensure!(place.pid_of("a")? == pid, "it is the same");
    Ok(())
}

#[test]
fn a_shutdown_that_was_killed_is_not_gone_on_with_by_the_next_start() -> Result<()> {
    let script = "trap '' TERM; while :; do sleep 1; done";
    let programs = format!(
        "[program:done]\ncommand=sleep 1000\nstartsecs=0\npriority=2\nautorestart=false\n\
         [program:slow]\ncommand=sh -c \"{script}\"\nstartsecs=0\nstopwaitsecs=600\npriority=1\n"
    );
    let mut place = Place::new(&programs)?;
    place.start()?;
    place.until("processes", || {
        Ok(place.is("done", "RUNNING")? && place.is("slow", "RUNNING")?)
    })?;
    let slow = place.pid_of("slow")?;
    send(place.keeper().context("no keeper")?, Signal::TERM)?;
    place.until("a stop", || {
        Ok(place.read("d.log").contains("stopped: done"))
    })?;
    place.kill_both()?;
    send(slow, Signal::KILL)?;
    place.until("nobody", || Ok(!runs(slow)))?;
    place.start()?;
    place.until("everybody", || {
        Ok(place.is("done", "RUNNING")? && place.is("slow", "RUNNING")?)
    })?;
    Ok(())
}

#[test]
fn a_group_that_could_not_be_added_can_be_added_later() -> Result<()> {
    let mut place = Place::new("")?;
    place.start()?;
    place.configure("[program:b]\ncommand=sleep 1000\nstartsecs=0\n")?;
    fs::rename(place.path("logs"), place.path("elsewhere"))?;
    // Only the daemon's own directory counts for what it makes: the file is read as long as it is there.
    place.says(&["reread"])?;
    fs::create_dir(place.path("logs"))?;
    place.says(&["reread"])?;
    fs::remove_dir(place.path("logs"))?;
    let refused = place.says(&["add", "b"])?;
    ensure!(!refused.contains("added"), "{refused}");
    fs::create_dir(place.path("logs"))?;
    let added = place.says(&["add", "b"])?;
    ensure!(added.contains("b: added process group"), "{added}");
    place.until("a process", || place.is("b", "RUNNING"))
}

#[test]
fn a_busy_listener_is_as_busy_for_the_next_daemon() -> Result<()> {
    let mut place = Place::new("")?;
    let here = place.directory.path().display().to_string();
    let script = format!(
        "printf 'READY\\n'\nwhile read -r header && read -r payload; do\n  echo \"$header\" >> {here}/heard\n  \
         until [ -e {here}/go ]; do sleep 0.02; done\n  printf 'RESULT 2\\nOKREADY\\n'\ndone\n"
    );
    fs::write(place.path("listener.sh"), script)?;
    place.configure(
        "[eventlistener:l]\ncommand=sh %(here)s/listener.sh\nstartsecs=0\nevents=PROCESS_GROUP\n\
         [program:x]\ncommand=sleep 1000\nautostart=false\n",
    )?;
    place.start()?;
    place.until("an event", || Ok(!place.read("heard").is_empty()))?;
    place.kill_daemon()?;
    fs::write(place.path("go"), "")?;
    place.says(&["remove", "x"])?;
    place.until("the next event", || {
        Ok(place.read("heard").contains("PROCESS_GROUP_REMOVED"))
    })?;
    ensure!(
        !place.read("d.log").contains("UNKNOWN state"),
        "{}",
        place.read("d.log")
    );
    Ok(())
}

/// When the daemon is killed that sends an event: it is held in the system call that writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// Nothing is in the pipe.
    Not,
    /// It is in the pipe; the listener is stopped, and has not seen it.
    Unread,
    /// The listener has it, and has not answered.
    Heard,
    /// It has answered, and waits for the next one.
    Answered,
}

/// A listener that takes down what it hears, and answers unless it is told to hush.
const ATTENTIVE: &str = "printf 'READY\\n'\nwhile read -r header && read -r payload; do\n  \
    echo \"$payload\" >> HERE/heard\n  while [ -e HERE/hush ]; do sleep 0.02; done\n  \
    printf 'RESULT 2\\nOKREADY\\n'\n  echo \"$payload\" >> HERE/answered\ndone\n";

fn a_listener_goes_on_after_a_kill(sent: Sent) -> Result<()> {
    const ROUNDS: usize = 5;
    if in_path("strace").is_none() {
        skipped("to be killed at a system call", "there is no strace");
        return Ok(());
    }
    let mut place = Place::new("")?;
    let here = place.directory.path().display().to_string();
    fs::write(place.path("listener.sh"), ATTENTIVE.replace("HERE", &here))?;
    let mut programs =
        "[eventlistener:l]\ncommand=sh %(here)s/listener.sh\nstartsecs=0\nevents=PROCESS_GROUP_REMOVED\n"
            .to_owned();
    for round in 0..ROUNDS {
        for group in ["now", "then"] {
            let _ = write!(
                programs,
                "[program:{group}{round}]\ncommand=sleep 1000\nautostart=false\n"
            );
        }
    }
    place.configure(&programs)?;
    place.start()?;
    place.until("a listener", || place.is("l", "RUNNING"))?;
    let listener = place.pid_of("l")?;
    let input = fs::read_link(format!("/proc/{listener}/fd/0"))?;
    let pipe = fs::File::open(format!("/proc/{listener}/fd/0"))?;
    let waits = || state_of(listener) == Some('S') && is_in_a_call_about(listener, &input);
    for round in 0..ROUNDS {
        place.until("a listener that waits", || Ok(waits()))?;
        let daemon = place.daemon().context("no daemon")?;
        let (now, then) = (format!("now{round}"), format!("then{round}"));
        match sent {
            Sent::Heard => fs::write(place.path("hush"), "")?,
            Sent::Unread => send(listener, Signal::STOP)?,
            Sent::Not | Sent::Answered => {}
        }
        let strace = place.hold(daemon, sent, &input)?;
        let mut client = place
            .ward(&["ctl"])
            .args(["remove", &now])
            .stdout(Stdio::null())
            .spawn()?;
        place.until("an event on its way", || {
            Ok(match sent {
                Sent::Not => state_of(daemon) == Some('t') && is_in_a_call_about(daemon, &input),
                Sent::Unread => rustix::io::ioctl_fionread(&pipe)? > 0,
                Sent::Heard => place.read("heard").contains(&now),
                Sent::Answered => place.read("answered").contains(&now) && waits(),
            })
        })?;
        place.kill_held_daemon(Some(strace))?;
        client.wait()?;
        match sent {
            Sent::Heard => fs::remove_file(place.path("hush"))?,
            Sent::Unread => send(listener, Signal::CONT)?,
            Sent::Not | Sent::Answered => {}
        }
        place.says(&["remove", &then])?;
        place.until("the next event", || {
            ensure!(!place.read("d.log").contains("UNKNOWN state"));
            Ok(place.read("answered").contains(&then))
        })?;
        ensure!(place.read("heard").contains(&now) == (sent != Sent::Not));
        ensure!(place.pid_of("l")? == listener, "it was not left alone");
    }
    Ok(())
}

#[test]
fn a_listener_that_was_about_to_be_told_is_ready_for_the_next_daemon() -> Result<()> {
    a_listener_goes_on_after_a_kill(Sent::Not)
}

#[test]
fn a_listener_that_has_not_seen_it_yet_is_busy_for_the_next_daemon() -> Result<()> {
    a_listener_goes_on_after_a_kill(Sent::Unread)
}

#[test]
fn a_listener_that_was_just_told_is_busy_for_the_next_daemon() -> Result<()> {
    a_listener_goes_on_after_a_kill(Sent::Heard)
}

#[test]
fn a_listener_that_has_just_answered_is_heard_by_the_next_daemon() -> Result<()> {
    a_listener_goes_on_after_a_kill(Sent::Answered)
}

#[test]
fn a_listener_of_whose_event_a_part_is_lost_is_named() -> Result<()> {
    let mut place = Place::new("")?;
    let here = place.directory.path().display().to_string();
    let deaf = format!("printf 'READY\\n'\nuntil [ -e {here}/go ]; do sleep 0.02; done\n");
    fs::write(place.path("listener.sh"), deaf)?;
    let long =
        "printf '<!--XSUPERVISOR:BEGIN-->%0200000d<!--XSUPERVISOR:END-->' 0\nexec sleep 1000\n";
    fs::write(place.path("p.sh"), long)?;
    place.configure(
        "[eventlistener:l]\ncommand=sh %(here)s/listener.sh\nstartsecs=0\nevents=PROCESS_COMMUNICATION\n\
         [program:p]\ncommand=bash %(here)s/p.sh\nstartsecs=0\nautostart=false\n\
         stdout_capture_maxbytes=1MB\n",
    )?;
    place.start()?;
    place.until("a listener", || place.is("l", "RUNNING"))?;
    let input = fs::File::open(format!("/proc/{}/fd/0", place.pid_of("l")?))?;
    place.says(&["start", "p"])?;
    place.until("a full pipe", || {
        Ok(rustix::io::ioctl_fionread(&input)? == rustix::pipe::fcntl_getpipe_size(&input)? as u64)
    })?;
    place.kill_daemon()?;
    place.until("a word about it", || {
        Ok(place
            .read("d.log")
            .contains("l: the daemon before this one ended"))
    })?;
    fs::write(place.path("go"), "")?;
    Ok(())
}

#[test]
fn a_shared_socket_stays_for_those_who_have_it() -> Result<()> {
    let mut place = Place::new(
        "[fcgi-program:f]\ncommand=sleep 1000\nsocket=unix://%(here)s/f.sock\nnumprocs=2\n\
         process_name=%(process_num)d\nstartsecs=0\nautorestart=true\n",
    )?;
    place.start()?;
    place.until("processes", || {
        Ok(place.is("f:0", "RUNNING")? && place.is("f:1", "RUNNING")?)
    })?;
    let inode = fs::metadata(place.path("f.sock"))?.ino();
    let (first, second) = (place.pid_of("f:0")?, place.pid_of("f:1")?);
    let daemon = place.daemon().context("no daemon")?;
    send(daemon, Signal::STOP)?;
    send(first, Signal::KILL)?;
    place.until("an end", || Ok(!runs(first)))?;
    place.kill_daemon()?;
    place.until("another one", || {
        Ok(place.is("f:0", "RUNNING")? && place.pid_of("f:0")? != first)
    })?;
    ensure!(place.pid_of("f:1")? == second, "the other one stays");
    ensure!(
        fs::metadata(place.path("f.sock"))?.ino() == inode,
        "the socket is the same"
    );
    Ok(())
}

#[test]
fn an_output_that_outlives_its_process_is_read_by_the_next_daemon() -> Result<()> {
    let mut place = Place::new("")?;
    let here = place.directory.path().display().to_string();
    let script =
        format!("(until [ -e {here}/go ]; do sleep 0.02; done; echo late) &\necho early\n");
    fs::write(place.path("p.sh"), script)?;
    place.configure(
        "[program:p]\ncommand=sh %(here)s/p.sh\nstartsecs=0\nautorestart=false\nstdout_logfile=%(here)s/p.log\n",
    )?;
    place.start()?;
    place.until("an end", || place.is("p", "EXITED"))?;
    place.kill_daemon()?;
    fs::write(place.path("go"), "")?;
    place.until("the rest", || Ok(place.read("p.log") == "early\nlate\n"))
}

#[test]
fn what_is_left_of_a_tree_is_stopped_by_the_next_daemon() -> Result<()> {
    let mut place = Place::new("")?;
    let here = place.directory.path().display().to_string();
    let script = format!("setsid sh -c 'echo $$ > {here}/member; exec sleep 1000' &\nwait\n");
    fs::write(place.path("p.sh"), script)?;
    place.configure(
        "[program:p]\ncommand=sh %(here)s/p.sh\ncontain=tree\nstartsecs=0\nautorestart=false\n",
    )?;
    place.start()?;
    place.until(
        "a member",
        || Ok(number_in(&place.path("member")).is_some()),
    )?;
    place.until("a process", || place.is("p", "RUNNING"))?;
    let member = number_in(&place.path("member")).context("no member")?;
    let leader = place.pid_of("p")?;
    send(place.daemon().context("no daemon")?, Signal::STOP)?;
    send(leader, Signal::KILL)?;
    place.until("an end", || Ok(!runs(leader)))?;
    ensure!(runs(member), "the other one lives");
    place.kill_daemon()?;
    place.until("an empty tree", || Ok(!runs(member)))?;
    place.until("its end", || place.is("p", "EXITED"))
}
