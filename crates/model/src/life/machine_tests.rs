//! The machine against a table of stories, and against trees that do whatever they like.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const OK: End = End::Exited { code: 0 };

fn policy() -> Policy {
    Policy {
        timeout: Some(Duration::from_secs(60)),
        idle_timeout: Some(Duration::from_secs(30)),
        ..Policy::default()
    }
}

/// The lock is good for so many more seconds.
fn lock_lost(seconds: u64) -> Event {
    Event::LockLost {
        left: Duration::from_secs(seconds),
    }
}

fn term() -> Event {
    Event::StopRequested(StopRequest::Signal(Signal::TERM))
}

/// Drives a fresh life through `events` and returns it with everything it asked for.
fn live(events: &[Event]) -> (Life, Vec<Action>) {
    let mut life = Life::new(policy());
    let mut actions = Vec::new();
    for event in events {
        life.handle(*event, &mut actions);
    }
    (life, actions)
}

#[test]
fn a_quiet_life() {
    let (life, actions) = live(&[
        Event::Spawned,
        Event::OutputEnded,
        Event::LeaderExited(OK),
        Event::TreeEmptied,
    ]);
    let outcome = life.outcome().expect("done");
    assert_eq!(
        (outcome.end, outcome.cause, outcome.forced),
        (OK, None, false)
    );
    assert!(
        !actions
            .iter()
            .any(|a| matches!(a, Action::SignalTree(..) | Action::KillTree))
    );
    assert_eq!(actions.last(), Some(&Action::Finish));
}

#[test]
fn end_of_output_is_not_the_end_of_the_tree() {
    let (life, _) = live(&[Event::Spawned, Event::OutputEnded, Event::LeaderExited(OK)]);
    assert_eq!(life.state(), State::Lingering);
}

#[test]
fn an_empty_tree_is_not_the_end_of_output() {
    let (mut life, actions) = live(&[Event::Spawned, Event::LeaderExited(OK), Event::TreeEmptied]);
    assert_eq!(life.state(), State::Draining);
    assert_eq!(actions.last(), Some(&Action::DrainOutput));
    life.handle(Event::OutputEnded, &mut Vec::new());
    assert_eq!(life.state(), State::Done);
}

#[test]
fn an_empty_tree_is_believed_only_after_the_leader() {
    let (life, _) = live(&[Event::Spawned, term(), Event::TreeEmptied]);
    assert_eq!(life.state(), State::Stopping);
}

#[test]
fn left_overs_climb_the_whole_ladder() {
    let (life, actions) = live(&[
        Event::Spawned,
        Event::LeaderExited(OK),
        Event::TimerFired(Timer::LeftOverGrace),
        Event::TimerFired(Timer::Grace),
        Event::TimerFired(Timer::KillAgain),
        Event::TreeEmptied,
        Event::OutputEnded,
    ]);
    let outcome = life.outcome().expect("done");
    assert_eq!(outcome.cause, Some(CauseKind::LeftOver));
    assert!(outcome.forced && !outcome.stopped_before_end);
    assert!(actions.contains(&Action::NameLeftOver));
    assert!(actions.contains(&Action::SignalTree(Signal::TERM, CauseKind::LeftOver)));
    assert_eq!(
        actions.iter().filter(|a| **a == Action::KillTree).count(),
        2
    );
}

#[test]
fn a_second_request_skips_the_grace() {
    let (life, actions) = live(&[Event::Spawned, term(), term()]);
    assert_eq!(life.state(), State::Killing);
    assert!(actions.contains(&Action::KillTree));
    assert_eq!(
        actions
            .iter()
            .filter(|a| matches!(a, Action::SignalTree(..)))
            .count(),
        1
    );
}

#[test]
fn a_first_request_while_left_overs_stop_is_a_first_request() {
    let (mut life, _) = live(&[
        Event::Spawned,
        Event::LeaderExited(OK),
        Event::TimerFired(Timer::LeftOverGrace),
        term(),
    ]);
    assert_eq!(life.state(), State::Stopping);
    life.handle(term(), &mut Vec::new());
    assert_eq!(life.state(), State::Killing);
}

#[test]
fn losing_the_front_keeps_the_grace_that_runs() {
    let lost = Event::StopRequested(StopRequest::FrontLost);
    let (life, actions) = live(&[Event::Spawned, term(), lost, lost]);
    assert_eq!(
        (life.state(), life.cause()),
        (State::Stopping, Some(CauseKind::FrontLost))
    );
    assert!(!actions.contains(&Action::KillTree));
}

#[test]
fn a_request_while_starting_is_kept() {
    let (life, actions) = live(&[term(), Event::Spawned]);
    assert_eq!(life.state(), State::Stopping);
    assert!(actions.contains(&Action::SignalTree(Signal::TERM, CauseKind::Requested)));
}

#[test]
fn what_cannot_be_killed_does_not_hang() {
    let (life, actions) = live(&[
        Event::Spawned,
        term(),
        term(),
        Event::KillStalled,
        Event::OutputEnded,
    ]);
    assert!(life.outcome().expect("done").stalled);
    assert_eq!(actions.last(), Some(&Action::Finish));
}

#[test]
fn the_signal_received_is_the_signal_sent_unless_another_was_chosen() {
    let int = Event::StopRequested(StopRequest::Signal(Signal::INT));
    let (_, actions) = live(&[Event::Spawned, int]);
    assert!(actions.contains(&Action::SignalTree(Signal::INT, CauseKind::Requested)));

    let mut life = Life::new(Policy {
        stop_signal: Some(Signal::HUP),
        ..policy()
    });
    let mut actions = Vec::new();
    life.handle(Event::Spawned, &mut actions);
    life.handle(int, &mut actions);
    assert!(actions.contains(&Action::SignalTree(Signal::HUP, CauseKind::Requested)));
}

#[test]
fn without_grace_nobody_is_asked() {
    let mut life = Life::new(Policy {
        grace: Duration::ZERO,
        ..policy()
    });
    let mut actions = Vec::new();
    life.handle(Event::Spawned, &mut actions);
    life.handle(term(), &mut actions);
    assert_eq!(life.state(), State::Killing);
    assert!(!actions.iter().any(|a| matches!(a, Action::SignalTree(..))));
    assert!(actions.contains(&Action::KillTree));
}

#[test]
fn a_lock_that_is_being_lost_shortens_the_grace() {
    for (left, grace) in [(4, 4), (600, 10)] {
        let (mut life, mut actions) = live(&[Event::Spawned, lock_lost(left)]);
        assert_eq!(life.state(), State::Stopping);
        assert!(actions.contains(&Action::SignalTree(Signal::TERM, CauseKind::LockLost)));
        assert!(actions.contains(&Action::Arm(Timer::Grace, Duration::from_secs(grace))));
        actions.clear();
        // Who ends in time is not killed, and yet the status says why.
        for event in [
            Event::LeaderExited(OK),
            Event::TreeEmptied,
            Event::OutputEnded,
        ] {
            life.handle(event, &mut actions);
        }
        assert!(!actions.contains(&Action::KillTree));
        let outcome = life.outcome().expect("done");
        assert!(outcome.stopped_before_end && !outcome.forced);
        assert_eq!(crate::exit_code::of(&outcome), crate::exit_code::LOCK_LOST);
    }
}

#[test]
fn a_lost_lock_leaves_no_time() {
    for before in [
        vec![],
        vec![Event::LeaderExited(OK)],
        vec![term()],
        vec![lock_lost(5)],
        vec![
            Event::LeaderExited(OK),
            Event::TimerFired(Timer::LeftOverGrace),
        ],
    ] {
        let mut events = vec![Event::Spawned];
        events.extend(before);
        let (mut life, _) = live(&events);
        let mut actions = Vec::new();
        life.handle(lock_lost(0), &mut actions);
        assert_eq!(life.state(), State::Killing, "{events:?}");
        assert!(actions.contains(&Action::KillTree));
        assert!(!actions.iter().any(|a| matches!(a, Action::SignalTree(..))));
        assert_eq!(life.cause(), Some(CauseKind::LockLost));
    }
}

#[test]
fn a_stop_that_runs_keeps_its_grace_until_the_lock_is_gone() {
    let (mut life, actions) = live(&[Event::Spawned, term(), lock_lost(5)]);
    assert_eq!(
        (life.state(), life.cause()),
        (State::Stopping, Some(CauseKind::LockLost))
    );
    let told = |a: &&Action| matches!(a, Action::SignalTree(..));
    assert_eq!(actions.iter().filter(told).count(), 1);
    life.handle(lock_lost(0), &mut Vec::new());
    assert_eq!(life.state(), State::Killing);
}

#[test]
fn a_lock_that_is_lost_while_starting_is_remembered() {
    let (life, actions) = live(&[lock_lost(3), Event::Spawned]);
    assert_eq!(life.state(), State::Stopping);
    assert!(actions.contains(&Action::Arm(Timer::Grace, Duration::from_secs(3))));
    let (life, _) = live(&[lock_lost(0), Event::Spawned]);
    assert_eq!(life.state(), State::Killing);
}

#[test]
fn no_other_reason_hides_a_lost_lock() {
    let lost = Event::StopRequested(StopRequest::FrontLost);
    for reason in [lost, term()] {
        let (life, _) = live(&[Event::Spawned, lock_lost(5), reason]);
        assert_eq!(life.cause(), Some(CauseKind::LockLost));
        let (life, _) = live(&[Event::Spawned, reason, lock_lost(5)]);
        assert_eq!(life.cause(), Some(CauseKind::LockLost));
    }
}

#[test]
fn who_runs_for_long_is_warned_of_once_and_only_while_it_runs() {
    let mut life = Life::new(Policy {
        warn_after: Some(Duration::from_secs(45)),
        ..policy()
    });
    let mut actions = Vec::new();
    life.handle(Event::Spawned, &mut actions);
    assert!(actions.contains(&Action::Arm(Timer::Warning, Duration::from_secs(45))));
    actions.clear();
    life.handle(Event::TimerFired(Timer::Warning), &mut actions);
    assert_eq!(actions, [Action::Warn]);
    assert_eq!(life.state(), State::Running);
    actions.clear();
    life.handle(Event::LeaderExited(OK), &mut actions);
    assert!(actions.contains(&Action::Disarm(Timer::Warning)));
    actions.clear();
    life.handle(Event::TimerFired(Timer::Warning), &mut actions);
    assert_eq!(actions, []);
}

#[test]
fn a_limit_of_the_tree_goes_on_when_the_leader_has_ended() {
    for limits_the_tree in [false, true] {
        let mut life = Life::new(Policy {
            warn_after: Some(Duration::from_secs(45)),
            limits_the_tree,
            ..policy()
        });
        let mut actions = Vec::new();
        for event in [Event::Spawned, Event::LeaderExited(OK)] {
            life.handle(event, &mut actions);
        }
        let disarmed = |timer| actions.contains(&Action::Disarm(timer));
        assert_eq!(disarmed(Timer::TimeLimit), !limits_the_tree);
        assert_eq!(disarmed(Timer::Warning), !limits_the_tree);
        assert!(disarmed(Timer::IdleLimit));
        actions.clear();
        life.handle(Event::TimerFired(Timer::Warning), &mut actions);
        life.handle(Event::TimerFired(Timer::TimeLimit), &mut actions);
        assert_eq!(actions.contains(&Action::Warn), limits_the_tree);
        let told = Action::SignalTree(Signal::TERM, CauseKind::TimeLimit);
        assert_eq!(actions.contains(&told), limits_the_tree);
        assert_eq!(actions.contains(&Action::NameLeftOver), limits_the_tree);
    }
}

fn follower() -> Life {
    let mut life = Life::new(Policy {
        follow: true,
        ..policy()
    });
    life.handle(Event::Spawned, &mut Vec::new());
    life
}

#[test]
fn who_puts_its_work_into_the_background_is_followed() {
    let mut life = follower();
    let mut actions = Vec::new();
    life.handle(Event::LeaderExited(OK), &mut actions);
    assert!(life.is_followed());
    assert!(
        !actions
            .iter()
            .any(|action| matches!(action, Action::Arm(Timer::LeftOverGrace, _)))
    );
    actions.clear();
    life.handle(term(), &mut actions);
    assert_eq!(
        actions
            .iter()
            .find(|action| matches!(action, Action::SignalTree(..) | Action::NameLeftOver)),
        Some(&Action::SignalTree(Signal::TERM, CauseKind::Requested))
    );
    life.handle(Event::TreeEmptied, &mut actions);
    life.handle(Event::OutputEnded, &mut actions);
    let outcome = life.outcome().expect("done");
    assert_eq!(
        (outcome.end, outcome.cause),
        (OK, Some(CauseKind::Requested))
    );
}

#[test]
fn who_fails_takes_what_it_left_along() {
    for end in [End::Exited { code: 1 }, End::Unknown] {
        let mut life = follower();
        let mut actions = Vec::new();
        life.handle(Event::LeaderExited(end), &mut actions);
        assert!(!life.is_followed());
        assert!(
            actions
                .iter()
                .any(|action| matches!(action, Action::Arm(Timer::LeftOverGrace, _)))
        );
    }
}

fn any_end() -> impl Strategy<Value = End> {
    prop_oneof![
        any::<u8>().prop_map(|code| End::Exited { code }),
        (1..=31i32).prop_map(|n| End::Signaled {
            signal: Signal::from_number(n).expect("in range"),
            core_dumped: false
        }),
        Just(End::Unknown),
    ]
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Spawned),
        any::<bool>().prop_map(|exec| Event::SpawnFailed(End::NotStarted { errno: 2, exec })),
        any_end().prop_map(Event::LeaderExited),
        Just(Event::TreeEmptied),
        Just(Event::OutputEnded),
        Just(term()),
        Just(Event::StopRequested(StopRequest::FrontLost)),
        (0..20u64).prop_map(lock_lost),
        Just(lock_lost(0)),
        (0..Timer::ALL.len()).prop_map(|i| Event::TimerFired(Timer::ALL[i])),
        Just(Event::KillStalled),
    ]
}

proptest! {
    /// Whatever the order of events: one report, one stop signal to all, causes only rise,
    /// nothing is asked after the end, and no kill before the grace was over or waived, or the
    /// lock was lost. No grace is longer than the lock is good for.
    #[test]
    fn invariants(
        events in prop::collection::vec(any_event(), 0..40),
        follow: bool,
        limits_the_tree: bool,
    ) {
        let warn_after = Some(Duration::from_secs(45));
        let mut life = Life::new(Policy { follow, warn_after, limits_the_tree, ..policy() });
        let (mut finished, mut signalled, mut warned, mut may_kill) = (0, 0, 0, false);
        let (mut cause, mut left) = (None, Duration::MAX);
        let mut armed = HashSet::new();
        for event in events {
            // What was not armed does not fire; for the other timers even that would be harmless.
            if event == Event::TimerFired(Timer::Warning) && !armed.contains(&Timer::Warning) {
                continue;
            }
            let before = life.state();
            let mut actions = Vec::new();
            may_kill |= before == State::Stopping
                && (event == Event::TimerFired(Timer::Grace) || event == term());
            if let Event::LockLost { left: now } = event {
                left = left.min(now);
                may_kill |= now.is_zero();
            }
            life.handle(event, &mut actions);
            if before == State::Done {
                prop_assert!(actions.is_empty());
            }
            if event == lock_lost(0) {
                prop_assert!(!matches!(
                    life.state(),
                    State::Running | State::Lingering | State::Stopping
                ));
            }
            prop_assert!(life.cause() >= cause);
            cause = life.cause();
            for action in &actions {
                match action {
                    Action::Arm(timer, after) => {
                        armed.insert(*timer);
                        prop_assert!(*timer != Timer::Grace || *after <= left);
                    }
                    Action::Disarm(timer) => { armed.remove(timer); }
                    Action::Warn => {
                        warned += 1;
                        let lingers = limits_the_tree && life.state() == State::Lingering;
                        prop_assert!(lingers || life.state() == State::Running);
                        prop_assert!(armed.remove(&Timer::Warning));
                    }
                    Action::NameLeftOver => prop_assert!(life.end().is_some()),
                    Action::SignalTree(..) => signalled += 1,
                    Action::KillTree => prop_assert!(may_kill),
                    Action::DrainOutput => prop_assert_eq!(life.state(), State::Draining),
                    Action::Finish => finished += 1,
                }
            }
            if life.state() == State::Done {
                prop_assert!(armed.is_empty());
            }
        }
        prop_assert!(signalled <= 1 && warned <= 1);
        prop_assert_eq!(finished, u32::from(life.state() == State::Done));
        prop_assert_eq!(life.outcome().is_some(), life.state() == State::Done);
    }

    /// However hostile the tree: once everything that must happen has happened (timers fire,
    /// the kill empties or stalls, the drain ends or its limit fires), the life is done.
    #[test]
    fn every_life_ends(
        events in prop::collection::vec(any_event(), 0..40),
        stalls: bool,
        follow: bool,
    ) {
        let mut life = Life::new(Policy { follow, ..policy() });
        let mut actions = Vec::new();
        life.handle(Event::Spawned, &mut actions);
        for event in events {
            life.handle(event, &mut actions);
        }
        life.handle(term(), &mut actions);
        life.handle(Event::TimerFired(Timer::Grace), &mut actions);
        if stalls {
            life.handle(Event::KillStalled, &mut actions);
        } else {
            life.handle(Event::LeaderExited(OK), &mut actions);
            life.handle(Event::TreeEmptied, &mut actions);
        }
        life.handle(Event::OutputEnded, &mut actions);
        prop_assert_eq!(life.state(), State::Done);
    }
}
