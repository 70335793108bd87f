//! Seeing what changes under a prefix, from a revision on, without a gap.
//!
//! The stream comes over a connection of its own. When it breaks, or its member fails at
//! something else, it goes on at another one from the last revision that was seen. A member that
//! hangs sends nothing, just like one that has nothing to tell: one of which nothing was heard
//! for a while is asked something that it can answer at once.

use std::time::Duration;

use ward_sys::clock::since_boot;

use super::cluster::{Cluster, json};
use super::error::{EtcdError, Failure, Trouble};
use super::http::Lines;
use super::keys::{KeyValue, Keys};
use super::member::Attempt;
use super::refusal::{Meaning, Refusal};
use super::rotation::Outcome;
use super::wait::Stop;
use super::wire::{
    self, EventKind, EventPair, Number, Streamed, WatchCreate, WatchRequest, WatchResponse,
};

const DOING: &str = "watch keys";

/// A stream that ends sooner than this was no good:
const SHORT: Duration = Duration::from_secs(1);
/// before the next one there is a pause, from this
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
/// doubled up to this;
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// and after so many of them in a row the caller is told.
const MOST_SHORT: u32 = 8;

/// Later than any deadline, since boot.
const NEVER: Duration = Duration::from_secs(u32::MAX as u64 * 8);

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Something has changed.
    Events {
        /// The revision of the cluster when this was sent; at least that of the last event.
        revision: u64,
        /// In the order in which it happened, at least one. Of a change that was too long to come
        /// in one piece, the first events may come again after the connection broke.
        events: Vec<Event>,
    },
    /// The cluster has forgotten what changed, up to this revision: read the keys again. What
    /// changes after it will be seen.
    Missed {
        /// Up to which revision.
        revision: u64,
    },
    /// The deadline has come.
    Deadline,
    /// The descriptor of [`Cluster::cancel_on`] is readable.
    Cancelled,
}

/// A change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What happened to it.
    pub change: Change,
    /// What is kept now; of a key that was deleted, only the key, and as `mod_revision` when that
    /// happened.
    pub pair: KeyValue,
}

/// What happened to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was made or changed.
    Put,
    /// It was deleted, or its lease has ended.
    Deleted,
}

impl From<EventPair> for Event {
    fn from(event: EventPair) -> Self {
        Self {
            change: match event.kind {
                EventKind::Put => Change::Put,
                EventKind::Delete => Change::Deleted,
            },
            pair: event.kv.into(),
        }
    }
}

/// Watching keys. Made by [`Cluster::watch`]; asks nobody until [`Watch::next`] is called.
#[derive(Debug)]
pub struct Watch {
    keys: Keys,
    /// The first revision that was not seen.
    next: u64,
    open: Option<Open>,
    /// How many streams in a row were no good.
    short: u32,
    /// Whether a new token was got since something was last seen.
    renewed: bool,
}

/// A stream.
#[derive(Debug)]
struct Open {
    lines: Lines,
    member: usize,
    /// When it was opened, and when something last came, since boot.
    since: Duration,
    heard: Duration,
}

/// What is to be done after a line of a stream.
enum Then {
    /// Tell the caller.
    Tell(Seen),
    /// Read on.
    Go,
    /// Open another stream, for this reason.
    Reopen(Failure),
}

impl Cluster {
    /// Watches `keys` from `revision` on: with that of a [`Range`](super::Range) plus one,
    /// everything is seen that came after it.
    #[must_use]
    pub fn watch(&self, keys: Keys, revision: u64) -> Watch {
        Watch {
            keys,
            next: revision.max(1),
            open: None,
            short: 0,
            renewed: false,
        }
    }
}

impl Watch {
    /// The first revision that was not seen.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.next
    }

    /// Waits until something has changed, or until `deadline`, time since boot
    /// ([`ward_sys::clock::since_boot`]); `None`: as long as it takes. What has come by the
    /// deadline is told; with one that is over, nothing is waited for.
    ///
    /// It may take as long as [`Cluster::timeout`] until it is noticed that the member hangs, and
    /// then another one takes over. Requests may be made between two calls: they keep to the same
    /// member, and if it fails at one of them the next call goes on elsewhere.
    ///
    /// # Errors
    /// See [`EtcdError`]. [`EtcdError::Unreachable`] when no member let us watch within
    /// [`Cluster::timeout`]. After any error this may be called again, and goes on from where it
    /// was.
    pub fn next(
        &mut self,
        cluster: &mut Cluster,
        deadline: Option<Duration>,
    ) -> Result<Seen, EtcdError> {
        let deadline = deadline.unwrap_or(NEVER);
        loop {
            let Some(mut open) = self.still_good(cluster) else {
                if let Some(seen) = self.reopen(cluster, deadline)? {
                    return Ok(seen);
                }
                continue;
            };
            let heard = cluster.heard(open.member).unwrap_or_default();
            let silence = heard.max(open.heard) + cluster.timeout();
            let waiter = cluster.waiter();
            let line = open.lines.next(&waiter.until(deadline.min(silence)));
            let then = match line {
                Ok(Some(line)) => {
                    open.heard = since_boot();
                    self.take(cluster, open.member, &line)?
                }
                Err(Trouble::Late) if since_boot() >= deadline => Then::Tell(Seen::Deadline),
                Err(Trouble::Late) => self.probe(cluster, &mut open, deadline)?,
                Err(Trouble::Cancelled) => Then::Tell(Seen::Cancelled),
                Err(Trouble::System(source)) => {
                    self.open = Some(open);
                    return Err(EtcdError::System {
                        doing: DOING,
                        source,
                    });
                }
                Err(Trouble::TooLong) => {
                    return Err(EtcdError::TooLong {
                        doing: DOING,
                        limit: super::http::LONGEST,
                    });
                }
                Ok(None) => Then::Reopen(Failure::Ended),
                Err(Trouble::Member(failure)) => Then::Reopen(failure),
                Err(Trouble::Refused(refusal)) => self.refused(cluster, open.member, refusal)?,
            };
            match then {
                Then::Go => self.open = Some(open),
                Then::Tell(seen) => {
                    if !matches!(seen, Seen::Missed { .. }) {
                        self.open = Some(open);
                    }
                    return Ok(seen);
                }
                Then::Reopen(failure) => {
                    if open.since + SHORT <= since_boot() {
                        self.short = 0;
                    }
                    self.was_short(cluster, open.member, failure)?;
                }
            }
        }
    }

    /// That a stream was no good.
    fn was_short(
        &mut self,
        cluster: &mut Cluster,
        member: usize,
        failure: Failure,
    ) -> Result<(), EtcdError> {
        cluster.failed(member);
        self.short += 1;
        if self.short <= MOST_SHORT {
            return Ok(());
        }
        self.short = 0;
        Err(EtcdError::Unreachable {
            doing: DOING,
            failures: vec![(cluster.name_of(member), failure)],
            uncertain: false,
        })
    }

    /// The stream, unless its member has failed since.
    fn still_good(&mut self, cluster: &Cluster) -> Option<Open> {
        self.open
            .take()
            .filter(|open| !cluster.has_failed_since(open.member, open.since))
    }

    /// Opens a stream at whichever member can; what is to be told instead if that is not it.
    fn reopen(
        &mut self,
        cluster: &mut Cluster,
        deadline: Duration,
    ) -> Result<Option<Seen>, EtcdError> {
        if self.short > 0 {
            let pause = SHORTEST_PAUSE * 2_u32.saturating_pow(self.short.min(10) - 1);
            let waiter = cluster.waiter();
            match waiter.until(deadline).pause(pause.min(LONGEST_PAUSE)) {
                Ok(()) | Err(Stop::Late) => {}
                Err(Stop::Cancelled) => return Ok(Some(Seen::Cancelled)),
                Err(Stop::System(source)) => {
                    return Err(EtcdError::System {
                        doing: DOING,
                        source,
                    });
                }
            }
        }
        if since_boot() >= deadline {
            return Ok(Some(Seen::Deadline));
        }
        let question = WatchRequest {
            create_request: WatchCreate {
                key: self.keys.start(),
                range_end: self.keys.end(),
                start_revision: Number::of(self.next),
                progress_notify: true,
                fragment: true,
            },
        };
        let body = json(DOING, &question)?;
        let until = deadline.min(since_boot() + cluster.timeout());
        let opened = cluster.rotate(DOING, until, |cluster, attempt| {
            open(cluster, attempt, &body)
        });
        match opened {
            Ok(Outcome { value, member, .. }) => {
                let (lines, first) = value;
                let now = since_boot();
                self.open = Some(Open {
                    lines,
                    member,
                    since: now,
                    heard: now,
                });
                match self.heed(cluster, member, first)? {
                    Then::Go => Ok(None),
                    Then::Reopen(failure) => {
                        self.open = None;
                        self.was_short(cluster, member, failure)?;
                        Ok(None)
                    }
                    Then::Tell(seen) => {
                        if matches!(seen, Seen::Missed { .. }) {
                            self.open = None;
                        }
                        Ok(Some(seen))
                    }
                }
            }
            Err(EtcdError::Cancelled { .. }) => Ok(Some(Seen::Cancelled)),
            // There was less time than a request may take: that proves nothing.
            Err(EtcdError::Unreachable { .. }) if since_boot() >= deadline => {
                Ok(Some(Seen::Deadline))
            }
            Err(error) => Err(error),
        }
    }

    /// Asks a member of which nothing was heard for a while whether it is there.
    fn probe(
        &self,
        cluster: &mut Cluster,
        open: &mut Open,
        deadline: Duration,
    ) -> Result<Then, EtcdError> {
        let now = since_boot();
        let until = now + cluster.timeout() / 2;
        let mut attempt = Attempt {
            member: open.member,
            until: until.min(deadline),
            sent: false,
            resent: false,
        };
        let probed = cluster
            .log_in(&mut attempt)
            .and_then(|()| cluster.probe(&self.keys, &mut attempt));
        match probed {
            // Whatever it says, it is there.
            Ok(()) | Err(Trouble::Refused(_) | Trouble::TooLong) => {
                open.heard = since_boot();
                Ok(Then::Go)
            }
            Err(Trouble::Late) if until > deadline => Ok(Then::Tell(Seen::Deadline)),
            Err(Trouble::Late) => {
                let silent = since_boot().saturating_sub(open.heard);
                Ok(Then::Reopen(Failure::Silent(silent)))
            }
            Err(Trouble::Member(failure)) => Ok(Then::Reopen(failure)),
            Err(Trouble::Cancelled) => Ok(Then::Tell(Seen::Cancelled)),
            Err(Trouble::System(source)) => Err(EtcdError::System {
                doing: DOING,
                source,
            }),
        }
    }

    /// Understands a line of the stream.
    fn take(
        &mut self,
        cluster: &mut Cluster,
        member: usize,
        line: &[u8],
    ) -> Result<Then, EtcdError> {
        match wire::read(line) {
            Ok(Streamed::Result(answer)) => self.heed(cluster, member, answer),
            Ok(Streamed::Error(said)) => self.refused(cluster, member, said.into()),
            Err(Trouble::Member(failure)) => Ok(Then::Reopen(failure)),
            Err(_) => Ok(Then::Reopen(Failure::Ended)),
        }
    }

    /// Takes what a stream brings.
    fn heed(
        &mut self,
        cluster: &mut Cluster,
        member: usize,
        answer: WatchResponse,
    ) -> Result<Then, EtcdError> {
        if answer.canceled {
            if answer.compact_revision.unsigned() > 0 {
                // Where the watch goes on: all that comes after what the caller will read.
                let revision = cluster.revision(&self.keys)?;
                self.next = self.next.max(revision + 1);
                return Ok(Then::Tell(Seen::Missed { revision }));
            }
            let refusal = Refusal::of_reason(&answer.cancel_reason);
            return self.refused(cluster, member, refusal);
        }
        let revision = answer.header.revision.unsigned();
        let Some(last) = answer.events.last() else {
            // Of the first answer the revision says nothing about what is still to come.
            if !answer.created {
                self.next = self.next.max(revision + 1);
            }
            return Ok(Then::Go);
        };
        let last = last.kv.mod_revision.unsigned();
        // More of the same revision may follow in another piece.
        self.next = self.next.max(last + u64::from(!answer.fragment));
        (self.short, self.renewed) = (0, false);
        Ok(Then::Tell(Seen::Events {
            revision: revision.max(last),
            events: answer.events.into_iter().map(Event::from).collect(),
        }))
    }

    /// What follows from a refusal.
    fn refused(
        &mut self,
        cluster: &mut Cluster,
        member: usize,
        refusal: Refusal,
    ) -> Result<Then, EtcdError> {
        match refusal.meaning() {
            Meaning::Unavailable { .. } => Ok(Then::Reopen(Failure::Unavailable(refusal.message))),
            // A token that is not good any more is called a lack of permission here.
            Meaning::Token | Meaning::Denied if cluster.user().is_some() && !self.renewed => {
                self.renewed = true;
                cluster.forget_token();
                Ok(Then::Reopen(Failure::Unavailable(refusal.message)))
            }
            _ => Err(cluster.refused(DOING, member, refusal)),
        }
    }
}

/// Opens a stream at one member, up to its first answer.
fn open(
    cluster: &mut Cluster,
    attempt: &mut Attempt,
    body: &[u8],
) -> Result<(Lines, WatchResponse), Trouble> {
    let mut lines = cluster.ask_for_lines(attempt, "/v3/watch", body)?;
    let waiter = cluster.waiter();
    let first = lines.next(&waiter.until(attempt.until))?;
    let Some(first) = first else {
        return Err(Trouble::Member(Failure::Ended));
    };
    match wire::read(&first)? {
        Streamed::Result(answer) => Ok((lines, answer)),
        Streamed::Error(said) => Err(Trouble::Refused(said.into())),
    }
}
