//! The text: lines, sections, entries, and what is put in the place of names.
//!
//! The dialect is that of Python's `RawConfigParser` as Supervisor sets it up. Nothing here knows
//! a key, or a type.

pub mod document;
pub mod expand;
pub(crate) mod include;
pub(crate) mod lexer;
pub mod repr;
pub mod words;
