//! Telling whoever holds a lock to stop: his keepers by the order that they know, anything else by
//! a plain TERM.

use std::time::Duration;

use ward_lock::Record;
use ward_model::signal::Signal;
use ward_model::wire::StopOrder;
use ward_sys::contain::process::{Process, Told};

/// Tells a holder to stop, as `ward stop` tells a daemon: with its own grace, or another. Who
/// guards the work is told, or, where there is nobody, the work itself. Returns whether anybody was.
///
/// A process is only told if it is still the one that the queue speaks of.
#[must_use]
pub fn tell_to_stop(holder: &Record, grace: Option<Duration>) -> bool {
    if !holder.is_on_this_host() {
        return false;
    }
    let moment = ward_sys::clock::since_boot().as_millis() % u128::from(StopOrder::REQUESTS);
    let order = StopOrder {
        request: u16::try_from(moment).unwrap_or(0),
        grace,
    };
    let tell = |who: (i32, u64)| {
        let held = Process::hold(who.0).filter(|process| process.stat().start_ticks == who.1);
        held.is_some_and(|process| {
            let told = process.signal_with(Signal::TERM.number(), order.to_number());
            // One that somebody has stopped would never hear of it.
            if told == Told::Yes {
                let _ = process.signal(Signal::CONT.number());
            }
            told == Told::Yes
        })
    };
    let front = tell((holder.pid, holder.start_ticks));
    let guardian = holder.guardian.is_some_and(tell);
    front || guardian || holder.work.is_some_and(tell)
}

/// Whether [`tell_to_stop`] would reach anybody: of another user, or in another container whose host has
/// our name, it would not.
#[must_use]
pub fn can_be_told(holder: &Record) -> bool {
    let is_ours = |(pid, start): (i32, u64)| {
        let held = Process::hold(pid).filter(|process| process.stat().start_ticks == start);
        held.is_some_and(|process| process.may_be_signalled())
    };
    let all = [
        Some((holder.pid, holder.start_ticks)),
        holder.guardian,
        holder.work,
    ];
    holder.is_on_this_host() && all.into_iter().flatten().any(is_ours)
}

/// Kills the work of a holder, and nobody else: for when those who would have stopped it are gone.
pub fn kill_work(holder: &Record) {
    let Some((pid, start)) = holder.work.filter(|_| holder.is_on_this_host()) else {
        return;
    };
    let held = Process::hold(pid).filter(|process| process.stat().start_ticks == start);
    if let Some(process) = held {
        let _ = process.signal(Signal::KILL.number());
    }
}
