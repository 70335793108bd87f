//! What the keeper holds: readers of pipes, and descriptors that it keeps for the daemon. Tables of a
//! fixed size: nothing is allocated once they are made.

use std::os::fd::{BorrowedFd, OwnedFd};

use ward_sys::handover::Shelf;

use super::roster::{SLOTS, Slot};
use super::wire::Key;
use crate::api::Stream;

/// How many pipes of earlier processes of a slot, which others still write to, are held.
const LEFT_OVER: usize = 4096;
/// How many descriptors are kept under a key.
pub(super) const KEPT: usize = 1024;

/// Whose pipe it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pipe {
    slot: Slot,
    generation: u32,
    stream: Stream,
}

/// Readers of pipes: two for each slot, and those of earlier generations.
#[derive(Debug)]
pub(super) struct Readers {
    current: Shelf,
    generations: Vec<u32>,
    earlier: Shelf,
    whose: Vec<Option<Pipe>>,
    /// Below this, all earlier ones are.
    used: usize,
}

impl Readers {
    pub(super) fn new() -> Self {
        Self {
            current: Shelf::new(SLOTS * 2),
            generations: vec![0; SLOTS * 2],
            earlier: Shelf::new(LEFT_OVER),
            whose: vec![None; LEFT_OVER],
            used: 0,
        }
    }

    /// Holds one. Without room for one more of the earlier ones, the latest of these is let go: it is
    /// lost only if the daemon, which has it open as well, is killed before it is drained.
    pub(super) fn put(&mut self, slot: Slot, generation: u32, stream: Stream, fd: OwnedFd) {
        let place = slot.index() * 2 + stream.index();
        let Some(known) = self.generations.get_mut(place) else {
            return;
        };
        let before = std::mem::replace(known, generation);
        if let Some(old) = self.current.put(place, fd)
            && before != generation
        {
            let pipe = Pipe {
                slot,
                generation: before,
                stream,
            };
            self.put_earlier(pipe, old);
        }
    }

    fn put_earlier(&mut self, pipe: Pipe, fd: OwnedFd) {
        let free = self.whose.iter().position(Option::is_none);
        let place = free.unwrap_or(LEFT_OVER - 1);
        if let Some(whose) = self.whose.get_mut(place) {
            *whose = Some(pipe);
            drop(self.earlier.put(place, fd));
            self.used = self.used.max(place + 1);
        }
    }

    /// Lets go of one.
    pub(super) fn let_go(&mut self, slot: Slot, generation: u32, stream: Stream) {
        let place = slot.index() * 2 + stream.index();
        if self.generations.get(place) == Some(&generation) {
            drop(self.current.take(place));
            return;
        }
        let pipe = Some(Pipe {
            slot,
            generation,
            stream,
        });
        let known = self.whose.get_mut(..self.used).unwrap_or_default();
        if let Some(place) = known.iter().position(|whose| *whose == pipe) {
            known[place] = None;
            drop(self.earlier.take(place));
        }
    }

    /// All of them, of the first `high` slots.
    pub(super) fn each(
        &self,
        high: usize,
    ) -> impl Iterator<Item = (Slot, u32, Stream, BorrowedFd<'_>)> {
        let current = (0..high.min(SLOTS)).flat_map(move |index| {
            Stream::ALL.into_iter().filter_map(move |stream| {
                let place = index * 2 + stream.index();
                let generation = *self.generations.get(place)?;
                let fd = self.current.get(place)?;
                Some((Slot::new(index)?, generation, stream, fd))
            })
        });
        let earlier = self.whose.iter().enumerate().filter_map(|(place, whose)| {
            let pipe = (*whose)?;
            let fd = self.earlier.get(place)?;
            Some((pipe.slot, pipe.generation, pipe.stream, fd))
        });
        current.chain(earlier)
    }
}

/// Descriptors under keys.
#[derive(Debug)]
pub(super) struct Kept {
    keys: Vec<Option<Key>>,
    fds: Shelf,
}

impl Kept {
    pub(super) fn new() -> Self {
        Self {
            keys: vec![None; KEPT],
            fds: Shelf::new(KEPT),
        }
    }

    /// Keeps one, in the place of what had this key. Without room it is let go.
    pub(super) fn put(&mut self, key: Key, fd: OwnedFd) {
        let place = self.place_of(key);
        let free = || self.keys.iter().position(Option::is_none);
        if let Some(place) = place.or_else(free) {
            self.keys[place] = Some(key);
            drop(self.fds.put(place, fd));
        }
    }

    fn place_of(&self, key: Key) -> Option<usize> {
        self.keys.iter().position(|known| *known == Some(key))
    }

    /// Lets go of one.
    pub(super) fn let_go(&mut self, key: Key) {
        if let Some(place) = self.place_of(key) {
            self.keys[place] = None;
            drop(self.fds.take(place));
        }
    }

    /// The first at or behind this place, with its place.
    pub(super) fn next(&self, from: usize) -> Option<(usize, Key, BorrowedFd<'_>)> {
        (from..KEPT).find_map(|place| {
            let key = (*self.keys.get(place)?)?;
            Some((place, key, self.fds.get(place)?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn null() -> OwnedFd {
        std::fs::File::open("/dev/null").expect("there").into()
    }

    #[test]
    fn readers_of_every_generation_are_held_until_they_are_let_go() {
        let mut readers = Readers::new();
        let slot = Slot::new(7).expect("a slot");
        let all = |readers: &Readers| -> Vec<(u32, Stream)> {
            let all = readers.each(SLOTS);
            all.map(|(_, generation, stream, _)| (generation, stream))
                .collect()
        };
        for generation in 1..=3 {
            readers.put(slot, generation, Stream::Stdout, null());
        }
        readers.put(slot, 3, Stream::Stderr, null());
        assert_eq!(
            all(&readers),
            [
                (3, Stream::Stdout),
                (3, Stream::Stderr),
                (1, Stream::Stdout),
                (2, Stream::Stdout)
            ]
        );
        readers.let_go(slot, 1, Stream::Stdout);
        readers.let_go(slot, 3, Stream::Stdout);
        readers.let_go(slot, 9, Stream::Stdout);
        assert_eq!(all(&readers), [(3, Stream::Stderr), (2, Stream::Stdout)]);
        // Of the same generation the later counts.
        readers.put(slot, 3, Stream::Stderr, null());
        readers.put(slot, 4, Stream::Stdout, null());
        assert_eq!(all(&readers).len(), 3);
        assert_eq!(readers.each(0).count(), 1, "earlier ones are always shown");
    }

    #[test]
    fn more_left_overs_than_places_are_no_harm() {
        let mut readers = Readers::new();
        let slot = Slot::new(0).expect("a slot");
        let fd = null();
        for generation in 1..=20 {
            let copy = fd.try_clone().expect("a copy");
            readers.put(slot, generation, Stream::Stdout, copy);
        }
        assert_eq!(readers.each(1).count(), 20);
        for generation in (1..=20).rev() {
            readers.let_go(slot, generation, Stream::Stdout);
        }
        assert_eq!(readers.each(1).count(), 0);
    }

    #[test]
    fn a_key_has_one_descriptor() {
        let mut kept = Kept::new();
        let key = |text: &str| Key::new(text.as_bytes()).expect("a key");
        kept.put(key("a"), null());
        kept.put(key("b"), null());
        kept.put(key("a"), null());
        kept.let_go(key("b"));
        kept.let_go(key("c"));
        let (place, only, _) = kept.next(0).expect("one");
        assert_eq!((only.bytes(), place), (&b"a"[..], 0));
        assert!(kept.next(place + 1).is_none());
    }
}
