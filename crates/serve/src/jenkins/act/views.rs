//! What is done with views.

use hyper::{Method, StatusCode};
use ward_build::api::{Refusal, Role};

use super::super::refusal::refused;
use super::create::document;
use super::job::finish;
use crate::builds::{Around, Asked, empty, only_by_post, says, to};
use crate::http::{Body, Reply, encode, of_type};

/// `createView`.
pub(in crate::jenkins) fn create(asked: &Asked, around: &Around<'_>) -> Reply {
    if !asked.is_post() {
        return only_by_post();
    }
    if !around.may(Role::Admin) {
        return around.missing("View/Create");
    }
    let name = asked.field("name").unwrap_or_default().trim();
    if name.is_empty() {
        return says(
            StatusCode::BAD_REQUEST,
            "Query parameter 'name' is required",
        );
    }
    let made = match document(asked) {
        Some(config) => around
            .builds
            .put_view(name, config, true)
            .map(|()| empty(StatusCode::OK)),
        None => around.builds.put_view(name, &list(name), true).map(|()| {
            let place = format!("{}view/{}/configure", around.asked_root, encode(name));
            to(StatusCode::FOUND, &place)
        }),
    };
    match made {
        Ok(reply) => finish(asked, reply),
        Err(refusal) => refused(&refusal),
    }
}

/// The document of a view without jobs.
fn list(name: &str) -> Vec<u8> {
    let name = name
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    format!("<?xml version=\"1.1\" encoding=\"UTF-8\"?>\n<hudson.model.ListView>\n  <name>{name}</name>\n  <jobNames/>\n</hudson.model.ListView>\n").into_bytes()
}

/// Does what the last part of the address says; nothing if it says nothing that is done.
pub(in crate::jenkins) fn act(
    asked: &Asked,
    around: &Around<'_>,
    view: &str,
    verb: &str,
) -> Option<Reply> {
    let builds = around.builds;
    if !matches!(
        verb,
        "config.xml" | "doDelete" | "addJobToView" | "removeJobFromView"
    ) {
        return None;
    }
    let is_read = matches!(asked.method, Method::GET | Method::HEAD);
    if verb == "config.xml" && is_read {
        let views = builds.views();
        let found = views.into_iter().find(|known| known.name == view);
        return Some(match found {
            Some(found) => of_type("application/xml;charset=utf-8", Body::whole(found.config)),
            None => refused(&Refusal::Nothing(format!("view `{view}`"))),
        });
    }
    if is_read {
        return Some(only_by_post());
    }
    if !around.may(Role::Admin) {
        return Some(around.missing("View/Configure"));
    }
    let job = asked.field("name").unwrap_or_default();
    let root = around.asked_root.as_str();
    let done = match verb {
        "config.xml" => match document(asked) {
            Some(config) => builds
                .put_view(view, config, false)
                .map(|()| empty(StatusCode::OK)),
            None => Err(Refusal::BadInput(
                "there is no document in this request".to_owned(),
            )),
        },
        "doDelete" => builds
            .delete_view(view)
            .map(|()| to(StatusCode::FOUND, root)),
        "addJobToView" => builds
            .set_in_view(view, job, true)
            .map(|()| empty(StatusCode::OK)),
        _ => builds
            .set_in_view(view, job, false)
            .map(|()| empty(StatusCode::OK)),
    };
    Some(match done {
        Ok(reply) => finish(asked, reply),
        Err(refusal) => refused(&refusal),
    })
}
