//! What clients have done.

use ward_build::job::{Parameter, ParameterKind};
use ward_model::build::{BuildResult, Cause};

use crate::world::{World, finished, job};

#[test]
fn jobs_come_and_go() {
    let world = World::new();
    let made = world
        .ask("POST", "/createItem?name=new%20job")
        .token("alice")
        .body("text/xml; charset=utf-8", "<project/>")
        .send();
    assert_eq!(made.status, 200, "{}", made.text());
    let again = world
        .ask("POST", "/createItem?name=new%20job")
        .token("alice")
        .body("application/xml", "<project/>")
        .send();
    assert_eq!(again.status, 400);
    assert_eq!(
        again.header("X-Error"),
        Some("job `new job` exists already")
    );
    assert_eq!(world.post("/createItem?name=none").status, 400);
    assert_eq!(world.post("/createItem").status, 400);
    let slash = world
        .ask("POST", "/createItem?name=a%2Fb")
        .token("alice")
        .body("text/xml", "<project/>")
        .send();
    assert_eq!(slash.status, 400);
    let copied = world
        .ask("POST", "/createItem")
        .token("alice")
        .form("name=copy&mode=copy&from=new+job")
        .send();
    assert_eq!(
        (copied.status, copied.header("Location")),
        (302, Some("http://ci:8080/job/copy/configure"))
    );
    assert_eq!(world.get("/job/copy/configure").status, 200);
    assert_eq!(
        world
            .post("/createItem?name=x&mode=copy&from=nobody")
            .status,
        400
    );
    let folder = world
        .ask("POST", "/createItem")
        .token("alice")
        .form("name=team&mode=com.cloudbees.hudson.plugins.folder.Folder")
        .send();
    assert_eq!(folder.status, 302);
    let inside = world
        .ask("POST", "/job/team/createItem?name=in")
        .token("alice")
        .body("text/xml", "<?xml version='1.1'?>\n<project/>")
        .send();
    assert_eq!(inside.status, 200);
    assert!(world.memory.held().jobs.contains_key("team/in"));
    let folder = world
        .ask("POST", "/createItem?name=other")
        .token("alice")
        .body(
            "text/xml",
            "<?xml version='1.1'?>\n<!-- a --><com.cloudbees.hudson.plugins.folder.Folder/>",
        )
        .send();
    assert_eq!(folder.status, 200);
    assert!(world.memory.held().folders.contains("other"));

    let config = world
        .ask("POST", "/job/copy/config.xml")
        .token("alice")
        .body("application/octet-stream", "<project>2</project>")
        .send();
    assert_eq!(config.status, 200);
    let read = world.get("/job/copy/config.xml");
    assert_eq!(read.text(), "<project>2</project>");
    assert!(
        read.header("Content-Type")
            .is_some_and(|kind| kind.starts_with("application/xml"))
    );
    world.memory.calls();
    for (path, call) in [
        ("/job/copy/enable", "enable copy"),
        ("/job/copy/disable", "disable copy"),
        ("/job/copy/polling", "poll copy"),
        ("/job/copy/doWipeOutWorkspace", "wipe copy"),
        ("/job/copy/doDelete", "delete copy"),
    ] {
        assert_eq!(world.post(path).status, 302, "{path}");
        assert_eq!(world.memory.calls(), [call]);
        let read = world.get(path);
        assert_eq!(
            (read.status, read.header("Allow")),
            (405, Some("POST")),
            "{path}"
        );
    }
    let renamed = world.post("/job/team/job/in/doRename?newName=out");
    assert_eq!(
        renamed.header("Location"),
        Some("http://ci:8080/job/team/job/out/")
    );
    assert_eq!(world.memory.calls(), ["rename team/in", "to team/out"]);
    let next = world
        .ask("POST", "/job/copy/nextbuildnumber/submit")
        .token("alice")
        .form("nextBuildNumber=77")
        .send();
    assert_eq!(next.status, 302);
    assert_eq!(world.memory.calls(), ["next 77 copy"]);
    let untold = world
        .ask("POST", "/job/copy/nextbuildnumber/submit")
        .token("alice")
        .content("nextBuildNumber=78")
        .send();
    assert_eq!(untold.status, 302, "a form that does not say so");
    assert_eq!(world.memory.calls(), ["next 78 copy"]);
    let gone = world.ask("DELETE", "/job/copy/").token("alice").send();
    assert_eq!(gone.status, 204);
    assert_eq!(world.post("/job/nobody/doDelete").status, 404);
}

#[test]
fn builds_are_asked_for() {
    let world = World::new();
    world.memory.put(job("plain"));
    let mut with = job("with");
    with.parameters = vec![Parameter {
        name: "A".to_owned(),
        description: String::new(),
        kind: ParameterKind::Text {
            default: String::new(),
            trim: false,
        },
    }];
    world.memory.put(with);
    let requested = world.post("/job/plain/build?delay=5sec");
    assert_eq!(
        (requested.status, requested.header("Location")),
        (201, Some("http://ci:8080/queue/item/42/"))
    );
    {
        let mut held = world.memory.held();
        let request = held.requests.pop().expect("asked for");
        assert_eq!(request.delay, Some(5000));
        assert_eq!(
            request.cause,
            Cause::User {
                user: "alice".to_owned()
            }
        );
    }
    for delay in ["x", "5parsecs", "-1", "99999999999999999999", ""] {
        let path = format!("/job/plain/build?delay={delay}");
        assert_eq!(world.post(&path).status, 400, "{delay}");
    }
    assert_eq!(world.post("/job/plain/buildWithParameters?A=1").status, 400);
    assert_eq!(world.get("/job/plain/build").status, 405);
    assert_eq!(world.post("/job/nobody/build").status, 404);

    let by_form = world
        .ask("POST", "/job/with/buildWithParameters?A=1&delay=0")
        .token("alice")
        .form("A=2&B=x%20y&json=%7B%7D&Jenkins-Crumb=z")
        .send();
    assert_eq!(by_form.status, 201);
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        let owned = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
        pairs.iter().map(owned).collect()
    };
    let last = || world.memory.held().requests.pop().expect("asked for");
    assert_eq!(last().parameters, pairs(&[("A", "2"), ("B", "x y")]));
    let by_json = world
        .ask("POST", "/job/with/build")
        .token("alice")
        .form("json=%7B%22parameter%22%3A%5B%7B%22name%22%3A%22A%22%2C%22value%22%3Atrue%7D%5D%7D")
        .send();
    assert_eq!(by_json.status, 201);
    assert_eq!(last().parameters, pairs(&[("A", "true")]));
    let in_parts = world
        .ask("POST", "/job/with/buildWithParameters")
        .token("alice")
        .body(
            "multipart/form-data; boundary=X",
            "--X\r\nContent-Disposition: form-data; name=\"A\"\r\n\r\n3\r\n--X--\r\n",
        )
        .send();
    assert_eq!(in_parts.status, 201);
    assert_eq!(last().parameters, pairs(&[("A", "3")]));

    world.memory.held().folds = true;
    assert_eq!(world.post("/job/plain/build").status, 201);
    assert_eq!(world.post("/job/with/buildWithParameters").status, 303);
    let mut disabled = job("off");
    disabled.line.disabled = true;
    world.memory.put(disabled);
    assert_eq!(world.post("/job/off/build").status, 409);
}

#[test]
fn builds_are_stopped_and_marked() {
    let world = World::new();
    world.memory.put(job("a"));
    world
        .memory
        .put_build(finished("a", 1, BuildResult::Success, 0), b"");
    for (path, call) in [
        ("/job/a/1/stop", "stop 1 alice false a"),
        ("/job/a/1/kill", "stop 1 alice true a"),
        ("/job/a/lastBuild/toggleLogKeep", "keep 1 true a"),
        (
            "/job/a/1/submitDescription?description=so",
            "describe 1 so None a",
        ),
    ] {
        let answer = world.post(path);
        assert_eq!(
            (answer.status, answer.header("Location")),
            (302, Some("http://ci:8080/job/a/1/")),
            "{path}"
        );
        assert_eq!(world.memory.calls(), [call]);
        assert_eq!(world.get(path).status, 405);
    }
    let gone = world.post("/job/a/1/doDelete");
    assert_eq!(gone.header("Location"), Some("http://ci:8080/job/a/"));
    assert_eq!(world.post("/job/a/2/stop").status, 404);
    let back = world
        .ask("POST", "/job/a/1/stop")
        .token("alice")
        .form("ward-redirect=%2Fjob%2Fa%2F1%2F%23console")
        .send();
    assert_eq!(
        (back.status, back.header("Location")),
        (303, Some("/job/a/1/#console"))
    );
    let elsewhere = world
        .ask("POST", "/job/a/1/stop")
        .token("alice")
        .form("ward-redirect=%2F%2Fevil")
        .send();
    assert_eq!(
        elsewhere.header("Location"),
        Some("http://ci:8080/job/a/1/")
    );
}

#[test]
fn views_and_the_queue() {
    let world = World::new();
    world.memory.put(job("a"));
    let made = world
        .ask("POST", "/createView?name=v%20w")
        .token("alice")
        .body("text/xml", "<hudson.model.ListView/>")
        .send();
    assert_eq!(made.status, 200);
    let by_form = world
        .ask("POST", "/createView")
        .token("alice")
        .form("name=form&mode=hudson.model.ListView")
        .send();
    assert_eq!(by_form.status, 302);
    let shown = world.get("/view/v%20w/api/json").json();
    assert_eq!(shown["url"], "http://ci:8080/view/v%20w/");
    assert_eq!(world.get("/view/none/api/json").status, 404);
    assert_eq!(world.get("/view/all/config.xml").status, 200);
    let jobs = world.get("/view/all/api/json?tree=jobs[name]").json();
    assert_eq!(jobs["jobs"][0]["name"], "a");
    assert_eq!(world.get("/view/all/job/a/api/json").status, 200);
    assert_eq!(world.post("/view/form/addJobToView?name=a").status, 200);
    assert_eq!(world.memory.calls(), ["in view form true a"]);
    assert_eq!(world.post("/view/form/doDelete").status, 302);
    assert_eq!(world.post("/queue/cancelItem?id=5").status, 404);
    assert_eq!(world.post("/quietDown?reason=move").status, 302);
    assert_eq!(world.memory.calls(), ["quiet Some(\"move\") true"]);
    assert_eq!(world.post("/safeRestart").status, 501);
}

#[test]
fn folders_are_renamed_where_they_are() {
    let world = World::new();
    for folder in ["team", "team/app"] {
        world.memory.held().folders.insert(folder.to_owned());
    }
    let to = |path: &str| {
        let answer = world.post(path);
        (answer.status, answer.header("Location").map(str::to_owned))
    };
    assert_eq!(
        to("/job/team/doRename?newName=crew"),
        (302, Some("http://ci:8080/job/crew/".to_owned()))
    );
    assert_eq!(
        to("/job/team/job/app/confirmRename?newName=web"),
        (302, Some("http://ci:8080/job/team/job/web/".to_owned()))
    );
    assert_eq!(
        world.memory.calls(),
        [
            "rename folder team to crew",
            "rename folder team/app to team/web"
        ]
    );
    for path in [
        "/job/team/doRename",
        "/job/team/doRename?newName=",
        "/job/team/doRename?newName=a%2Fb",
    ] {
        assert_eq!(world.post(path).status, 400, "{path}");
    }
    let by_bob = world.ask("POST", "/job/team/doRename?newName=x");
    assert_eq!(by_bob.token("bob").send().status, 403);
    assert_eq!(world.get("/job/team/doRename?newName=x").status, 405);
    assert_eq!(world.memory.calls(), Vec::<String>::new());
}
