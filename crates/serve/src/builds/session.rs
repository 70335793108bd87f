//! Signing in with a browser, and what browsers and programs say of who they are.

use data_encoding::{BASE64, BASE64_NOPAD};
use hyper::StatusCode;
use hyper::header::{HeaderValue, SET_COOKIE};
use ward_build::api::Account;

use super::dress::{busy, is_local, to};
use super::front::House;
use super::guard::SignIn;
use super::visit::Asked;
use crate::http::{Reply, Visitor, encode};

/// The cookie of a session.
const COOKIE_NAME: &str = "ward_session";

/// A name and a secret (RFC 7617); nothing for other schemes and what is no text.
pub(super) fn basic(said: &HeaderValue) -> Option<(String, String)> {
    let (scheme, encoded) = said.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let encoded = encoded.trim().as_bytes();
    let decoded = BASE64
        .decode(encoded)
        .or_else(|_| BASE64_NOPAD.decode(encoded))
        .ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, secret) = text.split_once(':')?;
    Some((user.to_owned(), secret.to_owned()))
}

/// The session's cookie in a header.
pub(super) fn cookie(said: &HeaderValue) -> Option<&str> {
    said.to_str().ok()?.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == COOKIE_NAME).then_some(value)
    })
}

/// Begins a session for who sent name and password by the form.
pub(super) async fn begin(
    house: &House,
    visitor: Visitor,
    asked: &Asked,
    asked_root: &str,
) -> Reply {
    let field = |ours, theirs| asked.form.get(ours).or_else(|| asked.form.get(theirs));
    let user = field("user", "j_username").unwrap_or_default();
    let password = field("password", "j_password").unwrap_or_default();
    let from = asked
        .field("from")
        .filter(|from| is_local(from))
        .unwrap_or("/");
    match house.guard.sign_in(visitor, user, password).await {
        SignIn::Welcome(account) => {
            let value = house.access.begin_session(&account);
            let mut reply = to(StatusCode::SEE_OTHER, from);
            set_cookie(&mut reply, &value, is_secure(house, asked_root));
            reply
        }
        SignIn::Wrong => {
            let place = format!("/sign-in?failed=1&from={}", encode(from));
            to(StatusCode::SEE_OTHER, &place)
        }
        SignIn::Busy => busy(),
    }
}

/// Ends a session.
pub(super) fn end(house: &House, account: &Account) -> Reply {
    if let Some(session) = &account.session {
        house.access.end_session(session);
    }
    let mut reply = to(StatusCode::SEE_OTHER, "/");
    set_cookie(&mut reply, "; Max-Age=0", false);
    reply
}

/// Whether the browser came by TLS: the proxy says so, or the site is known by TLS under the name that was
/// asked for, whatever the proxy leaves out.
fn is_secure(house: &House, asked_root: &str) -> bool {
    let host = |root: &str| root.split("://").nth(1).map(str::to_owned);
    let known = house.url.as_deref().filter(|url| url.starts_with("https:"));
    asked_root.starts_with("https:")
        || known.is_some_and(|url| {
            let name = host(url).unwrap_or_default();
            let asked = host(asked_root).unwrap_or_default();
            name.split('/').next() == asked.split('/').next()
        })
}

fn set_cookie(reply: &mut Reply, value: &str, is_secure: bool) {
    let secure = if is_secure { "; Secure" } else { "" };
    let cookie = format!("{COOKIE_NAME}={value}; Path=/; HttpOnly; SameSite=Strict{secure}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        reply.headers_mut().insert(SET_COOKIE, cookie);
    }
}

/// What a user of this host is called in logs and causes.
pub(super) fn user_name(uid: Option<u32>) -> String {
    let Some(uid) = uid else {
        return "local".to_owned();
    };
    let wanted = uid.to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let line = passwd
        .lines()
        .find(|line| line.split(':').nth(2) == Some(&wanted));
    match line.and_then(|line| line.split(':').next()) {
        Some(name) if !name.is_empty() => name.to_owned(),
        Some(_) | None => format!("uid {wanted}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{basic, cookie};
    use hyper::header::HeaderValue;

    #[test]
    fn what_is_said_of_oneself() {
        let said = |text| basic(&HeaderValue::from_static(text));
        assert_eq!(
            said("bAsIc YTpiOmM="),
            Some(("a".to_owned(), "b:c".to_owned()))
        );
        for other in [
            "Bearer YTpi",
            "Basic",
            "Basic !",
            "Basic YQ==",
            "Basic /w==",
        ] {
            assert_eq!(said(other), None, "{other}");
        }
        let header = HeaderValue::from_static("a=b; ward_session=xyz;c=d");
        assert_eq!(cookie(&header), Some("xyz"));
        let header = HeaderValue::from_static("not_ward_session=xyz");
        assert_eq!(cookie(&header), None);
    }
}
