//! A build's console, as bytes: whole, or from an offset on for as long as it grows.

use std::fs::File;
use std::os::unix::fs::FileExt;

use hyper::header::{HeaderName, HeaderValue};
use ward_build::api::BuildView;

use crate::builds::{Asked, Line, Sent, send, send_asked};
use crate::http::{Body, Reply, of_type};

/// How console lines are sent.
const PLAIN: &str = "text/plain;charset=utf-8";

/// How much of it is marked up at once.
const MARKED_UP: u64 = 256 << 10;

/// The whole of it, or a range.
pub(super) fn whole(view: &BuildView, asked: &Asked) -> Reply {
    let (file, length) = open(view);
    let Some(file) = file else {
        return of_type(PLAIN, Body::whole(""));
    };
    // One that grows is not the same at the next look.
    let modified = file.metadata().and_then(|metadata| metadata.modified());
    let modified = modified.ok().filter(|_| !view.log_grows);
    let sent = Sent {
        file,
        length,
        kind: PLAIN,
        checksum: None,
        modified,
    };
    send_asked(asked, sent)
}

/// What there is from `start=` on. `X-Text-Size` is where to go on, `X-More-Data` is there while it may
/// grow, and absent afterwards: clients look whether it is there at all.
pub(super) fn progressive(view: &BuildView, asked: &Asked) -> Reply {
    // The log is looked at after what says whether it grows: what says "no" has seen all of it.
    let (file, size) = open(view);
    let start = start(asked, size);
    let body = file.map_or_else(
        || Body::whole(""),
        |file| send(file, start, size, Line::CrLf),
    );
    noted(of_type(PLAIN, body), size, view.log_grows)
}

/// The same, escaped; a part of it at a time.
pub(super) fn progressive_html(view: &BuildView, asked: &Asked) -> Reply {
    let (file, size) = open(view);
    let start = start(asked, size);
    let end = size.min(start.saturating_add(MARKED_UP));
    let mut piece = vec![0; usize::try_from(end.saturating_sub(start)).unwrap_or(0)];
    let read = file
        .and_then(|file| file.read_at(&mut piece, start).ok())
        .unwrap_or(0);
    piece.truncate(read);
    let mut next = start.saturating_add(read as u64);
    // A character is never cut in two, unless it is none.
    if let Err(error) = std::str::from_utf8(&piece)
        && error.error_len().is_none()
        && error.valid_up_to() > 0
    {
        next = next.saturating_sub((piece.len() - error.valid_up_to()) as u64);
        piece.truncate(error.valid_up_to());
    }
    let mut out = String::with_capacity(piece.len());
    for character in String::from_utf8_lossy(&piece).chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\n' => out.push_str("\r\n"),
            '\r' => {}
            other => out.push(other),
        }
    }
    let more = view.log_grows || next < size;
    noted(
        of_type("text/html;charset=utf-8", Body::whole(out)),
        next,
        more,
    )
}

fn noted(mut reply: Reply, next: u64, more: bool) -> Reply {
    let headers = reply.headers_mut();
    headers.insert(
        HeaderName::from_static("x-text-size"),
        HeaderValue::from(next),
    );
    if more {
        headers.insert(
            HeaderName::from_static("x-more-data"),
            HeaderValue::from_static("true"),
        );
    }
    reply
}

/// From where on; from the beginning where that is beyond the end.
fn start(asked: &Asked, size: u64) -> u64 {
    let start = asked.field("start").and_then(|start| start.parse().ok());
    start.filter(|start| *start <= size).unwrap_or(0)
}

/// The file, and how much of it is the build's: what a daemon that stayed writes later is not.
fn open(view: &BuildView) -> (Option<File>, u64) {
    let file = File::open(&view.log).ok();
    let size = file
        .as_ref()
        .and_then(|file| file.metadata().ok())
        .map_or(0, |metadata| metadata.len());
    let size = match &view.outcome {
        Some(outcome) if !view.log_grows => size.min(outcome.log_bytes),
        Some(_) | None => size,
    };
    (file, size)
}
