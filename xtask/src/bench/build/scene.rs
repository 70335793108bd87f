//! A build server that is measured, in a directory of its own.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::super::setup::{Setup, wait_until, wait_within};
use super::client::Client;

/// A server begins, and ends, within this time.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often somebody looks who waits for a result: less than what is measured, and no load to speak of.
const LOOK: Duration = Duration::from_millis(1);

/// The jobs that are measured.
const JOBS: &str = "
[job:empty]

[job:true]
script = true

[job:many]
concurrent = true
parameters = N = 0
keep_builds = 20000
script = true

[job:lines]
script =
    #!/bin/sh
    for i in 1 2 3 4 5 6 7 8 9 10
    do
        date +%s.%N
        sleep 0.05
    done
";

pub(super) struct Scene {
    server: Child,
    pub(super) client: Client,
    directory: PathBuf,
}

impl Scene {
    /// Starts a server with so many executors.
    pub(super) fn start(setup: &Setup, executors: u32) -> Result<Self> {
        let directory = setup.work.join(format!("builds-{executors}"));
        // An earlier round's.
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory)?;
        let configuration = directory.join("ward.conf");
        let head = format!(
            "[build]\ndirectory = %(here)s/home\nlisten = unix://%(here)s/site.sock\nquiet_period = 0\nexecutors = {executors}\n"
        );
        fs::write(&configuration, head + JOBS)?;
        let log = File::create(directory.join("log"))?;
        let server = Command::new(&setup.ward)
            .args(["build", "serve", "-c"])
            .arg(&configuration)
            .env("WARD_STATE_DIR", directory.join("state"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("starting the build server")?;
        let client = Client::of(&directory.join("home/control.sock"));
        let scene = Self {
            server,
            client,
            directory,
        };
        wait_until("the build server", PATIENCE, || {
            Ok(scene.client.json("/ward/api/server").ok())
        })
        .with_context(|| scene.complaints())?;
        Ok(scene)
    }

    fn complaints(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    pub(super) fn pid(&self) -> Pid {
        Pid::from_child(&self.server)
    }

    /// Waits until `job` has `count` builds that are recorded, and nothing waits or runs.
    pub(super) fn await_builds(&self, job: &str, count: u64, limit: Duration) -> Result<()> {
        let tree = "/api/json?tree=lastCompletedBuild[number],inQueue";
        wait_until("builds to be recorded", limit, || {
            let told = self.client.json(&format!("/job/{job}{tree}"))?;
            let last = told["lastCompletedBuild"]["number"].as_u64().unwrap_or(0);
            let server = self.client.json("/ward/api/server")?;
            let is_idle = server["busy"] == 0 && server["waiting"] == 0;
            Ok((last >= count && is_idle).then_some(()))
        })
        .with_context(|| self.complaints())
    }

    /// Waits until a build is recorded, looking often.
    pub(super) fn await_end(&self, job: &str, number: u64) -> Result<()> {
        let path = format!("/job/{job}/{number}/api/json?tree=result,inProgress");
        let end = std::time::Instant::now() + PATIENCE;
        loop {
            if let Ok(told) = self.client.json(&path)
                && !told["result"].is_null()
                && told["inProgress"] != true
            {
                return Ok(());
            }
            ensure!(std::time::Instant::now() < end, "{path}: no end");
            std::thread::sleep(LOOK);
        }
    }

    /// Ends it in good order.
    pub(super) fn end(mut self) -> Result<()> {
        kill_process(self.pid(), Signal::TERM)?;
        let status = wait_within(&mut self.server, PATIENCE)?;
        ensure!(
            status.is_some_and(|status| status.success()),
            "{status:?}: {}",
            self.complaints()
        );
        Ok(())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // Of one that was ended nothing is left to be killed.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
