//! What the queue is told, and what it says to that.

use super::Rules;
use crate::build::Cause;

/// Somebody wants a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<P> {
    /// The job's full name.
    pub job: String,
    /// Why.
    pub cause: Cause,
    /// What was given, in the job's order, defaults filled in.
    pub parameters: Vec<P>,
    /// The commit, where it is settled.
    pub revision: Option<String>,
    /// How long it waits for more of its kind, milliseconds.
    pub quiet: u64,
}

/// A build that runs, as a server that comes back finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The request's number.
    pub id: u64,
    /// The job.
    pub job: String,
    /// The build's number.
    pub number: u32,
    /// Its executor.
    pub executor: u32,
    /// When it began.
    pub since: i64,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<P> {
    /// Somebody wants a build.
    Asked(Request<P>),
    /// Somebody no longer does.
    CancelAsked {
        /// Which request.
        id: u64,
        /// Who.
        by: String,
    },
    /// What [`Action::Start`] said was done: the number is taken.
    Began {
        /// Which request.
        id: u64,
        /// The build's number.
        number: u32,
    },
    /// What [`Action::Start`] said could not be done, and no number was taken: the request waits again.
    NotBegun {
        /// Which request.
        id: u64,
        /// How long until the next attempt, milliseconds.
        retry_in: u64,
        /// Why, for people.
        why: String,
    },
    /// A build is over, with everything that comes after it.
    Ended {
        /// Which request it was.
        id: u64,
    },
    /// These builds run, and no others: whatever else was being started is put back, and whatever else ran
    /// is over. Said once after a queue was read back.
    Restored(Vec<Found>),
    /// So many builds may run at a time. What runs is not touched.
    Executors(u32),
    /// Nothing more starts, and why (may be empty); or things start again.
    QuietDown(Option<String>),
    /// What holds for a job, new or changed.
    Ruled {
        /// The job's full name.
        job: String,
        /// What holds.
        rules: Rules,
    },
    /// A job is no more: its requests are cancelled. What runs runs on.
    JobGone {
        /// The job's full name.
        job: String,
    },
    /// A job has another name.
    JobRenamed {
        /// The old one.
        from: String,
        /// The new one.
        to: String,
    },
    /// Time went by, at least to [`super::Queue::next_due`].
    Tick,
}

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// A new request is in the queue. To be written down before anybody is told.
    Accepted {
        /// Its number.
        id: u64,
    },
    /// A request went into one that waits. To be written down too: causes, and when it is due.
    Folded {
        /// The number of the one that waits.
        id: u64,
    },
    /// Too many wait: the request is not taken.
    Refused,
    /// A request left the queue unbuilt.
    Cancelled {
        /// Its number.
        id: u64,
    },
    /// Nothing with this number waits.
    NotWaiting {
        /// The number that was asked for.
        id: u64,
    },
    /// Take a number and start the build; say [`Event::Began`] or [`Event::NotBegun`], and
    /// [`Event::Ended`] later.
    Start {
        /// Which request; [`super::Queue::item`] still knows it.
        id: u64,
        /// On which executor, from 0.
        executor: u32,
    },
}
