//! Command lines and files: what is above what, and how it is said that one is no good.

use std::fs;

use serde_json::json;
use ward_testkit::supervisor::kit::Subject;
use ward_testkit::world::is_root;

use crate::{Result, Stage};

crate::tests![
    the_verb,
    command_line_is_above_the_file,
    command_lines_that_are_refused,
    version_and_help,
    files_that_are_refused,
    a_file_that_is_not_there,
    found_where_it_is_looked_for,
];

/// Ours has a name of its own beside that of the original.
fn the_verb(s: &Stage) -> Result {
    s.configure("[supervisord]\nidentifier=by the verb\n")?;
    let (name, words) = match s.daemon {
        Subject::Original => ("supervisord", &["-n", "-c", "c.conf"][..]),
        Subject::Ward => ("ward", &["up", "-n", "-c", "c.conf"][..]),
    };
    let d = s.start_by(s.command(name, words)?)?;
    assert_eq!(d.sv("getIdentification", &json!([]))?, "by the verb");
    assert_eq!(d.stop()?.code, 0);
    Ok(())
}

fn command_line_is_above_the_file(s: &Stage) -> Result {
    s.configure("[supervisord]\nidentifier=file\nloglevel=info\nlogfile_maxbytes=1MB\n")?;
    let here = s.here();
    let (log, pid) = (
        format!("--logfile={here}/other.log"),
        format!("{here}/other.pid"),
    );
    let d = s.start_again(&[
        "-i",
        "line",
        &log,
        "--pidfile",
        &pid,
        "-e",
        "debug",
        "-y",
        "2KB",
        "-z",
        "1",
        "-t",
        "-k",
        "-m",
        "027",
        "-a",
        "1100",
        "--minprocs=100",
        "-q",
        &here,
    ])?;
    assert_eq!(d.sv("getIdentification", &json!([]))?, "line");
    d.await_text("other.log", "INFO supervisord started with pid")?;
    assert_eq!(s.read("other.pid").trim(), d.pid()?.to_string());
    assert!(!s.path("d.log").exists() && !s.path("d.pid").exists());
    Ok(())
}

fn command_lines_that_are_refused(s: &Stage) -> Result {
    s.configure("")?;
    for (words, expected) in [
        (&["--nope"][..], "Error: option --nope not recognized"),
        (&["-c"][..], "Error: option -c requires argument"),
        (
            &["-n", "--nodaemon"][..],
            "Error: conflicting command line option ",
        ),
        (
            &["-c", "c.conf", "more"][..],
            "Error: positional arguments are not supported: ",
        ),
        (
            &["-n", "-c", "c.conf", "-e", "loud"][..],
            "Error: invalid value for -e 'loud': bad logging level name 'loud'",
        ),
        (
            &["-n", "-c", "c.conf", "-l", "/not/there/log"][..],
            "Error: invalid value for -l '/not/there/log': The directory named as part of the path /not/there/log does not exist",
        ),
        (
            &["-n", "-c", "c.conf", "-u", "no-such-user"][..],
            "Error: Invalid user name no-such-user",
        ),
    ] {
        let ended = s.run("supervisord", words)?;
        assert_eq!(ended.code, 2, "{words:?} {ended:?}");
        let as_written = ended.err.starts_with(expected);
        if words.contains(&"-u") && s.differs("messages-of-mistakes")? {
            assert!(ended.err.starts_with("Error: "), "{words:?} {ended:?}");
        } else {
            assert!(as_written, "{words:?} {ended:?}");
        }
        assert!(
            ended.err.contains("\nFor help, use "),
            "{words:?} {ended:?}"
        );
        assert!(ended.err.trim_end().ends_with(" -h"), "{words:?} {ended:?}");
    }
    Ok(())
}

fn version_and_help(s: &Stage) -> Result {
    for word in ["-v", "--version"] {
        let ended = s.run("supervisord", &[word])?;
        assert_eq!((ended.code, ended.out.as_str()), (0, "4.3.0\n"));
    }
    for word in ["-h", "--help"] {
        let ended = s.run("supervisord", &[word])?;
        assert_eq!(ended.code, 0);
        for option in [
            "--configuration",
            "--nodaemon",
            "--minfds",
            "--strip_ansi",
            "--childlogdir",
        ] {
            assert!(ended.out.contains(option), "{option}: {}", ended.out);
        }
    }
    let ended = s.run("echo_supervisord_conf", &[])?;
    assert_eq!(ended.code, 0);
    for section in [
        "[supervisord]",
        "[unix_http_server]",
        "[supervisorctl]",
        "[rpcinterface:supervisor]",
    ] {
        assert!(ended.out.contains(section), "{section}");
    }
    Ok(())
}

fn files_that_are_refused(s: &Stage) -> Result {
    for (rest, expected) in [
        (
            "[program:a]\n",
            "program section program:a does not specify a command in section 'program:a'",
        ),
        (
            "[program:a]\ncommand=x\nautostart=maybe\n",
            "not a valid boolean value: 'maybe' in section 'program:a'",
        ),
        (
            "[program:a]\ncommand=x\nnumprocs=2\n",
            "%(process_num) must be present within process_name when numprocs > 1",
        ),
        (
            "[program:a]\ncommand=x\nstopsignal=NOPE\n",
            "value 'NOPE' is not a valid signal name",
        ),
        (
            "[program:a]\ncommand=x\nstdout_logfile_maxbytes=50M\n",
            "invalid literal for int() with base 10: '50m'",
        ),
        (
            "[program:a]\ncommand=x\nexitcodes=0,256\n",
            "not a valid list of exit codes: '0,256'",
        ),
        (
            "[program:a]\ncommand=x\nuser=no-such-user\n",
            "Invalid user name no-such-user",
        ),
        (
            "[program:a]\ncommand=x\nstopasgroup=true\nkillasgroup=false\n",
            "Cannot set stopasgroup=true and killasgroup=false",
        ),
        (
            "[program:a b]\ncommand=x\n",
            "Invalid name: 'a b' because of character: ' '",
        ),
        (
            "[group:g]\nprograms=no\n",
            "[group:g] names unknown program or fcgi-program no",
        ),
        (
            "[eventlistener:l]\ncommand=x\n",
            "[eventlistener:l] section requires an \"events\" line",
        ),
        (
            "[eventlistener:l]\ncommand=x\nevents=NOPE\n",
            "Unknown event type NOPE in [eventlistener:l] events",
        ),
        (
            "[eventlistener:l]\ncommand=x\nevents=EVENT\nredirect_stderr=true\n",
            "section sets redirect_stderr=true but this is not allowed because it will interfere with the eventlistener protocol",
        ),
        (
            "[fcgi-program:f]\ncommand=x\n",
            "[fcgi-program:f] section requires a \"socket\" line",
        ),
        (
            "[inet_http_server]\n",
            "section [inet_http_server] has no port value",
        ),
        (
            "[inet_http_server]\nport=9\nusername=u\n",
            "Section [inet_http_server] contains incomplete authentication",
        ),
        (
            "[program:a]\ncommand=x\nenvironment=A\n",
            "Unexpected end of key/value pairs in value 'A'",
        ),
        (
            "[program:a]\ncommand=%(nope)s\n",
            "contains names ('nope') which cannot be expanded",
        ),
        (
            "[include]\n",
            ".ini file has [include] section, but no files setting",
        ),
        (
            "[rpcinterface:x]\n",
            "section [rpcinterface:x] does not specify a supervisor.rpcinterface_factory",
        ),
        (
            "[supervisord]\nlogfile=/not/there/x\n",
            "The directory named as part of the path /not/there/x does not exist",
        ),
        ("no delimiter\n", "Source contains parsing errors"),
    ] {
        s.configure(rest)?;
        let ended = s.run("supervisord", &["-n", "-c", "c.conf"])?;
        assert_eq!(ended.code, 2, "{rest} {ended:?}");
        assert!(ended.err.contains("Error: "), "{rest} {ended:?}");
        if s.differs("messages-of-mistakes")? {
            assert!(ended.err.contains("c.conf:"), "{rest} {ended:?}");
        } else {
            assert!(ended.err.contains(expected), "{rest} {ended:?}");
        }
        assert!(ended.err.contains("For help, use "), "{rest} {ended:?}");
    }
    s.configure_all("[unix_http_server]\nfile=%(here)s/s\n")?;
    let ended = s.run("supervisord", &["-n", "-c", "c.conf"])?;
    assert_eq!(ended.code, 2);
    if !s.differs("messages-of-mistakes")? {
        let expected = "Error: .ini file does not include supervisord section";
        assert!(ended.err.contains(expected), "{ended:?}");
    }
    Ok(())
}

fn a_file_that_is_not_there(s: &Stage) -> Result {
    let ended = s.run("supervisord", &["-n", "-c", "/not/there.conf"])?;
    assert_eq!(ended.code, 2);
    if s.differs("messages-of-mistakes")? {
        assert!(ended.err.contains("/not/there.conf"), "{ended:?}");
    } else {
        let expected = "Error: could not find config file /not/there.conf\n";
        assert!(ended.err.starts_with(expected), "{ended:?}");
    }
    Ok(())
}

fn found_where_it_is_looked_for(s: &Stage) -> Result {
    fs::create_dir(s.path("etc"))?;
    s.configure_all("")?;
    let text = ward_testkit::supervisor::stage::HEAD.replace("%(here)s", "%(here)s/..");
    s.write("etc/supervisord.conf", text)?;
    let d = s.start_by(s.command("supervisord", &["-n"])?)?;
    if is_root() {
        d.await_that("a warning", || {
            d.complaints().contains("UserWarning: Supervisord is running as root and it is searching for its configuration file in default locations")
        })?;
    }
    Ok(())
}
