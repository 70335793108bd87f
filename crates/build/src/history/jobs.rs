//! Rows of jobs, folders, views, deliveries, and of the server itself.

use rusqlite::{Connection, OptionalExtension, Result, params};

/// So many deliveries of webhooks are remembered.
const DELIVERIES: u32 = 10_000;

/// What the history knows of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRow {
    /// Its row.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// The number of the next build.
    pub next_number: u32,
    /// Nothing starts it: said here for jobs of the configuration file.
    pub disabled: bool,
    /// It is being removed.
    pub leaving: bool,
}

/// Every job that ever had a row, also those that are nowhere defined at the moment.
///
/// # Errors
/// SQLite's.
pub fn all(connection: &Connection) -> Result<Vec<JobRow>> {
    connection
        .prepare_cached("SELECT id, name, next_number, disabled, leaving FROM jobs ORDER BY name")?
        .query_map((), |row| {
            Ok(JobRow {
                id: row.get(0)?,
                name: row.get(1)?,
                next_number: row.get(2)?,
                disabled: row.get(3)?,
                leaving: row.get(4)?,
            })
        })?
        .collect()
}

/// The row of a job; one is made if there is none, whose builds begin with `next_number`.
///
/// # Errors
/// SQLite's.
pub fn row(connection: &Connection, name: &str, next_number: u32) -> Result<JobRow> {
    connection
        .prepare_cached("INSERT OR IGNORE INTO jobs (name, next_number) VALUES (?1, ?2)")?
        .execute(params![name, next_number])?;
    connection
        .prepare_cached(
            "SELECT id, name, next_number, disabled, leaving FROM jobs WHERE name = ?1",
        )?
        .query_row([name], |row| {
            Ok(JobRow {
                id: row.get(0)?,
                name: row.get(1)?,
                next_number: row.get(2)?,
                disabled: row.get(3)?,
                leaving: row.get(4)?,
            })
        })
}

/// Gives a job another name.
///
/// # Errors
/// SQLite's; the name is taken.
pub fn rename(connection: &Connection, job: i64, name: &str) -> Result<()> {
    connection
        .prepare_cached("UPDATE jobs SET name = ?2 WHERE id = ?1")?
        .execute(params![job, name])?;
    Ok(())
}

/// Forgets a job with all its builds.
///
/// # Errors
/// SQLite's.
pub fn delete(connection: &Connection, job: i64) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM jobs WHERE id = ?1")?
        .execute([job])?;
    Ok(())
}

/// Writes that a job is being removed.
///
/// # Errors
/// SQLite's.
pub fn leave(connection: &Connection, job: i64) -> Result<()> {
    connection
        .prepare_cached("UPDATE jobs SET leaving = 1 WHERE id = ?1")?
        .execute([job])?;
    Ok(())
}

/// The number of the next build.
///
/// # Errors
/// SQLite's.
pub fn set_next_number(connection: &Connection, job: i64, number: u32) -> Result<()> {
    connection
        .prepare_cached("UPDATE jobs SET next_number = ?2 WHERE id = ?1")?
        .execute(params![job, number])?;
    Ok(())
}

/// Lets nothing start a job of the configuration file, or lets it be started again.
///
/// # Errors
/// SQLite's.
pub fn set_disabled(connection: &Connection, job: i64, disabled: bool) -> Result<()> {
    connection
        .prepare_cached("UPDATE jobs SET disabled = ?2 WHERE id = ?1")?
        .execute(params![job, disabled])?;
    Ok(())
}

/// What the last look for something new wrote, and when.
///
/// # Errors
/// SQLite's.
pub fn poll_log(connection: &Connection, job: i64) -> Result<Option<(i64, String)>> {
    let found: Option<(Option<i64>, Option<String>)> = connection
        .prepare_cached("SELECT polled_at, poll_log FROM jobs WHERE id = ?1")?
        .query_row([job], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(found.and_then(|(at, log)| Some((at?, log.unwrap_or_default()))))
}

/// Keeps what a look for something new wrote.
///
/// # Errors
/// SQLite's.
pub fn set_poll_log(connection: &Connection, job: i64, at: i64, log: &str) -> Result<()> {
    connection
        .prepare_cached("UPDATE jobs SET polled_at = ?2, poll_log = ?3 WHERE id = ?1")?
        .execute(params![job, at, log])?;
    Ok(())
}

/// Folders that were made.
///
/// # Errors
/// SQLite's.
pub fn folders(connection: &Connection) -> Result<Vec<String>> {
    connection
        .prepare_cached("SELECT name FROM folders ORDER BY name")?
        .query_map((), |row| row.get(0))?
        .collect()
}

/// Makes a folder.
///
/// # Errors
/// SQLite's.
pub fn add_folder(connection: &Connection, name: &str) -> Result<()> {
    connection
        .prepare_cached("INSERT OR IGNORE INTO folders (name) VALUES (?1)")?
        .execute([name])?;
    Ok(())
}

/// Removes a folder.
///
/// # Errors
/// SQLite's.
pub fn delete_folder(connection: &Connection, name: &str) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM folders WHERE name = ?1")?
        .execute([name])?;
    Ok(())
}

/// All views, by name, with their documents.
///
/// # Errors
/// SQLite's.
pub fn views(connection: &Connection) -> Result<Vec<(String, Vec<u8>)>> {
    connection
        .prepare_cached("SELECT name, config FROM views ORDER BY name")?
        .query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// Makes a view, or replaces its document.
///
/// # Errors
/// SQLite's.
pub fn put_view(connection: &Connection, name: &str, config: &[u8]) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO views (name, config) VALUES (?1, ?2)
             ON CONFLICT DO UPDATE SET config = excluded.config",
        )?
        .execute(params![name, config])?;
    Ok(())
}

/// Removes a view.
///
/// # Errors
/// SQLite's.
pub fn delete_view(connection: &Connection, name: &str) -> Result<bool> {
    let changed = connection
        .prepare_cached("DELETE FROM views WHERE name = ?1")?
        .execute([name])?;
    Ok(changed > 0)
}

/// Remembers a delivery; false if it was remembered already. The oldest are forgotten.
///
/// # Errors
/// SQLite's.
pub fn add_delivery(connection: &Connection, forge: &str, delivery: &str) -> Result<bool> {
    let changed = connection
        .prepare_cached("INSERT OR IGNORE INTO deliveries (forge, delivery) VALUES (?1, ?2)")?
        .execute([forge, delivery])?;
    if changed == 0 {
        return Ok(false);
    }
    connection
        .prepare_cached("DELETE FROM deliveries WHERE id <= ?1")?
        .execute([connection.last_insert_rowid() - i64::from(DELIVERIES)])?;
    Ok(true)
}

/// Something about the server itself.
///
/// # Errors
/// SQLite's.
pub fn fact(connection: &Connection, key: &str) -> Result<Option<String>> {
    connection
        .prepare_cached("SELECT value FROM facts WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()
}

/// Writes something about the server itself; nothing: forgets it.
///
/// # Errors
/// SQLite's.
pub fn set_fact(connection: &Connection, key: &str, value: Option<&str>) -> Result<()> {
    match value {
        Some(value) => connection
            .prepare_cached(
                "INSERT INTO facts (key, value) VALUES (?1, ?2)
                 ON CONFLICT DO UPDATE SET value = excluded.value",
            )?
            .execute([key, value])?,
        None => connection
            .prepare_cached("DELETE FROM facts WHERE key = ?1")?
            .execute([key])?,
    };
    Ok(())
}
