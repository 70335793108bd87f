//! Where Supervisor's programs look for their configuration when none is named.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Nothing is at any of the places.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "No config file found at default paths ({}); use the -c option to specify a config file at a different path",
    .0.iter().map(|place| place.display().to_string()).collect::<Vec<_>>().join(", ")
)]
pub(crate) struct NotFound(pub(crate) Vec<PathBuf>);

/// The first configuration at the places where the original looks, in its order: two beside the
/// directory of the program, by the name that it was `called` by, two in the current directory, and
/// two of the system.
///
/// # Errors
/// Where it looked.
pub(crate) fn find_configuration(called: &OsStr) -> Result<PathBuf, NotFound> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = places(called, &path);
    match places.iter().find(|place| place.exists()) {
        Some(place) => Ok(place.clone()),
        None => Err(NotFound(places)),
    }
}

fn places(called: &OsStr, path: &OsStr) -> Vec<PathBuf> {
    let program = program(Path::new(called), path);
    // Without a directory of its own, the program's is the current one, and so is the one above.
    let prefix = program.parent().and_then(Path::parent);
    let prefix = prefix.unwrap_or(Path::new(""));
    vec![
        prefix.join("etc/supervisord.conf"),
        prefix.join("supervisord.conf"),
        "supervisord.conf".into(),
        "etc/supervisord.conf".into(),
        "/etc/supervisord.conf".into(),
        "/etc/supervisor/supervisord.conf".into(),
    ]
}

/// The program as a shell found it: a link stays what it is.
fn program(called: &Path, path: &OsStr) -> PathBuf {
    if called.components().count() != 1 {
        return called.to_owned();
    }
    let found = std::env::split_paths(path)
        .map(|directory| directory.join(called))
        .find(|place| place.is_file());
    found.unwrap_or_else(|| called.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_original() {
        let first_two = |called: &str, path: &str| {
            let places = places(called.as_ref(), path.as_ref());
            assert_eq!(places.len(), 6);
            places[..2]
                .iter()
                .map(|place| place.display().to_string())
                .collect::<Vec<_>>()
        };
        for (called, prefix) in [
            ("/opt/x/bin/supervisord", "/opt/x/"),
            ("bin/supervisord", ""),
            ("./supervisord", ""),
            ("../x/bin/supervisord", "../x/"),
            ("nowhere-to-be-found", ""),
        ] {
            assert_eq!(
                first_two(called, "/nowhere"),
                [
                    format!("{prefix}etc/supervisord.conf"),
                    format!("{prefix}supervisord.conf")
                ],
                "{called}"
            );
        }
    }

    #[test]
    fn a_program_of_the_path_is_beside_its_own_files() -> std::io::Result<()> {
        let place = tempfile::tempdir()?;
        let bin = place.path().join("bin");
        std::fs::create_dir(&bin)?;
        std::os::unix::fs::symlink("/bin/sh", bin.join("supervisord"))?;
        let places = places("supervisord".as_ref(), bin.as_os_str());
        assert_eq!(places[0], place.path().join("etc/supervisord.conf"));
        Ok(())
    }

    #[test]
    fn it_is_told_where_was_looked() {
        let error = NotFound(vec!["a".into(), "/b".into()]).to_string();
        assert!(
            error.starts_with("No config file found at default paths (a, /b); use the -c option "),
            "{error}"
        );
    }
}
