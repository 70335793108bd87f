//! Becoming another program in place, and what passes over to it: descriptors by their numbers, and a
//! word in the environment.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use rustix::io::FdFlags;

/// Takes a variable out of the environment, so that nobody who is started from here on has it. None if
/// it is not there.
///
/// To be called first of all: where there are other threads already, it is read but stays.
#[must_use]
pub fn take_variable(name: &str) -> Option<OsString> {
    let value = std::env::var_os(name)?;
    let threads = rustix::fs::stat("/proc/self/task").map_or(2, |stat| {
        // Each thread is a directory there, and each directory a link.
        stat.st_nlink.saturating_sub(2)
    });
    if threads <= 1 {
        // SAFETY: nobody else reads or writes the environment, as there is nobody else.
        unsafe { std::env::remove_var(name) };
    }
    Some(value)
}

/// Lets this descriptor pass over to the next program of this process.
///
/// # Errors
/// As fcntl(2).
pub fn pass_on(fd: impl AsFd) -> io::Result<()> {
    Ok(rustix::io::fcntl_setfd(fd, FdFlags::empty())?)
}

/// Keeps it from passing over after all.
pub fn keep_back(fd: impl AsFd) {
    let _ = rustix::io::fcntl_setfd(fd, FdFlags::CLOEXEC);
}

/// Becomes the program at `path`. Signals that are blocked stay blocked and pending over it, with those
/// of `hold` that were not: none that comes meanwhile is lost, or does what it would do to a program that
/// has not begun to listen. Returns only on failure, with the mask as it was.
pub fn become_program(
    path: &OsStr,
    arguments: &[OsString],
    environment: &[(OsString, OsString)],
    hold: &[i32],
) -> io::Error {
    let c =
        |bytes: &[u8]| CString::new(bytes).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL));
    let prepared = || -> io::Result<_> {
        let path = c(path.as_bytes())?;
        let arguments: Vec<CString> = arguments
            .iter()
            .map(|word| c(word.as_bytes()))
            .collect::<io::Result<_>>()?;
        let environment: Vec<CString> = environment
            .iter()
            .map(|(name, value)| {
                let mut item = name.as_bytes().to_vec();
                item.push(b'=');
                item.extend_from_slice(value.as_bytes());
                c(&item)
            })
            .collect::<io::Result<_>>()?;
        Ok((path, arguments, environment))
    };
    let (path, arguments, environment) = match prepared() {
        Ok(prepared) => prepared,
        Err(error) => return error,
    };
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        let end = std::iter::once(std::ptr::null());
        strings.iter().map(|it| it.as_ptr()).chain(end).collect()
    };
    let (argv, envp) = (pointers(&arguments), pointers(&environment));
    let before = crate::signals::block(hold);
    // SAFETY: a string and two arrays of strings that end with a null pointer, all alive.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    let error = io::Error::last_os_error();
    before.restore();
    error
}

/// Puts `/dev/null` in the place of the standard streams; the directory stays.
///
/// # Errors
/// When it cannot be opened, or as dup2(2).
pub fn silence_standard_streams() -> io::Result<()> {
    let flags = rustix::fs::OFlags::RDWR;
    let null = rustix::fs::open("/dev/null", flags, rustix::fs::Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    // Where a standard stream was closed, it may be that very number.
    if null.as_raw_fd() < 3 {
        std::mem::forget(null);
    }
    Ok(())
}

/// Descriptors under numbers of a fixed range. Places that are never used cost nothing, and nothing is
/// allocated after it was made.
#[derive(Debug)]
pub struct Shelf(Vec<u32>);

impl Shelf {
    /// An empty one of so many places.
    #[must_use]
    pub fn new(places: usize) -> Self {
        // All zeroes: pages of the kernel's that are not touched before something is put there.
        Self(vec![0; places])
    }

    /// How many places there are.
    #[must_use]
    pub fn places(&self) -> usize {
        self.0.len()
    }

    /// Puts one in its place, and gives back what was there; a place that there is not gives it back
    /// itself.
    pub fn put(&mut self, place: usize, fd: OwnedFd) -> Option<OwnedFd> {
        if place >= self.0.len() {
            return Some(fd);
        }
        let before = self.take(place);
        if let Some(entry) = self.0.get_mut(place) {
            // A descriptor is not negative, so that one more than it fits and is not 0.
            *entry = fd.into_raw_fd().unsigned_abs() + 1;
        }
        before
    }

    /// Takes out what is there.
    pub fn take(&mut self, place: usize) -> Option<OwnedFd> {
        let entry = self.0.get_mut(place)?;
        let raw = raw(std::mem::take(entry))?;
        // SAFETY: `put` took its ownership, and this entry was the only one who had it.
        Some(unsafe { OwnedFd::from_raw_fd(raw) })
    }

    /// What is there.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<BorrowedFd<'_>> {
        let raw = raw(*self.0.get(place)?)?;
        // SAFETY: owned by this shelf, and open as long as it is not taken out, which `&mut` would need.
        Some(unsafe { BorrowedFd::borrow_raw(raw) })
    }
}

fn raw(entry: u32) -> Option<RawFd> {
    RawFd::try_from(entry.checked_sub(1)?).ok()
}

impl Drop for Shelf {
    fn drop(&mut self) {
        for place in 0..self.0.len() {
            drop(self.take(place));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn null() -> OwnedFd {
        std::fs::File::open("/dev/null").expect("there").into()
    }

    #[test]
    fn a_shelf_keeps_what_was_put_there() {
        let mut shelf = Shelf::new(3);
        assert!(shelf.put(1, null()).is_none());
        let first = shelf.get(1).expect("there").as_raw_fd();
        assert_eq!(shelf.put(1, null()).expect("the first").as_raw_fd(), first);
        assert!(shelf.get(0).is_none() && shelf.get(3).is_none());
        assert!(shelf.put(3, null()).is_some());
        assert!(shelf.take(1).is_some() && shelf.take(1).is_none());
        assert!(shelf.put(2, null()).is_none());
        assert_eq!(shelf.places(), 3);
    }

    #[test]
    fn what_cannot_be_executed_leaves_us_as_we_were() {
        let path = OsStr::new("/nonexistent/program");
        let error = become_program(path, &["x".into()], &[], &[libc::SIGUSR1]);
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
        let error = become_program(OsStr::new("a\0b"), &[], &[], &[]);
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }
}
