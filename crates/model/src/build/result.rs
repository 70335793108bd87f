//! How a build ended, in Jenkins' five words.

use serde::{Deserialize, Serialize};

/// How a build ended. The order is from best to worst: a build's result only ever worsens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum BuildResult {
    /// Everything was as it should be.
    Success,
    /// All steps ran, and tests failed or a step said so.
    Unstable,
    /// A step failed.
    Failure,
    /// Nothing was built.
    NotBuilt,
    /// Somebody, or a time limit, stopped it.
    Aborted,
}

impl BuildResult {
    /// Every result, from best to worst.
    pub const ALL: [Self; 5] = [
        Self::Success,
        Self::Unstable,
        Self::Failure,
        Self::NotBuilt,
        Self::Aborted,
    ];

    /// The word for it, as Jenkins' clients know it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Success => "SUCCESS",
            Self::Unstable => "UNSTABLE",
            Self::Failure => "FAILURE",
            Self::NotBuilt => "NOT_BUILT",
            Self::Aborted => "ABORTED",
        }
    }

    /// The result that `word` means.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|result| result.word() == word)
    }

    /// The ball's colour in Jenkins' API; `_anime` is added to it while a build runs.
    #[must_use]
    pub fn colour(self) -> &'static str {
        match self {
            Self::Success => "blue",
            Self::Unstable => "yellow",
            Self::Failure => "red",
            Self::NotBuilt => "notbuilt",
            Self::Aborted => "aborted",
        }
    }

    /// The worse of the two.
    #[must_use]
    pub fn worsened(self, other: Self) -> Self {
        self.max(other)
    }

    /// Whether this is at least as good as `threshold`.
    #[must_use]
    pub fn is_no_worse_than(self, threshold: Self) -> bool {
        self <= threshold
    }
}

impl std::fmt::Display for BuildResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::BuildResult;

    #[test]
    fn words_and_back() {
        for result in BuildResult::ALL {
            assert_eq!(BuildResult::of_word(result.word()), Some(result));
            let json = serde_json::to_string(&result).expect("a word");
            assert_eq!(json, format!("\"{}\"", result.word()));
        }
        assert_eq!(BuildResult::of_word("success"), None);
    }

    #[test]
    fn only_worsens() {
        use BuildResult::{Aborted, Failure, Success, Unstable};
        assert_eq!(Failure.worsened(Unstable), Failure);
        assert_eq!(Success.worsened(Aborted), Aborted);
        assert!(Unstable.is_no_worse_than(Unstable) && !Failure.is_no_worse_than(Unstable));
    }
}
