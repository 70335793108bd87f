//! `[job:NAME]` to a job.

use std::time::Duration;

use super::notation::{
    check_name, inner_path, is_long_recipient, items, other_job, recipient, secret,
};
use super::repository::REPOSITORY_FILE;
use super::{
    Artifacts, Clean, Downstream, Job, Junit, Keep, Notify, Source, Step, Triggers, UNLIMITED,
    parameters, script,
};
use crate::diagnostics::Diagnostics;
use crate::ini::document::{Section, strip};
use crate::keys::{self, Scope};
use crate::program::environment;
use crate::read::{Context, Reader};
use crate::source::Sources;
use crate::value::{Complaint, LONGEST, boolean};
use ward_model::build::BuildResult;
use ward_model::build::cron::Cron;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads a job's section.
pub(crate) fn read(
    context: &Context<'_>,
    section: &Section,
    sources: &Sources,
    found: &mut Diagnostics,
) -> Job {
    let mut reader = Reader::new(context, section, keys::JOB, found);
    let name = keys::name_of(section);
    if let Err(complaint) = check_name(name) {
        reader.error(section.span, complaint.what, complaint.hint);
    }
    let job = JobReader {
        reader: &mut reader,
        sources,
    }
    .job(name);
    warn_of(&job, &mut reader);
    job
}

/// What is hardly meant.
fn warn_of(job: &Job, reader: &mut Reader<'_, '_>) {
    if job.steps.is_empty() && job.from_repository.is_none() {
        let span = reader.section.span;
        let what = format!("[{}] does nothing: it has no script", reader.section.name);
        reader.found.warn(
            span,
            what,
            Some("script = …, or from_repository = true".into()),
        );
    }
    if job.source.is_some() {
        return;
    }
    for key in [
        "branches",
        "credentials",
        "depth",
        "poll",
        "webhook",
        "submodules",
        "checkout_to",
        "from_repository",
    ] {
        if let Some(entry) = reader.entry(key) {
            reader.found.warn(
                entry.span,
                format!("{key} does nothing: nothing is checked out"),
                Some("repo = …".into()),
            );
        }
    }
}

/// A job's section, being read.
pub(super) struct JobReader<'r, 'a, 'd, 's> {
    pub(super) reader: &'r mut Reader<'a, 'd>,
    pub(super) sources: &'s Sources,
}

impl JobReader<'_, '_, '_, '_> {
    fn job(&mut self, name: &str) -> Job {
        Job {
            name: name.to_owned(),
            display_name: self.full("display_name"),
            description: self.reader.text("description").unwrap_or_default(),
            disabled: !self.reader.flag("enabled"),
            source: self.source(),
            from_repository: self.repository_file(),
            triggers: self.triggers(),
            parameters: match self.reader.entry("parameters") {
                Some(entry) => parameters::read(entry, self.sources, self.reader.found),
                None => Vec::new(),
            },
            steps: self.steps(),
            environment: self.environment(),
            secrets: self.each("secrets", |_| false, secret),
            user: self.reader.user("user").map(|user| user.name),
            workspace: self.full("workspace"),
            clean: self.clean(),
            timeout: self.reader.time_within("timeout", SECOND, LONGEST),
            idle_timeout: self.reader.time_within("idle_timeout", SECOND, LONGEST),
            timeout_result: self.timeout_result(),
            grace: self.reader.duration("grace").unwrap_or_default(),
            leftover_grace: self.reader.duration("leftover_grace").unwrap_or_default(),
            spare: self.reader.flag("spare"),
            locks: self.plain("locks"),
            concurrent: self.concurrent(),
            blocked_by_upstream: self.reader.flag("blocked_by_upstream"),
            blocked_by_downstream: self.reader.flag("blocked_by_downstream"),
            quiet_period: self.reader.time_within("quiet_period", Duration::ZERO, DAY),
            keep: Keep {
                builds: self.reader.within("keep_builds", 1, u32::MAX),
                days: self.reader.within("keep_days", 1, u32::MAX),
                artifact_builds: self.reader.within("keep_artifacts", 1, u32::MAX),
                artifact_days: self.reader.within("keep_artifacts_days", 1, u32::MAX),
            },
            artifacts: self.artifacts(),
            junit: self.junit(),
            notify: self.notify(),
            downstream: self.jobs("downstream"),
            token: self.full("token"),
            label: self.full("label"),
            build_name: self.full("build_name"),
        }
    }

    /// A text that says something.
    pub(super) fn full(&mut self, key: &str) -> Option<String> {
        self.reader.text(key).filter(|text| !text.is_empty())
    }

    /// An absolute path, `~` replaced.
    fn absolute(&mut self, key: &str) -> Option<String> {
        let text = self.full(key)?;
        let path = self.reader.context.host.expand_home(&text);
        if !path.starts_with('/') {
            let complaint = Complaint::new(
                format!("`{text}` is not an absolute path"),
                "begin it with `/`, or with %(here)s/",
            );
            self.reader.complain(key, &text, complaint);
            return None;
        }
        Some(path)
    }

    /// Several texts.
    pub(super) fn plain(&mut self, key: &str) -> Vec<String> {
        self.each(key, |_| false, |text| Ok(text.to_owned()))
    }

    fn jobs(&mut self, key: &str) -> Vec<Downstream> {
        self.each(key, |_| false, other_job)
    }

    fn each<T>(
        &mut self,
        key: &str,
        takes_line: fn(&str) -> bool,
        read: impl Fn(&str) -> Result<T, Complaint>,
    ) -> Vec<T> {
        let text = self.reader.text(key).unwrap_or_default();
        let mut found = Vec::new();
        for item in items(&text, takes_line) {
            match read(&item) {
                Ok(value) => found.push(value),
                Err(complaint) => self.reader.complain(key, &item, complaint),
            }
        }
        found
    }

    /// As everywhere; in the order of their names.
    pub(super) fn environment(&mut self) -> Vec<(String, String)> {
        let pairs = environment(self.reader, "environment", Scope::HereAndHost);
        pairs.into_iter().collect()
    }

    fn source(&mut self) -> Option<Source> {
        let submodules = self.reader.text("submodules").unwrap_or_default();
        let source = Source {
            url: self.full("repo").unwrap_or_default(),
            remote: self.remote(),
            refspec: self.full("refspec"),
            branches: self.each(
                "branches",
                |rest| rest.starts_with(':'),
                |text| Ok(text.to_owned()),
            ),
            credentials: self.credentials("credentials"),
            depth: self.reader.within("depth", 1, u32::MAX),
            no_tags: !self.reader.flag("tags"),
            reference: self.absolute("reference"),
            timeout: self
                .reader
                .time_within("git_timeout", SECOND, LONGEST)
                .unwrap_or(Source::default().timeout),
            submodules: submodules != "false",
            recursive_submodules: submodules == "recursive",
            directory: self.checkout_to(),
            local_branch: self.full("local_branch"),
            no_cache: !self.reader.flag("cache"),
            prune: self.reader.flag("prune"),
        };
        (!source.url.is_empty()).then_some(source)
    }

    fn remote(&mut self) -> String {
        let remote = self
            .full("remote")
            .unwrap_or_else(|| Source::default().remote);
        let sound = remote
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
            && !remote.starts_with(['-', '.']);
        if !sound {
            let complaint = Complaint::new(
                format!("`{remote}` is no name of a remote"),
                "use letters, digits, `-`, `_` and `.`",
            );
            self.reader.complain("remote", &remote, complaint);
        }
        remote
    }

    fn credentials(&mut self, key: &str) -> Option<String> {
        let name = self.full(key)?;
        if super::is_secret_name(&name) {
            return Some(name);
        }
        let complaint = Complaint::new(
            format!("`{name}` is no name of a secret"),
            "use letters, digits, `-`, `_` and `.`; the secret itself is in a file of that name",
        );
        self.reader.complain(key, &name, complaint);
        None
    }

    fn checkout_to(&mut self) -> Option<String> {
        let path = self.full("checkout_to")?;
        match inner_path(&path) {
            Ok(path) => Some(path),
            Err(mut complaint) => {
                complaint.hint = Some("write a relative path without `..`".into());
                complaint.what = format!("`{path}` is no path inside the workspace");
                self.reader.complain("checkout_to", &path, complaint);
                None
            }
        }
    }

    fn repository_file(&mut self) -> Option<String> {
        let text = self.reader.text("from_repository")?;
        match boolean(&text) {
            Ok(true) => return Some(REPOSITORY_FILE.to_owned()),
            Ok(false) => return None,
            Err(_) => {}
        }
        match inner_path(strip(&text)) {
            Ok(path) => Some(path),
            Err(complaint) => {
                self.reader.complain("from_repository", &text, complaint);
                None
            }
        }
    }

    fn triggers(&mut self) -> Triggers {
        Triggers {
            timer: self.times("timer").filter(|times| !times.is_empty()),
            // An empty one means something: a push may be told.
            poll: self.times("poll"),
            ignores_notify: self.reader.flag("ignore_notify"),
            webhook: self.reader.flag("webhook"),
            webhook_secret: self.credentials("webhook_secret"),
            upstream: self.jobs("upstream"),
        }
    }

    /// Lines in Jenkins' notation.
    fn times(&mut self, key: &str) -> Option<String> {
        let text = self.reader.text(key)?;
        let times = strip(&text).to_owned();
        let span = |reader: &Reader<'_, '_>, line: usize| {
            let written = times
                .lines()
                .nth(line.saturating_sub(1))
                .unwrap_or_default();
            let entry = reader.entry(key);
            entry.map_or(reader.section.span, |entry| entry.value.locate(written))
        };
        // What `H` stands for differs from job to job, what is wrong does not.
        match Cron::parse(&times, 0) {
            Ok(cron) => {
                for warning in cron.warnings() {
                    let span = span(self.reader, warning.line);
                    let what = format!("{key}: {}", warning.what);
                    self.reader.found.warn(span, what, None);
                }
            }
            Err(error) => {
                let span = span(self.reader, error.line);
                self.reader.error(
                    span,
                    format!("{key}: {}", error.what),
                    Some("write minute, hour, day, month and weekday, such as H/5 * * * *".into()),
                );
            }
        }
        Some(times)
    }

    pub(super) fn clean(&mut self) -> Clean {
        match self.reader.text("clean").as_deref() {
            Some("before") => Clean::Before,
            Some("after") => Clean::After,
            Some("wipe") => Clean::Wipe,
            Some(_) | None => Clean::No,
        }
    }

    pub(super) fn timeout_result(&mut self) -> BuildResult {
        match self.reader.text("timeout_result").as_deref() {
            Some("failure") => BuildResult::Failure,
            Some(_) | None => BuildResult::Aborted,
        }
    }

    fn concurrent(&mut self) -> u32 {
        let text = self.reader.text("concurrent").unwrap_or_default();
        // A number first: `1` is one, not yes.
        if let Ok(number) = strip(&text).parse::<u32>() {
            if number > 0 {
                return number;
            }
        } else if let Ok(yes) = boolean(&text) {
            return if yes { UNLIMITED } else { 1 };
        }
        let complaint = Complaint::new(
            format!("`{text}` is neither a boolean nor a number"),
            "write false, true, or how many builds may run at a time, 1 at least",
        );
        self.reader.complain("concurrent", &text, complaint);
        1
    }

    pub(super) fn artifacts(&mut self) -> Vec<Artifacts> {
        let found = Artifacts {
            include: self.plain("artifacts"),
            exclude: self.plain("artifacts_exclude"),
            default_excludes: self.reader.flag("artifacts_default_excludes"),
            case_sensitive: self.reader.flag("artifacts_case_sensitive"),
            allow_empty: self.reader.flag("artifacts_allow_empty"),
            only_if_successful: self.reader.flag("artifacts_only_if_successful"),
            follow_symlinks: self.reader.flag("artifacts_follow_symlinks"),
        };
        if found.include.is_empty() {
            Vec::new()
        } else {
            vec![found]
        }
    }

    pub(super) fn junit(&mut self) -> Vec<Junit> {
        let found = Junit {
            include: self.plain("junit"),
            allow_empty: self.reader.flag("junit_allow_empty"),
            skip_old: self.reader.flag("junit_skip_old"),
            keep_long_output: self.reader.flag("junit_keep_output"),
        };
        if found.include.is_empty() {
            Vec::new()
        } else {
            vec![found]
        }
    }

    fn notify(&mut self) -> Notify {
        let mut notify = Notify::default();
        let text = self.reader.text("notify").unwrap_or_default();
        for item in items(&text, is_long_recipient) {
            if let Err(complaint) = recipient(&item, &mut notify) {
                self.reader.complain("notify", &item, complaint);
            }
        }
        notify
    }

    /// The one step of `script`, or those of `steps`.
    pub(super) fn steps(&mut self) -> Vec<Step> {
        let names = self.plain("steps");
        let Some(steps) = self.reader.entry("steps") else {
            self.stray(&[]);
            let whole = self.reader.entry("script");
            let step = whole.map(|_| self.step(None));
            return step.into_iter().collect();
        };
        if let Some(whole) = self.reader.entry("script") {
            self.reader.error(
                whole.span,
                "there are both `script` and `steps`",
                Some("write script.NAME for each of the steps".into()),
            );
        }
        self.stray(&names);
        let mut found: Vec<Step> = Vec::new();
        for name in names {
            let lower = name.to_lowercase();
            let twice = found
                .iter()
                .any(|step| step.name.as_deref() == Some(name.as_str()));
            if twice || self.reader.entry(&format!("script.{lower}")).is_none() {
                let what = if twice {
                    format!("`{name}` is in it twice")
                } else {
                    format!("there is no `script.{lower}`")
                };
                let hint = Some(format!("script.{lower} = …"));
                let span = steps.value.locate(&name);
                self.reader
                    .error(span, format!("steps: {what}"), hint.filter(|_| !twice));
                continue;
            }
            found.push(self.step(Some(&name)));
        }
        found
    }

    /// Keys of steps that there are not.
    fn stray(&mut self, names: &[String]) {
        for entry in self.reader.context.document.entries(self.reader.section) {
            let Some((key, step)) = entry.key.split_once('.') else {
                continue;
            };
            let is_known = names.iter().any(|name| name.to_lowercase() == step);
            if !is_known && keys::JOB.key(key).is_some_and(|key| key.each_step) {
                self.reader.error(
                    entry.span,
                    format!("`{}` is of no step: `{step}` is not in `steps`", entry.key),
                    Some(format!("steps = …, {step}")),
                );
            }
        }
    }

    /// `script`, or `script.NAME`, with what is said of it, or else of all steps.
    fn step(&mut self, name: Option<&str>) -> Step {
        let of_step = |key: &str| name.map(|name| format!("{key}.{}", name.to_lowercase()));
        let key = |reader: &Reader<'_, '_>, key: &str| match of_step(key) {
            Some(own) if reader.entry(&own).is_some() => own,
            Some(_) | None => key.to_owned(),
        };
        let script_key = key(self.reader, "script");
        let script = match self.reader.entry(&script_key) {
            Some(entry) => script::script(entry, self.sources),
            None => String::new(),
        };
        let shell = key(self.reader, "shell");
        let prelude = key(self.reader, "prelude");
        let status = key(self.reader, "unstable_status");
        let always = key(self.reader, "always");
        if script.trim().is_empty() {
            let span = self.reader.span(&script_key);
            self.reader
                .found
                .warn(span, format!("{script_key}: it is empty"), None);
        }
        Step {
            name: name.map(str::to_owned),
            script,
            shell: self.absolute(&shell),
            prelude: self.reader.flag(&prelude),
            unstable_status: self
                .reader
                .within(&status, 1, 255)
                .and_then(|status| u8::try_from(status).ok()),
            always: self.reader.flag(&always),
        }
    }
}
