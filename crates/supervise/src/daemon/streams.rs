//! The outputs of processes: watched, moved to where they belong, followed to their very end.
//!
//! An output may outlive its process: whoever else holds it open goes on being read, so that nobody dies
//! of a broken pipe because his parent ended.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use rustix::event::epoll;
use ward_config::value::LogLevel;

use super::core::{Core, Due, Token};
use super::program::ProgramId;
use super::recall::SPOOL;
use crate::api::Stream;
use crate::events::{Event, Who};
use crate::keeper::Slot;
use crate::logs::{self, Channel, ChannelSettings, Log, Next, Yield};

/// An output, among all that this daemon ever had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct StreamId(pub(crate) u64);

/// Bytes of one output in one turn: nobody's flood keeps others waiting for longer.
const BUDGET: usize = 1024 * 1024;

/// Turns at the end of a process before its end is told, though its output has not ended: somebody else
/// writes as fast as we read.
const LAST_TURNS: usize = 16;

/// One output of one start of a process.
pub(crate) struct Output {
    program: ProgramId,
    process: String,
    group: String,
    pid: i32,
    slot: Slot,
    generation: u32,
    stream: Stream,
    channel: Channel,
    watched: bool,
    /// The process has ended.
    over: bool,
    /// Of a listener: so many bytes of its spool were heard.
    heard: u64,
}

/// What came out of a turn, to be told when the channel is at rest.
enum Came {
    Output(Vec<u8>),
    Captured(Vec<u8>),
    Raw(Vec<u8>),
    Said(LogLevel, String),
}

impl Core {
    /// Takes the outputs of a process that was just started, or of which an earlier daemon has heard so
    /// many bytes if it is a listener.
    pub(crate) fn open_streams(
        &mut self,
        id: ProgramId,
        pid: i32,
        streams: [Option<OwnedFd>; 2],
        heard: u64,
    ) {
        let [stdout, stderr] = streams;
        for (stream, fifo) in [(Stream::Stdout, stdout), (Stream::Stderr, stderr)] {
            let generation = self.programs.get(&id).map_or(0, |it| it.generation);
            let opened = fifo.and_then(|fifo| {
                self.open_stream(id, (pid, generation), stream, fifo, Some(heard))
            });
            if let Some(program) = self.programs.get_mut(&id) {
                program.streams[stream.index()] = opened;
            }
        }
    }

    /// Takes one output, of the process of this id and generation: 0 for one that the keeper does not
    /// hold. `heard`: what was heard of it, unless nobody listens to it any more.
    pub(crate) fn open_stream(
        &mut self,
        id: ProgramId,
        (pid, generation): (i32, u32),
        stream: Stream,
        fifo: OwnedFd,
        heard: Option<u64>,
    ) -> Option<StreamId> {
        let program = self.programs.get(&id)?;
        let config = &program.config;
        let channel = match stream {
            Stream::Stdout => &config.stdout,
            Stream::Stderr => &config.stderr,
        };
        let observed = channel.events_enabled || self.log.tells(LogLevel::Debug);
        let log = self.log_of(id, stream);
        // Of a process that somebody only wrote to nothing is heard.
        let is_listener = program.ear.is_some() && self.pools.contains_key(&program.group);
        let spool = self.spool_path(program.slot, generation, stream);
        // Its bytes may have been forgotten without that having been written down.
        let listener = heard
            .filter(|_| stream == Stream::Stdout && is_listener)
            .map(|heard| heard.min(logs::spooled(&spool)));
        let settings = ChannelSettings {
            name: config.name.clone(),
            stream,
            log,
            syslog: channel.syslog.then(|| Rc::clone(&self.syslog)),
            strip_ansi: self.settings.strip_ansi,
            capture_maxbytes: u64::try_from(channel.capture_maxbytes).unwrap_or(0),
            observed,
            listener,
            spool,
        };
        let output = Output {
            program: id,
            process: config.name.clone(),
            group: program.group.clone(),
            pid,
            slot: program.slot,
            generation,
            stream,
            channel: Channel::new(&self.files, fifo, settings),
            watched: false,
            over: false,
            heard: listener.unwrap_or(0),
        };
        self.last_id += 1;
        let id = StreamId(self.last_id);
        self.outputs.insert(id, Box::new(output));
        self.watch_stream(id);
        Some(id)
    }

    /// The log of an output, if it has one.
    pub(crate) fn log_of(&self, id: ProgramId, stream: Stream) -> Option<Log> {
        let found = self.programs.get(&id)?.found_logs[stream.index()].clone();
        found.or_else(|| self.find_log(id, stream))
    }

    /// The same, looked for anew.
    pub(crate) fn find_log(&self, id: ProgramId, stream: Stream) -> Option<Log> {
        let program = self.programs.get(&id)?;
        let channel = match stream {
            Stream::Stdout => &program.config.stdout,
            Stream::Stderr => &program.config.stderr,
        };
        let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
        program.log(stream).map(|path| {
            self.files.log(
                path,
                unsigned(channel.logfile_maxbytes),
                unsigned(channel.logfile_backups),
            )
        })
    }

    /// Reads on a pipe of a process that has ended, for others who write to it.
    pub(crate) fn open_left_over(
        &mut self,
        id: ProgramId,
        generation: u32,
        stream: Stream,
        fifo: OwnedFd,
    ) {
        if let Some(opened) = self.open_stream(id, (0, generation), stream, fifo, None) {
            self.stream_is_over(opened);
        }
    }

    /// Nobody of the process itself writes to it any more.
    pub(crate) fn stream_is_over(&mut self, id: StreamId) {
        if let Some(output) = self.outputs.get_mut(&id) {
            output.over = true;
        }
    }

    fn watch_stream(&mut self, id: StreamId) {
        let Some(output) = self.outputs.get_mut(&id) else {
            return;
        };
        if output.watched {
            return;
        }
        let data = epoll::EventData::new_u64(Token::Stream(id).to_number());
        let added = epoll::add(
            &self.epoll,
            output.channel.fifo(),
            data,
            epoll::EventFlags::IN,
        );
        output.watched = added.is_ok();
        if added.is_err() {
            // Looked at from time to time instead.
            let at = ward_sys::clock::since_boot() + Duration::from_millis(50);
            self.timers.arm(Due::Stream(id), at);
        }
    }

    fn unwatch_stream(&mut self, id: StreamId) {
        if let Some(output) = self.outputs.get_mut(&id)
            && output.watched
        {
            output.watched = false;
            // Closed it is soon, and the keeper holds the same open file.
            let _ = epoll::delete(&self.epoll, output.channel.fifo());
        }
    }

    /// An output is readable, or its pause is over.
    pub(crate) fn stream_turn(&mut self, id: StreamId) {
        let next = self.turn_once(id);
        self.pace(id, next);
    }

    fn turn_once(&mut self, id: StreamId) -> Option<Next> {
        let output = self.outputs.get_mut(&id)?;
        let mut came = Vec::new();
        let over = output.over;
        let mut progress = output
            .channel
            .turn(BUDGET, &mut |item| came.extend(kept(item)));
        if progress.next == Next::End && over {
            progress = output.channel.finish(&mut |item| came.extend(kept(item)));
        }
        let to_syslog = output.channel.has_syslog();
        for item in came {
            self.came(id, item);
        }
        self.understood(id);
        if progress.moved > 0 {
            self.arm_idle();
            if to_syslog {
                self.flush_syslog();
            }
        }
        Some(progress.next)
    }

    /// Sends what could not be sent to the host's log before.
    pub(crate) fn flush_syslog(&mut self) {
        self.syslog_waits = !self.syslog.flush();
        self.syslog_tried = ward_sys::clock::since_boot();
        for notice in self.syslog.notices() {
            self.log.notice(&notice);
        }
    }

    fn pace(&mut self, id: StreamId, next: Option<Next>) {
        let now = ward_sys::clock::since_boot();
        match next {
            None => {}
            Some(Next::Readable | Next::Now) => self.watch_stream(id),
            Some(Next::After(pause) | Next::Blocked(pause)) => {
                self.unwatch_stream(id);
                self.timers.arm(Due::Stream(id), now + pause);
            }
            Some(Next::End) => self.at_end(id),
        }
    }

    /// Nobody writes to it any more. The process itself may live: it has closed it.
    fn at_end(&mut self, id: StreamId) {
        let Some(output) = self.outputs.get(&id) else {
            return;
        };
        if output.over {
            self.close_stream(id);
        } else {
            self.unwatch_stream(id);
        }
    }

    fn close_stream(&mut self, id: StreamId) {
        self.unwatch_stream(id);
        self.timers.disarm(Due::Stream(id));
        let Some(output) = self.outputs.remove(&id) else {
            return;
        };
        if output.generation != 0 {
            let stream = output.stream;
            self.custody.drained(output.slot, output.generation, stream);
        }
        if let Some(program) = self.programs.get_mut(&output.program) {
            let place = &mut program.streams[output.stream.index()];
            if *place == Some(id) {
                *place = None;
            }
        }
    }

    /// Reads what a process has left behind, before its end is told.
    pub(crate) fn drain(&mut self, id: ProgramId) {
        let Some(program) = self.programs.get_mut(&id) else {
            return;
        };
        for stream in program.streams {
            let Some(stream) = stream else { continue };
            if let Some(output) = self.outputs.get_mut(&stream) {
                output.over = true;
            }
            let mut next = None;
            // Somebody else may write as fast as it is read.
            for _ in 0..LAST_TURNS {
                next = self.turn_once(stream);
                match next {
                    Some(Next::Now) => {}
                    Some(Next::Readable | Next::After(_) | Next::Blocked(_) | Next::End) | None => {
                        break;
                    }
                }
            }
            self.pace(stream, next);
        }
    }

    fn came(&mut self, id: StreamId, item: Came) {
        let Some(output) = self.outputs.get(&id) else {
            return;
        };
        match item {
            Came::Output(data) => {
                let program = output.program;
                let (process, group) = (output.process.clone(), output.group.clone());
                let (pid, stream) = (output.pid, output.stream);
                if self.log.tells(LogLevel::Debug) {
                    self.log.output(&process, stream, &data);
                }
                let wanted = self
                    .programs
                    .get(&program)
                    .is_some_and(|program| match stream {
                        Stream::Stdout => program.config.stdout.events_enabled,
                        Stream::Stderr => program.config.stderr.events_enabled,
                    });
                if wanted {
                    self.emit(Event::ProcessLog {
                        who: Who { process, group },
                        pid,
                        stream,
                        data,
                    });
                }
            }
            Came::Captured(data) => {
                let event = Event::ProcessCommunication {
                    who: Who {
                        process: output.process.clone(),
                        group: output.group.clone(),
                    },
                    pid: output.pid,
                    stream: output.stream,
                    data,
                };
                self.emit(event);
            }
            Came::Raw(data) => {
                let program = output.program;
                if let Some(output) = self.outputs.get_mut(&id) {
                    output.heard += data.len() as u64;
                }
                // Who has inherited it from a listener that has ended is none.
                if self.is_listened_to(program, id) {
                    self.hear(program, &data);
                }
            }
            Came::Said(level, text) => self.log.log(level, &text),
        }
    }

    /// Goes on at once with what an earlier daemon has left in spools: nobody knows when the next byte
    /// comes, and wakes us.
    pub(super) fn look_into_spools(&mut self) {
        let entries = std::fs::read_dir(&self.directory).into_iter().flatten();
        let spools: HashSet<PathBuf> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|it| it == SPOOL))
            .collect();
        if spools.is_empty() {
            return;
        }
        let now = ward_sys::clock::since_boot();
        for (id, output) in &self.outputs {
            let path = self.spool_path(output.slot, output.generation, output.stream);
            if spools.contains(&path) {
                self.timers.arm(Due::Stream(*id), now);
            }
        }
    }

    fn is_listened_to(&self, program: ProgramId, id: StreamId) -> bool {
        let program = self.programs.get(&program);
        program.is_some_and(|it| it.streams[Stream::Stdout.index()] == Some(id))
    }

    /// How much of its spool was heard of a listener.
    pub(crate) fn heard(&self, id: ProgramId) -> u64 {
        self.programs
            .get(&id)
            .and_then(|program| program.streams[Stream::Stdout.index()])
            .and_then(|stream| self.outputs.get(&stream))
            .map_or(0, |output| output.heard)
    }

    /// What was heard of a listener is written down with where it stands: its spool need not keep it.
    fn understood(&mut self, id: StreamId) {
        let Some(output) = self.outputs.get(&id).filter(|output| output.heard > 0) else {
            return;
        };
        let program = output.program;
        let is_listened_to = self.is_listened_to(program, id);
        if is_listened_to && self.is_half_said(program) {
            return;
        }
        let mut said = Vec::new();
        if let Some(output) = self.outputs.get_mut(&id) {
            output
                .channel
                .understood(&mut |item| said.extend(kept(item)));
            output.heard = output.heard.min(output.channel.spooled());
        }
        // Before anything else comes into it.
        if is_listened_to {
            self.save(program);
        }
        for item in said {
            self.came(id, item);
        }
    }

    /// Clears the logs of a process.
    pub(crate) fn clear_logs(&mut self, id: ProgramId) -> std::io::Result<()> {
        for stream in [Stream::Stdout, Stream::Stderr] {
            if let Some(log) = self.log_of(id, stream) {
                log.clear()?;
            }
        }
        Ok(())
    }
}

fn kept(item: Yield<'_>) -> Option<Came> {
    Some(match item {
        Yield::Output(data) => Came::Output(data.to_vec()),
        Yield::Captured(data) => Came::Captured(data.to_vec()),
        Yield::Raw(data) => Came::Raw(data.to_vec()),
        Yield::Said(notice) => Came::Said(notice.level, notice.text),
    })
}
