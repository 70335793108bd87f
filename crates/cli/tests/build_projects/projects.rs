//! A crate, a project of Python and one in C, each as its registry has it: what comes of their builds is what comes
//! of them without ward, from the server and without one.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use ward_testkit::programs::{in_path, skipped};
use ward_testkit::registry::{a_crate, cargo, python};

use crate::Result;
use crate::place::{Place, commit, keep};

/// Tools find their caches where whoever runs the tests has them.
fn home() -> String {
    let given = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|value| (name.to_owned(), value))
    };
    let all: Vec<String> = ["HOME", "CARGO_HOME", "RUSTUP_HOME"]
        .into_iter()
        .filter_map(given)
        .map(|(name, value)| format!("{name}=\"{value}\""))
        .collect();
    all.join(",")
}

/// One build of the server; what `ward build start --wait` ends with is told apart from what is shown.
fn built(place: &Place, job: &str, number: u32, code: i32, result: &str) -> Result<Value> {
    let said = place.build(&["start", job, "--wait"])?;
    let shown = place.over(job, number)?;
    let console = || place.console(job, number).unwrap_or_default();
    ensure!(said.code == Some(code), "{said:#?}\n{}", console());
    ensure!(shown["result"] == result, "{shown:#}\n{}", console());
    Ok(shown)
}

fn paths(shown: &Value) -> Vec<&str> {
    let all = shown["artifacts"].as_array().into_iter().flatten();
    all.filter_map(Value::as_str).collect()
}

fn append(path: &Path, text: &str) -> Result {
    let before = fs::read_to_string(path)?;
    fs::write(path, format!("{before}{text}"))?;
    Ok(())
}

#[test]
fn a_crate_is_built_and_tested() -> Result {
    let Some(mut place) = Place::new()? else {
        return Ok(());
    };
    let Some(project) = a_crate(&place.world.path("."), "strsim", "0.11.1")? else {
        return Ok(());
    };
    let first = keep(&project)?;
    let cargo = cargo().context("no cargo")?;
    place.write(&format!(
        "[job:strsim]\nrepo = {}\nbranches = main\nartifacts = target/debug/*.rlib\nenvironment = {}\n\
         script =\n    cargo='{}'\n    export CARGO_TARGET_DIR=target\n    unset CARGO_BUILD_TARGET RUSTFLAGS\n    \
         \"$cargo\" build --offline\n    \"$cargo\" test --offline --lib\n",
        project.display(),
        home(),
        cargo.display(),
    ))?;
    let local = place.build_in(&project, &["local"])?.expect(0)?;
    ensure!(local.out.contains("test result: ok. "), "{local:#?}");
    ensure!(local.err.contains("1 artifact in "), "{local:#?}");
    fs::remove_dir_all(project.join("target"))?;
    place.serve(&[])?;
    let shown = built(&place, "strsim", 1, 0, "SUCCESS")?;
    ensure!(shown["commit"] == first.as_str(), "{shown:#}");
    ensure!(
        paths(&shown) == ["target/debug/libstrsim.rlib"],
        "{shown:#}"
    );
    ensure!(place.console("strsim", 1)?.contains("test result: ok. "));

    // One test less that holds.
    append(
        &project.join("src/lib.rs"),
        "\n#[test]\nfn wrong() { assert_eq!(hamming(\"a\", \"b\"), Ok(0)); }\n",
    )?;
    let second = commit(&project, "wrong")?;
    let shown = built(&place, "strsim", 2, 1, "FAILURE")?;
    ensure!(shown["commit"] == second.as_str(), "{shown:#}");
    ensure!(
        shown["changes"][0]["commit"] == second.as_str(),
        "{shown:#}"
    );
    let console = place.console("strsim", 2)?;
    ensure!(console.contains("test wrong ... FAILED"), "{console}");
    place.build_in(&project, &["local"])?.expect(1)?;
    // No program at all.
    append(&project.join("src/lib.rs"), "\nfn broken( {}\n")?;
    commit(&project, "broken")?;
    built(&place, "strsim", 3, 1, "FAILURE")?;
    let console = place.console("strsim", 3)?;
    ensure!(console.contains("error: "), "{console}");
    Ok(())
}

#[test]
fn a_project_in_c_is_made_and_tested() -> Result {
    if in_path("make").is_none() || in_path("gcc").is_none() {
        skipped("bzip2", "needs make and gcc");
        return Ok(());
    }
    let Some(mut place) = Place::new()? else {
        return Ok(());
    };
    // bzip2 as its author packed it, within the crate that links it.
    let Some(package) = a_crate(&place.world.path("."), "bzip2-sys", "0.1.13")? else {
        return Ok(());
    };
    let project = package.join("bzip2-1.0.8");
    let first = keep(&project)?;
    place.write(&format!(
        "[job:bzip2]\nrepo = {}\nbranches = main\nartifacts = bzip2, libbz2.a\nsteps = make, test\n\
         script.make = make -s -j2 CC=gcc bzip2 libbz2.a\nscript.test = make -s CC=gcc test\n",
        project.display(),
    ))?;
    let local = place.build_in(&project, &["local"])?.expect(0)?;
    ensure!(local.err.contains("2 artifacts in "), "{local:#?}");
    place.serve(&[])?;
    let shown = built(&place, "bzip2", 1, 0, "SUCCESS")?;
    ensure!(shown["commit"] == first.as_str(), "{shown:#}");
    ensure!(paths(&shown) == ["bzip2", "libbz2.a"], "{shown:#}");
    let kept = place.world.path("home/jobs/bzip2/builds/1/artifacts/bzip2");
    let made = place.world.path("home/workspaces/bzip2/bzip2");
    ensure!(fs::read(&kept)? == fs::read(made)? && fs::read(kept)?.starts_with(b"\x7fELF"));

    // What it compresses is not what it was.
    let sample = project.join("sample1.ref");
    let mut bytes = fs::read(&sample)?;
    bytes.push(b'!');
    fs::write(&sample, bytes)?;
    commit(&project, "another sample")?;
    let shown = built(&place, "bzip2", 2, 1, "FAILURE")?;
    let steps = &shown["outcome"]["steps"];
    ensure!(
        steps[0]["result"] == "SUCCESS" && steps[1]["result"] == "FAILURE",
        "{shown:#}"
    );
    ensure!(place.console("bzip2", 2)?.contains("sample1"));
    place.build_in(&project, &["local"])?.expect(1)?;
    Ok(())
}

#[test]
fn a_project_of_python_is_tested() -> Result {
    let Some(mut place) = Place::new()? else {
        return Ok(());
    };
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let Some(found) = python(&place.world.path("."), kept, "six", "1.17.0")? else {
        return Ok(());
    };
    let project = found.project;
    let first = keep(&project)?;
    place.write(&format!(
        "[job:six]\nrepo = {}\nbranches = main\nartifacts = report.xml\njunit = report.xml\nunstable_status = 1\n\
         clean = before\nscript = '{}' -m pytest -q -p no:cacheprovider --junitxml=report.xml test_six.py\n",
        project.display(),
        found.python.display(),
    ))?;
    let local = place.build_in(&project, &["local"])?.expect(0)?;
    let (passed, skipped) = counted(&local.out)?;
    ensure!(passed > 100, "{local:#?}");
    let total = passed + skipped;
    ensure!(
        local.err.contains(&format!(", {total} tests, 0 failed")),
        "{local:#?}"
    );
    place.serve(&[])?;
    let shown = built(&place, "six", 1, 0, "SUCCESS")?;
    ensure!(shown["commit"] == first.as_str(), "{shown:#}");
    let tests = &shown["outcome"]["tests"];
    ensure!(
        tests["passed"] == passed && tests["skipped"] == skipped && tests["failed"] == 0,
        "{shown:#}"
    );

    // One that fails anew, and is mended.
    append(
        &project.join("test_six.py"),
        "\n\ndef test_wrong():\n    assert six.u('ä') == six.b('a'), 'not <&> so'\n",
    )?;
    let second = commit(&project, "wrong")?;
    let shown = built(&place, "six", 2, 117, "UNSTABLE")?;
    ensure!(shown["commit"] == second.as_str(), "{shown:#}");
    let tests = &shown["outcome"]["tests"];
    ensure!(
        tests["passed"] == passed && tests["failed"] == 1,
        "{shown:#}"
    );
    let failed = failures(&place, 2)?;
    let wanted = ("test_six test_wrong".to_owned(), "FAILED".to_owned());
    ensure!(failed == [wanted], "{failed:?}");
    place.build_in(&project, &["local"])?.expect(117)?;
    let text = fs::read_to_string(project.join("test_six.py"))?;
    fs::write(
        project.join("test_six.py"),
        text.replace("six.u('ä') == six.b('a')", "six.u('a') == 'a'"),
    )?;
    commit(&project, "mended")?;
    let shown = built(&place, "six", 3, 0, "SUCCESS")?;
    ensure!(
        shown["outcome"]["tests"]["passed"] == passed + 1,
        "{shown:#}"
    );
    ensure!(failures(&place, 3)?.is_empty());
    // Nothing that could be a test any more: that is no success.
    append(&project.join("test_six.py"), "\n\ndef broken(:\n")?;
    commit(&project, "broken")?;
    let shown = built(&place, "six", 4, 1, "FAILURE")?;
    ensure!(shown["outcome"]["tests"]["failed"] != 0, "{shown:#}");
    Ok(())
}

/// What pytest says at its end: how many tests passed, and how many were skipped.
fn counted(console: &str) -> Result<(u64, u64)> {
    let line = console
        .lines()
        .rev()
        .find(|line| line.contains(" passed"))
        .context("pytest said nothing")?;
    let number = |what: &str| -> Option<u64> {
        let (before, _) = line.split_once(what)?;
        before.rsplit([' ', '\t']).next()?.parse().ok()
    };
    Ok((
        number(" passed").context("no number")?,
        number(" skipped").unwrap_or(0),
    ))
}

/// The tests of a build that failed, by class and name, with what Jenkins calls it.
fn failures(place: &Place, number: u32) -> Result<Vec<(String, String)>> {
    let file = place
        .world
        .path(&format!("home/jobs/six/builds/{number}/tests.json"));
    let suites: Value = serde_json::from_str(&fs::read_to_string(file)?)?;
    let suites = suites.get("suites").unwrap_or(&suites).as_array().cloned();
    let mut found = Vec::new();
    for case in suites
        .iter()
        .flatten()
        .filter_map(|suite| suite["cases"].as_array())
        .flatten()
    {
        let status = case["status"].as_str().unwrap_or_default().to_uppercase();
        if status == "FAILED" || status == "REGRESSION" {
            let text = |name: &str| case[name].as_str().unwrap_or_default().to_owned();
            found.push((format!("{} {}", text("class"), text("name")), status));
        }
    }
    Ok(found)
}
