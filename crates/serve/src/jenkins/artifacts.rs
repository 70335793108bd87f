//! Files that builds kept. Whoever pushes decides what is in them: they may be looked at, and never act as
//! this site.

use hyper::StatusCode;
use hyper::header::{
    CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
    LAST_MODIFIED,
};
use ward_build::api::BuildView;

use super::zip;
use crate::builds::{Line, below, says, send};
use crate::http::{Reply, encode, of_type};

/// Nothing in it runs, nothing is loaded by it, and it has no part in the site's origin.
const POLICY: HeaderValue = HeaderValue::from_static(
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; form-action 'none'; base-uri 'none'",
);

/// What browsers may show; all else is taken to a file.
const SHOWN: &[(&str, &str)] = &[
    ("txt", "text/plain;charset=utf-8"),
    ("log", "text/plain;charset=utf-8"),
    ("md", "text/plain;charset=utf-8"),
    ("csv", "text/plain;charset=utf-8"),
    ("diff", "text/plain;charset=utf-8"),
    ("patch", "text/plain;charset=utf-8"),
    ("json", "application/json"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
];

/// What is something to a browser, and is not to be opened by one here.
const TAKEN: &[(&str, &str)] = &[
    ("html", "text/html"),
    ("htm", "text/html"),
    ("xhtml", "application/xhtml+xml"),
    ("svg", "image/svg+xml"),
    ("xml", "application/xml"),
    ("js", "text/javascript"),
    ("css", "text/css"),
    ("pdf", "application/pdf"),
    ("zip", "application/zip"),
    ("gz", "application/gzip"),
    ("jar", "application/java-archive"),
];

/// A file, or the answer that there is none; nothing where it is a directory, which is a page.
pub(super) fn artifact(view: &BuildView, parts: &[&str]) -> Option<Reply> {
    if let Some((&name, directory)) = parts.split_last()
        && let Some((&"*zip*", directory)) = directory.split_last()
        && name.ends_with(".zip")
    {
        return Some(zip::archive(&view.artifacts, directory, name));
    }
    let missing = || Some(says(StatusCode::NOT_FOUND, "There is no such artifact."));
    let Ok(file) = below(&view.artifacts, parts) else {
        return missing();
    };
    let Ok(metadata) = file.metadata() else {
        return missing();
    };
    if metadata.is_dir() {
        return None;
    }
    let name = parts.last().copied().unwrap_or_default();
    let extension = name.rsplit('.').next().unwrap_or_default().to_lowercase();
    let find = |table: &[(&str, &'static str)]| {
        let found = table.iter().find(|(known, _)| *known == extension);
        found.map(|(_, kind)| *kind)
    };
    let shown = find(SHOWN);
    let kind = shown
        .or_else(|| find(TAKEN))
        .unwrap_or("application/octet-stream");
    let mut reply = of_type(kind, send(file, 0, metadata.len(), Line::AsIs));
    let modified = metadata
        .modified()
        .ok()
        .and_then(|time| HeaderValue::from_str(&httpdate::fmt_http_date(time)).ok());
    if let Some(modified) = modified {
        reply.headers_mut().insert(LAST_MODIFIED, modified);
    }
    keep_apart(&mut reply, name, shown.is_some());
    Some(reply)
}

/// Sees to it that what is in an answer is nothing of the site's.
pub(super) fn keep_apart(reply: &mut Reply, name: &str, is_shown: bool) {
    let headers = reply.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    );
    if !is_shown {
        let disposition = format!("attachment; filename*=UTF-8''{}", encode(name));
        let value =
            HeaderValue::from_str(&disposition).unwrap_or(HeaderValue::from_static("attachment"));
        headers.insert(CONTENT_DISPOSITION, value);
    }
    headers
        .entry(CONTENT_TYPE)
        .or_insert(HeaderValue::from_static("application/octet-stream"));
}
