//! From a configured process to one that runs: its command, environment, identity, streams.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Duration;

use rustix::io::Errno;
use ward_config::program::Process;
use ward_config::value::LogLevel;
use ward_model::cluster::variable::{ALL, superseded};
use ward_model::life::End;
use ward_model::program::{Event, Level};
use ward_sys::account;
use ward_sys::spawn::{Credentials, Join, SpawnError, Variable};
use ward_sys::stage::Stage;

use super::command;
use super::core::{Core, Settings};
use super::fcgi;
use super::info::unix_now;
use super::program::{Ended, Program, ProgramId};
use super::tree::Tree;
use crate::api::Stream;
use crate::events::Pool;
use crate::keeper::{Sink, SpawnFailure, Spec, Stdin};
use crate::logs::Log;
use ward_engine::chain;

/// What every child can read in its environment.
const ENABLED: &str = "SUPERVISOR_ENABLED";
const SERVER_URL: &str = "SUPERVISOR_SERVER_URL";
const PROCESS_NAME: &str = "SUPERVISOR_PROCESS_NAME";
const GROUP_NAME: &str = "SUPERVISOR_GROUP_NAME";

impl Core {
    /// The `PATH` that a program's command is looked for in.
    pub(crate) fn path_of(&self, program: &Program) -> Option<String> {
        let own = program.config.environment.get("PATH").cloned();
        own.or_else(|| {
            let path = self.settings.environment.get(OsStr::new("PATH"))?;
            Some(path.to_string_lossy().into_owned())
        })
    }

    /// The names of what programs inherit.
    pub(crate) fn base_environment_names(&self) -> Vec<String> {
        let names = self.settings.environment.keys();
        names
            .map(|name| name.to_string_lossy().into_owned())
            .collect()
    }

    /// The identity of a program's user; none where it is our own already. Who cannot be found is an
    /// error: nobody runs as somebody else for that.
    fn credentials_of(&mut self, config: &Process) -> Result<Option<Rc<Credentials>>, String> {
        let Some(wanted) = &config.user else {
            return Ok(None);
        };
        let unknown = || {
            format!(
                "unknown error making '{}': there is no user {}",
                config.name, wanted.name
            )
        };
        let uid = wanted.uid.ok_or_else(unknown)?;
        if uid == rustix::process::getuid().as_raw() {
            return Ok(None);
        }
        if let Some(known) = self.credentials.get(&uid) {
            return Ok(Some(Rc::clone(known)));
        }
        let user = account::user(&uid.to_string()).ok_or_else(unknown)?;
        let credentials = Rc::new(Credentials {
            uid,
            gid: user.gid,
            groups: account::groups_of(&user),
        });
        self.credentials.insert(uid, Rc::clone(&credentials));
        Ok(Some(credentials))
    }

    /// Starts a process, and says what came of it.
    pub(crate) fn spawn(&mut self, id: ProgramId) -> Vec<Event> {
        match self.try_spawn(id) {
            Ok((pid, None)) => vec![Event::Spawned { pid }],
            // There was a child, which has ended already.
            Ok((pid, Some(end))) => vec![
                Event::Spawned { pid },
                Event::Exited {
                    end,
                    lived: Duration::ZERO,
                },
            ],
            Err(why) => vec![Event::SpawnFailed { why }],
        }
    }

    fn try_spawn(&mut self, id: ProgramId) -> Result<(i32, Option<End>), String> {
        let gone = || "the program is gone".to_owned();
        let program = self.programs.get_mut(&id).ok_or_else(gone)?;
        let config = Rc::clone(&program.config);
        // Also of a start that comes to nothing: it is not tried again for having never been tried.
        program.started = unix_now();
        let program = self.programs.get(&id).ok_or_else(gone)?;
        let (group, slot) = (program.group.clone(), program.slot);
        let path = self.path_of(program);
        let command =
            command::find(&config.command, path.as_deref()).map_err(|error| error.to_string())?;
        self.open_logs(id, &config)?;
        self.open_socket(&group, &config)?;
        let credentials = self.credentials_of(&config)?;
        let tree = self.plant(id, &config);
        let environment = environment(&self.settings, &config, &group);
        let socket = config
            .socket
            .as_ref()
            .and_then(|_| self.position_of(&group))
            .and_then(|place| self.groups[place].sockets.get(&config.program));
        let limits: Vec<_> = tree.iter().filter_map(Tree::limit).collect();
        let spec = Spec {
            command: &command.words,
            environment: &environment,
            directory: config.directory.as_deref().map(OsStr::new),
            umask: config.umask.and_then(|mask| u32::try_from(mask).ok()),
            credentials: credentials.as_deref(),
            nice: None,
            limits: &limits,
            cgroup: tree.as_ref().and_then(Tree::directory).map(Join::Birth),
            stdin: socket.map_or(Stdin::Pipe, |socket| Stdin::Fd(socket.as_fd())),
            stdout: self.sink(id, Stream::Stdout),
            stderr: (!config.redirect_stderr).then(|| self.sink(id, Stream::Stderr)),
            ignore_sigpipe: true,
        };
        match self.custody.spawn(slot, &spec) {
            Ok(spawned) => {
                if let Some(program) = self.programs.get_mut(&id) {
                    program.started_at = spawned.at;
                    program.started = seconds(spawned.at);
                    program.generation = spawned.generation;
                    program.tree = tree;
                }
                self.with_listener(id, Pool::spawned);
                self.open_streams(id, spawned.pid, [spawned.stdout, spawned.stderr], 0);
                Ok((spawned.pid, None))
            }
            Err(failure) => {
                if let Some(tree) = tree {
                    tree.clear();
                }
                self.not_spawned(id, &config, failure)
            }
        }
    }

    /// Where an output goes that is about to be made: through us only if we do anything with it.
    fn sink(&self, id: ProgramId, stream: Stream) -> Sink {
        let Some(program) = self.programs.get(&id) else {
            return Sink::Pipe;
        };
        let channel = match stream {
            Stream::Stdout => &program.config.stdout,
            Stream::Stderr => &program.config.stderr,
        };
        let is_wanted = program.log(stream).is_some()
            || channel.syslog
            || channel.capture_maxbytes > 0
            || channel.events_enabled
            || (program.ear.is_some() && stream == Stream::Stdout)
            || self.log.tells(LogLevel::Debug);
        if is_wanted { Sink::Pipe } else { Sink::Nowhere }
    }

    /// There is no process. If there was a child, it said why, as the original's says it.
    fn not_spawned(
        &mut self,
        id: ProgramId,
        config: &Process,
        failure: SpawnFailure,
    ) -> Result<(i32, Option<End>), String> {
        let (stage, errno) = failure.stage_and_errno();
        match failure {
            SpawnFailure::Start { pid: Some(pid), .. } => {
                self.say_for_child(id, config, pid, stage, errno);
                let exec = stage == Stage::Exec;
                Ok((pid, Some(End::NotStarted { errno, exec })))
            }
            SpawnFailure::Start {
                error: SpawnError::Clone(error),
                pid: None,
            } => Err(no_child(&config.name, &error)),
            other => Err(format!(
                "unknown error making '{}': {}",
                config.name,
                chain(&other)
            )),
        }
    }

    /// What a child that could not become the program would have said itself.
    fn say_for_child(
        &mut self,
        id: ProgramId,
        config: &Process,
        pid: i32,
        stage: Stage,
        errno: i32,
    ) {
        let name = errno_name(errno);
        let what = match stage {
            Stage::Exec => format!("couldn't exec {}: {name}", first_word(config)),
            Stage::Directory => {
                let directory = config.directory.as_deref().unwrap_or_default();
                format!("couldn't chdir to {directory}: {name}")
            }
            Stage::Groups | Stage::Group | Stage::User => {
                let user = config.user.as_ref().and_then(|user| user.uid).unwrap_or(0);
                format!("couldn't setuid to {user}: Can't drop privilege as nonroot user")
            }
            other => format!("error while {}: {name}", other.describe()),
        };
        let text = format!("supervisor: {what}\nsupervisor: child process was not spawned\n");
        let stream = if config.redirect_stderr {
            Stream::Stdout
        } else {
            Stream::Stderr
        };
        // Through a pipe, as if it had been there: to its log, to listeners, to syslog.
        let said = ward_sys::pipe::pipe().and_then(|(reader, writer)| {
            rustix::io::write(&writer, text.as_bytes())?;
            ward_sys::pipe::set_nonblocking(&reader)?;
            Ok(reader)
        });
        match said {
            Ok(reader) => {
                if let Some(stream) = self.open_stream(id, (pid, 0), stream, reader, None) {
                    self.stream_is_over(stream);
                }
            }
            Err(error) => self.say(Level::Error, &format!("cannot make a pipe: {error}")),
        }
        if let Some(program) = self.programs.get_mut(&id) {
            program.remember(Ended {
                pid,
                end: End::NotStarted {
                    errno,
                    exec: stage == Stage::Exec,
                },
                at: unix_now(),
                lived: Duration::ZERO,
                why: Some(what),
            });
        }
    }

    /// Makes the logs of a process, if they are not there; a start without them fails.
    fn open_logs(&mut self, id: ProgramId, config: &Process) -> Result<(), String> {
        for stream in [Stream::Stdout, Stream::Stderr] {
            // A link may lead elsewhere than at the last start.
            let log = self.find_log(id, stream);
            let created = log.as_ref().map_or(Ok(()), Log::create);
            if let Some(program) = self.programs.get_mut(&id) {
                program.found_logs[stream.index()] = log;
            }
            if let Err(error) = created {
                return Err(format!(
                    "unknown error making dispatchers for '{}': {}",
                    config.name,
                    error
                        .raw_os_error()
                        .map_or_else(|| error.to_string(), errno_name)
                ));
            }
        }
        Ok(())
    }

    fn open_socket(&mut self, group: &str, config: &Process) -> Result<(), String> {
        let Some(socket) = &config.socket else {
            return Ok(());
        };
        let is_open = self
            .group(group)
            .is_some_and(|group| group.sockets.contains_key(&config.program));
        if is_open {
            return Ok(());
        }
        let address = fcgi::address_of(socket);
        self.say(Level::Info, &format!("Creating socket {address}"));
        let fd = fcgi::open(socket).map_err(|error| {
            format!(
                "Could not create FastCGI socket {address}: {}",
                chain(&error)
            )
        })?;
        self.keep_socket(group, &config.program, fd);
        Ok(())
    }

    /// Closes the sockets of a group that none of its processes uses.
    pub(crate) fn close_unused_socket(&mut self, name: &str) {
        let Some(group) = self.group(name).filter(|group| !group.sockets.is_empty()) else {
            return;
        };
        let used: Vec<String> = group
            .programs
            .iter()
            .filter_map(|id| self.programs.get(id))
            .filter(|program| {
                let state = program.machine.state();
                program.machine.pid().is_some() || state.is_running()
            })
            .map(|program| program.config.program.clone())
            .collect();
        let unused: Vec<String> = group
            .sockets
            .keys()
            .filter(|program| !used.contains(program))
            .cloned()
            .collect();
        for program in unused {
            self.close_socket(name, &program);
        }
    }
}

/// What a process has as its environment, by name.
fn environment<'a>(
    settings: &'a Settings,
    config: &'a Process,
    group: &'a str,
) -> Vec<Variable<'a>> {
    let base = settings.environment.iter();
    let mut all: Vec<Variable<'a>> = Vec::with_capacity(base.len() + 4 + config.environment.len());
    all.extend(base.map(|(name, value)| (name.as_os_str(), value.as_os_str())));
    let base_names_a_cluster = ALL
        .iter()
        .any(|name| settings.environment.contains_key(OsStr::new(name)));
    let mut set = |name: &'a str, value: &'a str| {
        let both = (OsStr::new(name), OsStr::new(value));
        match all.binary_search_by_key(&both.0, |(name, _)| name) {
            Ok(place) => all[place] = both,
            Err(place) => all.insert(place, both),
        }
    };
    if base_names_a_cluster {
        let of_another = superseded(|name| config.environment.contains_key(name));
        of_another.for_each(|name| set(name, ""));
    }
    set(ENABLED, "1");
    if let Some(url) = config.serverurl.as_ref().or(settings.server_url.as_ref()) {
        set(SERVER_URL, url);
    }
    set(PROCESS_NAME, &config.name);
    set(GROUP_NAME, group);
    for (name, value) in &config.environment {
        set(name, value);
    }
    all
}

/// Whole seconds of nanoseconds.
pub(crate) fn seconds(nanoseconds: u64) -> i64 {
    i64::try_from(nanoseconds / 1_000_000_000).unwrap_or(i64::MAX)
}

fn first_word(config: &Process) -> String {
    let words = ward_config::ini::words::arguments(&config.command).unwrap_or_default();
    words.into_iter().next().unwrap_or_default()
}

fn no_child(name: &str, error: &std::io::Error) -> String {
    if error.raw_os_error() == Some(Errno::AGAIN.raw_os_error()) {
        format!("Too many processes in process table to spawn '{name}'")
    } else {
        format!("unknown error during fork for '{name}': {error}")
    }
}

/// `ENOENT` and its kin, as errno(3) names them; the number for one without a name here.
fn errno_name(errno: i32) -> String {
    const NAMES: [&str; 40] = [
        "EPERM",
        "ENOENT",
        "ESRCH",
        "EINTR",
        "EIO",
        "ENXIO",
        "E2BIG",
        "ENOEXEC",
        "EBADF",
        "ECHILD",
        "EAGAIN",
        "ENOMEM",
        "EACCES",
        "EFAULT",
        "ENOTBLK",
        "EBUSY",
        "EEXIST",
        "EXDEV",
        "ENODEV",
        "ENOTDIR",
        "EISDIR",
        "EINVAL",
        "ENFILE",
        "EMFILE",
        "ENOTTY",
        "ETXTBSY",
        "EFBIG",
        "ENOSPC",
        "ESPIPE",
        "EROFS",
        "EMLINK",
        "EPIPE",
        "EDOM",
        "ERANGE",
        "EDEADLK",
        "ENAMETOOLONG",
        "ENOLCK",
        "ENOSYS",
        "ENOTEMPTY",
        "ELOOP",
    ];
    let name = usize::try_from(errno - 1)
        .ok()
        .and_then(|index| NAMES.get(index));
    name.map_or_else(|| errno.to_string(), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_their_names() {
        for (error, name) in [
            (Errno::PERM, "EPERM"),
            (Errno::NOENT, "ENOENT"),
            (Errno::NOEXEC, "ENOEXEC"),
            (Errno::ACCESS, "EACCES"),
            (Errno::TXTBSY, "ETXTBSY"),
            (Errno::LOOP, "ELOOP"),
        ] {
            assert_eq!(errno_name(error.raw_os_error()), name);
        }
        assert_eq!(errno_name(0), "0");
        assert_eq!(errno_name(i32::MIN + 1), (i32::MIN + 1).to_string());
        assert_eq!(errno_name(95), "95");
    }
}
