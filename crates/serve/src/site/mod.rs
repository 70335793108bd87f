//! The build server's pages: for people, plain and quick, readable without scripts.
//!
//! Everything that is shown was written by somebody else and is escaped; everything that is linked is linked
//! relative to the page, so that the site works behind any proxy. Looking changes nothing; what changes
//! something is a form that is sent by POST, and whoever answers requests has looked at its crumb before it
//! comes here. What somebody may do is asked of their role here again.

mod assets;
mod build;
mod console;
mod events;
mod job;
mod jobs;
mod listing;
mod orders;
mod painter;
mod programs;
mod progress;
mod queue;
mod report;
mod results;
mod route;
mod search;
mod sheet;
mod trend;
mod words;

pub(crate) use route::page;
