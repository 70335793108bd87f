//! Keys, what is kept under them, and reading it.

use std::fmt;

use super::cluster::Cluster;
use super::error::EtcdError;
use super::error::Trouble;
use super::lease::LeaseId;
use super::member::{Attempt, Shape};
use super::refusal::Meaning;
use super::rotation::Outcome;
use super::wire::{
    Bytes, DeleteRequest, DeleteResponse, Number, Pair, RangeRequest, RangeResponse,
};

/// As many keys are read at once; fewer if their values are so long that it is too much.
const PAGE: u64 = 500;
/// As often it is begun again when the cluster forgets in the middle what we are reading.
const BEGINNINGS: usize = 5;

const RANGE: &str = "/v3/kv/range";

/// One key, or all that begin with something.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Keys {
    /// This one. It may not be empty.
    One(Vec<u8>),
    /// All that begin with this; all there are if it is empty.
    Prefix(Vec<u8>),
}

impl Keys {
    /// This one.
    pub fn one(key: impl AsRef<[u8]>) -> Self {
        Self::One(key.as_ref().to_vec())
    }

    /// All that begin with `prefix`.
    pub fn prefix(prefix: impl AsRef<[u8]>) -> Self {
        Self::Prefix(prefix.as_ref().to_vec())
    }

    /// The first of them.
    pub(super) fn start(&self) -> Bytes {
        match self {
            Self::Prefix(prefix) if prefix.is_empty() => Bytes(vec![0]),
            Self::One(key) | Self::Prefix(key) => Bytes(key.clone()),
        }
    }

    /// The first key beyond them, if they are more than one; a zero byte where there is none
    /// beyond them.
    pub(super) fn end(&self) -> Option<Bytes> {
        let Self::Prefix(prefix) = self else {
            return None;
        };
        let mut end = prefix.clone();
        while let Some(last) = end.pop() {
            if let Some(next) = last.checked_add(1) {
                end.push(next);
                return Some(Bytes(end));
            }
        }
        Some(Bytes(vec![0]))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(key) => write!(f, "\"{}\"", key.escape_ascii()),
            Self::Prefix(prefix) => write!(f, "\"{}\"*", prefix.escape_ascii()),
        }
    }
}

/// What is kept under a key. Revisions count the changes of the whole cluster's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: Vec<u8>,
    /// What is kept.
    pub value: Vec<u8>,
    /// At which revision the key was made. Keys that were made by one transaction have the same.
    pub create_revision: u64,
    /// At which revision it was changed last.
    pub mod_revision: u64,
    /// How often it was changed since it was made; 1 for a new one, 0 for one that was deleted.
    pub version: u64,
    /// With which lease it goes, if it does.
    pub lease: Option<LeaseId>,
}

impl From<Pair> for KeyValue {
    fn from(pair: Pair) -> Self {
        Self {
            key: pair.key.0,
            value: pair.value.0,
            create_revision: pair.create_revision.unsigned(),
            mod_revision: pair.mod_revision.unsigned(),
            version: pair.version.unsigned(),
            lease: Some(pair.lease.0).filter(|lease| *lease != 0),
        }
    }
}

/// What is kept under keys at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Range {
    /// As of which revision. To see everything that comes after it, watch from the next one.
    pub revision: u64,
    /// In the order in which the keys were made; those of one transaction by key.
    pub pairs: Vec<KeyValue>,
}

impl Range {
    pub(super) fn of(revision: u64, pairs: Vec<Pair>) -> Self {
        let mut pairs: Vec<KeyValue> = pairs.into_iter().map(KeyValue::from).collect();
        pairs.sort_by(|a, b| {
            let order = a.create_revision.cmp(&b.create_revision);
            order.then_with(|| a.key.cmp(&b.key))
        });
        Self { revision, pairs }
    }
}

impl Cluster {
    /// Reads what is kept under `keys`, all of one moment, at which everything had been done that
    /// anybody was told to be done before this was called (linearizable).
    ///
    /// However many they are, they are read in parts and kept in memory.
    ///
    /// # Errors
    /// See [`EtcdError`]; [`EtcdError::TooLong`] when a single value is more than 16 MiB of JSON.
    pub fn range(&mut self, keys: &Keys) -> Result<Range, EtcdError> {
        let mut beginnings = 0;
        loop {
            beginnings += 1;
            match self.pages(keys) {
                Err(error)
                    if error.meaning() == Some(Meaning::Compacted) && beginnings < BEGINNINGS => {}
                outcome => return outcome,
            }
        }
    }

    /// Reads what is kept under one key, as [`Cluster::range`] does; `None` if nothing is.
    ///
    /// # Errors
    /// See [`EtcdError`].
    pub fn get(&mut self, key: impl AsRef<[u8]>) -> Result<Option<KeyValue>, EtcdError> {
        Ok(self.range(&Keys::one(key))?.pairs.pop())
    }

    /// Deletes what is kept under `keys`, and tells how many there were; 0 also when that had been
    /// done by a member that did not answer.
    ///
    /// # Errors
    /// See [`EtcdError`].
    pub fn delete(&mut self, keys: &Keys) -> Result<u64, EtcdError> {
        let question = DeleteRequest {
            key: keys.start(),
            range_end: keys.end(),
        };
        let path = "/v3/kv/deleterange";
        let outcome: Outcome<DeleteResponse> =
            self.call("delete keys", path, &question, Shape::Whole)?;
        Ok(outcome.value.deleted.unsigned())
    }

    /// The revision of now, asked with the permission to read `keys`.
    pub(super) fn revision(&mut self, keys: &Keys) -> Result<u64, EtcdError> {
        let question = RangeRequest {
            key: keys.start(),
            range_end: keys.end(),
            count_only: true,
            ..RangeRequest::default()
        };
        let outcome: Outcome<RangeResponse> =
            self.call("tell its revision", RANGE, &question, Shape::Whole)?;
        Ok(outcome.value.header.revision.unsigned())
    }

    /// Whether a member answers at all, whatever it knows.
    pub(super) fn probe(&mut self, keys: &Keys, attempt: &mut Attempt) -> Result<(), Trouble> {
        let question = RangeRequest {
            key: keys.start(),
            serializable: true,
            count_only: true,
            ..RangeRequest::default()
        };
        let body = serde_json::to_vec(&question).map_err(|error| Trouble::System(error.into()))?;
        self.ask(attempt, RANGE, &body, Shape::Whole)
            .map(|_: RangeResponse| ())
    }

    fn pages(&mut self, keys: &Keys) -> Result<Range, EtcdError> {
        let mut page = PAGE;
        let mut start = keys.start();
        let end = keys.end();
        let mut revision = None;
        let mut all = Vec::new();
        loop {
            let question = RangeRequest {
                key: start.clone(),
                range_end: end.clone(),
                limit: Some(Number::of(page)),
                // All parts as of the first one.
                revision: revision.map(Number::of),
                ..RangeRequest::default()
            };
            let asked = self.call("read keys", RANGE, &question, Shape::Whole);
            let answer: RangeResponse = match asked {
                Ok(Outcome { value, .. }) => value,
                Err(EtcdError::TooLong { .. }) if page > 1 => {
                    page = (page / 8).max(1);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let revision = *revision.get_or_insert(answer.header.revision.unsigned());
            let last = answer.kvs.last().map(|pair| pair.key.0.clone());
            all.extend(answer.kvs);
            match last {
                Some(mut last) if answer.more => {
                    // The very next key.
                    last.push(0);
                    start = Bytes(last);
                }
                _ => return Ok(Range::of(revision, all)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_prefixes() {
        for (prefix, end) in [
            (&b"a"[..], &b"b"[..]),
            (b"a/", b"a0"),
            (b"a\xff", b"b"),
            (b"a\xfe\xff\xff", b"a\xff"),
            (b"\xff\xff", b"\0"),
            (b"", b"\0"),
        ] {
            assert_eq!(Keys::prefix(prefix).end(), Some(Bytes(end.to_vec())));
        }
        assert_eq!(Keys::prefix("").start(), Bytes(vec![0]));
        assert_eq!(Keys::one("a").end(), None);
        assert_eq!(format!("{:?}", Keys::prefix(b"a\xff")), r#""a\xff"*"#);
    }

    #[test]
    fn in_the_order_in_which_they_were_made() {
        let pair = |key: &[u8], create| Pair {
            key: Bytes(key.to_vec()),
            create_revision: Number(create),
            ..Pair::default()
        };
        let range = Range::of(9, vec![pair(b"a", 7), pair(b"c", 3), pair(b"b", 3)]);
        let keys: Vec<&[u8]> = range.pairs.iter().map(|pair| &pair.key[..]).collect();
        assert_eq!(keys, [b"b", b"c", b"a"]);
    }
}
