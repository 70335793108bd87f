//! Who needs no account: forges that sign what they tell, hooks of repositories, and those who know a
//! job's own token.
//!
//! What they tell is that somebody should look: what is built is what is found there then.

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use ward_build::api::{Builds, JobView, Push, Refusal, Request, Role};
use ward_build::triggers::hooks::{Delivery, Forge, Happened, notify_commit};
use ward_build::triggers::same_repository;
use ward_model::build::Cause;

use super::dress::{only_by_post, says};
use super::front::{Caller, House};
use super::visit::Asked;
use crate::http::{Body, Reply, Visitor, Weight, of_type, same};
use crate::jenkins::{delay, given, job_path, refused, started};

/// Jobs whose names one answer tells.
const MAX_TOLD: usize = 100;

/// Answers a webhook or a repository's hook; nothing if it is none.
pub(super) fn answer(
    house: &House,
    asked: &Asked,
    caller: &Caller,
    asked_root: &str,
) -> Option<Reply> {
    let parts = asked.parts();
    let (forge, job) = match parts.as_slice() {
        ["git", "notifyCommit"] => return Some(notified(house, asked, caller, asked_root)),
        ["github-webhook"] => (Forge::GitHub, None),
        ["gitea-webhook", "post"] => (Forge::Gitea, None),
        ["project", job @ ..] if !job.is_empty() => (Forge::GitLab, Some(job.join("/"))),
        _ => return None,
    };
    if !asked.is_post() {
        return Some(only_by_post());
    }
    Some(delivered(house, asked, forge, job.as_deref()))
}

fn delivered(house: &House, asked: &Asked, forge: Forge, job: Option<&str>) -> Reply {
    let header = |name: &str| asked.headers.get(name).map(HeaderValue::as_bytes);
    let delivery = match Delivery::read(forge, header, &asked.body) {
        Ok(delivery) => delivery,
        Err(error) => return plain(StatusCode::BAD_REQUEST, &ward_engine::chain(&error)),
    };
    let push = match &delivery.happened {
        Happened::Pushed(push) => push,
        Happened::Ping => return plain(StatusCode::OK, "It arrives."),
        Happened::Removed => return plain(StatusCode::OK, "Nothing is new where something went."),
        Happened::Other(what) => {
            return plain(StatusCode::OK, &format!("Nothing is built for `{what}`."));
        }
    };
    let listeners = listeners(house.builds.as_ref(), push, job);
    if listeners.is_empty() {
        return plain(
            StatusCode::OK,
            "No job listens to this repository's webhook.",
        );
    }
    let signed: Vec<String> = listeners
        .into_iter()
        .filter(|name| {
            let secret = house.builds.webhook_secret(name);
            secret.is_some_and(|secret| delivery.signature.is_of(&secret, &asked.body))
        })
        .collect();
    if signed.is_empty() {
        let line = format!(
            "A webhook of {} was not signed as any job that listens to it wants: refused",
            delivery.by
        );
        house.ground.tell(Weight::Error, &line);
        let hint = delivery
            .signature
            .hint()
            .unwrap_or("the job's webhook_secret and the forge's have to be the same");
        return plain(
            StatusCode::FORBIDDEN,
            &format!("The signature is wrong or missing: {hint}."),
        );
    }
    // Asked after the signature: nobody else's names fill the memory of deliveries.
    if let Some(id) = &delivery.id
        && !house.builds.is_new_delivery(&delivery.by, id)
    {
        return plain(StatusCode::OK, "This delivery came before.");
    }
    let mut said = String::new();
    for name in signed {
        let push = Push {
            job: Some(name),
            ..push.clone()
        };
        for name in house.builds.pushed(&push) {
            said.push_str(&format!("Scheduled polling of {name}\n"));
        }
    }
    plain(StatusCode::OK, &said)
}

/// Jobs that listen to a repository's webhook; the one that is named, if one is.
fn listeners(builds: &dyn Builds, push: &Push, named: Option<&str>) -> Vec<String> {
    let listens = |view: &JobView| {
        let source = view.job.source.as_ref();
        view.job.triggers.webhook
            && source.is_some_and(|source| {
                push.urls
                    .iter()
                    .any(|url| same_repository(url, &source.url))
            })
    };
    let names = match named {
        Some(name) => vec![name.to_owned()],
        None => builds.jobs().into_iter().map(|line| line.name).collect(),
    };
    names
        .into_iter()
        .filter(|name| builds.job(name).is_ok_and(|view| listens(&view)))
        .collect()
}

/// `/git/notifyCommit`: for who knows the token, or may have jobs built anyway.
fn notified(house: &House, asked: &Asked, caller: &Caller, asked_root: &str) -> Reply {
    let may_build = caller.may_read && caller.account.role >= Role::Build;
    match (asked.field("token"), &house.notify_token) {
        (Some(said), Some(token)) if same(said.as_bytes(), token.as_bytes()) => {}
        _ if may_build => {}
        (Some(_), _) => return plain(StatusCode::FORBIDDEN, "Invalid access token"),
        (None, _) => {
            return plain(
                StatusCode::UNAUTHORIZED,
                "An access token is required. Please refer to Git plugin documentation (https://plugins.jenkins.io/git/#plugin-content-push-notification-from-repository) for details.",
            );
        }
    }
    let url = asked.field("url").unwrap_or_default();
    let push = match notify_commit(url, asked.field("branches")) {
        Ok(push) => push,
        Err(error) => return plain(StatusCode::BAD_REQUEST, &ward_engine::chain(&error)),
    };
    let jobs = house.builds.pushed(&push);
    if jobs.is_empty() {
        let branches = asked.field("branches").unwrap_or_default();
        let text = format!("No git jobs using repository: {url} and branches: {branches}\n");
        return plain(StatusCode::OK, &text);
    }
    let text: String = jobs
        .iter()
        .map(|job| format!("Scheduled polling of {job}\n"))
        .collect();
    let mut reply = plain(StatusCode::OK, &text);
    for job in jobs.iter().take(MAX_TOLD) {
        let place = format!("{asked_root}{}", job_path(job));
        if let Ok(place) = HeaderValue::from_str(&place) {
            reply
                .headers_mut()
                .append(HeaderName::from_static("triggered"), place);
        }
    }
    reply
}

/// `/job/X/build?token=T`: a build by who knows the job's own token; nothing if that is not so.
pub(super) fn build_by_token(
    house: &House,
    visitor: Visitor,
    asked: &Asked,
    asked_root: &str,
) -> Option<Reply> {
    let said = asked.field("token").filter(|token| !token.is_empty())?;
    let parts = asked.parts();
    let (verb, of_job) = parts.split_last()?;
    let by_fields = match *verb {
        "build" => false,
        "buildWithParameters" => true,
        _ => return None,
    };
    let mut names = Vec::new();
    for pair in of_job.chunks(2) {
        match pair {
            ["job", name] if !name.contains('/') => names.push(*name),
            _ => return None,
        }
    }
    let name = names.join("/");
    let view = house.builds.job(&name).ok()?;
    let token = view
        .job
        .token
        .as_deref()
        .filter(|token| !token.is_empty())?;
    if !same(said.as_bytes(), token.as_bytes()) {
        return None;
    }
    if by_fields && view.parameters.is_empty() {
        let text = format!("{name} is not parameterized");
        return Some(says(StatusCode::BAD_REQUEST, &text));
    }
    let request = |delay| Request {
        job: name.clone(),
        cause: Cause::Remote {
            host: visitor
                .address
                .map_or_else(|| "localhost".to_owned(), |address| address.to_string()),
            note: asked
                .field("cause")
                .unwrap_or_default()
                .chars()
                .take(500)
                .collect(),
        },
        parameters: if by_fields { given(asked) } else { Vec::new() },
        delay,
        revision: None,
    };
    let requested: Result<_, Refusal> =
        delay(asked).and_then(|delay| house.builds.request(request(delay)));
    Some(match requested {
        Ok(requested) => started(requested, by_fields, asked_root),
        Err(refusal) => refused(&refusal),
    })
}

fn plain(status: StatusCode, text: &str) -> Reply {
    let mut reply = of_type("text/plain;charset=utf-8", Body::whole(text.to_owned()));
    *reply.status_mut() = status;
    reply
}
