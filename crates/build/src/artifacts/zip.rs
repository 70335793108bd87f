//! A directory of artifacts as one zip file, made while it is read: nothing is kept in memory or on disk.
//!
//! Files are stored as they are (method 0): most artifacts are compressed already, and who reads may ask for
//! bytes faster than anybody compresses. Sizes and checksums stand before the bytes, which every reader
//! understands; for that each file is read twice. Format: PKWARE's APPNOTE 6.3, ZIP64 where it is needed.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::crc::Crc;
use super::serve::{self, Listed, NotServed, Served};

/// So much is read at a time, bytes.
const PIECE: usize = 128 << 10;
/// What does not fit into a field of 32 bits is in an additional one.
const WIDE: u32 = u32::MAX;
/// Names are UTF-8.
const FLAGS: u16 = 1 << 11;
/// A regular file of Unix, for everybody to read; the upper half of external attributes.
const MODE: u32 = 0o100_644 << 16;

/// A zip file that is being read. Its length is not known before its end.
pub struct Zip {
    directory: PathBuf,
    prefix: String,
    waiting: VecDeque<(String, Listed)>,
    entries: Vec<Entry>,
    /// What comes next, and how much of it was read.
    buffer: Vec<u8>,
    at: usize,
    /// The file whose bytes come after the buffer, and how many.
    current: Option<(File, u64)>,
    offset: u64,
    is_done: bool,
}

struct Entry {
    name: String,
    size: u64,
    crc: u32,
    /// Time and date as MS-DOS has them.
    when: (u16, u16),
    offset: u64,
}

impl Zip {
    /// All files below `below`, a path below `directory`, by their paths there with `prefix` in front
    /// (Jenkins: `archive/`, or the directory's name with a slash).
    ///
    /// # Errors
    /// [`NotServed`].
    pub fn new(directory: &Path, below: &str, prefix: &str) -> Result<Self, NotServed> {
        let below = below.trim_matches('/');
        let files = serve::list(directory, below)?;
        let whole = |listed: Listed| {
            let path = if below.is_empty() {
                listed.path.clone()
            } else {
                format!("{below}/{}", listed.path)
            };
            (path, listed)
        };
        Ok(Self {
            directory: directory.to_owned(),
            prefix: prefix.to_owned(),
            waiting: files.into_iter().map(whole).collect(),
            entries: Vec::new(),
            buffer: Vec::new(),
            at: 0,
            current: None,
            offset: 0,
            is_done: false,
        })
    }

    /// Begins with the next file, or writes the end.
    fn go_on(&mut self) -> io::Result<()> {
        self.buffer.clear();
        self.at = 0;
        let Some((path, listed)) = self.waiting.pop_front() else {
            self.write_end();
            self.is_done = true;
            return Ok(());
        };
        // It may have been removed since: the build was deleted.
        let Ok(Served::File(mut file, size)) = serve::open(&self.directory, &path) else {
            return Err(io::Error::other("an artifact was removed meanwhile"));
        };
        let crc = checksum(&mut file, size)?;
        file.rewind()?;
        let entry = Entry {
            name: format!("{}{}", self.prefix, listed.path),
            size,
            crc,
            when: dos_time(listed.modified),
            offset: self.offset,
        };
        write_header(&mut self.buffer, &entry)?;
        self.entries.push(entry);
        self.current = (size > 0).then_some((file, size));
        Ok(())
    }

    fn write_end(&mut self) {
        let begin = self.offset;
        for entry in &self.entries {
            write_directory_entry(&mut self.buffer, entry);
        }
        let size = self.buffer.len() as u64;
        let count = self.entries.len() as u64;
        write_end(&mut self.buffer, begin, size, count);
    }
}

impl Read for Zip {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            let mut waiting = self.buffer.get(self.at..).unwrap_or_default();
            if !waiting.is_empty() {
                let count = waiting.read(out)?;
                self.at += count;
                self.offset += count as u64;
                return Ok(count);
            }
            if let Some((file, left)) = &mut self.current {
                let room = usize::try_from(*left).unwrap_or(usize::MAX).min(out.len());
                let count = file.read(out.get_mut(..room).unwrap_or_default())?;
                if count == 0 {
                    return Err(io::Error::other("an artifact became shorter meanwhile"));
                }
                *left -= count as u64;
                self.offset += count as u64;
                if *left == 0 {
                    self.current = None;
                }
                return Ok(count);
            }
            if self.is_done {
                return Ok(0);
            }
            self.go_on()?;
        }
    }
}

fn checksum(file: &mut File, size: u64) -> io::Result<u32> {
    let mut crc = Crc::new();
    let mut piece = vec![0; PIECE];
    let mut left = size;
    while left > 0 {
        let room = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE);
        let count = file.read(piece.get_mut(..room).unwrap_or_default())?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        crc.update(piece.get(..count).unwrap_or_default());
        left -= count as u64;
    }
    Ok(crc.finish())
}

fn put16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(WIDE)
}

/// What both headers of a file have: version to flags, method, time, checksum, sizes, length of the name.
fn put_common(out: &mut Vec<u8>, entry: &Entry, is_wide: bool) {
    put16(out, if is_wide { 45 } else { 20 });
    put16(out, FLAGS);
    put16(out, 0);
    put16(out, entry.when.0);
    put16(out, entry.when.1);
    put32(out, entry.crc);
    let size = narrow(entry.size);
    put32(out, size);
    put32(out, size);
    put16(out, u16::try_from(entry.name.len()).unwrap_or(u16::MAX));
}

fn write_header(out: &mut Vec<u8>, entry: &Entry) -> io::Result<()> {
    if u16::try_from(entry.name.len()).is_err() {
        return Err(io::Error::other("a path is too long for a zip file"));
    }
    let is_wide = narrow(entry.size) == WIDE;
    put32(out, 0x0403_4b50);
    put_common(out, entry, is_wide);
    put16(out, if is_wide { 20 } else { 0 });
    out.extend_from_slice(entry.name.as_bytes());
    if is_wide {
        put16(out, 1);
        put16(out, 16);
        put64(out, entry.size);
        put64(out, entry.size);
    }
    Ok(())
}

fn write_directory_entry(out: &mut Vec<u8>, entry: &Entry) {
    let mut extra = Vec::new();
    if narrow(entry.size) == WIDE {
        put64(&mut extra, entry.size);
        put64(&mut extra, entry.size);
    }
    if narrow(entry.offset) == WIDE {
        put64(&mut extra, entry.offset);
    }
    put32(out, 0x0201_4b50);
    // Made on Unix, so that the mode counts.
    put16(out, 0x0300 | 45);
    put_common(out, entry, !extra.is_empty());
    let length = u16::try_from(extra.len()).unwrap_or_default();
    put16(out, if length == 0 { 0 } else { length + 4 });
    // No comment, on disk 0, no internal attributes.
    put16(out, 0);
    put16(out, 0);
    put16(out, 0);
    put32(out, MODE);
    put32(out, narrow(entry.offset));
    out.extend_from_slice(entry.name.as_bytes());
    if length > 0 {
        put16(out, 1);
        put16(out, length);
        out.extend_from_slice(&extra);
    }
}

fn write_end(out: &mut Vec<u8>, begin: u64, size: u64, count: u64) {
    let count16 = u16::try_from(count).unwrap_or(u16::MAX);
    if count16 == u16::MAX || narrow(begin) == WIDE || narrow(size) == WIDE {
        put32(out, 0x0606_4b50);
        put64(out, 44);
        put16(out, 0x0300 | 45);
        put16(out, 45);
        put32(out, 0);
        put32(out, 0);
        put64(out, count);
        put64(out, count);
        put64(out, size);
        put64(out, begin);
        // Where that record is.
        put32(out, 0x0706_4b50);
        put32(out, 0);
        put64(out, begin + size);
        put32(out, 1);
    }
    put32(out, 0x0605_4b50);
    put16(out, 0);
    put16(out, 0);
    put16(out, count16);
    put16(out, count16);
    put32(out, narrow(size));
    put32(out, narrow(begin));
    put16(out, 0);
}

/// Time and date of MS-DOS, in UTC, from 1980 to 2107.
fn dos_time(seconds: i64) -> (u16, u16) {
    let Ok(at) = Timestamp::from_second(seconds) else {
        return (0, 0x21);
    };
    let at = at.to_zoned(TimeZone::UTC).datetime();
    let Some(years) = u16::try_from(at.year() - 1980)
        .ok()
        .filter(|years| *years < 128)
    else {
        return (0, 0x21);
    };
    let part = |value: i8| u16::try_from(value).unwrap_or_default();
    (
        part(at.hour()) << 11 | part(at.minute()) << 5 | (part(at.second()) / 2),
        years << 9 | part(at.month()) << 5 | part(at.day()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_another_age() {
        // 2001-02-03 04:05:06 UTC.
        assert_eq!(
            dos_time(981_173_106),
            (4 << 11 | 5 << 5 | 3, 21 << 9 | 2 << 5 | 3)
        );
        assert_eq!(dos_time(0), (0, 0x21));
        assert_eq!(dos_time(i64::MAX), (0, 0x21));
    }

    /// A reader that knows no more than the format says: from the end to each file.
    fn far(bytes: &[u8], at: usize) -> u64 {
        u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
    }

    #[test]
    fn what_is_wide_has_wide_fields() {
        let entry = Entry {
            name: "big".to_owned(),
            size: 5 << 30,
            crc: 1,
            when: (0, 0x21),
            offset: 6 << 30,
        };
        let mut out = Vec::new();
        write_directory_entry(&mut out, &entry);
        // 46 bytes and the name, then kind and length of the field.
        let field = 46 + 3 + 4;
        assert_eq!(far(&out, field), 5 << 30);
        assert_eq!(far(&out, field + 16), 6 << 30);
        assert_eq!(out.len(), field + 24);
        let mut end = Vec::new();
        write_end(&mut end, 7 << 30, 60, 70_000);
        assert_eq!(far(&end, 24), 70_000);
        assert_eq!(far(&end, 48), 7 << 30);
        assert_eq!(far(&end, 56 + 8), (7 << 30) + 60);
    }
}
