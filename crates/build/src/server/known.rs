//! What the server has in memory of each job: what it is, and a summary of its builds.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use rusqlite::Connection;
use ward_config::job::Job;
use ward_model::build::BuildResult;

use super::home::{Home, OpenError, read_bounded};
use super::names;
use super::timing::misunderstood;
use crate::api::{BuildLine, Lasts};
use crate::history::{builds, jobs, past};
use crate::jenkins;
use crate::plan::file;

/// So many results are shown as a trend.
const TREND: u32 = 20;

/// So many successful builds say how long the next will take.
const ESTIMATE: u32 = 7;

/// A job.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// Its row in the history.
    pub(super) id: i64,
    /// What it is; disabled if anything says so.
    pub(super) job: Arc<Job>,
    /// It is the configuration file's.
    pub(super) of_file: bool,
    /// The configuration file disables it.
    pub(super) disabled_by_file: bool,
    /// What its document holds that is not known here, and whether a build would do less without it.
    pub(super) unknown: Vec<(String, bool)>,
    /// Its document cannot be read.
    pub(super) broken: Option<String>,
    /// It is being removed.
    pub(super) leaving: bool,
    /// The number of the next build.
    pub(super) next_number: u32,
    /// A summary of its builds.
    pub(super) past: Past,
}

/// A summary of a job's builds, made anew whenever one of them changes.
#[derive(Debug, Clone, Default)]
pub(super) struct Past {
    pub(super) lasts: Lasts,
    pub(super) last: Option<BuildLine>,
    pub(super) last_completed: Option<BuildLine>,
    pub(super) trend: Vec<(u32, BuildResult)>,
    /// Milliseconds that a build will take.
    pub(super) estimate: Option<u64>,
}

impl Past {
    /// Reads it.
    pub(super) fn read(connection: &Connection, name: &str, job: i64) -> rusqlite::Result<Self> {
        let lasts = past::lasts(connection, job)?;
        let line = |number: Option<u32>| match number {
            Some(number) => {
                builds::one(connection, name, job, number).map(|row| row.map(|row| row.line))
            }
            None => Ok(None),
        };
        let trend = past::ended(connection, job, TREND)?;
        Ok(Self {
            lasts,
            last: line(lasts.last)?,
            last_completed: line(lasts.completed)?,
            trend: trend
                .into_iter()
                .map(|(number, result, _)| (number, result))
                .collect(),
            estimate: median(past::durations(connection, job, ESTIMATE)?),
        })
    }
}

fn median(mut durations: Vec<u64>) -> Option<u64> {
    durations.sort_unstable();
    durations.get(durations.len() / 2).copied()
}

impl Known {
    /// Why it may not be built, if so.
    pub(super) fn not_buildable(&self) -> Option<String> {
        if self.leaving {
            return Some("it is being removed".to_owned());
        }
        if let Some(why) = &self.broken {
            return Some(why.clone());
        }
        let lost: Vec<&str> = self
            .unknown
            .iter()
            .filter(|(_, is_loss)| *is_loss)
            .map(|(path, _)| path.as_str())
            .collect();
        if !lost.is_empty() {
            return Some(format!(
                "a build would silently do less than the job says; this server does not know {}",
                lost.join(", ")
            ));
        }
        self.job.disabled.then(|| "it is disabled".to_owned())
    }

    /// A job of the configuration file.
    pub(super) fn of_file(
        connection: &Connection,
        home: &Home,
        job: &Job,
    ) -> rusqlite::Result<Self> {
        let row = row(connection, home, &job.name)?;
        let disabled_by_file = job.disabled;
        let mut job = job.clone();
        job.disabled |= row.disabled;
        let known = Self::new(connection, &row, job, true)?;
        Ok(Self {
            disabled_by_file,
            ..known
        })
    }

    /// A job that was posted, with its document.
    pub(super) fn posted(
        connection: &Connection,
        home: &Home,
        name: &str,
        document: Result<jenkins::Parsed, String>,
    ) -> rusqlite::Result<Self> {
        let row = row(connection, home, name)?;
        let (job, unknown, broken) = match document {
            Ok(parsed) => (parsed.job, parsed.unknown, None),
            Err(why) => (Job::default(), Vec::new(), Some(why)),
        };
        let job = Job {
            name: name.to_owned(),
            ..job
        };
        let mut unknown = unknown;
        unknown.extend(misunderstood(&job).into_iter().map(|what| (what, true)));
        let known = Self::new(connection, &row, job, false)?;
        Ok(Self {
            unknown,
            broken,
            ..known
        })
    }

    fn new(
        connection: &Connection,
        row: &jobs::JobRow,
        job: Job,
        of_file: bool,
    ) -> rusqlite::Result<Self> {
        Ok(Self {
            past: Past::read(connection, &job.name, row.id)?,
            id: row.id,
            job: Arc::new(job),
            of_file,
            disabled_by_file: false,
            unknown: Vec::new(),
            broken: None,
            leaving: row.leaving,
            next_number: row.next_number,
        })
    }
}

/// The row of a job. Its next build comes after the greatest that is there, if the history was lost, or is an
/// older copy, and the files are not: no build takes the directory of another.
fn row(connection: &Connection, home: &Home, name: &str) -> rusqlite::Result<jobs::JobRow> {
    let builds = home.builds(name);
    let numbers: Vec<u32> = fs::read_dir(&builds)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    let greatest = numbers.iter().max().copied().unwrap_or(0);
    let mut row = jobs::row(connection, name, greatest.saturating_add(1))?;
    // A directory that nobody has begun to build in is thrown away, and its number taken.
    let begun = numbers
        .into_iter()
        .filter(|number| *number >= row.next_number)
        .filter(|number| builds.join(number.to_string()).join(file::LOG).exists())
        .max();
    if let Some(begun) = begun {
        row.next_number = begun.saturating_add(1);
    }
    Ok(row)
}

/// Reads every job: those of the file, and those that were posted. Where both have a name, the file's is it.
///
/// `say` is told what is wrong with single ones.
pub(super) fn load(
    connection: &Connection,
    home: &Home,
    of_file: &[Job],
    say: &dyn Fn(&str),
) -> Result<BTreeMap<String, Known>, OpenError> {
    let mut known = BTreeMap::new();
    for job in of_file {
        known.insert(job.name.clone(), Known::of_file(connection, home, job)?);
    }
    let entries = fs::read_dir(home.jobs()).map_err(|source| OpenError::Io {
        doing: "read",
        path: home.jobs(),
        source,
    })?;
    for entry in entries.flatten() {
        let directory = entry.file_name();
        let Some(name) = directory.to_str().and_then(names::of_directory) else {
            continue;
        };
        let path = home.config(&name);
        if !path.exists() {
            continue;
        }
        if known.contains_key(&name) {
            say(&format!(
                "job `{name}` is in the configuration file, so that `{}` is not heeded",
                path.display()
            ));
            continue;
        }
        let document = read_document(home, &name);
        if let Err(why) = &document {
            say(&format!("job `{name}`: {why}"));
        }
        known.insert(
            name.clone(),
            Known::posted(connection, home, &name, document)?,
        );
    }
    // Jobs that were being removed when the server ended are there until their builds are over.
    for row in jobs::all(connection)? {
        if row.leaving && !known.contains_key(&row.name) {
            let gone = Err("it is being removed".to_owned());
            known.insert(
                row.name.clone(),
                Known::posted(connection, home, &row.name, gone)?,
            );
        }
    }
    let both: Vec<String> = known
        .keys()
        .filter(|name| known.keys().any(|other| names::is_in(other, name)))
        .cloned()
        .collect();
    for name in both {
        if let Some(known) = known.get_mut(&name) {
            let why =
                "there are jobs in a folder of its name, which would be built in its workspace";
            known.broken.get_or_insert_with(|| why.to_owned());
        }
    }
    Ok(known)
}

fn read_document(home: &Home, name: &str) -> Result<jenkins::Parsed, String> {
    let bytes = read_bounded(&home.config(name), super::LARGEST_DOCUMENT)
        .map_err(|error| format!("its config.xml cannot be read: {error}"))?;
    jenkins::parse(name, &bytes).map_err(|error| {
        format!(
            "its config.xml cannot be understood: {}",
            ward_engine::chain(&error)
        )
    })
}
