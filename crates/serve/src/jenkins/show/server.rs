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
        |_| below(world.builds.jobs(), ""),
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

/// What is directly in a folder (the root: an empty name), by name: jobs, and folders with what is in them.
pub(in crate::jenkins) fn below(jobs: Vec<JobLine>, folder: &str) -> Vec<Listed> {
    let prefix = if folder.is_empty() {
        String::new()
    } else {
        format!("{folder}/")
    };
    let mut found: BTreeMap<String, Listed> = BTreeMap::new();
    for line in jobs {
        let Some(rest) = line.name.strip_prefix(&prefix) else {
            continue;
        };
        match rest.split_once('/') {
            None => {
                found.insert(line.name.clone(), Listed::Job(Box::new(line)));
            }
            Some((first, _)) => {
                let name = format!("{prefix}{first}");
                let slot = found
                    .entry(name.clone())
                    .or_insert_with(|| Listed::Folder(name, Vec::new()));
                if let Listed::Folder(_, jobs) = slot {
                    jobs.push(line);
                }
            }
        }
    }
    found.into_values().collect()
}
