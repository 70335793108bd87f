//! `ward build start`: a build is asked for, and perhaps waited for.

use std::process::ExitCode;

use serde_json::json;
use ward_model::exit_code;

use super::answers::{self, Build, OF_BUILD};
use super::connection::{Server, form, job_path};
use super::list::build_json;
use super::progress::{Telling, expected, started, watch};
use super::words::{print, print_json};
use super::{log, where_to};
use crate::args::StartArgs;
use crate::commands::say;
use crate::failure::Failure;

/// Asks for it.
pub(super) fn run(arguments: &StartArgs) -> Result<ExitCode, Failure> {
    let server = where_to::server(&arguments.at)?;
    let id = request(&server, &arguments.job, &arguments.parameters)?;
    let telling = if arguments.quiet || arguments.json {
        Telling::Nothing
    } else {
        Telling::Progress
    };
    if !arguments.wait && !arguments.follow {
        if arguments.json {
            print_json(&json!({ "job": arguments.job, "queue_id": id }))?;
        } else if telling == Telling::Progress {
            print(&format!("{}: in the queue, request {id}\n", arguments.job))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let number = started(&server, id, telling)?;
    let ended = if arguments.follow {
        if telling == Telling::Progress {
            let build = answers::build(&server, &arguments.job, &number.to_string(), OF_BUILD)?;
            say(&expected(&arguments.job, &build));
        }
        log::follow(&server, &arguments.job, number)?
    } else {
        watch(&server, &arguments.job, number, telling)?
    };
    tell(arguments, &ended, telling)?;
    Ok(ExitCode::from(log::status(&ended)))
}

fn tell(arguments: &StartArgs, build: &Build, telling: Telling) -> Result<(), Failure> {
    if arguments.json {
        return print_json(&build_json(build));
    }
    if telling == Telling::Progress && !arguments.follow {
        let took = super::words::took(build.duration);
        let (job, number, word) = (&arguments.job, build.number, build.word());
        print(&format!("{job} #{number}: {word} after {took}\n"))?;
    }
    Ok(())
}

/// Its place in the queue.
fn request(server: &Server, job: &str, given: &[(String, String)]) -> Result<u64, Failure> {
    let tree = "name,disabled,property[parameterDefinitions[name]]";
    let known = answers::job(server, job, tree)?;
    let names: Vec<String> = known
        .property
        .into_iter()
        .flat_map(|property| property.parameter_definitions)
        .map(|definition| definition.name)
        .collect();
    if let Some((name, _)) = given.iter().find(|(name, _)| !names.contains(name)) {
        let hint = match names.as_slice() {
            [] => "it has none".to_owned(),
            some => format!("it has {}", some.join(", ")),
        };
        return Err(Failure::usage(
            format!("{job} has no parameter `{name}`"),
            hint,
        ));
    }
    let way = if names.is_empty() {
        "build"
    } else {
        "buildWithParameters"
    };
    let fields = given
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let answer = server.post(&format!("{}/{way}", job_path(job)), &form(fields))?;
    answers::item_of(&answer).ok_or_else(|| {
        Failure::with_code(
            format!("{} does not say where the request waits", server.endpoint),
            None,
            exit_code::WARD_FAILED,
        )
    })
}
