//! Locks that a program takes again and again: their files stay open between the turns.
//!
//! That is not for every lock of a program: whoever closes the descriptors that he does not know, or is
//! forked between two turns, would have to know of it. Here he does, as whoever has a file open.

use std::ops::Deref;

use crate::error::LockError;
use crate::held::Held;
use crate::place::Directory;
use crate::request::{Patience, Request};
use crate::store::Store;

/// What is asked for again and again, see [`Directory::turns`].
#[derive(Debug)]
pub struct Turns {
    directory: Directory,
    request: Request,
    opened: Vec<Store>,
}

impl Directory {
    /// For a program that asks for the same very often: in each turn a fifth of the time goes into
    /// opening and closing the files of the locks, which stay open here until this is dropped.
    ///
    /// Where a command inherited [`Held::descriptor`], or a file has lost its name, it is opened anew; until
    /// then a file that was removed takes its room, and the mount that it is on is busy.
    ///
    /// It is not for a program that is forked and goes on in both halves (fork(2) without execve(2)). They are
    /// two to the lock, and a turn that the child has a copy of is the parent's alone; but where the parent is
    /// killed, the child keeps what it held, or, if it was about to change the queue, everybody out of it. Nor
    /// is it for one that closes descriptors that it does not know (closefrom(3)).
    ///
    /// ```no_run
    /// use ward_lock::{Directory, Patience, Request};
    ///
    /// let mut turns = Directory::usual()?.turns(Request::exclusive("ledger")?);
    /// for _ in 0..1_000_000 {
    ///     let turn = turns.take(Patience::Never)?;
    ///     println!("token {}", turn[0].token());
    /// }
    /// # Ok::<(), ward_lock::LockError>(())
    /// ```
    #[must_use]
    pub fn turns(&self, request: Request) -> Turns {
        Turns {
            directory: self.clone(),
            request,
            opened: Vec::new(),
        }
    }
}

impl Turns {
    /// Gets all that is asked for.
    ///
    /// # Errors
    /// As [`Directory::acquire`].
    pub fn take(&mut self, patience: Patience) -> Result<Turn<'_>, LockError> {
        let Self {
            directory,
            request,
            opened,
        } = self;
        let held = directory.acquire_by(opened, request, patience, None, None)?;
        Ok(Turn { held, opened })
    }
}

/// What is held until this is dropped, in the order in which the locks were named.
#[derive(Debug)]
pub struct Turn<'a> {
    held: Vec<Held>,
    opened: &'a mut Vec<Store>,
}

impl Deref for Turn<'_> {
    type Target = [Held];

    fn deref(&self) -> &[Held] {
        &self.held
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        for held in self.held.drain(..) {
            // In a fork it is the other half's, who may be in a later turn by now.
            if !held.store.is_of_this_process() {
                continue;
            }
            held.release();
            if held.store.is_free() {
                self.opened.push(held.store);
            }
        }
    }
}
