//! The options, and where the command begins.

use super::super::getopt::{self, Known};
use super::super::supervisord::Refusal;
use super::endpoint::is_url;
use ward_config::ini::repr::repr;

/// The options, for people.
pub(crate) const OPTIONS: &str = "\
Options:
  -c, --configuration FILE  the configuration; without it, the first of
                            ../etc/supervisord.conf and ../supervisord.conf from the
                            program's directory, ./supervisord.conf,
                            ./etc/supervisord.conf, /etc/supervisord.conf,
                            /etc/supervisor/supervisord.conf; without any, the defaults
  -s, --serverurl URL       where the supervisor listens: http://HOST:PORT or unix:///PATH
                            (http://localhost:9001)
  -u, --username NAME       who asks, where the server wants to know
  -p, --password PASSWORD   with what; others of this host can read it in the list of
                            processes: better put it into [supervisorctl]
  -r, --history_file FILE   keep what is typed in the shell
  -i, --interactive         ask before a shutdown and a reload, and for a password
  -h, --help                print this

Without an action, a shell reads actions from standard input.

Actions:
  status [NAME...] [--json]           how processes stand
  start|stop|restart NAME...          NAME is PROCESS, GROUP:PROCESS, GROUP:* or all
  signal SIGNAL NAME...               send a signal
  pid [NAME...]                       process ids; without a name, the supervisor's
  tail [-f|-BYTES] NAME [stdout|stderr]  the end of a log; -f: and what is added to it
  maintail [-f|-BYTES]                the same of the supervisor's own log
  clear NAME...                       empty logs
  fg NAME                             send lines to a process, and see what it prints
  reread                              read the configuration again, and change nothing
  update [GROUP...]                   read it again, and start, restart and stop accordingly
  avail, add NAME..., remove NAME...  groups that are configured; put them to work or away
  shutdown, reload                    end the supervisor; stop everything and start anew
  version, open URL, help [ACTION]
  explain NAME [--json]               how a process is configured, and what became of it (ward)
  upgrade                             put a new version of ward to work; programs run on (ward)
";

/// What is shown below the help.
pub(crate) const EXAMPLES: &str = "\
Examples:
  ward ctl status                              with the configuration at a usual place
  ward ctl -c supervisord.conf restart web:*   all of a group
  ward ctl -s http://localhost:9001 tail -f db stderr
  ward ctl status --json                       for programs
  echo 'stop all' | ward ctl                   the shell without a terminal

Exit status: 0; of status, 3 if a process that was shown does not run, 4 if one is not known or the
supervisor cannot be reached; otherwise 1 if something failed, 2 for mistakes on the command line,
4 or 7 if the supervisor cannot be reached, 7 if a process did not come up.
";

/// What is asked of us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Parsed {
    /// To print this and end well.
    Print(String),
    /// To ask a supervisor.
    Run(Box<CommandLine>),
}

/// A command line as it was written.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct CommandLine {
    pub(super) configuration: Option<String>,
    pub(super) interactive: bool,
    pub(super) serverurl: Option<String>,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) history_file: Option<String>,
    /// The words of the action; empty for the shell.
    pub(super) action: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Help,
    Configuration,
    Interactive,
    ServerUrl,
    Username,
    Password,
    History,
}

const fn option(
    letter: char,
    long: &'static str,
    takes_value: bool,
    meaning: Meaning,
) -> Known<Meaning> {
    Known {
        letter: Some(letter),
        long: Some(long),
        takes_value,
        meaning,
    }
}

const KNOWN: &[Known<Meaning>] = &[
    option('h', "help", false, Meaning::Help),
    Known {
        long: None,
        ..option('?', "", false, Meaning::Help)
    },
    option('c', "configuration", true, Meaning::Configuration),
    option('i', "interactive", false, Meaning::Interactive),
    option('s', "serverurl", true, Meaning::ServerUrl),
    option('u', "username", true, Meaning::Username),
    option('p', "password", true, Meaning::Password),
    option('r', "history_file", true, Meaning::History),
];

/// Reads the words behind the program's name, as the original does.
pub(super) fn parse(program: &str, words: &[String]) -> Result<Parsed, Refusal> {
    let words = getopt::read(KNOWN, words).map_err(Refusal)?;
    let mut line = CommandLine {
        action: words.rest,
        ..CommandLine::default()
    };
    for given in words.options {
        let slot = match given.meaning {
            Meaning::Help => {
                return Ok(Parsed::Print(format!(
                    "Usage: {program} [OPTIONS] [ACTION [ARGUMENT]...]\n\
                     Ask a supervisor how its processes stand, and tell it what to do.\n\n\
                     {OPTIONS}\n{EXAMPLES}"
                )));
            }
            Meaning::Interactive => {
                if std::mem::replace(&mut line.interactive, true) {
                    return Err(Refusal(getopt::conflict(&given.option)));
                }
                continue;
            }
            Meaning::ServerUrl => {
                if !is_url(&given.value) {
                    let why = format!("value {} is not a URL", repr(&given.value, false));
                    let text = getopt::invalid(&given.option, &given.value, &why);
                    return Err(Refusal(text));
                }
                &mut line.serverurl
            }
            Meaning::Configuration => &mut line.configuration,
            Meaning::Username => &mut line.username,
            Meaning::Password => &mut line.password,
            Meaning::History => &mut line.history_file,
        };
        if slot.replace(given.value).is_some() {
            return Err(Refusal(getopt::conflict(&given.option)));
        }
    }
    Ok(Parsed::Run(Box::new(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Parsed, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse("supervisorctl", &words).map_err(|refusal| refusal.0)
    }

    #[test]
    fn options_end_where_the_action_begins() {
        let expected = CommandLine {
            configuration: Some("f".into()),
            interactive: true,
            serverurl: Some("unix:///x".into()),
            username: Some("u".into()),
            password: Some("p".into()),
            history_file: Some("h".into()),
            action: ["tail", "-f", "-c"].map(str::to_owned).to_vec(),
        };
        for line in [
            "-c f -is unix:///x -u u -pp -r h tail -f -c",
            "--configuration f --interactive --serverurl=unix:///x --user u --pass p --history_file h -- tail -f -c",
        ] {
            assert_eq!(
                parsed(line),
                Ok(Parsed::Run(Box::new(expected.clone()))),
                "{line}"
            );
        }
        assert_eq!(parsed(""), Ok(Parsed::Run(Box::default())));
    }

    /// The right column is what the original printed.
    #[test]
    fn refusals_are_those_of_the_original() {
        for (line, expected) in [
            ("-c", "option -c requires argument"),
            ("-x", "option -x not recognized"),
            ("-c a -c b", "conflicting command line option '-c'"),
            ("-i -i status", "conflicting command line option '-i'"),
            (
                "-u a --user b",
                "conflicting command line option '--username'",
            ),
            (
                "--serv x",
                "invalid value for --serverurl 'x': value 'x' is not a URL",
            ),
            (
                "-s http: status",
                "invalid value for -s 'http:': value 'http:' is not a URL",
            ),
            ("--h", "option --h not a unique prefix"),
            ("--help=x", "option --help must not have an argument"),
        ] {
            assert_eq!(parsed(line), Err(expected.to_owned()), "{line}");
        }
    }

    #[test]
    fn help_names_everything() {
        for line in ["-h", "-?", "--hel", "-i -h status"] {
            let Ok(Parsed::Print(help)) = parsed(line) else {
                panic!("{line}");
            };
            for known in KNOWN {
                let long = known.long.map(|long| format!("--{long}"));
                assert!(help.contains(&long.unwrap_or_default()), "{known:?}");
            }
        }
    }
}
