//! `<scm>`: the repository.

use std::time::Duration;

use ward_config::job::{Clean, Source, is_secret_name};

use super::{Done, Map, full};
use crate::jenkins::document::Element;
use crate::jenkins::refusal::BadDocument;

/// What stands before the name of each extension.
const EXTENSION: &str = "hudson.plugins.git.extensions.impl.";

impl Map {
    pub(super) fn source(&mut self, element: &Element) -> Done {
        match element.class.as_deref() {
            // The second is what python-jenkins sends.
            Some("hudson.scm.NullSCM" | "jenkins.scm.NullSCM") => return Ok(()),
            Some("hudson.plugins.git.GitSCM") => {}
            None if element.children.is_empty() => return Ok(()),
            Some(_) | None => {
                self.thing(element, true);
                return Ok(());
            }
        }
        let mut source = Source::default();
        let mut remotes = 0_u32;
        self.within(element, |map, part| {
            match part.name().as_str() {
                "userRemoteConfigs" => map.within(part, |map, remote| {
                    remotes += 1;
                    if remotes > 1 {
                        map.thing(remote, true);
                        return Ok(());
                    }
                    map.remote(remote, &mut source)
                })?,
                "branches" => map.within(part, |_, branch| {
                    let name = branch.child("name").and_then(full);
                    source
                        .branches
                        .push(name.unwrap_or_else(|| "**".to_owned()));
                    Ok(())
                })?,
                "extensions" => {
                    map.within(part, |map, extension| map.extension(extension, &mut source))?;
                }
                "reference" => source.reference = full(part).or(source.reference.take()),
                "ward.timeout" => source.timeout = map.milliseconds(part)?,
                "ward.cache" => source.no_cache = !map.flag(part)?,
                // Where older versions kept what are extensions now.
                "clean" if map.flag(part)? => map.cleaned(Clean::After),
                "wipeOutWorkspace" if map.flag(part)? => map.cleaned(Clean::Wipe),
                "pruneBranches" if map.flag(part)? => source.prune = true,
                "ignoreNotifyCommit" if map.flag(part)? => {
                    map.job.triggers.ignores_notify = true;
                }
                "useShallowClone" if map.flag(part)? => source.depth = Some(1),
                "buildChooser"
                    if part.class.as_deref()
                        == Some("hudson.plugins.git.util.DefaultBuildChooser") => {}
                "skipTag" | "authorOrCommitter" => {}
                "configVersion"
                | "gitTool"
                | "remotePoll"
                | "submoduleCfg"
                | "browser"
                | "doGenerateSubmoduleConfigurations" => {}
                _ => map.option(part, true),
            }
            Ok(())
        })?;
        if source.branches.is_empty() {
            source.branches.push("**".to_owned());
        }
        if source.url.is_empty() {
            self.thing(element, true);
        } else {
            self.job.source = Some(source);
        }
        Ok(())
    }

    fn remote(&mut self, remote: &Element, source: &mut Source) -> Done {
        self.within(remote, |map, part| {
            match part.name().as_str() {
                "url" => source.url = full(part).unwrap_or_default(),
                "name" => source.remote = full(part).unwrap_or(std::mem::take(&mut source.remote)),
                "refspec" => source.refspec = full(part),
                "credentialsId" => match full(part) {
                    Some(name) if !is_secret_name(&name) => map.thing(part, true),
                    name => source.credentials = name,
                },
                _ => map.option(part, true),
            }
            Ok(())
        })
    }

    fn extension(&mut self, element: &Element, source: &mut Source) -> Done {
        let name = element.name();
        match name.strip_prefix(EXTENSION).unwrap_or(&name) {
            "CleanCheckout" => self.clean(element, Clean::After)?,
            "CleanBeforeCheckout" => self.clean(element, Clean::Before)?,
            "WipeWorkspace" => self.clean(element, Clean::Wipe)?,
            "PruneStaleBranch" => source.prune = true,
            "IgnoreNotifyCommit" => self.job.triggers.ignores_notify = true,
            // Looking for something new needs no workspace here; and how long a checkout takes is git's time too.
            "DisableRemotePoll" | "CheckoutOption" => {}
            "RelativeTargetDirectory" => self.within(element, |map, part| {
                match part.name().as_str() {
                    "relativeTargetDir" => source.directory = map.inner(part)?,
                    _ => map.option(part, true),
                }
                Ok(())
            })?,
            "LocalBranch" => self.within(element, |map, part| {
                match part.name().as_str() {
                    "localBranch" => source.local_branch = full(part).or(Some("**".to_owned())),
                    _ => map.option(part, true),
                }
                Ok(())
            })?,
            "CloneOption" => self.clone_option(element, source)?,
            "SubmoduleOption" => self.submodules(element, source)?,
            // A build does more without these, not less.
            "PathRestriction"
            | "UserExclusion"
            | "MessageExclusion"
            | "SparseCheckoutPaths"
            | "AuthorInChangelog"
            | "ChangelogToBranch"
            | "ScmName" => self.thing(element, false),
            _ => self.thing(element, true),
        }
        Ok(())
    }

    /// What goes furthest counts.
    fn cleaned(&mut self, clean: Clean) {
        let rank = |clean: Clean| match clean {
            Clean::No => 0,
            Clean::Before => 1,
            Clean::After => 2,
            Clean::Wipe => 3,
        };
        if rank(clean) > rank(self.job.clean) {
            self.job.clean = clean;
        }
    }

    fn clean(&mut self, element: &Element, clean: Clean) -> Done {
        self.cleaned(clean);
        self.within(element, |map, part| {
            map.option(part, false);
            Ok(())
        })
    }

    /// A directory of the workspace.
    fn inner(&self, part: &Element) -> Result<Option<String>, BadDocument> {
        let Some(path) = full(part) else {
            return Ok(None);
        };
        let path = path.trim_end_matches('/');
        let leaves = path.starts_with(['/', '~', '-'])
            || path.contains(char::is_control)
            || path.split('/').any(|part| part == "..");
        if leaves {
            return Err(self.bad(
                part,
                "a path inside the workspace is relative and has no `..`",
            ));
        }
        Ok(Some(path.to_owned()).filter(|path| path != "."))
    }

    fn clone_option(&mut self, element: &Element, source: &mut Source) -> Done {
        let mut is_shallow = false;
        let mut depth = None;
        self.within(element, |map, part| {
            match part.name().as_str() {
                "shallow" => is_shallow = map.flag(part)?,
                "depth" => depth = map.count(part)?,
                "noTags" => source.no_tags = map.flag(part)?,
                "reference" => source.reference = full(part).or(source.reference.take()),
                "timeout" => source.timeout = map.minutes(part, source.timeout)?,
                // What is fetched at first is what is fetched later.
                "honorRefspec" => {}
                _ => map.option(part, true),
            }
            Ok(())
        })?;
        source.depth = if is_shallow { depth.or(Some(1)) } else { None };
        Ok(())
    }

    fn submodules(&mut self, element: &Element, source: &mut Source) -> Done {
        let mut is_disabled = false;
        self.within(element, |map, part| {
            match part.name().as_str() {
                "disableSubmodules" => is_disabled = map.flag(part)?,
                "recursiveSubmodules" => source.recursive_submodules = map.flag(part)?,
                // How they are fetched, not what.
                "parentCredentials" | "reference" | "timeout" | "threads" | "shallow" | "depth" => {
                }
                _ => map.option(part, true),
            }
            Ok(())
        })?;
        source.submodules = !is_disabled;
        source.recursive_submodules &= !is_disabled;
        Ok(())
    }

    fn minutes(&self, part: &Element, otherwise: Duration) -> Result<Duration, BadDocument> {
        Ok(self.time(part, 60)?.unwrap_or(otherwise))
    }
}
