//! What Jenkins calls its remote API: objects with named values, of which a client chooses some (`tree=`) or
//! so many levels (`depth=`), written as JSON, as Python or as XML.
//!
//! Values are only made when somebody wants them.

mod json;
mod node;
mod prune;
mod sheet;
mod xml;
mod xpath;

pub(super) use json::{Dialect, write};
pub(super) use node::Node;
pub(super) use prune::{Choice, Tree};
pub(super) use sheet::{Sheet, TooMuch, export};
pub(super) use xml::Element;
pub(super) use xpath::{Found, exclude, select};
