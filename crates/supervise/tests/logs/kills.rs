//! kill -9 of whoever moves the bytes, at any moment, hundreds of times: nothing is lost, doubled or
//! torn. `WARD_TEST_ROUNDS` for more.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::IntoRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ward_supervise::logs::{Channel, ChannelSettings, Files};

use super::world::{Heard, LIMIT, make_fifo, open_fifo, parts, pump, put, settings, turn, wait};

const PLACE: &str = "WARD_TEST_LOG_PUMP";
const KIND: &str = "WARD_TEST_LOG_KIND";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Bytes as they come.
    Plain,
    /// Colours are taken out.
    Strip,
    /// Captures are.
    Capture,
    /// As they come, to a file that somebody else writes to.
    Foreign,
    /// As they come, and seen.
    Observed,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Plain,
        Self::Strip,
        Self::Capture,
        Self::Foreign,
        Self::Observed,
    ];

    fn channel(self, place: &Path) -> Channel {
        let files = Files::default();
        let mut path = place.join("log");
        if self == Self::Foreign {
            // As `/dev/stdout` is, when it was redirected to a file.
            let theirs = File::options().append(true).create(true).open(&path);
            let fd = theirs.expect("opened").into_raw_fd();
            path = format!("/proc/self/fd/{fd}").into();
        }
        let log = files.log(&path, 200_000, 100_000);
        let mut settings: ChannelSettings = settings(Some(log), place.join("spool"));
        match self {
            Self::Plain | Self::Foreign => {}
            Self::Strip => settings.strip_ansi = true,
            Self::Capture => settings.capture_maxbytes = 100,
            Self::Observed => settings.observed = true,
        }
        Channel::new(&files, open_fifo(&place.join("fifo")), settings)
    }

    /// What the program writes.
    fn raw(self, number: u64) -> String {
        match self {
            Self::Plain | Self::Foreign | Self::Observed => self.logged(number),
            Self::Strip => format!("\x1b[1m{number:010}\x1b[0m line\n"),
            Self::Capture => {
                let begin = "<!--XSUPERVISOR:BEGIN-->";
                let end = "<!--XSUPERVISOR:END-->";
                format!("{begin}captured{end}{number:010}{begin}{end} line\n")
            }
        }
    }

    fn logged(self, number: u64) -> String {
        format!("{number:010} line\n")
    }
}

/// Not a test of its own: what is killed.
#[test]
fn pump_until_killed() {
    let Some(place) = std::env::var_os(PLACE).map(PathBuf::from) else {
        return;
    };
    let kind = std::env::var(KIND).expect("a kind");
    let kind = Kind::ALL.into_iter().find(|it| format!("{it:?}") == kind);
    let mut channel = kind.expect("a kind").channel(&place);
    let mut heard = Heard::default();
    loop {
        turn(&mut channel, &mut heard);
        heard = Heard::default();
        wait(&channel, Duration::from_secs(1));
    }
}

fn start(kind: Kind, place: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "logs::kills::pump_until_killed", "--nocapture"])
        .env(PLACE, place)
        .env(KIND, format!("{kind:?}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("started")
}

/// What says how far it is: whatever a moved byte changes.
fn progress(place: &Path) -> (u64, u64, i64, i64) {
    fs::metadata(place.join("log")).map_or((0, 0, 0, 0), |it| {
        (it.ino(), it.size(), it.mtime(), it.mtime_nsec())
    })
}

fn rounds() -> u64 {
    let told = std::env::var("WARD_TEST_ROUNDS").ok();
    told.and_then(|told| told.parse().ok()).unwrap_or(60)
}

fn story(kind: Kind) {
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path();
    make_fifo(&place.join("fifo"));
    // As the keeper does.
    let held = open_fifo(&place.join("fifo"));
    let mut writer = File::options()
        .write(true)
        .open(place.join("fifo"))
        .expect("open");
    let over = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&over);
    let writing = std::thread::spawn(move || {
        let mut number = 0;
        while !told.load(Ordering::Relaxed) {
            let lines = number..number + 1 + number % 100;
            number = lines.end;
            put(
                &mut writer,
                lines.map(|number| kind.raw(number)).collect::<String>(),
            );
        }
        number
    });
    let foreign = (kind == Kind::Foreign).then(|| {
        let told = Arc::clone(&over);
        let path = place.join("log");
        std::thread::spawn(move || {
            let theirs = File::options().append(true).create(true).open(path);
            let mut theirs = theirs.expect("opened");
            let mut number = 0_u64;
            while !told.load(Ordering::Relaxed) {
                let text = format!("<{number}>");
                theirs.write_all(text.as_bytes()).expect("written");
                number += 1;
                std::thread::yield_now();
            }
            number
        })
    });
    let mut random = 88_172_645_463_325_252_u64;
    for _ in 0..rounds() {
        let before = progress(place);
        let mut pump = start(kind, place);
        let end = Instant::now() + LIMIT;
        while progress(place) == before {
            assert!(Instant::now() < end, "nothing moves");
        }
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // Some looks later, which is some microseconds to some milliseconds.
        for _ in 0..random % 4000 {
            progress(place);
        }
        pump.kill().expect("killed");
        pump.wait().expect("reaped");
    }
    over.store(true, Ordering::Relaxed);
    let mut channel = kind.channel(place);
    let mut heard = Heard::default();
    while !writing.is_finished() {
        turn(&mut channel, &mut heard);
    }
    let count = writing.join().expect("the writer");
    drop(held);
    pump(&mut channel, &mut heard);
    let mut all = parts(&place.join("log"));
    if let Some(foreign) = foreign {
        let count = foreign.join().expect("the other one");
        all = without_theirs(&all, count);
    }
    let mut rest = all.as_slice();
    for number in 0..count {
        let line = kind.logged(number);
        let Some(after) = rest.strip_prefix(line.as_bytes()) else {
            let near = String::from_utf8_lossy(&rest[..rest.len().min(80)]).into_owned();
            panic!("{kind:?}: instead of {line:?} of {count} there is {near:?}");
        };
        rest = after;
    }
    assert_eq!(rest, b"", "{kind:?}: there is more than was written");
    eprintln!(
        "{kind:?}: {} rounds, {count} lines, {} bytes",
        rounds(),
        all.len()
    );
}

/// A log less what somebody else has written to it, all of which has to be there.
fn without_theirs(all: &[u8], count: u64) -> Vec<u8> {
    let mut ours = Vec::new();
    let mut number = 0;
    let mut rest = all;
    while let Some(at) = rest.iter().position(|byte| *byte == b'<') {
        ours.extend_from_slice(&rest[..at]);
        let theirs = format!("<{number}>");
        let after = rest[at..].strip_prefix(theirs.as_bytes());
        rest = after.unwrap_or_else(|| panic!("{theirs} of {count} is missing"));
        number += 1;
    }
    ours.extend_from_slice(rest);
    assert_eq!(number, count);
    ours
}

#[test]
fn bytes_between_those_of_somebody_else() {
    story(Kind::Foreign);
}

#[test]
fn bytes_as_they_come() {
    story(Kind::Plain);
}

#[test]
fn bytes_that_are_seen() {
    story(Kind::Observed);
}

#[test]
fn colours_taken_out() {
    story(Kind::Strip);
}

#[test]
fn captures_taken_out() {
    story(Kind::Capture);
}
