//! What is kept of passwords and tokens, and how what somebody sent is compared with it.

use std::num::NonZeroU32;

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hmac, pbkdf2};
use serde::{Deserialize, Serialize};

use super::error::AccessError;

/// How often PBKDF2 turns (OWASP's password storage cheat sheet, for HMAC-SHA-256).
pub(super) const ROUNDS: u32 = 600_000;

/// Nor is a file believed that wants more: it would stand still.
const MOST_ROUNDS: u32 = 100_000_000;

/// What tokens begin with, so that searches for leaked secrets find them.
const TOKEN: &str = "ward_";

/// Bytes of what is random.
const RANDOM: usize = 32;

const SALT: usize = 16;

/// What is kept of a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hashed {
    rounds: u32,
    salt: String,
    hash: String,
}

impl Hashed {
    /// Of this password.
    pub(super) fn of(password: &str, rounds: u32) -> Result<Self, AccessError> {
        let salt: [u8; SALT] = random()?;
        let mut hash = [0; digest::SHA256_OUTPUT_LEN];
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            NonZeroU32::new(rounds).unwrap_or(NonZeroU32::MIN),
            &salt,
            password.as_bytes(),
            &mut hash,
        );
        Ok(Self {
            rounds,
            salt: BASE64.encode(&salt),
            hash: BASE64.encode(&hash),
        })
    }

    /// One that nobody's password fits, and that takes as long to be compared as any.
    pub(super) fn of_nobody(rounds: u32) -> Self {
        Self {
            rounds,
            salt: BASE64.encode(&[0; SALT]),
            hash: BASE64.encode(&[0; digest::SHA256_OUTPUT_LEN]),
        }
    }

    /// Whether this is the password. Slow, on purpose.
    pub(super) fn fits(&self, password: &str) -> bool {
        let (Ok(salt), Ok(hash)) = (
            BASE64.decode(self.salt.as_bytes()),
            BASE64.decode(self.hash.as_bytes()),
        ) else {
            return false;
        };
        let Some(rounds) = NonZeroU32::new(self.rounds.min(MOST_ROUNDS)) else {
            return false;
        };
        hash.len() == digest::SHA256_OUTPUT_LEN
            && pbkdf2::verify(
                pbkdf2::PBKDF2_HMAC_SHA256,
                rounds,
                &salt,
                password.as_bytes(),
                &hash,
            )
            .is_ok()
    }

    /// What tells it from every other password that there was.
    pub(super) fn mark(&self) -> &str {
        &self.salt
    }
}

/// A new token.
pub(super) fn token() -> Result<String, AccessError> {
    Ok(format!("{TOKEN}{}", cookie()?))
}

/// Whether it may be a token.
pub(super) fn is_like_token(text: &str) -> bool {
    text.starts_with(TOKEN)
}

/// What only who got it can know.
pub(super) fn cookie() -> Result<String, AccessError> {
    Ok(BASE64URL_NOPAD.encode(&random::<RANDOM>()?))
}

/// What is kept of something random. (What people think up must be [`Hashed`].)
pub(super) fn fingerprint(text: &str) -> String {
    HEXLOWER.encode(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

/// Signs, and compares without telling by the time it takes.
pub(super) struct Signer(hmac::Key);

impl Signer {
    /// With a key that nobody knows.
    pub(super) fn new() -> Result<Self, AccessError> {
        Ok(Self(hmac::Key::new(
            hmac::HMAC_SHA256,
            &random::<RANDOM>()?,
        )))
    }

    /// The signature of a text.
    pub(super) fn sign(&self, text: &str) -> String {
        HEXLOWER.encode(hmac::sign(&self.0, text.as_bytes()).as_ref())
    }

    /// Whether both are the same.
    pub(super) fn is_same(&self, one: &str, other: &str) -> bool {
        let tag = hmac::sign(&self.0, one.as_bytes());
        hmac::verify(&self.0, other.as_bytes(), tag.as_ref()).is_ok()
    }
}

fn random<const N: usize>() -> Result<[u8; N], AccessError> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| AccessError::NoRandomness)?;
    Ok(bytes)
}
