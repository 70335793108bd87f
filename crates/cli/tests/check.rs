//! `ward check` from the outside: what it prints, and its exit status.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tempfile::TempDir;

type Result = anyhow::Result<()>;

/// Exit status, standard output, standard error.
struct Told(Option<i32>, String, String);

fn check(directory: &Path, arguments: &[&str]) -> anyhow::Result<Told> {
    let output = Command::new(env!("CARGO_BIN_EXE_ward"))
        .arg("check")
        .args(arguments)
        .current_dir(directory)
        .output()
        .context("starting ward")?;
    Ok(Told(
        output.status.code(),
        String::from_utf8(output.stdout)?,
        String::from_utf8(output.stderr)?,
    ))
}

fn directory(files: &[(&str, &str)]) -> anyhow::Result<TempDir> {
    let directory = tempfile::tempdir()?;
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text)?;
    }
    Ok(directory)
}

const FINE: &str = "[supervisord]\n[program:web]\ncommand=/bin/true %(process_num)d\n\
                    process_name=w%(process_num)d\nnumprocs=2\nenvironment=A=\"1\"\n";

#[test]
fn a_sound_file_is_summed_up() -> Result {
    let place = directory(&[("s.conf", FINE)])?;
    let Told(code, out, err) = check(place.path(), &["-c", "s.conf"])?;
    ensure!(code == Some(0) && err.is_empty(), "{code:?} {err}");
    ensure!(
        out == "s.conf: 1 program, 2 processes, 1 group, 0 servers; nothing is wrong\n",
        "{out}"
    );
    Ok(())
}

const JOBS: &str = "[build]\n[job:lib]\nscript =\n  make %s ; true\nparameters =\n  KEY ! hidden\ntoken = hidden\ntimeout = 5m\n";

#[test]
fn jobs_are_shown_without_their_secrets() -> Result {
    let text = format!("{FINE}{JOBS}");
    let place = directory(&[("s.conf", &text)])?;
    let Told(code, out, _) = check(place.path(), &["-c", "s.conf", "--show"])?;
    ensure!(code == Some(0), "{out}");
    for part in [
        "job lib\n",
        "  steps.1.script = make %s ; true\\n\n",
        "  token = (secret)\n",
        "  timeout = 300 s\n",
        "0 servers, 1 job; nothing is wrong\n",
    ] {
        ensure!(out.contains(part), "{part} is not in\n{out}");
    }
    let Told(_, json, _) = check(place.path(), &["-c", "s.conf", "--show", "--json"])?;
    let told: Value = serde_json::from_str(&json)?;
    ensure!(
        told["jobs"] == 1 && told["configuration"]["jobs"][0]["name"] == "lib",
        "{json}"
    );
    ensure!(
        !out.contains("hidden") && !json.contains("hidden"),
        "{out}{json}"
    );
    Ok(())
}

#[test]
fn a_mistake_in_a_job_is_an_error() -> Result {
    let text = format!("{FINE}{}", JOBS.replace("5m", "soon"));
    let place = directory(&[("s.conf", &text)])?;
    let Told(code, out, _) = check(place.path(), &["-c", "s.conf"])?;
    ensure!(code == Some(2), "{code:?}");
    ensure!(
        out.contains("error: timeout: `soon` is not a time"),
        "{out}"
    );
    ensure!(out.ends_with("its jobs cannot be used; 1 error\n"), "{out}");
    Ok(())
}

#[test]
fn without_a_name_it_is_searched_for() -> Result {
    let place = directory(&[("supervisord.conf", FINE)])?;
    let Told(code, out, _) = check(place.path(), &[])?;
    ensure!(
        code == Some(0) && out.starts_with("supervisord.conf: "),
        "{out}"
    );
    Ok(())
}

#[test]
fn mistakes_are_shown_with_their_lines() -> Result {
    let text = "[supervisord]\n[program:web]\nautostrat=no\nstartsecs=ten\n";
    let place = directory(&[("s.conf", text)])?;
    let Told(code, out, _) = check(place.path(), &["-c", "s.conf"])?;
    ensure!(code == Some(2), "{code:?}");
    for part in [
        "s.conf:2:1: error: [program:web] has no `command`\n 2 | [program:web]\n   | ^^^^^^^^^^^^^\n",
        "s.conf:3:1: warning: `autostrat` is no key of [program:web]",
        "hint: did you mean autostart?",
        "s.conf:4:11: error: startsecs: `ten` is not an integer\n 4 | startsecs=ten\n   |           ^^^\n",
        "s.conf: it cannot be used; 2 errors, 1 warning\n",
    ] {
        ensure!(out.contains(part), "{part} is not in\n{out}");
    }
    // A pipe gets no colours.
    ensure!(!out.contains('\u{1b}'), "{out}");
    Ok(())
}

#[test]
fn warnings_count_where_it_is_asked_for() -> Result {
    let place = directory(&[("s.conf", "[supervisord]\nlogfil=x\n")])?;
    ensure!(check(place.path(), &["-c", "s.conf"])?.0 == Some(0));
    ensure!(check(place.path(), &["-c", "s.conf", "--strict"])?.0 == Some(2));
    Ok(())
}

#[test]
fn another_hosts_file_can_be_looked_at() -> Result {
    let text = "[supervisord]\nuser=nobody-of-this-name\nlogfile=/nowhere-at-all/x.log\n";
    let place = directory(&[("s.conf", text)])?;
    ensure!(check(place.path(), &["-c", "s.conf"])?.0 == Some(2));
    ensure!(check(place.path(), &["-c", "s.conf", "--elsewhere"])?.0 == Some(0));
    Ok(())
}

#[test]
fn every_value_is_shown_with_its_place_and_no_password() -> Result {
    let server = "[inet_http_server]\nport=127.0.0.1:9001\nusername=u\npassword=hush\n";
    let place = directory(&[("s.conf", &format!("{FINE}{server}"))])?;
    let Told(_, out, _) = check(place.path(), &["-c", "s.conf", "--show"])?;
    for part in [
        "process web:w1 (s.conf:2:1)",
        "  command = /bin/true 1  (s.conf:3:9)",
        "  stopsignal = SIGTERM  (default)",
        "  password = (secret)",
    ] {
        ensure!(out.contains(part), "{part} is not in\n{out}");
    }
    let Told(_, json, _) = check(place.path(), &["-c", "s.conf", "--show", "--json"])?;
    ensure!(!out.contains("hush") && !json.contains("hush"));
    let told: Value = serde_json::from_str(&json)?;
    let process = &told["configuration"]["groups"][0]["processes"][0];
    ensure!(told["ok"] == true && told["processes"] == 2, "{json}");
    ensure!(
        process["command"] == "/bin/true 0" && process["environment"]["A"] == "1",
        "{json}"
    );
    ensure!(process["from"]["command"] == "s.conf:3:9", "{json}");
    Ok(())
}

#[test]
fn a_file_that_is_not_there_is_told() -> Result {
    let place = directory(&[])?;
    let Told(code, out, _) = check(place.path(), &["-c", "gone.conf"])?;
    ensure!(
        code == Some(2) && out.contains("gone.conf:1:1: error: the file cannot be read"),
        "{out}"
    );
    Ok(())
}
