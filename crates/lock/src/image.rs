//! A queue as bytes: what must be read and written at every step, and nothing else. Pure.
//!
//! Everything has its place and its size, so that a queue of 64 is 8 KiB that are copied, not text
//! that is read. What only people want to know is in [`crate::text`].

use ward_model::lock::{Mode, Shape, Standing, Turn};

/// What an image begins with; it changes whenever the format does.
const MAGIC: [u8; 8] = *b"wardlk4\n";
/// Bytes before the entries, and of each.
const HEADER: usize = 160;
const ENTRY: usize = 112;
/// The place of nobody's text.
pub(crate) const NO_TEXT: u32 = u32::MAX;
/// No more are in a queue.
pub(crate) const MOST: usize = 4096;
/// No number that is counted on from is higher, by far: the highest, tickets, begin with the microseconds since 1970 and
/// are places in a file, of which there are 2^63. What has a higher one was not written by us.
const HIGHEST: u64 = 1 << 62;
/// No image is longer, bytes.
pub(crate) const LONGEST: usize = HEADER + MOST * ENTRY;

/// A process: its id, and its start in clock ticks since boot, as two processes may have one id
/// after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Who {
    pub(crate) pid: i32,
    pub(crate) start: u64,
}

/// Somebody in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) ticket: u64,
    /// Given with the lock: higher than that of everybody who held it before. 0 while he waits.
    pub(crate) token: u64,
    pub(crate) standing: Standing,
    pub(crate) mode: Mode,
    pub(crate) turn: Turn,
    pub(crate) take: u32,
    pub(crate) priority: i32,
    /// Where his text is, if he has one, and how often it was written.
    pub(crate) slot: u32,
    pub(crate) version: u32,
    /// His text has a path, or things of a pool: it must be read to know who is in his way.
    pub(crate) has_text: bool,
    /// He is a part of what holds locks.
    pub(crate) has_above: bool,
    /// He sleeps until he is woken, and does not look at the file.
    pub(crate) sleeps: bool,
    /// A grant is all that he wants, of this lock alone: whoever makes room may grant it.
    pub(crate) is_plain: bool,
    /// Somebody sent him away; why is in his text.
    pub(crate) dismissed: bool,
    /// A person holds it, without a process.
    pub(crate) reserved: bool,
    /// He becomes the work himself, and wakes nobody when it ends.
    pub(crate) is_own_work: bool,
    /// As which user.
    pub(crate) uid: u32,
    /// Who waits, or waited.
    pub(crate) owner: Who,
    /// Who guards the work beside him.
    pub(crate) guardian: Who,
    /// The work that holds, once it was started.
    pub(crate) work: Who,
    /// The inode of the process namespace in which these ids are valid.
    pub(crate) namespace: u64,
    /// Since when he is in the queue, microseconds since 1970.
    pub(crate) asked_at: u64,
    /// Since when he holds; 0 if he does not.
    pub(crate) held_since: u64,
    /// Until when a person holds it; 0 for ever.
    pub(crate) until: u64,
}

/// How often, and for how long, a lock was held since the host started. Times in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) granted: u64,
    pub(crate) refused: u64,
    pub(crate) waited: u64,
    pub(crate) longest_wait: u64,
    pub(crate) held: u64,
    pub(crate) longest_hold: u64,
    /// How many are in the history; each goes to the place of this number.
    pub(crate) ended: u64,
}

/// A queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    /// During which boot; after another, nobody in it is there any more.
    pub(crate) boot: [u8; 16],
    pub(crate) next_ticket: u64,
    pub(crate) shape: Shape,
    /// How long it counts as used after the last one has gone, and until when it does. Microseconds,
    /// the latter since boot.
    pub(crate) idle: u64,
    pub(crate) used_until: u64,
    /// The next number of its sequence, and the first that is not set aside for it.
    pub(crate) sequence: u64,
    pub(crate) set_aside: u64,
    pub(crate) counts: Counts,
    pub(crate) entries: Vec<Entry>,
}

/// What finds no room is not written: whoever writes knows how much there is.
struct Writer<'a>(&'a mut [u8]);

impl Writer<'_> {
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        if let Some((first, rest)) = std::mem::take(&mut self.0).split_first_chunk_mut() {
            *first = bytes;
            self.0 = rest;
        }
    }
    fn u8(&mut self, value: u8) {
        self.put(value.to_le_bytes());
    }
    fn u32(&mut self, value: u32) {
        self.put(value.to_le_bytes());
    }
    fn i32(&mut self, value: i32) {
        self.put(value.to_le_bytes());
    }
    fn u64(&mut self, value: u64) {
        self.put(value.to_le_bytes());
    }
}

/// What is not there any more is read as 0: whoever reads knows how much there is.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let Some((first, rest)) = self.0.split_first_chunk() else {
            return [0; N];
        };
        self.0 = rest;
        *first
    }
    fn u8(&mut self) -> u8 {
        u8::from_le_bytes(self.take())
    }
    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }
    fn i32(&mut self) -> i32 {
        i32::from_le_bytes(self.take())
    }
    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}

/// How a copy begins: which change it is, its length in all, and the checksum of what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) generation: u64,
    pub(crate) length: usize,
    checksum: u64,
}

pub(crate) const HEAD: usize = 32;

/// Whether something was written by us, whole or not, in this version or another.
pub(crate) fn is_of_a_queue(bytes: &[u8]) -> bool {
    bytes.starts_with(b"wardlk")
}

impl Head {
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes.get(..HEAD)?);
        if reader.take() != MAGIC {
            return None;
        }
        let generation = reader.u64();
        let length = usize::try_from(reader.u64()).ok()?;
        let checksum = reader.u64();
        let is_possible = (HEADER..=LONGEST).contains(&length) && generation <= HIGHEST;
        is_possible.then_some(Self {
            generation,
            length,
            checksum,
        })
    }
}

impl Image {
    /// A queue that nobody was ever in.
    pub(crate) fn empty(boot: [u8; 16], shape: Shape, next_ticket: u64) -> Self {
        Self {
            boot,
            next_ticket,
            shape,
            idle: 0,
            used_until: 0,
            sequence: 0,
            set_aside: 0,
            counts: Counts::default(),
            entries: Vec::new(),
        }
    }

    /// As bytes, as the change of this number, in the place of whatever else is in there.
    pub(crate) fn write(&self, generation: u64, bytes: &mut Vec<u8>) {
        let length = HEADER + self.entries.len() * ENTRY;
        bytes.clear();
        bytes.resize(length, 0);
        let (header, places) = bytes.split_at_mut(HEADER);
        for (place, entry) in places.as_chunks_mut().0.iter_mut().zip(&self.entries) {
            entry.write(place);
        }
        let mut to = Writer(header);
        to.put(MAGIC);
        to.u64(generation);
        to.u64(length as u64);
        to.u64(0);
        to.put(self.boot);
        to.u64(self.next_ticket);
        let (kind, slots) = match self.shape {
            Shape::Modes => (0, 0),
            Shape::Slots(slots) => (1, slots),
            Shape::Pool => (2, 0),
        };
        to.u32(kind);
        to.u32(slots);
        to.u64(self.idle);
        to.u64(self.used_until);
        to.u64(self.sequence);
        to.u64(self.set_aside);
        let counts = &self.counts;
        for count in [
            counts.granted,
            counts.refused,
            counts.waited,
            counts.longest_wait,
            counts.held,
            counts.longest_hold,
            counts.ended,
        ] {
            to.u64(count);
        }
        let sum = checksum(generation, &bytes[HEAD..]);
        bytes[HEAD - 8..HEAD].copy_from_slice(&sum.to_le_bytes());
    }

    /// Those with these tickets, which are in the order of the queue.
    pub(crate) fn those<'a>(&'a self, tickets: &'a [u64]) -> impl Iterator<Item = &'a Entry> {
        let mut left = tickets.iter().peekable();
        let is_meant = move |it: &&Entry| left.next_if(|next| **next == it.ticket).is_some();
        self.entries.iter().filter(is_meant)
    }

    /// From the bytes that a head belongs to; `None` if they are not whole. If it is asked for the
    /// owner of one ticket, `only` he is in it.
    pub(crate) fn read(head: &Head, bytes: &[u8], only: Option<u64>) -> Option<Self> {
        let bytes = bytes.get(..head.length)?;
        if checksum(head.generation, &bytes[HEAD..]) != head.checksum {
            return None;
        }
        let mut from = Reader(&bytes[HEAD..HEADER]);
        let boot = from.take();
        let next_ticket = from.u64();
        let (kind, slots) = (from.u32(), from.u32());
        let shape = match kind {
            0 => Shape::Modes,
            1 => Shape::Slots(slots),
            2 => Shape::Pool,
            _ => return None,
        };
        let (idle, used_until) = (from.u64(), from.u64());
        let (sequence, set_aside) = (from.u64(), from.u64());
        let counts = Counts {
            granted: from.u64(),
            refused: from.u64(),
            waited: from.u64(),
            longest_wait: from.u64(),
            held: from.u64(),
            longest_hold: from.u64(),
            ended: from.u64(),
        };
        let counted = [next_ticket, counts.granted, counts.refused, counts.ended];
        if counted.iter().any(|number| *number > HIGHEST) {
            return None;
        }
        let (places, _) = bytes[HEADER..].as_chunks::<ENTRY>();
        // Room for all at once, and for one who comes.
        let room = only.map_or(places.len(), |_| 0);
        let mut entries = Vec::with_capacity(room + 1);
        let mut are_possible = true;
        let read = |place| Entry::read(place, &mut are_possible);
        match only.map(u64::to_le_bytes) {
            None => entries.extend(places.iter().map(read)),
            Some(ticket) => {
                let his = places.iter().filter(|place| place.starts_with(&ticket));
                entries.extend(his.map(read));
            }
        }
        are_possible.then_some(Self {
            boot,
            next_ticket,
            shape,
            idle,
            used_until,
            sequence,
            set_aside,
            counts,
            entries,
        })
    }
}

const TURNS: [Turn; 3] = [Turn::InOrder, Turn::NewestFirst, Turn::FirstFit];

fn number<T: PartialEq>(all: &[T], value: &T) -> u8 {
    let at = all.iter().position(|known| known == value);
    u8::try_from(at.unwrap_or(0)).unwrap_or(0)
}

impl Entry {
    fn write(&self, place: &mut [u8; ENTRY]) {
        let mut to = Writer(place);
        to.u64(self.ticket);
        to.u32(self.take);
        to.i32(self.priority);
        to.u32(self.slot);
        to.u32(self.version);
        to.u8(number(&Mode::ALL, &self.mode));
        to.u8(number(&TURNS, &self.turn));
        let flags = [
            self.standing == Standing::Holding,
            self.has_text,
            self.has_above,
            self.sleeps,
            self.dismissed,
            self.reserved,
            self.is_plain,
            self.is_own_work,
        ];
        to.u8(flags
            .into_iter()
            .enumerate()
            .fold(0, |all, (at, flag)| all | (u8::from(flag) << at)));
        to.u8(0);
        to.u32(self.uid);
        for who in [self.owner, self.guardian, self.work] {
            to.i32(who.pid);
            to.u64(who.start);
        }
        for number in [
            self.namespace,
            self.asked_at,
            self.held_since,
            self.until,
            self.token,
        ] {
            to.u64(number);
        }
    }

    /// Put to its place at once: to hand it on as one that may be none takes as long again.
    fn read(place: &[u8; ENTRY], is_possible: &mut bool) -> Self {
        let mut from = Reader(place);
        let ticket = from.u64();
        let (take, priority) = (from.u32(), from.i32());
        let (slot, version) = (from.u32(), from.u32());
        let mode = Mode::ALL.get(usize::from(from.u8())).copied();
        let turn = TURNS.get(usize::from(from.u8())).copied();
        *is_possible &= ticket <= HIGHEST && mode.is_some() && turn.is_some();
        let flags = from.u8();
        let flag = |at: u8| flags & (1 << at) != 0;
        from.u8();
        let uid = from.u32();
        let mut who = || Who {
            pid: from.i32(),
            start: from.u64(),
        };
        let (owner, guardian, work) = (who(), who(), who());
        Self {
            ticket,
            standing: if flag(0) {
                Standing::Holding
            } else {
                Standing::Waiting
            },
            mode: mode.unwrap_or(Mode::EX),
            turn: turn.unwrap_or_default(),
            take,
            priority,
            slot,
            version,
            has_text: flag(1),
            has_above: flag(2),
            sleeps: flag(3),
            dismissed: flag(4),
            reserved: flag(5),
            is_plain: flag(6),
            is_own_work: flag(7),
            uid,
            owner,
            guardian,
            work,
            namespace: from.u64(),
            asked_at: from.u64(),
            held_since: from.u64(),
            until: from.u64(),
            token: from.u64(),
        }
    }
}

/// 64 bits: against torn writes, not against people, who may write the file anyway. Four rows of
/// eight bytes at a time, none of which waits for another: in a long queue this is most of a turn.
pub(crate) fn checksum(generation: u64, bytes: &[u8]) -> u64 {
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
    const ROWS: usize = 4;
    let mix = |hash: u64, word: u64| {
        let mixed = (hash ^ word).wrapping_mul(MULTIPLIER);
        mixed ^ (mixed >> 29)
    };
    let seed = mix(generation, bytes.len() as u64);
    let mut rows: [u64; ROWS] = std::array::from_fn(|row| seed.wrapping_add(row as u64));
    let mut add = |block: &[u8; 8 * ROWS]| {
        for (row, word) in rows.iter_mut().zip(block.as_chunks().0) {
            *row = mix(*row, u64::from_le_bytes(*word));
        }
    };
    let (blocks, rest) = bytes.as_chunks();
    blocks.iter().for_each(&mut add);
    let mut last = [0; 8 * ROWS];
    last[..rest.len()].copy_from_slice(rest);
    add(&last);
    rows.into_iter().fold(seed, mix)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes_of(image: &Image, generation: u64) -> Vec<u8> {
        let mut bytes = vec![7; 3];
        image.write(generation, &mut bytes);
        bytes
    }

    prop_compose! {
        fn any_entry()(
            numbers in prop::array::uniform9(0..=HIGHEST),
            small in prop::array::uniform4(any::<u32>()),
            signed in prop::array::uniform4(any::<i32>()),
            mode in 0..6usize,
            turn in 0..3usize,
            flags in prop::array::uniform8(any::<bool>()),
        ) -> Entry {
            let who = |at: usize| Who { pid: signed[at], start: numbers[at] };
            Entry {
                ticket: numbers[3],
                standing: if flags[0] { Standing::Holding } else { Standing::Waiting },
                mode: Mode::ALL[mode],
                turn: TURNS[turn],
                take: small[0],
                priority: signed[3],
                slot: small[1],
                version: small[2],
                has_text: flags[1],
                has_above: flags[2],
                sleeps: flags[3],
                dismissed: flags[4],
                reserved: flags[5],
                is_plain: flags[6],
                is_own_work: flags[7],
                uid: small[3],
                owner: who(0),
                guardian: who(1),
                work: who(2),
                namespace: numbers[4],
                asked_at: numbers[5],
                held_since: numbers[6],
                until: numbers[7],
                token: numbers[8],
            }
        }
    }

    #[test]
    fn what_cannot_be_counted_on_from_is_not_read() {
        let empty = Image::empty([0; 16], Shape::Modes, 1);
        let is_read = |image: &Image, generation| {
            let bytes = bytes_of(image, generation);
            Head::read(&bytes).is_some_and(|head| Image::read(&head, &bytes, None).is_some())
        };
        assert!(is_read(&empty, 1) && !is_read(&empty, u64::MAX));
        for set in [
            |image: &mut Image| image.next_ticket = u64::MAX,
            |image: &mut Image| image.counts.granted = u64::MAX,
            |image: &mut Image| image.counts.refused = u64::MAX,
            |image: &mut Image| image.counts.ended = u64::MAX,
        ] {
            let mut image = empty.clone();
            set(&mut image);
            assert!(!is_read(&image, 1), "{image:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            entries in prop::collection::vec(any_entry(), 0..5),
            boot in any::<[u8; 16]>(),
            numbers in prop::array::uniform10(0..=HIGHEST),
            shape in prop::sample::select(vec![Shape::Modes, Shape::Slots(7), Shape::Pool]),
            harm in any::<prop::sample::Index>(),
        ) {
            let image = Image {
                boot,
                next_ticket: numbers[0],
                shape,
                idle: numbers[1],
                used_until: numbers[2],
                sequence: numbers[1],
                set_aside: numbers[2],
                counts: Counts {
                    granted: numbers[3],
                    refused: numbers[4],
                    waited: numbers[5],
                    longest_wait: numbers[6],
                    held: numbers[7],
                    longest_hold: numbers[8],
                    ended: numbers[9],
                },
                entries,
            };
            let mut bytes = bytes_of(&image, numbers[0]);
            let head = Head::read(&bytes).expect("a head");
            prop_assert_eq!(head.length, bytes.len());
            prop_assert_eq!(head.generation, numbers[0]);
            prop_assert_eq!(Image::read(&head, &bytes, None), Some(image));
            prop_assert_eq!(Image::read(&head, &bytes[..bytes.len() - 1], None), None);
            let at = harm.index(bytes.len());
            bytes[at] ^= 0x40;
            let read = Head::read(&bytes).and_then(|head| Image::read(&head, &bytes, None));
            prop_assert_eq!(read, None);
        }
    }
}
