//! The keys of the supervisor, its servers, its client, plugins and includes.

use super::{Fallback, Key, Kind, Scope, key};
use Fallback::{Means, Required, Text};
use Scope::{Environment, Here, HereAndHost};

/// Of the supervisor.
pub(super) const SUPERVISORD: &[Key] = &[
    key(
        "logfile",
        Kind::File,
        Text("supervisord.log"),
        Here,
        "The main log; `syslog` for the system's. There is no word for none: `NONE` is a file of that name.",
    ),
    key(
        "logfile_maxbytes",
        Kind::ByteSize,
        Text("50MB"),
        Here,
        "The size at which the main log is rotated; 0: never.",
    ),
    key(
        "logfile_backups",
        Kind::Integer,
        Text("10"),
        Here,
        "How many rotated main logs are kept.",
    ),
    key(
        "loglevel",
        Kind::LogLevel,
        Text("info"),
        Here,
        "How much the main log tells.",
    ),
    key(
        "pidfile",
        Kind::File,
        Text("supervisord.pid"),
        Here,
        "Where the supervisor's process id is written.",
    ),
    key(
        "umask",
        Kind::Octal,
        Text("022"),
        Here,
        "The file mode creation mask of the supervisor in the background.",
    ),
    key(
        "nodaemon",
        Kind::Boolean,
        Text("false"),
        Here,
        "Stay in the foreground.",
    ),
    key(
        "silent",
        Kind::Boolean,
        Text("false"),
        Here,
        "In the foreground, write no log to standard output.",
    ),
    key(
        "minfds",
        Kind::Integer,
        Text("1024"),
        Here,
        "Open files that have to be allowed; the limit is raised to it.",
    ),
    key(
        "minprocs",
        Kind::Integer,
        Text("200"),
        Here,
        "Processes that have to be allowed; the limit is raised to it.",
    ),
    key(
        "nocleanup",
        Kind::Boolean,
        Text("false"),
        Here,
        "Keep the `AUTO` logs of an earlier life.",
    ),
    key(
        "childlogdir",
        Kind::Directory,
        Means("the directory of temporary files"),
        Here,
        "Where `AUTO` logs are.",
    ),
    key(
        "user",
        Kind::User,
        Means("who starts it"),
        Here,
        "Whom the supervisor runs as.",
    ),
    key(
        "directory",
        Kind::Directory,
        Means("where it is started"),
        Here,
        "Where the supervisor runs in the background.",
    ),
    key(
        "strip_ansi",
        Kind::Boolean,
        Text("false"),
        Here,
        "Take escape sequences out of the logs of programs.",
    ),
    key(
        "environment",
        Kind::Environment,
        Text(""),
        Here,
        "Variables of all programs. Every other section knows them as `ENV_X`. Names are replaced twice, as in the original; the second time `host_node_name` is known too.",
    ),
    key(
        "identifier",
        Kind::Text,
        Text("supervisor"),
        Here,
        "What the supervisor calls itself to clients and event listeners.",
    ),
];

/// Of a server on a UNIX socket.
pub(super) const UNIX: &[Key] = &[
    key(
        "file",
        Kind::Text,
        Required,
        Here,
        "The socket; `~` is replaced.",
    ),
    key(
        "chmod",
        Kind::Octal,
        Text("0700"),
        Environment,
        "Its permissions.",
    ),
    key(
        "chown",
        Kind::Owner,
        Means("who starts the supervisor"),
        Environment,
        "Whose it is.",
    ),
    USERNAME,
    PASSWORD,
];

/// Of a server on a port.
pub(super) const INET: &[Key] = &[
    key(
        "port",
        Kind::Address,
        Required,
        Environment,
        "Where it listens; without a host, or with `*`, on every address.",
    ),
    USERNAME,
    PASSWORD,
];

const USERNAME: Key = key(
    "username",
    Kind::Text,
    Means("everybody is let in"),
    Environment,
    "Who is let in.",
);
const PASSWORD: Key = key(
    "password",
    Kind::Text,
    Means("everybody is let in"),
    Environment,
    "With what; `{SHA}` and 40 hexadecimal digits for the SHA-1 of it. Both or none of `username` and `password`.",
);

/// Of the client.
pub(super) const CONTROL: &[Key] = &[
    key(
        "serverurl",
        Kind::Text,
        Text("http://localhost:9001"),
        Here,
        "The server: `http://host:port` or `unix:///path`.",
    ),
    key(
        "username",
        Kind::Text,
        Means("none is sent"),
        Environment,
        "Who asks.",
    ),
    key(
        "password",
        Kind::Text,
        Means("none is sent"),
        Environment,
        "With what, in clear text.",
    ),
    key(
        "prompt",
        Kind::Text,
        Text("supervisor"),
        Environment,
        "The prompt of the client's own shell.",
    ),
    key(
        "history_file",
        Kind::Text,
        Means("none is kept"),
        Here,
        "Where that shell keeps what was typed; `~` is replaced.",
    ),
];

/// Of an interface.
pub(super) const RPC_INTERFACE: &[Key] = &[key(
    "supervisor.rpcinterface_factory",
    Kind::Factory,
    Required,
    Environment,
    "`supervisor.rpcinterface:make_main_rpcinterface` is the only one: plugins in Python are not run.",
)];

/// Of a plugin of the client.
pub(super) const CTL_PLUGIN: &[Key] = &[key(
    "supervisor.ctl_factory",
    Kind::Factory,
    Required,
    Environment,
    "A plugin in Python; it is not run.",
)];

/// Of more files.
pub(super) const INCLUDE: &[Key] = &[key(
    "files",
    Kind::Globs,
    Required,
    HereAndHost,
    "The files, from the directory of the main file on; the matches of each glob in the order of their names. `%(here)s` in an included file is that file's own directory.",
)];
