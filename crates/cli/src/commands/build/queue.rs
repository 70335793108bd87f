//! `ward build queue`: what waits, and why.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::answers::{Item, Queue};
use super::connection::form;
use super::where_to;
use super::words::{ago, plain, print, print_json, table};
use crate::args::QueueArgs;
use crate::failure::Failure;

/// Lists it, or takes something out.
pub(super) fn run(arguments: &QueueArgs) -> Result<ExitCode, Failure> {
    let server = where_to::server(&arguments.at)?;
    if let Some(id) = arguments.cancel {
        server.post(&format!("/queue/cancelItem?id={id}"), &form([]))?;
        print(&format!("{id}: taken out of the queue\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let queue: Queue = server.get_json("/queue/api/json")?;
    if arguments.json {
        let items: Vec<Value> = queue.items.iter().map(item_json).collect();
        print_json(&json!({ "items": items }))?;
    } else {
        print(&item_table(&queue.items))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn item_table(items: &[Item]) -> String {
    let head = ["ID", "JOB", "SINCE", "WHY"].map(str::to_owned);
    let rows = items.iter().map(|item| {
        let why = plain(item.why.as_deref().unwrap_or_default());
        [
            item.id.to_string(),
            plain(&item.job()),
            ago(item.in_queue_since),
            if item.stuck {
                format!("stuck: {why}")
            } else {
                why
            },
        ]
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    table(&rows, rows.len())
}

fn item_json(item: &Item) -> Value {
    json!({
        "id": item.id,
        "job": item.job(),
        "why": item.why,
        "since": item.in_queue_since,
        "stuck": item.stuck,
    })
}
