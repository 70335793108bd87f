//! The build server with real runners: what is accepted is built once, what is over is recorded once,
//! whoever is killed, and when.
//!
//! `WARD_TEST_ROUNDS` says how often is killed (20 if it says nothing).
//!
//! Servers, runners and guardians are this very program again: what to be is looked at first, and so it has
//! no harness but its own.

#![forbid(unsafe_code)]

mod bench;
mod builds;
mod history;
mod jobs;
mod killed;
mod repository;

use std::process::ExitCode;

use ward_testkit::cases::Case;

type Result<T = ()> = anyhow::Result<T>;

const CASES: &[Case] = &[
    ("an_empty_build", builds::empty),
    ("a_build_and_all_that_is_known_of_it", builds::known),
    ("a_thousand_requests", builds::thousand),
    ("requests_fold_wait_and_are_cancelled", builds::queue),
    ("parameters", builds::parameters),
    ("secrets_are_shown_nowhere", builds::secrets),
    ("a_build_is_stopped", builds::stopped),
    ("builds_beside_each_other", builds::concurrent),
    ("what_comes_after_a_build", builds::downstream),
    ("test_results", builds::tests),
    ("old_builds_go", builds::retention),
    ("people_are_told", builds::notified),
    ("a_quiet_server", builds::quiet),
    ("jobs_are_posted", jobs::posted),
    ("jobs_of_the_file", jobs::of_file),
    ("names_and_folders", jobs::names),
    ("documents_that_are_not_understood", jobs::documents),
    ("a_job_is_renamed", jobs::renamed),
    ("a_job_is_removed_while_it_builds", jobs::removed),
    ("another_configuration", jobs::reloaded),
    ("views", jobs::views),
    ("deliveries_are_heeded_once", jobs::deliveries),
    ("one_server_for_a_directory", history::one_server),
    ("an_older_history", history::older),
    ("a_damaged_history", history::damaged),
    ("a_copy_is_a_backup", history::backup),
    ("the_history_was_lost", history::lost),
    ("an_older_history_is_put_back", history::put_back),
    ("copies_of_a_history_in_use", history::copied),
    ("a_copy_is_named_where_it_is_needed", history::copy_is_named),
    ("ten_thousand_builds", history::many),
    ("the_history_cannot_be_written", history::unwritable),
    ("a_runner_is_killed", killed::runner),
    ("the_server_is_killed_while_it_builds", killed::server),
    ("a_shutdown_leaves_builds_or_stops_them", killed::shutdown),
    ("servers_are_killed_at_random", killed::storm),
    ("something_is_pushed", repository::pushed),
    ("what_was_built_of_each_branch", repository::previous),
];

fn main() -> ExitCode {
    ward_engine::embed::guardian_entry();
    if let Some(code) = ward_build::runner::by_role() {
        return code;
    }
    if let Some(code) = killed::by_role() {
        return code;
    }
    ward_testkit::cases::run(CASES.iter().copied())
}
