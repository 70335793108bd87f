//! `ward locks`: who holds and who waits.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ward_lock::{Directory, Ended, Listed, Listing, LockError, Locks, Past, Record};
use ward_model::exit_code;
use ward_model::lock::{Shape, Standing};

use super::lock::bear_a_limit_of_files;
use super::{locks_deeds, say};
use crate::args::LocksArgs;
use crate::failure::Failure;

/// How often it is looked for changes where they are watched.
const LOOK: Duration = Duration::from_millis(200);

pub(crate) fn run(arguments: &LocksArgs) -> Result<ExitCode, Failure> {
    bear_a_limit_of_files();
    match &arguments.deed {
        Some(deed) => locks_deeds::run(deed),
        None if arguments.history => history(arguments),
        None if arguments.watch => watch(arguments),
        None => list(arguments),
    }
}

fn show(text: &str) -> Result<ExitCode, Failure> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Failure::ours("cannot write", &error))?;
    Ok(ExitCode::SUCCESS)
}

fn json(value: &serde_json::Value) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::ours("cannot write", &error))?;
    Ok(format!("{text}\n"))
}

fn listed(arguments: &LocksArgs) -> Result<Listing, Failure> {
    #[cfg(feature = "etcd")]
    if let Some(cluster) = super::cluster::chosen(&arguments.cluster)? {
        return listed_in(&cluster.hosts, &arguments.names);
    }
    listed_in(
        &Directory::open(arguments.lock_dir.as_deref())?,
        &arguments.names,
    )
}

fn listed_in(locks: &impl Locks, names: &[String]) -> Result<Listing, Failure> {
    if names.is_empty() {
        return Ok(locks.list()?);
    }
    let mut listing = Listing::default();
    for name in names {
        match locks.show(name) {
            Ok(lock) => listing.locks.push(lock),
            // It may be a mistake, and is that of who asked; or it is not about this one.
            Err(error @ (LockError::Name(_) | LockError::Cluster { .. })) => {
                return Err(error.into());
            }
            Err(error) => listing.unreadable.push(error),
        }
    }
    Ok(listing)
}

/// Says which are missing in a listing.
fn complain(unreadable: &[LockError]) {
    for error in unreadable {
        say(&ward_engine::chain(error));
    }
}

fn list(arguments: &LocksArgs) -> Result<ExitCode, Failure> {
    let Listing { locks, unreadable } = listed(arguments)?;
    let text = if arguments.json {
        json(&serde_json::json!({ "locks": locks }))?
    } else {
        locks.iter().map(lines).collect()
    };
    show(&text)?;
    complain(&unreadable);
    // It is not all of them.
    Ok(if unreadable.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(exit_code::WARD_FAILED)
    })
}

/// A lock, and below it whoever holds and waits.
fn lines(lock: &Listed) -> String {
    let shape = match lock.shape {
        Shape::Modes => String::new(),
        Shape::Slots(slots) => {
            let taken: u32 = lock.holders.iter().map(|holder| holder.ask.take).sum();
            format!(", {taken} of {slots} slots taken")
        }
        Shape::Pool => ", a pool".to_owned(),
    };
    let mut text = format!(
        "{}: {} hold, {} wait{shape}\n",
        lock.name,
        lock.holders.len(),
        lock.waiting.len()
    );
    for record in lock.holders.iter().chain(&lock.waiting) {
        let word = match record.standing {
            Standing::Holding => "holds",
            Standing::Waiting => "waits",
        };
        let how = match lock.shape {
            Shape::Modes => record.ask.mode.to_string(),
            Shape::Slots(_) => format!("takes {}", record.ask.take),
            Shape::Pool if record.has.is_empty() => record.ask.among.join("|"),
            Shape::Pool => record.has.join(","),
        };
        let below = if record.ask.path.is_empty() {
            String::new()
        } else {
            format!("{}  ", record.name.escape_debug())
        };
        let priority = match record.ask.priority {
            0 => String::new(),
            priority => format!("priority {priority}  "),
        };
        text.push_str(&format!(
            "  {word}  {below}{how}  {priority}{}\n",
            record.summary()
        ));
    }
    text
}

/// Shows them again whenever something has changed, until it is interrupted or nobody reads.
fn watch(arguments: &LocksArgs) -> Result<ExitCode, Failure> {
    let mut last = None;
    let mut complained = 0;
    let terminal = std::io::stdout().is_terminal();
    loop {
        let Listing { locks, unreadable } = listed(arguments)?;
        if complained != unreadable.len() {
            complain(&unreadable);
            complained = unreadable.len();
        }
        let text = if arguments.json {
            format!("{}\n", serde_json::json!({ "locks": locks }))
        } else {
            locks.iter().map(lines).collect()
        };
        // On a terminal the ages run on; in a file each change is one entry.
        let key = if terminal {
            text.clone()
        } else {
            tickets(&locks)
        };
        if last.as_ref() != Some(&key) {
            let clear = if terminal { "\x1b[H\x1b[2J" } else { "" };
            let empty = text.is_empty() && !arguments.json;
            let text = if empty {
                "nobody holds or waits for a lock\n"
            } else {
                &text
            };
            let separator = if terminal || arguments.json { "" } else { "\n" };
            let mut out = std::io::stdout();
            let shown = write!(out, "{clear}{text}{separator}").and_then(|()| out.flush());
            match shown {
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                    return Ok(ExitCode::SUCCESS);
                }
                shown => shown.map_err(|error| Failure::ours("cannot write", &error))?,
            }
            last = Some(key);
        }
        if !somebody_reads_for(LOOK) {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// Sleeps for so long; returns whether somebody still reads what we print: where nothing changes we
/// would not learn of it by printing.
fn somebody_reads_for(time: Duration) -> bool {
    let out = std::io::stdout();
    // The end of a pipe that nobody reads from is told without being asked for (poll(2)).
    let mut polled = [PollFd::new(&out, PollFlags::empty())];
    let time = Timespec::try_from(time).ok();
    !poll(&mut polled, time.as_ref()).is_ok_and(|ready| ready > 0)
}

/// What makes one state of the queues another.
fn tickets(locks: &[Listed]) -> String {
    let of = |record: &Record| format!("{} {:?} ", record.ticket, record.standing);
    locks
        .iter()
        .map(|lock| {
            let all = lock.holders.iter().chain(&lock.waiting).map(of);
            format!("{}: {}\n", lock.name, all.collect::<String>())
        })
        .collect()
}

fn history(arguments: &LocksArgs) -> Result<ExitCode, Failure> {
    let directory = Directory::open(arguments.lock_dir.as_deref())?;
    let mut all = Vec::new();
    let mut text = String::new();
    for name in &arguments.names {
        let past = directory.history(name)?;
        let now = directory.show(name)?.statistics;
        if arguments.json {
            let held: Vec<serde_json::Value> = past.iter().map(entry).collect();
            all.push(serde_json::json!({ "name": name, "statistics": now, "history": held }));
            continue;
        }
        text.push_str(&format!(
            "{name}: granted {}, not got {}; waited {:.1}s in all, {:.1}s at most; held {:.1}s in all, \
             {:.1}s at most\n",
            now.granted, now.refused, now.waited, now.longest_wait, now.held, now.longest_hold
        ));
        for past in &past {
            let how = match past.ended {
                Ended::Released => "",
                Ended::Gone => ", and was gone",
                Ended::Taken => ", and it was taken from there",
            };
            text.push_str(&format!(
                "  {}  {} waited {:.1}s, held {:.1}s{how}\n",
                moment(past.record.held_since.unwrap_or(past.record.asked_at)),
                past.record.who(),
                past.waited(),
                past.held(),
            ));
        }
    }
    if arguments.json {
        text = json(&serde_json::json!({ "locks": all }))?;
    }
    show(&text)
}

fn entry(past: &Past) -> serde_json::Value {
    serde_json::json!({
        "record": past.record,
        "ended": past.ended,
        "ended_at": past.ended_at,
        "waited": past.waited(),
        "held": past.held(),
    })
}

fn moment(seconds: f64) -> String {
    let since = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string()
}
