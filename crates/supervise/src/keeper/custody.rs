//! The daemon's side: its programs as it has them, whatever happens to it or to its keeper.

mod adoption;
mod spawning;
mod taking_over;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use rustix::fs::{Mode, OFlags};
use thiserror::Error;
use ward_sys::contain::subreaper;
use ward_sys::spawn::Landing;
use ward_sys::{fifo, handover, pidfd};

pub use adoption::{Adopted, Adoption, LeftOver, State};
pub use spawning::{Sink, SpawnFailure, Spawned, Spec, Stdin};

use super::pipes::{self, End};
use super::place;
use super::role::{self, House, Role, RoleError};
use super::roster::{Ended, NAME_MAX, Phase, Roster, SLOTS, Slot, Snapshot, Word};
use super::wire::{self, Key, Message, Received};
use crate::api::Stream;

/// How long the keeper may take to make room in its socket, in seconds: it never waits for anything, but
/// it may have been stopped.
const PATIENCE: i64 = 30;

/// What the keeper tells, or what is found out about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FromKeeper {
    /// A program has ended. Told to this daemon once; to the next one again, unless
    /// [`Custody::acknowledge`] was called.
    Exited {
        /// Whose.
        slot: Slot,
        /// Which of its processes.
        generation: u32,
        /// How.
        end: Ended,
        /// When, in nanoseconds since 1970.
        at: u64,
    },
    /// The keeper was sent this signal. Told again to the next daemon, unless
    /// [`Custody::signal_done`] was called.
    Signal(i32),
    /// A child of the keeper's that nobody knows has ended: an orphan of some program. Of very many at
    /// once some are not told of.
    ReapedUnknown {
        /// Its process id.
        pid: i32,
        /// How.
        end: Ended,
    },
    /// The last daemon ended so, without having wanted to.
    Crashed(Ended),
    /// The executable that is at the keeper's path cannot take over what this one keeps.
    UpgradeRefused,
    /// The keeper is gone. No program can be started any more, and no end be learned:
    /// [`Custody::take_over`].
    KeeperGone,
}

/// To whom a signal goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The process that was started.
    Leader,
    /// All of its process group.
    Group,
}

/// Why a name has no slot.
#[derive(Debug, Error)]
pub enum ClaimError {
    /// It has none, or too many bytes.
    #[error("a process's name must have 1 to {NAME_MAX} bytes, and this one has {length}")]
    Length {
        /// Its length in bytes.
        length: usize,
    },
    /// It has a slot already.
    #[error("this process has a slot already")]
    Taken,
    /// All slots are taken.
    #[error("there are {SLOTS} processes already")]
    Full,
    /// The disk is full.
    #[error("there is no room in the runtime directory")]
    NoRoom(#[source] io::Error),
}

/// Why a slot cannot be given back, or used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the process is not over, or its end was not taken note of")]
pub struct Busy;

/// A process that was started or adopted.
#[derive(Debug)]
struct Live {
    pid: i32,
    pidfd: OwnedFd,
}

/// The daemon's programs. There is one of these in a daemon, and it belongs to the daemon's only thread.
#[derive(Debug)]
pub struct Custody {
    house: House,
    socket: OwnedFd,
    live: Vec<Option<Live>>,
    /// Of which generation the end was told.
    told: Vec<u32>,
    names: HashMap<Vec<u8>, Slot>,
    free: Vec<Slot>,
    /// Below this slot the file has room.
    roomy: usize,
    kept: BTreeMap<Key, OwnedFd>,
    waiting: VecDeque<FromKeeper>,
    is_alone: bool,
    /// Where the streams of what is started are put.
    landing: Option<Landing>,
    /// `/dev/null`, for outputs that go nowhere.
    nothing: Option<OwnedFd>,
}

impl Custody {
    /// The custody of a process that a keeper started as its daemon; none for every other process. To be
    /// called before there are threads.
    ///
    /// # Errors
    /// [`RoleError`]: somebody else set the variable.
    #[must_use]
    pub fn from_role() -> Option<Result<Self, RoleError>> {
        let role = role::take(false)?;
        Some(role.and_then(|role| match role {
            Role::Daemon(house, socket) => Ok(Self::new(house, socket)),
            Role::Keeper(..) | Role::Again(..) | Role::Check(_) => Err(RoleError::Word),
        }))
    }

    fn new(house: House, socket: OwnedFd) -> Self {
        subreaper::set_name(c"ward-daemon");
        super::watch::raise_descriptor_limit();
        let mut custody = Self {
            house,
            socket,
            live: Vec::new(),
            told: Vec::new(),
            names: HashMap::new(),
            free: Vec::new(),
            roomy: 0,
            kept: BTreeMap::new(),
            waiting: VecDeque::new(),
            is_alone: false,
            landing: Landing::new().ok(),
            nothing: nothing().ok(),
        };
        custody.make_room();
        custody.roomy = custody.house.roster.high();
        let roster = &custody.house.roster;
        for slot in roster.slots() {
            match roster.phase(slot) {
                Some(Phase::Free) => custody.free.push(slot),
                Some(Phase::Claimed | Phase::Starting | Phase::Alive) => {
                    custody.names.insert(roster.name(slot), slot);
                }
                None => {}
            }
        }
        // The lowest first.
        custody.free.reverse();
        for (word, told) in [
            (
                Word::LastEnd,
                FromKeeper::Crashed as fn(Ended) -> FromKeeper,
            ),
            (Word::UpgradeRefused, |_| FromKeeper::UpgradeRefused),
        ] {
            let number = roster.word(word).swap(0, Ordering::AcqRel);
            if number != 0 {
                custody.waiting.push_back(told(Ended::from_number(number)));
            }
        }
        let heard = roster.get(Word::SignalsHeard);
        custody
            .waiting
            .extend(signals_in(heard).map(FromKeeper::Signal));
        custody.receive_kept();
        custody
    }

    /// What earlier daemons had the keeper keep.
    fn receive_kept(&mut self) {
        loop {
            match wire::receive(self.socket.as_fd()) {
                Received::Message(Message::Keep(key), [Some(fd), _]) => {
                    self.kept.insert(key, fd);
                }
                Received::Message(Message::AllKept, _) => return,
                Received::Message(..) | Received::Rubbish => {}
                Received::Nothing => {
                    if !wire::wait(&self.socket, false, PATIENCE) {
                        return;
                    }
                }
                Received::End => return self.lose_keeper(),
            }
        }
    }

    /// Tables for as many slots as are used.
    fn make_room(&mut self) {
        let high = self.house.roster.high();
        if self.live.len() < high {
            self.live.resize_with(high, || None);
            self.told.resize(high, 0);
        }
    }

    fn lose_keeper(&mut self) {
        if !self.is_alone {
            self.is_alone = true;
            self.waiting.push_back(FromKeeper::KeeperGone);
        }
    }

    fn roster(&self) -> &Roster {
        &self.house.roster
    }

    /// A descriptor that is readable when there is something new: then call [`Custody::next`] until it
    /// gives nothing, and once before the first time.
    #[must_use]
    pub fn poll_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The next news.
    #[expect(
        clippy::should_implement_trait,
        reason = "none now does not mean none later"
    )]
    pub fn next(&mut self) -> Option<FromKeeper> {
        if self.waiting.is_empty() {
            self.look();
        }
        self.waiting.pop_front()
    }

    fn look(&mut self) {
        loop {
            match wire::receive(self.socket.as_fd()) {
                Received::Message(..) | Received::Rubbish => {}
                Received::Nothing => break,
                Received::End => {
                    self.lose_keeper();
                    break;
                }
            }
        }
        let roster = &self.house.roster;
        // What is noted from here on wakes us again.
        roster.answer_bell();
        let signals = roster.word(Word::Signals).load(Ordering::SeqCst);
        if signals != 0 {
            // First heard, then no more waiting: in between both are true, and it is told again.
            let heard = roster.word(Word::SignalsHeard);
            heard.fetch_or(signals, Ordering::SeqCst);
            roster
                .word(Word::Signals)
                .fetch_and(!signals, Ordering::SeqCst);
            self.waiting
                .extend(signals_in(signals).map(FromKeeper::Signal));
        }
        let (told, waiting) = (&mut self.told, &mut self.waiting);
        roster.take_noted(|slot| {
            let generation = roster.cell(slot).generation;
            if let Some((end, at)) = roster.end_of(slot, generation)
                && roster.failed(slot) != generation
                && roster.consumed(slot) != generation
                && told[slot.index()] != generation
            {
                told[slot.index()] = generation;
                waiting.push_back(FromKeeper::Exited {
                    slot,
                    generation,
                    end,
                    at,
                });
            }
        });
        while let Some((pid, end)) = roster.next_unknown() {
            waiting.push_back(FromKeeper::ReapedUnknown { pid, end });
        }
    }

    /// This signal was dealt with: what has to be remembered of it is in a snapshot.
    pub fn signal_done(&self, signal: i32) {
        let bit = 1u64 << (signal & 63);
        let heard = self.roster().word(Word::SignalsHeard);
        heard.fetch_and(!bit, Ordering::SeqCst);
    }

    /// The keeper's process id: the one that the user started, unless that keeper was killed.
    #[must_use]
    pub fn keeper_pid(&self) -> i32 {
        i32::try_from(self.roster().get(Word::KeeperPid)).unwrap_or(0)
    }

    /// Whether no daemon of this keeper has worked before this one.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.roster().get(Word::EverReady) == 0
    }

    /// Where the user's process was, if the keeper works elsewhere.
    #[must_use]
    pub fn started_in(&self) -> Option<PathBuf> {
        place::started_in(&self.directory().ok()?)
    }

    /// How the user called the program that is the keeper.
    #[must_use]
    pub fn called(&self) -> OsString {
        OsString::from_vec(self.roster().argv0())
    }

    /// The runtime directory.
    ///
    /// # Errors
    /// As readlink(2) of its name in /proc.
    pub fn directory(&self) -> io::Result<PathBuf> {
        let number = self.house.directory.as_raw_fd();
        std::fs::read_link(format!("/proc/self/fd/{number}"))
    }

    /// How many daemons there were before this one.
    #[must_use]
    pub fn daemons_before(&self) -> u64 {
        self.roster().get(Word::DaemonStarts).saturating_sub(1)
    }

    /// Says that the daemon works: whoever waits in the foreground for that learns of it, and standard
    /// streams are silenced if the plan says so.
    ///
    /// # Errors
    /// When the keeper is gone.
    pub fn ready(&self) -> io::Result<()> {
        let silence = self.roster().get(Word::Quiet) != 0;
        self.send(&Message::Ready, &[])?;
        if silence {
            handover::silence_standard_streams()?;
        }
        Ok(())
    }

    fn send(&self, message: &Message, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        loop {
            match wire::send(self.socket.as_fd(), message, fds) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !wire::wait(&self.socket, true, PATIENCE) {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
                sent => return sent,
            }
        }
    }

    /// Takes a slot for the process of this name (`group:process`).
    ///
    /// # Errors
    /// [`ClaimError`].
    pub fn claim(&mut self, name: &[u8]) -> Result<Slot, ClaimError> {
        if name.is_empty() || name.len() > NAME_MAX {
            return Err(ClaimError::Length { length: name.len() });
        }
        if self.names.contains_key(name) {
            return Err(ClaimError::Taken);
        }
        let roster = &self.house.roster;
        let high = roster.high();
        let slot = self.free.last().copied().or_else(|| Slot::new(high));
        let slot = slot.ok_or(ClaimError::Full)?;
        // Slots are taken from the lowest on: below this one there is room.
        if slot.index() >= self.roomy {
            self.roomy = roster.reserve(slot).map_err(ClaimError::NoRoom)?;
        }
        if slot.index() >= high {
            roster.set(Word::High, slot.index() as u64 + 1);
        }
        roster.set_name(slot, name);
        let generation = roster.cell(slot).generation;
        roster.empty_cell(slot, generation);
        roster.set_snapshot(slot, &Snapshot::default(), Some(generation));
        roster.set_phase(slot, Phase::Claimed);
        // The one that was looked at, if there was one.
        self.free.pop();
        self.make_room();
        self.names.insert(name.to_vec(), slot);
        Ok(slot)
    }

    /// Gives a slot back. Pipes of its processes that others still write to stay.
    ///
    /// # Errors
    /// [`Busy`].
    pub fn release(&mut self, slot: Slot) -> Result<(), Busy> {
        self.idle(slot)?;
        let roster = &self.house.roster;
        let name = roster.name(slot);
        roster.set_phase(slot, Phase::Free);
        self.live[slot.index()] = None;
        self.names.remove(&name);
        self.free.push(slot);
        Ok(())
    }

    /// Makes sure that no process of this slot runs, or has ended unnoticed.
    fn idle(&self, slot: Slot) -> Result<(), Busy> {
        let roster = self.roster();
        match roster.phase(slot) {
            Some(Phase::Claimed | Phase::Starting | Phase::Alive) => {}
            Some(Phase::Free) | None => return Err(Busy),
        }
        let cell = roster.cell(slot);
        if cell.pid == 0 {
            return Ok(());
        }
        if roster.failed(slot) == cell.generation {
            // It is ending, or has: if it is not noted yet, it need not be.
            if roster.end_of(slot, cell.generation).is_none() {
                roster.forget_child(cell.pid);
                roster.empty_cell(slot, cell.generation);
            }
            return Ok(());
        }
        let ended = roster.end_of(slot, cell.generation).is_some();
        if ended && roster.consumed(slot) == cell.generation {
            return Ok(());
        }
        Err(Busy)
    }

    /// Remembers this of a process, for the next daemon: all of it or, should this one be killed, none.
    pub fn set_snapshot(&self, slot: Slot, snapshot: &Snapshot) {
        self.roster().set_snapshot(slot, snapshot, None);
    }

    /// Takes note of an end, and remembers at the same instant what follows from it: the next daemon
    /// finds either both or neither.
    pub fn acknowledge(&mut self, slot: Slot, generation: u32, snapshot: &Snapshot) {
        let roster = &self.house.roster;
        roster.set_snapshot(slot, snapshot, Some(generation));
        if roster.cell(slot).generation == generation && roster.end_of(slot, generation).is_some() {
            roster.set_phase(slot, Phase::Claimed);
            roster.empty_cell(slot, generation);
            pipes::remove(self.house.directory.as_fd(), slot, generation, End::In);
        }
    }

    /// What is remembered of a process.
    #[must_use]
    pub fn snapshot(&self, slot: Slot) -> Snapshot {
        self.roster().snapshot(slot)
    }

    /// The process id of a slot's process, from its start until its end is acknowledged.
    #[must_use]
    pub fn pid(&self, slot: Slot) -> Option<i32> {
        let roster = self.roster();
        let cell = roster.cell(slot);
        (cell.pid != 0 && roster.failed(slot) != cell.generation).then_some(cell.pid)
    }

    /// Sends a signal to a process, or to its group: to nobody else, whoever has its number by now. The
    /// group is reached even after its leader has ended (Linux 6.9; before, only while it lives).
    ///
    /// # Errors
    /// ESRCH: it has ended. EPERM. EINVAL: no such signal.
    pub fn signal(&self, slot: Slot, signal: i32, target: Target) -> io::Result<()> {
        let gone = || io::Error::from(rustix::io::Errno::SRCH);
        let live = self.live.get(slot.index()).and_then(Option::as_ref);
        let live = live.ok_or_else(gone)?;
        let fd = live.pidfd.as_fd();
        match target {
            Target::Leader => pidfd::signal(fd, signal, false),
            Target::Group => match pidfd::signal(fd, signal, true) {
                Err(error)
                    if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) =>
                {
                    // An old kernel, or no such signal. Its number is its own while it lives.
                    if pidfd::has_ended(fd) {
                        return Err(gone());
                    }
                    pidfd::signal_group_of_unreaped(live.pid, signal)
                }
                sent => sent,
            },
        }
    }

    /// Opens the input of a process for writing, without ever waiting.
    ///
    /// # Errors
    /// ENXIO: nobody reads it any more. ENOENT: it has none.
    pub fn stdin_writer(&self, slot: Slot) -> io::Result<OwnedFd> {
        let generation = self.roster().cell(slot).generation;
        let name = pipes::name(slot, generation, End::In);
        fifo::writer(self.house.directory.as_fd(), &name)
    }

    /// A stream has ended: everything was read, and nobody writes to it any more.
    pub fn drained(&self, slot: Slot, generation: u32, stream: Stream) {
        // First the keeper: should we be killed in between, the next daemon finds the name of a pipe that
        // nobody has, which is at its end. If the keeper is gone, so is what it held.
        let _ = self.send(&Message::Drained(slot, generation, stream), &[]);
        let end = End::Out(stream);
        pipes::remove(self.house.directory.as_fd(), slot, generation, end);
    }

    /// Has the keeper keep another descriptor, so that the next daemon has it too, in the place of what it
    /// kept under this key. At most 1024 are kept.
    ///
    /// # Errors
    /// When the keeper is gone, or no descriptor can be had.
    pub fn keep(&mut self, key: Key, fd: BorrowedFd<'_>) -> io::Result<()> {
        let copy = fd.try_clone_to_owned()?;
        self.send(&Message::Keep(key), &[fd])?;
        self.kept.insert(key, copy);
        Ok(())
    }

    /// What is kept.
    pub fn kept(&self) -> impl Iterator<Item = (&Key, BorrowedFd<'_>)> {
        self.kept.iter().map(|(key, fd)| (key, fd.as_fd()))
    }

    /// Has the keeper let go of it.
    pub fn let_go(&mut self, key: Key) {
        if self.kept.remove(&key).is_some() {
            let _ = self.send(&Message::LetGo(key), &[]);
        }
    }
}

/// Where nothing that is written is kept.
fn nothing() -> io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
    Ok(rustix::fs::open("/dev/null", flags, Mode::empty())?)
}

fn signals_in(bits: u64) -> impl Iterator<Item = i32> {
    (0..64).filter(move |signal| bits & (1 << signal) != 0)
}
