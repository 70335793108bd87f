//! The measuring process: one kind of measurement after the other, then the results.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use super::results::{Machine, Results};
use super::setup::{Setup, busy_share};
use super::{Plan, What, build, latency, lock, memory, relay, spawn, stop, supervise};

pub(super) fn measure(plan: &Plan) -> Result<()> {
    let mut setup = Setup::of(plan)?;
    let results = match plan.what {
        What::Run => measure_run(&mut setup)?,
        What::Spawn => measure_spawn(&mut setup)?,
        What::Lock => measure_lock(&mut setup)?,
        What::Supervise => measure_supervise(&mut setup, &plan.wanted)?,
        What::Build => measure_build(&mut setup)?,
    };
    setup.progress("");
    println!("{}", results.text());
    if let Some(file) = &plan.effort.json {
        let json = serde_json::to_string_pretty(&results).context("writing the figures")?;
        fs::write(file, json + "\n").with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}

fn measure_spawn(setup: &mut Setup) -> Result<Results> {
    setup.wait_for_calm();
    let machine = machine(setup.rounds)?;
    let spawn = spawn::measure(setup).context("daemons")?;
    Ok(Results {
        spawned: spawn.running,
        returned: spawn.returned,
        goals: spawn.goals,
        missing: spawn.missing,
        ..Results::of(machine)
    })
}

fn measure_lock(setup: &mut Setup) -> Result<Results> {
    setup.wait_for_calm();
    let machine = machine(setup.rounds)?;
    let free = lock::free::measure(setup).context("start to exit")?;
    let contended = lock::contended::commands(setup).context("commands that want one lock")?;
    let in_process = lock::contended::in_process(setup).context("programs that want one lock")?;
    let memory = lock::memory::measure(setup).context("memory")?;
    Ok(Results {
        locked: free.rows,
        contended: contended.rows,
        in_process: in_process.rows,
        memory: memory.rows,
        goals: [free.goals, contended.goals, in_process.goals, memory.goals].concat(),
        missing: [free.missing, contended.missing].concat(),
        ..Results::of(machine)
    })
}

fn measure_run(setup: &mut Setup) -> Result<Results> {
    stop::check(setup)?;
    setup.wait_for_calm();
    let machine = machine(setup.rounds)?;
    let latency = latency::measure(setup).context("start to exit")?;
    let memory = memory::measure(setup).context("memory")?;
    let relay = relay::measure(setup).context("relay")?;
    let stop = stop::measure(setup).context("stop")?;
    Ok(Results {
        latency: latency.rows,
        relay: relay.rows,
        stop: stop.rows,
        memory: memory.rows,
        goals: [latency.goals, relay.goals, stop.goals, memory.goals].concat(),
        missing: [latency.missing, relay.missing, stop.missing, memory.missing].concat(),
        ..Results::of(machine)
    })
}

fn measure_supervise(setup: &mut Setup, wanted: &supervise::Wanted) -> Result<Results> {
    setup.wait_for_calm();
    let machine = machine(setup.rounds)?;
    let found = supervise::measure(setup, wanted)?;
    Ok(Results {
        supervised: found.sides,
        goals: found.goals,
        missing: found.missing,
        ..Results::of(machine)
    })
}

fn measure_build(setup: &mut Setup) -> Result<Results> {
    setup.wait_for_calm();
    let machine = machine(setup.rounds)?;
    let found = build::measure(setup).context("builds")?;
    Ok(Results {
        built: found.rows,
        goals: found.goals,
        missing: found.missing,
        ..Results::of(machine)
    })
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
