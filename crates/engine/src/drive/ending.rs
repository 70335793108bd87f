//! The end of a run: said to people, written to the report, handed to the front.

use std::time::Instant;

use ward_model::exit_code;
use ward_model::life::{CauseKind, End, Outcome};
use ward_model::report::Report;
use ward_model::signal::Signal;

use super::{Drive, Host};
use crate::control::Line;
use crate::custody::{Custody, Terminal};
use crate::notice;

impl Drive<'_> {
    pub(super) fn finish(self, outcome: Outcome) -> Ended {
        let Self {
            custody,
            host,
            line_open,
            timers,
            keyboard_stop,
            ..
        } = self;
        let now = Instant::now();
        custody.account.over(timers.paused_for(now), now);
        if let Some(log) = &mut custody.relay.log {
            log.finish();
        }
        for sink in &mut custody.relay.sinks {
            sink.confess();
        }
        if outcome.output_cut {
            custody.relay.give_up();
        }
        custody.account.spared = custody.tree.take_spared();
        say_how_it_ended(custody, &outcome);
        let report = (custody.report.is_some() || custody.reports_over_line).then(|| {
            let output = custody.output();
            let Custody {
                account,
                spec,
                run_id,
                tree,
                ..
            } = &mut *custody;
            account.report(spec, run_id, &outcome, tree, output)
        });
        if let (Some(file), Some(report)) = (custody.report.take(), &report) {
            let path = file.path().to_owned();
            if let Err(error) = file.write(report) {
                custody.say(&format!(
                    "cannot write the report `{}`: {error}",
                    path.display()
                ));
            }
        }
        Ended {
            exit_status: exit_code::of(&outcome),
            die_of: die_of(custody.terminal, keyboard_stop, &outcome),
            drains_on: custody
                .relay
                .sources
                .iter()
                .filter_map(|source| source.fd())
                .any(ward_sys::pipe::has_writers),
            report,
            line: match host {
                Host::Guardian(line) if line_open => Some(line),
                Host::Guardian(_) | Host::Front(_) => None,
            },
        }
    }
}

/// An ended run.
pub(crate) struct Ended {
    /// The signal to die of, where the user at the terminal ended the command with it: so
    /// that a shell's loop around us ends as well.
    pub(crate) die_of: Option<Signal>,
    /// Somebody still writes to the run's pipes.
    pub(crate) drains_on: bool,
    /// What the front exits with.
    pub(crate) exit_status: u8,
    /// The truth, where somebody wants it.
    pub(crate) report: Option<Report>,
    /// The line to the front, if it still listens.
    pub(crate) line: Option<Line>,
}

fn die_of(terminal: Terminal, stop: Option<Signal>, outcome: &Outcome) -> Option<Signal> {
    if outcome.cause == Some(CauseKind::LockLost) {
        // The exit status says it.
        return None;
    }
    if stop.is_some() && outcome.stopped_before_end {
        return stop;
    }
    let End::Signaled { signal, .. } = outcome.end else {
        return None;
    };
    let by_keyboard = signal == Signal::INT || signal == Signal::QUIT;
    (terminal != Terminal::None && by_keyboard && outcome.cause.is_none()).then_some(signal)
}

fn say_how_it_ended(custody: &mut Custody, outcome: &Outcome) {
    let killed_by_nobody_known = outcome.end
        == End::Signaled {
            signal: Signal::KILL,
            core_dumped: false,
        }
        && !outcome.forced;
    let limited = custody.spec.tree_limits.memory_max.is_some();
    if killed_by_nobody_known || limited {
        let kills = custody.account.look_for_oom(custody.tree.cgroup.as_deref());
        if kills > 0 {
            custody.notice(&notice::out_of_memory(kills));
        }
    }
    if outcome.cause.is_some() && outcome.end != End::Unknown {
        let name = custody.spec.name();
        let (cleaned_up, longest) = custody.account.cleaned_up();
        let killed = custody.account.killed.count;
        let told = custody.account.told_count;
        if told > 0 || killed > 0 {
            let whom = match outcome.cause {
                Some(CauseKind::LeftOver) => format!("what {name} left"),
                _ => name,
            };
            custody.notice(&notice::stopped(&whom, told, cleaned_up, longest, killed));
        }
    }
    if custody.account.spared.count > 0 {
        let text = notice::spared(&custody.account.spared);
        custody.notice(&text);
    }
    if outcome.stalled {
        let text = notice::survivors(&custody.account.survivors);
        custody.say(&text);
    }
    if outcome.output_cut {
        let bytes = custody.relay.undelivered();
        custody.say(&format!(
            "nobody read the output: {bytes} bytes were given up"
        ));
    }
}
