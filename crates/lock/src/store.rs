//! The file of one lock: a queue that is never torn, whoever is killed while he changes it.
//!
//! Byte 0 is the critical section; byte [`ALIVE`] + ticket says that the owner of a ticket is
//! there. The queue is kept twice: a change is written over the older copy, with a number and a
//! checksum, and readers take the newer one that is whole. Nothing in here waits for a lock to be
//! granted, or knows when it is.
//!
//! The file: a page of numbers to sleep on, the two copies, a place of 4 KiB for each one's text,
//! and the history. Most of it is never written, and takes no room.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ward_model::lock::{Ask, Place, Shape, Standing};
use ward_sys::lockfile;
use ward_sys::words::Words;

use crate::error::LockError;
use crate::image::{Counts, Entry, Head, Image, LONGEST, MOST, NO_TEXT};
use crate::name::Name;
use crate::surroundings;
use crate::text::{ROOM, Text};

/// Of the files: their group shares them, where the directory's lets it in.
const MODE: u32 = 0o660;

/// The critical section.
const SECTION: u64 = 0;
/// The first of the bytes that say who is there.
const ALIVE: u64 = 1 << 40;

/// Where the two copies are, the texts, and the history, bytes from the beginning.
const COPIES: [u64; 2] = [4 << 10, 512 << 10];
const TEXTS: u64 = 1 << 20;
const HISTORY: u64 = 32 << 20;

/// How much of a copy is read at once: most are no longer.
const FIRST_READ: usize = 4 << 10;

/// How many of the history are kept.
pub(crate) const REMEMBERED: u64 = 256;

const _: () = assert!(COPIES[0] + LONGEST as u64 <= COPIES[1]);
const _: () = assert!(COPIES[1] + LONGEST as u64 <= TEXTS);
const _: () = assert!(TEXTS + (MOST * ROOM) as u64 <= HISTORY);

/// The section is held for microseconds; who holds it longer stands still.
pub(crate) const STUCK: Duration = Duration::from_secs(10);

/// So often a queue is read that is being changed meanwhile.
const READS: u32 = 4;

/// So often it is tried before we sleep.
const TRIES: u32 = 24;

/// One lock's file, open by a description of our own.
#[derive(Debug)]
pub(crate) struct Store {
    file: File,
    path: PathBuf,
    name: Name,
    words: OnceCell<Option<Words>>,
    /// Texts that were read, by ticket: they change with their version only.
    texts: RefCell<HashMap<u64, Arc<Text>>>,
}

impl Store {
    /// Opens the file of `name` in `directory`, made if need be.
    pub(crate) fn open(directory: &Path, name: &Name) -> Result<Self, LockError> {
        let path = directory.join(name.file());
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(MODE)
            .custom_flags(flags.bits().cast_signed())
            .open(&path)
            .map_err(LockError::io("open", &path))?;
        Ok(Self {
            file,
            path,
            name: name.clone(),
            words: OnceCell::new(),
            texts: RefCell::default(),
        })
    }

    /// Makes a file that nobody has used yet fit for it.
    fn furnish(&self) -> io::Result<()> {
        let meta = self.file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a file",
            ));
        }
        // Whoever shares the directory by its group must be able to use what we make, whatever our
        // umask is; nobody else may.
        if meta.mode() & 0o777 != MODE && meta.uid() == surroundings::own_uid() {
            rustix::fs::fchmod(&self.file, rustix::fs::Mode::from_raw_mode(MODE))?;
        }
        // There must be room for what others sleep on.
        self.file.write_all_at(&[0; Words::LENGTH], 0)
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    /// Enters the critical section; gives up after `limit`. Nothing may fork, exec or wait in it.
    pub(crate) fn section(&self, limit: Duration) -> Result<Section<'_>, LockError> {
        let mut tries = 0;
        let mut since = None;
        let mut pause = Duration::from_micros(5);
        loop {
            if lockfile::try_lock(&self.file, SECTION).map_err(LockError::io("lock", &self.path))? {
                return Ok(Section {
                    store: self,
                    newest: Cell::new(None),
                });
            }
            // It takes microseconds, and to sleep takes fifty.
            tries += 1;
            if tries < TRIES {
                std::thread::yield_now();
                continue;
            }
            if since.get_or_insert_with(Instant::now).elapsed() >= limit {
                return Err(LockError::Stuck {
                    name: self.name.text().to_owned(),
                    who: lockfile::holders(&self.file, SECTION),
                });
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(1));
        }
    }

    /// The queue as it is, or was a moment ago; `None` if there is none yet, or it is of another
    /// boot.
    pub(crate) fn read(&self) -> Result<Option<Image>, LockError> {
        // Two may change it while we read the older copy, and so on.
        let mut newest = None;
        for _ in 0..READS {
            newest = self.newest().map_err(LockError::io("read", &self.path))?;
            if newest.is_some() {
                break;
            }
        }
        Ok(newest
            .map(|(_, _, image)| image)
            .filter(|image| image.boot == surroundings::boot()))
    }

    /// The newest whole copy: which one, its number, and what is in it.
    fn newest(&self) -> io::Result<Option<(usize, u64, Image)>> {
        let mut pages = [[0; FIRST_READ]; 2];
        let mut heads = [None; 2];
        for ((at, page), head) in COPIES.into_iter().zip(&mut pages).zip(&mut heads) {
            let read = self.file.read_at(page, at)?;
            *head = Head::read(&page[..read]).map(|head| (head, read));
        }
        let generation = |it: &Option<(Head, usize)>| it.map_or(0, |(head, _)| head.generation);
        let newer = usize::from(generation(&heads[1]) > generation(&heads[0]));
        for index in [newer, 1 - newer] {
            let Some((head, read)) = heads[index] else {
                continue;
            };
            let image = if head.length <= read {
                Image::read(&head, &pages[index])
            } else {
                let mut bytes = vec![0; head.length];
                bytes[..read].copy_from_slice(&pages[index][..read]);
                let more = self
                    .file
                    .read_at(&mut bytes[read..], COPIES[index] + read as u64)?;
                Image::read(&head, &bytes[..read + more])
            };
            if let Some(image) = image {
                return Ok(Some((index, head.generation, image)));
            }
        }
        Ok(None)
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
    }

    /// The numbers that waiters sleep on; none where a file cannot be mapped.
    pub(crate) fn words(&self) -> Option<&Words> {
        self.words
            .get_or_init(|| Words::of(&self.file).ok())
            .as_ref()
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
    /// have learned of it. Texts are read only where they matter.
    pub(crate) fn places(&self, image: &Image) -> Vec<Place> {
        let place = |entry: &Entry| {
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
                if image.shape == Shape::Pool {
                    place.has.clone_from(&text.has);
                }
            }
            place
        };
        let stays = |entry: &&Entry| !entry.dismissed || entry.standing == Standing::Holding;
        image.entries.iter().filter(stays).map(place).collect()
    }

    /// The history, oldest first, as it was written.
    pub(crate) fn remembered(&self, counts: &Counts) -> Vec<Vec<u8>> {
        let first = counts.ended.saturating_sub(REMEMBERED);
        let mut all = Vec::new();
        for number in first..counts.ended {
            let mut bytes = vec![0; ROOM];
            let at = HISTORY + number % REMEMBERED * ROOM as u64;
            if let Ok(read) = self.file.read_at(&mut bytes, at) {
                bytes.truncate(read);
                all.push(bytes);
            }
        }
        all
    }
}

/// The critical section, until this is dropped.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    store: &'a Store,
    /// Which copy is the newer one, and its number, once it was read: nobody else changes them.
    newest: Cell<Option<(usize, u64)>>,
}

impl<'a> Section<'a> {
    pub(crate) fn store(&self) -> &'a Store {
        self.store
    }

    /// The queue, or a new one of this shape.
    pub(crate) fn load(&self, shape: Shape) -> Result<Image, LockError> {
        let path = &self.store.path;
        let newest = self.store.newest().map_err(LockError::io("read", path))?;
        self.newest
            .set(newest.as_ref().map(|(index, number, _)| (*index, *number)));
        let boot = surroundings::boot();
        Ok(match newest {
            Some((_, _, image)) if image.boot == boot => image,
            // Numbers go on rising; where the file is new, from the clock: those of a file that
            // went with a reboot were lower.
            other => Image {
                boot,
                next_ticket: other
                    .map_or(0, |(_, _, image)| image.next_ticket)
                    .max(surroundings::now()),
                shape,
                idle: 0,
                used_until: 0,
                sequence: 0,
                set_aside: 0,
                counts: Counts::default(),
                entries: Vec::new(),
            },
        })
    }

    /// Puts a queue in the place of the older copy.
    pub(crate) fn save(&self, image: &Image) -> Result<(), LockError> {
        let failed = LockError::io("write", &self.store.path);
        if image.entries.len() > MOST {
            return Err(LockError::Full(self.store.name.text().to_owned()));
        }
        let (place, generation) = match self.newest.get() {
            Some((index, number)) => (1 - index, number + 1),
            None => {
                if let Err(error) = self.store.furnish() {
                    return Err(failed(error));
                }
                (0, 1)
            }
        };
        self.store
            .file
            .write_all_at(&image.write(generation), COPIES[place])
            .map_err(failed)?;
        self.newest.set(Some((place, generation)));
        Ok(())
    }

    /// Where a text can be put: nobody's in the queue is there.
    pub(crate) fn free_slot(&self, image: &Image) -> Result<u32, LockError> {
        let mut used: Vec<u32> = image.entries.iter().map(|it| it.slot).collect();
        used.sort_unstable();
        let mut free = 0;
        for slot in used {
            if slot == free {
                free += 1;
            }
        }
        if free as usize >= MOST {
            return Err(LockError::Full(self.store.name.text().to_owned()));
        }
        Ok(free)
    }

    /// Writes one's text to his place, which the queue must not tell of yet.
    pub(crate) fn write_text(&self, slot: u32, text: Text) -> Result<(), LockError> {
        let bytes = text
            .write()
            .ok_or_else(|| LockError::TooLong(self.store.name.text().to_owned()))?;
        let at = TEXTS + u64::from(slot) * ROOM as u64;
        self.store
            .file
            .write_all_at(&bytes, at)
            .map_err(LockError::io("write", &self.store.path))?;
        self.store
            .texts
            .borrow_mut()
            .insert(text.ticket, Arc::new(text));
        Ok(())
    }

    /// Writes a line of the history to the place of its number. What finds no room is not
    /// remembered.
    pub(crate) fn remember(&self, number: u64, bytes: &[u8]) {
        if bytes.len() <= ROOM {
            let at = HISTORY + number % REMEMBERED * ROOM as u64;
            let _ = self.store.file.write_all_at(bytes, at);
        }
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        // What cannot be freed so is freed with the description.
        let _ = lockfile::unlock(&self.store.file, SECTION);
    }
}
