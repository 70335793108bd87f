//! Logs: what is written, how they are rotated, cleared, reopened, read.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use rustix::process::Signal;
use serde_json::json;

use crate::{Result, Stage};

crate::tests![
    output_as_it_is,
    errors_among_the_output,
    made_by_itself,
    made_by_itself_and_removed,
    not_removed_if_told,
    rotation,
    rotation_without_backups,
    no_rotation,
    reopened,
    copied_and_truncated,
    cleared,
    cleared_while_stopped,
    cleared_all,
    read_parts,
    read_main,
    no_main_log,
    tail,
    no_file_to_read,
    letters_cut_in_two,
    control_characters,
    colours,
    levels,
    debug_shows_output,
    to_the_daemons_own_output,
    a_device_with_rotation,
    silent,
];

fn output_as_it_is(s: &Stage) -> Result {
    s.write("bytes", b"\xff\x00\xfe no newline".as_slice())?;
    let d = s.start(
        "[program:a]\ncommand=sh -c 'cat %(here)s/bytes;echo err >&2;exec sleep 1000'\n\
         stdout_logfile=%(here)s/out\nstderr_logfile=%(here)s/err\n",
    )?;
    d.await_text("err", "err\n")?;
    d.await_text("out", "newline")?;
    assert_eq!(fs::read(s.path("out"))?, b"\xff\x00\xfe no newline");
    assert_eq!(s.read("err"), "err\n");
    // Appended to what is there.
    d.stop()?;
    let d = s.start_again(&[])?;
    d.await_that("a second one", || s.read("err") == "err\nerr\n")
}

fn errors_among_the_output(s: &Stage) -> Result {
    let d = s.start(
        "[program:a]\ncommand=sh -c 'echo out;echo err >&2;exec sleep 1000'\n\
         redirect_stderr=true\nstdout_logfile=%(here)s/out\n",
    )?;
    assert_eq!(d.await_text("out", "err\n")?, "out\nerr\n");
    Ok(())
}

fn made_by_itself(s: &Stage) -> Result {
    let d = s.start(
        "[supervisord]\nidentifier=me\n\
         [program:a]\ncommand=sh -c 'echo out;echo err >&2;exec sleep 1000'\n",
    )?;
    let info = d.await_some("the logs", || {
        let info = d.info("a").ok()?;
        let text = |key: &str| fs::read_to_string(info[key].as_str()?).ok();
        let written = text("stdout_logfile")? == "out\n" && text("stderr_logfile")? == "err\n";
        written.then_some(info)
    })?;
    let path = info["stderr_logfile"].as_str().unwrap();
    assert!(
        path.starts_with(&format!("{}/a-stderr---me-", s.here())),
        "{path}"
    );
    assert_eq!(fs::metadata(path)?.mode() & 0o777, 0o600);
    // It survives the end.
    d.stop()?;
    assert_eq!(fs::read_to_string(path)?, "err\n");
    Ok(())
}

fn made_by_itself_and_removed(s: &Stage) -> Result {
    for name in [
        "a-stdout---supervisor-abc.log",
        "b:c-stderr---supervisor-xyz.log.12",
        "a-stdout---other-abc.log",
        "a-stdout---supervisor-abc.txt",
        "---supervisor-abc.log",
    ] {
        s.write(name, "")?;
    }
    s.start("")?;
    let mut left: Vec<String> = s.names("")?;
    left.retain(|name| name.contains("---"));
    let expected = [
        "---supervisor-abc.log",
        "a-stdout---other-abc.log",
        "a-stdout---supervisor-abc.txt",
    ];
    assert_eq!(left, expected);
    Ok(())
}

fn not_removed_if_told(s: &Stage) -> Result {
    s.write("a-stdout---supervisor-abc.log", "")?;
    s.start("[supervisord]\nnocleanup=true\n")?;
    assert_eq!(s.names("a-stdout")?.len(), 1);
    Ok(())
}

/// A program that repeats what it is told.
const ECHO: &str = "[program:a]\ncommand=cat\nstdout_logfile=%(here)s/out\n";

fn say(d: &ward_testkit::supervisor::daemon::Daemon, what: &str) -> Result {
    d.pid_of_started("a")?;
    d.sv("sendProcessStdin", &json!(["a", what]))?;
    Ok(())
}

/// After the write that reaches the bound; a piece is never split.
fn rotation(s: &Stage) -> Result {
    let d = s.start(&format!(
        "{ECHO}stdout_logfile_maxbytes=10\nstdout_logfile_backups=2\n"
    ))?;
    say(&d, "123456789")?;
    d.await_text("out", "123456789")?;
    assert_eq!(s.names("out")?, ["out"]);
    say(&d, "abcdefghij")?;
    d.await_that("a backup", || s.read("out.1") == "123456789abcdefghij")?;
    assert_eq!(s.read("out"), "");
    for round in ["second----", "third-----", "fourth----"] {
        say(&d, round)?;
        d.await_that(round, || {
            s.read("out.1") == round && s.read("out").is_empty()
        })?;
    }
    assert_eq!(s.names("out")?, ["out", "out.1", "out.2"]);
    assert_eq!(s.read("out.2"), "third-----");
    Ok(())
}

fn rotation_without_backups(s: &Stage) -> Result {
    let d = s.start(&format!(
        "{ECHO}stdout_logfile_maxbytes=10\nstdout_logfile_backups=0\n[supervisord]\nloglevel=debug\n"
    ))?;
    say(&d, "123456789012345")?;
    d.await_log("stdout output:\n123456789012345")?;
    say(&d, "x")?;
    d.await_that("the rest", || s.read("out") == "x")?;
    assert_eq!(s.names("out")?, ["out"]);
    Ok(())
}

fn no_rotation(s: &Stage) -> Result {
    let d = s.start(&format!("{ECHO}stdout_logfile_maxbytes=0\n"))?;
    let much = "0123456789abcde\n".repeat(4096);
    say(&d, &much)?;
    d.await_that("all of it", || s.read("out") == much)?;
    assert_eq!(s.names("out")?, ["out"]);
    Ok(())
}

fn reopened(s: &Stage) -> Result {
    let d = s.start(ECHO)?;
    say(&d, "one")?;
    d.await_text("out", "one")?;
    fs::rename(s.path("out"), s.path("old"))?;
    fs::rename(s.path("d.log"), s.path("old.log"))?;
    say(&d, "two")?;
    d.await_text("old", "onetwo")?;
    d.signal(Signal::USR2)?;
    d.await_that("new files", || {
        s.path("out").exists() && s.path("d.log").exists()
    })?;
    let log = s.read("old.log");
    assert!(
        log.contains("INFO received SIGUSR2 indicating log reopen request\n"),
        "{log}"
    );
    // Before or behind the change, and after the new file is there.
    d.await_that("word of it", || {
        (s.read("old.log") + &d.log()).contains("INFO supervisord logreopen\n")
    })?;
    say(&d, "three")?;
    d.await_that("the new text", || s.read("out") == "three")?;
    assert_eq!(s.read("old"), "onetwo");
    Ok(())
}

fn copied_and_truncated(s: &Stage) -> Result {
    let d = s.start(ECHO)?;
    say(&d, "one")?;
    d.await_text("out", "one")?;
    fs::File::options()
        .write(true)
        .open(s.path("out"))?
        .set_len(0)?;
    say(&d, "two")?;
    d.await_that("no hole", || s.read("out") == "two")
}

fn cleared(s: &Stage) -> Result {
    let d = s.start(&format!("{ECHO}stdout_logfile_maxbytes=4\n"))?;
    say(&d, "12345")?;
    d.await_that("a backup", || s.read("out.1") == "12345")?;
    say(&d, "xyz")?;
    d.await_text("out", "xyz")?;
    assert_eq!(d.sv("clearProcessLogs", &json!(["a"]))?, true);
    assert_eq!(s.read("out"), "");
    assert_eq!(s.read("out.1"), "12345");
    say(&d, "new")?;
    d.await_that("what is new", || s.read("out") == "new")?;
    assert_eq!(d.sv("clearProcessLog", &json!(["a"]))?, true);
    assert_eq!(d.sv("clearLog", &json!([]))?, true);
    assert!(!d.log().contains("supervisord started"));
    Ok(())
}

fn cleared_while_stopped(s: &Stage) -> Result {
    let d = s.start("[program:a]\ncommand=echo x\nstartsecs=0\nstdout_logfile=%(here)s/out\n")?;
    d.await_state("a", "EXITED")?;
    d.await_text("out", "x\n")?;
    assert_eq!(d.sv("clearProcessLogs", &json!(["a"]))?, true);
    let expected = if s.differs("clear-stopped")? {
        ""
    } else {
        "x\n"
    };
    assert_eq!(s.read("out"), expected);
    Ok(())
}

fn cleared_all(s: &Stage) -> Result {
    let d = s.start("[program:b]\ncommand=cat\n[program:a]\ncommand=cat\n")?;
    d.pid_of_started("a")?;
    let found = d.sv("clearAllProcessLogs", &json!([]))?;
    let ok = |name: &str| json!({"name": name, "group": name, "status": 80, "description": "OK"});
    assert_eq!(found, json!([ok("a"), ok("b")]));
    Ok(())
}

/// A program whose logs are `0123456789` and `errors`.
const DIGITS: &str = "[program:a]\n\
    command=sh -c 'printf 0123456789;printf errors >&2;exec sleep 1000'\n\
    stdout_logfile=%(here)s/out\nstderr_logfile=%(here)s/err\n";

fn read_parts(s: &Stage) -> Result {
    let d = s.start(DIGITS)?;
    d.await_text("out", "9")?;
    d.await_text("err", "errors")?;
    for method in ["readProcessStdoutLog", "readProcessLog"] {
        for (offset, length, expected) in [
            (0, 0, "0123456789"),
            (3, 0, "3456789"),
            (3, 2, "34"),
            (8, 10, "89"),
            (10, 0, ""),
            (99, 0, ""),
            (99, 5, ""),
            (-4, 0, "6789"),
            (-99, 0, "0123456789"),
        ] {
            let found = d.sv(method, &json!(["a", offset, length]))?;
            assert_eq!(found, expected, "{method} {offset} {length}");
        }
        for (offset, length) in [(-4, 2), (-1, -1), (0, -1)] {
            let fault = d.fault(method, &json!(["a", offset, length]))?;
            assert!(fault.starts_with("3 BAD_ARGUMENTS"), "{fault}");
        }
        assert_eq!(d.fault(method, &json!(["no", 0, 0]))?, "10 BAD_NAME: no");
    }
    assert_eq!(d.sv("readProcessStderrLog", &json!(["a", 0, 3]))?, "err");
    Ok(())
}

fn read_main(s: &Stage) -> Result {
    let d = s.start("")?;
    for method in ["readLog", "readMainLog"] {
        let all = d.sv(method, &json!([0, 0]))?;
        assert!(
            all.as_str()
                .unwrap()
                .contains("INFO supervisord started with pid"),
            "{all}"
        );
        let end = d.sv(method, &json!([-5, 0]))?;
        assert_eq!(end.as_str().unwrap().len(), 5);
        assert!(
            d.fault(method, &json!([-5, 3]))?
                .starts_with("3 BAD_ARGUMENTS")
        );
    }
    Ok(())
}

fn no_main_log(s: &Stage) -> Result {
    let d = s.start("")?;
    std::fs::remove_file(s.path("d.log"))?;
    assert_eq!(
        d.fault("readLog", &json!([0, 0]))?,
        format!("20 NO_FILE: {}/d.log", s.here())
    );
    assert_eq!(d.fault("clearLog", &json!([]))?, "20 NO_FILE");
    Ok(())
}

fn tail(s: &Stage) -> Result {
    let d = s.start(DIGITS)?;
    d.await_text("out", "9")?;
    d.await_text("err", "errors")?;
    for method in ["tailProcessStdoutLog", "tailProcessLog"] {
        for (offset, length, expected) in [
            (0, 4, json!(["6789", 10, true])),
            (0, 10, json!(["0123456789", 10, false])),
            (0, 100, json!(["0123456789", 10, false])),
            (10, 5, json!(["", 10, false])),
            (8, 5, json!(["56789", 10, false])),
            (2, 5, json!(["56789", 10, true])),
            (10, 0, json!(["", 10, false])),
            (99, 5, json!(["", 10, false])),
            (-3, 5, json!(["56789", 10, true])),
            (0, 0, json!(["", 10, true])),
        ] {
            let found = d.sv(method, &json!(["a", offset, length]))?;
            assert_eq!(found, expected, "{method} {offset} {length}");
        }
        assert_eq!(d.fault(method, &json!(["no", 0, 1]))?, "10 BAD_NAME: no");
    }
    let found = d.sv("tailProcessStderrLog", &json!(["a", 0, 3]))?;
    assert_eq!(found, json!(["ors", 6, true]));
    Ok(())
}

fn no_file_to_read(s: &Stage) -> Result {
    let d = s.start(
        "[program:a]\ncommand=cat\nstdout_logfile=NONE\n\
         [program:b]\ncommand=cat\nautostart=false\nstdout_logfile=%(here)s/never\n",
    )?;
    let never = format!("20 NO_FILE: {}/never", s.here());
    assert_eq!(
        d.fault("readProcessStdoutLog", &json!(["a", 0, 0]))?,
        "20 NO_FILE"
    );
    assert_eq!(d.fault("readProcessStdoutLog", &json!(["b", 0, 0]))?, never);
    assert_eq!(
        d.sv("tailProcessStdoutLog", &json!(["a", 0, 9]))?,
        json!(["", 0, false])
    );
    assert_eq!(
        d.sv("tailProcessStdoutLog", &json!(["b", 0, 9]))?,
        json!(["", 0, false])
    );
    Ok(())
}

fn letters_cut_in_two(s: &Stage) -> Result {
    let d = s.start(&format!("{ECHO}stderr_logfile=NONE\n"))?;
    say(&d, "x\u{e9}")?;
    d.await_text("out", "\u{e9}")?;
    let cut = json!(["a", 2, 0]);
    if s.differs("cut-letters")? {
        assert_eq!(d.sv("readProcessStdoutLog", &cut)?, "\u{fffd}");
    } else {
        let error = d.sv("readProcessStdoutLog", &cut).unwrap_err();
        assert!(error.to_string().contains("status 500"), "{error}");
    }
    Ok(())
}

fn control_characters(s: &Stage) -> Result {
    s.write("bytes", "a\u{1b}[0mb\u{0}c")?;
    let d = s.start(
        "[program:a]\ncommand=sh -c 'cat %(here)s/bytes;exec sleep 1000'\nstdout_logfile=%(here)s/out\n",
    )?;
    d.await_text("out", "c")?;
    let body = ward_testkit::supervisor::daemon::request(
        "supervisor.readProcessStdoutLog",
        &json!(["a", 0, 0]),
    )?;
    let text = d.http(body)?.text();
    // XML 1.0 has no place for them.
    let forbidden = text.contains('\u{1b}') || text.contains('\u{0}');
    assert_eq!(forbidden, !s.differs("control-characters")?, "{text:?}");
    Ok(())
}

fn colours(s: &Stage) -> Result {
    s.write("bytes", "\u{1b}[1;31mred\u{1b}[0m \u{1b}[2Kline\n")?;
    let d = s.start(
        "[supervisord]\nstrip_ansi=true\n\
         [program:a]\ncommand=sh -c 'cat %(here)s/bytes;exec sleep 1000'\nstdout_logfile=%(here)s/out\n",
    )?;
    assert_eq!(d.await_text("out", "line\n")?, "red line\n");
    Ok(())
}

fn levels(s: &Stage) -> Result {
    let d = s.start("[supervisord]\nloglevel=warn\n[program:a]\ncommand=sleep 1000\n")?;
    d.pid_of_started("a")?;
    d.sv("stopProcess", &json!(["a"]))?;
    let log = d.await_log("WARN stopped: a (terminated by SIGTERM)\n")?;
    assert!(!log.contains(" INFO "), "{log}");
    let line = log.lines().last().unwrap();
    let shape: String = line[..24]
        .chars()
        .map(|letter| if letter.is_ascii_digit() { '0' } else { letter })
        .collect();
    assert_eq!(shape, "0000-00-00 00:00:00,000 ");
    Ok(())
}

fn debug_shows_output(s: &Stage) -> Result {
    let d = s.start(
        "[supervisord]\nloglevel=debug\n[program:a]\ncommand=sh -c 'echo hello;exec sleep 1000'\n",
    )?;
    d.await_log("DEBG 'a' stdout output:\nhello\n")?;
    Ok(())
}

fn to_the_daemons_own_output(s: &Stage) -> Result {
    let d = s.start(
        "[program:a]\ncommand=sh -c 'echo hello;echo sorry >&2;exec sleep 1000'\n\
         stdout_logfile=/dev/stdout\nstdout_logfile_maxbytes=0\n\
         stderr_logfile=/dev/stderr\nstderr_logfile_maxbytes=0\n",
    )?;
    d.await_that("the output", || d.output().contains("\nhello\n"))?;
    d.await_that("the errors", || d.complaints().contains("sorry\n"))?;
    // The main log is copied there, too.
    assert!(d.output().contains(" INFO spawned: 'a' with pid "));
    Ok(())
}

/// Where there is no place to seek to, the original loses the log at the first piece.
fn a_device_with_rotation(s: &Stage) -> Result {
    let d = s.start("[program:a]\ncommand=cat\nstdout_logfile=/dev/stdout\n")?;
    say(&d, "hello\n")?;
    if s.differs("rotated-devices")? {
        d.await_that("the first", || d.output().contains("\nhello\n"))?;
        say(&d, "again\n")?;
        d.await_that("the second", || d.output().contains("again\n"))?;
    } else {
        d.await_that("a complaint", || {
            let all = d.log() + &d.output() + &d.complaints();
            all.contains("Illegal seek")
        })?;
    }
    Ok(())
}

fn silent(s: &Stage) -> Result {
    s.configure("[supervisord]\nsilent=true\n")?;
    let d = s.start_again(&[])?;
    d.await_log("supervisord started with pid")?;
    let ended = d.stop()?;
    assert_eq!((ended.code, ended.out.as_str()), (0, ""));
    s.configure("")?;
    let ended = s.start_again(&["-s"])?.stop()?;
    assert_eq!((ended.code, ended.out.as_str()), (0, ""));
    let ended = s.start_again(&[])?.stop()?;
    assert!(
        ended.out.contains("INFO supervisord started with pid"),
        "{ended:?}"
    );
    Ok(())
}
