//! `<publishers>`: what becomes of what was built.

use ward_config::job::{Artifacts, Downstream, Junit, is_address};
use ward_model::build::BuildResult;

use super::{Done, Map, list};
use crate::jenkins::document::Element;

impl Map {
    pub(super) fn publishers(&mut self, element: &Element) -> Done {
        self.within(element, |map, publisher| {
            match publisher.name().as_str() {
                "hudson.tasks.ArtifactArchiver" => map.artifacts(publisher),
                "hudson.tasks.junit.JUnitResultArchiver" => map.junit(publisher),
                "hudson.tasks.Mailer" => map.mail(publisher),
                "hudson.tasks.BuildTrigger" => map.downstream(publisher),
                // Reports and tidiness: what was built is the same without them.
                "hudson.tasks.Fingerprinter"
                | "hudson.plugins.ws_cleanup.WsCleanup"
                | "htmlpublisher.HtmlPublisher"
                | "hudson.plugins.descriptionsetter.DescriptionSetterPublisher" => {
                    map.thing(publisher, false);
                    Ok(())
                }
                _ => {
                    map.thing(publisher, true);
                    Ok(())
                }
            }
        })
    }

    fn artifacts(&mut self, publisher: &Element) -> Done {
        let mut artifacts = Artifacts::default();
        self.within(publisher, |map, part| {
            match part.name().as_str() {
                "artifacts" => artifacts.include = list(&part.text).collect(),
                "excludes" => artifacts.exclude = list(&part.text).collect(),
                "defaultExcludes" => artifacts.default_excludes = map.flag(part)?,
                "caseSensitive" => artifacts.case_sensitive = map.flag(part)?,
                "allowEmptyArchive" => artifacts.allow_empty = map.flag(part)?,
                "onlyIfSuccessful" => artifacts.only_if_successful = map.flag(part)?,
                "followSymlinks" => artifacts.follow_symlinks = map.flag(part)?,
                // Sums of artifacts are known anyway; older ones go by what is kept.
                "fingerprint" | "latestOnly" => {}
                _ => map.option(part, true),
            }
            Ok(())
        })?;
        self.job.artifacts.push(artifacts);
        Ok(())
    }

    fn junit(&mut self, publisher: &Element) -> Done {
        let mut junit = Junit::default();
        self.within(publisher, |map, part| {
            match part.name().as_str() {
                "testResults" => junit.include = list(&part.text).collect(),
                "allowEmptyResults" => junit.allow_empty = map.flag(part)?,
                "skipOldReports" => junit.skip_old = map.flag(part)?,
                "keepLongStdio" => junit.keep_long_output = map.flag(part)?,
                // How a job's weather is worked out, and who else is told.
                "healthScaleFactor" | "skipPublishingChecks" => {}
                "testDataPublishers" if part.children.is_empty() => {}
                _ => map.option(part, true),
            }
            Ok(())
        })?;
        self.job.junit.push(junit);
        Ok(())
    }

    fn mail(&mut self, publisher: &Element) -> Done {
        self.within(publisher, |map, part| {
            match part.name().as_str() {
                "recipients" => {
                    let words = part.text.split(|c: char| c == ',' || c.is_whitespace());
                    for word in words.filter(|word| !word.is_empty()) {
                        if is_address(word) {
                            map.job.notify.mail.push(word.to_owned());
                        } else {
                            map.thing(part, false);
                        }
                    }
                }
                "dontNotifyEveryUnstableBuild" => {
                    map.job.notify.mail_first_unstable_only = map.flag(part)?;
                }
                "sendToIndividuals" => map.job.notify.mail_culprits = map.flag(part)?,
                _ => map.option(part, false),
            }
            Ok(())
        })
    }

    fn downstream(&mut self, publisher: &Element) -> Done {
        let mut jobs = Vec::new();
        let mut threshold = BuildResult::Success;
        self.within(publisher, |map, part| {
            match part.name().as_str() {
                "childProjects" => jobs = map.names(part)?,
                "threshold" => threshold = map.threshold(part)?,
                _ => map.option(part, true),
            }
            Ok(())
        })?;
        let next = jobs.into_iter().map(|job| Downstream { job, threshold });
        self.job.downstream.extend(next);
        Ok(())
    }
}
