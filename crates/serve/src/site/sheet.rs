//! Writing a page: its frame, links within the site, and what is shown in many places.

use std::fmt::Display;

use hyper::StatusCode;
use ward_build::api::{BuildLine, Refusal, Role};
use ward_model::build::BuildResult;

use super::words::instant;
use crate::builds::{Around, Asked, CRUMB};
use crate::http::{Body, Reply, of_type};
use crate::page::Markup;

/// A page, or a part of one, that is being written.
pub(super) struct Sheet {
    markup: Markup,
    /// From the page's own address to the site's root.
    up: String,
    crumb: String,
}

impl Sheet {
    /// A part of a page at this address.
    pub(super) fn part_of(asked: &Asked, around: &Around<'_>) -> Self {
        let depth = asked.raw_path.matches('/').count().saturating_sub(1);
        let up = if depth == 0 {
            "./".to_owned()
        } else {
            "../".repeat(depth)
        };
        Self::at(up, around.crumb.clone())
    }

    /// A part of a page from which `up` leads to the root.
    pub(super) fn at(up: String, crumb: String) -> Self {
        Self {
            markup: Markup::fragment(),
            up,
            crumb,
        }
    }

    /// Up to what is this page's own.
    pub(super) fn begin(asked: &Asked, around: &Around<'_>, title: &str) -> Self {
        let mut sheet = Self::part_of(asked, around);
        sheet.raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
        sheet.raw(
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
        );
        sheet.text(title);
        sheet.raw("</title>\n<link rel=\"stylesheet\" href=\"");
        sheet.to(&["static", "style.css"]);
        sheet.raw("\">\n<link rel=\"icon\" type=\"image/svg+xml\" href=\"");
        sheet.to(&["static", "icon.svg"]);
        sheet.raw("\">\n<script defer src=\"");
        sheet.to(&["static", "live.js"]);
        sheet.raw("\"></script>\n</head>\n<body>\n<nav><a class=\"home\" href=\"");
        sheet.to(&[]);
        sheet.raw("\">Jobs</a> ");
        if around.may_read {
            sheet.link(&["queue", ""], "Queue");
            sheet.raw(" ");
            if around.supervisor.is_some() && around.may(Role::Admin) {
                sheet.link(&["programs", ""], "Programs");
            }
        }
        sheet.raw("<span class=\"who\">");
        if around.account.session.is_some() {
            sheet.form(&["sign-out"], "");
            sheet.text(&around.account.user);
            sheet.raw(" <button class=\"quiet\">Sign out</button></form>");
        } else if around.has_accounts && !around.account.by_token {
            sheet.link(&["sign-in"], "Sign in");
        } else {
            sheet.text(&around.account.user);
        }
        sheet.raw("</span></nav>\n<main>\n");
        sheet
    }

    /// The whole page.
    pub(super) fn end(mut self, status: StatusCode) -> Reply {
        self.raw("</main>\n</body>\n</html>\n");
        let mut reply = of_type("text/html;charset=utf-8", Body::whole(self.into_text()));
        *reply.status_mut() = status;
        reply
    }

    /// What was written.
    pub(super) fn into_text(self) -> String {
        self.markup.into_text()
    }

    /// Markup; only ours.
    pub(super) fn raw(&mut self, markup: &'static str) {
        self.markup.raw(markup);
    }

    /// Text, also within quotation marks.
    pub(super) fn text(&mut self, text: &str) {
        self.markup.text(text);
    }

    /// Markup that a [`super::painter::Painter`] made.
    pub(super) fn painted(&mut self, lines: &str) {
        self.markup.append(lines);
    }

    /// Something that is shown as it is.
    pub(super) fn show(&mut self, what: impl Display) {
        self.markup.text(&what.to_string());
    }

    /// An address within the site, for a quotation.
    pub(super) fn to(&mut self, parts: &[&str]) {
        self.markup.text(&self.up);
        for (at, part) in parts.iter().enumerate() {
            if at > 0 {
                self.markup.raw("/");
            }
            self.markup.part(part);
        }
    }

    /// A link within the site.
    pub(super) fn link(&mut self, parts: &[&str], label: &str) {
        self.raw("<a href=\"");
        self.to(parts);
        self.raw("\">");
        self.text(label);
        self.raw("</a>");
    }

    /// The begin of a form that is sent there, with what it carries against forgery.
    pub(super) fn form(&mut self, parts: &[&str], class: &'static str) {
        self.raw("<form method=\"post\" class=\"");
        self.raw(class);
        self.raw("\" action=\"");
        self.to(parts);
        self.raw("\"><input type=\"hidden\" name=\"");
        self.raw(CRUMB);
        self.raw("\" value=\"");
        let crumb = std::mem::take(&mut self.crumb);
        self.text(&crumb);
        self.crumb = crumb;
        self.raw("\">");
    }

    /// A form that is nothing but a button.
    pub(super) fn button(&mut self, parts: &[&str], label: &'static str, class: &'static str) {
        self.form(parts, "inline");
        self.raw("<button class=\"");
        self.raw(class);
        self.raw("\">");
        self.raw(label);
        self.raw("</button></form> ");
    }

    /// A result, or that there is none yet.
    pub(super) fn result(&mut self, result: Option<BuildResult>) {
        self.raw("<span class=\"result ");
        self.raw(class_of(result));
        self.raw("\">");
        self.raw(match result {
            None => "running",
            Some(BuildResult::Success) => "success",
            Some(BuildResult::Unstable) => "unstable",
            Some(BuildResult::Failure) => "failure",
            Some(BuildResult::NotBuilt) => "not built",
            Some(BuildResult::Aborted) => "aborted",
        });
        self.raw("</span>");
    }

    /// A moment, milliseconds since the epoch.
    pub(super) fn moment(&mut self, at: i64) {
        let (exact, shown) = instant(at);
        self.raw("<time datetime=\"");
        self.text(&exact);
        self.raw("\">");
        self.text(&shown);
        self.raw("</time>");
    }

    /// A build in a list: result and name, linked.
    pub(super) fn build(&mut self, build: &BuildLine) {
        self.result(build.result);
        self.raw(" ");
        let number = build.number.to_string();
        let mut parts = job_parts(&build.job);
        parts.extend([number.as_str(), ""]);
        self.link(&parts, &build.display_name);
    }
}

/// The class of a result in the style sheet.
pub(super) fn class_of(result: Option<BuildResult>) -> &'static str {
    match result {
        None => "running",
        Some(BuildResult::Success) => "success",
        Some(BuildResult::Unstable) => "unstable",
        Some(BuildResult::Failure) => "failure",
        Some(BuildResult::NotBuilt) => "notbuilt",
        Some(BuildResult::Aborted) => "aborted",
    }
}

/// Where a job is.
pub(super) fn job_parts(name: &str) -> Vec<&str> {
    name.split('/').flat_map(|part| ["job", part]).collect()
}

/// A page that says one thing.
pub(super) fn saying(
    asked: &Asked,
    around: &Around<'_>,
    status: StatusCode,
    title: &str,
    text: &str,
) -> Reply {
    let mut sheet = Sheet::begin(asked, around, title);
    sheet.raw("<h1>");
    sheet.text(title);
    sheet.raw("</h1>\n<p class=\"message\">");
    sheet.text(text);
    sheet.raw("</p>\n");
    sheet.end(status)
}

/// A page that says why something is not done.
pub(super) fn refused(asked: &Asked, around: &Around<'_>, refusal: &Refusal) -> Reply {
    let (status, title) = match refusal {
        Refusal::NoSuchJob(_) | Refusal::NoSuchBuild { .. } | Refusal::Nothing(_) => {
            (StatusCode::NOT_FOUND, "Not found")
        }
        Refusal::BadName(_) | Refusal::BadInput(_) | Refusal::Exists(_) => {
            (StatusCode::BAD_REQUEST, "Not done")
        }
        Refusal::Conflict(_) => (StatusCode::CONFLICT, "Not done"),
        Refusal::Failed(_) => (StatusCode::INTERNAL_SERVER_ERROR, "Not done"),
    };
    saying(asked, around, status, title, &refusal.to_string())
}
