//! The file of one lock: a queue that is never torn, whoever is killed while he changes it.
//!
//! Byte 0 is the critical section; byte [`ALIVE`] + ticket says that the owner of a ticket is
//! there. The queue is kept twice: a change is written over the older copy, with a number and a
//! checksum, and readers take the newer one that is whole. Nothing in here waits for a lock to be
//! granted.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use ward_model::lock::{Ask, Place, Shape, Standing};
use ward_sys::lockfile;
use ward_sys::procfs::{self, Stat};

use crate::error::LockError;

/// The critical section.
const SECTION: u64 = 0;
/// The first of the bytes that say who is there.
const ALIVE: u64 = 1 << 40;

/// Where the two copies are, and how long one may be, bytes.
const COPIES: [u64; 2] = [4 << 10, 1 << 20];
const LONGEST: usize = (1 << 20) - (8 << 10);

/// What a copy begins with.
const MAGIC: [u8; 8] = *b"wardlk1\n";
const HEADER: usize = 32;

/// The section is held for microseconds; who holds it longer stands still.
const STUCK: Duration = Duration::from_secs(10);

/// Somebody in the queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// His number, which rises for ever.
    pub ticket: u64,
    /// How far he is.
    pub standing: Standing,
    /// What he asks.
    pub ask: Ask,
    /// Who waits, or waited: process id and its start in clock ticks since boot.
    pub pid: i32,
    /// See [`Record::pid`].
    pub start_ticks: u64,
    /// The work that holds, once it was started; the same way.
    #[serde(default)]
    pub work: Option<(i32, u64)>,
    /// As whom.
    pub user: String,
    /// What it is for, as a command line.
    pub command: String,
    /// Why, in somebody's words.
    #[serde(default)]
    pub why: Option<String>,
    /// Since when he is in the queue, seconds since 1970.
    pub asked_at: f64,
    /// Since when he holds.
    #[serde(default)]
    pub held_since: Option<f64>,
}

impl Record {
    /// In a few words.
    #[must_use]
    pub fn summary(&self) -> String {
        let pid = self.work.map_or(self.pid, |(pid, _)| pid);
        let since = self.held_since.unwrap_or(self.asked_at);
        let why = self
            .why
            .as_ref()
            .map_or_else(String::new, |why| format!(", {why}"));
        format!(
            "{pid} ({}, `{}`{why}) for {}s",
            self.user,
            self.command,
            (now() - since).max(0.0).round()
        )
    }

    fn place(&self) -> Place {
        Place {
            ticket: self.ticket,
            standing: self.standing,
            ask: self.ask,
        }
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> f64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

/// A queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// During which boot; after another, nobody in it is there any more.
    pub(crate) boot_id: String,
    pub(crate) next_ticket: u64,
    pub(crate) shape: Shape,
    pub(crate) records: Vec<Record>,
}

impl State {
    pub(crate) fn places(&self) -> Vec<Place> {
        self.records.iter().map(Record::place).collect()
    }

    pub(crate) fn record(&self, ticket: u64) -> Option<&Record> {
        self.records.iter().find(|record| record.ticket == ticket)
    }

    pub(crate) fn record_mut(&mut self, ticket: u64) -> Option<&mut Record> {
        self.records
            .iter_mut()
            .find(|record| record.ticket == ticket)
    }

    pub(crate) fn remove(&mut self, ticket: u64) {
        self.records.retain(|record| record.ticket != ticket);
    }
}

/// One lock's file, open by a description of our own.
#[derive(Debug)]
pub(crate) struct Store {
    file: File,
    path: PathBuf,
    name: String,
}

impl Store {
    /// Opens the file of `name` in `directory`, made if need be.
    pub(crate) fn open(directory: &Path, name: &str) -> Result<Self, LockError> {
        crate::place::check_name(name)?;
        let path = directory.join(name);
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o660)
            .custom_flags(flags.bits().cast_signed())
            .open(&path)
            .map_err(LockError::io("open", &path))?;
        let meta = file.metadata().map_err(LockError::io("use", &path))?;
        if !meta.is_file() {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "it is not a file");
            return Err(LockError::io("use", &path)(error));
        }
        Ok(Self {
            file,
            path,
            name: name.to_owned(),
        })
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Enters the critical section. Nothing may fork, exec or wait in it.
    pub(crate) fn section(&self) -> Result<Section<'_>, LockError> {
        let deadline = Instant::now() + STUCK;
        let mut pause = Duration::from_micros(5);
        loop {
            if lockfile::try_lock(&self.file, SECTION).map_err(LockError::io("lock", &self.path))? {
                return Ok(Section {
                    store: self,
                    newest: Cell::new(None),
                });
            }
            if Instant::now() >= deadline {
                return Err(LockError::Stuck {
                    name: self.name.clone(),
                });
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(1));
        }
    }

    /// The queue as it is, or was a moment ago; `None` if there is none yet, or it is of another
    /// boot.
    pub(crate) fn read(&self) -> Result<Option<State>, LockError> {
        let newest = self.newest().map_err(LockError::io("read", &self.path))?;
        Ok(newest
            .map(|(_, _, state)| state)
            .filter(|state| state.boot_id == boot_id()))
    }

    /// The newest whole copy: which one, its number, and what is in it.
    fn newest(&self) -> io::Result<Option<(usize, u64, State)>> {
        let mut best: Option<(usize, u64, State)> = None;
        for (index, at) in COPIES.into_iter().enumerate() {
            if let Some((number, state)) = self.copy(at)?
                && best.as_ref().is_none_or(|(_, known, _)| number > *known)
            {
                best = Some((index, number, state));
            }
        }
        Ok(best)
    }

    fn copy(&self, at: u64) -> io::Result<Option<(u64, State)>> {
        let mut header = [0; HEADER];
        if self.file.read_at(&mut header, at)? < HEADER || header[..8] != MAGIC {
            return Ok(None);
        }
        let number = |range: std::ops::Range<usize>| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&header[range]);
            u64::from_le_bytes(bytes)
        };
        let (generation, length, checksum) = (number(8..16), number(16..24), number(24..32));
        let Some(length) = usize::try_from(length).ok().filter(|it| *it <= LONGEST) else {
            return Ok(None);
        };
        let mut bytes = vec![0; length];
        if self.file.read_at(&mut bytes, at + HEADER as u64)? < length
            || checksum_of(generation, &bytes) != checksum
        {
            return Ok(None);
        }
        Ok(serde_json::from_slice(&bytes)
            .ok()
            .map(|state| (generation, state)))
    }

    /// Takes the byte of a ticket: from here on we are there.
    pub(crate) fn appear(&self, ticket: u64) -> Result<(), LockError> {
        lockfile::try_lock(&self.file, ALIVE + ticket)
            .map(drop)
            .map_err(LockError::io("lock", &self.path))
    }

    /// Gives the byte of a ticket up, for everybody who has the description.
    pub(crate) fn disappear(&self, ticket: u64) {
        // What cannot be freed so is freed with the last descriptor.
        let _ = lockfile::unlock(&self.file, ALIVE + ticket);
        self.ring();
    }

    /// Wakes who waits: they look at the file when somebody has closed it, as the kernel does for
    /// whoever is killed.
    fn ring(&self) {
        let _ = File::open(&self.path);
    }

    /// Whether the owner of a record is there: he, or somebody who inherited his description, or,
    /// where it was closed, the work itself.
    pub(crate) fn is_there(&self, record: &Record) -> Result<bool, LockError> {
        if lockfile::is_locked(&self.file, ALIVE + record.ticket)
            .map_err(LockError::io("look at", &self.path))?
        {
            return Ok(true);
        }
        Ok(record.standing == Standing::Holding
            && record.work.is_some_and(|(pid, start)| {
                Stat::of(pid).is_some_and(|stat| stat.start_ticks == start && !stat.has_ended())
            }))
    }
}

/// The critical section, until this is dropped.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    store: &'a Store,
    /// Which copy is the newer one, and its number, once it was read: nobody else changes them.
    newest: Cell<Option<(usize, u64)>>,
}

impl Section<'_> {
    /// The queue, or a new one of this shape.
    pub(crate) fn load(&self, shape: Shape) -> Result<State, LockError> {
        let path = &self.store.path;
        let newest = self.store.newest().map_err(LockError::io("read", path))?;
        self.newest
            .set(newest.as_ref().map(|(index, number, _)| (*index, *number)));
        let boot_id = boot_id();
        Ok(match newest {
            Some((_, _, state)) if state.boot_id == boot_id => state,
            // Numbers go on rising; where the file is new, from the clock: those of a file that
            // went with a reboot were lower.
            other => State {
                boot_id,
                next_ticket: other
                    .map_or(0, |(_, _, state)| state.next_ticket)
                    .max((now() * 1e6) as u64),
                shape,
                records: Vec::new(),
            },
        })
    }

    /// Puts a queue in the place of the older copy.
    pub(crate) fn save(&self, state: &State) -> Result<(), LockError> {
        let path = &self.store.path;
        let failed = |error| LockError::io("write", path)(error);
        let (place, generation) = match self.newest.get() {
            Some((index, number)) => (1 - index, number + 1),
            None => (0, 1),
        };
        let bytes = serde_json::to_vec(state).map_err(|error| failed(error.into()))?;
        if bytes.len() > LONGEST {
            return Err(LockError::Full(self.store.name.clone()));
        }
        let mut text = Vec::with_capacity(HEADER + bytes.len());
        text.extend_from_slice(&MAGIC);
        text.extend_from_slice(&generation.to_le_bytes());
        text.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        text.extend_from_slice(&checksum_of(generation, &bytes).to_le_bytes());
        text.extend_from_slice(&bytes);
        self.store
            .file
            .write_all_at(&text, COPIES[place])
            .map_err(failed)
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        // What cannot be freed so is freed with the description.
        let _ = lockfile::unlock(&self.store.file, SECTION);
    }
}

/// FNV-1a, 64 bits: against torn writes, not against people, who may write the file anyway.
fn checksum_of(generation: u64, bytes: &[u8]) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    generation
        .to_le_bytes()
        .iter()
        .chain(bytes)
        .fold(BASIS, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
        })
}

pub(crate) fn boot_id() -> String {
    procfs::boot_id().unwrap_or_default()
}
