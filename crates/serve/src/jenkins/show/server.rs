//! The server itself, and lists of jobs in it.

use std::collections::BTreeMap;

use ward_build::api::JobLine;

use super::super::export::{Node, Sheet};
use super::super::world::{ALL, World};
use super::job::{Listed, listed};

/// The server.
pub(in crate::jenkins) fn server(world: &World, sheet: &mut Sheet<'_>) {
    let view = world.builds.server();
    sheet.class("hudson.model.Hudson");
    sheet.each(
        "assignedLabels",
        1,
        |_| [()],
        |(), label| {
            label.put("name", 2, || "built-in");
        },
    );
    sheet.put("mode", 1, || "NORMAL");
    sheet.put(
        "nodeDescription",
        1,
        || "the Jenkins controller's built-in node",
    );
    sheet.put("nodeName", 1, || "");
    sheet.put("numExecutors", 1, || view.executors);
    sheet.put("description", 1, || Node::Null);
    sheet.each(
        "jobs",
        1,
        |_| below(Contents::all(world), ""),
        |item, sheet| listed(world, &item, sheet),
    );
    sheet.nest("overallLoad", 1, |_| {});
    sheet.nest("primaryView", 1, |sheet| view_line(world, ALL, sheet));
    sheet.put("quietDownReason", 1, || {
        Node::text_or_null(view.quieting_down.as_deref().filter(|why| !why.is_empty()))
    });
    sheet.put("quietingDown", 1, || view.quieting_down.is_some());
    sheet.put("slaveAgentPort", 1, || -1_i64);
    sheet.nest("unlabeledLoad", 1, |sheet| {
        sheet.class("jenkins.model.UnlabeledLoadStatistics");
    });
    sheet.put("url", 1, || world.root.clone());
    sheet.put("useCrumbs", 1, || true);
    sheet.put("useSecurity", 1, || !world.is_open);
    sheet.each(
        "views",
        1,
        |_| world.builds.views(),
        |view, sheet| view_line(world, &view.name, sheet),
    );
}

fn view_line(world: &World, name: &str, sheet: &mut Sheet<'_>) {
    sheet.class(view_class(name));
    sheet.put("name", 2, || name);
    sheet.put("url", 999, || world.view_url(name));
}

/// Which kind of view.
pub(in crate::jenkins) fn view_class(name: &str) -> &'static str {
    if name == ALL {
        "hudson.model.AllView"
    } else {
        "hudson.model.ListView"
    }
}

/// Jobs and folders, by full name, in no order.
#[derive(Clone, Default)]
pub(in crate::jenkins) struct Contents {
    pub(in crate::jenkins) jobs: Vec<JobLine>,
    pub(in crate::jenkins) folders: Vec<String>,
}

impl Contents {
    /// Everything there is.
    pub(in crate::jenkins) fn all(world: &World) -> Self {
        Self {
            jobs: world.builds.jobs(),
            folders: world.builds.folders(),
        }
    }
}

/// What is directly in a folder (the root: an empty name), by name: jobs, and folders with what is in them.
pub(in crate::jenkins) fn below(contents: Contents, folder: &str) -> Vec<Listed> {
    let prefix = if folder.is_empty() {
        String::new()
    } else {
        format!("{folder}/")
    };
    let mut jobs = BTreeMap::new();
    let mut folders: BTreeMap<String, Contents> = BTreeMap::new();
    for line in contents.jobs {
        let Some(rest) = line.name.strip_prefix(&prefix) else {
            continue;
        };
        match rest.split_once('/') {
            None => {
                jobs.insert(line.name.clone(), line);
            }
            Some((first, _)) => {
                let within = folders.entry(format!("{prefix}{first}")).or_default();
                within.jobs.push(line);
            }
        }
    }
    for name in contents.folders {
        let Some(rest) = name.strip_prefix(&prefix) else {
            continue;
        };
        match rest.split_once('/') {
            None => {
                folders.entry(name).or_default();
            }
            Some((first, _)) => {
                let within = folders.entry(format!("{prefix}{first}")).or_default();
                within.folders.push(name);
            }
        }
    }
    let jobs = jobs
        .into_iter()
        .map(|(name, line)| (name, Listed::Job(Box::new(line))));
    let folders = folders
        .into_iter()
        .map(|(name, within)| (name.clone(), Listed::Folder(name, within)));
    let mut found: Vec<(String, Listed)> = jobs.chain(folders).collect();
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    found.into_iter().map(|(_, listed)| listed).collect()
}
