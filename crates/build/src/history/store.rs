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
            Self::Damaged { path, .. } => {
                let copy = copy_of(path);
                let way = if copy.exists() {
                    format!("put `{}` in its place", copy.display())
                } else {
                    "put a copy of the database in its place, or leave it empty".to_owned()
                };
                Some(format!(
                    "nothing was changed. Move `{}` and the files beside it (`-wal`, `-shm`) away, and {way}: builds' \
                     files stay, and numbers go on after the greatest that is there",
                    path.display()
                ))
            }
            Self::Newer { .. } => Some(
                "run the ward that wrote it, or put the copy back that was made before that"
                    .to_owned(),
            ),
        }
    }
}

/// Where the copy of a database is that is made while it is in use.
#[must_use]
pub fn copy_of(path: &Path) -> PathBuf {
    path.with_extension("copy.sqlite")
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

/// Makes a whole copy of a database that may be written to meanwhile, in the place of an older one (mode 0600).
/// What copies the files one after the other may catch them between two writes; this one is always of one moment
/// (sqlite.org, "VACUUM INTO").
///
/// # Errors
/// [`HistoryError`]; the older copy is still there.
pub fn copy(path: &Path, to: &Path) -> Result<(), HistoryError> {
    let mut part = to.as_os_str().to_owned();
    part.push(".new");
    let part = PathBuf::from(part);
    let create = |source| HistoryError::Create {
        path: part.clone(),
        source,
    };
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(&part).map_err(create)?;
    let copied = reader(path).and_then(|connection| {
        connection
            .execute("VACUUM INTO ?1", [part.to_string_lossy()])
            .map_err(|source| failed("copy", path, source))
    });
    let kept = copied.and_then(|_| {
        let put = file.sync_all().and_then(|()| fs::rename(&part, to));
        put.map_err(create)
    });
    if kept.is_err() {
        // Half of a copy is none.
        let _ = fs::remove_file(&part);
    }
    kept
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
    // Whose server was killed, and what was copied from under a server, is looked through thoroughly.
    let check = if has_log(path) {
        "PRAGMA integrity_check(1)"
    } else {
        "PRAGMA quick_check(1)"
    };
    let what: String = connection
        .query_row(check, (), |row| row.get(0))
        .map_err(|source| failed("read", path, source))?;
    if what == "ok" {
        return Ok(());
    }
    Err(HistoryError::Damaged {
        path: path.to_owned(),
        what,
    })
}

/// Whether something was written that is not in the database itself yet.
fn has_log(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    fs::metadata(log).is_ok_and(|about| about.len() > 0)
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
