//! The eight states, and what leads from one to another.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use ward_testkit::processes::look;

use crate::{Result, Stage};

crate::tests![
    starting_then_running,
    no_startsecs,
    too_quickly_with_any_code,
    tries_are_counted,
    a_start_after_fatal,
    ends_and_their_codes,
    ended_by_a_signal,
    autorestart_kinds,
    stop_in_each_state,
    stop_says_how_it_ended,
    killed_after_its_time,
    stop_signals,
    stop_of_the_leader_alone,
    stop_of_the_group,
    kill_of_the_group,
    start_while_it_waits,
    autostart,
];

/// A program that ends with the code that it is told on its standard input.
const OBEDIENT: &str = "command=sh -c 'read code;exit $code'\n";

/// Writes `ready` once its traps are set.
fn script(s: &Stage, name: &str, traps: &str) -> Result {
    let text = format!(
        "#!/bin/sh\n{traps}\necho ready > {}/{name}.ready\nwhile :; do sleep 0.05; done\n",
        s.here()
    );
    s.script(name, &text)?;
    Ok(())
}

fn starting_then_running(s: &Stage) -> Result {
    let d = s.start("[program:a]\ncommand=sleep 1000\n")?;
    let info = d.await_state("a", "STARTING")?;
    assert_eq!(info["state"], 10);
    assert_eq!(info["description"], "");
    let info = d.await_state("a", "RUNNING")?;
    assert_eq!(info["state"], 20);
    let pid = info["pid"].as_i64().unwrap();
    let said = info["description"].as_str().unwrap();
    assert!(
        said.starts_with(&format!("pid {pid}, uptime 0:00:0")),
        "{said}"
    );
    d.await_log(&format!("INFO spawned: 'a' with pid {pid}\n"))?;
    d.await_log(
        "INFO success: a entered RUNNING state, process has stayed up for > than 1 seconds (startsecs)\n",
    )?;
    assert_eq!(info["start"], d.info("a")?["start"]);
    Ok(())
}

fn no_startsecs(s: &Stage) -> Result {
    let d = s.start(
        "[program:a]\ncommand=true\nstartsecs=0\nautorestart=false\n\
         [program:b]\ncommand=sleep 1000\nstartsecs=0\n",
    )?;
    let info = d.await_state("a", "EXITED")?;
    assert_eq!(info["exitstatus"], 0);
    d.await_log("INFO exited: a (exit status 0; expected)\n")?;
    d.await_log(
        "success: b entered RUNNING state, process has stayed up for > than 0 seconds (startsecs)",
    )?;
    Ok(())
}

fn too_quickly_with_any_code(s: &Stage) -> Result {
    let d = s.start(
        "[program:a]\ncommand=sh -c 'exit 0'\nstartretries=0\nstartsecs=5\n\
         [program:b]\ncommand=sh -c 'exit 3'\nstartretries=0\nstartsecs=5\n\
         [program:c]\ncommand=sh -c 'kill -9 $$'\nstartretries=0\nstartsecs=5\n",
    )?;
    for (name, end) in [
        ("a", "exit status 0"),
        ("b", "exit status 3"),
        ("c", "terminated by SIGKILL"),
    ] {
        let info = d.await_state(name, "FATAL")?;
        assert_eq!(info["state"], 200);
        assert_eq!(info["exitstatus"], 0, "{name}");
        assert_eq!(info["pid"], 0);
        assert_eq!(
            info["spawnerr"],
            "Exited too quickly (process log may have details)"
        );
        assert_eq!(info["description"], info["spawnerr"]);
        assert!(info["stop"].as_i64() >= info["start"].as_i64());
        d.await_log(&format!("WARN exited: {name} ({end}; not expected)\n"))?;
        d.await_log(&format!(
            "INFO gave up: {name} entered FATAL state, too many start retries too quickly\n"
        ))?;
    }
    Ok(())
}

fn tries_are_counted(s: &Stage) -> Result {
    let d = s.start(
        "[program:a]\ncommand=sh -c 'echo x >> %(here)s/tries;exit 1'\nstartsecs=9\nstartretries=2\n\
         [program:b]\ncommand=/not/there\nstartretries=1\n\
         [program:c]\ncommand=sh -c 'exit 1'\nstartsecs=9\nstartretries=9\n",
    )?;
    let info = d.await_state("c", "BACKOFF")?;
    assert_eq!(info["state"], 30);
    assert_eq!(
        info["description"],
        "Exited too quickly (process log may have details)"
    );
    d.await_state("b", "FATAL")?;
    d.await_state("a", "FATAL")?;
    assert_eq!(s.count("tries", "x"), 3);
    assert_eq!(s.count("d.log", "spawned: 'a'"), 3);
    assert_eq!(s.count("d.log", "can't find command '/not/there'"), 2);
    Ok(())
}

fn a_start_after_fatal(s: &Stage) -> Result {
    let d = s.start(
        "[program:a]\ncommand=sh -c 'echo x >> %(here)s/tries;test -e %(here)s/good && read x'\n\
         startretries=1\nstartsecs=2\n",
    )?;
    d.await_state("a", "FATAL")?;
    assert_eq!(d.fault("startProcess", &json!(["a"]))?, "50 SPAWN_ERROR: a");
    // Who waits is told at the first failure; it is tried as often as at first.
    d.await_state("a", "FATAL")?;
    assert_eq!(s.count("tries", "x"), 4);
    s.write("good", "")?;
    assert_eq!(d.sv("startProcess", &json!(["a"]))?, true);
    assert_eq!(d.state("a")?, "RUNNING");
    assert_eq!(d.info("a")?["spawnerr"], "");
    Ok(())
}

fn ends_and_their_codes(s: &Stage) -> Result {
    let d = s.start(&format!(
        "[program:a]\n{OBEDIENT}startsecs=0\nautorestart=false\n\
         [program:b]\n{OBEDIENT}startsecs=0\nautorestart=false\nexitcodes=3,4\n\
         [program:c]\n{OBEDIENT}startsecs=0\nautorestart=false\nexitcodes=\n",
    ))?;
    for (name, code, how) in [
        ("a", 0, "INFO exited: a (exit status 0; expected)"),
        ("a", 1, "WARN exited: a (exit status 1; not expected)"),
        ("b", 4, "INFO exited: b (exit status 4; expected)"),
        ("b", 0, "WARN exited: b (exit status 0; not expected)"),
        ("c", 0, "WARN exited: c (exit status 0; not expected)"),
    ] {
        // The first start is by itself.
        d.await_some("a start", || {
            let state = d.state(name).ok()?;
            if state == "EXITED" {
                d.sv("startProcess", &json!([name])).ok()?;
            }
            (state == "RUNNING").then_some(())
        })?;
        d.sv("sendProcessStdin", &json!([name, format!("{code}\n")]))?;
        let info = d.await_state(name, "EXITED")?;
        assert_eq!(info["state"], 100);
        assert_eq!(info["exitstatus"], code);
        assert_eq!(info["pid"], 0);
        let error = match how.split_once(' ') {
            Some(("WARN", _)) => format!("Bad exit code {code}"),
            _ => String::new(),
        };
        assert_eq!(info["spawnerr"], error);
        d.await_log(&format!("{how}\n"))?;
    }
    Ok(())
}

fn ended_by_a_signal(s: &Stage) -> Result {
    let d = s.start("[program:a]\ncommand=sleep 1000\nstartsecs=0\nautorestart=false\n")?;
    d.await_state("a", "RUNNING")?;
    let pid = Pid::from_raw(d.pid_of_started("a")?).unwrap();
    kill_process(pid, Signal::SEGV)?;
    let info = d.await_state("a", "EXITED")?;
    assert_eq!(info["exitstatus"], -1);
    let log = d.await_log("exited: a")?;
    assert!(
        log.contains("WARN exited: a (terminated by SIGSEGV"),
        "{log}"
    );
    Ok(())
}

fn autorestart_kinds(s: &Stage) -> Result {
    let d = s.start(&format!(
        "[program:always]\n{OBEDIENT}startsecs=0\nautorestart=true\n\
         [program:never]\n{OBEDIENT}startsecs=0\nautorestart=false\n\
         [program:sometimes]\n{OBEDIENT}startsecs=0\n",
    ))?;
    let end = |name: &str, code: i32| -> Result<i32> {
        d.await_state(name, "RUNNING")?;
        let pid = d.pid_of(name)?;
        d.sv("sendProcessStdin", &json!([name, format!("{code}\n")]))?;
        Ok(pid)
    };
    let again = |name: &str, before: i32| {
        d.await_that("another one", || {
            d.pid_of(name).is_ok_and(|pid| pid > 0 && pid != before)
        })
    };
    again("always", end("always", 0)?)?;
    again("always", end("always", 7)?)?;
    again("sometimes", end("sometimes", 7)?)?;
    end("sometimes", 0)?;
    d.await_state("sometimes", "EXITED")?;
    end("never", 7)?;
    d.await_state("never", "EXITED")?;
    Ok(())
}

fn stop_in_each_state(s: &Stage) -> Result {
    let d = s.start(
        "[program:starting]\ncommand=sleep 1000\nstartsecs=1000\n\
         [program:running]\ncommand=sleep 1000\nstartsecs=0\n\
         [program:backoff]\ncommand=false\nstartsecs=9\nstartretries=1000\n\
         [program:fatal]\ncommand=false\nstartsecs=9\nstartretries=0\n\
         [program:exited]\ncommand=true\nstartsecs=0\n\
         [program:stopped]\ncommand=true\nautostart=false\n",
    )?;
    for name in ["starting", "running", "backoff"] {
        d.await_state(name, &name.to_uppercase())?;
        if name != "backoff" {
            d.pid_of_started(name)?;
        }
        assert_eq!(d.sv("stopProcess", &json!([name]))?, true);
        let info = d.info(name)?;
        assert_eq!(info["statename"], "STOPPED", "{name}");
        assert_eq!(info["state"], 0);
        assert_eq!(info["pid"], 0);
        let expected = format!("70 NOT_RUNNING: {name}");
        assert_eq!(d.fault("stopProcess", &json!([name]))?, expected);
    }
    for name in ["fatal", "exited", "stopped"] {
        d.await_state(name, &name.to_uppercase())?;
        let expected = format!("70 NOT_RUNNING: {name}");
        assert_eq!(d.fault("stopProcess", &json!([name]))?, expected);
        assert_eq!(d.state(name)?, name.to_uppercase());
    }
    Ok(())
}

fn stop_says_how_it_ended(s: &Stage) -> Result {
    script(s, "zero", "trap 'exit 0' TERM")?;
    script(s, "five", "trap 'exit 5' TERM")?;
    let d = s.start(
        "[program:zero]\ncommand=%(here)s/zero\n[program:five]\ncommand=%(here)s/five\n\
         [program:term]\ncommand=sleep 1000\n",
    )?;
    d.await_text("zero.ready", "ready")?;
    d.await_text("five.ready", "ready")?;
    d.pid_of_started("term")?;
    d.sv("stopAllProcesses", &json!([]))?;
    for line in [
        "INFO stopped: zero (exit status 0)\n",
        "WARN stopped: five (exit status 5)\n",
        "WARN stopped: term (terminated by SIGTERM)\n",
    ] {
        d.await_log(line)?;
    }
    assert_eq!(d.info("five")?["exitstatus"], 5);
    assert_eq!(d.info("term")?["exitstatus"], -1);
    Ok(())
}

fn killed_after_its_time(s: &Stage) -> Result {
    script(s, "a", "trap '' TERM")?;
    let d = s.start("[program:a]\ncommand=%(here)s/a\nstopwaitsecs=1\n")?;
    d.await_text("a.ready", "ready")?;
    let pid = d.pid_of("a")?;
    assert_eq!(d.sv("stopProcess", &json!(["a", false]))?, true);
    let info = d.await_state("a", "STOPPING")?;
    assert_eq!(info["state"], 40);
    assert_eq!(info["pid"], pid);
    let info = d.await_state("a", "STOPPED")?;
    assert_eq!(info["exitstatus"], -1);
    d.await_log(&format!("WARN killing 'a' ({pid}) with SIGKILL\n"))?;
    d.await_log("WARN stopped: a (terminated by SIGKILL)\n")?;
    Ok(())
}

fn stop_signals(s: &Stage) -> Result {
    script(s, "usr1", "trap 'exit 11' USR1")?;
    script(s, "int", "trap 'exit 12' INT")?;
    let d = s.start(
        "[program:usr1]\ncommand=%(here)s/usr1\nstopsignal=usr1\n\
         [program:int]\ncommand=%(here)s/int\nstopsignal=SIGINT\n\
         [program:number]\ncommand=sleep 1000\nstopsignal=1\n",
    )?;
    d.await_text("usr1.ready", "ready")?;
    d.await_text("int.ready", "ready")?;
    d.pid_of_started("number")?;
    d.sv("stopAllProcesses", &json!([]))?;
    d.await_log("stopped: usr1 (exit status 11)")?;
    d.await_log("stopped: int (exit status 12)")?;
    d.await_log("stopped: number (terminated by SIGHUP)")?;
    Ok(())
}

/// A leader that has a child in its group; the child ignores TERM if it is told to.
fn family(s: &Stage, ignoring: bool) -> Result {
    let trap = if ignoring { "trap '' TERM" } else { ":" };
    let text = format!(
        "#!/bin/sh\n(cd {0}; {trap}; exec sh -c 'echo $$ > kid; exec sleep 1000') &\nwait\n",
        s.here()
    );
    s.script("leader", &text)?;
    Ok(())
}

fn kid(s: &Stage) -> Option<i32> {
    s.read("kid").trim().parse().ok()
}

fn lives(pid: i32) -> bool {
    look(pid).is_some_and(|seen| !seen.is_zombie())
}

fn stop_of_the_leader_alone(s: &Stage) -> Result {
    family(s, false)?;
    let d = s.start("[program:a]\ncommand=%(here)s/leader\n")?;
    let kid = d.await_some("the child", || kid(s))?;
    d.sv("stopProcess", &json!(["a"]))?;
    assert_eq!(d.state("a")?, "STOPPED");
    assert!(lives(kid), "only the leader gets the signal");
    Ok(())
}

fn stop_of_the_group(s: &Stage) -> Result {
    family(s, false)?;
    let d = s.start("[program:a]\ncommand=%(here)s/leader\nstopasgroup=true\n")?;
    let kid = d.await_some("the child", || kid(s))?;
    d.sv("stopProcess", &json!(["a"]))?;
    d.await_that("the end of the child", || !lives(kid))
}

fn kill_of_the_group(s: &Stage) -> Result {
    family(s, true)?;
    let text = s.read("leader").replacen('\n', "\ntrap '' TERM\n", 1);
    s.script(
        "leader",
        &text.replace("wait\n", "while :; do wait; sleep 1; done\n"),
    )?;
    let d = s.start("[program:a]\ncommand=%(here)s/leader\nstopwaitsecs=1\nkillasgroup=true\n")?;
    let kid = d.await_some("the child", || kid(s))?;
    d.sv("stopProcess", &json!(["a"]))?;
    d.await_log("stopped: a (terminated by SIGKILL)")?;
    d.await_that("the end of the child", || !lives(kid))
}

fn start_while_it_waits(s: &Stage) -> Result {
    let d = s.start(
        "[program:backoff]\ncommand=false\nstartsecs=9\nstartretries=1000\n\
         [program:starting]\ncommand=sleep 1000\nstartsecs=1000\n",
    )?;
    for name in ["backoff", "starting"] {
        d.await_state(name, &name.to_uppercase())?;
        let expected = format!("60 ALREADY_STARTED: {name}");
        assert_eq!(d.fault("startProcess", &json!([name]))?, expected);
    }
    Ok(())
}

fn autostart(s: &Stage) -> Result {
    let d = s.start(
        "[program:a]\ncommand=sleep 1000\nautostart=false\n[program:b]\ncommand=sleep 1000\n",
    )?;
    d.await_state("b", "RUNNING")?;
    let info = d.info("a")?;
    assert_eq!(info["statename"], "STOPPED");
    assert_eq!(info["description"], "Not started");
    assert_eq!((&info["start"], &info["stop"]), (&json!(0), &json!(0)));
    Ok(())
}
