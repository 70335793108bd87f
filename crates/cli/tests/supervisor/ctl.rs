//! `supervisorctl`: what it prints, and its exit status. With the original's and with ours, each
//! asking each.

use std::process::Stdio;

use serde_json::json;
use ward_testkit::supervisor::daemon::Daemon;

use crate::{Result, Stage};

crate::tests![
    status,
    status_of_some,
    start,
    start_that_fails,
    stop,
    restart,
    groups,
    signal,
    pid,
    tail,
    tail_that_follows,
    maintail,
    clear,
    reread,
    update,
    update_of_some,
    add_and_remove,
    avail,
    shutdown,
    reload,
    version,
    words_it_does_not_know,
    nobody_there,
    name_and_password,
    commands_from_a_pipe,
    no_configuration,
    foreground,
    server_on_the_command_line,
];

/// Runs it; its exit status and what it printed.
fn ctl(s: &Stage, words: &[&str]) -> Result<(i32, String)> {
    let ended = s.ctl(words)?;
    anyhow::ensure!(ended.err.is_empty(), "{words:?} {ended:?}");
    Ok((ended.code, ended.out))
}

fn says(s: &Stage, words: &[&str], code: i32, text: &str) -> Result {
    assert_eq!(ctl(s, words)?, (code, text.to_owned()), "{words:?}");
    Ok(())
}

const SEVERAL: &str = "[program:a]\ncommand=sleep 1000\nstartsecs=0\n\
    [group:g]\nprograms=x,y\n[program:x]\ncommand=sleep 1000\nstartsecs=0\nautostart=false\n\
    [program:y]\ncommand=sleep 1000\nstartsecs=0\nautostart=false\n";

fn status(s: &Stage) -> Result {
    let d = s.start(
        "[program:a]\ncommand=sleep 1000\nstartsecs=0\n[program:gone]\ncommand=true\nstartsecs=0\n",
    )?;
    d.await_state("gone", "EXITED")?;
    d.await_state("a", "RUNNING")?;
    let (code, out) = ctl(s, &["status"])?;
    // One that has ended well counts, too.
    assert_eq!(code, 3);
    let lines: Vec<&str> = out.lines().collect();
    let pid = d.pid_of("a")?;
    let start = format!("{:33}{:10}pid {pid}, uptime 0:00:0", "a", "RUNNING");
    assert!(lines[0].starts_with(&start), "{out}");
    assert!(
        lines[1].starts_with(&format!("{:33}{:10}", "gone", "EXITED")),
        "{out}"
    );
    assert_eq!(lines.len(), 2);
    assert_eq!(ctl(s, &["status", "a"])?.0, 0);
    Ok(())
}

fn status_of_some(s: &Stage) -> Result {
    let long = "a".repeat(40);
    let d = s.start(&format!(
        "{SEVERAL}[program:{long}]\ncommand=sleep 1000\nautostart=false\n"
    ))?;
    d.await_state("a", "RUNNING")?;
    let line = |name: &str| format!("{name:33}{:10}Not started\n", "STOPPED");
    says(s, &["status", "g:x"], 3, &line("g:x"))?;
    says(
        s,
        &["status", "g:*"],
        3,
        &format!("{}{}", line("g:x"), line("g:y")),
    )?;
    says(s, &["status", "no"], 4, "no: ERROR (no such process)\n")?;
    says(s, &["status", "no:*"], 4, "no: ERROR (no such group)\n")?;
    let (code, out) = ctl(s, &["status", "no", "g:y"])?;
    assert_eq!(
        (code, out),
        (3, format!("no: ERROR (no such process)\n{}", line("g:y")))
    );
    let (_, out) = ctl(s, &["status"])?;
    assert!(
        out.contains(&format!("{long:43}STOPPED   Not started\n")),
        "{out}"
    );
    Ok(())
}

fn start(s: &Stage) -> Result {
    let d = s.start(SEVERAL)?;
    d.await_state("a", "RUNNING")?;
    says(s, &["start", "g:x"], 0, "g:x: started\n")?;
    says(s, &["start", "g:x"], 0, "g:x: ERROR (already started)\n")?;
    // Only those that it acted on.
    says(s, &["start", "all"], 0, "g:y: started\n")?;
    says(s, &["start", "all"], 0, "")?;
    says(s, &["start", "no"], 1, "no: ERROR (no such process)\n")?;
    let (code, out) = ctl(s, &["start"])?;
    assert_eq!(code, 2);
    assert!(
        out.starts_with("Error: start requires a process name\nstart <name>"),
        "{out}"
    );
    Ok(())
}

fn start_that_fails(s: &Stage) -> Result {
    s.write("plain", "")?;
    let _d = s.start(
        "[program:missing]\ncommand=/not/there\nautostart=false\n\
         [program:plain]\ncommand=%(here)s/plain\nautostart=false\n\
         [program:quick]\ncommand=false\nautostart=false\nstartsecs=9\nstartretries=1000\n",
    )?;
    says(
        s,
        &["start", "missing"],
        1,
        "missing: ERROR (no such file)\n",
    )?;
    says(
        s,
        &["start", "plain"],
        1,
        "plain: ERROR (file is not executable)\n",
    )?;
    says(s, &["start", "quick"], 7, "quick: ERROR (spawn error)\n")?;
    Ok(())
}

fn stop(s: &Stage) -> Result {
    let d = s.start(SEVERAL)?;
    d.pid_of_started("a")?;
    d.await_state("a", "RUNNING")?;
    says(s, &["stop", "a"], 0, "a: stopped\n")?;
    says(s, &["stop", "a"], 0, "a: ERROR (not running)\n")?;
    says(s, &["stop", "no"], 1, "no: ERROR (no such process)\n")?;
    says(s, &["stop", "all"], 0, "")?;
    let (code, out) = ctl(s, &["stop"])?;
    assert_eq!(code, 1);
    assert!(
        out.starts_with("Error: stop requires a process name\nstop <name>"),
        "{out}"
    );
    Ok(())
}

fn restart(s: &Stage) -> Result {
    let d = s.start(SEVERAL)?;
    d.pid_of_started("a")?;
    d.await_state("a", "RUNNING")?;
    says(s, &["restart", "a"], 0, "a: stopped\na: started\n")?;
    // Deploy scripts live by this.
    says(
        s,
        &["restart", "g:x"],
        0,
        "g:x: ERROR (not running)\ng:x: started\n",
    )?;
    says(
        s,
        &["restart", "no"],
        1,
        "no: ERROR (no such process)\nno: ERROR (no such process)\n",
    )?;
    Ok(())
}

fn groups(s: &Stage) -> Result {
    let d = s.start(SEVERAL)?;
    let lines = |words: &[&str]| -> Result<(i32, Vec<String>)> {
        let (code, out) = ctl(s, words)?;
        let mut lines: Vec<String> = out.lines().map(str::to_owned).collect();
        lines.sort();
        Ok((code, lines))
    };
    let both = |what: &str| (0, vec![format!("g:x: {what}"), format!("g:y: {what}")]);
    assert_eq!(lines(&["start", "g:*"])?, both("started"));
    d.pid_of_started("g:x")?;
    d.pid_of_started("g:y")?;
    assert_eq!(lines(&["stop", "g:x", "g:y"])?, both("stopped"));
    assert_eq!(lines(&["start", "g:"])?, both("started"));
    d.pid_of_started("g:x")?;
    d.pid_of_started("g:y")?;
    assert_eq!(lines(&["stop", "g:*"])?, both("stopped"));
    let (code, out) = lines(&["start", "no:*"])?;
    assert_eq!(
        (code, out),
        (2, vec!["no: ERROR (no such group)".to_owned()])
    );
    let (code, out) = lines(&["stop", "no:*"])?;
    assert_eq!(
        (code, out),
        (1, vec!["no: ERROR (no such group)".to_owned()])
    );
    Ok(())
}

fn signal(s: &Stage) -> Result {
    let d = s.start(SEVERAL)?;
    d.pid_of_started("a")?;
    d.await_state("a", "RUNNING")?;
    says(s, &["signal", "CONT", "a"], 0, "a: signalled\n")?;
    says(
        s,
        &["signal", "nope", "a"],
        1,
        "a: ERROR (bad signal name)\n",
    )?;
    says(
        s,
        &["signal", "CONT", "no"],
        1,
        "no: ERROR (no such process)\n",
    )?;
    says(
        s,
        &["signal", "CONT", "g:x"],
        7,
        "g:x: ERROR (not running)\n",
    )?;
    says(s, &["signal", "CONT", "all"], 0, "a: signalled\n")?;
    Ok(())
}

fn pid(s: &Stage) -> Result {
    let d = s.start(SEVERAL)?;
    d.await_state("a", "RUNNING")?;
    let a = d.pid_of("a")?;
    says(s, &["pid"], 0, &format!("{}\n", d.pid()?))?;
    says(s, &["pid", "a"], 0, &format!("{a}\n"))?;
    says(s, &["pid", "g:x"], 7, "0\n")?;
    assert_eq!(ctl(s, &["pid", "all"])?.1, format!("{a}\n0\n0\n"));
    says(s, &["pid", "no"], 1, "No such process no\n")?;
    Ok(())
}

const TALKER: &str = "[program:a]\ncommand=sh -c 'echo one;echo two;echo err >&2;exec cat'\n\
    stdout_logfile=%(here)s/out\nstderr_logfile=%(here)s/err\nstartsecs=0\n\
    [program:b]\ncommand=cat\nautostart=false\nstdout_logfile=NONE\n";

fn tail(s: &Stage) -> Result {
    let d = s.start(TALKER)?;
    d.await_text("err", "err\n")?;
    d.await_text("out", "two\n")?;
    says(s, &["tail", "a"], 0, "one\ntwo\n\n")?;
    says(s, &["tail", "a", "stderr"], 0, "err\n\n")?;
    says(s, &["tail", "-3", "a"], 0, "wo\n\n")?;
    says(s, &["tail", "-3", "a", "stdout"], 0, "wo\n\n")?;
    says(s, &["tail", "no"], 1, "no: ERROR (no such process name)\n")?;
    says(s, &["tail", "b"], 1, "b: ERROR (no log file)\n")?;
    let (code, out) = ctl(s, &["tail", "a", "stdin"])?;
    assert_eq!(code, 1);
    assert!(out.starts_with("Error: bad channel 'stdin'\n"), "{out}");
    let (code, out) = ctl(s, &["tail"])?;
    assert_eq!(code, 1);
    assert!(out.starts_with("Error: too few arguments\n"), "{out}");
    Ok(())
}

fn tail_that_follows(s: &Stage) -> Result {
    let d = s.start(TALKER)?;
    d.await_text("out", "two\n")?;
    let program = s.kit().program(s.client, "supervisorctl")?;
    let mut command = s.furnished(&program, &["-c", "c.conf", "tail", "-f", "a"]);
    let out = std::fs::File::create(s.path("followed"))?;
    let mut child = command.stdout(out).stderr(Stdio::null()).spawn()?;
    d.await_text("followed", "two\n")?;
    d.sv("sendProcessStdin", &json!(["a", "three\n"]))?;
    let text = d.await_text("followed", "three\n")?;
    assert_eq!(text, "==> Press Ctrl-C to exit <==\none\ntwo\nthree\n");
    // The shell that started it has become it.
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT)?;
    d.await_that("its end", || matches!(child.try_wait(), Ok(Some(_))))
}

fn maintail(s: &Stage) -> Result {
    let d = s.start("")?;
    d.await_log("supervisord started")?;
    let (code, out) = ctl(s, &["maintail"])?;
    assert_eq!(code, 0);
    assert!(out.contains("INFO supervisord started with pid"), "{out}");
    let (_, out) = ctl(s, &["maintail", "-4"])?;
    assert_eq!(out.len(), 5, "{out}");
    Ok(())
}

fn clear(s: &Stage) -> Result {
    let d = s.start(TALKER)?;
    d.await_text("out", "two\n")?;
    says(s, &["clear", "a"], 0, "a: cleared\n")?;
    assert_eq!(s.read("out"), "");
    says(s, &["clear", "no"], 1, "no: ERROR (no such process)\n")?;
    says(s, &["clear", "all"], 0, "a: cleared\nb: cleared\n")?;
    Ok(())
}

fn change(s: &Stage) -> Result {
    s.configure(
        "[program:changed]\ncommand=sleep 1001\nstartsecs=0\n[program:new]\ncommand=sleep 1000\nstartsecs=0\n\
         [program:a]\ncommand=sleep 1000\nstartsecs=0\n",
    )
}

const BEFORE: &str = "[program:changed]\ncommand=sleep 1000\nstartsecs=0\n\
    [program:old]\ncommand=sleep 1000\nstartsecs=0\n[program:a]\ncommand=sleep 1000\nstartsecs=0\n";

fn reread(s: &Stage) -> Result {
    let _d = s.start(BEFORE)?;
    says(s, &["reread"], 0, "No config updates to processes\n")?;
    change(s)?;
    says(
        s,
        &["reread"],
        0,
        "changed: changed\nnew: available\nold: disappeared\n",
    )?;
    s.configure("[program:x]\n")?;
    let (code, out) = ctl(s, &["reread"])?;
    assert_eq!(code, 1);
    assert!(out.starts_with("ERROR: CANT_REREAD: "), "{out}");
    assert!(out.contains("program:x"), "{out}");
    Ok(())
}

fn update(s: &Stage) -> Result {
    let d = s.start(BEFORE)?;
    for name in ["changed", "old", "a"] {
        d.pid_of_started(name)?;
    }
    let a = d.pid_of("a")?;
    change(s)?;
    says(
        s,
        &["update"],
        0,
        "old: stopped\nold: removed process group\nchanged: stopped\n\
         changed: updated process group\nnew: added process group\n",
    )?;
    d.await_state("new", "RUNNING")?;
    d.await_state("changed", "RUNNING")?;
    assert_eq!(d.pid_of("a")?, a);
    assert_eq!(
        d.fault("getProcessInfo", &json!(["old"]))?,
        "10 BAD_NAME: old"
    );
    says(s, &["update"], 0, "")?;
    s.configure("[program:x]\n")?;
    let (code, out) = ctl(s, &["update"])?;
    assert_eq!(code, 1);
    // The original shows the fault as it is.
    assert!(out.to_lowercase().starts_with("error: "), "{out}");
    assert!(
        out.contains("CANT_REREAD: ") && out.contains("program:x"),
        "{out}"
    );
    Ok(())
}

fn update_of_some(s: &Stage) -> Result {
    let d = s.start(BEFORE)?;
    for name in ["changed", "old", "a"] {
        d.pid_of_started(name)?;
    }
    change(s)?;
    says(s, &["update", "new"], 0, "new: added process group\n")?;
    says(s, &["update", "no"], 1, "ERROR: no such group: no\n")?;
    says(
        s,
        &["update", "old"],
        0,
        "old: stopped\nold: removed process group\n",
    )?;
    says(
        s,
        &["update", "all"],
        0,
        "changed: stopped\nchanged: updated process group\n",
    )?;
    Ok(())
}

fn add_and_remove(s: &Stage) -> Result {
    let d = s.start(BEFORE)?;
    for name in ["changed", "old", "a"] {
        d.pid_of_started(name)?;
    }
    change(s)?;
    says(s, &["add", "a"], 0, "ERROR: process group already active\n")?;
    says(s, &["add", "no"], 1, "ERROR: no such process/group: no\n")?;
    says(
        s,
        &["remove", "old"],
        1,
        "ERROR: process/group still running: old\n",
    )?;
    says(
        s,
        &["remove", "no"],
        1,
        "ERROR: no such process/group: no\n",
    )?;
    ctl(s, &["reread"])?;
    says(s, &["add", "new"], 0, "new: added process group\n")?;
    ctl(s, &["stop", "old"])?;
    says(s, &["remove", "old"], 0, "old: removed process group\n")?;
    Ok(())
}

fn avail(s: &Stage) -> Result {
    let _d = s.start(SEVERAL)?;
    let line = |name: &str, auto: &str| format!("{name:32} {:9} {auto:9} 999:999\n", "in use");
    let expected = format!(
        "{}{}{}",
        line("a", "auto"),
        line("g:x", "manual"),
        line("g:y", "manual")
    );
    says(s, &["avail"], 0, &expected)
}

fn shutdown(s: &Stage) -> Result {
    let d = s.start(SEVERAL)?;
    says(s, &["shutdown"], 0, "Shut down\n")?;
    assert_eq!(d.finish()?.code, 0);
    Ok(())
}

fn reload(s: &Stage) -> Result {
    let d = s.start(SEVERAL)?;
    let before = d.pid_of_started("a")?;
    says(s, &["reload"], 0, "Restarted supervisord\n")?;
    d.await_that("another one", || {
        d.pid_of("a").is_ok_and(|pid| pid > 0 && pid != before)
    })
}

fn version(s: &Stage) -> Result {
    let d = s.start("")?;
    let version = d.sv("getSupervisorVersion", &json!([]))?;
    says(
        s,
        &["version"],
        0,
        &format!("{}\n", version.as_str().unwrap()),
    )
}

fn words_it_does_not_know(s: &Stage) -> Result {
    let _d = s.start("")?;
    says(
        s,
        &["frobnicate", "a"],
        1,
        "*** Unknown syntax: frobnicate a\n",
    )?;
    let (code, out) = ctl(s, &["help"])?;
    assert_eq!(code, 0);
    for word in [
        "start", "stop", "status", "reread", "update", "tail", "maintail", "signal", "avail", "fg",
    ] {
        assert!(
            out.split_whitespace().any(|found| found == word),
            "{word}: {out}"
        );
    }
    let (code, out) = ctl(s, &["help", "start"])?;
    assert_eq!(code, 0);
    assert!(out.starts_with("start <name>\t\tStart a process"), "{out}");
    let (code, out) = ctl(s, &["help", "frobnicate"])?;
    assert_eq!((code, out.as_str()), (0, "*** No help on frobnicate\n"));
    Ok(())
}

fn nobody_there(s: &Stage) -> Result {
    s.configure("")?;
    let url = format!("unix://{}/s", s.here());
    says(s, &["status"], 4, &format!("{url} no such file\n"))?;
    says(s, &["start", "a"], 7, &format!("{url} no such file\n"))?;
    drop(std::os::unix::net::UnixListener::bind(s.path("s"))?);
    says(s, &["status"], 4, &format!("{url} refused connection\n"))?;
    says(
        s,
        &["start", "a"],
        4,
        &format!("{url} refused connection\n"),
    )?;
    Ok(())
}

fn name_and_password(s: &Stage) -> Result {
    s.configure(
        "[unix_http_server]\nusername=user\npassword=secret\n\
         [program:a]\ncommand=sleep 1000\nautostart=false\n",
    )?;
    // The harness knows no password: only the client asks.
    let d = Daemon::start_unready(s, s.command("supervisord", &["-n", "-c", "c.conf"])?)?;
    d.await_log("supervisord started with pid")?;
    for words in [
        &["start", "a"][..],
        &["-u", "user", "-p", "wrong", "start", "a"][..],
    ] {
        let (code, out) = ctl(s, words)?;
        // The original goes on with the fault as it is.
        assert!(
            code == 1 && out.starts_with("Server requires authentication\n"),
            "{code} {out}"
        );
    }
    says(
        s,
        &["-u", "user", "-p", "secret", "start", "a"],
        0,
        "a: started\n",
    )?;
    let file = s.read("c.conf").replace(
        "[supervisorctl]\n",
        "[supervisorctl]\nusername=user\npassword=secret\n",
    );
    s.write("c.conf", file)?;
    assert_eq!(ctl(s, &["status"])?.0, 0);
    Ok(())
}

fn commands_from_a_pipe(s: &Stage) -> Result {
    let d = s.start(SEVERAL)?;
    d.await_state("a", "RUNNING")?;
    s.write(
        "commands",
        "start g:x\nstatus g:y\nfrobnicate\nquit\nstart g:y\n",
    )?;
    let program = s.kit().program(s.client, "supervisorctl")?;
    let mut command = s.furnished(&program, &["-c", "c.conf"]);
    command.stdin(std::fs::File::open(s.path("commands"))?);
    let ended = s.finish(command)?;
    assert_eq!(ended.code, 0);
    assert!(ended.out.contains("g:x: started\n"), "{ended:?}");
    assert!(
        ended.out.contains("*** Unknown syntax: frobnicate\n"),
        "{ended:?}"
    );
    // First of all it shows what there is.
    assert!(ended.out.starts_with("a  "), "{ended:?}");
    assert_eq!(d.state("g:y")?, "STOPPED");
    Ok(())
}

fn no_configuration(s: &Stage) -> Result {
    s.configure_all("[supervisord]\n")?;
    let ended = s.ctl(&["status"])?;
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(
        ended
            .err
            .contains("Error: .ini file does not include supervisorctl section"),
        "{ended:?}"
    );
    Ok(())
}

fn foreground(s: &Stage) -> Result {
    let d = s.start(SEVERAL)?;
    d.await_state("a", "RUNNING")?;
    for (words, text) in [
        (&["fg"][..], "ERROR: no process name supplied\n"),
        (
            &["fg", "a", "b"][..],
            "ERROR: too many process names supplied\n",
        ),
        (&["fg", "no"][..], "ERROR: bad process name supplied\n"),
        (&["fg", "g:x"][..], "ERROR: process not running\n"),
    ] {
        let (code, out) = ctl(s, words)?;
        assert!(code == 1 && out.starts_with(text), "{words:?} {code} {out}");
    }
    Ok(())
}

fn server_on_the_command_line(s: &Stage) -> Result {
    let d = s.start(SEVERAL)?;
    d.await_state("a", "RUNNING")?;
    let file = s.read("c.conf").replace(
        "[supervisorctl]\nserverurl=",
        "[supervisorctl]\nserverurl=http://127.0.0.1:1\nx=",
    );
    s.write("c.conf", file)?;
    says(
        s,
        &["status", "a"],
        4,
        "http://127.0.0.1:1 refused connection\n",
    )?;
    let url = format!("unix://{}/s", s.here());
    assert_eq!(ctl(s, &["-s", &url, "status", "a"])?.0, 0);
    Ok(())
}
