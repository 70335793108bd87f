//! The short ways to a lock, and the one for programs that wait for many things at once.

use std::future::Future;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

use rustix::pipe::{PipeFlags, pipe_with};

use crate::error::LockError;
use crate::held::{Guard, Held};
use crate::place::Directory;
use crate::request::{Patience, Request};

impl Directory {
    /// Waits for a lock, for nobody else.
    ///
    /// # Errors
    /// As [`Directory::acquire`].
    pub fn lock(&self, name: &str) -> Result<Guard, LockError> {
        self.one(name, Patience::Never)
    }

    /// A lock, for nobody else, if nobody has it.
    ///
    /// # Errors
    /// As [`Directory::acquire`], but that it is held.
    pub fn try_lock(&self, name: &str) -> Result<Option<Guard>, LockError> {
        match self.one(name, Patience::None) {
            Ok(guard) => Ok(Some(guard)),
            Err(error) if error.is_busy() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn one(&self, name: &str, patience: Patience) -> Result<Guard, LockError> {
        let mut held = self.acquire(&Request::exclusive(name)?, patience, None)?;
        let held = held.pop().ok_or_else(|| LockError::Free(name.to_owned()))?;
        Ok(held.guard())
    }

    /// Waits without blocking the caller's thread, in any runtime: a thread of its own waits.
    /// Dropped before it is done, it leaves the queue.
    #[must_use]
    pub fn acquire_async(&self, request: Request) -> Acquiring {
        Acquiring {
            begin: Some((self.clone(), request)),
            shared: Arc::default(),
            cancel: None,
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    result: Option<Result<Vec<Guard>, LockError>>,
    waker: Option<Waker>,
}

/// Locks on their way, see [`Directory::acquire_async`].
#[derive(Debug)]
pub struct Acquiring {
    begin: Option<(Directory, Request)>,
    shared: Arc<Mutex<Shared>>,
    /// Closed, it ends the wait.
    cancel: Option<OwnedFd>,
}

impl Acquiring {
    fn begin(&mut self, directory: Directory, request: Request) -> std::io::Result<()> {
        let (cancelled, cancel) = pipe_with(PipeFlags::CLOEXEC)?;
        self.cancel = Some(cancel);
        let shared = Arc::clone(&self.shared);
        let wait = move || {
            let got =
                directory.acquire_unless(&request, Patience::Never, None, Some(cancelled.as_fd()));
            let got = got.map(|held| held.into_iter().map(Held::guard).collect());
            let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
            shared.result = Some(got);
            if let Some(waker) = shared.waker.take() {
                waker.wake();
            }
        };
        thread::Builder::new()
            .name("ward-lock".to_owned())
            .spawn(wait)
            .map(drop)
    }
}

impl Future for Acquiring {
    type Output = Result<Vec<Guard>, LockError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some((directory, request)) = self.begin.take() {
            let path = directory.path().to_owned();
            if let Err(error) = self.begin(directory, request) {
                return Poll::Ready(Err(LockError::io("wait for locks in", &path)(error)));
            }
        }
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        match shared.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                shared.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
