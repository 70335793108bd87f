//! Paths, statuses and connections: what Supervisor's server answers, and what it does not.

use ward_serve::xmlrpc::Value;

use crate::world::{World, call, post, until};

const STATE: &[u8] = b"<methodCall><methodName>supervisor.getState</methodName></methodCall>";

#[test]
fn every_path_answers_as_it_did() {
    let world = World::new();
    std::fs::write(world.path("main.log"), "x").unwrap();
    for (request, status) in [
        (post("/RPC2", "", STATE), 200),
        (post("/RPC2/", "", STATE), 200),
        (post("/RPC2?x=1", "", STATE), 200),
        (post("/RPC2", "", b"no xml"), 400),
        (post("/RPC2", "", b""), 400),
        (post("/RPC2", "", b"<methodCall/>"), 400),
        (b"GET /RPC2 HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), 400),
        (b"POST /RPC2 HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), 411),
        (
            b"POST /RPC2 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                .to_vec(),
            411,
        ),
        (b"GET /ok.html HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), 200),
        (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), 200),
        (b"GET /index.html HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), 200),
        (
            b"GET /tail.html?processname=a HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(),
            200,
        ),
        (
            b"GET /stylesheets/supervisor.css HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(),
            200,
        ),
        (
            b"GET /images/state0.gif HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(),
            200,
        ),
        (b"GET /images/ HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), 404),
        (b"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), 404),
        (
            b"GET /../../etc/passwd HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(),
            404,
        ),
        (
            b"GET /images/%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(),
            404,
        ),
        (
            b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n".to_vec(),
            400,
        ),
        (b"GET /logtail HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), 404),
        (b"GET /logtail/ HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), 404),
        (
            b"GET /logtail/nobody HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(),
            404,
        ),
        // There is none yet.
        (b"GET /logtail/a HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), 404),
        (
            b"GET /logtail/a/stderr HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(),
            404,
        ),
        (
            b"GET /logtail/a/other HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(),
            404,
        ),
        (
            b"GET /logtail/..%2f..%2fmain.log HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(),
            404,
        ),
        (
            b"GET /logtail/a%2f..%2fmain.log HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(),
            404,
        ),
        (
            b"GET /logtail/../main.log HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(),
            404,
        ),
        (
            b"POST /logtail/a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n".to_vec(),
            400,
        ),
        (
            b"POST /mainlogtail HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n".to_vec(),
            400,
        ),
        (b"NONSENSE\r\n\r\n".to_vec(), 400),
    ] {
        let shown = String::from_utf8_lossy(&request).into_owned();
        let answer = world.tcp().ask(&request);
        assert_eq!(answer.status, status, "{shown}");
        if !shown.starts_with("NONSENSE") {
            assert_eq!(answer.header("server"), Some("Medusa/1.12"), "{shown}");
        }
        assert!(answer.header("date").is_some(), "{shown}");
        assert_eq!(world.unix().ask(&request).status, status, "{shown}");
    }
}

#[test]
fn connections_are_kept_as_the_version_says() {
    let world = World::new();
    let mut client = world.tcp();
    for _ in 0..3 {
        assert_eq!(
            client.call("supervisor.getPID", Vec::new()),
            Ok(Value::Int(4711))
        );
    }
    // Two at once, and their answers in order.
    let mut both = call("supervisor.getPID", Vec::new());
    both.extend(call("supervisor.getAPIVersion", Vec::new()));
    client.say(both);
    assert!(client.answer().unwrap().text().contains("4711"));
    assert!(client.answer().unwrap().text().contains("3.0"));
    let last = client.ask("GET /ok.html HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_eq!(last.text(), "OK");
    assert!(client.is_ended());

    let mut old = world.tcp();
    assert_eq!(old.ask("GET /ok.html HTTP/1.0\r\n\r\n").status, 200);
    assert!(old.is_ended());

    let mut kept = world.tcp();
    let answer = kept.ask("GET /ok.html HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(
        answer
            .header("connection")
            .map(str::to_ascii_lowercase)
            .as_deref(),
        Some("keep-alive")
    );
    assert_eq!(kept.ask("GET /ok.html HTTP/1.0\r\n\r\n").status, 200);
}

#[test]
fn nobody_enters_without_the_password() {
    let world = World::with(
        |_| {},
        Some(("user", "{SHA}82ab876d1387bfafe46cc1c8a2ef074eae50cb1d")),
    );
    std::fs::write(world.path("a.out"), "secret").unwrap();
    let paths = [
        "/",
        "/ok.html",
        "/RPC2",
        "/logtail/a",
        "/mainlogtail",
        "/stylesheets/supervisor.css",
        "/nothing",
    ];
    for path in paths {
        for header in [
            "",
            "Authorization: Basic dXNlcjp3cm9uZw==\r\n",
            "Authorization: Basic dXNlcjo=\r\n",
            "Authorization: Basic OnRoZXBhc3N3b3Jk\r\n",
            "Authorization: Basic dXNlcg==\r\n",
            "Authorization: Bearer dXNlcjp0aGVwYXNzd29yZA==\r\n",
        ] {
            let mut client = world.tcp();
            let answer = client.ask(format!("GET {path} HTTP/1.1\r\nHost: h\r\n{header}\r\n"));
            assert_eq!(answer.status, 401, "{path} {header}");
            assert_eq!(
                answer.header("www-authenticate"),
                Some("Basic realm=\"default\"")
            );
            assert_eq!(answer.header("connection"), Some("close"));
            assert!(client.is_ended(), "{path} {header}");
        }
    }
    let mut client = world.tcp();
    client.say("GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Basic %%%\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 400);

    // user:thepassword
    let right = "Authorization: Basic dXNlcjp0aGVwYXNzd29yZA==\r\n";
    let mut client = world.tcp();
    assert_eq!(client.ask(post("/RPC2", right, STATE)).status, 200);
    assert_eq!(client.ask(post("/RPC2", right, STATE)).status, 200);
    // The socket has no password.
    assert_eq!(world.unix().get("/ok.html").status, 200);
}

#[test]
fn who_waits_holds_up_nobody() {
    let world = World::new();
    let mut waiting: Vec<_> = (0..20).map(|_| world.tcp()).collect();
    for client in &mut waiting {
        client.say(call("supervisor.startProcess", vec![Value::text("slow")]));
    }
    until("all of them have called", || {
        world.shared.calls().len() == 20
    });
    assert_eq!(
        world.unix().call(
            "supervisor.startProcess",
            vec![Value::text("slow"), Value::Bool(false)]
        ),
        Ok(Value::Bool(true))
    );
    // Who goes away while he waits takes nothing with him.
    drop(waiting.pop());
    until("the rest are answered", || {
        world.shared.release.notify_waiters();
        let Some(mut client) = waiting.pop() else {
            return true;
        };
        world.shared.release.notify_waiters();
        assert_eq!(client.answer().unwrap().status, 200);
        false
    });
}

#[test]
fn what_is_too_large_is_not_taken() {
    let world = World::new();
    let mut client = world.tcp();
    client.say("POST /RPC2 HTTP/1.1\r\nHost: h\r\nContent-Length: 999999999999\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 413);
    assert!(client.is_ended());
    let mut client = world.tcp();
    client.say(
        "POST /RPC2 HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999999\r\n\r\n",
    );
    assert_eq!(client.answer().unwrap().status / 100, 4);
    let mut client = world.tcp();
    client.say("POST /RPC2 HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n");
    assert_eq!(client.answer().unwrap().status / 100, 4);

    let mut client = world.tcp();
    client.say(format!(
        "GET /{} HTTP/1.1\r\nHost: h\r\n\r\n",
        "a".repeat(100_000)
    ));
    assert!(client.head().is_none_or(|answer| answer.status / 100 == 4));
    let mut client = world.tcp();
    client.say(format!(
        "GET / HTTP/1.1\r\nHost: h\r\n{}\r\n",
        "A: b\r\n".repeat(5_000)
    ));
    assert!(client.head().is_none_or(|answer| answer.status / 100 == 4));

    // As much as there may be: a megabyte for a program, several at once.
    let input = Value::text("x".repeat(1 << 20));
    let mut clients: Vec<_> = (0..40).map(|_| world.unix()).collect();
    for client in &mut clients {
        client.say(call(
            "supervisor.sendProcessStdin",
            vec![Value::text("a"), input.clone()],
        ));
    }
    for client in &mut clients {
        assert_eq!(client.answer().unwrap().status, 200);
    }
}

#[test]
fn pages_of_others_cannot_have_a_browser_call() {
    let world = World::new();
    for (headers, status) in [
        ("Origin: http://h\r\n", 200),
        ("Sec-Fetch-Site: same-origin\r\n", 200),
        ("Origin: http://elsewhere\r\n", 403),
        ("Origin: null\r\n", 403),
        ("Sec-Fetch-Site: cross-site\r\n", 403),
    ] {
        let answer = world.tcp().ask(post("/RPC2", headers, STATE));
        assert_eq!(answer.status, status, "{headers}");
    }
}

#[test]
fn what_cannot_be_read_is_told_without_saying_what_it_was() {
    let world = World::new();
    let secret = b"<methodCall><methodName>x</methodName><password>hunter2\r\nCRIT forged";
    assert_eq!(world.tcp().ask(post("/RPC2", "", secret)).status, 400);
    until("it is told", || !world.told.lock().unwrap().is_empty());
    let told = world.told.lock().unwrap().join("|");
    assert!(told.contains("XML-RPC request data is invalid"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
    assert!(!told.contains('\n'), "{told}");
}

#[test]
fn no_bytes_end_the_server() {
    let world = World::new();
    // A generator of its own, so that what fails fails again.
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let request = post(
        "/RPC2",
        "Content-Type: text/xml\r\nOrigin: http://h\r\n",
        STATE,
    );
    for round in 0..400 {
        let mut bytes = request.clone();
        for _ in 0..=next() % 8 {
            let at = usize::try_from(next()).unwrap() % bytes.len();
            let byte = next().to_le_bytes()[0];
            match next() % 4 {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => bytes.truncate(at.max(1)),
                _ => bytes.extend_from_within(at..),
            }
        }
        if round % 4 == 0 {
            bytes = (0..200).flat_map(|_| next().to_le_bytes()).collect();
        }
        let mut client = world.tcp();
        client.say(&bytes);
        client.stream().shutdown(std::net::Shutdown::Write).unwrap();
        while client.answer().is_some() {}
    }
    assert_eq!(world.tcp().ask(&request).status, 200);
}
