//! What the keeper tells: ends of processes, signals, strangers that were reaped.

use std::time::Duration;

use ward_model::life::End;
use ward_model::program::{Event, Level, SHORTEST_KILL_INTERVAL, Timer, end_text};
use ward_model::signal::Signal;

use super::core::{Core, Due, Outcome, Token};
use super::info::unix_now;
use super::program::{Ended, ProgramId};
use crate::keeper::{self, FromKeeper, Slot};

/// How often a tree without a descriptor to watch is looked at, while it is to get empty.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl Core {
    /// Takes all that the keeper has told.
    pub(crate) fn hear_keeper(&mut self) {
        while let Some(told) = self.custody.next() {
            match told {
                FromKeeper::Exited {
                    slot,
                    generation,
                    end,
                    at,
                } => self.exited(slot, generation, end_of(end), at),
                FromKeeper::Signal(number) => {
                    self.signalled(number);
                    self.custody.signal_done(number);
                }
                FromKeeper::ReapedUnknown { pid, end } => {
                    let text = format!("reaped unknown pid {pid} ({})", end_text(end_of(end)));
                    self.say(Level::Info, &text);
                }
                FromKeeper::Crashed(end) => {
                    let text = format!(
                        "the daemon before this one ended by itself ({}); no program was touched by that",
                        end_text(end_of(end))
                    );
                    self.say(Level::Critical, &text);
                }
                FromKeeper::UpgradeRefused => {
                    let text = "the executable that is installed now cannot take over what is kept; everything goes on with the old one";
                    self.say(Level::Error, text);
                }
                FromKeeper::KeeperGone => {
                    let text =
                        "the keeper is gone; becoming the keeper, no program is touched by that";
                    self.say(Level::Critical, text);
                    self.outcome = Some(Outcome::TakeOver);
                }
            }
        }
    }

    /// The process of a slot has ended; `at` in nanoseconds since 1970.
    pub(crate) fn exited(&mut self, slot: Slot, generation: u32, end: End, at: u64) {
        let Some(id) = self.by_slot.get(&slot).copied() else {
            return self.stranger_is_over(slot, generation);
        };
        let Some(program) = self.programs.get(&id) else {
            return;
        };
        if program.generation != generation {
            return;
        }
        let lived = Duration::from_nanos(at.saturating_sub(program.started_at));
        self.drain(id);
        let Some(program) = self.programs.get_mut(&id) else {
            return;
        };
        if program.tree.as_ref().is_some_and(|tree| !tree.is_empty()) {
            program.held_end = Some((end, lived));
            // Whoever is left does not make it a start that succeeded.
            self.timers.disarm(Due::Program(id, Timer::Start));
            self.stop_rest_of_tree(id);
        } else {
            self.over(id, end, lived);
        }
    }

    /// The process has ended, and so has everybody of its tree.
    fn over(&mut self, id: ProgramId, end: End, lived: Duration) {
        self.let_go_of_tree(id);
        let why = self.why_not(id);
        let Some(program) = self.programs.get_mut(&id) else {
            return;
        };
        program.to_be_told = false;
        program.stopped = unix_now();
        program.unacknowledged = Some(program.generation);
        let pid = program.machine.pid().unwrap_or(0);
        program.remember(Ended {
            pid,
            end,
            at: unix_now(),
            lived,
            why,
        });
        self.deafen(id);
        self.happen(id, Event::Exited { end, lived });
    }

    /// The leader has ended: whoever else is there is told to, and given the time that a stop gives.
    fn stop_rest_of_tree(&mut self, id: ProgramId) {
        let Some(program) = self.programs.get_mut(&id) else {
            return;
        };
        let signal = program.config.stopsignal.unwrap_or(Signal::TERM);
        let wait = program.machine.policy().stop_time();
        if let Some(tree) = &mut program.tree {
            tree.tell(signal);
            program.tree_deadline = Some(ward_sys::clock::since_boot().saturating_add(wait));
        }
        let watched = program
            .tree
            .as_ref()
            .and_then(|tree| tree.events())
            .map(|events| {
                let data = rustix::event::epoll::EventData::new_u64(Token::Tree(id).to_number());
                let flags = rustix::event::epoll::EventFlags::PRI;
                rustix::event::epoll::add(&self.epoll, events, data, flags).is_ok()
            });
        let next = if watched == Some(true) {
            // The kernel tells late; the time limit has to be kept anyhow.
            wait.min(Duration::from_millis(200))
        } else {
            LOOK_AGAIN
        };
        let at = ward_sys::clock::since_boot().saturating_add(next);
        self.timers.arm(Due::Tree(id), at);
    }

    /// Looks whether a tree has got empty.
    pub(crate) fn look_at_tree(&mut self, id: ProgramId, by_time: bool) {
        let now = ward_sys::clock::since_boot();
        let Some(program) = self.programs.get_mut(&id) else {
            return;
        };
        let Some(tree) = &program.tree else { return };
        // Reading is what makes the kernel tell again.
        if tree.is_empty() {
            if let Some((end, lived)) = program.held_end.take() {
                self.over(id, end, lived);
            }
            return;
        }
        if program.tree_deadline.is_some_and(|at| at <= now) {
            let name = program.config.name.clone();
            let killed = tree.kill();
            // What does not end at once does not end by being killed without a pause.
            let again = program.machine.policy().stop_time();
            program.tree_deadline = Some(now.saturating_add(again.max(SHORTEST_KILL_INTERVAL)));
            self.say(
                Level::Warn,
                &match killed {
                    Ok(()) => format!("killing what '{name}' left of its tree with SIGKILL"),
                    Err(error) => format!("cannot kill what '{name}' left of its tree: {error}"),
                },
            );
        }
        if by_time {
            self.timers.arm(Due::Tree(id), now + LOOK_AGAIN);
        }
    }

    fn let_go_of_tree(&mut self, id: ProgramId) {
        self.timers.disarm(Due::Tree(id));
        let Some(program) = self.programs.get_mut(&id) else {
            return;
        };
        program.tree_deadline = None;
        if let Some(tree) = program.tree.take() {
            if let Some(events) = tree.events() {
                // It may never have been watched.
                let _ = rustix::event::epoll::delete(&self.epoll, events);
            }
            tree.clear();
        }
    }

    fn why_not(&mut self, id: ProgramId) -> Option<String> {
        self.programs.get_mut(&id)?.why_not.take()
    }

    /// Somebody sent the supervisor a signal.
    pub(crate) fn signalled(&mut self, number: i32) {
        let Some(signal) = Signal::from_number(number) else {
            return;
        };
        match signal {
            Signal::TERM | Signal::INT | Signal::QUIT => {
                let text = format!("received {signal} indicating exit request");
                self.say(Level::Warn, &text);
                self.begin_ending(Outcome::Shutdown);
            }
            Signal::HUP if self.is_shutting_down() => {
                let text =
                    format!("ignored {signal} indicating restart request (shutdown in progress)");
                self.say(Level::Warn, &text);
            }
            Signal::HUP => {
                let text = format!("received {signal} indicating restart request");
                self.say(Level::Warn, &text);
                // What is wrong with the file is in the log by then.
                if self.check_before_restart().is_ok() {
                    self.begin_ending(Outcome::Restart);
                }
            }
            Signal::USR2 => {
                let text = format!("received {signal} indicating log reopen request");
                self.say(Level::Info, &text);
                self.reopen_logs();
            }
            _ => {
                let text = format!("received {signal} indicating nothing");
                self.say(Level::Debug, &text);
            }
        }
    }

    fn reopen_logs(&mut self) {
        // What was said before belongs to the file that was put aside. The main log is one of the files.
        self.log.retry();
        let troubles = self.files.reopen();
        self.say(Level::Info, "supervisord logreopen");
        for (path, error) in troubles {
            let text = format!("cannot reopen {}: {error}", path.display());
            self.say(Level::Error, &text);
        }
    }
}

/// How a process ended, in the words of its machine.
pub(crate) fn end_of(end: keeper::Ended) -> End {
    match end {
        keeper::Ended::Exit(code) => End::Exited { code },
        keeper::Ended::Signal(number, core_dumped) => match Signal::from_number(number) {
            Some(signal) => End::Signaled {
                signal,
                core_dumped,
            },
            None => End::Unknown,
        },
        keeper::Ended::Unknown => End::Unknown,
    }
}
