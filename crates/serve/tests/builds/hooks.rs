//! What needs no account: webhooks, repositories' hooks, tokens of jobs.

use data_encoding::HEXLOWER;
use ring::hmac;
use ward_build::job::{Source, Triggers};
use ward_model::build::Cause;

use crate::world::{Answer, People, World, job};

const PAYLOAD: &str = r#"{"ref":"refs/heads/main","after":"1111111111111111111111111111111111111111","repository":{"clone_url":"https://forge.example/team/app.git","ssh_url":"git@forge.example:team/app.git","html_url":"https://forge.example/team/app","full_name":"team/app"}}"#;

fn listening(name: &str, secret: Option<&str>) -> ward_build::api::JobView {
    let mut view = job(name);
    view.job.source = Some(Source {
        url: "https://forge.example/team/app.git".to_owned(),
        ..Source::default()
    });
    view.job.triggers = Triggers {
        webhook: true,
        webhook_secret: secret.map(str::to_owned),
        ..Triggers::default()
    };
    view
}

fn signature(secret: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    HEXLOWER.encode(hmac::sign(&key, PAYLOAD.as_bytes()).as_ref())
}

fn github(world: &World, secret: &str, id: &str) -> Answer {
    world
        .ask("POST", "/github-webhook/")
        .header("X-GitHub-Event", "push")
        .header("X-GitHub-Delivery", id)
        .header(
            "X-Hub-Signature-256",
            &format!("sha256={}", signature(secret)),
        )
        .body("application/json", PAYLOAD)
        .send()
}

#[test]
fn a_signed_push_is_looked_at_once() {
    let world = World::new();
    world.memory.put(listening("one", Some("s3cret")));
    world.memory.put(listening("other", Some("another")));
    world.memory.put(listening("without", None));
    world.memory.put(job("deaf"));
    let wrong = github(&world, "guess", "d1");
    assert_eq!(wrong.status, 403, "{}", wrong.text());
    assert!(world.memory.calls().is_empty());
    let right = github(&world, "s3cret", "d1");
    assert_eq!(
        (right.status, right.text().as_str()),
        (200, "Scheduled polling of one\n")
    );
    assert_eq!(world.memory.calls(), ["pushed Some(\"one\")"]);
    let replayed = github(&world, "s3cret", "d1");
    assert_eq!(replayed.status, 200);
    assert!(world.memory.calls().is_empty(), "the same delivery again");
    let unsigned = world
        .ask("POST", "/github-webhook/")
        .header("X-GitHub-Event", "push")
        .body("application/json", PAYLOAD)
        .send();
    assert_eq!(unsigned.status, 403);
    let gitea = world
        .ask("POST", "/gitea-webhook/post")
        .header("X-Gitea-Event", "push")
        .header("X-Gitea-Delivery", "g1")
        .header("X-Gitea-Signature", &signature("another"))
        .body("application/json", PAYLOAD)
        .send();
    assert_eq!(gitea.text(), "Scheduled polling of other\n");
    assert_eq!(world.ask("GET", "/github-webhook/").send().status, 405);
    let nonsense = world
        .ask("POST", "/github-webhook/")
        .header("X-GitHub-Event", "push")
        .body("application/json", "{")
        .send();
    assert_eq!(nonsense.status, 400);
}

#[test]
fn gitlab_names_the_job() {
    let world = World::new();
    world.memory.put(listening("team/app", Some("tok")));
    let payload = r#"{"object_kind":"push","ref":"refs/heads/main","after":"1111111111111111111111111111111111111111","project":{"git_http_url":"https://forge.example/team/app.git","git_ssh_url":"git@forge.example:team/app.git"}}"#;
    let send = |path: &str, token: &str| {
        world
            .ask("POST", path)
            .header("X-Gitlab-Event", "Push Hook")
            .header("X-Gitlab-Token", token)
            .body("application/json", payload)
            .send()
    };
    assert_eq!(send("/project/team/app", "wrong").status, 403);
    let right = send("/project/team/app", "tok");
    assert_eq!(right.text(), "Scheduled polling of team/app\n");
}

#[test]
fn a_repository_says_that_something_is_new() {
    let mut people = People::usual();
    people.anonymous = Some(ward_build::api::Role::Read);
    let world = World::with(
        |settings| settings.notify_token = Some("open".to_owned()),
        people,
    );
    let path = "/git/notifyCommit?url=https://forge.example/team/app";
    assert_eq!(world.ask("GET", path).send().status, 401);
    let with = |token: &str| world.ask("GET", &format!("{path}&token={token}")).send();
    assert_eq!(with("wrong").status, 403);
    let none = with("open");
    assert_eq!(none.status, 200);
    assert!(
        none.text()
            .starts_with("No git jobs using repository: https://forge.example/team/app")
    );
    world.memory.put(job("a"));
    let one = with("open");
    assert_eq!(one.text(), "Scheduled polling of a\n");
    assert_eq!(one.header("Triggered"), Some("http://ci:8080/job/a/"));
    let bob = world.ask("POST", path).token("bob").send();
    assert_eq!(bob.status, 200, "who may build may have it looked at");
    assert_eq!(with("open&url=").status, 200);
    let nothing = world.ask("GET", "/git/notifyCommit?token=open").send();
    assert_eq!(nothing.status, 400);
}

#[test]
fn a_jobs_own_token_builds_it() {
    let world = World::new();
    let mut view = job("team/a");
    view.job.token = Some("let me".to_owned());
    world.memory.put(view);
    world.memory.put(job("b"));
    let path = "/job/team/job/a/build?token=let%20me&cause=by%20hook";
    for method in ["GET", "POST"] {
        assert_eq!(world.ask(method, path).send().status, 201, "{method}");
        let request = world.memory.held().requests.pop().expect("asked for");
        let cause = Cause::Remote {
            host: "127.0.0.1".to_owned(),
            note: "by hook".to_owned(),
        };
        assert_eq!((request.job.as_str(), request.cause), ("team/a", cause));
    }
    for path in [
        "/job/team/job/a/build?token=let",
        "/job/team/job/a/build?token=",
        "/job/b/build?token=",
        "/job/b/build?token=x",
        "/job/none/build?token=x",
        "/job/team%2Fa/build?token=let%20me",
    ] {
        assert_eq!(world.ask("POST", path).send().status, 403, "{path}");
    }
    assert!(world.memory.held().requests.is_empty());
}
