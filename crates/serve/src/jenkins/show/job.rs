//! Jobs and folders.

use std::cell::OnceCell;

use ward_build::api::{BuildLine, JobLine, JobView};
use ward_build::job::{Parameter, ParameterKind};
use ward_model::build::BuildResult;

use super::super::export::{Node, Sheet};
use super::super::world::{World, base_name};
use super::build::{Build, build};
use super::queue::queue_item_of;
use super::server::{Contents, below};

/// How many builds are shown without being asked for by `allBuilds`.
const NEWEST: usize = 100;

/// Something that is in a folder.
pub(in crate::jenkins) enum Listed {
    /// A job.
    Job(Box<JobLine>),
    /// A folder and all that is below it.
    Folder(String, Contents),
}

/// Something in a list.
pub(in crate::jenkins) fn listed(world: &World, item: &Listed, sheet: &mut Sheet<'_>) {
    match item {
        Listed::Job(line) => job_line(world, line, &OnceCell::new(), sheet),
        Listed::Folder(name, within) => folder(world, name, || within.clone(), sheet),
    }
}

/// A folder. It has no colour: that is how clients tell it from a job.
pub(in crate::jenkins) fn folder(
    world: &World,
    name: &str,
    within: impl FnOnce() -> Contents,
    sheet: &mut Sheet<'_>,
) {
    sheet.class("com.cloudbees.hudson.plugins.folder.Folder");
    sheet.each("actions", 1, |_| None::<()>, |(), _| {});
    sheet.put("description", 1, || "");
    sheet.put("displayName", 1, || base_name(name));
    sheet.put("fullDisplayName", 1, || name.replace('/', " » "));
    sheet.put("fullName", 1, || name);
    sheet.put("name", 999, || base_name(name));
    sheet.put("url", 999, || world.job_url(name));
    sheet.each(
        "jobs",
        1,
        |_| below(within(), name),
        |item, sheet| listed(world, &item, sheet),
    );
}

/// A job.
pub(in crate::jenkins) fn job(world: &World, view: JobView, sheet: &mut Sheet<'_>) {
    let line = view.line.clone();
    job_line(world, &line, &OnceCell::from(Some(view)), sheet);
}

/// A job of which a line is known; all of it is asked for when it is wanted.
fn job_line(
    world: &World,
    line: &JobLine,
    known: &OnceCell<Option<JobView>>,
    sheet: &mut Sheet<'_>,
) {
    let name = line.name.as_str();
    // It may have gone in between: then it has nothing of that.
    let view = || known.get_or_init(|| world.builds.job(name).ok()).as_ref();
    sheet.class("hudson.model.FreeStyleProject");
    let parameters = |sheet: &mut Sheet<'_>, visibility| {
        sheet.each(
            if visibility == 1 {
                "actions"
            } else {
                "property"
            },
            1,
            |_| view().filter(|view| !view.parameters.is_empty()),
            |view, sheet| definitions(&view.parameters, sheet),
        );
    };
    parameters(sheet, 1);
    sheet.put("description", 1, || line.description.as_str());
    sheet.put("displayName", 1, || display_name(line));
    sheet.put("displayNameOrNull", 1, || {
        Node::text_or_null(Some(&line.display_name).filter(|shown| *shown != base_name(name)))
    });
    sheet.put("fullDisplayName", 1, || name.replace('/', " » "));
    sheet.put("fullName", 1, || name);
    sheet.put("name", 999, || base_name(name));
    sheet.put("url", 999, || world.job_url(name));
    sheet.put("buildable", 1, || {
        !line.disabled && view().is_some_and(|view| view.not_buildable.is_none())
    });
    sheet.each(
        "builds",
        1,
        |range| newest(world, name, range.to.min(NEWEST)),
        |line, sheet| build(&Build::of_line(world, line), sheet),
    );
    sheet.each(
        "allBuilds",
        -2,
        |range| newest(world, name, range.to),
        |line, sheet| build(&Build::of_line(world, line), sheet),
    );
    sheet.put("color", 2, || colour(line));
    let lasts = || view().map(|view| view.lasts).unwrap_or_default();
    let one = |sheet: &mut Sheet<'_>, field, number: &dyn Fn() -> Option<u32>| {
        sheet.nest_some(field, 1, number, |number, sheet| {
            build(&Build::of_number(world, name, number), sheet);
        });
    };
    one(sheet, "firstBuild", &|| lasts().first);
    sheet.each(
        "healthReport",
        1,
        |_| health(&line.trend),
        |(score, text), sheet| {
            sheet.put("description", 2, || text.as_str());
            sheet.put("iconClassName", 2, || icon(score));
            sheet.put("iconUrl", 2, || format!("{}.png", icon(score)));
            sheet.put("score", 2, || score);
        },
    );
    sheet.put("inQueue", 1, || line.waiting > 0);
    sheet.put("keepDependencies", 1, || false);
    one(sheet, "lastBuild", &|| {
        line.last.as_ref().map(|last| last.number)
    });
    one(sheet, "lastCompletedBuild", &|| {
        line.last_completed.as_ref().map(|last| last.number)
    });
    one(sheet, "lastFailedBuild", &|| line.last_failed);
    one(sheet, "lastStableBuild", &|| lasts().stable);
    one(sheet, "lastSuccessfulBuild", &|| line.last_successful);
    one(sheet, "lastUnstableBuild", &|| lasts().unstable);
    one(sheet, "lastUnsuccessfulBuild", &|| lasts().unsuccessful);
    sheet.put("nextBuildNumber", 1, || {
        view().map_or(Node::Null, |view| view.next_number.into())
    });
    parameters(sheet, 2);
    sheet.nest_some(
        "queueItem",
        1,
        || view()?.queue.first(),
        |item, sheet| queue_item_of(world, item, sheet),
    );
    sheet.put("concurrentBuild", 1, || {
        view().is_some_and(|view| view.job.concurrent != 1)
    });
    sheet.put("disabled", 1, || line.disabled);
    let others = |sheet: &mut Sheet<'_>, field, names: &dyn Fn() -> Vec<String>| {
        sheet.each(
            field,
            1,
            |_| names(),
            |other, sheet| {
                sheet.class("hudson.model.FreeStyleProject");
                sheet.put("name", 999, || base_name(&other));
                sheet.put("url", 999, || world.job_url(&other));
                sheet.put("color", 2, || {
                    world
                        .builds
                        .job(&other)
                        .map_or(Node::Null, |view| colour(&view.line).into())
                });
            },
        );
    };
    others(sheet, "downstreamProjects", &|| {
        view()
            .map(|view| view.downstream.clone())
            .unwrap_or_default()
    });
    sheet.put("labelExpression", 1, || {
        Node::text_or_null(view().and_then(|view| view.job.label.clone()))
    });
    sheet.nest("scm", 1, |sheet| {
        let has_source = view().is_some_and(|view| view.job.source.is_some());
        sheet.class(if has_source {
            "hudson.plugins.git.GitSCM"
        } else {
            "hudson.scm.NullSCM"
        });
    });
    others(sheet, "upstreamProjects", &|| {
        view().map(|view| view.upstream.clone()).unwrap_or_default()
    });
}

fn newest(world: &World, job: &str, count: usize) -> Vec<BuildLine> {
    // There may be very many of them, and nobody can read more.
    let count = count.min(100_000);
    world.builds.builds(job, None, count).unwrap_or_default()
}

fn display_name(line: &JobLine) -> &str {
    if line.display_name.is_empty() {
        base_name(&line.name)
    } else {
        &line.display_name
    }
}

/// The ball's colour: of the last build that is over, with an addition while one runs.
pub(in crate::jenkins) fn colour(line: &JobLine) -> String {
    let result = line.last_completed.as_ref().and_then(|last| last.result);
    let base = if line.disabled {
        "disabled"
    } else {
        result.map_or("notbuilt", BuildResult::colour)
    };
    let running = if line.running > 0 { "_anime" } else { "" };
    format!("{base}{running}")
}

/// How many of the last five did not fail.
fn health(trend: &[(u32, BuildResult)]) -> Option<(u32, String)> {
    let last: Vec<&BuildResult> = trend
        .iter()
        .map(|(_, result)| result)
        .filter(|result| **result != BuildResult::Aborted && **result != BuildResult::NotBuilt)
        .take(5)
        .collect();
    let count = u32::try_from(last.len()).unwrap_or(u32::MAX);
    let failed = last
        .iter()
        .filter(|result| ***result == BuildResult::Failure);
    let failed = u32::try_from(failed.count()).unwrap_or(count);
    let score = (100 * count.saturating_sub(failed)).checked_div(count)?;
    let text = match failed {
        0 => "Build stability: No recent builds failed.".to_owned(),
        all if all == count => "Build stability: All recent builds failed.".to_owned(),
        some => format!("Build stability: {some} out of the last {count} builds failed."),
    };
    Some((score, text))
}

fn icon(score: u32) -> &'static str {
    match score {
        0..=20 => "icon-health-00to19",
        21..=40 => "icon-health-20to39",
        41..=60 => "icon-health-40to59",
        61..=80 => "icon-health-60to79",
        _ => "icon-health-80plus",
    }
}

fn definitions(parameters: &[Parameter], sheet: &mut Sheet<'_>) {
    sheet.class("hudson.model.ParametersDefinitionProperty");
    sheet.each(
        "parameterDefinitions",
        2,
        |_| parameters,
        |parameter, sheet| definition(parameter, sheet),
    );
}

fn definition(parameter: &Parameter, sheet: &mut Sheet<'_>) {
    let (class, value_class, kind, default) = match &parameter.kind {
        ParameterKind::Text { default, .. } => (
            "hudson.model.StringParameterDefinition",
            "hudson.model.StringParameterValue",
            "StringParameterDefinition",
            Some(Node::from(default.as_str())),
        ),
        ParameterKind::Lines { default } => (
            "hudson.model.TextParameterDefinition",
            "hudson.model.TextParameterValue",
            "TextParameterDefinition",
            Some(Node::from(default.as_str())),
        ),
        ParameterKind::Boolean { default } => (
            "hudson.model.BooleanParameterDefinition",
            "hudson.model.BooleanParameterValue",
            "BooleanParameterDefinition",
            Some(Node::from(*default)),
        ),
        ParameterKind::Choice { choices } => (
            "hudson.model.ChoiceParameterDefinition",
            "hudson.model.StringParameterValue",
            "ChoiceParameterDefinition",
            choices.first().map(|choice| Node::from(choice.as_str())),
        ),
        ParameterKind::Password { .. } => (
            "hudson.model.PasswordParameterDefinition",
            "hudson.model.PasswordParameterValue",
            "PasswordParameterDefinition",
            None,
        ),
    };
    sheet.class(class);
    sheet.nest("defaultParameterValue", 3, |sheet| {
        sheet.class(value_class);
        sheet.put("name", 4, || parameter.name.as_str());
        if let Some(default) = default {
            sheet.put("value", 4, || default);
        }
    });
    sheet.put("description", 3, || parameter.description.as_str());
    sheet.put("name", 3, || parameter.name.as_str());
    sheet.put("type", 3, || kind);
    if let ParameterKind::Choice { choices } = &parameter.kind {
        sheet.put("choices", 3, || {
            Node::List(
                choices
                    .iter()
                    .map(|choice| choice.as_str().into())
                    .collect(),
            )
        });
    }
}
