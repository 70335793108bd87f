//! Rows of requests that wait.

use rusqlite::{Connection, Result, params};

/// All that wait: their numbers, and what was written of them.
///
/// # Errors
/// SQLite's.
pub fn all(connection: &Connection) -> Result<Vec<(u64, String)>> {
    connection
        .prepare_cached("SELECT id, item FROM requests ORDER BY id")?
        .query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// Writes one, in the place of what was written of it before.
///
/// # Errors
/// SQLite's.
pub fn put(connection: &Connection, id: u64, item: &str) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO requests (id, item) VALUES (?1, ?2)
             ON CONFLICT DO UPDATE SET item = excluded.item",
        )?
        .execute(params![id, item])?;
    Ok(())
}

/// Forgets one.
///
/// # Errors
/// SQLite's.
pub fn delete(connection: &Connection, id: u64) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM requests WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}

/// The greatest number that a request ever had, be it still there or not.
///
/// # Errors
/// SQLite's.
pub fn greatest(connection: &Connection) -> Result<u64> {
    connection
        .prepare_cached(
            "SELECT max(coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'requests'), 0),
                        coalesce((SELECT max(request) FROM builds), 0))",
        )?
        .query_row((), |row| row.get(0))
}
