//! What a process of ours is told it is, by the one that it was before or was started by: a word in one
//! variable of its environment, with the numbers of descriptors that came with it.

use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use thiserror::Error;
use ward_sys::handover;
use ward_sys::spawn::take_inherited;

use super::roster::{self, LAYOUT_VERSION, Roster, RosterError};

/// The variable. It is taken out of the environment as it is read, and given to no program.
pub const VARIABLE: &str = "WARD_ROLE";

/// Why a role cannot be played.
#[derive(Debug, Error)]
pub enum RoleError {
    /// The variable was set by somebody else.
    #[error("{VARIABLE} does not say what this process is to be")]
    Word,
    /// The descriptors are not there.
    #[error("{VARIABLE} names descriptors that this process does not have")]
    Descriptors,
    /// One of them is not what it should be.
    #[error("{VARIABLE} names a roster that cannot be used")]
    Roster(#[source] RosterError),
}

impl RoleError {
    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> String {
        format!("{VARIABLE} is used between ward's own processes only: unset it")
    }
}

/// Roster and runtime directory.
#[derive(Debug)]
pub(super) struct House {
    pub(super) roster: Roster,
    pub(super) directory: OwnedFd,
}

/// What to be.
#[derive(Debug)]
pub(super) enum Role {
    /// The keeper, begun by the user; with the descriptor by which the user's process waits.
    Keeper(House, Option<OwnedFd>),
    /// The keeper that a keeper or a daemon has become, with the list of what passed over.
    Again(House, OwnedFd),
    /// The daemon, with its socket.
    Daemon(House, OwnedFd),
    /// Says whether this program knows a roster of this layout.
    Check(u64),
}

const KEEPER: &str = "keeper";
const AGAIN: &str = "again";
const DAEMON: &str = "daemon";
const CHECK: &str = "check";

/// Its word, for a role with these descriptors.
fn word(role: &str, numbers: [RawFd; 3]) -> OsString {
    let [one, two, three] = numbers;
    format!("{role}:{one},{two},{three}").into()
}

pub(super) fn keeper(house: &House, waits: Option<&OwnedFd>) -> OsString {
    let waits = waits.map_or(-1, AsRawFd::as_raw_fd);
    word(
        KEEPER,
        [house.roster_number(), house.directory.as_raw_fd(), waits],
    )
}

pub(super) fn again(house: &House, list: &OwnedFd) -> OsString {
    let list = list.as_raw_fd();
    word(
        AGAIN,
        [house.roster_number(), house.directory.as_raw_fd(), list],
    )
}

pub(super) fn daemon(house: &House, socket: &OwnedFd) -> OsString {
    let socket = socket.as_raw_fd();
    word(
        DAEMON,
        [house.roster_number(), house.directory.as_raw_fd(), socket],
    )
}

pub(super) fn check() -> OsString {
    format!("{CHECK}:{LAYOUT_VERSION}").into()
}

impl House {
    pub(super) fn roster_number(&self) -> RawFd {
        use std::os::fd::AsFd;
        self.roster.as_fd().as_raw_fd()
    }

    /// Lets both pass over an exec.
    pub(super) fn pass_on(&self) -> std::io::Result<()> {
        handover::pass_on(&self.roster)?;
        handover::pass_on(&self.directory)
    }

    /// Takes that back.
    pub(super) fn keep_back(&self) {
        handover::keep_back(&self.roster);
        handover::keep_back(&self.directory);
    }
}

/// What this process is to be; none for an ordinary one. A daemon's role is left for
/// [`super::Custody::from_role`] if `leave_daemon`.
pub(super) fn take(leave_daemon: bool) -> Option<Result<Role, RoleError>> {
    let value = std::env::var_os(VARIABLE)?;
    let is_daemon = value.to_str().is_some_and(|it| it.starts_with(DAEMON));
    if leave_daemon && is_daemon {
        return None;
    }
    let value = handover::take_variable(VARIABLE)?;
    Some(value.to_str().ok_or(RoleError::Word).and_then(parse))
}

fn parse(value: &str) -> Result<Role, RoleError> {
    let (role, rest) = value.split_once(':').ok_or(RoleError::Word)?;
    if role == CHECK {
        return rest.parse().map(Role::Check).map_err(|_| RoleError::Word);
    }
    if ![KEEPER, AGAIN, DAEMON].contains(&role) {
        return Err(RoleError::Word);
    }
    let numbers: Vec<RawFd> = rest
        .split(',')
        .map(str::parse)
        .collect::<Result<_, _>>()
        .map_err(|_| RoleError::Word)?;
    let [file, directory, third] = numbers[..] else {
        return Err(RoleError::Word);
    };
    if file == directory || file == third || directory == third {
        return Err(RoleError::Word);
    }
    let take = |number: RawFd| {
        // Standard streams are never passed so.
        let inherited = (number > 2).then(|| take_inherited(number)).flatten();
        inherited.ok_or(RoleError::Descriptors)
    };
    let house = House {
        roster: roster::inherited(take(file)?).map_err(RoleError::Roster)?,
        directory: take(directory)?,
    };
    match role {
        KEEPER if third == -1 => Ok(Role::Keeper(house, None)),
        KEEPER => Ok(Role::Keeper(house, Some(take(third)?))),
        AGAIN => Ok(Role::Again(house, take(third)?)),
        _ => Ok(Role::Daemon(house, take(third)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_set_by_hand_is_refused() {
        for value in [
            "",
            "keeper",
            "king:3,4,5",
            "keeper:3",
            "keeper:a,b,c",
            "check:x",
        ] {
            assert!(matches!(parse(value), Err(RoleError::Word)), "{value}");
        }
        for value in ["keeper:3,3,-1", "daemon:3,4,4"] {
            assert!(matches!(parse(value), Err(RoleError::Word)), "{value}");
        }
        for value in ["keeper:0,1,2", "daemon:9999,9998,9997", "again:-1,-2,-3"] {
            let refused = parse(value);
            assert!(matches!(refused, Err(RoleError::Descriptors)), "{value}");
        }
        assert!(matches!(parse("check:1"), Ok(Role::Check(1))));
    }
}
