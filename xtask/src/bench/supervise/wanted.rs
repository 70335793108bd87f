//! What is to be measured, as the command line says it.

use std::ffi::OsString;

use clap::{Args, ValueEnum};

/// A part of the measurement that can be asked for alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Part {
    /// Until the last of many programs runs
    Start,
    /// What the supervisor's processes hold
    Memory,
    /// What they do while nothing happens
    Idle,
    /// The command that lists all programs
    Status,
    /// From the death of a program until it runs again
    Restart,
    /// Until the last of many programs is gone
    Stop,
    /// Output into log files
    Logs,
}

/// Which parts, and with how many programs.
#[derive(Args, Clone, Debug)]
pub(crate) struct Wanted {
    /// Measure this part alone
    #[arg(long, value_enum, value_name = "PART")]
    only: Option<Part>,
    /// Supervise no more than this many programs at a time [default: 5000, with --quick 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=5000))]
    most: Option<u32>,
}

impl Wanted {
    /// Everything.
    pub(in super::super) const ALL: Self = Self {
        only: None,
        most: None,
    };

    /// Whether a part is to be measured.
    pub(super) fn has(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }

    /// How many programs there may be.
    pub(super) fn most(&self, quick: bool) -> u32 {
        self.most.unwrap_or(if quick { 1_000 } else { 5_000 })
    }

    /// The arguments that make another process want the same.
    pub(in super::super) fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = Vec::new();
        if let Some(part) = self.only.and_then(|part| part.to_possible_value()) {
            arguments.extend(["--only".into(), part.get_name().into()]);
        }
        if let Some(most) = self.most {
            arguments.extend(["--most".into(), most.to_string().into()]);
        }
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Reader {
        #[command(flatten)]
        wanted: Wanted,
    }

    #[test]
    fn what_is_wanted_survives_being_told() {
        let wanted = Wanted {
            only: Some(Part::Restart),
            most: Some(7),
        };
        let told = [vec!["reader".into()], wanted.arguments()].concat();
        let read = Reader::try_parse_from(told).unwrap().wanted;
        assert!(read.has(Part::Restart) && !read.has(Part::Start));
        assert_eq!(read.most(true), 7);
        assert!(Wanted::ALL.arguments().is_empty());
        assert_eq!(
            (Wanted::ALL.most(true), Wanted::ALL.most(false)),
            (1_000, 5_000)
        );
    }
}
