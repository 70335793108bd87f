//! Jobs that come, change and go.

use std::fs;

use anyhow::ensure;
use ward_build::api::{Builds, Push, Refusal, Which};
use ward_config::job::{Job, Source, Triggers};
use ward_model::build::BuildResult;
use ward_testkit::patience::wait_until;

use super::Result;
use super::bench::{Bench, expect, job, log, request, settings};
use super::builds::WAITS;

/// A job as it is posted.
pub(crate) fn document(script: &str, more: &str) -> Vec<u8> {
    format!(
        "<?xml version='1.1' encoding='UTF-8'?>\n<project>{more}<builders><hudson.tasks.Shell>\
         <command>{script}</command></hudson.tasks.Shell></builders></project>\n"
    )
    .into_bytes()
}

pub(crate) fn posted() -> Result {
    let mut bench = Bench::new(Vec::new())?;
    let first = document("echo first", "");
    bench.server.create_job("a", &first)?;
    ensure!(matches!(
        bench.server.create_job("a", &first),
        Err(Refusal::Exists(_))
    ));
    ensure!(bench.server.job_config("a")? == first);
    let view = bench.build("a")?;
    ensure!(log(&view)?.contains("first"), "{}", log(&view)?);
    let second = document("echo second", "<description>what &amp; why</description>");
    bench.server.update_job("a", &second)?;
    ensure!(bench.server.job("a")?.line.description == "what & why");
    ensure!(log(&bench.build("a")?)?.contains("second"));
    bench.server.copy_job("a", "b")?;
    bench.server.set_disabled("a", true)?;
    ensure!(matches!(
        bench.server.request(request("a", &[])),
        Err(Refusal::Conflict(_))
    ));
    let disabled = String::from_utf8(bench.server.job_config("a")?)?;
    ensure!(disabled.contains("<disabled>true</disabled>") && disabled.contains("echo second"));
    bench.restart(Vec::new())?;
    ensure!(
        bench
            .server
            .jobs()
            .iter()
            .map(|job| job.name.as_str())
            .eq(["a", "b"])
    );
    ensure!(bench.server.job("a")?.line.disabled && !bench.server.job("b")?.line.disabled);
    bench.server.set_disabled("a", false)?;
    ensure!(bench.build("a")?.line.number == 3);
    ensure!(bench.build("b")?.line.number == 1);
    bench.server.delete_job("a")?;
    ensure!(matches!(bench.server.job("a"), Err(Refusal::NoSuchJob(_))));
    ensure!(!bench.home().join("jobs/a").exists());
    bench.server.create_job("a", &first)?;
    ensure!(bench.build("a")?.line.number == 1);
    bench.server.set_next_number("a", 7)?;
    ensure!(matches!(
        bench.server.set_next_number("a", 1),
        Err(Refusal::Conflict(_))
    ));
    ensure!(bench.build("a")?.line.number == 7);
    Ok(())
}

pub(crate) fn of_file() -> Result {
    let mut bench = Bench::new(vec![job("a", "true")])?;
    let posted = document("false", "");
    for refused in [
        bench.server.update_job("a", &posted),
        bench.server.delete_job("a"),
        bench.server.rename_job("a", "b"),
    ] {
        ensure!(matches!(&refused, Err(Refusal::Conflict(_))), "{refused:?}");
    }
    ensure!(bench.server.job("a")?.of_file);
    bench.server.set_disabled("a", true)?;
    bench.restart(vec![job("a", "true")])?;
    ensure!(bench.server.job("a")?.line.disabled);
    bench.server.set_disabled("a", false)?;
    expect(&bench.build("a")?, BuildResult::Success)?;
    let file_says = Job {
        disabled: true,
        ..job("a", "true")
    };
    bench.restart(vec![file_says])?;
    let refused = bench.server.set_disabled("a", false);
    ensure!(matches!(refused, Err(Refusal::Conflict(_))));
    bench.restart(vec![job("a", "true")])?;
    // It can be taken along as a job that is posted.
    bench.server.copy_job("a", "c")?;
    ensure!(!bench.server.job("c")?.of_file);
    // The file's job goes before one that was posted.
    bench.restart(vec![job("a", "true"), job("c", "false")])?;
    ensure!(bench.server.job("c")?.of_file);
    let said = bench
        .said
        .lock()
        .map(|said| said.join("\n"))
        .unwrap_or_default();
    ensure!(
        said.contains("job `c` is in the configuration file"),
        "{said}"
    );
    Ok(())
}

pub(crate) fn names() -> Result {
    let bench = Bench::new(vec![job("file/job", "true")])?;
    let posted = document("true", "");
    for name in ["", "a?", "../a", "a/", "a@2", "a%2F", "nul\0"] {
        let refused = bench.server.create_job(name, &posted);
        ensure!(
            matches!(refused, Err(Refusal::BadName(_))),
            "{name:?}: {refused:?}"
        );
    }
    ensure!(matches!(
        bench.server.create_job("no/b", &posted),
        Err(Refusal::Nothing(_))
    ));
    bench.server.create_folder("f")?;
    ensure!(matches!(
        bench.server.create_folder("f"),
        Err(Refusal::Exists(_))
    ));
    ensure!(bench.server.has_folder("f") && bench.server.has_folder("file"));
    ensure!(!bench.server.has_folder("g"));
    bench.server.create_folder("f/g")?;
    bench.server.create_job("f/g/ünï", &posted)?;
    expect(&bench.build("f/g/ünï")?, BuildResult::Success)?;
    ensure!(bench.home().join("workspaces/f/g/ünï").is_dir());
    ensure!(bench.home().join("jobs/f%2Fg%2Fünï/builds/1/log").is_file());
    ensure!(matches!(
        bench.server.delete_job("file"),
        Err(Refusal::Conflict(_))
    ));
    bench.server.delete_job("f")?;
    ensure!(!bench.server.has_folder("f") && !bench.server.has_folder("f/g"));
    ensure!(bench.server.jobs().len() == 1);
    // A job that is a folder too would have others' files in its workspace.
    bench
        .server
        .reload(settings(), &[job("file", "true"), job("file/job", "true")])?;
    ensure!(bench.server.job("file")?.not_buildable.is_some());
    expect(&bench.build("file/job")?, BuildResult::Success)
}

pub(crate) fn documents() -> Result {
    let mut bench = Bench::new(Vec::new())?;
    for bad in [
        &b"no document"[..],
        b"<project>",
        b"",
        b"<!DOCTYPE x><project/>",
    ] {
        let refused = bench.server.create_job("a", bad);
        ensure!(matches!(refused, Err(Refusal::BadInput(_))), "{refused:?}");
    }
    ensure!(bench.server.jobs().is_empty() && !bench.home().join("jobs/a").exists());
    // What is not known is kept and shown; what a build would leave out keeps it from being built.
    let strange = document(
        "true",
        "<scm class=\"hudson.plugins.mercurial.MercurialSCM\"><source>x</source></scm>",
    );
    bench.server.create_job("strange", &strange)?;
    ensure!(bench.server.job_config("strange")? == strange);
    let view = bench.server.job("strange")?;
    ensure!(
        view.unknown.iter().any(|(_, is_loss)| *is_loss),
        "{:?}",
        view.unknown
    );
    ensure!(matches!(
        bench.server.request(request("strange", &[])),
        Err(Refusal::Conflict(_))
    ));
    let never = "<triggers class=\"vector\"><hudson.triggers.TimerTrigger><spec>99 * * * *</spec>\
                 </hudson.triggers.TimerTrigger></triggers>";
    bench.server.create_job("never", &document("true", never))?;
    ensure!(bench.server.job("never")?.not_buildable.is_some());
    // A document that was damaged on disk is told of, and ends no server.
    fs::write(bench.home().join("jobs/strange/config.xml"), "<project")?;
    bench.restart(Vec::new())?;
    let view = bench.server.job("strange")?;
    ensure!(
        view.not_buildable
            .as_ref()
            .is_some_and(|why| why.contains("config.xml")),
        "{view:?}"
    );
    bench.server.update_job("strange", &document("true", ""))?;
    expect(&bench.build("strange")?, BuildResult::Success)
}

pub(crate) fn renamed() -> Result {
    let mut bench = Bench::new(Vec::new())?;
    bench.server.create_job("old", &document("echo kept", ""))?;
    bench.build("old")?;
    bench.server.create_job("taken", &document("true", ""))?;
    ensure!(matches!(
        bench.server.rename_job("old", "taken"),
        Err(Refusal::Exists(_))
    ));
    ensure!(matches!(
        bench.server.rename_job("old", "a:b"),
        Err(Refusal::BadName(_))
    ));
    bench.server.rename_job("old", "new")?;
    ensure!(matches!(
        bench.server.job("old"),
        Err(Refusal::NoSuchJob(_))
    ));
    let view = bench.server.build("new", &Which::Last)?;
    ensure!(log(&view)?.contains("kept") && view.line.job == "new");
    ensure!(bench.build("new")?.line.number == 2);
    // Killed between the directory and the row.
    bench.server.shut_down(false);
    rusqlite_fact(&bench, "[\"new\",\"newer\"]")?;
    fs::rename(
        bench.home().join("jobs/new"),
        bench.home().join("jobs/newer"),
    )?;
    bench.restart(Vec::new())?;
    ensure!(bench.server.build_numbers("newer")? == [2, 1]);
    ensure!(matches!(
        bench.server.job("new"),
        Err(Refusal::NoSuchJob(_))
    ));
    Ok(())
}

fn rusqlite_fact(bench: &Bench, value: &str) -> Result {
    let connection = ward_build::history::writer(&bench.home().join("history.sqlite"))?;
    ward_build::history::jobs::set_fact(&connection, "renaming", Some(value))?;
    Ok(())
}

pub(crate) fn removed() -> Result {
    let bench = Bench::new(Vec::new())?;
    bench
        .server
        .create_job("a", &document(&WAITS.replace('\n', "&#10;"), ""))?;
    let number = bench.number_of(bench.ask("a")?)?;
    ensure!(matches!(
        bench.server.rename_job("a", "b"),
        Err(Refusal::Conflict(_))
    ));
    wait_until("the step", || {
        let log = fs::read_to_string(bench.home().join(format!("jobs/a/builds/{number}/log")));
        log.is_ok_and(|log| log.contains("begun"))
    })?;
    bench.server.delete_job("a")?;
    ensure!(matches!(bench.server.job("a"), Err(Refusal::NoSuchJob(_))));
    wait_until("nothing left of it", || {
        bench.server.server().busy == 0
            && !bench.home().join("jobs/a").exists()
            && !bench.home().join("workspaces/a").exists()
    })?;
    wait_until("the name to be free", || {
        bench.server.create_job("a", &document("true", "")).is_ok()
    })
}

pub(crate) fn reloaded() -> Result {
    let bench = Bench::new(vec![job("goes", WAITS), job("stays", "echo old")])?;
    let running = bench.number_of(bench.ask("goes")?)?;
    bench.ask("goes")?;
    let mut build = settings();
    build.executors = 5;
    bench
        .server
        .reload(build, &[job("stays", "echo new"), job("comes", "true")])?;
    ensure!(bench.server.server().executors == 5 && bench.server.queue().is_empty());
    let names: Vec<String> = bench
        .server
        .jobs()
        .into_iter()
        .map(|job| job.name)
        .collect();
    ensure!(names == ["comes", "stays"]);
    ensure!(log(&bench.build("stays")?)?.contains("new"));
    bench.build("comes")?;
    // What runs of a job that is no more runs on, and is recorded.
    bench.let_go("goes")?;
    wait_until("its end", || bench.server.server().busy == 0)?;
    bench.server.reload(settings(), &[job("goes", "true")])?;
    expect(&bench.end_of("goes", running)?, BuildResult::Success)
}

pub(crate) fn views() -> Result {
    let mut bench = Bench::new(vec![job("a", "true"), job("b", "true")])?;
    let document = b"<?xml version='1.1' encoding='UTF-8'?>\n<hudson.model.ListView><name>mine</name>\
        <jobNames><comparator class=\"hudson.util.CaseInsensitiveComparator\"/><string>a</string></jobNames>\
        <recurse>false</recurse></hudson.model.ListView>";
    bench.server.put_view("mine", document, true)?;
    ensure!(matches!(
        bench.server.put_view("mine", document, true),
        Err(Refusal::Exists(_))
    ));
    ensure!(matches!(
        bench.server.put_view("no", document, false),
        Err(Refusal::Nothing(_))
    ));
    bench.server.set_in_view("mine", "b", true)?;
    bench.server.set_in_view("mine", "a", false)?;
    ensure!(matches!(
        bench.server.set_in_view("mine", "z", true),
        Err(Refusal::NoSuchJob(_))
    ));
    bench.restart(vec![job("a", "true"), job("b", "true")])?;
    let views = bench.server.views();
    ensure!(views[0].name == "all" && views[0].jobs == ["a", "b"]);
    ensure!(
        views[1].name == "mine" && views[1].jobs == ["b"],
        "{views:?}"
    );
    bench.server.delete_view("mine")?;
    ensure!(bench.server.delete_view("mine").is_err() && bench.server.delete_view("all").is_err());
    Ok(())
}

pub(crate) fn deliveries() -> Result {
    let triggers = Triggers {
        webhook: true,
        webhook_secret: Some("hook".to_owned()),
        ..Triggers::default()
    };
    let source = Source {
        url: "https://git.example/a.git".to_owned(),
        ..Source::default()
    };
    let hooked = Job {
        triggers,
        source: Some(source),
        ..job("a", "true")
    };
    let mut bench = Bench::new(vec![hooked.clone(), job("b", "true")])?;
    ensure!(
        bench.server.is_new_delivery("GitHub", "1") && !bench.server.is_new_delivery("GitHub", "1")
    );
    ensure!(bench.server.is_new_delivery("GitLab", "1"));
    bench.restart(vec![hooked, job("b", "true")])?;
    ensure!(!bench.server.is_new_delivery("GitHub", "1"));
    ensure!(bench.server.webhook_secret("a").is_none());
    fs::write(bench.home().join("secrets/hook"), "s3cret\n")?;
    ensure!(bench.server.webhook_secret("a") == Some(b"s3cret".to_vec()));
    ensure!(bench.server.webhook_secret("b").is_none());
    let push = |url: &str, job: Option<&str>| Push {
        by: "GitHub".to_owned(),
        urls: vec![url.to_owned()],
        branches: Vec::new(),
        job: job.map(str::to_owned),
    };
    ensure!(
        bench
            .server
            .pushed(&push("https://git.example/other", None))
            .is_empty()
    );
    ensure!(
        bench
            .server
            .pushed(&push("https://git.example/a.git", Some("b")))
            .is_empty()
    );
    ensure!(matches!(bench.server.poll("b"), Err(Refusal::Conflict(_))));
    Ok(())
}
