//! Going on with what an earlier daemon has left: processes that run, ends that nobody has taken note of,
//! and outputs that outlive both.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::time::{Duration, UNIX_EPOCH};

use ward_config::value::Contain;
use ward_model::life::End;
use ward_model::program::{
    Action, Event, Level, Machine, Resumption, Snapshot, State as ProgramState, Timer,
};
use ward_model::signal::Signal;
use ward_sys::clock::since_boot;

use super::core::{Core, Due};
use super::keeping::end_of;
use super::program::ProgramId;
use super::saved::Saved;
use super::spawning::seconds;
use super::starting::tree_number;
use super::tree::Tree;
use crate::api::Stream;
use crate::keeper::{self, Adopted, LeftOver, Slot, State};

/// Who is not configured any more has so long to end: what a program has that says nothing else.
const STRANGERS_END: Duration = Duration::from_secs(10);

/// A process that nobody knows any more, and that was told to end.
pub(crate) struct Stranger {
    name: String,
    tree: Option<Tree>,
}

/// One whose machine is what it was, while what follows from that is still to be done.
struct Resumed {
    id: ProgramId,
    old: Adopted,
    saved: Saved,
    actions: Vec<Action>,
}

impl Core {
    /// Takes over processes, or what is known of the last ones. First everybody is what he was: what
    /// follows for one may depend on the others, as who shares a socket. `ending`: the supervisor was, and
    /// still is.
    pub(super) fn take_over_all(&mut self, adopted: Vec<(ProgramId, Adopted)>, ending: bool) {
        let mut all = Vec::new();
        for (id, old) in adopted {
            if self.is_bygone(id, &old) {
                self.begin_anew(id, old);
            } else {
                all.extend(self.resume(id, old, ending));
            }
        }
        for resumed in all {
            self.go_on_with(resumed);
        }
        let with_sockets: Vec<String> = self
            .groups
            .iter()
            .filter(|group| !group.sockets.is_empty())
            .map(|group| group.config.name.clone())
            .collect();
        for name in with_sockets {
            self.close_unused_socket(&name);
        }
    }

    /// Whether only its name is left, and somebody has started the supervisor again since: then it is as if
    /// it had never been started. Of a tree others may live: those are stopped first.
    fn is_bygone(&self, id: ProgramId, old: &Adopted) -> bool {
        let is_tree = self
            .programs
            .get(&id)
            .is_some_and(|program| program.config.contain == Contain::Tree);
        self.custody.is_first()
            && match old.state {
                State::Idle => true,
                State::Ended { .. } => !is_tree,
                State::Alive { .. } => false,
            }
    }

    fn begin_anew(&mut self, id: ProgramId, old: Adopted) {
        let (slot, generation) = (old.slot, old.generation);
        if let Some(program) = self.programs.get_mut(&id) {
            program.generation = generation;
        }
        match old.state {
            State::Ended { .. } => {
                self.custody
                    .acknowledge(slot, generation, &keeper::Snapshot::default());
            }
            State::Idle | State::Alive { .. } => {
                self.custody
                    .set_snapshot(slot, &keeper::Snapshot::default());
            }
        }
        self.read_on(id, generation, [old.stdout, old.stderr]);
    }

    /// Makes the machine of a program what it was.
    fn resume(&mut self, id: ProgramId, old: Adopted, ending: bool) -> Option<Resumed> {
        let program = self.programs.get_mut(&id)?;
        let saved = Saved::from_words(&old.snapshot);
        program.generation = old.generation;
        program.stopped = saved.stopped;
        program.tree_number = saved.tree;
        program.to_be_told = saved.to_be_told;
        program.started = saved.started;
        program.started_at = saved.started_at;
        let pid = pid_of(&old);
        if pid.is_some() {
            let at = old
                .spawned_at
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            program.started_at = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
            program.started = seconds(program.started_at);
        }
        let policy = program.machine.policy().clone();
        let snapshot = if ending {
            saved.machine
        } else {
            saved.machine.not_ending()
        };
        let mut actions = Vec::new();
        let found = Resumption {
            spawned: pid,
            elapsed: since_boot().saturating_sub(saved.taken),
        };
        let resumed = Machine::resume(policy.clone(), snapshot, found, &mut actions);
        let matches = resumed
            .as_ref()
            .is_ok_and(|machine| machine.pid().is_some() == pid.is_some() || pid.is_none());
        program.machine = match (resumed, pid) {
            (Ok(machine), _) if matches => machine,
            (_, Some(pid)) => {
                actions.clear();
                Machine::resume(policy.clone(), Snapshot::running(pid), found, &mut actions)
                    .unwrap_or_else(|_| Machine::new(policy))
            }
            (_, None) => {
                actions.clear();
                Machine::new(policy)
            }
        };
        Some(Resumed {
            id,
            old,
            saved,
            actions,
        })
    }

    /// Does what follows for a program whose machine was resumed.
    fn go_on_with(&mut self, resumed: Resumed) {
        let Resumed {
            id,
            old,
            saved,
            actions,
        } = resumed;
        let pid = pid_of(&old);
        let (slot, generation) = (old.slot, old.generation);
        match pid {
            Some(pid) => {
                let lives = matches!(old.state, State::Alive { .. });
                self.take_over_process(id, (pid, lives), saved, [old.stdout, old.stderr]);
            }
            None => self.read_on(id, generation, [old.stdout, old.stderr]),
        }
        // Before anything is started.
        let believed = self.programs.get(&id).and_then(|it| it.machine.pid());
        self.carry_out(id, actions);
        match old.state {
            State::Ended { end, at, .. } => self.exited(slot, generation, end_of(end), at),
            // Its child could not become the program, and the daemon was killed before that was noted.
            State::Idle if believed.is_some() => {
                self.was_not_started(id);
            }
            State::Alive { .. } if saved.to_be_told => self.tell_stop_at_last(id),
            State::Idle | State::Alive { .. } => {}
        }
    }

    /// Ends a process that there never was, if it is still believed in.
    fn was_not_started(&mut self, id: ProgramId) {
        // As such a child exits.
        let end = End::Exited { code: 127 };
        let lived = Duration::ZERO;
        self.deafen(id);
        self.timers.disarm(Due::Program(id, Timer::Start));
        self.happen(id, Event::Exited { end, lived });
    }

    fn take_over_process(
        &mut self,
        id: ProgramId,
        (pid, lives): (i32, bool),
        saved: Saved,
        streams: [Option<OwnedFd>; 2],
    ) {
        let Some(program) = self.programs.get_mut(&id) else {
            return;
        };
        if program.config.contain == Contain::Tree {
            let name = tree_number(program.slot, program.tree_number);
            program.tree = Some(self.grove.find(&name, program.tree_number));
        }
        let runs = program.machine.state() == ProgramState::Running;
        let listener = saved
            .listener
            .map(|ear| match lives {
                true => self.found_listener(id, pid, ear, streams[0].as_ref()),
                // Nobody tells it anything, and what it said is heard as it was.
                false => ear.listener(),
            })
            .unwrap_or_default();
        self.open_streams(id, pid, streams, saved.listener.map_or(0, |ear| ear.heard));
        self.with_listener(id, |pool, member, actions| {
            pool.adopt(member, listener, actions);
            pool.set_running(member, runs, actions);
        });
    }

    /// Reads what others write to the outputs of a process that has ended.
    fn read_on(&mut self, id: ProgramId, generation: u32, streams: [Option<OwnedFd>; 2]) {
        for (stream, fifo) in [Stream::Stdout, Stream::Stderr].into_iter().zip(streams) {
            if let Some(fifo) = fifo {
                self.open_left_over(id, generation, stream, fifo);
            }
        }
    }

    /// Reads on what others write to pipes of processes that have ended.
    pub(super) fn take_over_left_over(&mut self, left_over: Vec<LeftOver>) {
        for pipe in left_over {
            let stream = pipe.stream;
            match self.by_slot.get(&pipe.slot).copied() {
                Some(id) => self.open_left_over(id, pipe.generation, stream, pipe.reader),
                None => self
                    .custody
                    .drained(pipe.slot, pipe.generation, pipe.stream),
            }
        }
    }

    /// What nobody knows any more is stopped, gently: it is of this supervisor, and would run twice.
    pub(super) fn let_go_of_strangers(&mut self, found: HashMap<String, Adopted>) {
        for (name, adopted) in found {
            let text = format!("'{name}' is not configured any more");
            self.say(Level::Warn, &text);
            match adopted.state {
                State::Alive { .. } => self.stop_stranger(name, &adopted),
                State::Idle | State::Ended { .. } => {
                    self.stranger_is_over(adopted.slot, adopted.generation);
                }
            }
        }
    }

    fn stop_stranger(&mut self, name: String, adopted: &Adopted) {
        let slot = adopted.slot;
        let number = Saved::from_words(&adopted.snapshot).tree;
        // A number has only who is contained with all of his tree.
        let mut tree = (number != 0).then(|| self.grove.find(&tree_number(slot, number), number));
        let told = match &mut tree {
            Some(tree) => {
                tree.tell(Signal::TERM);
                Ok(())
            }
            None => self
                .custody
                .signal(slot, Signal::TERM.number(), keeper::Target::Leader),
        };
        if let Err(error) = told {
            let text = format!("cannot stop '{name}': {error}");
            self.say(Level::Error, &text);
        }
        self.strangers.insert(slot, Stranger { name, tree });
        let at = since_boot().saturating_add(STRANGERS_END);
        self.timers.arm(Due::Strangers, at);
    }

    /// Ends those who have not ended by themselves.
    pub(super) fn kill_strangers(&mut self) {
        let mut troubles = Vec::new();
        for (slot, Stranger { name, tree }) in &self.strangers {
            let killed = match tree {
                Some(tree) => tree.kill(),
                None => {
                    let kill = Signal::KILL.number();
                    self.custody.signal(*slot, kill, keeper::Target::Leader)
                }
            };
            troubles.push(match killed {
                Ok(()) => (Level::Warn, format!("killing '{name}' with SIGKILL")),
                Err(error) => (Level::Error, format!("cannot kill '{name}': {error}")),
            });
        }
        for (level, text) in troubles {
            self.say(level, &text);
        }
    }

    /// Nobody's process has ended: its place is for others.
    pub(super) fn stranger_is_over(&mut self, slot: Slot, generation: u32) {
        if let Some(Stranger { name, tree }) = self.strangers.remove(&slot)
            && let Some(tree) = tree
        {
            // Who is left of it has had no less time than it had.
            if !tree.is_empty()
                && let Err(error) = tree.kill()
            {
                let text = format!("cannot kill what '{name}' left of its tree: {error}");
                self.say(Level::Error, &text);
            }
            tree.clear();
        }
        if self.strangers.is_empty() {
            self.timers.disarm(Due::Strangers);
        }
        self.custody
            .acknowledge(slot, generation, &keeper::Snapshot::default());
        for stream in Stream::ALL {
            self.custody.drained(slot, generation, stream);
        }
        // Refused only where somebody else has it by now.
        let _ = self.custody.release(slot);
    }
}

fn pid_of(old: &Adopted) -> Option<i32> {
    match old.state {
        State::Idle => None,
        State::Alive { pid } | State::Ended { pid, .. } => Some(pid),
    }
}
