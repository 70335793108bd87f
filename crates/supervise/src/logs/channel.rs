//! One output of a program: from its pipe to its log, to listeners, to syslog.
//!
//! What is logged as it comes is moved by splice(2): a kill at any moment neither loses nor doubles a
//! byte. Where the logged bytes are others than those that came (colours, captures), or have to be
//! appended to a file that others write to as well, they go through a [spool](super::spool).
//! While a log cannot be written its bytes wait in the pipe, and then its writer does.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ward_config::value::LogLevel;
use ward_sys::pipe::Moved;

use super::file::{CHUNK, Relayed, Trouble};
use super::files::{Files, Log};
use super::lines::Lines;
use super::notice::{Notice, bytes};
use super::sieve::{Part, Sieve, Sifted};
use super::syslog::Syslog;
use super::through::Passage;
use crate::api::Stream;

/// A turn so soon after the last one, or with so much, bytes, is one of many.
const SOON: Duration = Duration::from_millis(4);
const MUCH: u64 = 16 * 1024;
/// Whoever has to wait for a turn for so long is kept from it by others.
const LONG: Duration = Duration::from_millis(20);
/// Then bytes are let come together for this long, unless its pipe may be full before. Meanwhile nobody
/// waits for the pipe, and so its writer wakes nobody: for who writes line by line that is half of a write's
/// price.
const PAUSE: Duration = Duration::from_millis(2);
/// What a pipe holds if nobody has changed it, bytes (pipe(7)).
const USUAL: usize = 64 * 1024;
/// When so many turns found it full, or almost, its writer had to wait for us: it gets a larger one.
const OFTEN: u32 = 2;
/// That large, bytes, which is as large as an ordinary user may have one (`pipe-max-size`, proc(5)).
const LARGE: usize = 1024 * 1024;

/// How a channel is set up.
#[derive(Debug)]
pub struct ChannelSettings {
    /// The process.
    pub name: String,
    /// Which of its outputs.
    pub stream: Stream,
    /// Where it is logged.
    pub log: Option<Log>,
    /// Where its lines go as well.
    pub syslog: Option<Rc<Syslog>>,
    /// Colours are taken out of what is logged.
    pub strip_ansi: bool,
    /// What is captured between tags at most, in bytes; 0 for no capturing.
    pub capture_maxbytes: u64,
    /// [`Yield::Output`] is wanted: for events, or for the main log.
    pub observed: bool,
    /// [`Yield::Raw`] is wanted, of an event listener: but for so many bytes of its spool, which an
    /// earlier daemon has understood.
    pub listener: Option<u64>,
    /// A file of its own in a directory that lasts until the host goes down; made when it is needed.
    pub spool: PathBuf,
}

/// What comes out of a channel beside its log.
#[derive(Debug)]
pub enum Yield<'a> {
    /// Output as it is logged, or was captured; never empty.
    Output(&'a [u8]),
    /// What was between two tags, at most as much as may be captured.
    Captured(&'a [u8]),
    /// Output as it came.
    Raw(&'a [u8]),
    /// A line for the main log.
    Said(Notice),
}

/// How a turn went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that were taken out of the pipe.
    pub moved: u64,
    /// When there should be another turn.
    pub next: Next,
}

/// When a channel should have another turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// As soon as its pipe is readable (level-triggered).
    Readable,
    /// Its budget is used up; when others have had their turn.
    Now,
    /// After this time, even if its pipe is readable before: bytes come in drops. Only an advice.
    After(Duration),
    /// After this time, and not before: its log cannot be written, and its pipe stays readable.
    Blocked(Duration),
    /// Its pipe has no writer and no byte. Where the process is over as well:
    /// [`Channel::finish`].
    End,
}

/// One output of one process.
#[derive(Debug)]
pub struct Channel {
    pub(super) fifo: OwnedFd,
    pub(super) files: Files,
    pub(super) settings: ChannelSettings,
    pub(super) sieve: Sieve,
    pub(super) passage: Passage,
    lines: Lines,
    last_turn: Option<Instant>,
    /// How much its pipe holds, bytes; [`USUAL`] or what it was made larger to.
    size: usize,
    /// So many turns found it full.
    full: u32,
    /// Bytes that nobody will ever read.
    dropped: u64,
}

/// How a step went.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// So many bytes came; whether more may be there.
    Moved(usize, bool),
    /// None is there.
    Empty,
    /// None is there, and nobody can write any.
    End,
    /// Not now.
    Blocked(Duration),
}

/// When it is tried again what should not fail: the pipe, memory for it, the spool.
pub(super) const AGAIN: Duration = Duration::from_millis(500);

impl Channel {
    /// Of a pipe or FIFO that is open for reading and does not block.
    #[must_use]
    pub fn new(files: &Files, fifo: OwnedFd, settings: ChannelSettings) -> Self {
        let capture = usize::try_from(settings.capture_maxbytes).unwrap_or(usize::MAX);
        Self {
            fifo,
            files: files.clone(),
            sieve: Sieve {
                strip: settings.strip_ansi,
                capture,
            },
            passage: Passage::default(),
            lines: Lines::new(&settings.name),
            settings,
            last_turn: None,
            size: USUAL,
            full: 0,
            dropped: 0,
        }
    }

    /// The pipe, to wait for.
    #[must_use]
    pub fn fifo(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fifo.as_fd()
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> Option<&Log> {
        self.settings.log.as_ref()
    }

    /// Whether its lines go to syslog as well.
    #[must_use]
    pub fn has_syslog(&self) -> bool {
        self.settings.syslog.is_some()
    }

    /// Moves what is there, about `budget` bytes at most, and hands what is wanted to `hand`.
    pub fn turn(&mut self, budget: usize, hand: &mut dyn FnMut(Yield<'_>)) -> Progress {
        let mut moved = 0_u64;
        let budget = budget.max(1) as u64;
        let next = loop {
            let left = usize::try_from(budget.saturating_sub(moved)).unwrap_or(usize::MAX);
            if left == 0 {
                break Next::Now;
            }
            match self.step(left, hand) {
                Step::Moved(bytes, more) => {
                    moved += bytes as u64;
                    self.goes_on(hand);
                    if !more {
                        break Next::Readable;
                    }
                }
                Step::Empty => break Next::Readable,
                Step::End => break Next::End,
                Step::Blocked(retry) => break Next::Blocked(retry),
            }
        };
        self.rest(hand);
        self.say_notices(hand);
        Progress {
            moved,
            next: self.pace(moved, next),
        }
    }

    /// Writes what was held back, when the process is over and its pipe at its end; `Blocked` where
    /// the log cannot be written: then call it again. Afterwards the channel can be dropped.
    pub fn finish(&mut self, hand: &mut dyn FnMut(Yield<'_>)) -> Progress {
        let mut moved = 0;
        let next = loop {
            match self.step_to_the_end(hand) {
                Step::Moved(bytes, _) => moved += bytes as u64,
                Step::Empty | Step::End => break Next::End,
                Step::Blocked(retry) => break Next::Blocked(retry),
            }
        };
        if next == Next::End {
            if let Some(syslog) = &self.settings.syslog {
                self.lines.end(|line| syslog.send(line));
            }
            self.passage.remove(&self.settings.spool);
            if self.dropped > 0 {
                let dropped = bytes(std::mem::take(&mut self.dropped));
                let text = format!("{dropped} of {} had no reader", self.title());
                hand(Yield::Said(Notice::new(LogLevel::Warn, text)));
            }
        }
        self.say_notices(hand);
        Progress { moved, next }
    }

    fn step_to_the_end(&mut self, hand: &mut dyn FnMut(Yield<'_>)) -> Step {
        match self.step(CHUNK, hand) {
            Step::Empty | Step::End if self.is_at_rest() => Step::End,
            Step::Empty | Step::End => self.pass(0, true, hand),
            other => other,
        }
    }

    fn step(&mut self, limit: usize, hand: &mut dyn FnMut(Yield<'_>)) -> Step {
        if let Some(step) = self.take_over(hand) {
            return step;
        }
        // What a listener says is not to be lost between its pipe and who understands it.
        if !self.is_at_rest() || self.settings.listener.is_some() {
            return self.pass(limit, false, hand);
        }
        let watched = self.settings.observed;
        if self.sieve.is_open() && !watched && self.settings.syslog.is_none() {
            match self.relay(limit, false, hand) {
                Ok(step) => step,
                Err(MustWrite) => self.pass(limit, false, hand),
            }
        } else {
            self.look(limit, hand)
        }
    }

    /// Looks at what is there. If it is logged as it came it is moved, else it is passed on.
    fn look(&mut self, limit: usize, hand: &mut dyn FnMut(Yield<'_>)) -> Step {
        let mut memory = self.files.workbench(super::workbench::Workbench::memory);
        let limit = limit.min(CHUNK);
        let fifo = self.fifo.as_fd();
        let seen = self
            .files
            .workbench(|bench| bench.peek(fifo, limit, &mut memory));
        let step = match seen {
            Ok(Moved::Bytes(seen)) => self.looked(&memory, seen, hand),
            Ok(Moved::End) => Step::End,
            Ok(Moved::NotNow | Moved::Closed | Moved::Unsupported) => Step::Empty,
            Err(error) => self.stumbled("cannot be read", &error, hand),
        };
        self.files.workbench(|bench| bench.give_back(memory));
        step
    }

    fn looked(&mut self, seen: &[u8], length: usize, hand: &mut dyn FnMut(Yield<'_>)) -> Step {
        if !self.sieve.passes(seen) {
            return self.pass(length, false, hand);
        }
        match self.relay(length, true, hand) {
            Ok(Step::Moved(moved, more)) => {
                self.hand_logged(seen.get(..moved).unwrap_or(seen), hand);
                Step::Moved(moved, more)
            }
            Ok(step) => step,
            Err(MustWrite) => self.pass(length, false, hand),
        }
    }

    /// Moves bytes from the pipe to the log as they are.
    fn relay(
        &mut self,
        limit: usize,
        whole: bool,
        hand: &mut dyn FnMut(Yield<'_>),
    ) -> Result<Step, MustWrite> {
        let fifo = self.fifo.as_fd();
        if self.settings.log.as_ref().is_some_and(|log| !log.is_open()) {
            // A log is opened for bytes only.
            match self.files.workbench(|bench| bench.probe(fifo)) {
                Ok(Moved::Bytes(_)) => {}
                Ok(Moved::End) => return Ok(Step::End),
                Ok(Moved::NotNow | Moved::Closed | Moved::Unsupported) => return Ok(Step::Empty),
                Err(error) => return Ok(self.stumbled("cannot be read", &error, hand)),
            }
        }
        let relayed = match &self.settings.log {
            Some(log) => log.work(|file| file.relay(fifo, limit, whole)),
            None => match self.files.workbench(|bench| bench.discard(fifo, limit)) {
                Ok(Moved::Bytes(bytes)) => Ok(Relayed::Bytes(bytes)),
                Ok(Moved::End) => Ok(Relayed::End),
                Ok(Moved::NotNow | Moved::Closed | Moved::Unsupported) => Ok(Relayed::Empty),
                Err(error) => return Ok(self.stumbled("cannot be read", &error, hand)),
            },
        };
        Ok(match relayed {
            // Less than the limit: it was all that was there.
            Ok(Relayed::Bytes(moved)) => Step::Moved(moved, moved >= limit.min(CHUNK)),
            Ok(Relayed::End) => Step::End,
            Ok(Relayed::Empty) => Step::Empty,
            Ok(Relayed::Write) => return Err(MustWrite),
            Err(Trouble::Wait(retry)) => Step::Blocked(retry),
            Err(Trouble::Gone) => self.drop_some(limit, hand),
        })
    }

    fn drop_some(&mut self, limit: usize, hand: &mut dyn FnMut(Yield<'_>)) -> Step {
        let fifo = self.fifo.as_fd();
        match self.files.workbench(|bench| bench.discard(fifo, limit)) {
            Ok(Moved::Bytes(moved)) => {
                self.dropped_some(moved as u64, hand);
                Step::Moved(moved, moved == limit)
            }
            Ok(Moved::End) => Step::End,
            Ok(Moved::NotNow | Moved::Closed | Moved::Unsupported) => Step::Empty,
            Err(error) => self.stumbled("cannot be read", &error, hand),
        }
    }

    /// Counts what nobody reads; says so the first time.
    pub(super) fn dropped_some(&mut self, count: u64, hand: &mut dyn FnMut(Yield<'_>)) {
        if self.dropped == 0 {
            let path = self.settings.log.as_ref().map(Log::path);
            let path = path.unwrap_or_default();
            let text = format!(
                "nobody will ever read '{}' again: {} is dropped and counted",
                path.display(),
                self.title()
            );
            hand(Yield::Said(Notice::new(LogLevel::Error, text)));
        }
        self.dropped += count;
    }

    /// Hands over what became of bytes that are in the log now.
    pub(super) fn hand_sifted(&mut self, sifted: &Sifted, hand: &mut dyn FnMut(Yield<'_>)) {
        let mut from = 0;
        for part in &sifted.parts {
            match part {
                Part::Logged(upto) => {
                    self.hand_logged(sifted.log.get(from..*upto).unwrap_or_default(), hand);
                    from = *upto;
                }
                Part::Captured(payload) => {
                    if self.settings.observed && !payload.is_empty() {
                        hand(Yield::Output(payload));
                    }
                    hand(Yield::Captured(payload));
                }
            }
        }
        if sifted.unended {
            let text = format!("{} ended within a capture: it is in its log", self.title());
            hand(Yield::Said(Notice::new(LogLevel::Warn, text)));
        }
    }

    fn hand_logged(&mut self, text: &[u8], hand: &mut dyn FnMut(Yield<'_>)) {
        if text.is_empty() {
            return;
        }
        if self.settings.observed {
            hand(Yield::Output(text));
        }
        if let Some(syslog) = &self.settings.syslog {
            self.lines.take(text, |line| syslog.send(line));
        }
    }

    pub(super) fn hand_raw(&self, came: &[u8], hand: &mut dyn FnMut(Yield<'_>)) {
        if self.settings.listener.is_some() && !came.is_empty() {
            hand(Yield::Raw(came));
        }
    }

    /// What should not fail did.
    pub(super) fn stumbled(
        &mut self,
        what: &str,
        error: &std::io::Error,
        hand: &mut dyn FnMut(Yield<'_>),
    ) -> Step {
        if !std::mem::replace(&mut self.passage.stumbled, true) {
            let text = format!("{} {what}: {error}; it waits in its pipe", self.title());
            hand(Yield::Said(Notice::new(LogLevel::Error, text)));
        }
        Step::Blocked(AGAIN)
    }

    fn goes_on(&mut self, hand: &mut dyn FnMut(Yield<'_>)) {
        if std::mem::take(&mut self.passage.stumbled) {
            let text = format!("{} goes on", self.title());
            hand(Yield::Said(Notice::new(LogLevel::Info, text)));
        }
    }

    /// What it is called in lines for people.
    pub(super) fn title(&self) -> String {
        format!(
            "{} of '{}'",
            self.settings.stream.word(),
            self.settings.name
        )
    }

    fn say_notices(&self, hand: &mut dyn FnMut(Yield<'_>)) {
        if let Some(log) = &self.settings.log {
            for notice in log.notices() {
                hand(Yield::Said(notice));
            }
        }
    }

    /// Lets drops come together; whoever writes too much for its pipe gets a larger one.
    fn pace(&mut self, moved: u64, next: Next) -> Next {
        let was_full = moved >= (self.size - self.size / 4) as u64;
        if was_full {
            self.full += 1;
            if self.full == OFTEN {
                self.enlarge();
            }
        }
        if next != Next::Readable || moved == 0 {
            return next;
        }
        let now = Instant::now();
        let Some(last) = self.last_turn.replace(now) else {
            return next;
        };
        let took = now.duration_since(last);
        let is_flow = took < SOON || moved >= MUCH;
        // At this rate, a quarter of the pipe at the most is filled meanwhile. Of a pipe that was full soon
        // nobody knows the rate; one that had long to fill says that we get no processor for more turns.
        let fits = u128::from(moved) * PAUSE.as_nanos() < took.as_nanos() * self.size as u128 / 4;
        if is_flow && fits && (!was_full || took > LONG) {
            Next::After(PAUSE)
        } else {
            next
        }
    }

    fn enlarge(&mut self) {
        let by = LARGE - self.size;
        if !self.files.may_enlarge(by) {
            return;
        }
        match rustix::pipe::fcntl_setpipe_size(&self.fifo, LARGE) {
            Ok(_) => self.size = LARGE,
            // Where there are too many already it stays as it is.
            Err(_) => self.files.give_back(by),
        }
    }
}

/// The log takes no bytes by splice(2).
struct MustWrite;

impl Drop for Channel {
    fn drop(&mut self) {
        self.files.give_back(self.size - USUAL);
    }
}
