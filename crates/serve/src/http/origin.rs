//! Whether a page of another site sent a browser here. Who is no browser says nothing about it.

use hyper::HeaderMap;
use hyper::header::{HOST, HeaderName, HeaderValue, ORIGIN};

const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Whether a request that changes something comes from a page of somebody else.
///
/// Browsers say so themselves (`Sec-Fetch-Site`), where the connection is to be trusted, or name the site
/// (`Origin`), which then has to be the one that was asked. A reverse proxy in between tells whom the browser
/// asked; a page of another site cannot make a browser say that.
pub(crate) fn is_foreign(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get(SITE) {
        return !matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    let Some(origin) = headers.get(ORIGIN) else {
        return false;
    };
    let Some(origin) = host_of(origin) else {
        return true;
    };
    ![HOST, FORWARDED]
        .iter()
        .filter_map(|name| headers.get(name))
        .filter_map(|host| host.to_str().ok())
        .any(|host| bare(host).eq_ignore_ascii_case(bare(origin)))
}

fn host_of(origin: &HeaderValue) -> Option<&str> {
    origin
        .to_str()
        .ok()?
        .split_once("://")
        .map(|(_, host)| host)
}

/// Without the ports that are left out or not, as it pleases.
fn bare(host: &str) -> &str {
    host.strip_suffix(":80")
        .or_else(|| host.strip_suffix(":443"))
        .unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::is_foreign;
    use hyper::HeaderMap;
    use hyper::header::{HeaderName, HeaderValue};

    #[test]
    fn only_pages_of_others_are_foreign() {
        for (headers, foreign) in [
            (&[][..], false),
            (&[("host", "a:9001")], false),
            (&[("host", "a:9001"), ("origin", "http://a:9001")], false),
            (&[("host", "A"), ("origin", "https://a:443")], false),
            (&[("host", "a:9001"), ("origin", "http://a:9002")], true),
            (&[("host", "a"), ("origin", "http://b")], true),
            (&[("host", "a"), ("origin", "null")], true),
            (&[("origin", "http://b")], true),
            (
                &[
                    ("host", "127.0.0.1"),
                    ("x-forwarded-host", "b"),
                    ("origin", "https://b"),
                ],
                false,
            ),
            (&[("host", "a"), ("sec-fetch-site", "same-origin")], false),
            (&[("host", "a"), ("sec-fetch-site", "none")], false),
            (&[("host", "a"), ("sec-fetch-site", "cross-site")], true),
            (
                &[
                    ("host", "a"),
                    ("sec-fetch-site", "same-site"),
                    ("origin", "http://a"),
                ],
                true,
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
            assert_eq!(is_foreign(&map), foreign, "{headers:?}");
        }
    }
}
