//! What Supervisor 4.3.0 does, `ward up` does: each test is written once and tried with both.
//!
//! | name | daemon | client, where one is used |
//! |---|---|---|
//! | `original::…` | PyPI `supervisor` | the original |
//! | `ward::…` | `ward up` | the original |
//! | `original_by_ward::…` | PyPI `supervisor` | `ward ctl` |
//! | `ward_by_ward::…` | `ward up` | `ward ctl` |
//!
//! The last two exist for the tests of the client alone. Who cannot be had here is not tried, and
//! it is said; his tests are listed as ignored. Where ours differs on purpose, [`differences`] has the reason.
//!
//! `WARD_TEST_SUPERVISOR_VENV` names a Python environment that has the original; else one is made
//! below the target directory.

#![forbid(unsafe_code)]

mod child;
mod command_line;
mod ctl;
mod daemon;
mod differences;
mod events;
mod fcgi;
mod http;
mod info;
mod listeners;
mod listening;
mod logs;
mod others;
mod reload;
mod rpc;
mod states;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use ward_testkit::supervisor::kit::{Kit, Subject};
use ward_testkit::supervisor::stage::Stage;

type Result<T = ()> = anyhow::Result<T>;

/// How many tests run at the same time, where nothing else is asked for: most of them wait.
const AT_ONCE: usize = 8;

/// A test: its name, and what it does on a stage.
struct Test {
    name: &'static str,
    run: fn(&Stage) -> Result,
}

/// Lists the tests of a room: functions of a stage.
macro_rules! tests {
    ($($name:ident),+ $(,)?) => {
        pub(super) const TESTS: &[crate::Test] = &[
            $(crate::Test { name: stringify!($name), run: $name }),+
        ];
    };
}
use tests;

/// The rooms, and whether the tests in them use the client.
const ROOMS: &[(&str, &[Test], bool)] = &[
    ("child", child::TESTS, false),
    ("command_line", command_line::TESTS, false),
    ("ctl", ctl::TESTS, true),
    ("daemon", daemon::TESTS, false),
    ("events", events::TESTS, false),
    ("fcgi", fcgi::TESTS, false),
    ("http", http::TESTS, false),
    ("info", info::TESTS, false),
    ("listeners", listeners::TESTS, false),
    ("logs", logs::TESTS, false),
    ("others", others::TESTS, false),
    ("reload", reload::TESTS, false),
    ("rpc", rpc::TESTS, false),
    ("states", states::TESTS, false),
];

/// Who is tried with whom, and what that is called.
const PAIRS: [(&str, Subject, Subject); 4] = [
    ("original", Subject::Original, Subject::Original),
    ("ward", Subject::Ward, Subject::Original),
    ("original_by_ward", Subject::Original, Subject::Ward),
    ("ward_by_ward", Subject::Ward, Subject::Ward),
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    let kit = Kit::find(
        Path::new(env!("CARGO_BIN_EXE_ward")),
        Path::new(env!("CARGO_TARGET_TMPDIR")),
    );
    match kit {
        Ok(kit) => libtest_mimic::run(&arguments, trials(&Arc::new(kit))).exit_code(),
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn trials(kit: &Arc<Kit>) -> Vec<Trial> {
    let mut trials = vec![Trial::test("differences_are_looked_at", || {
        differences::all_are_used().map_err(Failed::from)
    })];
    for (pair, daemon, client) in PAIRS {
        for (room, tests, by_client) in ROOMS {
            if client != Subject::Original && !by_client {
                continue;
            }
            // Those without a client run where the original cannot be had, too.
            let possible = kit.has(daemon) && (!by_client || kit.has(client));
            for test in *tests {
                let name = format!("{pair}::{room}::{}", test.name);
                let expected = differences::expected_to_fail(daemon, room, test.name);
                let kit = Arc::clone(kit);
                let trial = Trial::test(name, move || {
                    let result = tried(&kit, daemon, client, test);
                    match (result, expected) {
                        (Ok(()), None) | (Err(_), Some(_)) => Ok(()),
                        (Err(failed), None) => Err(failed),
                        (Ok(()), Some(reason)) => Err(Failed::from(format!(
                            "it was to fail ({reason}) and does not: strike it off the list"
                        ))),
                    }
                });
                trials.push(trial.with_ignored_flag(!possible));
            }
        }
    }
    trials
}

fn tried(
    kit: &Kit,
    daemon: Subject,
    client: Subject,
    test: &Test,
) -> std::result::Result<(), Failed> {
    let failed = |error: anyhow::Error| Failed::from(format!("{error:?}"));
    let stage = Stage::new(kit, daemon, client, differences::DIFFERENCES).map_err(failed)?;
    let run = std::panic::AssertUnwindSafe(|| (test.run)(&stage));
    match std::panic::catch_unwind(run) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Failed::from(format!("{error:#}\n{}", stage.evidence()))),
        Err(panic) => {
            let said = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("a panic");
            Err(Failed::from(format!("{said}\n{}", stage.evidence())))
        }
    }
}
