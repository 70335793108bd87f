//! A directory as one archive: ZIP without compression, written while it is read.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use hyper::StatusCode;
use hyper::body::Bytes;
use rustix::fs::{Dir, FileType};
use tokio::sync::mpsc;

use super::artifacts::keep_apart;
use crate::builds::{Root, says};
use crate::http::{Body, Reply, of_type};

/// How much is read at once.
const PIECE: usize = 64 << 10;

/// Files of an archive.
const MAX_FILES: usize = 60_000;

/// Bytes of an archive: more needs a format that not everybody reads.
const MAX_BYTES: u64 = 0xF000_0000;

/// How deep directories may be.
const MAX_DEPTH: usize = 64;

/// Lengths of the parts of an archive that are always as long.
const LOCAL: u64 = 30;
const CENTRAL: u64 = 46;
const END: u64 = 22;

/// The directory and the name of an archive, where an address asks for one: `DIRECTORY/*zip*/NAME.zip`.
pub(super) fn wanted<'p, 'a>(parts: &'p [&'a str]) -> Option<(&'p [&'a str], &'a str)> {
    match parts {
        [directory @ .., "*zip*", name] if name.ends_with(".zip") => Some((directory, name)),
        _ => None,
    }
}

/// The archive of a directory below another one.
pub(super) async fn archive(root: Root, directory: &[&str], name: &str) -> Reply {
    let below_root: Vec<String> = directory.iter().map(|part| (*part).to_owned()).collect();
    // Looking through everything, and reading it twice, may take a while: not on the thread that serves.
    let listed = tokio::task::spawn_blocking(move || {
        let mut files = Vec::new();
        let mut names = below_root;
        let listed = collect(&root, &mut names, &mut files);
        listed.map(|()| (root, files))
    })
    .await;
    let Ok(Ok((root, files))) = listed else {
        return says(
            StatusCode::NOT_FOUND,
            "There is no such directory, or there is too much in it.",
        );
    };
    let skipped = directory.len();
    let entries: Vec<Entry> = files
        .into_iter()
        .map(|(parts, size)| Entry {
            name: parts.get(skipped..).unwrap_or_default().join("/"),
            parts,
            size,
            crc: 0,
            offset: 0,
        })
        .collect();
    let length: u64 = END
        + entries
            .iter()
            .map(|entry| LOCAL + CENTRAL + 2 * entry.name.len() as u64 + entry.size)
            .sum::<u64>();
    if length > MAX_BYTES {
        return says(
            StatusCode::PAYLOAD_TOO_LARGE,
            "That is too much for one archive.",
        );
    }
    let (pieces, received) = mpsc::channel(1);
    tokio::task::spawn_blocking(move || {
        // Who does not listen any more, or a file that became shorter, ends it: the client sees that.
        let _ = write(&root, entries, &pieces);
    });
    let mut reply = of_type("application/zip", Body::sized(received, length));
    keep_apart(&mut reply, name, false);
    reply
}

struct Entry {
    name: String,
    parts: Vec<String>,
    size: u64,
    crc: u32,
    offset: u32,
}

/// Regular files below a directory, by name.
fn collect(
    root: &Root,
    at: &mut Vec<String>,
    files: &mut Vec<(Vec<String>, u64)>,
) -> io::Result<()> {
    let open = |at: &[String]| {
        let parts: Vec<&str> = at.iter().map(String::as_str).collect();
        root.at(&parts)
    };
    if at.len() > MAX_DEPTH {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let directory = open(at)?;
    let mut names = Vec::new();
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        // A name that is no text has no address here either.
        let Ok(name) = entry.file_name().to_str() else {
            continue;
        };
        let is_known = matches!(
            entry.file_type(),
            FileType::RegularFile | FileType::Directory | FileType::Unknown
        );
        if name != "." && name != ".." && is_known {
            names.push(name.to_owned());
        }
        if names.len() + files.len() > MAX_FILES {
            return Err(io::ErrorKind::InvalidInput.into());
        }
    }
    names.sort();
    for name in names {
        at.push(name);
        if let Ok(file) = open(at) {
            let metadata = file.metadata()?;
            if metadata.is_dir() {
                collect(root, at, files)?;
            } else {
                files.push((at.clone(), metadata.len()));
            }
        }
        at.pop();
    }
    Ok(())
}

fn write(root: &Root, mut entries: Vec<Entry>, out: &mpsc::Sender<Bytes>) -> io::Result<()> {
    let say = |bytes: Vec<u8>| {
        let length = bytes.len() as u64;
        let sent = out.blocking_send(Bytes::from(bytes));
        sent.map(|()| length)
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    };
    let small = |number: u64| {
        u32::try_from(number).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
    };
    let mut at = 0;
    for entry in &mut entries {
        let parts: Vec<&str> = entry.parts.iter().map(String::as_str).collect();
        let file = root.at(&parts)?;
        let mut crc = Crc::new();
        each_piece(&file, entry.size, |piece| {
            crc.take(&piece);
            Ok(())
        })?;
        entry.crc = crc.value();
        entry.offset = small(at)?;
        let mut head = b"PK\x03\x04".to_vec();
        about(&mut head, entry, small(entry.size)?);
        head.extend_from_slice(&[0, 0]);
        head.extend_from_slice(entry.name.as_bytes());
        at += say(head)?;
        each_piece(&file, entry.size, |piece| {
            at += say(piece)?;
            Ok(())
        })?;
    }
    let begin = small(at)?;
    for entry in &entries {
        let mut head = b"PK\x01\x02".to_vec();
        // Made by 2.0 on Unix, with the mode of a plain file.
        head.extend_from_slice(&[20, 3]);
        about(&mut head, entry, small(entry.size)?);
        // No extra field, no comment, the first disk, no attributes of DOS.
        head.extend_from_slice(&[0; 8]);
        head.extend_from_slice(&(0o100_644_u32 << 16).to_le_bytes());
        head.extend_from_slice(&entry.offset.to_le_bytes());
        head.extend_from_slice(entry.name.as_bytes());
        at += say(head)?;
    }
    let count = u16::try_from(entries.len()).unwrap_or(u16::MAX);
    let mut end = b"PK\x05\x06\0\0\0\0".to_vec();
    end.extend_from_slice(&count.to_le_bytes());
    end.extend_from_slice(&count.to_le_bytes());
    end.extend_from_slice(&(small(at)? - begin).to_le_bytes());
    end.extend_from_slice(&begin.to_le_bytes());
    end.extend_from_slice(&[0, 0]);
    say(end).map(|_| ())
}

/// What both headers of a file say: needs 2.0, names in UTF-8, stored, the first day of 1980, checksum, both
/// sizes, and the length of the name.
fn about(head: &mut Vec<u8>, entry: &Entry, size: u32) {
    for short in [20_u16, 0x0800, 0, 0, 0x0021] {
        head.extend_from_slice(&short.to_le_bytes());
    }
    for long in [entry.crc, size, size] {
        head.extend_from_slice(&long.to_le_bytes());
    }
    let length = u16::try_from(entry.name.len()).unwrap_or(u16::MAX);
    head.extend_from_slice(&length.to_le_bytes());
}

/// Exactly `size` bytes of a file.
fn each_piece(
    file: &File,
    size: u64,
    mut take: impl FnMut(Vec<u8>) -> io::Result<()>,
) -> io::Result<()> {
    let mut at = 0;
    while at < size {
        let left = usize::try_from(size - at).unwrap_or(usize::MAX);
        let mut piece = vec![0; PIECE.min(left)];
        file.read_exact_at(&mut piece, at)?;
        at += piece.len() as u64;
        take(piece)?;
    }
    Ok(())
}

/// CRC-32 as ZIP has it (polynomial 0xEDB88320, reflected).
struct Crc {
    table: [u32; 256],
    state: u32,
}

impl Crc {
    fn new() -> Self {
        let mut table = [0; 256];
        for (entry, start) in table.iter_mut().zip(0_u32..) {
            *entry = (0..8).fold(start, |value, _| {
                let shifted = value >> 1;
                if value & 1 == 1 {
                    shifted ^ 0xEDB8_8320
                } else {
                    shifted
                }
            });
        }
        Self {
            table,
            state: u32::MAX,
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let at = (self.state ^ u32::from(*byte)) & 0xFF;
            let entry = self.table.get(at as usize).copied().unwrap_or(0);
            self.state = entry ^ (self.state >> 8);
        }
    }

    fn value(&self) -> u32 {
        !self.state
    }
}

#[cfg(test)]
mod tests {
    use super::Crc;

    #[test]
    fn the_checksum_is_the_known_one() {
        let mut crc = Crc::new();
        crc.take(b"1234");
        crc.take(b"56789");
        assert_eq!(crc.value(), 0xCBF4_3926);
    }
}
