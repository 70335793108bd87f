//! No text makes the reader panic, and whatever it finds has a place in a file that it read.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use ward_config::diagnostics::{Palette, Severity};
use ward_config::host::{Accounts, Files, Host};
use ward_config::load::check;

/// The file, and one that it may include.
struct Two(Vec<u8>, Vec<u8>);

impl Files for Two {
    fn read(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        let main = path == Path::new("/etc/s.conf");
        Ok(if main { self.0.clone() } else { self.1.clone() })
    }

    fn exists(&self, path: &Path) -> bool {
        !path.to_string_lossy().contains('*')
    }

    fn is_directory(&self, path: &Path) -> bool {
        path.to_string_lossy().len().is_multiple_of(2)
    }

    fn list(&self, _: &Path) -> Vec<String> {
        vec!["a.conf".into(), ".b".into()]
    }
}

const REAL: &str = "\
[unix_http_server]
file=/run/supervisor.sock   ; the path
chmod=0700

[inet_http_server]
port=127.0.0.1:9001
username=user
password={SHA}82ab876d1387bfafe46cc1c8a2ef074eae50cb1d

[supervisord]
logfile=%(here)s/main.log
logfile_maxbytes=50MB
environment=KEY1=\"value, one\",KEY2='%(ENV_HOME)s'

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix:///run/supervisor.sock

[program:web]
command=/usr/bin/gunicorn -b :80%(process_num)02d \"app:main\"
  --workers 4
process_name=%(program_name)s_%(process_num)02d
numprocs=3
exitcodes=0,2
stopsignal=QUIT
environment=A=\"1\",
  B=\"two\"

[fcgi-program:php]
command=php-cgi
socket=unix:///run/%(program_name)s.sock
user=root

[eventlistener:mail]
command=crashmail -a
events=PROCESS_STATE_EXITED,TICK_60

[group:all]
programs=web
[include]
files = conf.d/*.conf %(here)s/x
";

fn read(main: &[u8], other: &[u8]) -> Result<(), TestCaseError> {
    let host = Host {
        environment: BTreeMap::from([("HOME".into(), "/r%oot".into())]),
        node_name: "n".into(),
        current_directory: "/etc".into(),
        temporary_directory: "/tmp".into(),
        accounts: Accounts::parse("root:x:0:0::/root:/bin/sh\n", "root:x:0:\n"),
        uid: 0,
        told: None,
        elsewhere: false,
    };
    let loaded = check("s.conf", &host, &Two(main.to_vec(), other.to_vec()));
    let errors = loaded
        .diagnostics
        .iter()
        .any(|d| d.severity == Severity::Error);
    prop_assert_eq!(errors, loaded.configuration.is_none());
    for found in &loaded.diagnostics {
        let text = found.render(&loaded.sources, Palette::default());
        prop_assert!(
            text.chars().all(|c| c == '\n' || !c.is_control()),
            "{:?}",
            text
        );
        prop_assert!(loaded.sources.file(found.span.file).is_some());
        let lines = loaded
            .sources
            .file(found.span.file)
            .map_or(0, |file| file.lines().len());
        prop_assert!((found.span.line as usize) <= lines.max(1), "{:?}", found);
    }
    Ok(())
}

/// A piece of a file, or of nothing.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,12}",
        "[\\[\\]=:;#% \t\n\"'(),a-z0-9]{0,24}",
        "%\\([a-zA-Z_]{0,12}\\)[-#0 +]{0,2}[0-9]{0,6}[a-zA-Z]",
        "(?s).{0,8}",
        Just("\n[program:web]\n".to_owned()),
        Just("%(process_num)".to_owned()),
        Just("numprocs=99999999999\n".to_owned()),
        Just("\r".to_owned()),
        Just("\u{feff}".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text(text in "(?s).{0,400}") {
        read(text.as_bytes(), text.as_bytes())?;
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        read(&bytes, &bytes)?;
    }

    #[test]
    fn any_pieces(pieces in proptest::collection::vec(piece(), 0..40)) {
        let text = format!("[supervisord]\n[program:x]\n{}", pieces.concat());
        read(text.as_bytes(), pieces.concat().as_bytes())?;
    }

    #[test]
    fn a_real_file_with_something_else_in_it(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0_usize..30, piece()), 1..8)
    ) {
        let mut text: Vec<char> = REAL.chars().collect();
        for (place, gone, piece) in edits {
            let at = place.index(text.len().max(1));
            let end = (at + gone).min(text.len());
            text.splice(at.min(end)..end, piece.chars());
        }
        let text: String = text.into_iter().collect();
        read(text.as_bytes(), b"[program:more]\ncommand=%(here)s/x\n")?;
    }
}

#[test]
fn the_real_file_is_fine() {
    read(REAL.as_bytes(), b"").unwrap();
    let host = Host {
        environment: BTreeMap::from([("HOME".into(), "/root".into())]),
        current_directory: "/etc".into(),
        temporary_directory: "/t".into(),
        accounts: Accounts::parse("root:x:0:0::/root:/bin/sh\n", "root:x:0:\n"),
        elsewhere: true,
        ..Host::default()
    };
    let loaded = check("s.conf", &host, &Two(REAL.as_bytes().to_vec(), Vec::new()));
    let configuration = loaded.configuration.expect("it is fine");
    assert_eq!(configuration.programs(), 3);
    assert_eq!(configuration.processes(), 5);
}
