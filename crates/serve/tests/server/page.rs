//! The status page: what is shown, and what only its own buttons can do.

use crate::world::{World, post, until};

fn token(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"token\" value=\"").expect("a token");
    rest.split('"').next().expect("its end").to_owned()
}

#[test]
fn the_page_shows_everything_and_nothing_as_markup() {
    let world = World::new();
    world
        .shared
        .add("g<i>", "\"><script>alert(1)</script>&\u{202e}");
    std::fs::write(world.path("a.out"), "<b>log</b>\u{1b}[0m").unwrap();
    let mut client = world.tcp();
    let answer = client.get("/?message=%3Cb%3Ehi%3C/b%3E");
    assert_eq!(
        answer.header("content-type"),
        Some("text/html;charset=utf-8")
    );
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(answer.header("x-frame-options"), Some("DENY"));
    assert_eq!(answer.header("set-cookie"), None);
    let page = answer.text();
    for shown in [
        "in &lt;memory&gt;",
        "&lt;b&gt;hi&lt;/b&gt;",
        "tail.html?processname=w%3Aw_0",
        "name=\"start\" value=\"w:w_1\"",
        "name=\"stop\" value=\"w:w_0\"",
        "href=\"logtail/w%3Aw_0/stderr\"",
        "pid 42, uptime 0:00:01",
        "&quot;&gt;&lt;script&gt;",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    for not in [
        "<script",
        "<b>",
        "<i>",
        "style=",
        "onclick",
        "javascript:",
        "\u{202e}",
    ] {
        assert!(!page.contains(not), "{not}");
    }
    let tail = client
        .get("/tail.html?processname=a&limit=99999999999999999999")
        .text();
    assert!(tail.contains("&lt;b&gt;log&lt;/b&gt;\u{fffd}[0m"), "{tail}");
    assert!(
        client
            .get("/tail.html")
            .text()
            .contains("No process name found")
    );
    assert!(
        client
            .get("/tail.html?processname=w:w_0")
            .text()
            .contains("No file")
    );
    assert!(
        client
            .get("/tail.html?processname=no%0Abody")
            .text()
            .contains("BAD_NAME")
    );
    assert!(
        client
            .get("/tail.html?processname=a&channel=stderr")
            .text()
            .contains("No file for a")
    );
    assert_eq!(world.shared.calls(), [""; 0]);
}

#[test]
fn looking_changes_nothing() {
    let world = World::new();
    let mut client = world.tcp();
    for action in [
        "stop",
        "start",
        "restart",
        "clearlog",
        "stopall",
        "restartall",
        "other",
    ] {
        let answer = client.get(&format!("/index.html?processname=a&action={action}"));
        assert_eq!(answer.status, 405, "{action}");
        assert_eq!(answer.header("allow"), Some("POST"));
        assert!(answer.text().contains("status page"));
    }
    assert_eq!(client.get("/index.html?action=refresh").status, 200);
    let head = client.ask(
        "HEAD /ok.html HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".replace("HEAD", "GET"),
    );
    assert_eq!(head.status, 200);
    assert_eq!(world.shared.calls(), [""; 0]);
}

#[test]
fn the_buttons_do_what_they_say() {
    let world = World::new();
    let mut client = world.tcp();
    let token = token(&client.get("/").text());
    let form = "Content-Type: application/x-www-form-urlencoded\r\nOrigin: http://h\r\n";
    for (said, message) in [
        ("start=a", "Process%20a%20started"),
        ("stop=w%3Aw_0", "Process%20w%3Aw_0%20stopped"),
        ("restart=a", "Process%20a%20restarted"),
        ("clearlog=a", "Log%20for%20a%20cleared"),
        ("stopall=all", "All%20stopped"),
        ("restartall=all", "All%20restarted"),
        ("action=stop&processname=a", "Process%20a%20stopped"),
        (
            "start=%0d%0aLocation:%20http://x",
            "No%20such%20process%20named%20%0D%0ALocation%3A%20http%3A%2F%2Fx",
        ),
        ("start=%3Cb%3E", "No%20such%20process%20named%20%3Cb%3E"),
    ] {
        let answer = client.ask(post(
            "/index.html",
            form,
            format!("token={token}&{said}").as_bytes(),
        ));
        assert_eq!(answer.status, 303, "{said}");
        let expected = format!("./?message={message}");
        assert_eq!(answer.header("location"), Some(expected.as_str()), "{said}");
        assert!(!answer.text().contains("<b>"));
    }
    let expected = [
        "start a true",
        "stop w:w_0 true",
        "stop a true",
        "start a true",
        "clear a",
        "stop all true",
        "stop all true",
        "start all true",
        "stop a true",
        "start \r\nLocation: http://x true",
        "start <b> true",
    ];
    assert_eq!(world.shared.calls(), expected);
}

#[test]
fn nobody_else_presses_them() {
    let world = World::new();
    let mut client = world.tcp();
    let token = token(&client.get("/").text());
    let other = World::new();
    let foreign = self::token(&other.tcp().get("/").text());
    assert_ne!(token, foreign);
    for (headers, body, status) in [
        ("", "start=a".to_owned(), 403),
        ("", "token=&start=a".to_owned(), 403),
        ("", format!("token={foreign}&start=a"), 403),
        ("", format!("token={}&start=a", &token[1..]), 403),
        (
            "Origin: http://elsewhere\r\n",
            format!("token={token}&start=a"),
            403,
        ),
        ("Origin: null\r\n", format!("token={token}&start=a"), 403),
        (
            "Sec-Fetch-Site: cross-site\r\n",
            format!("token={token}&start=a"),
            403,
        ),
        ("", format!("token={token}"), 400),
        ("", format!("token={token}&action=other&processname=a"), 400),
    ] {
        let answer = world.tcp().ask(post("/", headers, body.as_bytes()));
        assert_eq!(answer.status, status, "{headers}{body}");
    }
    assert_eq!(world.tcp().ask(post("/tail.html", "", b"x")).status, 400);
    assert_eq!(world.shared.calls(), [""; 0]);
}

#[test]
fn what_takes_long_goes_on_without_the_browser() {
    let world = World::with(
        |settings| settings.limits.page = std::time::Duration::from_millis(20),
        None,
    );
    let mut client = world.tcp();
    let token = token(&client.get("/").text());
    let answer = client.ask(post(
        "/",
        "",
        format!("token={token}&restart=slow").as_bytes(),
    ));
    assert_eq!(answer.status, 303);
    assert!(answer.header("location").unwrap().contains("goes%20on"));
    drop(client);
    until("it was started again", || {
        world.shared.release.notify_waiters();
        world.shared.calls() == ["stop slow true", "start slow true"]
    });
}
