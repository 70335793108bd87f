//! A desk for git outside of builds: commands in custody, and a text instead of a console.

use std::io::Read;
use std::process::{ChildStderr, ChildStdout};

use ward_engine::EngineError;
use ward_engine::embed::{Run, Stream};
use ward_model::spec::Spec;

use crate::runner::{Desk, Ran};

/// So much text is kept, bytes.
const MAX_LOG: usize = 256 << 10;

/// Runs commands without a build.
#[derive(Default)]
pub(super) struct Alone {
    log: String,
    /// What the last command said besides its result.
    pub(super) said: String,
}

impl Alone {
    /// What was written.
    pub(super) fn into_log(self) -> String {
        self.log
    }

    fn add(&mut self, text: &str) {
        let room = MAX_LOG.saturating_sub(self.log.len());
        let end = text.floor_char_boundary(room.min(text.len()));
        self.log.push_str(text.get(..end).unwrap_or_default());
    }
}

impl Desk for Alone {
    fn line(&mut self, text: &str) {
        if !self.log.is_empty() && !self.log.ends_with('\n') {
            self.add("\n");
        }
        self.add(text);
        self.add("\n");
    }

    fn write(&mut self, bytes: &[u8]) {
        let text = super::shown(&String::from_utf8_lossy(bytes));
        self.add(&text);
    }

    fn run(&mut self, command: Spec, capture: Option<usize>) -> Result<Ran, EngineError> {
        let mut run = Run::start(command, Stream::Pipe, Stream::Pipe)?;
        let (stdout, stderr) = (run.take_stdout(), run.take_stderr());
        let (out, err) = std::thread::scope(|scope| {
            let err = scope.spawn(|| read_err(stderr));
            let out = read_out(stdout, capture.unwrap_or(MAX_LOG));
            (out, err.join().unwrap_or_default())
        });
        let report = run.wait()?;
        self.said = super::shown(&String::from_utf8_lossy(&err));
        self.write(&err);
        let (mut stdout, cut) = out;
        if capture.is_none() {
            self.write(&stdout);
            stdout.clear();
        }
        Ok(Ran {
            report: Some(Box::new(report)),
            stdout,
            cut,
        })
    }

    fn is_stopping(&self) -> bool {
        false
    }
}

fn read_out(stream: Option<ChildStdout>, limit: usize) -> (Vec<u8>, bool) {
    stream.map_or((Vec::new(), false), |stream| read(stream, limit))
}

fn read_err(stream: Option<ChildStderr>) -> Vec<u8> {
    stream.map_or(Vec::new(), |stream| read(stream, MAX_LOG).0)
}

/// Reads to the end, and keeps so much; a stream that breaks has ended.
fn read(mut stream: impl Read, limit: usize) -> (Vec<u8>, bool) {
    let mut kept = Vec::new();
    let bound = u64::try_from(limit).unwrap_or(u64::MAX);
    let _ = stream.by_ref().take(bound).read_to_end(&mut kept);
    let beyond = std::io::copy(&mut stream, &mut std::io::sink()).unwrap_or(0);
    (kept, beyond > 0)
}
