//! `ward build show`: all about a build.

use std::process::ExitCode;

use serde_json::{Value, json};
use ward_build::api::ProcessLine;
use ward_build::outcome::Outcome;

use super::answers::{self, Action, Build, OF_BUILD, build_path};
use super::list::build_json;
use super::where_to;
use super::words::{ago, moment, painted, plain, print, print_json, took};
use crate::args::ShowArgs;
use crate::failure::Failure;

/// Shows it.
pub(super) fn run(arguments: &ShowArgs) -> Result<ExitCode, Failure> {
    let server = where_to::server(&arguments.at)?;
    let tree = format!(
        "{OF_BUILD},url,keepLog,actions[causes[shortDescription],parameters[name,value],\
         lastBuiltRevision[SHA1,branch[name]],remoteUrls,failCount,skipCount,totalCount],\
         artifacts[relativePath],changeSet[items[commitId,msg,author[fullName]]]"
    );
    let build = answers::build(&server, &arguments.job, &arguments.build, &tree)?;
    let path = build_path(&arguments.job, &build.number.to_string());
    // Jenkins has no words for these; a build has one of them at a time, or none.
    let outcome: Option<Outcome> = server.get_json(&format!("{path}/ward/outcome")).ok();
    let processes: Option<Vec<ProcessLine>> = server
        .get_json(&format!("{path}/ward/processes"))
        .ok()
        .filter(|_| build.building);
    if arguments.json {
        let mut value = as_json(&arguments.job, &build);
        if let Some(fields) = value.as_object_mut() {
            fields.insert("outcome".into(), json!(outcome));
            fields.insert("processes".into(), json!(processes));
        }
        print_json(&value)?;
    } else {
        let mut text = as_text(&arguments.job, &build);
        text.push_str(&ending(outcome.as_ref()));
        for process in processes.unwrap_or_default() {
            let indent = usize::try_from(process.depth.min(40)).unwrap_or(0) * 2;
            text.push_str(&format!(
                "{:<12}{:indent$}{} {} ({}s old)\n",
                "process",
                "",
                process.pid,
                plain(&process.command),
                process.age
            ));
        }
        print(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// How it ended: what failed, who stopped it, and what each step left behind.
fn ending(outcome: Option<&Outcome>) -> String {
    let Some(outcome) = outcome else {
        return String::new();
    };
    let mut text = String::new();
    let mut row = |name: &str, value: &str| {
        text.push_str(&format!("{name:<12}{}\n", plain(value)));
    };
    if let Some(why) = &outcome.why {
        row("why", why);
    }
    if let Some(stop) = &outcome.stop {
        let forced = if stop.forced { ", by force" } else { "" };
        row(
            "stopped",
            &format!("{} by {}{forced}", moment(stop.at), stop.by),
        );
    }
    for step in &outcome.steps {
        let (title, word) = (&step.title, step.result.word());
        row("step", &format!("{title}: {word}"));
    }
    text
}

/// Everything that actions say, of those that say anything.
fn actions(build: &Build) -> impl Iterator<Item = &Action> {
    build.actions.iter().flatten()
}

fn as_json(job: &str, build: &Build) -> Value {
    let causes: Vec<&str> = actions(build)
        .flat_map(|action| &action.causes)
        .map(|cause| cause.short_description.as_str())
        .collect();
    let parameters: serde_json::Map<String, Value> = actions(build)
        .flat_map(|action| &action.parameters)
        .map(|parameter| (parameter.name.clone(), parameter.value.clone()))
        .collect();
    let revision = actions(build).find_map(|action| action.last_built_revision.as_ref());
    let tests = actions(build).find(|action| action.total_count.is_some());
    let changes = build.change_set.iter().flat_map(|changes| &changes.items);
    let changes: Vec<Value> = changes
        .map(|change| {
            json!({
                "commit": change.commit_id,
                "author": change.author.full_name,
                "title": change.msg,
            })
        })
        .collect();
    let mut value = build_json(build);
    if let Some(fields) = value.as_object_mut() {
        fields.insert("job".into(), json!(job));
        fields.insert("kept".into(), json!(build.keep_log));
        fields.insert("causes".into(), json!(causes));
        fields.insert("parameters".into(), Value::Object(parameters));
        fields.insert(
            "commit".into(),
            json!(revision.map(|revision| &revision.sha1)),
        );
        fields.insert(
            "tests".into(),
            json!(tests.map(|tests| {
                json!({
                    "total": tests.total_count,
                    "failed": tests.fail_count,
                    "skipped": tests.skip_count,
                })
            })),
        );
        fields.insert("changes".into(), json!(changes));
        let artifacts: Vec<&str> = build
            .artifacts
            .iter()
            .map(|artifact| artifact.relative_path.as_str())
            .collect();
        fields.insert("artifacts".into(), json!(artifacts));
    }
    value
}

fn as_text(job: &str, build: &Build) -> String {
    let mut text = String::new();
    let mut row = |name: &str, value: &str| {
        text.push_str(&format!("{name:<12}{value}\n"));
    };
    let name = build.display_name.clone();
    let name = name.filter(|name| *name != format!("#{}", build.number));
    let title = match name {
        Some(name) => format!("{} #{} ({})", plain(job), build.number, plain(&name)),
        None => format!("{} #{}", plain(job), build.number),
    };
    row("build", &title);
    row("result", &painted(build.word(), build.word()));
    row(
        "started",
        &format!("{} ({} ago)", moment(build.timestamp), ago(build.timestamp)),
    );
    if build.building {
        let estimate = u64::try_from(build.estimated_duration).ok();
        let of = estimate.map_or_else(String::new, |whole| format!(" of about {}", took(whole)));
        row("running", &format!("{}{of}", ago(build.timestamp)));
    } else {
        row("took", &took(build.duration));
    }
    if let Some(description) = build.description.as_deref().filter(|text| !text.is_empty()) {
        row("description", &plain(description));
    }
    for action in actions(build) {
        for cause in &action.causes {
            row("cause", &plain(&cause.short_description));
        }
        for parameter in &action.parameters {
            let value = match &parameter.value {
                Value::String(text) => text.clone(),
                Value::Null => "********".to_owned(),
                other => other.to_string(),
            };
            let pair = format!("{}={value}", parameter.name);
            row("parameter", &plain(&pair));
        }
        if let Some(revision) = &action.last_built_revision {
            let branch = revision.branch.first();
            let branch = branch.map_or_else(String::new, |branch| {
                // As Jenkins' API names it, and no person does.
                let name = branch.name.strip_prefix("refs/remotes/");
                format!(" of {}", name.unwrap_or(&branch.name))
            });
            row("commit", &plain(&format!("{}{branch}", revision.sha1)));
        }
        for url in &action.remote_urls {
            row("repository", &plain(url));
        }
        if let Some(total) = action.total_count {
            let failed = action.fail_count.unwrap_or(0);
            let skipped = action.skip_count.unwrap_or(0);
            row(
                "tests",
                &format!("{total}, {failed} failed, {skipped} skipped"),
            );
        }
    }
    for change in build.change_set.iter().flat_map(|changes| &changes.items) {
        let short: String = change.commit_id.chars().take(10).collect();
        let line = format!("{short} {} ({})", change.msg, change.author.full_name);
        row("change", &plain(&line));
    }
    for artifact in &build.artifacts {
        row("artifact", &plain(&artifact.relative_path));
    }
    if build.keep_log {
        row("kept", "for ever");
    }
    if let Some(url) = &build.url {
        row("page", &plain(url));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_told_is_shown() -> anyhow::Result<()> {
        let build: Build = serde_json::from_str(
            r##"{"number":17,"displayName":"#17","result":"UNSTABLE","timestamp":0,"duration":1500,
            "actions":[{},null,{"causes":[{"shortDescription":"Started by timer"}]},
              {"parameters":[{"name":"A","value":true},{"name":"P"}]},
              {"lastBuiltRevision":{"SHA1":"abc","branch":[{"SHA1":"abc","name":"origin/main"}]},"remoteUrls":["/r"]},
              {"failCount":1,"skipCount":0,"totalCount":3}],
            "artifacts":[{"fileName":"x","relativePath":"d/x"}],
            "changeSet":{"items":[{"commitId":"abcdef0123456","msg":"m\u001b[2J","author":{"fullName":"An"}}]}}"##,
        )?;
        let text = as_text("docs", &build);
        for line in [
            "build       docs #17\n",
            "result      UNSTABLE\n",
            "cause       Started by timer\n",
            "parameter   A=true\n",
            "parameter   P=********\n",
            "commit      abc of origin/main\n",
            "tests       3, 1 failed, 0 skipped\n",
            "change      abcdef0123 m?[2J (An)\n",
            "artifact    d/x\n",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        let value = as_json("docs", &build);
        assert_eq!(value["tests"]["failed"], 1);
        assert_eq!(value["artifacts"][0], "d/x");
        assert_eq!(value["result"], "UNSTABLE");
        Ok(())
    }
}
