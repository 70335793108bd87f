//! The methods of the XML-RPC interface: results, refusals, names, waiting.

use serde_json::{Value, json};
use ward_testkit::supervisor::daemon::read_answer;

use crate::{Result, Stage};

crate::tests![
    who_it_is,
    names_of_methods,
    help_and_signatures,
    methods_that_are_not_there,
    wrong_parameters,
    unknown_names,
    one_process,
    without_waiting,
    several_processes,
    all_processes,
    spawn_errors,
    ended_while_waited_for,
    stopped_while_waited_for,
    a_wait_blocks_nobody,
    signals,
    standard_input,
    several_calls_at_once,
    several_calls_wait_one_after_the_other,
    while_it_ends,
    numbers_and_texts,
    a_namespace_that_is_not_there,
];

fn ok(group: &str, name: &str) -> Value {
    json!({"name": name, "group": group, "status": 80, "description": "OK"})
}

fn who_it_is(s: &Stage) -> Result {
    let d = s.start("[supervisord]\nidentifier=me\n")?;
    for method in ["getAPIVersion", "getVersion"] {
        assert_eq!(d.sv(method, &json!([]))?, "3.0");
    }
    let version = d.sv("getSupervisorVersion", &json!([]))?;
    assert!(version.as_str().unwrap().starts_with("4."), "{version}");
    assert_eq!(d.sv("getIdentification", &json!([]))?, "me");
    assert_eq!(
        d.sv("getState", &json!([]))?,
        json!({"statecode": 1, "statename": "RUNNING"})
    );
    assert_eq!(d.sv("getPID", &json!([]))?, d.pid()?);
    Ok(())
}

fn names_of_methods(s: &Stage) -> Result {
    let d = s.start("")?;
    let found = d.rpc("system.listMethods", &json!([]))?;
    let mut expected: Vec<String> = "addProcessGroup clearAllProcessLogs clearLog \
        clearProcessLog clearProcessLogs getAPIVersion getAllConfigInfo getAllProcessInfo \
        getIdentification getPID getProcessInfo getState getSupervisorVersion getVersion \
        readLog readMainLog readProcessLog readProcessStderrLog readProcessStdoutLog reloadConfig \
        removeProcessGroup restart sendProcessStdin sendRemoteCommEvent shutdown signalAllProcesses \
        signalProcess signalProcessGroup startAllProcesses startProcess startProcessGroup \
        stopAllProcesses stopProcess stopProcessGroup tailProcessLog tailProcessStderrLog \
        tailProcessStdoutLog"
        .split_whitespace()
        .map(|name| format!("supervisor.{name}"))
        .collect();
    for name in ["listMethods", "methodHelp", "methodSignature", "multicall"] {
        expected.push(format!("system.{name}"));
    }
    expected.sort();
    // Ours has more of its own.
    let mut found = found.as_array().unwrap().clone();
    found.retain(|name| !name.as_str().unwrap_or_default().starts_with("ward."));
    assert_eq!(found, expected);
    Ok(())
}

fn help_and_signatures(s: &Stage) -> Result {
    let d = s.start("")?;
    for (method, expected) in [
        (
            "supervisor.startProcess",
            json!(["boolean", "string", "boolean"]),
        ),
        ("supervisor.getState", json!(["struct"])),
        ("supervisor.getAllProcessInfo", json!(["array"])),
        ("supervisor.readLog", json!(["string", "int", "int"])),
        (
            "supervisor.sendProcessStdin",
            json!(["boolean", "string", "string"]),
        ),
        ("system.listMethods", json!(["array"])),
        ("system.multicall", json!(["array", "array"])),
    ] {
        let found = d.rpc("system.methodSignature", &json!([method]))?;
        assert_eq!(found, expected, "{method}");
        let help = d.rpc("system.methodHelp", &json!([method]))?;
        assert!(
            help.as_str().unwrap().contains("@return"),
            "{method}: {help}"
        );
    }
    for method in ["system.methodSignature", "system.methodHelp"] {
        let fault = d.call(method, &json!(["supervisor.nothing"]))?.unwrap_err();
        assert_eq!(fault.code, 4);
        assert!(fault.text.starts_with("SIGNATURE_UNSUPPORTED"));
    }
    Ok(())
}

fn methods_that_are_not_there(s: &Stage) -> Result {
    let d = s.start("")?;
    for method in [
        "supervisor.nothing",
        "nothing",
        "x.y.z",
        "supervisor._update",
        "supervisor",
    ] {
        let fault = d.call(method, &json!([]))?.unwrap_err();
        assert_eq!(
            (fault.code, fault.text.as_str()),
            (1, "UNKNOWN_METHOD"),
            "{method}"
        );
    }
    Ok(())
}

fn wrong_parameters(s: &Stage) -> Result {
    let d = s.start("[program:a]\ncommand=sleep 1000\n")?;
    for (method, parameters) in [
        ("getProcessInfo", json!([])),
        ("getProcessInfo", json!(["a", "b"])),
        ("getState", json!([1])),
        ("startProcess", json!(["a", true, 1])),
        ("sendProcessStdin", json!(["a"])),
        ("readLog", json!([0])),
    ] {
        let fault = d.fault(method, &parameters)?;
        assert_eq!(fault, "2 INCORRECT_PARAMETERS", "{method} {parameters}");
    }
    Ok(())
}

fn unknown_names(s: &Stage) -> Result {
    let d = s.start(
        "[program:a]\ncommand=sleep 1000\n[group:g]\nprograms=b\n[program:b]\ncommand=sleep 1000\n",
    )?;
    for method in [
        "startProcess",
        "stopProcess",
        "getProcessInfo",
        "clearProcessLogs",
        "clearProcessLog",
    ] {
        for name in ["no", "b", "g:no", "no:a"] {
            let fault = d.fault(method, &json!([name]))?;
            assert_eq!(fault, format!("10 BAD_NAME: {name}"), "{method}");
        }
    }
    for method in [
        "startProcessGroup",
        "stopProcessGroup",
        "removeProcessGroup",
        "addProcessGroup",
    ] {
        for name in ["no", "b", "g:b"] {
            let fault = d.fault(method, &json!([name]))?;
            assert_eq!(fault, format!("10 BAD_NAME: {name}"), "{method}");
        }
    }
    for method in ["startProcess", "stopProcess"] {
        assert_eq!(d.fault(method, &json!(["no:*"]))?, "10 BAD_NAME: no:*");
    }
    assert_eq!(
        d.fault("signalProcess", &json!(["no", "HUP"]))?,
        "10 BAD_NAME: no"
    );
    assert_eq!(
        d.fault("signalProcessGroup", &json!(["no", "HUP"]))?,
        "10 BAD_NAME: no"
    );
    assert_eq!(
        d.fault("sendProcessStdin", &json!(["no", ""]))?,
        "10 BAD_NAME: no"
    );
    Ok(())
}

fn one_process(s: &Stage) -> Result {
    let d = s.start("[program:a]\ncommand=sleep 1000\nautostart=false\n")?;
    assert_eq!(d.sv("startProcess", &json!(["a"]))?, true);
    // The answer waits for it.
    assert_eq!(d.state("a")?, "RUNNING");
    assert_eq!(
        d.fault("startProcess", &json!(["a"]))?,
        "60 ALREADY_STARTED: a"
    );
    assert_eq!(d.sv("stopProcess", &json!(["a:a"]))?, true);
    assert_eq!(d.state("a")?, "STOPPED");
    assert_eq!(
        d.fault("stopProcess", &json!(["a:a"]))?,
        "70 NOT_RUNNING: a:a"
    );
    assert_eq!(d.sv("startProcess", &json!(["a:a", true]))?, true);
    Ok(())
}

fn without_waiting(s: &Stage) -> Result {
    let d = s.start(
        "[program:a]\ncommand=sleep 1000\nautostart=false\nstartsecs=1000\n\
         [program:b]\ncommand=sleep 1000\nautostart=false\nstartsecs=1000\n",
    )?;
    assert_eq!(d.sv("startProcess", &json!(["a", false]))?, true);
    assert_eq!(d.state("a")?, "STARTING");
    assert_eq!(
        d.sv("startProcessGroup", &json!(["b", false]))?,
        json!([ok("b", "b")])
    );
    assert_eq!(d.sv("stopProcess", &json!(["a", false]))?, true);
    d.await_state("a", "STOPPED")?;
    Ok(())
}

const GROUP: &str = "[group:g]\nprograms=y,x\n\
    [program:x]\ncommand=sleep 1000\nautostart=false\nstartsecs=0\n\
    [program:y]\ncommand=sleep 1000\nautostart=false\nstartsecs=0\n\
    [program:other]\ncommand=sleep 1000\nautostart=false\nstartsecs=0\n";

fn several_processes(s: &Stage) -> Result {
    let d = s.start(GROUP)?;
    d.sv("startProcess", &json!(["g:x"]))?;
    // Only those that it acted on.
    assert_eq!(
        d.sv("startProcessGroup", &json!(["g"]))?,
        json!([ok("g", "y")])
    );
    assert_eq!(d.sv("startProcessGroup", &json!(["g"]))?, json!([]));
    let mut both = [ok("g", "x"), ok("g", "y")];
    let sorted = |of: Value| -> Vec<Value> {
        let mut all = of.as_array().unwrap().clone();
        all.sort_by_key(|one| one["name"].to_string());
        all
    };
    assert_eq!(sorted(d.sv("stopProcess", &json!(["g:*"]))?), both);
    assert_eq!(d.sv("stopProcessGroup", &json!(["g"]))?, json!([]));
    assert_eq!(sorted(d.sv("startProcess", &json!(["g:"]))?), both);
    assert_eq!(
        sorted(d.sv("signalProcess", &json!(["g:*", "CONT"]))?),
        both
    );
    assert_eq!(sorted(d.sv("stopProcessGroup", &json!(["g", true]))?), both);
    both.reverse();
    assert_eq!(d.state("other")?, "STOPPED");
    Ok(())
}

fn all_processes(s: &Stage) -> Result {
    let d = s.start(GROUP)?;
    d.sv("startProcess", &json!(["g:y"]))?;
    let names = |of: Value| -> Vec<String> {
        let all = of.as_array().unwrap().iter();
        let mut names: Vec<String> = all.map(|one| format!("{}", one["name"])).collect();
        names.sort();
        names
    };
    assert_eq!(
        names(d.sv("startAllProcesses", &json!([]))?),
        ["\"other\"", "\"x\""]
    );
    assert_eq!(
        names(d.sv("signalAllProcesses", &json!(["CONT"]))?),
        ["\"other\"", "\"x\"", "\"y\""]
    );
    assert_eq!(
        names(d.sv("stopAllProcesses", &json!([false]))?),
        ["\"other\"", "\"x\"", "\"y\""]
    );
    d.await_state("other", "STOPPED")?;
    d.await_state("g:x", "STOPPED")?;
    d.await_state("g:y", "STOPPED")?;
    assert_eq!(d.sv("stopAllProcesses", &json!([]))?, json!([]));
    assert_eq!(d.sv("signalAllProcesses", &json!(["CONT"]))?, json!([]));
    Ok(())
}

fn spawn_errors(s: &Stage) -> Result {
    let d = s.start(
        "[program:quick]\ncommand=false\nstartsecs=9\nautostart=false\nstartretries=1000\n\
         [program:missing]\ncommand=not-there\nautostart=false\n",
    )?;
    assert_eq!(
        d.fault("startProcess", &json!(["quick"]))?,
        "50 SPAWN_ERROR: quick"
    );
    let missing = "can't find command 'not-there'";
    assert_eq!(
        d.fault("startProcess", &json!(["missing", false]))?,
        format!("20 NO_FILE: {missing}")
    );
    let expected = json!([{
        "name": "missing", "group": "missing", "status": 20,
        "description": format!("NO_FILE: {missing}"),
    }]);
    assert_eq!(d.sv("startProcessGroup", &json!(["missing"]))?, expected);
    d.sv("stopProcess", &json!(["quick"]))?;
    let found = d.sv("startProcessGroup", &json!(["quick"]))?;
    let expected = json!([{
        "name": "quick", "group": "quick", "status": 50, "description": "SPAWN_ERROR: quick",
    }]);
    assert_eq!(found, expected);
    Ok(())
}

fn ended_while_waited_for(s: &Stage) -> Result {
    let d = s.start(
        "[program:a]\ncommand=sh -c 'read x'\nautostart=false\nstartsecs=1000\nstartretries=0\n",
    )?;
    let mut waiting = d.begin("startProcess", &json!(["a"]))?;
    d.await_state("a", "STARTING")?;
    d.sv("sendProcessStdin", &json!(["a", "\n"]))?;
    let fault = read_answer(&mut waiting)?.unwrap_err();
    assert_eq!((fault.code, fault.text.as_str()), (50, "SPAWN_ERROR: a"));
    Ok(())
}

fn stopped_while_waited_for(s: &Stage) -> Result {
    let d = s.start("[program:a]\ncommand=sleep 1000\nautostart=false\nstartsecs=1000\n")?;
    let mut waiting = d.begin("startProcess", &json!(["a"]))?;
    d.await_state("a", "STARTING")?;
    d.pid_of_started("a")?;
    d.sv("stopProcess", &json!(["a"]))?;
    let fault = read_answer(&mut waiting)?.unwrap_err();
    assert_eq!(
        (fault.code, fault.text.as_str()),
        (40, "ABNORMAL_TERMINATION: a")
    );
    Ok(())
}

fn a_wait_blocks_nobody(s: &Stage) -> Result {
    s.script(
        "deaf",
        &format!(
            "#!/bin/sh\ntrap '' TERM\necho x > {}/set\nread x\n",
            s.here()
        ),
    )?;
    let d = s.start("[program:a]\ncommand=%(here)s/deaf\nstopwaitsecs=1000\n[program:b]\ncommand=sleep 1000\nautostart=false\nstartsecs=0\n")?;
    d.await_text("set", "x")?;
    let mut waiting = d.begin("stopProcess", &json!(["a"]))?;
    d.await_state("a", "STOPPING")?;
    assert_eq!(d.sv("startProcess", &json!(["b"]))?, true);
    assert!(waiting.is_silent()?);
    // Told to stop already, it is not told again; who asks waits, too.
    let mut second = d.begin("stopProcess", &json!(["a"]))?;
    d.state("b")?;
    d.sv("signalProcess", &json!(["a", "KILL"]))?;
    assert_eq!(read_answer(&mut waiting)?, Ok(json!(true)));
    let second = read_answer(&mut second)?.unwrap_err();
    assert_eq!(second.text, "NOT_RUNNING: a");
    Ok(())
}

fn signals(s: &Stage) -> Result {
    s.script("a", &format!("#!/bin/sh\ncd {}\nfor n in HUP USR1; do trap \"echo $n >> got\" $n; done\necho x > set\nwhile :; do sleep 0.05; done\n", s.here()))?;
    let d = s.start(
        "[program:a]\ncommand=%(here)s/a\n[program:off]\ncommand=true\nautostart=false\n\
         [program:later]\ncommand=false\nstartsecs=9\nstartretries=1000\n",
    )?;
    d.await_text("set", "x")?;
    d.await_state("later", "BACKOFF")?;
    for name in ["HUP", "SIGUSR1", "hup", "10"] {
        let before = s.count("got", "\n");
        assert_eq!(d.sv("signalProcess", &json!(["a", name]))?, true);
        d.await_that("the signal", || s.count("got", "\n") > before)?;
    }
    assert_eq!(s.read("got"), "HUP\nUSR1\nHUP\nUSR1\n");
    let sent = d.sv("signalProcessGroup", &json!(["a", "HUP"]))?;
    assert_eq!(sent, json!([ok("a", "a")]));
    assert_eq!(
        d.fault("signalProcess", &json!(["a", "NONE"]))?,
        "11 BAD_SIGNAL: NONE"
    );
    assert_eq!(
        d.fault("signalProcess", &json!(["off", "HUP"]))?,
        "70 NOT_RUNNING: off"
    );
    assert_eq!(
        d.fault("signalProcess", &json!(["later", "HUP"]))?,
        "70 NOT_RUNNING: later"
    );
    // Its next try would make it one of all.
    d.sv("stopProcess", &json!(["later"]))?;
    let bad = json!([{
        "name": "a", "group": "a", "status": 11, "description": "BAD_SIGNAL: x",
    }]);
    assert_eq!(d.sv("signalProcessGroup", &json!(["a", "x"]))?, bad);
    assert_eq!(d.sv("signalAllProcesses", &json!(["x"]))?, bad);
    assert_eq!(
        d.sv("signalProcessGroup", &json!(["off", "HUP"]))?,
        json!([])
    );
    Ok(())
}

fn standard_input(s: &Stage) -> Result {
    let d = s.start(
        "[program:a]\ncommand=cat\nstdout_logfile=%(here)s/out\n\
         [program:closed]\ncommand=sh -c 'exec <&-;echo x;exec sleep 1000'\nstdout_logfile=%(here)s/closed\n\
         [program:off]\ncommand=cat\nautostart=false\n",
    )?;
    d.pid_of_started("a")?;
    assert_eq!(d.sv("sendProcessStdin", &json!(["a", "one\n"]))?, true);
    assert_eq!(
        d.sv("sendProcessStdin", &json!(["a", "tw\u{f6}\n<&>"]))?,
        true
    );
    assert_eq!(d.await_text("out", "<&>")?, "one\ntw\u{f6}\n<&>");
    d.await_text("closed", "x")?;
    assert_eq!(
        d.fault("sendProcessStdin", &json!(["off", "x"]))?,
        "70 NOT_RUNNING: off"
    );
    assert_eq!(
        d.fault("sendProcessStdin", &json!(["a", 5]))?,
        "2 INCORRECT_PARAMETERS: 5"
    );
    d.await_that("the refusal", || {
        let refused = d.fault("sendProcessStdin", &json!(["closed", "x"]));
        refused.is_ok_and(|fault| fault == "20 NO_FILE: closed")
    })?;
    Ok(())
}

fn several_calls_at_once(s: &Stage) -> Result {
    let d =
        s.start("[program:a]\ncommand=sleep 1000\nautostart=false\nstartsecs=0\nstopwaitsecs=1\n")?;
    let found = d.rpc(
        "system.multicall",
        &json!([[
            {"methodName": "supervisor.getIdentification", "params": []},
            {"methodName": "supervisor.getProcessInfo", "params": ["no"]},
            {"methodName": "supervisor.startProcess", "params": ["a"]},
            {"methodName": "supervisor.nothing"},
            {"params": []},
            {"methodName": "system.multicall", "params": []},
            {"methodName": "supervisor.stopProcess", "params": ["a", true]},
            {"methodName": "supervisor.getAPIVersion"},
        ]]),
    )?;
    let fault = |code: i32, text: &str| json!({"faultCode": code, "faultString": text});
    let expected = json!([
        "supervisor",
        fault(10, "BAD_NAME: no"),
        true,
        fault(1, "UNKNOWN_METHOD"),
        fault(2, "INCORRECT_PARAMETERS: No methodName"),
        fault(
            2,
            "INCORRECT_PARAMETERS: Recursive system.multicall forbidden"
        ),
        true,
        "3.0",
    ]);
    assert_eq!(found, expected);
    assert_eq!(d.rpc("system.multicall", &json!([[]]))?, json!([]));
    Ok(())
}

fn several_calls_wait_one_after_the_other(s: &Stage) -> Result {
    let d = s.start(
        "[program:a]\ncommand=sleep 1000\nautostart=false\nstartsecs=1000\n\
         [program:b]\ncommand=sleep 1000\nautostart=false\nstartsecs=0\n",
    )?;
    let start = |name: &str| json!({"methodName": "supervisor.startProcess", "params": [name]});
    let calls = json!([[start("a"), start("b")]]);
    let mut waiting = d.connect()?;
    waiting.send(ward_testkit::supervisor::daemon::request(
        "system.multicall",
        &calls,
    )?)?;
    d.await_state("a", "STARTING")?;
    d.pid_of_started("a")?;
    assert_eq!(d.state("b")?, "STOPPED");
    d.sv("stopProcess", &json!(["a"]))?;
    let found = read_answer(&mut waiting)?.unwrap();
    assert_eq!(found[0]["faultCode"], 40);
    assert_eq!(found[1], true);
    assert_eq!(d.state("b")?, "RUNNING");
    Ok(())
}

fn while_it_ends(s: &Stage) -> Result {
    s.script(
        "deaf",
        &format!(
            "#!/bin/sh\ntrap '' TERM\necho x > {}/set\nread x\n",
            s.here()
        ),
    )?;
    let d = s.start("[program:a]\ncommand=%(here)s/deaf\nstopwaitsecs=1000\n")?;
    d.await_text("set", "x")?;
    let pid = d.pid_of("a")?;
    assert_eq!(d.sv("shutdown", &json!([]))?, true);
    d.await_that("the refusal", || d.fault("getPID", &json!([])).is_ok())?;
    for (method, parameters) in [
        ("getState", json!([])),
        ("getProcessInfo", json!(["a"])),
        ("shutdown", json!([])),
        ("startProcess", json!(["a"])),
        ("getAPIVersion", json!([])),
    ] {
        assert_eq!(
            d.fault(method, &parameters)?,
            "6 SHUTDOWN_STATE",
            "{method}"
        );
    }
    // Others go on.
    d.rpc("system.listMethods", &json!([]))?;
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL)?;
    assert_eq!(d.finish()?.code, 0);
    Ok(())
}

fn numbers_and_texts(s: &Stage) -> Result {
    let d = s.start("[program:a]\ncommand=sleep 1000\nautostart=false\n")?;
    // A text without a type, no `params`, white space.
    let call = |inside: &str| {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n <methodCall> {inside} </methodCall> "
        );
        d.http(format!(
            "POST /RPC2 HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    };
    let answer = call("<methodName>supervisor.getAPIVersion</methodName>")?;
    assert!(
        answer.text().contains("<string>3.0</string>"),
        "{}",
        answer.text()
    );
    let answer = call(
        "<methodName>supervisor.getProcessInfo</methodName>\n<params><param><value>a</value></param></params>",
    )?;
    assert!(answer.text().contains("STOPPED"), "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("text/xml"));
    Ok(())
}

fn a_namespace_that_is_not_there(s: &Stage) -> Result {
    s.configure_all(
        "[unix_http_server]\nfile=%(here)s/s\n[supervisord]\nlogfile=%(here)s/d.log\npidfile=%(here)s/d.pid\n",
    )?;
    let d = s.start_again(&[])?;
    assert_eq!(d.fault("getState", &json!([]))?, "1 UNKNOWN_METHOD");
    let methods = d.rpc("system.listMethods", &json!([]))?;
    let foreign = methods.as_array().unwrap().iter();
    let mut foreign =
        foreign.filter(|name| name.as_str().unwrap_or_default().starts_with("supervisor."));
    assert_eq!(foreign.next(), None);
    Ok(())
}
