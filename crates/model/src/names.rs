//! Names that people type and that become those of files: daemons and locks.

/// Whether `name` is one: letters, digits and `. _ - + @ :`, beginning with a letter or a digit,
/// and no longer than `longest`, bytes. Nothing in it means anything to a shell or a path.
#[must_use]
pub fn is_plain(name: &str, longest: usize) -> bool {
    let first = name.bytes().next().unwrap_or(b'-');
    name.len() <= longest
        && first.is_ascii_alphanumeric()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-+@:".contains(&byte))
}
