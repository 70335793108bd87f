//! The status page: for people, safe to open, without scripts.
//!
//! Looking changes nothing. What changes something is a form that is sent by POST, carries a token of this
//! supervisor, and comes from this page.

mod action;
mod files;
mod markup;
mod status;
mod tail;

use hyper::StatusCode;
use hyper::header::{ALLOW, HeaderValue};

pub(crate) use action::act;
pub(crate) use markup::Markup;

use crate::http::{Form, Reply, Site, html};

/// Which page, and what of it.
pub(crate) struct Asked<'a> {
    /// Without slashes before.
    pub(crate) path: &'a str,
    /// What follows `?`.
    pub(crate) query: Form,
}

/// Whether forms are sent there.
pub(crate) fn takes_orders(path: &str) -> bool {
    matches!(path, "" | "index.html")
}

/// Shows a page or a file.
pub(crate) fn show(site: &Site, asked: &Asked<'_>) -> Reply {
    match asked.path {
        "" | "index.html" => match asked.query.get("action") {
            None | Some("" | "refresh") => status::show(site, asked.query.get("message")),
            Some(_) => only_by_post(),
        },
        "tail.html" => tail::show(site, &asked.query),
        "ok.html" => files::ok(),
        path => files::file(path),
    }
}

/// For who follows links of Supervisor's page.
fn only_by_post() -> Reply {
    let mut page = Markup::begin("Not done");
    page.raw("<main><h1>Not done</h1>\n<p>Following a link changes nothing here: any page anywhere could have it followed by your browser. ");
    page.raw("Use the buttons of the <a href=\"./\">status page</a>; programs call the <a href=\"http://supervisord.org/api.html\">XML-RPC interface</a> at <code>/RPC2</code>.</p></main>\n");
    let mut reply = html(StatusCode::METHOD_NOT_ALLOWED, page.end());
    reply
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static("POST"));
    reply
}

/// A page that says one thing.
fn saying(status: StatusCode, title: &str, text: &str) -> Reply {
    let mut page = Markup::begin(title);
    page.raw("<main><h1>");
    page.text(title);
    page.raw("</h1>\n<p>");
    page.text(text);
    page.raw("</p>\n<p><a href=\"./\">Status page</a></p></main>\n");
    html(status, page.end())
}
