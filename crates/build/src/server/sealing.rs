//! Values of secret parameters while a request waits: sealed, so that no copy of the database shows them.

use data_encoding::BASE64;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

/// Seals a value. `None` if the system gives no random bytes.
pub(super) fn seal(key: &[u8; 32], value: &str) -> Option<String> {
    let mut nonce = [0u8; NONCE_LEN];
    SystemRandom::new().fill(&mut nonce).ok()?;
    let mut bytes = value.as_bytes().to_vec();
    sealer(key)?
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::empty(),
            &mut bytes,
        )
        .ok()?;
    let mut whole = nonce.to_vec();
    whole.append(&mut bytes);
    Some(BASE64.encode(&whole))
}

/// What was sealed with this key; `None` if it was not.
pub(super) fn open(key: &[u8; 32], sealed: &str) -> Option<String> {
    let whole = BASE64.decode(sealed.as_bytes()).ok()?;
    let (nonce, bytes) = whole.split_at_checked(NONCE_LEN)?;
    let mut bytes = bytes.to_vec();
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let plain = sealer(key)?
        .open_in_place(nonce, Aad::empty(), &mut bytes)
        .ok()?;
    String::from_utf8(plain.to_vec()).ok()
}

fn sealer(key: &[u8; 32]) -> Option<LessSafeKey> {
    Some(LessSafeKey::new(
        UnboundKey::new(&CHACHA20_POLY1305, key).ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::{open, seal};

    #[test]
    fn what_is_sealed_is_opened_by_its_key_alone() {
        let sealed = seal(&[7; 32], "hunter2").expect("random bytes");
        assert!(!sealed.contains("hunter2"));
        assert_ne!(Some(&sealed), seal(&[7; 32], "hunter2").as_ref());
        assert_eq!(open(&[7; 32], &sealed).as_deref(), Some("hunter2"));
        assert_eq!(open(&[8; 32], &sealed), None);
        for bad in ["", "!", "AAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
            assert_eq!(open(&[7; 32], bad), None);
        }
    }
}
