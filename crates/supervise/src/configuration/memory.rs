//! What a configuration was made of, so that a daemon that was killed goes on with what it had: not
//! with files that somebody has edited since and not yet asked to be read.
//!
//! A memory holds every answer that the host gave while a configuration was read. It may hold secrets:
//! it is written where only its owner can read, and never shown.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use ward_config::host::{Files, Host};
use ward_config::load::{Loaded, load};

use super::builds;

/// No memory is larger, in bytes: what is, was not written by us.
const LARGEST: u64 = 256 * 1024 * 1024;

/// Why a memory cannot be kept or found again.
#[derive(Debug, Error)]
pub enum MemoryError {
    /// The file.
    #[error("cannot {what} {path}")]
    File {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Its contents.
    #[error("{path} is not what was written")]
    Contents {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
}

/// Everything that was read for one configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// As it was named.
    path: String,
    /// What relative paths started from.
    current_directory: String,
    /// Files by path, in Base64; `None` for one that could not be read.
    files: BTreeMap<PathBuf, Option<String>>,
    existing: BTreeMap<PathBuf, bool>,
    directories: BTreeMap<PathBuf, bool>,
    listings: BTreeMap<PathBuf, Vec<String>>,
}

impl Memory {
    /// Reads the configuration anew from what is remembered.
    #[must_use]
    pub fn load(&self, host: &Host) -> Loaded {
        let host = Host {
            current_directory: self.current_directory.clone(),
            ..host.clone()
        };
        let mut loaded = load(&self.path, &host, &Replay(self));
        builds::add(&mut loaded, &self.path, &host);
        loaded
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// As the system tells them.
    pub fn write(&self, path: &Path) -> Result<(), MemoryError> {
        write_whole(path, self)
    }

    /// Finds it again.
    ///
    /// # Errors
    /// When it cannot be read, or is no memory.
    pub fn read(path: &Path) -> Result<Self, MemoryError> {
        read_whole(path)
    }
}

/// Writes `value` as JSON in the place of `path`: readable for its owner only, and never half.
pub(crate) fn write_whole<T: Serialize>(path: &Path, value: &T) -> Result<(), MemoryError> {
    let error = |what| {
        let path = path.to_owned();
        move |source| MemoryError::File { what, path, source }
    };
    let beside = path.with_extension("new");
    let bytes = serde_json::to_vec(value).map_err(|source| MemoryError::Contents {
        path: path.to_owned(),
        source,
    })?;
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .map_err(error("make"))?;
    file.write_all(&bytes).map_err(error("write"))?;
    fs::rename(&beside, path).map_err(error("replace"))
}

/// Reads what [`write_whole`] wrote.
pub(crate) fn read_whole<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T, MemoryError> {
    let error = |what| {
        let path = path.to_owned();
        move |source| MemoryError::File { what, path, source }
    };
    let file = File::open(path).map_err(error("open"))?;
    let size = file.metadata().map_err(error("look at"))?.len();
    if size > LARGEST {
        return Err(error("take")(io::ErrorKind::FileTooLarge.into()));
    }
    serde_json::from_reader(io::BufReader::new(file)).map_err(|source| MemoryError::Contents {
        path: path.to_owned(),
        source,
    })
}

/// Reads through to other files and remembers every answer.
pub struct Recorder<'a> {
    files: &'a dyn Files,
    memory: RefCell<Memory>,
}

impl<'a> Recorder<'a> {
    /// Around these.
    #[must_use]
    pub fn new(files: &'a dyn Files) -> Self {
        Self {
            files,
            memory: RefCell::default(),
        }
    }

    /// Reads the configuration at `path`, and says what it was made of.
    #[must_use]
    pub fn load(self, path: &str, host: &Host) -> (Loaded, Memory) {
        let mut loaded = load(path, host, &self);
        builds::add(&mut loaded, path, host);
        let mut memory = self.memory.into_inner();
        path.clone_into(&mut memory.path);
        memory.current_directory.clone_from(&host.current_directory);
        (loaded, memory)
    }
}

impl Files for Recorder<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let read = self.files.read(path);
        let kept = read.as_ref().ok().map(|bytes| BASE64.encode(bytes));
        self.memory.borrow_mut().files.insert(path.to_owned(), kept);
        read
    }

    fn exists(&self, path: &Path) -> bool {
        let answer = self.files.exists(path);
        let mut memory = self.memory.borrow_mut();
        memory.existing.insert(path.to_owned(), answer);
        answer
    }

    fn is_directory(&self, path: &Path) -> bool {
        let answer = self.files.is_directory(path);
        let mut memory = self.memory.borrow_mut();
        memory.directories.insert(path.to_owned(), answer);
        answer
    }

    fn list(&self, directory: &Path) -> Vec<String> {
        let answer = self.files.list(directory);
        let mut memory = self.memory.borrow_mut();
        memory.listings.insert(directory.to_owned(), answer.clone());
        answer
    }
}

/// Answers from a memory.
pub struct Replay<'a>(pub &'a Memory);

impl Files for Replay<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let kept = self.0.files.get(path).and_then(Option::as_ref);
        let text = kept.ok_or(io::ErrorKind::NotFound)?;
        BASE64
            .decode(text.as_bytes())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    fn exists(&self, path: &Path) -> bool {
        self.0.existing.get(path).copied().unwrap_or(false)
    }

    fn is_directory(&self, path: &Path) -> bool {
        self.0.directories.get(path).copied().unwrap_or(false)
    }

    fn list(&self, directory: &Path) -> Vec<String> {
        self.0.listings.get(directory).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::Disk;

    #[test]
    fn what_was_read_is_read_again_after_the_files_are_gone() -> anyhow::Result<()> {
        let directory = tempfile::tempdir()?;
        let here = directory.path();
        let main = here.join("supervisord.conf");
        fs::create_dir(here.join("conf.d"))?;
        fs::write(
            &main,
            "[supervisord]\n[include]\nfiles = conf.d/*.conf\n[program:a]\ncommand=cat\ndirectory=%(here)s\n",
        )?;
        fs::write(
            here.join("conf.d/b.conf"),
            "[program:b]\ncommand=%(here)s/b\nnumprocs=2\nprocess_name=%(process_num)d\n",
        )?;
        let host = crate::configuration::this_host([])?;
        let (loaded, memory) = Recorder::new(&Disk).load(&main.to_string_lossy(), &host);
        let configuration = loaded.configuration.expect("it is right");
        assert_eq!(configuration.processes(), 3);
        let kept = here.join("memory.json");
        memory.write(&kept)?;
        fs::remove_file(&main)?;
        fs::remove_dir_all(here.join("conf.d"))?;
        let elsewhere = Host {
            current_directory: "/".into(),
            ..host
        };
        let again = Memory::read(&kept)?.load(&elsewhere);
        assert_eq!(again.configuration, Some(configuration));
        Ok(())
    }

    #[test]
    fn what_is_no_memory_is_refused() -> anyhow::Result<()> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("memory.json");
        assert!(matches!(Memory::read(&path), Err(MemoryError::File { .. })));
        fs::write(&path, "{\"path\":")?;
        let read = Memory::read(&path);
        assert!(
            matches!(read, Err(MemoryError::Contents { .. })),
            "{read:?}"
        );
        Ok(())
    }
}
