//! The machine as a table, for the reference: every event in every state, by asking it.

use std::time::Duration;

use super::machine::{Action, Event, Life, Policy, State, StopRequest, Timer};
use super::outcome::End;
use crate::signal::Signal;

/// Rows of events with, for each state, what follows.
#[must_use]
pub fn table() -> Vec<(String, Vec<String>)> {
    events()
        .into_iter()
        .map(|(name, event)| {
            let cells = State::ALL.iter().map(|state| cell(*state, event)).collect();
            (name, cells)
        })
        .collect()
}

fn events() -> Vec<(String, Event)> {
    let end = End::Exited { code: 0 };
    let mut events = vec![
        ("leader started".to_owned(), Event::Spawned),
        ("start failed".to_owned(), Event::SpawnFailed(end)),
        ("leader ended".to_owned(), Event::LeaderExited(end)),
        ("tree empty".to_owned(), Event::TreeEmptied),
        ("output ended".to_owned(), Event::OutputEnded),
        (
            "stop requested".to_owned(),
            Event::StopRequested(StopRequest::Signal(Signal::TERM)),
        ),
        (
            "front lost".to_owned(),
            Event::StopRequested(StopRequest::FrontLost),
        ),
        (
            "lock about to be lost".to_owned(),
            Event::LockLost {
                left: Duration::from_secs(1),
            },
        ),
        (
            "lock lost".to_owned(),
            Event::LockLost {
                left: Duration::ZERO,
            },
        ),
        ("kill stalled".to_owned(), Event::KillStalled),
    ];
    events.extend(
        Timer::ALL
            .into_iter()
            .map(|timer| (format!("{timer:?} over"), Event::TimerFired(timer))),
    );
    events
}

/// A life that has come to `state` by its shortest way.
fn life_in(state: State) -> Life {
    let end = Event::LeaderExited(End::Exited { code: 0 });
    let stop = Event::StopRequested(StopRequest::Signal(Signal::TERM));
    let way: &[Event] = match state {
        State::Spawning => &[],
        State::Running => &[Event::Spawned],
        State::Lingering => &[Event::Spawned, end],
        State::Stopping => &[Event::Spawned, stop],
        State::Killing => &[Event::Spawned, stop, stop],
        State::Draining => &[Event::Spawned, end, Event::TreeEmptied],
        State::Done => &[Event::Spawned, end, Event::TreeEmptied, Event::OutputEnded],
    };
    let mut life = Life::new(Policy {
        timeout: Some(Duration::from_secs(1)),
        idle_timeout: Some(Duration::from_secs(1)),
        warn_after: Some(Duration::from_secs(1)),
        ..Policy::default()
    });
    for event in way {
        life.handle(*event, &mut Vec::new());
    }
    debug_assert_eq!(life.state(), state);
    life
}

fn cell(state: State, event: Event) -> String {
    let mut life = life_in(state);
    // In a stop the leader may have ended before the tree is found empty.
    if event == Event::TreeEmptied && matches!(state, State::Stopping | State::Killing) {
        life.handle(
            Event::LeaderExited(End::Exited { code: 0 }),
            &mut Vec::new(),
        );
    }
    let mut actions = Vec::new();
    life.handle(event, &mut actions);
    let mut parts = Vec::new();
    if life.state() != state {
        parts.push(format!("**{:?}**", life.state()));
    }
    parts.extend(actions.iter().filter_map(describe));
    if parts.is_empty() {
        "·".to_owned()
    } else {
        parts.join(", ")
    }
}

fn describe(action: &Action) -> Option<String> {
    match action {
        Action::Arm(timer, _) => Some(format!("arm {timer:?}")),
        Action::Disarm(_) => None,
        Action::Warn => Some("warn".to_owned()),
        Action::NameLeftOver => Some("name left-overs".to_owned()),
        Action::SignalTree(..) => Some("tell all".to_owned()),
        Action::KillTree => Some("kill all".to_owned()),
        Action::DrainOutput => Some("drain".to_owned()),
        Action::Finish => Some("report".to_owned()),
    }
}
