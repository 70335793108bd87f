//! What a supervisor does to its own process before it starts anything: limits raised, privileges
//! dropped.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{Gid, Uid, set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use thiserror::Error;
use ward_config::value::Account;
use ward_sys::account;

/// Why it cannot be as it should.
#[derive(Debug, Error)]
pub enum Unsettled {
    /// Fewer open files or processes than are asked for.
    #[error(
        "The minimum number of {things} required to run this process is {wanted} as per the \"{key}\" command-line argument or config file setting. The current environment will only allow you to {verb} {hard} {things}.  Either raise the number of usable {things} in your environment or lower the {key} setting in the config file to allow the process to start."
    )]
    TooFew {
        /// `file descriptors` or `processes`.
        things: &'static str,
        /// `open` or `have`.
        verb: &'static str,
        /// `minfds` or `minprocs`.
        key: &'static str,
        /// How many.
        wanted: u64,
        /// The hard limit.
        hard: u64,
    },
    /// Not root.
    #[error("Can't drop privilege as nonroot user")]
    NotRoot,
    /// A user without a number.
    #[error("Invalid user name {0}")]
    Nobody(String),
    /// The system's own.
    #[error("cannot become user {name}")]
    Refused {
        /// Who.
        name: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Raises the soft limits to at least so many open files and processes; as root, the hard ones too.
///
/// # Errors
/// [`Unsettled::TooFew`].
pub fn raise_limits(minfds: i64, minprocs: i64) -> Result<(), Unsettled> {
    let wanted = |number: i64| u64::try_from(number).unwrap_or(0);
    raise(
        Resource::Nofile,
        wanted(minfds),
        ["file descriptors", "open", "minfds"],
    )?;
    raise(
        Resource::Nproc,
        wanted(minprocs),
        ["processes", "have", "minprocs"],
    )
}

fn raise(
    resource: Resource,
    wanted: u64,
    [things, verb, key]: [&'static str; 3],
) -> Result<(), Unsettled> {
    let now = getrlimit(resource);
    if now.current.is_none_or(|soft| soft >= wanted) {
        return Ok(());
    }
    let new = Rlimit {
        current: Some(wanted),
        maximum: now.maximum.map(|hard| hard.max(wanted)),
    };
    setrlimit(resource, new).map_err(|_| Unsettled::TooFew {
        things,
        verb,
        key,
        wanted,
        hard: now.maximum.unwrap_or(u64::MAX),
    })
}

/// Becomes this user, with its groups, for good. Nothing is to be done for who is this user already.
///
/// Must be called while the process has one thread: the kernel keeps credentials by thread (setuid(2)).
///
/// # Errors
/// When we are not root, or the user is not known.
pub fn drop_privileges(user: &Account) -> Result<(), Unsettled> {
    let unknown = || Unsettled::Nobody(user.name.clone());
    let uid = user.uid.ok_or_else(unknown)?;
    let current = rustix::process::getuid().as_raw();
    if current == uid {
        return Ok(());
    }
    if current != 0 {
        return Err(Unsettled::NotRoot);
    }
    let account = account::user(&uid.to_string()).ok_or_else(unknown)?;
    let refused = |error: rustix::io::Errno| Unsettled::Refused {
        name: user.name.clone(),
        source: error.into(),
    };
    let groups: Vec<Gid> = account::groups_of(&account)
        .into_iter()
        .map(Gid::from_raw)
        .collect();
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(account.gid));
    set_thread_groups(&groups).map_err(refused)?;
    set_thread_res_gid(gid, gid, gid).map_err(refused)?;
    set_thread_res_uid(uid, uid, uid).map_err(refused)
}
