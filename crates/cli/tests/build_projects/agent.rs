//! Keys in an agent: looks and builds go by the same one, and steps see nothing of it.

use std::fs;

use anyhow::ensure;
use ward_testkit::sshd::Sshd;

use crate::Result;
use crate::place::{Place, commit, keep};

#[test]
fn looks_and_builds_go_by_the_servers_agent() -> Result {
    let Some(mut place) = Place::new()? else {
        return Ok(());
    };
    let keys = place.world.path("keys");
    fs::create_dir(&keys)?;
    let Some(sshd) = Sshd::start(&keys, "host", None)? else {
        return Ok(());
    };
    let agent = sshd.agent()?;
    let project = place.world.path("project");
    fs::create_dir(&project)?;
    fs::write(project.join("file"), "first\n")?;
    let first = keep(&project)?;
    place.write(&format!(
        "[job:app]\nrepo = {}\nbranches = main\npoll =\nscript = cat file; echo \"agent: ${{SSH_AUTH_SOCK-none}}\"\n",
        sshd.url(&project)?
    ))?;
    place.secret("notify-token", "word")?;
    place.serve(&[("SSH_AUTH_SOCK", agent.socket())])?;
    // It has no key yet.
    place.build(&["start", "app", "--wait"])?.expect(1)?;
    let console = place.console("app", 1)?;
    ensure!(console.contains("Permission denied"), "{console}");
    ensure!(
        console.contains("hint: give the job the name of a secret"),
        "{console}"
    );
    agent.add(&keys.join("good"))?;
    place.build(&["start", "app", "--wait"])?.expect(0)?;
    let shown = place.over("app", 2)?;
    ensure!(shown["commit"] == first.as_str(), "{shown:#}");
    let console = place.console("app", 2)?;
    let has = |line: &str| console.lines().any(|it| it == line);
    ensure!(has("first") && has("agent: none"), "{console}");
    // The same is seen without a build.
    fs::write(project.join("file"), "second\n")?;
    let second = commit(&project, "second")?;
    let path = format!("/git/notifyCommit?token=word&url={}", sshd.url(&project)?);
    let answer = place.send("GET", &path, &[], "")?;
    ensure!(
        answer.text.contains("Scheduled polling of app"),
        "{answer:?}"
    );
    let shown = place.over("app", 3)?;
    ensure!(
        shown["commit"] == second.as_str() && shown["result"] == "SUCCESS",
        "{shown:#}"
    );
    let known = fs::read_to_string(place.world.path("home/known_hosts"))?;
    ensure!(known.lines().count() == 1, "{known}");
    Ok(())
}
