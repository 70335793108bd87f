//! Asking for a build.

use std::time::Duration;

use hyper::StatusCode;
use ward_build::api::{Refusal, Request, Requested};
use ward_model::build::Cause;

use super::super::refusal::refused;
use crate::builds::{Around, Asked, CRUMB, says, to};
use crate::http::Reply;

/// Fields that are for us, not for the job.
const OURS: &[&str] = &[
    "token",
    "cause",
    "delay",
    "json",
    "Submit",
    "statusCode",
    "redirectTo",
    "ward-redirect",
    CRUMB,
];

/// Parameters that are read.
const MAX_GIVEN: usize = 500;

/// Asks for a build as somebody who may.
pub(super) fn ask(asked: &Asked, around: &Around<'_>, job: &str, by_fields: bool) -> Reply {
    let view = match around.builds.job(job) {
        Ok(view) => view,
        Err(refusal) => return refused(&refusal),
    };
    if by_fields && view.parameters.is_empty() {
        return says(
            StatusCode::BAD_REQUEST,
            &format!("{job} is not parameterized"),
        );
    }
    let parameters = if by_fields {
        given(asked)
    } else {
        submitted(asked)
    };
    let delay = match delay(asked) {
        Ok(delay) => delay,
        Err(refusal) => return refused(&refusal),
    };
    let request = Request {
        job: job.to_owned(),
        cause: Cause::User {
            user: around.account.user.clone(),
        },
        parameters,
        delay,
        revision: None,
    };
    match around.builds.request(request) {
        Ok(requested) => started(requested, by_fields, &around.asked_root),
        Err(refusal) => refused(&refusal),
    }
}

/// The answer: where the request is in the queue, below the address that the client used.
pub(crate) fn started(requested: Requested, by_fields: bool, asked_root: &str) -> Reply {
    // Jenkins tells of a folded request only here.
    let status = if requested.folded && by_fields {
        StatusCode::SEE_OTHER
    } else {
        StatusCode::CREATED
    };
    to(status, &format!("{asked_root}queue/item/{}/", requested.id))
}

/// Parameters that are fields of the query or of a form; the last one of a name counts.
pub(crate) fn given(asked: &Asked) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for (name, value) in asked.query.fields().chain(asked.form.fields()) {
        if OURS.contains(&name) {
            continue;
        }
        match found.iter().position(|(known, _)| known == name) {
            Some(at) => {
                if let Some((_, old)) = found.get_mut(at) {
                    value.clone_into(old);
                }
            }
            None if found.len() < MAX_GIVEN => found.push((name.to_owned(), value.to_owned())),
            None => {}
        }
    }
    found
}

/// Parameters in the field `json` of a form, as Jenkins' own page sends them.
fn submitted(asked: &Asked) -> Vec<(String, String)> {
    let Some(document) = asked.field("json") else {
        return Vec::new();
    };
    let Ok(document) = serde_json::from_str::<serde_json::Value>(document) else {
        return Vec::new();
    };
    let parameter = document.get("parameter");
    let list = match parameter {
        Some(serde_json::Value::Array(list)) => list.as_slice(),
        Some(one) => std::slice::from_ref(one),
        None => &[],
    };
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Bool(flag) => Some(flag.to_string()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => {
            None
        }
    };
    list.iter()
        .take(MAX_GIVEN)
        .filter_map(|one| {
            let name = one.get("name")?.as_str()?.to_owned();
            Some((name, text(one.get("value")?)?))
        })
        .collect()
}

/// `delay=5`, `5sec`, `5min`, `1hour`: milliseconds.
pub(crate) fn delay(asked: &Asked) -> Result<Option<u64>, Refusal> {
    let Some(text) = asked.field("delay").map(str::trim) else {
        return Ok(None);
    };
    let bad = || Refusal::BadInput(format!("`{text}` is no delay"));
    let end = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: u64 = number.parse().map_err(|_| bad())?;
    let seconds = match unit.trim() {
        "" | "s" | "sec" | "secs" => 1,
        "m" | "min" | "mins" => 60,
        "h" | "hr" | "hour" | "hours" => 3600,
        "d" | "day" | "days" => 24 * 3600,
        _ => return Err(bad()),
    };
    let most = Duration::from_secs(366 * 24 * 3600);
    let delay = number.checked_mul(seconds * 1000).ok_or_else(bad)?;
    if u128::from(delay) > most.as_millis() {
        return Err(bad());
    }
    Ok(Some(delay))
}
