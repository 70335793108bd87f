//! Whom the daemon becomes, and doing something with that user's rights before it does.

use rustix::io::Errno;
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use ward_sys::account::{self, User};

use super::refusal::{Refusal, reason};

/// A user whom the daemon becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Who {
    /// The line of passwd(5).
    pub(crate) user: User,
    /// All groups, the primary one included.
    pub(crate) groups: Vec<u32>,
}

pub(super) fn find_user(name: &str, uid: Uid) -> Result<Who, Refusal> {
    if !uid.is_root() {
        return Err(Refusal::new("Must be root to specify a different user."));
    }
    // Names only: a number is no name, even where it is somebody's.
    match account::user(name).filter(|user| user.name == name) {
        Some(user) => Ok(Who {
            groups: account::groups_of(&user),
            user,
        }),
        None => Err(Refusal::new(format!(
            "Can't find user \"{name}\" in password file."
        ))),
    }
}

/// Does something with the rights of a user, and takes ours back: who starts the daemon needs
/// them. Not in a thread of its own, as a process that has had one cannot be sure to be
/// allowed to fork ([`ward_sys::fork`]).
pub(super) fn as_user<T>(
    who: &Who,
    what: impl FnOnce() -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let Who { user, groups } = who;
    let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
    let (root, our_gid) = (rustix::process::getuid(), rustix::process::getgid());
    let our_groups =
        rustix::process::getgroups().map_err(|error| cannot_become("gid", user.gid, error))?;

    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    set_thread_groups(&groups).map_err(|error| {
        Refusal::new(format!(
            "Can't initialize secondary groups for \"{}\": {}",
            user.name,
            reason(&error.into())
        ))
    })?;
    let result = set_thread_res_gid(our_gid, gid, our_gid)
        .map_err(|error| cannot_become("gid", user.gid, error))
        .and_then(|()| {
            set_thread_res_uid(root, uid, root)
                .map_err(|error| cannot_become("uid", user.uid, error))
        })
        .and_then(|()| what());
    // The user first: only root may set the others.
    let back = set_thread_res_uid(root, root, root)
        .and_then(|()| set_thread_res_gid(our_gid, our_gid, our_gid))
        .and_then(|()| set_thread_groups(&our_groups));
    match back {
        Ok(()) => result,
        Err(error) => Err(Refusal::new(format!(
            "daemonize: cannot become root again after having been \"{}\": {}",
            user.name,
            reason(&error.into())
        ))),
    }
}

fn cannot_become(what: &str, id: u32, error: Errno) -> Refusal {
    Refusal::new(format!(
        "Can't set {what} to {id}: {}",
        reason(&error.into())
    ))
}
