//! Memory that was freed and is still held.

/// Gives the kernel back what was freed and is kept for the next allocation (malloc_trim(3)): after work that
/// needed far more than what stays.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: may be called at any time, from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
