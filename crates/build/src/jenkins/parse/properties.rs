//! `<properties>`: what is kept, how many at a time, variables, and what only ward knows.

use std::time::Duration;

use ward_config::job::is_secret_name;

use super::{Done, Map, full};
use crate::jenkins::document::Element;
use crate::jenkins::refusal::BadDocument;

impl Map {
    pub(super) fn properties(&mut self, element: &Element) -> Done {
        self.within(element, |map, property| {
            match property.name().as_str() {
                "hudson.model.ParametersDefinitionProperty" => map.parameters(property),
                "jenkins.model.BuildDiscarderProperty" => {
                    map.within(property, |map, strategy| match strategy.class.as_deref() {
                        Some("hudson.tasks.LogRotator") => map.rotator(strategy),
                        Some(_) | None => {
                            map.thing(strategy, false);
                            Ok(())
                        }
                    })
                }
                "hudson.plugins.throttleconcurrents.ThrottleJobProperty" => map.throttle(property),
                "EnvInjectJobProperty" => {
                    let is_off = property.child("on").is_some_and(|on| on.word() == "false");
                    if is_off { Ok(()) } else { map.inject(property) }
                }
                // A link for people.
                "com.coravy.hudson.plugins.github.GithubProjectProperty" => Ok(()),
                "ward.JobProperty" => map.ours(property),
                _ => {
                    map.thing(property, false);
                    Ok(())
                }
            }
        })
    }

    fn throttle(&mut self, property: &Element) -> Done {
        let says = |tag: &str, word: &str| property.child(tag).is_some_and(|it| it.word() == word);
        if says("throttleEnabled", "false") {
            return Ok(());
        }
        let by_category = says("throttleOption", "category");
        self.within(property, |map, part| {
            match part.name().as_str() {
                // There is one node.
                "maxConcurrentPerNode" | "maxConcurrentTotal" if !by_category => {
                    if let Some(most) = map.count(part)? {
                        map.most = Some(map.most.map_or(most, |known| known.min(most)));
                    }
                }
                "categories" if by_category && !part.children.is_empty() => map.thing(part, true),
                "maxConcurrentPerNode"
                | "maxConcurrentTotal"
                | "categories"
                | "throttleEnabled"
                | "throttleOption"
                | "configVersion"
                | "matrixOptions"
                | "paramsToUseForLimit" => {}
                _ => map.option(part, true),
            }
            Ok(())
        })
    }

    /// Variables of Jenkins' EnvInject, as a property or around a build.
    pub(super) fn inject(&mut self, element: &Element) -> Done {
        self.within(element, |map, part| {
            match part.name().as_str() {
                "info" => map.within(part, |map, detail| {
                    match detail.name().as_str() {
                        "propertiesContent" => map.variables(&detail.text),
                        "secureGroovyScript"
                            if !detail
                                .children
                                .iter()
                                .any(|it| it.tag == "script" && !it.word().is_empty()) => {}
                        "loadFilesFromMaster" => {}
                        _ => map.option(detail, true),
                    }
                    Ok(())
                })?,
                "on"
                | "keepJenkinsSystemVariables"
                | "keepBuildVariables"
                | "overrideBuildParameters" => {}
                _ => map.option(part, true),
            }
            Ok(())
        })
    }

    /// Lines `NAME=value`.
    fn variables(&mut self, text: &str) {
        for line in text.lines() {
            let line = line.trim();
            if line.starts_with(['#', '!']) {
                continue;
            }
            if let Some((name, value)) = line.split_once('=') {
                let name = name.trim();
                if !name.is_empty() {
                    self.job
                        .environment
                        .push((name.to_owned(), value.trim_start().to_owned()));
                }
            }
        }
    }

    /// What Jenkins has no element for; written by [`crate::jenkins::write`].
    fn ours(&mut self, property: &Element) -> Done {
        self.within(property, |map, part| {
            match part.name().as_str() {
                "grace" => map.job.grace = map.milliseconds(part)?,
                "leftoverGrace" => map.job.leftover_grace = map.milliseconds(part)?,
                "timeout" => map.job.timeout = Some(map.milliseconds(part)?),
                "idleTimeout" => map.job.idle_timeout = Some(map.milliseconds(part)?),
                "quietPeriod" => map.job.quiet_period = Some(map.milliseconds(part)?),
                "spare" => map.job.spare = map.flag(part)?,
                "fromRepository" => map.job.from_repository = map.file_of_repository(part)?,
                "webhookSecret" => match full(part) {
                    Some(name) if !is_secret_name(&name) => map.thing(part, true),
                    name => map.job.triggers.webhook_secret = name,
                },
                "environment" => map.within(part, |map, variable| {
                    let text = |tag: &str| {
                        let child = variable.child(tag);
                        child.map(|it| it.text.clone()).unwrap_or_default()
                    };
                    map.job.environment.push((text("name"), text("value")));
                    Ok(())
                })?,
                "webhook" => map.job.notify.webhooks.extend(full(part)),
                "culprits" => map.job.notify.mail_culprits = map.flag(part)?,
                "firstUnstableOnly" => map.job.notify.mail_first_unstable_only = map.flag(part)?,
                _ => map.option(part, true),
            }
            Ok(())
        })
    }

    pub(super) fn milliseconds(&self, part: &Element) -> Result<Duration, BadDocument> {
        let longest = u64::try_from(ward_config::value::LONGEST.as_millis()).unwrap_or(u64::MAX);
        let time: u64 = self.number(part)?;
        if time > longest {
            return Err(self.bad(part, "it is longer than a hundred years"));
        }
        Ok(Duration::from_millis(time))
    }

    fn file_of_repository(&self, part: &Element) -> Result<Option<String>, BadDocument> {
        let sound = |path: &str| {
            !path.starts_with(['/', '~', '-'])
                && !path.contains(char::is_control)
                && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
        };
        match full(part) {
            Some(path) if !sound(&path) => Err(self.bad(
                part,
                "a path inside the repository is relative and has no `..`",
            )),
            path => Ok(path),
        }
    }
}
