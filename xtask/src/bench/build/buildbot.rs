//! Buildbot: a master, and workers of its own inside it, which is the least that it can be.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Pid;
use serde_json::{Value, json};

use super::super::processes;
use super::super::setup::Setup;
use super::super::venv;
use super::client::Client;
use super::gathered::{EIGHT_AT_A_TIME, EMPTY, Figure, ONE_AT_A_TIME, RESIDENT, Samples, TRUE};
use super::scene::{milliseconds, remove, until_it_answers};
use super::ward::per_minute;

/// Builds one after the other in a round.
const ONE_BY_ONE: usize = 5;
/// Builds that wait at once in a round.
const AT_ONCE: usize = 40;
const QUICK_AT_ONCE: usize = 16;
/// They end within this time.
const LIMIT: Duration = Duration::from_secs(180);

/// How often somebody looks who waits for one result: each look takes some of the one thread that builds, too.
const LOOK: Duration = Duration::from_millis(10);
const LOOK_AT_MANY: Duration = Duration::from_millis(100);

/// One worker for what is asked one by one, eight where eight may run: a worker builds one thing of a builder
/// at a time.
const CONFIGURATION: &str = r#"
from buildbot.plugins import schedulers, steps, util, worker

workers = [f"worker{number}" for number in range(8)]
true = [steps.ShellCommand(command=["true"], logEnviron=False)]
builders = [("empty", [], 1), ("true", true, 1), ("one", true, 1), ("eight", true, 8)]

BuildmasterConfig = {
    "workers": [worker.LocalWorker(name) for name in workers],
    "builders": [
        util.BuilderConfig(name=name, factory=util.BuildFactory(steps), workernames=workers[:count])
        for name, steps, count in builders
    ],
    "schedulers": [schedulers.ForceScheduler(name="force", builderNames=[it[0] for it in builders])],
    "collapseRequests": False,
    "protocols": {"null": {}},
    "db": {"db_url": "sqlite:///state.sqlite"},
    "www": {"port": "unix:site.sock", "plugins": {}},
    "buildbotNetUsageData": None,
}
"#;

/// Buildbot, installed, and the directory of a new master.
pub(super) struct Buildbot {
    programs: PathBuf,
    template: PathBuf,
}

/// Installs it below `directory`, or says why it cannot be.
pub(super) fn install(directory: &Path) -> Result<Buildbot, String> {
    let wanted = venv::Wanted {
        name: "buildbot",
        variable: "WARD_BENCH_BUILDBOT_VENV",
        packages: &["buildbot", "buildbot-worker", "buildbot-www"],
        version: "4.3.0",
    };
    fs::create_dir_all(directory).map_err(|error| error.to_string())?;
    let programs = wanted.programs(directory)?;
    let it = Buildbot {
        programs,
        template: directory.join("master"),
    };
    it.make_template().map_err(|error| format!("{error:#}"))?;
    Ok(it)
}

impl Buildbot {
    /// A new master has an empty database, which takes seconds to make.
    fn make_template(&self) -> Result<()> {
        let _ = fs::remove_dir_all(&self.template);
        let output = Command::new(self.programs.join("buildbot"))
            .args(["create-master", "--quiet", "--relocatable"])
            .args(["--db", "sqlite:///state.sqlite"])
            .arg(&self.template)
            .stdin(Stdio::null())
            .output()
            .context("starting buildbot")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("create-master: {}", said.trim());
        }
        fs::write(self.template.join("master.cfg"), CONFIGURATION).context("writing master.cfg")
    }

    /// Everything that one round brings.
    pub(super) fn round(&self, setup: &Setup) -> Result<Samples> {
        let directory = setup.work.join("buildbot");
        // Of a round that failed.
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory)?;
        for name in ["buildbot.tac", "master.cfg", "state.sqlite"] {
            fs::copy(self.template.join(name), directory.join(name)).context(name)?;
        }
        let mut command = Command::new(self.programs.join("twistd"));
        command
            .args(["--nodaemon", "--no_save", "--logfile=twistd.log"])
            .arg("--python=buildbot.tac")
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let (child, group) = setup.in_own_group(|| command.spawn().context("starting buildbot"))?;
        let master = Master {
            child,
            client: Client::of(&directory.join("site.sock")),
        };
        let found = master
            .measure(setup)
            .with_context(|| last_words(&directory));
        setup.clean(group)?;
        remove(&directory)?;
        found
    }
}

/// What it complained of last.
fn last_words(directory: &Path) -> String {
    let said = fs::read(directory.join("twistd.log")).unwrap_or_default();
    let text = String::from_utf8_lossy(&said);
    let complaint = text.lines().rfind(|line| line.contains("rror"));
    format!("it said: {}", complaint.unwrap_or("nothing"))
}

/// A master that runs.
struct Master {
    child: Child,
    client: Client,
}

impl Master {
    fn measure(&self, setup: &Setup) -> Result<Samples> {
        until_it_answers(&self.client, "/api/v2/builders")?;
        let mut found: Samples = [("empty", EMPTY), ("true", TRUE)]
            .into_iter()
            .map(|(builder, figure)| Ok((figure, self.one_by_one(builder)?)))
            .collect::<Result<_>>()?;
        let crowds: [(&str, Figure); 2] = [("one", ONE_AT_A_TIME), ("eight", EIGHT_AT_A_TIME)];
        for (builder, figure) in crowds {
            let count = if setup.quick { QUICK_AT_ONCE } else { AT_ONCE };
            found.push((figure, vec![self.crowd(builder, count)?]));
        }
        let pids = [Pid::from_child(&self.child).as_raw_pid()];
        let memory = processes::settled(&pids).context("its memory")?;
        found.push((RESIDENT, vec![memory.resident as f64 * 1024.0 / 1e6]));
        Ok(found)
    }

    /// Milliseconds of each build.
    fn one_by_one(&self, builder: &str) -> Result<Vec<f64>> {
        let id = self.builder(builder)?;
        (0..ONE_BY_ONE)
            .map(|_| {
                let begun = Instant::now();
                let request = self.force(&id)?;
                let path = format!("/api/v2/buildrequests/{request}");
                self.until(LOOK, || {
                    let told = self.client.json(&path)?;
                    let request = &told["buildrequests"][0];
                    let is_over = request["complete"] == true;
                    ensure!(!is_over || request["results"] == 0, "a build failed");
                    Ok(is_over)
                })
                .with_context(|| path.clone())?;
                Ok(milliseconds(begun))
            })
            .collect()
    }

    /// Asks for many builds, and returns how many are done in a minute.
    fn crowd(&self, builder: &str, count: usize) -> Result<f64> {
        let id = self.builder(builder)?;
        let begun = Instant::now();
        for _ in 0..count {
            self.force(&id)?;
        }
        let path = format!("/api/v2/builders/{id}/buildrequests");
        let requests = |which: &str| -> Result<Vec<Value>> {
            let told = self
                .client
                .json(&format!("{path}?{which}&field=buildrequestid"))?;
            Ok(told["buildrequests"]
                .as_array()
                .cloned()
                .unwrap_or_default())
        };
        self.until(LOOK_AT_MANY, || {
            Ok(requests("complete=false&field=complete&limit=1")?.is_empty())
        })?;
        let took = begun.elapsed();
        let good = requests("results=0&field=results")?.len();
        ensure!(good == count, "{good} builds of {count} are recorded");
        Ok(per_minute(count as u64, took))
    }

    /// The number of a builder, as requests name it.
    fn builder(&self, name: &str) -> Result<String> {
        let told = self.client.json("/api/v2/builders")?;
        let all = told["builders"].as_array().context("no builders")?;
        let it = all.iter().find(|builder| builder["name"] == name);
        let it = it.with_context(|| format!("no builder {name}"))?;
        Ok(it["builderid"].to_string())
    }

    /// Asks for a build, and returns the request's number.
    fn force(&self, builder: &str) -> Result<u64> {
        let call = json!({
            "jsonrpc": "2.0", "id": 1, "method": "force", "params": { "builderid": builder },
        });
        let path = "/api/v2/forceschedulers/force";
        let told = self.client.post_json(path, &call)?;
        told["result"][1][builder]
            .as_u64()
            .with_context(|| format!("no request: {told}"))
    }

    fn until(&self, pause: Duration, mut look: impl FnMut() -> Result<bool>) -> Result<()> {
        let end = Instant::now() + LIMIT;
        while !look()? {
            ensure!(Instant::now() < end, "not within {} s", LIMIT.as_secs());
            thread::sleep(pause);
        }
        Ok(())
    }
}
