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
    /// As with any open file, a process that is forked from this one meanwhile, and does not become another
    /// program, has the descriptors too: it is somebody else to the lock, but where this program is killed
    /// in a later turn, the lock stays held until that process has ended. Where a command inherited
    /// [`Held::descriptor`], or a file has lost its name, it is opened anew.
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
            held.release();
            self.opened.push(held.store);
        }
    }
}
