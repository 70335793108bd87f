//! `<triggers>`: what starts the job.

use ward_config::job::{Downstream, check_name};
use ward_model::build::BuildResult;

use super::{Done, Map, full, list};
use crate::jenkins::document::Element;
use crate::jenkins::refusal::BadDocument;

impl Map {
    pub(super) fn triggers(&mut self, element: &Element) -> Done {
        self.within(element, |map, trigger| {
            match trigger.name().as_str() {
                "hudson.triggers.TimerTrigger" => map.within(trigger, |map, part| {
                    match part.name().as_str() {
                        "spec" => map.job.triggers.timer = full(part),
                        _ => map.option(part, false),
                    }
                    Ok(())
                })?,
                "hudson.triggers.SCMTrigger" => {
                    // Without times it waits to be told.
                    map.job.triggers.poll.get_or_insert_default();
                    map.within(trigger, |map, part| {
                        match part.name().as_str() {
                            "spec" => {
                                map.job.triggers.poll = Some(part.word().to_owned());
                            }
                            "ignorePostCommitHooks" => {
                                map.job.triggers.ignores_notify |= map.flag(part)?;
                            }
                            _ => map.option(part, false),
                        }
                        Ok(())
                    })?;
                }
                "jenkins.triggers.ReverseBuildTrigger" => map.reverse(trigger)?,
                // Whatever else they say: what a forge tells is that there may be something new.
                "com.cloudbees.jenkins.GitHubPushTrigger"
                | "com.dabsquared.gitlabjenkins.GitLabPushTrigger" => {
                    map.job.triggers.webhook = true;
                }
                _ => map.thing(trigger, false),
            }
            Ok(())
        })
    }

    fn reverse(&mut self, trigger: &Element) -> Done {
        let mut jobs = Vec::new();
        let mut threshold = BuildResult::Success;
        self.within(trigger, |map, part| {
            match part.name().as_str() {
                "upstreamProjects" => jobs = map.names(part)?,
                "threshold" => threshold = map.threshold(part)?,
                "spec" => {}
                _ => map.option(part, false),
            }
            Ok(())
        })?;
        let upstream = jobs.into_iter().map(|job| Downstream { job, threshold });
        self.job.triggers.upstream.extend(upstream);
        Ok(())
    }

    /// Names of jobs.
    pub(super) fn names(&self, part: &Element) -> Result<Vec<String>, BadDocument> {
        let names: Vec<String> = list(&part.text).collect();
        for name in &names {
            // One that begins with `/` starts from the top, as all of ours do.
            check_name(name).map_err(|complaint| self.bad(part, complaint.what))?;
        }
        Ok(names)
    }

    /// `<name>UNSTABLE</name>`, and what else Jenkins says of a result.
    pub(super) fn threshold(&self, part: &Element) -> Result<BuildResult, BadDocument> {
        let Some(name) = part.child("name").and_then(full) else {
            return Ok(BuildResult::Success);
        };
        BuildResult::of_word(&name)
            .ok_or_else(|| self.bad(part, format!("`{}` is no result", super::cut(&name))))
    }
}
