//! Becoming a new version in place: the same process id, the same children, the same pipes.
//!
//! The executable is found by its path, as the one that runs may have been replaced there. Before the
//! keeper becomes it, it is asked whether it knows a roster of this layout: after the exec it would be
//! too late. Whatever else lies at that path by now gives another answer, or none.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use rustix::process::Pid;
use ward_sys::clock;
use ward_sys::contain::process;
use ward_sys::shared::SharedNumber;

use super::handing::List;
use super::offspring::{environment_with, prepare};
use super::role::{self, House};
use super::roster::Word;
use super::watch::{HEARD, Keeper};
use super::wire::Message;

/// The answer of one that knows the layout.
pub(super) const FITS: u8 = 86;
/// The answer of one that does not.
pub(super) const DOES_NOT_FIT: u8 = 87;

/// How long it may think.
const PATIENCE: Duration = Duration::from_secs(10);
const SIGKILL: i32 = 9;

/// An executable that is being asked.
#[derive(Debug)]
pub(super) struct Check {
    pid: Pid,
    until: Option<Duration>,
}

impl Check {
    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    pub(super) fn due(&self) -> Option<Duration> {
        self.until
    }

    /// Ends it if it does not answer: its end is the answer then.
    pub(super) fn give_up_if_late(&mut self, now: Duration) {
        if self.until.is_some_and(|until| until <= now) {
            self.until = None;
            let _ = process::signal_own_child(self.pid, SIGKILL);
        }
    }
}

fn executable(house: &House) -> Option<OsString> {
    let path = house.roster.executable();
    (!path.is_empty()).then(|| OsStr::from_bytes(&path).to_owned())
}

/// Asks the executable.
pub(super) fn check(house: &House) -> io::Result<Check> {
    let file = executable(house).ok_or(io::ErrorKind::NotFound)?;
    // What is not ward any more does the least harm with this.
    let command = [OsString::from("ward"), OsString::from("--version")];
    let launch = prepare(&command, &file, role::check(), &[], true).map_err(io::Error::other)?;
    let told = SharedNumber::new()?;
    let pid = launch.start(&told).map_err(io::Error::other)?;
    Ok(Check {
        pid,
        until: Some(clock::since_boot() + PATIENCE),
    })
}

/// Becomes it. Returns only if it cannot.
pub(super) fn become_new(keeper: &Keeper) {
    let house = &keeper.house;
    let Some(file) = executable(house) else {
        return;
    };
    let mut list = List::new();
    each_held(keeper, |what, fd| list.add(what, fd));
    if let Ok(list) = list.file()
        && house.pass_on().is_ok()
    {
        become_keeper(house, &file, role::again(house, &list));
    }
    house.keep_back();
    each_held(keeper, |_, fd| ward_sys::handover::keep_back(fd));
}

fn each_held(keeper: &Keeper, mut each: impl FnMut(&Message, std::os::fd::BorrowedFd<'_>)) {
    let high = keeper.house.roster.high();
    for (slot, generation, stream, fd) in keeper.readers.each(high) {
        each(&Message::Readers(slot, generation, stream), fd);
    }
    for (slot, generation, fd) in keeper.fosters.each() {
        each(&Message::Foster(slot, generation), fd);
    }
    let mut from = 0;
    while let Some((place, key, fd)) = keeper.kept.next(from) {
        each(&Message::Keep(key), fd);
        from = place + 1;
    }
}

/// Becomes a keeper by this role, called what the user called the first one. Returns only on failure.
pub(super) fn become_keeper(house: &House, file: &OsStr, role: OsString) -> io::Error {
    let mut arguments = vec![OsStr::from_bytes(&house.roster.argv0()).to_owned()];
    arguments.extend(std::env::args_os().skip(1));
    // Until there is one again, nobody answers.
    house.roster.set(Word::Bell, 0);
    ward_sys::handover::become_program(file, &arguments, &environment_with(role), &HEARD)
}
