//! Names of processes: `process`, where its group is called the same, `group:process`, and `group:*`
//! or `group:` for all of a group.

/// A name that was given, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Name<'a> {
    pub(super) group: &'a str,
    /// `None` for all of the group.
    pub(super) process: Option<&'a str>,
}

impl<'a> Name<'a> {
    pub(super) fn of(given: &'a str) -> Self {
        match given.split_once(':') {
            Some((group, "" | "*")) => Self {
                group,
                process: None,
            },
            Some((group, process)) => Self {
                group,
                process: Some(process),
            },
            None => Self {
                group: given,
                process: Some(given),
            },
        }
    }
}

/// The shortest name of a process.
pub(super) fn short(group: &str, process: &str) -> String {
    if group == process {
        process.to_owned()
    } else {
        format!("{group}:{process}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_and_put_together() {
        for (given, group, process) in [
            ("cat", "cat", Some("cat")),
            ("g:p", "g", Some("p")),
            ("g:*", "g", None),
            ("g:", "g", None),
            ("*", "*", Some("*")),
            ("a:b:c", "a", Some("b:c")),
            (":x", "", Some("x")),
            (":", "", None),
            ("", "", Some("")),
        ] {
            assert_eq!(Name::of(given), Name { group, process }, "{given}");
        }
        assert_eq!(short("a", "a"), "a");
        assert_eq!(short("", "x"), ":x");
    }
}
