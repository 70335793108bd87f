//! `ward lock --etcd`: hosts that have nothing in common but a cluster, whose members, networks and
//! processes fail. Never two at work at once, whatever happens; and whoever can be served is.
//!
//! Real members of etcd; where there are none this says so and tests nothing. `WARD_TEST_ROUNDS` says
//! how often each kind of death is tried (20 if it says nothing).
//!
//! A room per subject; [`place`] is where a case is tried, [`witness`] who sees it, knowing nothing of
//! ward.

#![cfg(feature = "etcd")]
#![forbid(unsafe_code)]

mod deaths;
mod deeds;
mod files;
mod gifts;
mod hosts;
mod moments;
mod network;
mod outages;
mod partitions;
mod place;
mod rules;
mod settings;
mod turns;
mod witness;

type Result<T = ()> = anyhow::Result<T>;
