//! Which files `[include]` means: globs, as Python's `glob.glob` takes them (not recursive).

use std::path::Path;

use crate::host::{Files, join};

/// No pattern leads to more files than this.
pub(crate) const MOST: usize = 10_000;

/// Every path that matches `pattern`, an absolute one, in the order of their names.
pub(crate) fn glob(pattern: &str, files: &dyn Files) -> Vec<String> {
    let mut found = matches(pattern, files);
    found.sort();
    found.truncate(MOST);
    found
}

fn matches(pattern: &str, files: &dyn Files) -> Vec<String> {
    let (directory, name) = split(pattern);
    let present = |path: String| -> Vec<String> {
        let there = if name.is_empty() {
            files.is_directory(Path::new(&path))
        } else {
            files.exists(Path::new(&path))
        };
        if there { vec![path] } else { Vec::new() }
    };
    if !has_magic(pattern) {
        return present(pattern.to_owned());
    }
    let directories = if directory != pattern && has_magic(directory) {
        matches(directory, files)
    } else {
        vec![directory.to_owned()]
    };
    let mut found = Vec::new();
    for directory in directories {
        if has_magic(name) {
            let names = files.list(Path::new(&directory));
            let visible = names
                .iter()
                .filter(|entry| name.starts_with('.') || !entry.starts_with('.'))
                .filter(|entry| fits(name, entry));
            found.extend(visible.map(|entry| join(&directory, entry)));
        } else {
            found.extend(present(join(&directory, name)));
        }
        if found.len() > MOST {
            break;
        }
    }
    found
}

/// Before and after the last slash; the slashes before it stay only at the root.
fn split(path: &str) -> (&str, &str) {
    let Some(at) = path.rfind('/') else {
        return ("", path);
    };
    let directory = crate::host::directory_of(path);
    (directory, &path[at + 1..])
}

fn has_magic(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

#[derive(Debug)]
enum Part {
    Any,
    One,
    Char(char),
    Set {
        out: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Part {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Any | Self::One => true,
            Self::Char(own) => *own == c,
            Self::Set { out, ranges } => {
                ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *out
            }
        }
    }
}

/// `*`, `?`, `[abc]`, `[a-z]`, `[!abc]`; a `[` that nothing closes is itself.
fn parts(pattern: &str) -> Vec<Part> {
    let chars: Vec<char> = pattern.chars().collect();
    let mut parts = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        match chars[at] {
            '*' => parts.push(Part::Any),
            '?' => parts.push(Part::One),
            '[' => {
                let out = chars.get(at + 1) == Some(&'!');
                let begin = at + 1 + usize::from(out);
                // A bracket right after the first one is a member.
                let end = (begin + 1..chars.len()).find(|end| chars[*end] == ']');
                if let Some(end) = end {
                    parts.push(Part::Set {
                        out,
                        ranges: ranges(&chars[begin..end]),
                    });
                    at = end;
                } else {
                    parts.push(Part::Char('['));
                }
            }
            c => parts.push(Part::Char(c)),
        }
        at += 1;
    }
    parts
}

fn ranges(set: &[char]) -> Vec<(char, char)> {
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < set.len() {
        if at + 2 < set.len() && set[at + 1] == '-' {
            ranges.push((set[at], set[at + 2]));
            at += 3;
        } else {
            ranges.push((set[at], set[at]));
            at += 1;
        }
    }
    ranges
}

/// Whether the whole of `name` fits. Goes back to the last `*` only, so its cost is bounded by
/// the product of both lengths.
fn fits(pattern: &str, name: &str) -> bool {
    let parts = parts(pattern);
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    let mut star = None;
    while n < name.len() {
        match parts.get(p) {
            Some(Part::Any) => {
                star = Some((p, n));
                p += 1;
            }
            Some(part) if part.takes(name[n]) => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((star_p, star_n)) = star else {
                    return false;
                };
                star = Some((star_p, star_n + 1));
                p = star_p + 1;
                n = star_n + 1;
            }
        }
    }
    parts[p..].iter().all(|part| matches!(part, Part::Any))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_as_in_the_original() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "a.conf.bak", false),
            ("a?c", "abc", true),
            ("[!a]*", "b", true),
            ("[!a]*", "ab", false),
            ("[a-c]x", "bx", true),
            ("[]x]", "]", true),
            ("[x", "[x", true),
            ("**a**b", "xxaxxb", true),
            ("", "", true),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_long_pattern_ends_soon() {
        assert!(!fits(&"*a".repeat(200), &"a".repeat(190)));
    }
}
