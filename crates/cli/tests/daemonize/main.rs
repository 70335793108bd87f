//! What bmc/daemonize 1.7.8 does, `ward daemonize` does: the same cases for the original, for
//! the verb, and for ward by the name `daemonize`. Where ward differs on purpose, the case
//! holds both to what `docs/reference/daemonize.md` says of them.
//!
//! `WARD_TEST_DAEMONIZE` chooses whom to try: `original`, `verb`, `link`; else all.
//!
//! A room per subject; [`place`] is where a case is tried, [`seen`] what is seen of a daemon.

mod command_line;
mod failures;
mod files;
mod pid_and_lock;
mod place;
mod seen;
mod surroundings;
mod users;

type Result<T = ()> = anyhow::Result<T>;
