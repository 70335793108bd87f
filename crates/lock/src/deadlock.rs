//! Waits that would never end: somebody holds one lock and waits for another whose holder waits
//! for the first.
//!
//! Only who is a part of what holds a lock can be in such a ring. He looks when he has taken his
//! place, and again each second, without holding anybody up. If there is a ring, who came last
//! gives up; the others need not.

use std::collections::HashMap;
use std::fs;

use ward_model::lock::Standing;

use crate::error::LockError;
use crate::image::{Entry, Image};
use crate::name::{self, Badge, Name};
use crate::place::Directory;
use crate::record::Record;
use crate::request::Request;
use crate::store::Store;

/// A place in one of the queues: whose file, and the ticket.
type Node = (String, u64);

struct Queues {
    all: HashMap<String, (Store, Image)>,
}

impl Queues {
    fn read(directory: &Directory) -> Result<Self, LockError> {
        let entries =
            fs::read_dir(directory.path()).map_err(LockError::io("read", directory.path()))?;
        let mut all = HashMap::new();
        for entry in entries.flatten() {
            let file = entry.file_name().into_string().unwrap_or_default();
            let Some(root) = name::decode(&file) else {
                continue;
            };
            if !entry.file_type().is_ok_and(|kind| kind.is_file()) {
                continue;
            }
            // What cannot be read is nobody's whom we know of. Those that nobody uses are closed again:
            // there may be more of them than descriptors.
            if let Ok(Some(store)) =
                Name::exact(&root, "").and_then(|it| Store::known(directory.path(), &it))
                && let Ok(Some(image)) = store.read()
                && !image.entries.is_empty()
            {
                all.insert(file, (store, image));
            }
        }
        Ok(Self { all })
    }

    fn entry(&self, node: &Node) -> Option<(&Store, &Image, &Entry)> {
        let (store, image) = self.all.get(&node.0)?;
        let entry = image.entries.iter().find(|it| it.ticket == node.1)?;
        store
            .is_there(entry)
            .unwrap_or(false)
            .then_some((store, image, entry))
    }

    /// Whom somebody waits for; or, if he holds, who waits as a part of his work.
    fn next(&self, node: &Node) -> Vec<Node> {
        let Some((store, image, entry)) = self.entry(node) else {
            return Vec::new();
        };
        if entry.standing == Standing::Holding {
            return self.parts_of(node);
        }
        let text = store.text(entry);
        let above = |file: &str| {
            let of_file = text.above.iter().filter(|badge| badge.lock == file);
            of_file.map(|badge| badge.ticket).collect::<Vec<_>>()
        };
        let blocking = |file: &str, store: &Store, image: &Image, ticket| {
            let family = if text.reentrant {
                above(file)
            } else {
                Vec::new()
            };
            store
                .blockers(image, ticket, &family)
                .into_iter()
                .map(|other| (file.to_owned(), other))
                .collect::<Vec<_>>()
        };
        let mut nodes = blocking(&node.0, store, image, node.1);
        for Badge { lock, ticket } in &text.together {
            if let Some((store, image)) = self.all.get(lock) {
                nodes.extend(blocking(lock, store, image, *ticket));
            }
        }
        nodes
    }

    fn parts_of(&self, node: &Node) -> Vec<Node> {
        let mut nodes = Vec::new();
        for (file, (store, image)) in &self.all {
            let parts = image.entries.iter().filter(|it| {
                it.has_above
                    && it.standing == Standing::Waiting
                    && store
                        .text(it)
                        .above
                        .iter()
                        .any(|badge| badge.ticket == node.1 && badge.lock == node.0)
            });
            nodes.extend(parts.map(|it| (file.clone(), it.ticket)));
        }
        nodes
    }

    /// What `node` does that is kept by `next`.
    fn sentence(&self, node: &Node, next: &Node) -> Option<String> {
        let (store, _, entry) = self.entry(node)?;
        let text = store.text(entry);
        let who = Record::new(entry, &text).named().summary();
        let name = |store: &Store, entry: &Entry| store.text(entry).name.clone();
        Some(match entry.standing {
            Standing::Holding => format!("{who} holds `{}`", text.name),
            // Of several that he wants at once, the one that keeps him.
            Standing::Waiting => {
                let beside = text.together.iter().find(|badge| badge.lock == next.0);
                let beside = beside.filter(|_| next.0 != node.0).and_then(|badge| {
                    let (store, _, entry) = self.entry(&(badge.lock.clone(), badge.ticket))?;
                    Some(name(store, entry))
                });
                let wanted = beside.unwrap_or_else(|| text.name.clone());
                format!("{who} waits for `{wanted}`")
            }
        })
    }
}

/// Refuses to wait if that would never end, and nobody in the ring came after us.
pub(crate) fn refuse(
    directory: &Directory,
    request: &Request,
    ours: &[Badge],
) -> Result<(), LockError> {
    let queues = Queues::read(directory)?;
    let ours = ours.iter().map(|badge| (badge.lock.clone(), badge.ticket));
    let ours: Vec<Node> = ours.collect();
    let Some((ring, back)) = ring(&queues, &ours) else {
        return Ok(());
    };
    let asked_at = |node| queues.entry(node).map_or(0, |(_, _, entry)| entry.asked_at);
    let own = ring.first().map_or(0, asked_at);
    let later = ring.iter().skip(1).any(|node| {
        queues.entry(node).is_some_and(|(_, _, entry)| {
            let nested = entry.has_above && entry.standing == Standing::Waiting;
            nested && !ours.contains(node) && entry.asked_at > own
        })
    });
    if later {
        return Ok(());
    }
    let next = ring.iter().skip(1).chain([&back]);
    let sentences = ring.iter().zip(next);
    Err(LockError::Deadlock {
        name: request.names(),
        ring: sentences
            .filter_map(|(node, next)| queues.sentence(node, next))
            .collect(),
    })
}

/// The way from us back to us, beginning with us, and as whom it comes back; none if there is none.
fn ring(queues: &Queues, ours: &[Node]) -> Option<(Vec<Node>, Node)> {
    let mut came_from: HashMap<Node, Node> = HashMap::new();
    let mut open: Vec<Node> = ours.to_vec();
    while let Some(node) = open.pop() {
        for next in queues.next(&node) {
            if ours.contains(&next) {
                let mut way = vec![node.clone()];
                let mut at = &node;
                while let Some(before) = came_from.get(at) {
                    way.push(before.clone());
                    at = before;
                }
                way.reverse();
                return Some((way, next));
            }
            if !came_from.contains_key(&next) && queues.entry(&next).is_some() {
                came_from.insert(next.clone(), node.clone());
                open.push(next);
            }
        }
    }
    None
}
