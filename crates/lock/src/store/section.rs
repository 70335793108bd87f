//! The critical section of a lock's file: the only place from which its queue is changed.

use std::cell::Cell;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use ward_model::lock::Shape;
use ward_sys::lockfile;
use ward_sys::words::Words;

use super::{ALIVE, COPIES, FIRST_READ, SECTION, Store, TEXTS, with_scratch};
use crate::error::LockError;
use crate::image::{Image, MOST};
use crate::surroundings;
use crate::text::{ROOM, Text};

/// The critical section, until this is dropped.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    store: &'a Store,
    /// Which copy is the newer one, and its number, once it was read: nobody else changes them.
    newest: Cell<Option<(usize, u64)>>,
    /// Whether all that we have locked is freed at its end, and not the section alone.
    frees_all: Cell<bool>,
}

impl<'a> Section<'a> {
    /// Of whoever has just locked its byte.
    pub(super) fn of(store: &'a Store) -> Self {
        Self {
            store,
            newest: Cell::new(None),
            frees_all: Cell::new(false),
        }
    }

    /// Has all that we have locked freed with the section: whoever is in here leaves the queue.
    pub(crate) fn free_all(&self) {
        self.frees_all.set(true);
    }

    pub(crate) fn store(&self) -> &'a Store {
        self.store
    }

    /// The queue, or a new one of this shape.
    pub(crate) fn load(&self, shape: Shape) -> Result<Image, LockError> {
        let path = &self.store.path;
        let failed = LockError::io("read", path);
        let newest = match self.store.unchanged() {
            Ok(Some(ours)) => Ok(Some(ours)),
            Ok(None) => self.store.newest(None),
            Err(error) => Err(error),
        };
        let newest = newest.map_err(failed)?;
        self.newest
            .set(newest.as_ref().map(|(index, number, _)| (*index, *number)));
        let boot = surroundings::boot();
        if newest.is_none() {
            self.store.refuse_what_is_lost()?;
        }
        let other_boot = |image: &Image| !surroundings::is_this_boot(image.boot);
        let is_anybody_there = newest.as_ref().is_some_and(|(.., image)| other_boot(image))
            && lockfile::is_any_locked(&self.store.file, ALIVE)
                .map_err(LockError::io("look at", path))?;
        Ok(match newest {
            // One of another boot in which somebody is was written by one who does not know his.
            Some((_, _, image)) if surroundings::is_this_boot(image.boot) || is_anybody_there => {
                image
            }
            // Numbers go on rising; where the file is new, from the clock: those of a file that
            // went with a reboot were lower.
            other => {
                let next = other.map_or(0, |(_, _, image)| image.next_ticket);
                Image::empty(boot, shape, next.max(surroundings::now()))
            }
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
                // There must be room for what others sleep on.
                if let Err(error) = self.store.file.write_all_at(&[0; Words::LENGTH], 0) {
                    return Err(failed(error));
                }
                // Nothing that was lost may be taken for newer.
                if let Err(error) = self.store.file.write_all_at(&[0; FIRST_READ], COPIES[1]) {
                    return Err(failed(error));
                }
                (0, 1)
            }
        };
        let file = &self.store.file;
        let written = with_scratch(|bytes| {
            image.write(generation, bytes);
            file.write_all_at(bytes, COPIES[place])
        });
        written.map_err(failed)?;
        self.newest.set(Some((place, generation)));
        // With others in it, one of them writes next.
        if let [_] = *image.entries {
            let placed = (place, generation, image.clone());
            self.store.written.replace(Some(placed));
        }
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
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        if self.frees_all.get() {
            return self.store.leave();
        }
        // What cannot be freed so is freed with the description.
        if lockfile::unlock(&self.store.file, SECTION).is_err() {
            self.store.is_free.set(false);
        }
    }
}
