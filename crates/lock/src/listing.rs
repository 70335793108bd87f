//! Who holds and who waits, for people and scripts. Only looks: nobody is disturbed.

use std::fs;
use std::path::Path;

use serde::Serialize;
use ward_model::lock::{Shape, Standing};

use crate::error::LockError;
use crate::store::{Record, Store};

/// One lock as it is.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// What it hands out.
    pub shape: Shape,
    /// Who holds it.
    pub holders: Vec<Record>,
    /// Who waits, the next one first.
    pub waiting: Vec<Record>,
}

/// Every lock in `directory` that somebody holds or waits for, by name.
///
/// # Errors
/// When the directory cannot be read.
pub fn all(directory: &Path) -> Result<Vec<Listed>, LockError> {
    let entries = fs::read_dir(directory).map_err(LockError::io("read", directory))?;
    let mut names: Vec<String> = entries
        .flatten()
        // Whatever else somebody put there is no lock.
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| crate::place::check_name(name).is_ok())
        .collect();
    names.sort_unstable();
    let mut all = Vec::new();
    for name in names {
        let listed = one(directory, &name)?;
        if !listed.holders.is_empty() || !listed.waiting.is_empty() {
            all.push(listed);
        }
    }
    Ok(all)
}

/// One lock, which need not be held.
///
/// # Errors
/// When it cannot be read.
pub fn one(directory: &Path, name: &str) -> Result<Listed, LockError> {
    crate::place::check_name(name)?;
    let mut listed = Listed {
        name: name.to_owned(),
        shape: Shape::Modes,
        holders: Vec::new(),
        waiting: Vec::new(),
    };
    if !directory.join(name).exists() {
        return Ok(listed);
    }
    let store = Store::open(directory, name)?;
    let Some(state) = store.read()? else {
        return Ok(listed);
    };
    listed.shape = state.shape;
    for record in state.records {
        if !store.is_there(&record)? {
            continue;
        }
        match record.standing {
            Standing::Holding => listed.holders.push(record),
            Standing::Waiting => listed.waiting.push(record),
        }
    }
    listed.waiting.sort_by_key(|record| record.ticket);
    Ok(listed)
}
