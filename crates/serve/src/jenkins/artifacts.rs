//! Files that builds made. Whoever pushes decides what is in them: they may be looked at, and never act as
//! this site.

use std::fs::File;

use hyper::StatusCode;
use hyper::header::{
    CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
};
use ward_build::api::BuildView;

use super::zip;
use crate::builds::{Asked, Root, Sent, says, send_asked};
use crate::http::{Reply, encode};

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

/// A file of a build, or the answer that there is none; nothing where it is a directory, which is a page.
pub(super) async fn artifact(view: &BuildView, parts: &[&str], asked: &Asked) -> Option<Reply> {
    if let Some((directory, name)) = zip::wanted(parts) {
        return Some(match Root::open(&view.artifacts) {
            Ok(root) => zip::archive(root, directory, name).await,
            Err(_) => missing(),
        });
    }
    let file = match Root::open(&view.artifacts).and_then(|root| root.at(parts)) {
        Ok(file) => file,
        // Nothing was kept: the page says so.
        Err(_) if parts.is_empty() => return None,
        Err(_) => return Some(missing()),
    };
    let known = view.outcome.as_ref().and_then(|outcome| {
        let mut known = outcome.artifacts.iter();
        known.find(|artifact| artifact.path.split('/').eq(parts.iter().copied()))
    });
    apart(asked, file, parts, |length| {
        let known = known.filter(|artifact| artifact.size == length);
        known.map(|artifact| artifact.sha256.as_str())
    })
}

fn missing() -> Reply {
    says(StatusCode::NOT_FOUND, "There is no such artifact.")
}

/// Sends a file that others made, so that it is nothing of the site's; nothing where it is a directory.
/// `checksum` is what is known of its content, if it has so many bytes.
pub(super) fn apart<'a>(
    asked: &Asked,
    file: File,
    parts: &[&str],
    checksum: impl FnOnce(u64) -> Option<&'a str>,
) -> Option<Reply> {
    let Ok(metadata) = file.metadata() else {
        return Some(says(StatusCode::NOT_FOUND, "It cannot be read."));
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
    let length = metadata.len();
    let sent = Sent {
        file,
        length,
        kind,
        checksum: checksum(length),
        modified: metadata.modified().ok(),
    };
    let mut reply = send_asked(asked, sent);
    if reply.status().is_success() {
        keep_apart(&mut reply, name, shown.is_some());
    }
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
