//! Who may do what: people with passwords, API tokens, sessions of browsers.
//!
//! Accounts are in one file (`accounts.json`, mode 0600) of the server's directory, which commands change
//! while a server runs: the server reads it again when it has changed. Passwords are kept as what PBKDF2
//! makes of them, tokens as their SHA-256; neither can be shown again. Sessions and the key of crumbs are in
//! memory only: who restarts the server signs everybody out.
//!
//! This room knows no HTTP. How often somebody may try is for whoever faces the network.

mod accounts;
mod book;
mod error;
mod secret;
mod sessions;

pub use accounts::{Accounts, TokenLine, UserLine};
pub use error::AccessError;
