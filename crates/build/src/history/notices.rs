//! Rows of what is to be sent because a build ended, until it has been.

use rusqlite::{Connection, OptionalExtension, Result, params};

/// More lines than these are not kept of whom a build's end was told.
const LINES: usize = 100;

/// Something that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Its row.
    pub id: i64,
    /// The build's row.
    pub build: i64,
    /// What is sent, as JSON.
    pub delivery: String,
    /// How often that was tried.
    pub attempts: u32,
}

/// Builds whose end nobody has thought about yet: job, its name, and number.
///
/// # Errors
/// SQLite's.
pub fn unthought(connection: &Connection) -> Result<Vec<(i64, String, u32)>> {
    connection
        .prepare_cached(
            "SELECT jobs.id, jobs.name, number FROM builds JOIN jobs ON jobs.id = builds.job
             WHERE told = 0 AND result IS NOT NULL ORDER BY builds.id",
        )?
        .query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect()
}

/// Writes what is to be sent because of a build's end, and that this has been thought about.
///
/// # Errors
/// SQLite's.
pub fn add(connection: &Connection, build: i64, deliveries: &[String], now: i64) -> Result<()> {
    for delivery in deliveries {
        connection
            .prepare_cached("INSERT INTO notices (build, delivery, due) VALUES (?1, ?2, ?3)")?
            .execute(params![build, delivery, now])?;
    }
    connection
        .prepare_cached("UPDATE builds SET told = 1 WHERE id = ?1")?
        .execute([build])?;
    Ok(())
}

/// What is due at `now`, and is not to be taken by anybody else until `until`.
///
/// # Errors
/// SQLite's.
pub fn take(connection: &Connection, now: i64, until: i64) -> Result<Vec<Notice>> {
    let due = connection
        .prepare_cached(
            "SELECT id, build, delivery, attempts FROM notices WHERE due <= ?1 ORDER BY due LIMIT 100",
        )?
        .query_map([now], |row| {
            Ok(Notice {
                id: row.get(0)?,
                build: row.get(1)?,
                delivery: row.get(2)?,
                attempts: row.get(3)?,
            })
        })?
        .collect::<Result<Vec<_>>>()?;
    for notice in &due {
        put_off(connection, notice.id, notice.attempts, until)?;
    }
    Ok(due)
}

/// When the next is due.
///
/// # Errors
/// SQLite's.
pub fn next_due(connection: &Connection) -> Result<Option<i64>> {
    connection
        .prepare_cached("SELECT min(due) FROM notices")?
        .query_row((), |row| row.get(0))
}

/// Tries it again at `due`.
///
/// # Errors
/// SQLite's.
pub fn put_off(connection: &Connection, id: i64, attempts: u32, due: i64) -> Result<()> {
    connection
        .prepare_cached("UPDATE notices SET attempts = ?2, due = ?3 WHERE id = ?1")?
        .execute(params![id, attempts, due])?;
    Ok(())
}

/// Whoever was being told when the last server ended is told again.
///
/// # Errors
/// SQLite's.
pub fn wake_all(connection: &Connection, now: i64) -> Result<()> {
    connection
        .prepare_cached("UPDATE notices SET due = min(due, ?1)")?
        .execute([now])?;
    Ok(())
}

/// It has been sent, or given up: a line for people stays.
///
/// # Errors
/// SQLite's.
pub fn done(connection: &Connection, notice: &Notice, line: &str) -> Result<()> {
    let lines: Option<String> = connection
        .prepare_cached("SELECT notified FROM builds WHERE id = ?1")?
        .query_row([notice.build], |row| row.get(0))
        .optional()?;
    if let Some(lines) = lines {
        let mut lines: Vec<String> = serde_json::from_str(&lines).unwrap_or_default();
        if lines.len() < LINES {
            lines.push(line.to_owned());
        }
        let lines = serde_json::to_string(&lines)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        connection
            .prepare_cached("UPDATE builds SET notified = ?2 WHERE id = ?1")?
            .execute(params![notice.build, lines])?;
    }
    connection
        .prepare_cached("DELETE FROM notices WHERE id = ?1")?
        .execute([notice.id])?;
    Ok(())
}
