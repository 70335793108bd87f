//! How far an event had come on its way to a listener, for the daemon that goes on after this one was
//! killed meanwhile.
//!
//! It is written down before the event is written to the pipe, and again when it is in it. Written down
//! only afterwards, a listener that has just been told would be taken for one that is ready: its answer
//! would be nonsense to the next daemon, which would not speak to it any more.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ward_model::program::Level;
use ward_sys::procfs;

use super::core::Core;
use super::program::ProgramId;
use super::saved::Ear;
use crate::api::Stream;
use crate::events::{Listener, ListenerState};
use crate::logs;

/// What is known of the bytes that a listener is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Delivery {
    /// None is on its way.
    #[default]
    Done,
    /// All are in its pipe, or none.
    WholeOrNot,
    /// Some may be missing, of which nobody knows any more.
    InPieces,
}

impl Delivery {
    /// Of so many bytes that are about to be written into this pipe.
    pub(super) fn begun(pipe: BorrowedFd<'_>, len: usize) -> Self {
        // pipe(7): a short write is not divided. A longer one is not either, where there is room for all
        // of it: only a full pipe interrupts it.
        let is_whole = len <= rustix::pipe::PIPE_BUF
            || (rustix::io::ioctl_fionread(pipe).is_ok_and(|unread| unread == 0)
                && rustix::pipe::fcntl_getpipe_size(pipe).is_ok_and(|size| len <= size));
        if is_whole {
            Self::WholeOrNot
        } else {
            Self::InPieces
        }
    }

    /// Its number in the roster.
    pub(super) fn to_number(self) -> u64 {
        match self {
            Self::Done => 0,
            Self::WholeOrNot => 1,
            Self::InPieces => 2,
        }
    }

    /// The one with this number, if one has it.
    pub(super) fn from_number(number: u64) -> Option<Self> {
        [Self::Done, Self::WholeOrNot, Self::InPieces]
            .into_iter()
            .find(|it| it.to_number() == number)
    }
}

impl Core {
    /// The listener of a process that was found running, as it stands now. `stdout` is its output, which
    /// nobody has read since.
    pub(super) fn found_listener(
        &self,
        id: ProgramId,
        pid: i32,
        ear: Ear,
        stdout: Option<&OwnedFd>,
    ) -> Listener {
        let Some(program) = self.programs.get(&id) else {
            return ear.listener();
        };
        let name = program.full_name();
        match (ear.delivery, ear.state) {
            (Delivery::WholeOrNot, ListenerState::Busy) => {
                let spool = self.spool_path(program.slot, program.generation, Stream::Stdout);
                // In this order: who answers and then waits for the next event has answered by then.
                let waits = procfs::waits_to_read(pid, 0);
                let has_said_something = logs::spooled(&spool) > ear.heard
                    || stdout.is_some_and(|it| ward_sys::pipe::waiting(it.as_fd()) > 0);
                // Not so of one that was stopped or frozen while it waited.
                let stdin = self.custody.stdin_writer(program.slot);
                let has_read_all = stdin.is_ok_and(|it| ward_sys::pipe::waiting(&it) == 0);
                if waits && has_read_all && !has_said_something {
                    return Listener::new(ListenerState::Ready);
                }
                let text = format!(
                    "{name}: the daemon before this one ended while it sent it an event; it is taken to have \
                     it (if it gets no more events: restart it)"
                );
                self.say(Level::Warn, &text);
                ear.listener()
            }
            (Delivery::InPieces, ListenerState::Busy) => {
                let text = format!(
                    "{name}: the daemon before this one ended while it sent it an event, of which the rest is \
                     lost; it gets no more events until it is restarted"
                );
                self.say(Level::Error, &text);
                Listener::new(ListenerState::Unknown)
            }
            (
                Delivery::Done | Delivery::WholeOrNot | Delivery::InPieces,
                ListenerState::Ready
                | ListenerState::Busy
                | ListenerState::Acknowledged
                | ListenerState::Unknown,
            ) => ear.listener(),
        }
    }
}
