//! What is known of this process and its host, looked up once: locks are taken in microseconds.

use std::collections::HashMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use ward_sys::account;
use ward_sys::clock;
use ward_sys::pidfd;
use ward_sys::procfs::{self, Stat};

use crate::image::{Entry, Who};

/// Microseconds since 1970.
pub(crate) fn now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(0))
}

/// Microseconds since boot.
pub(crate) fn since_boot() -> u64 {
    u64::try_from(clock::since_boot().as_micros()).unwrap_or(0)
}

/// What is kept where the boot is not known.
const UNKNOWN_BOOT: [u8; 16] = [0; 16];

/// Whether what was written during that boot is of this one. Where either is not known (`/proc` may
/// show processes only) it is taken for it: whoever is not there any more is found out all the same.
pub(crate) fn is_this_boot(other: [u8; 16]) -> bool {
    let own = boot();
    own == other || own == UNKNOWN_BOOT || other == UNKNOWN_BOOT
}

/// Which boot this is.
pub(crate) fn boot() -> [u8; 16] {
    static BOOT: OnceLock<[u8; 16]> = OnceLock::new();
    *BOOT.get_or_init(|| {
        let text = procfs::boot_id().unwrap_or_default();
        let mut digits = text.chars().filter_map(|digit| digit.to_digit(16));
        let mut next = || {
            digits
                .next()
                .and_then(|it| u8::try_from(it).ok())
                .unwrap_or(0)
        };
        std::array::from_fn(|_| next() << 4 | next())
    })
}

pub(crate) fn own_uid() -> u32 {
    static UID: OnceLock<u32> = OnceLock::new();
    *UID.get_or_init(account::own_uid)
}

/// The name of our user, or his number.
pub(crate) fn user() -> &'static str {
    static USER: OnceLock<String> = OnceLock::new();
    USER.get_or_init(|| name_of(own_uid()))
}

/// The name of a user, or his number. It may take another program to find it (getent(1)): nobody
/// asks in a critical section, and each is looked up once.
pub(crate) fn name_of(uid: u32) -> String {
    static NAMES: Mutex<Option<HashMap<u32, String>>> = Mutex::new(None);
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    let known = names.get_or_insert_default().entry(uid);
    let name = known.or_insert_with(|| account::name_of(uid).unwrap_or_else(|| uid.to_string()));
    name.clone()
}

/// Our user's home: `HOME` if that is a directory of his (it may be another's, whom he was before),
/// else what the password database says; none if that is no directory.
pub(crate) fn home() -> Option<PathBuf> {
    let told = std::env::var_os("HOME").map(PathBuf::from);
    let is_ours = |path: &PathBuf| {
        let meta = fs::metadata(path);
        path.is_absolute() && meta.is_ok_and(|meta| meta.is_dir() && meta.uid() == own_uid())
    };
    told.filter(is_ours).or_else(|| {
        let user = account::user(&own_uid().to_string())?;
        Some(PathBuf::from(user.home)).filter(|path| path.is_absolute() && path.is_dir())
    })
}

/// What tells this host from others that may have the same files (machine-id(5)); its name, where
/// that is not known.
pub(crate) fn machine() -> String {
    let id = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let id = id.trim();
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return host().to_owned();
    }
    id.to_owned()
}

/// The name of our host.
pub(crate) fn host() -> &'static str {
    static HOST: OnceLock<String> = OnceLock::new();
    HOST.get_or_init(|| {
        let names = rustix::system::uname();
        names.nodename().to_string_lossy().into_owned()
    })
}

/// The inode of the process namespace that we are in; 0 if it cannot be told.
pub(crate) fn namespace() -> u64 {
    static NAMESPACE: OnceLock<u64> = OnceLock::new();
    *NAMESPACE.get_or_init(|| namespace_of("self"))
}

fn namespace_of(process: &str) -> u64 {
    fs::metadata(format!("/proc/{process}/ns/pid")).map_or(0, |meta| meta.ino())
}

/// This process, which may be a fork of the one that asked before.
pub(crate) fn ourselves() -> Who {
    static PID: AtomicI32 = AtomicI32::new(0);
    static START: AtomicU64 = AtomicU64::new(0);
    let pid = i32::try_from(std::process::id()).unwrap_or(0);
    if PID.load(Ordering::Acquire) != pid {
        START.store(who(pid).start, Ordering::Release);
        PID.store(pid, Ordering::Release);
    }
    Who {
        pid,
        start: START.load(Ordering::Acquire),
    }
}

/// The process of this id as it is now; nobody, if there is none.
pub(crate) fn who(pid: i32) -> Who {
    Stat::of(pid).map_or_else(Who::default, |stat| Who {
        pid,
        start: stat.start_ticks,
    })
}

/// Something that is readable once the work of a holder has ended, where he is that work himself, and so
/// wakes nobody at its end.
pub(crate) fn end_of_own_work(entry: &Entry) -> Option<OwnedFd> {
    let work = entry.work;
    if !entry.is_own_work || entry.namespace != namespace() {
        return None;
    }
    let end = pidfd::open(work.pid).ok()?;
    // Should it have been another's by then, he is looked for once more than need be.
    (who(work.pid) == work).then_some(end)
}

/// Whether the work of a holder runs. From a process namespace that does not contain his, that
/// cannot be seen: then his descriptor alone says that he is there.
pub(crate) fn is_alive(entry: &Entry) -> bool {
    let work = entry.work;
    if work.pid == 0 {
        return false;
    }
    let is_it = |stat: &Stat| stat.start_ticks == work.start && !stat.has_ended();
    if entry.namespace == namespace() {
        return match Stat::of(work.pid) {
            Some(stat) => is_it(&stat),
            // One that is hidden from us may be it.
            None => procfs::exists(work.pid),
        };
    }
    // Another id here, but the same start.
    procfs::all_pids().any(|pid| {
        Stat::of(pid).is_some_and(|stat| is_it(&stat))
            && procfs::innermost_pid(pid) == Some(work.pid)
            && namespace_of(&pid.to_string()) == entry.namespace
    })
}
