//! Starting fast.
//!
//! At the start of every program the standard library asks where the main thread's stack is,
//! for a nicer message should it overflow; the C library answers by having the kernel print
//! `/proc/self/maps` and reading it back, which costs a tenth of the whole start. The `ward`
//! binary is linked with `--wrap=pthread_getattr_np`, so that the question comes here.

/// Declines to answer, as the real function may (pthread_getattr_np(3), ENOMEM): an overflow
/// of the main thread is then an ordinary segmentation fault.
///
/// # Safety
/// None is needed: the arguments are not looked at.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __wrap_pthread_getattr_np(
    _thread: libc::pthread_t,
    _attributes: *mut libc::pthread_attr_t,
) -> libc::c_int {
    libc::ENOMEM
}

/// Keeps the function above in the program, whatever the linker thinks of it.
#[used]
static KEPT: unsafe extern "C" fn(libc::pthread_t, *mut libc::pthread_attr_t) -> libc::c_int =
    __wrap_pthread_getattr_np;

/// Declines to tell where the program lies, as the real function may: the C library would ask
/// the kernel for it at every start, only to be able to expand `$ORIGIN` in the paths of shared
/// libraries, of which a static program loads none.
#[unsafe(no_mangle)]
pub extern "C" fn __wrap__dl_get_origin() -> *const libc::c_char {
    usize::MAX as *const libc::c_char
}

#[used]
static KEPT_TOO: extern "C" fn() -> *const libc::c_char = __wrap__dl_get_origin;
