//! What people did to locks, a line for each deed: a file that only grows, beside what outlives the
//! host's run.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::durable;
use crate::error::LockError;
use crate::record::Record;
use crate::surroundings;

/// Its name.
const NAME: &str = "audit.jsonl";

/// Where it is written down what people did.
#[derive(Debug, Clone)]
pub struct AuditLog {
    directory: PathBuf,
    cluster: Option<String>,
}

/// A line.
#[derive(Debug, Serialize)]
struct Line<'a> {
    /// Seconds since 1970.
    at: f64,
    action: &'a str,
    lock: &'a str,
    /// Below which key the locks are, where several hosts share them.
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<&'a str>,
    user: &'a str,
    uid: u32,
    host: &'a str,
    note: Option<&'a str>,
    /// Whom it was done to.
    from: &'a [Record],
}

impl AuditLog {
    pub(crate) fn in_directory(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            cluster: None,
        }
    }

    /// The same, of locks that several hosts share and that are below this key.
    #[cfg(feature = "etcd")]
    pub(crate) fn of_cluster(self, prefix: &str) -> Self {
        Self {
            cluster: Some(prefix.to_owned()),
            ..self
        }
    }

    /// The file. It is made when there is something to write.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.join(NAME)
    }

    /// Writes a line through to the disk.
    pub(crate) fn write(
        &self,
        action: &str,
        lock: &str,
        note: Option<&str>,
        from: &[Record],
    ) -> Result<(), LockError> {
        let path = self.path();
        let line = Line {
            at: surroundings::now() as f64 / 1e6,
            action,
            lock,
            cluster: self.cluster.as_deref(),
            user: surroundings::user(),
            uid: surroundings::own_uid(),
            host: surroundings::host(),
            note,
            from,
        };
        let write = || {
            durable::make(&self.directory)?;
            let mut text = serde_json::to_vec(&line)?;
            text.push(b'\n');
            let mut file = File::options()
                .append(true)
                .create(true)
                .mode(0o660)
                .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
                .open(&path)?;
            // Whatever our umask is; another's file stays as it is.
            let _ = rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(0o660));
            file.write_all(&text)?;
            file.sync_data()
        };
        write().map_err(LockError::io("write", &path))
    }
}
