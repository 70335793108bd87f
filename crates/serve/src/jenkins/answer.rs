//! Which address shows or does what.

use hyper::header::{HeaderValue, LOCATION};
use hyper::{Method, StatusCode};
use ward_build::api::{BuildView, Refusal, Role, Which};

use super::refusal::refused;
use super::world::{ALL, World};
use super::{act, api, artifacts, log, show, ward, workspace};
use crate::builds::{Around, Asked, only_by_post, says, to};
use crate::http::{Body, Reply, html, of_type};

/// Answers what is Jenkins' REST; nothing for what may be a page.
pub(crate) async fn answer(asked: &Asked, around: &Around<'_>) -> Option<Reply> {
    let parts = asked.parts();
    let world = World::of(around);
    Some(match parts.as_slice() {
        ["api", dialect] => {
            api::show(asked, dialect, move |sheet| show::server(&world, sheet)).await
        }
        ["whoAmI", "api", dialect] => {
            api::show(asked, dialect, move |sheet| {
                show::who_am_i(&world.account, sheet);
            })
            .await
        }
        ["me", "api", dialect] => {
            api::show(asked, dialect, move |sheet| show::me(&world, sheet)).await
        }
        ["user", name, "api", dialect] if *name == around.account.user => {
            api::show(asked, dialect, move |sheet| show::me(&world, sheet)).await
        }
        ["crumbIssuer", "api", dialect] => {
            let crumb = around.crumb.clone();
            api::show(asked, dialect, move |sheet| show::crumb(&crumb, sheet)).await
        }
        ["pluginManager", "api", dialect] => api::show(asked, dialect, show::plugins).await,
        ["computer", "api", dialect] => {
            api::show(asked, dialect, move |sheet| show::computers(&world, sheet)).await
        }
        [
            "computer",
            "(master)" | "(built-in)" | "Built-In Node",
            "api",
            dialect,
        ] => api::show(asked, dialect, move |sheet| show::computer(&world, sheet)).await,
        ["queue", rest @ ..] => return queue(asked, around, world, rest).await,
        ["createItem"] => act::create(asked, around, ""),
        ["createView"] => act::create_view(asked, around),
        ["quietDown"] => act::quiet_down(asked, around, true),
        ["cancelQuietDown"] => act::quiet_down(asked, around, false),
        ["restart" | "safeRestart" | "exit" | "safeExit" | "reload"] => not_here(asked, around),
        [
            "view",
            name,
            rest @ ("api" | "configure" | "config.xml" | "doDelete" | "addJobToView"
            | "removeJobFromView"),
            dialect @ ..,
        ] => {
            return view(asked, around, world, name, rest, dialect).await;
        }
        // What is in a view is where it always is, too.
        ["view", _, rest @ ("job" | "createItem"), below @ ..] => {
            let mut parts = vec![*rest];
            parts.extend_from_slice(below);
            return Box::pin(in_jobs(asked, around, world, &parts)).await;
        }
        ["job", ..] => return in_jobs(asked, around, world, &parts).await,
        ["ward", "api", what] => return ward::of_server(around.builds.as_ref(), what),
        _ => return None,
    })
}

/// The server is ended and started by who started it.
fn not_here(asked: &Asked, around: &Around<'_>) -> Reply {
    if !asked.is_post() {
        return only_by_post();
    }
    if !around.may(Role::Admin) {
        return around.missing("Overall/Administer");
    }
    says(
        StatusCode::NOT_IMPLEMENTED,
        "This server is restarted by who started it: `ward ctl restart builds`.",
    )
}

async fn queue(asked: &Asked, around: &Around<'_>, world: World, parts: &[&str]) -> Option<Reply> {
    match parts {
        ["api", dialect] => {
            Some(api::show(asked, dialect, move |sheet| show::queue(&world, sheet)).await)
        }
        ["cancelItem"] => Some(act::cancel(asked, around)),
        ["item", id, rest @ ..] => {
            let found = id.parse().ok().and_then(|id| around.builds.queue_item(id));
            let Some(item) = found else {
                let refusal = Refusal::Nothing(format!("item {id} in the queue"));
                return Some(refused(&refusal));
            };
            match rest {
                ["api", dialect] => {
                    let shown = api::show(asked, dialect, move |sheet| {
                        show::queue_item(&world, &item, sheet);
                    });
                    Some(shown.await)
                }
                // A client that follows the answer to a folded request looks here for where it is.
                [] => {
                    let why = item.why.replace('&', "&amp;").replace('<', "&lt;");
                    let page = format!(
                        "<!DOCTYPE html>\n<html lang=\"en\"><head><title>Queue item {}</title></head><body><p>{why}</p></body></html>\n",
                        item.id
                    );
                    let mut reply = html(StatusCode::OK, page);
                    let place = format!("{}queue/item/{}/", around.asked_root, item.id);
                    if let Ok(place) = HeaderValue::from_str(&place) {
                        reply.headers_mut().insert(LOCATION, place);
                    }
                    Some(reply)
                }
                _ => None,
            }
        }
        _ => None,
    }
}

async fn view(
    asked: &Asked,
    around: &Around<'_>,
    world: World,
    name: &str,
    verb: &str,
    dialect: &[&str],
) -> Option<Reply> {
    match (verb, dialect) {
        ("api", [dialect]) => {
            let views = around.builds.views();
            let Some(found) = views.into_iter().find(|view| view.name == name) else {
                return Some(refused(&Refusal::Nothing(format!("view `{name}`"))));
            };
            let shown = api::show(asked, dialect, move |sheet| {
                show::view(&world, &found, sheet);
            });
            Some(shown.await)
        }
        ("configure", []) => Some(configuration("A view", "The view")),
        (verb, []) => act::on_view(asked, around, name, verb),
        _ => None,
    }
}

/// A job's full name and what follows it: folders are `job/a/job/b`.
fn split<'p, 'a>(parts: &'p [&'a str]) -> (String, &'p [&'a str]) {
    let mut name = String::new();
    let mut rest = parts;
    while let ["job", part, after @ ..] = rest {
        if !name.is_empty() {
            name.push('/');
        }
        name.push_str(part);
        rest = after;
    }
    (name, rest)
}

async fn in_jobs(
    asked: &Asked,
    around: &Around<'_>,
    world: World,
    parts: &[&str],
) -> Option<Reply> {
    // A part that holds a slash is none of a name's.
    let of_name = parts
        .chunks(2)
        .take_while(|pair| pair.first() == Some(&"job"));
    if of_name.flatten().any(|part| part.contains('/')) {
        return Some(says(StatusCode::NOT_FOUND, "There is no such job."));
    }
    let (name, rest) = split(parts);
    if *rest == ["createItem"] {
        if !name.is_empty() && !around.builds.has_folder(&name) {
            return Some(says(StatusCode::NOT_FOUND, "There is no such folder."));
        }
        return Some(act::create(asked, around, &name));
    }
    let job = match around.builds.job(&name) {
        Ok(job) => job,
        Err(refusal) => {
            if around.builds.has_folder(&name) {
                return in_folder(asked, around, world, &name, rest).await;
            }
            return Some(refused(&refusal));
        }
    };
    match rest {
        [] if asked.method == Method::DELETE => Some(act::delete(asked, around, &name)),
        [] => with_slash(asked, around),
        ["api", dialect] => {
            let shown = api::show(asked, dialect, move |sheet| show::job(&world, job, sheet));
            Some(shown.await)
        }
        ["scmPollLog"] if !asked.wants_page() => Some(poll_log(around, &name)),
        ["configure"] => Some(configuration("A job", "The job")),
        ["ws", path @ ..] => workspace::answer(asked, around, &job, path).await,
        ["ward", what] => ward::of_job(around.builds.as_ref(), &name, what, asked),
        [which, below @ ..] if Which::read(which).is_some() => {
            in_build(asked, around, world, (&name, which), below).await
        }
        verb => act::on_job(asked, around, &name, verb),
    }
}

/// A page is left to who makes pages, at an address that its links are relative to.
fn with_slash(asked: &Asked, around: &Around<'_>) -> Option<Reply> {
    if asked.ends_with_slash || asked.is_post() {
        return None;
    }
    let path = asked.raw_path.trim_start_matches('/');
    let place = format!("{}{path}/", around.asked_root);
    Some(to(StatusCode::FOUND, &place))
}

/// Where clients are sent when something is new: there is no form for it here.
fn configuration(what: &str, back: &str) -> Reply {
    let page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><title>Configuration</title></head><body><p>{what} is configured by its <a href=\"config.xml\">config.xml</a>, or in the server's file.</p><p><a href=\"./\">{back}</a></p></body></html>\n"
    );
    html(StatusCode::OK, page)
}

fn poll_log(around: &Around<'_>, job: &str) -> Reply {
    match around.builds.poll_log(job) {
        Ok(log) => {
            let text = log.map(|(_, text)| text).unwrap_or_default();
            of_type("text/plain;charset=utf-8", Body::whole(text))
        }
        Err(refusal) => refused(&refusal),
    }
}

async fn in_folder(
    asked: &Asked,
    around: &Around<'_>,
    world: World,
    name: &str,
    rest: &[&str],
) -> Option<Reply> {
    match rest {
        [] if asked.method == Method::DELETE => Some(act::delete(asked, around, name)),
        ["api", dialect] => {
            let folder = name.to_owned();
            let shown = api::show(asked, dialect, move |sheet| {
                show::folder(&world, &folder, || show::Contents::all(&world), sheet);
            });
            Some(shown.await)
        }
        // A folder's only view is all of it.
        ["view", name, "api", dialect] if *name == ALL => {
            let folder = split(&asked.parts()).0;
            let shown = api::show(asked, dialect, move |sheet| {
                show::folder(&world, &folder, || show::Contents::all(&world), sheet);
            });
            Some(shown.await)
        }
        verb => act::on_folder(asked, around, name, verb),
    }
}

async fn in_build(
    asked: &Asked,
    around: &Around<'_>,
    world: World,
    (job, which): (&str, &str),
    rest: &[&str],
) -> Option<Reply> {
    let found = Which::read(which).map(|which| around.builds.build(job, &which));
    let view = match found? {
        Ok(view) => view,
        Err(refusal) => return Some(refused(&refusal)),
    };
    match rest {
        [] if asked.method == Method::DELETE => act::on_build(asked, around, &view, "doDelete"),
        [] => with_slash(asked, around),
        ["api", dialect] => Some(show_build(asked, world, view, dialect).await),
        ["consoleText"] => Some(log::whole(&view, asked)),
        ["logText", "progressiveText"] => Some(log::progressive(&view, asked)),
        ["logText", "progressiveHtml"] => Some(log::progressive_html(&view, asked)),
        ["artifact", path @ ..] => artifacts::artifact(&view, path, asked).await,
        ["testReport", "api", dialect] => match around.builds.tests(job, view.line.number) {
            Ok(suites) => {
                let shown = api::show(asked, dialect, move |sheet| {
                    show::results(&suites, sheet);
                });
                Some(shown.await)
            }
            Err(refusal) => Some(refused(&refusal)),
        },
        ["ward", what] => ward::of_build(around.builds.as_ref(), &view, what),
        [verb] => act::on_build(asked, around, &view, verb),
        _ => None,
    }
}

async fn show_build(asked: &Asked, world: World, view: BuildView, dialect: &str) -> Reply {
    let shown = api::show(asked, dialect, move |sheet| {
        show::build(&show::Build::of_view(&world, view), sheet);
    });
    shown.await
}
