//! The database: old, damaged, lost, copied, full of builds.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::ensure;
use tempfile::TempDir;
use ward_build::api::{Builds, Which};
use ward_build::history::{self, HistoryError};
use ward_build::server::OpenError;
use ward_model::build::BuildResult;

use super::Result;
use super::bench::{Bench, expect, job, open, settings};

pub(crate) fn one_server() -> Result {
    let bench = Bench::new(Vec::new())?;
    let refused = open(&bench.home(), settings(), Vec::new());
    let Err(error @ OpenError::Taken { pid, .. }) = refused else {
        anyhow::bail!("a second server has the directory");
    };
    ensure!(pid == Some(std::process::id()) && error.hint().is_some());
    Ok(())
}

/// The first version as it was, with something in it.
const FIRST: &str = include_str!("history_1.sql");

pub(crate) fn older() -> Result {
    let directory = TempDir::new()?;
    let home = directory.path().join("home");
    fs::create_dir(&home)?;
    let connection = rusqlite::Connection::open(home.join("history.sqlite"))?;
    connection.execute_batch(FIRST)?;
    drop(connection);
    let (server, _) = open(&home, settings(), vec![job("a", "true")])?;
    ensure!(server.build_numbers("a")? == [2, 1]);
    let view = server.build("a", &Which::LastStable)?;
    ensure!(view.line.number == 1 && view.line.duration == 1_500);
    ensure!(server.job("a")?.next_number == 3);
    drop(server);
    // Opened again, it is as new as it can be.
    let connection = rusqlite::Connection::open(home.join("history.sqlite"))?;
    let version: usize = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    ensure!(version == history::VERSION);
    connection.pragma_update(None, "user_version", version + 1)?;
    drop(connection);
    let newer = open(&home, settings(), Vec::new());
    ensure!(matches!(
        newer,
        Err(OpenError::History(HistoryError::Newer { .. }))
    ));
    Ok(())
}

pub(crate) fn damaged() -> Result {
    let directory = TempDir::new()?;
    let home = directory.path().join("home");
    let path = home.join("history.sqlite");
    drop(open(&home, settings(), vec![job("a", "true")])?);
    let good = fs::read(&path)?;
    let mut cut = good.clone();
    cut.truncate(good.len() / 2);
    let mut overwritten = good.clone();
    for byte in overwritten.iter_mut().skip(4096) {
        *byte = 0xa5;
    }
    for bad in [
        b"this is no database, but long enough to be looked at".repeat(40),
        cut,
        overwritten,
    ] {
        fs::write(&path, &bad)?;
        let refused = open(&home, settings(), Vec::new()).map(|_| ());
        let Err(OpenError::History(error @ HistoryError::Damaged { .. })) = refused else {
            anyhow::bail!("{refused:?}");
        };
        ensure!(
            error
                .hint()
                .is_some_and(|hint| hint.contains("history.sqlite"))
        );
        ensure!(fs::read(&path)? == bad, "a damaged history was changed");
    }
    fs::write(&path, good)?;
    open(&home, settings(), Vec::new())?;
    Ok(())
}

pub(crate) fn backup() -> Result {
    let bench = Bench::new(vec![job("a", "echo whole")])?;
    bench.build("a")?;
    let copy = TempDir::new()?;
    let status = std::process::Command::new("cp")
        .arg("-a")
        .arg(bench.home())
        .arg(copy.path().join("home"))
        .status()?;
    ensure!(status.success());
    let (server, _) = open(
        &copy.path().join("home"),
        settings(),
        vec![job("a", "true")],
    )?;
    let view = server.build("a", &Which::Last)?;
    expect(&view, BuildResult::Success)?;
    ensure!(view.log.starts_with(copy.path()) && fs::read_to_string(&view.log)?.contains("whole"));
    Ok(())
}

pub(crate) fn lost() -> Result {
    let mut bench = Bench::new(vec![job("a", "true")])?;
    bench.build("a")?;
    bench.build("a")?;
    bench.server.shut_down(false);
    for name in ["history.sqlite", "history.sqlite-wal", "history.sqlite-shm"] {
        let _ = fs::remove_file(bench.home().join(name));
    }
    bench.restart(vec![job("a", "true")])?;
    ensure!(bench.server.build_numbers("a")?.is_empty());
    ensure!(bench.build("a")?.line.number == 3);
    // A build whose files are gone is still known.
    fs::remove_dir_all(bench.home().join("jobs/a/builds/3"))?;
    expect(
        &bench.server.build("a", &Which::Last)?,
        BuildResult::Success,
    )
}

/// An older copy of the database beside builds that it does not know: no number is given twice.
pub(crate) fn put_back() -> Result {
    let mut bench = Bench::new(vec![job("a", "echo first")])?;
    bench.build("a")?;
    let path = bench.home().join("history.sqlite");
    let copy = bench.directory.path().join("copy.sqlite");
    history::copy(&path, &copy)?;
    bench.build("a")?;
    bench.build("a")?;
    bench.server.shut_down(false);
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(bench.home().join(format!("history.sqlite{end}")));
    }
    fs::copy(&copy, &path)?;
    // One that nobody has begun is no build.
    fs::create_dir(bench.home().join("jobs/a/builds/9"))?;
    bench.restart(vec![job("a", "echo second")])?;
    ensure!(bench.server.build_numbers("a")? == [1]);
    let view = bench.build("a")?;
    ensure!(view.line.number == 4, "it is {}", view.line.number);
    let log = bench.home().join("jobs/a/builds/3/log");
    ensure!(fs::read_to_string(log)?.contains("first"));
    bench.build("a")?;
    ensure!(bench.server.job("a")?.next_number == 6);
    Ok(())
}

/// Copies that are made while it is written to are whole, each of one moment.
pub(crate) fn copied() -> Result {
    let directory = TempDir::new()?;
    let path = directory.path().join("history.sqlite");
    let mut writer = history::writer(&path)?;
    writer.execute_batch("INSERT INTO jobs (name) VALUES ('a')")?;
    let copy = history::copy_of(&path);
    let is_over = AtomicBool::new(false);
    let (is_over, shared) = (&is_over, &path);
    std::thread::scope(|scope| -> Result {
        let writing = scope.spawn(move || -> rusqlite::Result<i64> {
            let mut count = 0;
            while !is_over.load(Ordering::Relaxed) {
                // Both rows or neither.
                let transaction = writer.transaction()?;
                for table in ["requests (item)", "folders (name)"] {
                    let text = format!("INSERT INTO {table} VALUES (?1)");
                    transaction.execute(&text, [format!("{count} {}", "x".repeat(2_000))])?;
                }
                transaction.commit()?;
                count += 1;
            }
            Ok(count)
        });
        let copying = || -> Result {
            for _ in 0..20 {
                history::copy(shared, &copy)?;
                let mode = fs::metadata(&copy)?.permissions().mode() & 0o777;
                ensure!(mode == 0o600, "its mode is {mode:o}");
                let copy = history::writer(&copy)?;
                let sound: String =
                    copy.query_row("PRAGMA integrity_check", (), |row| row.get(0))?;
                ensure!(sound == "ok", "{sound}");
                let counts: (i64, i64) = copy.query_row(
                    "SELECT (SELECT count(*) FROM requests), (SELECT count(*) FROM folders)",
                    (),
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )?;
                ensure!(counts.0 == counts.1, "{counts:?}");
            }
            Ok(())
        };
        let copied = copying();
        is_over.store(true, Ordering::Relaxed);
        let count = writing
            .join()
            .map_err(|_| anyhow::anyhow!("it panicked"))??;
        ensure!(count > 0, "nothing was written meanwhile");
        copied
    })?;
    let mut part = copy.into_os_string();
    part.push(".new");
    ensure!(!Path::new(&part).exists());
    Ok(())
}

/// A server makes such copies by itself, and says where they are when it needs one.
pub(crate) fn copy_is_named() -> Result {
    let mut bench = Bench::new(vec![job("a", "true")])?;
    bench.build("a")?;
    let path = bench.home().join("history.sqlite");
    let copy = history::copy_of(&path);
    ward_testkit::patience::wait_until("a copy", || copy.exists())?;
    bench.restart(Vec::new())?;
    bench.server.shut_down(false);
    let whole = fs::read(&path)?;
    let other = TempDir::new()?;
    let home = other.path().join("home");
    fs::create_dir(&home)?;
    fs::write(home.join("history.sqlite"), &whole[..whole.len() / 2])?;
    fs::copy(&copy, home.join("history.copy.sqlite"))?;
    let Err(OpenError::History(error)) = open(&home, settings(), Vec::new()).map(|_| ()) else {
        anyhow::bail!("half a history is taken");
    };
    let hint = error.hint().unwrap_or_default();
    ensure!(hint.contains("history.copy.sqlite"), "{hint}");
    fs::remove_file(home.join("history.sqlite"))?;
    fs::rename(
        home.join("history.copy.sqlite"),
        home.join("history.sqlite"),
    )?;
    open(&home, settings(), vec![job("a", "true")])?;
    Ok(())
}

pub(crate) fn many() -> Result {
    let directory = TempDir::new()?;
    let home = directory.path().join("home");
    drop(open(&home, settings(), vec![job("a", "true")])?);
    let connection = history::writer(&home.join("history.sqlite"))?;
    connection.execute_batch(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
         INSERT INTO builds (job, number, request, causes, parameters, executor, workspace, started_at,
                             ended_at, result, passed, failed, skipped)
         SELECT (SELECT id FROM jobs), i, i, '[]', '[]', 0, '/w', i * 1000, i * 1000 + i % 7, i % 5, 1, 2, 3
         FROM n",
    )?;
    drop(connection);
    let (server, _) = open(&home, settings(), vec![job("a", "true")])?;
    let took = |what: &str, work: &mut dyn FnMut() -> Result<usize>| -> Result<usize> {
        let began = Instant::now();
        let count = work()?;
        println!("  {what}: {:?}", began.elapsed());
        Ok(count)
    };
    ensure!(took("jobs", &mut || Ok(server.jobs().len()))? == 1);
    ensure!(
        took("100 builds", &mut || Ok(server
            .builds("a", Some(5000), 100)?
            .len()))?
            == 100
    );
    ensure!(took("all numbers", &mut || Ok(server.build_numbers("a")?.len()))? == 10_000);
    let view = server.job("a")?;
    ensure!(view.lasts.last == Some(10_000) && view.lasts.stable == Some(10_000));
    ensure!(view.lasts.failed == Some(9_997) && view.lasts.first == Some(1));
    ensure!(view.line.trend.len() == 20 && view.line.trend[0].0 == 10_000);
    ensure!(server.builds("a", Some(5000), 1)?[0].number == 4999);
    let view = server.build("a", &Which::Number(77))?;
    ensure!(view.previous == Some(76) && view.next == Some(78));
    ensure!(server.test_trend("a", 5)?.len() == 5);
    Ok(())
}

pub(crate) fn unwritable() -> Result {
    let bench = Bench::new(vec![job("a", super::builds::WAITS)])?;
    let number = bench.number_of(bench.ask("a")?)?;
    // As on a full disk: no change can be committed.
    let other = rusqlite::Connection::open(bench.home().join("history.sqlite"))?;
    other.execute_batch(
        "CREATE TRIGGER full1 BEFORE UPDATE OF result ON builds BEGIN SELECT raise(FAIL, 'disk full'); END;
         CREATE TRIGGER full2 BEFORE INSERT ON requests BEGIN SELECT raise(FAIL, 'disk full'); END;",
    )?;
    let refused = bench.server.request(super::bench::request("a", &[]));
    ensure!(
        matches!(refused, Err(ward_build::api::Refusal::Failed(_))),
        "{refused:?}"
    );
    ensure!(bench.server.queue().is_empty());
    bench.let_go("a")?;
    ward_testkit::patience::wait_until("it to be said", || {
        bench
            .said
            .lock()
            .is_ok_and(|said| said.iter().any(|line| line.contains("cannot be recorded")))
    })?;
    ensure!(bench.server.build("a", &Which::Last)?.log_grows);
    other.execute_batch("DROP TRIGGER full1; DROP TRIGGER full2;")?;
    expect(&bench.end_of("a", number)?, BuildResult::Success)?;
    expect(&bench.build("a")?, BuildResult::Success)
}
