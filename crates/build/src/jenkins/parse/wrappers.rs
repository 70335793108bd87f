//! `<buildWrappers>`: what is around all steps.

use ward_config::job::{Clean, SecretBinding, is_secret_name, is_variable};
use ward_model::build::BuildResult;

use super::{Done, Map, full};
use crate::jenkins::document::Element;

impl Map {
    pub(super) fn wrappers(&mut self, element: &Element) -> Done {
        self.within(element, |map, wrapper| {
            match wrapper.name().as_str() {
                "hudson.plugins.build_timeout.BuildTimeoutWrapper" => map.timeout(wrapper)?,
                // Times are beside the log, colours are shown, and secrets are masked in every job.
                "hudson.plugins.timestamper.TimestamperBuildWrapper"
                | "hudson.plugins.ansicolor.AnsiColorBuildWrapper" => {}
                "com.michelin.cio.hudson.plugins.maskpasswords.MaskPasswordsBuildWrapper" => {
                    if !wrapper.children.is_empty() {
                        map.thing(wrapper, true);
                    }
                }
                "hudson.plugins.ws_cleanup.PreBuildCleanup" => map.cleanup(wrapper)?,
                "org.jenkinsci.plugins.buildnamesetter.BuildNameSetter" => {
                    map.within(wrapper, |map, part| {
                        match part.name().as_str() {
                            "template" => map.job.build_name = full(part),
                            "runAtStart" | "runAtEnd" => {}
                            _ => map.option(part, false),
                        }
                        Ok(())
                    })?;
                }
                "EnvInjectBuildWrapper" => map.inject(wrapper)?,
                "org.jenkinsci.plugins.credentialsbinding.impl.SecretBuildWrapper" => {
                    map.within(wrapper, |map, part| match part.name().as_str() {
                        "bindings" => map.within(part, Self::binding),
                        _ => {
                            map.option(part, true);
                            Ok(())
                        }
                    })?;
                }
                "org.jvnet.hudson.plugins.exclusion.IdAllocator" => map.locks(wrapper)?,
                _ => map.thing(wrapper, true),
            }
            Ok(())
        })
    }

    fn timeout(&mut self, wrapper: &Element) -> Done {
        self.within(wrapper, |map, part| match part.name().as_str() {
            "strategy" => map.strategy(part),
            "operationList" => map.within(part, |map, operation| {
                match operation.name().as_str() {
                    "hudson.plugins.build_timeout.operations.AbortOperation" => {
                        map.job.timeout_result = BuildResult::Aborted;
                    }
                    "hudson.plugins.build_timeout.operations.FailOperation" => {
                        map.job.timeout_result = BuildResult::Failure;
                    }
                    _ => map.thing(operation, true),
                }
                Ok(())
            }),
            _ => {
                map.option(part, true);
                Ok(())
            }
        })
    }

    fn strategy(&mut self, strategy: &Element) -> Done {
        const PLACE: &str = "hudson.plugins.build_timeout.impl.";
        let class = strategy.class.as_deref().unwrap_or_default();
        let (tags, unit, is_idle) = match class.strip_prefix(PLACE).unwrap_or(class) {
            "AbsoluteTimeOutStrategy" => (["timeoutMinutes", "timeoutMinutesString"], 60, false),
            "NoActivityTimeOutStrategy" => (["timeoutSecondsString", "timeoutSeconds"], 1, true),
            // What they depend on is not known here: a build without a limit would be less than was asked for.
            _ => {
                self.thing(strategy, true);
                return Ok(());
            }
        };
        self.within(strategy, |map, part| {
            if !tags.contains(&part.tag.as_str()) {
                map.option(part, true);
                return Ok(());
            }
            // It may be a variable.
            if part.word().parse::<i64>().is_err() {
                map.thing(part, true);
                return Ok(());
            }
            let time = map.time(part, unit)?;
            if is_idle {
                map.job.idle_timeout = time;
            } else {
                map.job.timeout = time;
            }
            Ok(())
        })
    }

    fn cleanup(&mut self, wrapper: &Element) -> Done {
        let is_partial = wrapper
            .child("patterns")
            .is_some_and(|patterns| !patterns.children.is_empty());
        let is_asked = wrapper.child("cleanupParameter").and_then(full).is_some();
        if is_partial || is_asked {
            self.thing(wrapper, true);
            return Ok(());
        }
        self.job.clean = Clean::Wipe;
        self.within(wrapper, |map, part| {
            match part.name().as_str() {
                "deleteDirs" | "patterns" | "cleanupParameter" | "disableDeferredWipeout" => {}
                _ => map.option(part, true),
            }
            Ok(())
        })
    }

    fn binding(&mut self, binding: &Element) -> Done {
        const PLACE: &str = "org.jenkinsci.plugins.credentialsbinding.impl.";
        let name = binding.name();
        let (tag, as_file) = match name.strip_prefix(PLACE).unwrap_or(&name) {
            "StringBinding" | "UsernamePasswordBinding" => ("variable", false),
            "FileBinding" => ("variable", true),
            "SSHUserPrivateKeyBinding" => ("keyFileVariable", true),
            _ => {
                self.thing(binding, true);
                return Ok(());
            }
        };
        let says = |tag: &str| binding.child(tag).and_then(full).unwrap_or_default();
        let (variable, secret) = (says(tag), says("credentialsId"));
        if !is_variable(&variable) || !is_secret_name(&secret) {
            self.thing(binding, true);
            return Ok(());
        }
        self.job.secrets.push(SecretBinding {
            variable,
            secret,
            as_file,
        });
        self.within(binding, |map, part| {
            if part.tag != tag && part.tag != "credentialsId" {
                map.option(part, true);
            }
            Ok(())
        })
    }

    fn locks(&mut self, wrapper: &Element) -> Done {
        self.within(wrapper, |map, ids| {
            map.within(ids, |map, id| {
                match id.child("name").and_then(full) {
                    Some(name) => map.job.locks.push(name),
                    None => map.thing(id, true),
                }
                Ok(())
            })
        })
    }
}
