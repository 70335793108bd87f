//! What follows from the queues as they were read: who is in the way, what is given, what is told. No
//! request is made from here.

use std::collections::BTreeSet;
use std::time::Duration;

use ward_model::lock::{Shape, Standing, choose, keeping};

use super::Seat;
use super::post::{Line, Post, json, post};
use super::shared::One;
use crate::acquire::LOOKED_AFTER;
use crate::error::LockError;
use crate::etcd::{Applied, Compare, KeyValue, Op, Txn};
use crate::kept::{Kept, Stamp};
use crate::locks::Grant;
use crate::name::Badge;
use crate::record::Record;
use crate::request::{Gives, Request, Waiting};
use crate::surroundings;

/// What a seat is given.
pub(super) enum Gift {
    /// These, and what must not be forgotten.
    Of(Vec<String>, Option<Kept>),
    Later(Duration),
}

pub(super) fn given(
    seat: &Seat<'_>,
    line: &Line,
    ticket: u64,
    revision: u64,
    waited: bool,
) -> Result<Gift, LockError> {
    let mut kept = match &line.kept {
        None => Kept::default(),
        Some(pair) => serde_json::from_slice(&pair.value).map_err(|error| LockError::Damaged {
            path: seat.kept.clone().into(),
            why: error.to_string(),
        })?,
    };
    Ok(match (&seat.wanted.gives, &seat.format) {
        (Gives::Nothing, _) | (Gives::Timestamp { .. }, None) => {
            let has = if seat.wanted.shape == Shape::Pool {
                choose(&line.places(), ticket, scattered(revision))
            } else {
                Vec::new()
            };
            Gift::Of(has, None)
        }
        (
            Gives::Sequence {
                transactional: false,
            },
            _,
        ) => {
            kept.next += 1;
            Gift::Of(vec![(kept.next - 1).to_string()], Some(kept))
        }
        (
            Gives::Sequence {
                transactional: true,
            },
            _,
        ) => {
            let here: Vec<u64> = line
                .posts
                .iter()
                .map(|(it, _)| it.create_revision)
                .collect();
            let number = kept.number_on_trial(ticket, |other| here.contains(&other));
            Gift::Of(vec![number.to_string()], Some(kept))
        }
        (Gives::Timestamp { .. }, Some(format)) => match kept.stamp(format, waited)? {
            Stamp::Given(text) => Gift::Of(vec![text], Some(kept)),
            Stamp::Later(time) => Gift::Later(time),
        },
    })
}

/// Without a count of grants, which would be one more thing to write: the revision itself grows by as
/// much for each of them, so that the remainder could be the same each time (the finalizer of SplitMix64).
fn scattered(revision: u64) -> u64 {
    let mut mixed = revision.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

pub(super) fn one(seat: &Seat<'_>, record: &Record, token: u64, ticket: u64) -> One {
    let on_trial = matches!(
        seat.wanted.gives,
        Gives::Sequence {
            transactional: true
        }
    );
    One {
        grant: Grant {
            name: seat.wanted.name().to_owned(),
            mode: seat.wanted.mode,
            elements: record.has.clone(),
            token,
            badge: Badge::new(&seat.wanted.name, ticket),
        },
        kept: on_trial.then(|| seat.kept.clone()),
        stop: seat.stop.clone(),
    }
}

/// Tickets of this lock that are held above us.
pub(super) fn tickets_above(request: &Request, seat: &Seat<'_>) -> Vec<u64> {
    let above = request.held_above.iter();
    above
        .filter(|badge| badge.is_of(&seat.wanted.name))
        .map(|badge| badge.ticket)
        .collect()
}

/// Everybody who was there before us must mean the same by the name.
pub(super) fn agree(seat: &Seat<'_>, line: &Line, ticket: u64) -> Result<(), LockError> {
    let before = |(pair, _): &&(KeyValue, Post)| pair.create_revision < ticket;
    let mut others = line.posts.iter().filter(before);
    match others.find(|(_, post)| post.shape != seat.wanted.shape) {
        None => Ok(()),
        Some((_, post)) => Err(LockError::shapes(
            seat.wanted.name(),
            post.shape,
            seat.wanted.shape,
        )),
    }
}

/// Of who is granted it now, and given these.
pub(super) fn granted(post: &Post, has: Vec<String>) -> Post {
    let mut post = post.clone();
    post.record.standing = Standing::Holding;
    post.record.held_since = Some(surroundings::now() as f64 / 1e6);
    post.record.has = has;
    post
}

/// The change, and with it what must not be forgotten of what is given; if nobody else has changed that.
pub(super) fn with_kept(
    change: Txn,
    seat: &Seat<'_>,
    line: &Line,
    kept: Option<Kept>,
) -> Result<Txn, LockError> {
    let Some(kept) = kept else {
        return Ok(change);
    };
    let unchanged = match &line.kept {
        Some(pair) => Compare::unchanged(&seat.kept, pair.mod_revision),
        None => Compare::absent(&seat.kept),
    };
    Ok(change
        .when(unchanged)
        .then(Op::put(&seat.kept, json(&kept)?)))
}

/// Which holders of this lock do not keep us from it, as we are a part of what they hold it for.
pub(super) fn family(request: &Request, seat: &Seat<'_>) -> Vec<u64> {
    if request.reentrant {
        tickets_above(request, seat)
    } else {
        Vec::new()
    }
}

pub(super) fn waiting(request: &Request, seat: &Seat<'_>, line: &Line) -> Waiting {
    let own = line.find(&seat.key).map(|(pair, _)| pair.create_revision);
    let keeping = own.map_or_else(BTreeSet::new, |own| {
        let (places, family) = (line.places(), family(request, seat));
        keeping(seat.wanted.shape, &places, own, &family, LOOKED_AFTER)
    });
    let tickets: Vec<u64> = keeping.into_iter().collect();
    let mut holders = line.records(&tickets);
    holders.retain(|it| it.standing == Standing::Holding);
    Waiting {
        ahead: tickets.len(),
        name: seat.wanted.name().to_owned(),
        holders,
    }
}

/// The queues as a transaction has read them: of each seat its queue, and what is kept.
pub(super) fn lines_of(seats: &[Seat<'_>], seen: &Applied) -> Result<Vec<Line>, LockError> {
    let mut lines = Vec::with_capacity(seats.len());
    for at in 0..seats.len() {
        let mut line = Line::default();
        for pair in seen.range(2 * at).into_iter().flat_map(|it| &it.pairs) {
            line.posts.push((pair.clone(), post(pair)?));
        }
        let kept = seen.range(2 * at + 1);
        line.kept = kept.and_then(|it| it.pairs.first().cloned());
        lines.push(line);
    }
    Ok(lines)
}
