//! What pages are made of besides themselves. All of it is in the program: no path reaches the disk.

use hyper::header::{CACHE_CONTROL, HeaderValue};

use crate::http::{Body, Reply, of_type};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("live.js");
const ICON: &str = include_str!("icon.svg");

/// A file that is known.
pub(super) fn file(name: &str) -> Option<Reply> {
    let (kind, content) = match name {
        "style.css" => ("text/css;charset=utf-8", STYLE),
        "live.js" => ("text/javascript;charset=utf-8", SCRIPT),
        "icon.svg" => ("image/svg+xml", ICON),
        _ => return None,
    };
    let mut reply = of_type(kind, Body::whole(content));
    reply
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("max-age=300"));
    Some(reply)
}
