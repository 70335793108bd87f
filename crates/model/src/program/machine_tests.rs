//! The machine against the rows that Supervisor's states have, and against any order of events.

use std::collections::HashSet;

use proptest::prelude::*;

use super::super::{Autorestart, BadSnapshot, Level, Resumption, Snapshot};
use super::*;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(900);

fn second(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn exited(code: u8, lived: Duration) -> Event {
    Event::Exited {
        end: End::Exited { code },
        lived,
    }
}

fn by_signal(signal: Signal) -> Event {
    Event::Exited {
        end: End::Signaled {
            signal,
            core_dumped: false,
        },
        lived: LONG,
    }
}

fn spawned(pid: i32) -> Event {
    Event::Spawned { pid }
}

fn failed() -> Event {
    Event::SpawnFailed {
        why: "can't find command 'y'".into(),
    }
}

fn over(timer: Timer) -> Event {
    Event::TimerFired(timer)
}

fn asked() -> Event {
    Event::StopRequested(StopRequest::Asked { awaited: false })
}

fn turn() -> Event {
    Event::StopRequested(StopRequest::Shutdown)
}

fn unsent(foreign: bool) -> Event {
    Event::SignalFailed {
        why: "EPERM".into(),
        foreign,
    }
}

/// Drives a fresh machine through `events`; what the last one led to is returned with it.
fn kept(policy: Policy, events: &[Event]) -> (Machine, Vec<Action>) {
    let mut machine = Machine::new(policy);
    let mut actions = Vec::new();
    for event in events {
        actions.clear();
        machine.handle(event.clone(), &mut actions);
    }
    (machine, actions)
}

/// Actions without notes of the lowest level, as short text.
fn told(actions: &[Action]) -> Vec<String> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Changed(c) => Some(format!(
                "{}>{} tries:{} expected:{} pid:{}",
                c.from,
                c.to,
                c.tries,
                u8::from(c.expected),
                c.pid
            )),
            Action::Note(note) if note.level() == Level::Debug => None,
            Action::Note(note) => Some(note.text("x")),
            Action::Disarm(_) => None,
            Action::Arm(timer, after) => Some(format!("{timer:?} {}", after.as_secs())),
            Action::Spawn => Some("spawn".into()),
            Action::TellStop { pid, signal, group } => Some(format!("{signal} {pid} {group}")),
            Action::Kill { pid, group } => Some(format!("KILL {pid} {group}")),
        })
        .collect()
}

fn running() -> Vec<Event> {
    vec![Event::Start, spawned(7), over(Timer::Start)]
}

fn then(mut events: Vec<Event>, more: &[Event]) -> Vec<Event> {
    events.extend_from_slice(more);
    events
}

const SUCCESS: &str =
    "success: x entered RUNNING state, process has stayed up for > than 1 seconds (startsecs)";
const GAVE_UP: &str = "gave up: x entered FATAL state, too many start retries too quickly";

#[test]
fn every_way_from_state_to_state() {
    let usual = Policy::default;
    let once = || Policy {
        startretries: 0,
        ..usual()
    };
    let groups = || Policy {
        stopasgroup: true,
        killasgroup: true,
        stopsignal: Some(Signal::INT),
        stopwaitsecs: 3,
        ..usual()
    };
    let never = || Policy {
        autorestart: Autorestart::Never,
        exitcodes: vec![0, 2],
        ..usual()
    };
    let always = || Policy {
        autorestart: Autorestart::Always,
        ..usual()
    };
    let at_once = || Policy {
        startsecs: -3,
        ..never()
    };
    let early = || vec![Event::Start, spawned(7), exited(0, SHORT)];
    #[rustfmt::skip]
    let table: Vec<(Policy, Vec<Event>, Vec<&str>)> = vec![
        (usual(), vec![Event::Start], vec!["STOPPED>STARTING tries:0 expected:1 pid:0", "spawn"]),
        (usual(), vec![Event::Start, spawned(7)], vec!["spawned: 'x' with pid 7", "Start 1"]),
        (usual(), running(), vec!["STARTING>RUNNING tries:0 expected:1 pid:7", SUCCESS]),
        (at_once(), vec![Event::Start, spawned(7)],
            vec!["spawned: 'x' with pid 7", "STARTING>RUNNING tries:0 expected:1 pid:7",
                 "success: x entered RUNNING state, process has stayed up for > than -3 seconds (startsecs)"]),
        // Whatever the code, an end before startsecs is one that came too quickly.
        (usual(), early(), vec!["exited: x (exit status 0; not expected)", "STARTING>BACKOFF tries:1 expected:1 pid:0", "Backoff 1"]),
        (usual(), vec![Event::Start, failed()],
            vec!["spawnerr: can't find command 'y'", "STARTING>BACKOFF tries:1 expected:1 pid:0", "Backoff 1"]),
        (usual(), then(early(), &[over(Timer::Backoff)]), vec!["BACKOFF>STARTING tries:1 expected:1 pid:0", "spawn"]),
        (usual(), then(early(), &[over(Timer::Backoff), spawned(8), exited(127, SHORT)]),
            vec!["exited: x (exit status 127; not expected)", "STARTING>BACKOFF tries:2 expected:1 pid:0", "Backoff 2"]),
        (once(), early(), vec!["exited: x (exit status 0; not expected)", "STARTING>BACKOFF tries:1 expected:1 pid:0",
                               "BACKOFF>FATAL tries:0 expected:1 pid:0", GAVE_UP]),
        (Policy { startretries: -1, ..usual() }, vec![Event::Start, failed()],
            vec!["spawnerr: can't find command 'y'", "STARTING>BACKOFF tries:1 expected:1 pid:0",
                 "BACKOFF>FATAL tries:0 expected:1 pid:0", GAVE_UP]),
        (once(), then(early(), &[Event::Start]), vec!["FATAL>STARTING tries:0 expected:1 pid:0", "spawn"]),
        (usual(), then(early(), &[asked()]), vec!["BACKOFF>STOPPED tries:1 expected:1 pid:0"]),
        // A start that somebody asks for has all its tries before it.
        (usual(), then(early(), &[asked(), Event::Start]), vec!["STOPPED>STARTING tries:0 expected:1 pid:0", "spawn"]),
        (usual(), then(early(), &[turn()]), vec!["BACKOFF>FATAL tries:0 expected:1 pid:0"]),
        (usual(), then(running(), &[asked()]), vec!["RUNNING>STOPPING tries:0 expected:1 pid:7", "SIGTERM 7 false", "StopWait 10"]),
        (usual(), then(running(), &[Event::StopRequested(StopRequest::Asked { awaited: true })]),
            vec!["RUNNING>STOPPING tries:0 expected:1 pid:7", "SIGTERM 7 false", "StopWait 10", "waiting for x to stop", "StopReport 2"]),
        (groups(), vec![Event::Start, spawned(7), turn()], vec!["STARTING>STOPPING tries:0 expected:1 pid:7", "SIGINT 7 true", "StopWait 3"]),
        (Policy { stopsignal: None, stopwaitsecs: 0, ..usual() }, then(running(), &[asked()]),
            vec!["RUNNING>STOPPING tries:0 expected:1 pid:7", "StopWait 0"]),
        (usual(), then(running(), &[asked(), by_signal(Signal::TERM)]),
            vec!["STOPPING>STOPPED tries:0 expected:1 pid:7", "stopped: x (terminated by SIGTERM)"]),
        (usual(), then(running(), &[asked(), asked()]), vec![]),
        (usual(), then(running(), &[asked(), Event::Start]), vec!["process 'x' already running"]),
        (usual(), then(running(), &[asked(), over(Timer::StopReport)]), vec!["waiting for x to stop", "StopReport 2"]),
        (groups(), then(running(), &[asked(), over(Timer::StopWait)]), vec!["killing 'x' (7) with SIGKILL", "KILL 7 true", "StopWait 3"]),
        (groups(), then(running(), &[asked(), over(Timer::StopWait), over(Timer::StopWait)]),
            vec!["killing 'x' (7) with SIGKILL", "KILL 7 true", "StopWait 3"]),
        (Policy { stopasgroup: false, ..groups() }, then(running(), &[asked(), over(Timer::StopWait)]),
            vec!["killing 'x' (7) with SIGKILL", "KILL 7 true", "StopWait 3"]),
        (Policy { stopwaitsecs: -1, ..usual() }, then(running(), &[asked(), over(Timer::StopWait)]),
            vec!["killing 'x' (7) with SIGKILL", "KILL 7 false", "StopWait 1"]),
        (usual(), then(running(), &[exited(0, LONG)]), vec!["RUNNING>EXITED tries:0 expected:1 pid:7", "exited: x (exit status 0; expected)"]),
        (never(), then(running(), &[exited(2, LONG)]), vec!["RUNNING>EXITED tries:0 expected:1 pid:7", "exited: x (exit status 2; expected)"]),
        (never(), then(running(), &[exited(1, LONG)]), vec!["RUNNING>EXITED tries:0 expected:0 pid:7", "exited: x (exit status 1; not expected)"]),
        (usual(), then(running(), &[by_signal(Signal::KILL)]),
            vec!["RUNNING>EXITED tries:0 expected:0 pid:7", "exited: x (terminated by SIGKILL; not expected)",
                 "EXITED>STARTING tries:0 expected:1 pid:0", "spawn"]),
        (always(), then(running(), &[exited(0, LONG)]),
            vec!["RUNNING>EXITED tries:0 expected:1 pid:7", "exited: x (exit status 0; expected)",
                 "EXITED>STARTING tries:0 expected:1 pid:0", "spawn"]),
        // The end was noticed before the timer; it had lived for long enough.
        (usual(), vec![Event::Start, spawned(7), exited(0, second(1))],
            vec!["STARTING>RUNNING tries:0 expected:1 pid:7", SUCCESS,
                 "RUNNING>EXITED tries:0 expected:1 pid:7", "exited: x (exit status 0; expected)"]),
        (usual(), then(running(), &[unsent(true)]), vec!["unknown problem sending sig x (7):EPERM", "RUNNING>UNKNOWN tries:0 expected:1 pid:7"]),
        (usual(), then(running(), &[asked(), unsent(false)]), vec!["unknown problem killing x (7):EPERM", "STOPPING>UNKNOWN tries:0 expected:1 pid:7"]),
        (usual(), then(running(), &[asked(), unsent(false), exited(1, LONG)]),
            vec!["UNKNOWN>STOPPED tries:0 expected:1 pid:7", "stopped: x (exit status 1)"]),
        (never(), then(running(), &[unsent(true), exited(1, LONG)]),
            vec!["UNKNOWN>EXITED tries:0 expected:0 pid:7", "exited: x (exit status 1; not expected)"]),
        // A stop that comes while the process is being spawned ends it as soon as it is there.
        (usual(), vec![Event::Start, asked(), spawned(7)],
            vec!["spawned: 'x' with pid 7", "STARTING>STOPPING tries:0 expected:1 pid:7", "SIGTERM 7 false", "StopWait 10"]),
        (usual(), vec![Event::Start, asked(), failed()],
            vec!["spawnerr: can't find command 'y'", "STARTING>BACKOFF tries:1 expected:1 pid:0", "Backoff 1", "BACKOFF>STOPPED tries:1 expected:1 pid:0"]),
        // Nothing is started any more.
        (always(), then(running(), &[Event::ShuttingDown, exited(0, LONG)]),
            vec!["RUNNING>EXITED tries:0 expected:1 pid:7", "exited: x (exit status 0; expected)"]),
        (usual(), vec![Event::Start, spawned(7), Event::ShuttingDown, exited(0, SHORT)],
            vec!["exited: x (exit status 0; not expected)", "STARTING>BACKOFF tries:1 expected:1 pid:0"]),
        (usual(), vec![Event::ShuttingDown, Event::Start], vec![]),
    ];
    for (policy, events, expected) in table {
        let (_, actions) = kept(policy, &events);
        assert_eq!(told(&actions), expected, "{events:?}");
    }
}

#[test]
fn what_is_told_of_it() {
    let once = Policy {
        startretries: 0,
        autorestart: Autorestart::Never,
        ..Policy::default()
    };
    #[rustfmt::skip]
    let table: Vec<(Vec<Event>, i32, &str, &str)> = vec![
        (vec![], 0, "", "AT"),
        (vec![Event::Start], 0, "", ""),
        (running(), 0, "", "pid 7, uptime 0:01:30"),
        (then(running(), &[asked()]), 0, "", ""),
        (then(running(), &[asked(), by_signal(Signal::TERM)]), -1, "", "AT"),
        (then(running(), &[asked(), exited(3, LONG)]), 3, "", "AT"),
        (vec![Event::Start, spawned(7), asked(), exited(3, SHORT)], 3, "", "AT"),
        (then(running(), &[exited(0, LONG)]), 0, "", "AT"),
        (then(running(), &[exited(3, LONG)]), 3, "Bad exit code 3", "AT"),
        (then(running(), &[by_signal(Signal::TERM)]), -1, "Bad exit code -1", "AT"),
        (then(running(), &[exited(3, LONG), Event::Start]), 0, "", ""),
        (vec![Event::Start, spawned(7), exited(3, SHORT)], 0, "Exited too quickly (process log may have details)",
            "Exited too quickly (process log may have details)"),
        (vec![Event::Start, failed()], 0, "can't find command 'y'", "can't find command 'y'"),
        (then(running(), &[unsent(true)]), 0, "", ""),
    ];
    for (events, status, spawnerr, description) in table {
        let (machine, _) = kept(once.clone(), &events);
        assert_eq!(machine.exitstatus(), status, "{events:?}");
        assert_eq!(machine.spawnerr(), spawnerr, "{events:?}");
        let told = machine.description("x", 10, 100, || "AT".into());
        assert_eq!(told, description, "{events:?}");
    }
    let fresh = Machine::new(once);
    assert_eq!(
        fresh.description("x", 0, 100, || unreachable!()),
        "Not started"
    );
}

/// Three tries besides the first: four spawns, after one, two and three seconds.
#[test]
fn as_many_tries_as_are_granted() {
    let mut machine = Machine::new(Policy::default());
    let (mut spawns, mut delays) = (0, Vec::new());
    let mut next = Some(Event::Start);
    while let Some(event) = next.take() {
        let mut actions = Vec::new();
        machine.handle(event, &mut actions);
        for action in actions {
            match action {
                Action::Spawn => {
                    spawns += 1;
                    next = Some(failed());
                }
                Action::Arm(Timer::Backoff, delay) => {
                    delays.push(delay.as_secs());
                    next = Some(over(Timer::Backoff));
                }
                _ => {}
            }
        }
    }
    assert_eq!((spawns, delays), (4, vec![1, 2, 3]));
    assert_eq!(machine.state(), State::Fatal);
}

/// Resumes what the machine of these events would leave behind.
fn resumed(events: &[Event], spawned: Option<i32>, elapsed: Duration) -> (Machine, Vec<String>) {
    let (machine, _) = kept(Policy::default(), events);
    let mut actions = Vec::new();
    let found = Resumption { spawned, elapsed };
    let machine = Machine::resume(Policy::default(), machine.snapshot(), found, &mut actions)
        .expect("its own snapshot");
    (machine, told(&actions))
}

/// What happened, what was found after how long, and what is to be done.
type Resumed = (Vec<Event>, (Option<i32>, Duration), Vec<&'static str>);

#[test]
fn a_new_daemon_goes_on() {
    let early = [Event::Start, spawned(7), exited(0, SHORT)];
    #[rustfmt::skip]
    let table: Vec<Resumed> = vec![
        (vec![], (None, LONG), vec![]),
        (vec![Event::Start], (None, LONG), vec!["spawn"]),
        (vec![Event::Start], (Some(7), SHORT), vec!["spawned: 'x' with pid 7", "Start 0"]),
        (vec![Event::Start, spawned(7)], (Some(7), SHORT), vec!["Start 0"]),
        (running(), (Some(7), LONG), vec![]),
        (early.to_vec(), (None, LONG), vec!["Backoff 0"]),
        (then(running(), &[asked()]), (Some(7), second(4)), vec!["StopWait 6"]),
        (vec![Event::Start, asked()], (Some(7), LONG),
            vec!["spawned: 'x' with pid 7", "STARTING>STOPPING tries:0 expected:1 pid:7", "SIGTERM 7 false", "StopWait 10"]),
        (then(running(), &[exited(0, LONG)]), (None, LONG), vec![]),
    ];
    for (events, (spawned, elapsed), expected) in table {
        let (_, actions) = resumed(&events, spawned, elapsed);
        assert_eq!(actions, expected, "{events:?}");
    }
    // Its process ended while nobody looked: too quickly is measured by how long it lived.
    let (mut machine, _) = resumed(&[Event::Start, spawned(7)], Some(7), LONG);
    machine.handle(exited(1, SHORT), &mut Vec::new());
    assert_eq!(machine.state(), State::Backoff);
    // Why it could not be started is forgotten.
    let (machine, _) = resumed(&[Event::Start, failed()], None, LONG);
    let told = machine.description("x", 1, 1, String::new);
    assert_eq!(told, "unknown error (try \"tail x\")");
}

#[test]
fn nonsense_is_refused() {
    let found = Resumption {
        spawned: None,
        elapsed: Duration::ZERO,
    };
    let resume = |snapshot| {
        Machine::resume(Policy::default(), snapshot, found, &mut Vec::new())
            .map(|machine| machine.state())
    };
    assert_eq!(resume(Snapshot::from_words([0; 6])), Ok(State::Stopped));
    assert_eq!(resume(Snapshot::running(7)), Ok(State::Running));
    assert_eq!(
        resume(Snapshot {
            pid: 8,
            ..Snapshot::running(7)
        }),
        Err(BadSnapshot::Torn)
    );
    let state = State::Running;
    assert_eq!(
        resume(Snapshot::running(0)),
        Err(BadSnapshot::Pid { state, pid: 0 })
    );
}

fn any_end() -> impl Strategy<Value = End> {
    prop_oneof![
        (0..4_u8).prop_map(|code| End::Exited { code }),
        (1..=64, any::<bool>()).prop_map(|(number, core_dumped)| End::Signaled {
            signal: Signal::from_number(number).expect("a signal"),
            core_dumped,
        }),
        (0..200_i32, any::<bool>()).prop_map(|(errno, exec)| End::NotStarted { errno, exec }),
        Just(End::Unknown),
    ]
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Start),
        (1..99_i32).prop_map(spawned),
        Just(failed()),
        (any_end(), 0..2_000_u64).prop_map(|(end, millis)| Event::Exited {
            end,
            lived: Duration::from_millis(millis),
        }),
        prop::sample::select(Timer::ALL.to_vec()).prop_map(Event::TimerFired),
        any::<bool>().prop_map(|awaited| Event::StopRequested(StopRequest::Asked { awaited })),
        Just(turn()),
        any::<bool>().prop_map(unsent),
        prop::bool::weighted(0.1).prop_map(|ending| if ending {
            Event::ShuttingDown
        } else {
            Event::Start
        }),
    ]
}

fn any_policy() -> impl Strategy<Value = Policy> {
    (
        -1..3_i64,
        -1..4_i64,
        prop::sample::select(vec![
            Autorestart::Never,
            Autorestart::Unexpected,
            Autorestart::Always,
        ]),
        -1..3_i64,
        any::<bool>(),
    )
        .prop_map(
            |(startsecs, startretries, autorestart, stopwaitsecs, group)| Policy {
                startsecs,
                startretries,
                autorestart,
                stopwaitsecs,
                stopasgroup: group,
                killasgroup: group,
                ..Policy::default()
            },
        )
}

proptest! {
    /// Whatever the order of events, and whoever keeps the machine.
    #[test]
    fn invariants(policy in any_policy(), events in prop::collection::vec(any_event(), 0..60)) {
        let mut machine = Machine::new(policy.clone());
        let mut armed = HashSet::new();
        let (mut outstanding, mut told_stop, mut ending) = (false, false, false);
        for event in events {
            let before = machine.clone();
            let mut actions = Vec::new();
            // What was not armed does not fire.
            if let Event::TimerFired(timer) = &event && !armed.contains(timer) {
                continue;
            }
            ending |= event == Event::ShuttingDown;
            machine.handle(event.clone(), &mut actions);
            match &event {
                Event::Spawned { .. } | Event::SpawnFailed { .. } if outstanding => outstanding = false,
                // What was not asked for is not believed.
                Event::Spawned { .. } | Event::SpawnFailed { .. } => prop_assert!(actions.is_empty()),
                Event::Exited { .. } => {
                    prop_assert!(before.pid().is_some() || actions.is_empty());
                    told_stop = false;
                }
                Event::TimerFired(timer) => { armed.remove(timer); }
                _ => {}
            }
            let mut state = before.state();
            for action in &actions {
                match action {
                    Action::Spawn => {
                        prop_assert!(!outstanding && !ending && machine.pid().is_none());
                        outstanding = true;
                    }
                    Action::TellStop { pid, .. } => {
                        prop_assert!(!told_stop && machine.pid() == Some(*pid));
                        told_stop = true;
                    }
                    Action::Kill { pid, .. } => {
                        prop_assert_eq!(&event, &over(Timer::StopWait));
                        prop_assert!(told_stop && machine.pid() == Some(*pid));
                    }
                    Action::Arm(timer, _) => { armed.insert(*timer); }
                    Action::Disarm(timer) => { armed.remove(timer); }
                    Action::Changed(change) => {
                        prop_assert!(change.from == state && change.to != state);
                        if change.from == State::Fatal {
                            prop_assert_eq!(&event, &Event::Start);
                        }
                        state = change.to;
                    }
                    Action::Note(_) => {}
                }
            }
            prop_assert_eq!(state, machine.state());
            prop_assert!(i64::from(machine.tries()) <= policy.startretries.max(0) + 1);
            let waits_for: &[Timer] = match state {
                State::Starting if machine.pid().is_some() => &[Timer::Start],
                State::Backoff if !ending => &[Timer::Backoff],
                State::Stopping => &[Timer::StopWait],
                _ => &[],
            };
            prop_assert!(waits_for.iter().all(|timer| armed.contains(timer)));
            // None is left behind: nobody is woken for nothing.
            let left: Vec<_> = armed.iter().filter(|t| !waits_for.contains(t)).collect();
            prop_assert!(left.is_empty() || (left == [&Timer::StopReport] && state == State::Stopping));

            let words = machine.snapshot().to_words();
            let found = Resumption { spawned: None, elapsed: Duration::ZERO };
            let mut going_on = Vec::new();
            let other = Machine::resume(policy.clone(), Snapshot::from_words(words), found, &mut going_on)
                .expect("its own snapshot");
            prop_assert_eq!(other.pid(), machine.pid());
            prop_assert_eq!(other.exitstatus(), machine.exitstatus());
            prop_assert_eq!(other.last_end(), machine.last_end());
            if policy.startsecs > 0 {
                prop_assert_eq!(other.state(), machine.state());
            }
            prop_assert!(going_on.contains(&Action::Spawn) == outstanding);
        }
    }

    /// Words from anywhere are refused or make a machine that makes the same words again.
    #[test]
    fn any_words(state in prop::sample::select(vec![0_u32, 10, 20, 30, 40, 100, 200, 1000, 5]),
                 pid in prop_oneof![Just(0_u32), any::<u32>()], tries: u32, flags in 0..1024_u32, end in 0..0x5_ffff_u32) {
        let snapshot = Snapshot { state, pid, tries, flags, end, check: 0 };
        let found = Resumption { spawned: None, elapsed: Duration::ZERO };
        let policy = Policy::default();
        let sealed = snapshot.sealed();
        if let Ok(machine) = Machine::resume(policy, sealed, found, &mut Vec::new()) {
            prop_assert_eq!(machine.snapshot().to_words()[0], state);
            prop_assert_eq!(machine.snapshot().pid, pid);
            prop_assert_eq!(machine.snapshot().end, end);
        }
    }
}

/// A timer that fired while its reason went away, and was told all the same.
#[test]
fn a_late_timer_does_nothing() {
    let stopped = then(running(), &[asked(), exited(0, LONG)]);
    for state in [vec![], running(), stopped, vec![Event::Start]] {
        for timer in Timer::ALL {
            let (_, actions) = kept(Policy::default(), &then(state.clone(), &[over(timer)]));
            assert_eq!(actions, [], "{timer:?} after {state:?}");
        }
    }
}

#[test]
fn the_table_knows_every_state() {
    let table = super::super::table();
    assert!(
        table
            .iter()
            .all(|(_, cells)| cells.len() == State::ALL.len())
    );
    let cell = |row: &str, state: State| {
        let column = State::ALL.iter().position(|s| *s == state).expect("it");
        let (_, cells) = table.iter().find(|(name, _)| name == row).expect("a row");
        cells[column].clone()
    };
    assert_eq!(cell("start", State::Fatal), "**STARTING**, spawn");
    assert_eq!(
        cell("spawn failed, no retry left", State::Starting),
        "**BACKOFF**, **FATAL**"
    );
    assert_eq!(
        cell("stopwaitsecs over", State::Stopping),
        "KILL, wait stopwaitsecs"
    );
    assert_eq!(cell("shutdown begins", State::Backoff), "·");
}
