//! A number that two halves of a fork both see.

use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicI32, Ordering};

/// A number in memory that stays shared across a fork. Begins as 0.
#[derive(Debug)]
pub struct SharedNumber(NonNull<AtomicI32>);

impl SharedNumber {
    /// A new one.
    ///
    /// # Errors
    /// When no memory can be had.
    pub fn new() -> io::Result<Self> {
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice.
        let page = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size_of::<AtomicI32>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
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

    fn number(&self) -> &AtomicI32 {
        // SAFETY: the mapping is aligned to a page, zeroed, and lives as long as `self`.
        unsafe { self.0.as_ref() }
    }

    /// Its value.
    #[must_use]
    pub fn get(&self) -> i32 {
        self.number().load(Ordering::Acquire)
    }

    /// Sets it.
    pub fn set(&self, value: i32) {
        self.number().store(value, Ordering::Release);
    }

    /// Where the kernel may write it.
    pub(crate) fn address(&self) -> *mut libc::pid_t {
        self.0.as_ptr().cast()
    }
}

impl Drop for SharedNumber {
    fn drop(&mut self) {
        // SAFETY: this very mapping, which nobody can use any more.
        unsafe { libc::munmap(self.0.as_ptr().cast(), size_of::<AtomicI32>()) };
    }
}
