//! The build server's front door against a server that is kept in memory: who is let in, what Jenkins'
//! clients see, what they have done, logs, artifacts, webhooks.

mod acts;
mod artifacts;
mod entrance;
mod exports;
mod guarded;
mod hooks;
mod hostile;
mod logs;
mod long_logs;
mod pages;
mod ranges;
mod relay;
mod workspaces;
mod world;
