//! Names of jobs, folders and views, and the directories that are called after them.

use crate::api::Refusal;

/// No full name is longer, bytes: with each `/` as three bytes it is still a file's name (255 bytes).
const LONGEST: usize = 150;

/// What Jenkins refuses in a name, besides control codes.
const FORBIDDEN: &str = "?*/\\%!@#$^&|<>[]:;";

/// Checks the full name of a job or a folder: parts between slashes, none of which Jenkins would refuse.
///
/// # Errors
/// [`Refusal::BadName`] says what is wrong with it.
pub(super) fn check(name: &str) -> Result<(), Refusal> {
    if name.len() > LONGEST {
        return Err(Refusal::BadName(format!(
            "a name has at most {LONGEST} bytes"
        )));
    }
    name.split('/').try_for_each(check_part)
}

/// Checks one part of a name, or the name of a view.
///
/// # Errors
/// [`Refusal::BadName`] says what is wrong with it.
pub(super) fn check_part(part: &str) -> Result<(), Refusal> {
    let refuse = |text: String| Err(Refusal::BadName(text));
    if part.is_empty() || part.trim() != part {
        return refuse("a name is not empty, and neither begins nor ends with a blank".to_owned());
    }
    if part == "." || part == ".." {
        return refuse(format!("‘{part}’ is not an allowed name"));
    }
    if part.ends_with('.') {
        return refuse("A name cannot end with ‘.’".to_owned());
    }
    if part.len() > LONGEST {
        return refuse(format!("a name has at most {LONGEST} bytes"));
    }
    if part.chars().any(char::is_control) {
        return refuse("No control code is allowed in a name".to_owned());
    }
    match part.chars().find(|char| FORBIDDEN.contains(*char)) {
        Some(bad) => refuse(format!("‘{bad}’ is an unsafe character")),
        None => Ok(()),
    }
}

/// The folder that a job or a folder is in, if any.
pub(super) fn parent(name: &str) -> Option<&str> {
    name.rsplit_once('/').map(|(parent, _)| parent)
}

/// Whether `name` is in `folder`, or in a folder of it.
pub(super) fn is_in(name: &str, folder: &str) -> bool {
    name.strip_prefix(folder)
        .is_some_and(|rest| rest.starts_with('/'))
}

/// The name of a job's directory. `%` is in no name, so that no two names give the same.
pub(super) fn directory(name: &str) -> String {
    name.replace('/', "%2F")
}

/// The name of the job whose directory this is.
pub(super) fn of_directory(directory: &str) -> Option<String> {
    let name = directory.replace("%2F", "/");
    check(&name).is_ok().then_some(name)
}

#[cfg(test)]
mod tests {
    use super::{check, directory, is_in, of_directory, parent};

    #[test]
    fn names_that_would_be_paths_or_addresses_are_refused() {
        for name in [
            "", "/", "a/", "/a", "a//b", ".", "..", "a/..", "../etc", "a.", "a\0", "a\nb", "a?",
            "a*", "a\\b", "a%2F", "a@2", "<b>", " a", "a ", "a:b", "a;b", "$a",
        ] {
            assert!(check(name).is_err(), "{name:?}");
        }
        assert!(check(&"x".repeat(151)).is_err());
        for name in [
            "a",
            "a/b",
            "docs-site",
            "ünï/cödé",
            "a b",
            "…",
            ".hidden",
            "a=b",
            "a+b",
        ] {
            assert!(check(name).is_ok(), "{name:?}");
            assert_eq!(of_directory(&directory(name)).as_deref(), Some(name));
            assert!(!directory(name).contains('/'));
        }
    }

    #[test]
    fn folders() {
        assert_eq!(parent("a/b/c"), Some("a/b"));
        assert_eq!(parent("a"), None);
        assert!(is_in("a/b", "a") && !is_in("ab", "a") && !is_in("a", "a"));
    }
}
