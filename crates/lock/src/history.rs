//! Who held a lock: the last of them, a line each, in places of one size in the lock's file. A line
//! is written to its place before the queue tells of it; what finds no room is not remembered.

use std::os::unix::fs::FileExt;

use crate::image::Counts;
use crate::record::Past;
use crate::store::{HISTORY, Store};

/// How many are kept.
pub(crate) const REMEMBERED: u64 = 128;

/// The room of one, bytes: a command line of 200, a reason and a build find room in it.
pub(crate) const ROOM: usize = 1024;

/// What is too long is cut to this, bytes; of a path, the beginning.
const CUT: usize = 80;
const CUT_NAME: usize = 240;

/// As a line that finds room.
pub(crate) fn line(mut past: Past) -> Option<Vec<u8>> {
    let fits = |past: &Past| serde_json::to_vec(past).ok().filter(|it| it.len() <= ROOM);
    if let Some(line) = fits(&past) {
        return Some(line);
    }
    let record = &mut past.record;
    // What he could have had says less than what he had.
    record.ask.among.clear();
    record.ask.path.clear();
    cut(&mut record.name, CUT_NAME);
    for text in [&mut record.why, &mut record.origin].into_iter().flatten() {
        cut(text, CUT);
    }
    cut(&mut record.command, CUT);
    while fits(&past).is_none() && past.record.has.pop().is_some() {}
    fits(&past)
}

fn cut(text: &mut String, longest: usize) {
    if text.len() > longest {
        let end = (0..=longest).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
}

/// Writes a line to the place of its number.
pub(crate) fn remember(store: &Store, number: u64, line: &[u8]) {
    // The lock is given back, whether it is remembered or not.
    let _ = store.file().write_all_at(line, place(number));
}

/// The lines, oldest first.
pub(crate) fn read(store: &Store, counts: &Counts) -> Vec<Past> {
    let first = counts.ended.saturating_sub(REMEMBERED);
    let read = |number| {
        let mut bytes = vec![0; ROOM];
        let read = store.file().read_at(&mut bytes, place(number)).ok()?;
        bytes.truncate(read);
        // An older line may have been longer.
        let mut lines = serde_json::Deserializer::from_slice(&bytes).into_iter::<Past>();
        lines.next()?.ok()
    };
    (first..counts.ended).filter_map(read).collect()
}

fn place(number: u64) -> u64 {
    HISTORY + number % REMEMBERED * ROOM as u64
}
