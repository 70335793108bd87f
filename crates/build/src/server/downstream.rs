//! Jobs that depend on one another: who is built after whom.

use std::collections::{BTreeMap, BTreeSet};

use ward_config::job::Downstream;
use ward_model::build::queue::{self, Event, Rules};
use ward_model::build::{BuildResult, Cause};

use super::known::Known;
use super::state::Inner;
use crate::api::Request;
use crate::plan::ParameterValue;

/// Causes of causes are told so far up, and so many of each.
const CAUSES: usize = 5;

impl Inner {
    /// What is to be built after a build with this result.
    pub(super) fn downstream(
        &self,
        job: &str,
        number: u32,
        result: BuildResult,
        causes: &[Cause],
    ) -> Vec<queue::Request<ParameterValue>> {
        let cause = Cause::Upstream {
            job: job.to_owned(),
            number,
            causes: bounded(causes, CAUSES),
        };
        thresholds(&self.jobs, job)
            .into_iter()
            .filter(|(_, threshold)| result.is_no_worse_than(*threshold))
            .filter_map(|(job, _)| {
                let request = Request {
                    job,
                    cause: cause.clone(),
                    parameters: Vec::new(),
                    delay: None,
                    revision: None,
                };
                // Whoever is disabled is passed over, as in Jenkins.
                self.asked(&request).ok()
            })
            .collect()
    }

    /// Tells the queue what holds for every job.
    pub(super) fn rule_all(&mut self) {
        let names: Vec<String> = self.jobs.keys().cloned().collect();
        for name in names {
            self.rule(&name);
        }
    }

    /// Tells the queue what holds for a job.
    pub(super) fn rule(&mut self, name: &str) {
        let Some(known) = self.jobs.get(name) else {
            return;
        };
        let rules = Rules {
            concurrent: known.job.concurrent.max(1),
            blocked_by_upstream: known.job.blocked_by_upstream,
            blocked_by_downstream: known.job.blocked_by_downstream,
            upstream: upstream(&self.jobs, name),
            downstream: thresholds(&self.jobs, name).into_keys().collect(),
            estimate: known.past.estimate,
        };
        self.happen(Event::Ruled {
            job: name.to_owned(),
            rules,
        });
    }
}

fn bounded(causes: &[Cause], depth: usize) -> Vec<Cause> {
    if depth == 0 {
        return Vec::new();
    }
    let shorter = |cause: &Cause| match cause {
        Cause::Upstream {
            job,
            number,
            causes,
        } => Cause::Upstream {
            job: job.clone(),
            number: *number,
            causes: bounded(causes, depth - 1),
        },
        Cause::User { .. }
        | Cause::Remote { .. }
        | Cause::Timer
        | Cause::Scm { .. }
        | Cause::Local { .. } => cause.clone(),
    };
    causes.iter().take(CAUSES).map(shorter).collect()
}

/// The worst result of `name` that starts each job that depends on it, whichever of the two says so.
pub(super) fn thresholds(
    jobs: &BTreeMap<String, Known>,
    name: &str,
) -> BTreeMap<String, BuildResult> {
    let mut next = BTreeMap::new();
    let mut add = |job: &str, threshold: BuildResult| {
        let worst = next.entry(job.to_owned()).or_insert(threshold);
        *worst = threshold.max(*worst);
    };
    if let Some(known) = jobs.get(name) {
        for Downstream { job, threshold } in &known.job.downstream {
            if jobs.contains_key(job) {
                add(job, *threshold);
            }
        }
    }
    for (other, known) in jobs {
        for upstream in known
            .job
            .triggers
            .upstream
            .iter()
            .filter(|it| it.job == name)
        {
            add(other, upstream.threshold);
        }
    }
    next
}

/// Jobs whose builds start `name`.
pub(super) fn upstream(jobs: &BTreeMap<String, Known>, name: &str) -> BTreeSet<String> {
    let own = jobs
        .get(name)
        .into_iter()
        .flat_map(|known| &known.job.triggers.upstream)
        .map(|upstream| upstream.job.clone());
    let others = jobs
        .iter()
        .filter(|(_, known)| known.job.downstream.iter().any(|it| it.job == name))
        .map(|(other, _)| other.clone());
    own.chain(others).collect()
}
