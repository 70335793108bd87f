//! `ward build log`: a build's console.

use std::io::{self, Write as _};
use std::process::ExitCode;

use ward_model::build::BuildResult;
use ward_model::exit_code;

use super::answers::{self, Build, OF_BUILD, build_path};
use super::connection::Server;
use super::progress::{Pauses, Telling, watch};
use super::where_to;
use crate::args::LogArgs;
use crate::failure::Failure;

/// Shows it.
pub(super) fn run(arguments: &LogArgs) -> Result<ExitCode, Failure> {
    let server = where_to::server(&arguments.at)?;
    let job = &arguments.job;
    if !arguments.follow {
        let path = build_path(job, &arguments.build);
        server.pour(&format!("{path}/consoleText"), &mut write)?;
        return Ok(ExitCode::SUCCESS);
    }
    // The newest may be another one by the next question.
    let build = answers::build(&server, job, &arguments.build, OF_BUILD)?;
    let ended = follow(&server, job, build.number)?;
    Ok(ExitCode::from(status(&ended)))
}

/// Writes a console to standard output as it grows; gives the build when it is over.
pub(super) fn follow(server: &Server, job: &str, number: u32) -> Result<Build, Failure> {
    let path = build_path(job, &number.to_string());
    let mut pauses = Pauses::new();
    let mut start = 0_u64;
    let mut is_after_return = false;
    loop {
        let rest = format!("{path}/logText/progressiveText?start={start}");
        let poured = server.pour(&rest, &mut |part| {
            write(&unix_lines(part, &mut is_after_return))
        })?;
        let Some(head) = poured else {
            return answers::build(server, job, &number.to_string(), OF_BUILD);
        };
        let size = head.field("x-text-size");
        let next = size.and_then(|size| size.parse().ok()).unwrap_or(start);
        if head.field("x-more-data").is_none() {
            break;
        }
        if next > start {
            pauses = Pauses::new();
        }
        start = next;
        pauses.pause();
    }
    watch(server, job, number, Telling::Nothing)
}

/// The exit status that tells a build's result.
pub(super) fn status(build: &Build) -> u8 {
    exit_code::of_build(build.result.unwrap_or(BuildResult::NotBuilt))
}

fn write(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(bytes)?;
    out.flush()
}

/// Lines as Unix has them: on their way they end with CR LF. `is_after_return`: the part before this one
/// ended between the two.
fn unix_lines(bytes: &[u8], is_after_return: &mut bool) -> Vec<u8> {
    let mut lines = Vec::with_capacity(bytes.len() + 1);
    for byte in bytes {
        if *is_after_return && *byte != b'\n' {
            lines.push(b'\r');
        }
        *is_after_return = *byte == b'\r';
        if !*is_after_return {
            lines.push(*byte);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::unix_lines;

    #[test]
    fn line_ends_are_found_wherever_the_text_is_cut() {
        let sent = b"a\r\nb\rc\r\r\nd";
        for cut in 0..=sent.len() {
            let (first, second) = sent.split_at(cut);
            let mut is_after = false;
            let mut text = unix_lines(first, &mut is_after);
            text.extend(unix_lines(second, &mut is_after));
            assert_eq!(text, b"a\nb\rc\r\nd", "{cut}");
        }
    }
}
