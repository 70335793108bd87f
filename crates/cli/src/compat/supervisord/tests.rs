//! What becomes of a command line.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::*;

/// Every directory is there unless its name has `missing` in it.
struct Anywhere;

impl Files for Anywhere {
    fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn exists(&self, _: &Path) -> bool {
        false
    }

    fn is_directory(&self, path: &Path) -> bool {
        !path.to_string_lossy().contains("missing")
    }

    fn list(&self, _: &Path) -> Vec<String> {
        Vec::new()
    }
}

fn parsed(line: &str) -> Result<Parsed, String> {
    let host = Host {
        environment: BTreeMap::from([("HOME".into(), "/home/u".into())]),
        current_directory: "/work".into(),
        ..Host::default()
    };
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    parse("supervisord", &words, &host, &Anywhere).map_err(|refusal| refusal.0)
}

#[test]
fn every_option_is_read_by_both_its_names() {
    let options = Options {
        configuration: Some("a.conf".into()),
        nodaemon: Some(true),
        silent: Some(true),
        user: Some("chrism".into()),
        umask: Some(0o27),
        directory: Some("/home/u/d".into()),
        logfile: Some("/home/u/l".into()),
        logfile_maxbytes: Some(10 << 20),
        logfile_backups: Some(3),
        loglevel: Some(LogLevel::Debug),
        pidfile: Some("p".into()),
        identifier: Some("me".into()),
        childlogdir: Some("q".into()),
        nocleanup: Some(true),
        minfds: Some(1_000),
        minprocs: Some(-1),
        strip_ansi: Some(true),
        profile: true,
    };
    for line in [
        "-ca.conf -ns -u chrism -m 027 -d ~/d -l ~/l -y 10MB -z 3 -e DEBUG -j p -i me -q q -k -a 1_000 \
         --minprocs -1 -t --profile_options calls",
        "--configuration a.conf --nodaemon --silent --user chrism --umask 27 --directory ~/d \
         --logfile ~/l --logfile_maxbytes 10485760 --logfile_backups 3 --loglevel debug --pidfile p \
         --identifier me --childlogdir q --nocleanup --minfds 1000 --minprocs -1 --strip_ansi \
         --profile_options=calls",
    ] {
        assert_eq!(
            parsed(line),
            Ok(Parsed::Run(Box::new(options.clone()))),
            "{line}"
        );
    }
    assert_eq!(parsed(""), Ok(Parsed::Run(Box::default())));
}

/// The right column is what the original printed.
#[test]
fn refusals_are_those_of_the_original() {
    for (line, expected) in [
        ("-x", "option -x not recognized"),
        ("--log x", "option --log not a unique prefix"),
        ("-n -n", "conflicting command line option '-n'"),
        (
            "-c a --conf b",
            "conflicting command line option '--configuration'",
        ),
        (
            "start 'x",
            "positional arguments are not supported: ['start', \"'x\"]",
        ),
        (
            "-y 50M",
            "invalid value for -y '50M': invalid literal for int() with base 10: '50m'",
        ),
        (
            "-y xMB",
            "invalid value for -y 'xMB': invalid literal for int() with base 10: 'x'",
        ),
        (
            "-z x",
            "invalid value for -z 'x': invalid literal for int() with base 10: 'x'",
        ),
        (
            "-a 1.5",
            "invalid value for -a '1.5': invalid literal for int() with base 10: '1.5'",
        ),
        (
            "-m 89",
            "invalid value for -m '89': 89 can not be converted to an octal type",
        ),
        (
            "-e loud",
            "invalid value for -e 'loud': bad logging level name 'loud'",
        ),
        (
            "-d /missing",
            "invalid value for -d '/missing': /missing is not an existing directory",
        ),
        (
            "-l /missing/x",
            "invalid value for -l '/missing/x': The directory named as part of the path /missing/x does not exist",
        ),
        // The first of several mistakes is told.
        (
            "-z x -y y",
            "invalid value for -z 'x': invalid literal for int() with base 10: 'x'",
        ),
    ] {
        assert_eq!(parsed(line), Err(expected.to_owned()), "{line}");
    }
}

#[test]
fn what_is_printed_comes_before_what_follows() {
    assert_eq!(parsed("-v -z x"), Ok(Parsed::Print("4.3.0\n".into())));
    for line in ["-h", "-?", "--help", "-n --he"] {
        let Ok(Parsed::Print(help)) = parsed(line) else {
            panic!("{line}");
        };
        assert!(help.starts_with("Usage: supervisord "), "{help}");
        for known in KNOWN {
            let long = known.long.map(|long| format!("--{long}"));
            assert!(help.contains(&long.unwrap_or_default()), "{known:?}");
        }
    }
    assert!(parsed("-z x -v").is_err());
}
