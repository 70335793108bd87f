//! Views: lists of jobs that people made, kept as the documents that were sent.

use regex_lite::RegexBuilder;

use super::asking::failed;
use super::names;
use super::state::{Inner, Server};
use crate::api::{Refusal, ViewView};
use crate::history::jobs;
use crate::jenkins;

/// The view that is always there.
const ALL: &str = "all";

/// No pattern is compiled to more than so many bytes: it was sent by others.
const PATTERN: usize = 1 << 20;

impl Server {
    /// All views.
    pub(super) fn all_views(&self) -> Vec<ViewView> {
        let inner = self.lock();
        let all = ViewView {
            name: ALL.to_owned(),
            jobs: inner.shown_names().map(str::to_owned).collect(),
            config: b"<?xml version='1.1' encoding='UTF-8'?>\n<hudson.model.AllView>\n  <name>all</name>\n  \
                      <filterExecutors>false</filterExecutors>\n  <filterQueue>false</filterQueue>\n\
                      </hudson.model.AllView>\n"
                .to_vec(),
        };
        let others = inner.views.iter().map(|(name, config)| ViewView {
            name: name.clone(),
            jobs: inner.jobs_of_view(config),
            config: config.clone(),
        });
        std::iter::once(all).chain(others).collect()
    }

    /// Makes a view, or replaces its document.
    pub(super) fn write_view(
        &self,
        name: &str,
        config: &[u8],
        is_new: bool,
    ) -> Result<(), Refusal> {
        names::check_part(name)?;
        let mut inner = self.lock();
        let is_there = inner.views.contains_key(name) || name == ALL;
        if is_new && is_there {
            return Err(Refusal::Exists(format!("view `{name}`")));
        }
        if !is_new && !is_there {
            return Err(Refusal::Nothing(format!("view `{name}`")));
        }
        if name == ALL {
            return Err(Refusal::Conflict("view `all` is as it is".to_owned()));
        }
        jenkins::parse_view(config)
            .map_err(|error| Refusal::BadInput(ward_engine::chain(&error)))?;
        jobs::put_view(&inner.writer, name, config).map_err(|error| failed(&error))?;
        inner.views.insert(name.to_owned(), config.to_vec());
        Ok(())
    }

    /// Removes a view.
    pub(super) fn remove_view(&self, name: &str) -> Result<(), Refusal> {
        let mut inner = self.lock();
        if name == ALL {
            return Err(Refusal::Conflict("view `all` is always there".to_owned()));
        }
        if !jobs::delete_view(&inner.writer, name).map_err(|error| failed(&error))? {
            return Err(Refusal::Nothing(format!("view `{name}`")));
        }
        inner.views.remove(name);
        Ok(())
    }

    /// Takes a job into a view, or out of it.
    pub(super) fn change_view(&self, view: &str, job: &str, is_in: bool) -> Result<(), Refusal> {
        let mut inner = self.lock();
        let nothing = || Refusal::Nothing(format!("view `{view}`"));
        if is_in && !inner.jobs.contains_key(job) {
            return Err(Refusal::NoSuchJob(job.to_owned()));
        }
        let document = inner.views.get(view).ok_or_else(nothing)?;
        let mut parsed = jenkins::parse_view(document)
            .map_err(|error| Refusal::Conflict(ward_engine::chain(&error)))?;
        parsed.jobs.retain(|name| name != job);
        if is_in {
            parsed.jobs.push(job.to_owned());
            parsed.jobs.sort();
        }
        let document = jenkins::write_view(&parsed);
        jobs::put_view(&inner.writer, view, &document).map_err(|error| failed(&error))?;
        inner.views.insert(view.to_owned(), document);
        Ok(())
    }
}

impl Inner {
    /// Names of jobs that are there for people.
    pub(super) fn shown_names(&self) -> impl Iterator<Item = &str> {
        self.jobs
            .iter()
            .filter(|(_, known)| !known.leaving)
            .map(|(name, _)| name.as_str())
    }

    fn jobs_of_view(&self, document: &[u8]) -> Vec<String> {
        let Ok(view) = jenkins::parse_view(document) else {
            return Vec::new();
        };
        let pattern = view.regex.as_deref().and_then(|pattern| {
            RegexBuilder::new(&format!("^(?:{pattern})$"))
                .size_limit(PATTERN)
                .build()
                .ok()
        });
        let matches = |name: &str| {
            let is_seen = view.recurse || !name.contains('/');
            is_seen
                && pattern
                    .as_ref()
                    .is_some_and(|pattern| pattern.is_match(name))
        };
        self.shown_names()
            .filter(|name| view.jobs.iter().any(|listed| listed == name) || matches(name))
            .map(str::to_owned)
            .collect()
    }
}
