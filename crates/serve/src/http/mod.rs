//! The HTTP server: connections and their limits, who is let in, and which room answers what.

mod authentication;
mod body;
mod follow;
mod meter;
mod origin;
mod percent;
mod reply;
mod route;
mod server;
mod settings;
mod site;
mod stream;

pub use authentication::Credentials;
pub(crate) use authentication::same;
pub(crate) use body::Body;
pub(crate) use percent::{Form, encode};
pub(crate) use reply::{Reply, error, html, of_type};
pub use server::Server;
pub use settings::{Limits, Settings, Tell, Weight};
pub(crate) use site::Site;
