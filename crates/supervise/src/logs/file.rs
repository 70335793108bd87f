//! One log file: opened when something is to be written, rotated when it is full.
//!
//! Bytes come to a regular file by splice(2), at a place that we keep; so before each move it is
//! looked at: where somebody has emptied it we go on at its end, where somebody has removed it it is
//! begun anew, and where somebody else writes to it we only append from then on. Between that look
//! and the move lies a moment in which the first bytes of such a somebody may be written over.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags, SeekFrom, Stat};
use rustix::io::Errno;
use ward_config::value::LogLevel;
use ward_sys::pipe::{self, Destination, Moved};

use super::notice::{Notice, bytes};
use super::rotation::{part, put_aside};

/// What a read of a program's output takes at most; no more than that is kept together at a rotation.
pub const CHUNK: usize = 128 * 1024;

/// Modes of a new log, before the umask.
const USUAL: u32 = 0o666;

/// A log that cannot be written is tried again after the first, then ever later up to the last.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// A full pipe or terminal, likewise.
const FIRST_PATIENCE: Duration = Duration::from_millis(1);
const LAST_PATIENCE: Duration = Duration::from_millis(100);
/// For so long it is nobody's business that it is full.
const FULL_FOR_LONG: Duration = Duration::from_secs(10);

/// So many links lead to a log at most (as path_resolution(7)).
pub(super) const MOST_LINKS: usize = 40;

/// Lines about one log that nobody has asked for yet.
const MOST_NOTICES: usize = 32;

/// Why nothing was written.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Not now: a full pipe or terminal, or an error; to be tried again after this time.
    Wait(Duration),
    /// Nobody will ever read it.
    Gone,
}

/// How a move out of a pipe went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relayed {
    /// So many bytes.
    Bytes(usize),
    /// The pipe has no writers and no bytes.
    End,
    /// The pipe has no bytes.
    Empty,
    /// Bytes cannot be moved there; they have to be written.
    Write,
}

/// Which regular file it is, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    /// Device and inode.
    pub(crate) identity: (u64, u64),
    /// In bytes.
    pub(crate) size: u64,
}

/// When it cannot be written.
#[derive(Debug, Default)]
struct Outage {
    retry: Duration,
    waited: Duration,
    said: bool,
}

#[derive(Debug)]
struct Open {
    fd: OwnedFd,
    kind: Destination,
    /// Where a link leads.
    real: PathBuf,
    /// Not to be renamed or removed: a device, or something of somebody else's.
    fixed: bool,
    /// Of a regular file: what it should have.
    size: u64,
    identity: (u64, u64),
    mode: u32,
    /// The descriptor appends.
    appends: bool,
}

/// A log file.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    maxbytes: u64,
    backups: u64,
    open: Option<Open>,
    /// Which one it was when it was open, with its size, as long as nobody but us writes to it.
    known: Option<Place>,
    /// Somebody else writes to it.
    foreign: bool,
    /// It goes on beyond its size where it could not be rotated.
    overdue: u64,
    outage: Option<Outage>,
    notices: VecDeque<Notice>,
    /// When it was last used; of a clock that is its registry's.
    pub(crate) used: u64,
}

impl LogFile {
    pub(crate) fn new(path: PathBuf, maxbytes: u64, backups: u64) -> Self {
        Self {
            path,
            maxbytes,
            backups,
            open: None,
            known: None,
            foreign: false,
            overdue: 0,
            outage: None,
            notices: VecDeque::new(),
            used: 0,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Other limits, from the next write on.
    pub(crate) fn limit(&mut self, maxbytes: u64, backups: u64) {
        self.maxbytes = maxbytes;
        self.backups = backups;
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Lets go of a regular file until something is written. Who reads a pipe would take that for its
    /// end.
    pub(crate) fn let_go(&mut self) {
        if self
            .open
            .as_ref()
            .is_some_and(|open| open.kind == Destination::File)
        {
            self.close();
        }
    }

    fn close(&mut self) {
        if let Some(Open { identity, size, .. }) = self.open.take() {
            self.known = (!self.foreign).then_some(Place { identity, size });
        }
    }

    pub(crate) fn notices(&mut self) -> impl Iterator<Item = Notice> + use<> {
        std::mem::take(&mut self.notices).into_iter()
    }

    fn say(&mut self, level: LogLevel, text: impl Into<String>) {
        if self.notices.len() < MOST_NOTICES {
            self.notices.push_back(Notice::new(level, text));
        }
    }

    /// Makes it if it is not there, without keeping it open.
    pub(crate) fn create(&mut self) -> io::Result<()> {
        if self.open.is_some() || fs::metadata(&self.path).is_ok_and(|it| !it.is_file()) {
            return Ok(());
        }
        open(&self.path, USUAL).map(drop)
    }

    /// Begins anew whatever is at its path, after somebody may have put it aside.
    pub(crate) fn reopen(&mut self) -> io::Result<()> {
        self.forget();
        self.create()
    }

    fn forget(&mut self) {
        self.open = None;
        self.known = None;
        self.foreign = false;
        self.overdue = 0;
    }

    /// Removes it and makes it anew. What is no regular file stays.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        let real = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        match fs::metadata(&real) {
            Ok(it) if !it.is_file() || is_fixed(&self.path) => return Ok(()),
            Ok(_) => fs::remove_file(&real)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        self.forget();
        open(&self.path, USUAL).map(drop)
    }

    /// Device, inode and size of it, where it is a regular file; opens it.
    pub(crate) fn place(&mut self, waiting: u64) -> Result<Option<Place>, Trouble> {
        self.ready(waiting)?;
        let file = self.open.as_ref();
        let file = file.filter(|open| open.kind == Destination::File);
        Ok(file.map(|open| Place {
            identity: open.identity,
            size: open.size,
        }))
    }

    /// Moves up to `limit` bytes from a pipe, in which `waiting` bytes are; `whole`: they are not
    /// to be parted by a rotation.
    pub(crate) fn relay(
        &mut self,
        fifo: BorrowedFd<'_>,
        limit: usize,
        whole: bool,
    ) -> Result<Relayed, Trouble> {
        let waiting = || pipe::waiting(fifo);
        self.ready_for(waiting)?;
        let (foreign, maxbytes) = (self.foreign, self.limit_now());
        let Some(open) = self.open.as_mut() else {
            return Ok(Relayed::Write);
        };
        let length = match open.kind {
            Destination::File if foreign => return Ok(Relayed::Write),
            Destination::File if maxbytes == 0 || whole => limit,
            // Far from the limit much is moved at once; near it a chunk as it is.
            Destination::File => {
                let room = maxbytes.saturating_sub(open.size);
                let room = usize::try_from(room).unwrap_or(usize::MAX);
                limit.min(room.saturating_sub(CHUNK).max(CHUNK))
            }
            Destination::Pipe | Destination::Device => limit,
            Destination::Socket | Destination::Terminal => return Ok(Relayed::Write),
        };
        if open.appends
            && let Err(error) = open.at_its_end()
        {
            return Err(self.failed(&error, waiting()));
        }
        match pipe::splice(fifo, open.fd.as_fd(), length) {
            Ok(Moved::Bytes(moved)) => {
                open.size += moved as u64;
                self.went_on(waiting);
                self.settle();
                Ok(Relayed::Bytes(moved))
            }
            Ok(Moved::End) => Ok(Relayed::End),
            Ok(Moved::NotNow) if waiting() == 0 => Ok(Relayed::Empty),
            Ok(Moved::NotNow) => Err(self.full()),
            Ok(Moved::Closed) => Err(self.gone(waiting())),
            Ok(Moved::Unsupported) => Ok(Relayed::Write),
            Err(error) => Err(self.failed(&error, waiting())),
        }
    }

    /// Appends some of `text`, without rotating; while it cannot, `waiting` bytes do.
    pub(crate) fn append(&mut self, text: &[u8], waiting: u64) -> Result<usize, Trouble> {
        self.ready(waiting)?;
        let Some(open) = self.open.as_mut() else {
            return Err(Trouble::Wait(FIRST_RETRY));
        };
        let written = if open.kind == Destination::File {
            open.append(text)
        } else {
            pipe::write_some(open.fd.as_fd(), open.kind, true, text)
        };
        match written {
            Ok(Moved::Bytes(written)) => {
                self.went_on(|| waiting);
                Ok(written)
            }
            Ok(Moved::Closed) => Err(self.gone(waiting)),
            Ok(Moved::NotNow | Moved::End | Moved::Unsupported) => Err(self.full()),
            Err(error) => Err(self.failed(&error, waiting)),
        }
    }

    /// Rotates it, if it is full.
    pub(crate) fn settle(&mut self) {
        let limit = self.limit_now();
        let Some(open) = &self.open else { return };
        if limit == 0 || open.kind != Destination::File || open.fixed || open.size < limit {
            return;
        }
        if let Err(error) = self.rotate() {
            let path = self.path.display();
            let text = format!("log '{path}' cannot be rotated and goes on growing: {error}");
            if self.overdue == 0 {
                self.say(LogLevel::Error, text);
            }
            let size = self.open.as_ref().map_or(0, |open| open.size);
            self.overdue = size.saturating_add(self.maxbytes);
        }
    }

    /// How much can be appended before it is full, bytes; of one that is not open yet, nothing is known, and
    /// a line is what can.
    pub(crate) fn room(&self) -> u64 {
        let limit = self.limit_now();
        match &self.open {
            _ if limit == 0 => u64::MAX,
            Some(open) if open.kind != Destination::File || open.fixed => u64::MAX,
            Some(open) => limit.saturating_sub(open.size),
            None => 0,
        }
    }

    fn limit_now(&self) -> u64 {
        match self.maxbytes {
            0 => 0,
            maxbytes => maxbytes.max(self.overdue),
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        let Some(old) = self.open.as_mut() else {
            return Ok(());
        };
        if self.backups == 0 {
            rustix::fs::ftruncate(&old.fd, 0)?;
            rustix::fs::seek(&old.fd, SeekFrom::Start(0))?;
            old.size = 0;
        } else {
            // Somebody else may have put it aside.
            if fs::symlink_metadata(&old.real).is_ok() {
                put_aside(&old.real, self.backups)?;
            }
            match open(&old.real, old.mode) {
                Ok(fresh) => {
                    let fresh = Open::of(fresh, &self.path)?;
                    self.open = Some(fresh);
                    self.foreign = false;
                }
                Err(error) => {
                    fs::rename(part(&old.real, 1), &old.real)?;
                    return Err(error);
                }
            }
        }
        self.overdue = 0;
        Ok(())
    }

    fn ready(&mut self, waiting: u64) -> Result<(), Trouble> {
        self.ready_for(|| waiting)
    }

    /// Opens it, and looks what became of it since the last time.
    fn ready_for(&mut self, waiting: impl FnOnce() -> u64) -> Result<(), Trouble> {
        match self.look() {
            Ok(()) => Ok(()),
            Err(error) => {
                let waiting = waiting();
                Err(self.failed(&error, waiting))
            }
        }
    }

    fn look(&mut self) -> io::Result<()> {
        if let Some(open) = &mut self.open {
            if open.kind != Destination::File {
                return Ok(());
            }
            let stat = rustix::fs::fstat(&open.fd)?;
            if stat.st_nlink != 0 || open.fixed {
                let size = size(&stat);
                let grown = size > open.size && !open.appends;
                if size != open.size {
                    open.size = size;
                    rustix::fs::seek(&open.fd, SeekFrom::Start(size))?;
                }
                if grown {
                    self.is_foreign();
                }
                return Ok(());
            }
            let text = format!("log '{}' was removed; begun anew", self.path.display());
            self.say(LogLevel::Info, text);
            self.forget();
        }
        let fresh = open(&self.path, USUAL).or_else(|error| inherited(&self.path).ok_or(error))?;
        let fresh = Open::of(fresh, &self.path)?;
        let grown = self
            .known
            .take()
            .is_some_and(|known| known.identity == fresh.identity && known.size < fresh.size);
        let fixed = fresh.fixed && fresh.kind == Destination::File;
        self.open = Some(fresh);
        if fixed {
            // A file that somebody else's output goes to as well.
            self.foreign = true;
        } else if grown {
            self.is_foreign();
        }
        Ok(())
    }

    fn is_foreign(&mut self) {
        if !self.foreign {
            self.foreign = true;
            let path = self.path.display();
            let text = format!("another process writes to log '{path}' too: it is appended to");
            self.say(LogLevel::Info, text);
        }
    }

    fn full(&mut self) -> Trouble {
        let outage = self.outage.get_or_insert_default();
        outage.retry = (outage.retry * 2).clamp(FIRST_PATIENCE, LAST_PATIENCE);
        outage.waited += outage.retry;
        let retry = outage.retry;
        if outage.waited >= FULL_FOR_LONG && !outage.said {
            outage.said = true;
            let path = self.path.display();
            let text = format!("nobody reads what is in '{path}': output to it waits");
            self.say(LogLevel::Warn, text);
        }
        Trouble::Wait(retry)
    }

    /// It is not a full pipe: told once, and again when it goes on.
    fn failed(&mut self, error: &io::Error, waiting: u64) -> Trouble {
        self.close();
        let outage = self.outage.get_or_insert_default();
        outage.retry = (outage.retry * 2).clamp(FIRST_RETRY, LAST_RETRY);
        let retry = outage.retry;
        if !outage.said {
            outage.said = true;
            let path = self.path.display();
            let waiting = bytes(waiting);
            let text = format!(
                "log '{path}' cannot be written: {error}; nothing is lost: {waiting} wait, and so does who writes more than their pipe holds"
            );
            self.say(LogLevel::Error, text);
        }
        Trouble::Wait(retry)
    }

    fn went_on(&mut self, waiting: impl FnOnce() -> u64) {
        if self.outage.take().is_some_and(|outage| outage.said) {
            let path = self.path.display();
            let waiting = bytes(waiting());
            let text = format!("log '{path}' is written again; {waiting} still wait");
            self.say(LogLevel::Info, text);
        }
    }

    /// A named pipe may get another reader; somebody else's output does not.
    fn gone(&mut self, waiting: u64) -> Trouble {
        if self.open.as_ref().is_some_and(|open| open.fixed) {
            return Trouble::Gone;
        }
        self.failed(&io::Error::from(Errno::PIPE), waiting)
    }
}

impl Open {
    fn of(fd: OwnedFd, path: &Path) -> io::Result<Self> {
        let stat = rustix::fs::fstat(&fd)?;
        let kind = pipe::destination(fd.as_fd())?;
        let size = match kind {
            Destination::File => rustix::fs::seek(&fd, SeekFrom::End(0))?,
            _ => 0,
        };
        Ok(Self {
            fd,
            kind,
            real: fs::canonicalize(path).unwrap_or_else(|_| path.into()),
            fixed: is_fixed(path),
            size,
            identity: (stat.st_dev, stat.st_ino),
            mode: stat.st_mode & 0o666,
            appends: false,
        })
    }

    /// From appending to a place of our own.
    fn at_its_end(&mut self) -> io::Result<()> {
        self.set_appends(false)?;
        self.size = rustix::fs::seek(&self.fd, SeekFrom::End(0))?;
        Ok(())
    }

    fn set_appends(&mut self, appends: bool) -> io::Result<()> {
        if self.appends != appends {
            let mut flags = rustix::fs::fcntl_getfl(&self.fd)?;
            flags.set(OFlags::APPEND, appends);
            rustix::fs::fcntl_setfl(&self.fd, flags)?;
            self.appends = appends;
        }
        Ok(())
    }

    fn append(&mut self, text: &[u8]) -> io::Result<Moved> {
        self.set_appends(true)?;
        let moved = pipe::write_some(self.fd.as_fd(), self.kind, true, text)?;
        self.size = rustix::fs::tell(&self.fd)?;
        Ok(moved)
    }
}

fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// What lies there, or where its links lead by way of there, is not ours to rename or remove, whatever
/// it is.
fn is_fixed(path: &Path) -> bool {
    let mut path = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        let devices = path.starts_with("/dev") && !path.starts_with("/dev/shm");
        if devices || path.starts_with("/proc") {
            return true;
        }
        let Ok(target) = fs::read_link(&path) else {
            return false;
        };
        // What begins at the root replaces all before it.
        path.pop();
        path.push(target);
    }
    false
}

/// Opens at the end, and not for appending: a splice refuses that (splice(2), EINVAL). Never waits
/// for the other end of a FIFO, and gets no controlling terminal.
fn open(path: &Path, mode: u32) -> io::Result<OwnedFd> {
    let flags =
        OFlags::WRONLY | OFlags::CREATE | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    loop {
        match rustix::fs::open(path, flags, Mode::from_raw_mode(mode)) {
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
            Ok(fd) => return Ok(fd),
        }
    }
}

/// A descriptor of ours that is a socket cannot be opened by its name, only doubled.
fn inherited(path: &Path) -> Option<OwnedFd> {
    let stdout = ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];
    let stderr = ["/dev/stderr", "/dev/fd/2", "/proc/self/fd/2"];
    let is = |names: [&str; 3]| {
        names
            .iter()
            .any(|name| path.as_os_str().as_bytes() == name.as_bytes())
    };
    let fd = if is(stdout) {
        std::io::stdout().as_fd().try_clone_to_owned()
    } else if is(stderr) {
        std::io::stderr().as_fd().try_clone_to_owned()
    } else {
        return None;
    };
    let fd = fd.ok()?;
    matches!(pipe::destination(fd.as_fd()), Ok(Destination::Socket)).then_some(fd)
}
