//! What clients see.

use serde_json::json;
use ward_build::api::{QueueItem, QueuePlace};
use ward_build::job::{Parameter, ParameterKind};
use ward_build::outcome::{TestCase, TestStatus, TestSuite};
use ward_build::plan::ParameterValue;
use ward_model::build::{BuildResult, Cause};

use crate::world::{World, build, finished, job};

#[test]
fn the_server_lists_its_jobs_and_tells_folders_by_their_colour() {
    let world = World::new();
    world.memory.put(job("plain"));
    world.memory.put(job("with ü"));
    world.memory.put(job("team/app/deep"));
    let answer = world.get("/api/json?tree=jobs[name,color,url,jobs[name,url,color,jobs[name]]]");
    assert_eq!(answer.header("X-Jenkins"), Some("2.479.3"));
    let folder = "com.cloudbees.hudson.plugins.folder.Folder";
    let project = "hudson.model.FreeStyleProject";
    assert_eq!(
        answer.json(),
        json!({ "_class": "hudson.model.Hudson", "jobs": [
            { "_class": project, "name": "plain", "url": "http://ci:8080/job/plain/", "color": "notbuilt" },
            { "_class": folder, "name": "team", "url": "http://ci:8080/job/team/", "jobs": [
                { "_class": folder, "name": "app", "url": "http://ci:8080/job/team/job/app/", "jobs": [
                    { "_class": project, "name": "deep" },
                ] },
            ] },
            { "_class": project, "name": "with ü", "url": "http://ci:8080/job/with%20%C3%BC/", "color": "notbuilt" },
        ] })
    );
    let whole = world.get("/api/json").json();
    for field in [
        "mode",
        "numExecutors",
        "nodeName",
        "views",
        "primaryView",
        "quietingDown",
        "useCrumbs",
        "useSecurity",
        "url",
        "slaveAgentPort",
        "description",
        "unlabeledLoad",
        "overallLoad",
        "assignedLabels",
    ] {
        assert!(whole.get(field).is_some(), "{field} in {whole}");
    }
    let python = world
        .get("/api/python?tree=quietingDown,description,url")
        .text();
    assert_eq!(
        python,
        "{\"_class\":\"hudson.model.Hudson\",\"description\":None,\"quietingDown\":False,\"url\":\"http://ci:8080/\"}"
    );
    let root = world
        .ask("GET", "/api/json?tree=url")
        .token("alice")
        .header("X-Forwarded-Proto", "https")
        .header("X-Forwarded-Host", "ci.example")
        .send();
    assert_eq!(root.json()["url"], "https://ci.example/");
    assert_eq!(world.get("/api/yaml").status, 404);
    assert_eq!(world.get("/api/json?tree=a[").status, 400);
}

#[test]
fn a_configured_address_is_in_what_is_shown() {
    let world = World::with(
        |settings| settings.url = Some("https://ward.example/ci".to_owned()),
        crate::world::People::usual(),
    );
    world.memory.put(job("a"));
    let shown = world.get("/job/a/api/json?tree=url").json();
    assert_eq!(shown["url"], "https://ward.example/ci/job/a/");
    let answer = world.post("/job/a/build");
    assert_eq!(
        answer.header("Location"),
        Some("http://ci:8080/queue/item/42/"),
        "clients look whether it begins with the address that they use"
    );
}

#[test]
fn a_job_by_levels() {
    let world = World::new();
    let mut view = job("a");
    view.parameters = vec![
        Parameter {
            name: "WHO".to_owned(),
            description: "whom".to_owned(),
            kind: ParameterKind::Choice {
                choices: vec!["x".to_owned(), "y".to_owned()],
            },
        },
        Parameter {
            name: "KEY".to_owned(),
            description: String::new(),
            kind: ParameterKind::Password {
                default: "hidden".to_owned(),
            },
        },
    ];
    world.memory.put(view);
    world
        .memory
        .put_build(finished("a", 1, BuildResult::Failure, 3), b"log");
    world.memory.put_build(build("a", 2), b"");
    let shown = world.get("/job/a/api/json").json();
    assert_eq!(shown["color"], "red_anime");
    assert_eq!(shown["inQueue"], false);
    assert_eq!(shown["disabled"], false);
    assert_eq!(shown["concurrentBuild"], false);
    let newest = json!([
        { "_class": "hudson.model.FreeStyleBuild", "number": 2, "url": "http://ci:8080/job/a/2/" },
        { "_class": "hudson.model.FreeStyleBuild", "number": 1, "url": "http://ci:8080/job/a/1/" },
    ]);
    assert_eq!(shown["builds"], newest);
    assert_eq!(shown["lastBuild"]["number"], 2);
    assert!(shown.get("allBuilds").is_none());
    assert_eq!(
        shown["property"],
        json!([{ "_class": "hudson.model.ParametersDefinitionProperty", "parameterDefinitions": [
            { "_class": "hudson.model.ChoiceParameterDefinition",
              "defaultParameterValue": { "_class": "hudson.model.StringParameterValue", "name": "WHO", "value": "x" },
              "description": "whom", "name": "WHO", "type": "ChoiceParameterDefinition", "choices": ["x", "y"] },
            { "_class": "hudson.model.PasswordParameterDefinition",
              "defaultParameterValue": { "_class": "hudson.model.PasswordParameterValue", "name": "KEY" },
              "description": "", "name": "KEY", "type": "PasswordParameterDefinition" },
        ] }])
    );
    let deeper = world.get("/job/a/api/json?depth=1").json();
    assert_eq!(deeper["builds"][1]["result"], "FAILURE");
    assert_eq!(deeper["builds"][0]["result"], serde_json::Value::Null);
    let all = world
        .get("/job/a/api/json?tree=allBuilds[number]{1,5}")
        .json();
    assert_eq!(all["allBuilds"].as_array().map(Vec::len), Some(1));
    assert_eq!(all["allBuilds"][0]["number"], 1);
    assert_eq!(world.get("/job/b/api/json").status, 404);
    assert_eq!(world.get("/job/a%2Fb/api/json").status, 404);
}

#[test]
fn a_build() {
    let world = World::new();
    world.memory.put(job("a"));
    let mut view = finished("a", 1, BuildResult::Unstable, 3);
    view.parameters = vec![
        ParameterValue {
            name: "WHO".to_owned(),
            value: "x".to_owned(),
            secret: false,
        },
        ParameterValue {
            name: "KEY".to_owned(),
            value: "hidden".to_owned(),
            secret: true,
        },
    ];
    view.causes.push(Cause::Upstream {
        job: "lib/core".to_owned(),
        number: 3,
        causes: Vec::new(),
    });
    world.memory.put_build(view, b"log");
    let answer = world.get("/job/a/1/api/json");
    assert!(!answer.text().contains("hidden"));
    let shown = answer.json();
    assert_eq!(shown["building"], false);
    assert_eq!(shown["result"], "UNSTABLE");
    assert_eq!(shown["duration"], 1500);
    assert_eq!(shown["estimatedDuration"], -1);
    assert_eq!(shown["queueId"], 7);
    assert_eq!(shown["fullDisplayName"], "a #1");
    assert_eq!(
        shown["actions"][1],
        json!({ "_class": "hudson.model.ParametersAction", "parameters": [
            { "_class": "hudson.model.StringParameterValue", "name": "WHO", "value": "x" },
            { "_class": "hudson.model.PasswordParameterValue", "name": "KEY" },
        ] })
    );
    assert_eq!(
        shown["actions"][0]["causes"][1],
        json!({ "_class": "hudson.model.Cause$UpstreamCause",
                "shortDescription": "Started by upstream project \"lib/core\" build number 3",
                "upstreamBuild": 3, "upstreamProject": "lib/core", "upstreamUrl": "job/lib/job/core/" })
    );
    assert_eq!(
        shown["artifacts"],
        json!([{ "displayPath": "a b.txt", "fileName": "a b.txt", "relativePath": "out/a b.txt" }])
    );
    assert_eq!(
        world.get("/job/a/lastBuild/api/json?tree=number").json()["number"],
        1
    );
    assert_eq!(world.get("/job/a/9/api/json").status, 404);
    assert_eq!(world.get("/job/a/0/api/json").status, 404);
    assert_eq!(world.get("/job/a/1/testReport/api/json").status, 404);
    let xml = world.get("/job/a/1/api/xml?xpath=//building/text()");
    assert_eq!(xml.text(), "false");
    let result = world.get("/job/a/1/api/xml?xpath=/freeStyleBuild/result");
    assert_eq!(result.text(), "<result>UNSTABLE</result>");
    assert_eq!(world.get("/job/a/1/api/xml?xpath=//name").status, 500);
    let wrapped = world.get("/job/a/1/api/xml?xpath=//parameter/name&wrapper=all");
    assert_eq!(
        wrapped.text(),
        "<all><name>WHO</name><name>KEY</name></all>"
    );
    assert_eq!(world.get("/job/a/1/api/xml?xpath=//nothing").status, 404);
    assert_eq!(world.get("/job/a/1/api/xml?xpath=count(//x)").status, 400);
}

#[test]
fn a_build_whose_log_still_grows_has_no_result_yet() {
    let world = World::new();
    world.memory.put(job("a"));
    let mut view = finished("a", 1, BuildResult::Success, 3);
    view.log_grows = true;
    world.memory.put_build(view, b"log");
    let shown = world.get("/job/a/1/api/json").json();
    assert_eq!(shown["building"], true);
    assert_eq!(shown["result"], serde_json::Value::Null);
}

#[test]
fn test_results() {
    let world = World::new();
    world.memory.put(job("a"));
    world
        .memory
        .put_build(finished("a", 1, BuildResult::Unstable, 3), b"log");
    let case = |name: &str, status, message: Option<&str>| TestCase {
        class: "c.D".to_owned(),
        name: name.to_owned(),
        duration: 0.25,
        status,
        message: message.map(str::to_owned),
        details: None,
        stdout: None,
        stderr: None,
        age: 1,
        failed_since: 1,
    };
    let suite = TestSuite {
        name: "s".to_owned(),
        duration: 0.5,
        cases: vec![
            case("good", TestStatus::Passed, None),
            case("bad", TestStatus::Regression, Some("why")),
            case("not", TestStatus::Skipped, Some("because")),
        ],
    };
    let key = ("a".to_owned(), 1);
    world.memory.held().tests.insert(key, vec![suite]);
    let shown = world.get("/job/a/1/testReport/api/json").json();
    assert_eq!(
        (
            &shown["passCount"],
            &shown["failCount"],
            &shown["skipCount"],
            &shown["empty"]
        ),
        (&json!(1), &json!(1), &json!(1), &json!(false))
    );
    let cases = &shown["suites"][0]["cases"];
    assert_eq!(cases[1]["status"], "REGRESSION");
    assert_eq!(cases[1]["errorDetails"], "why");
    assert_eq!(cases[2]["skippedMessage"], "because");
    assert_eq!(cases[2]["errorDetails"], serde_json::Value::Null);
}

#[test]
fn the_queue() {
    let world = World::new();
    world.memory.put(job("a"));
    let item = |id, place| QueueItem {
        id,
        job: "a".to_owned(),
        causes: vec![Cause::Timer],
        parameters: Vec::new(),
        since: 5,
        place,
        why: "In the quiet period. Expires in 3.9 sec".to_owned(),
        position: 0,
        stuck: false,
    };
    world.memory.held().queue = vec![
        item(1, QueuePlace::Waiting(9000)),
        item(2, QueuePlace::Started(1)),
    ];
    world
        .memory
        .put_build(finished("a", 1, BuildResult::Success, 3), b"log");
    let list = world.get("/queue/api/json").json();
    let waiting = &list["items"][0];
    assert_eq!(waiting["_class"], "hudson.model.Queue$WaitingItem");
    assert_eq!(waiting["url"], "queue/item/1/");
    assert_eq!(waiting["timestamp"], 9000);
    assert_eq!(waiting["why"], "In the quiet period. Expires in 3.9 sec");
    assert_eq!(waiting["task"]["color"], "blue");
    assert_eq!(
        waiting["actions"][0]["causes"][0]["shortDescription"],
        "Started by timer"
    );
    let left = world.get("/queue/item/2/api/json").json();
    assert_eq!(left["_class"], "hudson.model.Queue$LeftItem");
    assert_eq!(left["cancelled"], false);
    assert_eq!(left["why"], serde_json::Value::Null);
    assert_eq!(
        left["executable"],
        json!({ "_class": "hudson.model.FreeStyleBuild", "number": 1, "url": "http://ci:8080/job/a/1/" })
    );
    let page = world.get("/queue/item/1/");
    assert_eq!(
        (page.status, page.header("Location")),
        (200, Some("http://ci:8080/queue/item/1/"))
    );
    assert_eq!(world.get("/queue/item/3/api/json").status, 404);
    assert_eq!(world.get("/queue/item/x/").status, 404);
}

#[test]
fn this_host_and_those_who_ask() {
    let world = World::new();
    world.memory.put(job("a"));
    world.memory.put_build(build("a", 3), b"");
    let all = world.get("/computer/api/json?depth=2").json();
    assert_eq!(all["computer"][0]["displayName"], "Built-In Node");
    let executors = &all["computer"][0]["executors"];
    assert_eq!(executors.as_array().map(Vec::len), Some(2));
    assert_eq!(executors[0]["currentExecutable"]["number"], 3);
    assert_eq!(executors[1]["idle"], true);
    for name in ["(master)", "(built-in)"] {
        let one = world.get(&format!("/computer/{name}/api/json")).json();
        assert_eq!(one["numExecutors"], 2);
    }
    assert_eq!(world.get("/computer/other/api/json").status, 404);
    let me = world.get("/me/api/json").json();
    assert_eq!(
        (&me["id"], &me["fullName"]),
        (&json!("alice"), &json!("alice"))
    );
    let who = world.get("/whoAmI/api/json").json();
    assert_eq!(who["anonymous"], false);
    let crumb = world.get("/crumbIssuer/api/json").json();
    assert_eq!(
        (&crumb["crumb"], &crumb["crumbRequestField"]),
        (&json!("crumb-of-alice"), &json!("Jenkins-Crumb"))
    );
    let plugins = world.get("/pluginManager/api/json?depth=2").json();
    assert!(
        plugins["plugins"]
            .as_array()
            .is_some_and(|all| { all.iter().any(|plugin| plugin["shortName"] == "git") })
    );
}

#[test]
fn who_asks_for_everything_is_told_to_ask_for_less() {
    let world = World::new();
    for number in 0..3000 {
        world.memory.put(job(&format!("job{number}")));
    }
    let answer = world.get("/api/json?depth=16");
    assert_eq!(answer.status, 200);
    // Each level below a job leads to jobs again.
    {
        let mut held = world.memory.held();
        for view in held.jobs.values_mut() {
            view.downstream = vec!["job1".to_owned(); 300];
        }
    }
    let answer = world.get("/api/json?tree=jobs[downstreamProjects[name,url]]");
    assert_eq!(answer.status, 400, "{}", answer.text());
}

#[test]
fn folders_without_jobs_are_shown_too() {
    let world = World::new();
    world.memory.put(job("team/app/a"));
    for folder in ["team", "team/app", "team/none", "empty"] {
        world.memory.held().folders.insert(folder.to_owned());
    }
    let named = |value: &serde_json::Value| -> Vec<String> {
        let items = value["jobs"].as_array().expect("a list");
        let names = items.iter().map(|item| item["name"].as_str());
        names.map(|name| name.expect("a name").to_owned()).collect()
    };
    let root = world.get("/api/json?tree=jobs[name,jobs[name]]").json();
    assert_eq!(named(&root), ["empty", "team"]);
    assert_eq!(named(&root["jobs"][0]), Vec::<String>::new());
    assert_eq!(named(&root["jobs"][1]), ["app", "none"]);
    let team = world.get("/job/team/api/json").json();
    assert_eq!(named(&team), ["app", "none"]);
    let all = world.get("/view/all/api/json?tree=jobs[name]").json();
    assert_eq!(named(&all), ["empty", "team"]);
    let page = world.get("/").text();
    assert!(page.contains("job/empty/\">empty</a>"), "{page}");
    let page = world.get("/job/team/").text();
    assert!(page.contains("job/team/job/none/\">none</a>"), "{page}");
    assert!(!page.contains(">empty</a>"), "{page}");
}
