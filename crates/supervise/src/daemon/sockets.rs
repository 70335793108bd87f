//! The sockets that FastCGI programs share, as the daemon and the keeper hold them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ward_model::program::Level;

use super::core::Core;
use super::fcgi;
use crate::keeper::Key;

/// Keys of these begin so.
const PREFIX: &str = "fcgi-";

impl Core {
    /// Has the keeper hold a descriptor, for the next daemon.
    ///
    /// # Errors
    /// When the keeper does not take it.
    pub fn keep(&mut self, key: &str, fd: BorrowedFd<'_>) -> io::Result<()> {
        let key = Key::new(key.as_bytes()).ok_or(io::ErrorKind::InvalidInput)?;
        self.custody.keep(key, fd)
    }

    /// A descriptor that an earlier daemon had the keeper hold.
    pub fn take_kept(&mut self, key: &str) -> Option<OwnedFd> {
        let key = Key::new(key.as_bytes())?;
        let (_, fd) = self.custody.kept().find(|(kept, _)| **kept == key)?;
        fd.try_clone_to_owned().ok()
    }

    /// Has the keeper let go of it.
    pub fn let_go(&mut self, key: &str) {
        if let Some(key) = Key::new(key.as_bytes()) {
            self.custody.let_go(key);
        }
    }

    /// Keeps a socket that was just made, here and with the keeper.
    pub(crate) fn keep_socket(&mut self, group: &str, program: &str, fd: OwnedFd) {
        let key = self.fresh_key();
        if let Err(error) = self.keep(&key, fd.as_fd()) {
            let text = format!(
                "the keeper does not take the socket of '{program}', which ends with this daemon: {error}"
            );
            self.say(Level::Error, &text);
        }
        self.socket_keys
            .push((group.to_owned(), program.to_owned(), key));
        if let Some(group) = self.group_mut(group) {
            group.sockets.insert(program.to_owned(), fd);
        }
        self.remember();
    }

    /// Closes a socket that nobody uses any more.
    pub(crate) fn close_socket(&mut self, group: &str, program: &str) {
        let is_this =
            |(g, p, _): &&(String, String, String)| g.as_str() == group && p.as_str() == program;
        let keys: Vec<String> = self
            .socket_keys
            .iter()
            .filter(is_this)
            .map(|(_, _, key)| key.clone())
            .collect();
        for key in keys {
            self.let_go(&key);
        }
        self.socket_keys
            .retain(|(g, p, _)| !(g.as_str() == group && p.as_str() == program));
        let mut closed = None;
        if let Some(found) = self.group_mut(group) {
            found.sockets.remove(program);
            closed = found
                .config
                .processes
                .iter()
                .find(|process| process.program == program)
                .and_then(|process| process.socket.clone());
        }
        if let Some(socket) = closed {
            let text = format!("Closing socket {}", fcgi::address_of(&socket));
            self.say(Level::Info, &text);
            fcgi::remove(&socket);
        }
        self.remember();
    }

    /// Takes back from the keeper what an earlier daemon gave it.
    pub(crate) fn recall_sockets(&mut self) {
        let keys = self.socket_keys.clone();
        for (group, program, key) in keys {
            let kept = self.take_kept(&key);
            let group = self.group_mut(&group);
            match (group, kept) {
                (Some(group), Some(fd)) => {
                    group.sockets.insert(program, fd);
                }
                // Closed, or of a group that is no more, by a daemon that did not come to write that down.
                (_, _) => self.socket_keys.retain(|(_, _, known)| *known != key),
            }
        }
        self.let_go_of_unknown_sockets();
    }

    /// Has the keeper let go of sockets that a killed daemon did not come to write down: they would be in
    /// the way of new ones.
    pub(crate) fn let_go_of_unknown_sockets(&mut self) {
        let unknown: Vec<Key> = self
            .custody
            .kept()
            .map(|(key, _)| *key)
            .filter(|key| key.bytes().starts_with(PREFIX.as_bytes()))
            .filter(|key| {
                let known =
                    |(_, _, known): &(String, String, String)| known.as_bytes() == key.bytes();
                !self.socket_keys.iter().any(known)
            })
            .collect();
        for key in unknown {
            self.custody.let_go(key);
        }
    }

    /// A key that no socket has: numbers begin anew with each daemon.
    fn fresh_key(&mut self) -> String {
        loop {
            let key = format!("{PREFIX}{}", self.next_id());
            let is_known = self.socket_keys.iter().any(|(_, _, known)| *known == key);
            if !is_known {
                return key;
            }
        }
    }
}
