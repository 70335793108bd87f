//! The build server's front door: who is let in and what they may do, forms from here only, files that cannot
//! act as the site, and which room answers what.
//!
//! It decides nothing about jobs: everything becomes a call of [`ward_build::api::Builds`].

mod brake;
mod dress;
mod files;
mod front;
mod guard;
mod hooks;
mod house;
mod multipart;
mod range;
mod relay;
mod session;
mod settings;
mod visit;

pub(crate) use dress::{empty, is_local, only_by_post, says, to};
pub(crate) use files::{Line, Root, Sent, send, send_asked};
pub(crate) use front::CRUMB;
pub use house::BuildSite;
pub use settings::{SiteSettings, Supervisor, Trust};
pub(crate) use visit::{Around, Asked};
