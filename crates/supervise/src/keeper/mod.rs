//! The keeper: parent of the daemon and of all programs; and the roster that both share.
//!
//! ```text
//! user's process ──exec──► keeper ──► daemon ──clone(CLONE_PARENT)──► program   (the keeper's child)
//!                            ▲  ▲        │ ▲
//!                            │  └─ends───┼─┼───────────────────────────  program
//!                            └─packets───┘ └─ roster, runtime directory
//! ```
//!
//! The *keeper* is the process that the user started. It is the parent of the daemon and of every program,
//! notes how each ended, holds a second reader of every pipe, starts the daemon again when it ends, and
//! passes signals on to it. It parses nothing from outside, and allocates nothing while it keeps.
//! The *daemon* does everything else, by a [`Custody`], and may be killed at any moment.
//!
//! **What survives what** (what is written to a pipe is meant where it says output):
//!
//! | killed | programs | their exit statuses | output |
//! |---|---|---|---|
//! | daemon | run on; never a second copy | all, each told once | all |
//! | keeper | run on; the daemon becomes the keeper, in its own process | of those alive then: all where Linux ≥ 6.15 or `/proc/PID/stat` tells; else `Unknown` | all |
//! | both | run on; the next start with the same file adopts them | of those that ended in between: `Unknown` | of those that ended in between: lost |
//! | the executable is replaced | the keeper becomes the new one in place, the daemon is a new one | all | all |
//!
//! **How.** All that both must know is in the [`roster`](self), a file in the runtime directory that both
//! have in memory: an end is *noted there* before the dead is reaped, a process is written there by the
//! kernel before it runs, what follows from an end is stored by one store with the note that it was seen.
//! Packets on the socket between the two carry descriptors, and from the keeper only the word to look.
//! Standard streams of programs are named pipes in the runtime directory which the program has open for
//! reading and writing, daemon and keeper for reading; a new daemon opens them by their names.
//!
//! **Exit statuses of the daemon** that the keeper understands are in [`code`].
//!
//! May not: decide anything about programs. Which one is to run is the daemon's, and what its numbers
//! mean ([`Snapshot`]) too.

mod custody;
mod fate;
mod foster;
mod handing;
mod offspring;
mod pipes;
pub mod place;
mod role;
mod roster;
mod start;
mod store;
mod upgrade;
mod watch;
mod wire;

pub use custody::{
    Adopted, Adoption, Busy, ClaimError, Custody, FromKeeper, LeftOver, Sink, SpawnFailure,
    Spawned, Spec, State, Stdin, Target,
};
pub use fate::code;
pub use place::{Place, PlaceError};
pub use role::{RoleError, VARIABLE};
pub use roster::{
    Ended, LAYOUT_VERSION, NAME_MAX, RosterError, SLOTS, SNAPSHOT_WORDS, Slot, Snapshot,
};
pub use start::{Plan, StartError, by_role, start};
pub use wire::{KEY_MAX, Key};
