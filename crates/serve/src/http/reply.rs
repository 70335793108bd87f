//! What an answer of HTTP looks like here.

use hyper::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_TYPE, EXPIRES, HeaderName, HeaderValue, PRAGMA, SERVER,
};
use hyper::{Response, StatusCode};

use super::body::Body;

/// An answer.
pub(crate) type Reply = Response<Body>;

/// Supervisor's servers call themselves so, and clients have been seen to look for it.
const IDENT: HeaderValue = HeaderValue::from_static("Medusa/1.12");

/// Pages are made of nothing but themselves and the style sheet, and their forms lead here only.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

/// Something of a type.
pub(crate) fn of_type(content_type: &'static str, body: Body) -> Reply {
    let mut reply = Response::new(body);
    let headers = reply.headers_mut();
    headers.insert(SERVER, IDENT);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(
        HeaderName::from_static("x-content-type-options"),
        HeaderValue::from_static("nosniff"),
    );
    reply
}

/// A page: nobody keeps it, nothing but us is loaded by it, nobody shows it inside another.
pub(crate) fn html(status: StatusCode, page: String) -> Reply {
    let mut reply = of_type("text/html;charset=utf-8", Body::whole(page));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-store"),
    );
    headers.insert(
        EXPIRES,
        HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"),
    );
    for (name, value) in [
        (HeaderName::from_static("content-security-policy"), POLICY),
        (
            HeaderName::from_static("x-frame-options"),
            HeaderValue::from_static("DENY"),
        ),
        // A form of ours says where it comes from, and what is linked elsewhere does not.
        (
            HeaderName::from_static("referrer-policy"),
            HeaderValue::from_static("same-origin"),
        ),
    ] {
        headers.insert(name, value);
    }
    reply
}

/// An error, and what it is in words.
pub(crate) fn error(status: StatusCode) -> Reply {
    let reason = status.canonical_reason().unwrap_or_default();
    let code = status.as_u16();
    let page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><title>{code} {reason}</title></head>\n<body><h1>Error response</h1>\n<p>Error code {code}.\n<p>Message: {reason}.\n</body></html>\n"
    );
    let mut reply = of_type("text/html", Body::whole(page));
    *reply.status_mut() = status;
    reply
}

/// An answer after which nothing more is heard.
pub(crate) fn closing(mut reply: Reply) -> Reply {
    reply
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    reply
}
