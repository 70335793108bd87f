//! The named pipes of the runtime directory: `SLOT.GENERATION.in`, `.out` and `.err`.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use ward_sys::fifo;

use super::roster::Slot;
use crate::api::Stream;

/// Which pipe of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Its input.
    In,
    /// One of its outputs.
    Out(Stream),
}

/// The name of a pipe.
pub(super) fn name(slot: Slot, generation: u32, end: End) -> CString {
    let end = match end {
        End::In => "in",
        End::Out(Stream::Stdout) => "out",
        End::Out(Stream::Stderr) => "err",
    };
    CString::new(format!("{}.{generation}.{end}", slot.index())).unwrap_or_default()
}

/// Whose pipe has this name; none for another file.
pub(super) fn parse(file: &CStr) -> Option<(Slot, u32, End)> {
    let text = file.to_str().ok()?;
    let mut parts = text.split('.');
    let slot = Slot::new(parts.next()?.parse().ok()?)?;
    let generation = parts.next()?.parse().ok()?;
    let end = match parts.next()? {
        "in" => End::In,
        "out" => End::Out(Stream::Stdout),
        "err" => End::Out(Stream::Stderr),
        _ => return None,
    };
    // Only as we write them.
    (name(slot, generation, end).as_c_str() == file).then_some((slot, generation, end))
}

/// All that are there.
///
/// # Errors
/// As getdents(2).
pub(super) fn all(directory: BorrowedFd<'_>) -> io::Result<Vec<(Slot, u32, End)>> {
    let names = fifo::names_in(directory)?;
    Ok(names.iter().filter_map(|file| parse(file)).collect())
}

/// Opens one of the outputs for reading, without ever waiting. It may have ended long ago.
///
/// # Errors
/// As open(2).
pub(super) fn reader(
    directory: BorrowedFd<'_>,
    slot: Slot,
    generation: u32,
    stream: Stream,
) -> io::Result<OwnedFd> {
    fifo::late_reader(directory, &name(slot, generation, End::Out(stream)))
}

/// Removes one.
pub(super) fn remove(directory: BorrowedFd<'_>, slot: Slot, generation: u32, end: End) {
    fifo::remove(directory, &name(slot, generation, end));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let slot = Slot::new(12).expect("a slot");
        for end in [End::In, End::Out(Stream::Stdout), End::Out(Stream::Stderr)] {
            let name = name(slot, 34, end);
            assert_eq!(parse(&name), Some((slot, 34, end)));
        }
        for other in [
            c"roster",
            c"",
            c"..",
            c"1.2",
            c"1.2.3",
            c"01.2.in",
            c"1.2.in.x",
            c"65536.1.in",
            c"1.4294967296.out",
            c"+1.2.out",
            c"-1.2.out",
        ] {
            assert_eq!(parse(other), None, "{other:?}");
        }
    }
}
