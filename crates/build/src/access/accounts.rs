//! Accounts: who there is, who is let in, and what commands change.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::book::{Book, Edition, Shelf, Token, User};
use super::error::AccessError;
use super::secret::{Hashed, ROUNDS, Signer, cookie, fingerprint, is_like_token, token};
use super::sessions::Sessions;
use crate::api::{Access, Account, Role};

/// So many accounts there may be.
const MOST_USERS: usize = 10_000;

/// So many tokens an account may have.
const MOST_TOKENS: usize = 100;

/// What who does not sign in is called.
const ANONYMOUS: &str = "anonymous";

/// The accounts of a server's directory.
pub struct Accounts {
    shelf: Shelf,
    anonymous: Option<Role>,
    rounds: u32,
    signer: Signer,
    known: Mutex<Known>,
    sessions: Mutex<Sessions>,
}

/// What was read last.
#[derive(Debug, Default)]
struct Known {
    edition: Option<Edition>,
    book: Book,
    /// The file cannot be read: nobody is let in.
    broken: bool,
}

/// An account in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserLine {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Whether a password lets in; tokens do in any case.
    pub has_password: bool,
    /// Its tokens, oldest first.
    pub tokens: Vec<TokenLine>,
}

/// A token in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenLine {
    /// What its owner calls it.
    pub label: String,
    /// Seconds since the epoch.
    pub created_at: i64,
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts")
            .field("shelf", &self.shelf)
            .field("anonymous", &self.anonymous)
            .finish_non_exhaustive()
    }
}

impl Accounts {
    /// The accounts of the server's directory `home`, which must be there. `anonymous` is what who does not
    /// sign in may do.
    ///
    /// # Errors
    /// The file of accounts is damaged, cannot be read, or may be read by others.
    pub fn open(home: &Path, anonymous: Option<Role>) -> Result<Self, AccessError> {
        let accounts = Self {
            shelf: Shelf::new(home),
            anonymous,
            rounds: ROUNDS,
            signer: Signer::new()?,
            known: Mutex::default(),
            sessions: Mutex::default(),
        };
        let edition = accounts.shelf.edition()?;
        let book = accounts.shelf.read()?;
        *lock(&accounts.known) = Known {
            edition,
            book,
            broken: false,
        };
        Ok(accounts)
    }

    /// Adds an account. Without a password only its tokens let in.
    ///
    /// # Errors
    /// The name or password cannot be used, the account exists, or the file cannot be written.
    pub fn add_user(
        &self,
        name: &str,
        role: Role,
        password: Option<&str>,
    ) -> Result<(), AccessError> {
        if !is_name(name) {
            return Err(AccessError::BadName(name.to_owned()));
        }
        let password = password.map(|text| self.hashed(text)).transpose()?;
        self.shelf.change(|book| {
            if book.user(name).is_some() {
                return Err(AccessError::Exists {
                    what: "account",
                    name: name.to_owned(),
                });
            }
            if book.users.len() >= MOST_USERS {
                return Err(AccessError::TooMany(MOST_USERS));
            }
            book.users.push(User {
                name: name.to_owned(),
                role,
                password,
                tokens: Vec::new(),
            });
            Ok(())
        })
    }

    /// Another password; sessions that began with the old one end.
    ///
    /// # Errors
    /// The password cannot be used, there is no such account, or the file cannot be written.
    pub fn set_password(&self, name: &str, password: &str) -> Result<(), AccessError> {
        let password = self.hashed(password)?;
        self.change(name, |user| {
            user.password = Some(password);
            Ok(())
        })
    }

    /// What an account may do from now on.
    ///
    /// # Errors
    /// There is no such account, or the file cannot be written.
    pub fn set_role(&self, name: &str, role: Role) -> Result<(), AccessError> {
        self.change(name, |user| {
            user.role = role;
            Ok(())
        })
    }

    /// Removes an account; its tokens and sessions end.
    ///
    /// # Errors
    /// There is no such account, or the file cannot be written.
    pub fn remove(&self, name: &str) -> Result<(), AccessError> {
        self.shelf.change(|book| {
            let before = book.users.len();
            book.users.retain(|user| user.name != name);
            if book.users.len() == before {
                return Err(no_account(name));
            }
            Ok(())
        })
    }

    /// All accounts, by name.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn list(&self) -> Result<Vec<UserLine>, AccessError> {
        let mut lines: Vec<_> = self
            .shelf
            .read()?
            .users
            .into_iter()
            .map(|user| UserLine {
                name: user.name,
                role: user.role,
                has_password: user.password.is_some(),
                tokens: user
                    .tokens
                    .into_iter()
                    .map(|token| TokenLine {
                        label: token.label,
                        created_at: token.created_at,
                    })
                    .collect(),
            })
            .collect();
        lines.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(lines)
    }

    /// A new token, which cannot be shown again.
    ///
    /// # Errors
    /// There is no such account, the label cannot be used or is taken, or the file cannot be written.
    pub fn new_token(&self, name: &str, label: &str) -> Result<String, AccessError> {
        let count = label.chars().count();
        if !(1..=64).contains(&count) || label.chars().any(char::is_control) {
            return Err(AccessError::BadLabel);
        }
        let new = token()?;
        self.change(name, |user| {
            if user.tokens.iter().any(|token| token.label == label) {
                return Err(AccessError::Exists {
                    what: "token",
                    name: label.to_owned(),
                });
            }
            if user.tokens.len() >= MOST_TOKENS {
                return Err(AccessError::TooMany(MOST_TOKENS));
            }
            user.tokens.push(Token {
                label: label.to_owned(),
                sha256: fingerprint(&new),
                created_at: SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .map_or(0, |since| since.as_secs().cast_signed()),
            });
            Ok(())
        })?;
        Ok(new)
    }

    /// A token lets nobody in any more.
    ///
    /// # Errors
    /// There is no such account or token, or the file cannot be written.
    pub fn revoke_token(&self, name: &str, label: &str) -> Result<(), AccessError> {
        self.change(name, |user| {
            let before = user.tokens.len();
            user.tokens.retain(|token| token.label != label);
            if user.tokens.len() == before {
                return Err(AccessError::Nothing {
                    what: "token",
                    name: label.to_owned(),
                });
            }
            Ok(())
        })
    }

    fn hashed(&self, password: &str) -> Result<Hashed, AccessError> {
        if !(8..=1024).contains(&password.len()) {
            return Err(AccessError::BadPassword);
        }
        Hashed::of(password, self.rounds)
    }

    fn change(
        &self,
        name: &str,
        change: impl FnOnce(&mut User) -> Result<(), AccessError>,
    ) -> Result<(), AccessError> {
        self.shelf
            .change(|book| change(book.user_mut(name).ok_or_else(|| no_account(name))?))
    }

    /// The accounts as they are now; of a file that cannot be read, nobody.
    fn known(&self) -> MutexGuard<'_, Known> {
        let mut known = lock(&self.known);
        match self.shelf.edition() {
            Ok(edition) if edition == known.edition && !known.broken => {}
            Ok(edition) => {
                let book = self.shelf.read();
                *known = Known {
                    edition,
                    broken: book.is_err(),
                    book: book.unwrap_or_default(),
                };
            }
            Err(_) => {
                known.book = Book::default();
                known.broken = true;
            }
        }
        known
    }

    fn user(&self, name: &str) -> Option<User> {
        self.known().book.user(name).cloned()
    }

    /// What crumbs are signatures of.
    fn crumbs_of(account: &Account) -> String {
        match &account.session {
            Some(cookie) => format!("session {cookie}"),
            None => format!("user {}", account.user),
        }
    }
}

impl Access for Accounts {
    fn anonymous(&self) -> Option<Role> {
        self.anonymous
    }

    fn sign_in(&self, user: &str, secret: &str) -> Option<Account> {
        let found = self.user(user);
        let enter = |found: &User, by_token| {
            Some(Account {
                user: found.name.clone(),
                role: found.role,
                by_token,
                session: None,
            })
        };
        if let Some(found) = &found
            && is_like_token(secret)
        {
            let sent = fingerprint(secret);
            let mut is_known = false;
            for token in &found.tokens {
                is_known |= self.signer.is_same(&token.sha256, &sent);
            }
            if is_known {
                return enter(found, true);
            }
        }
        // Whoever is wrong waits for as long, whatever was wrong.
        let nobody = Hashed::of_nobody(self.rounds);
        let password = found.as_ref().and_then(|found| found.password.as_ref());
        let fits = password.unwrap_or(&nobody).fits(secret);
        let found = found.as_ref().filter(|_| fits && password.is_some())?;
        enter(found, false)
    }

    fn begin_session(&self, account: &Account) -> String {
        let user = self.user(&account.user);
        let (Some(user), Ok(cookie)) = (user, cookie()) else {
            // A cookie that opens nothing.
            return String::new();
        };
        let mark = user.password.as_ref().map_or("", Hashed::mark);
        lock(&self.sessions).begin(fingerprint(&cookie), &user.name, mark, Instant::now());
        cookie
    }

    fn session(&self, cookie: &str) -> Option<Account> {
        let (name, mark) = lock(&self.sessions).of(&fingerprint(cookie), Instant::now())?;
        let user = self.user(&name)?;
        if user.password.as_ref().map_or("", Hashed::mark) != mark {
            lock(&self.sessions).end(&fingerprint(cookie));
            return None;
        }
        Some(Account {
            user: user.name,
            role: user.role,
            by_token: false,
            session: Some(cookie.to_owned()),
        })
    }

    fn end_session(&self, cookie: &str) {
        lock(&self.sessions).end(&fingerprint(cookie));
    }

    fn crumb(&self, account: &Account) -> String {
        self.signer.sign(&Self::crumbs_of(account))
    }

    fn is_crumb(&self, account: &Account, crumb: &str) -> bool {
        self.signer.is_same(&self.crumb(account), crumb)
    }

    fn has_accounts(&self) -> bool {
        let known = self.known();
        known.broken || !known.book.users.is_empty()
    }
}

/// A thread that panicked left nothing half done here: everything is replaced in one go.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn no_account(name: &str) -> AccessError {
    AccessError::Nothing {
        what: "account",
        name: name.to_owned(),
    }
}

fn is_name(name: &str) -> bool {
    let is_part = |character: char| {
        character.is_alphanumeric() || matches!(character, '-' | '_' | '.' | '@' | '+')
    };
    (1..=64).contains(&name.chars().count())
        && name.chars().all(is_part)
        && !name.starts_with('-')
        && !name.eq_ignore_ascii_case(ANONYMOUS)
}

#[cfg(test)]
mod tests;
