//! Commands in many situations, with the same outcome.

use anyhow::{Context as _, ensure};
use serde_json::json;

use crate::Result;
use crate::or_skip;
use crate::pairs::{Side, compare, configure, daemons, kit, same, stage};

const PROGRAMS: &str = "\
[program:cat]
command=/bin/cat
[program:off]
command=/bin/cat
autostart=false
[program:bad]
command=/nonexistent
autostart=false
[program:noexec]
command=/etc/passwd
autostart=false
[program:quick]
command=/bin/false
autostart=false
startretries=0
[program:pair]
command=/bin/cat
process_name=%(program_name)s_%(process_num)d
numprocs=2
[group:grp]
programs=one
priority=5
[program:one]
command=/bin/sh -c 'echo héllo; echo oops >&2; exec cat'
priority=7
[program:silent]
command=/bin/cat
stdout_logfile=NONE
";

/// In this order: what one does is seen by the next.
const LINES: &[&str] = &[
    "status",
    "status nope cat nope:x grp:* none:*",
    "status all nope",
    "status grp grp: grp:*",
    "help help",
    "help nope",
    "help EOF",
    "help start",
    "? stop",
    "help signal",
    "help clear",
    "foo",
    "!ls",
    "quit",
    "exit",
    "EOF",
    "start",
    "start nope nope:*",
    "start bad",
    "start noexec",
    "start cat",
    "start *",
    "start :x",
    "start off",
    "status off",
    "start quick",
    "status quick",
    "start grp:*",
    "stop",
    "stop nope nope:*",
    "stop off",
    "stop off off",
    "stop :",
    "stop a:b:c",
    "status off",
    "restart",
    "restart off",
    "restart nope",
    "restart pair:pair_0 grp:one",
    "restart none:*",
    "signal",
    "signal HUP",
    "signal FOO cat",
    "signal 99 cat",
    "signal FOO all",
    "signal CONT cat",
    "stop off",
    "signal CONT off nope nope:*",
    "signal CONT grp:*",
    "signal CONT all",
    "pid",
    "pid cat nope off",
    "pid off",
    "pid all",
    "tail",
    "tail -f",
    "tail a b c d",
    "tail cat foo",
    "tail -x cat",
    "tail nope",
    "tail one",
    "tail grp:one",
    "tail -3 grp:one STDERR",
    "tail -2 grp:one STDERR x",
    "tail -+3 grp:one",
    "tail --5 grp:one",
    "tail - grp:one",
    "tail grp:*",
    "tail silent",
    "maintail x",
    "maintail a b",
    "maintail -x",
    "clear",
    "clear cat nope",
    "clear all",
    "tail -100 grp:one",
    "avail",
    "avail x",
    "reread",
    "reread x",
    "update",
    "update nope",
    "update all",
    "update cat",
    "add",
    "add nope cat",
    "remove",
    "remove nope cat",
    "version",
    "version x",
    "shutdown x",
    "reload x",
    "open",
    "open ftp://x",
    "open unix:///nowhere",
    "open unix://@here/s",
    "fg",
    "fg a b",
    "fg nope",
    "fg off",
    "stop all",
    "stop all",
    "status",
    "start all",
];

#[test]
fn commands() -> Result {
    let kit = or_skip!(kit());
    let stages = [stage(kit)?, stage(kit)?];
    let daemons = daemons(&stages, PROGRAMS)?;
    let sides = Side::both(&stages)?;
    for daemon in &daemons {
        for name in ["cat", "grp:one", "pair:pair_0", "pair:pair_1", "silent"] {
            daemon.await_state(name, "RUNNING")?;
        }
        daemon.await_that("the output of one", || {
            let tail = daemon.sv("readProcessStdoutLog", &json!(["grp:one", 0, 0]));
            tail.is_ok_and(|text| text == "héllo\n")
        })?;
    }
    for line in LINES {
        let words: Vec<&str> = line.split(' ').collect();
        same(&sides, &words)?;
    }
    // Blanks around and in a word are blanks between words.
    for words in [&[" status  off "][..], &["status", ""], &["pid", "off cat"]] {
        same(&sides, words)?;
    }
    Ok(())
}

#[test]
fn groups_come_change_and_go() -> Result {
    let kit = or_skip!(kit());
    let stages = [stage(kit)?, stage(kit)?];
    let base = "[program:cat]\ncommand=/bin/cat\n[program:b]\ncommand=/bin/cat\n";
    let _daemons = daemons(&stages, base)?;
    let sides = Side::both(&stages)?;
    let tell = |words: &[&str], code: i32, text: &str| -> Result {
        let told = same(&sides, words)?;
        ensure!(told == (text.to_owned(), code), "{words:?}: {told:?}");
        Ok(())
    };
    configure(
        &stages,
        "[program:cat]\ncommand=/bin/cat -u\n[program:c]\ncommand=/bin/cat\n",
    )?;
    tell(&["reread"], 0, "b: disappeared\nc: available\ncat: changed")?;
    tell(
        &["avail"],
        0,
        "c                                avail     auto      999:999\ncat                              in use    auto      999:999",
    )?;
    tell(
        &["update", "c", "nope"],
        1,
        "ERROR: no such group: nope\nc: added process group",
    )?;
    tell(
        &["update"],
        0,
        "b: stopped\nb: removed process group\ncat: stopped\ncat: updated process group",
    )?;
    tell(&["stop", "c"], 0, "c: stopped")?;
    tell(&["remove", "c"], 0, "c: removed process group")?;
    tell(
        &["add", "c", "c"],
        0,
        "c: added process group\nERROR: process group already active",
    )?;
    configure(&stages, "[program:x]\nstartsecs=1\n")?;
    let (text, code) = same(&sides, &["reread"])?;
    ensure!(
        code == 1 && text.starts_with("ERROR: CANT_REREAD: "),
        "{text}"
    );
    // An error that has no words of its own is told on standard output.
    let (text, code) = same(&sides, &["update"])?;
    ensure!(
        code == 1 && text.starts_with("error: <class 'xmlrpc.client.Fault'>, <Fault 92: "),
        "{text}"
    );
    Ok(())
}

#[test]
fn a_supervisor_that_ends() -> Result {
    let kit = or_skip!(kit());
    let stages = [stage(kit)?, stage(kit)?];
    let slow = "[program:slow]\ncommand=/bin/sh -c 'trap \"\" TERM; echo up; while :; do read x; done'\nstopwaitsecs=30\n[program:cat]\ncommand=/bin/cat\n";
    let daemons = daemons(&stages, slow)?;
    let sides = Side::both(&stages)?;
    for daemon in &daemons {
        daemon.await_state("slow", "RUNNING")?;
    }
    same(&sides, &["shutdown"])?;
    for words in [
        &["shutdown"][..],
        &["reload"],
        &["reread"],
        &["update"],
        &["avail"],
        &["add", "x"],
        &["status"],
        &["start", "cat"],
        &["remove", "cat"],
        &["version"],
        &["clear", "cat"],
        &["maintail"],
        &["pid"],
    ] {
        same(&sides, words)?;
    }
    Ok(())
}

#[test]
fn a_supervisor_that_does_nothing_for_us() -> Result {
    let kit = or_skip!(kit());
    // Without an interface, and with a password.
    let head = "[unix_http_server]\nfile=%(here)s/s\n@auth\n[supervisord]\nlogfile=%(here)s/d.log\npidfile=%(here)s/d.pid\nchildlogdir=%(here)s\n@rpc\n[supervisorctl]\nserverurl=unix://%(here)s/s\n";
    let rpc = "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface";
    for (auth, rpc, lines) in [
        (
            "",
            "",
            &["status", "pid", "avail", "start x", "version", "update"][..],
        ),
        (
            "username=u\npassword=p",
            rpc,
            &[
                "status",
                "pid",
                "avail",
                "shutdown",
                "start x",
                "-u u status",
                "-u u -p x status",
                "-u u -p p status",
            ],
        ),
    ] {
        let stages = [stage(kit)?, stage(kit)?];
        let mut started = Vec::new();
        for stage in &stages {
            stage.configure_all(&head.replace("@auth", auth).replace("@rpc", rpc))?;
            let command = stage.command("supervisord", &["-n", "-c", "c.conf"])?;
            let daemon = ward_testkit::supervisor::daemon::Daemon::start_unready(stage, command)?;
            daemon.await_that("the socket", || stage.path("s").exists())?;
            started.push(daemon);
        }
        let sides = Side::both(&stages)?;
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            let (mut theirs, ours) = (sides[0].ctl(&words)?, sides[1].ctl(&words)?);
            // It tries once more, and fails with an error of Python's.
            if theirs
                .out
                .starts_with("Server requires authentication\nerror: ")
            {
                theirs.out.truncate(ours.out.len());
            }
            compare(&sides, &theirs, &ours).with_context(|| (*line).to_owned())?;
        }
        drop(started);
    }
    Ok(())
}

/// Nobody is asked.
#[test]
fn command_lines() -> Result {
    let kit = or_skip!(kit());
    let stages = [stage(kit)?, stage(kit)?];
    configure(&stages, "")?;
    for stage in &stages {
        stage.write("empty.conf", "[supervisord]\n")?;
    }
    let sides = Side::both(&stages)?;
    for line in [
        "-x",
        "-c",
        "-c nope status",
        "-c c.conf -c c.conf",
        "-c empty.conf status",
        "--serv x",
        "-s x",
        "-s http: status",
        "--username",
        "-u a -u b",
        "-i -i status",
        "--help=x",
        "--h",
        "-c c.conf status",
        "-c c.conf pid",
        "-c c.conf version",
        "-c c.conf start",
        "-c c.conf fg x",
        "-c c.conf avail",
        "-c c.conf reload",
        "-c c.conf shutdown",
        "-c c.conf update",
        "-c c.conf add x",
        "-s http://127.0.0.1:1 status",
        "-s http://127.0.0.1:1 pid",
        "-is http://127.0.0.1:1 tail x",
        "-s http://127.0.0.1:1 shutdown",
        "--s=http://127.0.0.1:1 maintail",
        "-sunix:///etc status",
        "-s foo://x status",
        "-s localhost:9001 status",
        "-s unix://@here/c.conf/s status",
        "-s unix://@here/c.conf status",
        "-c c.conf -- status",
        "-c c.conf",
        // It is found in the current directory, and none of it is needed.
        "status",
    ] {
        if line == "status" {
            for stage in &stages {
                std::fs::rename(stage.path("c.conf"), stage.path("supervisord.conf"))?;
            }
        }
        let words: Vec<&str> = line.split(' ').collect();
        let [theirs, ours] = [sides[0].run(&words, "")?, sides[1].run(&words, "")?];
        compare(&sides, &theirs, &ours).map_err(|error| error.context(format!("{line:?}")))?;
        if theirs.code == 2 {
            let [theirs, ours] = [sides[0].masked(&theirs.err), sides[1].masked(&ours.err)];
            ensure!(theirs == ours, "{line:?}:\n{theirs}\n{ours}");
        }
    }
    Ok(())
}
