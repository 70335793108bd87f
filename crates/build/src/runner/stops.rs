//! Requests to stop, as the runner hears of them: a signal says that there is something to be read, or is
//! a request itself if nobody wrote anything.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ward_model::signal::Signal;
use ward_sys::signals::{Received, SignalSource};

use crate::console;
use crate::plan::file;
use crate::state::StopRequest;

/// The number that comes with a signal (sigqueue(3)) that only says that a line was written.
pub(super) const WRITTEN: i32 = 0x0057_4152;

/// What is heeded. The rest of what can be blocked is blocked, and waits.
const HEEDED: [Signal; 4] = [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT];

/// As much is read at a time; a line is not longer, bytes.
const PIECE: usize = 64 << 10;

/// As much of who asks is shown, characters.
const WHO: usize = 200;

/// The ear of a runner.
#[derive(Debug)]
pub(super) struct Stops {
    signals: SignalSource,
    path: PathBuf,
    /// Bytes that were read.
    read: u64,
}

impl Stops {
    /// Begins to listen. Signals that come from now on end nobody.
    ///
    /// # Errors
    /// As signalfd(2).
    pub(super) fn new(directory: &Path) -> io::Result<Self> {
        Ok(Self {
            signals: SignalSource::new(&HEEDED.map(Signal::number))?,
            path: directory.join(file::STOPS),
            read: 0,
        })
    }

    /// Whether there may be a request that was not taken.
    pub(super) fn is_pending(&self) -> bool {
        let mut fds = [PollFd::new(&self.signals, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    /// Takes what was asked since.
    pub(super) fn take(&mut self) -> Vec<StopRequest> {
        let mut requests = Vec::new();
        while let Some(received) = self.signals.next() {
            if received.value != Some(WRITTEN) {
                requests.push(by_signal(&received));
            }
        }
        self.take_lines(&mut requests);
        requests
    }

    /// Takes the lines that were written since. One that is still being written waits: a signal will
    /// tell of it.
    fn take_lines(&mut self, requests: &mut Vec<StopRequest>) {
        let Ok(file) = File::open(&self.path) else {
            return;
        };
        let mut piece = vec![0; PIECE];
        loop {
            let Ok(count @ 1..) = file.read_at(&mut piece, self.read) else {
                return;
            };
            let bytes = piece.get(..count).unwrap_or_default();
            let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else {
                if count == PIECE {
                    // No line of ours; the next one may be.
                    self.read += count as u64;
                    continue;
                }
                return;
            };
            for line in bytes
                .get(..end)
                .unwrap_or_default()
                .split(|byte| *byte == b'\n')
            {
                if let Ok(mut request) = serde_json::from_slice::<StopRequest>(line) {
                    request.by = printable(&request.by);
                    requests.push(request);
                }
            }
            self.read += end as u64 + 1;
        }
    }
}

impl AsFd for Stops {
    /// Readable when there may be a request.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }
}

fn by_signal(received: &Received) -> StopRequest {
    let name = HEEDED
        .into_iter()
        .find(|signal| signal.number() == received.signal)
        .unwrap_or(Signal::TERM);
    let by = match received.sender {
        Some(sender) if sender.pid > 0 => {
            format!("{name} from process {} of user {}", sender.pid, sender.uid)
        }
        Some(_) | None => name.to_string(),
    };
    StopRequest {
        at: console::now(),
        by,
        force: false,
    }
}

/// One line, of bounded length: it comes from outside.
fn printable(text: &str) -> String {
    text.chars()
        .take(WHO)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{PIECE, Stops};
    use crate::plan::file;
    use crate::state::StopRequest;

    #[test]
    fn lines_are_taken_once_and_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(file::STOPS);
        let mut stops = Stops::new(directory.path()).expect("an ear");
        assert_eq!(stops.take(), []);
        let request = |by: &str| StopRequest {
            at: 1,
            by: by.to_owned(),
            force: false,
        };
        let line = |by: &str| serde_json::to_string(&request(by)).expect("plain data");
        let (first, second) = (line("al\u{7}ice"), line("bob"));
        let (half, rest) = second.split_at(9);
        fs::write(&path, format!("{first}\nno line of ours\n{half}")).expect("written");
        assert_eq!(stops.take(), [request("al?ice")]);
        let filler = "x".repeat(2 * PIECE);
        fs::write(
            &path,
            format!("{first}\nno line of ours\n{half}{rest}\n{filler}\n{second}\n"),
        )
        .expect("written");
        assert_eq!(stops.take(), [request("bob"), request("bob")]);
        assert_eq!(stops.take(), []);
    }
}
