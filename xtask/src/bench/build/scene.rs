//! A build server of ward that is measured, in a directory of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::super::control::Group;
use super::super::setup::{Setup, wait_until, wait_within};
use super::client::Client;

/// A server begins, one build is done, and a server ends within this time.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// How often somebody looks who waits for one result: less than what is measured, and no load to speak of.
pub(super) const LOOK: Duration = Duration::from_millis(1);

/// How often somebody looks who waits for many.
const LOOK_AT_MANY: Duration = Duration::from_millis(20);

/// The job of which there are many builds.
pub(super) const MANY: &str = "many";

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
        date +at=%s.%N.
        sleep 0.05
    done
";

/// The files of a server, whether it runs or not.
pub(super) struct Place {
    pub(super) directory: PathBuf,
}

impl Place {
    /// A new one.
    pub(super) fn make(setup: &Setup, executors: u32) -> Result<Self> {
        let directory = setup.work.join("builds");
        // Of a round that failed.
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).context("making a directory")?;
        let head = format!(
            "[build]\ndirectory = %(here)s/home\nlisten = unix://%(here)s/site.sock\nquiet_period = 0\nexecutors = {executors}\n"
        );
        fs::write(directory.join("ward.conf"), head + JOBS)?;
        Ok(Self { directory })
    }

    pub(super) fn home(&self) -> PathBuf {
        self.directory.join("home")
    }

    fn log(&self) -> PathBuf {
        self.directory.join("log")
    }
}

pub(super) struct Scene {
    server: Child,
    group: Option<Group>,
    pub(super) client: Client,
    log: PathBuf,
}

impl Scene {
    /// Starts a server, lets `use_it` work with it, and ends it in good order.
    pub(super) fn with<T>(
        setup: &Setup,
        place: &Place,
        use_it: impl FnOnce(&Self) -> Result<T>,
    ) -> Result<T> {
        let scene = Self::start(setup, place)?;
        let used = until_it_answers(&scene.client, "/ward/api/server")
            .and_then(|()| use_it(&scene))
            .with_context(|| scene.complaints());
        scene.end(setup)?;
        used
    }

    fn start(setup: &Setup, place: &Place) -> Result<Self> {
        let log = File::create(place.log())?;
        let mut command = Command::new(&setup.ward);
        command
            .args(["build", "serve", "-c"])
            .arg(place.directory.join("ward.conf"))
            .env("WARD_STATE_DIR", place.directory.join("state"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let (server, group) =
            setup.in_own_group(|| command.spawn().context("starting the build server"))?;
        Ok(Self {
            server,
            group,
            client: Client::of(&place.home().join("control.sock")),
            log: place.log(),
        })
    }

    fn complaints(&self) -> String {
        let said = fs::read_to_string(&self.log).unwrap_or_default();
        format!("it said: {}", said.trim())
    }

    pub(super) fn pid(&self) -> Pid {
        Pid::from_child(&self.server)
    }

    /// Waits until nothing waits or runs.
    pub(super) fn await_idle(&self, limit: Duration) -> Result<()> {
        let end = Instant::now() + limit;
        loop {
            let server = self.client.json("/ward/api/server")?;
            if server["busy"] == 0 && server["waiting"] == 0 {
                return Ok(());
            }
            ensure!(Instant::now() < end, "builds are not over");
            thread::sleep(LOOK_AT_MANY);
        }
    }

    /// Waits until a build is recorded, looking often.
    pub(super) fn await_end(&self, job: &str, number: u64) -> Result<()> {
        let path = format!("/job/{job}/{number}/api/json?tree=result,inProgress");
        let end = Instant::now() + PATIENCE;
        loop {
            if let Ok(told) = self.client.json(&path)
                && !told["result"].is_null()
                && told["inProgress"] != true
            {
                return Ok(());
            }
            ensure!(Instant::now() < end, "{path}: no end");
            thread::sleep(LOOK);
        }
    }

    /// Asks for so many builds, each with another parameter.
    pub(super) fn ask_for(&self, count: u64) -> Result<()> {
        for number in 1..=count {
            self.client
                .start(&format!("/job/{MANY}/buildWithParameters?N={number}"))?;
        }
        Ok(())
    }

    /// How many of those builds were done once and are recorded as good, of the newest `count` builds.
    pub(super) fn recorded(&self, count: u64) -> Result<u64> {
        let tree = format!(
            "/job/{MANY}/api/json?tree=allBuilds[result,actions[parameters[value]]]{{0,{count}}}"
        );
        let told = self.client.json(&tree)?;
        let builds = told["allBuilds"].as_array().context("no builds")?;
        let mut values: Vec<u64> = builds
            .iter()
            .filter(|build| build["result"] == "SUCCESS")
            .filter_map(|build| {
                build["actions"]
                    .as_array()?
                    .iter()
                    .find_map(|action| action["parameters"][0]["value"].as_str())?
                    .parse()
                    .ok()
            })
            .filter(|value| (1..=count).contains(value))
            .collect();
        values.sort_unstable();
        values.dedup();
        Ok(values.len() as u64)
    }

    fn end(mut self, setup: &Setup) -> Result<()> {
        kill_process(self.pid(), Signal::TERM).context("ending the server")?;
        let status = wait_within(&mut self.server, PATIENCE)?;
        let complaints = self.complaints();
        setup.clean(self.group.take())?;
        ensure!(
            status.is_some_and(|status| status.success()),
            "the server ended badly: {status:?}; {complaints}"
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

pub(super) fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// Waits for a server to answer.
pub(super) fn until_it_answers(client: &Client, path: &str) -> Result<()> {
    wait_until("the server answers", PATIENCE, || {
        Ok(client.json(path).ok().map(drop))
    })
}

/// Removes the files of a server.
pub(super) fn remove(directory: &Path) -> Result<()> {
    fs::remove_dir_all(directory).context("removing a directory")
}
