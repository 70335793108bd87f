//! Numbers in a file on which processes sleep (futex(2)), each on its own: whoever changes one
//! wakes those who sleep on it and nobody else.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::thread::futex;

/// The first [`Words::LENGTH`] bytes of a file as numbers that everybody sees who has mapped it.
#[derive(Debug)]
pub struct Words(NonNull<AtomicU32>);

// SAFETY: it is memory that is shared anyway, and only ever used by atomic operations.
unsafe impl Send for Words {}
// SAFETY: as above.
unsafe impl Sync for Words {}

impl Words {
    /// How much of the file, bytes.
    pub const LENGTH: usize = 4096;
    /// How many numbers.
    pub const COUNT: usize = Self::LENGTH / size_of::<AtomicU32>();

    /// Maps the beginning of `file`, which must be open for reading and writing, and whose first
    /// page must have been written: the kernel ends whoever uses a page for which there is no
    /// room (mmap(2), SIGBUS). It does that to everybody who sleeps here, too, if somebody who may
    /// write to the file makes it shorter.
    ///
    /// # Errors
    /// As mmap(2); `InvalidData` for a file that is shorter.
    pub fn of(file: &File) -> io::Result<Self> {
        if file.metadata()?.len() < Self::LENGTH as u64 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        // SAFETY: a fresh mapping at an address of the kernel's choice, of an open file.
        let page = unsafe {
            libc::mmap(
                ptr::null_mut(),
                Self::LENGTH,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if page == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(page.cast())
            .map(Self)
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))
    }

    fn word(&self, index: usize) -> &AtomicU32 {
        // SAFETY: within the mapping, which is aligned to a page and lives as long as `self`.
        let word = unsafe { self.0.add(index % Self::COUNT) };
        // SAFETY: as above; others change it by atomic operations only.
        unsafe { word.as_ref() }
    }

    /// A number, counted modulo [`Words::COUNT`].
    #[must_use]
    pub fn get(&self, index: usize) -> u32 {
        self.word(index).load(Ordering::Acquire)
    }

    /// Sleeps until somebody wakes who sleeps on this number, if it is still `value`; at most this
    /// long, and now and then for no reason.
    pub fn sleep(&self, index: usize, value: u32, limit: Duration) {
        let limit = futex::Timespec::try_from(limit).ok();
        let flags = futex::Flags::empty();
        // However it ends, the caller looks.
        let _ = futex::wait(self.word(index), flags, value, limit.as_ref());
    }

    /// Changes a number, and wakes everybody who sleeps on it.
    pub fn wake(&self, index: usize) {
        let word = self.word(index);
        word.fetch_add(1, Ordering::AcqRel);
        let all = i32::MAX.unsigned_abs();
        // Nobody may be asleep.
        let _ = futex::wake(word, futex::Flags::empty(), all);
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        // SAFETY: this very mapping, which nobody can use any more.
        unsafe { libc::munmap(self.0.as_ptr().cast(), Self::LENGTH) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeper_is_woken_through_another_mapping() {
        let path = std::env::temp_dir().join(format!("ward-sys-words-{}", std::process::id()));
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .expect("a file");
        assert!(Words::of(&file).is_err(), "nothing is in it yet");
        file.set_len(Words::LENGTH as u64).expect("made longer");
        let (one, other) = (Words::of(&file), Words::of(&file));
        let (one, other) = (one.expect("mapped"), other.expect("mapped"));
        let seen = one.get(7);
        let sleeper = std::thread::spawn(move || {
            while one.get(7) == seen {
                one.sleep(7, seen, Duration::from_secs(60));
            }
        });
        other.wake(7);
        sleeper.join().expect("woken");
        assert_ne!(other.get(7), seen);
        assert_eq!(other.get(8), 0);
        std::fs::remove_file(&path).expect("clean up");
    }
}
