//! `ward doctor`: what this host gives.

use std::process::ExitCode;

use ward_engine::doctor;

use crate::args::DoctorArgs;
use crate::failure::Failure;

/// Tries everything and tells what works.
pub(crate) fn run(arguments: &DoctorArgs) -> Result<ExitCode, Failure> {
    let diagnosis = doctor::examine();
    if arguments.json {
        let text = serde_json::to_string_pretty(&diagnosis)
            .map_err(|error| Failure::ours("cannot write JSON", &error))?;
        println!("{text}");
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "containment: {} ({})",
        diagnosis.rung.name(),
        diagnosis.because
    );
    for finding in &diagnosis.findings {
        let mark = if finding.works { "ok" } else { "no" };
        println!("  {mark}  {:<14} {}", finding.what, finding.detail);
        if let Some(better) = &finding.better {
            println!("      {:<14} better: {better}", "");
        }
    }
    Ok(ExitCode::SUCCESS)
}
