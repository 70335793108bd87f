//! The pid file: open before the start, written once the id is known, and taken back where
//! nothing came of it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write as _};

use ward_sys::account::User;

use super::command_line::Request;
use super::refusal::{Refusal, reason};

/// The pid file, open from before the start, so that it cannot fail to be written for
/// reasons that could have been told before.
#[derive(Debug)]
pub(crate) struct PidFile {
    /// Where the id goes: nowhere, to one file, or to two (a relative name); each with its
    /// name, open for writing and with its old content still in it.
    pub(crate) files: Vec<(OsString, File)>,
    /// The id that is in them. To be set by who has let the daemon itself write it.
    pub(crate) written: Option<i32>,
}

impl PidFile {
    /// Writes the id, once. The sooner the better: a daemon that reads its own pid file finds
    /// it complete only if this comes before its exec, as in the original.
    pub(crate) fn write(&mut self, pid: i32) -> Result<(), Refusal> {
        if self.written == Some(pid) {
            return Ok(());
        }
        for (path, file) in &mut self.files {
            replace(file, format!("{pid}\n").as_bytes()).map_err(|error| {
                Refusal::with_hint(
                    &format!(
                        "Can't write PID file \"{}\": {}",
                        path.display(),
                        reason(&error)
                    ),
                    &format!("the daemon runs as process {pid}"),
                )
            })?;
        }
        self.written = Some(pid);
        Ok(())
    }

    /// Takes back the id of a process that never became the daemon.
    pub(super) fn take_back(&mut self) {
        if self.written.take().is_some() {
            for (_, file) in &mut self.files {
                let _ = replace(file, b"");
            }
        }
    }
}

fn replace(file: &mut File, text: &[u8]) -> io::Result<()> {
    // A pipe or a device has nothing to cut off, and no place to go back to.
    if file.metadata()?.is_file() {
        file.set_len(0)?;
        io::Seek::rewind(file)?;
    }
    file.write_all(text)
}

pub(super) fn give_away(request: &Request, path: &OsStr, user: &User) -> Result<(), Refusal> {
    let User { name, uid, .. } = user;
    request.tell(format_args!(
        "Changing ownership of PID file to \"{name}\" ({uid})"
    ));
    std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid)).map_err(|error| {
        Refusal::new(format!(
            "Can't change owner of PID file \"{}\" to \"{name}\" ({uid}): {}",
            path.display(),
            reason(&error)
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compat::daemonize::opening::{Existing, open_to_write};

    #[test]
    fn a_pid_file_is_replaced_and_taken_back() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("pid").into_os_string();
        std::fs::write(&path, "1234567890\n").expect("written");
        let file = open_to_write(&path, 0o644, Existing::Kept).expect("opened");
        let content = || std::fs::read_to_string(&path).expect("read");
        let mut pid_file = PidFile {
            files: vec![(path.clone(), file)],
            written: None,
        };
        pid_file.take_back();
        assert_eq!(content(), "1234567890\n");
        assert_eq!(pid_file.write(17), Ok(()));
        assert_eq!(content(), "17\n");
        pid_file.take_back();
        assert_eq!(content(), "");
    }
}
