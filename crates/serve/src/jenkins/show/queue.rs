//! What waits.

use std::collections::HashMap;

use ward_build::api::{QueueItem, QueuePlace};

use super::super::export::{Node, Sheet};
use super::super::world::{World, base_name};
use super::build::{Build, build, cause_of, parameters};
use super::job::colour;

/// Everything that waits.
pub(in crate::jenkins) fn queue(world: &World, sheet: &mut Sheet<'_>) {
    sheet.class("hudson.model.Queue");
    sheet.each("discoverableItems", 1, |_| None::<()>, |(), _| {});
    // A thousand requests may wait for one job, and asking for a job takes longer the more wait.
    let mut colours: HashMap<String, Node> = HashMap::new();
    sheet.each(
        "items",
        1,
        |_| world.builds.queue(),
        |item, sheet| {
            let mut of_job = |job: &str| match colours.get(job) {
                Some(colour) => colour.clone(),
                None => {
                    let colour = colour_of(world, job);
                    colours.insert(job.to_owned(), colour.clone());
                    colour
                }
            };
            one(world, &item, 2, &mut of_job, sheet);
        },
    );
}

fn colour_of(world: &World, job: &str) -> Node {
    let view = world.builds.job(job);
    view.map_or(Node::from("notbuilt"), |view| colour(&view.line).into())
}

/// One that waits, or left.
pub(in crate::jenkins) fn queue_item(world: &World, item: &QueueItem, sheet: &mut Sheet<'_>) {
    one(world, item, 1, &mut |job| colour_of(world, job), sheet);
}

/// The one of a job.
pub(in crate::jenkins) fn queue_item_of(world: &World, item: &QueueItem, sheet: &mut Sheet<'_>) {
    one(world, item, 2, &mut |job| colour_of(world, job), sheet);
}

fn one(
    world: &World,
    item: &QueueItem,
    seen: i32,
    colour_of: &mut dyn FnMut(&str) -> Node,
    sheet: &mut Sheet<'_>,
) {
    let (class, blocked, buildable) = match item.place {
        QueuePlace::Waiting(_) => ("hudson.model.Queue$WaitingItem", false, false),
        QueuePlace::Blocked => ("hudson.model.Queue$BlockedItem", true, false),
        QueuePlace::Buildable(_) => ("hudson.model.Queue$BuildableItem", false, true),
        QueuePlace::Started(_) | QueuePlace::Cancelled => {
            ("hudson.model.Queue$LeftItem", false, false)
        }
    };
    sheet.class(class);
    sheet.each(
        "actions",
        seen,
        |_| [true, false],
        |is_cause, sheet| {
            if is_cause {
                sheet.class("hudson.model.CauseAction");
                sheet.each(
                    "causes",
                    999,
                    |_| item.causes.iter(),
                    |cause, sheet| cause_of(cause, sheet),
                );
            } else if !item.parameters.is_empty() {
                sheet.class("hudson.model.ParametersAction");
                parameters(&item.parameters, sheet);
            }
        },
    );
    sheet.put("blocked", seen, || blocked);
    sheet.put("buildable", seen, || buildable);
    sheet.put("id", seen, || Node::count(item.id));
    sheet.put("inQueueSince", seen, || item.since);
    sheet.put("params", seen, || {
        let mut lines = String::new();
        for value in &item.parameters {
            let shown = if value.secret { "******" } else { &value.value };
            lines.push_str(&format!("\n{}={shown}", value.name));
        }
        lines
    });
    sheet.put("stuck", seen, || item.stuck);
    sheet.nest("task", seen, |sheet| {
        sheet.class("hudson.model.FreeStyleProject");
        sheet.put("name", 999, || base_name(&item.job));
        sheet.put("url", 999, || world.job_url(&item.job));
        sheet.put("color", 999, || colour_of(&item.job));
    });
    sheet.put("url", 999, || format!("queue/item/{}/", item.id));
    let waits = match item.place {
        QueuePlace::Started(_) | QueuePlace::Cancelled => None,
        QueuePlace::Waiting(_) | QueuePlace::Blocked | QueuePlace::Buildable(_) => {
            Some(item.why.as_str())
        }
    };
    sheet.put("why", seen, || Node::text_or_null(waits));
    match item.place {
        QueuePlace::Waiting(due) => sheet.put("timestamp", seen, || due),
        QueuePlace::Blocked => sheet.put("buildableStartMilliseconds", seen, || item.since),
        QueuePlace::Buildable(since) => {
            sheet.put("buildableStartMilliseconds", seen, || since);
            sheet.put("pending", seen, || false);
        }
        QueuePlace::Started(number) => {
            sheet.put("cancelled", seen, || false);
            sheet.nest("executable", seen, |sheet| {
                build(&Build::of_number(world, &item.job, number), sheet);
            });
        }
        QueuePlace::Cancelled => {
            sheet.put("cancelled", seen, || true);
            sheet.put("executable", seen, || Node::Null);
        }
    }
}
