//! What a killed runner has left: removed by whoever records the end of its build, and its log is ended. An
//! outcome that it has told of already is put in its place.
//!
//! Nothing here is done while a runner, or anything that it had in custody, may still be there.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use ward_model::build::BuildResult;

use super::ending::{read_outcome, read_state};
use super::home::remove;
use crate::console::Console;
use crate::outcome::last_line;
use crate::plan::file;

/// Removes what the runner of this build made and could not remove: its script, files with secrets, what git
/// signs in with. Returns what is left, and why.
pub(super) fn clear_up(directory: &Path) -> Vec<String> {
    let made = read_state(directory).map(|state| state.made);
    let mut left: Vec<String> = made
        .unwrap_or_default()
        .iter()
        .filter_map(|path| {
            let error = remove_there(Path::new(path)).err()?;
            Some(format!("`{path}` is left: {error}"))
        })
        .collect();
    let stops = directory.join(file::STOPS);
    let is_unused = fs::metadata(&stops).is_ok_and(|about| about.len() == 0);
    let parts = [
        file::part(file::OUTCOME),
        file::part(file::STATE),
        file::part(file::TESTS),
        file::SCRATCH.to_owned(),
    ];
    for name in parts
        .into_iter()
        .chain(is_unused.then(|| file::STOPS.to_owned()))
    {
        let path = directory.join(name);
        if let Err(error) = remove(&path) {
            left.push(format!("`{}` is left: {error}", path.display()));
        }
    }
    left
}

/// Removes `path`. Who may write to the directory it is in has no say in where that is.
fn remove_there(path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let parent = match rustix::fs::open(parent, flags, Mode::empty()) {
        Ok(parent) => parent,
        // Who removed it has removed what was in it.
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let parent = format!("/proc/self/fd/{}", parent.as_raw_fd());
    remove(&Path::new(&parent).join(name))
}

/// Puts the outcome in its place that the runner had prepared, and of which its log says that it is the one: it
/// was killed after it had said so. Returns whether there was one.
///
/// # Errors
/// It cannot be put there.
pub(super) fn complete(directory: &Path) -> io::Result<bool> {
    let part = directory.join(file::part(file::OUTCOME));
    let outcome = match read_outcome(&part) {
        Ok(Some(outcome)) => outcome,
        Ok(None) => return Ok(false),
        // One that was written in part, or room that was kept for it.
        Err(error) if is_no_outcome(&error) => return Ok(false),
        Err(error) => return Err(error),
    };
    let last = format!("\n{}\n", last_line(outcome.result));
    let Some(from) = outcome.log_bytes.checked_sub(last.len() as u64) else {
        return Ok(false);
    };
    let mut said = vec![0; last.len()];
    let log = File::open(directory.join(file::LOG));
    match log.and_then(|log| log.read_exact_at(&mut said, from)) {
        Ok(()) if said == last.as_bytes() => {}
        Ok(()) => return Ok(false),
        Err(error) if is_no_outcome(&error) => return Ok(false),
        Err(error) => return Err(error),
    }
    fs::rename(part, directory.join(file::OUTCOME))?;
    // Should the host lose its power before the directory is on the disk, the same is done again.
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
    Ok(true)
}

/// Whether something is not there, or not whole.
fn is_no_outcome(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
    )
}

/// Ends the log of a build whose runner could not: people and clients read on until it says how it ended.
/// One that is ended already stays as it is.
///
/// # Errors
/// There is no log, or no room in it.
pub(super) fn end_log(directory: &Path, why: &str) -> io::Result<()> {
    let mut log = File::open(directory.join(file::LOG))?;
    let last_line = last_line(BuildResult::Failure);
    let last = format!("\n{last_line}\n");
    let length = log.metadata()?.len();
    let from = length.saturating_sub(last.len() as u64);
    log.seek(SeekFrom::Start(from))?;
    let mut end = Vec::new();
    log.take(last.len() as u64).read_to_end(&mut end)?;
    if end == last.as_bytes() {
        return Ok(());
    }
    let mut console = Console::reopen(directory)?;
    let mut letters = why.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    console.line(&format!(
        "{}{}",
        first.unwrap_or_default(),
        letters.as_str()
    ));
    console.line(&last_line);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use ward_model::build::BuildResult;

    use super::{clear_up, complete, end_log};
    use crate::console::Console;
    use crate::outcome::{Outcome, VERSION};
    use crate::plan::file;

    /// A runner that was killed between saying how the build ended and its outcome's last step.
    #[test]
    fn an_outcome_counts_from_the_moment_that_it_was_said() {
        let prepared = |log: &str, outcome: &[u8]| {
            let place = tempfile::tempdir().expect("a directory");
            let path = |name: &str| place.path().join(name);
            fs::write(path(file::LOG), log).expect("written");
            fs::write(path(&file::part(file::OUTCOME)), outcome).expect("written");
            let is_one = complete(place.path()).expect("looked at");
            assert_eq!(path(file::OUTCOME).exists(), is_one);
            is_one
        };
        let outcome = Outcome {
            version: VERSION,
            result: BuildResult::Success,
            why: None,
            started_at: 1,
            ended_at: 2,
            checkout: None,
            steps: Vec::new(),
            artifacts: Vec::new(),
            tests: None,
            stop: None,
            log_bytes: 25,
            display_name: None,
            job_of_repository: false,
        };
        let whole = serde_json::to_vec(&outcome).expect("JSON");
        assert!(prepared("a line\nFinished: SUCCESS\n", &whole));
        assert!(prepared(
            "a line\nFinished: SUCCESS\na daemon that stayed\n",
            &whole
        ));
        // Said otherwise, not yet, or prepared in part.
        assert!(!prepared("a line\nFinished: FAILURE\n", &whole));
        assert!(!prepared("a line\n", &whole));
        assert!(!prepared("", &whole));
        assert!(!prepared(
            "a line\nFinished: SUCCESS\n",
            &whole[..whole.len() / 2]
        ));
        assert!(!prepared("a line\nFinished: SUCCESS\n", &[0; 4096]));
    }

    #[test]
    fn what_was_noted_goes_and_nothing_else() {
        let place = tempfile::tempdir().expect("a directory");
        let path = |name: &str| place.path().join(name);
        for name in [
            "build",
            "build/scratch",
            "other",
            "other/secrets-1",
            "tmp",
            "tmp/secrets-1",
        ] {
            fs::create_dir(path(name)).expect("made");
        }
        symlink(path("other"), path("link")).expect("made");
        fs::write(path("script.sh"), "echo").expect("written");
        fs::write(path("tmp/secrets-1/token"), "s3cr3t").expect("written");
        fs::write(path("build/outcome.json.new"), "half").expect("written");
        let noted = [
            "script.sh",
            "tmp/secrets-1",
            "link/secrets-1",
            "gone/secrets-1",
            "gone.sh",
        ];
        let state = serde_json::json!({
            "pid": 1, "start_time": 0, "started_at": 0, "phase": "steps", "doing": "", "leader": null,
            "stop": null, "revision": null, "branch": null, "display_name": null,
            "made": noted.map(|name| path(name).to_string_lossy().into_owned()),
        });
        fs::write(path("build").join(file::STATE), state.to_string()).expect("written");
        let left = clear_up(&path("build"));
        assert!(
            left.len() == 1 && left[0].contains("link/secrets-1"),
            "{left:?}"
        );
        assert!(path("other/secrets-1").exists() && path("tmp").exists());
        for name in [
            "script.sh",
            "tmp/secrets-1",
            "build/scratch",
            "build/outcome.json.new",
        ] {
            assert!(!path(name).exists(), "{name}");
        }
        assert_eq!(clear_up(&path("build")).len(), 1);
    }

    #[test]
    fn a_log_is_ended_once() {
        let place = tempfile::tempdir().expect("a directory");
        assert!(end_log(place.path(), "no").is_err());
        let mut console = Console::create(place.path(), &[], false).expect("a console");
        console.line("first");
        console.write(b"half a li");
        drop(console);
        for _ in 0..2 {
            end_log(place.path(), "it was killed").expect("ended");
            let log = fs::read_to_string(place.path().join(file::LOG)).expect("the log");
            assert_eq!(log, "first\nhalf a li\nIt was killed\nFinished: FAILURE\n");
        }
    }
}
