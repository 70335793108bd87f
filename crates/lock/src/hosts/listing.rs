//! Who holds and who waits in a cluster, for people and scripts.

use std::collections::BTreeMap;

use ward_model::lock::{Rank, Shape, Standing};

use super::Hosts;
use super::post::{post, record};
use crate::error::LockError;
use crate::etcd::{KeyValue, Keys};
use crate::listing::{Listed, Listing};
use crate::name::{self, Name};
use crate::record::Statistics;

impl Hosts {
    /// Every lock that somebody holds or waits for, by name; of those that cannot be read, why.
    ///
    /// # Errors
    /// [`LockError::Cluster`].
    pub fn list(&self) -> Result<Listing, LockError> {
        let root = format!("{}/", self.prefix);
        let mut locks: BTreeMap<String, Listed> = BTreeMap::new();
        let mut unreadable = Vec::new();
        for pair in &self.pairs(&root)? {
            let Some(name) = lock_of(&root, pair) else {
                continue;
            };
            let lock = locks.entry(name).or_insert_with_key(|name| nobody(name));
            unreadable.extend(add(lock, pair).err());
        }
        let mut locks: Vec<Listed> = locks.into_values().collect();
        locks.retain(|lock| !is_unused(lock));
        locks.iter_mut().for_each(in_order);
        Ok(Listing { locks, unreadable })
    }

    /// One lock, which need not be held; of `a/b`, all of `a`.
    ///
    /// # Errors
    /// [`LockError`] when it cannot be read, or is not the name of one.
    pub fn show(&self, name: &str) -> Result<Listed, LockError> {
        let (typed, wanted) = named(name)?;
        let queue = self.queue_of(&wanted);
        let mut listed = nobody(name);
        for pair in &self.pairs(&queue)? {
            add(&mut listed, pair)?;
        }
        if is_unused(&listed) {
            typed?;
        }
        in_order(&mut listed);
        Ok(listed)
    }

    /// Below which key the queue of a lock is.
    pub(super) fn queue_of(&self, name: &Name) -> String {
        format!("{}/{}/queue/", self.prefix, name.file())
    }

    fn pairs(&self, below: &str) -> Result<Vec<KeyValue>, LockError> {
        let mut cluster = self.cluster.another().map_err(LockError::cluster)?;
        let range = cluster.range(&Keys::prefix(below));
        Ok(range.map_err(LockError::cluster)?.pairs)
    }
}

/// The lock that is meant by what somebody has typed, and whether it is a name as people may type one: it
/// may have been named by another program's rules.
pub(super) fn named(text: &str) -> Result<(Result<(), LockError>, Name), LockError> {
    match Name::parse(text) {
        Ok(plain) => Ok((Ok(()), plain)),
        Err(error) => Ok((Err(error), Name::exact(text, "")?)),
    }
}

fn nobody(name: &str) -> Listed {
    Listed {
        name: name.to_owned(),
        shape: Shape::Modes,
        holders: Vec::new(),
        waiting: Vec::new(),
        statistics: Statistics::default(),
    }
}

fn is_unused(lock: &Listed) -> bool {
    lock.holders.is_empty() && lock.waiting.is_empty()
}

fn add(listed: &mut Listed, pair: &KeyValue) -> Result<(), LockError> {
    let post = post(pair)?;
    if is_unused(listed) {
        listed.shape = post.shape;
    }
    let record = record(pair, &post);
    match record.standing {
        Standing::Holding => listed.holders.push(record),
        // Who was sent away has not heard of it yet.
        Standing::Waiting if post.dismissed.is_some() => {}
        Standing::Waiting => listed.waiting.push(record),
    }
    Ok(())
}

/// Who came first, and who is next, are first.
fn in_order(listed: &mut Listed) {
    listed.holders.sort_by_key(|record| record.ticket);
    listed
        .waiting
        .sort_by_key(|record| Rank::of(record.ask.priority, record.ask.turn, record.ticket));
}

/// The lock whose queue a key is in.
fn lock_of(root: &str, pair: &KeyValue) -> Option<String> {
    let key = String::from_utf8_lossy(&pair.key);
    let (file, rest) = key.strip_prefix(root)?.split_once('/')?;
    name::decode(file).filter(|_| rest.starts_with("queue/"))
}
