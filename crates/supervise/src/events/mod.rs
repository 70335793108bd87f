//! What happened, for event listeners; and the listeners themselves, without I/O.
//!
//! An [`Event`] is published to the pools that subscribe to its kind ([`Publisher`]); a [`Pool`] keeps it
//! until one of its listeners is ready for it, and hears from [`Listener`] what became of it. Bytes go
//! in, actions come out; who writes to pipes keeps what they do not take in an [`Outbox`].

mod event;
mod listener;
mod note;
mod outbox;
mod pool;
mod quote;
mod result;
mod subscription;
mod tick;

pub use event::{Envelope, Event, LengthIn, Who};
pub use listener::{Heard, LONGEST_LINE, LONGEST_RESULT, Listener, ListenerState, Violation};
pub use note::Note;
pub use outbox::{Outbox, OutboxFull};
pub use pool::{Action, Pool, PoolSpec, Publisher};
pub use result::{LONGEST_PRINT, Verdict, judge};
pub use subscription::Subscription;
pub use tick::{Period, next_tick, ticks};
