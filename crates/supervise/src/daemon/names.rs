//! How processes are named: `proc`, `group:proc`, `group:*`.

/// A name, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name<'a> {
    /// One process of a group.
    Process { group: &'a str, process: &'a str },
    /// All of a group.
    Group(&'a str),
}

impl<'a> Name<'a> {
    /// `x` is process x of group x; nothing or `*` behind the colon is the whole group.
    pub(crate) fn parse(text: &'a str) -> Self {
        match text.split_once(':') {
            None => Self::Process {
                group: text,
                process: text,
            },
            Some((group, "" | "*")) => Self::Group(group),
            Some((group, process)) => Self::Process { group, process },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_clients_write_them() {
        let process = |group, process| Name::Process { group, process };
        for (text, name) in [
            ("a", process("a", "a")),
            ("g:a", process("g", "a")),
            ("g:*", Name::Group("g")),
            ("g:", Name::Group("g")),
            ("g:a:b", process("g", "a:b")),
            ("", process("", "")),
        ] {
            assert_eq!(Name::parse(text), name, "{text}");
        }
    }
}
