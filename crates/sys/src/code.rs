//! The program's own code in memory. Whoever starts something and then waits for hours needs little
//! of what he has run.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the program has allowed it: it must be one whose code nobody writes to.
static ALLOWED: AtomicBool = AtomicBool::new(false);

unsafe extern "C" {
    /// Where the program's file begins in memory, and where its code ends (ld(1)).
    static __ehdr_start: u8;
    static etext: u8;
}

/// Allows [`let_rest`]. Only for a program without relocations in its code (`DT_TEXTREL`), as they
/// would be lost; breakpoints of a debugger are.
pub fn allow_rest() {
    ALLOWED.store(true, Ordering::Relaxed);
}

/// Gives the pages of the program's code back. They stay in the page cache, and are mapped again as they
/// are needed.
pub fn let_rest() {
    const PAGE: usize = 4096;
    if !ALLOWED.load(Ordering::Relaxed) {
        return;
    }
    let start = (&raw const __ehdr_start).addr();
    let end = (&raw const etext).addr() / PAGE * PAGE;
    let start_page = start / PAGE * PAGE;
    if end > start_page {
        let first = std::ptr::with_exposed_provenance_mut::<libc::c_void>(start_page);
        // SAFETY: a private mapping of a file to which nobody has written: what is read next is what
        // was there before.
        let _ = unsafe { libc::madvise(first, end - start_page, libc::MADV_DONTNEED) };
    }
}
