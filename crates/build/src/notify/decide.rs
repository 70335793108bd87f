//! What the end of a build means after those before it.

use serde::{Deserialize, Serialize};
use ward_model::build::BuildResult;

/// What is told. The rules are those of Jenkins' mailer; builds that were aborted, or built nothing, say
/// nothing and are passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// It failed, and the one before did not.
    FirstFailure,
    /// It failed again.
    StillFailing,
    /// It is unstable, and the one before succeeded, or there is none.
    BecameUnstable,
    /// It is unstable again.
    StillUnstable,
    /// It is unstable, and the one before failed.
    NoLongerFailing,
    /// It succeeded, and the one before failed.
    Fixed,
    /// It succeeded, and the one before was unstable.
    BackToStable,
}

/// What the end of a build with the result `now` means after `previous`, the newest first.
#[must_use]
pub fn decide(previous: &[BuildResult], now: BuildResult) -> Option<Kind> {
    let before = previous.iter().copied().find(|result| match result {
        BuildResult::Success | BuildResult::Unstable | BuildResult::Failure => true,
        BuildResult::NotBuilt | BuildResult::Aborted => false,
    });
    match now {
        BuildResult::Aborted | BuildResult::NotBuilt => None,
        BuildResult::Failure => Some(match before {
            Some(BuildResult::Failure) => Kind::StillFailing,
            Some(
                BuildResult::Success
                | BuildResult::Unstable
                | BuildResult::NotBuilt
                | BuildResult::Aborted,
            )
            | None => Kind::FirstFailure,
        }),
        BuildResult::Unstable => Some(match before {
            Some(BuildResult::Failure) => Kind::NoLongerFailing,
            Some(BuildResult::Unstable) => Kind::StillUnstable,
            Some(BuildResult::Success | BuildResult::NotBuilt | BuildResult::Aborted) | None => {
                Kind::BecameUnstable
            }
        }),
        BuildResult::Success => match before {
            Some(BuildResult::Failure) => Some(Kind::Fixed),
            Some(BuildResult::Unstable) => Some(Kind::BackToStable),
            Some(BuildResult::Success | BuildResult::NotBuilt | BuildResult::Aborted) | None => {
                None
            }
        },
    }
}

impl Kind {
    /// How the subject of a mail begins: what filters of Jenkins' mails look for.
    pub(super) fn subject(self) -> &'static str {
        match self {
            Self::FirstFailure | Self::StillFailing => "Build failed in Jenkins:",
            Self::BecameUnstable => "Jenkins build became unstable:",
            Self::StillUnstable => "Jenkins build is still unstable:",
            Self::NoLongerFailing => "Jenkins build is unstable:",
            Self::Fixed => "Jenkins build is back to normal :",
            Self::BackToStable => "Jenkins build is back to stable :",
        }
    }

    /// Whether a mail about it goes out where only the first unstable build of a series is told of.
    pub(super) fn is_news(self) -> bool {
        match self {
            Self::StillUnstable => false,
            Self::FirstFailure
            | Self::StillFailing
            | Self::BecameUnstable
            | Self::NoLongerFailing
            | Self::Fixed
            | Self::BackToStable => true,
        }
    }

    /// Whether something is wrong.
    pub(super) fn is_bad(self) -> bool {
        match self {
            Self::FirstFailure
            | Self::StillFailing
            | Self::BecameUnstable
            | Self::StillUnstable
            | Self::NoLongerFailing => true,
            Self::Fixed | Self::BackToStable => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, decide};
    use ward_model::build::BuildResult::{self, Aborted, Failure, NotBuilt, Success, Unstable};

    #[test]
    fn every_result_after_every_other() {
        let table: [(&[BuildResult], BuildResult, Option<Kind>); 18] = [
            (&[], Success, None),
            (&[], Failure, Some(Kind::FirstFailure)),
            (&[], Unstable, Some(Kind::BecameUnstable)),
            (&[], Aborted, None),
            (&[], NotBuilt, None),
            (&[Success], Success, None),
            (&[Success], Failure, Some(Kind::FirstFailure)),
            (&[Success], Unstable, Some(Kind::BecameUnstable)),
            (&[Unstable], Success, Some(Kind::BackToStable)),
            (&[Unstable], Failure, Some(Kind::FirstFailure)),
            (&[Unstable], Unstable, Some(Kind::StillUnstable)),
            (&[Failure], Success, Some(Kind::Fixed)),
            (&[Failure], Failure, Some(Kind::StillFailing)),
            (&[Failure], Unstable, Some(Kind::NoLongerFailing)),
            (&[Failure], Aborted, None),
            (&[Aborted, NotBuilt, Failure], Success, Some(Kind::Fixed)),
            (&[Aborted, Failure], Failure, Some(Kind::StillFailing)),
            (&[Aborted, Aborted], Failure, Some(Kind::FirstFailure)),
        ];
        for (previous, now, expected) in table {
            assert_eq!(decide(previous, now), expected, "{previous:?} {now:?}");
        }
    }
}
