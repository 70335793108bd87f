//! With hostile eyes: who has not signed in, who guesses, who sends what was never meant to be sent.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::hostile::stage;
use crate::world::{Answer, LIMIT, People, World, job};

/// Addresses below which there is everything.
const READ: [&str; 22] = [
    "/job/dir/",
    "/job/dir/job/a/",
    "/job/dir/job/a/ws/",
    "/job/dir/job/a/config.xml",
    "/job/dir/job/a/scmPollLog",
    "/job/dir/job/a/badge.svg",
    "/job/dir/job/a/ward/builds",
    "/job/dir/job/a/1/",
    "/job/dir/job/a/1/console",
    "/job/dir/job/a/1/consoleText",
    "/job/dir/job/a/1/logText/progressiveText",
    "/job/dir/job/a/1/artifact/out/a%20b.txt",
    "/job/dir/job/a/1/artifact/*zip*/a.zip",
    "/job/dir/job/a/1/testReport/",
    "/job/dir/job/a/1/ward/events",
    "/job/dir/job/a/1/ward/log",
    "/job/dir/job/a/2/ward/processes",
    "/queue/",
    "/queue/api/json",
    "/programs/",
    "/view/all/",
    "/ward/api/jobs",
];

#[test]
fn who_has_not_signed_in_gets_nothing_by_any_way() {
    let world = stage(People::usual());
    let _ = world.memory.calls();
    for path in READ {
        for method in ["GET", "HEAD", "POST", "DELETE", "PUT", "OPTIONS", "TRACE"] {
            for accept in ["*/*", "text/html"] {
                let ask = world.ask(method, path).header("Accept", accept);
                let answer = ask.send();
                let status = answer.status;
                assert!(
                    matches!(status, 303 | 403 | 405),
                    "{method} {path}: {status}"
                );
                let text = answer.text();
                assert!(
                    !text.contains("alert(1)") && !text.contains("a b.txt"),
                    "{method} {path}: {text}"
                );
                if let Some(place) = answer.header("Location") {
                    assert!(place.starts_with("/sign-in?from=%2F"), "{path}: {place}");
                }
            }
        }
    }
    for cookie in [
        "ward_session=",
        "ward_session=session99",
        "ward_session=\"session0\"",
        "ward_session=session0 ; Path=/",
    ] {
        let ask = world.ask("GET", "/api/json").header("Cookie", cookie);
        assert_eq!(ask.send().status, 403, "{cookie}");
    }
    assert_eq!(world.memory.calls(), Vec::<String>::new());
}

fn sign_in(world: &World, form: &str) -> Answer {
    world.ask("POST", "/sign-in").form(form).send()
}

#[test]
fn the_page_to_sign_in_at_holds_nothing_of_others() {
    let world = World::new();
    let page = world
        .ask(
            "GET",
            "/sign-in?failed=1&from=%2F%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        )
        .send();
    let text = page.text();
    assert_eq!(page.status, 200);
    assert!(!text.contains("<script>"), "{text}");
    assert!(
        text.contains("not the name and password of anybody"),
        "{text}"
    );
    assert!(text.contains("type=\"password\"") && text.contains("method=\"post\""));
    let policy = page.header("Content-Security-Policy").unwrap_or_default();
    assert!(policy.contains("form-action 'self'"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(page.header("Cache-Control"), Some("no-store"));
    assert_eq!(page.header("X-Frame-Options"), Some("DENY"));
    for form in [
        "",
        "user=alice",
        "password=password-of-alice",
        "user=alice&password=",
        "user=alice&password=password-of-bob",
        "user=ALICE&password=password-of-alice",
        "user=alice%00&password=password-of-alice",
        "user=nobody&password=password-of-nobody",
    ] {
        let answer = sign_in(&world, form);
        let place = answer.header("Location");
        assert_eq!(
            (answer.status, place),
            (303, Some("/sign-in?failed=1&from=%2F")),
            "{form}"
        );
        assert_eq!(answer.header("Set-Cookie"), None, "{form}");
    }
    // What was said is not said again.
    let wrong = sign_in(&world, "user=alice&password=hunter2&from=%2Fjob%2Fx%2F");
    assert!(!format!("{wrong:?}").contains("hunter2"), "{wrong:?}");
}

#[test]
fn a_form_of_another_site_signs_nobody_in() {
    let world = World::new();
    let form = "user=alice&password=password-of-alice";
    for (name, value) in [
        ("Origin", "http://evil"),
        ("Origin", "null"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
    ] {
        let ask = world.ask("POST", "/sign-in").header(name, value);
        let answer = ask.form(form).send();
        assert_eq!(answer.status, 403, "{name}: {value}");
        assert_eq!(answer.header("Set-Cookie"), None);
    }
    let by_link = world.ask("GET", &format!("/sign-in?{form}")).send();
    assert_eq!((by_link.status, by_link.header("Set-Cookie")), (200, None));
    let own = world
        .ask("POST", "/sign-in")
        .header("Origin", "http://ci:8080");
    assert_eq!(own.form(form).send().status, 303);
}

#[test]
fn nobody_is_sent_to_another_site() {
    let world = World::new();
    for (number, from) in [
        "%2F%2Fevil",
        "%2F%5Cevil",
        "%5C%5Cevil",
        "https%3A%2F%2Fevil",
        "javascript%3Aalert(1)",
        "evil",
        "%2F%09%2Fevil",
        "%2F%0D%0ASet-Cookie%3A+x%3Dy",
        "%2F%0Aevil",
        "%2F%00",
        "%2F%C2%A0evil",
        "",
    ]
    .into_iter()
    .enumerate()
    {
        let form = format!("user=alice&password=password-of-alice&from={from}");
        let answer = sign_in(&world, &form);
        assert_eq!(
            (answer.status, answer.header("Location")),
            (303, Some("/")),
            "{from}"
        );
        let cookie = answer.header("Set-Cookie").unwrap_or_default();
        assert!(cookie.starts_with("ward_session=session"), "{cookie}");
        // Each another's: who guesses the same one's again and again has to wait.
        let wrong = sign_in(&world, &format!("user=u{number}&password=x&from={from}"));
        assert_eq!(wrong.header("Location"), Some("/sign-in?failed=1&from=%2F"));
    }
    world.memory.put(job("a"));
    for place in ["//evil", "%2F%5Cevil", "http://evil/", "%2Fa%0D%0AX:%20y"] {
        let answer = world.post(&format!("/job/a/disable?ward-redirect={place}"));
        let to = answer.header("Location").unwrap_or_default();
        assert_eq!(
            (answer.status, to),
            (302, "http://ci:8080/job/a/"),
            "{place}"
        );
        assert_eq!(answer.header("X"), None);
    }
    for path in ["//evil/job/a", "/job/a%2F..%2F..%2Fevil", "/%5Cevil/x"] {
        let answer = world.get(path);
        let to = answer.header("Location").unwrap_or_default();
        assert!(
            to.is_empty() || to.starts_with("http://ci:8080/"),
            "{path}: {to}"
        );
    }
}

#[test]
fn a_session_goes_over_tls_where_the_site_does() {
    let form = "user=alice&password=password-of-alice";
    let plain = "ward_session=session0; Path=/; HttpOnly; SameSite=Strict";
    let secure = "ward_session=session0; Path=/; HttpOnly; SameSite=Strict; Secure";
    for (url, host, proto, cookie) in [
        (None, "ci", None, plain),
        (None, "ci", Some("https"), secure),
        (None, "ci", Some("httpsx"), plain),
        (Some("https://ci.example/"), "ci.example", None, secure),
        (Some("https://ci.example/ward"), "ci.example", None, secure),
        (Some("https://ci.example/"), "127.0.0.1:8080", None, plain),
        (Some("http://ci.example/"), "ci.example", None, plain),
    ] {
        let url = url.map(str::to_owned);
        let world = World::with(|settings| settings.url = url, People::usual());
        let mut ask = world.ask("POST", "/sign-in").header("Host", host);
        if let Some(proto) = proto {
            ask = ask.header("X-Forwarded-Proto", proto);
        }
        let answer = ask.form(form).send();
        assert_eq!(
            answer.header("Set-Cookie"),
            Some(cookie),
            "{host} {proto:?}"
        );
    }
}

#[test]
fn so_many_want_to_sign_in_and_no_more() {
    const SEATS: usize = 256;
    const CAME: usize = 300;
    let mut people = People::usual();
    let gate = Arc::new(Mutex::new(()));
    people.gate = Some(Arc::clone(&gate));
    let world = World::with(|settings| settings.limits.connections = 400, people);
    world.memory.put(job("a"));
    let signed_in = sign_in(&world, "user=alice&password=password-of-alice");
    let cookie = signed_in
        .header("Set-Cookie")
        .unwrap_or_default()
        .to_owned();
    let closed = gate.lock().expect("not poisoned");
    let mut guests: Vec<(TcpStream, Vec<u8>)> = (0..CAME)
        .map(|number| {
            let mut guest = TcpStream::connect(("127.0.0.1", world.port)).expect("connected");
            let form = format!("user=guess{number}&password=x");
            let asked = format!(
                "POST /sign-in HTTP/1.1\r\nHost: ci\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
                form.len()
            );
            guest.write_all(asked.as_bytes()).expect("asked");
            guest.set_nonblocking(true).expect("set");
            (guest, Vec::new())
        })
        .collect();
    let turned_away = heard(&mut guests, "HTTP/1.1 429 ", CAME - SEATS);
    assert_eq!(turned_away, CAME - SEATS);
    // Who is inside is not kept out by them.
    let name = cookie.split(';').next().unwrap_or_default();
    let inside = world.ask("GET", "/api/json").header("Cookie", name).send();
    assert_eq!(inside.status, 200);
    drop(closed);
    assert_eq!(heard(&mut guests, "HTTP/1.1 303 ", SEATS), SEATS);
}

/// How many guests have heard this, when so many have or none more will.
fn heard(guests: &mut [(TcpStream, Vec<u8>)], begin: &str, wanted: usize) -> usize {
    let end = Instant::now() + LIMIT;
    loop {
        let mut count = 0;
        for (guest, heard) in guests.iter_mut() {
            let mut piece = [0; 1024];
            match guest.read(&mut piece) {
                Ok(read) => heard.extend(piece.iter().take(read)),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            count += usize::from(heard.starts_with(begin.as_bytes()));
        }
        if count >= wanted || Instant::now() > end {
            return count;
        }
        std::thread::yield_now();
    }
}

#[test]
fn what_is_too_large_is_turned_away() {
    let world = World::new();
    world.memory.put(job("a"));
    let long = "a".repeat(20_000);
    let header = world.ask("GET", "/api/json").token("alice");
    assert_eq!(header.header("X-Long", &long).send().status, 431);
    let path = world.ask("GET", &format!("/job/{long}/")).token("alice");
    assert!(matches!(path.send().status, 414 | 431));
    let mut many = world.ask("GET", "/api/json").token("alice");
    for number in 0..500 {
        many = many.header(&format!("X-{number}"), "1");
    }
    assert_eq!(many.send().status, 431);
    let large = vec![b'a'; 5 << 20];
    let posted = world.ask("POST", "/createItem?name=x").token("alice");
    let posted = posted.body("text/xml", large.clone()).send();
    assert_eq!(posted.status, 413);
    let stranger = world.ask("POST", "/createItem?name=x");
    assert_eq!(stranger.body("text/xml", large).send().status, 403);
    let deep = format!("/job{}/", "/job".repeat(3000));
    assert!(world.get(&deep).status >= 400);
    let fields = format!("a=1{}", "&a=1".repeat(100_000));
    let form = world
        .ask("POST", "/job/a/build")
        .token("alice")
        .form(&fields);
    assert_eq!(form.send().status, 201);
    // It is well after all of it.
    assert_eq!(world.get("/api/json").status, 200);
}

#[test]
fn what_others_say_of_themselves_is_in_no_header_and_no_page() {
    let world = stage(People::usual());
    let evil = "a\"><script>alert(1)</script>";
    for name in ["Host", "X-Forwarded-Host", "X-Forwarded-Proto"] {
        for path in ["/api/json", "/", "/job/dir/job/a/1/", "/job/dir/job/a"] {
            let answer = world
                .ask("GET", path)
                .token("alice")
                .header(name, evil)
                .send();
            let all = format!("{answer:?}{}", answer.text());
            assert!(!all.contains("<script>alert"), "{name} {path}: {all}");
        }
    }
    for path in [
        "/job/%0d%0aX-Evil:%201/",
        "/job/x%0d%0aX-Evil:%201/api/json",
        "/job/dir/job/a/1/artifact/%0d%0aX-Evil:%201",
        "/view/%0d%0aX-Evil:%201/",
    ] {
        let answer = world.get(path);
        assert_eq!(
            (answer.status, answer.header("X-Evil")),
            (404, None),
            "{path}"
        );
    }
    for path in [
        "/static/%2e%2e/style.css",
        "/static/..%2fstyle.css",
        "/static/%2fetc%2fpasswd",
        "/static/../../../etc/passwd",
        "/job/dir/job/a/..%2f..%2fa/1/",
        "/job/dir%2fa/api/json",
        "/job/%2e%2e/api/json",
        "/job/dir/job/a/%2e%2e/1/consoleText",
    ] {
        assert_eq!(world.get(path).status, 404, "{path}");
    }
}

#[test]
fn nothing_is_changed_by_looking_or_without_a_crumb() {
    let world = stage(People::usual());
    sign_in(&world, "user=alice&password=password-of-alice");
    let _ = world.memory.calls();
    for path in [
        "/job/dir/job/a/disable",
        "/job/dir/job/a/enable",
        "/job/dir/job/a/build",
        "/job/dir/job/a/buildWithParameters",
        "/job/dir/job/a/doDelete",
        "/job/dir/job/a/doRename?newName=b",
        "/job/dir/job/a/doWipeOutWorkspace",
        "/job/dir/job/a/2/stop",
        "/job/dir/job/a/2/kill",
        "/job/dir/job/a/1/doDelete",
        "/job/dir/job/a/1/toggleLogKeep",
        "/job/dir/job/a/ward/start",
        "/job/dir/job/a/2/ward/stop",
        "/job/dir/job/a/2/ward/force",
        "/job/dir/doDelete",
        "/job/dir/doRename?newName=b",
        "/queue/ward/cancel/9",
        "/queue/cancelItem?id=9",
        "/createItem?name=x&mode=hudson.model.FreeStyleProject",
        "/createView?name=x",
        "/view/all/doDelete",
        "/quietDown",
        "/exit",
    ] {
        let looked = world.get(path);
        assert_eq!(looked.status, 405, "{path}: {}", looked.text());
        let session = |crumb: Option<&str>| {
            let mut ask = world.ask("POST", path);
            ask = ask.header("Cookie", "ward_session=session0");
            if let Some(crumb) = crumb {
                ask = ask.header("Jenkins-Crumb", crumb);
            }
            ask.send().status
        };
        for crumb in [
            None,
            Some(""),
            Some("crumb-of-bob"),
            Some("crumb-of-alice ;"),
        ] {
            assert_eq!(session(crumb), 403, "{path} {crumb:?}");
        }
    }
    let deleted = world.ask("DELETE", "/job/dir/job/a");
    let deleted = deleted.header("Cookie", "ward_session=session0").send();
    assert_eq!(deleted.status, 403);
    assert_eq!(world.memory.calls(), Vec::<String>::new());
    assert!(world.memory.held().requests.is_empty());
}
