//! Opening the database, and what can be wrong with it.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::schema;

/// Why the history cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// SQLite says no.
    #[error("cannot {doing} the history `{}`", path.display())]
    Sqlite {
        /// What was being done.
        doing: &'static str,
        /// The database.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// The file cannot be made.
    #[error("cannot create the history `{}`", path.display())]
    Create {
        /// The database.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is damaged. Nothing has been changed.
    #[error("the history `{}` is damaged: {what}", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A newer ward wrote it.
    #[error("the history `{}` has version {found}, and this ward knows {} at most", path.display(), schema::VERSION)]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
}

impl HistoryError {
    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Sqlite { .. } | Self::Create { .. } => None,
            Self::Damaged { path, .. } => Some(format!(
                "nothing was changed. Put a copy of the database back, or move `{}` and the files beside it \
                 (`-wal`, `-shm`) away: builds' files stay, and numbers go on after the greatest that is there",
                path.display()
            )),
            Self::Newer { .. } => Some(
                "run the ward that wrote it, or put the copy back that was made before that"
                    .to_owned(),
            ),
        }
    }
}

/// Larger databases are not looked through at each start; what is damaged in them shows when it is read.
const LOOKED_THROUGH: u64 = 64 << 20;

/// The connection that writes: makes the database if there is none (mode 0600), and makes an older one new.
///
/// Commits are not synced one by one (`synchronous=NORMAL` with a write-ahead log): the end of this process
/// loses nothing; a loss of power may lose the last moments, and never damages what is there
/// (sqlite.org, "Write-Ahead Logging").
///
/// # Errors
/// [`HistoryError`]; a damaged database, or one of a newer ward, is left as it is.
pub fn writer(path: &Path) -> Result<Connection, HistoryError> {
    let create = |source| HistoryError::Create {
        path: path.to_owned(),
        source,
    };
    let mut options = fs::OpenOptions::new();
    // SQLite gives its other files the mode of this one.
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    let size = options
        .open(path)
        .and_then(|file| file.metadata())
        .map_err(create)?
        .len();
    if size > 0 {
        examine(path, size)?;
    }
    let open = |connection: rusqlite::Result<Connection>| {
        let mut connection = connection?;
        prepare(&connection)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        schema::migrate(&mut connection)?;
        Ok(connection)
    };
    open(Connection::open(path)).map_err(|source| failed("open", path, source))
}

/// A connection that only reads.
///
/// # Errors
/// [`HistoryError::Sqlite`].
pub fn reader(path: &Path) -> Result<Connection, HistoryError> {
    let open = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        prepare(&connection)?;
        Ok(connection)
    };
    open().map_err(|source| failed("read", path, source))
}

/// Looks at a database without writing to it.
fn examine(path: &Path, size: u64) -> Result<(), HistoryError> {
    let connection = reader(path)?;
    let found = schema::version_of(&connection).map_err(|source| failed("read", path, source))?;
    if usize::try_from(found).map_or(true, |found| found > schema::VERSION) {
        return Err(HistoryError::Newer {
            path: path.to_owned(),
            found,
        });
    }
    if size > LOOKED_THROUGH {
        return Ok(());
    }
    let what: String = connection
        .query_row("PRAGMA quick_check(1)", (), |row| row.get(0))
        .map_err(|source| failed("read", path, source))?;
    if what == "ok" {
        return Ok(());
    }
    Err(HistoryError::Damaged {
        path: path.to_owned(),
        what,
    })
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // What is deleted is overwritten: a sealed secret is not to stay longer than its request.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "cache_size", -2048)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn failed(doing: &'static str, path: &Path, source: rusqlite::Error) -> HistoryError {
    match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => HistoryError::Damaged {
            path: path.to_owned(),
            what: source.to_string(),
        },
        _ => HistoryError::Sqlite {
            doing,
            path: path.to_owned(),
            source,
        },
    }
}
