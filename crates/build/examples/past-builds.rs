//! Gives a job a long past: its build 1, as if it had been built many times more.
//!
//! `past-builds HOME JOB COUNT`: HOME is the directory of a build server that does not run, and JOB has one
//! build there, which has ended. Builds 2 to COUNT are written into the history as the server writes them, with
//! the directory of the first, whose files they share.

#![forbid(unsafe_code)]

use std::error::Error;
use std::fs;
use std::path::Path;

use ward_build::history::builds::{self, NewBuild};
use ward_build::history::{self, jobs};
use ward_build::outcome::Outcome;
use ward_build::plan::{Plan, file};

/// Between the beginnings of two builds, milliseconds.
const APART: i64 = 60_000;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [home, job, count] = words.as_slice() else {
        return Err("usage: past-builds HOME JOB COUNT".into());
    };
    let count: u32 = count.parse()?;
    let home = Path::new(home);
    let all = home.join("jobs").join(job).join("builds");
    let first = all.join("1");
    let plan: Plan = serde_json::from_slice(&fs::read(first.join(file::PLAN))?)?;
    let outcome: Outcome = serde_json::from_slice(&fs::read(first.join(file::OUTCOME))?)?;
    let names = files(&first)?;

    let mut writer = history::writer(&home.join("history.sqlite"))?;
    let row = jobs::row(&writer, job, 1)?.id;
    let transaction = writer.transaction()?;
    for number in 2..=count {
        // The last of them ended when the first did.
        let shift = i64::from(count - number) * APART;
        let outcome = Outcome {
            started_at: outcome.started_at - shift,
            ended_at: outcome.ended_at - shift,
            ..outcome.clone()
        };
        builds::insert(
            &transaction,
            &NewBuild {
                job: row,
                number,
                request: plan.queue_id,
                causes: &plan.causes,
                parameters: &plan.parameters,
                executor: plan.executor,
                workspace: &plan.workspace.to_string_lossy(),
                started_at: outcome.started_at,
            },
        )?;
        builds::finish(&transaction, row, number, &outcome, false)?;
        let directory = all.join(number.to_string());
        fs::create_dir(&directory)?;
        for name in &names {
            fs::hard_link(first.join(name), directory.join(name))?;
        }
    }
    jobs::set_next_number(&transaction, row, count + 1)?;
    transaction.commit()?;
    Ok(())
}

/// Names of the files in a directory.
fn files(directory: &Path) -> Result<Vec<std::ffi::OsString>, Box<dyn Error>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            names.push(entry.file_name());
        }
    }
    Ok(names)
}
