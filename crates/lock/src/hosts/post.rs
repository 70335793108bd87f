//! What is written of a request in a cluster, and the queues that it makes up.

use serde::{Deserialize, Serialize};
use ward_model::lock::{Place, Shape, Standing};

use crate::error::LockError;
use crate::etcd::KeyValue;
use crate::image::Who;
use crate::record::Record;
use crate::request::{Request, Wanted};
use crate::surroundings;

/// A command line and a reason are cut to this, bytes.
const LONGEST_TEXT: usize = 300;

/// What is kept under a key of a queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Post {
    pub(super) shape: Shape,
    pub(super) record: Record,
    /// Why somebody was sent away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) dismissed: Option<String>,
}

/// One queue, as it was at a moment.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) posts: Vec<(KeyValue, Post)>,
    pub(super) kept: Option<KeyValue>,
}

impl Line {
    fn place(pair: &KeyValue, post: &Post) -> Place {
        Place {
            ticket: pair.create_revision,
            standing: post.record.standing,
            ask: post.record.ask.clone(),
            has: post.record.has.clone(),
        }
    }

    pub(super) fn places(&self) -> Vec<Place> {
        let here = |(_, post): &&(KeyValue, Post)| {
            post.dismissed.is_none() || post.record.standing == Standing::Holding
        };
        let places = self.posts.iter().filter(here);
        places.map(|(pair, post)| Self::place(pair, post)).collect()
    }

    pub(super) fn find(&self, key: &str) -> Option<&(KeyValue, Post)> {
        self.posts
            .iter()
            .find(|(pair, _)| pair.key == key.as_bytes())
    }

    /// The keys of these.
    pub(super) fn keys_of(&self, records: &[Record]) -> impl Iterator<Item = &[u8]> {
        let is_one = |pair: &KeyValue| records.iter().any(|it| it.ticket == pair.create_revision);
        let pairs = self.posts.iter().map(|(pair, _)| pair);
        pairs
            .filter(move |pair| is_one(pair))
            .map(|pair| &*pair.key)
    }

    /// The queue if these were not in it.
    pub(super) fn without(&self, records: &[Record]) -> Self {
        let is_one = |pair: &KeyValue| records.iter().any(|it| it.ticket == pair.create_revision);
        let posts = self.posts.iter().filter(|(pair, _)| !is_one(pair));
        Self {
            posts: posts.cloned().collect(),
            kept: self.kept.clone(),
        }
    }

    pub(super) fn records(&self, tickets: &[u64]) -> Vec<Record> {
        let wanted = |pair: &KeyValue| tickets.contains(&pair.create_revision);
        let posts = self.posts.iter().filter(|(pair, _)| wanted(pair));
        posts.map(|(pair, post)| record(pair, post)).collect()
    }
}

/// As people see it: ticket and token are not in the value, as nobody knows them before it is put.
pub(super) fn record(pair: &KeyValue, post: &Post) -> Record {
    let holds = post.record.standing == Standing::Holding;
    Record {
        ticket: pair.create_revision,
        token: holds.then_some(pair.mod_revision),
        ..post.record.clone()
    }
}

pub(super) fn post_of(wanted: &Wanted, request: &Request, own: Who) -> Post {
    let cut = |text: &String| text.chars().take(LONGEST_TEXT).collect::<String>();
    Post {
        shape: wanted.shape,
        record: Record {
            ticket: 0,
            token: None,
            name: wanted.name().to_owned(),
            standing: Standing::Waiting,
            ask: wanted.ask(request),
            has: Vec::new(),
            pid: own.pid,
            start_ticks: own.start,
            guardian: None,
            work: None,
            user: surroundings::user().to_owned(),
            uid: surroundings::own_uid(),
            host: surroundings::host().to_owned(),
            command: cut(&request.command),
            why: request.why.as_ref().map(cut),
            origin: request.origin.as_ref().map(cut),
            reserved: false,
            until: None,
            asked_at: surroundings::now() as f64 / 1e6,
            held_since: None,
        },
        dismissed: None,
    }
}

pub(super) fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, LockError> {
    serde_json::to_vec(value).map_err(|error| LockError::Damaged {
        path: "what is to be kept".into(),
        why: error.to_string(),
    })
}

pub(super) fn post(pair: &KeyValue) -> Result<Post, LockError> {
    serde_json::from_slice(&pair.value).map_err(|error| LockError::Damaged {
        path: String::from_utf8_lossy(&pair.key).into_owned().into(),
        why: error.to_string(),
    })
}
