//! What every answer of the build server's site has on, and its short answers.

use hyper::StatusCode;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, LOCATION,
    REFERRER_POLICY, RETRY_AFTER, SERVER, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};

use super::visit::Asked;
use crate::http::{Body, Reply, encode, of_type};

/// The version of Jenkins that clients are told they see: they compare it with 2.x.
pub(crate) const VERSION: &str = "2.479.3";

/// Pages are made of nothing but what comes from here, and their forms lead here only.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

/// Puts on what was left out.
pub(super) fn dressed(mut reply: Reply) -> Reply {
    let headers = reply.headers_mut();
    headers.insert(SERVER, HeaderValue::from_static("ward"));
    headers.insert(
        HeaderName::from_static("x-jenkins"),
        HeaderValue::from_static(VERSION),
    );
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    ] {
        headers.entry(name).or_insert(value);
    }
    reply
}

/// A short answer in words.
pub(crate) fn says(status: StatusCode, text: &str) -> Reply {
    let text: String = text.chars().take(2000).collect();
    let shown = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><title>{}</title></head><body><p>{shown}</p><p><a href=\"/\">All jobs</a></p></body></html>\n",
        status.as_u16()
    );
    let mut reply = of_type("text/html;charset=utf-8", Body::whole(page));
    *reply.status_mut() = status;
    // Jenkins' clients show this one to people.
    let printable: String = text
        .chars()
        .map(|c| {
            if c.is_ascii_graphic() || c == ' ' {
                c
            } else {
                '?'
            }
        })
        .collect();
    if (status.is_client_error() || status.is_server_error())
        && let Ok(value) = HeaderValue::from_str(&printable)
    {
        reply
            .headers_mut()
            .insert(HeaderName::from_static("x-error"), value);
    }
    reply
}

/// Nothing but a status.
pub(crate) fn empty(status: StatusCode) -> Reply {
    let mut reply = of_type("text/plain;charset=utf-8", Body::whole(""));
    *reply.status_mut() = status;
    reply
}

/// Sends somewhere else. A place that cannot be said is the site's root.
pub(crate) fn to(status: StatusCode, place: &str) -> Reply {
    let mut reply = empty(status);
    let place = HeaderValue::from_str(place).unwrap_or(HeaderValue::from_static("/"));
    reply.headers_mut().insert(LOCATION, place);
    reply
}

/// This is done by POST alone.
pub(crate) fn only_by_post() -> Reply {
    let mut reply = says(
        StatusCode::METHOD_NOT_ALLOWED,
        "This changes something: it is done by POST.",
    );
    reply
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static("POST"));
    reply
}

/// Too many others want to sign in, or too many wrong passwords came from there.
pub(super) fn busy() -> Reply {
    let mut reply = says(
        StatusCode::TOO_MANY_REQUESTS,
        "Too many sign-ins at a time: try again in some seconds.",
    );
    reply
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from_static("8"));
    reply
}

/// For who may see nothing: people are sent to where they can sign in, programs are told. Clients look at
/// the root without signing in, for the version.
pub(super) fn sign_in_first(asked: &Asked) -> Reply {
    if (asked.wants_page() || asked.path.is_empty()) && !asked.is_post() {
        let place = format!("/sign-in?from={}", encode(&asked.raw_path));
        return to(StatusCode::SEE_OTHER, &place);
    }
    says(StatusCode::FORBIDDEN, "Authentication required")
}

/// Whether a text is a path of this site, that a browser will not take for anything else.
pub(crate) fn is_local(place: &str) -> bool {
    let mut bytes = place.bytes();
    place.len() <= 2000
        && bytes.next() == Some(b'/')
        && !matches!(bytes.next(), Some(b'/' | b'\\'))
        && place
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}

#[cfg(test)]
mod tests {
    use super::is_local;

    #[test]
    fn only_paths_of_this_site_are_local() {
        for place in ["/", "/job/x/", "/job/x/?a=b#c", "/%2F"] {
            assert!(is_local(place), "{place}");
        }
        for place in [
            "", "x", "//evil", "/\\evil", "http://e", "/a b", "/a\r\nb", "/\\", "/a\\b",
        ] {
            assert!(!is_local(place), "{place}");
        }
    }
}
