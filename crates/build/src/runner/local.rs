//! A build without a server: at a terminal, by the same runner.

use std::fs::{self, File};
use std::io;
use std::process::Stdio;

use rustix::event::{PollFd, PollFlags, poll};
use ward_model::signal::Signal;
use ward_sys::pidfd;
use ward_sys::signals::SignalSource;

use super::role;
use crate::console;
use crate::outcome::Outcome;
use crate::plan::{Plan, file};
use crate::state::StopRequest;

/// Runs a build to its end, with its console on standard output. The first INT, TERM, HUP or QUIT stops
/// it, another one allows no grace. The plan's directory is made, and must be empty.
///
/// This process must have no other threads: it blocks these signals.
///
/// # Errors
/// It cannot be begun, or its runner was killed.
pub fn run_local(plan: &Plan) -> io::Result<Outcome> {
    let heeded = [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT];
    let signals = SignalSource::new(&heeded.map(Signal::number))?;
    fs::create_dir_all(&plan.directory)?;
    let mut plan = plan.clone();
    plan.local = true;
    let text = serde_json::to_vec(&plan)?;
    role::put(&plan.directory, file::PLAN, &text, false)?;
    let runner = role::start_with(&plan.directory, Stdio::inherit())?;
    let mut asked = false;
    while !pidfd::has_ended(&runner.pidfd) {
        let mut fds = [
            PollFd::new(&runner.pidfd, PollFlags::IN),
            PollFd::new(&signals, PollFlags::IN),
        ];
        if poll(&mut fds, None).is_err() {
            continue;
        }
        while let Some(received) = signals.next() {
            let by = heeded
                .into_iter()
                .find(|signal| signal.number() == received.signal)
                .map_or_else(String::new, |signal| signal.to_string());
            let request = StopRequest {
                at: console::now(),
                by,
                force: std::mem::replace(&mut asked, true),
            };
            role::stop(&plan.directory, &request)?;
        }
    }
    role::reap(&runner.pidfd);
    let outcome = File::open(plan.directory.join(file::OUTCOME))?;
    Ok(serde_json::from_reader(io::BufReader::new(outcome))?)
}
