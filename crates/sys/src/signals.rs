//! Blocking signals, and reading them with their origin from a descriptor (signalfd(2)).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The signal mask as it was; see [`block_everything`].
#[derive(Debug)]
#[must_use = "restore the mask"]
pub struct SavedMask(libc::sigset_t);

impl SavedMask {
    /// Puts the mask back.
    pub fn restore(self) {
        // SAFETY: the set was filled by the kernel; a null old set is allowed.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut()) };
    }
}

fn full_set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigfillset initialises the whole set.
    unsafe { libc::sigfillset(set.as_mut_ptr()) };
    // SAFETY: initialised by the call above, which cannot fail for a valid pointer.
    unsafe { set.assume_init() }
}

/// Blocks every signal that can be blocked in this thread.
pub fn block_everything() -> SavedMask {
    let all = full_set();
    let mut old = MaybeUninit::uninit();
    // SAFETY: both pointers are valid for the call.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, old.as_mut_ptr()) };
    // SAFETY: the call above filled it; it cannot fail with SIG_BLOCK.
    SavedMask(unsafe { old.assume_init() })
}

/// Blocks these signals in this thread.
pub fn block(signals: &[i32]) -> SavedMask {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the whole set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: initialised above.
    let mut set = unsafe { set.assume_init() };
    for signal in signals {
        // SAFETY: the set is initialised; a bad number is answered by an error.
        unsafe { libc::sigaddset(&raw mut set, *signal) };
    }
    let mut old = MaybeUninit::uninit();
    // SAFETY: both pointers are valid for the call.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, old.as_mut_ptr()) };
    // SAFETY: the call above filled it; it cannot fail with SIG_BLOCK.
    SavedMask(unsafe { old.assume_init() })
}

/// A received signal and where it came from (sigaction(2), siginfo_t).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Its number.
    pub signal: i32,
    /// Who sent it, if a process did; the kernel sends those of the terminal.
    pub sender: Option<Sender>,
    /// The number that came with it, where the sender gave one (sigqueue(3)).
    pub value: Option<i32>,
}

/// The sending process, as it was then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender {
    /// Its id in our namespace; 0 if it is outside.
    pub pid: i32,
    /// Its real user.
    pub uid: u32,
}

/// Signals of this process as a readable descriptor. They stay blocked.
#[derive(Debug)]
pub struct SignalSource(OwnedFd);

impl SignalSource {
    /// Blocks `signals` and makes them readable here.
    ///
    /// # Errors
    /// As signalfd(2).
    pub fn new(signals: &[i32]) -> io::Result<Self> {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigemptyset initialises the whole set.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        // SAFETY: initialised above.
        let mut set = unsafe { set.assume_init() };
        for signal in signals {
            // SAFETY: the set is initialised; a bad number is answered by an error.
            unsafe { libc::sigaddset(&raw mut set, *signal) };
        }
        // SAFETY: the set is initialised; a null old set is allowed.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) };
        // Whoever ignores it is not told of children, and their statuses are thrown away.
        // SAFETY: SIG_DFL is a valid disposition.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
        // SAFETY: the set is initialised; -1 asks for a new descriptor.
        let fd =
            unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: signalfd has just made this descriptor, and nobody else knows it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The next pending signal, if there is one.
    #[must_use]
    pub fn next(&self) -> Option<Received> {
        const SIZE: usize = size_of::<libc::signalfd_siginfo>();
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
        // SAFETY: the buffer has the size of one record, and the kernel writes whole ones.
        let read = unsafe { libc::read(self.0.as_raw_fd(), info.as_mut_ptr().cast(), SIZE) };
        if usize::try_from(read) != Ok(SIZE) {
            return None;
        }
        // SAFETY: zeroed, then filled by the kernel; every bit pattern is valid.
        let info = unsafe { info.assume_init() };
        // SI_USER, SI_QUEUE and SI_TKILL are zero or negative: a process sent it.
        let sender = (info.ssi_code <= 0).then(|| Sender {
            pid: i32::try_from(info.ssi_pid).unwrap_or(0),
            uid: info.ssi_uid,
        });
        Some(Received {
            signal: i32::try_from(info.ssi_signo).unwrap_or(0),
            sender,
            value: (info.ssi_code == libc::SI_QUEUE).then_some(info.ssi_int),
        })
    }
}

impl AsFd for SignalSource {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What [`ignore`] was called with, a bit each.
static IGNORED: AtomicU64 = AtomicU64::new(0);

/// The signals that this process may ignore, a bit each (1 is the lowest): those that it was started with
/// so, or made ignored before this was asked for the first time, and those of [`ignore`]. Nobody else
/// ignores any later.
pub(crate) fn may_be_ignored() -> u64 {
    static FOUND: OnceLock<u64> = OnceLock::new();
    let found = FOUND.get_or_init(|| (1..=64).filter(|it| is_ignored_raw(*it)).map(bit).sum());
    found | IGNORED.load(Ordering::Acquire)
}

pub(crate) fn bit(signal: i32) -> u64 {
    1 << ((signal - 1) & 63)
}

/// As [`is_ignored`], also for the signals that the C library keeps for itself.
fn is_ignored_raw(signal: i32) -> bool {
    // struct kernel_sigaction of every architecture begins with the handler.
    let mut action = [0_usize; 8];
    let nothing = ptr::null::<libc::c_void>();
    // SAFETY: a null new action only asks; the buffer is larger than the answer.
    let asked = unsafe {
        libc::syscall(
            libc::SYS_rt_sigaction,
            libc::c_long::from(signal),
            nothing,
            action.as_mut_ptr(),
            8_usize,
        )
    };
    asked == 0 && action[0] == libc::SIG_IGN
}

/// Ignores a signal. What this process starts by [`crate::spawn`] does not.
pub fn ignore(signal: i32) {
    if [libc::SIGKILL, libc::SIGSTOP].contains(&signal) {
        // Nobody can (sigaction(2)), and who is started could not be told otherwise either.
        return;
    }
    // First this: whoever is started meanwhile is not to be deaf.
    IGNORED.fetch_or(bit(signal), Ordering::AcqRel);
    // SAFETY: SIG_IGN is a valid disposition for every signal that can be ignored; the call
    // fails for the others.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// Whether a signal is ignored, as nohup(1) has HUP ignored for what it starts.
#[must_use]
pub fn is_ignored(signal: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a null new action only asks; the buffer has the right type.
    unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) };
    // SAFETY: zeroed, then filled; every bit pattern is valid.
    unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

/// Does to this process what `signal` does by default: end it, with that signal as its
/// status, or stop it (and then returns when it is continued).
///
/// The default action of the keyboard's stop signals does nothing in an orphaned process
/// group, where nobody could continue it; that is left to the kernel on purpose.
pub fn take_default_action(signal: i32) {
    // SAFETY: SIG_DFL is a valid disposition for every signal but KILL and STOP, which
    // answer with an error.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
    // SAFETY: sends a signal to this thread only.
    unsafe { libc::raise(signal) };
    let mut only = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the whole set.
    unsafe { libc::sigemptyset(only.as_mut_ptr()) };
    // SAFETY: initialised above.
    let mut only = unsafe { only.assume_init() };
    // SAFETY: the set is initialised.
    unsafe { libc::sigaddset(&raw mut only, signal) };
    let mut old = MaybeUninit::uninit();
    // SAFETY: both sets are valid; unblocking delivers the raised signal here and now.
    unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const only, old.as_mut_ptr()) };
    // SAFETY: filled by the call above.
    SavedMask(unsafe { old.assume_init() }).restore();
}

/// Keeps this process from writing a core file, for one that dies of the same signal as
/// its command did: the command's core is the one that is wanted.
pub fn no_core_file() {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: a valid struct for a valid resource.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
}

/// Stops this process's whole group as the keyboard would, and returns when it is continued.
pub fn stop_own_group() {
    // SAFETY: 0 is our own process group; the signal waits for ourselves, as it is blocked.
    unsafe { libc::kill(0, libc::SIGTSTP) };
    take_default_action(libc::SIGTSTP);
}
