//! The table of all processes.

use hyper::StatusCode;
use ward_supervise::api::ProcessInfo;

use super::markup::Markup;
use crate::http::{Reply, Site, html};

/// Characters of a message that are shown.
const MESSAGE: usize = 1000;

/// What can be done with a process now.
struct Doable {
    start: bool,
    stop: bool,
}

impl Doable {
    /// Whatever is neither running nor at rest can be stopped here, unlike on Supervisor's page, but that
    /// which is being stopped already.
    fn with(info: &ProcessInfo) -> Self {
        match info.statename {
            "RUNNING" | "STARTING" | "BACKOFF" => Self {
                start: false,
                stop: true,
            },
            "STOPPED" | "EXITED" | "FATAL" => Self {
                start: true,
                stop: false,
            },
            _ => Self {
                start: false,
                stop: false,
            },
        }
    }
}

/// What a process is called in calls and links.
fn full_name(info: &ProcessInfo) -> String {
    if info.group == info.name {
        info.name.clone()
    } else {
        format!("{}:{}", info.group, info.name)
    }
}

pub(super) fn show(site: &Site, message: Option<&str>) -> Reply {
    let mut page = Markup::begin("Supervisor Status");
    page.raw("<header><h1>");
    page.text(&site.control.identification());
    page.raw("</h1>");
    let state = site.control.state();
    if state.is_ending() {
        page.raw(" <p class=\"bad\">");
        page.text(state.word());
        page.raw("</p>");
    }
    page.raw("</header>\n<main>\n");
    if let Some(message) = message.filter(|message| !message.is_empty()) {
        page.raw("<p class=\"message\" role=\"status\">");
        let shown: String = message.chars().take(MESSAGE).collect();
        page.text(&shown);
        page.raw("</p>\n");
    }
    let all = site.control.all_process_info();
    page.raw("<form method=\"post\" action=\"index.html\">\n<input type=\"hidden\" name=\"token\" value=\"");
    page.text(&site.token);
    page.raw("\">\n<p class=\"all\"><a class=\"button\" href=\"./\">Refresh</a> ");
    page.raw("<button name=\"restartall\" value=\"all\">Restart all</button> ");
    page.raw("<button name=\"stopall\" value=\"all\">Stop all</button></p>\n");
    if all.is_empty() {
        page.raw("<p>No programs to manage</p>\n");
    } else {
        page.raw("<table>\n<thead><tr><th scope=\"col\">State</th><th scope=\"col\">Name</th>");
        page.raw("<th scope=\"col\">Description</th><th scope=\"col\">Actions</th></tr></thead>\n<tbody>\n");
        for info in &all {
            row(&mut page, info);
        }
        page.raw("</tbody>\n</table>\n");
    }
    page.raw("</form>\n</main>\n");
    html(StatusCode::OK, page.end())
}

fn row(page: &mut Markup, info: &ProcessInfo) {
    let name = full_name(info);
    page.raw("<tr><td><span class=\"state ");
    page.raw(match info.statename {
        "RUNNING" => "good",
        "FATAL" | "BACKOFF" | "UNKNOWN" => "bad",
        _ => "calm",
    });
    page.raw("\">");
    page.text(&info.statename.to_lowercase());
    page.raw("</span></td><th scope=\"row\"><a href=\"tail.html?processname=");
    page.part(&name);
    page.raw("\">");
    page.text(&name);
    page.raw("</a></th><td>");
    page.text(&info.description);
    page.raw("</td><td class=\"actions\">");
    let doable = Doable::with(info);
    if doable.start {
        button(page, "start", "Start", &name);
    }
    if doable.stop {
        button(page, "restart", "Restart", &name);
        button(page, "stop", "Stop", &name);
    }
    button(page, "clearlog", "Clear log", &name);
    for (stream, label) in [("", "Tail -f stdout"), ("/stderr", "Tail -f stderr")] {
        page.raw("<a href=\"logtail/");
        page.part(&name);
        page.raw(stream);
        page.raw("\">");
        page.raw(label);
        page.raw("<span class=\"unseen\"> of ");
        page.text(&name);
        page.raw("</span></a> ");
    }
    page.raw("</td></tr>\n");
}

fn button(page: &mut Markup, action: &'static str, label: &'static str, name: &str) {
    page.raw("<button name=\"");
    page.raw(action);
    page.raw("\" value=\"");
    page.text(name);
    page.raw("\">");
    page.raw(label);
    page.raw("<span class=\"unseen\"> ");
    page.text(name);
    page.raw("</span></button> ");
}
