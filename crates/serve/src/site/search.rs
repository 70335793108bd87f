//! Looking for a text in a log. A log may be long: so much of it is looked through at a time, off the thread
//! that serves, and the page leads on.

use hyper::StatusCode;
use tokio::sync::Semaphore;
use ward_build::api::BuildView;

use super::build::console;
use super::console::{Found, Log, Wanted};
use super::sheet::Sheet;
use crate::builds::{Around, Asked, to};
use crate::http::{Reply, encode};

/// Bytes that are looked through for one answer.
const LOOKED_THROUGH: u64 = 64 << 20;

/// How many logs are looked through at a time: each keeps a processor and a disk busy.
static AT_A_TIME: Semaphore = Semaphore::const_new(2);

/// Bytes of a text that is looked for.
const LONGEST: usize = 500;

/// Bytes that are shown before the line where it was found.
const BEFORE: u64 = 2048;

/// What was looked for, and what came of it.
#[derive(Debug, Default)]
pub(super) struct Search {
    text: String,
    /// Where it was found.
    at: Option<u64>,
    /// It was not found before this byte; or, with the end of the log, nowhere.
    looked_up_to: Option<u64>,
    /// It is nowhere from where one began.
    is_nowhere: bool,
}

impl Search {
    /// As the address of a page says.
    pub(super) fn of(asked: &Asked) -> Self {
        let number = |name| asked.query.get(name).and_then(|text| text.parse().ok());
        let text = asked.query.get("find").unwrap_or_default();
        Self {
            text: text.to_owned(),
            at: number("at"),
            looked_up_to: number("up-to"),
            is_nowhere: asked.query.get("nowhere").is_some(),
        }
    }
}

/// Whether a page asks for more than a part of a log.
pub(super) fn is_wanted(asked: &Asked) -> bool {
    asked.query.get("after").is_some()
}

/// Leads to where the text of `find=` is, from `after=` on.
pub(super) async fn answer(asked: &Asked, around: &Around<'_>, build: &BuildView) -> Reply {
    let text = asked.query.get("find").unwrap_or_default().to_owned();
    if text.is_empty() || text.len() > LONGEST {
        return console(asked, around, build, Wanted::End);
    }
    let after = asked.query.get("after").and_then(|text| text.parse().ok());
    let after: u64 = after.unwrap_or(0);
    let (log, wanted) = (Log::open(build), text.clone());
    // It is never closed: whoever waits has their turn.
    let _turn = AT_A_TIME.acquire().await;
    let looked = tokio::task::spawn_blocking(move || {
        let log = log?;
        let found = log.find(&wanted, after, LOOKED_THROUGH)?;
        let line = match found {
            Found::At(at) => log.line_at(at, BEFORE)?,
            Found::NotYet(_) | Found::Nowhere => (0, 0),
        };
        Ok::<_, std::io::Error>((found, line))
    });
    let (found, (line, above)) = match looked.await {
        Ok(Ok(looked)) => looked,
        Ok(Err(_)) | Err(_) => (Found::Nowhere, (0, 0)),
    };
    let query = match found {
        Found::At(at) => format!("?from={above}&at={at}&find={}#b{line}", encode(&text)),
        Found::NotYet(next) => format!("?from={next}&up-to={next}&find={}", encode(&text)),
        Found::Nowhere => format!("?nowhere=1&find={}", encode(&text)),
    };
    // Relative to where it was asked.
    let here = if asked.ends_with_slash {
        "./"
    } else {
        "console"
    };
    to(StatusCode::SEE_OTHER, &format!("{here}{query}"))
}

/// The field to look with, and what came of it. `to` is the page of the console.
pub(super) fn bar(sheet: &mut Sheet, to: &[&str], search: &Search) {
    sheet.raw("<form method=\"get\" class=\"inline\" action=\"");
    sheet.to(to);
    sheet.raw("\"><input type=\"hidden\" name=\"after\" value=\"0\"><input type=\"search\" name=\"find\" maxlength=\"200\" placeholder=\"Find in the log\" aria-label=\"Find in the log\" value=\"");
    sheet.text(&search.text);
    sheet.raw("\"> <input type=\"submit\" value=\"Find\"></form>");
    if search.text.is_empty() {
        return;
    }
    let mut go_on = |after: u64, label: &'static str| {
        sheet.raw("<a rel=\"nofollow\" href=\"");
        sheet.to(to);
        sheet.raw("?after=");
        sheet.show(after);
        sheet.raw("&amp;find=");
        sheet.show(encode(&search.text));
        sheet.raw("\">");
        sheet.raw(label);
        sheet.raw("</a>");
    };
    if search.is_nowhere {
        sheet.raw("<span class=\"soft\" id=\"nowhere\">Not found from there on</span>");
    } else if let Some(at) = search.at {
        go_on(at.saturating_add(1), "Next one");
    } else if let Some(next) = search.looked_up_to {
        go_on(next, "Not found yet: go on");
    }
}
