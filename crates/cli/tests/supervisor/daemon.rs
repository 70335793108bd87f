//! The daemon's own life: its order of starting and stopping, signals, pid file, socket, the
//! background.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;

use rustix::process::Signal;
use serde_json::json;
use ward_testkit::processes::look;
use ward_testkit::programs::skipped;
use ward_testkit::supervisor::daemon::Daemon;
use ward_testkit::world::is_root;

use crate::{Result, Stage};

crate::tests![
    start_order,
    start_order_within_a_group,
    shutdown_order,
    stop_all,
    ended_by_signals,
    waits_for_those_who_take_their_time,
    hangup_during_shutdown,
    pid_file_and_socket,
    socket_mode,
    a_second_one,
    a_stale_socket,
    background,
    orphans,
    killed,
    said_at_its_start,
    user_of_the_daemon,
];

fn spawn_order(log: &str) -> Vec<&str> {
    let lines = log
        .lines()
        .filter_map(|line| line.split_once("INFO spawned: '"));
    lines
        .filter_map(|(_, rest)| rest.split('\'').next())
        .collect()
}

fn stop_order(log: &str) -> Vec<&str> {
    let lines = log.lines().filter_map(|line| line.split_once(" stopped: "));
    lines
        .filter_map(|(_, rest)| rest.split(' ').next())
        .collect()
}

const ORDERED: &str = "[program:b]\ncommand=sleep 1000\npriority=20\n\
    [program:a]\ncommand=sleep 1000\npriority=20\n\
    [program:last]\ncommand=sleep 1000\n\
    [program:first]\ncommand=sleep 1000\npriority=3\n\
    [eventlistener:l]\ncommand=cat\nevents=TICK_3600\n";

fn start_order(s: &Stage) -> Result {
    let d = s.start(ORDERED)?;
    d.pid_of_started("last")?;
    assert_eq!(spawn_order(&d.log()), ["l", "first", "a", "b", "last"]);
    Ok(())
}

/// The order of `programs=`, whatever their priorities.
fn start_order_within_a_group(s: &Stage) -> Result {
    let d = s.start(
        "[group:g]\nprograms=late,early\npriority=5\n[program:early]\ncommand=sleep 1000\npriority=1\n\
         [program:late]\ncommand=sleep 1000\npriority=9\n[program:zero]\ncommand=sleep 1000\npriority=4\n",
    )?;
    d.pid_of_started("g:early")?;
    assert_eq!(spawn_order(&d.log()), ["zero", "late", "early"]);
    Ok(())
}

fn shutdown_order(s: &Stage) -> Result {
    let d = s.start(ORDERED)?;
    for name in ["l", "first", "a", "b", "last"] {
        d.pid_of_started(name)?;
    }
    assert_eq!(d.stop()?.code, 0);
    assert_eq!(
        stop_order(&s.read("d.log")),
        ["last", "b", "a", "first", "l"]
    );
    Ok(())
}

/// Listeners are among all.
fn stop_all(s: &Stage) -> Result {
    let d = s.start(ORDERED)?;
    for name in ["l", "first", "a", "b", "last"] {
        d.pid_of_started(name)?;
    }
    let found = d.sv("stopAllProcesses", &json!([]))?;
    let stopped = found.as_array().unwrap().iter();
    let mut names: Vec<&str> = stopped.filter_map(|one| one["name"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["a", "b", "first", "l", "last"]);
    Ok(())
}

fn ended_by_signals(s: &Stage) -> Result {
    for (signal, name) in [
        (Signal::TERM, "SIGTERM"),
        (Signal::INT, "SIGINT"),
        (Signal::QUIT, "SIGQUIT"),
    ] {
        let d = s.start("[program:a]\ncommand=sleep 1000\n")?;
        d.pid_of_started("a")?;
        d.signal(signal)?;
        let ended = d.finish()?;
        assert_eq!(ended.code, 0, "{ended:?}");
        let log = s.read("d.log");
        assert!(
            log.contains(&format!("WARN received {name} indicating exit request\n")),
            "{log}"
        );
        assert!(log.contains("INFO waiting for a to die\n"), "{log}");
        assert!(
            log.contains("WARN stopped: a (terminated by SIGTERM)\n"),
            "{log}"
        );
        assert_eq!(
            ended.err.replace(char::is_whitespace, "").len(),
            0,
            "{ended:?}"
        );
        assert!(!s.path("d.pid").exists() && !s.path("s").exists());
        fs::remove_file(s.path("d.log"))?;
    }
    Ok(())
}

fn waits_for_those_who_take_their_time(s: &Stage) -> Result {
    s.script("slow", &format!("#!/bin/sh\ntrap 'sleep 4;exit 0' TERM\necho x > {}/set\nwhile :; do sleep 0.05; done\n", s.here()))?;
    let d = s.start(
        "[program:a]\ncommand=%(here)s/slow\n[program:b]\ncommand=sleep 1000\npriority=1\n",
    )?;
    d.await_text("set", "x")?;
    d.pid_of_started("b")?;
    assert_eq!(d.stop()?.code, 0);
    let log = s.read("d.log");
    // Said at once and every three seconds; and nobody of the next group is asked before.
    assert!(
        log.matches("INFO waiting for b, a to die\n").count() >= 2,
        "{log}"
    );
    assert_eq!(stop_order(&log), ["a", "b"]);
    assert!(log.contains("INFO stopped: a (exit status 0)\n"));
    Ok(())
}

fn hangup_during_shutdown(s: &Stage) -> Result {
    s.script(
        "deaf",
        &format!(
            "#!/bin/sh\ntrap '' TERM\necho x > {}/set\nread x\n",
            s.here()
        ),
    )?;
    let d = s.start("[program:a]\ncommand=%(here)s/deaf\nstopwaitsecs=2\n")?;
    d.await_text("set", "x")?;
    d.signal(Signal::TERM)?;
    d.await_log("waiting for a to die")?;
    d.signal(Signal::HUP)?;
    assert_eq!(d.finish()?.code, 0);
    let log = s.read("d.log");
    assert!(
        log.contains("ignored SIGHUP indicating restart request (shutdown in progress)"),
        "{log}"
    );
    Ok(())
}

fn pid_file_and_socket(s: &Stage) -> Result {
    let d = s.start("")?;
    assert_eq!(s.read("d.pid"), format!("{}\n", d.pid()?));
    assert!(fs::metadata(s.path("s"))?.file_type().is_socket());
    assert_eq!(
        fs::metadata(s.path("s"))?.permissions().mode() & 0o777,
        0o700
    );
    assert_eq!(s.names("s")?, ["s"]);
    d.stop()?;
    assert!(!s.path("d.pid").exists() && !s.path("s").exists());
    Ok(())
}

fn socket_mode(s: &Stage) -> Result {
    let chown = if is_root() {
        "chown=nobody:daemon\n"
    } else {
        ""
    };
    let _d = s.start(&format!("[unix_http_server]\nchmod=0766\n{chown}"))?;
    let data = fs::metadata(s.path("s"))?;
    assert_eq!(data.permissions().mode() & 0o777, 0o766);
    if is_root() {
        use std::os::unix::fs::MetadataExt as _;
        assert_eq!((data.uid(), data.gid()), (65534, 1));
    }
    Ok(())
}

fn a_second_one(s: &Stage) -> Result {
    let d = s.start("[program:a]\ncommand=sleep 1000\n")?;
    let pid = d.pid_of_started("a")?;
    let ended = s.run(
        "supervisord",
        &["-n", "-c", "c.conf", "-j", "other.pid", "-l", "other.log"],
    )?;
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(
        ended.err.starts_with(
            "Error: Another program is already listening on a port that one of our HTTP servers \
             is configured to use.  Shut this program down first before starting supervisord.\n"
        ),
        "{ended:?}"
    );
    assert!(ended.err.contains("For help, use "), "{ended:?}");
    assert_eq!(d.pid_of("a")?, pid);
    assert_eq!(s.read("d.pid").trim(), d.pid()?.to_string());
    Ok(())
}

fn a_stale_socket(s: &Stage) -> Result {
    drop(UnixListener::bind(s.path("s"))?);
    assert!(s.path("s").exists());
    let d = s.start("")?;
    d.await_that("the message", || {
        (d.log() + &d.complaints()).contains(&format!("Unlinking stale socket {}/s", s.here()))
    })?;
    Ok(())
}

fn background(s: &Stage) -> Result {
    fs::create_dir(s.path("work"))?;
    s.configure(
        "[supervisord]\ndirectory=%(here)s/work\numask=027\n[program:a]\ncommand=sleep 1000\n",
    )?;
    // Whoever starts it waits for its first process only.
    let ended = s.run("supervisord", &["-c", "c.conf"])?;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.is_empty(), "{ended:?}");
    let mut d = Daemon::found(s);
    d.await_answer()?;
    d.await_that("the pid file", || s.read("d.pid").ends_with('\n'))?;
    let pid: i32 = s.read("d.pid").trim().parse()?;
    assert_eq!(d.sv("getPID", &json!([]))?, pid);
    let seen = look(pid).unwrap();
    assert_eq!(seen.session, pid);
    for number in 0..3 {
        assert_eq!(
            fs::read_link(format!("/proc/{pid}/fd/{number}"))?.to_str(),
            Some("/dev/null")
        );
    }
    assert_eq!(fs::read_link(format!("/proc/{pid}/cwd"))?, s.path("work"));
    let child = d.pid_of_started("a")?;
    assert_eq!(fs::read_link(format!("/proc/{child}/cwd"))?, s.path("work"));
    let umask = ward_testkit::processes::status_line(child, "Umask");
    assert_eq!(umask.as_deref(), Some("0027"));
    assert!(
        d.log()
            .contains("INFO daemonizing the supervisord process\n")
    );
    d.signal(Signal::TERM)?;
    d.await_that("its end", || {
        !s.path("d.pid").exists() && !s.path("s").exists()
    })?;
    d.await_that("the end of all", || s.everybody().is_empty())
}

/// Whoever has lost his parent is reaped and named where the daemon is PID 1 or a subreaper; else he
/// is nobody's business. A child that the daemon was given by `exec` is such a one everywhere.
fn orphans(s: &Stage) -> Result {
    s.configure("")?;
    let program = s.kit().program(s.daemon, "supervisord")?;
    // The shell has a child and then becomes the daemon.
    let words = format!(
        "sh -c 'read x <fifo;exit 7' & exec {} -n -c c.conf",
        program.display()
    );
    s.finish(s.furnished("/usr/bin/mkfifo".as_ref(), &["fifo"]))?;
    let d = s.start_by(s.furnished("/bin/sh".as_ref(), &["-c", &words]))?;
    fs::write(s.path("fifo"), "x\n")?;
    d.await_some("the message", || {
        let log = d.log();
        let line = log
            .lines()
            .find(|line| line.contains("INFO reaped unknown pid "))?;
        line.ends_with("(exit status 7)").then_some(())
    })
}

fn killed(s: &Stage) -> Result {
    let d = s.start("[program:a]\ncommand=sleep 1000\n")?;
    let child = d.pid_of_started("a")?;
    d.signal(Signal::KILL)?;
    d.finish()?;
    assert!(
        look(child).is_some_and(|seen| !seen.is_zombie()),
        "it goes on by itself"
    );
    Ok(())
}

fn said_at_its_start(s: &Stage) -> Result {
    let d = s.start("")?;
    let pid = d.pid()?;
    for line in [
        "INFO RPC interface 'supervisor' initialized\n".to_owned(),
        "CRIT Server 'unix_http_server' running without any HTTP authentication checking\n"
            .to_owned(),
        format!("INFO supervisord started with pid {pid}\n"),
    ] {
        d.await_log(&line)?;
        d.await_that("the same on the output", || d.output().contains(&line))?;
    }
    if is_root() {
        d.await_log("CRIT Supervisor is running as root.  Privileges were not dropped because no user is specified in the config file.")?;
    }
    Ok(())
}

fn user_of_the_daemon(s: &Stage) -> Result {
    if !is_root() {
        skipped("user= of the daemon", "only root can become somebody else");
        return Ok(());
    }
    fs::set_permissions(s.path(""), fs::Permissions::from_mode(0o777))?;
    let d = s.start("[supervisord]\nuser=nobody\n[program:a]\ncommand=sleep 1000\n")?;
    let pid = d.pid_of_started("a")?;
    let uid = |pid| ward_testkit::processes::status_line(pid, "Uid");
    assert_eq!(uid(pid).as_deref(), Some("65534\t65534\t65534\t65534"));
    d.await_log("INFO Set uid to user 65534 succeeded\n")?;
    use std::os::unix::fs::MetadataExt as _;
    assert_eq!(fs::metadata(s.path("d.log"))?.uid(), 65534);
    Ok(())
}
