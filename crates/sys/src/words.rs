//! Numbers in a file on which processes sleep (futex(2)), each on its own: whoever changes one
//! wakes those who sleep on it and nobody else.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use rustix::thread::futex;

/// The first [`Words::LENGTH`] bytes of a file as numbers that everybody sees who has mapped it.
#[derive(Debug)]
pub struct Words(NonNull<AtomicU32>);

// SAFETY: it is memory that is shared anyway, and only its address is used.
unsafe impl Send for Words {}
// SAFETY: as above.
unsafe impl Sync for Words {}

impl Words {
    /// How much of the file, bytes.
    pub const LENGTH: usize = 4096;
    /// How many numbers.
    pub const COUNT: usize = Self::LENGTH / size_of::<AtomicU32>();

    /// Maps the beginning of `file`, which must be open for reading and writing, and whose first
    /// page must have been written.
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

    fn place(index: usize) -> (usize, u64) {
        let index = index % Self::COUNT;
        (index, (index * size_of::<AtomicU32>()) as u64)
    }

    fn word(&self, index: usize) -> &AtomicU32 {
        // SAFETY: within the mapping, which is aligned to a page and lives as long as `self`.
        let word = unsafe { self.0.add(Self::place(index).0) };
        // SAFETY: as above. Nobody here looks into it: only its address is given to the kernel.
        unsafe { word.as_ref() }
    }

    /// A number, counted modulo [`Words::COUNT`]; 0 if it cannot be read.
    ///
    /// It is read as from any file: the page may be gone by now, and who looked into it would be ended.
    #[must_use]
    pub fn get(&self, file: &File, index: usize) -> u32 {
        let mut bytes = [0; size_of::<AtomicU32>()];
        match file.read_at(&mut bytes, Self::place(index).1) {
            Ok(_) => u32::from_ne_bytes(bytes),
            Err(_) => 0,
        }
    }

    /// Sleeps until somebody wakes who sleeps on this number, if it is still `value`; at most this
    /// long, and now and then for no reason. Returns whether the kernel says that it was so.
    pub fn sleep(&self, index: usize, value: u32, limit: Duration) -> bool {
        let limit = futex::Timespec::try_from(limit).ok();
        let flags = futex::Flags::empty();
        let ended = futex::wait(self.word(index), flags, value, limit.as_ref());
        matches!(ended, Ok(()) | Err(rustix::io::Errno::AGAIN))
    }

    /// Changes a number, and wakes everybody who sleeps on it. Of two who do so at once one may be
    /// lost, but not both.
    pub fn wake(&self, file: &File, index: usize) {
        let value = self.get(file, index).wrapping_add(1);
        // Where it cannot be changed whoever sleeps is woken all the same.
        let _ = file.write_at(&value.to_ne_bytes(), Self::place(index).1);
        let all = i32::MAX.unsigned_abs();
        // Nobody may be asleep.
        let _ = futex::wake(self.word(index), futex::Flags::empty(), all);
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
        let seen = one.get(&file, 7);
        let theirs = file.try_clone().expect("a copy");
        let sleeper = std::thread::spawn(move || {
            while one.get(&theirs, 7) == seen {
                one.sleep(7, seen, Duration::from_secs(60));
            }
        });
        other.wake(&file, 7);
        sleeper.join().expect("woken");
        assert_ne!(other.get(&file, 7), seen);
        assert_eq!(other.get(&file, 8), 0);
        // A page that is gone ends nobody.
        file.set_len(0).expect("cut");
        assert_eq!(other.get(&file, 7), 0);
        other.sleep(7, 0, Duration::from_secs(60));
        other.wake(&file, 7);
        std::fs::remove_file(&path).expect("clean up");
    }
}
