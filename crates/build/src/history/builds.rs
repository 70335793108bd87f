//! Rows of builds.

use rusqlite::{Connection, OptionalExtension, Result, Row, named_params, params};
use serde::de::DeserializeOwned;
use ward_model::build::{BuildResult, Cause};

use super::branches;
use crate::api::BuildLine;
use crate::outcome::{Outcome, TestCounts};
use crate::plan::ParameterValue;

/// A build that is about to start.
#[derive(Debug)]
pub struct NewBuild<'a> {
    /// The job's row.
    pub job: i64,
    /// Which of its builds.
    pub number: u32,
    /// Which request it was.
    pub request: u64,
    /// Why.
    pub causes: &'a [Cause],
    /// What was given. Values of secrets are left out.
    pub parameters: &'a [ParameterValue],
    /// Which executor.
    pub executor: u32,
    /// Where it is built.
    pub workspace: &'a str,
    /// Milliseconds since the epoch.
    pub started_at: i64,
}

/// All that a row says of a build.
#[derive(Debug, Clone)]
pub struct BuildRow {
    /// The row.
    pub id: i64,
    /// As in a list.
    pub line: BuildLine,
    /// Which request it was.
    pub request: u64,
    /// Why.
    pub causes: Vec<Cause>,
    /// What was given, without secrets.
    pub parameters: Vec<ParameterValue>,
    /// Which executor.
    pub executor: u32,
    /// Where it was built.
    pub workspace: String,
    /// Whom its end was told, for people.
    pub notified: Vec<String>,
}

const LINE: &str = "number, display_name, result, started_at, ended_at, description, keep, revision, branch, \
                    passed, failed, skipped";

/// What a number means as a result; what no ward wrote is the worst that a build can be by itself.
pub(super) fn result_of(number: Option<i64>) -> Option<BuildResult> {
    let index = usize::try_from(number?).ok();
    let known = index.and_then(|index| BuildResult::ALL.get(index).copied());
    Some(known.unwrap_or(BuildResult::Failure))
}

/// The number of a result in the database: its place in [`BuildResult::ALL`].
pub(super) fn number_of(result: BuildResult) -> i64 {
    match result {
        BuildResult::Success => 0,
        BuildResult::Unstable => 1,
        BuildResult::Failure => 2,
        BuildResult::NotBuilt => 3,
        BuildResult::Aborted => 4,
    }
}

/// What was written as JSON; what cannot be read is as if nothing had been written.
fn json<T: DeserializeOwned + Default>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_default()
}

fn to_json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// Reads the columns of [`LINE`], which come first.
fn line(job: &str, row: &Row<'_>) -> Result<BuildLine> {
    let number: u32 = row.get(0)?;
    let name: Option<String> = row.get(1)?;
    let started_at: i64 = row.get(3)?;
    let ended_at: Option<i64> = row.get(4)?;
    let passed: Option<u32> = row.get(9)?;
    let tests = match passed {
        Some(passed) => Some(TestCounts {
            passed,
            failed: row.get::<_, Option<u32>>(10)?.unwrap_or(0),
            skipped: row.get::<_, Option<u32>>(11)?.unwrap_or(0),
        }),
        None => None,
    };
    let duration = ended_at.map_or(0, |ended| ended.saturating_sub(started_at));
    Ok(BuildLine {
        job: job.to_owned(),
        number,
        display_name: name.unwrap_or_else(|| format!("#{number}")),
        result: result_of(row.get(2)?),
        started_at,
        duration: u64::try_from(duration).unwrap_or(0),
        description: row.get(5)?,
        keep: row.get(6)?,
        revision: row.get(7)?,
        branch: row.get(8)?,
        tests,
    })
}

/// Writes the row of a build that is about to start, and that builds above it started it.
///
/// # Errors
/// SQLite's; a second build of one number is refused.
pub fn insert(connection: &Connection, build: &NewBuild<'_>) -> Result<()> {
    let shown: Vec<ParameterValue> = build
        .parameters
        .iter()
        .map(|parameter| ParameterValue {
            value: if parameter.secret {
                String::new()
            } else {
                parameter.value.clone()
            },
            ..parameter.clone()
        })
        .collect();
    connection
        .prepare_cached(
            "INSERT INTO builds (job, number, request, causes, parameters, executor, workspace, started_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            build.job,
            build.number,
            build.request,
            to_json(&build.causes)?,
            to_json(&shown)?,
            build.executor,
            build.workspace,
            build.started_at,
        ])?;
    for cause in build.causes {
        if let Cause::Upstream { job, number, .. } = cause {
            connection
                .prepare_cached(
                    "INSERT OR IGNORE INTO started (job, number, by_job, by_number)
                     SELECT ?1, ?2, id, ?4 FROM jobs WHERE name = ?3",
                )?
                .execute(params![build.job, build.number, job, number])?;
        }
    }
    Ok(())
}

/// Writes how a build ended. Returns false, and changes nothing, if that was written before.
///
/// # Errors
/// SQLite's.
pub fn finish(
    connection: &Connection,
    job: i64,
    number: u32,
    outcome: &Outcome,
    tell: bool,
) -> Result<bool> {
    let checkout = outcome.checkout.as_ref();
    let changed = connection
        .prepare_cached(
            "UPDATE builds SET result = :result, started_at = min(started_at, :started), ended_at = :ended,
                display_name = coalesce(display_name, :name), revision = coalesce(:revision, revision),
                branch = coalesce(:branch, branch), passed = :passed, failed = :failed, skipped = :skipped,
                told = :told
             WHERE job = :job AND number = :number AND result IS NULL",
        )?
        .execute(named_params! {
            ":result": number_of(outcome.result),
            ":started": outcome.started_at,
            ":ended": outcome.ended_at,
            ":name": outcome.display_name,
            ":revision": checkout.map(|checkout| &checkout.revision),
            ":branch": checkout.map(|checkout| &checkout.branch),
            ":passed": outcome.tests.map(|tests| tests.passed),
            ":failed": outcome.tests.map(|tests| tests.failed),
            ":skipped": outcome.tests.map(|tests| tests.skipped),
            ":told": !tell,
            ":job": job,
            ":number": number,
        })?;
    if changed == 0 {
        return Ok(false);
    }
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO outcomes (build, outcome)
             SELECT id, ?3 FROM builds WHERE job = ?1 AND number = ?2",
        )?
        .execute(params![job, number, to_json(outcome)?])?;
    if let Some(checkout) = checkout {
        connection
            .prepare_cached(
                "INSERT INTO revisions (job, revision, number) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET number = max(number, excluded.number)",
            )?
            .execute(params![job, checkout.revision, number])?;
        let built = (checkout.branch.as_str(), checkout.revision.as_str());
        branches::note(connection, job, number, outcome.result, built)?;
    }
    Ok(true)
}

/// One build, if there is such.
///
/// # Errors
/// SQLite's.
pub fn one(connection: &Connection, name: &str, job: i64, number: u32) -> Result<Option<BuildRow>> {
    connection
        .prepare_cached(&format!(
            "SELECT {LINE}, id, request, causes, parameters, executor, workspace, notified
             FROM builds WHERE job = ?1 AND number = ?2"
        ))?
        .query_row(params![job, number], |row| {
            Ok(BuildRow {
                line: line(name, row)?,
                id: row.get(12)?,
                request: row.get(13)?,
                causes: json(&row.get::<_, String>(14)?),
                parameters: json(&row.get::<_, String>(15)?),
                executor: row.get(16)?,
                workspace: row.get(17)?,
                notified: json(&row.get::<_, String>(18)?),
            })
        })
        .optional()
}

/// How a build ended, as its runner said.
///
/// # Errors
/// SQLite's.
pub fn outcome(connection: &Connection, build: i64) -> Result<Option<Outcome>> {
    let text: Option<String> = connection
        .prepare_cached("SELECT outcome FROM outcomes WHERE build = ?1")?
        .query_row([build], |row| row.get(0))
        .optional()?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

/// Builds of a job from below `before` on, newest first.
///
/// # Errors
/// SQLite's.
pub fn list(
    connection: &Connection,
    name: &str,
    job: i64,
    before: Option<u32>,
    limit: usize,
) -> Result<Vec<BuildLine>> {
    connection
        .prepare_cached(&format!(
            "SELECT {LINE} FROM builds WHERE job = ?1 AND number < ?2 ORDER BY number DESC LIMIT ?3"
        ))?
        .query_map(
            params![
                job,
                before.map_or(i64::MAX, i64::from),
                i64::try_from(limit).unwrap_or(i64::MAX)
            ],
            |row| line(name, row),
        )?
        .collect()
}

/// Numbers of all builds of a job, newest first.
///
/// # Errors
/// SQLite's.
pub fn numbers(connection: &Connection, job: i64) -> Result<Vec<u32>> {
    connection
        .prepare_cached("SELECT number FROM builds WHERE job = ?1 ORDER BY number DESC")?
        .query_map([job], |row| row.get(0))?
        .collect()
}

/// The numbers before and after one.
///
/// # Errors
/// SQLite's.
pub fn neighbours(
    connection: &Connection,
    job: i64,
    number: u32,
) -> Result<(Option<u32>, Option<u32>)> {
    connection
        .prepare_cached(
            "SELECT (SELECT max(number) FROM builds WHERE job = ?1 AND number < ?2),
                    (SELECT min(number) FROM builds WHERE job = ?1 AND number > ?2)",
        )?
        .query_row(params![job, number], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Builds that a build started: names of jobs, and numbers.
///
/// # Errors
/// SQLite's.
pub fn started_by(connection: &Connection, job: i64, number: u32) -> Result<Vec<(String, u32)>> {
    connection
        .prepare_cached(
            "SELECT jobs.name, started.number FROM started JOIN jobs ON jobs.id = started.job
             WHERE by_job = ?1 AND by_number = ?2 ORDER BY 1, 2",
        )?
        .query_map(params![job, number], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// Every build whose end is not known: job, number, and where it is built.
///
/// # Errors
/// SQLite's.
pub fn running(connection: &Connection) -> Result<Vec<(i64, String, u32)>> {
    connection
        .prepare_cached(
            "SELECT jobs.id, jobs.name, number FROM builds JOIN jobs ON jobs.id = builds.job
             WHERE result IS NULL ORDER BY builds.id",
        )?
        .query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect()
}

/// Which build a request became.
///
/// # Errors
/// SQLite's.
pub fn of_request(connection: &Connection, request: u64) -> Result<Option<(String, BuildRow)>> {
    let found: Option<(i64, String, u32)> = connection
        .prepare_cached(
            "SELECT jobs.id, jobs.name, number FROM builds JOIN jobs ON jobs.id = builds.job
             WHERE request = ?1 LIMIT 1",
        )?
        .query_row([request], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((job, name, number)) = found else {
        return Ok(None);
    };
    Ok(one(connection, &name, job, number)?.map(|row| (name, row)))
}

/// What people say of a build.
///
/// # Errors
/// SQLite's.
pub fn describe(
    connection: &Connection,
    job: i64,
    number: u32,
    description: &str,
    display_name: Option<&str>,
) -> Result<bool> {
    let changed = connection
        .prepare_cached(
            "UPDATE builds SET description = ?3, display_name = coalesce(?4, display_name)
             WHERE job = ?1 AND number = ?2",
        )?
        .execute(params![job, number, description, display_name])?;
    Ok(changed > 0)
}

/// Keeps a build for ever, or no longer.
///
/// # Errors
/// SQLite's.
pub fn keep(connection: &Connection, job: i64, number: u32, keep: bool) -> Result<bool> {
    let changed = connection
        .prepare_cached("UPDATE builds SET keep = ?3 WHERE job = ?1 AND number = ?2")?
        .execute(params![job, number, keep])?;
    Ok(changed > 0)
}

/// Forgets a build that is over.
///
/// # Errors
/// SQLite's.
pub fn delete(connection: &Connection, job: i64, number: u32) -> Result<bool> {
    connection
        .prepare_cached("DELETE FROM started WHERE job = ?1 AND number = ?2")?
        .execute(params![job, number])?;
    let changed = connection
        .prepare_cached("DELETE FROM builds WHERE job = ?1 AND number = ?2 AND result IS NOT NULL")?
        .execute(params![job, number])?;
    Ok(changed > 0)
}

/// What retention goes by: a build that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Its number.
    pub number: u32,
    /// When it began, milliseconds since the epoch.
    pub started_at: i64,
    /// It is kept for ever.
    pub keep: bool,
    /// It still has its artifacts.
    pub artifacts: bool,
}

/// All builds of a job that are over, newest first.
///
/// # Errors
/// SQLite's.
pub fn candidates(connection: &Connection, job: i64) -> Result<Vec<Candidate>> {
    connection
        .prepare_cached(
            "SELECT number, started_at, keep, artifacts FROM builds
             WHERE job = ?1 AND result IS NOT NULL ORDER BY number DESC",
        )?
        .query_map([job], |row| {
            Ok(Candidate {
                number: row.get(0)?,
                started_at: row.get(1)?,
                keep: row.get(2)?,
                artifacts: row.get(3)?,
            })
        })?
        .collect()
}

/// Writes that a build has no artifacts any more.
///
/// # Errors
/// SQLite's.
pub fn artifacts_gone(connection: &Connection, job: i64, number: u32) -> Result<()> {
    connection
        .prepare_cached("UPDATE builds SET artifacts = 0 WHERE job = ?1 AND number = ?2")?
        .execute(params![job, number])?;
    Ok(())
}
