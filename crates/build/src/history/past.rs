//! Summaries of a job's builds: the last of each kind, how they ended, how long they took, what was built.

use rusqlite::{Connection, Result, params};
use ward_model::build::BuildResult;

use super::builds::{number_of, result_of};
use crate::api::{Lasts, Which};
use crate::outcome::TestCounts;

/// Numbers of the last builds of each kind.
///
/// # Errors
/// SQLite's.
pub fn lasts(connection: &Connection, job: i64) -> Result<Lasts> {
    let (first, last) = connection
        .prepare_cached(
            "SELECT (SELECT min(number) FROM builds WHERE job = ?1),
                    (SELECT max(number) FROM builds WHERE job = ?1)",
        )?
        .query_row([job], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut newest = connection
        .prepare_cached("SELECT max(number) FROM builds WHERE job = ?1 AND result = ?2")?;
    let mut of = |result| -> Result<Option<u32>> {
        newest.query_row(params![job, number_of(result)], |row| row.get(0))
    };
    let stable = of(BuildResult::Success)?;
    let unstable = of(BuildResult::Unstable)?;
    let failed = of(BuildResult::Failure)?;
    let bad = unstable
        .max(failed)
        .max(of(BuildResult::NotBuilt)?)
        .max(of(BuildResult::Aborted)?);
    Ok(Lasts {
        first,
        last,
        completed: stable.max(bad),
        failed,
        stable,
        successful: stable.max(unstable),
        unstable,
        unsuccessful: bad,
    })
}

/// Which number is meant, if there is such a build of it at all.
#[must_use]
pub fn number_meant(lasts: &Lasts, which: &Which) -> Option<u32> {
    match which {
        Which::Number(number) => Some(*number),
        Which::Last => lasts.last,
        Which::LastCompleted => lasts.completed,
        Which::LastFailed => lasts.failed,
        Which::LastStable => lasts.stable,
        Which::LastSuccessful => lasts.successful,
        Which::LastUnstable => lasts.unstable,
        Which::LastUnsuccessful => lasts.unsuccessful,
    }
}

/// The last builds that are over, newest first: number, result, and milliseconds that they took.
///
/// # Errors
/// SQLite's.
pub fn ended(
    connection: &Connection,
    job: i64,
    limit: u32,
) -> Result<Vec<(u32, BuildResult, u64)>> {
    connection
        .prepare_cached(
            "SELECT number, result, max(0, ended_at - started_at) FROM builds
             WHERE job = ?1 AND result IS NOT NULL ORDER BY number DESC LIMIT ?2",
        )?
        .query_map(params![job, limit], |row| {
            let result = result_of(row.get(1)?).unwrap_or(BuildResult::Failure);
            Ok((
                row.get(0)?,
                result,
                row.get::<_, Option<u64>>(2)?.unwrap_or(0),
            ))
        })?
        .collect()
}

/// Milliseconds that the last successful builds took.
///
/// # Errors
/// SQLite's.
pub fn durations(connection: &Connection, job: i64, limit: u32) -> Result<Vec<u64>> {
    connection
        .prepare_cached(
            "SELECT max(0, ended_at - started_at) FROM builds
             WHERE job = ?1 AND result = 0 ORDER BY number DESC LIMIT ?2",
        )?
        .query_map(params![job, limit], |row| {
            Ok(row.get::<_, Option<u64>>(0)?.unwrap_or(0))
        })?
        .collect()
}

/// Results of the builds before one, newest first, with the number of each.
///
/// # Errors
/// SQLite's.
pub fn results_before(
    connection: &Connection,
    job: i64,
    number: u32,
    limit: u32,
) -> Result<Vec<(u32, BuildResult)>> {
    connection
        .prepare_cached(
            "SELECT number, result FROM builds
             WHERE job = ?1 AND number < ?2 AND result IS NOT NULL ORDER BY number DESC LIMIT ?3",
        )?
        .query_map(params![job, number, limit], |row| {
            let result = result_of(row.get(1)?).unwrap_or(BuildResult::Failure);
            Ok((row.get(0)?, result))
        })?
        .collect()
}

/// Counts of tests of the last builds that had any, oldest first.
///
/// # Errors
/// SQLite's.
pub fn tests(connection: &Connection, job: i64, limit: usize) -> Result<Vec<(u32, TestCounts)>> {
    let mut rows: Vec<(u32, TestCounts)> = connection
        .prepare_cached(
            "SELECT number, passed, failed, skipped FROM builds
             WHERE job = ?1 AND passed IS NOT NULL ORDER BY number DESC LIMIT ?2",
        )?
        .query_map(
            params![job, i64::try_from(limit).unwrap_or(i64::MAX)],
            |row| {
                let counts = TestCounts {
                    passed: row.get(1)?,
                    failed: row.get(2)?,
                    skipped: row.get(3)?,
                };
                Ok((row.get(0)?, counts))
            },
        )?
        .collect::<Result<_>>()?;
    rows.reverse();
    Ok(rows)
}

/// The newest build before `number` that had test results.
///
/// # Errors
/// SQLite's.
pub fn tested_before(connection: &Connection, job: i64, number: u32) -> Result<Option<u32>> {
    connection
        .prepare_cached(
            "SELECT max(number) FROM builds WHERE job = ?1 AND number < ?2 AND passed IS NOT NULL",
        )?
        .query_row(params![job, number], |row| row.get(0))
}

/// Whether a commit was ever built for a job, whatever became of it and of the build.
///
/// # Errors
/// SQLite's.
pub fn is_built(connection: &Connection, job: i64, revision: &str) -> Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM revisions WHERE job = ?1 AND revision = ?2")?
        .exists(params![job, revision])
}
