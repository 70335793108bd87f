//! A daemon that runs in the directory of a test.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::patience::wait_for_within;
use crate::processes::{Seen, children, look, program};
use crate::run::Capture;
use crate::supervisor::http::{Connection, Endpoint, Response, ask};
use crate::supervisor::stage::{LIMIT, Stage};
use crate::supervisor::xml::{self, Fault};

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(20);

/// A process that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its exit status, or 128 and the signal.
    pub code: i32,
    /// What it wrote to standard output.
    pub out: String,
    /// What it wrote to standard error.
    pub err: String,
}

impl Ended {
    pub(super) fn new(status: ExitStatus, out: &[u8], err: &[u8]) -> Self {
        let signal = status.signal().map(|signal| 128 + signal);
        Self {
            code: status.code().or(signal).unwrap_or(-1),
            out: String::from_utf8_lossy(out).into_owned(),
            err: String::from_utf8_lossy(err).into_owned(),
        }
    }
}

/// A daemon in the foreground.
pub struct Daemon<'s> {
    stage: &'s Stage<'s>,
    child: Option<Child>,
    out: Option<Capture>,
    err: Option<Capture>,
    endpoint: Endpoint,
}

impl<'s> Daemon<'s> {
    pub(super) fn start(stage: &'s Stage<'s>, command: Command) -> anyhow::Result<Self> {
        let mut daemon = Self::start_unready(stage, command)?;
        daemon.await_answer()?;
        Ok(daemon)
    }

    /// Starts it and does not wait for an answer.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_unready(stage: &'s Stage<'s>, mut command: Command) -> anyhow::Result<Self> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("starting the daemon")?;
        let out = Capture::of(child.stdout.take().context("no stdout")?.into());
        let err = Capture::of(child.stderr.take().context("no stderr")?.into());
        Ok(Self {
            stage,
            child: Some(child),
            out: Some(out),
            err: Some(err),
            endpoint: Endpoint::Unix(stage.path("s")),
        })
    }

    /// A daemon that nobody here started: one in the background.
    #[must_use]
    pub fn found(stage: &'s Stage<'s>) -> Self {
        Self {
            stage,
            child: None,
            out: None,
            err: None,
            endpoint: Endpoint::Unix(stage.path("s")),
        }
    }

    /// Waits until it answers.
    ///
    /// # Errors
    /// When it ends instead, or does neither.
    pub fn await_answer(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        while self.call("system.listMethods", &json!([])).is_err() {
            if let Some(child) = &mut self.child
                && let Some(status) = child.try_wait()?
            {
                bail!(
                    "it ended with {status}: {}{}",
                    self.output(),
                    self.complaints()
                );
            }
            ensure!(
                started.elapsed() < LIMIT,
                "no answer: {}{}",
                self.output(),
                self.complaints()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The process that was started.
    ///
    /// # Errors
    /// When none was.
    pub fn pid(&self) -> anyhow::Result<i32> {
        let child = self.child.as_ref().context("nothing was started")?;
        Ok(child.id().cast_signed())
    }

    /// What it wrote to standard output so far.
    #[must_use]
    pub fn output(&self) -> String {
        let bytes = self.out.as_ref().map(Capture::so_far).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What it wrote to standard error so far.
    #[must_use]
    pub fn complaints(&self) -> String {
        let bytes = self.err.as_ref().map(Capture::so_far).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The main log.
    #[must_use]
    pub fn log(&self) -> String {
        self.stage.read("d.log")
    }

    /// Calls a method; a refusal is told apart.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn call(&self, method: &str, parameters: &Value) -> anyhow::Result<Result<Value, Fault>> {
        if ends_programs(method) {
            self.await_programs()?;
        }
        let mut connection = self.connect()?;
        connection.send(request(method, parameters)?)?;
        read_answer(&mut connection)
    }

    /// Calls a method.
    ///
    /// # Errors
    /// When it is refused, or no answer comes.
    pub fn rpc(&self, method: &str, parameters: &Value) -> anyhow::Result<Value> {
        self.call(method, parameters)?
            .map_err(|fault| anyhow::anyhow!("{method} {parameters}: {fault:?}"))
    }

    /// Calls a method of the namespace `supervisor`.
    ///
    /// # Errors
    /// When it is refused, or no answer comes.
    pub fn sv(&self, method: &str, parameters: &Value) -> anyhow::Result<Value> {
        self.rpc(&format!("supervisor.{method}"), parameters)
    }

    /// The refusal of a method of the namespace `supervisor`, as `CODE TEXT`.
    ///
    /// # Errors
    /// When it is not refused.
    pub fn fault(&self, method: &str, parameters: &Value) -> anyhow::Result<String> {
        match self.call(&format!("supervisor.{method}"), parameters)? {
            Err(fault) => Ok(format!("{} {}", fault.code, fault.text)),
            Ok(value) => bail!("{method} {parameters} is not refused: {value}"),
        }
    }

    /// Calls a method and leaves the answer for later ([`read_answer`]).
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn begin(&self, method: &str, parameters: &Value) -> anyhow::Result<Connection> {
        let method = format!("supervisor.{method}");
        if ends_programs(&method) {
            self.await_programs()?;
        }
        let mut connection = self.connect()?;
        connection.send(request(&method, parameters)?)?;
        Ok(connection)
    }

    /// A connection to it.
    ///
    /// # Errors
    /// When it does not listen.
    pub fn connect(&self) -> anyhow::Result<Connection> {
        Connection::to(&self.endpoint)
    }

    /// Sends raw bytes over a connection of their own and reads the answer.
    ///
    /// # Errors
    /// When none comes.
    pub fn http(&self, bytes: impl AsRef<[u8]>) -> anyhow::Result<Response> {
        ask(&self.endpoint, bytes)
    }

    /// What `getProcessInfo` says.
    ///
    /// # Errors
    /// When it is refused.
    pub fn info(&self, name: &str) -> anyhow::Result<Value> {
        self.sv("getProcessInfo", &json!([name]))
    }

    /// The name of a process's state.
    ///
    /// # Errors
    /// When it cannot be asked for.
    pub fn state(&self, name: &str) -> anyhow::Result<String> {
        let info = self.info(name)?;
        let state = info["statename"].as_str().context("no statename")?;
        Ok(state.to_owned())
    }

    /// The process id of a process; 0 for none.
    ///
    /// # Errors
    /// When it cannot be asked for.
    pub fn pid_of(&self, name: &str) -> anyhow::Result<i32> {
        let info = self.info(name)?;
        let pid = info["pid"].as_i64().context("no pid")?;
        Ok(i32::try_from(pid)?)
    }

    /// Waits until a process has been started, and has become its program; gives its id. (Between
    /// fork and exec it looks like the daemon.)
    ///
    /// # Errors
    /// When it does not.
    pub fn pid_of_started(&self, name: &str) -> anyhow::Result<i32> {
        let daemon = self.pid().ok().and_then(program);
        self.await_some(&format!("the start of {name}"), || {
            let pid = self.pid_of(name).ok().filter(|pid| *pid > 0)?;
            let runs = program(pid)?;
            // The environment is the last thing to be there.
            let is_whole =
                || std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|e| !e.is_empty());
            (Some(runs) != daemon && is_whole()).then_some(pid)
        })
    }

    /// Waits until a process that is a program in Python runs its script: until the script is
    /// among its arguments, as those of the daemon are others. Gives its id.
    ///
    /// # Errors
    /// When it does not.
    pub fn pid_of_started_python(&self, name: &str) -> anyhow::Result<i32> {
        let words = |pid| look(pid).map(|seen| seen.command);
        let daemon = self.pid().ok().and_then(words);
        self.await_some(&format!("the start of {name}"), || {
            let pid = self.pid_of(name).ok().filter(|pid| *pid > 0)?;
            let runs = words(pid)?;
            (Some(runs) != daemon).then_some(pid)
        })
    }

    /// Waits until a process is in a state; gives what is said of it then.
    ///
    /// # Errors
    /// When it does not get there.
    pub fn await_state(&self, name: &str, state: &str) -> anyhow::Result<Value> {
        let mut last = Value::Null;
        let found = self.await_some(&format!("{name} {state}"), || {
            last = self.info(name).unwrap_or_default();
            (last["statename"] == state).then(|| last.clone())
        });
        found.with_context(|| format!("last: {last}"))
    }

    /// Waits until `text` is in the main log; gives the log.
    ///
    /// # Errors
    /// When it does not come.
    pub fn await_log(&self, text: &str) -> anyhow::Result<String> {
        self.await_text("d.log", text)
    }

    /// Waits until `text` is in a file of the stage; gives the file.
    ///
    /// # Errors
    /// When it does not come.
    pub fn await_text(&self, file: &str, text: &str) -> anyhow::Result<String> {
        let found = self.await_some(&format!("`{text}` in {file}"), || {
            Some(self.stage.read(file)).filter(|found| found.contains(text))
        });
        found.with_context(|| format!("{file}: {}", self.stage.read(file)))
    }

    /// Waits until a condition holds.
    ///
    /// # Errors
    /// When it does not.
    pub fn await_that(&self, what: &str, mut holds: impl FnMut() -> bool) -> anyhow::Result<()> {
        self.await_some(what, || holds().then_some(()))
    }

    /// Waits until a condition gives a value. The original looks at its children once a second
    /// where nothing else happens; a question in between makes it look now.
    ///
    /// # Errors
    /// When it does not.
    pub fn await_some<T>(
        &self,
        what: &str,
        mut condition: impl FnMut() -> Option<T>,
    ) -> anyhow::Result<T> {
        let started = Instant::now();
        loop {
            if let Some(value) = condition() {
                return Ok(value);
            }
            ensure!(started.elapsed() < LIMIT, "waited {LIMIT:?} for {what}");
            std::thread::sleep(INTERVAL);
            // It may be about to end.
            let _ = self.call("system.listMethods", &json!([]));
        }
    }

    /// Sends a signal to the process that was started, or whose id is in the pid file.
    ///
    /// # Errors
    /// When the system does not.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        self.await_programs()?;
        let pid = self.pid_or_filed()?;
        kill_process(Pid::from_raw(pid).context("no process")?, signal)?;
        // So that the original notices at once; it may be gone.
        let _ = self.call("system.listMethods", &json!([]));
        Ok(())
    }

    /// The process that was started, or whose id is in the pid file.
    fn pid_or_filed(&self) -> anyhow::Result<i32> {
        match self.pid() {
            Ok(pid) => Ok(pid),
            Err(_) => Ok(self.stage.read("d.pid").trim().parse()?),
        }
    }

    /// Waits until each child has become its program. Between fork and exec a child of the
    /// original has the original's own handlers: a signal that asks it to end is lost then, and
    /// the stop takes as long as `stopwaitsecs`.
    fn await_programs(&self) -> anyhow::Result<()> {
        let Ok(daemon) = self.pid_or_filed() else {
            return Ok(());
        };
        let Some(own) = look(daemon) else {
            return Ok(());
        };
        let is_copy = |child: &Seen| child.name == own.name && child.command == own.command;
        wait_for_within(LIMIT, "children become their programs", || {
            (!children(daemon).iter().any(is_copy)).then_some(())
        })
    }

    /// Whether the process that was started has ended.
    pub fn is_over(&mut self) -> bool {
        match &mut self.child {
            Some(child) => matches!(child.try_wait(), Ok(Some(_))),
            None => false,
        }
    }

    /// Waits for the end of the process that was started.
    ///
    /// # Errors
    /// When it does not end.
    pub fn finish(mut self) -> anyhow::Result<Ended> {
        let mut child = self.child.take().context("nothing was started")?;
        let status = self.await_some("the end of the daemon", || child.try_wait().ok().flatten());
        let status = match status {
            Ok(status) => status,
            Err(error) => {
                self.child = Some(child);
                return Err(error);
            }
        };
        let (out, err) = (self.out.take(), self.err.take());
        let (out, err) = (out.context("no stdout")?, err.context("no stderr")?);
        // A child that it left behind may hold them open.
        let limit = Duration::from_secs(5);
        let _ = wait_for_within(limit, "the end of its output", || {
            (out.is_at_end() && err.is_at_end()).then_some(())
        });
        Ok(Ended::new(status, &out.so_far(), &err.so_far()))
    }

    /// Ends it by SIGTERM.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(self) -> anyhow::Result<Ended> {
        self.signal(Signal::TERM)?;
        self.finish()
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // The stage ends whoever it leaves behind.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Whether a method may signal programs that have just been started.
fn ends_programs(method: &str) -> bool {
    let name = method.strip_prefix("supervisor.").unwrap_or(method);
    ["stop", "signal", "shutdown", "restart"]
        .iter()
        .any(|word| name.starts_with(word))
}

/// A call as it goes over the wire, over a connection of its own.
///
/// # Errors
/// When the parameters are no list.
pub fn request(method: &str, parameters: &Value) -> anyhow::Result<String> {
    let parameters = parameters.as_array().context("parameters are a list")?;
    let body = xml::call(method, parameters);
    Ok(format!(
        "POST /RPC2 HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/xml\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

/// Reads the answer to a call.
///
/// # Errors
/// When none comes.
pub fn read_answer(connection: &mut Connection) -> anyhow::Result<Result<Value, Fault>> {
    let response = connection.response()?;
    ensure!(
        response.status == 200,
        "status {}: {}",
        response.status,
        response.text()
    );
    xml::answer(&String::from_utf8(response.body)?)
}
