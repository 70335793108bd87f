//! Moves pipes into log files as fast as it can, to be compared with a bare splice(2).
//!
//! `log-pump [-strip] [-observe] LOG MAXBYTES BACKUPS [FIFO...]`: from standard input, which has to be a
//! pipe, to LOG; or from each FIFO to LOG.0, LOG.1 and so on. Ends when all are at their end, and says
//! how much it was: `{"bytes":..,"wall":..}` on standard error.

#![forbid(unsafe_code)]

use std::error::Error;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use ward_supervise::api::Stream;
use ward_supervise::logs::{Channel, ChannelSettings, Files, Next, Yield};

/// Of one channel in one turn, bytes.
const BUDGET: usize = 1 << 20;

struct Pump {
    channel: Channel,
    /// Until then it is left alone.
    pause: Option<Instant>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let mut flag = |name: &str| {
        let before = words.len();
        words.retain(|word| word != name);
        words.len() < before
    };
    let (strip, observe) = (flag("-strip"), flag("-observe"));
    let [log, maxbytes, backups, fifos @ ..] = words.as_slice() else {
        return Err("usage: log-pump [-strip] [-observe] LOG MAXBYTES BACKUPS [FIFO...]".into());
    };
    let (maxbytes, backups) = (maxbytes.parse()?, backups.parse()?);
    let files = Files::default();
    let pump = |reader: OwnedFd, path: &Path| {
        let settings = ChannelSettings {
            name: "pump".into(),
            stream: Stream::Stdout,
            log: Some(files.log(path, maxbytes, backups)),
            syslog: None,
            strip_ansi: strip,
            capture_maxbytes: 0,
            observed: observe,
            listener: None,
            spool: PathBuf::from(format!("{}.spool", path.display())),
        };
        Pump {
            channel: Channel::new(&files, reader, settings),
            pause: None,
        }
    };
    let mut pumps = Vec::new();
    if fifos.is_empty() {
        let reader = std::io::stdin().as_fd().try_clone_to_owned()?;
        pumps.push(pump(reader, Path::new(log)));
    }
    for (number, fifo) in fifos.iter().enumerate() {
        let mut options = File::options();
        let reader = options
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed());
        let path = PathBuf::from(format!("{log}.{number}"));
        pumps.push(pump(reader.open(fifo)?.into(), &path));
    }
    let (mut bytes, mut turns) = (0, 0_u64);
    let mut first = None;
    while !pumps.is_empty() {
        wait(&pumps)?;
        let start = *first.get_or_insert_with(Instant::now);
        pumps.retain_mut(|pump| {
            let now = Instant::now();
            if pump.pause.is_some_and(|pause| pause > now) {
                return true;
            }
            let progress = pump.channel.turn(BUDGET, &mut say);
            bytes += progress.moved;
            turns += 1;
            pump.pause = match progress.next {
                Next::After(time) | Next::Blocked(time) => Some(now + time),
                Next::Readable | Next::Now | Next::End => None,
            };
            // A FIFO that nobody has opened yet is at its end as well.
            let over = progress.next == Next::End && (bytes > 0 || start.elapsed().as_secs() > 5);
            if over {
                pump.channel.finish(&mut say);
            }
            !over
        });
    }
    let wall = first.map_or(0.0, |first| first.elapsed().as_secs_f64());
    eprintln!("{{\"bytes\":{bytes},\"wall\":{wall:.4},\"turns\":{turns}}}");
    Ok(())
}

fn say(what: Yield<'_>) {
    if let Yield::Said(notice) = what {
        eprintln!("{}", notice.text);
    }
}

/// Until one of them has something, or its pause is over.
fn wait(pumps: &[Pump]) -> Result<(), Box<dyn Error>> {
    let now = Instant::now();
    let due = |pump: &&Pump| pump.pause.is_none_or(|pause| pause <= now);
    let mut fds: Vec<_> = pumps
        .iter()
        .filter(due)
        .map(|pump| PollFd::from_borrowed_fd(pump.channel.fifo(), PollFlags::IN))
        .collect();
    let next = pumps.iter().filter_map(|pump| pump.pause).min();
    let limit = next.map(|next| {
        next.saturating_duration_since(now)
            .max(Duration::from_micros(100))
    });
    let limit = limit.map(Timespec::try_from).transpose()?;
    poll(&mut fds, limit.as_ref())?;
    Ok(())
}
