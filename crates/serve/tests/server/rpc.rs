//! Methods: names, signatures, arguments, faults.

use ward_serve::xmlrpc::{FaultValue, Value};
use ward_supervise::api::DaemonState;

use crate::world::World;

fn fault<T>(code: i32, text: &str) -> Result<T, FaultValue> {
    Err(FaultValue {
        code,
        text: text.to_owned(),
    })
}

fn text(text: &str) -> Value {
    Value::text(text)
}

/// As Supervisor 4.3.0 lists them.
const SIGNATURES: &[(&str, &str)] = &[
    ("supervisor.addProcessGroup", "boolean string"),
    ("supervisor.clearAllProcessLogs", "array"),
    ("supervisor.clearLog", "boolean"),
    ("supervisor.clearProcessLog", "boolean string"),
    ("supervisor.clearProcessLogs", "boolean string"),
    ("supervisor.getAPIVersion", "string"),
    ("supervisor.getAllConfigInfo", "array"),
    ("supervisor.getAllProcessInfo", "array"),
    ("supervisor.getIdentification", "string"),
    ("supervisor.getPID", "int"),
    ("supervisor.getProcessInfo", "struct string"),
    ("supervisor.getState", "struct"),
    ("supervisor.getSupervisorVersion", "string"),
    ("supervisor.getVersion", "string"),
    ("supervisor.readLog", "string int int"),
    ("supervisor.readMainLog", "string int int"),
    ("supervisor.readProcessLog", "string string int int"),
    ("supervisor.readProcessStderrLog", "string string int int"),
    ("supervisor.readProcessStdoutLog", "string string int int"),
    ("supervisor.reloadConfig", "array"),
    ("supervisor.removeProcessGroup", "boolean string"),
    ("supervisor.restart", "boolean"),
    ("supervisor.sendProcessStdin", "boolean string string"),
    ("supervisor.sendRemoteCommEvent", "boolean string string"),
    ("supervisor.shutdown", "boolean"),
    ("supervisor.signalAllProcesses", "array string"),
    ("supervisor.signalProcess", "boolean string string"),
    ("supervisor.signalProcessGroup", "array string string"),
    ("supervisor.startAllProcesses", "array boolean"),
    ("supervisor.startProcess", "boolean string boolean"),
    ("supervisor.startProcessGroup", "array string boolean"),
    ("supervisor.stopAllProcesses", "array boolean"),
    ("supervisor.stopProcess", "boolean string boolean"),
    ("supervisor.stopProcessGroup", "array string boolean"),
    ("supervisor.tailProcessLog", "array string int int"),
    ("supervisor.tailProcessStderrLog", "array string int int"),
    ("supervisor.tailProcessStdoutLog", "array string int int"),
    ("system.listMethods", "array"),
    ("system.methodHelp", "string string"),
    ("system.methodSignature", "array string"),
    ("system.multicall", "array array"),
];

#[test]
fn methods_are_listed_with_their_signatures() {
    let world = World::new();
    let mut client = world.unix();
    let listed = client.call("system.listMethods", Vec::new()).unwrap();
    let listed: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_text().unwrap().to_owned())
        .collect();
    let mut expected: Vec<_> = SIGNATURES.iter().map(|(name, _)| *name).collect();
    expected.extend(["ward.explain", "ward.upgrade"]);
    assert_eq!(listed, expected);
    for (name, signature) in SIGNATURES {
        let expected = signature.split(' ').map(text).collect();
        assert_eq!(
            client.call("system.methodSignature", vec![text(name)]),
            Ok(Value::Array(expected)),
            "{name}"
        );
        let help = client.call("system.methodHelp", vec![text(name)]).unwrap();
        let returns = format!("@return {}", signature.split(' ').next().unwrap());
        assert!(help.as_text().unwrap().contains(&returns), "{name}");
    }
    for method in ["system.methodHelp", "system.methodSignature"] {
        assert_eq!(
            client.call(method, vec![text("nope")]),
            fault(4, "SIGNATURE_UNSUPPORTED")
        );
    }
}

#[test]
fn faults_are_those_of_the_original() {
    let world = World::new();
    let mut client = world.unix();
    let unknown = (1, "UNKNOWN_METHOD");
    let incorrect = (2, "INCORRECT_PARAMETERS");
    for (method, params, (code, expected)) in [
        ("nope", vec![], unknown),
        ("a.b", vec![], unknown),
        ("supervisor.getPID.x", vec![], unknown),
        ("supervisor._update", vec![text("x")], unknown),
        ("supervisor.__class__", vec![], unknown),
        ("Supervisor.getPID", vec![], unknown),
        ("supervisor.getPID", vec![Value::Int(1)], incorrect),
        ("supervisor.startProcess", vec![], incorrect),
        (
            "supervisor.startProcess",
            vec![text("a"), text("b"), text("c")],
            incorrect,
        ),
        (
            "supervisor.startProcess",
            vec![Value::Struct(Vec::new())],
            incorrect,
        ),
        (
            "supervisor.removeProcessGroup",
            vec![Value::Array(vec![Value::Int(1)])],
            incorrect,
        ),
        (
            "supervisor.readLog",
            vec![Value::Array(Vec::new()), Value::Int(1)],
            incorrect,
        ),
        (
            "supervisor.readLog",
            vec![text("x"), Value::Int(1)],
            incorrect,
        ),
        ("system.listMethods", vec![Value::Int(1)], incorrect),
        ("system.methodHelp", vec![], incorrect),
        (
            "system.methodHelp",
            vec![Value::Int(5)],
            (4, "SIGNATURE_UNSUPPORTED"),
        ),
        ("system.multicall", vec![Value::Int(5)], incorrect),
        (
            "supervisor.getProcessInfo",
            vec![text("")],
            (10, "BAD_NAME: "),
        ),
        (
            "supervisor.getProcessInfo",
            vec![text("w")],
            (10, "BAD_NAME: w"),
        ),
        (
            "supervisor.getProcessInfo",
            vec![text("w:*")],
            (10, "BAD_NAME: w:*"),
        ),
        (
            "supervisor.getProcessInfo",
            vec![text("a\r\n<b>\u{1}")],
            (10, "BAD_NAME: a\r\n<b>\u{fffd}"),
        ),
        (
            "supervisor.startProcess",
            vec![Value::Int(1)],
            (10, "BAD_NAME: 1"),
        ),
        (
            "supervisor.addProcessGroup",
            vec![text("a")],
            (90, "ALREADY_ADDED: a"),
        ),
        (
            "supervisor.removeProcessGroup",
            vec![text("a")],
            (91, "STILL_RUNNING: a"),
        ),
        (
            "supervisor.signalProcess",
            vec![text("a"), text("FOO")],
            (11, "BAD_SIGNAL: FOO"),
        ),
        (
            "supervisor.sendProcessStdin",
            vec![text("a"), Value::Int(5)],
            (2, "INCORRECT_PARAMETERS: 5"),
        ),
        (
            "supervisor.sendProcessStdin",
            vec![text("a"), Value::Bool(true)],
            (2, "INCORRECT_PARAMETERS: True"),
        ),
        ("supervisor.clearLog", vec![], (20, "NO_FILE")),
        (
            "ward.explain",
            vec![text("nobody")],
            (10, "BAD_NAME: nobody"),
        ),
        ("ward.upgrade", vec![], unknown),
    ] {
        assert_eq!(
            client.call(method, params),
            fault(code, expected),
            "{method}"
        );
    }
}

#[test]
fn answers_have_their_forms() {
    let world = World::new();
    let mut client = world.unix();
    let state = Value::members([("statecode", Value::Int(1)), ("statename", text("RUNNING"))]);
    let yes = Value::Bool(true);
    let status = |name: &str| {
        Value::members([
            ("name", text(name)),
            ("group", text("w")),
            ("status", Value::Int(80)),
            ("description", text("OK")),
        ])
    };
    let both = Value::Array(vec![status("w_0"), status("w_1")]);
    let read = Value::Array(vec![
        Value::Array(vec![text("new")]),
        Value::Array(Vec::new()),
        Value::Array(vec![text("old")]),
    ]);
    for (method, params, expected) in [
        ("supervisor.getState", vec![], state),
        ("supervisor.getPID", vec![], Value::Int(4711)),
        ("supervisor.getAPIVersion", vec![], text("3.0")),
        ("supervisor.getVersion", vec![], text("3.0")),
        ("supervisor.getSupervisorVersion", vec![], text("4.3.0")),
        ("supervisor.getIdentification", vec![], text("in <memory>")),
        ("supervisor.startProcess", vec![text("a")], yes.clone()),
        (
            "supervisor.startProcess",
            vec![text("w:*"), Value::Int(0)],
            both.clone(),
        ),
        (
            "supervisor.startProcessGroup",
            vec![text("w"), text("")],
            both.clone(),
        ),
        (
            "supervisor.stopProcess",
            vec![text("w:"), text("no")],
            both.clone(),
        ),
        ("supervisor.stopProcessGroup", vec![text("w")], both.clone()),
        (
            "supervisor.signalProcess",
            vec![text("a"), Value::Int(1)],
            yes.clone(),
        ),
        (
            "supervisor.signalProcessGroup",
            vec![text("w"), text("hup")],
            both,
        ),
        (
            "supervisor.sendProcessStdin",
            vec![text("a"), text("é\r\n")],
            yes.clone(),
        ),
        (
            "supervisor.sendProcessStdin",
            vec![text("a"), Value::Base64(vec![0, 255])],
            yes.clone(),
        ),
        (
            "supervisor.sendRemoteCommEvent",
            vec![Value::Int(1), text("x")],
            yes.clone(),
        ),
        ("supervisor.clearProcessLogs", vec![text("a")], yes.clone()),
        ("supervisor.clearProcessLog", vec![text("a")], yes.clone()),
        ("supervisor.reloadConfig", vec![], Value::Array(vec![read])),
        ("supervisor.shutdown", vec![], yes.clone()),
        ("supervisor.restart", vec![], yes),
        ("ward.explain", vec![text("a")], text("{\"name\":\"a\"}")),
    ] {
        assert_eq!(client.call(method, params), Ok(expected), "{method}");
    }
    assert_eq!(
        world.shared.calls(),
        [
            "start a true",
            "start w:* false",
            "start group w false",
            "stop w: true",
            "stop group w true",
            "signal a 1",
            "signal group w hup",
            "stdin a [195, 169, 13, 10]",
            "stdin a [0, 255]",
            "event 1 x",
            "clear a",
            "clear a",
            "shutdown",
            "restart"
        ]
    );
}

fn keys(value: &Value) -> String {
    match value {
        Value::Struct(members) => {
            let names: Vec<_> = members.iter().map(|(name, _)| name.as_str()).collect();
            names.join(" ")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn structs_have_their_members() {
    let world = World::new();
    let mut client = world.unix();
    let info = client
        .call("supervisor.getProcessInfo", vec![text("a")])
        .unwrap();
    assert_eq!(
        keys(&info),
        "name group start stop now state statename spawnerr exitstatus logfile stdout_logfile stderr_logfile pid description"
    );
    assert_eq!(info.member("now"), Some(&Value::Int(i64::from(i32::MAX))));
    let all = client
        .call("supervisor.getAllProcessInfo", Vec::new())
        .unwrap();
    assert_eq!(all.as_array().unwrap().len(), 4);

    let all = client
        .call("supervisor.getAllConfigInfo", Vec::new())
        .unwrap();
    let config = &all.as_array().unwrap()[0];
    assert_eq!(
        keys(config),
        "autostart directory uid command exitcodes group group_prio inuse killasgroup name process_prio redirect_stderr startretries startsecs stdout_capture_maxbytes stdout_events_enabled stdout_logfile stdout_logfile_backups stdout_logfile_maxbytes stdout_syslog stopsignal stopwaitsecs stderr_capture_maxbytes stderr_events_enabled stderr_logfile stderr_logfile_backups stderr_logfile_maxbytes stderr_syslog serverurl"
    );
    for absent in ["directory", "uid", "serverurl"] {
        assert_eq!(config.member(absent), Some(&text("none")), "{absent}");
    }
    let codes = Value::Array(vec![Value::Int(0), Value::Int(2)]);
    assert_eq!(config.member("exitcodes"), Some(&codes));
}

#[test]
fn logs_are_read_whatever_is_in_them() {
    let world = World::new();
    std::fs::write(world.path("a.out"), b"0123\x1b[31m\xc3").unwrap();
    let mut client = world.unix();
    let mut read = |offset: i64, length: i64| {
        let params = vec![text("a"), Value::Int(offset), Value::Int(length)];
        client.call("supervisor.readProcessStdoutLog", params)
    };
    assert_eq!(read(0, 4), Ok(text("0123")));
    assert_eq!(read(4, 0), Ok(text("\u{fffd}[31m\u{fffd}")));
    assert_eq!(read(-1, 0), Ok(text("\u{fffd}")));
    assert_eq!(read(1000, 0), Ok(text("")));
    assert_eq!(read(-1, 1), fault(3, "BAD_ARGUMENTS"));
    assert_eq!(read(0, -1), fault(3, "BAD_ARGUMENTS"));

    let numbers = vec![text("a"), text("2"), Value::Double(2.9)];
    assert_eq!(
        client.call("supervisor.readProcessLog", numbers),
        Ok(text("23"))
    );
    let tail = client.call(
        "supervisor.tailProcessLog",
        vec![text("a"), Value::Int(0), Value::Int(4)],
    );
    let items = tail.unwrap();
    let items = items.as_array().unwrap();
    assert_eq!(items[1..], [Value::Int(10), Value::Bool(true)]);
    let none = Value::Array(vec![text(""), Value::Int(0), Value::Bool(false)]);
    let params = vec![text("a"), Value::Int(7), Value::Int(7)];
    assert_eq!(
        client.call("supervisor.tailProcessStderrLog", params.clone()),
        Ok(none)
    );
    assert_eq!(
        client.call("supervisor.readProcessStderrLog", params),
        fault(20, "NO_FILE")
    );
    let path = world.path("main.log");
    assert_eq!(
        client.call("supervisor.readLog", vec![Value::Int(0), Value::Int(0)]),
        fault(20, &format!("NO_FILE: {}", path.display()))
    );
    std::fs::write(path, "main").unwrap();
    assert_eq!(
        client.call(
            "supervisor.readMainLog",
            vec![Value::Int(-2), Value::Int(0)]
        ),
        Ok(text("in"))
    );
}

#[test]
fn several_calls_are_made_one_after_the_other() {
    let world = World::new();
    let mut client = world.unix();
    let member = |name: &str, params: Vec<Value>| {
        Value::members([("methodName", text(name)), ("params", Value::Array(params))])
    };
    let fault = |code: i64, text: &str| {
        Value::members([
            ("faultCode", Value::Int(code)),
            ("faultString", Value::text(text)),
        ])
    };
    let calls = Value::Array(vec![
        Value::members([("methodName", text("supervisor.getPID"))]),
        member("supervisor.getPID", vec![Value::Int(1)]),
        member("nope", vec![]),
        member("system.multicall", vec![Value::Array(Vec::new())]),
        Value::Struct(Vec::new()),
        Value::Int(5),
        Value::members([("methodName", Value::Int(5))]),
        Value::members([
            ("methodName", text("supervisor.getPID")),
            ("params", Value::Struct(Vec::new())),
        ]),
        Value::members([
            ("methodName", text("supervisor.getPID")),
            ("params", Value::Int(5)),
        ]),
        member("supervisor.stopProcess", vec![text("a")]),
        member("supervisor.startProcess", vec![text("a")]),
    ]);
    assert_eq!(
        client.call("system.multicall", vec![calls]),
        Ok(Value::Array(vec![
            Value::Int(4711),
            fault(2, "INCORRECT_PARAMETERS"),
            fault(1, "UNKNOWN_METHOD"),
            fault(
                2,
                "INCORRECT_PARAMETERS: Recursive system.multicall forbidden"
            ),
            fault(2, "INCORRECT_PARAMETERS: No methodName"),
            fault(2, "INCORRECT_PARAMETERS: No methodName"),
            fault(2, "INCORRECT_PARAMETERS"),
            Value::Int(4711),
            fault(2, "INCORRECT_PARAMETERS"),
            Value::Bool(true),
            Value::Bool(true),
        ]))
    );
    assert_eq!(world.shared.calls(), ["stop a true", "start a true"]);
}

#[test]
fn who_asks_for_everything_many_times_gets_what_there_is_room_for() {
    let world = World::new();
    std::fs::write(world.path("a.out"), "x".repeat(12 << 20)).unwrap();
    let member = Value::members([
        ("methodName", text("supervisor.readProcessLog")),
        (
            "params",
            Value::Array(vec![text("a"), Value::Int(0), Value::Int(0)]),
        ),
    ]);
    let calls = Value::Array(vec![member; 500]);
    let answer = world.unix().call("system.multicall", vec![calls]).unwrap();
    let results = answer.as_array().unwrap();
    assert_eq!(results.len(), 500);
    let read = results
        .iter()
        .filter(|result| result.as_text().is_some())
        .count();
    assert!(read < 10, "{read}");
    assert_eq!(results[499].member("faultCode"), Some(&Value::Int(30)));
}

#[test]
fn an_ending_supervisor_takes_no_orders() {
    let world = World::new();
    world.shared.become_state(DaemonState::Shutdown);
    let mut client = world.unix();
    let refused = fault(6, "SHUTDOWN_STATE");
    for method in [
        "getState",
        "getPID",
        "getAllProcessInfo",
        "shutdown",
        "startAllProcesses",
    ] {
        assert_eq!(
            client.call(&format!("supervisor.{method}"), Vec::new()),
            refused,
            "{method}"
        );
    }
    let params = vec![text("a"), text("b")];
    assert_eq!(
        client.call("supervisor.sendRemoteCommEvent", params),
        Ok(Value::Bool(true))
    );
    assert!(client.call("system.listMethods", Vec::new()).is_ok());
    assert!(client.call("ward.explain", vec![text("a")]).is_ok());
    assert_eq!(
        client.call("supervisor.getPID", vec![text("x")]),
        fault(2, "INCORRECT_PARAMETERS")
    );
}

#[test]
fn without_its_section_the_namespace_is_not_there() {
    let world = World::with(|settings| settings.supervisor_namespace = false, None);
    let mut client = world.unix();
    assert_eq!(
        client.call("supervisor.getPID", Vec::new()),
        fault(1, "UNKNOWN_METHOD")
    );
    let listed = client.call("system.listMethods", Vec::new()).unwrap();
    assert_eq!(listed.as_array().unwrap()[0], text("system.listMethods"));
    assert_eq!(
        client.call("system.methodHelp", vec![text("supervisor.getPID")]),
        fault(4, "SIGNATURE_UNSUPPORTED")
    );
}
