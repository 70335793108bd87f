//! Telling those again who have become somebody else since.
//!
//! A shell's child is the shell until it has executed its program. A signal that it gets until then is taken by the
//! shell's handler, and what that has noted is gone with the exec: the program goes on as if nobody had told it.

use std::time::{Duration, Instant};

use ward_model::signal::Signal;
use ward_sys::contain::process::Process;
use ward_sys::procfs::Stat;

use super::Tree;

/// Who has been a fork for longer than this was not on its way to a program: if it executes one now, that may be
/// what it does about the signal.
const YOUNG: Duration = Duration::from_secs(10);

/// The first look comes after this, each further one after twice as long.
const FIRST_LOOK: Duration = Duration::from_millis(10);

/// Who was told while it was a fork.
#[derive(Debug)]
pub(super) struct Forks {
    signal: Signal,
    /// Process id and start; told again they are no longer in here.
    told: Vec<(i32, u64)>,
    look_at: Instant,
    pause: Duration,
}

/// Whether a signal that is sent now may be lost by an exec; to be asked just before. Of all others the answer costs
/// nothing.
pub(super) fn may_lose_it(stat: &Stat) -> bool {
    stat.is_fork && stat.age() <= YOUNG && Stat::of(stat.pid).is_some_and(|now| now.is_fork)
}

impl Tree {
    /// Takes note of who was told, and might have lost it.
    pub(super) fn note_fork(&mut self, stat: &Stat, may_lose_it: bool, signal: Signal) {
        if !may_lose_it {
            return;
        }
        let forks = self.forks.get_or_insert_with(|| Forks {
            signal,
            told: Vec::new(),
            look_at: Instant::now() + FIRST_LOOK,
            pause: FIRST_LOOK,
        });
        forks.told.push((stat.pid, stat.start_ticks));
    }

    /// When [`Tree::tell_again`] has something to look at.
    pub(crate) fn tell_again_at(&self) -> Option<Instant> {
        self.forks.as_ref().map(|forks| forks.look_at)
    }

    /// Sends the stop signal, once, to those members who were forks when they were told and have executed a
    /// program since, unless they ask to stay.
    pub(crate) fn tell_again(&mut self) {
        let Some(mut forks) = self.forks.take() else {
            return;
        };
        let members = self.custody();
        let known = |told: &(i32, u64)| {
            let mut stats = members.iter().map(|member| &member.stat);
            stats.find(|stat| (stat.pid, stat.start_ticks) == *told)
        };
        forks.told.retain(|told| match known(told) {
            None => false,
            Some(stat) if stat.is_fork => true,
            Some(_) => {
                if let Some(process) = Process::hold(told.0)
                    && process.stat().start_ticks == told.1
                {
                    // Who may not be signalled was named when it was told.
                    let _ = process.signal(forks.signal.number());
                }
                false
            }
        });
        if forks.told.is_empty() {
            return;
        }
        forks.pause *= 2;
        forks.look_at = Instant::now() + forks.pause;
        self.forks = Some(forks);
    }
}
