//! A job and builds of which every text tries to be more than text.

use ward_build::api::{BuildView, JobView, QueueItem, QueuePlace};
use ward_build::job::{Parameter, ParameterKind};
use ward_build::outcome::{Change, Checkout, TestCase, TestCounts, TestStatus, TestSuite};
use ward_build::plan::ParameterValue;
use ward_build::state::{Phase, State, StopHeeded};
use ward_model::build::{BuildResult, Cause};

use crate::world::{People, World, build, finished, job};

/// What must not get out of where it stands.
const EVIL: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&amp;";

fn evil_job(name: &str) -> JobView {
    let mut view = job(name);
    view.line.display_name = EVIL.to_owned();
    view.line.description = EVIL.to_owned();
    view.unknown = vec![(EVIL.to_owned(), true)];
    view.parameters = vec![
        Parameter {
            name: "TEXT".to_owned(),
            description: EVIL.to_owned(),
            kind: ParameterKind::Text {
                default: EVIL.to_owned(),
                trim: false,
            },
        },
        Parameter {
            name: "LINES".to_owned(),
            description: String::new(),
            kind: ParameterKind::Lines {
                default: format!("</textarea>{EVIL}"),
            },
        },
        Parameter {
            name: "FLAG".to_owned(),
            description: String::new(),
            kind: ParameterKind::Boolean { default: true },
        },
        Parameter {
            name: "CHOICE".to_owned(),
            description: String::new(),
            kind: ParameterKind::Choice {
                choices: vec![EVIL.to_owned(), "b".to_owned()],
            },
        },
        Parameter {
            name: "SECRET".to_owned(),
            description: String::new(),
            kind: ParameterKind::Password {
                default: "open sesame".to_owned(),
            },
        },
    ];
    view.line.trend = vec![(2, BuildResult::Failure), (1, BuildResult::Success)];
    view.queue = vec![waiting(name)];
    view
}

fn waiting(job: &str) -> QueueItem {
    QueueItem {
        id: 9,
        job: job.to_owned(),
        causes: vec![Cause::User {
            user: EVIL.to_owned(),
        }],
        parameters: values(),
        since: 0,
        place: QueuePlace::Blocked,
        why: EVIL.to_owned(),
        position: 0,
        stuck: true,
    }
}

fn values() -> Vec<ParameterValue> {
    [("TEXT", EVIL, false), ("SECRET", "open sesame", true)]
        .map(|(name, value, secret)| ParameterValue {
            name: name.to_owned(),
            value: value.to_owned(),
            secret,
        })
        .to_vec()
}

fn evil(mut view: BuildView) -> BuildView {
    view.line.description = EVIL.to_owned();
    view.line.display_name = EVIL.to_owned();
    view.line.branch = Some(EVIL.to_owned());
    view.line.tests = Some(TestCounts {
        passed: 1,
        failed: 2,
        skipped: 0,
    });
    view.parameters = values();
    view.notified = vec![EVIL.to_owned()];
    view.causes = vec![Cause::Remote {
        host: EVIL.to_owned(),
        note: EVIL.to_owned(),
    }];
    view.checkout = Some(Checkout {
        url: format!("https://u:open%20sesame@h/{EVIL}"),
        revision: EVIL.to_owned(),
        branch: EVIL.to_owned(),
        changes: vec![Change {
            revision: EVIL.to_owned(),
            author: EVIL.to_owned(),
            title: EVIL.to_owned(),
            ..Change::default()
        }],
    });
    view.state = view.outcome.is_none().then(|| State {
        pid: 1,
        start_time: 1,
        started_at: 1,
        phase: Phase::Steps,
        doing: EVIL.to_owned(),
        leader: None,
        stop: Some(StopHeeded {
            at: 1,
            by: EVIL.to_owned(),
            grace: 1000,
            forced: false,
        }),
        revision: None,
        branch: None,
        display_name: None,
        made: Vec::new(),
    });
    if let Some(outcome) = &mut view.outcome {
        outcome.why = Some(EVIL.to_owned());
        for artifact in &mut outcome.artifacts {
            artifact.sha256 = EVIL.to_owned();
        }
    }
    view
}

/// With a job, in a folder, of which one build is over and one runs.
pub(crate) fn stage(people: People) -> World {
    let world = World::with(|_| {}, people);
    world.memory.held().folders.insert("dir".to_owned());
    world.memory.put(evil_job("dir/a"));
    let log = format!("{EVIL}\n\u{1b}[31m{EVIL}\u{1b}[0m\n\u{1b}]0;{EVIL}\u{7}end\n");
    let mut over = finished("dir/a", 1, BuildResult::Failure, log.len() as u64);
    over.next = Some(2);
    world.memory.put_build(evil(over), log.as_bytes());
    let artifact = world.directory.path().join("dir_a-1/artifacts/out");
    std::fs::create_dir_all(&artifact).expect("made");
    std::fs::write(artifact.join("a b.txt"), "hello").expect("written");
    let mut running = build("dir/a", 2);
    running.previous = Some(1);
    world.memory.put_build(evil(running), log.as_bytes());
    let case = |status| TestCase {
        class: EVIL.to_owned(),
        name: EVIL.to_owned(),
        duration: 0.5,
        status,
        message: Some(EVIL.to_owned()),
        details: Some(EVIL.to_owned()),
        stdout: Some(EVIL.to_owned()),
        stderr: None,
        age: 2,
        failed_since: 1,
    };
    let suite = TestSuite {
        name: EVIL.to_owned(),
        duration: 1.0,
        cases: vec![
            case(TestStatus::Regression),
            case(TestStatus::Failed),
            case(TestStatus::Fixed),
            case(TestStatus::Skipped),
            case(TestStatus::Passed),
        ],
    };
    let mut held = world.memory.held();
    held.tests
        .insert(("dir/a".to_owned(), 1), vec![suite.clone()]);
    held.tests.insert(("dir/a".to_owned(), 2), vec![suite]);
    held.queue = vec![waiting("dir/a")];
    drop(held);
    world
}
