//! What pages are made of besides themselves. All of it is in the program: no path reaches the disk.

use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, HeaderValue};

use crate::http::{Body, Reply, error, of_type};

const STYLE: &str = include_str!("supervisor.css");
const ICON: &str = include_str!("icon.svg");

/// One transparent point, for who shows the pictures of Supervisor's page.
const POINT: &[u8] = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\0\0\0!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";

/// For who only wants to know whether somebody answers.
pub(super) fn ok() -> Reply {
    of_type("text/plain", Body::whole("OK"))
}

/// A file that is known.
pub(super) fn file(path: &str) -> Reply {
    let (kind, content) = match path {
        "stylesheets/supervisor.css" => ("text/css", STYLE.as_bytes()),
        "images/icon.svg" => ("image/svg+xml", ICON.as_bytes()),
        "images/rule.gif"
        | "images/state0.gif"
        | "images/state1.gif"
        | "images/state2.gif"
        | "images/state3.gif"
        | "images/supervisor.gif" => ("image/gif", POINT),
        _ => return error(StatusCode::NOT_FOUND),
    };
    let mut reply = of_type(kind, Body::whole(content));
    reply
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
    reply
}
