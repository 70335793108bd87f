//! Command lines of other programs that ward takes the place of: a file per program.
//!
//! Each reads its original's command line and gives its messages and exit statuses; none but
//! `pidproxy`, whose only work it is, starts, watches or stops a process: that is handed in by who
//! calls it.

pub(crate) mod configuration_file;
pub(crate) mod daemonize;
mod echo_supervisord_conf;
pub(crate) mod flom;
mod getopt;
mod pidproxy;
pub(crate) mod supervisorctl;
pub(crate) mod supervisord;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

/// How the keeper calls the daemon.
const DAEMON: &[u8] = b"ward-daemon";

/// A program that ward takes the place of.
#[derive(Debug, Clone, Copy)]
enum Original {
    Daemonize,
    Flom,
    Supervisord,
    Supervisorctl,
    Pidproxy,
    EchoSupervisordConf,
}

impl Original {
    /// The program of this name.
    fn called(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"daemonize" => Self::Daemonize,
            b"flom" => Self::Flom,
            b"supervisord" => Self::Supervisord,
            b"supervisorctl" => Self::Supervisorctl,
            b"pidproxy" => Self::Pidproxy,
            b"echo_supervisord_conf" => Self::EchoSupervisordConf,
            _ => return None,
        })
    }

    /// The program whose work is that of our verb, and what it is called by that.
    fn of_verb(verb: &[u8]) -> Option<(Self, &'static str)> {
        Some(match verb {
            b"daemonize" => (Self::Daemonize, "daemonize"),
            b"flom" => (Self::Flom, "flom"),
            b"up" => (Self::Supervisord, "ward up"),
            b"ctl" => (Self::Supervisorctl, "ward ctl"),
            b"pidproxy" => (Self::Pidproxy, "ward pidproxy"),
            b"echo_supervisord_conf" => (Self::EchoSupervisordConf, "ward echo_supervisord_conf"),
            _ => return None,
        })
    }

    /// Does its work. `program` is how this process was called, `name` what people are told of it.
    fn work(self, program: &OsStr, name: &str, words: &[OsString]) -> ExitCode {
        match self {
            Self::Daemonize => crate::commands::daemonize(name, words),
            Self::Flom => crate::commands::flom(words),
            Self::Supervisord => crate::commands::up(program, name, words),
            Self::Supervisorctl => crate::commands::ctl(program, name, words),
            Self::Pidproxy => pidproxy::run(name, words),
            Self::EchoSupervisordConf => echo_supervisord_conf::run(),
        }
    }
}

/// Does the work of another program, if it is by that one's name that we were called, or if that
/// is our verb: a command line with rules of its own must come to it as it was written.
pub(crate) fn by_name() -> Option<ExitCode> {
    let mut words = std::env::args_os();
    let program = words.next()?;
    let name = program.as_bytes().rsplit(|byte| *byte == b'/').next()?;
    if let Some(original) = Original::called(name) {
        let words: Vec<OsString> = words.collect();
        return Some(original.work(&program, &program.to_string_lossy(), &words));
    }
    if name == DAEMON {
        // The keeper has started it with the words of its own user, who may have begun them with our verb.
        let words: Vec<OsString> = words.skip_while(|word| word == "up").collect();
        return Some(Original::Supervisord.work(&program, "supervisord", &words));
    }
    let (original, name) = Original::of_verb(words.next()?.as_bytes())?;
    let words: Vec<OsString> = words.collect();
    Some(original.work(&program, name, &words))
}
