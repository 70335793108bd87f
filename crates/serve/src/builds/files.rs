//! Files that are sent: found below a directory and never outside it, read piece by piece.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::SystemTime;

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{ACCEPT_RANGES, CONTENT_RANGE, ETAG, HeaderName, HeaderValue, LAST_MODIFIED};
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use tokio::sync::mpsc;
use ward_build::api::JobView;

use super::dress::says;
use super::range::{Marks, Part, wanted};
use super::visit::Asked;
use crate::http::{Body, Reply, of_type};

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

/// A directory below which there are files that others made.
pub(crate) struct Root(OwnedFd);

/// A descriptor that only names what is there: open(2), O_PATH.
const NAMED: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

impl Root {
    /// Names a directory of ours.
    ///
    /// # Errors
    /// As open(2).
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        let flags = NAMED | OFlags::DIRECTORY;
        Ok(Self(openat(CWD, directory, flags, Mode::empty())?))
    }

    /// Names a job's workspace. Where the server chose its place a build that put a link there leads nowhere.
    ///
    /// # Errors
    /// There is none, or as open(2).
    pub(crate) fn of_workspace(job: &JobView) -> io::Result<Self> {
        let place = job.workspace.as_deref().ok_or(io::ErrorKind::NotFound)?;
        let is_own = job.job.workspace.as_deref().is_none_or(str::is_empty);
        if !is_own {
            return Self::open(place);
        }
        let flags = NAMED | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        Ok(Self(openat(CWD, place, flags, Mode::empty())?))
    }

    /// Opens what is below it. No symbolic link is followed on the way: what was kept of a build holds none,
    /// and one that came there later leads nowhere. What is neither a regular file nor a directory is looked
    /// at and never opened: to open a pipe wakes who waits at its other end, and to open a device may do
    /// anything.
    ///
    /// # Errors
    /// There is none, it is no regular file and no directory, or the way leads out.
    pub(crate) fn at(&self, parts: &[&str]) -> io::Result<File> {
        let mut at = openat(&self.0, ".", NAMED | OFlags::DIRECTORY, Mode::empty())?;
        for part in parts {
            if matches!(*part, "" | "." | "..") || part.contains(['/', '\0']) {
                return Err(io::ErrorKind::NotFound.into());
            }
            at = openat(&at, *part, NAMED | OFlags::NOFOLLOW, Mode::empty())?;
        }
        opened(&at)
    }
}

/// Opens what is named, for reading.
fn opened(at: &OwnedFd) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let opened = match FileType::from_raw_mode(fstat(at)?.st_mode) {
        FileType::Directory => openat(at, ".", flags | OFlags::DIRECTORY, Mode::empty())?,
        // The same file, whatever its name stands for by now: proc(5), /proc/pid/fd.
        FileType::RegularFile => {
            let same = format!("/proc/self/fd/{}", at.as_raw_fd());
            openat(CWD, same, flags, Mode::empty())?
        }
        _ => return Err(io::ErrorKind::NotFound.into()),
    };
    Ok(File::from(opened))
}

/// A file that is sent, and what it is known by.
pub(crate) struct Sent<'a> {
    /// It.
    pub(crate) file: File,
    /// So many bytes of it, from its first on.
    pub(crate) length: u64,
    /// Its type.
    pub(crate) kind: &'static str,
    /// What no other content has, if that is known: a checksum.
    pub(crate) checksum: Option<&'a str>,
    /// When it was changed, if nobody changes it any more.
    pub(crate) modified: Option<SystemTime>,
}

/// Sends a file, or the range of it that is asked for: 200, 206 or 416 (RFC 9110, sections 14 and 15).
pub(crate) fn send_asked(asked: &Asked, sent: Sent<'_>) -> Reply {
    let tag = sent
        .checksum
        .filter(|sum| !sum.is_empty() && sum.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        .map(|sum| format!("\"{sum}\""));
    let marks = Marks {
        tag: tag.as_deref(),
        modified: sent.modified,
    };
    let length = sent.length;
    let part = wanted(
        &asked.method,
        &asked.headers,
        length,
        marks,
        SystemTime::now(),
    );
    let mut reply = match part {
        Part::Whole => of_type(sent.kind, send(sent.file, 0, length, Line::AsIs)),
        Part::Bytes(from, to) => {
            let mut reply = of_type(sent.kind, send(sent.file, from, to, Line::AsIs));
            *reply.status_mut() = StatusCode::PARTIAL_CONTENT;
            let last = to.saturating_sub(1);
            put(
                &mut reply,
                CONTENT_RANGE,
                &format!("bytes {from}-{last}/{length}"),
            );
            reply
        }
        Part::Beyond => {
            let mut reply = says(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "There is nothing there: it is shorter.",
            );
            put(&mut reply, CONTENT_RANGE, &format!("bytes */{length}"));
            reply
        }
    };
    reply
        .headers_mut()
        .insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(tag) = &tag {
        put(&mut reply, ETAG, tag);
    }
    if let Some(modified) = sent.modified {
        put(
            &mut reply,
            LAST_MODIFIED,
            &httpdate::fmt_http_date(modified),
        );
    }
    reply
}

fn put(reply: &mut Reply, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        reply.headers_mut().insert(name, value);
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
    use super::{Line, Reading, Root};
    use rustix::fs::{CWD, Mode, mkfifoat};
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
        mkfifoat(CWD, kept.join("pipe"), Mode::RUSR | Mode::WUSR).expect("a pipe");
        let root = Root::open(&kept).expect("a directory");
        assert!(root.at(&["a", "b", "file"]).is_ok());
        assert!(root.at(&["a"]).is_ok() && root.at(&[]).is_ok());
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
            &["pipe"],
            &["a", "b", "file", "x"],
        ] {
            assert!(root.at(parts).is_err(), "{parts:?}");
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
