//! How long a line takes from the step that prints it to whoever follows the console.
//!
//! The step prints the time; whoever reads it looks at the clock.

use std::io::Read;
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};

use super::gathered::{Figure, Samples};
use super::scene::{LOOK, PATIENCE, Scene, milliseconds};

const FIRST_LINE: Figure = Figure("request to the first line of a step", "ms");
const BY_TEXT: Figure = Figure("a printed line until progressiveText has it", "ms");
const BY_EVENTS: Figure = Figure("a printed line until server-sent events have it", "ms");

/// The job that prints the time.
const JOB: &str = "lines";
/// How often it does so in a build.
const LINES: usize = 10;

/// Follows build 1 by asking again and again, and build 2 by events.
pub(super) fn measure(scene: &Scene) -> Result<Samples> {
    let (first, asked) = by_text(scene, 1).context("progressiveText")?;
    let told = by_events(scene, 2).context("server-sent events")?;
    for (what, lines) in [("progressiveText", &asked), ("events", &told)] {
        ensure!(
            lines.len() == LINES,
            "{} lines of {LINES} by {what}",
            lines.len()
        );
    }
    Ok(vec![
        (FIRST_LINE, vec![first]),
        (BY_TEXT, asked),
        (BY_EVENTS, told),
    ])
}

/// Milliseconds until the first line, and each line's way.
fn by_text(scene: &Scene, number: u64) -> Result<(f64, Vec<f64>)> {
    let begun = Instant::now();
    scene.client.start(&format!("/job/{JOB}/build"))?;
    let mut first = None;
    let mut ways = Vec::new();
    let mut start = String::from("0");
    let mut times = Times::default();
    loop {
        ensure!(begun.elapsed() < PATIENCE, "it does not end");
        let path = format!("/job/{JOB}/{number}/logText/progressiveText?start={start}");
        let Ok(answer) = scene.client.ask("GET", &path) else {
            // It has no number yet.
            thread::sleep(LOOK);
            continue;
        };
        let now = since_epoch()?;
        for said in times.take(&answer.body) {
            first.get_or_insert_with(|| milliseconds(begun));
            ways.push((now - said) * 1e3);
        }
        if let Some(size) = answer.field("x-text-size") {
            start = size;
        }
        if answer.field("x-more-data").is_none() {
            return Ok((first.context("no line came")?, ways));
        }
        thread::sleep(LOOK);
    }
}

fn by_events(scene: &Scene, number: u64) -> Result<Vec<f64>> {
    scene.client.start(&format!("/job/{JOB}/build"))?;
    let begun = Instant::now();
    while scene
        .client
        .ask("GET", &format!("/job/{JOB}/{number}/api/json?tree=number"))
        .is_err()
    {
        ensure!(begun.elapsed() < PATIENCE, "it does not begin");
        thread::sleep(LOOK);
    }
    let mut events = scene
        .client
        .stream(&format!("/job/{JOB}/{number}/ward/events"))?;
    let mut times = Times::default();
    let mut ways = Vec::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        let count = events.read(&mut piece).context("reading events")?;
        if count == 0 {
            return Ok(ways);
        }
        let now = since_epoch()?;
        ways.extend(
            times
                .take(&piece[..count])
                .into_iter()
                .map(|said| (now - said) * 1e3),
        );
        if begun.elapsed() > PATIENCE {
            bail!("it does not end");
        }
    }
}

fn since_epoch() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64())
}

/// Finds the times in what comes piece by piece, be it text or markup: a line is `at=` with seconds since the
/// epoch, and a full stop at its end, so that none is taken before it is whole.
#[derive(Default)]
struct Times(String);

impl Times {
    fn take(&mut self, piece: &[u8]) -> Vec<f64> {
        self.0.push_str(&String::from_utf8_lossy(piece));
        let mut found = Vec::new();
        while let Some((before, rest)) = self.0.split_once("at=") {
            let number = |c: char| c.is_ascii_digit() || c == '.';
            let Some(end) = rest.find(|c| !number(c)) else {
                // The rest of it is still to come.
                self.0 = self.0.split_off(before.len());
                return found;
            };
            if let Some(text) = rest[..end].strip_suffix('.')
                && let Ok(time) = text.parse()
            {
                found.push(time);
            }
            self.0 = rest[end..].to_owned();
        }
        let kept = self.0.len().saturating_sub(2);
        if self.0.is_char_boundary(kept) {
            self.0.drain(..kept);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::Times;

    #[test]
    fn times_are_found_however_they_are_cut() {
        let text = "event: text\ndata: <i>at=12.5.</i>\nat=x at=13.25.\n";
        assert_eq!(Times::default().take(text.as_bytes()), [12.5, 13.25]);
        let mut times = Times::default();
        let single: Vec<f64> = text
            .as_bytes()
            .chunks(1)
            .flat_map(|byte| times.take(byte))
            .collect();
        assert_eq!(single, [12.5, 13.25]);
    }
}
