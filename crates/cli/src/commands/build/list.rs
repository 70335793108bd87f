//! `ward build list`: jobs, or the builds of one.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::answers::{self, Build, Job, OF_BUILD};
use super::where_to;
use super::words::{ago, plain, print, print_json, table, took};
use crate::args::ListArgs;
use crate::failure::Failure;

/// Lists them.
pub(super) fn run(arguments: &ListArgs) -> Result<ExitCode, Failure> {
    let server = where_to::server(&arguments.at)?;
    match &arguments.job {
        None => {
            let jobs = answers::jobs(&server)?;
            if arguments.json {
                let jobs: Vec<Value> = jobs.iter().map(job_json).collect();
                print_json(&json!({ "jobs": jobs }))?;
            } else {
                print(&job_table(&jobs))?;
            }
        }
        Some(name) => {
            let tree = format!("allBuilds[{OF_BUILD}]{{0,{}}}", arguments.limit);
            let job = answers::job(&server, name, &tree)?;
            if arguments.json {
                let builds: Vec<Value> = job.builds.iter().map(build_json).collect();
                print_json(&json!({ "job": name, "builds": builds }))?;
            } else {
                print(&build_table(&job.builds))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// How a job stands, in a word.
fn state(job: &Job) -> &'static str {
    match &job.last_build {
        Some(build) if build.building => "running",
        _ if job.in_queue => "waiting",
        _ if job.disabled => "disabled",
        Some(build) => build.word(),
        None => "never built",
    }
}

fn job_table(jobs: &[Job]) -> String {
    let head = ["JOB", "STATE", "LAST", "WHEN", "TOOK", "DESCRIPTION"].map(str::to_owned);
    let rows = jobs.iter().map(|job| {
        let last = job.last_build.as_ref();
        let over = job.last_completed_build.as_ref();
        [
            plain(&job.name),
            state(job).to_owned(),
            last.map_or_else(|| "-".to_owned(), |build| format!("#{}", build.number)),
            last.map_or_else(|| "-".to_owned(), |build| ago(build.timestamp)),
            over.map_or_else(|| "-".to_owned(), |build| took(build.duration)),
            plain(job.description.as_deref().unwrap_or_default()),
        ]
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    table(&rows, 1)
}

fn build_table(builds: &[Build]) -> String {
    let head = ["BUILD", "RESULT", "WHEN", "TOOK", "NAME", "DESCRIPTION"].map(str::to_owned);
    let rows = builds.iter().map(|build| {
        [
            format!("#{}", build.number),
            build.word().to_owned(),
            ago(build.timestamp),
            if build.building {
                ago(build.timestamp)
            } else {
                took(build.duration)
            },
            plain(build.display_name.as_deref().unwrap_or_default()),
            plain(build.description.as_deref().unwrap_or_default()),
        ]
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    table(&rows, 1)
}

fn job_json(job: &Job) -> Value {
    json!({
        "name": job.name,
        "state": state(job),
        "description": job.description,
        "disabled": job.disabled,
        "waiting": job.in_queue,
        "last_build": job.last_build.as_ref().map(build_json),
    })
}

/// A build, for programs.
pub(super) fn build_json(build: &Build) -> Value {
    json!({
        "number": build.number,
        "name": build.display_name,
        "description": build.description,
        "running": build.is_running(),
        "result": build.result,
        "started_at": build.timestamp,
        "duration": build.duration,
        "estimate": u64::try_from(build.estimated_duration).ok(),
        "url": build.url,
    })
}
