//! The keeper at work: one thread, one epoll, tables of fixed size. It reads nothing that comes from
//! outside but packets of its own daemon, and each of those has one of eight shapes.

use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::process::{Pid, Resource, Rlimit};
use ward_sys::contain::subreaper;
use ward_sys::procfs::Stat;
use ward_sys::reap::{self, Reaped, Status};
use ward_sys::signals::SignalSource;
use ward_sys::{clock, handover};

use super::fate::{self, Fate, Last};
use super::foster::{self, Fosters};
use super::offspring::{Nursery, Running};
use super::pipes::{self, End};
use super::role::House;
use super::roster::{Ended, Phase, Word};
use super::store::{Kept, Readers};
use super::upgrade::{self, Check};
use super::wire::{self, Message, Received};

const SIGCHLD: i32 = 17;
/// What the keeper listens to: the ends of children, and what it passes on to the daemon.
pub(super) const HEARD: [i32; 7] = [SIGCHLD, 1, 2, 3, 10, 12, 15];
/// Those of them by which a user wants it to end: INT, QUIT, TERM.
const ENDING: u64 = 1 << 2 | 1 << 3 | 1 << 15;

const SIGNALS: u64 = 0;
const SOCKET: u64 = 1;
/// How many packets are read before anything else is looked at.
const AT_ONCE: usize = 256;

/// Nanoseconds since 1970.
pub(super) fn wall_clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}

/// Raises the soft limit of open files to the hard one: each program costs two descriptors.
pub(super) fn raise_descriptor_limit() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let _ = rustix::process::setrlimit(Resource::Nofile, raised);
}

/// The keeper.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) house: House,
    pub(super) readers: Readers,
    pub(super) kept: Kept,
    pub(super) fosters: Fosters,
    signals: SignalSource,
    epoll: OwnedFd,
    nursery: Nursery,
    daemon: Option<Running>,
    /// When to start the next one, if none runs.
    start_at: Option<Duration>,
    short_lives: u32,
    /// By which the user's process waits.
    waits: Option<OwnedFd>,
    check: Option<Check>,
}

impl Keeper {
    /// Begins, with what passed over from the keeper or daemon that this process was.
    ///
    /// # Errors
    /// When the kernel refuses a descriptor.
    pub(super) fn new(
        house: House,
        waits: Option<OwnedFd>,
        passed: Vec<(Message, OwnedFd)>,
    ) -> io::Result<Self> {
        let signals = SignalSource::new(&HEARD)?;
        subreaper::become_subreaper()?;
        raise_descriptor_limit();
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(
            &epoll,
            &signals,
            EventData::new_u64(SIGNALS),
            EventFlags::IN,
        )?;

        let roster = &house.roster;
        let me = rustix::process::getpid().as_raw_nonzero().get();
        roster.set(Word::KeeperPid, u64::from(me.unsigned_abs()));
        let start = Stat::of(me).map_or(0, |stat| stat.start_ticks);
        roster.set(Word::KeeperStart, start);
        roster.set(Word::DaemonPid, 0);

        let (mut readers, mut kept, mut held) = (Readers::new(), Kept::new(), Vec::new());
        // First those that have names: what was passed on are the same pipes, and takes their place.
        for (slot, generation, end) in pipes::all(house.directory.as_fd())? {
            if let End::Out(stream) = end
                && let Ok(fd) = pipes::reader(house.directory.as_fd(), slot, generation, stream)
            {
                readers.put(slot, generation, stream, fd);
            }
        }
        for (what, fd) in passed {
            match what {
                Message::Readers(slot, generation, stream) => {
                    readers.put(slot, generation, stream, fd);
                }
                Message::Keep(key) => kept.put(key, fd),
                Message::Foster(slot, generation) => held.push((slot, generation, fd)),
                Message::Ready
                | Message::Drained(..)
                | Message::LetGo(_)
                | Message::AllKept
                | Message::Look => {}
            }
        }
        let fosters = Fosters::find(roster, held, epoll.as_fd(), wall_clock())?;
        let nursery = Nursery::new(&house).map_err(io::Error::other)?;
        Ok(Self {
            house,
            readers,
            kept,
            fosters,
            signals,
            epoll,
            nursery,
            daemon: None,
            start_at: Some(Duration::ZERO),
            short_lives: 0,
            waits,
            check: None,
        })
    }

    /// Keeps, until all is over.
    pub(super) fn run(mut self) -> ExitCode {
        // Of children that ended before this program began the keeper that it was may have heard, without
        // having come to reap them.
        self.hear(&mut false);
        loop {
            if let Some(code) = self.turn() {
                self.tell_user(code);
                self.clean_up(code);
                return ExitCode::from(code);
            }
        }
    }

    /// One round; the status to end with, once that is so.
    fn turn(&mut self) -> Option<u8> {
        let now = clock::since_boot();
        if self.start_at.is_some_and(|at| at <= now) {
            self.start_at = None;
            if let Some(code) = self.start_daemon() {
                return Some(code);
            }
        }
        let due = [
            self.start_at,
            self.check.as_ref().and_then(Check::due),
            self.fosters.due(),
        ];
        let timeout = due.into_iter().flatten().min().map(|at| {
            // A little more than it is, so that it is over then.
            let left = at.saturating_sub(now) + Duration::from_millis(1);
            Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            }
        });
        let mut events = [MaybeUninit::<Event>::uninit(); 64];
        let ready = match epoll::wait(&self.epoll, &mut events, timeout.as_ref()) {
            Ok((ready, _)) => ready,
            Err(_) => &mut [],
        };
        let mut noted = false;
        let mut ended = None;
        for event in ready {
            match event.data.u64() {
                SIGNALS => ended = self.hear(&mut noted).or(ended),
                SOCKET => self.listen(AT_ONCE),
                mark => noted |= self.look_at_foster(mark),
            }
        }
        let now = clock::since_boot();
        while let Some(number) = self.fosters.next_due(now) {
            let seen = self.look_at_foster(foster::MARK + number as u64);
            noted |= seen;
            if !seen {
                break;
            }
        }
        if let Some(check) = &mut self.check {
            check.give_up_if_late(now);
        }
        if noted {
            self.wake();
        }
        if let Some(daemon) = &mut self.daemon {
            hand_on(daemon, &self.kept, &self.epoll);
        }
        ended.and_then(|status| self.decide(status))
    }

    fn look_at_foster(&mut self, mark: u64) -> bool {
        let Some(number) = mark.checked_sub(foster::MARK) else {
            return false;
        };
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        let epoll = self.epoll.as_fd();
        self.fosters
            .look(&self.house.roster, epoll, number, wall_clock())
    }

    /// Tells the daemon to look at the roster. One that has not looked since the last time will.
    fn wake(&self) {
        if let Some(daemon) = &self.daemon
            && self.house.roster.ring()
        {
            // Without room there are packets that it has not read.
            let _ = daemon.send(&Message::Look, &[]);
        }
    }

    /// Signals: how the daemon ended, if it did.
    fn hear(&mut self, noted: &mut bool) -> Option<Status> {
        while let Some(received) = self.signals.next() {
            if received.signal != SIGCHLD {
                let bit = 1u64 << (received.signal & 63);
                let roster = &self.house.roster;
                roster
                    .word(Word::Signals)
                    .fetch_or(bit, std::sync::atomic::Ordering::SeqCst);
                *noted = true;
            }
        }
        // Whatever was said of children: several may be told of by one signal.
        let mut ended = None;
        loop {
            let daemon = self.daemon.as_ref().map(|daemon| daemon.pid);
            let check = self.check.as_ref().map(Check::pid);
            let roster = &self.house.roster;
            let mut note = |pid: Pid, status| {
                if Some(pid) == daemon || Some(pid) == check {
                    return;
                }
                let number = pid.as_raw_nonzero().get();
                if let Some((slot, generation)) = roster.find(number) {
                    roster.note_end(slot, generation, Ended::of(status), wall_clock());
                } else if !roster.is_forgotten(number) {
                    roster.note_unknown(number, status);
                }
                *noted = true;
            };
            match reap::next_ended(&mut note) {
                Reaped::Child(pid, status) if Some(pid) == daemon => ended = Some(status),
                Reaped::Child(pid, status) if Some(pid) == check => self.checked(status),
                Reaped::Child(..) => {}
                Reaped::NothingNew | Reaped::NoChildren => return ended,
            }
        }
    }

    /// Packets of the daemon, at most so many.
    fn listen(&mut self, most: usize) {
        for _ in 0..most {
            let Some(daemon) = &mut self.daemon else {
                return;
            };
            let (message, mut fds) = match wire::receive(daemon.socket.as_fd()) {
                Received::Message(message, fds) => (message, fds),
                Received::Rubbish => continue,
                Received::Nothing => return,
                Received::End => {
                    // It will have ended; until then its socket has nothing more to tell.
                    let _ = epoll::delete(&self.epoll, &daemon.socket);
                    return;
                }
            };
            match message {
                Message::Ready => {
                    daemon.ready = true;
                    self.is_ready();
                }
                Message::Readers(slot, generation, first) => {
                    let streams = crate::api::Stream::ALL.into_iter().skip(first.index());
                    for (stream, fd) in streams.zip(&mut fds) {
                        if let Some(fd) = fd.take() {
                            self.readers.put(slot, generation, stream, fd);
                        }
                    }
                }
                Message::Drained(slot, generation, stream) => {
                    self.readers.let_go(slot, generation, stream);
                }
                Message::Keep(key) => {
                    if let Some(fd) = fds[0].take() {
                        self.kept.put(key, fd);
                    }
                }
                Message::LetGo(key) => self.kept.let_go(key),
                Message::AllKept | Message::Look | Message::Foster(..) => {}
            }
        }
    }

    fn is_ready(&mut self) {
        // Waiting needs little of what starting did.
        ward_sys::code::let_rest();
        self.house.roster.set(Word::EverReady, 1);
        self.tell_user(0);
        if self.house.roster.get(Word::Quiet) == 1 && handover::silence_standard_streams().is_ok() {
            self.house.roster.set(Word::Quiet, 2);
            self.nursery.renew(&self.house);
        }
    }

    /// Answers the user's process, if one waits.
    fn tell_user(&mut self, code: u8) {
        if let Some(waits) = self.waits.take() {
            let _ = rustix::io::write(waits, &[code]);
        }
    }

    fn start_daemon(&mut self) -> Option<u8> {
        let roster = &self.house.roster;
        let starts = roster.get(Word::DaemonStarts);
        roster.set(Word::DaemonStarts, starts.wrapping_add(1));
        // What it must know it looks at unasked.
        roster.answer_bell();
        match self.nursery.start() {
            Ok(daemon) => {
                let pid = daemon.pid.as_raw_nonzero().get().unsigned_abs();
                roster.set(Word::DaemonPid, u64::from(pid));
                let mark = EventData::new_u64(SOCKET);
                let _ = epoll::add(&self.epoll, &daemon.socket, mark, EventFlags::IN);
                self.daemon = Some(daemon);
                // What the next turn would do after an event.
                if let Some(daemon) = &mut self.daemon {
                    hand_on(daemon, &self.kept, &self.epoll);
                }
                None
            }
            Err(error) => {
                self.say(format_args!("cannot start the daemon: {error}"));
                self.after(Status::Exited(1), Duration::ZERO, false)
            }
        }
    }

    /// The daemon has ended.
    fn decide(&mut self, status: Status) -> Option<u8> {
        // All that it has sent; nothing more can come.
        self.listen(usize::MAX);
        let daemon = self.daemon.take()?;
        let _ = epoll::delete(&self.epoll, &daemon.socket);
        self.house.roster.set(Word::DaemonPid, 0);
        let lived = clock::since_boot().saturating_sub(daemon.since);
        self.after(status, lived, daemon.ready)
    }

    fn after(&mut self, status: Status, lived: Duration, was_ready: bool) -> Option<u8> {
        let roster = &self.house.roster;
        let unheard = roster.get(Word::Signals) | roster.get(Word::SignalsHeard);
        let last = Last {
            status,
            lived,
            was_ready,
            ever_ready: roster.get(Word::EverReady) != 0,
            programs: roster.anything_lives(),
            end_wanted: unheard & ENDING != 0,
            short_lives: self.short_lives,
        };
        self.short_lives = fate::short_lives(&last);
        match fate::decide(&last) {
            Fate::End(code) => return Some(code),
            Fate::Anew { after, crash } => {
                if crash {
                    roster.set(Word::LastEnd, Ended::of(status).to_number());
                    self.say(format_args!("the daemon {}", Words(status)));
                }
                self.start_at = Some(clock::since_boot() + after);
            }
            Fate::Upgrade => match upgrade::check(&self.house) {
                Ok(check) => self.check = Some(check),
                Err(_) => self.refuse_upgrade(),
            },
        }
        None
    }

    /// The new executable has said whether it can go on with this roster.
    fn checked(&mut self, status: Status) {
        self.check = None;
        if status == Status::Exited(upgrade::FITS) {
            // Returns only if that was not possible.
            upgrade::become_new(self);
        }
        self.refuse_upgrade();
    }

    fn refuse_upgrade(&mut self) {
        self.house.roster.set(Word::UpgradeRefused, 1);
        self.say(format_args!("the new executable cannot take over"));
        self.start_at = Some(Duration::ZERO);
    }

    /// For whoever reads our errors, if anybody does. Not through a buffer that would be allocated.
    fn say(&self, words: std::fmt::Arguments<'_>) {
        let _ = writeln!(io::stderr(), "ward: {words}");
    }

    /// Removes the runtime directory, if nothing of it is in use any more, and nothing in it is remembered
    /// for a later daemon: when the daemon said that all is over, nothing is.
    fn clean_up(&self, code: u8) {
        let roster = &self.house.roster;
        let is_claimed = |slot| roster.phase(slot) != Some(Phase::Free);
        let is_remembered = code != fate::code::OVER && roster.slots().any(is_claimed);
        if !is_remembered && !roster.anything_lives() {
            super::start::remove(self.house.directory.as_fd());
        }
    }
}

/// Hands over what is kept, and waits for room if there is none for all of it.
fn hand_on(daemon: &mut Running, kept: &Kept, epoll: &OwnedFd) {
    let more = daemon.hand(kept);
    if std::mem::replace(&mut daemon.awaits_room, more) == more {
        return;
    }
    let interest = if more {
        EventFlags::IN | EventFlags::OUT
    } else {
        EventFlags::IN
    };
    let mark = EventData::new_u64(SOCKET);
    let _ = epoll::modify(epoll, &daemon.socket, mark, interest);
}

/// How the daemon ended, in words.
struct Words(Status);

impl std::fmt::Display for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Status::Exited(code) => write!(f, "ended with status {code}; it is started again"),
            Status::Signaled(signal, _) | Status::Stopped(signal) => {
                write!(f, "was ended by signal {signal}; it is started again")
            }
        }
    }
}
