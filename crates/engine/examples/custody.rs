//! Runs a shell command in custody from inside another program, streams its output, stops
//! it if it takes too long, and tells the truth about its end.
//!
//! ```text
//! cargo run -p ward-engine --example custody -- 'echo hello; sleep 600 & exit 3'
//! ```

#![forbid(unsafe_code)]

use std::io::{BufRead, BufReader};
use std::time::Duration;

use ward_engine::embed::{self, Event, Run, Stream};
use ward_model::life::Policy;
use ward_model::spec::Spec;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // This executable is its own guardian: started as one, it never gets past this line.
    embed::guardian_entry();

    let script = std::env::args().nth(1).unwrap_or_else(|| {
        "echo building; (trap '' TERM; sleep 600) & echo built; exit 3".to_owned()
    });
    let mut spec = Spec::new(vec!["sh".into(), "-c".into(), script.into()]);
    spec.environment = std::env::vars_os().collect();
    spec.merge = true;
    spec.policy = Policy {
        timeout: Some(Duration::from_secs(30)),
        grace: Duration::from_secs(1),
        leftover_grace: Duration::from_millis(200),
        ..Policy::default()
    };

    let mut run = Run::start(spec, Stream::Pipe, Stream::Inherit)?;
    let stdout = run.take_stdout().ok_or("standard output was asked for")?;
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            println!("| {line}");
        }
    });
    let report = loop {
        match run.next_event()? {
            Event::Started { leader } => println!("started as process {leader}"),
            Event::Ended(report) => break report,
            _ => {}
        }
    };
    // The guardian has let go of the pipe, so this ends even if somebody else has not.
    reader.join().map_err(|_| "the reader panicked")?;
    println!(
        "exit status {}, {} left over, {} killed, by {:?}",
        report.exit_status, report.left_over.count, report.killed.count, report.containment.rung
    );
    Ok(())
}
