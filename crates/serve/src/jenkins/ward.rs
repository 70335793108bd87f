//! What Jenkins has no words for, and our own command line asks: the types of [`ward_build::api`] as they are.

use hyper::StatusCode;
use serde::Serialize;
use ward_build::api::{BuildView, Builds};

use super::refusal::refused;
use crate::builds::{Asked, says};
use crate::http::{Body, Reply, of_type};

/// Builds in one answer.
const MAX_LISTED: usize = 1000;

/// `/ward/api/WHAT`.
pub(super) fn of_server(builds: &dyn Builds, what: &str) -> Option<Reply> {
    Some(match what {
        "server" => json(&builds.server()),
        "jobs" => json(&builds.jobs()),
        "queue" => json(&builds.queue()),
        _ => return None,
    })
}

/// `/job/X/ward/WHAT`.
pub(super) fn of_job(builds: &dyn Builds, job: &str, what: &str, asked: &Asked) -> Option<Reply> {
    let number = |name| asked.field(name).and_then(|text| text.parse().ok());
    Some(match what {
        "builds" => {
            let limit = number("limit").map_or(20, |limit: u32| limit as usize);
            let before = number("before");
            match builds.builds(job, before, limit.min(MAX_LISTED)) {
                Ok(lines) => json(&lines),
                Err(refusal) => refused(&refusal),
            }
        }
        "trend" => match builds.test_trend(job, 100) {
            Ok(trend) => json(&trend),
            Err(refusal) => refused(&refusal),
        },
        _ => return None,
    })
}

/// `/job/X/N/ward/WHAT`.
pub(super) fn of_build(builds: &dyn Builds, view: &BuildView, what: &str) -> Option<Reply> {
    let there_is_none = || says(StatusCode::NOT_FOUND, "There is none at the moment.");
    Some(match what {
        "build" => json(&view.line),
        "outcome" => view.outcome.as_ref().map_or_else(there_is_none, json),
        "state" => view.state.as_ref().map_or_else(there_is_none, json),
        "processes" => match builds.processes(&view.line.job, view.line.number) {
            Ok(processes) => json(&processes),
            Err(refusal) => refused(&refusal),
        },
        _ => return None,
    })
}

fn json<T: Serialize + ?Sized>(value: &T) -> Reply {
    match serde_json::to_vec(value) {
        Ok(content) => of_type("application/json;charset=utf-8", Body::whole(content)),
        Err(_) => says(
            StatusCode::INTERNAL_SERVER_ERROR,
            "This could not be written down.",
        ),
    }
}
