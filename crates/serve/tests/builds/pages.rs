//! The pages: nothing on them can act, every link leads somewhere, forms do what their buttons say, and a
//! console is there as it is written.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use ward_build::api::Role;
use ward_model::build::{BuildResult, Cause};

use crate::hostile::stage;
use crate::world::{Answer, Ask, People, World, build, finished, job};

const PAGES: [&str; 10] = [
    "/",
    "/queue/",
    "/job/dir/",
    "/job/dir/job/a/",
    "/job/dir/job/a/?before=2",
    "/job/dir/job/a/ward/poll",
    "/job/dir/job/a/1/",
    "/job/dir/job/a/2/",
    "/job/dir/job/a/1/testReport/",
    "/job/dir/job/a/2/console",
];

#[test]
fn nothing_on_a_page_can_act() {
    let world = stage(People::usual());
    for path in PAGES {
        let page = world.get(path);
        assert_eq!(page.status, 200, "{path}");
        let text = page.text();
        assert!(
            !text.contains("<script>") && !text.contains("<img src=x"),
            "{path}: {text}"
        );
        assert!(!text.contains("sesame"), "a secret: {path}: {text}");
        assert!(
            !text.contains(" style=") && !text.contains(" onclick"),
            "{path}"
        );
        let policy = page.header("Content-Security-Policy").unwrap_or_default();
        assert!(policy.contains("script-src 'self'"), "{path}: {policy}");
    }
    for (path, kind) in [
        ("/static/style.css", "text/css"),
        ("/static/live.js", "text/javascript"),
        ("/static/icon.svg", "image/svg+xml"),
        ("/job/dir/job/a/badge.svg", "image/svg+xml"),
    ] {
        let file = world.get(path);
        assert_eq!(file.status, 200, "{path}");
        assert!(
            file.header("Content-Type")
                .is_some_and(|it| it.starts_with(kind)),
            "{path}"
        );
    }
    for path in [
        "/job/x/",
        "/job/dir/job/a/9/",
        "/job/dir/job/a/x",
        "/static/x",
        "/view/x/",
    ] {
        assert_eq!(world.get(path).status, 404, "{path}");
    }
}

/// Where a link leads, seen from a page; nothing for those that lead elsewhere.
fn resolved(page: &str, link: &str) -> Option<String> {
    let link = link
        .split('#')
        .next()
        .unwrap_or_default()
        .replace("&amp;", "&");
    if link.contains("://") {
        return None;
    }
    let mut parts: Vec<&str> = page
        .split('?')
        .next()
        .unwrap_or_default()
        .split('/')
        .collect();
    parts.pop();
    let (path, query) = link
        .split_once('?')
        .map_or((link.as_str(), ""), |(p, q)| (p, q));
    if path.is_empty() {
        return None;
    }
    for part in path.split('/') {
        match part {
            "." => {}
            ".." => {
                assert!(parts.len() > 1, "{page}: {link} leads above the root");
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let mut place = parts.join("/");
    if !place.starts_with('/') {
        place.insert(0, '/');
    }
    if !query.is_empty() {
        place = format!("{place}?{query}");
    }
    Some(place)
}

#[test]
fn every_link_leads_somewhere() {
    let world = stage(People::usual());
    let mut seen = BTreeSet::new();
    let mut open: Vec<String> = PAGES.map(str::to_owned).to_vec();
    while let Some(place) = open.pop() {
        if seen.len() > 200 || !seen.insert(place.clone()) {
            continue;
        }
        let answer = world.get(&place);
        assert!(answer.status < 400, "{place}: {}", answer.status);
        let is_page = answer
            .header("Content-Type")
            .is_some_and(|kind| kind.starts_with("text/html"));
        if !is_page {
            continue;
        }
        let text = answer.text();
        for mark in ["href=\"", "src=\""] {
            for rest in text.split(mark).skip(1) {
                let link = rest.split('"').next().unwrap_or_default();
                open.extend(resolved(&place, link));
            }
        }
    }
    for expected in [
        "/job/dir/job/a/1/consoleText",
        "/job/dir/job/a/1/artifact/out/a%20b.txt",
        "/static/live.js",
        "/job/dir/job/a/badge.svg",
    ] {
        assert!(seen.contains(expected), "{expected} is not among {seen:?}");
    }
}

/// With a browser's session and its crumb.
fn press(world: &World, user: &str, path: &str, form: &str) -> Answer {
    let signed_in = world
        .ask("POST", "/sign-in")
        .form(&format!("user={user}&password=password-of-{user}"))
        .send();
    let cookie = signed_in
        .header("Set-Cookie")
        .expect("a session")
        .to_owned();
    let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
    world
        .ask("POST", path)
        .header("Cookie", &cookie)
        .form(&format!("{form}&Jenkins-Crumb=crumb-of-{user}"))
        .send()
}

#[test]
fn buttons_do_what_they_say() {
    let world = stage(People::usual());
    let _ = world.memory.calls();
    for (user, path, back, call) in [
        (
            "bob",
            "/job/dir/job/a/2/ward/stop",
            "../../../../../../job/dir/job/a/2/",
            "stop 2 bob false dir/a",
        ),
        (
            "bob",
            "/job/dir/job/a/2/ward/force",
            "../../../../../../job/dir/job/a/2/",
            "stop 2 bob true dir/a",
        ),
        (
            "bob",
            "/job/dir/job/a/1/ward/keep",
            "../../../../../../job/dir/job/a/1/",
            "keep 1 true dir/a",
        ),
        (
            "alice",
            "/job/dir/job/a/1/ward/delete",
            "../../../../../../job/dir/job/a/",
            "delete 1 dir/a",
        ),
        (
            "bob",
            "/job/dir/job/a/ward/poll",
            "../../../../../job/dir/job/a/",
            "poll dir/a",
        ),
        (
            "alice",
            "/job/dir/job/a/ward/disable",
            "../../../../../job/dir/job/a/",
            "disable dir/a",
        ),
        (
            "alice",
            "/job/dir/job/a/ward/wipe",
            "../../../../../job/dir/job/a/",
            "wipe dir/a",
        ),
        (
            "bob",
            "/queue/ward/cancel/9",
            "../../../queue/",
            "cancel 9 bob",
        ),
    ] {
        let answer = press(&world, user, path, "");
        assert_eq!(answer.status, 303, "{path}: {}", answer.text());
        assert_eq!(answer.header("Location"), Some(back));
        assert_eq!(world.memory.calls(), [call], "{path}");
    }
    for (user, path) in [
        ("carol", "/job/dir/job/a/2/ward/stop"),
        ("carol", "/job/dir/job/a/ward/start"),
        ("carol", "/queue/ward/cancel/9"),
        ("bob", "/job/dir/job/a/1/ward/delete"),
        ("bob", "/job/dir/job/a/ward/disable"),
    ] {
        assert_eq!(press(&world, user, path, "").status, 403, "{user} {path}");
        assert_eq!(world.memory.calls(), Vec::<String>::new());
        let looked = world.get(path).status;
        assert_eq!(looked, 405, "{path}");
    }
    let without = world
        .ask("POST", "/job/dir/job/a/2/ward/stop")
        .basic("bob", "password-of-bob")
        .send();
    assert_eq!(without.status, 403, "without a crumb");
    assert!(world.memory.held().requests.is_empty());
}

#[test]
fn a_form_gives_parameters_and_a_button_alone_gives_none() {
    let world = stage(People::usual());
    let path = "/job/dir/job/a/ward/start";
    let form = "given=1&p.TEXT=x+y&p.LINES=a%0D%0Ab&p.CHOICE=b&p.SECRET=&p.OTHER=z";
    assert_eq!(press(&world, "bob", path, form).status, 303);
    assert_eq!(press(&world, "bob", path, "").status, 303);
    let requests = std::mem::take(&mut world.memory.held().requests);
    let given: Vec<_> = requests
        .iter()
        .map(|request| {
            let pairs = request.parameters.iter();
            pairs
                .map(|(name, value)| format!("{name}={value}"))
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(
        given,
        [
            vec!["TEXT=x y", "LINES=a\nb", "FLAG=false", "CHOICE=b"],
            vec![]
        ]
    );
    assert!(requests.iter().all(|it| it.cause
        == Cause::User {
            user: "bob".to_owned()
        }));
}

#[test]
fn a_console_is_told_as_it_is_written_and_ends_once() {
    let world = World::new();
    world.memory.put(job("a"));
    world.memory.put_build(build("a", 1), b"one\n\x1b[1mtwo");
    let log = world.memory.held().builds[&("a".to_owned(), 1)].log.clone();
    let writer = std::thread::scope(|scope| {
        let reader = scope.spawn(|| world.get("/job/a/1/ward/events?start=4"));
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .open(&log)
            .expect("the log");
        file.write_all(b" and\xc3").expect("written");
        file.write_all(b"\xa9\nthree <b>\n").expect("written");
        let whole = std::fs::read(&log).expect("the log");
        let over = finished("a", 1, BuildResult::Success, whole.len() as u64);
        world.memory.put_build(over, &whole);
        reader.join().expect("it read")
    });
    assert!(
        writer
            .header("Content-Type")
            .is_some_and(|it| it.starts_with("text/event-stream"))
    );
    let text = writer.text();
    let pieces: Vec<serde_json::Value> = text
        .split("\n\n")
        .filter(|event| event.starts_with("event: text"))
        .filter_map(|event| event.split_once("data: "))
        .map(|(_, data)| serde_json::from_str(data).expect("JSON"))
        .collect();
    let mut at = 4;
    let mut seen = String::new();
    for piece in &pieces {
        assert_eq!(piece["from"], at, "{text}");
        at = piece["to"].as_u64().expect("an offset");
        // As the page does it: what goes on with a line that was told before its end is put into that.
        let head = piece["head"].as_str().unwrap_or_default();
        let place = seen.rfind("</div>").unwrap_or(seen.len());
        seen.insert_str(place, head);
        seen.push_str(piece["lines"].as_str().unwrap_or_default());
    }
    assert_eq!(at, std::fs::metadata(&log).expect("the log").len());
    assert!(
        seen.contains("two") && seen.contains("three &lt;b&gt;"),
        "{seen}"
    );
    assert!(
        seen.replace("<span class=\"bo \">", "")
            .replace("</span>", "")
            .contains("two and\u{e9}"),
        "{seen}"
    );
    assert_eq!(text.matches("event: end").count(), 1, "{text}");
    assert!(text.trim_end().ends_with("data: {}"), "{text}");
    let again = world
        .ask("GET", "/job/a/1/ward/events?start=0")
        .header("Last-Event-ID", &at.to_string())
        .token("alice")
        .send();
    assert!(!again.text().contains("event: text"), "{}", again.text());
}

#[test]
fn parts_of_a_long_log_fit_together() {
    let world = World::new();
    world.memory.put(job("a"));
    let mut log = Vec::new();
    for number in 0..60_000 {
        log.extend_from_slice(format!("line {number}\n").as_bytes());
    }
    log.extend(std::iter::repeat_n(b'x', 600_000));
    world.memory.put_build(
        finished("a", 1, BuildResult::Success, log.len() as u64),
        &log,
    );
    let mut before = log.len() as u64;
    let mut bytes = 0;
    let mut rounds = 0;
    while before > 0 {
        let part = world
            .get(&format!("/job/a/1/ward/log?before={before}"))
            .json();
        assert_eq!(part["to"], before);
        let from = part["from"].as_u64().expect("an offset");
        assert!(from < before, "{part}");
        bytes += before - from;
        before = from;
        rounds += 1;
    }
    assert_eq!(bytes, log.len() as u64);
    assert!(rounds < 20, "{rounds}");
    let page = world.get("/job/a/1/console?before=200000").text();
    assert!(
        page.contains("Show what comes after") && page.contains("line 100"),
        "{page}"
    );
    for nonsense in [
        "before=x",
        "from=99999999999",
        "before=99999999999",
        "from=-1",
    ] {
        let status = world.get(&format!("/job/a/1/ward/log?{nonsense}")).status;
        assert_eq!(status, 200, "{nonsense}");
    }
}

#[test]
fn who_may_only_read_sees_no_buttons() {
    let mut people = People::usual();
    people.anonymous = Some(Role::Read);
    let world = stage(people);
    for path in PAGES {
        let page = Ask::send(world.ask("GET", path));
        assert_eq!(page.status, 200, "{path}");
        let text = page.text();
        assert!(!text.contains("<button"), "{path}: {text}");
        assert!(text.contains("Sign in"), "{path}");
    }
}

/// What a browser makes of a page in the end, scripts included; nothing, said aloud, without a browser.
fn in_browser(world: &World, path: &str) -> Option<String> {
    let profile = world.directory.path().join("profile");
    let browser = Command::new("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ])
        .args(["--timeout=4000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("http://127.0.0.1:{}{path}", world.port))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    match browser {
        Ok(output) if output.status.success() => {
            Some(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Ok(output) => panic!("chromium: {}", output.status),
        Err(error) => {
            println!("no chromium here: no browser looks at the pages ({error})");
            None
        }
    }
}

#[test]
fn a_browser_shows_what_there_is_and_follows_a_console() {
    let mut people = People::usual();
    people.anonymous = Some(Role::Read);
    let world = stage(people);
    let Some(dom) = in_browser(&world, "/job/dir/job/a/1/") else {
        return;
    };
    // What looked like markup is text, and no script of it ran.
    assert!(dom.contains("&lt;script&gt;alert(1)"), "{dom}");
    assert!(
        !dom.contains("<script>") && !dom.contains("<img src=\"x\""),
        "{dom}"
    );
    assert!(dom.contains("class=\"f1 \""), "colours: {dom}");
    // Times are those of the reader: only the script makes them so.
    assert!(dom.contains(" UTC\">"), "the script ran: {dom}");
    // A console that grows after the page was made.
    world.memory.put(job("b"));
    world.memory.put_build(build("b", 1), b"");
    let log = world.memory.held().builds[&("b".to_owned(), 1)].log.clone();
    let seen = std::thread::scope(|scope| {
        let browser = scope.spawn(|| in_browser(&world, "/job/b/1/"));
        while !browser.is_finished() {
            let mut file = std::fs::OpenOptions::new()
                .append(true)
                .open(&log)
                .expect("the log");
            file.write_all(b"it \x1b[32mgoes\x1b[0m on\n")
                .expect("written");
            let_on();
        }
        browser.join().expect("it ran")
    });
    let dom = seen.expect("a browser");
    assert!(
        dom.matches("<span class=\"f2 \">goes</span>").count() > 1,
        "{dom}"
    );
}

/// Lets the browser get on: how long does not matter.
fn let_on() {
    let (_never, pause) = std::sync::mpsc::channel::<()>();
    let _ = pause.recv_timeout(std::time::Duration::from_millis(50));
}
