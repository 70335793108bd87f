//! The few things in a delivery that count.

use serde::Deserialize;

use super::{Forge, Happened, HookError, MAX_TEXT};
use crate::api::Push;

/// A push, as all of these forges tell it. What else they send is skipped as it is read.
#[derive(Deserialize)]
struct Document {
    #[serde(rename = "ref", default)]
    reference: Option<String>,
    #[serde(default)]
    deleted: Option<bool>,
    #[serde(default)]
    after: Option<String>,
    #[serde(default)]
    repository: Option<Addresses>,
    #[serde(default)]
    project: Option<Addresses>,
}

/// Addresses of a repository. No forge has all of them.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Addresses {
    clone_url: Option<String>,
    ssh_url: Option<String>,
    git_url: Option<String>,
    html_url: Option<String>,
    git_http_url: Option<String>,
    git_ssh_url: Option<String>,
    web_url: Option<String>,
    url: Option<String>,
}

pub(super) fn read(forge: Forge, by: &str, document: &[u8]) -> Result<Happened, HookError> {
    let document: Document =
        serde_json::from_slice(document).map_err(|error| HookError::BadBody(format!("{error}")))?;
    let reference = document
        .reference
        .ok_or_else(|| HookError::BadBody("`ref` is missing".to_owned()))?;
    let all = [document.repository, document.project];
    let mut urls: Vec<String> = Vec::new();
    for address in all.into_iter().flatten().flat_map(addresses).flatten() {
        // GitHub's `url` of a repository is one of its API on some events: no harm, nothing is cloned from it.
        let counts = !address.is_empty() && address.len() <= MAX_TEXT;
        if counts && !urls.contains(&address) {
            urls.push(address);
        }
    }
    if urls.is_empty() {
        return Err(HookError::NoRepository);
    }
    if reference.len() > MAX_TEXT {
        return Err(HookError::BadBody("`ref` is too long".to_owned()));
    }
    let is_nothing = |commit: &String| !commit.is_empty() && commit.bytes().all(|it| it == b'0');
    if document.deleted == Some(true) || document.after.as_ref().is_some_and(is_nothing) {
        return Ok(Happened::Removed);
    }
    // Gitea may leave `refs/heads/` out; a tag tells no branch, so that every one is looked at.
    let branch = match reference.strip_prefix("refs/") {
        Some(rest) => rest.strip_prefix("heads/"),
        None => (forge == Forge::Gitea).then_some(reference.as_str()),
    };
    Ok(Happened::Pushed(Push {
        by: by.to_owned(),
        urls,
        branches: branch.map(str::to_owned).into_iter().collect(),
        job: None,
    }))
}

fn addresses(found: Addresses) -> [Option<String>; 8] {
    [
        found.clone_url,
        found.git_http_url,
        found.ssh_url,
        found.git_ssh_url,
        found.git_url,
        found.html_url,
        found.web_url,
        found.url,
    ]
}

/// The value of `payload` in a form (application/x-www-form-urlencoded, WHATWG URL section 5).
pub(super) fn of_form(body: &[u8]) -> Result<Vec<u8>, HookError> {
    body.split(|byte| *byte == b'&')
        .find_map(|pair| pair.strip_prefix(b"payload="))
        .map(decoded)
        .ok_or_else(|| HookError::BadBody("the form has no `payload`".to_owned()))
}

fn decoded(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        out.push(match byte {
            b'+' => b' ',
            b'%' => match after {
                [high, low, behind @ ..] => match (digit(*high), digit(*low)) {
                    (Some(high), Some(low)) => {
                        rest = behind;
                        high << 4 | low
                    }
                    (Some(_) | None, _) => b'%',
                },
                [] | [_] => b'%',
            },
            other => *other,
        });
    }
    out
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}
