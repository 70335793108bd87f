//! The allocator of the `ward` binary.
//!
//! A run makes some thousand small allocations before its command starts, and keeps most of
//! them to its end: an allocator that looks for free blocks does that work for nothing. This
//! one hands out a fixed arena from its beginning to its end, takes back only the latest
//! block, and leaves everything that no longer fits to the C library's allocator, so that a
//! long run's memory stays bounded.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes in the arena. Pages that are never reached are never made.
const SIZE: usize = 512 << 10;

/// What every run uses, bytes: asked of the kernel in one call instead of by a fault per page.
const USED_BY_ALL: usize = 128 << 10;

#[repr(C, align(4096))]
struct Memory(UnsafeCell<[u8; SIZE]>);

// SAFETY: every byte is given to one block at a time, by the atomic `USED`.
unsafe impl Sync for Memory {}

static MEMORY: Memory = Memory(UnsafeCell::new([0; SIZE]));
static USED: AtomicUsize = AtomicUsize::new(0);

/// The allocator; see the module.
#[derive(Debug, Clone, Copy, Default)]
pub struct Arena;

impl Arena {
    fn base() -> *mut u8 {
        MEMORY.0.get().cast()
    }

    /// The offset of a block of ours, or `None` for one of the C library's.
    fn offset(block: *mut u8) -> Option<usize> {
        let offset = (block as usize).wrapping_sub(Self::base() as usize);
        (offset < SIZE).then_some(offset)
    }

    fn take(layout: Layout) -> Option<*mut u8> {
        let mut used = USED.load(Ordering::Relaxed);
        loop {
            let start = used.checked_next_multiple_of(layout.align())?;
            let end = start.checked_add(layout.size())?;
            if end > SIZE || layout.align() > 4096 {
                return None;
            }
            match USED.compare_exchange_weak(used, end, Ordering::Relaxed, Ordering::Relaxed) {
                // SAFETY: `start` lies within the arena, or at its end for an empty block.
                Ok(_) => return Some(unsafe { Self::base().add(start) }),
                Err(now) => used = now,
            }
        }
    }

    /// Moves the end of the block at `offset` if it is the latest one.
    fn resize_latest(offset: usize, old: usize, new: usize) -> bool {
        match offset.checked_add(new) {
            Some(end) if end <= SIZE => USED
                .compare_exchange(offset + old, end, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok(),
            Some(_) | None => false,
        }
    }
}

// SAFETY: blocks are disjoint (by the compare-exchange on USED), aligned and large enough; a
// block is resized in place only if nothing lies behind it; anything else is System's, which
// is told apart by its address.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match Self::take(layout) {
            Some(block) => block,
            // SAFETY: the caller's layout, as the caller vouches.
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match Self::take(layout) {
            Some(block) => {
                // SAFETY: a fresh block of this size; it may have been used before.
                unsafe { ptr::write_bytes(block, 0, layout.size()) };
                block
            }
            // SAFETY: the caller's layout, as the caller vouches.
            None => unsafe { System.alloc_zeroed(layout) },
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match Self::offset(block) {
            Some(offset) => {
                Self::resize_latest(offset, layout.size(), 0);
            }
            // SAFETY: not ours, so System's.
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some(offset) = Self::offset(block) else {
            // SAFETY: not ours, so System's.
            return unsafe { System.realloc(block, layout, size) };
        };
        if Self::resize_latest(offset, layout.size(), size) || size <= layout.size() {
            return block;
        }
        // SAFETY: the caller vouches for `size` with this alignment.
        let larger = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: as above.
        let fresh = unsafe { self.alloc(larger) };
        if !fresh.is_null() {
            // SAFETY: both are valid for the smaller size and disjoint.
            unsafe { ptr::copy_nonoverlapping(block, fresh, layout.size().min(size)) };
        }
        fresh
    }
}

/// Makes the pages that every run uses present in one call (madvise(2),
/// MADV_POPULATE_WRITE, Linux 5.14). Without it each costs a fault.
pub fn populate() {
    // SAFETY: our own pages; populating changes no byte.
    unsafe { libc::madvise(Arena::base().cast(), USED_BY_ALL, libc::MADV_POPULATE_WRITE) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_disjoint_and_grow() {
        let layout = |size| Layout::from_size_align(size, 8).expect("a layout");
        let arena = Arena;
        // SAFETY: layouts are valid and blocks are used within their size.
        unsafe {
            let one = arena.alloc(layout(24));
            let two = arena.alloc(layout(40));
            assert!(two as usize >= one as usize + 24);
            one.write_bytes(1, 24);
            two.write_bytes(2, 40);
            // The latest grows in place, an earlier one moves.
            assert_eq!(arena.realloc(two, layout(40), 80), two);
            let moved = arena.realloc(one, layout(24), 64);
            assert_ne!(moved, one);
            assert!((0..24).all(|index| *moved.add(index) == 1));
            // What does not fit is the C library's, both ways.
            let large = arena.alloc(layout(SIZE));
            assert_eq!(Arena::offset(large), None);
            large.write_bytes(3, SIZE);
            let larger = arena.realloc(large, layout(SIZE), SIZE * 2);
            assert_eq!(*larger, 3);
            arena.dealloc(larger, layout(SIZE * 2));
            // Zeroed memory is zero even where something was before.
            arena.dealloc(moved, layout(64));
            let zeroed = arena.alloc_zeroed(layout(64));
            assert!((0..64).all(|index| *zeroed.add(index) == 0));
        }
    }
}
