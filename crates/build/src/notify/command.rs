//! Telling a program: it reads what there is to say on its standard input, and has a limited time.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use ward_engine::embed::{Run, Stream};
use ward_model::life::CauseKind;
use ward_model::spec::{Spec, Stdin};

use super::error::{NotifyError, words};

/// Bytes of what it writes to standard error that are kept, from the end.
const KEPT: usize = 2048;

/// What a command that is stopped may take to clean up.
const GRACE: Duration = Duration::from_secs(3);

/// Variables of this process that a command gets.
const PASSED_ON: [&str; 7] = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ"];

/// Runs a command, and waits for it. `scratch` is a directory of ours, where nobody else reads.
pub(super) fn tell(
    words_of_it: &[String],
    environment: &[(String, String)],
    text: &str,
    scratch: &Path,
    limit: Duration,
) -> Result<(), NotifyError> {
    let program = words_of_it.first().cloned().unwrap_or_default();
    let input = Input::new(scratch, text).map_err(NotifyError::Scratch)?;
    let mut spec = Spec::new(words_of_it.iter().map(OsString::from).collect());
    let passed_on = PASSED_ON
        .iter()
        .filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?)));
    let own = environment
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
    spec.environment = passed_on.chain(own).collect();
    spec.directory = Some(OsString::from("/"));
    spec.stdin = Stdin::File(input.0.clone().into_os_string());
    spec.quiet = true;
    spec.policy.timeout = Some(limit);
    spec.policy.grace = GRACE;
    let cannot = |source| NotifyError::Run {
        program: program.clone(),
        source,
    };
    let mut run = Run::start(spec, Stream::Null, Stream::Pipe).map_err(cannot)?;
    let written = run.take_stderr().map(end_of).unwrap_or_default();
    let report = run.wait().map_err(cannot)?;
    drop(input);
    let failed = |how: String, temporary| {
        Err(NotifyError::Failed {
            program: program.clone(),
            how,
            said: words(&written),
            temporary,
        })
    };
    if let Some(failure) = &report.failure {
        return failed(
            format!("was not started: {}: {}", failure.step, failure.message),
            false,
        );
    }
    if report.cause == Some(CauseKind::TimeLimit) {
        return failed(format!("took longer than {} s", limit.as_secs()), false);
    }
    match report.exit_status {
        0 => Ok(()),
        // sysexits.h: try again.
        75 => failed("failed with status 75".to_owned(), true),
        status => failed(format!("failed with status {status}"), false),
    }
}

/// What is read, for as long as somebody reads it.
struct Input(PathBuf);

impl Input {
    fn new(scratch: &Path, text: &str) -> io::Result<Self> {
        fs::create_dir_all(scratch)?;
        let mut name = [0; 12];
        SystemRandom::new()
            .fill(&mut name)
            .map_err(|_| io::Error::other("the system gives no random bytes"))?;
        let path = scratch.join(format!("notice-{}", data_encoding::HEXLOWER.encode(&name)));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        let input = Self(path);
        file.write_all(text.as_bytes())?;
        Ok(input)
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        // A file that cannot be removed is seen by who looks there; nothing else depends on it.
        let _ = fs::remove_file(&self.0);
    }
}

/// The end of what is written until nobody writes any more.
fn end_of(mut from: impl Read) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return kept,
            Ok(count) => {
                kept.extend(piece.iter().take(count));
                let excess = kept.len().saturating_sub(KEPT);
                kept.drain(..excess);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return kept,
        }
    }
}
