//! Signing in: off the thread that serves, a few at a time, slower for who guesses.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ring::hmac::{self, HMAC_SHA256};
use ring::rand::SystemRandom;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use ward_build::api::{Access, Account};

use super::brake::Brake;
use crate::http::Visitor;

/// How many passwords are worked on at a time: each keeps a processor busy for a while, on purpose.
const AT_A_TIME: usize = 2;

/// How many wait to sign in, those that are slowed down included.
const WAITING: usize = 256;

/// How long a right password is remembered. One that was changed is good for no longer than that.
const REMEMBERED: Duration = Duration::from_secs(30);

/// How many of them.
const MAX_REMEMBERED: usize = 1024;

/// Bytes of a name or a secret.
const MAX_SAID: usize = 1024;

/// Lets people in.
pub(super) struct Guard {
    access: Arc<dyn Access>,
    key: hmac::Key,
    /// By what was said, which is not kept itself.
    known: RefCell<HashMap<Vec<u8>, (Account, Instant)>>,
    brake: RefCell<Brake>,
    desk: Semaphore,
    waiting: Cell<usize>,
}

/// What came of it.
pub(super) enum SignIn {
    /// They are who they say.
    Welcome(Account),
    /// They are not.
    Wrong,
    /// Too many others want to know the same.
    Busy,
}

/// Somebody who waits.
struct Seat<'a>(&'a Cell<usize>);

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

impl Guard {
    pub(super) fn new(access: Arc<dyn Access>) -> io::Result<Self> {
        let key = hmac::Key::generate(HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| io::Error::other("the system gives no random numbers"))?;
        Ok(Self {
            access,
            key,
            known: RefCell::default(),
            brake: RefCell::default(),
            desk: Semaphore::new(AT_A_TIME),
            waiting: Cell::new(0),
        })
    }

    pub(super) async fn sign_in(&self, visitor: Visitor, user: &str, secret: &str) -> SignIn {
        if user.len() > MAX_SAID || secret.len() > MAX_SAID {
            return SignIn::Wrong;
        }
        let said = self.digest(user, secret);
        if let Some(account) = self.remembered(&said) {
            return SignIn::Welcome(account);
        }
        if self.waiting.get() >= WAITING {
            return SignIn::Busy;
        }
        self.waiting.set(self.waiting.get() + 1);
        let _seat = Seat(&self.waiting);
        let pause = self
            .brake
            .borrow_mut()
            .pause(visitor.address, user, Instant::now());
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        let Ok(_permit) = self.desk.acquire().await else {
            return SignIn::Busy;
        };
        let access = Arc::clone(&self.access);
        let (name, word) = (user.to_owned(), secret.to_owned());
        let worked = tokio::task::spawn_blocking(move || access.sign_in(&name, &word)).await;
        match worked {
            Ok(Some(account)) => {
                // Tokens are quick to look at, and are to be worthless at once when they are revoked.
                if !account.by_token {
                    self.remember(said, &account);
                }
                SignIn::Welcome(account)
            }
            Ok(None) => {
                let now = Instant::now();
                self.brake.borrow_mut().failed(visitor.address, user, now);
                SignIn::Wrong
            }
            Err(_) => SignIn::Busy,
        }
    }

    fn digest(&self, user: &str, secret: &str) -> Vec<u8> {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&(user.len() as u64).to_le_bytes());
        context.update(user.as_bytes());
        context.update(secret.as_bytes());
        context.sign().as_ref().to_vec()
    }

    fn remembered(&self, said: &[u8]) -> Option<Account> {
        let known = self.known.borrow();
        let (account, since) = known.get(said)?;
        (since.elapsed() < REMEMBERED).then(|| account.clone())
    }

    fn remember(&self, said: Vec<u8>, account: &Account) {
        let mut known = self.known.borrow_mut();
        if known.len() >= MAX_REMEMBERED {
            known.retain(|_, (_, since)| since.elapsed() < REMEMBERED);
        }
        if known.len() < MAX_REMEMBERED {
            known.insert(said, (account.clone(), Instant::now()));
        }
    }
}
