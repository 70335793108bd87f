//! Following a log for as long as somebody reads: what is there, then what comes, through rotations.
//!
//! The kernel tells when there is more; who does not read holds up nothing but himself: the log is the buffer.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use hyper::body::Bytes;
use rustix::fs::OFlags;
use rustix::fs::inotify::WatchFlags;
use tokio::sync::mpsc::Sender;

use crate::watch::{Watch, Watches};

/// How much of what is there already is shown.
const BEFORE: u64 = 1024;

/// How much is read at once.
const PIECE: usize = 16 << 10;

/// How long until one looks again where the kernel does not tell.
const BLIND: Duration = Duration::from_secs(1);

/// What is said where a log became shorter.
const TRUNCATED: &[u8] = b"==> File truncated <==\n";

/// A log that is followed.
pub(crate) struct Followed {
    path: PathBuf,
    file: File,
    at: u64,
    watches: Rc<Watches>,
    growth: Watch,
    successor: Watch,
}

impl Followed {
    /// Opens it, 1,024 bytes before its end. Only regular files can be followed: reading from anything
    /// else would take what others wait for.
    pub(crate) fn open(path: &Path, watches: &Rc<Watches>) -> io::Result<Self> {
        let successor = watches.add(
            path.parent()
                .filter(|parent| !parent.as_os_str().is_empty())
                .unwrap_or(Path::new(".")),
            path.file_name(),
            WatchFlags::CREATE | WatchFlags::MOVED_TO,
        );
        let file = regular(path)?;
        let at = file.metadata()?.len().saturating_sub(BEFORE);
        Ok(Self {
            path: path.to_owned(),
            growth: growth(&file, path, watches),
            file,
            at,
            watches: Rc::clone(watches),
            successor,
        })
    }

    /// When it was written to last.
    pub(crate) fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// Gives everything to `reader` until that does not listen any more.
    pub(crate) async fn run(mut self, reader: Sender<Bytes>) {
        loop {
            match self.next() {
                Ok(Some(piece)) => {
                    if reader.send(piece).await.is_err() {
                        return;
                    }
                }
                Ok(None) => tokio::select! {
                    () = self.growth.changed(BLIND) => {}
                    () = self.successor.changed(BLIND) => {}
                    () = reader.closed() => return,
                },
                // As at a connection that broke: the client sees that there is no more.
                Err(_) => return,
            }
        }
    }

    /// What can be had now.
    fn next(&mut self) -> io::Result<Option<Bytes>> {
        if let Some(piece) = self.read()? {
            return Ok(Some(piece));
        }
        let Some(file) = self.replaced() else {
            return Ok(None);
        };
        // Whoever moved it had written the last of it before.
        if let Some(piece) = self.read()? {
            return Ok(Some(piece));
        }
        self.growth = growth(&file, &self.path, &self.watches);
        self.file = file;
        self.at = 0;
        self.read()
    }

    fn read(&mut self) -> io::Result<Option<Bytes>> {
        if self.file.metadata()?.len() < self.at {
            self.at = 0;
            return Ok(Some(Bytes::from_static(TRUNCATED)));
        }
        let mut piece = vec![0; PIECE];
        let read = self.file.read_at(&mut piece, self.at)?;
        if read == 0 {
            return Ok(None);
        }
        piece.truncate(read);
        self.at += read as u64;
        Ok(Some(Bytes::from(piece)))
    }

    /// Another file under the same name.
    fn replaced(&self) -> Option<File> {
        let named = std::fs::metadata(&self.path).ok()?;
        let followed = self.file.metadata().ok()?;
        if (named.dev(), named.ino()) == (followed.dev(), followed.ino()) {
            return None;
        }
        regular(&self.path).ok()
    }
}

/// Opens a regular file; anything else is not found, and not waited for.
fn regular(path: &Path) -> io::Result<File> {
    // Opening alone is heard by who is at the other end of some things.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// Waits for this file to change, whatever it is called by now.
fn growth(file: &File, path: &Path, watches: &Rc<Watches>) -> Watch {
    let flags = WatchFlags::MODIFY | WatchFlags::ATTRIB | WatchFlags::MOVE_SELF;
    let open = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    if open.exists() {
        watches.add(&open, None, flags)
    } else {
        watches.add(path, None, flags)
    }
}
