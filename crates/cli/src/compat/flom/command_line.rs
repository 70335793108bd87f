//! The command line, read as GLib's option parser reads it: options may stand anywhere before `--`,
//! also behind the first word of the command.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use super::configuration::{By, Layer};
use super::refusal::{FAILED, Refusal};
use super::settings::{Key, Kind, SETTINGS, Value, Wrong};

/// What is asked of us.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// To print something, and nothing else.
    Print(Information),
    /// To run a command, or what else is in it.
    Run(Box<Request>),
}

/// What can be printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Information {
    Help,
    Version,
    Signals,
    UniqueId,
}

/// A command line as it was written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) layer: Layer,
    pub(super) config_file: Option<OsString>,
    /// `-x` or `-X`: a daemon is to end.
    pub(super) shutdown: Option<String>,
    pub(super) debug_feature: Option<String>,
    pub(super) command: Vec<OsString>,
    /// `--strict`: what FLoM swallows is refused.
    pub(super) strict: bool,
    /// Options of `ward lock`, each as one word.
    pub(super) extra: Vec<OsString>,
}

/// What an option means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Set(Key, Kind),
    SwitchOn(Key),
    Print(Information),
    ConfigFile,
    Shutdown,
    DebugFeature,
    Strict,
    /// To be passed on, with a value or without.
    Ours(bool),
}

impl What {
    fn takes_value(self) -> bool {
        match self {
            Self::Set(..) | Self::ConfigFile | Self::DebugFeature | Self::Ours(true) => true,
            Self::SwitchOn(_)
            | Self::Print(_)
            | Self::Shutdown
            | Self::Strict
            | Self::Ours(false) => false,
        }
    }
}

/// Options that set nothing.
const OTHERS: &[(&str, Option<u8>, What)] = &[
    ("help", Some(b'h'), What::Print(Information::Help)),
    ("help-all", Some(b'?'), What::Print(Information::Help)),
    ("version", Some(b'v'), What::Print(Information::Version)),
    ("signal-list", None, What::Print(Information::Signals)),
    ("unique-id", None, What::Print(Information::UniqueId)),
    ("config-file", Some(b'c'), What::ConfigFile),
    ("quiesce-exit", Some(b'x'), What::Shutdown),
    ("immediate-exit", Some(b'X'), What::Shutdown),
    ("debug-feature", None, What::DebugFeature),
    ("strict", None, What::Strict),
];

/// Options of `ward lock` that go through to it, and whether they take a value.
const OURS: &[(&str, bool)] = &[
    ("best-effort", false),
    ("chdir", true),
    ("clear-env", false),
    ("cluster-config", true),
    ("containment", true),
    ("cpu-max", true),
    ("env", true),
    ("env-file", true),
    ("etcd", true),
    ("etcd-cacert", true),
    ("etcd-cert", true),
    ("etcd-key", true),
    ("etcd-password-file", true),
    ("etcd-prefix", true),
    ("etcd-user", true),
    ("grace", true),
    ("group", true),
    ("hold", true),
    ("idle-timeout", true),
    ("keep-fd", true),
    ("lease", true),
    ("leftover-grace", true),
    ("local", false),
    ("lock-dir", true),
    ("log", true),
    ("log-append", false),
    ("memory-max", true),
    ("merge", false),
    ("nice", true),
    ("no-spare", false),
    ("pids-max", true),
    ("report", true),
    ("rlimit", true),
    ("signal", true),
    ("stdin", true),
    ("timeout", true),
    ("timestamps", false),
    ("umask", true),
    ("user", true),
    ("why", true),
];

fn long(name: &[u8]) -> Option<What> {
    let of_settings = SETTINGS
        .iter()
        .find(|it| it.long.as_bytes() == name)
        .map(|it| of_setting(it.key, it.kind));
    let of_others = || {
        let mut others = OTHERS.iter();
        others
            .find(|(known, ..)| known.as_bytes() == name)
            .map(|(.., what)| *what)
    };
    let of_ours = || {
        let mut ours = OURS.iter();
        ours.find(|(known, _)| known.as_bytes() == name)
            .map(|(_, value)| What::Ours(*value))
    };
    of_settings.or_else(of_others).or_else(of_ours)
}

fn short(letter: u8) -> Option<What> {
    let mut settings = SETTINGS.iter().filter(|it| it.short == Some(letter));
    let mut others = OTHERS.iter().filter(|(_, it, _)| *it == Some(letter));
    settings
        .next()
        .map(|it| of_setting(it.key, it.kind))
        .or_else(|| others.next().map(|(.., what)| *what))
}

fn of_setting(key: Key, kind: Kind) -> What {
    if key == Key::Verbose {
        What::SwitchOn(key)
    } else {
        What::Set(key, kind)
    }
}

/// Reads the words behind the program's name.
pub(super) fn parse(words: &[OsString]) -> Result<Parsed, Refusal> {
    let mut request = Request::default();
    let mut asked: Option<Information> = None;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let bytes = word.as_bytes();
        if bytes == b"--" {
            request.command.extend(words.by_ref().cloned());
            break;
        }
        if let Some(option) = bytes.strip_prefix(b"--") {
            let equals = option.iter().position(|byte| *byte == b'=');
            let name = &option[..equals.unwrap_or(option.len())];
            let what = long(name).ok_or_else(|| unknown(word))?;
            let shown = format!("--{}", String::from_utf8_lossy(name));
            let value = match (what.takes_value(), equals) {
                (true, Some(at)) => Some(OsStr::from_bytes(&option[at + 1..]).to_owned()),
                (true, None) => Some(words.next().cloned().ok_or_else(|| missing(&shown))?),
                (false, None) => None,
                (false, Some(_)) => {
                    let why = format!("{shown} takes no value");
                    return Err(bad_line(&why));
                }
            };
            if request.take(what, &shown, value, &mut asked)? {
                return Ok(Parsed::Print(Information::Help));
            }
        } else if bytes.len() > 1 && bytes[0] == b'-' {
            let mut letters = &bytes[1..];
            while let [letter, rest @ ..] = letters {
                letters = rest;
                let what = short(*letter).ok_or_else(|| unknown(word))?;
                let shown = format!("-{}", char::from(*letter));
                let value = if !what.takes_value() {
                    None
                } else if rest
                    .iter()
                    .all(|it| short(*it).is_some_and(|it| !it.takes_value()))
                {
                    // `-oV 5`, as GLib has it.
                    Some(words.next().cloned().ok_or_else(|| missing(&shown))?)
                } else {
                    // `-o5`, which GLib refuses.
                    letters = &[];
                    Some(OsString::from_vec(rest.to_vec()))
                };
                if request.take(what, &shown, value, &mut asked)? {
                    return Ok(Parsed::Print(Information::Help));
                }
            }
        } else {
            request.command.push(word.clone());
        }
    }
    Ok(match asked {
        Some(information) => Parsed::Print(information),
        None => Parsed::Run(Box::new(request)),
    })
}

impl Request {
    /// Takes an option in; says whether nothing behind it matters any more.
    fn take(
        &mut self,
        what: What,
        shown: &str,
        value: Option<OsString>,
        asked: &mut Option<Information>,
    ) -> Result<bool, Refusal> {
        let by = || By::Option(shown.to_owned());
        let text = || {
            let value = value.clone().unwrap_or_default();
            let why = |value: OsString| format!("{shown}: `{}` is not UTF-8", value.display());
            value.into_string().map_err(|value| bad_line(&why(value)))
        };
        match what {
            What::Print(Information::Help) => return Ok(true),
            What::Print(information) => *asked = asked.or(Some(information)),
            What::SwitchOn(key) => self.layer.set(key, Value::Switch(true), by()),
            What::ConfigFile => self.config_file = value,
            What::Shutdown => self.shutdown = Some(shown.to_owned()),
            What::DebugFeature => self.debug_feature = Some(text()?),
            What::Strict => self.strict = true,
            What::Ours(_) => {
                let mut whole = OsString::from(shown);
                if let Some(value) = value {
                    whole.push("=");
                    whole.push(value);
                }
                self.extra.push(whole);
            }
            What::Set(key, kind) => {
                let value = kind.of_argument(&text()?).map_err(|wrong| match wrong {
                    Wrong::Says(why) => bad_line(&format!("{shown}: {why}")),
                    Wrong::Name(refusal) => refusal,
                })?;
                self.layer.set(key, value, by());
            }
        }
        Ok(false)
    }
}

fn bad_line(why: &str) -> Refusal {
    Refusal::new(FAILED, format!("option parsing failed: {why}"))
}

fn missing(option: &str) -> Refusal {
    bad_line(&format!("Missing argument for {option}"))
}

fn unknown(word: &OsStr) -> Refusal {
    let shown: String = word.to_string_lossy().escape_debug().collect();
    bad_line(&format!("Unknown option {shown}"))
        .hint("`flom --help` lists the options; put `--` before a command that has options itself")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &[&str]) -> Vec<OsString> {
        text.iter().map(Into::into).collect()
    }

    fn run(text: &[&str]) -> Request {
        match parse(&words(text)) {
            Ok(Parsed::Run(request)) => *request,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    fn refused(text: &[&str]) -> String {
        format!("{:?}", parse(&words(text)).expect_err("a mistake"))
    }

    /// What GLib 2.74 was seen to make of the same words.
    #[test]
    fn where_the_command_is() {
        for (line, command) in [
            (&["-V", "--", "a", "--", "-b"][..], &["a", "--", "-b"][..]),
            (&["a", "-V", "--", "b"], &["a", "b"]),
            (&["a", "-o", "5", "c"], &["a", "c"]),
            (&["-", "a"], &["-", "a"]),
            (&["--", "--", "x"], &["--", "x"]),
            (&["", "x"], &["", "x"]),
            (&["-r", "Name", "x"], &["x"]),
            (&["--verbose", "1"], &["1"]),
            (&[], &[]),
            (&["--"], &[]),
        ] {
            assert_eq!(run(line).command, words(command), "{line:?}");
        }
    }

    fn set(options: &[(Key, Value, &str)]) -> Layer {
        let mut layer = Layer::default();
        for (key, value, by) in options {
            layer.set(*key, value.clone(), By::Option((*by).to_owned()));
        }
        layer
    }

    #[test]
    fn ways_to_give_a_value() {
        let timeout = |number, by: &'static str| (Key::Timeout, Value::Number(number), by);
        let verbose = (Key::Verbose, Value::Switch(true), "-V");
        for (line, options) in [
            (&["-o", "-1"][..], &[timeout(-1, "-o")][..]),
            (&["-o500"], &[timeout(500, "-o")]),
            (&["-o-1"], &[timeout(-1, "-o")]),
            (&["-Vo", "5"], &[verbose.clone(), timeout(5, "-o")]),
            (&["-oV", "5"], &[timeout(5, "-o"), verbose.clone()]),
            (&["-Vo5"], &[verbose, timeout(5, "-o")]),
            (
                &["--resource-timeout=0x10"],
                &[timeout(16, "--resource-timeout")],
            ),
            (
                &["--resource-timeout", "010"],
                &[timeout(8, "--resource-timeout")],
            ),
            (&["-o", "1", "-o", "2"], &[timeout(2, "-o")]),
        ] {
            assert_eq!(run(line).layer, set(options), "{line:?}");
        }
        let line = ["--ignore-signal=TERM", "--ignore-signal", "HUP"];
        let signals = Value::Signals(vec!["TERM".into(), "HUP".into()]);
        let should = set(&[(Key::IgnoredSignals, signals, "--ignore-signal")]);
        assert_eq!(run(&line).layer, should);
    }

    #[test]
    fn what_cannot_be_read() {
        for (line, why) in [
            (&["-z", "FOO"][..], "Unknown option -z"),
            (&["--ZZZ-ZZZ=BAR"], "Unknown option --ZZZ-ZZZ=BAR"),
            (&["--resource-time", "5"], "Unknown option --resource-time"),
            (&["-VZ"], "Unknown option -VZ"),
            (&["-o"], "Missing argument for -o"),
            (&["-rV"], "Missing argument for -r"),
            (&["--lock-mode"], "Missing argument for --lock-mode"),
            (&["-o", "5x"], "`5x` is no number"),
            (&["-o", "7 "], "`7 ` is no number"),
            (&["--resource-timeout="], "`` is no number"),
            (&["-o", "2147483648"], "out of range"),
            (&["-l", "XX"], "`XX` is no lock mode"),
            (&["-e", "nobody"], "neither yes nor no"),
            (&["--verbose=no"], "--verbose takes no value"),
            (&["-r", "a b"], "is not a valid name for a resource"),
        ] {
            let text = refused(line);
            assert!(text.contains(why), "{line:?}: {text}");
            assert!(text.contains("code: 99"), "{line:?}: {text}");
        }
        let line = [OsString::from("-r"), OsString::from_vec(vec![0xff])];
        assert!(parse(&line).is_err());
    }

    #[test]
    fn everything_else() {
        for (line, information) in [
            (&["-h"][..], Information::Help),
            (&["-V", "-?", "-Z"], Information::Help),
            (&["--help-all"], Information::Help),
            (&["-vV"], Information::Version),
            (&["--unique-id", "--version"], Information::UniqueId),
            (&["--signal-list"], Information::Signals),
        ] {
            let parsed = parse(&words(line));
            assert_eq!(parsed, Ok(Parsed::Print(information)), "{line:?}");
        }
        let request = run(&[
            "-c",
            "file",
            "-x",
            "--strict",
            "--debug-feature",
            "tls.server",
        ]);
        assert_eq!(request.config_file, Some("file".into()));
        assert_eq!(request.shutdown.as_deref(), Some("-x"));
        assert_eq!(request.debug_feature.as_deref(), Some("tls.server"));
        assert!(request.strict);
        let request = run(&["--grace", "1s", "--merge", "--report=r", "x"]);
        assert_eq!(
            request.extra,
            words(&["--grace=1s", "--merge", "--report=r"])
        );
        assert_eq!(request.command, words(&["x"]));
    }

    #[test]
    fn no_option_is_there_twice() {
        let mut all: Vec<&str> = SETTINGS.iter().map(|it| it.long).collect();
        all.extend(OTHERS.iter().map(|(long, ..)| *long));
        all.extend(OURS.iter().map(|(long, _)| *long));
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        let mut letters: Vec<u8> = SETTINGS.iter().filter_map(|it| it.short).collect();
        letters.extend(OTHERS.iter().filter_map(|(_, short, _)| *short));
        let count = letters.len();
        letters.sort_unstable();
        letters.dedup();
        assert_eq!(letters.len(), count);
    }
}
