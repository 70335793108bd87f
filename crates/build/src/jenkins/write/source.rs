//! `<scm>`: the repository.

use ward_config::job::{Clean, Job, Source};

use super::whole;
use crate::jenkins::xml::Writer;

pub(super) fn write(writer: &mut Writer, job: &Job) {
    let Some(source) = &job.source else {
        writer.within("scm", " class=\"hudson.scm.NullSCM\"", |_| {});
        return;
    };
    writer.within("scm", " class=\"hudson.plugins.git.GitSCM\"", |writer| {
        writer.number("configVersion", 2);
        writer.within("userRemoteConfigs", "", |writer| {
            writer.within("hudson.plugins.git.UserRemoteConfig", "", |writer| {
                writer.leaf("name", &source.remote);
                if let Some(refspec) = &source.refspec {
                    writer.leaf("refspec", refspec);
                }
                writer.leaf("url", &source.url);
                if let Some(name) = &source.credentials {
                    writer.leaf("credentialsId", name);
                }
            });
        });
        writer.within("branches", "", |writer| {
            for branch in &source.branches {
                writer.within("hudson.plugins.git.BranchSpec", "", |writer| {
                    writer.leaf("name", branch);
                });
            }
        });
        writer.flag("doGenerateSubmoduleConfigurations", false);
        writer.within("extensions", "", |writer| extensions(writer, job, source));
        if whole(source.timeout, 60).is_none() {
            writer.number("ward.timeout", source.timeout.as_millis());
        }
        if source.no_cache {
            writer.flag("ward.cache", false);
        }
    });
}

fn extensions(writer: &mut Writer, job: &Job, source: &Source) {
    match job.clean {
        Clean::No => {}
        Clean::Before => writer.leaf("hudson.plugins.git.extensions.impl.CleanBeforeCheckout", ""),
        Clean::After => writer.leaf("hudson.plugins.git.extensions.impl.CleanCheckout", ""),
        Clean::Wipe => writer.leaf("hudson.plugins.git.extensions.impl.WipeWorkspace", ""),
    }
    writer.within(
        "hudson.plugins.git.extensions.impl.CloneOption",
        "",
        |writer| {
            writer.flag("shallow", source.depth.is_some());
            if let Some(depth) = source.depth {
                writer.number("depth", depth);
            }
            writer.flag("noTags", source.no_tags);
            writer.leaf("reference", source.reference.as_deref().unwrap_or_default());
            if let Some(minutes) = whole(source.timeout, 60) {
                writer.number("timeout", minutes);
            }
        },
    );
    if source.submodules {
        writer.within(
            "hudson.plugins.git.extensions.impl.SubmoduleOption",
            "",
            |writer| {
                writer.flag("disableSubmodules", false);
                writer.flag("recursiveSubmodules", source.recursive_submodules);
            },
        );
    }
    if let Some(directory) = &source.directory {
        writer.within(
            "hudson.plugins.git.extensions.impl.RelativeTargetDirectory",
            "",
            |writer| {
                writer.leaf("relativeTargetDir", directory);
            },
        );
    }
    if let Some(branch) = &source.local_branch {
        writer.within(
            "hudson.plugins.git.extensions.impl.LocalBranch",
            "",
            |writer| {
                writer.leaf("localBranch", branch);
            },
        );
    }
    if source.prune {
        writer.leaf("hudson.plugins.git.extensions.impl.PruneStaleBranch", "");
    }
    // Without a trigger that polls, this is the only place for it.
    if job.triggers.ignores_notify && job.triggers.poll.is_none() {
        writer.leaf("hudson.plugins.git.extensions.impl.IgnoreNotifyCommit", "");
    }
}
