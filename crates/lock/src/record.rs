//! Somebody in a queue, or in its history, as people and scripts see him.

use serde::{Deserialize, Serialize};
use ward_model::lock::{Ask, Standing};

use crate::image::{Entry, Who};
use crate::surroundings;
use crate::text::Text;

/// Somebody in the queue of a lock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// His number in the queue, which rises for ever.
    pub ticket: u64,
    /// The token of who holds: higher than that of everybody who held before.
    pub token: Option<u64>,
    /// The lock's whole name.
    pub name: String,
    /// How far he is.
    pub standing: Standing,
    /// What he asks.
    pub ask: Ask,
    /// What he was given: things, a number, a time.
    pub has: Vec<String>,
    /// Who waits, or waited: process id and its start in clock ticks since boot.
    pub pid: i32,
    /// See [`Record::pid`].
    pub start_ticks: u64,
    /// Who guards the work beside him, the same way; once it was started.
    pub guardian: Option<(i32, u64)>,
    /// The work that holds, the same way; once it was started.
    pub work: Option<(i32, u64)>,
    /// As whom; empty where only his number is known, [`Record::uid`].
    pub user: String,
    /// The number of this user on his host.
    #[serde(default)]
    pub uid: u32,
    /// On which host.
    pub host: String,
    /// What it is for, as a command line.
    pub command: String,
    /// Why, in somebody's words.
    pub why: Option<String>,
    /// Which build it is a part of.
    pub origin: Option<String>,
    /// Whether a person holds it, without a process.
    pub reserved: bool,
    /// Until when a person holds it, seconds since 1970.
    pub until: Option<f64>,
    /// Since when he is in the queue, seconds since 1970.
    pub asked_at: f64,
    /// Since when he holds.
    pub held_since: Option<f64>,
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

fn known(who: Who) -> Option<(i32, u64)> {
    (who.pid != 0).then_some((who.pid, who.start))
}

impl Record {
    /// Does not look for the user's name: that may take another program.
    pub(crate) fn new(entry: &Entry, text: &Text) -> Self {
        Self {
            ticket: entry.ticket,
            token: (entry.token != 0).then_some(entry.token),
            name: text.name.clone(),
            standing: entry.standing,
            ask: Ask {
                mode: entry.mode,
                take: entry.take,
                path: text.path.clone(),
                among: text.among.clone(),
                priority: entry.priority,
                turn: entry.turn,
            },
            has: text.has.clone(),
            pid: entry.owner.pid,
            start_ticks: entry.owner.start,
            guardian: known(entry.guardian),
            work: known(entry.work).filter(|_| entry.standing == Standing::Holding),
            user: text.user.clone(),
            uid: entry.uid,
            host: text.host.clone(),
            command: text.command.clone(),
            why: text.why.clone(),
            origin: text.origin.clone(),
            reserved: entry.reserved,
            until: (entry.until != 0).then(|| seconds(entry.until)),
            asked_at: seconds(entry.asked_at),
            held_since: (entry.held_since != 0).then(|| seconds(entry.held_since)),
        }
    }

    /// With the user's name. Not to be asked in a critical section.
    pub(crate) fn named(mut self) -> Self {
        if self.user.is_empty() {
            self.user = surroundings::name_of(self.uid);
        }
        self
    }

    /// Whether its processes are of this host.
    #[must_use]
    pub fn is_on_this_host(&self) -> bool {
        self.host == surroundings::host()
    }

    /// In a few words, and since when.
    #[must_use]
    pub fn summary(&self) -> String {
        let since = self.held_since.unwrap_or(self.asked_at);
        let age = (seconds(surroundings::now()) - since).max(0.0).round();
        format!("{} for {}", self.who(), span(age))
    }

    /// In a few words.
    #[must_use]
    pub fn who(&self) -> String {
        if self.user.is_empty() {
            return self.clone().named().who();
        }
        let of = |text: &Option<String>| {
            text.as_ref()
                .map_or_else(String::new, |text| format!(", {text}"))
        };
        let (why, origin) = (of(&self.why), of(&self.origin));
        let host = if self.is_on_this_host() || self.host.is_empty() {
            String::new()
        } else {
            format!("@{}", self.host)
        };
        if self.reserved {
            return format!("{}{host} (reserved{why})", self.user);
        }
        let pid = self.work.map_or(self.pid, |(pid, _)| pid);
        let command = if self.command.is_empty() {
            String::new()
        } else {
            format!(", `{}`", self.command)
        };
        format!("{pid} ({}{host}{command}{why}{origin})", self.user)
    }
}

/// Seconds as people say them.
pub(crate) fn span(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    match whole {
        0..60 => format!("{whole}s"),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ => format!("{}h{:02}m", whole / 3600, whole % 3600 / 60),
    }
}

/// How a hold ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// The work was over, and it was given back.
    Released,
    /// Whoever held it was gone.
    Gone,
    /// A person freed it.
    Taken,
}

/// Somebody who held a lock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Past {
    /// Who, as he was.
    pub record: Record,
    /// When it ended, or was seen to have ended; seconds since 1970.
    pub ended_at: f64,
    /// How.
    pub ended: Ended,
}

impl Past {
    pub(crate) fn new(record: Record, ended: Ended) -> Self {
        Self {
            record,
            ended_at: seconds(surroundings::now()),
            ended,
        }
    }

    /// How long he waited, seconds.
    #[must_use]
    pub fn waited(&self) -> f64 {
        let held = self.record.held_since.unwrap_or(self.record.asked_at);
        (held - self.record.asked_at).max(0.0)
    }

    /// How long he held, seconds.
    #[must_use]
    pub fn held(&self) -> f64 {
        let held = self.record.held_since.unwrap_or(self.ended_at);
        (self.ended_at - held).max(0.0)
    }
}

/// How often, and for how long, a lock was held since the host started. Times in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Statistics {
    /// How often it was granted.
    pub granted: u64,
    /// How often somebody gave up waiting for it, or would not wait.
    pub refused: u64,
    /// How long all have waited who got it.
    pub waited: f64,
    /// The longest of these waits.
    pub longest_wait: f64,
    /// How long all have held it who have ended.
    pub held: f64,
    /// The longest of these.
    pub longest_hold: f64,
}

impl From<&crate::image::Counts> for Statistics {
    fn from(counts: &crate::image::Counts) -> Self {
        Self {
            granted: counts.granted,
            refused: counts.refused,
            waited: seconds(counts.waited),
            longest_wait: seconds(counts.longest_wait),
            held: seconds(counts.held),
            longest_hold: seconds(counts.longest_hold),
        }
    }
}
