//! The way of bytes through the spool into the log: fill, sift, note, write, note.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::Duration;

use ward_sys::pipe::{self, Moved};

use super::channel::{Channel, Step, Yield};
use super::file::{CHUNK, Place, Trouble};
use super::rotation::part;
use super::sieve::Sifted;
use super::spool::{Intent, Spool};

/// What is read of a log to see whether something is in it, in bytes: more than others write to it
/// before a killed daemon is there again.
const MOST_READ: u64 = 4 << 20;
/// So much of what was written has to be found there, where others have written before it, bytes;
/// and in so many places it is looked for.
const BEGINNING: usize = 16;
const MOST_PLACES: usize = 1000;

/// What is on its way.
#[derive(Debug, Default)]
pub(super) struct Passage {
    /// Somebody who was killed may have left something in the spool; until it was looked for.
    looked: bool,
    spool: Option<Spool>,
    /// Bytes in the spool that have to wait for more.
    raw: Vec<u8>,
    /// So many of them have been sifted in vain.
    searched: usize,
    /// The log could not be opened: nothing more comes into the spool until it can.
    held_up: bool,
    /// That which is being written, how it was sifted, and how much of it is written.
    pending: Option<(Sifted, usize)>,
    /// Something failed that should not, and was told.
    pub(super) stumbled: bool,
}

impl Passage {
    /// Removes the spool, if there is one.
    pub(super) fn remove(&mut self, path: &Path) {
        self.spool = None;
        let _ = fs::remove_file(path);
    }
}

impl Channel {
    /// Whether nothing is on its way.
    pub(super) fn is_at_rest(&self) -> bool {
        match &self.passage.spool {
            Some(spool) => spool.is_idle() && self.passage.pending.is_none(),
            None => true,
        }
    }

    /// Goes on where a killed daemon was.
    pub(super) fn take_over(&mut self, hand: &mut dyn FnMut(Yield<'_>)) -> Option<Step> {
        if self.passage.looked {
            return None;
        }
        match self.find_left() {
            Ok(unheard) => {
                self.passage.looked = true;
                self.hand_raw(&unheard, hand);
                (!self.is_at_rest()).then(|| self.pass(0, false, hand))
            }
            Err(error) => {
                Some(self.stumbled("has left something that cannot be read", &error, hand))
            }
        }
    }

    /// Finds what a killed daemon has left; gives what a listener has said that was not understood then.
    fn find_left(&mut self) -> io::Result<Vec<u8>> {
        let heard = self.settings.listener;
        let left = match heard {
            Some(_) => Spool::found(&self.settings.spool)?,
            None => Spool::left(&self.settings.spool)?,
        };
        let Some(mut spool) = left else {
            return Ok(Vec::new());
        };
        spool.keeps = heard.is_some();
        let unheard = match heard {
            Some(heard) => spool.since(heard)?,
            None => Vec::new(),
        };
        let mut raw = Vec::new();
        spool.read(spool.waiting(), &mut raw)?;
        if let Some(intent) = spool.intent() {
            let sifted = intent.sieve.sift(spool.state(), &raw, 0, intent.last);
            let path = self.settings.log.as_ref().map(super::files::Log::path);
            let written = match path {
                Some(path) => written(&path, &intent, &sifted.log)?,
                None => sifted.log.len(),
            };
            self.passage.pending = Some((sifted, written));
        }
        self.passage.raw = raw;
        self.passage.spool = Some(spool);
        Ok(unheard)
    }

    /// So many bytes are in the spool, those that are dealt with among them.
    #[must_use]
    pub fn spooled(&self) -> u64 {
        self.passage.spool.as_ref().map_or(0, Spool::came)
    }

    /// All that was handed as [`Yield::Raw`] is understood: nothing that follows depends on it. The spool
    /// begins anew, unless its bytes are still needed for the log.
    pub fn understood(&mut self, hand: &mut dyn FnMut(Yield<'_>)) {
        if !self.is_at_rest() {
            return;
        }
        if let Some(spool) = &mut self.passage.spool
            && let Err(error) = spool.tidy()
        {
            self.stumbled("cannot be put into its spool", &error, hand);
        }
    }

    /// One step through the spool: takes up to `limit` bytes out of the pipe, and writes what is to
    /// be written. `last`: nothing comes any more.
    pub(super) fn pass(
        &mut self,
        limit: usize,
        last: bool,
        hand: &mut dyn FnMut(Yield<'_>),
    ) -> Step {
        if self.passage.pending.is_some() {
            return self.write(0, hand);
        }
        let none = last || self.passage.held_up;
        let taken = self.fill(if none { 0 } else { limit.min(CHUNK) });
        let (taken, before) = match taken {
            Ok(Filled::Bytes(taken, before)) => (taken, before),
            Ok(Filled::None(_)) if last => (0, self.passage.raw.len()),
            Ok(Filled::None(step)) => return step,
            Err(error) => return self.stumbled("cannot be put into its spool", &error, hand),
        };
        self.hand_raw(self.passage.raw.get(before..).unwrap_or_default(), hand);
        let more = taken >= limit.min(CHUNK);
        match self.begin(last) {
            Ok(Begun::Something) => match self.write(taken, hand) {
                Step::Moved(..) => Step::Moved(taken, more),
                step => step,
            },
            Ok(Begun::Nothing) if last => Step::End,
            Ok(Begun::Nothing) => Step::Moved(taken, more),
            Ok(Begun::HeldUp(retry)) => Step::Blocked(retry),
            Err(error) => self.stumbled("cannot be put into its spool", &error, hand),
        }
    }

    /// Takes bytes out of the pipe: how many, and how many there were before.
    fn fill(&mut self, limit: usize) -> io::Result<Filled> {
        let before = self.passage.raw.len();
        let spool = match &mut self.passage.spool {
            Some(spool) => spool,
            none => {
                let fifo = self.fifo.as_fd();
                match self.files.workbench(|bench| bench.probe(fifo))? {
                    Moved::Bytes(_) => {}
                    Moved::End => return Ok(Filled::None(Step::End)),
                    Moved::NotNow | Moved::Closed | Moved::Unsupported => {
                        return Ok(Filled::None(Step::Empty));
                    }
                }
                let mut spool = Spool::open(&self.settings.spool)?;
                spool.keeps = self.settings.listener.is_some();
                none.insert(spool)
            }
        };
        // What came in before something failed is in the spool, but not in memory.
        let unread = spool.waiting().saturating_sub(before as u64);
        let came = if limit == 0 {
            0
        } else {
            match spool.fill(self.fifo.as_fd(), limit)? {
                Moved::Bytes(came) => came,
                Moved::End if unread == 0 => return Ok(Filled::None(Step::End)),
                Moved::NotNow if unread == 0 => return Ok(Filled::None(Step::Empty)),
                Moved::End | Moved::NotNow => 0,
                Moved::Closed | Moved::Unsupported => {
                    return Err(io::ErrorKind::Unsupported.into());
                }
            }
        };
        spool.read(unread + came as u64, &mut self.passage.raw)?;
        Ok(Filled::Bytes(came, before))
    }

    /// Sifts what is there and notes what is about to be written.
    fn begin(&mut self, last: bool) -> io::Result<Begun> {
        let Some(spool) = &mut self.passage.spool else {
            return Ok(Begun::Nothing);
        };
        let state = spool.state();
        let (raw, sieve) = (&self.passage.raw, self.sieve);
        let sifted = sieve.sift(state, raw, self.passage.searched, last);
        if sifted.used == 0 && sifted.log.is_empty() && sifted.state == state {
            self.passage.searched = raw.len();
            return Ok(Begun::Nothing);
        }
        let place = match &self.settings.log {
            Some(log) if !sifted.log.is_empty() => log.work(|file| file.place(raw.len() as u64)),
            _ => Ok(None),
        };
        let Place { identity, size } = match place {
            Ok(place) => place.unwrap_or_default(),
            Err(Trouble::Gone) => Place::default(),
            Err(Trouble::Wait(retry)) => {
                self.passage.held_up = true;
                return Ok(Begun::HeldUp(retry));
            }
        };
        self.passage.held_up = false;
        spool.begin(Intent {
            sieve,
            last,
            used: sifted.used as u64,
            state: sifted.state,
            identity,
            size_before: size,
        })?;
        self.passage.pending = Some((sifted, 0));
        Ok(Begun::Something)
    }

    /// Writes what is pending; when all of it is written it is noted and handed over.
    fn write(&mut self, taken: usize, hand: &mut dyn FnMut(Yield<'_>)) -> Step {
        let Some((sifted, mut at)) = self.passage.pending.take() else {
            return Step::Empty;
        };
        let waiting =
            (sifted.log.len() - at.min(sifted.log.len())) as u64 + pipe::waiting(&self.fifo);
        while let Some(rest) = sifted.log.get(at..)
            && !rest.is_empty()
            && let Some(log) = &self.settings.log
        {
            match log.work(|file| file.append(rest, waiting)) {
                Ok(written) => at += written,
                Err(Trouble::Wait(retry)) => {
                    self.passage.pending = Some((sifted, at));
                    return Step::Blocked(retry);
                }
                Err(Trouble::Gone) => {
                    self.dropped_some(rest.len() as u64, hand);
                    at = sifted.log.len();
                }
            }
        }
        if let Some(spool) = &mut self.passage.spool
            && let Err(error) = spool.commit()
        {
            self.passage.pending = Some((sifted, at));
            return self.stumbled("cannot be put into its spool", &error, hand);
        }
        let used = sifted.used.min(self.passage.raw.len());
        self.passage.raw.drain(..used);
        self.passage.searched = self.passage.raw.len();
        if let Some(log) = &self.settings.log {
            log.work(super::file::LogFile::settle);
        }
        self.hand_sifted(&sifted, hand);
        Step::Moved(taken, true)
    }

    /// At the end of a turn: lets go of a spool that holds nothing.
    pub(super) fn rest(&mut self, hand: &mut dyn FnMut(Yield<'_>)) {
        if !self.is_at_rest() {
            return;
        }
        self.passage.raw = Vec::new();
        // Who listens to it says when.
        if self.settings.listener.is_some() {
            return;
        }
        if let Some(mut spool) = self.passage.spool.take()
            && let Err(error) = spool.tidy()
        {
            self.stumbled("cannot be put into its spool", &error, hand);
        }
    }
}

/// What came out of a pipe.
enum Filled {
    /// So many bytes, after so many that were there.
    Bytes(usize, usize),
    /// None.
    None(Step),
}

/// How the writing of something began.
enum Begun {
    /// It is noted.
    Something,
    /// There is nothing to write.
    Nothing,
    /// The log cannot be opened; to be tried again after this time.
    HeldUp(Duration),
}

/// How much of `text` a killed writer had written to the log.
fn written(path: &Path, intent: &Intent, text: &[u8]) -> io::Result<usize> {
    // What it was writing to may have been put aside since.
    for path in [path.to_path_buf(), part(path, 1)] {
        let Ok(file) = File::open(&path) else {
            continue;
        };
        let stat = file.metadata()?;
        if (stat.dev(), stat.ino()) != intent.identity || !stat.is_file() {
            continue;
        }
        let length = stat.len().saturating_sub(intent.size_before).min(MOST_READ);
        let mut tail = vec![0; usize::try_from(length).unwrap_or(0)];
        file.read_exact_at(&mut tail, intent.size_before)?;
        return Ok(found(&tail, text));
    }
    Ok(0)
}

/// How much of `text`, from its beginning, is in `tail`: at its beginning, or after what others
/// have written there.
fn found(tail: &[u8], text: &[u8]) -> usize {
    let common = |tail: &[u8]| tail.iter().zip(text).take_while(|(a, b)| a == b).count();
    let first = common(tail);
    if first == tail.len() || first == text.len() {
        return first;
    }
    let begin = text.get(..BEGINNING.min(text.len())).unwrap_or_default();
    let places = (1..tail.len()).filter_map(|at| tail.get(at..));
    let likely = places
        .filter(|tail| tail.starts_with(begin))
        .take(MOST_PLACES);
    // Less than that at the beginning may be by chance: rather doubled than lost.
    let first = if first < begin.len() { 0 } else { first };
    likely.map(common).max().unwrap_or(0).max(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::BorrowedFd;

    use crate::api::Stream;
    use crate::logs::{ChannelSettings, Files, Next};

    const RAW: &str =
        "\x1b[31mone\x1b[0m\ntwo <!--XSUPERVISOR:BEGIN-->x<!--XSUPERVISOR:END-->\nthree";
    const LOGGED: &str = "one\ntwo \nthree";

    /// How far a daemon came with it before it was killed.
    #[derive(Debug, Clone, Copy)]
    enum Killed {
        Filled,
        Noted,
        Written(usize),
        Committed,
    }

    fn channel(directory: &Path, fifo: BorrowedFd<'_>) -> Channel {
        let files = Files::default();
        let settings = ChannelSettings {
            name: "web".into(),
            stream: Stream::Stdout,
            log: Some(files.log(&directory.join("log"), 0, 0)),
            syslog: None,
            strip_ansi: true,
            capture_maxbytes: 10,
            observed: false,
            listener: None,
            spool: directory.join("spool"),
        };
        let fifo = fifo.try_clone_to_owned().expect("a descriptor");
        Channel::new(&files, fifo, settings)
    }

    fn story(killed: Killed, theirs: &str) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        std::fs::write(&path, "before\n").expect("written");
        let (reader, writer) = pipe::pipe().expect("a pipe");
        rustix::io::write(&writer, RAW.as_bytes()).expect("written");
        let mut channel_ = channel(directory.path(), reader.as_fd());
        channel_.fill(CHUNK).expect("filled");
        let written = match killed {
            Killed::Filled => 0,
            Killed::Noted => {
                channel_.begin(false).expect("noted");
                0
            }
            Killed::Written(written) => {
                channel_.begin(false).expect("noted");
                written
            }
            Killed::Committed => {
                channel_.begin(false).expect("noted");
                channel_.write(0, &mut |_| {});
                0
            }
        };
        let mut file = File::options().append(true).open(&path).expect("opened");
        file.write_all(theirs.as_bytes()).expect("written");
        let part = LOGGED.as_bytes().get(..written).expect("a part");
        file.write_all(part).expect("written");
        drop(channel_);
        rustix::io::write(&writer, b"\x1b[1m, four\n").expect("written");
        drop(writer);
        let mut channel = channel(directory.path(), reader.as_fd());
        drop(reader);
        while channel.turn(CHUNK, &mut |_| {}).next != Next::End {}
        channel.finish(&mut |_| {});
        let text = std::fs::read_to_string(&path).expect("a log");
        let expected = match killed {
            Killed::Committed => format!("before\n{LOGGED}{theirs}, four\n"),
            Killed::Filled | Killed::Noted | Killed::Written(_) => {
                format!("before\n{theirs}{LOGGED}, four\n")
            }
        };
        assert_eq!(text, expected, "{killed:?}");
        assert!(!directory.path().join("spool").exists());
    }

    #[test]
    fn wherever_a_daemon_is_killed_nothing_is_lost_or_doubled() {
        for theirs in ["", "of somebody else\n"] {
            for killed in [Killed::Filled, Killed::Noted, Killed::Committed] {
                story(killed, theirs);
            }
        }
        for written in 0..=LOGGED.len() {
            story(Killed::Written(written), "");
        }
        story(Killed::Written(LOGGED.len()), "of somebody else\n");
    }

    #[test]
    fn a_listener_is_heard_again_from_where_it_was_understood() {
        let directory = tempfile::tempdir().expect("a directory");
        let (reader, writer) = pipe::pipe().expect("a pipe");
        pipe::set_nonblocking(&reader).expect("set");
        let say = |text: &[u8]| rustix::io::write(&writer, text).expect("written");
        let listener = |heard| {
            let mut channel = channel(directory.path(), reader.as_fd());
            channel.settings.listener = Some(heard);
            channel.settings.capture_maxbytes = 0;
            channel.sieve.capture = 0;
            channel
        };
        let hear = |channel: &mut Channel| {
            let mut heard = Vec::new();
            channel.turn(CHUNK, &mut |item| {
                if let Yield::Raw(bytes) = item {
                    heard.extend_from_slice(bytes);
                }
            });
            String::from_utf8(heard).expect("text")
        };
        let mut first = listener(0);
        say(b"READY\nRES");
        assert_eq!(hear(&mut first), "READY\nRES");
        drop(first);
        let mut second = listener(6);
        say(b"ULT 2\nOK");
        assert_eq!(hear(&mut second), "RESULT 2\nOK");
        assert_eq!(second.spooled(), 17);
        // Nothing is new, and nothing was understood meanwhile.
        drop(second);
        let mut third = listener(15);
        assert_eq!(hear(&mut third), "OK");
        third.understood(&mut |_| {});
        assert_eq!(third.spooled(), 0);
        say(b"READY\n");
        assert_eq!(hear(&mut third), "READY\n");
        assert_eq!(third.spooled(), 6);
        let log = std::fs::read_to_string(directory.path().join("log")).expect("a log");
        assert_eq!(log, "READY\nRESULT 2\nOKREADY\n");
    }

    #[test]
    fn what_was_written_is_found_also_between_that_of_others() {
        let text = b"0000000001 line\n0000000002 line\n";
        for (tail, written) in [
            ("", 0),
            ("0000", 4),
            ("0000000001 line\n0000000002 line\n", 32),
            ("0000000001 line\n0000000002 line\nmore", 32),
            ("theirs\n", 0),
            ("theirs\n0000000001 line\n000", 19),
            ("theirs\n0000000001 line\n0000000002 line\n", 32),
            ("000theirs", 0),
            ("0000000001 line\ntheirs", 16),
        ] {
            assert_eq!(found(tail.as_bytes(), text), written, "{tail:?}");
        }
        assert_eq!(found(b"anything", b""), 0);
    }
}
