//! Custody from inside another program. Without the usual harness: this program is its own
//! guardian, and must be able to become one before anything else happens in it.

#![forbid(unsafe_code)]

use std::io::Read;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ward_engine::embed::{self, Event, Run, Stream};
use ward_model::life::{CauseKind, End, Policy};
use ward_model::report::Report;
use ward_model::signal::Signal;
use ward_model::spec::Spec;
use ward_model::wire::StopOrder;
use ward_testkit::cases;

fn main() -> ExitCode {
    embed::guardian_entry();
    let checks: [(&str, fn()); 9] = [
        (
            "output_is_streamed_to_its_end",
            output_is_streamed_to_its_end,
        ),
        (
            "what_is_left_over_does_not_hold_the_reader",
            what_is_left_over_does_not_hold_the_reader,
        ),
        ("a_stop_lets_clean_up_finish", a_stop_lets_clean_up_finish),
        (
            "who_was_told_before_its_exec_is_told_again",
            who_was_told_before_its_exec_is_told_again,
        ),
        (
            "a_command_that_does_not_exist",
            a_command_that_does_not_exist,
        ),
        ("a_dropped_run_is_stopped", a_dropped_run_is_stopped),
        (
            "what_is_said_to_people_comes_among_the_output",
            what_is_said_to_people_comes_among_the_output,
        ),
        (
            "an_order_that_allows_no_grace",
            an_order_that_allows_no_grace,
        ),
        (
            "a_report_of_very_many_comes_shortened",
            a_report_of_very_many_comes_shortened,
        ),
    ];
    let case = |(name, check): (&'static str, fn())| {
        (name, move || {
            check();
            Ok(())
        })
    };
    cases::run(checks.map(case))
}

fn step(script: &str) -> Spec {
    let mut spec = Spec::new(vec!["sh".into(), "-c".into(), script.into()]);
    spec.environment = std::env::vars_os().collect();
    spec.policy = Policy {
        grace: Duration::from_secs(20),
        leftover_grace: Duration::from_millis(50),
        ..Policy::default()
    };
    spec
}

fn whole(spec: Spec) -> (String, Report) {
    let mut run = Run::start(spec, Stream::Pipe, Stream::Inherit).expect("starts");
    let mut text = String::new();
    let mut stdout = run.take_stdout().expect("asked for");
    stdout.read_to_string(&mut text).expect("text");
    (text, run.wait().expect("a report"))
}

fn output_is_streamed_to_its_end() {
    let (text, report) = whole(step("seq 1 20000; exit 3"));
    assert_eq!(text.lines().count(), 20000);
    assert_eq!(text.lines().last(), Some("20000"));
    assert_eq!(
        (report.exit_status, report.end),
        (3, End::Exited { code: 3 })
    );
}

fn what_is_left_over_does_not_hold_the_reader() {
    let mut spec = step("(trap '' TERM; while :; do sleep 1; done) & echo started");
    spec.policy.grace = Duration::from_millis(100);
    let (text, report) = whole(spec);
    assert_eq!(text, "started\n");
    assert_eq!(
        (report.exit_status, report.cause),
        (0, Some(CauseKind::LeftOver))
    );
    assert!(report.left_over.count >= 1 && report.killed.count >= 1);
}

fn a_stop_lets_clean_up_finish() {
    let script = "trap 'echo cleaned; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
    let mut run = Run::start(step(script), Stream::Pipe, Stream::Inherit).expect("starts");
    let mut stdout = run.take_stdout().expect("asked for");
    let started = run.next_event().expect("an event");
    assert!(matches!(started, Event::Started { leader } if leader > 0));
    let mut ready = [0; 6];
    stdout.read_exact(&mut ready).expect("ready");
    run.stop(Signal::TERM);
    let mut text = String::new();
    stdout.read_to_string(&mut text).expect("text");
    assert_eq!(text, "cleaned\n");
    let report = run.wait().expect("a report");
    assert_eq!(report.exit_status, ward_model::exit_code::STOPPED);
    assert!(!report.forced);
}

/// A child of perl is perl, with its handlers, until it has executed its program; this one waits for the signal
/// before it does.
fn who_was_told_before_its_exec_is_told_again() {
    const LOSES_IT: &str = r#"
        $| = 1;
        $SIG{TERM} = sub { $told = 1 };
        if (!fork) {
            print "ready\n";
            select undef, undef, undef, 0.01 until $told;
            exec "sleep", "600";
        }
        1 until wait > 0;
    "#;
    for _ in 0..5 {
        let mut spec = step("");
        spec.command = ["perl", "-e", LOSES_IT].map(Into::into).to_vec();
        spec.policy.grace = Duration::from_secs(60);
        let mut run = Run::start(spec, Stream::Pipe, Stream::Inherit).expect("starts");
        let mut stdout = run.take_stdout().expect("asked for");
        let mut ready = [0; 6];
        stdout.read_exact(&mut ready).expect("ready");
        run.stop(Signal::TERM);
        let report = run.wait().expect("a report");
        assert!(!report.forced, "{report:#?}");
    }
}

fn a_command_that_does_not_exist() {
    let spec = Spec::new(vec!["/nowhere/at/all".into()]);
    let report = Run::start(spec, Stream::Null, Stream::Null)
        .expect("starts")
        .wait()
        .expect("a report");
    assert_eq!(report.exit_status, ward_model::exit_code::NOT_FOUND);
    assert_eq!(report.failure.expect("a failure").errno, 2);
}

fn a_dropped_run_is_stopped() {
    let script = "echo $$; exec sleep 100";
    let mut run = Run::start(step(script), Stream::Pipe, Stream::Inherit).expect("starts");
    let mut stdout = run.take_stdout().expect("asked for");
    let mut first = [0; 1];
    stdout.read_exact(&mut first).expect("a digit");
    drop(run);
    let began = Instant::now();
    let mut rest = String::new();
    // The end of its output is the end of the tree: nobody else holds the pipe.
    stdout.read_to_string(&mut rest).expect("text");
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "it ran to its own end"
    );
}

fn what_is_said_to_people_comes_among_the_output() {
    let mut spec = step("echo one; echo two >&2; echo three; sleep 600 & exit 0");
    spec.title = Some("the step".to_owned());
    let mut run = Run::start_aloud(spec, false).expect("starts");
    let mut text = String::new();
    let mut both = run.take_stderr().expect("a pipe");
    both.read_to_string(&mut text).expect("text");
    assert!(text.starts_with("one\ntwo\nthree\n"), "{text}");
    assert!(
        text.contains("the step has ended and left 1 process: "),
        "{text}"
    );
    assert!(run.take_stdout().is_none());
    assert_eq!(run.wait().expect("a report").left_over.count, 1);

    let mut run = Run::start_aloud(step("echo one; echo two >&2"), true).expect("starts");
    let (mut out, mut err) = (String::new(), String::new());
    let mut stdout = run.take_stdout().expect("a pipe");
    stdout.read_to_string(&mut out).expect("text");
    let mut stderr = run.take_stderr().expect("a pipe");
    stderr.read_to_string(&mut err).expect("text");
    assert_eq!((out.as_str(), err.as_str()), ("one\n", "two\n"));
}

fn an_order_that_allows_no_grace() {
    let script = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
    let mut spec = step(script);
    spec.policy.grace = Duration::from_secs(3600);
    let mut run = Run::start(spec, Stream::Pipe, Stream::Inherit).expect("starts");
    let mut stdout = run.take_stdout().expect("asked for");
    let mut ready = [0; 6];
    stdout.read_exact(&mut ready).expect("ready");
    let order = |request, grace| StopOrder { request, grace };
    run.order_stop(Signal::TERM, order(1, None));
    run.order_stop(Signal::TERM, order(2, Some(Duration::ZERO)));
    let report = run.wait().expect("a report");
    assert!(report.forced && report.stopped_before_end);
    assert_eq!(report.stops.len(), 2);
}

fn a_report_of_very_many_comes_shortened() {
    let script = "for i in $(seq 300); do sh -c 'sleep 600; : a long command line, so that a message is full soon' & done; exit 7";
    let report = Run::start(step(script), Stream::Null, Stream::Null)
        .expect("starts")
        .wait()
        .expect("a report, although its lists are too long for a message");
    assert_eq!(report.end, End::Exited { code: 7 });
    assert!(report.left_over.count >= 300);
    assert!(report.left_over.processes.len() < 300);
}
