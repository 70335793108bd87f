//! The command line: what it may say, read as the original reads it, and not looked at further.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use super::refusal::Refusal;

/// The version that is taken the place of.
const VERSION: &str = "1.7.8";

const USAGE: &str = "\
Usage: daemonize [OPTION]... [--] PATH [ARG]...
Run the program at the absolute PATH as a daemon.

  -a            append to the files of -e and -o instead of replacing them
  -c DIRECTORY  start in DIRECTORY instead of /
  -e FILE       standard error goes to FILE instead of /dev/null
  -E NAME=VALUE set a variable of the daemon's environment; may be repeated
  -h, --help    print this and start nothing
  -l FILE       hold a lock on FILE as long as the daemon runs; refuse if another does
  -o FILE       standard output goes to FILE instead of /dev/null
  -p FILE       write the daemon's process id to FILE
  -u USER       run as USER; for root only
  -v            tell on standard output what is done

The long options of `ward spawn` are understood too; see `ward spawn --help`.
";

/// What is asked of us.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// To print this, and nothing else.
    Help(String),
    /// To start a daemon.
    Run(Request),
}

/// A command line as it was written; nothing in it was looked at yet.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// The program's path, and its arguments.
    pub(crate) command: Vec<OsString>,
    /// `-c`.
    pub(crate) directory: Option<OsString>,
    /// `-o`.
    pub(crate) stdout: Option<OsString>,
    /// `-e`.
    pub(crate) stderr: Option<OsString>,
    /// `-a`.
    pub(crate) append: bool,
    /// Every `-E`, in order; a later one of a name wins.
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// `-p`.
    pub(crate) pid_file: Option<OsString>,
    /// `-l`.
    pub(crate) lock_file: Option<OsString>,
    /// `-u`.
    pub(crate) user: Option<String>,
    /// `-v`.
    pub(crate) verbose: bool,
    /// What the original does not have: long options of `ward spawn`, each as one word
    /// (`--name=VALUE` or `--name`), in order.
    pub(crate) extra: Vec<OsString>,
}

impl Request {
    /// Says what is being done, if that was asked for.
    pub(super) fn tell(&self, line: std::fmt::Arguments<'_>) {
        if self.verbose {
            // Whoever does not listen misses nothing that matters.
            let _ = writeln!(io::stdout(), "{line}");
        }
    }
}

/// Whether a long option takes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    Value,
}

/// The long options that go through to `ward spawn`.
const LONG: &[(&str, Takes)] = &[
    ("name", Takes::Value),
    ("if-running", Takes::Value),
    ("replace", Takes::Nothing),
    ("rollback", Takes::Nothing),
    ("ready", Takes::Value),
    ("ready-timeout", Takes::Value),
    ("signal", Takes::Value),
    ("grace", Takes::Value),
    ("log", Takes::Value),
    ("log-max", Takes::Value),
    ("log-keep", Takes::Value),
    ("timestamps", Takes::Nothing),
    ("json", Takes::Nothing),
    ("quiet", Takes::Nothing),
    ("chdir", Takes::Value),
    ("env", Takes::Value),
    ("env-file", Takes::Value),
    ("clear-env", Takes::Nothing),
    ("user", Takes::Value),
    ("group", Takes::Value),
    ("umask", Takes::Value),
    ("nice", Takes::Value),
    ("rlimit", Takes::Value),
    ("memory-max", Takes::Value),
    ("pids-max", Takes::Value),
    ("cpu-max", Takes::Value),
    ("best-effort", Takes::Nothing),
    ("containment", Takes::Value),
    ("stdin", Takes::Value),
    ("keep-fd", Takes::Value),
];

/// Reads a command line. `name` is what the program was called by; `args` are the words
/// behind it.
pub(crate) fn parse(name: &str, args: &[OsString]) -> Result<Parsed, Refusal> {
    let mut request = Request::default();
    let mut words = args.iter();
    while let Some(word) = words.clone().next() {
        let bytes = word.as_bytes();
        if bytes.first() != Some(&b'-') || bytes == b"-" {
            break;
        }
        words.next();
        if bytes == b"--" {
            break;
        }
        if let Some(long) = bytes.strip_prefix(b"--") {
            if long == b"help" {
                return Ok(Parsed::Help(USAGE.to_owned()));
            }
            request.extra.push(long_option(word, long, &mut words)?);
            continue;
        }
        let mut letters = &bytes[1..];
        while let [letter, rest @ ..] = letters {
            letters = rest;
            let mut value = || {
                let attached = std::mem::take(&mut letters);
                if attached.is_empty() {
                    words.next().cloned()
                } else {
                    Some(OsStr::from_bytes(attached).to_owned())
                }
                .ok_or_else(|| bad_option(name, "option requires an argument", *letter))
            };
            match letter {
                b'a' => request.append = true,
                b'v' => request.verbose = true,
                b'h' => return Ok(Parsed::Help(USAGE.to_owned())),
                b'c' => request.directory = Some(value()?),
                b'o' => request.stdout = Some(value()?),
                b'e' => request.stderr = Some(value()?),
                b'p' => request.pid_file = Some(value()?),
                b'l' => request.lock_file = Some(value()?),
                b'u' => request.user = Some(value()?.to_string_lossy().into_owned()),
                b'E' => request.environment.extend(variable(&value()?)?),
                _ => return Err(bad_option(name, "illegal option", *letter)),
            }
        }
    }
    request.command = words.cloned().collect();
    if request.command.is_empty() {
        return Err(Refusal::usage(""));
    }
    Ok(Parsed::Run(request))
}

impl Refusal {
    /// A command line that cannot be read. The original means to print its usage here as
    /// well, but crashes.
    fn usage(lines: &str) -> Self {
        Self(format!(
            "{lines}daemonize, version {VERSION} (ward {})\n{USAGE}",
            env!("CARGO_PKG_VERSION")
        ))
    }
}

/// As getopt(3) of old complains, and the original after it.
fn bad_option(name: &str, what: &str, letter: u8) -> Refusal {
    let letter = OsStr::from_bytes(std::slice::from_ref(&letter)).to_string_lossy();
    Refusal::usage(&format!(
        "{name}: {what} -- {letter}\nBad option: -{letter}\n"
    ))
}

/// One of `ward spawn`'s, as one word.
fn long_option(
    word: &OsStr,
    long: &[u8],
    words: &mut std::slice::Iter<'_, OsString>,
) -> Result<OsString, Refusal> {
    let shown = word.to_string_lossy();
    let equals = long.iter().position(|byte| *byte == b'=');
    let name = &long[..equals.unwrap_or(long.len())];
    let takes = LONG
        .iter()
        .find(|(known, _)| known.as_bytes() == name)
        .map(|(_, takes)| *takes);
    match (takes, equals) {
        (None, _) => Err(Refusal::with_hint(
            &format!("daemonize: there is no option `{shown}`"),
            "`daemonize -h` lists the options; long ones are those of `ward spawn`",
        )),
        (Some(Takes::Nothing), Some(_)) => Err(Refusal::with_hint(
            &format!(
                "daemonize: `--{}` takes no value",
                String::from_utf8_lossy(name)
            ),
            "leave out the `=` and what follows it",
        )),
        (Some(Takes::Nothing), None) | (Some(Takes::Value), Some(_)) => Ok(word.to_owned()),
        (Some(Takes::Value), None) => {
            let Some(value) = words.next() else {
                return Err(Refusal::with_hint(
                    &format!("daemonize: `{shown}` needs a value"),
                    "give it behind a `=` or as the next word",
                ));
            };
            let mut whole = word.to_owned();
            whole.push("=");
            whole.push(value);
            Ok(whole)
        }
    }
}

/// Takes `NAME=VALUE` apart. A variable without a name cannot be set and is passed over, as
/// the original does.
fn variable(item: &OsStr) -> Result<Option<(OsString, OsString)>, Refusal> {
    let bytes = item.as_bytes();
    let Some(at) = bytes.iter().position(|byte| *byte == b'=') else {
        return Err(Refusal::new(format!(
            "Argument to -E (\"{}\") is not of the form name=value.",
            item.display()
        )));
    };
    let part = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    Ok((at > 0).then(|| (part(&bytes[..at]), part(&bytes[at + 1..]))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[&str]) -> Vec<OsString> {
        line.iter().map(OsString::from).collect()
    }

    fn request(line: &[&str]) -> Request {
        match parse("daemonize", &words(line)) {
            Ok(Parsed::Run(request)) => request,
            other => panic!("{line:?}: {other:?}"),
        }
    }

    fn refusal(line: &[&str]) -> String {
        match parse("daemonize", &words(line)) {
            Err(Refusal(text)) => text,
            other => panic!("{line:?}: {other:?}"),
        }
    }

    #[test]
    fn every_option() {
        let all = Request {
            command: words(&["/bin/x", "-a", "--", "y"]),
            directory: Some("/d".into()),
            stdout: Some("/o".into()),
            stderr: Some("/e".into()),
            append: true,
            environment: vec![("A".into(), "1".into()), ("B".into(), "=".into())],
            pid_file: Some("/p".into()),
            lock_file: Some("/l".into()),
            user: Some("u".to_owned()),
            verbose: true,
            extra: Vec::new(),
        };
        let command = ["/bin/x", "-a", "--", "y"];
        let apart = [
            "-a", "-v", "-c", "/d", "-o", "/o", "-e", "/e", "-E", "A=1", "-E", "B==", "-p", "/p",
            "-l", "/l", "-u", "u",
        ];
        let together = [
            "-avc/d", "-o/o", "-e/e", "-EA=1", "-EB==", "-p/p", "-l/l", "-uu", "--",
        ];
        assert_eq!(request(&[&apart[..], &command].concat()), all);
        assert_eq!(request(&[&together[..], &command].concat()), all);
    }

    #[test]
    fn where_the_options_end() {
        for (line, command) in [
            (&["/x"][..], &["/x"][..]),
            (&["/x", "-v"], &["/x", "-v"]),
            (&["--", "-v"], &["-v"]),
            (&["-v", "--", "--", "x"], &["--", "x"]),
            (&["-", "-v"], &["-", "-v"]),
            (&["", "-v"], &["", "-v"]),
            // An option's argument is the next word, whatever it looks like.
            (&["-p", "-v", "/x"], &["/x"]),
            (&["-p", "--", "/x"], &["/x"]),
            (&["--name", "--", "/x"], &["/x"]),
        ] {
            assert_eq!(request(line).command, words(command), "{line:?}");
        }
        assert_eq!(request(&["-p", "", "/x"]).pid_file, Some("".into()));
        assert_eq!(request(&["-p=f", "/x"]).pid_file, Some("=f".into()));
    }

    #[test]
    fn lines_that_cannot_be_read() {
        for (line, beginning) in [
            (&[][..], "daemonize, version 1.7.8"),
            (&["--"], "daemonize, version"),
            (&["-v"], "daemonize, version"),
            (
                &["-x", "/x"],
                "daemonize: illegal option -- x\nBad option: -x\ndaemonize, version",
            ),
            (&["-avx", "/x"], "daemonize: illegal option -- x\n"),
            (
                &["-a-", "/x"],
                "daemonize: illegal option -- -\nBad option: --\n",
            ),
            (&["-:", "/x"], "daemonize: illegal option -- :\n"),
            (&["-i", "/x"], "daemonize: illegal option -- i\n"),
            (
                &["-vp"],
                "daemonize: option requires an argument -- p\nBad option: -p\n",
            ),
            // The first mistake is the one that is told.
            (
                &["-E", "A", "-x"],
                "Argument to -E (\"A\") is not of the form name=value.\n",
            ),
            (&["-x", "-E", "A"], "daemonize: illegal option -- x\n"),
            (
                &["--nonsense", "/x"],
                "daemonize: there is no option `--nonsense`\ndaemonize: hint: ",
            ),
            (
                &["--nonsense=1", "/x"],
                "daemonize: there is no option `--nonsense=1`\n",
            ),
            (&["--json=1", "/x"], "daemonize: `--json` takes no value\n"),
            (&["--name"], "daemonize: `--name` needs a value\n"),
            (&["--name", "n"], "daemonize, version"),
        ] {
            let text = refusal(line);
            assert!(text.starts_with(beginning), "{line:?}: {text}");
            assert!(text.ends_with('\n'), "{line:?}: {text}");
        }
        assert!(
            matches!(parse("/a/b", &words(&["-x"])), Err(Refusal(text)) if text.starts_with("/a/b: illegal"))
        );
    }

    #[test]
    fn help_wherever_it_stands() {
        for line in [&["-h"][..], &["--help"], &["-vh", "/x"], &["-v", "--help"]] {
            let parsed = parse("daemonize", &words(line));
            assert!(matches!(parsed, Ok(Parsed::Help(_))), "{line:?}");
        }
        assert_eq!(request(&["/x", "-h"]).command, words(&["/x", "-h"]));
    }

    #[test]
    fn long_options_go_through() {
        let line = [
            "--name",
            "web",
            "-v",
            "--json",
            "--ready=tcp:80",
            "--env=A=1",
            "--grace",
            "5s",
            "--stdin=",
            "/x",
            "--name=mine",
        ];
        let request = request(&line);
        assert!(request.verbose);
        assert_eq!(request.command, words(&["/x", "--name=mine"]));
        assert_eq!(
            request.extra,
            words(&[
                "--name=web",
                "--json",
                "--ready=tcp:80",
                "--env=A=1",
                "--grace=5s",
                "--stdin="
            ])
        );
    }

    #[test]
    fn variables_are_taken_apart() {
        for (item, taken) in [
            ("A=1", Some(("A", "1"))),
            ("A=", Some(("A", ""))),
            ("A==", Some(("A", "="))),
            ("A B=c d", Some(("A B", "c d"))),
            ("=x", None),
        ] {
            let taken = taken.map(|(name, value)| (name.into(), value.into()));
            assert_eq!(variable(item.as_ref()), Ok(taken), "{item}");
        }
        assert!(variable("A".as_ref()).is_err());
        assert!(variable("".as_ref()).is_err());
    }
}
