//! Deliveries as forges send them, and as others do.

use data_encoding::HEXLOWER;
use proptest::prelude::*;
use ring::hmac;
use serde_json::json;

use super::{Delivery, Forge, Happened, HookError, MAX_BODY, MAX_ID, Signature, notify_commit};

const SECRET: &[u8] = b"It's a Secret to Everybody";

fn read(forge: Forge, headers: &[(&str, &str)], body: &[u8]) -> Result<Delivery, HookError> {
    let header = |name: &str| {
        let found = headers.iter().find(|(it, _)| *it == name);
        found.map(|(_, value)| value.as_bytes())
    };
    Delivery::read(forge, header, body)
}

fn pushed(delivery: &Delivery) -> &crate::api::Push {
    match &delivery.happened {
        Happened::Pushed(push) => push,
        Happened::Removed | Happened::Ping | Happened::Other(_) => {
            panic!("{delivery:?} is no push")
        }
    }
}

fn github() -> Vec<u8> {
    let document = json!({
        "ref": "refs/heads/release/1.0",
        "before": "1111111111111111111111111111111111111111",
        "after": "2222222222222222222222222222222222222222",
        "deleted": false,
        "repository": {
            "id": 1, "name": "app", "full_name": "team/app", "private": true,
            "html_url": "https://github.example/team/app",
            "git_url": "git://github.example/team/app.git",
            "ssh_url": "git@github.example:team/app.git",
            "clone_url": "https://github.example/team/app.git",
            "url": "https://github.example/team/app",
        },
        "commits": [{"id": "2222", "modified": ["README"]}],
    });
    serde_json::to_vec(&document).expect("plain data")
}

#[test]
fn github_tells_of_a_push() {
    let body = github();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), &body);
    let signature = format!("sha256={}", HEXLOWER.encode(tag.as_ref()));
    let headers = [
        ("x-github-event", "push"),
        ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        (
            "x-hub-signature",
            "sha1=0000000000000000000000000000000000000000",
        ),
        ("x-hub-signature-256", &signature),
        ("content-type", "application/json"),
    ];
    let delivery = read(Forge::GitHub, &headers, &body).expect("a delivery");
    assert_eq!(delivery.by, "GitHub");
    assert_eq!(
        delivery.id.as_deref(),
        Some("72d3162e-cc78-11e3-81ab-4c9367dc0958")
    );
    let push = pushed(&delivery);
    assert_eq!(push.branches, ["release/1.0"]);
    assert_eq!(
        push.urls,
        [
            "https://github.example/team/app.git",
            "git@github.example:team/app.git",
            "git://github.example/team/app.git",
            "https://github.example/team/app",
        ]
    );
    assert!(delivery.signature.is_of(SECRET, &body));
    assert!(!delivery.signature.is_of(b"another", &body));
    assert!(!delivery.signature.is_of(SECRET, b"another"));
    assert!(!delivery.signature.is_of(b"", &body));
    assert_eq!(delivery.signature.hint(), None);
}

/// The example in GitHub's documentation ("Validating webhook deliveries").
#[test]
fn the_published_example_is_right() {
    let headers = [
        ("x-github-event", "ping"),
        (
            "x-hub-signature-256",
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        ),
    ];
    let delivery = read(Forge::GitHub, &headers, b"Hello, World!").expect("a delivery");
    assert_eq!(delivery.happened, Happened::Ping);
    assert!(delivery.signature.is_of(SECRET, b"Hello, World!"));
}

#[test]
fn a_form_holds_the_same() {
    let mut body = b"other=1&payload=".to_vec();
    for byte in github() {
        match byte {
            b' ' => body.push(b'+'),
            b'a'..=b'z' => body.push(byte),
            other => body.extend(format!("%{other:02x}").bytes()),
        }
    }
    let headers = [
        ("x-github-event", "push"),
        (
            "content-type",
            " Application/x-www-form-urlencoded; charset=utf-8",
        ),
    ];
    let delivery = read(Forge::GitHub, &headers, &body).expect("a delivery");
    assert_eq!(pushed(&delivery).branches, ["release/1.0"]);
    let error = read(Forge::GitHub, &headers, b"load=1").err();
    assert!(matches!(error, Some(HookError::BadBody(_))), "{error:?}");
}

#[test]
fn gitlab_tells_of_a_push_and_shows_its_token() {
    let body = json!({
        "object_kind": "push",
        "ref": "refs/heads/main",
        "after": "da1560886d4f094c3e6c9ef40349f7d38b5d27d7",
        "project": {
            "web_url": "http://gitlab.example/team/app",
            "git_ssh_url": "git@gitlab.example:team/app.git",
            "git_http_url": "http://gitlab.example/team/app.git",
            "url": "git@gitlab.example:team/app.git",
        },
        "repository": {"url": "git@gitlab.example:team/app.git", "homepage": "http://gitlab.example/team/app"},
    })
    .to_string();
    let headers = [
        ("x-gitlab-event", "Push Hook"),
        ("x-gitlab-event-uuid", "b-1"),
        ("x-gitlab-token", "It's a Secret to Everybody"),
    ];
    let delivery = read(Forge::GitLab, &headers, body.as_bytes()).expect("a delivery");
    assert_eq!(pushed(&delivery).branches, ["main"]);
    assert_eq!(pushed(&delivery).urls.len(), 3);
    assert_eq!(delivery.id.as_deref(), Some("b-1"));
    assert!(delivery.signature.is_of(SECRET, b"whatever the body is"));
    assert!(!delivery.signature.is_of(b"It's a Secret to Everybod", b""));
    assert!(!Signature::Token(Vec::new()).is_of(b"", b""));
    // Whoever prints a delivery does not print the secret.
    assert!(!format!("{delivery:?}").contains("Secret"));
}

#[test]
fn gitea_and_forgejo_tell_of_a_push() {
    let body = json!({
        "ref": "refs/heads/main",
        "after": "bffeb74224043ba2feb48d137756c8a9331c449a",
        "repository": {
            "html_url": "https://gitea.example/team/app",
            "ssh_url": "gitea@gitea.example:team/app.git",
            "clone_url": "https://gitea.example/team/app.git",
        },
    })
    .to_string();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), body.as_bytes());
    let hex = HEXLOWER.encode(tag.as_ref());
    let gitea = [
        ("x-gitea-event", "push"),
        ("x-github-event", "push"),
        ("x-gitea-delivery", "f6266f16"),
        ("x-gitea-signature", hex.as_str()),
    ];
    let delivery = read(Forge::Gitea, &gitea, body.as_bytes()).expect("a delivery");
    assert_eq!(
        (delivery.by.as_str(), pushed(&delivery).by.as_str()),
        ("Gitea", "Gitea")
    );
    assert!(delivery.signature.is_of(SECRET, body.as_bytes()));
    let forgejo = [
        ("x-forgejo-event", "push"),
        ("x-gitea-event", "push"),
        ("x-forgejo-signature", hex.as_str()),
        ("x-gitea-signature", "00"),
    ];
    let delivery = read(Forge::Gitea, &forgejo, body.as_bytes()).expect("a delivery");
    assert_eq!(
        (delivery.by.as_str(), delivery.id.as_deref()),
        ("Forgejo", None)
    );
    assert!(delivery.signature.is_of(SECRET, body.as_bytes()));
    let hub = format!("sha256={hex}");
    let old = [
        ("x-gitea-event", "push"),
        ("x-hub-signature-256", hub.as_str()),
    ];
    let delivery = read(Forge::Gitea, &old, body.as_bytes()).expect("a delivery");
    assert!(delivery.signature.is_of(SECRET, body.as_bytes()));
}

#[test]
fn what_is_no_signature_is_none() {
    let event = ("x-github-event", "ping");
    let zeros = "0".repeat(64);
    let table = [
        (vec![event], Signature::Missing),
        (
            vec![event, ("x-hub-signature", "sha1=00")],
            Signature::Sha1Only,
        ),
        (
            vec![event, ("x-hub-signature-256", "sha256=00")],
            Signature::Bad,
        ),
        (vec![event, ("x-hub-signature-256", &zeros)], Signature::Bad),
        (
            vec![event, ("x-hub-signature-256", "sha256=xyz")],
            Signature::Bad,
        ),
    ];
    for (headers, signature) in table {
        let delivery = read(Forge::GitHub, &headers, b"").expect("a delivery");
        assert_eq!(delivery.signature, signature);
        assert!(!delivery.signature.is_of(SECRET, b""));
        assert!(delivery.signature.hint().is_some());
    }
}

#[test]
fn tags_tell_of_no_branch_and_removals_of_nothing() {
    let of = |document: serde_json::Value| {
        let body = document.to_string();
        read(
            Forge::GitHub,
            &[("x-github-event", "push")],
            body.as_bytes(),
        )
        .map(|it| it.happened)
    };
    let repository = json!({"clone_url": "https://github.example/team/app.git"});
    let tag = of(json!({"ref": "refs/tags/v1", "repository": repository}));
    let Ok(Happened::Pushed(push)) = tag else {
        panic!("{tag:?}");
    };
    assert_eq!(push.branches, Vec::<String>::new());
    let removed = of(json!({"ref": "refs/heads/x", "deleted": true, "repository": repository}));
    assert_eq!(removed, Ok(Happened::Removed));
    let zeros = "0".repeat(40);
    let removed = of(json!({"ref": "refs/heads/x", "after": zeros, "repository": repository}));
    assert_eq!(removed, Ok(Happened::Removed));
    assert_eq!(
        of(json!({"ref": "refs/heads/x", "repository": {}})),
        Err(HookError::NoRepository)
    );
    for document in [
        json!({"repository": repository}),
        json!([]),
        json!({"ref": 1, "repository": repository}),
        json!({"ref": "r".repeat(5000), "repository": repository}),
    ] {
        let refused = of(document);
        assert!(matches!(refused, Err(HookError::BadBody(_))), "{refused:?}");
    }
}

#[test]
fn what_starts_nothing_is_told_apart() {
    let delivery = read(Forge::GitHub, &[("x-github-event", "issues")], b"{}").expect("read");
    assert_eq!(delivery.happened, Happened::Other("issues".to_owned()));
    assert_eq!(
        read(Forge::GitLab, &[("x-github-event", "push")], b"{}"),
        Err(HookError::NoEvent("X-Gitlab-Event"))
    );
    let too_long = vec![b' '; MAX_BODY + 1];
    assert_eq!(
        read(Forge::GitHub, &[("x-github-event", "push")], &too_long),
        Err(HookError::TooLong)
    );
    let long = "i".repeat(MAX_ID + 1);
    for id in [long.as_str(), "", "a b", "a\nb", "ü"] {
        let headers = [("x-github-event", "ping"), ("x-github-delivery", id)];
        let delivery = read(Forge::GitHub, &headers, b"").expect("read");
        assert_eq!(delivery.id, None, "{id}");
    }
}

/// A document as deep as an attacker likes is refused, not recursed into.
#[test]
fn depth_is_bounded() {
    let mut body = br#"{"ref":"refs/heads/x","deep":"#.to_vec();
    body.extend(b"[".repeat(1_000_000));
    let refused = read(Forge::GitHub, &[("x-github-event", "push")], &body);
    assert!(matches!(refused, Err(HookError::BadBody(_))), "{refused:?}");
}

#[test]
fn notify_commit_tells_where_to_look() {
    let push =
        notify_commit(" https://example.org/app.git ", Some("main, release/1,,")).expect("read");
    assert_eq!(push.urls, ["https://example.org/app.git"]);
    assert_eq!(push.branches, ["main", "release/1"]);
    assert_eq!((push.by.as_str(), push.job), ("notifyCommit", None));
    assert_eq!(notify_commit("  ", None), Err(HookError::NoRepository));
    assert!(notify_commit(&"x".repeat(5000), None).is_err());
}

fn header() -> impl Strategy<Value = (String, Vec<u8>)> {
    let name = prop_oneof![
        Just("x-github-event"),
        Just("x-gitlab-event"),
        Just("x-gitea-event"),
        Just("x-forgejo-event"),
        Just("x-hub-signature-256"),
        Just("x-gitea-signature"),
        Just("x-gitlab-token"),
        Just("x-github-delivery"),
        Just("content-type"),
    ];
    let value = prop_oneof![
        Just(b"push".to_vec()),
        Just(b"Push Hook".to_vec()),
        Just(b"application/x-www-form-urlencoded".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..80),
    ];
    (name.prop_map(str::to_owned), value)
}

proptest! {
    #[test]
    fn whatever_is_sent(
        headers in proptest::collection::vec(header(), 0..6),
        body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            "payload=[%+&={}\":a-f0-9]{0,80}".prop_map(String::into_bytes),
            "\\{\"ref\":[\"a-z/0-9{},:\\[\\]]{0,80}\\}".prop_map(String::into_bytes),
        ],
    ) {
        for forge in [Forge::GitHub, Forge::GitLab, Forge::Gitea] {
            let header = |name: &str| {
                let found = headers.iter().find(|(it, _)| it == name);
                found.map(|(_, value)| value.as_slice())
            };
            if let Ok(delivery) = Delivery::read(forge, header, &body) {
                prop_assert!(!delivery.signature.is_of(SECRET, &body));
            }
        }
    }
}
