//! What passes from a keeper, or from a daemon whose keeper was killed, to the keeper that this very
//! process becomes: a list in a file in memory, and the descriptors that it names.

use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use ward_sys::handover;
use ward_sys::spawn::take_inherited;

use super::wire::{Message, PACKET};

/// One entry: what it is, and its number.
const ENTRY: usize = PACKET + 4;

/// A list that is being made.
#[derive(Debug)]
pub(super) struct List {
    bytes: Vec<u8>,
}

impl List {
    pub(super) fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// Passes one on. What cannot pass is left behind.
    pub(super) fn add(&mut self, what: &Message, fd: BorrowedFd<'_>) {
        if handover::pass_on(fd).is_err() {
            return;
        }
        self.bytes.extend_from_slice(&what.encode());
        self.bytes.extend_from_slice(&fd.as_raw_fd().to_ne_bytes());
    }

    /// The file with the list, which passes too.
    ///
    /// # Errors
    /// As memfd_create(2) and write(2).
    pub(super) fn file(&self) -> io::Result<OwnedFd> {
        let flags = rustix::fs::MemfdFlags::CLOEXEC;
        let fd = rustix::fs::memfd_create("ward-handing", flags)?;
        let mut file = std::fs::File::from(fd);
        file.write_all(&self.bytes)?;
        file.rewind()?;
        let fd = OwnedFd::from(file);
        handover::pass_on(&fd)?;
        Ok(fd)
    }
}

/// What was passed on, in the new program.
///
/// # Errors
/// As read(2).
pub(super) fn read(list: OwnedFd) -> io::Result<Vec<(Message, OwnedFd)>> {
    let mut bytes = Vec::new();
    std::fs::File::from(list).read_to_end(&mut bytes)?;
    let entries = bytes.chunks_exact(ENTRY).filter_map(|entry| {
        let (packet, number) = entry.split_at_checked(PACKET)?;
        let number = RawFd::from_ne_bytes(number.try_into().ok()?);
        // Taken even if it is not understood: nobody may inherit it from us.
        let fd = (number > 2).then(|| take_inherited(number)).flatten()?;
        Some((Message::decode(packet)?, fd))
    });
    Ok(entries.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keeper::wire::Key;
    use std::os::fd::{AsFd, IntoRawFd};

    #[test]
    fn what_is_listed_is_found() {
        let null = std::fs::File::open("/dev/null").expect("there");
        let key = Key::new(b"a").expect("a key");
        let mut list = List::new();
        list.add(&Message::Keep(key), null.as_fd());
        let number = null.into_raw_fd();
        let file = list.file().expect("a file");
        let found = read(file.try_clone().expect("a copy")).expect("read");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, Message::Keep(key));
        assert_eq!(found[0].1.as_raw_fd(), number);
        // Now it is our own again.
        let mut file = std::fs::File::from(file);
        file.rewind().expect("rewound");
        assert!(read(file.into()).expect("read").is_empty());
    }
}
