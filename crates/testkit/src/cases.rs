//! Tests of a program that has no harness of the compiler's, because it must be able to become somebody else
//! (a guardian, a runner, a keeper) before anything else happens in it.
//!
//! Its `main` looks at what it is to be and ends with [`run`]. The words of `cargo test -- …` mean what they mean
//! elsewhere: a part of a name, `--exact`, `--skip`, `--list`, `--nocapture`.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

/// A test: its name, and what it does.
pub type Case = (&'static str, fn() -> anyhow::Result<()>);

/// Runs those that are asked for, one after another, in this thread. A panic is a failure like any other; what
/// failed is told whole, with all its causes.
///
/// `--test-threads` is not heeded: such tests begin and kill processes that are this program again, and nothing
/// may be going on beside them.
#[must_use]
pub fn run<N, C>(cases: impl IntoIterator<Item = (N, C)>) -> ExitCode
where
    N: Into<String>,
    C: FnOnce() -> anyhow::Result<()> + Send + 'static,
{
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    run_as_asked(&arguments, cases)
}

/// Like [`run`], for tests that mostly wait: `at_once` of them at a time, unless `--test-threads` says another
/// number.
#[must_use]
pub fn run_beside_each_other<N, C>(
    at_once: usize,
    cases: impl IntoIterator<Item = (N, C)>,
) -> ExitCode
where
    N: Into<String>,
    C: FnOnce() -> anyhow::Result<()> + Send + 'static,
{
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(at_once);
    run_as_asked(&arguments, cases)
}

fn run_as_asked<N, C>(arguments: &Arguments, cases: impl IntoIterator<Item = (N, C)>) -> ExitCode
where
    N: Into<String>,
    C: FnOnce() -> anyhow::Result<()> + Send + 'static,
{
    let trial =
        |(name, case): (N, C)| Trial::test(name, move || case().map_err(|error| whole(&error)));
    libtest_mimic::run(arguments, cases.into_iter().map(trial).collect()).exit_code()
}

/// With all causes, a line each.
fn whole(error: &anyhow::Error) -> Failed {
    Failed::from(format!("{error:?}"))
}
