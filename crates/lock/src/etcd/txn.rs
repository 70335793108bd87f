//! Transactions: if all of this holds then do that, else do something else, all at once.

use super::cluster::Cluster;
use super::error::EtcdError;
use super::keys::{Keys, Range};
use super::lease::LeaseId;
use super::member::Shape;
use super::refusal::Meaning;
use super::rotation::Outcome;
use super::wire::{
    Bytes, CompareRequest, DeleteRequest, Number, OpRequest, OpResponse, PutRequest, RangeRequest,
    TxnRequest, TxnResponse,
};

/// How what there is must stand to what is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// It is the same.
    Equal,
    /// It is another.
    NotEqual,
    /// It is more, or later in the order of bytes.
    Greater,
    /// It is less, or earlier.
    Less,
}

/// What is compared. Of a key that is not there all numbers are 0; its value compares as
/// nothing does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The revision at which it was made.
    CreateRevision(u64),
    /// The revision at which it was changed last.
    ModRevision(u64),
    /// How often it was changed since it was made.
    Version(u64),
    /// What is kept.
    Value(Vec<u8>),
    /// The lease that it goes with; 0 for none.
    Lease(LeaseId),
}

/// A condition. If there are several keys it must hold for each of them; if there is none, for one
/// that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compare {
    /// Of which keys.
    pub keys: Keys,
    /// What of them, and with what it is compared.
    pub target: Target,
    /// How it must stand to that.
    pub relation: Relation,
}

impl Compare {
    /// That nothing is kept under this key.
    pub fn absent(key: impl AsRef<[u8]>) -> Self {
        Self {
            keys: Keys::one(key),
            target: Target::CreateRevision(0),
            relation: Relation::Equal,
        }
    }

    /// That something is kept under this key.
    pub fn present(key: impl AsRef<[u8]>) -> Self {
        Self {
            keys: Keys::one(key),
            target: Target::CreateRevision(0),
            relation: Relation::Greater,
        }
    }

    /// That this key is as it was at this [`mod_revision`](super::KeyValue::mod_revision).
    pub fn unchanged(key: impl AsRef<[u8]>, mod_revision: u64) -> Self {
        Self {
            keys: Keys::one(key),
            target: Target::ModRevision(mod_revision),
            relation: Relation::Equal,
        }
    }

    /// That none of these keys was made or changed after `revision`. Keys that were deleted since
    /// do not count.
    #[must_use]
    pub fn not_since(keys: Keys, revision: u64) -> Self {
        Self {
            keys,
            target: Target::ModRevision(revision.saturating_add(1)),
            relation: Relation::Less,
        }
    }

    fn request(&self) -> CompareRequest {
        let mut request = CompareRequest {
            key: self.keys.start(),
            range_end: self.keys.end(),
            result: match self.relation {
                Relation::Equal => "EQUAL",
                Relation::NotEqual => "NOT_EQUAL",
                Relation::Greater => "GREATER",
                Relation::Less => "LESS",
            },
            ..CompareRequest::default()
        };
        match &self.target {
            Target::CreateRevision(revision) => {
                request.target = "CREATE";
                request.create_revision = Some(Number::of(*revision));
            }
            Target::ModRevision(revision) => {
                request.target = "MOD";
                request.mod_revision = Some(Number::of(*revision));
            }
            Target::Version(version) => {
                request.target = "VERSION";
                request.version = Some(Number::of(*version));
            }
            Target::Value(value) => {
                request.target = "VALUE";
                request.value = Some(Bytes(value.clone()));
            }
            Target::Lease(lease) => {
                request.target = "LEASE";
                request.lease = Some(Number(*lease));
            }
        }
        request
    }
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Keeps a value under a key, in place of what was there.
    Put {
        /// Under which key; no other part of the same branch may put to it.
        key: Vec<u8>,
        /// What.
        value: Vec<u8>,
        /// With which lease it goes; `None`: with none, also if it did before.
        lease: Option<LeaseId>,
    },
    /// Reads what is kept, what was put before in the same branch included.
    Range(Keys),
    /// Deletes what is kept.
    Delete(Keys),
}

impl Op {
    /// Puts a value that stays.
    pub fn put(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        Self::Put {
            key: key.as_ref().to_vec(),
            value: value.as_ref().to_vec(),
            lease: None,
        }
    }

    /// Puts a value that goes with a lease.
    pub fn put_with(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, lease: LeaseId) -> Self {
        Self::Put {
            key: key.as_ref().to_vec(),
            value: value.as_ref().to_vec(),
            lease: Some(lease),
        }
    }

    /// Reads.
    #[must_use]
    pub fn range(keys: Keys) -> Self {
        Self::Range(keys)
    }

    /// Deletes.
    #[must_use]
    pub fn delete(keys: Keys) -> Self {
        Self::Delete(keys)
    }

    fn request(&self) -> OpRequest {
        match self {
            Self::Put { key, value, lease } => OpRequest::Put(PutRequest {
                key: Bytes(key.clone()),
                value: Bytes(value.clone()),
                lease: lease.map(Number),
            }),
            Self::Range(keys) => OpRequest::Range(RangeRequest {
                key: keys.start(),
                range_end: keys.end(),
                ..RangeRequest::default()
            }),
            Self::Delete(keys) => OpRequest::Delete(DeleteRequest {
                key: keys.start(),
                range_end: keys.end(),
            }),
        }
    }

    fn answer(&self, revision: u64, response: OpResponse) -> OpAnswer {
        match self {
            Self::Put { .. } => OpAnswer::Put,
            Self::Range(_) => {
                let pairs = response.response_range.unwrap_or_default().kvs;
                OpAnswer::Range(Range::of(revision, pairs))
            }
            Self::Delete(_) => {
                let deleted = response.response_delete_range.unwrap_or_default().deleted;
                OpAnswer::Deleted(deleted.unsigned())
            }
        }
    }
}

/// What came of an [`Op`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpAnswer {
    /// It was put.
    Put,
    /// What was read, in the order in which the keys were made. Its revision is that of the
    /// transaction.
    Range(Range),
    /// How many keys were deleted.
    Deleted(u64),
}

/// A transaction. A cluster takes up to 128 conditions, and as many parts in each branch, unless
/// it was told otherwise (`--max-txn-ops`), and 1.5 MiB in all (`--max-request-bytes`).
///
/// As it may be carried out twice (see [the module](super)), what it does should make one of
/// its conditions false.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct Txn {
    /// What must hold.
    pub when: Vec<Compare>,
    /// What is done if all of it holds.
    pub then: Vec<Op>,
    /// What is done if not.
    pub otherwise: Vec<Op>,
}

impl Txn {
    /// One without conditions that does nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a condition.
    pub fn when(mut self, condition: Compare) -> Self {
        self.when.push(condition);
        self
    }

    /// Adds something to be done if all conditions hold.
    pub fn then(mut self, op: Op) -> Self {
        self.then.push(op);
        self
    }

    /// Adds something to be done if one does not.
    pub fn otherwise(mut self, op: Op) -> Self {
        self.otherwise.push(op);
        self
    }

    /// The first lease that something is put with.
    fn lease(&self) -> Option<LeaseId> {
        let ops = self.then.iter().chain(&self.otherwise);
        ops.filter_map(|op| match op {
            Op::Put { lease, .. } => *lease,
            Op::Range(_) | Op::Delete(_) => None,
        })
        .next()
    }
}

/// What came of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Whether all conditions held.
    pub succeeded: bool,
    /// The revision after it: of what it put, if it put something.
    pub revision: u64,
    /// What came of each part of the branch that was taken.
    pub answers: Vec<OpAnswer>,
    /// Whether it may have been carried out before, by a member that did not say so: then the
    /// conditions may have failed on account of our own success.
    pub repeated: bool,
}

impl Applied {
    /// What the range at `index` of the branch has read; `None` if that part is no range.
    #[must_use]
    pub fn range(&self, index: usize) -> Option<&Range> {
        match self.answers.get(index) {
            Some(OpAnswer::Range(range)) => Some(range),
            Some(OpAnswer::Put | OpAnswer::Deleted(_)) | None => None,
        }
    }
}

impl Cluster {
    /// Carries out a transaction.
    ///
    /// # Errors
    /// [`EtcdError::LeaseGone`] when something was to be put with a lease that is no more (of
    /// several, the first one is named), and else see [`EtcdError`]; ask
    /// [`EtcdError::may_have_happened`].
    pub fn txn(&mut self, txn: &Txn) -> Result<Applied, EtcdError> {
        let question = TxnRequest {
            compare: txn.when.iter().map(Compare::request).collect(),
            success: txn.then.iter().map(Op::request).collect(),
            failure: txn.otherwise.iter().map(Op::request).collect(),
        };
        let path = "/v3/kv/txn";
        let called = self.call("carry out a transaction", path, &question, Shape::Whole);
        let outcome: Outcome<TxnResponse> =
            called.map_err(|error| match (error.meaning(), txn.lease()) {
                (Some(Meaning::NoLease), Some(lease)) => EtcdError::LeaseGone { lease },
                _ => error,
            })?;
        let answer = outcome.value;
        let revision = answer.header.revision.unsigned();
        let branch = if answer.succeeded {
            &txn.then
        } else {
            &txn.otherwise
        };
        Ok(Applied {
            succeeded: answer.succeeded,
            revision,
            answers: branch
                .iter()
                .zip(answer.responses)
                .map(|(op, response)| op.answer(revision, response))
                .collect(),
            repeated: outcome.repeated,
        })
    }
}
