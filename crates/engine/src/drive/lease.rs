//! The lease of a lock in the loop: its end is the end of the work, by a clock that never
//! stands still.

use std::time::Instant;

use rustix::event::epoll::EventFlags;
use ward_model::life::{CauseKind, Event, State};

use super::{Drive, LEASE};
use crate::error::EngineError;
use crate::lease::{Ending, Lookout};
use crate::notice;

impl Drive<'_> {
    /// Keeps an eye on the lease, if the run is bound to one.
    ///
    /// # Errors
    /// When no descriptor can be had.
    pub(super) fn look_out(&mut self) -> Result<(), EngineError> {
        let Some(watch) = self.custody.locks.lease() else {
            return Ok(());
        };
        let lookout = Lookout::new(watch).map_err(EngineError::system("watch a lease"))?;
        self.watch(&lookout, LEASE, EventFlags::IN);
        // It rings for ever.
        let once = EventFlags::IN | EventFlags::ONESHOT;
        self.watch(watch.lease.bell(), LEASE, once);
        self.lookout = Some(lookout);
        Ok(())
    }

    /// How the lease stands; `None` while all is well, or if there is none.
    pub(super) fn lease_ending(&self) -> Option<Ending> {
        let lookout = self.lookout.as_ref()?;
        lookout.look(self.custody.locks.lease()?)
    }

    /// Looks at the lease, and begins to stop everybody if it comes to its end.
    pub(super) fn on_lease(&mut self) {
        let Some(ending) = self.lease_ending() else {
            return;
        };
        if matches!(self.life.state(), State::Draining | State::Done) {
            // Who is left cannot be ended.
            self.lookout = None;
            return;
        }
        let begins = !std::mem::replace(&mut self.losing_lock, true);
        if begins {
            self.give_lock_up(ending);
        }
        let is_over = ending.left.is_zero();
        if is_over {
            self.lookout = None;
        }
        if begins || is_over {
            let left = ending.left;
            self.events.push_back(Event::LockLost { left });
        }
    }

    fn give_lock_up(&mut self, ending: Ending) {
        let now = Instant::now();
        if let Some(watch) = self.custody.locks.lease() {
            // Should we be killed now, the other half carries on with it.
            watch.lease.give_up();
        }
        // Job control stops neither the lease's clock nor, from now on, ours.
        self.timers.resume(now);
        self.custody
            .account
            .stop_asked(CauseKind::LockLost, None, None, now);
        let allowed = self.custody.spec.policy.grace.min(ending.left);
        self.custody.spec.policy.grace = allowed;
        let name = self.custody.spec.name();
        let text = match self.life.state() {
            State::Spawning | State::Running | State::Lingering => {
                notice::lock_lost(&name, ending.ends_in, allowed)
            }
            State::Stopping => notice::lock_lost_meanwhile(ending.ends_in, ending.left),
            State::Killing | State::Draining | State::Done => notice::lock_ends(ending.ends_in),
        };
        self.custody.notice(&text);
    }

    /// Looks whether the lock is free by now: then its lease is nobody's business any more, unless
    /// everybody is being stopped on its account. They were at work under it.
    pub(super) fn let_go_of_lease(&mut self) {
        if !self.losing_lock && !self.custody.locks.are_held() {
            self.lookout = None;
        }
    }

    /// Carries on what a killed guardian had begun to do on account of the lock, before it is
    /// asked whether the leader has ended, as that may have been why.
    pub(super) fn take_over_lease(&mut self) {
        let lease = self.custody.locks.lease().map(|watch| &watch.lease);
        if !lease.is_some_and(ward_sys::lease::Lease::is_given_up) {
            return;
        }
        let moment = self.moment.take();
        self.on_lease();
        while let Some(event) = self.events.pop_front() {
            self.feed(event);
        }
        self.moment = moment;
    }
}
