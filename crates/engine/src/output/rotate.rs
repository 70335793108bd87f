//! A log within bounds: when the current part is full it is put aside and a new one begun.
//!
//! The rename chain may be cut by a kill at any point: then a number is missing in it, and no part
//! is lost. Nobody but the writer may rotate; readers follow by inode.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FileType, FlockOperation, OFlags, SeekFrom};
use rustix::io::Errno;
use ward_model::spec::RotatedLog;

/// Mode of a part that is its user's affair, and of one whose readers the umask knows.
const PRIVATE: u32 = 0o600;
const USUAL: u32 = 0o666;

/// How long a log that is still locked by somebody who is just ending is waited for.
const LAST_MOMENT: Duration = Duration::from_millis(200);

/// How a log is kept within bounds. The descriptor itself is its owner's.
#[derive(Debug)]
pub(crate) struct Rotation {
    path: PathBuf,
    /// 0 is no limit.
    max: u64,
    keep: u32,
    mode: u32,
    size: u64,
    /// When the current part is full; beyond `max` where no new part could be had.
    full: u64,
}

impl Rotation {
    /// Opens the log at its end, and locks it: two writers would overwrite one another.
    ///
    /// # Errors
    /// As open(2); `ResourceBusy` if somebody else writes to it; `InvalidInput` for what is
    /// neither a file nor a device.
    pub(crate) fn open(log: &RotatedLog) -> io::Result<(OwnedFd, Self)> {
        let path = PathBuf::from(&log.path);
        let mode = if log.private { PRIVATE } else { USUAL };
        let (fd, size) = open(&path, mode)?;
        lock(&fd)?;
        let rotation = Self {
            path,
            max: log.max_bytes,
            keep: log.keep,
            mode,
            size,
            full: log.max_bytes,
        };
        Ok((fd, rotation))
    }

    /// How much the current part takes, at least one byte.
    pub(crate) fn room(&self) -> usize {
        if self.max == 0 {
            return usize::MAX;
        }
        usize::try_from(self.full.saturating_sub(self.size).max(1)).unwrap_or(usize::MAX)
    }

    /// Takes note of bytes written to `fd`. Gives the new part, if this one is full.
    pub(crate) fn wrote(&mut self, fd: BorrowedFd<'_>, bytes: usize) -> Option<OwnedFd> {
        self.size += bytes as u64;
        // Somebody may have emptied the file: our place in it would leave a hole.
        if rustix::fs::fstat(fd).is_ok_and(|stat| {
            let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
            is_file && stat.st_size.cast_unsigned() < self.size
        }) {
            self.size = rustix::fs::seek(fd, SeekFrom::End(0)).unwrap_or(self.size);
        }
        if self.max == 0 || self.size < self.full {
            return None;
        }
        match self.begin_part() {
            Ok(fresh) => {
                self.size = 0;
                self.full = self.max;
                Some(fresh)
            }
            Err(_) => {
                // The old part goes on, and it is tried again when as much has come once more.
                self.full = self.size.saturating_add(self.max);
                None
            }
        }
    }

    /// Makes the new part first: only if there is one are the others put aside.
    fn begin_part(&self) -> io::Result<OwnedFd> {
        let mut name = OsString::from(&self.path);
        name.push(".new");
        let draft = PathBuf::from(name);
        let _ = fs::remove_file(&draft);
        let (fresh, _) = open(&draft, self.mode)?;
        // Nobody else can have it yet.
        let _ = rustix::fs::flock(&fresh, FlockOperation::NonBlockingLockExclusive);
        if self.keep > 0 {
            for number in (1..self.keep).rev() {
                let _ = fs::rename(part(&self.path, number), part(&self.path, number + 1));
            }
            if let Err(error) = fs::rename(&self.path, part(&self.path, 1))
                && error.kind() != io::ErrorKind::NotFound
            {
                let _ = fs::remove_file(&draft);
                return Err(error);
            }
        }
        fs::rename(&draft, &self.path)?;
        Ok(fresh)
    }

    /// The current part, if it is not `fd` any more, after somebody else may have rotated.
    pub(crate) fn reopen(&mut self, fd: BorrowedFd<'_>) -> Option<OwnedFd> {
        let (fresh, size) = open(&self.path, self.mode).ok()?;
        let identity = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
        let ours = rustix::fs::fstat(fd).ok().map(identity);
        self.size = size;
        self.full = self.max;
        if rustix::fs::fstat(&fresh).ok().map(identity) == ours {
            return None;
        }
        // Whoever held it was killed; if somebody has it again, so be it.
        let _ = lock(&fresh);
        Some(fresh)
    }
}

/// The line that says what a log is missing.
pub(super) fn confession(bytes: u64, why: &io::Error) -> String {
    format!("ward: {bytes} bytes of the output are missing here: {why}\n")
}

/// The file of part `number`, 1 being the youngest that was put aside.
#[must_use]
pub fn part(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}

/// Opens at the end, and not for appending: a splice refuses that (splice(2), EINVAL). Never
/// waits for the other end of a FIFO.
fn open(path: &Path, mode: u32) -> io::Result<(OwnedFd, u64)> {
    let file = File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .mode(mode)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode);
    if kind != FileType::RegularFile && kind != FileType::CharacterDevice {
        let text = "it is neither a file nor a device";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let size = match kind {
        FileType::RegularFile => rustix::fs::seek(&file, SeekFrom::End(0))?,
        _ => 0,
    };
    Ok((file.into(), size))
}

/// Locks a log for as long as a keeper has it open.
fn lock(fd: &OwnedFd) -> io::Result<()> {
    let deadline = Instant::now() + LAST_MOMENT;
    loop {
        match rustix::fs::flock(fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => {
                rustix::thread::sched_yield();
            }
            Err(Errno::WOULDBLOCK) => {
                let text = "another daemon writes to it";
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, text));
            }
            // Devices and some file systems have no locks.
            Err(_) => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsFd;

    fn world(name: &str) -> PathBuf {
        let directory =
            std::env::temp_dir().join(format!("ward-rotate-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        directory
    }

    fn log(path: &Path, max_bytes: u64, keep: u32) -> RotatedLog {
        RotatedLog {
            path: path.into(),
            max_bytes,
            keep,
            timestamps: false,
            private: true,
        }
    }

    fn write(fd: &mut OwnedFd, rotation: &mut Rotation, text: &str) {
        let mut file = File::from(fd.try_clone().expect("a descriptor"));
        file.write_all(text.as_bytes()).expect("write");
        if let Some(fresh) = rotation.wrote(fd.as_fd(), text.len()) {
            *fd = fresh;
        }
    }

    #[test]
    fn parts_move_along_and_the_oldest_goes() {
        let directory = world("chain");
        let path = directory.join("log");
        let (mut fd, mut rotation) = Rotation::open(&log(&path, 4, 2)).expect("log");
        for text in ["aaaa", "bbbb", "cccc", "d"] {
            assert_eq!(rotation.room(), 4);
            write(&mut fd, &mut rotation, text);
        }
        let read = |path: PathBuf| fs::read_to_string(path).expect("a part");
        assert_eq!(read(path.clone()), "d");
        assert_eq!(read(part(&path, 1)), "cccc");
        assert_eq!(read(part(&path, 2)), "bbbb");
        assert!(!part(&path, 3).exists());
        fs::remove_dir_all(&directory).expect("clean up");
    }

    #[test]
    fn without_a_new_part_the_old_one_goes_on_and_none_is_lost() {
        let directory = world("refused");
        let path = directory.join("log");
        fs::write(part(&path, 1), "old").expect("write");
        let (mut fd, mut rotation) = Rotation::open(&log(&path, 4, 5)).expect("log");
        // A directory in the place of the draft cannot be opened, nor removed as a file.
        let blocker = directory.join("log.new");
        fs::create_dir_all(blocker.join("x")).expect("a directory");
        write(&mut fd, &mut rotation, "aaaa");
        assert_eq!(rotation.room(), 4);
        write(&mut fd, &mut rotation, "bb");
        assert_eq!(fs::read_to_string(&path).expect("log"), "aaaabb");
        assert_eq!(fs::read_to_string(part(&path, 1)).expect("part"), "old");
        fs::remove_dir_all(&blocker).expect("removed");
        write(&mut fd, &mut rotation, "cc");
        assert_eq!(fs::read_to_string(&path).expect("log"), "");
        assert_eq!(
            fs::read_to_string(part(&path, 1)).expect("part"),
            "aaaabbcc"
        );
        assert_eq!(fs::read_to_string(part(&path, 2)).expect("part"), "old");
        fs::remove_dir_all(&directory).expect("clean up");
    }

    #[test]
    fn a_log_has_one_writer_and_is_a_file() {
        let directory = world("one");
        let path = directory.join("log");
        let (first, _rotation) = Rotation::open(&log(&path, 0, 2)).expect("log");
        let kind = |path: &Path| {
            Rotation::open(&log(path, 0, 2))
                .map(drop)
                .map_err(|it| it.kind())
        };
        assert_eq!(kind(&path), Err(io::ErrorKind::ResourceBusy));
        drop(first);
        assert_eq!(kind(&path), Ok(()));
        assert_eq!(kind(Path::new("/dev/null")), Ok(()));
        fs::remove_dir_all(&directory).expect("clean up");
    }

    #[test]
    fn an_emptied_log_gets_no_hole_and_an_old_one_is_added_to() {
        let directory = world("hole");
        let path = directory.join("log");
        fs::write(&path, "old ").expect("write");
        let (mut fd, mut rotation) = Rotation::open(&log(&path, 0, 2)).expect("log");
        write(&mut fd, &mut rotation, "new ");
        assert_eq!(fs::read_to_string(&path).expect("log"), "old new ");
        File::create(&path).expect("emptied");
        rotation.wrote(fd.as_fd(), 0);
        write(&mut fd, &mut rotation, "again");
        assert_eq!(fs::read_to_string(&path).expect("log"), "again");
        fs::remove_dir_all(&directory).expect("clean up");
    }
}
