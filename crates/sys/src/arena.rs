//! The allocator of the `ward` binary.
//!
//! A run makes some thousand small allocations before its command starts, and keeps most of
//! them to its end: an allocator that looks for free blocks does that work for nothing. This
//! one hands out a fixed arena from its beginning to its end. It takes back the latest block,
//! and remembers the largest hole that was left by one that moved or was freed, to fill that
//! first: growing lists leave large holes. What no longer fits is left to the C library's
//! allocator, so that a long run's memory stays bounded.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes in the arena. Pages that are never reached are never made.
const SIZE: usize = 512 << 10;

/// What every run uses, bytes: asked of the kernel in one call instead of by a fault per page.
const USED_BY_ALL: usize = 16 << 10;

#[repr(C, align(4096))]
struct Memory(UnsafeCell<[u8; SIZE]>);

// SAFETY: every byte is given to one block at a time, by the atomics `END` and `HOLE`.
unsafe impl Sync for Memory {}

static MEMORY: Memory = Memory(UnsafeCell::new([0; SIZE]));

/// What is free: from its start to its end, both offsets in one word, so that they change
/// together.
struct Free(AtomicU64);

/// Behind everything that was ever handed out.
static END: Free = Free::new(0, SIZE);
/// The largest hole that is known.
static HOLE: Free = Free::new(0, 0);

impl Free {
    const fn new(start: usize, end: usize) -> Self {
        Self(AtomicU64::new(Self::word(start, end)))
    }

    const fn word(start: usize, end: usize) -> u64 {
        ((start as u64) << 32) | end as u64
    }

    fn bounds(word: u64) -> (usize, usize) {
        ((word >> 32) as usize, (word & u64::from(u32::MAX)) as usize)
    }

    /// Takes a block from its start.
    fn take(&self, layout: Layout) -> Option<usize> {
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            let (start, end) = Self::bounds(word);
            let block = start.checked_next_multiple_of(layout.align())?;
            let rest = block.checked_add(layout.size())?;
            if rest > end {
                return None;
            }
            match self.0.compare_exchange_weak(
                word,
                Self::word(rest, end),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Some(block),
                Err(now) => word = now,
            }
        }
    }

    /// Moves the end of the block at `offset`, if it is the one that was taken last.
    fn resize_latest(&self, offset: usize, old: usize, new: usize) -> bool {
        let word = self.0.load(Ordering::Acquire);
        let (start, end) = Self::bounds(word);
        match offset.checked_add(new) {
            Some(rest) if start == offset + old && rest <= end => self
                .0
                .compare_exchange(
                    word,
                    Self::word(rest, end),
                    Ordering::AcqRel,
                    Ordering::Acquire,
                )
                .is_ok(),
            Some(_) | None => false,
        }
    }

    /// Becomes what a freed block leaves, if that is more.
    fn replace_by_larger(&self, offset: usize, size: usize) {
        let word = self.0.load(Ordering::Acquire);
        let (start, end) = Self::bounds(word);
        if size > end - start {
            // Lost to somebody else, it is a hole that nobody knows.
            let _ = self.0.compare_exchange(
                word,
                Self::word(offset, offset + size),
                Ordering::AcqRel,
                Ordering::Acquire,
            );
        }
    }
}

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
        if layout.align() > 4096 {
            return None;
        }
        let offset = HOLE.take(layout).or_else(|| END.take(layout))?;
        // SAFETY: `offset` lies within the arena, or at its end for an empty block.
        Some(unsafe { Self::base().add(offset) })
    }

    /// Moves the end of the block at `offset` if nothing lies behind it.
    fn resize_in_place(offset: usize, old: usize, new: usize) -> bool {
        END.resize_latest(offset, old, new) || HOLE.resize_latest(offset, old, new)
    }

    fn give_back(offset: usize, size: usize) {
        if !Self::resize_in_place(offset, size, 0) {
            HOLE.replace_by_larger(offset, size);
        }
    }
}

// SAFETY: blocks are disjoint (by the compare-exchange on what is free), aligned and large enough; a
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
            Some(offset) => Self::give_back(offset, layout.size()),
            // SAFETY: not ours, so System's.
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some(offset) = Self::offset(block) else {
            // SAFETY: not ours, so System's.
            return unsafe { System.realloc(block, layout, size) };
        };
        if Self::resize_in_place(offset, layout.size(), size) || size <= layout.size() {
            return block;
        }
        // SAFETY: the caller vouches for `size` with this alignment.
        let larger = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: as above.
        let fresh = unsafe { self.alloc(larger) };
        if !fresh.is_null() {
            // SAFETY: both are valid for the smaller size and disjoint.
            unsafe { ptr::copy_nonoverlapping(block, fresh, layout.size().min(size)) };
            Self::give_back(offset, layout.size());
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

    /// The allocator with its contract kept: layouts are valid, and a block is used within
    /// its size and freed once.
    struct Block {
        start: *mut u8,
        size: usize,
    }

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 8).expect("a layout")
    }

    impl Block {
        fn new(size: usize) -> Self {
            // SAFETY: the size is not zero.
            let start = unsafe { Arena.alloc(layout(size)) };
            Self { start, size }
        }

        fn zeroed(size: usize) -> Self {
            // SAFETY: the size is not zero.
            let start = unsafe { Arena.alloc_zeroed(layout(size)) };
            Self { start, size }
        }

        fn bytes(&mut self) -> &mut [u8] {
            // SAFETY: ours alone, and of this size.
            unsafe { std::slice::from_raw_parts_mut(self.start, self.size) }
        }

        fn resize(&mut self, size: usize) {
            // SAFETY: the layout is the one that it was made with; the size is not zero.
            self.start = unsafe { Arena.realloc(self.start, layout(self.size), size) };
            self.size = size;
        }

        fn free(self) {
            // SAFETY: the layout is the one that it was made with.
            unsafe { Arena.dealloc(self.start, layout(self.size)) };
        }
    }

    #[test]
    fn blocks_are_disjoint_and_grow() {
        let mut one = Block::new(24);
        let mut two = Block::new(40);
        assert!(two.start as usize >= one.start as usize + 24);
        one.bytes().fill(1);
        two.bytes().fill(2);
        // The latest grows in place, an earlier one moves.
        let before = two.start;
        two.resize(80);
        assert_eq!(two.start, before);
        let before = one.start;
        one.resize(64);
        assert_ne!(one.start, before);
        assert!(one.bytes()[..24].iter().all(|byte| *byte == 1));
        // The larger of two holes is kept, filled, and grown in; neighbours become one.
        let (small, _keep) = (Block::new(512), Block::new(64));
        let (before, large) = (Block::new(256), Block::new(4096));
        let (_keep, hole) = (Block::new(64), before.start);
        large.free();
        small.free();
        before.free();
        let mut filler = Block::new(1024);
        assert_eq!(filler.start, hole);
        filler.resize(2048);
        assert_eq!(filler.start, hole);
        let beside = Block::new(2048);
        assert_eq!(beside.start as usize, hole as usize + 2048);
        // What does not fit is the C library's, both ways.
        let mut large = Block::new(SIZE);
        assert_eq!(Arena::offset(large.start), None);
        large.bytes().fill(3);
        large.resize(SIZE * 2);
        assert_eq!(large.bytes()[0], 3);
        large.free();
        // Zeroed memory is zero even where something was before.
        one.free();
        assert!(Block::zeroed(64).bytes().iter().all(|byte| *byte == 0));
    }
}
