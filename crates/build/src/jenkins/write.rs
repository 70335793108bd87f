//! From a job to a document.
//!
//! What Jenkins has an element for is written as Jenkins does; the rest as elements of ward's own, whose names begin with
//! `ward.`: Jenkins passes over them. As whom the steps run, and commands that the server runs, are left out: only the
//! configuration file says them, and a copy of the job must not.

use std::time::Duration;

use ward_config::job::{
    Artifacts, Clean, Downstream, Job, Junit, Keep, Parameter, ParameterKind, Step, UNLIMITED,
};
use ward_model::build::BuildResult;

use super::xml::Writer;

mod source;

/// The job as Jenkins' clients read it.
#[must_use]
pub fn write(job: &Job) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.within("project", "", |writer| {
        writer.leaf("actions", "");
        writer.leaf("description", &job.description);
        if let Some(name) = &job.display_name {
            writer.leaf("displayName", name);
        }
        writer.flag("keepDependencies", false);
        writer.within("properties", "", |writer| properties(writer, job));
        source::write(writer, job);
        if let Some(seconds) = job.quiet_period.and_then(|time| whole(time, 1)) {
            writer.number("quietPeriod", seconds);
        }
        if let Some(label) = &job.label {
            writer.leaf("assignedNode", label);
        }
        writer.flag("canRoam", job.label.is_none());
        writer.flag("disabled", job.disabled);
        writer.flag(
            "blockBuildWhenDownstreamBuilding",
            job.blocked_by_downstream,
        );
        writer.flag("blockBuildWhenUpstreamBuilding", job.blocked_by_upstream);
        if let Some(token) = &job.token {
            writer.leaf("authToken", token);
        }
        writer.within("triggers", " class=\"vector\"", |writer| {
            triggers(writer, job);
        });
        writer.flag("concurrentBuild", job.concurrent > 1);
        if let Some(workspace) = &job.workspace {
            writer.leaf("customWorkspace", workspace);
        }
        writer.within("builders", "", |writer| {
            for step in &job.steps {
                shell(writer, step);
            }
        });
        writer.within("publishers", "", |writer| publishers(writer, job));
        writer.within("buildWrappers", "", |writer| wrappers(writer, job));
    });
    writer.finish()
}

/// A time in whole `unit`s of seconds, if it is at least one of them, and so many of them exactly.
fn whole(time: Duration, unit: u64) -> Option<u32> {
    let seconds = time.as_secs();
    let is_whole = time.subsec_nanos() == 0 && seconds.is_multiple_of(unit) && seconds > 0;
    is_whole
        .then(|| u32::try_from(seconds / unit).ok())
        .flatten()
}

fn shell(writer: &mut Writer, step: &Step) {
    let usual = Step::default();
    writer.within("hudson.tasks.Shell", "", |writer| {
        writer.leaf("command", &step.script);
        if let Some(status) = step.unstable_status {
            writer.number("unstableReturn", status);
        }
        for (tag, text) in [("ward.name", &step.name), ("ward.shell", &step.shell)] {
            if let Some(text) = text {
                writer.leaf(tag, text);
            }
        }
        if step.prelude != usual.prelude {
            writer.flag("ward.prelude", step.prelude);
        }
        if step.always != usual.always {
            writer.flag("ward.always", step.always);
        }
    });
}

fn properties(writer: &mut Writer, job: &Job) {
    if job.keep != Keep::default() {
        writer.within("jenkins.model.BuildDiscarderProperty", "", |writer| {
            writer.within("strategy", " class=\"hudson.tasks.LogRotator\"", |writer| {
                for (tag, count) in [
                    ("daysToKeep", job.keep.days),
                    ("numToKeep", job.keep.builds),
                    ("artifactDaysToKeep", job.keep.artifact_days),
                    ("artifactNumToKeep", job.keep.artifact_builds),
                ] {
                    writer.number(tag, count.map_or(-1, i64::from));
                }
            });
        });
    }
    if job.concurrent > 1 && job.concurrent != UNLIMITED {
        writer.within(
            "hudson.plugins.throttleconcurrents.ThrottleJobProperty",
            "",
            |writer| {
                writer.number("maxConcurrentPerNode", 0);
                writer.number("maxConcurrentTotal", job.concurrent);
                writer.leaf("categories", "");
                writer.flag("throttleEnabled", true);
                writer.leaf("throttleOption", "project");
            },
        );
    }
    if !job.parameters.is_empty() {
        writer.within("hudson.model.ParametersDefinitionProperty", "", |writer| {
            writer.within("parameterDefinitions", "", |writer| {
                for one in &job.parameters {
                    parameter(writer, one);
                }
            });
        });
    }
    ours(writer, job);
}

fn parameter(writer: &mut Writer, parameter: &Parameter) {
    let tag = match parameter.kind {
        ParameterKind::Text { .. } => "hudson.model.StringParameterDefinition",
        ParameterKind::Lines { .. } => "hudson.model.TextParameterDefinition",
        ParameterKind::Boolean { .. } => "hudson.model.BooleanParameterDefinition",
        ParameterKind::Choice { .. } => "hudson.model.ChoiceParameterDefinition",
        ParameterKind::Password { .. } => "hudson.model.PasswordParameterDefinition",
    };
    writer.within(tag, "", |writer| {
        writer.leaf("name", &parameter.name);
        writer.leaf("description", &parameter.description);
        match &parameter.kind {
            ParameterKind::Text { default, trim } => {
                writer.leaf("defaultValue", default);
                writer.flag("trim", *trim);
            }
            ParameterKind::Lines { default } | ParameterKind::Password { default } => {
                writer.leaf("defaultValue", default);
            }
            ParameterKind::Boolean { default } => writer.flag("defaultValue", *default),
            ParameterKind::Choice { choices } => {
                writer.within(
                    "choices",
                    " class=\"java.util.Arrays$ArrayList\"",
                    |writer| {
                        writer.within("a", " class=\"string-array\"", |writer| {
                            for choice in choices {
                                writer.leaf("string", choice);
                            }
                        });
                    },
                );
            }
        }
    });
}

/// What Jenkins has no element for.
fn ours(writer: &mut Writer, job: &Job) {
    let usual = Job::default();
    let rare = |time: Option<Duration>, unit| time.filter(|time| whole(*time, unit).is_none());
    let times = [
        ("grace", Some(job.grace).filter(|time| *time != usual.grace)),
        (
            "leftoverGrace",
            Some(job.leftover_grace).filter(|time| *time != usual.leftover_grace),
        ),
        ("timeout", rare(job.timeout, 60)),
        ("idleTimeout", rare(job.idle_timeout, 1)),
        ("quietPeriod", rare(job.quiet_period, 1)),
    ];
    let has_mail = !job.notify.mail.is_empty();
    let flags = [
        ("culprits", job.notify.mail_culprits && !has_mail),
        (
            "firstUnstableOnly",
            job.notify.mail_first_unstable_only && !has_mail,
        ),
    ];
    let says_more = times.iter().any(|(_, time)| time.is_some())
        || flags.iter().any(|(_, flag)| *flag)
        || job.spare != usual.spare
        || job.from_repository.is_some()
        || job.triggers.webhook_secret.is_some()
        || !job.environment.is_empty()
        || !job.notify.webhooks.is_empty();
    if !says_more {
        return;
    }
    writer.within("ward.JobProperty", "", |writer| {
        for (tag, time) in times {
            if let Some(time) = time {
                writer.number(tag, time.as_millis());
            }
        }
        if job.spare != usual.spare {
            writer.flag("spare", job.spare);
        }
        let texts = [
            ("fromRepository", &job.from_repository),
            ("webhookSecret", &job.triggers.webhook_secret),
        ];
        for (tag, text) in texts {
            if let Some(text) = text {
                writer.leaf(tag, text);
            }
        }
        if !job.environment.is_empty() {
            writer.within("environment", "", |writer| {
                for (name, value) in &job.environment {
                    writer.within("variable", "", |writer| {
                        writer.leaf("name", name);
                        writer.leaf("value", value);
                    });
                }
            });
        }
        for url in &job.notify.webhooks {
            writer.leaf("webhook", url);
        }
        for (tag, flag) in flags {
            if flag {
                writer.flag(tag, true);
            }
        }
    });
}

fn triggers(writer: &mut Writer, job: &Job) {
    let triggers = &job.triggers;
    if let Some(times) = &triggers.timer {
        writer.within("hudson.triggers.TimerTrigger", "", |writer| {
            writer.leaf("spec", times);
        });
    }
    let ignores = triggers.ignores_notify;
    if let Some(times) = &triggers.poll {
        writer.within("hudson.triggers.SCMTrigger", "", |writer| {
            writer.leaf("spec", times);
            writer.flag("ignorePostCommitHooks", ignores);
        });
    }
    for (threshold, jobs) in by_threshold(&triggers.upstream) {
        writer.within("jenkins.triggers.ReverseBuildTrigger", "", |writer| {
            writer.leaf("spec", "");
            writer.leaf("upstreamProjects", &jobs);
            self::threshold(writer, threshold);
        });
    }
    if triggers.webhook {
        writer.within("com.cloudbees.jenkins.GitHubPushTrigger", "", |writer| {
            writer.leaf("spec", "");
        });
    }
}

/// Jobs that follow each other with the same threshold, in one text.
fn by_threshold(jobs: &[Downstream]) -> Vec<(BuildResult, String)> {
    let same = |a: &Downstream, b: &Downstream| a.threshold == b.threshold;
    let names = |run: &[Downstream]| {
        let names: Vec<&str> = run.iter().map(|it| it.job.as_str()).collect();
        names.join(", ")
    };
    jobs.chunk_by(same)
        .filter_map(|run| Some((run.first()?.threshold, names(run))))
        .collect()
}

fn threshold(writer: &mut Writer, threshold: BuildResult) {
    let (ordinal, colour) = match threshold {
        BuildResult::Success => (0, "BLUE"),
        BuildResult::Unstable => (1, "YELLOW"),
        BuildResult::Failure => (2, "RED"),
        BuildResult::NotBuilt => (3, "NOTBUILT"),
        BuildResult::Aborted => (4, "ABORTED"),
    };
    writer.within("threshold", "", |writer| {
        writer.leaf("name", threshold.word());
        writer.number("ordinal", ordinal);
        writer.leaf("color", colour);
        writer.flag("completeBuild", true);
    });
}

fn publishers(writer: &mut Writer, job: &Job) {
    for one in &job.artifacts {
        artifacts(writer, one);
    }
    for one in &job.junit {
        junit(writer, one);
    }
    for (threshold, jobs) in by_threshold(&job.downstream) {
        writer.within("hudson.tasks.BuildTrigger", "", |writer| {
            writer.leaf("childProjects", &jobs);
            self::threshold(writer, threshold);
        });
    }
    if !job.notify.mail.is_empty() {
        writer.within("hudson.tasks.Mailer", "", |writer| {
            writer.leaf("recipients", &job.notify.mail.join(" "));
            writer.flag(
                "dontNotifyEveryUnstableBuild",
                job.notify.mail_first_unstable_only,
            );
            writer.flag("sendToIndividuals", job.notify.mail_culprits);
        });
    }
}

fn artifacts(writer: &mut Writer, artifacts: &Artifacts) {
    writer.within("hudson.tasks.ArtifactArchiver", "", |writer| {
        writer.leaf("artifacts", &artifacts.include.join(", "));
        if !artifacts.exclude.is_empty() {
            writer.leaf("excludes", &artifacts.exclude.join(", "));
        }
        writer.flag("allowEmptyArchive", artifacts.allow_empty);
        writer.flag("onlyIfSuccessful", artifacts.only_if_successful);
        writer.flag("fingerprint", false);
        writer.flag("defaultExcludes", artifacts.default_excludes);
        writer.flag("caseSensitive", artifacts.case_sensitive);
        writer.flag("followSymlinks", artifacts.follow_symlinks);
    });
}

fn junit(writer: &mut Writer, junit: &Junit) {
    writer.within("hudson.tasks.junit.JUnitResultArchiver", "", |writer| {
        writer.leaf("testResults", &junit.include.join(", "));
        writer.flag("keepLongStdio", junit.keep_long_output);
        writer.flag("allowEmptyResults", junit.allow_empty);
        writer.flag("skipOldReports", junit.skip_old);
    });
}

fn wrappers(writer: &mut Writer, job: &Job) {
    let is_usual = job.timeout_result == Job::default().timeout_result;
    let minutes = job.timeout.and_then(|time| whole(time, 60));
    let idle = job.idle_timeout.and_then(|time| whole(time, 1));
    let limits = [
        minutes.map(|count| ("Absolute", "timeoutMinutes", count)),
        idle.map(|count| ("NoActivity", "timeoutSecondsString", count)),
    ];
    for limit in limits {
        // What becomes of a build is said even if the limit itself is not said here.
        if limit.is_none() && (is_usual || minutes.is_some() || idle.is_some()) {
            continue;
        }
        writer.within(
            "hudson.plugins.build__timeout.BuildTimeoutWrapper",
            "",
            |writer| {
                if let Some((kind, tag, count)) = limit {
                    let class = format!(
                        " class=\"hudson.plugins.build_timeout.impl.{kind}TimeOutStrategy\""
                    );
                    writer.within("strategy", &class, |writer| writer.number(tag, count));
                }
                writer.within("operationList", "", |writer| {
                    writer.leaf(
                        if is_usual {
                            "hudson.plugins.build__timeout.operations.AbortOperation"
                        } else {
                            "hudson.plugins.build__timeout.operations.FailOperation"
                        },
                        "",
                    );
                });
            },
        );
    }
    // With a repository it is one of its options.
    if job.clean == Clean::Wipe && job.source.is_none() {
        writer.leaf("hudson.plugins.ws__cleanup.PreBuildCleanup", "");
    }
    if let Some(name) = &job.build_name {
        writer.within(
            "org.jenkinsci.plugins.buildnamesetter.BuildNameSetter",
            "",
            |writer| {
                writer.leaf("template", name);
                writer.flag("runAtStart", true);
                writer.flag("runAtEnd", true);
            },
        );
    }
    if !job.secrets.is_empty() {
        writer.within(
            "org.jenkinsci.plugins.credentialsbinding.impl.SecretBuildWrapper",
            "",
            |writer| {
                writer.within("bindings", "", |writer| {
                    for secret in &job.secrets {
                        let tag = if secret.as_file {
                            "org.jenkinsci.plugins.credentialsbinding.impl.FileBinding"
                        } else {
                            "org.jenkinsci.plugins.credentialsbinding.impl.StringBinding"
                        };
                        writer.within(tag, "", |writer| {
                            writer.leaf("credentialsId", &secret.secret);
                            writer.leaf("variable", &secret.variable);
                        });
                    }
                });
            },
        );
    }
    if !job.locks.is_empty() {
        writer.within(
            "org.jvnet.hudson.plugins.exclusion.IdAllocator",
            "",
            |writer| {
                writer.within("ids", "", |writer| {
                    for lock in &job.locks {
                        writer.within(
                            "org.jvnet.hudson.plugins.exclusion.DefaultIdType",
                            "",
                            |writer| {
                                writer.leaf("name", lock);
                            },
                        );
                    }
                });
            },
        );
    }
}
