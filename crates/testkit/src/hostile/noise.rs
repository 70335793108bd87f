//! Moods about output: too much of it, numbered, random, in two streams, for ever.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::body::Body;
use crate::patience::wait_until;

/// What a writer ends with when nobody reads.
pub const BROKEN_PIPE: u8 = 74;

/// Bytes that look random and are the same each time.
#[must_use]
pub fn random_bytes(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(count + 8);
    while bytes.len() < count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(count);
    bytes
}

/// The line that `numbered-lines` prints for `number`.
#[must_use]
pub fn numbered_line(number: u64) -> String {
    format!("line {number:010}\n")
}

fn written(result: io::Result<()>) -> anyhow::Result<Option<ExitCode>> {
    match result {
        Ok(()) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            Ok(Some(ExitCode::from(BROKEN_PIPE)))
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) fn flood(body: &Body, bytes: u64) -> anyhow::Result<ExitCode> {
    let block = random_bytes(1, 64 * 1024);
    let mut left = if bytes == 0 { u64::MAX } else { bytes };
    let mut out = io::stdout().lock();
    body.sign()?;
    while left > 0 && !body.is_over() {
        let size = block.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if let Some(broken) = written(out.write_all(&block[..size]))? {
            return Ok(broken);
        }
        left -= size as u64;
    }
    written(out.flush())?;
    Ok(body.leave())
}

pub(super) fn numbered_lines(
    body: &Body,
    count: u64,
    pause: Option<u64>,
) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    let mut batch = String::new();
    let mut number = 0;
    body.sign()?;
    while (count == 0 || number < count) && !body.is_over() {
        number += 1;
        batch.push_str(&numbered_line(number));
        let full = pause.is_some() || batch.len() > 4000 || number == count;
        if full {
            if let Some(broken) = written(out.write_all(batch.as_bytes()))? {
                return Ok(broken);
            }
            batch.clear();
        }
        if let Some(pause) = pause {
            std::thread::sleep(Duration::from_millis(pause));
        }
    }
    written(out.flush())?;
    Ok(body.leave())
}

pub(super) fn both_streams(body: &Body, count: u64) -> anyhow::Result<ExitCode> {
    body.sign()?;
    for number in 1..=count {
        let line = numbered_line(number);
        if number % 2 == 1 {
            io::stdout().write_all(line.as_bytes())?;
        } else {
            io::stderr().write_all(line.as_bytes())?;
        }
    }
    Ok(body.leave())
}

pub(super) fn write_random_bytes(
    body: &Body,
    seed: u64,
    out: usize,
    err: usize,
) -> anyhow::Result<ExitCode> {
    // Past the buffer of the standard library, in pieces of odd sizes, in turn.
    let (out, err) = (random_bytes(seed, out), random_bytes(seed + 1, err));
    let mut streams = [
        (
            File::from(rustix::io::dup(rustix::stdio::stdout())?),
            out.as_slice(),
        ),
        (
            File::from(rustix::io::dup(rustix::stdio::stderr())?),
            err.as_slice(),
        ),
    ];
    body.sign()?;
    let mut piece = 1;
    while streams.iter().any(|(_, left)| !left.is_empty()) {
        for (stream, left) in &mut streams {
            let size = piece.min(left.len());
            stream.write_all(&left[..size])?;
            *left = &left[size..];
            piece = piece * 7 % 70_001 + 1;
        }
    }
    Ok(body.leave())
}

/// The number that a spared writer has counted to, or what stopped it.
///
/// # Errors
/// When it met a broken pipe, or the file cannot be read.
pub fn beats(file: &Path) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(file)?;
    let text = text.trim();
    text.parse()
        .map_err(|_| anyhow::anyhow!("the spared writer says `{text}`"))
}

pub(super) fn spared_writer(body: &Body, file: &Path) -> anyhow::Result<ExitCode> {
    let name = file.to_string_lossy();
    body.again(&["beat", &name])?
        .env("BUILD_ID", ward_model::cookie::DONT_KILL_ME)
        .spawn()?;
    wait_until("the first beat", || beats(file).is_ok_and(|beat| beat > 0))?;
    Ok(body.leave())
}

pub(super) fn beat(body: &Body, file: &Path) -> anyhow::Result<ExitCode> {
    let record = File::create(file)?;
    body.sign()?;
    let mut beat = 0_u64;
    // A kilobyte each time soon fills a pipe that nobody reads, even the largest one.
    let filler = ".".repeat(1000);
    while !body.is_over() {
        beat += 1;
        if let Err(error) = writeln!(io::stdout(), "beat {beat:010} {filler}") {
            record.write_all_at(format!("broken by {error}\n").as_bytes(), 0)?;
            return Ok(ExitCode::from(BROKEN_PIPE));
        }
        record.write_all_at(format!("{beat:010}\n").as_bytes(), 0)?;
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(ExitCode::SUCCESS)
}
