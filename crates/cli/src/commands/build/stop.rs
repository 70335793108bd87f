//! `ward build stop`: a build ends, and its clean-up has its time.

use std::process::ExitCode;

use ward_model::exit_code;

use super::answers::{self, OF_BUILD, build_path};
use super::connection::{Server, form};
use super::progress::{Telling, watch};
use super::where_to;
use super::words::print;
use crate::args::StopBuildArgs;
use crate::failure::Failure;

/// How many of the newest builds are looked at for those that run.
const NEWEST: u32 = 100;

/// Stops it.
pub(super) fn run(arguments: &StopBuildArgs) -> Result<ExitCode, Failure> {
    let server = where_to::server(&arguments.at)?;
    let job = &arguments.job;
    let number = match arguments.number {
        Some(number) => number,
        None => running(&server, job)?,
    };
    let build = answers::build(&server, job, &number.to_string(), OF_BUILD)?;
    if !build.is_running() {
        print(&format!(
            "{job} #{number}: is over already: {}\n",
            build.word()
        ))?;
        return Ok(ExitCode::SUCCESS);
    }
    let path = build_path(job, &number.to_string());
    let deed = if arguments.force { "kill" } else { "stop" };
    server.post(&format!("{path}/{deed}"), &form([]))?;
    if !arguments.wait {
        print(&format!("{job} #{number}: it is being stopped\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let ended = watch(&server, job, number, Telling::Progress)?;
    print(&format!("{job} #{number}: {}\n", ended.word()))?;
    Ok(ExitCode::SUCCESS)
}

/// The one that runs.
fn running(server: &Server, job: &str) -> Result<u32, Failure> {
    let tree = format!("builds[{OF_BUILD}]{{0,{NEWEST}}}");
    let builds = answers::job(server, job, &tree)?.builds;
    let running: Vec<u32> = builds
        .iter()
        .filter(|build| build.is_running())
        .map(|build| build.number)
        .collect();
    match running.as_slice() {
        [one] => Ok(*one),
        [] => Err(Failure::with_code(
            format!("no build of {job} runs"),
            Some("what waits is taken out by `ward build queue --cancel ID`"),
            exit_code::UNKNOWN_NAME,
        )),
        several => {
            let names: Vec<_> = several.iter().map(|number| format!("#{number}")).collect();
            Err(Failure::usage(
                format!("several builds of {job} run: {}", names.join(", ")),
                "say which",
            ))
        }
    }
}
