//! Keeper and daemon under attack: whoever is killed, and when, no program runs twice, no end is told
//! twice or never, and no byte of output is lost.
//!
//! `WARD_TEST_ROUNDS` says how often is killed (200 if it says nothing).
//!
//! Keeper, daemon and programs are this very program again: what to be is looked at first, before there
//! are threads, and so it has no harness but its own.

#![forbid(unsafe_code)]

mod ends;
mod handed;
mod lives;
mod obey;
mod program;
mod storm;
mod world;

use std::process::ExitCode;

use ward_supervise::keeper::{self, Custody};
use ward_testkit::cases::{self, Case};

type Result<T = ()> = anyhow::Result<T>;

/// What a process of a test is to do.
pub(crate) const TASK: &str = "WARD_TEST_KEEPER_TASK";
/// Where everything of a test is.
pub(crate) const PLACE: &str = "WARD_TEST_KEEPER_PLACE";

const CASES: &[Case] = &[
    ("a_program_lives_and_ends", lives::lives_and_ends),
    ("a_program_has_only_what_is_its_own", lives::only_its_own),
    ("a_program_closes_its_streams", lives::closes_its_streams),
    ("outputs_that_go_nowhere", lives::outputs_nowhere),
    ("orphans_are_reaped_and_told_of", lives::orphans),
    ("signals_reach_whom_they_are_for", lives::signals),
    ("what_cannot_be_executed", lives::cannot_be_executed),
    ("names_and_slots", lives::names_and_slots),
    ("left_overs_go_on_writing", lives::left_overs),
    ("a_thousand_programs", lives::a_thousand),
    ("the_disk_is_full", lives::disk_full),
    ("the_daemon_is_killed", ends::daemon_killed),
    ("the_keeper_is_killed", ends::keeper_killed),
    ("both_are_killed", ends::both_killed),
    ("whom_nobody_reads_survives_all_of_them", ends::nobody_reads),
    ("many_end_while_the_daemon_is_stopped", ends::daemon_stopped),
    ("how_a_daemon_ends_is_understood", ends::exit_statuses),
    ("the_first_daemon_fails", ends::first_fails),
    ("in_the_background", ends::background),
    ("the_first_process_of_a_container", ends::first_process),
    ("a_role_set_by_hand", ends::role_by_hand),
    ("the_executable_is_replaced", handed::upgrade),
    ("the_executable_is_something_else", handed::no_upgrade),
    ("kept_descriptors_survive", handed::kept),
    ("daemons_are_killed_at_random", storm::daemons),
    ("keepers_are_killed_at_random", storm::keepers),
    ("anybody_is_killed_at_random", storm::anybody),
];

fn main() -> ExitCode {
    if let Some(code) = keeper::by_role() {
        return code;
    }
    let task = std::env::var(TASK).unwrap_or_default();
    if let Some(custody) = Custody::from_role() {
        return match custody {
            Ok(custody) if task == "storm" => storm::daemon(custody),
            Ok(custody) => obey::daemon(custody),
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::from(2)
            }
        };
    }
    match task.as_str() {
        "" => cases::run(CASES.iter().copied()),
        "program" => program::main(),
        "background" => world::keep(true),
        _ => world::keep(false),
    }
}
