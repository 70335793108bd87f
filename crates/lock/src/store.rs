//! The file of one lock: a queue that is never torn, whoever is killed while he changes it.
//!
//! Byte 0 is the critical section; byte [`ALIVE`] + ticket says that the owner of a ticket is
//! there. The queue is kept twice: a change is written over the older copy, with a number and a
//! checksum, and readers take the newer one that is whole. Nothing in here waits for a lock to be
//! granted, or knows when it is.
//!
//! The file: a page of numbers to sleep on, the two copies, the history, and a place of 4 KiB for
//! each one's text. Most of it is never written, and takes no room. What is written to give a lock
//! back comes before what is written to get one: a limit to the size of files (setrlimit(2),
//! `RLIMIT_FSIZE`) that lets somebody in lets him out.

mod section;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ward_model::lock::{Ask, Place, Shape, Standing, blockers, blockers_by_mode};
use ward_sys::lockfile;
use ward_sys::words::Words;

use crate::error::LockError;
use crate::history::{self, REMEMBERED};
use crate::image::{Entry, HEAD, Head, Image, LONGEST, MOST, NO_TEXT, is_of_a_queue};
use crate::name::Name;
use crate::pages;
use crate::surroundings;
use crate::text::{ROOM, Text};

pub(crate) use section::Section;

/// Of the files: their group shares them, where the directory's lets it in.
const MODE: u32 = 0o660;

/// The critical section.
const SECTION: u64 = 0;
/// The first of the bytes that say who is there.
const ALIVE: u64 = 1 << 40;

/// Where the two copies are, the history, and the texts, bytes from the beginning.
const COPIES: [u64; 2] = [4 << 10, 512 << 10];
pub(crate) const HISTORY: u64 = 1 << 20;
const TEXTS: u64 = HISTORY + REMEMBERED * history::ROOM as u64;

/// How much of a copy is read at once: most are no longer.
const FIRST_READ: usize = 1 << 10;

const _: () = assert!(COPIES[0] + LONGEST as u64 <= COPIES[1]);
const _: () = assert!(COPIES[1] + LONGEST as u64 <= HISTORY);

/// The section is held for microseconds; who holds it longer stands still.
pub(crate) const STUCK: Duration = Duration::from_secs(10);

/// Who waits at least so long for the section is told who is in it.
const TOLD_AFTER: Duration = Duration::from_secs(1);

/// A number that is higher than this is no count of wakings, but the letters of a text.
const MOST_WOKEN: u32 = 1 << 24;

/// So often a queue is read that is being changed meanwhile.
const READS: u32 = 4;

/// So long we sleep between two tries at most.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// So often it is tried before we sleep.
const TRIES: u32 = 24;

thread_local! {
    /// Where long queues are read to, and written from.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Has the room for long queues used: that which stays, or another where a thread that ends has given it
/// back, and then lets go of a lock.
fn with_scratch<T>(mut used: impl FnMut(&mut Vec<u8>) -> T) -> T {
    let kept = SCRATCH.try_with(|room| room.try_borrow_mut().ok().map(|mut room| used(&mut room)));
    kept.ok().flatten().unwrap_or_else(|| used(&mut Vec::new()))
}

/// Which copy a queue is in, its number, and what is in it.
type Placed = (usize, u64, Image);

/// One lock's file, open by a description of our own.
#[derive(Debug)]
pub(crate) struct Store {
    file: File,
    path: PathBuf,
    name: Name,
    is_new: bool,
    /// Whose page of numbers is mapped, once it was looked at.
    page: Cell<Option<pages::Id>>,
    words: OnceCell<Option<Arc<Words>>>,
    /// What we have written, where only we are in it, and its place.
    written: RefCell<Option<Placed>>,
    /// Texts that were read, by ticket: they change with their version only.
    texts: RefCell<HashMap<u64, Arc<Text>>>,
    /// Whether it was open before, and may have lost its name to another since.
    was_kept: Cell<bool>,
    /// Who opened it: a fork of his has the same description.
    opened_by: u32,
    /// Whether somebody may have inherited the description.
    is_lent: Cell<bool>,
    /// Whether nothing is locked by it any more, after a release that has succeeded.
    is_free: Cell<bool>,
}

impl Store {
    /// Opens the file of `name` in `directory`, made if need be.
    pub(crate) fn open(directory: &Path, name: &Name) -> Result<Self, LockError> {
        let path = directory.join(name.file());
        let mut opened = open(&path);
        let mut is_new = false;
        // One that nobody used may be removed by the time we open it.
        for _ in 0..READS {
            match &opened {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    is_new = true;
                    opened = furnish(directory, &path).and_then(|()| open(&path));
                }
                _ => break,
            }
        }
        let file = opened.map_err(LockError::io("open", &path))?;
        Ok(Self::of(file, path, name, is_new))
    }

    /// As [`Store::open`], if there is one.
    pub(crate) fn known(directory: &Path, name: &Name) -> Result<Option<Self>, LockError> {
        let path = directory.join(name.file());
        match open(&path) {
            Ok(file) => Ok(Some(Self::of(file, path, name, false))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(LockError::io("open", &path)(error)),
        }
    }

    /// The same for another turn, if nothing is locked by it and nobody else has it. Whether its name still
    /// is this file's is seen by [`Store::is_known`].
    pub(crate) fn again(mut self) -> Option<Self> {
        let is_ours = self.is_free.take() && !self.is_lent.get() && self.is_of_this_process();
        if !is_ours || self.page.get().is_none() {
            return None;
        }
        // What could not be mapped may be another time.
        if let Some(None) = self.words.get() {
            self.words.take();
        }
        // While nobody was there the queue may have been begun anew, with the numbers of before.
        self.written.take();
        self.texts.take();
        self.was_kept.set(true);
        self.is_new = false;
        Some(self)
    }

    /// Whether it was opened by us, and not by whom we were forked from.
    pub(crate) fn is_of_this_process(&self) -> bool {
        self.opened_by == std::process::id()
    }

    /// Whether nothing is locked by it any more.
    pub(crate) fn is_free(&self) -> bool {
        self.is_free.get()
    }

    /// Whether it was open before, and it is not known yet whether its name still is this file's.
    pub(crate) fn was_kept(&self) -> bool {
        self.was_kept.get()
    }

    fn of(file: File, path: PathBuf, name: &Name, is_new: bool) -> Self {
        Self {
            file,
            path,
            name: name.clone(),
            is_new,
            page: Cell::new(None),
            words: OnceCell::new(),
            written: RefCell::default(),
            texts: RefCell::default(),
            was_kept: Cell::new(false),
            opened_by: std::process::id(),
            is_lent: Cell::new(false),
            is_free: Cell::new(false),
        }
    }

    /// Whether nobody had used it before us.
    pub(crate) fn is_new(&self) -> bool {
        self.is_new
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether somebody is in the queue, or was a moment ago: what is written of him may not be there
    /// yet, or any more.
    pub(crate) fn is_anybody_there(&self) -> Result<bool, LockError> {
        lockfile::is_any_locked(&self.file, ALIVE).map_err(LockError::io("look at", &self.path))
    }

    /// Whether there is a queue in it, of whichever boot.
    pub(crate) fn has_queue(&self) -> Result<bool, LockError> {
        let newest = self.newest(None);
        Ok(newest.map_err(LockError::io("read", &self.path))?.is_some())
    }

    /// Whether the file still is the one of its name, or any: somebody may have removed it. One that was open
    /// before is looked for by its name, once; from there on it is as if it had been opened now.
    pub(crate) fn is_known(&self) -> bool {
        if self.was_kept.take() {
            let named = pages::look_at(&self.path);
            return named.is_ok_and(|named| named.id.is_some() && named.id == self.page.get());
        }
        let Ok(seen) = pages::look(&self.file) else {
            return false;
        };
        self.page.set(seen.id);
        seen.is_linked
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.is_lent.set(true);
        self.file.as_fd()
    }

    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    /// Enters the critical section; gives up after `limit`, or, with the longest limit, once nobody has
    /// changed the queue for so long. Nothing may fork, exec or wait in it.
    pub(crate) fn section(&self, limit: Duration) -> Result<Section<'_>, LockError> {
        let mut tries = 0;
        let mut since: Option<(Instant, u64)> = None;
        let mut pause = Duration::from_micros(5);
        loop {
            if lockfile::try_lock(&self.file, SECTION).map_err(LockError::io("lock", &self.path))? {
                return Ok(Section::of(self));
            }
            // It takes microseconds, and to sleep takes fifty.
            tries += 1;
            if tries < TRIES {
                std::thread::yield_now();
                continue;
            }
            let (began, change) = *since.get_or_insert_with(|| (Instant::now(), self.change()));
            if began.elapsed() >= limit {
                let now = self.change();
                if limit >= STUCK && now != change {
                    since = Some((Instant::now(), now));
                    continue;
                }
                return Err(LockError::Stuck {
                    name: self.name.text().to_owned(),
                    // To look for him takes long where there are many processes.
                    who: if limit >= TOLD_AFTER {
                        lockfile::holders(&self.file, SECTION)
                    } else {
                        Vec::new()
                    },
                });
            }
            std::thread::sleep(pause);
            // With a thousand who try each millisecond nobody would get anything done.
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The number of the newest change, as far as it can be seen.
    fn change(&self) -> u64 {
        let numbers = COPIES.into_iter().filter_map(|at| {
            let mut bytes = [0; 16];
            self.file.read_at(&mut bytes, at).ok()?;
            let (_, number) = bytes.split_last_chunk()?;
            Some(u64::from_le_bytes(*number))
        });
        numbers.max().unwrap_or(0)
    }

    /// The queue as it is, or was a moment ago; `None` if there is none yet, or it is of another
    /// boot.
    pub(crate) fn read(&self) -> Result<Option<Image>, LockError> {
        self.read_of(None)
    }

    /// As [`Store::read`], with nobody in it but the owner of this ticket.
    pub(crate) fn read_only(&self, ticket: u64) -> Result<Option<Image>, LockError> {
        self.read_of(Some(ticket))
    }

    fn read_of(&self, only: Option<u64>) -> Result<Option<Image>, LockError> {
        // Two may change it while we read the older copy, and so on.
        let mut newest = None;
        for _ in 0..READS {
            newest = self
                .newest(only)
                .map_err(LockError::io("read", &self.path))?;
            if newest.is_some() {
                break;
            }
        }
        Ok(newest
            .map(|(_, _, image)| image)
            .filter(|image| surroundings::is_this_boot(image.boot)))
    }

    /// What is wrong with a file that has no queue in it; nothing, if none was ever in it and nobody
    /// is there.
    fn refuse_what_is_lost(&self) -> Result<(), LockError> {
        let damaged = |why: &str| LockError::Damaged {
            path: self.path.clone(),
            why: why.to_owned(),
        };
        let failed = LockError::io("look at", &self.path);
        let meta = match self.file.metadata() {
            Ok(meta) => meta,
            Err(error) => return Err(failed(error)),
        };
        if !meta.is_file() {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "it is not a file");
            return Err(failed(error));
        }
        let is_ours = || -> io::Result<bool> {
            let mut pages = [[0; FIRST_READ]; 3];
            for (page, at) in pages.iter_mut().zip([0, COPIES[0], COPIES[1]]) {
                self.file.read_at(page, at)?;
            }
            let empty = |page: &[u8]| page.iter().all(|byte| *byte == 0);
            let queue = pages[1..].iter().any(|page| is_of_a_queue(page));
            // Where the host lost its power, the numbers may have reached the disk, and no queue.
            let numbers = meta.len() >= Words::LENGTH as u64
                && pages[0]
                    .as_chunks()
                    .0
                    .iter()
                    .all(|it| u32::from_ne_bytes(*it) < MOST_WOKEN);
            let copies = pages[1..].iter().all(|page| empty(page));
            Ok(queue || (copies && (numbers || empty(&pages[0]))))
        };
        match is_ours() {
            Err(error) => return Err(failed(error)),
            Ok(false) => return Err(damaged("what is in it is no lock's")),
            Ok(true) => {}
        }
        match lockfile::is_any_locked(&self.file, ALIVE) {
            Err(error) => Err(failed(error)),
            Ok(true) => Err(damaged("its queue was lost while somebody is in it")),
            Ok(false) => Ok(()),
        }
    }

    /// The newest whole copy: which one, its number, and what is in it, or `only` the owner of a
    /// ticket.
    fn newest(&self, only: Option<u64>) -> io::Result<Option<Placed>> {
        let mut pages = [[0; FIRST_READ]; 2];
        let mut heads = [None; 2];
        for ((at, page), head) in COPIES.into_iter().zip(&mut pages).zip(&mut heads) {
            let read = self.file.read_at(page, at)?;
            *head = Head::read(&page[..read]).map(|head| (head, read));
        }
        let generation = |it: &Option<(Head, usize)>| it.map_or(0, |(head, _)| head.generation);
        let newer = usize::from(generation(&heads[1]) > generation(&heads[0]));
        // The first change is written once; of any other the one before is there too. If it is not,
        // this may be the older one.
        let other_is_there = pages[1 - newer].iter().any(|byte| *byte != 0);
        if generation(&heads[newer]) > 1 && !other_is_there {
            return Ok(None);
        }
        for index in [newer, 1 - newer] {
            let Some((head, read)) = heads[index] else {
                continue;
            };
            let image = if head.length <= read {
                Image::read(&head, &pages[index], only)
            } else {
                with_scratch(|bytes| -> io::Result<Option<Image>> {
                    bytes.resize(bytes.len().max(head.length), 0);
                    let (first, rest) = bytes[..head.length].split_at_mut(read);
                    first.copy_from_slice(&pages[index][..read]);
                    let more = self.file.read_at(rest, COPIES[index] + read as u64)?;
                    Ok(Image::read(&head, &bytes[..read + more], only))
                })?
            };
            if let Some(image) = image {
                return Ok(Some((index, head.generation, image)));
            }
        }
        Ok(None)
    }

    /// What we have written ourselves, if nobody has written since, in whose section we are. Whoever
    /// has wrote over the other copy first: if that still is the one before ours, nobody has.
    fn unchanged(&self) -> io::Result<Option<Placed>> {
        let Some(placed) = self.written.take() else {
            return Ok(None);
        };
        let mut bytes = [0; HEAD];
        let read = self.file.read_at(&mut bytes, COPIES[1 - placed.0])?;
        let other = Head::read(&bytes[..read]);
        let is_ours = other.is_some_and(|head| head.generation + 1 == placed.1);
        Ok(Some(placed).filter(|_| is_ours))
    }

    /// Takes the byte of a ticket, if nobody has it: from here on we are there. Somebody has it who
    /// failed before he could write it down.
    pub(crate) fn appear(&self, ticket: u64) -> Result<bool, LockError> {
        lockfile::try_lock(&self.file, ALIVE + ticket).map_err(LockError::io("lock", &self.path))
    }

    /// Gives the byte of a ticket up, for everybody who has the description.
    pub(crate) fn disappear(&self, ticket: u64) {
        self.is_free.set(false);
        // What cannot be freed so is freed with the last descriptor.
        let _ = lockfile::unlock(&self.file, ALIVE + ticket);
    }

    /// Gives up all that the description has locked, with the section.
    fn leave(&self) {
        // As above.
        self.is_free.set(lockfile::unlock_all(&self.file).is_ok());
    }

    /// The numbers that waiters sleep on; none where a file cannot be mapped.
    fn words(&self) -> Option<&Words> {
        self.words
            .get_or_init(|| pages::of(&self.file, self.page.get(), &self.path, open))
            .as_deref()
    }

    /// Whether the owner of a place in the queue is there: he, or somebody who inherited his
    /// description, or, where it was closed, the work itself.
    pub(crate) fn is_there(&self, entry: &Entry) -> Result<bool, LockError> {
        if entry.reserved {
            return Ok(entry.until == 0 || surroundings::now() < entry.until);
        }
        if lockfile::is_locked(&self.file, ALIVE + entry.ticket)
            .map_err(LockError::io("look at", &self.path))?
        {
            return Ok(true);
        }
        Ok(entry.standing == Standing::Holding && surroundings::is_alive(entry))
    }

    /// The number that the owner of a ticket sleeps on; none where the file cannot be mapped.
    pub(crate) fn word(&self, ticket: u64) -> Option<u32> {
        let words = self.words()?;
        Some(words.get(&self.file, word_of(ticket)))
    }

    /// Sleeps on it, as long as it is `value`. Returns whether it has changed.
    pub(crate) fn sleep(&self, ticket: u64, value: u32, limit: Duration) -> bool {
        let Some(words) = self.words() else {
            return true;
        };
        words.sleep(word_of(ticket), value, limit) || self.word(ticket) != Some(value)
    }

    /// Wakes the owners of these.
    pub(crate) fn wake(&self, tickets: &[u64]) {
        if tickets.is_empty() {
            return;
        }
        if let Some(words) = self.words() {
            for ticket in tickets {
                words.wake(&self.file, word_of(*ticket));
            }
        }
    }

    /// What is written of one; empty if it is not to be had.
    pub(crate) fn text(&self, entry: &Entry) -> Arc<Text> {
        if entry.slot == NO_TEXT {
            return Arc::new(Text {
                ticket: entry.ticket,
                version: entry.version,
                name: self.name.text().to_owned(),
                host: surroundings::host().to_owned(),
                ..Text::default()
            });
        }
        let known = self.texts.borrow().get(&entry.ticket).cloned();
        if let Some(known) = known.filter(|text| text.version == entry.version) {
            return known;
        }
        let mut bytes = vec![0; ROOM];
        let at = TEXTS + u64::from(entry.slot) * ROOM as u64;
        let read = self.file.read_at(&mut bytes, at).unwrap_or(0);
        let text = Text::read(entry.ticket, &bytes[..read]);
        let text = Arc::new(
            text.filter(|it| it.ticket == entry.ticket)
                .unwrap_or_default(),
        );
        let mut texts = self.texts.borrow_mut();
        if texts.len() > MOST {
            texts.clear();
        }
        texts.insert(entry.ticket, Arc::clone(&text));
        text
    }

    /// The queue as its rules see it: whoever was sent away is in nobody's way, though he may not
    /// have learned of it.
    pub(crate) fn places(&self, image: &Image) -> Vec<Place> {
        let places = image.entries.iter().filter(|it| stays(it));
        let mut all = Vec::with_capacity(image.entries.len());
        all.extend(places.map(|entry| self.place(image.shape, entry)));
        all
    }

    /// Those who must go before `ticket` can be granted ([`blockers`]).
    pub(crate) fn blockers(&self, image: &Image, ticket: u64, family: &[u64]) -> Vec<u64> {
        let mine = || {
            image
                .entries
                .iter()
                .find(|it| it.ticket == ticket && stays(it))
        };
        match image.shape {
            // In a long queue, most of which comes from another processor, to write down what would be
            // looked at once takes a while.
            Shape::Modes => mine().map_or_else(Vec::new, |mine| {
                let mine = self.place(image.shape, mine);
                let staying = image.entries.iter().filter(|it| stays(it));
                let places = staying.map(|entry| self.place(image.shape, entry));
                blockers_by_mode(places, &mine, family)
            }),
            Shape::Slots(_) | Shape::Pool => {
                blockers(image.shape, &self.places(image), ticket, family)
            }
        }
    }

    /// One of them. His text is read only where it matters.
    pub(crate) fn place(&self, shape: Shape, entry: &Entry) -> Place {
        let mut place = Place {
            ticket: entry.ticket,
            standing: entry.standing,
            ask: Ask {
                mode: entry.mode,
                take: entry.take,
                path: String::new(),
                among: Vec::new(),
                priority: entry.priority,
                turn: entry.turn,
            },
            has: Vec::new(),
        };
        if entry.has_text {
            let text = self.text(entry);
            place.ask.path.clone_from(&text.path);
            place.ask.among.clone_from(&text.among);
            if shape == Shape::Pool {
                place.has.clone_from(&text.has);
            }
        }
        place
    }
}

fn open(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    File::options()
        .read(true)
        .write(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
}

/// Makes a file for a lock, complete before it has its name: whoever is killed meanwhile leaves none
/// that others could not use.
fn furnish(directory: &Path, path: &Path) -> io::Result<()> {
    // Threads may come here within one microsecond.
    static MADE: AtomicU64 = AtomicU64::new(0);
    let unnamed = directory.join(format!(
        "%new-{}-{}-{}",
        std::process::id(),
        surroundings::now(),
        MADE.fetch_add(1, Ordering::Relaxed)
    ));
    let file = File::options()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(&unnamed)?;
    let make = || {
        // Whoever shares the directory by its group must be able to use what we make, whatever our
        // umask is; nobody else may.
        rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(MODE))?;
        // There must be room for what others sleep on.
        file.write_all_at(&[0; Words::LENGTH], 0)?;
        match std::fs::hard_link(&unnamed, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    };
    let made = make();
    std::fs::remove_file(&unnamed)?;
    made
}

/// Whether somebody was not sent away, or holds all the same.
fn stays(entry: &Entry) -> bool {
    !entry.dismissed || entry.standing == Standing::Holding
}

fn word_of(ticket: u64) -> usize {
    usize::try_from(ticket).unwrap_or(0)
}

#[cfg(test)]
mod tests;
