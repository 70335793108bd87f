//! XML-RPC on the wire: what is called, what comes back, in both directions.
//!
//! Reads what Python's `xmlrpc.client`, PHP, Ruby, Go and others send; what it writes is always XML that
//! can be read again, whatever bytes were in it. Knows no method.

mod limits;
mod parse;
mod read;
mod value;
mod write;

pub use limits::Limits;
pub use parse::{ParseError, parse_call, parse_response};
pub use value::{Call, FaultValue, Value};
pub use write::{write_call, write_response};
