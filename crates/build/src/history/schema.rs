//! What the database looks like, and how an older one becomes a newer one.

use rusqlite::{Connection, Transaction, TransactionBehavior};

/// The version that this ward writes: the number of [`MIGRATIONS`] (`PRAGMA user_version`).
pub const VERSION: usize = MIGRATIONS.len();

/// Each step makes the version of its place, counted from 1, of the one before. What was ever released is
/// never edited: a database of any version has to become the newest.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE facts (
        key TEXT PRIMARY KEY NOT NULL,
        value TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE jobs (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        next_number INTEGER NOT NULL DEFAULT 1,
        disabled INTEGER NOT NULL DEFAULT 0,
        leaving INTEGER NOT NULL DEFAULT 0,
        polled_at INTEGER,
        poll_log TEXT
    );
    CREATE TABLE folders (name TEXT PRIMARY KEY NOT NULL) WITHOUT ROWID;
    CREATE TABLE builds (
        id INTEGER PRIMARY KEY,
        job INTEGER NOT NULL REFERENCES jobs(id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        request INTEGER NOT NULL,
        causes TEXT NOT NULL,
        parameters TEXT NOT NULL,
        executor INTEGER NOT NULL,
        workspace TEXT NOT NULL,
        started_at INTEGER NOT NULL,
        ended_at INTEGER,
        result INTEGER,
        display_name TEXT,
        description TEXT NOT NULL DEFAULT '',
        keep INTEGER NOT NULL DEFAULT 0,
        revision TEXT,
        branch TEXT,
        passed INTEGER,
        failed INTEGER,
        skipped INTEGER,
        notified TEXT NOT NULL DEFAULT '[]',
        told INTEGER NOT NULL DEFAULT 1,
        artifacts INTEGER NOT NULL DEFAULT 1,
        UNIQUE (job, number)
    );
    CREATE INDEX builds_by_result ON builds (job, result, number);
    CREATE INDEX builds_by_request ON builds (request);
    CREATE INDEX builds_with_tests ON builds (job, number) WHERE passed IS NOT NULL;
    CREATE INDEX builds_untold ON builds (id) WHERE told = 0;
    CREATE INDEX builds_running ON builds (id) WHERE result IS NULL;
    CREATE TABLE outcomes (
        build INTEGER PRIMARY KEY REFERENCES builds(id) ON DELETE CASCADE,
        outcome TEXT NOT NULL
    );
    CREATE TABLE revisions (
        job INTEGER NOT NULL REFERENCES jobs(id) ON DELETE CASCADE,
        revision TEXT NOT NULL,
        number INTEGER NOT NULL,
        PRIMARY KEY (job, revision)
    ) WITHOUT ROWID;
    CREATE TABLE started (
        job INTEGER NOT NULL REFERENCES jobs(id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        by_job INTEGER NOT NULL REFERENCES jobs(id) ON DELETE CASCADE,
        by_number INTEGER NOT NULL,
        PRIMARY KEY (by_job, by_number, job, number)
    ) WITHOUT ROWID;
    CREATE TABLE requests (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        item TEXT NOT NULL
    );
    CREATE TABLE notices (
        id INTEGER PRIMARY KEY,
        build INTEGER NOT NULL REFERENCES builds(id) ON DELETE CASCADE,
        delivery TEXT NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        due INTEGER NOT NULL
    );
    CREATE INDEX notices_of_build ON notices (build);
    CREATE INDEX notices_by_due ON notices (due);
    CREATE TABLE views (
        name TEXT PRIMARY KEY NOT NULL,
        config BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE deliveries (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        forge TEXT NOT NULL,
        delivery TEXT NOT NULL,
        UNIQUE (forge, delivery)
    );
    ",
    // Deleting a job deletes what its builds started, and a foreign key without an index is looked for in
    // every row.
    "
    CREATE INDEX started_of_job ON started (job, number);
    ",
    // What was built last of each branch: it stays when that build goes.
    "
    CREATE TABLE branches (
        job INTEGER NOT NULL REFERENCES jobs(id) ON DELETE CASCADE,
        branch TEXT NOT NULL,
        number INTEGER NOT NULL,
        revision TEXT NOT NULL,
        good_number INTEGER,
        good_revision TEXT,
        PRIMARY KEY (job, branch)
    ) WITHOUT ROWID;
    INSERT INTO branches (job, branch, number, revision)
    SELECT job, branch, max(number), revision FROM builds
    WHERE branch IS NOT NULL AND revision IS NOT NULL AND result IS NOT NULL AND result <> 3
    GROUP BY job, branch;
    UPDATE branches SET (good_number, good_revision) = (
        SELECT number, revision FROM builds
        WHERE builds.job = branches.job AND builds.branch = branches.branch AND revision IS NOT NULL
        AND result IN (0, 1) ORDER BY number DESC LIMIT 1
    );
    ",
];

/// The version of a database.
pub(super) fn version_of(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Makes a database the newest version: each step is one transaction with its number, so that a kill leaves
/// the version before it or the one after.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let from = usize::try_from(version_of(connection)?).unwrap_or(usize::MAX);
    for (at, step) in MIGRATIONS.iter().enumerate().skip(from) {
        let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", at + 1)?;
        transaction.commit()?;
    }
    Ok(())
}
