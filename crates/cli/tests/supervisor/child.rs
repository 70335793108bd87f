//! What a program finds when it is started, and what is said when it cannot be.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;

use serde_json::json;
use ward_testkit::processes::{descriptors, look, status_line, variable};
use ward_testkit::programs::skipped;
use ward_testkit::world::is_root;

use crate::{Result, Stage};

crate::tests![
    environment,
    environment_of_the_daemon_is_above_the_marks,
    environment_grammar,
    arguments,
    own_group_same_session_three_pipes,
    signals,
    masks,
    directories,
    a_directory_that_is_not_there,
    users,
    commands_that_cannot_be_found,
    commands_that_cannot_be_executed,
    search_path_of_the_program,
    limits,
    limits_that_cannot_be_had,
    numbers,
    variables,
];

fn environment(s: &Stage) -> Result {
    let d = s.start(
        "[supervisord]\nenvironment=A=\"daemon\",B=\"daemon\"\n\
         [program:a]\ncommand=sleep 1000\nenvironment=B=\"program\",C=\"%(program_name)s-%(ENV_A)s\"\n\
         [group:g]\nprograms=b\n[program:b]\ncommand=sleep 1000\n",
    )?;
    let pid = d.pid_of_started("a")?;
    let of = |name| variable(pid, name);
    assert_eq!(of("SUPERVISOR_ENABLED").as_deref(), Some("1"));
    assert_eq!(of("SUPERVISOR_PROCESS_NAME").as_deref(), Some("a"));
    assert_eq!(of("SUPERVISOR_GROUP_NAME").as_deref(), Some("a"));
    let url = format!("unix://{}/s", s.here());
    assert_eq!(of("SUPERVISOR_SERVER_URL"), Some(url));
    assert_eq!(of("A").as_deref(), Some("daemon"));
    assert_eq!(of("B").as_deref(), Some("program"));
    assert_eq!(of("C").as_deref(), Some("a-daemon"));
    assert_eq!(of("HOME").as_deref(), Some("/home/of/the/caller"));
    assert_eq!(of("TZ").as_deref(), Some("UTC"));
    assert_eq!(of("USER"), None);
    assert_eq!(of("LOGNAME"), None);
    let pid = d.pid_of_started("g:b")?;
    assert_eq!(variable(pid, "SUPERVISOR_GROUP_NAME").as_deref(), Some("g"));
    assert_eq!(variable(pid, "B").as_deref(), Some("daemon"));
    Ok(())
}

/// The documentation has them the other way round.
fn environment_of_the_daemon_is_above_the_marks(s: &Stage) -> Result {
    let d = s.start(
        "[supervisord]\nenvironment=SUPERVISOR_ENABLED=\"daemon\",SUPERVISOR_GROUP_NAME=\"daemon\"\n\
         [program:a]\ncommand=sleep 1000\nenvironment=SUPERVISOR_GROUP_NAME=\"program\"\n",
    )?;
    let pid = d.pid_of_started("a")?;
    assert_eq!(
        variable(pid, "SUPERVISOR_ENABLED").as_deref(),
        Some("daemon")
    );
    assert_eq!(
        variable(pid, "SUPERVISOR_GROUP_NAME").as_deref(),
        Some("program")
    );
    Ok(())
}

fn environment_grammar(s: &Stage) -> Result {
    let cases = [
        (r#"X="a b",Y=c"#, "a b"),
        (r"X='a,b'", "a,b"),
        (r#"X="'q'""#, "q"),
        (r"X=/usr/bin:(a)-b+c.d_e", "/usr/bin:(a)-b+c.d_e"),
        (r#"Y="1";X=2"#, "2"),
        ("Y=1,\n  X=\"2\",", "2"),
        (r#"X="100%%""#, "100%"),
        (r#"X="a=b@c!""#, "a=b@c!"),
        (r#"X="""#, ""),
    ];
    let programs: String = (0..cases.len())
        .map(|n| {
            format!(
                "[program:p{n}]\ncommand=sleep 1000\nenvironment={}\n",
                cases[n].0
            )
        })
        .collect();
    let d = s.start(&programs)?;
    for (n, (written, expected)) in cases.iter().enumerate() {
        let pid = d.pid_of_started(&format!("p{n}"))?;
        let found = variable(pid, "X");
        assert_eq!(found.as_deref(), Some(*expected), "{written}");
    }
    Ok(())
}

fn arguments(s: &Stage) -> Result {
    let d = s.start(
        "[program:a]\n\
         command=sh -c 'read x' \"a b\" 'c\"d' e\\ f \"g\\\"h\" %% $HOME *\n  next\n",
    )?;
    let pid = d.pid_of_started("a")?;
    let line = fs::read_to_string(format!("/proc/{pid}/cmdline"))?;
    let words: Vec<&str> = line.trim_end_matches('\0').split('\0').collect();
    let expected = [
        "sh", "-c", "read x", "a b", "c\"d", "e f", "g\"h", "%", "$HOME", "*", "next",
    ];
    assert_eq!(words, expected);
    Ok(())
}

fn own_group_same_session_three_pipes(s: &Stage) -> Result {
    let d = s.start(
        "[program:a]\ncommand=sleep 1000\n[program:b]\ncommand=sleep 1000\nredirect_stderr=true\n",
    )?;
    let pid = d.pid_of_started("a")?;
    let (seen, daemon) = (look(pid).unwrap(), look(d.pid()?).unwrap());
    assert_eq!(seen.group, pid);
    assert_eq!(seen.session, daemon.session);
    assert_eq!(seen.ppid, d.pid()?);
    // While it is loaded it has its libraries open.
    d.await_that("three descriptors", || {
        let mut numbers: Vec<i32> = descriptors(pid).iter().map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        numbers == [0, 1, 2]
    })?;
    for number in 0..3 {
        let kind = fs::metadata(format!("/proc/{pid}/fd/{number}"))?.file_type();
        assert!(kind.is_fifo(), "descriptor {number}");
    }
    let both = descriptors(d.pid_of_started("b")?);
    let target = |number| {
        both.iter()
            .find(|(found, _)| *found == number)
            .map(|(_, to)| to)
    };
    assert_eq!(target(1), target(2));
    Ok(())
}

/// As Python leaves it: SIGPIPE (13) and SIGXFSZ (25) are ignored, nothing is blocked.
fn signals(s: &Stage) -> Result {
    let d = s.start("[program:a]\ncommand=sleep 1000\n")?;
    let pid = d.pid_of_started("a")?;
    let bits = |name| -> Result<u64> {
        let line = status_line(pid, name).unwrap_or_default();
        Ok(u64::from_str_radix(&line, 16)?)
    };
    assert_eq!(bits("SigBlk")?, 0);
    assert_eq!(bits("SigIgn")? & (1 << 12), 1 << 12, "SIGPIPE");
    for number in [1, 2, 3, 15, 17] {
        assert_eq!(bits("SigIgn")? & (1 << (number - 1)), 0, "{number}");
    }
    Ok(())
}

fn masks(s: &Stage) -> Result {
    let d = s.start(
        "[supervisord]\numask=007\n[program:a]\ncommand=sleep 1000\numask=077\n\
         [program:b]\ncommand=sleep 1000\n",
    )?;
    let mask = |name| -> Result<_> { Ok(status_line(d.pid_of_started(name)?, "Umask")) };
    assert_eq!(mask("a")?.as_deref(), Some("0077"));
    // In the foreground the daemon keeps the mask that it was started with.
    assert_eq!(mask("b")?.as_deref(), Some("0022"));
    Ok(())
}

fn directories(s: &Stage) -> Result {
    fs::create_dir(s.path("sub"))?;
    let d = s.start(
        "[supervisord]\ndirectory=/\n[program:a]\ncommand=sleep 1000\ndirectory=%(here)s/sub\n\
         [program:b]\ncommand=sleep 1000\n",
    )?;
    let place = |name| -> Result<_> {
        Ok(fs::read_link(format!(
            "/proc/{}/cwd",
            d.pid_of_started(name)?
        ))?)
    };
    assert_eq!(place("a")?, s.path("sub"));
    // In the foreground the daemon stays where it was started.
    assert_eq!(place("b")?, s.path(""));
    Ok(())
}

fn a_directory_that_is_not_there(s: &Stage) -> Result {
    let d = s.start(
        "[program:a]\ncommand=sleep 1000\ndirectory=/not/there\nstartretries=0\n\
         stderr_logfile=%(here)s/err\n",
    )?;
    let info = d.await_state("a", "FATAL")?;
    assert_eq!(
        info["spawnerr"],
        "Exited too quickly (process log may have details)"
    );
    assert_eq!(
        d.await_text("err", "not spawned")?,
        "supervisor: couldn't chdir to /not/there: ENOENT\nsupervisor: child process was not spawned\n"
    );
    d.await_log("exited: a (exit status 127; not expected)")?;
    Ok(())
}

fn users(s: &Stage) -> Result {
    if !is_root() {
        skipped("user=", "only root can become somebody else");
        return Ok(());
    }
    let d = s.start(
        "[program:a]\ncommand=sleep 1000\nuser=nobody\n[program:b]\ncommand=sleep 1000\nuser=1\n",
    )?;
    let ids = |name, line| -> Result<_> { Ok(status_line(d.pid_of_started(name)?, line)) };
    assert_eq!(
        ids("a", "Uid")?.as_deref(),
        Some("65534\t65534\t65534\t65534")
    );
    assert_eq!(
        ids("a", "Gid")?.as_deref(),
        Some("65534\t65534\t65534\t65534")
    );
    assert_eq!(ids("a", "Groups")?.as_deref(), Some("65534"));
    assert_eq!(ids("b", "Uid")?.as_deref(), Some("1\t1\t1\t1"));
    let home = variable(d.pid_of_started("a")?, "HOME");
    assert_eq!(home.as_deref(), Some("/home/of/the/caller"));
    Ok(())
}

fn commands_that_cannot_be_found(s: &Stage) -> Result {
    let d = s.start(
        "[program:a]\ncommand=/not/there x\nstartretries=0\n\
         [program:b]\ncommand=not-in-the-path\nstartretries=0\n\
         [program:c]\ncommand=/not/there\nautostart=false\n\
         [program:d]\ncommand='open\nstartretries=0\n",
    )?;
    let error = |name| -> Result<_> { Ok(d.await_state(name, "FATAL")?["spawnerr"].clone()) };
    assert_eq!(error("a")?, "can't find command '/not/there'");
    assert_eq!(error("b")?, "can't find command 'not-in-the-path'");
    assert!(
        error("d")?
            .as_str()
            .unwrap()
            .starts_with("can't parse command \"'open\": ")
    );
    assert_eq!(
        d.info("a")?["description"],
        "can't find command '/not/there'"
    );
    assert_eq!(
        d.fault("startProcess", &json!(["c"]))?,
        "20 NO_FILE: can't find command '/not/there'"
    );
    assert_eq!(d.state("c")?, "STOPPED");
    d.await_log("INFO spawnerr: can't find command '/not/there'")?;
    d.await_log("INFO gave up: a entered FATAL state, too many start retries too quickly")?;
    Ok(())
}

fn commands_that_cannot_be_executed(s: &Stage) -> Result {
    s.write("plain", "#!/bin/sh\n")?;
    s.script("odd", "#!/not/an/interpreter\n")?;
    let d = s.start(
        "[program:plain]\ncommand=%(here)s/plain\nstartretries=0\n\
         [program:dir]\ncommand=%(here)s\nstartretries=0\n\
         [program:odd]\ncommand=%(here)s/odd\nstartretries=0\nstderr_logfile=%(here)s/err\n\
         [program:later]\ncommand=%(here)s/plain\nautostart=false\n",
    )?;
    let here = s.here();
    let error = |name| -> Result<_> { Ok(d.await_state(name, "FATAL")?["spawnerr"].clone()) };
    assert_eq!(
        error("plain")?,
        format!("command at '{here}/plain' is not executable")
    );
    assert_eq!(error("dir")?, format!("command at '{here}' is a directory"));
    assert_eq!(
        error("odd")?,
        "Exited too quickly (process log may have details)"
    );
    assert_eq!(
        d.await_text("err", "not spawned")?,
        format!(
            "supervisor: couldn't exec {here}/odd: ENOENT\n\
             supervisor: child process was not spawned\n"
        )
    );
    assert_eq!(
        d.fault("startProcess", &json!(["later"]))?,
        format!("21 NOT_EXECUTABLE: command at '{here}/plain' is not executable")
    );
    Ok(())
}

fn search_path_of_the_program(s: &Stage) -> Result {
    fs::create_dir(s.path("bin"))?;
    s.script("bin/only-here", "#!/bin/sh\nread x\n")?;
    let d = s.start(
        "[program:a]\ncommand=only-here\nenvironment=PATH=\"%(here)s/bin:/usr/bin:/bin\"\n\
         [program:b]\ncommand=only-here\nstartretries=0\n",
    )?;
    d.pid_of_started("a")?;
    d.await_state("b", "FATAL")?;
    Ok(())
}

fn limits(s: &Stage) -> Result {
    let d = s.start("[supervisord]\nminfds=2345\n[program:a]\ncommand=sleep 1000\n")?;
    let limits = fs::read_to_string(format!("/proc/{}/limits", d.pid_of_started("a")?))?;
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft: u64 = line.unwrap().split_whitespace().nth(3).unwrap().parse()?;
    assert!(soft >= 2345, "{limits}");
    Ok(())
}

fn limits_that_cannot_be_had(s: &Stage) -> Result {
    s.configure("[supervisord]\nminfds=2000000000\n")?;
    let ended = s.run("supervisord", &["-n", "-c", "c.conf"])?;
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(
        ended.err.contains(
            "minimum number of file descriptors required to run this process is 2000000000"
        ),
        "{ended:?}"
    );
    Ok(())
}

fn numbers(s: &Stage) -> Result {
    let d = s.start(
        "[program:w]\ncommand=sh -c 'read x' %(program_name)s %(process_num)03d %(group_name)s %(numprocs)d %(host_node_name)s\n\
         process_name=%(program_name)s_%(process_num)02d\nnumprocs=2\nnumprocs_start=7\n",
    )?;
    let all = d.sv("getAllProcessInfo", &json!([]))?;
    assert_eq!(all[0]["name"], "w_07");
    assert_eq!(all[1]["name"], "w_08");
    assert_eq!(all[1]["group"], "w");
    let pid = d.pid_of_started("w:w_08")?;
    let line = fs::read_to_string(format!("/proc/{pid}/cmdline"))?;
    let words: Vec<&str> = line.trim_end_matches('\0').split('\0').skip(3).collect();
    let host = fs::read_to_string("/proc/sys/kernel/hostname")?;
    assert_eq!(words, ["w", "008", "w", "2", host.trim()]);
    Ok(())
}

/// Names of variables are known in every section: those of the daemon, then what it says itself.
fn variables(s: &Stage) -> Result {
    s.configure(
        "[supervisord]\nidentifier=%(ENV_WHO)s\nenvironment=MORE=\"more\"\n\
         [program:a]\ncommand=sh -c 'read x' %(ENV_WHO)s %(ENV_MORE)s %(ENV_OWN)s 100%%\n\
         environment=OWN=\"own\"\nstopwaitsecs=%(ENV_SECONDS)s\n",
    )?;
    let mut command = s.command("supervisord", &["-n", "-c", "c.conf"])?;
    command.env("WHO", "me").env("SECONDS", "77");
    let d = s.start_by(command)?;
    assert_eq!(d.sv("getIdentification", &json!([]))?, "me");
    let configs = d.sv("getAllConfigInfo", &json!([]))?;
    assert_eq!(configs[0]["stopwaitsecs"], 77);
    let pid = d.pid_of_started("a")?;
    let line = fs::read_to_string(format!("/proc/{pid}/cmdline"))?;
    let words: Vec<&str> = line.trim_end_matches('\0').split('\0').skip(3).collect();
    assert_eq!(words, ["me", "more", "own", "100%"]);
    Ok(())
}
