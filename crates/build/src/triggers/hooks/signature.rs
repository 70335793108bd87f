//! Who a delivery is from.

use data_encoding::HEXLOWER_PERMISSIVE;
use ring::hmac;

use super::Forge;

/// How a delivery is signed: what has to be compared with a secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Signature {
    /// HMAC-SHA-256 of the body.
    Hmac(Vec<u8>),
    /// The secret itself, as GitLab sends it.
    Token(Vec<u8>),
    /// GitHub's old signature only, which is made with SHA-1 and not accepted.
    Sha1Only,
    /// It is signed, but not in a way that is one.
    Bad,
    /// It is not signed.
    Missing,
}

impl Signature {
    pub(super) fn of<'a>(forge: Forge, text: impl Fn(&str) -> Option<&'a str>) -> Self {
        let prefixed = || {
            let value = text("x-hub-signature-256")?;
            Some(value.strip_prefix("sha256=").map_or(Self::Bad, of_hex))
        };
        let found = match forge {
            Forge::GitLab => {
                text("x-gitlab-token").map(|token| Self::Token(token.as_bytes().to_vec()))
            }
            Forge::GitHub => prefixed().or_else(|| text("x-hub-signature").map(|_| Self::Sha1Only)),
            Forge::Gitea => text("x-forgejo-signature")
                .or_else(|| text("x-gitea-signature"))
                .map(of_hex)
                .or_else(prefixed),
        };
        found.unwrap_or(Self::Missing)
    }

    /// Whether this is the signature of `body` with `secret`, compared in constant time. Nothing is signed
    /// with an empty secret.
    #[must_use]
    pub fn is_of(&self, secret: &[u8], body: &[u8]) -> bool {
        if secret.is_empty() {
            return false;
        }
        let key = || hmac::Key::new(hmac::HMAC_SHA256, secret);
        match self {
            Self::Hmac(tag) => hmac::verify(&key(), body, tag).is_ok(),
            // Tags of both, so that neither the length nor the bytes of the secret show in the time taken.
            Self::Token(token) => {
                let tag = hmac::sign(&key(), token);
                hmac::verify(&key(), secret, tag.as_ref()).is_ok()
            }
            Self::Sha1Only | Self::Bad | Self::Missing => false,
        }
    }

    /// What is wrong with it whatever the secret is, for the forge's log of deliveries.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Hmac(_) | Self::Token(_) => None,
            Self::Sha1Only => Some(
                "X-Hub-Signature (SHA-1) is not accepted; hint: send X-Hub-Signature-256 too, as GitHub does",
            ),
            Self::Bad => Some("the signature is no HMAC-SHA-256 in hexadecimal digits"),
            Self::Missing => Some(
                "the delivery is not signed; hint: give the webhook the secret that the job's webhook_secret names",
            ),
        }
    }
}

fn of_hex(text: &str) -> Signature {
    match HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()) {
        Ok(tag) if tag.len() == 32 => Signature::Hmac(tag),
        Ok(_) | Err(_) => Signature::Bad,
    }
}

impl std::fmt::Debug for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A token is the secret itself.
        f.write_str(match self {
            Self::Hmac(_) => "Hmac",
            Self::Token(_) => "Token",
            Self::Sha1Only => "Sha1Only",
            Self::Bad => "Bad",
            Self::Missing => "Missing",
        })
    }
}
