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
        (0..Timer::ALL.len()).prop_map(|i| Event::TimerFired(Timer::ALL[i])),
        Just(Event::KillStalled),
    ]
}

proptest! {
    /// Whatever the order of events: one report, one stop signal to all, causes only rise,
    /// nothing is asked after the end, and no kill before the grace was over or waived.
    #[test]
    fn invariants(events in prop::collection::vec(any_event(), 0..40), follow: bool) {
        let mut life = Life::new(Policy { follow, ..policy() });
        let (mut finished, mut signalled, mut may_kill) = (0, 0, false);
        let mut cause = None;
        let mut armed = HashSet::new();
        for event in events {
            let before = life.state();
            let mut actions = Vec::new();
            may_kill |= before == State::Stopping
                && (event == Event::TimerFired(Timer::Grace) || event == term());
            life.handle(event, &mut actions);
            if before == State::Done {
                prop_assert!(actions.is_empty());
            }
            prop_assert!(life.cause() >= cause);
            cause = life.cause();
            for action in &actions {
                match action {
                    Action::Arm(timer, _) => { armed.insert(*timer); }
                    Action::Disarm(timer) => { armed.remove(timer); }
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
        prop_assert!(signalled <= 1);
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
