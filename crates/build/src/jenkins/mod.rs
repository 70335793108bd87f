//! Jenkins' `config.xml`: to a job and back, and small changes that leave the rest as it was sent.
//!
//! What this ward does not know of a document is told by its path, and the document itself is kept by whoever
//! was sent it; nothing here stores anything. Formats: the elements that jenkins-job-builder writes for
//! freestyle jobs, and what Jenkins itself writes for them.

mod document;
mod edit;
mod parse;
mod refusal;
mod view;
mod write;
mod xml;

pub use edit::{edit_description, edit_disabled};
pub use parse::{Parsed, parse};
pub use refusal::BadDocument;
pub use view::{View, parse_view, write_view};
pub use write::write;
