//! Who is let in: HTTP Basic (RFC 7617), as Supervisor's servers have it.

use std::hint::black_box;

use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER_PERMISSIVE};
use hyper::header::HeaderValue;
use sha1_smol::Sha1;

/// What a server expects: a name and a password.
#[derive(Clone)]
pub struct Credentials {
    username: Vec<u8>,
    password: Password,
}

#[derive(Clone)]
enum Password {
    Plain(Vec<u8>),
    Sha1(Vec<u8>),
}

/// Whether somebody is let in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// He is.
    Admitted,
    /// He is not.
    Refused,
    /// What he says cannot be read.
    Malformed,
}

impl Credentials {
    /// `password` is in clear text, or `{SHA}` and the SHA-1 of it in hexadecimal digits. Digits that are
    /// none let nobody in.
    #[must_use]
    pub fn new(username: &str, password: &str) -> Self {
        let password = match password.strip_prefix("{SHA}") {
            Some(digits) => Password::Sha1(
                HEXLOWER_PERMISSIVE
                    .decode(digits.as_bytes())
                    .unwrap_or_default(),
            ),
            None => Password::Plain(password.as_bytes().to_vec()),
        };
        Self {
            username: username.as_bytes().to_vec(),
            password,
        }
    }

    /// Looks at an `Authorization` header.
    pub(crate) fn judge(&self, header: Option<&HeaderValue>) -> Verdict {
        let Some(said) = header.map(HeaderValue::as_bytes) else {
            return Verdict::Refused;
        };
        let Some((scheme, encoded)) = split(said, b' ') else {
            return Verdict::Refused;
        };
        if !scheme.eq_ignore_ascii_case(b"basic") {
            return Verdict::Refused;
        }
        let encoded = encoded.trim_ascii();
        let decoded = BASE64
            .decode(encoded)
            .or_else(|_| BASE64_NOPAD.decode(encoded));
        let Ok(decoded) = decoded else {
            return Verdict::Malformed;
        };
        match split(&decoded, b':') {
            Some((username, password)) if self.admits(username, password) => Verdict::Admitted,
            Some(_) | None => Verdict::Refused,
        }
    }

    /// Takes as long for a wrong name as for a wrong password.
    fn admits(&self, username: &[u8], password: &[u8]) -> bool {
        let name = same(username, &self.username);
        let password = match &self.password {
            Password::Plain(expected) => same(password, expected),
            Password::Sha1(expected) => same(&Sha1::from(password).digest().bytes(), expected),
        };
        black_box(name) & black_box(password)
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// Whether two are equal, in a time that depends on the length of what was said alone.
pub(crate) fn same(said: &[u8], expected: &[u8]) -> bool {
    let mut different = u8::from(said.len() != expected.len());
    for (at, byte) in said.iter().enumerate() {
        let other = expected
            .get(at % expected.len().max(1))
            .copied()
            .unwrap_or(0);
        different = black_box(different | (byte ^ other));
    }
    different == 0
}

fn split(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let place = bytes.iter().position(|byte| *byte == at)?;
    let (before, rest) = bytes.split_at(place);
    Some((before, rest.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::{Credentials, Verdict, same};
    use data_encoding::BASE64;
    use hyper::header::HeaderValue;

    fn judged(credentials: &Credentials, said: &str) -> Verdict {
        credentials.judge(Some(&HeaderValue::from_str(said).unwrap()))
    }

    #[test]
    fn the_right_ones_are_admitted_and_nobody_else() {
        let plain = Credentials::new("user", "pass:word");
        let hashed = Credentials::new("user", "{SHA}82AB876d1387bfafe46cc1c8a2ef074eae50cb1d");
        let basic = |text: &str| format!("Basic {}", BASE64.encode(text.as_bytes()));
        assert_eq!(judged(&plain, &basic("user:pass:word")), Verdict::Admitted);
        assert_eq!(
            judged(&hashed, &basic("user:thepassword")),
            Verdict::Admitted
        );
        let lower = basic("user:thepassword").replace("Basic", "bAsIc ");
        assert_eq!(judged(&hashed, &lower), Verdict::Admitted);
        for wrong in [
            "",
            "user",
            "user:",
            "user:pass:wor",
            "user:pass:wordpass:word",
            "use:pass:word",
            ":",
        ] {
            assert_eq!(judged(&plain, &basic(wrong)), Verdict::Refused, "{wrong}");
            assert_eq!(judged(&hashed, &basic(wrong)), Verdict::Refused, "{wrong}");
        }
        assert_eq!(judged(&plain, "Bearer x"), Verdict::Refused);
        assert_eq!(judged(&plain, "Basic"), Verdict::Refused);
        assert_eq!(judged(&plain, "Basic ***"), Verdict::Malformed);
        assert_eq!(plain.judge(None), Verdict::Refused);
    }

    #[test]
    fn a_hash_that_is_none_admits_nobody() {
        for broken in ["{SHA}", "{SHA}zz", "{SHA}82ab"] {
            let credentials = Credentials::new("user", broken);
            for password in ["", "zz", "82ab", broken] {
                let said = format!(
                    "Basic {}",
                    BASE64.encode(format!("user:{password}").as_bytes())
                );
                assert_eq!(judged(&credentials, &said), Verdict::Refused);
            }
        }
    }

    #[test]
    fn equal_is_equal_only() {
        assert!(same(b"", b""));
        assert!(same(b"abc", b"abc"));
        for (said, expected) in [
            ("a", ""),
            ("", "a"),
            ("abab", "ab"),
            ("ab", "abab"),
            ("abc", "abd"),
        ] {
            assert!(
                !same(said.as_bytes(), expected.as_bytes()),
                "{said} {expected}"
            );
        }
    }
}
