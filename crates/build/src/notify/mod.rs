//! Who is told how a build ended: by mail, by HTTP, by a command.
//!
//! [`decide`] says what the end of a build means after those before it; [`compose`] makes everything that is
//! to be sent, as plain data that can be kept; [`deliver`] tries once to send one of them, within
//! [`LONGEST`]; [`send`] does all of it, and tries again where that may help. All of this waits for others:
//! it is called from a thread that has time.
//!
//! Mail is sent when there is a [`Kind`] to tell, as Jenkins' mailer does; webhooks and commands hear of the end
//! of every build, and of the kind. Nothing of what is told comes from secrets: logs are masked already.

mod address;
mod command;
mod compose;
mod decide;
mod delivery;
mod encode;
mod error;
mod mail;
mod smtp;
mod stream;
mod tail;
mod trust;
mod webhook;

pub use compose::{Facts, compose};
pub use decide::{Kind, decide};
pub use delivery::{Delivery, LONGEST, Ways, deliver, pause_after, send};
pub use error::NotifyError;
