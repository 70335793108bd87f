//! Who is let in, and what they may do.

use std::sync::atomic::Ordering;

use ward_build::api::Role;

use crate::world::{People, World, job};

#[test]
fn nobody_sees_anything_unless_anonymous_may() {
    let world = World::new();
    world.memory.put(job("a"));
    for path in [
        "/api/json",
        "/job/a/api/json",
        "/job/a/1/consoleText",
        "/ward/api/jobs",
    ] {
        let answer = world.ask("GET", path).send();
        assert_eq!(answer.status, 403, "{path}");
        assert!(answer.header("X-Jenkins").is_some());
    }
    let version = world.ask("GET", "/").send();
    assert_eq!(
        (version.status, version.header("Location")),
        (303, Some("/sign-in?from=%2F")),
        "clients look there for the version, and follow"
    );
    let person = world
        .ask("GET", "/job/a/")
        .header("Accept", "text/html,*/*")
        .send();
    assert_eq!(
        (person.status, person.header("Location")),
        (303, Some("/sign-in?from=%2Fjob%2Fa%2F"))
    );
    let mut people = People::usual();
    people.anonymous = Some(Role::Read);
    let world = World::with(|_| {}, people);
    world.memory.put(job("a"));
    assert_eq!(world.ask("GET", "/job/a/api/json").send().status, 200);
    let who = world.ask("GET", "/whoAmI/api/json").send().json();
    assert_eq!(
        (&who["name"], &who["anonymous"]),
        (&"anonymous".into(), &true.into())
    );
    let wrong = world
        .ask("GET", "/job/a/api/json")
        .basic("alice", "x")
        .send();
    assert_eq!(wrong.status, 401, "who says to be somebody has to be");
    assert_eq!(
        wrong.header("WWW-Authenticate"),
        Some("Basic realm=\"Jenkins\"")
    );
}

#[test]
fn roles_may_what_they_may() {
    let world = World::new();
    world.memory.put(job("a"));
    let status = |user: &str, path: &str| world.ask("POST", path).token(user).send().status;
    for (path, roles) in [
        ("/job/a/build", [403, 201, 201]),
        ("/job/a/polling", [403, 302, 302]),
        ("/job/a/disable", [403, 403, 302]),
        ("/job/a/doDelete", [403, 403, 302]),
        ("/quietDown", [403, 403, 302]),
        (
            "/createItem?name=n&mode=hudson.model.FreeStyleProject",
            [403, 403, 302],
        ),
        ("/createView?name=v", [403, 403, 302]),
        ("/queue/cancelItem?id=5", [403, 404, 404]),
    ] {
        let seen = ["carol", "bob", "alice"].map(|user| status(user, path));
        assert_eq!(seen, roles, "{path}");
    }
    let refused = world.ask("GET", "/job/a/config.xml").token("bob").send();
    assert_eq!(
        refused.status, 403,
        "tokens and defaults of passwords are in it"
    );
    assert_eq!(
        refused.header("X-Error"),
        Some("bob is missing the Job/Configure permission")
    );
}

#[test]
fn passwords_need_a_crumb_and_tokens_none() {
    let world = World::new();
    world.memory.put(job("a"));
    let ask = || {
        world
            .ask("POST", "/job/a/build")
            .basic("bob", "password-of-bob")
    };
    let without = ask().send();
    assert_eq!(without.status, 403);
    assert!(
        without
            .text()
            .contains("No valid crumb was included in the request")
    );
    let wrong = ask().header("Jenkins-Crumb", "crumb-of-alice").send();
    assert_eq!(wrong.status, 403);
    assert_eq!(
        ask().header("Jenkins-Crumb", "crumb-of-bob").send().status,
        201
    );
    assert_eq!(ask().form("Jenkins-Crumb=crumb-of-bob").send().status, 201);
    let token = world.ask("POST", "/job/a/build").token("bob").send();
    assert_eq!(token.status, 201);
}

#[test]
fn pages_of_others_have_nothing_done() {
    let world = World::new();
    world.memory.put(job("a"));
    for (name, value) in [("Origin", "http://evil"), ("Sec-Fetch-Site", "cross-site")] {
        let answer = world
            .ask("POST", "/job/a/build")
            .token("alice")
            .header(name, value)
            .send();
        assert_eq!(answer.status, 403, "{name}");
    }
    let own = world
        .ask("POST", "/job/a/build")
        .token("alice")
        .header("Origin", "http://ci:8080")
        .send();
    assert_eq!(own.status, 201);
    assert_eq!(
        world
            .ask("PUT", "/job/a/build")
            .token("alice")
            .send()
            .status,
        405
    );
    assert!(!world.told.lock().expect("not poisoned").is_empty());
}

#[test]
fn sessions_begin_and_end() {
    let world = World::new();
    world.memory.put(job("a"));
    let failed = world
        .ask("POST", "/sign-in")
        .form("user=alice&password=wrong&from=%2Fjob%2Fa%2F")
        .send();
    assert_eq!(
        (failed.status, failed.header("Location")),
        (303, Some("/sign-in?failed=1&from=%2Fjob%2Fa%2F"))
    );
    assert_eq!(failed.header("Set-Cookie"), None);
    let signed_in = world
        .ask("POST", "/sign-in")
        .form("user=alice&password=password-of-alice&from=%2F%2Fevil")
        .send();
    assert_eq!(
        (signed_in.status, signed_in.header("Location")),
        (303, Some("/"))
    );
    let cookie = signed_in.header("Set-Cookie").expect("a cookie");
    assert_eq!(
        cookie,
        "ward_session=session0; Path=/; HttpOnly; SameSite=Strict"
    );
    let with = |method, path| {
        world
            .ask(method, path)
            .header("Cookie", "x=y; ward_session=session0")
    };
    assert_eq!(with("GET", "/job/a/api/json").send().status, 200);
    assert_eq!(with("POST", "/job/a/build").send().status, 403, "no crumb");
    let crumbed = with("POST", "/job/a/build").form("Jenkins-Crumb=crumb-of-alice");
    assert_eq!(crumbed.send().status, 201);
    let out = with("POST", "/sign-out")
        .form("Jenkins-Crumb=crumb-of-alice")
        .send();
    assert_eq!(out.status, 303);
    assert_eq!(with("GET", "/job/a/api/json").send().status, 403);
}

#[test]
fn a_right_password_is_worked_on_once() {
    let people = People::usual();
    let asked = people.asked.clone();
    let world = World::with(|_| {}, people);
    for _ in 0..5 {
        let answer = world
            .ask("GET", "/api/json")
            .basic("carol", "password-of-carol")
            .send();
        assert_eq!(answer.status, 200);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    for _ in 0..2 {
        assert_eq!(
            world.ask("GET", "/api/json").token("carol").send().status,
            200
        );
    }
    assert_eq!(
        asked.load(Ordering::SeqCst),
        3,
        "tokens are looked at each time"
    );
}

#[test]
fn the_socket_is_for_administrators() {
    let world = World::new();
    world.memory.put(job("a"));
    let answer = world.ask("POST", "/job/a/disable").by_socket().send();
    assert_eq!(answer.status, 302);
    assert_eq!(world.memory.calls(), ["disable a"]);
    let jobs = world.ask("GET", "/ward/api/jobs").by_socket().send().json();
    assert_eq!(jobs[0]["name"], "a");
}

#[test]
fn answers_are_dressed() {
    let world = World::new();
    let answer = world.get("/nowhere");
    assert_eq!(answer.status, 404);
    assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"));
    assert_eq!(answer.header("X-Frame-Options"), Some("DENY"));
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    let policy = answer.header("Content-Security-Policy").expect("a policy");
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"));
    let hostile = world.get("/job/%3Cscript%3Ealert(1)%3C%2Fscript%3E/api/json");
    assert!(!hostile.text().contains("<script>"), "{}", hostile.text());
}

#[test]
fn who_comes_over_the_socket_is_told_the_address_of_the_site() {
    let address = "http://127.0.0.1:8080";
    for (url, root) in [
        (None, "http://127.0.0.1:8080/"),
        (Some("https://ci.example/ward/"), "https://ci.example/ward/"),
    ] {
        let url = url.map(str::to_owned);
        let world = World::with(
            move |settings| {
                settings.url = url;
                settings.address = Some(address.to_owned());
            },
            People::usual(),
        );
        world.memory.put(job("a"));
        let local = |method: &str, path: &str| {
            let ask = world.ask(method, path).by_socket();
            ask.header("Host", "localhost")
        };
        let shown = local("GET", "/job/a/api/json").send().json();
        assert_eq!(shown["url"], format!("{root}job/a/"));
        let server = local("GET", "/api/json").send().json();
        assert_eq!(server["url"], root);
        let asked = local("POST", "/job/a/build").send();
        let place = asked.header("Location").unwrap_or_default();
        assert!(place.starts_with(&format!("{root}queue/item/")), "{place}");
    }
    // On a port the host is what the client says, whatever it says.
    let world = World::with(
        move |settings| settings.address = Some(address.to_owned()),
        People::usual(),
    );
    let shown = world.ask("GET", "/api/json").token("carol");
    let shown = shown.header("Host", "localhost").send().json();
    assert_eq!(shown["url"], "http://localhost/");
    let named = world.ask("GET", "/api/json").by_socket();
    let named = named.header("Host", "ci.example").send().json();
    assert_eq!(named["url"], "http://ci.example/");
}
