//! Locks: who may hold what together, and who comes first. Pure rules; the store is elsewhere.

mod mode;
mod queue;

pub use mode::{BadMode, Mode};
pub use queue::{
    Ask, Place, Rank, Shape, Standing, Turn, blockers, blockers_by_mode, choose, keeping, victims,
};
