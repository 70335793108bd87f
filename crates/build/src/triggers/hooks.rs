//! What forges tell of pushes: GitHub, GitLab, Gitea and Forgejo.
//!
//! A delivery is read ([`Delivery::read`]) before anybody knows whether it is to be believed, so that the
//! jobs it is about can be found; each of them has a secret of its own, and [`Signature::is_of`] says
//! whether the delivery was signed with it. Only the addresses of the repository and names of branches are
//! taken out: what is built is what a poll finds there.

mod payload;
mod signature;
#[cfg(test)]
mod tests;

use crate::api::Push;
pub use signature::Signature;

/// No delivery is longer, bytes. (GitHub sends 25 MB at most, of which the part that counts is small; what
/// is refused here is found by the next poll.)
pub const MAX_BODY: usize = 8 * 1024 * 1024;

/// No address and no name of a branch in a delivery is longer, bytes.
pub const MAX_TEXT: usize = 4096;

/// No name of a delivery is longer, bytes.
pub const MAX_ID: usize = 128;

/// Who sends it, by the address that it is sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Forge {
    /// `/github-webhook/`.
    GitHub,
    /// `/project/NAME`.
    GitLab,
    /// `/gitea-webhook/post`: Gitea and Forgejo, which says both.
    Gitea,
}

impl Forge {
    /// Its name, for people and for [`crate::api::Builds::is_new_delivery`].
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::GitHub => "GitHub",
            Self::GitLab => "GitLab",
            Self::Gitea => "Gitea",
        }
    }
}

/// What happened at a forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// Something was pushed: look there.
    Pushed(Push),
    /// A branch or a tag was removed: there is nothing new.
    Removed,
    /// Somebody tries whether deliveries arrive.
    Ping,
    /// Something that starts no build, by the forge's name for it.
    Other(String),
}

/// One call of a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Who sent it. Forgejo is told from Gitea where it says so.
    pub by: String,
    /// The forge's name for this delivery, the same when it is sent again: at most [`MAX_ID`] printable
    /// bytes. Not signed by anybody.
    pub id: Option<String>,
    /// What happened.
    pub happened: Happened,
    /// How it is signed.
    pub signature: Signature,
}

/// Why a delivery is not taken. Texts are for the forge's log of deliveries.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HookError {
    /// It is too long.
    #[error("the delivery is longer than {MAX_BODY} bytes")]
    TooLong,
    /// It does not say what happened.
    #[error("the header {0} is missing: is this the address for another forge?")]
    NoEvent(&'static str),
    /// It is not what it should be.
    #[error("the delivery cannot be read: {0}")]
    BadBody(String),
    /// It tells no address of a repository.
    #[error("the delivery names no repository")]
    NoRepository,
}

impl Delivery {
    /// Reads a delivery. `header` gives the value of a header by its name in lower case.
    ///
    /// # Errors
    /// The headers or the body are not what this forge sends.
    pub fn read<'a>(
        forge: Forge,
        header: impl Fn(&str) -> Option<&'a [u8]>,
        body: &[u8],
    ) -> Result<Self, HookError> {
        if body.len() > MAX_BODY {
            return Err(HookError::TooLong);
        }
        let text = |name: &str| header(name).and_then(|value| std::str::from_utf8(value).ok());
        let (event, by) = event(forge, text)?;
        let id = ids(forge).iter().find_map(|name| text(name));
        let happened = match kind(event) {
            Kind::Push => {
                let is_form = text("content-type").is_some_and(|kind| {
                    kind.trim_start()
                        .to_ascii_lowercase()
                        .starts_with("application/x-www-form-urlencoded")
                });
                let document = if is_form {
                    payload::of_form(body)?
                } else {
                    body.to_vec()
                };
                payload::read(forge, by, &document)?
            }
            Kind::Ping => Happened::Ping,
            Kind::Other => Happened::Other(event.chars().take(64).collect()),
        };
        Ok(Self {
            by: by.to_owned(),
            id: id.filter(|id| is_id(id)).map(str::to_owned),
            happened,
            signature: Signature::of(forge, text),
        })
    }
}

enum Kind {
    Push,
    Ping,
    Other,
}

fn kind(event: &str) -> Kind {
    match event {
        "push" | "Push Hook" | "Tag Push Hook" => Kind::Push,
        "ping" => Kind::Ping,
        _ => Kind::Other,
    }
}

/// The forge's name for what happened, and its own.
fn event<'a>(
    forge: Forge,
    text: impl Fn(&str) -> Option<&'a str>,
) -> Result<(&'a str, &'static str), HookError> {
    let found = match forge {
        Forge::GitHub => text("x-github-event").map(|event| (event, "GitHub")),
        Forge::GitLab => text("x-gitlab-event").map(|event| (event, "GitLab")),
        // Both also send the headers of those that they are like.
        Forge::Gitea => text("x-forgejo-event")
            .map(|event| (event, "Forgejo"))
            .or_else(|| text("x-gitea-event").map(|event| (event, "Gitea"))),
    };
    found.ok_or(HookError::NoEvent(match forge {
        Forge::GitHub => "X-GitHub-Event",
        Forge::GitLab => "X-Gitlab-Event",
        Forge::Gitea => "X-Gitea-Event",
    }))
}

/// Headers with the name of the delivery, best first.
fn ids(forge: Forge) -> &'static [&'static str] {
    match forge {
        Forge::GitHub => &["x-github-delivery"],
        Forge::GitLab => &["idempotency-key", "x-gitlab-event-uuid"],
        Forge::Gitea => &["x-forgejo-delivery", "x-gitea-delivery"],
    }
}

fn is_id(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// What `/git/notifyCommit` tells: `url`, and `branches` separated by commas. A commit that it may name is
/// not heeded: a forged call could have foreign code built.
///
/// # Errors
/// There is no address, or something is too long.
pub fn notify_commit(url: &str, branches: Option<&str>) -> Result<Push, HookError> {
    let url = url.trim();
    if url.is_empty() {
        return Err(HookError::NoRepository);
    }
    let branches = branches.unwrap_or_default();
    if url.len() > MAX_TEXT || branches.len() > MAX_TEXT {
        return Err(HookError::BadBody("it is too long".to_owned()));
    }
    let names = branches.split(',').map(str::trim);
    Ok(Push {
        by: "notifyCommit".to_owned(),
        urls: vec![url.to_owned()],
        branches: names
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect(),
        job: None,
    })
}
