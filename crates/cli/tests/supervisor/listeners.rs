//! Event listeners as programs: what they answer, and what becomes of those who answer otherwise.

use serde_json::json;

use crate::listening::{RECORDER, await_event, events};
use crate::{Result, Stage};

crate::tests![
    rejected_and_sent_again,
    overflow,
    a_bad_result_line,
    a_newline_behind_the_result,
    chatter_of_a_ready_one,
    death_with_an_event,
    several_in_a_pool,
    not_before_it_is_ready,
    errors_of_a_listener_are_logged,
    written_in_shell,
    that_ends_the_daemon,
];

/// A listener in Python whose answer is computed by `reply`, from the number `n` of the event.
fn python(s: &Stage, reply: &str) -> Result {
    let text = RECORDER
        .replace("while True:", "n = -1\nwhile True:\n    n += 1")
        .replace("os.write(1, b\"RESULT 2\\nOK\")", reply);
    s.write("listener.py", text)?;
    Ok(())
}

fn listener(rest: &str) -> String {
    format!(
        "[eventlistener:l]\ncommand=@python -I -S %(here)s/listener.py %(here)s/l.events\n\
         events=REMOTE_COMMUNICATION\n{rest}"
    )
}

fn rejected_and_sent_again(s: &Stage) -> Result {
    python(
        s,
        r#"os.write(1, b"RESULT 4\nFAIL" if n == 0 else b"RESULT 2\nOK")"#,
    )?;
    let d = s.start(&listener(""))?;
    d.sv("sendRemoteCommEvent", &json!(["one", ""]))?;
    d.sv("sendRemoteCommEvent", &json!(["two", ""]))?;
    await_event(&d, s, "l", "REMOTE", "two")?;
    let all: Vec<_> = events(s, "l")
        .iter()
        .map(|event| (event.payload.clone(), event.field("serial")))
        .collect();
    let names: Vec<&str> = all.iter().map(|(payload, _)| payload.as_str()).collect();
    assert_eq!(names, ["type:one\n", "type:one\n", "type:two\n"]);
    assert_eq!(all[0].1, all[1].1);
    d.await_log("WARN l: event was rejected\n")?;
    Ok(())
}

fn overflow(s: &Stage) -> Result {
    // It is not ready before it may be.
    let text = format!(
        "import os, time\nwhile not os.path.exists('{}/go'): time.sleep(0.02)\n{RECORDER}",
        s.here()
    );
    s.write("listener.py", text)?;
    let d = s.start(&listener("buffer_size=2\n"))?;
    for name in ["one", "two", "three"] {
        d.sv("sendRemoteCommEvent", &json!([name, ""]))?;
    }
    let log = d.await_log("event buffer overflowed")?;
    assert!(
        log.contains("ERRO pool l event buffer overflowed, discarding event "),
        "{log}"
    );
    s.write("go", "")?;
    await_event(&d, s, "l", "REMOTE", "three")?;
    // The oldest is gone.
    let names: Vec<String> = events(s, "l")
        .into_iter()
        .map(|event| event.payload)
        .collect();
    assert_eq!(names, ["type:two\n", "type:three\n"]);
    Ok(())
}

/// Its state as a listener is unknown from then on; it goes on running.
fn confused(s: &Stage, d: &ward_testkit::supervisor::daemon::Daemon) -> Result {
    d.await_log("WARN l: has entered the UNKNOWN state and will no longer receive events, this usually indicates the process violated the eventlistener protocol\n")?;
    let before = events(s, "l").len();
    d.sv("sendRemoteCommEvent", &json!(["later", ""]))?;
    d.await_state("l", "RUNNING")?;
    assert_eq!(events(s, "l").len(), before);
    Ok(())
}

fn a_bad_result_line(s: &Stage) -> Result {
    python(s, r#"os.write(1, b"RESULT x\n")"#)?;
    let d = s.start(&listener(""))?;
    d.sv("sendRemoteCommEvent", &json!(["one", ""]))?;
    d.await_log("WARN l: bad result line: 'RESULT x'\n")?;
    confused(s, &d)
}

fn a_newline_behind_the_result(s: &Stage) -> Result {
    python(s, r#"os.write(1, b"RESULT 2\nOK\n")"#)?;
    let d = s.start(&listener(""))?;
    d.sv("sendRemoteCommEvent", &json!(["one", ""]))?;
    confused(s, &d)
}

fn chatter_of_a_ready_one(s: &Stage) -> Result {
    s.write(
        "listener.py",
        format!("print('hello', flush=True)\n{RECORDER}"),
    )?;
    let d = s.start(&listener(""))?;
    confused(s, &d)
}

fn death_with_an_event(s: &Stage) -> Result {
    python(
        s,
        "if os.path.exists(sys.argv[1] + '.died'): os.write(1, b\"RESULT 2\\nOK\")\n    else: open(sys.argv[1] + '.died', 'w'); os._exit(1)",
    )?;
    let d = s.start(&listener("startsecs=0\n"))?;
    d.sv("sendRemoteCommEvent", &json!(["one", ""]))?;
    d.await_that("the second time", || events(s, "l").len() == 2)?;
    let all = events(s, "l");
    assert_eq!(all[0].line, all[1].line);
    assert_eq!(all[1].payload, "type:one\n");
    Ok(())
}

/// The first of them who is ready gets it.
fn several_in_a_pool(s: &Stage) -> Result {
    s.write(
        "listener.py",
        RECORDER.replace("os.write(1, b\"RESULT 2\\nOK\")", &format!(
            "while not os.path.exists('{}/go'):\n        import time; time.sleep(0.02)\n    os.write(1, b\"RESULT 2\\nOK\")",
            s.here()
        )),
    )?;
    let d = s.start(
        "[eventlistener:l]\ncommand=@python -I -S %(here)s/listener.py %(here)s/l%(process_num)d.events\n\
         events=REMOTE_COMMUNICATION\nnumprocs=2\nprocess_name=l%(process_num)d\n",
    )?;
    d.await_state("l:l0", "RUNNING")?;
    d.await_state("l:l1", "RUNNING")?;
    for name in ["one", "two", "three"] {
        d.sv("sendRemoteCommEvent", &json!([name, ""]))?;
    }
    // Both are busy with one each; the third waits.
    d.await_that("two events", || {
        !events(s, "l0").is_empty() && !events(s, "l1").is_empty()
    })?;
    assert_eq!(events(s, "l0").len() + events(s, "l1").len(), 2);
    s.write("go", "")?;
    d.await_that("all events", || {
        events(s, "l0").len() + events(s, "l1").len() == 3
    })?;
    assert_eq!(events(s, "l0")[0].field("pool"), "l");
    Ok(())
}

/// Only who is RUNNING gets any: what comes before is kept.
fn not_before_it_is_ready(s: &Stage) -> Result {
    s.write("listener.py", RECORDER)?;
    let d = s.start(&listener("startsecs=2\n"))?;
    d.sv("sendRemoteCommEvent", &json!(["one", ""]))?;
    d.await_state("l", "STARTING")?;
    assert_eq!(events(s, "l").len(), 0);
    await_event(&d, s, "l", "REMOTE", "one")?;
    assert_eq!(d.state("l")?, "RUNNING");
    Ok(())
}

fn errors_of_a_listener_are_logged(s: &Stage) -> Result {
    s.write(
        "listener.py",
        format!("import sys\nprint('to err', file=sys.stderr, flush=True)\n{RECORDER}"),
    )?;
    let d = s.start(&listener(
        "stderr_logfile=%(here)s/err\nstdout_logfile=%(here)s/out\n",
    ))?;
    d.await_text("err", "to err\n")?;
    d.sv("sendRemoteCommEvent", &json!(["one", ""]))?;
    // What it says to the daemon is logged, too.
    d.await_text("out", "RESULT 2\nOK")?;
    Ok(())
}

/// As in the images of many: built-ins of a shell, one event after the other.
fn written_in_shell(s: &Stage) -> Result {
    s.script(
        "listener",
        &format!(
            "#!/bin/sh\nwhile true; do\n  printf 'READY\\n'\n  read -r header\n  \
             len=${{header##*len:}}\n  payload=$(dd bs=1 count=\"$len\" 2>/dev/null)\n  \
             echo \"$payload\" >> {}/heard\n  printf 'RESULT 2\\nOK'\ndone\n",
            s.here()
        ),
    )?;
    let d =
        s.start("[eventlistener:l]\ncommand=%(here)s/listener\nevents=REMOTE_COMMUNICATION\n")?;
    for name in ["one", "two"] {
        d.sv("sendRemoteCommEvent", &json!([name, "data"]))?;
    }
    assert_eq!(
        d.await_text("heard", "two\ndata\n")?,
        "type:one\ndata\ntype:two\ndata\n"
    );
    Ok(())
}

/// The script by which containers end when a program of theirs is given up.
fn that_ends_the_daemon(s: &Stage) -> Result {
    s.script(
        "stop-supervisor.sh",
        &format!(
            "#!/bin/bash\nprintf \"READY\\n\";\nwhile read line; do\n  echo \"Processing Event: $line\" >&2;\n  \
             kill -3 $(cat \"{}/d.pid\")\ndone < /dev/stdin\n",
            s.here()
        ),
    )?;
    let d = s.start(
        "[eventlistener:processes]\ncommand=%(here)s/stop-supervisor.sh\n\
         events=PROCESS_STATE_STOPPED, PROCESS_STATE_EXITED, PROCESS_STATE_FATAL\n\
         [program:a]\ncommand=false\nstartretries=0\nstartsecs=2\n",
    )?;
    assert_eq!(d.finish()?.code, 0);
    let log = s.read("d.log");
    assert!(
        log.contains("received SIGQUIT indicating exit request"),
        "{log}"
    );
    Ok(())
}
