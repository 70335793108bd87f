//! The daemon's last resort: its keeper was killed.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;

use ward_sys::handover;

use super::Custody;
use crate::keeper::handing::List;
use crate::keeper::offspring::SELF;
use crate::keeper::pipes::{self, End};
use crate::keeper::wire::Message;
use crate::keeper::{role, upgrade};

impl Custody {
    /// Becomes the keeper, after [`FromKeeper::KeeperGone`]: this process goes on under its id as a new
    /// keeper, which has everything that this custody has, and starts a new daemon. Must be called by the
    /// only thread. Returns only if that fails; it can be tried again.
    pub fn take_over(&mut self) -> io::Error {
        let mut list = List::new();
        let mut passed = Vec::new();
        let directory = self.house.directory.as_fd();
        let all = match pipes::all(directory) {
            Ok(all) => all,
            Err(error) => return error,
        };
        // Our own readers of them will be closed: what is in them stays only while these are open.
        for (slot, generation, end) in all {
            if let End::Out(stream) = end
                && let Ok(fd) = pipes::reader(directory, slot, generation, stream)
            {
                list.add(&Message::Readers(slot, generation, stream), fd.as_fd());
                passed.push(fd);
            }
        }
        for slot in self.house.roster.slots() {
            if let Some(live) = &self.live[slot.index()] {
                let generation = self.house.roster.cell(slot).generation;
                list.add(&Message::Foster(slot, generation), live.pidfd.as_fd());
            }
        }
        for (key, fd) in &self.kept {
            list.add(&Message::Keep(*key), fd.as_fd());
        }
        let error = match list.file().and_then(|file| {
            self.house.pass_on()?;
            Ok(file)
        }) {
            Ok(file) => {
                let role = role::again(&self.house, &file);
                upgrade::become_keeper(&self.house, OsStr::new(SELF), role)
            }
            Err(error) => error,
        };
        self.house.keep_back();
        for live in self.live.iter().flatten() {
            handover::keep_back(&live.pidfd);
        }
        for fd in self.kept.values() {
            handover::keep_back(fd);
        }
        error
    }
}
