//! Builds.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use ward_build::api::{BuildLine, BuildView, Which};
use ward_build::outcome::{Artifact, Change, Checkout};
use ward_build::plan::ParameterValue;
use ward_model::build::Cause;

use super::super::export::{Node, Sheet};
use super::super::world::{World, is_building, job_path};

/// A build of which as much is looked up as is wanted.
pub(in crate::jenkins) struct Build<'w> {
    world: &'w World,
    job: String,
    number: u32,
    line: OnceCell<Option<BuildLine>>,
    view: OnceCell<Option<Box<BuildView>>>,
}

impl<'w> Build<'w> {
    /// Of which a line is known.
    pub(in crate::jenkins) fn of_line(world: &'w World, line: BuildLine) -> Self {
        Self {
            world,
            job: line.job.clone(),
            number: line.number,
            line: OnceCell::from(Some(line)),
            view: OnceCell::new(),
        }
    }

    /// Of which the number is known.
    pub(in crate::jenkins) fn of_number(world: &'w World, job: &str, number: u32) -> Self {
        Self {
            world,
            job: job.to_owned(),
            number,
            line: OnceCell::new(),
            view: OnceCell::new(),
        }
    }

    /// Of which all is known.
    pub(in crate::jenkins) fn of_view(world: &'w World, view: BuildView) -> Self {
        Self {
            world,
            job: view.line.job.clone(),
            number: view.line.number,
            line: OnceCell::from(Some(view.line.clone())),
            view: OnceCell::from(Some(Box::new(view))),
        }
    }

    fn view(&self) -> Option<&BuildView> {
        self.view
            .get_or_init(|| {
                let which = Which::Number(self.number);
                let view = self.world.builds.build(&self.job, &which);
                view.ok().map(Box::new)
            })
            .as_deref()
    }

    fn line(&self) -> Option<&BuildLine> {
        self.line
            .get_or_init(|| self.view().map(|view| view.line.clone()))
            .as_ref()
    }
}

/// A build.
pub(in crate::jenkins) fn build(build: &Build<'_>, sheet: &mut Sheet<'_>) {
    let world = build.world;
    let (line, view) = (|| build.line(), || build.view());
    sheet.class("hudson.model.FreeStyleBuild");
    sheet.each(
        "actions",
        1,
        |_| view().map(actions).unwrap_or_default(),
        |action, sheet| action_of(&action, sheet),
    );
    sheet.each(
        "artifacts",
        1,
        |_| artifacts(view()),
        |artifact, sheet| {
            let file = artifact.path.rsplit('/').next().unwrap_or_default();
            sheet.put("displayPath", 3, || file);
            sheet.put("fileName", 3, || file);
            sheet.put("relativePath", 3, || artifact.path.as_str());
        },
    );
    let building = || view().is_some_and(is_building);
    sheet.put("building", 1, building);
    sheet.put("description", 1, || {
        let said = line().map(|line| line.description.clone());
        Node::text_or_null(said.filter(|said| !said.is_empty()))
    });
    sheet.put("displayName", 1, || display_name(build));
    sheet.put("duration", 1, || {
        Node::count(line().map_or(0, |line| line.duration))
    });
    sheet.put("estimatedDuration", 1, || {
        view()
            .and_then(|view| view.estimate)
            .map_or(Node::Whole(-1), Node::count)
    });
    sheet.nest_some(
        "executor",
        1,
        || view().filter(|view| is_building(view)),
        |view, sheet| {
            sheet.class("hudson.model.Executor");
            sheet.put("number", 2, || view.executor.map_or(Node::Null, Node::from));
        },
    );
    sheet.put("fullDisplayName", 1, || {
        format!("{} {}", build.job.replace('/', " » "), display_name(build))
    });
    sheet.put("id", 1, || build.number.to_string());
    sheet.put("inProgress", 1, building);
    sheet.put("keepLog", 1, || line().is_some_and(|line| line.keep));
    sheet.put("number", 999, || build.number);
    sheet.put("queueId", 1, || {
        view().map_or(Node::Null, |view| Node::count(view.queue_id))
    });
    sheet.put("result", 1, || {
        let result = line().and_then(|line| line.result);
        // A log that still grows has no last line yet, which clients read when they see a result.
        let result = result.filter(|_| !building());
        Node::text_or_null(result.map(|result| result.word()))
    });
    sheet.put("timestamp", 1, || line().map_or(0, |line| line.started_at));
    sheet.put("url", 999, || world.build_url(&build.job, build.number));
    sheet.put("builtOn", 1, || "");
    sheet.nest("changeSet", 1, |sheet| change_set(world, view(), sheet));
    sheet.each(
        "culprits",
        1,
        |_| {
            let changes = view().map(changes).unwrap_or_default();
            let names = changes.iter().map(|change| change.author.clone());
            names.collect::<BTreeSet<_>>()
        },
        |name, sheet| author(world, &name, sheet),
    );
    let beside = |sheet: &mut Sheet<'_>, name, number: &dyn Fn() -> Option<u32>| {
        sheet.nest_some(name, 1, number, |number, sheet| {
            self::build(&Build::of_number(world, &build.job, number), sheet);
        });
    };
    beside(sheet, "nextBuild", &|| view()?.next);
    beside(sheet, "previousBuild", &|| view()?.previous);
}

fn display_name(build: &Build<'_>) -> String {
    build.line().map_or_else(
        || format!("#{}", build.number),
        |line| line.display_name.clone(),
    )
}

fn artifacts(view: Option<&BuildView>) -> Vec<&Artifact> {
    let outcome = view.and_then(|view| view.outcome.as_ref());
    outcome
        .map(|outcome| outcome.artifacts.iter().collect())
        .unwrap_or_default()
}

fn changes(view: &BuildView) -> &[Change] {
    view.checkout
        .as_ref()
        .map_or(&[], |checkout| checkout.changes.as_slice())
}

/// What clients look for among the "actions" of a build.
enum Action<'a> {
    Causes(&'a [Cause]),
    Parameters(&'a [ParameterValue]),
    Source(&'a Checkout, u32),
    Tests(u32, u32, u32),
}

fn actions(view: &BuildView) -> Vec<Action<'_>> {
    let mut actions = vec![Action::Causes(&view.causes)];
    if !view.parameters.is_empty() {
        actions.push(Action::Parameters(&view.parameters));
    }
    if let Some(checkout) = &view.checkout {
        actions.push(Action::Source(checkout, view.line.number));
    }
    if let Some(tests) = view.line.tests {
        let total = tests
            .passed
            .saturating_add(tests.failed)
            .saturating_add(tests.skipped);
        actions.push(Action::Tests(tests.failed, tests.skipped, total));
    }
    actions
}

fn action_of(action: &Action<'_>, sheet: &mut Sheet<'_>) {
    match action {
        Action::Causes(causes) => {
            sheet.class("hudson.model.CauseAction");
            sheet.each(
                "causes",
                999,
                |_| causes.iter(),
                |cause, sheet| cause_of(cause, sheet),
            );
        }
        Action::Parameters(values) => {
            sheet.class("hudson.model.ParametersAction");
            parameters(values, sheet);
        }
        Action::Source(checkout, number) => {
            sheet.class("hudson.plugins.git.util.BuildData");
            sheet.nest("lastBuiltRevision", 999, |sheet| revision(checkout, sheet));
            sheet.put("remoteUrls", 999, || {
                Node::List(vec![checkout.url.as_str().into()])
            });
            sheet.put("scmName", 999, || "");
            sheet.put("buildNumber", 999, || *number);
        }
        Action::Tests(failed, skipped, total) => {
            sheet.class("hudson.tasks.junit.TestResultAction");
            sheet.put("failCount", 999, || *failed);
            sheet.put("skipCount", 999, || *skipped);
            sheet.put("totalCount", 999, || *total);
            sheet.put("urlName", 999, || "testReport");
        }
    }
}

fn revision(checkout: &Checkout, sheet: &mut Sheet<'_>) {
    sheet.put("SHA1", 999, || checkout.revision.as_str());
    sheet.each(
        "branch",
        999,
        |_| [()],
        |(), sheet| {
            sheet.put("SHA1", 999, || checkout.revision.as_str());
            sheet.put("name", 999, || {
                if checkout.branch.starts_with("origin/") {
                    format!("refs/remotes/{}", checkout.branch)
                } else {
                    checkout.branch.clone()
                }
            });
        },
    );
}

/// Why a build was started.
pub(in crate::jenkins) fn cause_of(cause: &Cause, sheet: &mut Sheet<'_>) {
    sheet.class(cause.class());
    sheet.put("shortDescription", 999, || cause.describe());
    match cause {
        Cause::User { user } | Cause::Local { user } => {
            sheet.put("userId", 999, || user.as_str());
            sheet.put("userName", 999, || user.as_str());
        }
        Cause::Remote { host, note } => {
            sheet.put("addr", 999, || host.as_str());
            sheet.put("note", 999, || {
                Node::text_or_null(Some(note).filter(|note| !note.is_empty()))
            });
        }
        Cause::Timer | Cause::Scm { .. } => {}
        Cause::Upstream { job, number, .. } => {
            sheet.put("upstreamBuild", 999, || *number);
            sheet.put("upstreamProject", 999, || job.as_str());
            sheet.put("upstreamUrl", 999, || job_path(job));
        }
    }
}

/// What was given; what is secret has a name alone.
pub(in crate::jenkins) fn parameters(values: &[ParameterValue], sheet: &mut Sheet<'_>) {
    sheet.each(
        "parameters",
        999,
        |_| values.iter(),
        |value, sheet| {
            sheet.class(if value.secret {
                "hudson.model.PasswordParameterValue"
            } else {
                "hudson.model.StringParameterValue"
            });
            sheet.put("name", 999, || value.name.as_str());
            if !value.secret {
                sheet.put("value", 999, || value.value.as_str());
            }
        },
    );
}

fn change_set(world: &World, view: Option<&BuildView>, sheet: &mut Sheet<'_>) {
    let has_source = view.is_some_and(|view| view.checkout.is_some());
    sheet.class(if has_source {
        "hudson.plugins.git.GitChangeSetList"
    } else {
        "hudson.scm.EmptyChangeLogSet"
    });
    sheet.each(
        "items",
        999,
        |_| view.map(changes).unwrap_or_default(),
        |change, sheet| one_change(world, change, sheet),
    );
    sheet.put("kind", 999, || {
        Node::text_or_null(has_source.then_some("git"))
    });
}

fn one_change(world: &World, change: &Change, sheet: &mut Sheet<'_>) {
    sheet.class("hudson.plugins.git.GitChangeSet");
    sheet.put("affectedPaths", 999, || {
        let paths = change.paths.iter().map(|(_, path)| path.as_str().into());
        Node::List(paths.collect())
    });
    sheet.put("commitId", 999, || change.revision.as_str());
    sheet.put("timestamp", 999, || change.at.saturating_mul(1000));
    sheet.nest("author", 999, |sheet| author(world, &change.author, sheet));
    sheet.put("authorEmail", 999, || change.author_email.as_str());
    sheet.put("comment", 999, || change.message.as_str());
    sheet.put("date", 999, || date(change.at));
    sheet.put("id", 999, || change.revision.as_str());
    sheet.put("msg", 999, || change.title.as_str());
    sheet.each(
        "paths",
        999,
        |_| change.paths.iter(),
        |(edit, path), sheet| {
            sheet.put("editType", 999, || edit.as_str());
            sheet.put("file", 999, || path.as_str());
        },
    );
}

/// A moment in UTC, as `2026-05-01 12:00:00 +0000`.
fn date(seconds: i64) -> String {
    // Proleptic Gregorian calendar from days, with years that begin in March.
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days.saturating_add(719_468);
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = year + era * 400 + later;
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!(
        "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{:02} +0000",
        second % 60
    )
}

fn author(world: &World, name: &str, sheet: &mut Sheet<'_>) {
    sheet.put("absoluteUrl", 999, || {
        format!("{}user/{}", world.root, crate::http::encode(name))
    });
    sheet.put("fullName", 999, || name);
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn dates() {
        assert_eq!(date(0), "1970-01-01 00:00:00 +0000");
        assert_eq!(date(951_827_696), "2000-02-29 12:34:56 +0000");
        assert_eq!(date(1_767_225_599), "2025-12-31 23:59:59 +0000");
        assert_eq!(date(-1), "1969-12-31 23:59:59 +0000");
        let _ = date(i64::MAX);
        let _ = date(i64::MIN);
    }
}
