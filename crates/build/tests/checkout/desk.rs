//! The desk of a build that there is not.

use std::io::Read;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use ward_build::runner::{Desk, Ran};
use ward_engine::EngineError;
use ward_engine::embed::{Run, Stream};
use ward_model::signal::Signal;
use ward_model::spec::Spec;
use ward_model::wire::StopOrder;
use ward_testkit::moments::let_pass;
use ward_testkit::patience::LIMIT;

/// Writes to a text, and stops when it is told to.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) text: String,
    /// Every command, with its arguments and its environment.
    pub(crate) commands: Vec<String>,
    /// The first fetch is stopped when this says so.
    pub(crate) stop_at: Option<Receiver<()>>,
    pub(crate) is_stopping: bool,
    /// One command is killed.
    pub(crate) strike: Option<Strike>,
    /// Gets every line at once.
    pub(crate) lines: Option<Sender<String>>,
}

/// Which command is killed, and when.
pub(crate) struct Strike {
    /// So many commands are let through before it.
    pub(crate) after: usize,
    /// So long after it was started.
    pub(crate) moment: Duration,
}

impl Desk for Notes {
    fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
        if let Some(lines) = &self.lines {
            let _ = lines.send(text.to_owned());
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.text.push_str(&String::from_utf8_lossy(bytes));
    }

    fn run(&mut self, command: Spec, capture: Option<usize>) -> Result<Ran, EngineError> {
        if self.is_stopping {
            return Ok(Ran {
                report: None,
                stdout: Vec::new(),
                cut: false,
            });
        }
        self.commands
            .push(format!("{:?} {:?}", command.command, command.environment));
        let is_fetch = command.command.iter().any(|word| word == "fetch");
        let mut run = Run::start(command, Stream::Pipe, Stream::Pipe)?;
        let (stdout, stderr) = (run.take_stdout(), run.take_stderr());
        let read = |stream: &mut dyn Read| {
            let mut bytes = Vec::new();
            let _ = stream.read_to_end(&mut bytes);
            bytes
        };
        if is_fetch && let Some(stop) = self.stop_at.take() {
            stop.recv_timeout(LIMIT).expect("somebody comes");
            self.is_stopping = true;
            run.stop(Signal::TERM);
        }
        if let Some(strike) = &self.strike
            && self.commands.len() > strike.after
        {
            let_pass(strike.moment);
            self.strike = None;
            self.is_stopping = true;
            let at_once = StopOrder {
                request: 0,
                grace: Some(Duration::ZERO),
            };
            run.order_stop(Signal::KILL, at_once);
        }
        let (mut stdout, stderr) = std::thread::scope(|scope| {
            let stderr = scope.spawn(|| stderr.map_or(Vec::new(), |mut stream| read(&mut stream)));
            let stdout = stdout.map_or(Vec::new(), |mut stream| read(&mut stream));
            (stdout, stderr.join().unwrap_or_default())
        });
        self.write(&stderr);
        let report = run.wait()?;
        let limit = capture.unwrap_or_else(|| {
            self.write(&stdout);
            0
        });
        let cut = capture.is_some() && stdout.len() > limit;
        stdout.truncate(limit);
        Ok(Ran {
            report: Some(Box::new(report)),
            stdout,
            cut,
        })
    }

    fn is_stopping(&self) -> bool {
        self.is_stopping
    }
}
