//! What a part of a build works with: the console, and commands in custody.
//!
//! Whatever is done in a build (checkout, steps, archiving) writes to the console and runs commands
//! through this alone, so that secrets are masked, a stop reaches whatever runs, and nothing is left
//! behind.

use ward_engine::EngineError;
use ward_model::report::Report;
use ward_model::spec::Spec;

/// The console of a build, and its way to run commands.
pub trait Desk {
    /// Writes one line to the console; its end is added. What a command wrote before without an end
    /// of line is ended first.
    fn line(&mut self, text: &str);

    /// Writes bytes to the console as they are. Secrets are masked.
    fn write(&mut self, bytes: &[u8]);

    /// Runs a command in custody, and waits until its whole tree is over.
    ///
    /// Its environment, directory, user and own time limits are what the spec says. Its standard input, how
    /// long its clean-up may take, and where its streams go, are the build's to say: with `capture`, so many
    /// bytes of its standard output at most are kept (and of its standard error, if the spec merges them),
    /// what is beyond is read and dropped, and the rest goes to the console; else everything does.
    ///
    /// If the build is being stopped already, and this is not part of what is done in spite of that,
    /// the command is not started: [`Ran::is_skipped`].
    ///
    /// # Errors
    /// When it cannot be had in custody. A command that cannot be started is told by the report.
    fn run(&mut self, command: Spec, capture: Option<usize>) -> Result<Ran, EngineError>;

    /// Whether somebody, or a time limit, has stopped the build: what goes on for longer should end.
    fn is_stopping(&self) -> bool;
}

/// A command that is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Ran {
    /// The truth about it; none if the build was being stopped, and so it was not started.
    pub report: Option<Box<Report>>,
    /// What it wrote to standard output, where that was asked for.
    pub stdout: Vec<u8>,
    /// It wrote more than was asked for.
    pub cut: bool,
}

impl Ran {
    /// Whether it was not started, as the build was being stopped.
    #[must_use]
    pub fn is_skipped(&self) -> bool {
        self.report.is_none()
    }

    /// Whether it ran, and ended with status 0, and nobody stopped it.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.report.as_ref().is_some_and(|report| {
            report.exit_status == 0 && report.failure.is_none() && !report.stopped_before_end
        })
    }
}
