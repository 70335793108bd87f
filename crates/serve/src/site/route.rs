//! Which page answers what.

use hyper::Method;
use serde_json::json;
use ward_build::api::{BuildView, Refusal, Which};

use super::console::{Log, Wanted};
use super::sheet::refused;
use super::{
    assets, build, events, job, jobs, listing, orders, programs, queue, results, search, trend,
};
use crate::builds::{Around, Asked, only_by_post};
use crate::http::{Body, Reply, of_type};

/// Answers what is asked for, if that is a page, a file that pages are made of, events for a page, or an order
/// of a page's form. To be called in a `LocalSet`, for whatever REST does not answer.
pub(crate) async fn page(asked: &Asked, around: &Around<'_>) -> Option<Reply> {
    let parts = asked.parts();
    match parts.as_slice() {
        ["static", name] => return assets::file(name),
        ["sign-in" | "login"] if !asked.is_post() => return Some(orders::sign_in(asked, around)),
        _ => {}
    }
    if !around.may_read {
        return None;
    }
    let reads = matches!(asked.method, Method::GET | Method::HEAD);
    match parts.as_slice() {
        [] if reads => Some(jobs::all(asked, around)),
        ["queue"] if reads => Some(queue::show(asked, around)),
        ["programs"] if reads => programs::show(asked, around).await,
        ["view", name] if reads => jobs::view(asked, around, name),
        ["queue", "ward", "cancel", id] if asked.is_post() => orders::cancel(asked, around, id),
        ["queue", "ward", ..] | ["programs", "ward", ..] if reads => Some(only_by_post()),
        ["programs", "ward", what, name] if asked.is_post() => {
            programs::order(asked, around, what, name).await
        }
        ["job", rest @ ..] => of_job(asked, around, rest).await,
        _ => None,
    }
}

/// What is below a job or folder; names of jobs have a part for each folder.
async fn of_job(asked: &Asked, around: &Around<'_>, mut rest: &[&str]) -> Option<Reply> {
    let mut name = String::new();
    let rest = loop {
        let (part, after) = rest.split_first()?;
        if !name.is_empty() {
            name.push('/');
        }
        name.push_str(part);
        match after {
            ["job", more @ ..] if !more.is_empty() => rest = more,
            _ => break after,
        }
    };
    let reads = matches!(asked.method, Method::GET | Method::HEAD);
    let view = match around.builds.job(&name) {
        Ok(view) => view,
        Err(refusal) => {
            return match rest {
                [] if reads && around.builds.has_folder(&name) => {
                    Some(jobs::folder(asked, around, &name))
                }
                _ => Some(refused(asked, around, &refusal)),
            };
        }
    };
    match rest {
        [] if reads => {
            let before = asked.query.get("before").and_then(|text| text.parse().ok());
            Some(job::show(asked, around, &view, before))
        }
        ["badge.svg"] if reads => Some(trend::badge(&view.line)),
        ["ward", "poll"] if reads => Some(job::poll_log(asked, around, &view)),
        ["ward", what] if asked.is_post() => orders::for_job(asked, around, &view, what),
        ["ward", _] => Some(only_by_post()),
        ["ws", path @ ..] if reads => Some(listing::of_workspace(asked, around, &view, path).await),
        [number, rest @ ..] => of_build(asked, around, (&name, number), rest).await,
        [] => None,
    }
}

async fn of_build(
    asked: &Asked,
    around: &Around<'_>,
    (job, number): (&str, &str),
    rest: &[&str],
) -> Option<Reply> {
    let which = Which::read(number)?;
    let view = match around.builds.build(job, &which) {
        Ok(view) => view,
        Err(refusal) => return Some(refused(asked, around, &refusal)),
    };
    if let ["ward", what] = rest
        && asked.is_post()
    {
        return orders::for_build(asked, around, (job, view.line.number), what);
    }
    if !matches!(asked.method, Method::GET | Method::HEAD) {
        return None;
    }
    match rest {
        [] => Some(build::show(asked, around, &view)),
        ["console" | "consoleFull"] if search::is_wanted(asked) => {
            Some(search::answer(asked, around, &view).await)
        }
        ["console" | "consoleFull"] => {
            let wanted = wanted(asked);
            Some(build::console(asked, around, &view, wanted))
        }
        ["display", "redirect"] => Some(build::show(asked, around, &view)),
        ["testReport"] => match results::show(asked, around, &view) {
            Some(reply) => Some(reply),
            None => {
                let refusal = Refusal::Nothing("test results of this build".to_owned());
                Some(refused(asked, around, &refusal))
            }
        },
        ["artifact", path @ ..] => Some(listing::of_artifacts(asked, around, &view, path).await),
        ["ward", "log"] => Some(part(asked, &view)),
        ["ward", "events"] => Some(events::follow(asked, around, &view)),
        ["ward", _] => Some(only_by_post()),
        _ => None,
    }
}

fn wanted(asked: &Asked) -> Wanted {
    let number = |name| asked.query.get(name).and_then(|text| text.parse().ok());
    match (number("before"), number("from")) {
        (Some(before), _) => Wanted::Before(before),
        (None, Some(from)) => Wanted::From(from),
        (None, None) => Wanted::End,
    }
}

/// A part of a log, for the script of a page.
fn part(asked: &Asked, view: &BuildView) -> Reply {
    let answer = match Log::open(view).and_then(|log| log.part(wanted(asked))) {
        Ok(part) => json!({
            "from": part.from, "to": part.to, "length": part.length, "lines": part.lines,
        }),
        Err(_) => json!({ "from": 0, "to": 0, "length": 0, "lines": "" }),
    };
    of_type(
        "application/json;charset=utf-8",
        Body::whole(answer.to_string()),
    )
}
