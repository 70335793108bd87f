//! Pools of listeners: who is told what, what waits, and what becomes of it when a listener fails.

use proptest::prelude::*;
use ward_config::group::ResultHandler;
use ward_model::program::Level;
use ward_supervise::events::{
    Action, Event, LengthIn, Listener, ListenerState, Note, Period, Pool, PoolSpec, Publisher,
    Subscription,
};

fn tick() -> Event {
    Event::Tick {
        period: Period::FiveSeconds,
        when: 10,
    }
}

struct Told {
    pool: Pool,
    publisher: Publisher,
    actions: Vec<Action>,
}

impl Told {
    /// A pool of listeners that run and are ready.
    fn new(members: usize, buffer_size: i64, subscription: &[&str]) -> Self {
        let spec = PoolSpec {
            name: "pool".into(),
            identifier: "supervisor".into(),
            subscription: Subscription::to(subscription.iter().copied()),
            buffer_size,
            result_handler: ResultHandler::Default,
            length_in: LengthIn::Characters,
            members: (0..members).map(|n| format!("l{n}")).collect(),
        };
        let mut told = Self {
            pool: Pool::new(spec),
            publisher: Publisher::new(),
            actions: Vec::new(),
        };
        for member in 0..members {
            told.begin(member);
        }
        told.actions.clear();
        told
    }

    fn begin(&mut self, member: usize) {
        self.pool.spawned(member, &mut self.actions);
        self.pool.set_running(member, true, &mut self.actions);
        self.say(member, "READY\n");
    }

    fn say(&mut self, member: usize, output: &str) {
        self.pool
            .heard(member, output.as_bytes(), &mut self.actions);
    }

    fn happen(&mut self, event: Event) {
        let mut notes = Vec::new();
        self.publisher.publish(event, [&mut self.pool], &mut notes);
        self.actions.extend(notes.into_iter().map(Action::Note));
        self.pool.dispatch(&mut self.actions);
    }

    /// Who was sent which event, what was logged above debug, since it was last asked.
    fn told(&mut self) -> Vec<String> {
        self.actions
            .drain(..)
            .filter_map(|action| match action {
                Action::Send { member, bytes } => {
                    let text = String::from_utf8(bytes).expect("text");
                    let serial = text
                        .split(' ')
                        .find_map(|word| word.strip_prefix("serial:"))?;
                    Some(format!("{member}<{serial}"))
                }
                Action::Note(note) if note.level() == Level::Debug => None,
                Action::Note(note) => Some(note.text()),
                Action::Print(bytes) => String::from_utf8(bytes).ok(),
            })
            .collect()
    }
}

#[test]
fn the_first_that_is_ready_gets_the_next() {
    let mut told = Told::new(2, 10, &["EVENT"]);
    for _ in 0..3 {
        told.happen(tick());
    }
    assert_eq!(told.told(), ["0<0", "1<1"]);
    told.say(1, "RESULT 2\nOK");
    assert_eq!(told.told(), [""; 0]);
    told.say(1, "READY\n");
    assert_eq!(told.told(), ["1<2"]);
    told.say(0, "RESULT 2\nOKREADY\n");
    assert_eq!((told.told().len(), told.pool.waiting()), (0, 0));
}

#[test]
fn a_listener_that_does_not_run_gets_nothing() {
    let mut told = Told::new(1, 10, &["EVENT"]);
    told.pool.set_running(0, false, &mut told.actions);
    told.happen(tick());
    assert_eq!(told.told(), [""; 0]);
    told.pool.set_running(0, true, &mut told.actions);
    assert_eq!(told.told(), ["0<0"]);
}

#[test]
fn a_rejected_event_is_told_again_before_the_others() {
    let mut told = Told::new(1, 10, &["EVENT"]);
    told.happen(tick());
    told.happen(tick());
    told.say(0, "RESULT 4\nFAILREADY\n");
    assert_eq!(told.told(), ["0<0", "l0: event was rejected", "0<0"]);
    told.say(0, "RESULT 2\nOKREADY\n");
    assert_eq!(told.told(), ["0<1"]);
}

#[test]
fn a_listener_that_breaks_the_protocol_gets_nothing_any_more() {
    const UNKNOWN: &str = "l0: has entered the UNKNOWN state and will no longer receive events, this usually indicates the process violated the eventlistener protocol";
    let mut told = Told::new(1, 10, &["EVENT"]);
    told.happen(tick());
    told.say(0, "READY\n");
    assert_eq!(
        told.told(),
        ["0<0", "l0: bad result line: 'READY'", UNKNOWN]
    );
    told.say(0, "RESULT 2\nOKREADY\n");
    told.happen(tick());
    assert_eq!((told.told().len(), told.pool.waiting()), (0, 2));
    // The next process begins anew.
    told.pool.ended(0, &mut told.actions);
    told.begin(0);
    assert_eq!(told.told(), ["0<0"]);
}

#[test]
fn what_a_dead_listener_was_busy_with_goes_to_another() {
    let mut told = Told::new(2, 10, &["EVENT"]);
    told.happen(tick());
    told.pool.ended(0, &mut told.actions);
    assert_eq!(told.told(), ["0<0", "1<0"]);
    // Its last words count.
    told.say(1, "RESULT 2\nOK");
    told.pool.ended(1, &mut told.actions);
    assert_eq!((told.told().len(), told.pool.waiting()), (0, 0));
}

#[test]
fn who_does_not_read_gets_nothing() {
    let mut told = Told::new(2, 10, &["EVENT"]);
    told.happen(tick());
    told.pool.stdin_lost(0, 20, &mut told.actions);
    assert_eq!(told.told(), ["0<0", "1<0"]);
    assert_eq!(
        told.pool.listener(0).map(Listener::state),
        Some(ListenerState::Ready)
    );
    told.happen(tick());
    assert_eq!(told.pool.waiting(), 1);
    // One that has read all of its event may still answer.
    told.pool.stdin_lost(1, 0, &mut told.actions);
    assert_eq!(told.pool.waiting(), 1);
    told.say(1, "RESULT 2\nOK");
    assert_eq!(told.pool.waiting(), 1);
}

/// A new daemon finds a listener that was busy: what with is not known, but its answer is heard.
#[test]
fn a_listener_that_is_found_busy() {
    let mut told = Told::new(1, 10, &["EVENT"]);
    let code = ListenerState::Busy.code();
    let state = ListenerState::from_code(code).expect("a state");
    told.pool.adopt(0, Listener::new(state), &mut told.actions);
    told.happen(tick());
    assert_eq!(told.told(), [""; 0]);
    told.say(0, "RESULT 4\nFAILREADY\n");
    assert_eq!(told.told(), ["l0: event was rejected", "0<0"]);
    assert_eq!(told.pool.waiting(), 0);
    assert_eq!(ListenerState::from_code(0), None);
}

/// Whoever is not there is not spoken to, and nobody minds.
#[test]
fn no_such_listener() {
    let mut told = Told::new(1, 10, &["EVENT"]);
    told.begin(7);
    told.pool.stdin_lost(7, 1, &mut told.actions);
    told.pool.ended(7, &mut told.actions);
    assert_eq!(told.told(), [""; 0]);
    assert_eq!(told.pool.listener(7).map(Listener::state), None);
}

#[test]
fn a_full_pool_drops_the_oldest() {
    let mut told = Told::new(1, 2, &["EVENT"]);
    for _ in 0..4 {
        told.happen(tick());
    }
    let overflow = "pool pool event buffer overflowed, discarding event ";
    assert_eq!(told.told(), ["0<0".into(), format!("{overflow}1")]);
    // What was rejected is kept; the oldest of the others goes.
    told.say(0, "RESULT 1\nNREADY\n");
    assert_eq!(
        told.told(),
        [
            "l0: event was rejected".into(),
            format!("{overflow}2"),
            "0<0".into()
        ]
    );
    told.say(0, "RESULT 2\nOKREADY\n");
    assert_eq!(told.told(), ["0<3"]);
}

#[test]
fn numbers_and_pools() {
    let spec = |name: &str, subscription: &[&str]| PoolSpec {
        name: name.into(),
        subscription: Subscription::to(subscription.iter().copied()),
        ..Told::new(1, 10, &[]).pool.spec().clone()
    };
    let mut ticks = Pool::new(spec("ticks", &["TICK", "TICK_5"]));
    let mut all = Pool::new(spec("all", &["EVENT"]));
    let mut publisher = Publisher::new();
    let mut notes = Vec::new();
    let mut publish = |event, pools: [&mut Pool; 2]| {
        publisher.publish(event, pools, &mut notes);
    };
    publish(Event::SupervisorRunning, [&mut ticks, &mut all]);
    publish(tick(), [&mut ticks, &mut all]);
    // Nobody wants this one: it has no number.
    let mut none = Pool::new(spec("none", &["PROCESS_LOG"]));
    publish(tick(), [&mut none, &mut Pool::new(spec("none", &[]))]);
    publish(tick(), [&mut ticks, &mut none]);
    assert_eq!((ticks.waiting(), all.waiting(), none.waiting()), (2, 2, 0));
    let sent = |pool: &mut Pool| -> Vec<String> {
        let mut actions = Vec::new();
        pool.spawned(0, &mut actions);
        pool.set_running(0, true, &mut actions);
        for output in ["READY\n", "RESULT 2\nOKREADY\n"] {
            pool.heard(0, output.as_bytes(), &mut actions);
        }
        let heads = actions.into_iter().filter_map(|action| match action {
            Action::Send { bytes, .. } => String::from_utf8(bytes).ok(),
            Action::Note(_) | Action::Print(_) => None,
        });
        heads
            .map(|head| head.lines().next().unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!(
        sent(&mut ticks),
        [
            "ver:3.0 server:supervisor serial:1 pool:ticks poolserial:0 eventname:TICK_5 len:7",
            "ver:3.0 server:supervisor serial:2 pool:ticks poolserial:1 eventname:TICK_5 len:7"
        ]
    );
    assert_eq!(
        sent(&mut all),
        [
            "ver:3.0 server:supervisor serial:0 pool:all poolserial:0 eventname:SUPERVISOR_STATE_CHANGE_RUNNING len:0",
            "ver:3.0 server:supervisor serial:1 pool:all poolserial:1 eventname:TICK_5 len:7"
        ]
    );
    assert_eq!(notes, [] as [Note; 0]);
}

/// What a listener may say that knows the protocol, more or less.
fn output() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(b"READY\n".to_vec()),
        4 => Just(b"RESULT 2\nOK".to_vec()),
        2 => Just(b"RESULT 4\nFAIL".to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    /// Whatever listeners do: no event is lost but by an overflow that is told of, none is with two
    /// listeners at once, and each is answered to the one who has it.
    #[test]
    fn events_are_kept(steps in prop::collection::vec((0..8_u8, 0..3_usize, output()), 0..60)) {
        let mut told = Told::new(3, 4, &["EVENT"]);
        let (mut published, mut done, mut dropped) = (0, 0, 0);
        for (step, member, output) in steps {
            match step {
                0..=2 => { told.happen(tick()); published += 1; }
                3 => told.say(member, "RESULT 2\nOKREADY\n"),
                4 => told.pool.heard(member, &output, &mut told.actions),
                5 => told.pool.ended(member, &mut told.actions),
                6 => told.begin(member),
                _ => told.pool.set_running(member, output.is_empty(), &mut told.actions),
            }
            for action in told.actions.drain(..) {
                match action {
                    Action::Note(Note::Processed { .. }) => done += 1,
                    Action::Note(Note::Overflowed { .. }) => dropped += 1,
                    Action::Send { member, .. } => {
                        prop_assert!(member < 3);
                    }
                    _ => {}
                }
            }
            let busy = (0..3).filter(|m| told.pool.listener(*m).map(Listener::state) == Some(ListenerState::Busy)).count();
            prop_assert!(told.pool.waiting() <= 4);
            prop_assert_eq!(published, done + dropped + told.pool.waiting() + busy);
        }
    }
}
