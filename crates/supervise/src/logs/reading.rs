//! Reading logs for clients: by offset, and the end of them. Rules and faults are those of
//! Supervisor's readProcessStdoutLog and tailProcessStdoutLog.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use thiserror::Error;

use crate::api::{Fault, FaultCode, Tail};

/// What is read at once at most, in bytes.
pub const MOST_READ: u64 = 16 << 20;

/// Why a log was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReadError {
    /// There is no such file.
    #[error("there is no such log")]
    NoFile,
    /// A negative length, or one with a negative offset.
    #[error("a log cannot be read so")]
    BadArguments,
    /// It cannot be read; or is nothing that can be read again, as a pipe or a terminal.
    #[error("the log cannot be read")]
    Failed,
}

impl ReadError {
    /// As clients are told; `path` follows where there is no file.
    #[must_use]
    pub fn fault(self, path: &Path) -> Fault {
        match self {
            Self::NoFile => Fault::about(FaultCode::NoFile, path.to_string_lossy()),
            Self::BadArguments => Fault::plain(FaultCode::BadArguments),
            Self::Failed => Fault::plain(FaultCode::Failed),
        }
    }
}

/// Reads of a log: with `offset` < 0 (and `length` 0) its last bytes, with `length` 0 all from
/// `offset` on, else `length` bytes from there. Never more than [`MOST_READ`], of the last bytes the
/// very last. Beyond the end there is nothing.
///
/// # Errors
/// As [`ReadError`].
pub fn read(path: &Path, offset: i64, length: i64) -> Result<Vec<u8>, ReadError> {
    if fs::metadata(path).is_err() {
        return Err(ReadError::NoFile);
    }
    let (mut file, size) = open(path).map_err(|_| ReadError::Failed)?;
    if length < 0 || (offset < 0 && length != 0) {
        return Err(ReadError::BadArguments);
    }
    let (from, length) = if offset < 0 {
        let length = offset.unsigned_abs().min(MOST_READ);
        (size.saturating_sub(length), length)
    } else {
        let all = if length == 0 { i64::MAX } else { length };
        (offset.unsigned_abs(), all.unsigned_abs().min(MOST_READ))
    };
    slice(&mut file, from.min(size), length).map_err(|_| ReadError::Failed)
}

/// The end of a log, `length` bytes of it at most (and at most [`MOST_READ`]), for who has it up to
/// `offset`. `overflow`: it has grown by more than that. No log is an empty one.
#[must_use]
pub fn tail(path: &Path, offset: i64, length: i64) -> Tail {
    let none = |offset| Tail {
        data: Vec::new(),
        offset,
        overflow: false,
    };
    if fs::metadata(path).is_err() {
        return none(0);
    }
    let Ok((mut file, size)) = open(path) else {
        return none(offset);
    };
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    let length = length.min(i64::try_from(MOST_READ).unwrap_or(i64::MAX));
    let (mut from, mut take) = (offset, length);
    let overflow = size > from.saturating_add(take);
    if overflow {
        from = size - 1;
    }
    if from.saturating_add(take) > size {
        if from > size - 1 {
            take = 0;
        }
        from = size - take;
    }
    let data = match u64::try_from(take) {
        Ok(take) if take > 0 => slice(&mut file, from.max(0).unsigned_abs(), take),
        Ok(_) | Err(_) => Ok(Vec::new()),
    };
    match data {
        Ok(data) => Tail {
            data,
            offset: size,
            overflow,
        },
        Err(_) => none(offset),
    }
}

/// Never waits for the other end of a FIFO.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = File::options()
        .read(true)
        .custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed())
        .open(path)?;
    let stat = file.metadata()?;
    if !stat.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok((file, stat.len()))
}

fn slice(file: &mut File, from: u64, length: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(from))?;
    let mut data = Vec::new();
    file.take(length).read_to_end(&mut data)?;
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(&file, text).expect("written");
        file
    }

    #[test]
    fn slices_are_as_the_original_has_them() {
        let file = log("0123456789");
        for (offset, length, result) in [
            (0, 0, Ok("0123456789")),
            (4, 0, Ok("456789")),
            (4, 2, Ok("45")),
            (8, 100, Ok("89")),
            (10, 0, Ok("")),
            (1000, 5, Ok("")),
            (-3, 0, Ok("789")),
            (-100, 0, Ok("0123456789")),
            (i64::MIN, 0, Ok("0123456789")),
            (i64::MAX, i64::MAX, Ok("")),
            (-3, 1, Err(ReadError::BadArguments)),
            (0, -1, Err(ReadError::BadArguments)),
            (-1, -1, Err(ReadError::BadArguments)),
        ] {
            let result = result.map(|text: &str| text.as_bytes().to_vec());
            assert_eq!(
                read(file.path(), offset, length),
                result,
                "{offset} {length}"
            );
        }
        assert_eq!(read(Path::new("/nowhere/x"), 0, -1), Err(ReadError::NoFile));
        assert_eq!(read(Path::new("/"), 0, -1), Err(ReadError::Failed));
        assert_eq!(read(Path::new("/dev/null"), 0, 0), Err(ReadError::Failed));
    }

    #[test]
    fn tails_are_as_the_original_has_them() {
        let file = log("0123456789");
        // Observed with the original's function.
        for (offset, length, data, overflow) in [
            (0, 0, "", true),
            (0, 5, "56789", true),
            (0, 10, "0123456789", false),
            (0, 100, "0123456789", false),
            (4, 6, "456789", false),
            (4, 3, "789", true),
            (8, 1, "9", true),
            (8, 100, "0123456789", false),
            (10, 5, "", false),
            (100, 5, "", false),
            (-5, 3, "789", true),
            (3, -1, "", true),
            (i64::MIN, i64::MIN, "", true),
            (i64::MAX, i64::MAX, "", false),
        ] {
            let tail = tail(file.path(), offset, length);
            let data = data.as_bytes().to_vec();
            let expected = Tail {
                data,
                offset: 10,
                overflow,
            };
            assert_eq!(tail, expected, "{offset} {length}");
        }
        assert_eq!(tail(Path::new("/nowhere/x"), 7, 7).offset, 0);
        assert_eq!(tail(Path::new("/"), 7, 7).offset, 7);
        let empty = log("");
        assert_eq!(tail(empty.path(), 0, 5).data, b"");
    }

    #[test]
    fn no_more_is_read_than_there_may_be() {
        let file = log("");
        file.as_file().set_len(MOST_READ + 10).expect("grown");
        let most = usize::try_from(MOST_READ).expect("small");
        for (offset, length) in [(0, 0), (-i64::MAX, 0), (0, i64::MAX)] {
            assert_eq!(read(file.path(), offset, length).expect("read").len(), most);
        }
        assert_eq!(tail(file.path(), 0, i64::MAX).data.len(), most);
    }
}
