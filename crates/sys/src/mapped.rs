//! A file in memory that several processes share, as a row of 64-bit numbers.
//!
//! Every access is atomic, so that whoever else has the file mapped can change it at any time, and a
//! process that is killed between two stores leaves each number either as it was or as it was to be.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU64;

use rustix::fs::{FallocateFlags, FileType};
use rustix::io::Errno;

/// The mapping. Touching a part of the file that is not there kills the process (SIGBUS): a part is
/// there if the file is long enough, which [`SharedWords::map`] checks, and the file system has room
/// for it, which [`reserve`] makes sure of.
#[derive(Debug)]
pub struct SharedWords {
    base: NonNull<AtomicU64>,
    words: usize,
}

// SAFETY: only atomics are reached through it, and the mapping belongs to no thread.
unsafe impl Send for SharedWords {}
// SAFETY: as above.
unsafe impl Sync for SharedWords {}

impl SharedWords {
    /// Maps the first `words` numbers of a file.
    ///
    /// # Errors
    /// EINVAL for what is no regular file, or one of another length; else as mmap(2).
    pub fn map(file: BorrowedFd<'_>, words: usize) -> io::Result<Self> {
        let bytes = words
            .checked_mul(size_of::<u64>())
            .ok_or_else(|| io::Error::from_raw_os_error(libc::EOVERFLOW))?;
        let stat = rustix::fs::fstat(file)?;
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if bytes == 0 || !is_file || u64::try_from(stat.st_size).ok() != u64::try_from(bytes).ok() {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        // SAFETY: a new mapping at an address of the kernel's choice.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_NORESERVE,
                file.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base =
            NonNull::new(base.cast()).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))?;
        Ok(Self { base, words })
    }

    /// The numbers.
    #[must_use]
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: mapped, aligned to a page and valid whatever the bytes, for as long as `self`.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.words) }
    }
}

impl Drop for SharedWords {
    fn drop(&mut self) {
        let bytes = self.words * size_of::<u64>();
        // SAFETY: this very mapping, of which no reference is left.
        unsafe { libc::munmap(self.base.as_ptr().cast(), bytes) };
    }
}

/// Makes sure that the file system has room for a part of a file, so that writing to it in memory
/// cannot kill. The length of the file does not change.
///
/// # Errors
/// ENOSPC, EDQUOT. A file system that cannot promise is taken at its word that it need not.
pub fn reserve(file: impl AsFd, offset: u64, bytes: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, offset, bytes) {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    fn file(bytes: u64) -> std::os::fd::OwnedFd {
        let flags = rustix::fs::MemfdFlags::CLOEXEC;
        let file = rustix::fs::memfd_create("test", flags).expect("a file");
        rustix::fs::ftruncate(&file, bytes).expect("a length");
        file
    }

    #[test]
    fn two_mappings_share_what_is_in_them() {
        let file = file(4096);
        let one = SharedWords::map(file.as_fd(), 512).expect("mapped");
        let other = SharedWords::map(file.as_fd(), 512).expect("mapped");
        reserve(&file, 0, 4096).expect("room");
        one.words()[511].store(7, Ordering::Release);
        assert_eq!(other.words()[511].load(Ordering::Acquire), 7);
        assert_eq!(other.words().len(), 512);
    }

    #[test]
    fn a_file_of_another_length_is_refused() {
        for bytes in [0, 8, 4088, 4104] {
            assert!(SharedWords::map(file(bytes).as_fd(), 512).is_err());
        }
        let directory = std::fs::File::open("/").expect("a directory");
        assert!(SharedWords::map(directory.as_fd(), 512).is_err());
        assert!(SharedWords::map(file(0).as_fd(), 0).is_err());
        assert!(SharedWords::map(file(0).as_fd(), usize::MAX).is_err());
    }
}
