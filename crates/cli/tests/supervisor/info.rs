//! What is told of processes and of their configuration.

use serde_json::{Value, json};

use crate::{Result, Stage};

crate::tests![
    fields_of_a_process,
    names_of_logs,
    all_sorted_by_group_and_name,
    time_of_the_end,
    configuration_as_written,
    configuration_by_default,
    configuration_of_others,
    names_of_processes,
];

fn keys(of: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = of.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

fn fields_of_a_process(s: &Stage) -> Result {
    let d = s.start("[program:a]\ncommand=sleep 1000\nstartsecs=0\n")?;
    let info = d.await_state("a", "RUNNING")?;
    let expected = [
        "description",
        "exitstatus",
        "group",
        "logfile",
        "name",
        "now",
        "pid",
        "spawnerr",
        "start",
        "state",
        "statename",
        "stderr_logfile",
        "stdout_logfile",
        "stop",
    ];
    assert_eq!(keys(&info), expected);
    assert_eq!((&info["name"], &info["group"]), (&json!("a"), &json!("a")));
    assert_eq!(info["exitstatus"], 0);
    assert_eq!(info["stop"], 0);
    assert!(info["now"].as_i64() >= info["start"].as_i64());
    Ok(())
}

fn names_of_logs(s: &Stage) -> Result {
    let d = s.start(
        "[program:a]\ncommand=sleep 1000\n\
         [program:b]\ncommand=sleep 1000\nstdout_logfile=%(here)s/b.out\nstderr_logfile=NONE\n\
         [program:c]\ncommand=sleep 1000\nredirect_stderr=true\nstdout_logfile=/dev/null\nstdout_logfile_maxbytes=0\n\
         [program:d]\ncommand=sleep 1000\nautostart=false\nstdout_logfile=off\n",
    )?;
    d.pid_of_started("c")?;
    let here = s.here();
    let info = d.info("a")?;
    for stream in ["stdout", "stderr"] {
        let name = info[format!("{stream}_logfile")].as_str().unwrap();
        let start = format!("{here}/a-{stream}---supervisor-");
        assert!(name.starts_with(&start) && name.ends_with(".log"), "{name}");
    }
    assert_eq!(info["logfile"], info["stdout_logfile"]);
    let info = d.info("b")?;
    assert_eq!(info["stdout_logfile"], format!("{here}/b.out"));
    assert_eq!(info["stderr_logfile"], "");
    let info = d.info("c")?;
    assert_eq!(info["stdout_logfile"], "/dev/null");
    assert_eq!(info["stderr_logfile"], "");
    let info = d.info("d")?;
    assert_eq!(info["stdout_logfile"], "");
    Ok(())
}

fn all_sorted_by_group_and_name(s: &Stage) -> Result {
    let d = s.start(
        "[program:z]\ncommand=sleep 1000\npriority=1\n[program:a]\ncommand=sleep 1000\n\
         [group:g]\nprograms=y,x\npriority=2000\n[program:x]\ncommand=sleep 1000\n\
         [program:y]\ncommand=sleep 1000\n",
    )?;
    let all = d.sv("getAllProcessInfo", &json!([]))?;
    let names: Vec<String> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|info| format!("{}:{}", info["group"], info["name"]).replace('"', ""))
        .collect();
    assert_eq!(names, ["a:a", "g:x", "g:y", "z:z"]);
    Ok(())
}

/// As in `Nov 05 07:08 AM`: local time, here UTC.
fn time_of_the_end(s: &Stage) -> Result {
    let d = s.start("[program:a]\ncommand=true\nstartsecs=0\n[program:b]\ncommand=sleep 1000\n")?;
    d.pid_of_started("b")?;
    d.sv("stopProcess", &json!(["b"]))?;
    for (name, state) in [("a", "EXITED"), ("b", "STOPPED")] {
        let info = d.await_state(name, state)?;
        let stop = info["stop"].as_i64().unwrap();
        let date = std::process::Command::new("date")
            .args(["-u", "-d", &format!("@{stop}"), "+%b %d %I:%M %p"])
            .env("LC_ALL", "C")
            .output()?;
        assert_eq!(info["description"], String::from_utf8(date.stdout)?.trim());
    }
    Ok(())
}

fn config_of(all: &Value, name: &str) -> Value {
    let found = all
        .as_array()
        .unwrap()
        .iter()
        .find(|info| info["name"] == name);
    found.unwrap().clone()
}

fn configuration_as_written(s: &Stage) -> Result {
    let d = s.start(
        "[program:a]\ncommand=sleep  1000 \"x y\"\nautostart=false\nautorestart=true\ndirectory=/tmp\n\
         exitcodes=3,1\nkillasgroup=true\nstopasgroup=true\npriority=5\nredirect_stderr=true\n\
         startretries=7\nstartsecs=8\nstopsignal=QUIT\nstopwaitsecs=9\nserverurl=http://x:1\n\
         stdout_logfile=%(here)s/o\nstdout_logfile_maxbytes=2KB\nstdout_logfile_backups=4\n\
         stdout_capture_maxbytes=6\nstdout_events_enabled=true\nstdout_syslog=false\n\
         stderr_logfile_maxbytes=1MB\nstderr_logfile_backups=11\nstderr_capture_maxbytes=12\n\
         stderr_events_enabled=true\n[group:g]\nprograms=a\npriority=44\n",
    )?;
    let here = s.here();
    let mut found = config_of(&d.sv("getAllConfigInfo", &json!([]))?, "a");
    // 4.4 adds it; ours may add what 4.3 forgot.
    for added in ["autorestart", "stopasgroup"] {
        found.as_object_mut().unwrap().remove(added);
    }
    let expected = json!({
        "autostart": false, "command": "sleep  1000 \"x y\"", "directory": "/tmp",
        "exitcodes": [3, 1], "group": "g", "group_prio": 44, "inuse": true,
        "killasgroup": true, "name": "a", "process_prio": 5, "redirect_stderr": true,
        "serverurl": "http://x:1", "startretries": 7, "startsecs": 8, "stopsignal": 3,
        "stopwaitsecs": 9, "stdout_capture_maxbytes": 6, "stdout_events_enabled": true,
        "stdout_logfile": format!("{here}/o"), "stdout_logfile_backups": 4,
        "stdout_logfile_maxbytes": 2048, "stdout_syslog": false, "stderr_capture_maxbytes": 12,
        "stderr_events_enabled": true, "stderr_logfile": "none", "stderr_logfile_backups": 11,
        "stderr_logfile_maxbytes": 1_048_576, "stderr_syslog": false, "uid": "none",
    });
    assert_eq!(found, expected);
    Ok(())
}

fn configuration_by_default(s: &Stage) -> Result {
    let d = s.start("[program:a]\ncommand=sleep 1000\n")?;
    d.pid_of_started("a")?;
    let mut found = config_of(&d.sv("getAllConfigInfo", &json!([]))?, "a");
    for added in ["autorestart", "stopasgroup"] {
        found.as_object_mut().unwrap().remove(added);
    }
    // Once it has been started, these are the files that were made.
    for stream in ["stdout", "stderr"] {
        let key = format!("{stream}_logfile");
        let name = found[&key].as_str().unwrap().to_owned();
        assert!(
            name.starts_with(&format!("{}/a-{stream}---supervisor-", s.here())),
            "{name}"
        );
        found[&key] = json!("auto");
    }
    let expected = json!({
        "autostart": true, "command": "sleep 1000", "directory": "none",
        "exitcodes": [0], "group": "a", "group_prio": 999, "inuse": true,
        "killasgroup": false, "name": "a", "process_prio": 999, "redirect_stderr": false,
        "serverurl": "none", "startretries": 3, "startsecs": 1, "stopsignal": 15,
        "stopwaitsecs": 10, "stdout_capture_maxbytes": 0, "stdout_events_enabled": false,
        "stdout_logfile": "auto", "stdout_logfile_backups": 10,
        "stdout_logfile_maxbytes": 52_428_800, "stdout_syslog": false,
        "stderr_capture_maxbytes": 0, "stderr_events_enabled": false, "stderr_logfile": "auto",
        "stderr_logfile_backups": 10, "stderr_logfile_maxbytes": 52_428_800,
        "stderr_syslog": false, "uid": "none",
    });
    assert_eq!(found, expected);
    Ok(())
}

fn configuration_of_others(s: &Stage) -> Result {
    let d = s.start(
        "[program:p]\ncommand=sleep 1000\nautostart=false\nprocess_name=%(program_name)s%(process_num)d\n\
         numprocs=2\nuser=root\n\
         [eventlistener:l]\ncommand=cat\nevents=TICK_5\n\
         [fcgi-program:f]\ncommand=sleep 1000\nautostart=false\nsocket=unix://%(here)s/f.sock\n",
    )?;
    let all = d.sv("getAllConfigInfo", &json!([]))?;
    let names: Vec<&Value> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|info| &info["name"])
        .collect();
    assert_eq!(names, ["f", "l", "p0", "p1"]);
    assert_eq!(config_of(&all, "l")["group_prio"], -1);
    assert_eq!(config_of(&all, "l")["process_prio"], 999);
    assert_eq!(config_of(&all, "p0")["uid"], 0);
    assert_eq!(config_of(&all, "f")["group_prio"], 999);
    Ok(())
}

fn names_of_processes(s: &Stage) -> Result {
    let d = s.start(
        "[group:g]\nprograms=x\n[program:x]\ncommand=sleep 1000\nautostart=false\n\
         process_name=%(program_name)s_%(process_num)d\nnumprocs=2\n\
         [program:a]\ncommand=sleep 1000\nautostart=false\n",
    )?;
    for name in ["g:x_0", "a", "a:a"] {
        assert_eq!(d.state(name)?, "STOPPED");
    }
    for name in [
        "x_0", "g", "g:", "g:*", "g:x", "x:x_0", "", ":", "a:", "g:x_0:y", "no",
    ] {
        let expected = format!("10 BAD_NAME: {name}");
        assert_eq!(d.fault("getProcessInfo", &json!([name]))?, expected);
    }
    Ok(())
}
