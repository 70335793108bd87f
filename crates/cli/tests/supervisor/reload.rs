//! Reading the configuration again: what is said to differ, and how it is applied.

use rustix::process::Signal;
use serde_json::{Value, json};
use ward_testkit::supervisor::daemon::Daemon;

use crate::{Result, Stage};

crate::tests![
    nothing_changed,
    added_changed_removed,
    nothing_is_applied_by_reading,
    what_counts_as_a_change,
    groups_that_change,
    adding_and_removing,
    a_broken_file,
    identifier_at_once,
    hangup,
    hangup_takes_the_daemons_own_section,
    hangup_with_a_broken_file,
    restart,
    included_files,
];

fn reread(d: &Daemon) -> Result<Value> {
    d.sv("reloadConfig", &json!([]))
}

const ONE: &str = "[program:one]\ncommand=sleep 1000\n";
const TWO: &str = "[program:two]\ncommand=sleep 1000\n";

fn nothing_changed(s: &Stage) -> Result {
    let d = s.start(&format!(
        "{ONE}{TWO}[eventlistener:l]\ncommand=cat\nevents=TICK_5\n"
    ))?;
    d.pid_of_started("one")?;
    assert_eq!(reread(&d)?, json!([[[], [], []]]));
    Ok(())
}

fn added_changed_removed(s: &Stage) -> Result {
    let d = s.start(&format!("{ONE}{TWO}"))?;
    s.configure("[program:two]\ncommand=sleep 1001\n[program:three]\ncommand=sleep 1000\n")?;
    assert_eq!(reread(&d)?, json!([[["three"], ["two"], ["one"]]]));
    assert_eq!(reread(&d)?, json!([[["three"], ["two"], ["one"]]]));
    Ok(())
}

fn nothing_is_applied_by_reading(s: &Stage) -> Result {
    let d = s.start(ONE)?;
    let pid = d.pid_of_started("one")?;
    s.configure(TWO)?;
    reread(&d)?;
    assert_eq!(d.pid_of("one")?, pid);
    let configs = d.sv("getAllConfigInfo", &json!([]))?;
    let names: Vec<_> = configs
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (&c["name"], &c["inuse"]))
        .collect();
    assert_eq!(names, [(&json!("two"), &json!(false))]);
    assert_eq!(configs[0]["stdout_logfile"], "auto");
    assert_eq!(
        d.fault("getProcessInfo", &json!(["two"]))?,
        "10 BAD_NAME: two"
    );
    Ok(())
}

fn what_counts_as_a_change(s: &Stage) -> Result {
    let d = s.start(ONE)?;
    d.pid_of_started("one")?;
    for (line, counts) in [
        ("priority=5", true),
        ("autostart=false", true),
        ("autorestart=true", true),
        ("environment=A=\"1\"", true),
        ("stopwaitsecs=3", true),
        ("umask=077", true),
        ("directory=/", true),
        ("stdout_logfile=%(here)s/x", true),
        ("stdout_events_enabled=true", true),
        ("stdout_logfile=AUTO", false),
        ("startsecs=1", false),
        ("exitcodes=0", false),
        ("unknown=1", false),
        ("# a comment", false),
    ] {
        s.configure(&format!("{ONE}{line}\n"))?;
        let expected = if counts { json!(["one"]) } else { json!([]) };
        assert_eq!(reread(&d)?, json!([[[], expected, []]]), "{line}");
    }
    Ok(())
}

fn groups_that_change(s: &Stage) -> Result {
    let both = format!("{ONE}{TWO}");
    let d = s.start(&format!("{both}[group:g]\nprograms=one,two\n"))?;
    for (rest, expected) in [
        (
            format!("{both}[group:g]\nprograms=one,two\npriority=5\n"),
            json!([[], ["g"], []]),
        ),
        (
            format!("{both}[group:g]\nprograms=one\n"),
            json!([["two"], ["g"], []]),
        ),
        (both, json!([["one", "two"], [], ["g"]])),
    ] {
        s.configure(&rest)?;
        assert_eq!(reread(&d)?, json!([expected]), "{rest}");
    }
    Ok(())
}

fn adding_and_removing(s: &Stage) -> Result {
    let d = s.start(ONE)?;
    d.pid_of_started("one")?;
    assert_eq!(
        d.fault("addProcessGroup", &json!(["one"]))?,
        "90 ALREADY_ADDED: one"
    );
    assert_eq!(
        d.fault("addProcessGroup", &json!(["two"]))?,
        "10 BAD_NAME: two"
    );
    assert_eq!(
        d.fault("removeProcessGroup", &json!(["one"]))?,
        "91 STILL_RUNNING: one"
    );
    s.configure(&format!("{ONE}{TWO}"))?;
    assert_eq!(
        d.fault("addProcessGroup", &json!(["two"]))?,
        "10 BAD_NAME: two"
    );
    reread(&d)?;
    assert_eq!(d.sv("addProcessGroup", &json!(["two"]))?, true);
    d.pid_of_started("two")?;
    d.await_state("two", "RUNNING")?;
    d.sv("stopProcess", &json!(["two"]))?;
    assert_eq!(d.sv("removeProcessGroup", &json!(["two"]))?, true);
    assert_eq!(
        d.fault("getProcessInfo", &json!(["two"]))?,
        "10 BAD_NAME: two"
    );
    // Added again, it starts again.
    assert_eq!(d.sv("addProcessGroup", &json!(["two"]))?, true);
    d.pid_of_started("two")?;
    assert_eq!(s.count("d.log", "spawned: 'one'"), 1);
    Ok(())
}

fn a_broken_file(s: &Stage) -> Result {
    let d = s.start(ONE)?;
    let pid = d.pid_of_started("one")?;
    for (rest, expected) in [
        (
            "[program:x]\n",
            "program section program:x does not specify a command",
        ),
        (
            "[program:x]\ncommand=a\nstartsecs=a\n",
            "invalid literal for int() with base 10: 'a'",
        ),
    ] {
        s.configure(rest)?;
        let fault = d.fault("reloadConfig", &json!([]))?;
        assert!(fault.starts_with("92 CANT_REREAD: "), "{fault}");
        let told = if s.differs("messages-of-mistakes")? {
            fault.contains("c.conf:")
        } else {
            fault.contains(expected)
        };
        assert!(told, "{fault}");
    }
    assert_eq!(d.pid_of("one")?, pid);
    s.configure(ONE)?;
    assert_eq!(reread(&d)?, json!([[[], [], []]]));
    Ok(())
}

fn identifier_at_once(s: &Stage) -> Result {
    let d = s.start("")?;
    s.configure("[supervisord]\nidentifier=new\n")?;
    reread(&d)?;
    assert_eq!(d.sv("getIdentification", &json!([]))?, "new");
    Ok(())
}

fn hangup(s: &Stage) -> Result {
    let d = s.start(&format!("{ONE}{TWO}"))?;
    let before = d.pid_of_started("one")?;
    d.pid_of_started("two")?;
    s.configure(&format!("{ONE}[program:three]\ncommand=sleep 1000\n"))?;
    d.signal(Signal::HUP)?;
    // Even what did not change is started anew.
    d.await_that("another one", || {
        d.pid_of("one").is_ok_and(|pid| pid > 0 && pid != before)
    })?;
    d.await_state("three", "RUNNING")?;
    assert_eq!(
        d.fault("getProcessInfo", &json!(["two"]))?,
        "10 BAD_NAME: two"
    );
    assert_eq!(d.sv("getPID", &json!([]))?, d.pid()?);
    let log = d.log();
    assert!(
        log.contains("WARN received SIGHUP indicating restart request\n"),
        "{log}"
    );
    assert!(
        log.contains("WARN stopped: two (terminated by SIGTERM)\n"),
        "{log}"
    );
    assert_eq!(d.stop()?.code, 0);
    Ok(())
}

fn hangup_takes_the_daemons_own_section(s: &Stage) -> Result {
    let mut d = s.start("[supervisord]\nidentifier=old\n")?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port();
    s.configure(&format!(
        "[supervisord]\nidentifier=new\n[inet_http_server]\nport=127.0.0.1:{port}\n"
    ))?;
    d.signal(Signal::HUP)?;
    d.await_that("the new name", || {
        d.sv("getIdentification", &json!([]))
            .is_ok_and(|name| name == "new")
    })?;
    d.await_answer()?;
    d.await_log("Server 'inet_http_server' running without any HTTP authentication checking")?;
    Ok(())
}

fn hangup_with_a_broken_file(s: &Stage) -> Result {
    let d = s.start(ONE)?;
    let pid = d.pid_of_started("one")?;
    s.configure("[program:one]\ncommand=sleep 1000\nstartsecs=x\n")?;
    d.signal(Signal::HUP)?;
    if s.differs("hangup-broken-file")? {
        d.await_log("startsecs")?;
        assert_eq!(d.pid_of("one")?, pid);
        assert_eq!(d.stop()?.code, 0);
    } else {
        let ended = d.finish()?;
        assert_eq!(ended.code, 2);
        assert!(
            ended
                .err
                .contains("Error: invalid literal for int() with base 10: 'x'"),
            "{ended:?}"
        );
        assert!(s.read("d.log").contains("stopped: one"));
    }
    Ok(())
}

fn restart(s: &Stage) -> Result {
    let d = s.start(ONE)?;
    let before = d.pid_of_started("one")?;
    assert_eq!(d.sv("restart", &json!([]))?, true);
    d.await_that("another one", || {
        d.pid_of("one").is_ok_and(|pid| pid > 0 && pid != before)
    })?;
    assert_eq!(d.sv("getPID", &json!([]))?, d.pid()?);
    assert_eq!(d.sv("getState", &json!([]))?["statename"], "RUNNING");
    Ok(())
}

fn included_files(s: &Stage) -> Result {
    std::fs::create_dir(s.path("conf.d"))?;
    s.write(
        "conf.d/b.conf",
        "[program:b]\ncommand=sh -c 'read x' %(here)s\n",
    )?;
    s.write(
        "conf.d/a.conf",
        "[program:b]\nautostart=false\n[program:a]\ncommand=sleep 1000\nautostart=false\n",
    )?;
    let d = s.start("[include]\nfiles=conf.d/*.conf\n  none/*.conf\n")?;
    let log = d.await_log("INFO Included extra file \"")?;
    let here = s.here();
    let line = |name: &str| {
        format!("INFO Included extra file \"{here}/conf.d/{name}.conf\" during parsing\n")
    };
    let (a, b) = (log.find(&line("a")), log.find(&line("b")));
    assert!(a.is_some() && a < b, "{log}");
    assert!(
        log.contains(&format!(
            "WARN No file matches via include \"{here}/none/*.conf\"\n"
        )),
        "{log}"
    );
    let configs = d.sv("getAllConfigInfo", &json!([]))?;
    assert_eq!(
        configs[1]["command"],
        format!("sh -c 'read x' {here}/conf.d")
    );
    s.write("conf.d/c.conf", "[program:c]\ncommand=sleep 1000\n")?;
    assert_eq!(reread(&d)?, json!([[["c"], [], []]]));
    Ok(())
}
