//! The program under test: `run`, as the command line has it, bound to a lease that a process of
//! its own renews for a while.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ward_engine::front;
use ward_engine::locks::{LeaseWatch, Locks, Until};
use ward_model::life::Policy;
use ward_model::quantity::duration;
use ward_model::rung::{Rung, RungChoice};
use ward_model::spec::{Log, Spec};
use ward_sys::clock::since_boot;
use ward_sys::contain::subreaper::set_name;
use ward_sys::fork::{Side, fork_single_threaded};
use ward_sys::lease::Lease;
use ward_sys::terminal::new_session;

/// How long each renewal lasts, how long before its end everybody is told, and killed. The last
/// is how long a machine under load may take for a kill in these tests.
pub(crate) const SPAN: Duration = Duration::from_secs(8);
const STOP_BEFORE: Duration = Duration::from_secs(6);
const KILL_BEFORE: Duration = Duration::from_secs(4);

/// How often it is renewed.
const INTERVAL: Duration = Duration::from_millis(200);

/// The name of the process that renews.
pub(crate) const RENEWER: &str = "renewer";

/// What the renewing process does, and where it is.
#[derive(Clone)]
struct Renewing {
    /// So often, and then it stands still; `None` is for ever.
    times: Option<u32>,
    span: Duration,
    /// Until when the lease is good, for the test to read: never less than what is true.
    notes: PathBuf,
    /// Once this file is there, the lease is lost.
    lose_at: Option<PathBuf>,
    /// Where the terminal's keys reach it.
    in_group: bool,
}

/// What is between `run` and the command.
struct Line {
    spec: Spec,
    report: Option<PathBuf>,
    until: Until,
    lease: Option<Renewing>,
    stop_before: Duration,
    kill_before: Duration,
}

/// Everything after the program's own name and `run`.
pub(crate) fn main(words: Vec<OsString>) -> ExitCode {
    match understand(words).and_then(run) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("ward: {error:#}");
            ExitCode::from(ward_model::exit_code::USAGE)
        }
    }
}

fn understand(words: Vec<OsString>) -> anyhow::Result<Line> {
    let mut line = Line {
        spec: Spec::new(Vec::new()),
        report: None,
        until: Until::Command,
        lease: None,
        stop_before: STOP_BEFORE,
        kill_before: KILL_BEFORE,
    };
    line.spec.environment = std::env::vars_os().collect();
    let mut policy = Policy::default();
    let mut renewing = Renewing {
        times: None,
        span: SPAN,
        notes: PathBuf::new(),
        lose_at: None,
        in_group: false,
    };
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let option = word.to_string_lossy().into_owned();
        if option == "--" {
            break;
        }
        let value = words.next().with_context(|| format!("after {option}"))?;
        let path = PathBuf::from(&value);
        let text = value.to_string_lossy().into_owned();
        match option.as_str() {
            "--report" => line.report = Some(path),
            "--grace" => policy.grace = duration(&text)?,
            "--leftover-grace" => policy.leftover_grace = duration(&text)?,
            "--warn-after" => policy.warn_after = Some(duration(&text)?),
            "--timeout" => policy.timeout = Some(duration(&text)?),
            "--containment" => {
                let rung = [Rung::Cgroup, Rung::Guardian];
                let rung = rung.into_iter().find(|rung| rung.name() == text);
                line.spec.rung = RungChoice::Exactly(rung.context("no such rung")?);
            }
            "--log" => {
                line.spec.log = Some(Log {
                    path: value,
                    append: false,
                    timestamps: false,
                });
            }
            "--hold" if text == "tree" => line.until = Until::Tree,
            "--lease" => {
                renewing.notes = path;
                line.lease = Some(renewing.clone());
            }
            "--renew" => renewing.times = Some(text.parse()?),
            "--span" => renewing.span = duration(&text)?,
            "--stop-before" => line.stop_before = duration(&text)?,
            "--kill-before" => line.kill_before = duration(&text)?,
            "--lose-at" => renewing.lose_at = Some(path),
            "--renewer" if text == "in-group" => renewing.in_group = true,
            _ => bail!("no such option: {option} {text}"),
        }
    }
    line.spec.command = words.collect();
    line.spec.policy = policy;
    if line.lease.is_some() {
        renewing.notes = line.lease.map(|lease| lease.notes).unwrap_or_default();
        line.lease = Some(renewing);
    }
    Ok(line)
}

fn run(line: Line) -> anyhow::Result<u8> {
    let mut locks = Locks::new(Vec::new(), line.until);
    // Held by front and guardian, and not by the command: its end is theirs.
    let mut _alive = None;
    if let Some(renewing) = line.lease {
        let lease = Lease::new(since_boot() + renewing.span)?;
        renewing.note(since_boot() + renewing.span)?;
        let (reader, writer) = ward_sys::pipe::pipe()?;
        if fork_single_threaded()? == Side::Child {
            drop(writer);
            let end = renewing.renew(&lease, &PollFd::new(&reader, PollFlags::IN));
            return end.map(|()| 0);
        }
        drop(reader);
        _alive = Some(writer);
        locks = locks.with_lease(LeaseWatch {
            lease,
            stop_before: line.stop_before,
            kill_before: line.kill_before,
        });
    }
    let end = front::run_holding(line.spec, line.report.as_deref(), locks)?;
    Ok(end.exit_status)
}

impl Renewing {
    fn note(&self, good_until: Duration) -> anyhow::Result<()> {
        // Renamed, so that it is whole whenever it is read.
        let new = self.notes.with_extension("new");
        fs::write(&new, good_until.as_nanos().to_string())?;
        fs::rename(&new, &self.notes).context("renaming the note")
    }

    fn renew(&self, lease: &Lease, alive: &PollFd<'_>) -> anyhow::Result<()> {
        set_name(c"renewer");
        if !self.in_group {
            new_session(None)?;
        }
        let mut left = self.times;
        loop {
            let wait = Timespec::try_from(INTERVAL)?;
            if poll(&mut [alive.clone()], Some(&wait)) == Ok(1) {
                // Nobody is left who keeps the work.
                return Ok(());
            }
            if self.lose_at.as_ref().is_some_and(|file| file.exists()) {
                lease.lose();
            }
            match &mut left {
                Some(0) => continue,
                Some(left) => *left -= 1,
                None => {}
            }
            let good_until = since_boot() + self.span;
            self.note(good_until)?;
            lease.extend(good_until);
        }
    }
}
