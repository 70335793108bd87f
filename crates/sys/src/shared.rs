//! Numbers that two halves of a fork both see.

use std::io;
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::Duration;

/// Bytes of the least that can be mapped.
const PAGE: usize = 4096;

/// Memory that stays shared across a fork, with numbers in it.
#[derive(Debug)]
struct Page<T>(NonNull<T>);

/// Numbers that are 0 where every byte is, and that two processes may change at a time.
trait Atomic {}
impl Atomic for AtomicI32 {}
impl Atomic for AtomicU64 {}

impl<T: Atomic> Page<T> {
    const NUMBERS: usize = PAGE / size_of::<T>();

    fn new() -> io::Result<Self> {
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice.
        let page = unsafe {
            libc::mmap(
                ptr::null_mut(),
                PAGE,
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

    fn number(&self, index: usize) -> &T {
        // SAFETY: the mapping is aligned to a page, zeroed, lives as long as `self`, and has so many.
        let numbers = unsafe { std::slice::from_raw_parts(self.0.as_ptr(), Self::NUMBERS) };
        &numbers[index]
    }
}

impl<T> Drop for Page<T> {
    fn drop(&mut self) {
        // SAFETY: this very mapping, which nobody can use any more.
        unsafe { libc::munmap(self.0.as_ptr().cast(), PAGE) };
    }
}

/// A number in memory that stays shared across a fork. Begins as 0.
#[derive(Debug)]
pub struct SharedNumber {
    page: Rc<Page<AtomicI32>>,
    index: usize,
}

impl SharedNumber {
    /// A new one.
    ///
    /// # Errors
    /// When no memory can be had.
    pub fn new() -> io::Result<Self> {
        Self::several().map(|[number]| number)
    }

    /// New ones, at most 1,024, in one page: each page is one more to map, to touch on both sides and
    /// to take down.
    ///
    /// # Errors
    /// When no memory can be had.
    pub fn several<const N: usize>() -> io::Result<[Self; N]> {
        const { assert!(N <= Page::<AtomicI32>::NUMBERS) };
        let page = Rc::new(Page::new()?);
        Ok(std::array::from_fn(|index| Self {
            page: Rc::clone(&page),
            index,
        }))
    }

    fn number(&self) -> &AtomicI32 {
        self.page.number(self.index)
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
        self.number().as_ptr()
    }
}

/// A moment in memory that stays shared across a fork, to the nanosecond: so long after the
/// system was started. It only moves forward, until it is taken away for good.
#[derive(Debug)]
pub struct SharedMoment(Page<AtomicU64>);

impl SharedMoment {
    /// Taken away.
    const NEVER: u64 = 0;

    /// A new one.
    ///
    /// # Errors
    /// When no memory can be had.
    pub fn new(moment: Duration) -> io::Result<Self> {
        let page: Page<AtomicU64> = Page::new()?;
        page.number(0).store(nanoseconds(moment), Ordering::Release);
        Ok(Self(page))
    }

    /// The moment; `None` once it has been taken away.
    #[must_use]
    pub fn get(&self) -> Option<Duration> {
        match self.0.number(0).load(Ordering::Acquire) {
            Self::NEVER => None,
            moment => Some(Duration::from_nanos(moment)),
        }
    }

    /// Moves it forward; an earlier moment than it has changes nothing. Returns whether there
    /// still was one.
    pub fn advance(&self, moment: Duration) -> bool {
        let moment = nanoseconds(moment);
        self.0
            .number(0)
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |known| {
                (known != Self::NEVER).then(|| known.max(moment))
            })
            .is_ok()
    }

    /// Takes it away for good.
    pub fn take_away(&self) {
        self.0.number(0).store(Self::NEVER, Ordering::Release);
    }
}

/// As a number that is not [`SharedMoment::NEVER`].
fn nanoseconds(moment: Duration) -> u64 {
    u64::try_from(moment.as_nanos()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_one_page_are_apart_and_outlive_each_other() {
        let [one, two, three] = SharedNumber::several().expect("memory");
        one.set(1);
        two.set(-2);
        drop(one);
        assert_eq!((two.get(), three.get()), (-2, 0));
        assert_ne!(two.address(), three.address());
    }

    #[test]
    fn a_moment_only_moves_forward_until_it_is_gone() {
        let seconds = Duration::from_secs;
        let moment = SharedMoment::new(seconds(5)).expect("memory");
        assert!(moment.advance(seconds(7)));
        assert!(moment.advance(seconds(6)));
        assert_eq!(moment.get(), Some(seconds(7)));
        assert!(moment.advance(Duration::MAX));
        assert_eq!(moment.get(), Some(Duration::from_nanos(u64::MAX)));
        moment.take_away();
        assert_eq!(moment.get(), None);
        assert!(!moment.advance(seconds(9)));
        assert_eq!(moment.get(), None);
    }

    #[test]
    fn the_first_moment_of_all_is_one_too() {
        let moment = SharedMoment::new(Duration::ZERO).expect("memory");
        assert_eq!(moment.get(), Some(Duration::from_nanos(1)));
    }
}
