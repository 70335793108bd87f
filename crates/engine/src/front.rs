//! The front: the process that the caller started and sees.
//!
//! It passes signals on, keeps the terminal, and gives the exit status. Everything else is
//! the guardian's; but should the guardian be killed, the front is the next subreaper
//! above the tree and holds every descriptor of the run, and carries on in its place.

use std::mem::ManuallyDrop;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ward_model::report::Sender;
use ward_model::signal::Signal;
use ward_model::spec::Spec;
use ward_model::wire::{FromGuardian, Origin, ToGuardian};
use ward_sys::Pid;
use ward_sys::code;
use ward_sys::contain::process::signal_own_child;
use ward_sys::contain::subreaper;
use ward_sys::fork::{Side, fork_single_threaded};
use ward_sys::pipe::{self, Moved};
use ward_sys::procfs::{self, Stat};
use ward_sys::reap::{self, Reaped};
use ward_sys::signals::{self, Received, SignalSource};
use ward_sys::terminal::{self, SavedSettings};

use crate::control::{Heard, Line};
use crate::custody::{Custody, Terminal};
use crate::drive::{Drive, Host};
use crate::error::EngineError;
use crate::guardian;
use crate::keep;
use crate::lease::Lookout;
use crate::locks::Locks;

/// What a front ends with.
#[derive(Debug)]
#[must_use]
pub struct FrontEnd {
    /// The exit status.
    pub exit_status: u8,
    /// The signal to die of instead, where the user at the terminal sent it.
    pub die_of: Option<Signal>,
}

/// Signals that a front handles. CONT only wakes; WINCH matters to a pseudo-terminal.
const HANDLED: [Signal; 12] = [
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::TERM,
    Signal::USR1,
    Signal::USR2,
    Signal::CHLD,
    Signal::TSTP,
    Signal::TTIN,
    Signal::TTOU,
    Signal::CONT,
    Signal::WINCH,
];

/// After so long without any news most of what was run is not needed soon.
const REST_AFTER: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

/// SIGXFSZ.
const XFSZ: i32 = 25;

/// Runs `spec` to its end in this process, which must be single-threaded, and its guardian.
///
/// The report is written to `report`, if given, by the time this returns.
///
/// # Errors
/// [`EngineError`], when nothing was started, or when the end could not be learned.
pub fn run(spec: Spec, report: Option<&Path>) -> Result<FrontEnd, EngineError> {
    run_holding(spec, report, Locks::default())
}

/// As [`run`], with locks that are held as long as the work lasts.
///
/// # Errors
/// As [`run`].
pub fn run_holding(
    spec: Spec,
    report: Option<&Path>,
    locks: Locks,
) -> Result<FrontEnd, EngineError> {
    let doing = EngineError::system;
    crate::custody::check_kept(&spec)?;
    // A limit on the size of files must not end us in the middle of a write (setrlimit(2)).
    signals::ignore(XFSZ);
    // From here on no signal is lost: they wait until the front is ready for them.
    let mut numbers = HANDLED.map(Signal::number).to_vec();
    if signals::is_ignored(Signal::HUP.number()) {
        // nohup(1): a hang-up is nobody's request.
        numbers.retain(|number| *number != Signal::HUP.number());
    }
    let signals = SignalSource::new(&numbers).map_err(doing("receive signals"))?;
    subreaper::become_subreaper().map_err(doing("become a subreaper"))?;
    let mut custody = Custody::prepare(spec, report)?;
    match locks.descriptors() {
        Ok(descriptors) => custody.placed = descriptors,
        Err(error) => {
            custody.discard();
            return Err(doing("duplicate a descriptor")(error));
        }
    }
    custody.locks = locks;
    if custody.locks.lease().is_some() {
        custody.tree.note_strangers();
    }
    let (line, far_end) = match Line::pair() {
        Ok(pair) => pair,
        Err(error) => {
            custody.discard();
            return Err(doing("make a socket pair")(error));
        }
    };
    let guardian = match fork_single_threaded() {
        Ok(Side::Child) => {
            drop((line, signals));
            guardian::guard(custody, far_end)
        }
        Ok(Side::Parent(guardian)) => guardian,
        Err(error) => {
            custody.discard();
            return Err(doing("start the guardian")(error));
        }
    };
    drop(far_end);
    custody.drop_command_side();
    let mut desk = Desk::new(&mut custody);
    // Never taken apart: what follows is the end of the process, which is faster at it.
    let mut front = ManuallyDrop::new(Front::new(custody, line, guardian));
    let signals = ManuallyDrop::new(signals);
    let end = front.run(&signals, &mut desk);
    desk.close();
    end
}

/// What the front does itself: signals, job control, and the keyboard of a pseudo-terminal.
#[derive(Debug)]
pub(crate) struct Desk {
    terminal: Terminal,
    /// The terminal that the user sits at, where the command has one of its own.
    user: Option<OwnedFd>,
    keyboard: Option<OwnedFd>,
    settings: Option<SavedSettings>,
    typed: Vec<u8>,
    typing: bool,
    /// Others in our pipeline write to the terminal too.
    shares_output: bool,
    /// There is nobody who could hang up: such a signal is for the command.
    detached: bool,
    /// What is not heeded, whoever sent it.
    deaf_to: Vec<Signal>,
    /// Whether who asks is worth a look: it costs time at the beginning of a stop.
    names_are_read: bool,
}

impl Desk {
    pub(crate) fn new(custody: &mut Custody) -> Self {
        let keyboard = custody.keyboard.take();
        let user = keyboard.as_ref().and_then(|_| terminal::controlling());
        let mut desk = Self {
            terminal: custody.terminal,
            typing: keyboard.is_some() && terminal::is_terminal(rustix::stdio::stdin()),
            user,
            keyboard,
            shares_output: !(terminal::is_terminal(rustix::stdio::stdout())
                && terminal::is_terminal(rustix::stdio::stdin())),
            settings: None,
            typed: Vec::new(),
            detached: custody.spec.detached.is_some(),
            deaf_to: custody.spec.deaf_to.clone(),
            names_are_read: custody.names_are_read(),
        };
        desk.take_terminal();
        desk
    }

    /// Lets keys reach the command unchanged, if the keyboard speaks to us.
    fn take_terminal(&mut self) {
        if let (Some(user), None) = (&self.user, &self.settings)
            && terminal::in_foreground(user)
        {
            self.settings = terminal::make_raw(user, self.shares_output).ok();
        }
        self.resize();
    }

    fn give_terminal_back(&mut self) {
        if let (Some(user), Some(settings)) = (&self.user, self.settings.take()) {
            let _ = terminal::restore(user, &settings);
        }
    }

    fn resize(&self) {
        if let (Some(user), Some(keyboard)) = (&self.user, &self.keyboard) {
            terminal::copy_window_size(user, keyboard);
        }
    }

    fn close(&mut self) {
        self.give_terminal_back();
    }

    /// Turns a signal into what the guardian must know.
    ///
    /// `begun` says whether there was a command when it came: what the keyboard sent before
    /// that reached nobody but us.
    pub(crate) fn on_signal(
        &mut self,
        received: Received,
        begun: bool,
        say: &mut dyn FnMut(ToGuardian),
    ) {
        let Some(signal) = Signal::from_number(received.signal) else {
            return;
        };
        if self.deaf_to.contains(&signal) {
            return;
        }
        if self.detached {
            keep::on_signal(received, say);
            return;
        }
        if received.sender.is_none() && begun && self.type_signal(signal) {
            return;
        }
        match signal {
            Signal::HUP | Signal::INT | Signal::QUIT | Signal::TERM => say(ToGuardian::Stop {
                signal,
                sender: received
                    .sender
                    .map(|sender| describe(sender, self.names_are_read)),
                origin: match (received.sender, begun) {
                    (Some(_), _) => Origin::Process,
                    (None, true) => Origin::Terminal,
                    (None, false) => Origin::TerminalTooEarly,
                },
                order: None,
            }),
            Signal::USR1 | Signal::USR2 => say(ToGuardian::Forward {
                signal,
                sender: None,
            }),
            Signal::TSTP | Signal::TTIN | Signal::TTOU => {
                // What the keyboard stops, it stops whole: the command is in our group.
                let stopped_by_terminal = received.sender.is_none() && begun;
                let stop_members = !stopped_by_terminal || self.terminal != terminal_group();
                say(ToGuardian::Pause { stop_members });
                self.give_terminal_back();
                signals::take_default_action(signal.number());
                self.take_terminal();
                say(ToGuardian::Resume {
                    continue_members: stop_members,
                });
            }
            Signal::WINCH => self.resize(),
            // CONT after a STOP that we could not see coming.
            _ => self.take_terminal(),
        }
    }

    /// Types the key of a signal that the keyboard sent us before it was ours to read, so
    /// that the command's own terminal makes of it what it would. Returns whether it did.
    fn type_signal(&mut self, signal: Signal) -> bool {
        let key = match signal {
            Signal::INT => 0x03,
            Signal::QUIT => 0x1c,
            Signal::TSTP => 0x1a,
            _ => return false,
        };
        if self.keyboard.is_none() {
            return false;
        }
        self.typed.push(key);
        self.flush_typed();
        true
    }

    /// The command on its pseudo-terminal was stopped by the keyboard: the whole job is.
    fn on_leader_stopped(&mut self, say: &mut dyn FnMut(ToGuardian)) {
        say(ToGuardian::Pause {
            stop_members: false,
        });
        self.give_terminal_back();
        signals::stop_own_group();
        self.take_terminal();
        say(ToGuardian::Resume {
            continue_members: true,
        });
    }

    /// Passes on what is typed.
    fn on_typed(&mut self) {
        let mut buffer = [0; 4096];
        match pipe::read(rustix::stdio::stdin(), &mut buffer) {
            Ok(Moved::Bytes(count)) => self.typed.extend_from_slice(&buffer[..count]),
            Ok(Moved::NotNow) => {}
            Ok(_) | Err(_) => self.typing = false,
        }
        self.flush_typed();
    }

    fn flush_typed(&mut self) {
        let Some(keyboard) = &self.keyboard else {
            return;
        };
        while !self.typed.is_empty() {
            match rustix::io::write(keyboard, &self.typed) {
                Ok(written) => {
                    self.typed.drain(..written);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return,
                Err(_) => {
                    self.typed.clear();
                    self.typing = false;
                }
            }
        }
    }
}

fn terminal_group() -> Terminal {
    terminal::own_group().map_or(Terminal::None, Terminal::Shared)
}

/// Who sent a signal, and what it is called if that is wanted: at once, as it may end.
pub(crate) fn describe(sender: signals::Sender, named: bool) -> Sender {
    let stat = named.then(|| Stat::of(sender.pid)).flatten();
    let command = stat.map(|stat| procfs::command_line(sender.pid, &stat.comm));
    Sender {
        pid: sender.pid,
        uid: sender.uid,
        command,
    }
}

/// What was asked of a run, kept for the case that the guardian cannot answer for it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) message: ToGuardian,
    pub(crate) at: Instant,
    /// The leader had ended by then.
    pub(crate) after_the_end: bool,
}

/// The front's half of a run.
pub(crate) struct Front {
    asked: Vec<Asked>,
    custody: Custody,
    line: Line,
    guardian: Pid,
    guardian_gone: bool,
    /// Our eye on the lease of the lock, where there is one.
    lookout: Option<Lookout>,
    /// Nothing has happened for a while, once.
    rested: bool,
}

impl Front {
    /// The front of a guardian that has just been forked.
    pub(crate) fn new(custody: Custody, line: Line, guardian: Pid) -> Self {
        // The guardian's is the one that counts.
        let lease = custody.locks.lease();
        let lookout = lease.and_then(|watch| Lookout::new(watch).ok());
        Self {
            asked: Vec::new(),
            custody,
            line,
            guardian,
            guardian_gone: false,
            lookout,
            rested: false,
        }
    }

    /// Serves until the run is over.
    ///
    /// # Errors
    /// When its end cannot be learned.
    pub(crate) fn run(
        &mut self,
        signals: &SignalSource,
        desk: &mut Desk,
    ) -> Result<FrontEnd, EngineError> {
        loop {
            self.wait(signals, desk);
            while let Some(received) = signals.next() {
                if received.signal == Signal::CHLD.number() {
                    self.reap();
                } else {
                    let begun = self.custody.leader().is_some();
                    // Asked first: the leader may end by what is passed on here.
                    let after_the_end = self.custody.leader_status().is_some();
                    desk.on_signal(received, begun, &mut |message| {
                        self.line.say(&message);
                        if let ToGuardian::Stop { .. } = message {
                            self.asked.push(Asked {
                                message,
                                at: Instant::now(),
                                after_the_end,
                            });
                        }
                    });
                }
            }
            // Asked before the guardian's end is acted upon: it may have said all there is.
            loop {
                match self.line.hear() {
                    Heard::Message(message) => {
                        if let Some(end) = self.on_message(&message, desk) {
                            return Ok(end);
                        }
                    }
                    Heard::Nothing => break,
                    Heard::Gone => {
                        self.guardian_gone = true;
                        break;
                    }
                }
            }
            if self.guardian_gone {
                let _ = reap::wait_for_status(self.guardian);
                return self.carry_on(signals, desk);
            }
        }
    }

    /// Tells whoever started a detached command that it is over.
    pub(crate) fn over(&self, exit_status: u8) {
        if let Some(record) = &self.custody.record {
            record.over(exit_status);
        }
    }

    /// Waits for a signal, a message, keys, or the end of a lease.
    fn wait(&mut self, signals: &SignalSource, desk: &mut Desk) {
        let stdin = rustix::stdio::stdin();
        let mut fds = vec![
            PollFd::new(signals, PollFlags::IN),
            PollFd::new(&self.line, PollFlags::IN),
        ];
        // What was typed but not yet taken goes first.
        let keys = desk.typing && desk.settings.is_some() && desk.typed.is_empty();
        if keys {
            fds.push(PollFd::from_borrowed_fd(stdin, PollFlags::IN));
        } else if let (Some(keyboard), false) = (&desk.keyboard, desk.typed.is_empty()) {
            fds.push(PollFd::new(keyboard, PollFlags::OUT));
        }
        let desks = fds.len();
        if let (Some(lookout), Some(watch)) = (&self.lookout, self.custody.locks.lease()) {
            fds.push(PollFd::new(lookout, PollFlags::IN));
            fds.push(PollFd::from_borrowed_fd(watch.lease.bell(), PollFlags::IN));
        }
        let limit = (!self.rested).then_some(REST_AFTER);
        let ready = poll(&mut fds, limit.as_ref());
        if ready == Ok(0) && !std::mem::replace(&mut self.rested, true) {
            code::let_rest();
        }
        let is_ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
        let typed = fds[2..desks].iter().any(is_ready);
        let lease = fds[desks..].iter().any(is_ready);
        drop(fds);
        match (typed, keys) {
            (true, true) => desk.on_typed(),
            (true, false) => desk.flush_typed(),
            (false, _) => {}
        }
        if lease {
            self.on_lease();
        }
    }

    /// Stopping the work when its lease ends is the guardian's; ours is that nobody has stopped
    /// the guardian.
    fn on_lease(&mut self) {
        let (Some(lookout), Some(watch)) = (&self.lookout, self.custody.locks.lease()) else {
            return;
        };
        let Some(ending) = lookout.look(watch) else {
            return;
        };
        let _ = signal_own_child(self.guardian, Signal::CONT.number());
        if ending.left.is_zero() {
            self.lookout = None;
        }
    }

    /// Takes children that ended: the guardian, and, where we are the first process of a
    /// container, whatever falls to us.
    fn reap(&mut self) {
        while let Reaped::Child(pid, status) = self.custody.reap() {
            let ended = !matches!(status, reap::Status::Stopped(_));
            if pid == self.guardian && ended {
                // Who ends from now on is the run's, and its loop's to take.
                self.guardian_gone = true;
                return;
            }
        }
    }

    fn on_message(&mut self, message: &FromGuardian, desk: &mut Desk) -> Option<FrontEnd> {
        match message {
            FromGuardian::Started { .. } => {}
            FromGuardian::LeaderStopped => desk.on_leader_stopped(&mut |message| {
                self.line.say(&message);
            }),
            FromGuardian::StreamRefused { stream } => {
                let index = usize::try_from(*stream).unwrap_or(usize::MAX);
                if let Some(source) = self.custody.relay.sources.get_mut(index) {
                    source.close();
                }
            }
            FromGuardian::Done {
                exit_status,
                die_of,
                drains_on,
                report: _,
            } => {
                self.custody.clean_up();
                // When we are gone nothing of the run is left, but what is meant to be.
                if !*drains_on && !self.guardian_gone {
                    let _ = reap::wait_for_status(self.guardian);
                }
                return Some(FrontEnd {
                    exit_status: *exit_status,
                    die_of: *die_of,
                });
            }
        }
        None
    }

    /// The guardian was killed. Its children are ours now, with everything they had.
    fn carry_on(
        &mut self,
        signals: &SignalSource,
        desk: &mut Desk,
    ) -> Result<FrontEnd, EngineError> {
        // So that an outer run leaves telling to us, as it would to a guardian. A keeper has
        // the right name already.
        if self.custody.spec.detached.is_none() {
            subreaper::set_name(crate::tree::GUARDIAN_NAME);
        }
        self.lookout = None;
        self.custody.relay.take_over();
        let ended =
            Drive::new(&mut self.custody, Host::Front(desk), signals)?.run_from_middle(&self.asked);
        let end = FrontEnd {
            exit_status: ended.exit_status,
            die_of: ended.die_of,
        };
        self.custody.clean_up();
        if ended.drains_on
            && let Ok(Side::Child) = fork_single_threaded()
        {
            guardian::drain_on(&self.custody);
        }
        Ok(end)
    }
}
