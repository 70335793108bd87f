//! The keys of programs, their groups, FastCGI programs and event listeners.

use super::{Fallback, Key, Kind, Scope, key};
use Fallback::{Means, Required, Text};
use Scope::{Here, Process, Program, Socket};

/// Of a program, and of what is one with more.
pub(super) const PROGRAM: &[Key] = &[
    key(
        "command",
        Kind::Text,
        Required,
        Process,
        "What is run. Cut into words by quotes and backslashes; no shell. A name without a slash is sought in the `PATH` of the program's `environment`, else of the supervisor.",
    ),
    key(
        "process_name",
        Kind::Text,
        Text("%(program_name)s"),
        Process,
        "What each process is called. With several processes `%(process_num)` has to be in it.",
    ),
    key(
        "numprocs",
        Kind::Integer,
        Text("1"),
        Program,
        "How many processes, 65536 at most; none if it is 0 or less.",
    ),
    key(
        "numprocs_start",
        Kind::Integer,
        Text("0"),
        Program,
        "The number of the first process.",
    ),
    key(
        "priority",
        Kind::Integer,
        Text("999"),
        Program,
        "Lower ones are started first and stopped last. Where the program is in no `[group:…]`, it is that of its own group, and only `ENV_X` and `here` are known in it.",
    ),
    key(
        "autostart",
        Kind::Boolean,
        Text("true"),
        Program,
        "Start it with the supervisor.",
    ),
    key(
        "startsecs",
        Kind::Integer,
        Text("1"),
        Program,
        "Seconds that it has to stay up to count as started; 0: at once.",
    ),
    key(
        "startretries",
        Kind::Integer,
        Text("3"),
        Program,
        "How often a start that failed is tried again, 1, 2, 3 … seconds after it.",
    ),
    key(
        "autorestart",
        Kind::Autorestart,
        Text("unexpected"),
        Program,
        "Whether it is started again after it ended by itself; `unexpected`: when its status is not among `exitcodes`.",
    ),
    key(
        "exitcodes",
        Kind::ExitCodes,
        Text("0"),
        Program,
        "The statuses that are expected.",
    ),
    key(
        "stopsignal",
        Kind::Signal,
        Text("TERM"),
        Program,
        "What a stop sends.",
    ),
    key(
        "stopwaitsecs",
        Kind::Integer,
        Text("10"),
        Program,
        "Seconds from the stop signal to KILL.",
    ),
    key(
        "stopasgroup",
        Kind::Boolean,
        Text("false"),
        Program,
        "Send the stop signal to the whole process group.",
    ),
    key(
        "killasgroup",
        Kind::Boolean,
        Means("as `stopasgroup`"),
        Program,
        "Send KILL to the whole process group. May not be false where `stopasgroup` is true.",
    ),
    key(
        "user",
        Kind::User,
        Means("the supervisor's own"),
        Program,
        "Whom it runs as.",
    ),
    key(
        "redirect_stderr",
        Kind::Boolean,
        Text("false"),
        Program,
        "Send its standard error where its standard output goes.",
    ),
    key(
        "stdout_logfile",
        Kind::LogFile,
        Text("AUTO"),
        Process,
        "Where its standard output goes. Names are replaced twice, as in the original: `%%%%` is one `%`.",
    ),
    key(
        "stdout_logfile_maxbytes",
        Kind::ByteSize,
        Text("50MB"),
        Process,
        "The size at which the log is rotated; 0: never, as devices and pipes need it.",
    ),
    key(
        "stdout_logfile_backups",
        Kind::Integer,
        Text("10"),
        Process,
        "How many rotated logs are kept.",
    ),
    key(
        "stdout_capture_maxbytes",
        Kind::ByteSize,
        Text("0"),
        Program,
        "How much is captured between the tags of a process communication event; 0: nothing.",
    ),
    key(
        "stdout_events_enabled",
        Kind::Boolean,
        Text("false"),
        Program,
        "Tell event listeners what it writes.",
    ),
    key(
        "stdout_syslog",
        Kind::Boolean,
        Text("false"),
        Process,
        "Send its standard output to syslog as well.",
    ),
    key(
        "stderr_logfile",
        Kind::LogFile,
        Text("AUTO"),
        Process,
        "Where its standard error goes. Ignored with `redirect_stderr`.",
    ),
    key(
        "stderr_logfile_maxbytes",
        Kind::ByteSize,
        Text("50MB"),
        Process,
        "As `stdout_logfile_maxbytes`.",
    ),
    key(
        "stderr_logfile_backups",
        Kind::Integer,
        Text("10"),
        Process,
        "As `stdout_logfile_backups`.",
    ),
    key(
        "stderr_capture_maxbytes",
        Kind::ByteSize,
        Text("0"),
        Program,
        "As `stdout_capture_maxbytes`.",
    ),
    key(
        "stderr_events_enabled",
        Kind::Boolean,
        Text("false"),
        Program,
        "As `stdout_events_enabled`.",
    ),
    key(
        "stderr_syslog",
        Kind::Boolean,
        Text("false"),
        Process,
        "As `stdout_syslog`.",
    ),
    key(
        "environment",
        Kind::Environment,
        Text(""),
        Process,
        "Variables on top of those of `[supervisord]` and of the supervisor itself. Later keys of the program know them as `ENV_X`.",
    ),
    key(
        "directory",
        Kind::Text,
        Means("the supervisor's own"),
        Process,
        "Where it runs. Nobody looks whether it is there before the start.",
    ),
    key(
        "umask",
        Kind::Octal,
        Means("the supervisor's own"),
        Program,
        "Its file mode creation mask.",
    ),
    key(
        "serverurl",
        Kind::Text,
        Text("AUTO"),
        Program,
        "What it is told as SUPERVISOR_SERVER_URL; `AUTO`: the supervisor's own, a UNIX socket before a port.",
    ),
    Key {
        ours: true,
        ..key(
            "contain",
            Kind::Contain,
            Text("process"),
            Program,
            "`tree`: the program is everything that it starts, however it detaches itself; a stop ends all of it, and it is over when the last of them is.",
        )
    },
];

/// Of a group.
pub(super) const GROUP: &[Key] = &[
    key(
        "programs",
        Kind::List,
        Means("no program"),
        Here,
        "The names of its programs and FastCGI programs; they are started in this order. One may be in several groups.",
    ),
    key(
        "priority",
        Kind::Integer,
        Text("999"),
        Here,
        "Lower ones are started first and stopped last.",
    ),
];

/// Of a FastCGI program, besides those of a program.
pub(super) const FCGI: &[Key] = &[
    key(
        "socket",
        Kind::Socket,
        Required,
        Socket,
        "What its processes accept connections from.",
    ),
    key(
        "socket_owner",
        Kind::Owner,
        Means("the program's `user` and its group"),
        Here,
        "Whose a UNIX socket is.",
    ),
    key(
        "socket_mode",
        Kind::Octal,
        Means("0700"),
        Here,
        "The permissions of a UNIX socket.",
    ),
    key(
        "socket_backlog",
        Kind::Integer,
        Means("the system's longest"),
        Here,
        "How many connections wait to be accepted, 1 to 65535.",
    ),
];

/// Of an event listener, besides those of a program.
pub(super) const LISTENER: &[Key] = &[
    key(
        "events",
        Kind::List,
        Required,
        Here,
        "What it is told of, in any case. A kind stands for all below it: `PROCESS_STATE` for `PROCESS_STATE_EXITED`, `EVENT` for everything.",
    ),
    key(
        "buffer_size",
        Kind::Integer,
        Text("10"),
        Here,
        "How many events wait for a listener, 1 at least; then the oldest is dropped.",
    ),
    key(
        "result_handler",
        Kind::Factory,
        Text("supervisor.dispatchers:default_handler"),
        Here,
        "What its results are given to. `supervisor_stdout:event_handler` is the only other one: it prints them.",
    ),
];
