//! What is known of a command whose guardian was killed, in the form of every other report.

use std::time::Duration;

use ward_model::exit_code;
use ward_model::life::{CauseKind, End};
use ward_model::report::{Containment, FORMAT, Listed, Output, Report, Times, Usage};
use ward_model::rung::Rung;

use super::worker::Remains;
use crate::console;

/// The report that its guardian cannot write any more.
pub(super) fn report(remains: &Remains, killed: Listed, survivors: Listed) -> Report {
    let started = Duration::from_millis(u64::try_from(remains.started_at).unwrap_or(0));
    let took = console::now().saturating_sub(remains.started_at).max(0);
    let over = Duration::from_millis(u64::try_from(took).unwrap_or(0)).as_secs_f64();
    let began = std::time::SystemTime::UNIX_EPOCH + started;
    Report {
        format: FORMAT.to_owned(),
        ward: env!("CARGO_PKG_VERSION").to_owned(),
        run_id: String::new(),
        command: remains.command.clone(),
        started_at: humantime::format_rfc3339_millis(began).to_string(),
        exit_status: exit_code::WARD_FAILED,
        end: End::Unknown,
        failure: None,
        cause: Some(CauseKind::FrontLost),
        stops: Vec::new(),
        stopped_before_end: false,
        forced: killed.count > 0,
        hurried: false,
        times: Times {
            over,
            ..Times::default()
        },
        told: Listed::default(),
        cleaned_up: Listed::default(),
        killed,
        left_over: Listed::default(),
        spared: Listed::default(),
        survivors,
        output: Output::default(),
        usage: Usage::default(),
        containment: Containment {
            rung: Rung::Guardian,
            why_not_higher: None,
            limits_missing: Vec::new(),
        },
        guardian_lost: true,
    }
}
