//! Who has signed in with a browser, for as long as this server lives.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// A session that nobody uses ends after that.
const IDLE: Duration = Duration::from_secs(12 * 3600);

/// And any session after that.
const WHOLE: Duration = Duration::from_secs(7 * 24 * 3600);

/// So many are kept; then the one that was not used for longest goes.
const MOST: usize = 4096;

/// Sessions by what is kept of their cookies.
#[derive(Debug, Default)]
pub(super) struct Sessions(HashMap<String, Session>);

/// A session.
#[derive(Debug, Clone)]
struct Session {
    user: String,
    /// What the account's password was known by when it began.
    mark: String,
    begun: Instant,
    used: Instant,
}

impl Sessions {
    /// A new one of `user`, whose password is known by `mark`.
    pub(super) fn begin(&mut self, fingerprint: String, user: &str, mark: &str, now: Instant) {
        self.0.retain(|_, session| session.lives(now));
        if self.0.len() >= MOST {
            let oldest = self.0.iter().min_by_key(|(_, session)| session.used);
            if let Some(oldest) = oldest.map(|(fingerprint, _)| fingerprint.clone()) {
                self.0.remove(&oldest);
            }
        }
        let session = Session {
            user: user.to_owned(),
            mark: mark.to_owned(),
            begun: now,
            used: now,
        };
        self.0.insert(fingerprint, session);
    }

    /// Whose it is, and what their password was known by.
    pub(super) fn of(&mut self, fingerprint: &str, now: Instant) -> Option<(String, String)> {
        let session = self.0.get_mut(fingerprint)?;
        if !session.lives(now) {
            self.0.remove(fingerprint);
            return None;
        }
        session.used = now;
        Some((session.user.clone(), session.mark.clone()))
    }

    /// Ends one.
    pub(super) fn end(&mut self, fingerprint: &str) {
        self.0.remove(fingerprint);
    }
}

impl Session {
    fn lives(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) < IDLE
            && now.saturating_duration_since(self.begun) < WHOLE
    }
}

#[cfg(test)]
mod tests {
    use super::{IDLE, MOST, Sessions, WHOLE};
    use std::time::{Duration, Instant};

    #[test]
    fn they_end_when_nobody_uses_them_and_after_a_week() {
        let start = Instant::now();
        let mut sessions = Sessions::default();
        sessions.begin("a".to_owned(), "alice", "m", start);
        assert!(sessions.of("b", start).is_none());
        let mut now = start;
        while now + IDLE / 2 < start + WHOLE {
            now += IDLE / 2;
            assert!(sessions.of("a", now).is_some(), "used all the time");
        }
        assert!(sessions.of("a", start + WHOLE).is_none());
        sessions.begin("c".to_owned(), "alice", "m", start);
        assert!(sessions.of("c", start + IDLE).is_none());
    }

    #[test]
    fn there_are_never_too_many() {
        let start = Instant::now();
        let mut sessions = Sessions::default();
        for number in 0..MOST + 10 {
            let now = start + Duration::from_millis(number as u64);
            sessions.begin(number.to_string(), "alice", "m", now);
        }
        assert_eq!(sessions.0.len(), MOST);
        assert!(sessions.of("9", start).is_none());
        assert!(sessions.of("10", start).is_some());
    }
}
