//! The end of a log.

use hyper::StatusCode;
use ward_supervise::api::{FaultCode, Stream};
use ward_supervise::logs::reading;

use super::markup::Markup;
use crate::http::{Form, Reply, Site, html};

/// Bytes that are shown at least, and if nothing else is asked for.
const LEAST: i64 = 1024;

/// Bytes that are shown at most.
const MOST: i64 = 1 << 20;

pub(super) fn show(site: &Site, query: &Form) -> Reply {
    let name = query.get("processname").unwrap_or_default();
    let stream = match query.get("channel") {
        Some("stderr") => Stream::Stderr,
        Some(_) | None => Stream::Stdout,
    };
    let limit = query.get("limit").and_then(|limit| limit.parse().ok());
    let limit: i64 = limit.unwrap_or(LEAST).clamp(LEAST, MOST);
    let text = if name.is_empty() {
        "No process name found".to_owned()
    } else {
        read(site, name, stream, limit)
    };

    let mut page = Markup::begin(&format!("Supervisor tail of process {name}"));
    page.raw("<header><h1>");
    page.text(name);
    page.raw(" <small>");
    page.raw(stream.word());
    page.raw("</small></h1></header>\n<main>\n<p class=\"all\"><a class=\"button\" href=\"./\">Status</a> ");
    link(&mut page, name, stream, limit, "Refresh");
    link(
        &mut page,
        name,
        stream,
        limit.saturating_mul(8).min(MOST),
        "More",
    );
    let (other, label) = match stream {
        Stream::Stdout => (Stream::Stderr, "stderr"),
        Stream::Stderr => (Stream::Stdout, "stdout"),
    };
    link(&mut page, name, other, limit, label);
    page.raw("</p>\n<pre>");
    page.text(&text);
    page.raw("</pre>\n</main>\n");
    html(StatusCode::OK, page.end())
}

fn read(site: &Site, name: &str, stream: Stream, limit: i64) -> String {
    let read = site
        .control
        .process_log(name, stream)
        .and_then(|path| reading::read(&path, -limit, 0).map_err(|error| error.fault(&path)));
    match read {
        Ok(read) => String::from_utf8_lossy(&read).into_owned(),
        Err(fault) if fault.code == FaultCode::NoFile => format!("No file for {name}"),
        Err(fault) => format!(
            "ERROR: unexpected rpc fault [{}] {fault}",
            fault.code.number()
        ),
    }
}

fn link(page: &mut Markup, name: &str, stream: Stream, limit: i64, label: &'static str) {
    page.raw("<a class=\"button\" href=\"tail.html?processname=");
    page.part(name);
    page.raw("&amp;limit=");
    page.text(&limit.to_string());
    if stream == Stream::Stderr {
        page.raw("&amp;channel=stderr");
    }
    page.raw("\">");
    page.raw(label);
    page.raw("</a> ");
}
