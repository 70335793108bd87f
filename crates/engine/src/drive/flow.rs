//! The output of a run, turn by turn: what became readable or writable, and its end.

use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};
use ward_model::life::Event;
use ward_model::wire::FromGuardian;

use super::{Drive, SINKS, SOURCES};
use crate::output::Flow;

/// A source that gave less than a page at a time, ...
const SHORT: usize = 4 << 10;
/// ... and again within this time rests for as long, so that what is written meanwhile is
/// moved at once: a writer of short lines would wake us for each of them.
const REST: Duration = Duration::from_millis(1);

/// How a source was read lately.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    last: Option<Instant>,
    rests_until: Option<Instant>,
}

impl Drive<'_> {
    /// Lets a source rest that gives little and often.
    fn pace(&mut self, index: usize, moved: usize) {
        let now = Instant::now();
        let count = self.custody.relay.sources.len();
        self.paces.resize(count, Pace::default());
        let pace = &mut self.paces[index];
        let often = pace
            .last
            .is_some_and(|last| now.saturating_duration_since(last) < 2 * REST);
        pace.last = Some(now);
        if moved == 0 || moved >= SHORT || !often || self.draining {
            return;
        }
        pace.rests_until = Some(now + REST);
        if let Some(fd) = self.custody.relay.sources[index].fd() {
            // Its end is told all the same.
            let data = EventData::new_u64(SOURCES + index as u64);
            let _ = epoll::modify(&self.epoll, fd, data, EventFlags::empty());
        }
    }

    /// When the next rest ends.
    pub(super) fn next_rest_end(&self) -> Option<Instant> {
        self.paces.iter().filter_map(|pace| pace.rests_until).min()
    }

    /// Reads sources whose rest is over.
    pub(super) fn end_rests(&mut self) {
        let now = Instant::now();
        for index in 0..self.paces.len() {
            if self.paces[index].rests_until.is_some_and(|end| end <= now) {
                self.on_output(index);
            }
        }
    }

    /// Ends the rest of a source, if it rests.
    fn wake(&mut self, index: usize) {
        let Some(pace) = self.paces.get_mut(index) else {
            return;
        };
        if pace.rests_until.take().is_some()
            && let Some(fd) = self.custody.relay.sources[index].fd()
        {
            let data = EventData::new_u64(SOURCES + index as u64);
            let _ = epoll::modify(&self.epoll, fd, data, EventFlags::IN);
        }
    }

    /// Watches sinks that have something to write and no room for it.
    pub(super) fn await_room(&mut self) {
        self.awaiting_room
            .resize(self.custody.relay.sinks.len(), false);
        for index in 0..self.awaiting_room.len() {
            let sink = &self.custody.relay.sinks[index];
            if sink.pending() > 0 && !sink.closed() && !self.awaiting_room[index] {
                self.awaiting_room[index] = true;
                self.watch(sink, SINKS + index as u64, EventFlags::OUT);
            }
        }
    }

    pub(super) fn on_room(&mut self, sink: usize) {
        if let Some(awaiting) = self.awaiting_room.get_mut(sink) {
            *awaiting = false;
        }
        let relay = &mut self.custody.relay;
        if let Some(sink) = relay.sinks.get_mut(sink) {
            let _ = epoll::delete(&self.epoll, &*sink);
            if sink.flush().is_err() {
                sink.close();
            }
        }
        for index in 0..self.custody.relay.sources.len() {
            if self.custody.relay.sink_of(index) == sink {
                self.resume_source(index);
                self.on_output(index);
            }
        }
        self.check_output_end();
    }

    pub(super) fn resume_source(&self, index: usize) {
        if let Some(fd) = self.custody.relay.sources[index].fd() {
            self.watch(fd, SOURCES + index as u64, EventFlags::IN);
        }
    }

    pub(super) fn on_output(&mut self, index: usize) {
        let source = &self.custody.relay.sources[index];
        if source.fd().is_none() {
            return;
        }
        self.wake(index);
        let (flow, moved) = self.custody.relay.turn(index);
        if moved > 0 {
            self.last_output = Instant::now();
        }
        if let Some(words) = self.last_words.get_mut(index) {
            *words = words.saturating_sub(moved as u64);
        }
        match flow {
            Flow::Open => self.pace(index, moved),
            Flow::Blocked => {
                if let Some(fd) = self.custody.relay.sources[index].fd() {
                    let _ = epoll::delete(&self.epoll, fd);
                }
                let sink = self.custody.relay.sink_of(index);
                self.await_room();
                if !self.awaiting_room[sink] {
                    self.awaiting_room[sink] = true;
                    let to = &self.custody.relay.sinks[sink];
                    self.watch(to, SINKS + sink as u64, EventFlags::OUT);
                }
            }
            Flow::Ended => self.close_source(index),
            Flow::Refused => {
                self.close_source(index);
                self.tell_front(&FromGuardian::StreamRefused {
                    stream: u32::try_from(index).unwrap_or(0),
                });
            }
        }
        for (name, error) in self.custody.relay.take_failures() {
            self.custody.say(&format!("cannot write {name}: {error}"));
        }
        if let Some(log) = &mut self.custody.relay.log
            && let Some(error) = log.take_failure()
        {
            let path = self.custody.spec.log.as_ref().map(|log| log.path.clone());
            let log_name = path.unwrap_or_default().to_string_lossy().into_owned();
            self.custody
                .say(&format!("the log `{log_name}` is incomplete: {error}"));
        }
        self.check_output_end();
    }

    pub(super) fn close_source(&mut self, index: usize) {
        let source = &mut self.custody.relay.sources[index];
        if let Some(fd) = source.fd() {
            let _ = epoll::delete(&self.epoll, fd);
        }
        source.close();
    }

    pub(super) fn check_output_end(&mut self) {
        if self.output_ended {
            return;
        }
        let relay = &self.custody.relay;
        let ended = relay.ended()
            || (self.draining
                && relay.flushed()
                && (0..relay.sources.len()).all(|index| {
                    // Whoever still writes is no member, and may write for ever.
                    relay.is_dry(index) || self.last_words.get(index) == Some(&0)
                }));
        if ended {
            self.output_ended = true;
            self.custody.account.output_ended(Instant::now());
            self.events.push_back(Event::OutputEnded);
        }
    }
}
