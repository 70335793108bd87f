//! This host as Jenkins' one node.

use ward_build::api::{BuildView, Which};

use super::super::export::{Node, Sheet};
use super::super::world::World;
use super::build::{Build, build};

/// Builds of one job that are looked through for those that run.
const LOOKED_THROUGH: usize = 200;

/// All nodes: this one.
pub(in crate::jenkins) fn computers(world: &World, sheet: &mut Sheet<'_>) {
    let server = world.builds.server();
    sheet.class("hudson.model.ComputerSet");
    sheet.put("busyExecutors", 1, || server.busy);
    sheet.each("computer", 1, |_| [()], |(), sheet| computer(world, sheet));
    sheet.put("displayName", 1, || "Nodes");
    sheet.put("totalExecutors", 1, || server.executors);
}

/// This one.
pub(in crate::jenkins) fn computer(world: &World, sheet: &mut Sheet<'_>) {
    let server = world.builds.server();
    sheet.class("hudson.model.Hudson$MasterComputer");
    sheet.each("actions", 2, |_| None::<()>, |(), _| {});
    sheet.each(
        "assignedLabels",
        2,
        |_| [()],
        |(), label| {
            label.put("name", 3, || "built-in");
        },
    );
    sheet.put(
        "description",
        2,
        || "the Jenkins controller's built-in node",
    );
    sheet.put("displayName", 2, || "Built-In Node");
    sheet.each(
        "executors",
        2,
        |_| executors(world, server.executors),
        |(number, running), sheet| {
            sheet.nest_some(
                "currentExecutable",
                2,
                || running.as_ref(),
                |view, sheet| build(&Build::of_view(world, view.clone()), sheet),
            );
            sheet.put("idle", 2, || running.is_none());
            sheet.put("likelyStuck", 2, || false);
            sheet.put("number", 2, || number);
            sheet.put("progress", 2, || {
                running.as_ref().map_or(Node::Whole(-1), progress)
            });
        },
    );
    sheet.put("icon", 2, || "symbol-computer");
    sheet.put("idle", 2, || server.busy == 0);
    sheet.put("jnlpAgent", 2, || false);
    sheet.put("launchSupported", 2, || true);
    sheet.put("manualLaunchAllowed", 2, || true);
    sheet.nest("monitorData", 2, |_| {});
    sheet.put("numExecutors", 2, || server.executors);
    sheet.put("offline", 2, || false);
    sheet.put("offlineCause", 2, || Node::Null);
    sheet.put("offlineCauseReason", 2, || "");
    sheet.each("oneOffExecutors", 2, |_| None::<()>, |(), _| {});
    sheet.put("temporarilyOffline", 2, || false);
}

/// Every executor, and what runs on it.
fn executors(world: &World, count: u32) -> Vec<(u32, Option<BuildView>)> {
    let mut running = Vec::new();
    for job in world.builds.jobs() {
        if job.running == 0 {
            continue;
        }
        let lines = world.builds.builds(&job.name, None, LOOKED_THROUGH);
        for line in lines.unwrap_or_default() {
            if line.result.is_some() {
                continue;
            }
            let view = world.builds.build(&line.job, &Which::Number(line.number));
            running.extend(view.ok());
        }
    }
    let mut executors: Vec<(u32, Option<BuildView>)> =
        (0..count.min(1000)).map(|number| (number, None)).collect();
    // One whose place is not known, or taken, gets any other.
    let mut without = Vec::new();
    for view in running {
        let place = view.executor.and_then(|number| {
            executors
                .iter_mut()
                .find(|(at, held)| *at == number && held.is_none())
        });
        match place {
            Some((_, held)) => *held = Some(view),
            None => without.push(view),
        }
    }
    for view in without {
        match executors.iter_mut().find(|(_, held)| held.is_none()) {
            Some((_, held)) => *held = Some(view),
            None => {
                let number = u32::try_from(executors.len()).unwrap_or(u32::MAX);
                executors.push((number, Some(view)));
            }
        }
    }
    executors
}

/// How much of the estimate is over, percent; -1 where there is none.
fn progress(view: &BuildView) -> Node {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_millis()).ok());
    match (view.estimate, now) {
        (Some(estimate @ 1..), Some(now)) => {
            let over = u64::try_from(now.saturating_sub(view.line.started_at)).unwrap_or(0);
            Node::count((over.saturating_mul(100) / estimate).min(99))
        }
        (Some(_) | None, _) => Node::Whole(-1),
    }
}
