//! The HTTP server: connections and their limits, who is let in, and which room answers what.

mod authentication;
mod body;
mod desk;
mod doors;
mod follow;
mod ground;
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
pub(crate) use desk::{Desk, pass_over};
pub(crate) use doors::{Answering, Doors, Rooms};
pub(crate) use ground::Ground;
pub(crate) use origin::is_foreign;
pub(crate) use percent::{Form, decode, encode};
pub(crate) use reply::{Reply, closing, error, html, of_type};
pub use server::Server;
pub use settings::{Limits, Settings, Tell, Weight};
pub(crate) use site::Site;
pub(crate) use stream::Visitor;
