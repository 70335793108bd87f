//! Files that are sent: found below a directory and never outside it, read piece by piece.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use hyper::body::Bytes;
use rustix::fs::{CWD, Mode, OFlags, openat};
use tokio::sync::mpsc;

use crate::http::Body;

/// How much is read at once.
const PIECE: usize = 64 << 10;

/// What is sent whole.
const SMALL: u64 = 256 << 10;

/// How ends of lines are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// As they are.
    AsIs,
    /// As CR LF, as Jenkins' progressive log has them.
    CrLf,
}

/// Opens what is below a directory. No symbolic link is followed on the way: what was kept of a build holds
/// none, and one that came there later leads nowhere.
///
/// # Errors
/// There is none, it is no regular file and no directory, or the way leads out.
pub(crate) fn below(directory: &Path, parts: &[&str]) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let mut at: OwnedFd = openat(CWD, directory, flags | OFlags::DIRECTORY, Mode::empty())?;
    for part in parts {
        if matches!(*part, "" | "." | "..") || part.contains(['/', '\0']) {
            return Err(io::ErrorKind::NotFound.into());
        }
        at = openat(&at, *part, flags | OFlags::NOFOLLOW, Mode::empty())?;
    }
    let file = File::from(at);
    let metadata = file.metadata()?;
    if metadata.is_file() || metadata.is_dir() {
        Ok(file)
    } else {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// Sends the bytes of a file from `from` to before `to`; fewer if it became shorter, and the client sees
/// that.
pub(crate) fn send(file: File, from: u64, to: u64, line: Line) -> Body {
    let length = to.saturating_sub(from);
    let mut reading = Reading {
        file,
        at: from,
        to,
        line,
        was_return: false,
    };
    if length <= SMALL {
        let mut whole = Vec::new();
        while let Some(piece) = reading.next() {
            whole.extend_from_slice(&piece);
        }
        return Body::whole(whole);
    }
    let (pieces, received) = mpsc::channel(1);
    tokio::task::spawn_local(async move {
        while let Some(piece) = reading.next() {
            if pieces.send(piece).await.is_err() {
                return;
            }
        }
    });
    match line {
        Line::AsIs => Body::sized(received, length),
        Line::CrLf => Body::pieces(received),
    }
}

struct Reading {
    file: File,
    at: u64,
    to: u64,
    line: Line,
    /// The last byte was a CR.
    was_return: bool,
}

impl Reading {
    fn next(&mut self) -> Option<Bytes> {
        let left = usize::try_from(self.to.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let mut piece = vec![0; PIECE.min(left)];
        // What cannot be read ends it, as a connection that broke.
        let read = self.file.read_at(&mut piece, self.at).ok()?;
        if read == 0 {
            return None;
        }
        piece.truncate(read);
        self.at += read as u64;
        Some(Bytes::from(match self.line {
            Line::AsIs => piece,
            Line::CrLf => self.normalized(&piece),
        }))
    }

    fn normalized(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(piece.len() + piece.len() / 16);
        for byte in piece {
            if *byte == b'\n' && !self.was_return {
                out.push(b'\r');
            }
            out.push(*byte);
            self.was_return = *byte == b'\r';
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::{Line, Reading, below};
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_outside_is_opened() {
        let home = tempfile::tempdir().expect("a directory");
        let kept = home.path().join("artifacts");
        fs::create_dir_all(kept.join("a/b")).expect("made");
        fs::write(home.path().join("secret"), "s").expect("written");
        fs::write(kept.join("a/b/file"), "f").expect("written");
        symlink("../secret", kept.join("link")).expect("linked");
        symlink("..", kept.join("up")).expect("linked");
        assert!(below(&kept, &["a", "b", "file"]).is_ok());
        assert!(below(&kept, &["a"]).is_ok() && below(&kept, &[]).is_ok());
        for parts in [
            &["..", "secret"][..],
            &["../secret"],
            &["a", "..", "..", "secret"],
            &["link"],
            &["up", "secret"],
            &["/etc/passwd"],
            &["", "etc"],
            &["a", "."],
            &["none"],
            &["a\0"],
        ] {
            assert!(below(&kept, parts).is_err(), "{parts:?}");
        }
    }

    #[test]
    fn lines_end_as_they_should_over_any_boundary() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), "a\nb\r\n\nc\r").expect("written");
        let mut reading = Reading {
            file: File::open(file.path()).expect("open"),
            at: 0,
            to: 8,
            line: Line::CrLf,
            was_return: false,
        };
        assert_eq!(
            reading.next().expect("a piece").as_ref(),
            b"a\r\nb\r\n\r\nc\r"
        );
        assert!(reading.next().is_none());
        assert_eq!(reading.normalized(b"\nx"), b"\nx");
    }
}
