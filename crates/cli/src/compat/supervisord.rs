//! The command line of supervisord 4.3.0: `ward up`, and ward by the name `supervisord`.
//!
//! This room reads the words, with the original's rules, refusals and exit statuses, and starts
//! nothing. What it gives overrides what the configuration says.

use std::io::Write as _;
use std::process::ExitCode;

use ward_config::host::{Files, Host, directory_of};
use ward_config::ini::repr::repr;
use ward_config::value::{self, LogLevel};

use super::getopt::{self, Known};

/// What `--version` says: the version of Supervisor whose place is taken, which others compare.
pub(crate) const VERSION: &str = "4.3.0";

/// The exit status of a command line, or a configuration, that cannot be used.
pub(crate) const USAGE: u8 = 2;

/// What a command line says. Each `Some` goes before what the configuration says of the same.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// `-c`: the configuration; without it,
    /// [`find_configuration`](super::configuration_file::find_configuration) looks for one.
    pub(crate) configuration: Option<String>,
    /// `-n`: stay in the foreground.
    pub(crate) nodaemon: Option<bool>,
    /// `-s`: no log on standard output.
    pub(crate) silent: Option<bool>,
    /// `-u`: whom to run as, by name or number; looked for once the configuration was read.
    pub(crate) user: Option<String>,
    /// `-m`: file mode creation mask.
    pub(crate) umask: Option<i64>,
    /// `-d`: where to run when detached; is there.
    pub(crate) directory: Option<String>,
    /// `-l`: the main log, `~` replaced, or `syslog`; its directory is there.
    pub(crate) logfile: Option<String>,
    /// `-y`: in bytes.
    pub(crate) logfile_maxbytes: Option<i64>,
    /// `-z`: how many are kept.
    pub(crate) logfile_backups: Option<i64>,
    /// `-e`: how much the log tells.
    pub(crate) loglevel: Option<LogLevel>,
    /// `-j`: `~` replaced; its directory is there.
    pub(crate) pidfile: Option<String>,
    /// `-i`: what it calls itself.
    pub(crate) identifier: Option<String>,
    /// `-q`: where `AUTO` logs go; is there.
    pub(crate) childlogdir: Option<String>,
    /// `-k`: earlier `AUTO` logs are kept.
    pub(crate) nocleanup: Option<bool>,
    /// `-a`: open files.
    pub(crate) minfds: Option<i64>,
    /// `--minprocs`: processes.
    pub(crate) minprocs: Option<i64>,
    /// `-t`: escape sequences are taken out of logs.
    pub(crate) strip_ansi: Option<bool>,
    /// `--profile_options`: was given, and has no meaning here.
    pub(crate) profile: bool,
}

/// What is asked of us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// To print this and end well.
    Print(String),
    /// To start.
    Run(Box<Options>),
}

/// Why nothing is started, in the words of the original.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refusal(pub(crate) String);

impl Refusal {
    /// Says it on standard error. `program` is what we were called.
    pub(crate) fn report(&self, program: &str) -> ExitCode {
        // Where nobody can be told, the exit status still says it.
        let _ = write!(
            std::io::stderr(),
            "Error: {}\nFor help, use {program} -h\n",
            self.0
        );
        ExitCode::from(USAGE)
    }
}

/// An option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Help,
    Version,
    Configuration,
    NoDaemon,
    Silent,
    User,
    Umask,
    Directory,
    Logfile,
    LogfileMaxbytes,
    LogfileBackups,
    Loglevel,
    Pidfile,
    Identifier,
    Childlogdir,
    NoCleanup,
    Minfds,
    Minprocs,
    StripAnsi,
    Profile,
}

const fn flag(letter: char, long: &'static str, meaning: Meaning) -> Known<Meaning> {
    Known {
        letter: Some(letter),
        long: Some(long),
        takes_value: false,
        meaning,
    }
}

const fn with_value(letter: char, long: &'static str, meaning: Meaning) -> Known<Meaning> {
    Known {
        takes_value: true,
        ..flag(letter, long, meaning)
    }
}

const fn long_only(long: &'static str, meaning: Meaning) -> Known<Meaning> {
    Known {
        letter: None,
        ..with_value('-', long, meaning)
    }
}

const KNOWN: &[Known<Meaning>] = &[
    flag('h', "help", Meaning::Help),
    Known {
        long: None,
        ..flag('?', "", Meaning::Help)
    },
    flag('v', "version", Meaning::Version),
    with_value('c', "configuration", Meaning::Configuration),
    flag('n', "nodaemon", Meaning::NoDaemon),
    flag('s', "silent", Meaning::Silent),
    with_value('u', "user", Meaning::User),
    with_value('m', "umask", Meaning::Umask),
    with_value('d', "directory", Meaning::Directory),
    with_value('l', "logfile", Meaning::Logfile),
    with_value('y', "logfile_maxbytes", Meaning::LogfileMaxbytes),
    with_value('z', "logfile_backups", Meaning::LogfileBackups),
    with_value('e', "loglevel", Meaning::Loglevel),
    with_value('j', "pidfile", Meaning::Pidfile),
    with_value('i', "identifier", Meaning::Identifier),
    with_value('q', "childlogdir", Meaning::Childlogdir),
    flag('k', "nocleanup", Meaning::NoCleanup),
    with_value('a', "minfds", Meaning::Minfds),
    long_only("minprocs", Meaning::Minprocs),
    flag('t', "strip_ansi", Meaning::StripAnsi),
    long_only("profile_options", Meaning::Profile),
];

/// The options, for people.
pub(crate) const HELP: &str = "\
Options:
  -c, --configuration FILE    the configuration; without it, the first of
                              ../etc/supervisord.conf and ../supervisord.conf from the
                              program's directory, ./supervisord.conf,
                              ./etc/supervisord.conf, /etc/supervisord.conf,
                              /etc/supervisor/supervisord.conf
  -n, --nodaemon              stay in the foreground
  -s, --silent                print no log on standard output
  -u, --user USER             become this user, by name or number
  -m, --umask OCTAL           file mode creation mask of programs, when detached (022)
  -d, --directory DIRECTORY   change into it when detached
  -l, --logfile FILE          the main log
  -y, --logfile_maxbytes SIZE start a new log beyond this: bytes, or with KB, MB, GB
  -z, --logfile_backups NUM   keep so many old ones
  -e, --loglevel LEVEL        critical, error, warn, info, debug, trace or blather
  -j, --pidfile FILE          write the process id there
  -i, --identifier NAME       what this one calls itself
  -q, --childlogdir DIRECTORY where logs of programs go that name none
  -k, --nocleanup             keep such logs of earlier runs
  -a, --minfds NUM            have at least so many open files, or do not start
      --minprocs NUM          have at least so many processes, or do not start
  -t, --strip_ansi            take escape sequences out of programs' logs
      --profile_options LIST  is read, and has no effect
  -v, --version               print the version of Supervisor that this is compatible with
  -h, --help                  print this

An option goes before the key of the same name in the configuration.
";

/// What is shown below the help.
pub(crate) const EXAMPLES: &str = "\
Examples:
  ward up -c supervisord.conf          detach, and keep the programs running
  ward up -n -c supervisord.conf       in the foreground, as the main process of a container
  ward check -c supervisord.conf       tell what is wrong with a configuration first
  ward ctl -c supervisord.conf status  how the programs stand
";

fn help(program: &str) -> String {
    format!(
        "Usage: {program} [OPTIONS]\n\
         Keep the programs of a supervisord.conf running.\n\n{HELP}\n{EXAMPLES}"
    )
}

/// Reads the words behind the program's name. `program` is what we were called, for the help.
///
/// # Errors
/// When they cannot be used; nothing was done.
pub(crate) fn parse(
    program: &str,
    words: &[String],
    host: &Host,
    files: &dyn Files,
) -> Result<Parsed, Refusal> {
    let words = getopt::read(KNOWN, words).map_err(Refusal)?;
    if !words.rest.is_empty() {
        let rest: Vec<String> = words.rest.iter().map(|word| repr(word, false)).collect();
        return Err(Refusal(format!(
            "positional arguments are not supported: [{}]",
            rest.join(", ")
        )));
    }
    let mut options = Options::default();
    let look = Look { host, files };
    for given in words.options {
        let (option, text) = (given.option.as_str(), given.value.as_str());
        let conflicts = match given.meaning {
            Meaning::Help => return Ok(Parsed::Print(help(program))),
            Meaning::Version => return Ok(Parsed::Print(format!("{VERSION}\n"))),
            Meaning::Configuration => set(&mut options.configuration, text.to_owned()),
            Meaning::NoDaemon => set(&mut options.nodaemon, true),
            Meaning::Silent => set(&mut options.silent, true),
            Meaning::NoCleanup => set(&mut options.nocleanup, true),
            Meaning::StripAnsi => set(&mut options.strip_ansi, true),
            Meaning::User => set(&mut options.user, text.to_owned()),
            Meaning::Identifier => set(&mut options.identifier, text.to_owned()),
            Meaning::Umask => set(&mut options.umask, valid(option, text, octal(text))?),
            Meaning::Directory => {
                let directory = valid(option, text, look.directory(text))?;
                set(&mut options.directory, directory)
            }
            Meaning::Childlogdir => {
                let directory = valid(option, text, look.directory(text))?;
                set(&mut options.childlogdir, directory)
            }
            Meaning::Logfile => set(&mut options.logfile, valid(option, text, look.file(text))?),
            Meaning::Pidfile => set(&mut options.pidfile, valid(option, text, look.file(text))?),
            Meaning::LogfileMaxbytes => {
                let size = valid(option, text, byte_size(text))?;
                set(&mut options.logfile_maxbytes, size)
            }
            Meaning::LogfileBackups => {
                let count = valid(option, text, integer(text))?;
                set(&mut options.logfile_backups, count)
            }
            Meaning::Minfds => set(&mut options.minfds, valid(option, text, integer(text))?),
            Meaning::Minprocs => set(&mut options.minprocs, valid(option, text, integer(text))?),
            Meaning::Loglevel => set(&mut options.loglevel, valid(option, text, level(text))?),
            Meaning::Profile => std::mem::replace(&mut options.profile, true),
        };
        if conflicts {
            return Err(Refusal(getopt::conflict(option)));
        }
    }
    Ok(Parsed::Run(Box::new(options)))
}

/// Whether it was set already.
fn set<T>(slot: &mut Option<T>, value: T) -> bool {
    slot.replace(value).is_some()
}

fn valid<T>(option: &str, text: &str, value: Result<T, String>) -> Result<T, Refusal> {
    value.map_err(|why| Refusal(getopt::invalid(option, text, &why)))
}

fn integer(text: &str) -> Result<i64, String> {
    value::integer(text).map_err(|_| {
        format!(
            "invalid literal for int() with base 10: {}",
            repr(text, false)
        )
    })
}

/// The original complains about the digits alone.
fn byte_size(text: &str) -> Result<i64, String> {
    value::byte_size(text).map_err(|_| {
        let lower = text.to_lowercase();
        let digits = ["kb", "mb", "gb"]
            .iter()
            .find_map(|unit| lower.strip_suffix(unit));
        let digits = digits.unwrap_or(&lower);
        format!(
            "invalid literal for int() with base 10: {}",
            repr(digits, false)
        )
    })
}

fn octal(text: &str) -> Result<i64, String> {
    value::octal(text).map_err(|_| format!("{text} can not be converted to an octal type"))
}

fn level(text: &str) -> Result<LogLevel, String> {
    value::log_level(text).map_err(|_| format!("bad logging level name {}", repr(text, false)))
}

/// What is looked at while the words are read.
struct Look<'a> {
    host: &'a Host,
    files: &'a dyn Files,
}

impl Look<'_> {
    fn is_directory(&self, path: &str) -> bool {
        self.files.is_directory(self.host.absolute(path).as_ref())
    }

    fn directory(&self, text: &str) -> Result<String, String> {
        let path = self.host.expand_home(text);
        if self.is_directory(&path) {
            Ok(path)
        } else {
            Err(format!("{text} is not an existing directory"))
        }
    }

    fn file(&self, text: &str) -> Result<String, String> {
        let path = self.host.expand_home(text);
        let directory = directory_of(&path);
        if directory.is_empty() || self.is_directory(directory) {
            Ok(path)
        } else {
            Err(format!(
                "The directory named as part of the path {text} does not exist"
            ))
        }
    }
}

#[cfg(test)]
mod tests;
