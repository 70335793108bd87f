//! A request to the build server, and what is around it.

use std::rc::Rc;
use std::sync::Arc;

use hyper::body::Bytes;
use hyper::header::{HOST, HeaderMap, HeaderName};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode, Uri};
use ward_build::api::{Account, Builds, Role};

use super::dress::says;
use super::settings::Supervisor;
use crate::http::{Form, Ground, Reply, decode};

/// Parts of a path that are looked at.
const MAX_PARTS: usize = 256;

/// The host of who names none.
const NO_NAME: &str = "localhost";

const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What is asked for.
pub(crate) struct Asked {
    pub(crate) method: Method,
    /// The parts of the path, decoded once, without empty ones. A part may hold anything, `/` and `..` too.
    pub(crate) path: Vec<String>,
    /// The path ends with a slash.
    pub(crate) ends_with_slash: bool,
    /// The path as it was sent.
    pub(crate) raw_path: String,
    /// What follows `?`.
    pub(crate) query: Form,
    /// The fields of a form that was sent; none for other bodies.
    pub(crate) form: Form,
    /// The body as it was sent.
    pub(crate) body: Bytes,
    pub(crate) headers: HeaderMap,
}

impl Asked {
    /// Without its body and form, which are read later.
    pub(crate) fn new(head: &Parts) -> Self {
        let path = head.uri.path();
        Self {
            method: head.method.clone(),
            path: path
                .split('/')
                .filter(|part| !part.is_empty())
                .take(MAX_PARTS)
                .map(decode)
                .collect(),
            ends_with_slash: path.ends_with('/'),
            raw_path: path.to_owned(),
            query: Form::read(head.uri.query().unwrap_or_default().as_bytes()),
            form: Form::default(),
            body: Bytes::new(),
            headers: head.headers.clone(),
        }
    }

    /// Something is changed by it, or may be.
    pub(crate) fn is_post(&self) -> bool {
        self.method == Method::POST
    }

    /// A field of the query, else of the form.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.query.get(name).or_else(|| self.form.get(name))
    }

    /// The path, to be matched.
    pub(crate) fn parts(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    /// A person with a browser sent it, as far as can be told.
    pub(crate) fn wants_page(&self) -> bool {
        self.headers
            .get(hyper::header::ACCEPT)
            .and_then(|accept| accept.to_str().ok())
            .is_some_and(|accept| accept.contains("text/html"))
    }
}

/// What is around a request.
pub(crate) struct Around<'a> {
    pub(crate) builds: &'a Arc<dyn Builds>,
    /// Who asks; they may read, unless `may_read` says otherwise.
    pub(crate) account: Account,
    /// Whether they may see anything but the page to sign in at.
    pub(crate) may_read: bool,
    /// What their forms have to carry as `Jenkins-Crumb`.
    pub(crate) crumb: String,
    /// The site's address in what is shown, with a slash at its end.
    pub(crate) root: String,
    /// The site's address as it was asked for, with a slash at its end.
    pub(crate) asked_root: String,
    /// Somebody could sign in.
    pub(crate) has_accounts: bool,
    pub(crate) supervisor: Option<&'a Supervisor>,
    pub(crate) ground: &'a Rc<Ground>,
}

impl Around<'_> {
    /// Whether they may do what takes such a role.
    pub(crate) fn may(&self, role: Role) -> bool {
        self.may_read && self.account.role >= role
    }

    /// What who may not is told, in Jenkins' words.
    pub(crate) fn missing(&self, permission: &str) -> Reply {
        let user = &self.account.user;
        says(
            StatusCode::FORBIDDEN,
            &format!("{user} is missing the {permission} permission"),
        )
    }
}

/// The address that was asked for, with a slash at its end: the header `Host`, or what a reverse proxy in
/// front says of it. Something that is no host gives one that leads nowhere else. `unnamed` is the address for
/// who names no host, or this one, and came where no host is needed.
pub(super) fn root_of(headers: &HeaderMap, uri: &Uri, unnamed: Option<&str>) -> String {
    let text = |name: &HeaderName| {
        let value = headers.get(name)?.to_str().ok()?;
        // Several proxies each add their own behind a comma.
        value.split(',').next().map(str::trim)
    };
    let scheme = match text(&FORWARDED_PROTO) {
        Some("https") => "https",
        Some(_) | None => "http",
    };
    let host = text(&FORWARDED_HOST)
        .or_else(|| text(&HOST))
        .or_else(|| uri.authority().map(hyper::http::uri::Authority::as_str))
        .filter(|host| is_host(host))
        .unwrap_or(NO_NAME);
    if let Some(unnamed) = unnamed.filter(|_| host == NO_NAME) {
        return unnamed.to_owned();
    }
    format!("{scheme}://{host}/")
}

fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 260
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::root_of;
    use hyper::Uri;
    use hyper::header::{HeaderMap, HeaderName, HeaderValue};

    #[test]
    fn the_root_is_what_was_asked_for() {
        for (headers, root) in [
            (&[][..], "http://localhost/"),
            (&[("host", "ci:8080")], "http://ci:8080/"),
            (&[("host", "[::1]:8080")], "http://[::1]:8080/"),
            (&[("host", "a/b")], "http://localhost/"),
            (&[("host", "a\"><script")], "http://localhost/"),
            (
                &[
                    ("host", "127.0.0.1:1"),
                    ("x-forwarded-host", "ci.example, inner"),
                    ("x-forwarded-proto", "https"),
                ],
                "https://ci.example/",
            ),
            (
                &[("host", "a"), ("x-forwarded-proto", "javascript")],
                "http://a/",
            ),
        ] {
            let map: HeaderMap = headers
                .iter()
                .map(|(name, value)| {
                    (
                        HeaderName::from_static(name),
                        HeaderValue::from_static(value),
                    )
                })
                .collect();
            assert_eq!(
                root_of(&map, &Uri::from_static("/"), None),
                root,
                "{headers:?}"
            );
        }
    }

    #[test]
    fn who_names_no_host_on_a_socket_is_told_the_address() {
        let address = Some("http://127.0.0.1:8080/");
        for (host, root) in [
            (None, "http://127.0.0.1:8080/"),
            (Some("localhost"), "http://127.0.0.1:8080/"),
            (Some("a/b"), "http://127.0.0.1:8080/"),
            (Some("ci.example"), "http://ci.example/"),
        ] {
            let mut map = HeaderMap::new();
            if let Some(host) = host {
                map.insert("host", HeaderValue::from_static(host));
            }
            let seen = root_of(&map, &Uri::from_static("/"), address);
            assert_eq!(seen, root, "{host:?}");
        }
    }
}
