//! The measuring process: one kind of measurement after the other, then the results.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use super::results::{Machine, Results};
use super::setup::{Setup, busy_share};
use super::{Plan, latency, memory, relay, stop};

pub(super) fn measure(plan: &Plan) -> Result<()> {
    let mut setup = Setup::of(plan)?;
    stop::check(&setup)?;
    setup.wait_for_calm();
    let machine = machine(setup.rounds)?;
    let latency = latency::measure(&mut setup).context("start to exit")?;
    let memory = memory::measure(&setup).context("memory")?;
    let relay = relay::measure(&mut setup).context("relay")?;
    let stop = stop::measure(&mut setup).context("stop")?;
    setup.progress("");

    let results = Results {
        machine,
        latency: latency.rows,
        relay: relay.rows,
        stop: stop.rows,
        memory: memory.rows,
        goals: [latency.goals, relay.goals, stop.goals, memory.goals].concat(),
        missing: [latency.missing, relay.missing, stop.missing, memory.missing].concat(),
    };
    println!("{}", results.text());
    if let Some(file) = &plan.effort.json {
        let json = serde_json::to_string_pretty(&results).context("writing the figures")?;
        fs::write(file, json + "\n").with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}

fn machine(rounds: u32) -> Result<Machine> {
    let kernel =
        fs::read_to_string("/proc/sys/kernel/osrelease").context("reading the kernel's release")?;
    Ok(Machine {
        processors: thread::available_parallelism().map_or(1, usize::from),
        kernel: kernel.trim().to_owned(),
        rounds,
        busy_before: busy_share(Duration::from_millis(500)),
    })
}
