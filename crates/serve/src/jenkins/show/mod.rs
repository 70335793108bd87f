//! What clients see: each kind of object with its values, their visibility, and its Java class.

mod build;
mod computer;
mod job;
mod people;
mod plugins;
mod queue;
mod results;
mod server;
mod view;

pub(super) use build::{Build, build};
pub(super) use computer::{computer, computers};
pub(super) use job::{folder, job};
pub(super) use people::{crumb, me, who_am_i};
pub(super) use plugins::plugins;
pub(super) use queue::{queue, queue_item};
pub(super) use results::results;
pub(super) use server::{Contents, server};
pub(super) use view::view;
