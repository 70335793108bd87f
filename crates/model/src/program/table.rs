//! The machine as a table, for the reference: every event in every state, by asking it.

use std::time::Duration;

use super::machine::{Action, Event, Machine, StopRequest, Timer};
use super::policy::{Autorestart, Policy};
use super::state::State;
use crate::life::End;

const LONG: Duration = Duration::from_secs(60);

/// Rows of events with, for each of [`State::ALL`], what follows.
#[must_use]
pub fn table() -> Vec<(String, Vec<String>)> {
    rows()
        .into_iter()
        .map(|row| {
            let cells = State::ALL
                .into_iter()
                .map(|state| cell(state, &row))
                .collect();
            (row.name.to_owned(), cells)
        })
        .collect()
}

struct Row {
    name: &'static str,
    event: Event,
    policy: Policy,
    /// Whether STARTING means that no process is there yet.
    unspawned: bool,
}

fn rows() -> Vec<Row> {
    let row = |name, event| Row {
        name,
        event,
        policy: Policy {
            // A start that failed is tried again, even if others failed before it.
            startretries: 5,
            ..Policy::default()
        },
        unspawned: false,
    };
    let exited = |code, lived| Event::Exited {
        end: End::Exited { code },
        lived,
    };
    let failed = || Event::SpawnFailed {
        why: String::from("why"),
    };
    let asked = Event::StopRequested(StopRequest::Asked { awaited: true });
    let mut rows = vec![
        row("start", Event::Start),
        Row {
            unspawned: true,
            ..row("spawned", Event::Spawned { pid: 7 })
        },
        Row {
            unspawned: true,
            ..row("spawn failed", failed())
        },
        Row {
            unspawned: true,
            policy: retries(0),
            ..row("spawn failed, no retry left", failed())
        },
        row("exit before startsecs", exited(0, Duration::ZERO)),
        Row {
            policy: retries(0),
            ..row("… no retry left", exited(0, Duration::ZERO))
        },
        row("expected exit", exited(0, LONG)),
        row("unexpected exit", exited(1, LONG)),
        Row {
            policy: Policy {
                autorestart: Autorestart::Never,
                ..Policy::default()
            },
            ..row("… autorestart=false", exited(1, LONG))
        },
        row("stop asked for", asked.clone()),
        Row {
            unspawned: true,
            ..row("stop asked for while spawning", asked)
        },
        row(
            "its turn at shutdown",
            Event::StopRequested(StopRequest::Shutdown),
        ),
        row("shutdown begins", Event::ShuttingDown),
        row(
            "signal failed",
            Event::SignalFailed {
                why: String::from("why"),
                foreign: false,
            },
        ),
    ];
    rows.extend(
        [
            ("startsecs over", Timer::Start),
            ("delay over", Timer::Backoff),
            ("stopwaitsecs over", Timer::StopWait),
            ("still waiting", Timer::StopReport),
        ]
        .map(|(name, timer)| row(name, Event::TimerFired(timer))),
    );
    rows
}

fn retries(startretries: i64) -> Policy {
    Policy {
        startretries,
        ..Policy::default()
    }
}

/// A program that has come to `state` by its shortest way.
fn machine_in(state: State, row: &Row) -> Machine {
    let spawned = Event::Spawned { pid: 7 };
    let failed = Event::SpawnFailed { why: String::new() };
    let running = [
        Event::Start,
        spawned.clone(),
        Event::TimerFired(Timer::Start),
    ];
    let way: Vec<Event> = match state {
        State::Stopped => vec![],
        State::Starting if row.unspawned => vec![Event::Start],
        State::Starting => vec![Event::Start, spawned],
        State::Running => running.into(),
        State::Backoff | State::Fatal => vec![Event::Start, failed],
        State::Stopping => extended(
            running,
            Event::StopRequested(StopRequest::Asked { awaited: false }),
        ),
        State::Exited => extended(
            running,
            Event::Exited {
                end: End::Exited { code: 0 },
                lived: LONG,
            },
        ),
        State::Unknown => extended(
            running,
            Event::SignalFailed {
                why: String::new(),
                foreign: true,
            },
        ),
    };
    // What comes before has a policy that leads there; only then it is the row's.
    let startretries = if state == State::Fatal { 0 } else { 5 };
    let mut machine = Machine::new(retries(startretries));
    for event in way {
        machine.handle(event, &mut Vec::new());
    }
    debug_assert_eq!(machine.state(), state);
    machine.policy = row.policy.clone();
    machine
}

fn extended(way: [Event; 3], last: Event) -> Vec<Event> {
    way.into_iter().chain([last]).collect()
}

fn cell(state: State, row: &Row) -> String {
    let mut machine = machine_in(state, row);
    let mut actions = Vec::new();
    machine.handle(row.event.clone(), &mut actions);
    let parts: Vec<String> = actions.iter().filter_map(describe).collect();
    if parts.is_empty() {
        "·".to_owned()
    } else {
        parts.join(", ")
    }
}

fn describe(action: &Action) -> Option<String> {
    match action {
        Action::Changed(change) => Some(format!("**{}**", change.to)),
        Action::Spawn => Some("spawn".to_owned()),
        Action::TellStop { .. } => Some("stop signal".to_owned()),
        Action::Kill { .. } => Some("KILL".to_owned()),
        Action::Arm(Timer::Start, _) => Some("wait startsecs".to_owned()),
        Action::Arm(Timer::Backoff, _) => Some("wait a delay".to_owned()),
        Action::Arm(Timer::StopWait, _) => Some("wait stopwaitsecs".to_owned()),
        Action::Arm(Timer::StopReport, _) | Action::Disarm(_) | Action::Note(_) => None,
    }
}
