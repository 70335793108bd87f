//! `ward build`: the server, and what people ask it.
//!
//! Who asks speaks Jenkins' REST over HTTP, as any other client would; the rooms below hold one verb each.

mod accounts;
mod answers;
mod connection;
mod list;
mod local;
mod log;
mod place;
mod progress;
mod queue;
mod secrets;
mod serve;
mod show;
mod start;
mod stop;
mod where_to;
mod words;

use std::process::ExitCode;

use crate::args::{BuildArgs, BuildVerb};
use crate::failure::Failure;

/// Does what was asked.
pub(crate) fn run(arguments: BuildArgs) -> Result<ExitCode, Failure> {
    match arguments.verb {
        BuildVerb::Serve(arguments) => serve::run(&arguments),
        BuildVerb::Start(arguments) => start::run(&arguments),
        BuildVerb::Stop(arguments) => stop::run(&arguments),
        BuildVerb::List(arguments) => list::run(&arguments),
        BuildVerb::Log(arguments) => log::run(&arguments),
        BuildVerb::Show(arguments) => show::run(&arguments),
        BuildVerb::Queue(arguments) => queue::run(&arguments),
        BuildVerb::Local(arguments) => local::run(&arguments),
        BuildVerb::User(arguments) => accounts::users(&arguments.deed),
        BuildVerb::Token(arguments) => accounts::tokens(&arguments.deed),
        BuildVerb::Secret(arguments) => secrets::run(&arguments.deed),
    }
}
