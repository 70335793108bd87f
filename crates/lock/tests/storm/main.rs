//! Locks under attack: whoever is killed, stopped, in another namespace or another user, however
//! many they are, whatever is done to the files. Never two inside who do not go together, never a
//! lock that nobody can get, never a wait by whoever does not want to wait.
//!
//! `WARD_TEST_ROUNDS` says how much is tried (20 if it says nothing); 2000 are 20,000 kills.
//!
//! Processes of a test are this very program again, see [`worker`].

#![forbid(unsafe_code)]

mod crowds;
mod faults;
mod findings;
mod histories;
mod kills;
mod namespaces;
mod place;
mod second_look;
mod stopped;
mod users;
mod witness;
mod worker;

type Result<T = ()> = anyhow::Result<T>;

/// The other half of every test that needs a process: see [`worker`].
#[test]
fn worker_process() {
    worker::main();
}
