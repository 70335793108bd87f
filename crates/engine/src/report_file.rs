//! The report's file: proved writable before the run, written whole or not at all.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ward_model::report::Report;

/// Where the report will be.
#[derive(Debug)]
pub(crate) struct ReportFile {
    path: PathBuf,
    /// Written here first, then renamed; `None` for pipes and devices, which are written to
    /// directly.
    draft: Option<PathBuf>,
    file: File,
}

impl ReportFile {
    /// Opens it for later, with this mode if it is a new file.
    ///
    /// # Errors
    /// When it could not be written.
    pub(crate) fn prepare(path: &Path, mode: u32) -> io::Result<Self> {
        let special = fs::metadata(path).is_ok_and(|meta| {
            let kind = meta.file_type();
            kind.is_fifo() || kind.is_char_device() || kind.is_socket()
        });
        // A name for a descriptor of ours: what it is open on is written to, not replaced.
        let descriptor = path.starts_with("/dev/fd")
            || path.starts_with("/proc")
            || ["/dev/stdin", "/dev/stdout", "/dev/stderr"]
                .iter()
                .any(|name| path == Path::new(name));
        // What a link points to is replaced, not the link.
        let resolved = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let path = if special || descriptor {
            path
        } else {
            resolved.as_path()
        };
        if special || descriptor {
            return Ok(Self {
                path: path.to_owned(),
                draft: None,
                file: File::options().write(true).open(path)?,
            });
        }
        if path.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        }
        let Some(name) = path.file_name() else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        };
        let mut draft_name = std::ffi::OsString::from(".");
        draft_name.push(name);
        draft_name.push(format!(".{}", std::process::id()));
        let draft = path.with_file_name(draft_name);
        // A draft of this number can only be left from a process that was killed.
        let _ = fs::remove_file(&draft);
        let file = File::options()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&draft)?;
        Ok(Self {
            path: path.to_owned(),
            draft: Some(draft),
            file,
        })
    }

    /// Writes it and puts it in its place.
    ///
    /// # Errors
    /// When the disk is full, or the directory went away.
    pub(crate) fn write(mut self, report: &Report) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(report)?;
        text.push(b'\n');
        let Some(draft) = self.draft.take() else {
            return self.file.write_all(&text);
        };
        // A guardian that was killed meanwhile may have begun to write, or have finished.
        let written = self
            .file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)))
            .and_then(|_| self.file.write_all(&text));
        let placed = written.and_then(|()| match fs::rename(&draft, &self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.path.exists() => Ok(()),
            result => result,
        });
        if placed.is_err() {
            let _ = fs::remove_file(&draft);
        }
        placed
    }

    /// Where it will be.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the draft away again, as nothing was begun.
    pub(crate) fn discard(mut self) {
        if let Some(draft) = self.draft.take() {
            let _ = fs::remove_file(draft);
        }
    }
}
