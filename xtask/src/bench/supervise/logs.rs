//! Output into log files that rotate: how fast, for how much CPU, and whether all of it arrives.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::super::results::{Bound, Goal};
use super::super::setup::{Setup, wait_until};
use super::account::Use;
use super::beacon::{Kind as Said, now};
use super::contestants::{Contestant, FLOOR, Field, WARD};
use super::gathered::{Gathered, Quantity};
use super::scene::Output;
use super::session::{Session, Work};

/// As in `load.c`.
const LINE: usize = 100;
const NUMBER_AT: usize = 9;
const NUMBER_DIGITS: usize = 12;

/// Of all writers together.
const BYTES: u64 = 400_000_000;
const QUICK_SHARE: u64 = 4;
/// How long writing and logging may take.
const LIMIT: Duration = Duration::from_secs(120);

/// Writers of one kind.
#[derive(Clone, Copy)]
struct Writers {
    count: u32,
    /// Lines.
    per_write: u64,
    speed: Quantity,
    time: Quantity,
}

const BLOCKS: Writers = Writers {
    count: 1,
    per_write: 655,
    speed: Quantity::BlockSpeed,
    time: Quantity::BlockTime,
};
const LINES: Writers = Writers {
    count: 100,
    per_write: 1,
    speed: Quantity::LineSpeed,
    time: Quantity::LineTime,
};

pub(super) fn measure(
    setup: &mut Setup,
    field: &Field,
    gathered: &mut Gathered,
    missing: &mut Vec<String>,
) -> Result<Vec<Goal>> {
    for writers in [BLOCKS, LINES] {
        let mut all: Vec<(&Contestant, Option<String>)> = field
            .all
            .iter()
            .map(|contestant| (contestant, None))
            .collect();
        if writers.count == 1 {
            all.push((&field.pump, None));
        }
        let what = format!("log of {} writers", writers.count);
        let rounds = setup.rounds;
        setup.in_turn(&what, rounds, &mut all, |setup, (contestant, failed)| {
            if failed.is_none() {
                match once(setup, field, contestant, writers) {
                    Ok((speed, time)) => {
                        let name = contestant.name;
                        gathered.add(writers.speed, writers.count, name, vec![speed]);
                        gathered.add(writers.time, writers.count, name, vec![time]);
                    }
                    Err(error) => *failed = Some(format!("{error:#}")),
                }
            }
            Ok(())
        })?;
        missing.extend(all.iter().filter_map(|(contestant, failed)| {
            Some(format!("{what}, {}: {}", contestant.name, failed.as_ref()?))
        }));
    }
    let goal = |what: &str, writers: Writers, name| Goal {
        what: format!("log of {what}, of a bare splice pump"),
        value: gathered.ratio(writers.speed, writers.count, name, FLOOR),
        bound: Bound::AtLeast(0.9),
    };
    Ok(vec![
        goal("one writer through ward", BLOCKS, WARD),
        goal(
            "one writer through ward's pump alone",
            BLOCKS,
            field.pump.name,
        ),
        goal("100 writers through ward", LINES, WARD),
    ])
}

/// Megabytes per second, and CPU seconds per gigabyte without those of the writers.
fn once(
    setup: &Setup,
    field: &Field,
    contestant: &Contestant,
    writers: Writers,
) -> Result<(f64, f64)> {
    let all = if setup.quick {
        BYTES / QUICK_SHARE
    } else {
        BYTES
    };
    let count = u64::from(writers.count);
    let bytes = all / count / LINE as u64 * LINE as u64;
    let total = bytes * count;
    let work = Work::Lines {
        bytes,
        per_write: writers.per_write,
    };
    let what = (writers.count as usize, work, Output::Logs);
    Session::with(setup, contestant, &field.load, what, |session| {
        session.wait_for_all().context("starting")?;
        let pids = session.supervisors()?;
        let before = Use::of(&pids).context("reading what it used")?;
        let gate = session.open_gate()?;
        let end = wait_until("all lines are in the logs", LIMIT, || {
            session.expect_alive()?;
            session.beacon.look().context("reading the beacon")?;
            let written = session.beacon.firsts(Said::Wrote);
            if written.len() < writers.count as usize {
                return Ok(None);
            }
            Ok((size(session, writers.count) >= total).then(now))
        })
        .with_context(|| format!("{} of {total} bytes came", size(session, writers.count)))?;
        drop(gate);
        let pids = session.supervisors()?;
        let used = Use::of(&pids)
            .context("reading what it used")?
            .since(before);
        let began = session.beacon.firsts(Said::Writes).into_values().min();
        let seconds = end.saturating_sub(began.unwrap_or(end)) as f64 / 1e9;
        ensure!(seconds > 0.0, "it took no time");
        for writer in 0..writers.count {
            let files = session.scene.log_files(writer as usize);
            whole(&files, bytes / LINE as u64).with_context(|| format!("the log of p{writer}"))?;
        }
        let gigabytes = total as f64 / 1e9;
        Ok((
            gigabytes * 1e3 / seconds,
            used.nanoseconds as f64 / 1e9 / gigabytes,
        ))
    })
}

fn size(session: &Session, writers: u32) -> u64 {
    (0..writers as usize)
        .flat_map(|writer| session.scene.log_files(writer))
        .filter_map(|file| fs::metadata(file).ok())
        .map(|metadata| metadata.len())
        .sum()
}

/// Fails unless these files hold every line once and in its order.
fn whole(files: &[PathBuf], lines: u64) -> Result<()> {
    let mut line = [0; LINE];
    let mut all: Box<dyn Read> = Box::new(std::io::empty());
    for file in files {
        let file = File::open(file).with_context(|| format!("opening {}", file.display()))?;
        all = Box::new(all.chain(file));
    }
    let mut all = BufReader::with_capacity(1 << 20, all);
    for number in 0..lines {
        all.read_exact(&mut line)
            .with_context(|| format!("line {number}"))?;
        let is_whole = line[LINE - 1] == b'\n' && self::number(&line) == Some(number);
        ensure!(
            is_whole,
            "line {number} is `{}`",
            String::from_utf8_lossy(&line).trim_end()
        );
    }
    ensure!(
        all.read(&mut line).context("reading")? == 0,
        "there is more than was written"
    );
    Ok(())
}

fn number(line: &[u8; LINE]) -> Option<u64> {
    let digits = line.get(NUMBER_AT..NUMBER_AT + NUMBER_DIGITS)?;
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u64) -> Vec<u8> {
        format!("00000000 {number:012x} {}\n", "x".repeat(77)).into_bytes()
    }

    #[test]
    fn a_line_that_is_lost_torn_or_doubled_is_found() {
        let directory = std::env::temp_dir().join(format!("ward-lines-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let files = [directory.join("old"), directory.join("new")];
        let with = |text: &[u8]| {
            // A file may end inside a line.
            let (old, new) = text.split_at(text.len().min(130));
            fs::write(&files[0], old).unwrap();
            fs::write(&files[1], new).unwrap();
            whole(&files, 3).is_ok()
        };
        let verdicts = [
            with(&[line(0), line(1), line(2)].concat()),
            with(&[line(0), line(2)].concat()),
            with(&[line(0), line(1)[..50].to_vec(), line(2)].concat()),
            with(&[line(0), line(1), line(1), line(2)].concat()),
            with(&[line(0), line(1), line(2), line(3)].concat()),
        ];
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(verdicts, [true, false, false, false, false]);
    }
}
