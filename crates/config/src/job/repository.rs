//! A job that is kept in the repository that it builds.
//!
//! Whoever can push can write this file; the server's configuration says what it may do. So it says what is done and
//! what comes out of it, and nothing about who may start it, as whom it runs, what it is told in secret, whom it tells,
//! or what it takes from others; and it may make limits narrower only. A key that it may not have is an error: a
//! build that silently did something else would be worse than none.

use std::rc::Rc;
use std::time::Duration;

use ward_model::cluster::variable;

use super::Job;
use super::read::JobReader;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::host::{Files, Host};
use crate::ini::document::{Document, Section};
use crate::ini::lexer;
use crate::keys;
use crate::nearest::nearest;
use crate::read::{Context, Reader};
use crate::source::{SourceFile, Sources, Span};

/// Where a repository keeps its job, unless the configuration names another file.
pub const REPOSITORY_FILE: &str = ".ward.conf";

/// The largest such file, in bytes.
pub const LARGEST_REPOSITORY_FILE: usize = 256 * 1024;

/// What such a file may say. Keys that have a bound in the configuration can only lower it.
pub const REPOSITORY_KEYS: &[&str] = &[
    "description",
    "display_name",
    "script",
    "steps",
    "shell",
    "prelude",
    "unstable_status",
    "always",
    "environment",
    "clean",
    "timeout",
    "idle_timeout",
    "timeout_result",
    "grace",
    "leftover_grace",
    "artifacts",
    "artifacts_exclude",
    "artifacts_default_excludes",
    "artifacts_case_sensitive",
    "artifacts_allow_empty",
    "artifacts_only_if_successful",
    "artifacts_follow_symlinks",
    "junit",
    "junit_allow_empty",
    "junit_skip_old",
    "junit_keep_output",
    "build_name",
];

/// The job `base` with what the file of its repository says: the section `[job:NAME]` of the job's name or of the last
/// part of it, else `[job]`. `None` if anything is wrong, or if there is no such section.
///
/// Of `host` only accounts and names are used: what the environment holds is not for the file to read. Places in
/// what is found are in a file of number 0.
#[must_use]
pub fn load_repository_job(text: &str, host: &Host, base: &Job) -> (Option<Job>, Vec<Diagnostic>) {
    let mut found = Diagnostics::default();
    let job = read(text, host, base, &mut found);
    let job = job.filter(|_| found.errors() == 0);
    (job, found.sorted())
}

fn read(text: &str, host: &Host, base: &Job, found: &mut Diagnostics) -> Option<Job> {
    let mut sources = Sources::default();
    let text = if text.len() > LARGEST_REPOSITORY_FILE {
        ""
    } else {
        text
    };
    let file = SourceFile::new(REPOSITORY_FILE, text);
    let id = sources.add(file.clone());
    let start = Span::start_of(id);
    if text.is_empty() {
        let what = format!("it is empty, or larger than {LARGEST_REPOSITORY_FILE} bytes");
        found.error(start, what, None);
        return None;
    }
    let mut document = Document::default();
    document.merge(lexer::read(id, &file, found));
    let Some(section) = section_of(&document, &base.name) else {
        found.error(
            start,
            format!("there is neither [job:{}] nor [job]", base.name),
            Some("add a line [job]".into()),
        );
        return None;
    };
    check_keys(&document, section, found);
    let context = Context {
        document: &document,
        host,
        files: &NoFiles,
        here: ".",
        environment: Rc::default(),
    };
    let mut reader = Reader::new(&context, section, keys::JOB, found);
    let mut reader = JobReader {
        reader: &mut reader,
        sources: &sources,
    };
    Some(reader.over(base))
}

fn section_of<'a>(document: &'a Document, name: &str) -> Option<&'a Section> {
    let last = name.rsplit('/').next().unwrap_or(name);
    let named = |name: &str| document.section(&format!("job:{name}"));
    named(name)
        .or_else(|| named(last))
        .or_else(|| document.section("job"))
}

fn check_keys(document: &Document, section: &Section, found: &mut Diagnostics) {
    for entry in document.entries(section) {
        let Some(key) = keys::JOB.key(&entry.key) else {
            let hint = nearest(&entry.key, REPOSITORY_KEYS.iter().copied());
            found.error(
                entry.span,
                format!("`{}` is no key of a job", entry.key),
                hint.map(|near| format!("did you mean {near}?")),
            );
            continue;
        };
        if !REPOSITORY_KEYS.contains(&key.name) {
            found.error(
                entry.span,
                format!("`{}` is not for the repository to say", entry.key),
                Some("say it in the server's configuration".into()),
            );
        }
    }
}

impl JobReader<'_, '_, '_, '_> {
    /// The job with what this section says.
    fn over(&mut self, base: &Job) -> Job {
        let mut job = base.clone();
        let says = |reader: &Self, key: &str| reader.reader.entry(key).is_some();
        if says(self, "description") {
            job.description = self.reader.text("description").unwrap_or_default();
        }
        job.display_name = self.full("display_name").or(job.display_name);
        job.build_name = self.full("build_name").or(job.build_name);
        let steps = self.steps();
        if says(self, "script") || says(self, "steps") {
            job.steps = steps;
        }
        // The configuration's own variables win: somebody may rely on them.
        let known = |name: &str| job.environment.iter().any(|(known, _)| known == name);
        let is_of_cluster = |name: &str| name == variable::FILE || variable::ALL.contains(&name);
        // A user and his password that it gives are not for a cluster that the repository names.
        let names_user = variable::ALL.iter().any(|name| known(name));
        let mut own = self.environment();
        own.retain(|(name, _)| !(known(name) || names_user && is_of_cluster(name)));
        job.environment.extend(own);
        if says(self, "clean") {
            job.clean = self.clean();
        }
        if says(self, "timeout_result") {
            job.timeout_result = self.timeout_result();
        }
        job.timeout = self.lower("timeout", job.timeout);
        job.idle_timeout = self.lower("idle_timeout", job.idle_timeout);
        job.grace = self.lower("grace", Some(job.grace)).unwrap_or(job.grace);
        job.leftover_grace = self
            .lower("leftover_grace", Some(job.leftover_grace))
            .unwrap_or(job.leftover_grace);
        if says(self, "artifacts") {
            job.artifacts = self.artifacts();
        }
        if says(self, "junit") {
            job.junit = self.junit();
        }
        job
    }

    /// The limit that this section sets, if it is no wider.
    fn lower(&mut self, key: &str, limit: Option<Duration>) -> Option<Duration> {
        let Some(entry) = self.reader.entry(key) else {
            return limit;
        };
        let wanted = self.reader.duration(key)?;
        if wanted.is_zero() && key.ends_with("timeout") {
            self.reader.error(
                entry.value.span(),
                format!("{key}: it is at least 1 s"),
                None,
            );
        }
        if let Some(limit) = limit.filter(|limit| wanted > *limit) {
            self.reader.found.warn(
                entry.value.span(),
                format!(
                    "{key}: the server's configuration allows {} s, which hold",
                    limit.as_secs_f64()
                ),
                None,
            );
            return Some(limit);
        }
        Some(wanted)
    }
}

/// A file of a repository names no other files.
struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &std::path::Path) -> std::io::Result<Vec<u8>> {
        Err(std::io::ErrorKind::NotFound.into())
    }

    fn exists(&self, _: &std::path::Path) -> bool {
        false
    }

    fn is_directory(&self, _: &std::path::Path) -> bool {
        false
    }

    fn list(&self, _: &std::path::Path) -> Vec<String> {
        Vec::new()
    }
}
