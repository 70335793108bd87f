//! What event listeners are told: every kind of event, and its payload.

use serde_json::json;

use crate::listening::{Event, RECORDER, await_event, events};
use crate::{Result, Stage};

crate::tests![
    header,
    serials,
    life_of_a_process,
    failing_to_start,
    ends,
    the_last_try_of_a_shutdown,
    daemon_states,
    output,
    output_only_if_asked,
    letters_are_counted,
    captured,
    captured_in_pieces,
    captured_and_bounded,
    the_end_of_output_beside_capture,
    remote,
    groups,
    ticks,
    subscriptions,
];

fn listener(events: &str) -> String {
    format!(
        "[eventlistener:l]\ncommand=@python -I -S %(here)s/recorder.py %(here)s/l.events\n\
         events={events}\nbuffer_size=1000\n"
    )
}

fn with(s: &Stage, events: &str, rest: &str) -> Result<String> {
    s.write("recorder.py", RECORDER)?;
    Ok(format!("{}{rest}", listener(events)))
}

fn header(s: &Stage) -> Result {
    let rest = with(
        s,
        "PROCESS_STATE_STARTING",
        "[supervisord]\nidentifier=me\n[program:a]\ncommand=sleep 1000\n",
    )?;
    let d = s.start(&rest)?;
    let first = await_event(&d, s, "l", "STARTING", "groupname:a ")?;
    assert_eq!(first.line.split(' ').count(), 7);
    assert!(
        first.line.starts_with("ver:3.0 server:me serial:"),
        "{}",
        first.line
    );
    let names: Vec<&str> = first
        .line
        .split(' ')
        .filter_map(|word| word.split(':').next())
        .collect();
    assert_eq!(
        names,
        [
            "ver",
            "server",
            "serial",
            "pool",
            "poolserial",
            "eventname",
            "len"
        ]
    );
    assert_eq!(first.field("pool"), "l");
    assert_eq!(first.field("eventname"), "PROCESS_STATE_STARTING");
    assert_eq!(
        first.payload,
        "processname:a groupname:a from_state:STOPPED tries:0"
    );
    assert_eq!(first.field("len"), first.payload.len().to_string());
    Ok(())
}

fn serials(s: &Stage) -> Result {
    let second = "[eventlistener:m]\ncommand=@python -I -S %(here)s/recorder.py %(here)s/m.events\n\
        events=REMOTE_COMMUNICATION\n";
    let rest = with(s, "PROCESS_STATE,REMOTE_COMMUNICATION", second)?;
    let d = s.start(&rest)?;
    for n in 0..3 {
        d.sv("sendRemoteCommEvent", &json!([format!("t{n}"), ""]))?;
    }
    let last = await_event(&d, s, "m", "REMOTE", "type:t2\n")?;
    let last_of_l = await_event(&d, s, "l", "REMOTE", "type:t2\n")?;
    // One event, one number; each pool counts its own.
    assert_eq!(last.field("serial"), last_of_l.field("serial"));
    assert_eq!(last.field("poolserial"), "2");
    for pool in ["l", "m"] {
        let counted: Vec<String> = events(s, pool)
            .iter()
            .map(|event| event.field("poolserial"))
            .collect();
        let expected: Vec<String> = (0..counted.len()).map(|n| n.to_string()).collect();
        assert_eq!(counted, expected, "{pool}");
    }
    assert_eq!(events(s, "l")[0].field("serial"), "0");
    Ok(())
}

/// Names and payloads of the events about a process.
fn story(s: &Stage, name: &str) -> Vec<String> {
    let about = format!("processname:{name} ");
    let shorten = |event: &Event| {
        let name = event.field("eventname").replace("PROCESS_STATE_", "");
        format!("{name} {}", event.payload.replace(&about, ""))
    };
    let all = events(s, "l");
    all.iter()
        .filter(|event| event.payload.starts_with(&about))
        .map(shorten)
        .collect()
}

fn life_of_a_process(s: &Stage) -> Result {
    let rest = with(
        s,
        "PROCESS_STATE",
        "[group:g]\nprograms=a\n[program:a]\ncommand=sleep 1000\n",
    )?;
    let d = s.start(&rest)?;
    d.await_state("g:a", "RUNNING")?;
    let pid = d.pid_of("g:a")?;
    d.sv("stopProcess", &json!(["g:a"]))?;
    await_event(&d, s, "l", "STOPPED", "processname:a ")?;
    let expected = [
        "STARTING groupname:g from_state:STOPPED tries:0".to_owned(),
        format!("RUNNING groupname:g from_state:STARTING pid:{pid}"),
        format!("STOPPING groupname:g from_state:RUNNING pid:{pid}"),
        format!("STOPPED groupname:g from_state:STOPPING pid:{pid}"),
    ];
    assert_eq!(story(s, "a"), expected);
    Ok(())
}

fn failing_to_start(s: &Stage) -> Result {
    let rest = with(
        s,
        "PROCESS_STATE",
        "[program:a]\ncommand=false\nstartretries=1\nstartsecs=9\n",
    )?;
    let d = s.start(&rest)?;
    await_event(&d, s, "l", "FATAL", "processname:a ")?;
    let expected = [
        "STARTING groupname:a from_state:STOPPED tries:0",
        "BACKOFF groupname:a from_state:STARTING tries:1",
        "STARTING groupname:a from_state:BACKOFF tries:1",
        "BACKOFF groupname:a from_state:STARTING tries:2",
        "FATAL groupname:a from_state:BACKOFF",
    ];
    assert_eq!(story(s, "a"), expected);
    Ok(())
}

fn ends(s: &Stage) -> Result {
    let rest = with(
        s,
        "PROCESS_STATE_EXITED",
        "[program:good]\ncommand=true\nstartsecs=0\n\
         [program:bad]\ncommand=false\nstartsecs=0\nautorestart=false\n",
    )?;
    let d = s.start(&rest)?;
    for (name, expected) in [("good", 1), ("bad", 0)] {
        let event = await_event(&d, s, "l", "EXITED", &format!("processname:{name} "))?;
        let (start, pid) = event.payload.rsplit_once(" pid:").unwrap();
        assert_eq!(
            start,
            format!("processname:{name} groupname:{name} from_state:RUNNING expected:{expected}")
        );
        assert!(pid.parse::<i32>()? > 1);
    }
    Ok(())
}

/// Who waits for his next try when everything ends has failed.
fn the_last_try_of_a_shutdown(s: &Stage) -> Result {
    s.script(
        "slow",
        "#!/bin/sh\ntrap 'sleep 1;exit 0' TERM\nwhile :; do sleep 0.05; done\n",
    )?;
    // The slow one is stopped later, and the listener after him.
    let rest = with(
        s,
        "PROCESS_STATE",
        "[program:a]\ncommand=false\nstartretries=1000\nstartsecs=9\n\
         [program:slow]\ncommand=%(here)s/slow\npriority=1\n",
    )?;
    let d = s.start(&rest)?;
    // Two seconds are left until the next one.
    await_event(&d, s, "l", "BACKOFF", "tries:2")?;
    assert_eq!(d.stop()?.code, 0);
    let story = story(s, "a");
    assert_eq!(
        story.last().unwrap(),
        "FATAL groupname:a from_state:BACKOFF",
        "{story:?}"
    );
    Ok(())
}

fn daemon_states(s: &Stage) -> Result {
    s.script(
        "slow",
        "#!/bin/sh\ntrap 'sleep 1;exit 0' TERM\nwhile :; do sleep 0.05; done\n",
    )?;
    let rest = with(
        s,
        "SUPERVISOR_STATE_CHANGE",
        "[program:a]\ncommand=%(here)s/slow\n",
    )?;
    let d = s.start(&rest)?;
    let event = await_event(&d, s, "l", "SUPERVISOR_STATE_CHANGE_RUNNING", "")?;
    assert_eq!(
        (event.field("len"), event.payload.as_str()),
        ("0".to_owned(), "")
    );
    d.stop()?;
    let all = events(s, "l");
    assert_eq!(
        all[1].field("eventname"),
        "SUPERVISOR_STATE_CHANGE_STOPPING"
    );
    assert_eq!(all[1].field("len"), "0");
    Ok(())
}

fn output(s: &Stage) -> Result {
    let rest = with(
        s,
        "PROCESS_LOG",
        "[program:a]\ncommand=sh -c 'echo \"to: out\";echo err >&2;exec sleep 1000'\n\
         stdout_events_enabled=true\nstderr_events_enabled=true\nstdout_logfile=%(here)s/out\n",
    )?;
    let d = s.start(&rest)?;
    let pid = d.pid_of_started("a")?;
    for (name, channel, text) in [
        ("STDOUT", "stdout", "to: out\n"),
        ("STDERR", "stderr", "err\n"),
    ] {
        let event = await_event(&d, s, "l", &format!("PROCESS_LOG_{name}"), "")?;
        let expected = format!("processname:a groupname:a pid:{pid} channel:{channel}\n{text}");
        assert_eq!(event.payload, expected);
    }
    assert_eq!(s.read("out"), "to: out\n");
    Ok(())
}

fn output_only_if_asked(s: &Stage) -> Result {
    let rest = with(
        s,
        "PROCESS_LOG",
        "[program:a]\ncommand=sh -c 'echo a;exec sleep 1000'\nstdout_logfile=%(here)s/a\n\
         [program:b]\ncommand=cat\nstdout_events_enabled=true\n",
    )?;
    let d = s.start(&rest)?;
    d.await_text("a", "a\n")?;
    d.pid_of_started("b")?;
    d.sv("sendProcessStdin", &json!(["b", "b\n"]))?;
    await_event(&d, s, "l", "PROCESS_LOG_STDOUT", "processname:b ")?;
    assert_eq!(events(s, "l").len(), 1);
    Ok(())
}

/// The documentation says bytes; listeners in Python read letters.
fn letters_are_counted(s: &Stage) -> Result {
    s.write("text", "\u{e9}\u{e9}\u{e9}\n")?;
    let d = s.start(&with(
        s,
        "PROCESS_LOG",
        "[program:a]\ncommand=sh -c 'cat %(here)s/text;exec sleep 1000'\nstdout_events_enabled=true\n",
    )?)?;
    s.write("recorder.py", RECORDER)?;
    let event = await_event(&d, s, "l", "PROCESS_LOG_STDOUT", "\u{e9}\u{e9}\u{e9}\n")?;
    assert_eq!(
        event.field("len"),
        event.payload.chars().count().to_string()
    );
    // And the listener is not confused by it.
    d.sv("sendProcessStdin", &json!(["a", "x"]))?;
    assert_eq!(d.state("l")?, "RUNNING");
    Ok(())
}

fn captured(s: &Stage) -> Result {
    s.write(
        "text",
        "before<!--XSUPERVISOR:BEGIN-->hello <there><!--XSUPERVISOR:END-->after, and a little more than that\n",
    )?;
    let d = s.start(&with(
        s,
        "PROCESS_COMMUNICATION",
        "[program:a]\ncommand=sh -c 'cat %(here)s/text;cat %(here)s/text >&2;exec sleep 1000'\n\
         stdout_capture_maxbytes=1MB\nstderr_capture_maxbytes=1MB\nstdout_logfile=%(here)s/out\n\
         stderr_logfile=%(here)s/err\n",
    )?)?;
    let pid = d.pid_of_started("a")?;
    for name in ["STDOUT", "STDERR"] {
        let event = await_event(&d, s, "l", &format!("PROCESS_COMMUNICATION_{name}"), "")?;
        assert_eq!(
            event.payload,
            format!("processname:a groupname:a pid:{pid}\nhello <there>")
        );
    }
    for log in ["out", "err"] {
        let text = d.await_text(log, "after, and")?;
        assert!(text.starts_with("beforeafter, and"), "{text}");
    }
    Ok(())
}

fn captured_in_pieces(s: &Stage) -> Result {
    let d = s.start(&with(
        s,
        "PROCESS_COMMUNICATION",
        "[supervisord]\nloglevel=debug\n[program:a]\ncommand=cat\nstdout_capture_maxbytes=1MB\n\
         stdout_logfile=%(here)s/out\n",
    )?)?;
    d.pid_of_started("a")?;
    for piece in [
        "<!--XSUPERV",
        "ISOR:BEGIN",
        "-->one ",
        "two<!--XSUPERVISOR:E",
        "ND--> and what is behind it",
    ] {
        d.sv("sendProcessStdin", &json!(["a", piece]))?;
    }
    let event = await_event(&d, s, "l", "PROCESS_COMMUNICATION_STDOUT", "")?;
    assert!(event.payload.ends_with("\none two"), "{}", event.payload);
    Ok(())
}

fn captured_and_bounded(s: &Stage) -> Result {
    s.write(
        "text",
        "<!--XSUPERVISOR:BEGIN-->0123456789abcdef<!--XSUPERVISOR:END-->and something behind",
    )?;
    let d = s.start(&with(
        s,
        "PROCESS_COMMUNICATION",
        "[program:a]\ncommand=sh -c 'cat %(here)s/text;exec sleep 1000'\nstdout_capture_maxbytes=5\n",
    )?)?;
    let event = await_event(&d, s, "l", "PROCESS_COMMUNICATION_STDOUT", "")?;
    let (_, captured) = event.payload.split_once('\n').unwrap();
    // Its end, however much of it.
    assert!("0123456789abcdef".ends_with(captured), "{captured}");
    Ok(())
}

/// So little that it might be the beginning of a mark is held back; the original forgets it.
fn the_end_of_output_beside_capture(s: &Stage) -> Result {
    let d = s.start(
        "[program:a]\ncommand=sh -c 'printf short;sleep 0.1'\nstartsecs=0\nautorestart=false\n\
         stdout_capture_maxbytes=1MB\nstdout_logfile=%(here)s/out\n",
    )?;
    d.await_state("a", "EXITED")?;
    d.stop()?;
    let expected = if s.differs("capture-tail")? {
        "short"
    } else {
        ""
    };
    assert_eq!(s.read("out"), expected);
    Ok(())
}

fn remote(s: &Stage) -> Result {
    let d = s.start(&with(s, "REMOTE_COMMUNICATION", "")?)?;
    assert_eq!(
        d.sv(
            "sendRemoteCommEvent",
            &json!(["my type", "some\ndata \u{e9}"])
        )?,
        true
    );
    let event = await_event(&d, s, "l", "REMOTE_COMMUNICATION", "")?;
    assert_eq!(event.payload, "type:my type\nsome\ndata \u{e9}");
    Ok(())
}

fn groups(s: &Stage) -> Result {
    let rest = with(s, "PROCESS_GROUP", "")?;
    let d = s.start(&rest)?;
    s.configure(&format!(
        "{rest}[program:a]\ncommand=sleep 1000\nautostart=false\n"
    ))?;
    d.sv("reloadConfig", &json!([]))?;
    d.sv("addProcessGroup", &json!(["a"]))?;
    d.sv("removeProcessGroup", &json!(["a"]))?;
    let removed = await_event(&d, s, "l", "PROCESS_GROUP_REMOVED", "")?;
    assert_eq!(removed.payload, "groupname:a\n");
    let added = await_event(&d, s, "l", "PROCESS_GROUP_ADDED", "groupname:a\n")?;
    assert_eq!(added.payload, "groupname:a\n");
    Ok(())
}

fn ticks(s: &Stage) -> Result {
    let d = s.start(&with(s, "TICK_5", "")?)?;
    let event = await_event(&d, s, "l", "TICK_5", "when:")?;
    let when: i64 = event.payload.strip_prefix("when:").unwrap().parse()?;
    assert_eq!(when % 5, 0);
    Ok(())
}

fn subscriptions(s: &Stage) -> Result {
    let rest = format!(
        "{}[program:a]\ncommand=sleep 1000\nstartsecs=0\n\
         [eventlistener:m]\ncommand=@python -I -S %(here)s/recorder.py %(here)s/m.events\n\
         events=process_state_running,\n  Remote_Communication\n",
        with(s, "EVENT", "")?
    );
    let d = s.start(&rest)?;
    d.await_state("a", "RUNNING")?;
    d.sv("sendRemoteCommEvent", &json!(["last", ""]))?;
    await_event(&d, s, "m", "REMOTE", "type:last")?;
    await_event(&d, s, "l", "REMOTE", "type:last")?;
    let names = |pool| -> Vec<String> {
        let mut names: Vec<String> = events(s, pool)
            .iter()
            .map(|event| event.field("eventname"))
            .collect();
        names.sort();
        names.dedup();
        names
    };
    assert_eq!(
        names("m"),
        ["PROCESS_STATE_RUNNING", "REMOTE_COMMUNICATION"]
    );
    let all = names("l");
    for name in [
        "PROCESS_GROUP_ADDED",
        "PROCESS_STATE_STARTING",
        "SUPERVISOR_STATE_CHANGE_RUNNING",
    ] {
        assert!(all.iter().any(|found| found == name), "{name}: {all:?}");
    }
    Ok(())
}
