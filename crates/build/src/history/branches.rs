//! Rows of branches: what was built of each last, which stays when the build itself goes, as in Jenkins.

use rusqlite::{Connection, Result, params};
use ward_model::build::BuildResult;

use crate::plan::BuiltBranch;

/// So many branches of a job are remembered, those that were built last.
pub const MOST: u32 = 1_000;

/// Notes what a build of a branch has built. One that was not built (`NOT_BUILT`) is passed over, and so is
/// one that ended after a later build of the same branch.
///
/// # Errors
/// SQLite's.
pub fn note(
    connection: &Connection,
    job: i64,
    number: u32,
    result: BuildResult,
    (branch, revision): (&str, &str),
) -> Result<()> {
    if result == BuildResult::NotBuilt || branch.is_empty() || revision.is_empty() {
        return Ok(());
    }
    let is_good = result.is_no_worse_than(BuildResult::Unstable);
    let good = is_good.then_some((number, revision));
    connection
        .prepare_cached(
            "INSERT INTO branches (job, branch, number, revision, good_number, good_revision)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET
                revision = iif(excluded.number >= number, excluded.revision, revision),
                number = max(number, excluded.number),
                good_revision = iif(excluded.good_number >= coalesce(good_number, 0),
                                    excluded.good_revision, good_revision),
                good_number = iif(excluded.good_number >= coalesce(good_number, 0),
                                  excluded.good_number, good_number)",
        )?
        .execute(params![
            job,
            branch,
            number,
            revision,
            good.map(|(number, _)| number),
            good.map(|(_, revision)| revision),
        ])?;
    connection
        .prepare_cached(
            "DELETE FROM branches WHERE job = ?1
             AND (SELECT count(*) FROM branches WHERE job = ?1) > ?2
             AND number < (SELECT min(number) FROM (SELECT number FROM branches WHERE job = ?1
                                                    ORDER BY number DESC LIMIT ?2))",
        )?
        .execute(params![job, MOST])?;
    Ok(())
}

/// What was built of a job's branches, newest first.
///
/// # Errors
/// SQLite's.
pub fn all(connection: &Connection, job: i64) -> Result<Vec<BuiltBranch>> {
    connection
        .prepare_cached(
            "SELECT branch, revision, good_revision FROM branches WHERE job = ?1
             ORDER BY number DESC, branch LIMIT ?2",
        )?
        .query_map(params![job, MOST], |row| {
            Ok(BuiltBranch {
                branch: row.get(0)?,
                revision: row.get(1)?,
                successful: row.get(2)?,
            })
        })?
        .collect()
}

#[cfg(test)]
mod tests {
    use ward_model::build::BuildResult::{self, Aborted, Failure, NotBuilt, Success, Unstable};

    use super::{MOST, all, note};
    use crate::history::{jobs, writer};

    #[test]
    fn each_branch_by_itself() {
        let directory = tempfile::tempdir().expect("a directory");
        let connection = writer(&directory.path().join("history.sqlite")).expect("a history");
        let job = jobs::row(&connection, "a", 1).expect("a row").id;
        let other = jobs::row(&connection, "b", 1).expect("a row").id;
        let built = |number: u32, result: BuildResult, branch: &str, revision: &str| {
            note(&connection, job, number, result, (branch, revision)).expect("noted");
        };
        let known = || -> Vec<(String, String, Option<String>)> {
            let all = all(&connection, job).expect("read").into_iter();
            all.map(|it| (it.branch, it.revision, it.successful))
                .collect()
        };
        let is = |branch: &str, revision: &str, good: Option<&str>| {
            (
                branch.to_owned(),
                revision.to_owned(),
                good.map(str::to_owned),
            )
        };
        built(1, Success, "main", "m1");
        built(2, Failure, "next", "n2");
        built(3, Aborted, "main", "m3");
        assert_eq!(
            known(),
            [is("main", "m3", Some("m1")), is("next", "n2", None)]
        );
        // Beside each other: the later one ended first.
        built(5, Unstable, "next", "n5");
        built(4, Success, "next", "n4");
        built(6, NotBuilt, "next", "n6");
        assert_eq!(
            known(),
            [is("next", "n5", Some("n5")), is("main", "m3", Some("m1"))]
        );
        assert!(all(&connection, other).expect("read").is_empty());
        for number in 7..7 + MOST {
            built(number, Success, &format!("feature/{number}"), "f");
        }
        assert_eq!(known().len(), MOST as usize);
        assert!(
            known()
                .iter()
                .all(|(branch, ..)| branch.starts_with("feature/"))
        );
    }
}
