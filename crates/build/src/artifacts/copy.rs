//! One file, whole or not at all, with its checksum.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use data_encoding::HEXLOWER;
use ring::digest::{Context, SHA256};

/// So much is copied between two looks for a stop, bytes.
const PIECE: usize = 256 << 10;

/// Why a file was not copied.
#[derive(Debug)]
pub(super) enum NotCopied {
    /// Somebody would not wait for it.
    Stopped,
    /// It has more bytes than there may be.
    TooMuch,
    Reading(io::Error),
    Writing(io::Error),
}

/// Copies `from` to `to`, by way of `part`, which is in the same file system. Gives how many bytes it has,
/// `limit` at most, and their SHA-256 in hexadecimal.
///
/// # Errors
/// [`NotCopied`]; nothing is at `to` then.
pub(super) fn copy(
    mut from: File,
    part: &Path,
    to: &Path,
    limit: u64,
    is_stopping: &mut dyn FnMut() -> bool,
) -> Result<(u64, String), NotCopied> {
    let about = from.metadata().map_err(NotCopied::Reading)?;
    let _ = fs::remove_file(part);
    let mut out = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(part)
        .map_err(NotCopied::Writing)?;
    // Where the file system can share what both have, nothing is written at all. What is read then is the
    // copy, which nobody else changes.
    let is_shared =
        about.len() > 0 && about.len() <= limit && rustix::fs::ioctl_ficlone(&out, &from).is_ok();
    let mut sum = Context::new(&SHA256);
    let result = if is_shared {
        out.rewind().map_err(NotCopied::Writing)?;
        pump(&mut out, None, limit, &mut sum, is_stopping)
    } else {
        pump(&mut from, Some(&mut out), limit, &mut sum, is_stopping)
    };
    let finished = result.and_then(|size| {
        let mode = if about.permissions().mode() & 0o111 == 0 {
            0o644
        } else {
            0o755
        };
        out.set_permissions(Permissions::from_mode(mode))
            .and_then(|()| fs::rename(part, to))
            .map_err(NotCopied::Writing)?;
        Ok(size)
    });
    match finished {
        Ok(size) => Ok((size, HEXLOWER.encode(sum.finish().as_ref()))),
        Err(error) => {
            let _ = fs::remove_file(part);
            Err(error)
        }
    }
}

fn pump(
    from: &mut File,
    mut to: Option<&mut File>,
    limit: u64,
    sum: &mut Context,
    is_stopping: &mut dyn FnMut() -> bool,
) -> Result<u64, NotCopied> {
    let mut piece = vec![0; PIECE];
    let mut size = 0_u64;
    loop {
        if is_stopping() {
            return Err(NotCopied::Stopped);
        }
        let count = match from.read(&mut piece) {
            Ok(0) => return Ok(size),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(NotCopied::Reading(error)),
        };
        size += count as u64;
        // A file that grows while it is read has an end nevertheless.
        if size > limit {
            return Err(NotCopied::TooMuch);
        }
        let bytes = piece.get(..count).unwrap_or_default();
        sum.update(bytes);
        if let Some(to) = &mut to {
            to.write_all(bytes).map_err(NotCopied::Writing)?;
        }
    }
}
