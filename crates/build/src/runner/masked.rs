//! What goes into files beside the console, without secrets too.

use ward_model::report::{Listed, Report};

use crate::console::Console;
use crate::outcome::TestSuite;

/// Masks command lines, as processes have secrets among their arguments.
pub(super) fn report(console: &Console, report: &mut Report) {
    for word in &mut report.command {
        mask(console, word);
    }
    for list in [
        &mut report.told,
        &mut report.cleaned_up,
        &mut report.killed,
        &mut report.left_over,
        &mut report.spared,
        &mut report.survivors,
    ] {
        listed(console, list);
    }
}

fn listed(console: &Console, list: &mut Listed) {
    for process in &mut list.processes {
        mask(console, &mut process.command);
    }
}

/// Masks what tests said.
pub(super) fn tests(console: &Console, suites: &mut [TestSuite]) {
    for suite in suites {
        mask(console, &mut suite.name);
        for case in &mut suite.cases {
            mask(console, &mut case.class);
            mask(console, &mut case.name);
            let more = [
                &mut case.message,
                &mut case.details,
                &mut case.stdout,
                &mut case.stderr,
            ];
            for text in more.into_iter().flatten() {
                mask(console, text);
            }
        }
    }
}

fn mask(console: &Console, text: &mut String) {
    if let Some(masked) = console.masked(text) {
        *text = masked;
    }
}
