//! Accounts: the password of `x` is `password-of-x`, its token `token-of-x`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use ward_build::api::{Access, Account, Role};

/// Who there is.
pub(crate) struct People {
    pub(crate) anonymous: Option<Role>,
    pub(crate) asked: Arc<AtomicUsize>,
    /// While somebody holds it nobody is told whether they are who they say.
    pub(crate) gate: Option<Arc<Mutex<()>>>,
    sessions: Mutex<Vec<(String, Account)>>,
}

impl People {
    pub(crate) fn usual() -> Self {
        Self {
            anonymous: None,
            asked: Arc::default(),
            gate: None,
            sessions: Mutex::default(),
        }
    }
}

fn role(user: &str) -> Option<Role> {
    match user {
        "alice" => Some(Role::Admin),
        "bob" => Some(Role::Build),
        "carol" => Some(Role::Read),
        _ => None,
    }
}

impl Access for People {
    fn anonymous(&self) -> Option<Role> {
        self.anonymous
    }

    fn sign_in(&self, user: &str, secret: &str) -> Option<Account> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if let Some(gate) = &self.gate {
            drop(gate.lock());
        }
        let by_token = secret == format!("token-of-{user}");
        if !by_token && secret != format!("password-of-{user}") {
            return None;
        }
        Some(Account {
            user: user.to_owned(),
            role: role(user)?,
            by_token,
            session: None,
        })
    }

    fn begin_session(&self, account: &Account) -> String {
        let mut sessions = self.sessions.lock().expect("not poisoned");
        let value = format!("session{}", sessions.len());
        let account = Account {
            session: Some(value.clone()),
            by_token: false,
            ..account.clone()
        };
        sessions.push((value.clone(), account));
        value
    }

    fn session(&self, cookie: &str) -> Option<Account> {
        let sessions = self.sessions.lock().expect("not poisoned");
        let found = sessions.iter().find(|(value, _)| value == cookie);
        found.map(|(_, account)| account.clone())
    }

    fn end_session(&self, cookie: &str) {
        let mut sessions = self.sessions.lock().expect("not poisoned");
        sessions.retain(|(value, _)| value != cookie);
    }

    fn crumb(&self, account: &Account) -> String {
        format!("crumb-of-{}", account.user)
    }

    fn is_crumb(&self, account: &Account, crumb: &str) -> bool {
        crumb == self.crumb(account)
    }

    fn has_accounts(&self) -> bool {
        true
    }
}
