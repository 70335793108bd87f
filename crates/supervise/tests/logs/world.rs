//! A directory, a FIFO, and channels that read from it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use ward_supervise::api::Stream;
use ward_supervise::logs::{Channel, ChannelSettings, Files, Log, Next, Progress, Yield, part};

/// Nothing here takes longer.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// What a channel handed over.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) output: Vec<u8>,
    pub(crate) captured: Vec<Vec<u8>>,
    pub(crate) raw: Vec<u8>,
    pub(crate) said: Vec<String>,
}

impl Heard {
    pub(crate) fn hear(&mut self, what: Yield<'_>) {
        match what {
            Yield::Output(text) => self.output.extend_from_slice(text),
            Yield::Captured(text) => self.captured.push(text.to_vec()),
            Yield::Raw(text) => self.raw.extend_from_slice(text),
            Yield::Said(notice) => self.said.push(notice.text),
        }
    }
}

pub(crate) struct World {
    directory: tempfile::TempDir,
    pub(crate) files: Files,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().expect("a directory"),
            files: Files::default(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn log(&self, name: &str, maxbytes: u64, backups: u64) -> Log {
        self.files.log(&self.path(name), maxbytes, backups)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        String::from_utf8(fs::read(self.path(name)).expect("a log")).expect("text")
    }

    /// A channel with its writing end.
    pub(crate) fn channel(&self, name: &str, log: Option<Log>) -> (Channel, File) {
        self.channel_with(name, log, |_| {})
    }

    pub(crate) fn channel_with(
        &self,
        name: &str,
        log: Option<Log>,
        change: impl FnOnce(&mut ChannelSettings),
    ) -> (Channel, File) {
        let fifo = self.path(&format!("{name}.fifo"));
        make_fifo(&fifo);
        let reader = open_fifo(&fifo);
        let writer = File::options().write(true).open(&fifo).expect("opened");
        let mut settings = settings(log, self.path(&format!("{name}.spool")));
        change(&mut settings);
        (Channel::new(&self.files, reader, settings), writer)
    }
}

pub(crate) fn settings(log: Option<Log>, spool: PathBuf) -> ChannelSettings {
    ChannelSettings {
        name: "web".into(),
        stream: Stream::Stdout,
        log,
        syslog: None,
        strip_ansi: false,
        capture_maxbytes: 0,
        observed: false,
        listener: None,
        spool,
    }
}

pub(crate) fn make_fifo(path: &Path) {
    if !path.exists() {
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, path, kind, Mode::RWXU, 0).expect("a fifo");
    }
}

pub(crate) fn open_fifo(path: &Path) -> OwnedFd {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).expect("opened")
}

/// Writes all of it.
pub(crate) fn put(writer: &mut File, text: impl AsRef<[u8]>) {
    writer.write_all(text.as_ref()).expect("written");
}

/// One turn.
pub(crate) fn turn(channel: &mut Channel, heard: &mut Heard) -> Progress {
    channel.turn(1 << 20, &mut |what| heard.hear(what))
}

/// Turns until its pipe has ended, then what was held back.
pub(crate) fn pump(channel: &mut Channel, heard: &mut Heard) {
    let end = Instant::now() + LIMIT;
    loop {
        assert!(Instant::now() < end, "it goes on for ever");
        match turn(channel, heard).next {
            Next::End => break,
            Next::Readable => wait(channel, Duration::from_secs(1)),
            Next::Blocked(time) | Next::After(time) => wait_time(time),
            Next::Now => {}
        }
    }
    finish(channel, heard);
}

pub(crate) fn finish(channel: &mut Channel, heard: &mut Heard) {
    let end = Instant::now() + LIMIT;
    while channel.finish(&mut |what| heard.hear(what)).next != Next::End {
        assert!(Instant::now() < end, "it goes on for ever");
    }
}

pub(crate) fn wait(channel: &Channel, limit: Duration) {
    let mut fds = [PollFd::from_borrowed_fd(channel.fifo(), PollFlags::IN)];
    let limit = Timespec::try_from(limit).expect("short");
    let _ = poll(&mut fds, Some(&limit));
}

fn wait_time(time: Duration) {
    let time = Timespec::try_from(time).expect("short");
    let _ = poll(&mut [], Some(&time));
}

/// All parts of a log, the oldest first. A kill may have left a gap between them.
pub(crate) fn parts(path: &Path) -> Vec<u8> {
    let directory = fs::read_dir(path.parent().expect("a directory")).expect("read");
    let name = path.file_name().expect("a name").to_string_lossy();
    let mut numbers: Vec<u64> = directory
        .filter_map(|entry| {
            let entry = entry.expect("an entry").file_name();
            let number = entry.to_str()?.strip_prefix(&*name)?.strip_prefix('.')?;
            number.parse().ok()
        })
        .collect();
    numbers.sort_unstable();
    let mut all = Vec::new();
    for number in numbers.into_iter().rev() {
        let mut file = File::open(part(path, number)).expect("a part");
        file.read_to_end(&mut all).expect("read");
    }
    all.extend(fs::read(path).unwrap_or_default());
    all
}
