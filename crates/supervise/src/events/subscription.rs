//! Which events a pool is told of.

/// Names of kinds of events, in upper case. One stands for all that begin with it and an underscore;
/// `EVENT` for all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subscription {
    names: Vec<String>,
}

impl Subscription {
    /// To the kinds of these names; names that are none match nothing.
    #[must_use]
    pub fn to<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        Self {
            names: names.into_iter().map(Into::into).collect(),
        }
    }

    /// Whether events of this name are told; once, also if several names stand for it.
    #[must_use]
    pub fn covers(&self, event: &str) -> bool {
        self.names.iter().any(|name| {
            name == "EVENT"
                || event
                    .strip_prefix(name.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        })
    }
}
