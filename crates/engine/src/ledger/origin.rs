//! From where something was started: which build, or which shell.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use ward_model::cookie::WARD_RUN_ID;
use ward_sys::account;
use ward_sys::procfs::{self, Stat};

/// Where something came from. Texts that are not known are missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// `jenkins`, `github`, `gitea`, `gitlab`, `buildkite`, `ward` (an enclosing run) or `shell`.
    pub kind: String,
    /// Which build, as its server names it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub build: Option<String>,
    /// Where that build can be seen.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub url: Option<String>,
    /// The user who called.
    pub user: String,
    /// The directory that it was called from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub directory: Option<String>,
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// The command line of the process that called.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parent: Option<String>,
}

impl Origin {
    /// Which build this process is a part of, if it is of one, as its server names it.
    #[must_use]
    pub fn build_of_this_process() -> Option<String> {
        let (kind, build, _) = build_of(&variable);
        // An enclosing run of ours is nothing that people know by its number.
        build.filter(|_| kind != "ward")
    }

    /// The origin of what this process starts.
    #[must_use]
    pub fn of_this_process() -> Self {
        let (kind, build, url) = build_of(&variable);
        let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
        let uid = account::own_uid();
        Self {
            kind: kind.to_owned(),
            build,
            url,
            user: account::name_of(uid).unwrap_or_else(|| uid.to_string()),
            directory: std::env::current_dir()
                .ok()
                .map(|path| path.to_string_lossy().into_owned()),
            at: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            parent: parent
                .and_then(|pid| Stat::of(pid).map(|stat| procfs::command_line(pid, &stat.comm))),
        }
    }

    /// The origin of a process by its environment, as `/proc/PID/environ` has it.
    #[must_use]
    pub fn of_environ(environ: &[u8], user: String) -> Self {
        let variable = |name: &str| {
            environ
                .split(|byte| *byte == 0)
                .filter_map(|item| item.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
                .next_back()
                .filter(|value| !value.is_empty())
                .map(|value| String::from_utf8_lossy(value).into_owned())
        };
        let (kind, build, url) = build_of(&variable);
        Self {
            kind: kind.to_owned(),
            build,
            url,
            user,
            ..Self::default()
        }
    }

    /// In a few words.
    #[must_use]
    pub fn summary(&self) -> String {
        match &self.build {
            Some(build) => format!("{} {build}", self.kind),
            None => self.kind.clone(),
        }
    }
}

type Build = (&'static str, Option<String>, Option<String>);

/// What our own environment says.
fn variable(name: &str) -> Option<String> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(|value| value.to_string_lossy().into_owned())
}

fn build_of(variable: &dyn Fn(&str) -> Option<String>) -> Build {
    let numbered = |name: &str, number: &str| {
        let name = variable(name)?;
        Some(match variable(number) {
            Some(number) => format!("{name} #{number}"),
            None => name,
        })
    };
    if variable("JENKINS_URL").is_some() || variable("JENKINS_HOME").is_some() {
        return (
            "jenkins",
            numbered("JOB_NAME", "BUILD_NUMBER").or_else(|| variable("BUILD_TAG")),
            variable("BUILD_URL"),
        );
    }
    if variable("GITHUB_ACTIONS").is_some() {
        let gitea = variable("GITEA_ACTIONS").is_some();
        let url = [
            variable("GITHUB_SERVER_URL"),
            variable("GITHUB_REPOSITORY"),
            variable("GITHUB_RUN_ID"),
        ];
        let url = match url {
            [Some(server), Some(repository), Some(run)] => {
                Some(format!("{server}/{repository}/actions/runs/{run}"))
            }
            _ => None,
        };
        return (
            if gitea { "gitea" } else { "github" },
            numbered("GITHUB_REPOSITORY", "GITHUB_RUN_NUMBER"),
            url,
        );
    }
    if variable("GITLAB_CI").is_some() {
        return (
            "gitlab",
            numbered("CI_PROJECT_PATH", "CI_JOB_ID"),
            variable("CI_JOB_URL"),
        );
    }
    if variable("BUILDKITE").is_some() {
        return (
            "buildkite",
            numbered("BUILDKITE_PIPELINE_SLUG", "BUILDKITE_BUILD_NUMBER"),
            variable("BUILDKITE_BUILD_URL"),
        );
    }
    match variable(WARD_RUN_ID) {
        Some(run) => ("ward", Some(run), None),
        None => ("shell", None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_are_known_by_their_variables() {
        let cases: [(&[u8], &str); 7] = [
            (
                b"JENKINS_URL=http://j/\0JOB_NAME=docs\0BUILD_NUMBER=7\0BUILD_URL=http://j/7\0",
                "jenkins docs #7",
            ),
            (
                b"JENKINS_HOME=/j\0BUILD_TAG=jenkins-docs-7\0",
                "jenkins jenkins-docs-7",
            ),
            (
                b"GITHUB_ACTIONS=true\0GITHUB_REPOSITORY=a/b\0GITHUB_RUN_NUMBER=3\0",
                "github a/b #3",
            ),
            (b"GITHUB_ACTIONS=true\0GITEA_ACTIONS=true\0", "gitea"),
            (
                b"GITLAB_CI=true\0CI_PROJECT_PATH=g/p\0CI_JOB_ID=9\0",
                "gitlab g/p #9",
            ),
            (b"WARD_RUN_ID=x\0", "ward x"),
            (b"HOME=/\0", "shell"),
        ];
        for (environ, summary) in cases {
            assert_eq!(
                Origin::of_environ(environ, String::new()).summary(),
                summary
            );
        }
    }
}
