//! Deliveries of forges: nobody gets in without the secret.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ward_build::triggers::hooks::{Delivery, Forge, notify_commit};
use ward_build::triggers::same_repository;

fuzz_target!(|input: (Vec<(u8, &[u8])>, &[u8])| {
    const NAMES: [&str; 12] = [
        "x-github-event",
        "x-gitlab-event",
        "x-gitea-event",
        "x-forgejo-event",
        "x-hub-signature-256",
        "x-hub-signature",
        "x-gitea-signature",
        "x-forgejo-signature",
        "x-gitlab-token",
        "x-github-delivery",
        "idempotency-key",
        "content-type",
    ];
    let (headers, body) = input;
    let header = |name: &str| {
        let is_it = |number: u8| NAMES.get(usize::from(number) % NAMES.len()) == Some(&name);
        let found = headers.iter().find(|(number, _)| is_it(*number));
        found.map(|(_, value)| *value)
    };
    for forge in [Forge::GitHub, Forge::GitLab, Forge::Gitea] {
        if let Ok(delivery) = Delivery::read(forge, header, body) {
            assert!(
                !delivery
                    .signature
                    .is_of(b"a secret of 32 bytes, not guessed", body)
            );
        }
    }
    if let Ok(text) = std::str::from_utf8(body) {
        let _ = notify_commit(text, Some(text));
        let (one, other) = text.split_once('\n').unwrap_or((text, text));
        assert_eq!(same_repository(one, other), same_repository(other, one));
    }
});
