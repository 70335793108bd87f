//! What the buttons of the pages do. Whoever sent a form has been let in, and it carried its crumb.

use hyper::StatusCode;
use ward_build::api::{JobView, Refusal, Request, Requested, Role};
use ward_build::job::ParameterKind;
use ward_model::build::Cause;

use super::job::FIELD;
use super::sheet::{Sheet, job_parts, refused, saying};
use crate::builds::{Around, Asked, to};
use crate::http::{Reply, encode};

/// Characters of a description.
const DESCRIPTION: usize = 10_000;

/// An order for a job.
pub(super) fn for_job(
    asked: &Asked,
    around: &Around<'_>,
    job: &JobView,
    what: &str,
) -> Option<Reply> {
    let name = &job.line.name;
    let (role, act): (Role, Box<dyn FnOnce() -> Result<(), Refusal> + '_>) = match what {
        "start" => (
            Role::Build,
            Box::new(|| start(asked, around, job).map(|_| ())),
        ),
        "poll" => (Role::Build, Box::new(|| around.builds.poll(name))),
        "enable" => (
            Role::Admin,
            Box::new(|| around.builds.set_disabled(name, false)),
        ),
        "disable" => (
            Role::Admin,
            Box::new(|| around.builds.set_disabled(name, true)),
        ),
        "wipe" => (Role::Admin, Box::new(|| around.builds.wipe_workspace(name))),
        _ => return None,
    };
    let mut back = job_parts(name);
    back.push("");
    Some(done(asked, around, role, act, &back))
}

/// An order for a build.
pub(super) fn for_build(
    asked: &Asked,
    around: &Around<'_>,
    (job, number): (&str, u32),
    what: &str,
) -> Option<Reply> {
    let user = around.account.user.as_str();
    let builds = around.builds;
    let (role, act): (Role, Box<dyn FnOnce() -> Result<(), Refusal> + '_>) = match what {
        "stop" => (
            Role::Build,
            Box::new(|| builds.stop(job, number, user, false)),
        ),
        "force" => (
            Role::Build,
            Box::new(|| builds.stop(job, number, user, true)),
        ),
        "keep" => (Role::Build, Box::new(|| builds.set_keep(job, number, true))),
        "unkeep" => (
            Role::Build,
            Box::new(|| builds.set_keep(job, number, false)),
        ),
        "delete" => (Role::Admin, Box::new(|| builds.delete_build(job, number))),
        "describe" => {
            let text = asked.form.get("description").unwrap_or_default();
            let text: String = text.chars().take(DESCRIPTION).collect();
            (
                Role::Build,
                Box::new(move || builds.describe_build(job, number, &text, None)),
            )
        }
        _ => return None,
    };
    let mut back = job_parts(job);
    let number = number.to_string();
    if what != "delete" {
        back.push(&number);
    }
    back.push("");
    Some(done(asked, around, role, act, &back))
}

/// Takes a request out of the queue.
pub(super) fn cancel(asked: &Asked, around: &Around<'_>, id: &str) -> Option<Reply> {
    let id = id.parse().ok()?;
    let act = || around.builds.cancel(id, &around.account.user);
    Some(done(asked, around, Role::Build, act, &["queue", ""]))
}

fn done(
    asked: &Asked,
    around: &Around<'_>,
    role: Role,
    act: impl FnOnce() -> Result<(), Refusal>,
    back: &[&str],
) -> Reply {
    if !around.may(role) {
        let what = match role {
            Role::Admin => "Only administrators may do this.",
            Role::Build | Role::Read => "Whoever may only read may not do this.",
        };
        return saying(asked, around, StatusCode::FORBIDDEN, "Not allowed", what);
    }
    match act() {
        Ok(()) => {
            // Seen from where the form was sent to.
            let depth = asked.raw_path.matches('/').count().saturating_sub(1);
            let parts: Vec<String> = back.iter().map(|part| encode(part)).collect();
            let place = format!("{}{}", "../".repeat(depth), parts.join("/"));
            to(
                StatusCode::SEE_OTHER,
                if place.is_empty() { "./" } else { &place },
            )
        }
        Err(refusal) => refused(asked, around, &refusal),
    }
}

fn start(asked: &Asked, around: &Around<'_>, job: &JobView) -> Result<Requested, Refusal> {
    // The button of a list has no fields: then everything is as it is by default.
    let is_given = asked.form.get("given").is_some();
    let parameters = job.parameters.iter().filter(|_| is_given);
    let parameters = parameters.filter_map(|parameter| {
        let sent = asked.form.get(&format!("{FIELD}{}", parameter.name));
        let value = match &parameter.kind {
            // A box that is not ticked is not sent.
            ParameterKind::Boolean { .. } => Some(sent.is_some().to_string()),
            // What is left empty is as it is by default, which no page shows.
            ParameterKind::Password { .. } => {
                sent.filter(|sent| !sent.is_empty()).map(str::to_owned)
            }
            ParameterKind::Lines { .. } => sent.map(|sent| sent.replace("\r\n", "\n")),
            ParameterKind::Text { .. } | ParameterKind::Choice { .. } => sent.map(str::to_owned),
        };
        Some((parameter.name.clone(), value?))
    });
    around.builds.request(Request {
        job: job.line.name.clone(),
        cause: Cause::User {
            user: around.account.user.clone(),
        },
        parameters: parameters.collect(),
        delay: Some(0),
        revision: None,
    })
}

/// The page to sign in at.
pub(super) fn sign_in(asked: &Asked, around: &Around<'_>) -> Reply {
    let mut sheet = Sheet::begin(asked, around, "Sign in");
    sheet.raw("<h1>Sign in</h1>\n");
    if asked.query.get("failed").is_some() {
        sheet.raw(
            "<p class=\"message bad\">That is not the name and password of anybody here.</p>\n",
        );
    }
    if !around.has_accounts {
        sheet.raw("<p class=\"message warn\">Nobody has an account yet. On the server's host: <code>ward build user add NAME --role admin</code></p>\n");
    }
    sheet.form(&["sign-in"], "block");
    if let Some(from) = asked.query.get("from") {
        sheet.raw("<input type=\"hidden\" name=\"from\" value=\"");
        sheet.text(from);
        sheet.raw("\">");
    }
    sheet.raw("<p><label for=\"user\">Name</label><input type=\"text\" id=\"user\" name=\"user\" autocomplete=\"username\" autofocus></p>\n");
    sheet.raw("<p><label for=\"password\">Password</label><input type=\"password\" id=\"password\" name=\"password\" autocomplete=\"current-password\"></p>\n");
    sheet.raw("<p><button>Sign in</button></p></form>\n");
    sheet.end(StatusCode::OK)
}
