//! Who holds and who waits, for people and scripts. Only looks: nobody is disturbed.

use std::fs;

use serde::Serialize;
use ward_model::lock::{Rank, Shape, Standing};

use crate::error::LockError;
use crate::history;
use crate::name::{self, Badge, Name};
use crate::place::Directory;
use crate::record::{Past, Record, Statistics};
use crate::store::Store;

/// One lock as it is.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// Its name, without what is below it.
    pub name: String,
    /// What it hands out.
    pub shape: Shape,
    /// Who holds it, or something below it.
    pub holders: Vec<Record>,
    /// Who waits, the next one first.
    pub waiting: Vec<Record>,
    /// How it was used since the host started.
    pub statistics: Statistics,
}

/// Locks as they are.
#[derive(Debug, Default)]
pub struct Listing {
    /// Those that somebody holds or waits for, by name.
    pub locks: Vec<Listed>,
    /// Why others could not be read.
    pub unreadable: Vec<LockError>,
}

impl Directory {
    /// Every lock that somebody holds or waits for, by name; of those that cannot be read, why.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list(&self) -> Result<Listing, LockError> {
        let mut all = Listing::default();
        for root in self.roots()? {
            match Name::exact(&root, "").and_then(|name| self.listed(&name)) {
                Ok(listed) if listed.holders.is_empty() && listed.waiting.is_empty() => {}
                Ok(listed) => all.locks.push(listed),
                Err(error) => all.unreadable.push(error),
            }
        }
        Ok(all)
    }

    /// The first level of every lock that was ever used, by name.
    fn roots(&self) -> Result<Vec<String>, LockError> {
        let entries = fs::read_dir(self.path()).map_err(LockError::io("read", self.path()))?;
        let mut roots: Vec<String> = entries
            .flatten()
            // Whatever else somebody put there is no lock.
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
            .filter_map(|entry| name::decode(&entry.file_name().into_string().ok()?))
            .collect();
        roots.sort_unstable();
        Ok(roots)
    }

    /// One lock, which need not be held; of `a/b`, all of `a`. A name that is not plain is one that
    /// [`crate::Wanted::exact`] took.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn show(&self, name: &str) -> Result<Listed, LockError> {
        self.listed(&self.known(name)?)
    }

    /// Who holds a lock with this badge; nobody any more.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn holder(&self, badge: &Badge) -> Result<Option<Record>, LockError> {
        // Not by its name, which may be another program's.
        let root = name::decode(&badge.lock).ok_or_else(|| LockError::Name(badge.lock.clone()))?;
        let holders = self.listed(&Name::exact(&root, "")?)?.holders;
        Ok(holders.into_iter().find(|it| it.ticket == badge.ticket))
    }

    /// A name that people type of a lock that may have been named by another program's rules.
    pub(crate) fn known(&self, name: &str) -> Result<Name, LockError> {
        match Name::parse(name) {
            Ok(name) => Ok(name),
            Err(error) => Name::exact(name, "")
                .ok()
                .filter(|name| self.path().join(name.file()).exists())
                .ok_or(error),
        }
    }

    fn listed(&self, name: &Name) -> Result<Listed, LockError> {
        let mut listed = Listed {
            name: name.text().to_owned(),
            shape: Shape::Modes,
            holders: Vec::new(),
            waiting: Vec::new(),
            statistics: Statistics::default(),
        };
        // Only looked at: none is made.
        let Some(store) = Store::known(self.path(), name)? else {
            return Ok(listed);
        };
        let Some(image) = store.read()? else {
            return Ok(listed);
        };
        listed.shape = image.shape;
        listed.statistics = Statistics::from(&image.counts);
        for entry in &image.entries {
            if entry.dismissed || !store.is_there(entry)? {
                continue;
            }
            let record = Record::new(entry, &store.text(entry)).named();
            match entry.standing {
                Standing::Holding => listed.holders.push(record),
                Standing::Waiting => listed.waiting.push(record),
            }
        }
        listed
            .waiting
            .sort_by_key(|record| Rank::of(record.ask.priority, record.ask.turn, record.ticket));
        Ok(listed)
    }

    /// Who held a lock since the host started, the last one last: at most 128, and only those who
    /// said what for.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn history(&self, name: &str) -> Result<Vec<Past>, LockError> {
        let Some(store) = Store::known(self.path(), &self.known(name)?)? else {
            return Ok(Vec::new());
        };
        let Some(image) = store.read()? else {
            return Ok(Vec::new());
        };
        let named = |past: Past| Past {
            record: past.record.named(),
            ..past
        };
        let past = history::read(&store, &image.counts);
        Ok(past.into_iter().map(named).collect())
    }
}
