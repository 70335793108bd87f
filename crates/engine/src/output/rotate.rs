//! A log within bounds: when the current part is full it is put aside and a new one begun.
//!
//! The rename chain may be cut by a kill at any point: then a part is missing from the chain,
//! and none is lost. Nobody but the writer may rotate; readers follow by inode.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::SeekFrom;
use ward_model::spec::RotatedLog;

/// Mode of a part that is its user's affair, and of one whose readers the umask knows.
const PRIVATE: u32 = 0o600;
const USUAL: u32 = 0o666;

/// How a log is kept within bounds. The descriptor itself is its owner's.
#[derive(Debug)]
pub(crate) struct Rotation {
    path: PathBuf,
    max: u64,
    keep: u32,
    mode: u32,
    size: u64,
}

impl Rotation {
    /// Opens the log at its end.
    ///
    /// # Errors
    /// As open(2).
    pub(crate) fn open(log: &RotatedLog) -> io::Result<(OwnedFd, Self)> {
        let path = PathBuf::from(&log.path);
        let mode = if log.private { PRIVATE } else { USUAL };
        let (fd, size) = open(&path, mode)?;
        let rotation = Self {
            path,
            max: log.max_bytes,
            keep: log.keep,
            mode,
            size,
        };
        Ok((fd, rotation))
    }

    /// How much the current part takes, at least one byte.
    pub(crate) fn room(&self) -> usize {
        if self.max == 0 {
            return usize::MAX;
        }
        usize::try_from(self.max.saturating_sub(self.size).max(1)).unwrap_or(usize::MAX)
    }

    /// Takes note of bytes written to `fd`. Gives the new part, if this one is full.
    pub(crate) fn wrote(&mut self, fd: BorrowedFd<'_>, bytes: usize) -> Option<OwnedFd> {
        self.size += bytes as u64;
        // Somebody may have emptied the file: our place in it would leave a hole.
        if rustix::fs::fstat(fd).is_ok_and(|stat| stat.st_size.cast_unsigned() < self.size) {
            self.size = rustix::fs::seek(fd, SeekFrom::End(0)).unwrap_or(self.size);
        }
        if self.max == 0 || self.size < self.max {
            return None;
        }
        self.put_aside();
        // Where no new part can be had, the old one goes on growing.
        let (fresh, size) = open(&self.path, self.mode).ok()?;
        self.size = size;
        Some(fresh)
    }

    fn put_aside(&self) {
        if self.keep == 0 {
            let _ = fs::remove_file(&self.path);
            return;
        }
        for number in (1..self.keep).rev() {
            let _ = fs::rename(part(&self.path, number), part(&self.path, number + 1));
        }
        let _ = fs::rename(&self.path, part(&self.path, 1));
    }

    /// Opens the current part anew, after somebody else may have rotated.
    pub(crate) fn reopen(&mut self) -> Option<OwnedFd> {
        let (fd, size) = open(&self.path, self.mode).ok()?;
        self.size = size;
        Some(fd)
    }
}

/// The file of part `number`, 1 being the youngest that was put aside.
#[must_use]
pub fn part(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}

/// Opens at the end, and not for appending: a splice refuses that (splice(2), EINVAL).
fn open(path: &Path, mode: u32) -> io::Result<(OwnedFd, u64)> {
    let file = File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .mode(mode)
        .open(path)?;
    let size = rustix::fs::seek(&file, SeekFrom::End(0))?;
    Ok((file.into(), size))
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
