//! Events and the listener protocol against tables of what the original was seen to do.

use proptest::prelude::*;
use ward_config::group::ResultHandler;
use ward_model::program::{Change, State};
use ward_supervise::api::Stream;
use ward_supervise::events::{
    Envelope, Event, Heard, LONGEST_LINE, LONGEST_PRINT, LONGEST_RESULT, LengthIn, Listener,
    ListenerState, Outbox, Period, Subscription, Verdict, Violation, Who, judge, next_tick, ticks,
};

fn who() -> Who {
    Who {
        process: "p".into(),
        group: "g".into(),
    }
}

fn state(from: State, to: State, tries: u32, expected: bool) -> Event {
    Event::ProcessState {
        who: who(),
        change: Change {
            from,
            to,
            tries,
            expected,
            pid: 7,
        },
    }
}

fn log(data: &[u8]) -> Event {
    Event::ProcessLog {
        who: who(),
        pid: 7,
        stream: Stream::Stdout,
        data: data.to_vec(),
    }
}

fn tick() -> Event {
    Event::Tick {
        period: Period::FiveSeconds,
        when: 10,
    }
}

#[test]
fn names_and_payloads() {
    use State::{Backoff, Exited, Fatal, Running, Starting, Stopped, Stopping, Unknown};
    let communication = Event::ProcessCommunication {
        who: who(),
        pid: 7,
        stream: Stream::Stderr,
        data: "é".into(),
    };
    let errors = Event::ProcessLog {
        who: who(),
        pid: 7,
        stream: Stream::Stderr,
        data: b"x\n".to_vec(),
    };
    let remote = Event::RemoteCommunication {
        kind: "t".into(),
        data: "a\nb".into(),
    };
    let hour = Event::Tick {
        period: Period::Hour,
        when: 7200,
    };
    let added = Event::GroupAdded { group: "g".into() };
    #[rustfmt::skip]
    let table: Vec<(Event, &str, &[u8])> = vec![
        (state(Stopped, Starting, 0, true), "PROCESS_STATE_STARTING", b"processname:p groupname:g from_state:STOPPED tries:0"),
        (state(Starting, Backoff, 4, true), "PROCESS_STATE_BACKOFF", b"processname:p groupname:g from_state:STARTING tries:4"),
        (state(Starting, Running, 0, true), "PROCESS_STATE_RUNNING", b"processname:p groupname:g from_state:STARTING pid:7"),
        (state(Running, Stopping, 0, true), "PROCESS_STATE_STOPPING", b"processname:p groupname:g from_state:RUNNING pid:7"),
        (state(Stopping, Stopped, 0, true), "PROCESS_STATE_STOPPED", b"processname:p groupname:g from_state:STOPPING pid:7"),
        (state(Running, Exited, 0, false), "PROCESS_STATE_EXITED", b"processname:p groupname:g from_state:RUNNING expected:0 pid:7"),
        (state(Running, Exited, 0, true), "PROCESS_STATE_EXITED", b"processname:p groupname:g from_state:RUNNING expected:1 pid:7"),
        (state(Backoff, Fatal, 0, true), "PROCESS_STATE_FATAL", b"processname:p groupname:g from_state:BACKOFF"),
        (state(Running, Unknown, 0, true), "PROCESS_STATE_UNKNOWN", b"processname:p groupname:g from_state:RUNNING"),
        (log(b"a\xc3\xa9\n"), "PROCESS_LOG_STDOUT", "processname:p groupname:g pid:7 channel:stdout\naé\n".as_bytes()),
        (errors, "PROCESS_LOG_STDERR", b"processname:p groupname:g pid:7 channel:stderr\nx\n"),
        (log(b"a\xff"), "PROCESS_LOG_STDOUT", b"processname:p groupname:g pid:7 channel:stdout\nUndecodable: b'a\\xff'"),
        (communication, "PROCESS_COMMUNICATION_STDERR", "processname:p groupname:g pid:7\né".as_bytes()),
        (remote, "REMOTE_COMMUNICATION", b"type:t\na\nb"),
        (Event::SupervisorRunning, "SUPERVISOR_STATE_CHANGE_RUNNING", b""),
        (Event::SupervisorStopping, "SUPERVISOR_STATE_CHANGE_STOPPING", b""),
        (tick(), "TICK_5", b"when:10"),
        (hour, "TICK_3600", b"when:7200"),
        (added, "PROCESS_GROUP_ADDED", b"groupname:g\n"),
        (Event::GroupRemoved { group: "g".into() }, "PROCESS_GROUP_REMOVED", b"groupname:g\n"),
    ];
    for (event, name, payload) in table {
        assert_eq!(event.name(), name);
        assert_eq!(event.payload(LengthIn::Characters), payload, "{name}");
        assert!(ward_config::group::EVENTS.contains(&name), "{name}");
    }
    assert!(
        log(b"a\xff")
            .payload(LengthIn::Bytes)
            .ends_with(b"stdout\na\xff")
    );
}

#[test]
fn the_length_is_counted_in_characters() {
    let envelope = |length_in| Envelope {
        identifier: "supervisor",
        pool: "l",
        serial: 3,
        pool_serial: 1,
        length_in,
    };
    let event = log("éé".as_bytes());
    assert_eq!(
        String::from_utf8(envelope(LengthIn::Characters).around(&event)).unwrap(),
        "ver:3.0 server:supervisor serial:3 pool:l poolserial:1 eventname:PROCESS_LOG_STDOUT len:49\nprocessname:p groupname:g pid:7 channel:stdout\néé"
    );
    let bytes = envelope(LengthIn::Bytes).around(&event);
    assert!(String::from_utf8(bytes).unwrap().contains(" len:51\n"));
}

#[test]
fn one_name_stands_for_all_that_begin_with_it() {
    let covers =
        |names: &[&str], event: &str| Subscription::to(names.iter().copied()).covers(event);
    assert!(covers(&["EVENT"], "TICK_5"));
    assert!(covers(&["TICK"], "TICK_3600"));
    assert!(covers(&["TICK_5"], "TICK_5"));
    assert!(covers(&["PROCESS_STATE"], "PROCESS_STATE_FATAL"));
    assert!(!covers(&["TICK_5"], "TICK_5X"));
    assert!(!covers(&["TICK_60"], "TICK_5"));
    assert!(!covers(
        &["PROCESS_STATE", "PROCESS_LOG"],
        "PROCESS_GROUP_ADDED"
    ));
    assert!(!covers(&[], "TICK_5"));
    // Every kind that a file may name is known here, and stands for something.
    let kinds = [
        "PROCESS_STATE_STOPPED",
        "PROCESS_LOG_STDERR",
        "PROCESS_COMMUNICATION_STDOUT",
        "REMOTE_COMMUNICATION",
        "SUPERVISOR_STATE_CHANGE_RUNNING",
        "TICK_60",
        "PROCESS_GROUP_REMOVED",
    ];
    for kind in kinds {
        let (abstract_kind, _) = kind.rsplit_once('_').expect("an underscore");
        assert!(covers(&[abstract_kind], kind) && covers(&[kind], kind));
    }
}

#[test]
fn ticks_are_due_when_a_period_is_another() {
    let names = |last, now| -> Vec<String> {
        ticks(last, now)
            .map(|tick| {
                String::from_utf8(tick.payload(LengthIn::Characters)).unwrap() + tick.name()
            })
            .collect()
    };
    assert_eq!(names(100, 100), [""; 0]);
    assert_eq!(names(100, 104), [""; 0]);
    assert_eq!(names(104, 105), ["when:105TICK_5"]);
    assert_eq!(names(100, 119), ["when:115TICK_5"]);
    assert_eq!(names(119, 121), ["when:120TICK_5", "when:120TICK_60"]);
    assert_eq!(
        names(3599, 7300),
        ["when:7300TICK_5", "when:7260TICK_60", "when:7200TICK_3600"]
    );
    assert_eq!(names(105, 104), ["when:100TICK_5"]);
    assert_eq!((next_tick(100), next_tick(104)), (105, 105));
    assert_eq!(next_tick(-1), 0);
}

/// One listener that stands there hears this; where it stands then.
fn hears(state: ListenerState, output: &[u8]) -> (ListenerState, Vec<Heard>) {
    let mut listener = Listener::new(state);
    let mut heard = Vec::new();
    listener.feed(output, &mut heard);
    (listener.state(), heard)
}

#[test]
fn the_protocol() {
    use ListenerState::{Acknowledged, Busy, Ready, Unknown};
    let result = |text: &str| Heard::Result(text.into());
    let bad = |line: &[u8]| Heard::Broken(Violation::BadResultLine(line.to_vec()));
    let unexpected = || Heard::Broken(Violation::Unexpected);
    #[rustfmt::skip]
    let table: Vec<(ListenerState, &[u8], ListenerState, Vec<Heard>)> = vec![
        (Acknowledged, b"R", Acknowledged, vec![]),
        (Acknowledged, b"junk", Acknowledged, vec![]),
        (Acknowledged, b"READY\n", Ready, vec![Heard::Ready]),
        (Acknowledged, b"READY\nREADY\n", Unknown, vec![Heard::Ready, unexpected()]),
        (Acknowledged, b"READY\nx", Unknown, vec![Heard::Ready, unexpected()]),
        (Acknowledged, b"ready\n", Unknown, vec![unexpected()]),
        (Acknowledged, b"\nREADY\n", Unknown, vec![unexpected()]),
        (Acknowledged, b"READY\r\n", Unknown, vec![unexpected()]),
        (Acknowledged, b"RESULT 2\nOK", Unknown, vec![unexpected()]),
        (Ready, b"R", Unknown, vec![unexpected()]),
        (Ready, b"READY\n", Unknown, vec![unexpected()]),
        (Busy, b"junkjunk", Busy, vec![]),
        (Busy, b"READY\n", Unknown, vec![bad(b"READY")]),
        (Busy, b"\nREADY\n", Unknown, vec![bad(b"")]),
        (Busy, b"RESULT 2\nO", Busy, vec![]),
        (Busy, b"RESULT 2\nOK", Acknowledged, vec![result("OK")]),
        (Busy, b"RESULT 2\r\nOK", Acknowledged, vec![result("OK")]),
        (Busy, b"RESULT 2\nOKREADY\n", Ready, vec![result("OK"), Heard::Ready]),
        // The newline of a careless `echo` is no part of the result.
        (Busy, b"RESULT 2\nOK\nREADY\n", Unknown, vec![result("OK"), unexpected()]),
        (Busy, b"RESULT 3\nOK\nREADY\n", Ready, vec![result("OK\n"), Heard::Ready]),
        (Busy, b"RESULT 0\nREADY\n", Ready, vec![result(""), Heard::Ready]),
        (Busy, b"RESULT 0\n", Acknowledged, vec![result("")]),
        // Whatever the first seven bytes are.
        (Busy, b"xxxxxxx2\nOK", Acknowledged, vec![result("OK")]),
        (Busy, b"RESULT2\n", Unknown, vec![bad(b"RESULT2")]),
        (Busy, b"RESULT  2 \nOK", Acknowledged, vec![result("OK")]),
        (Busy, b"RESULT +2\nOK", Acknowledged, vec![result("OK")]),
        (Busy, b"RESULT 0_2\nOK", Acknowledged, vec![result("OK")]),
        (Busy, b"RESULT _2\n", Unknown, vec![bad(b"RESULT _2")]),
        (Busy, b"RESULT 1__0\n", Unknown, vec![bad(b"RESULT 1__0")]),
        (Busy, b"RESULT ++2\n", Unknown, vec![bad(b"RESULT ++2")]),
        (Busy, b"RESULT -2\nOK", Unknown, vec![bad(b"RESULT -2")]),
        (Busy, b"RESULT x\n", Unknown, vec![bad(b"RESULT x")]),
        (Busy, b"RESULT \xff\n", Unknown, vec![bad(b"RESULT \xff")]),
        (Busy, b"RESULT 99999999999999999999999999\n", Unknown, vec![bad(b"RESULT 99999999999999999999999999")]),
        (Unknown, b"READY\n", Unknown, vec![]),
    ];
    for (state, output, then, heard) in table {
        let text = String::from_utf8_lossy(output);
        assert_eq!(hears(state, output), (then, heard), "{state:?} {text}");
    }
}

#[test]
fn a_listener_cannot_make_anybody_wait_for_too_much() {
    let longest = format!("RESULT {LONGEST_RESULT}\n");
    assert_eq!(
        hears(ListenerState::Busy, longest.as_bytes()).0,
        ListenerState::Busy
    );
    let longer = format!("RESULT {}\n", LONGEST_RESULT + 1);
    assert_eq!(
        hears(ListenerState::Busy, longer.as_bytes()).0,
        ListenerState::Unknown
    );
    // A line without an end.
    let line = vec![b'x'; LONGEST_LINE];
    assert_eq!(hears(ListenerState::Busy, &line).0, ListenerState::Busy);
    let (state, heard) = hears(ListenerState::Busy, &[line.as_slice(), b"y"].concat());
    assert_eq!(state, ListenerState::Unknown);
    assert_eq!(heard, [Heard::Broken(Violation::BadResultLine(line))]);
    // The longest line of all, however it is cut.
    let mut line = b"RESULT 2".to_vec();
    line.resize(LONGEST_LINE, b' ');
    line.extend_from_slice(b"\nOK");
    let expected = [Heard::Result(b"OK".to_vec())];
    assert_eq!(hears(ListenerState::Busy, &line).1, expected);
    let mut listener = Listener::new(ListenerState::Busy);
    let mut heard = Vec::new();
    for byte in &line {
        listener.feed(&[*byte], &mut heard);
    }
    assert_eq!(heard, expected);
    // A result as long as can be.
    let mut output = longest.into_bytes();
    output.resize(output.len() + LONGEST_RESULT, b'z');
    let (state, heard) = hears(ListenerState::Busy, &output);
    assert_eq!(state, ListenerState::Acknowledged);
    assert_eq!(heard, [Heard::Result(vec![b'z'; LONGEST_RESULT])]);
}

#[test]
fn results() {
    let accepted = |print: &str| Verdict::Accepted {
        print: print.into(),
    };
    let default = |result: &[u8]| judge(ResultHandler::Default, result);
    assert_eq!(default(b"OK"), accepted(""));
    for other in [&b""[..], b"FAIL", b"ok", b"OK\n"] {
        assert_eq!(default(other), Verdict::Rejected);
    }
    let print = |result: &[u8]| judge(ResultHandler::Print, result);
    let head = "processname:web groupname:g pid:7 channel:stderr\n";
    let table = [
        ("one\n", "web stderr | one\n"),
        ("one", "web stderr | one\n"),
        (
            "one\n\ntwo\n",
            "web stderr | one\nweb stderr | \nweb stderr | two\n",
        ),
        ("", "web stderr | \n"),
    ];
    for (data, printed) in table {
        assert_eq!(print(format!("{head}{data}").as_bytes()), accepted(printed));
    }
    // What is no such payload is taken, and nothing is printed.
    for other in ["", "OK", "when:5", "processname:x\ndata", "\n"] {
        assert_eq!(print(other.as_bytes()), accepted(""));
    }
    // A name before every line must not make much of little.
    let mut result = format!("processname:{} channel:stdout\n", "n".repeat(10_000)).into_bytes();
    result.resize(500_000, b'\n');
    let Verdict::Accepted { print } = print(&result) else {
        panic!("it is always taken");
    };
    assert!(print.len() < LONGEST_PRINT);
}

#[test]
fn a_slow_reader() {
    let mut outbox = Outbox::new(10);
    outbox.push(b"longer than the limit").unwrap();
    let full = outbox.push(b"x").unwrap_err();
    assert_eq!((full.waiting, full.more, full.limit), (21, 1, 10));
    outbox.sent(16);
    assert_eq!(outbox.pending(), b"limit");
    outbox.push(b"12345").unwrap();
    assert!(outbox.push(b"6").is_err());
    outbox.sent(1);
    assert_eq!(outbox.pending(), b"imit12345");
    outbox.sent(100);
    assert!(outbox.is_empty() && outbox.pending().is_empty());
    outbox.push(b"a").unwrap();
    outbox.clear();
    assert_eq!(outbox.len(), 0);
}

fn output() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(b"READY\n".to_vec()),
        4 => Just(b"RESULT 2\nOK".to_vec()),
        2 => Just(b"RESULT 4\nFAIL".to_vec()),
        1 => Just(b"RESULT 0\n".to_vec()),
        1 => Just(b"\n".to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
        1 => (0..2000_usize).prop_map(|n| format!("RESULT {n}\n").into_bytes()),
        1 => (0..2000_usize).prop_map(|n| vec![b'x'; n]),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    /// The same is heard however the output of a listener is cut.
    #[test]
    fn cuts_do_not_matter(
        output in output(),
        cuts in prop::collection::vec(1..40_usize, 1..20),
        state in prop::sample::select(vec![ListenerState::Acknowledged, ListenerState::Ready, ListenerState::Busy, ListenerState::Unknown]),
    ) {
        let whole = hears(state, &output);
        let mut listener = Listener::new(state);
        let mut heard = Vec::new();
        let mut rest = output.as_slice();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() { break }
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            listener.feed(now, &mut heard);
            rest = later;
        }
        prop_assert_eq!((listener.state(), heard), whole);
    }
}
