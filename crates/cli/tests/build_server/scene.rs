//! A build server in the directory of a test, and people who ask it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
pub(crate) use ward_testkit::builds::Said;
use ward_testkit::builds::{Server, command, keep};
use ward_testkit::patience::{wait_for, wait_until};
use ward_testkit::world::World;

use crate::Result;

pub(crate) fn world() -> Result<World> {
    World::new(env!("CARGO_BIN_EXE_ward"))
}

pub(crate) struct Scene<'w> {
    pub(crate) world: &'w World,
    pub(crate) conf: PathBuf,
    server: Option<Server>,
}

impl<'w> Scene<'w> {
    /// A configuration with these keys of the server and these sections.
    pub(crate) fn new(world: &'w World, keys: &str, sections: &str) -> Result<Self> {
        let conf = world.path("ward.conf");
        let scene = Self {
            world,
            conf,
            server: None,
        };
        scene.write(keys, sections)?;
        let temporary = scene.temporary();
        fs::create_dir_all(&temporary)?;
        fs::set_permissions(&temporary, fs::Permissions::from_mode(0o1777))?;
        Ok(scene)
    }

    pub(crate) fn write(&self, keys: &str, sections: &str) -> Result {
        let mark = self.world.mark();
        let text = format!(
            "[supervisord]\nlogfile = %(here)s/up.log\npidfile = %(here)s/up.pid\nchildlogdir = %(here)s\n\
             [unix_http_server]\nfile = %(here)s/up.sock\n\
             [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n\
             [supervisorctl]\nserverurl = unix://%(here)s/up.sock\n\
             [build]\ndirectory = %(here)s/home\nlisten = unix://%(here)s/site.sock\nquiet_period = 0\n\
             environment = WARD_TEST_MARK=\"{mark}\"\n{keys}\n{sections}\n"
        );
        fs::write(&self.conf, text)?;
        Ok(())
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.world.path("home")
    }

    /// Where the server and its runners put temporary files.
    pub(crate) fn temporary(&self) -> PathBuf {
        self.world.path("tmp")
    }

    /// A command of `ward`.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = command(self.world, words);
        command.env("TMPDIR", self.temporary());
        command
    }

    /// `ward build` with these words and our configuration.
    pub(crate) fn build(&self, words: &[&str]) -> Result<Said> {
        let conf = self.conf.to_string_lossy();
        let words = [&["build"], words, &["-c", &conf]].concat();
        Ok(Said::of(&self.command(&words).output()?))
    }

    /// Any other command.
    pub(crate) fn ward(&self, words: &[&str]) -> Result<Said> {
        Ok(Said::of(&self.command(words).output()?))
    }

    /// Runs a command to its end.
    pub(crate) fn run(command: &mut Command) -> Result<Said> {
        Ok(Said::of(&command.output()?))
    }

    /// Starts the server, and waits until it answers.
    pub(crate) fn serve(&mut self) -> Result {
        let conf = self.conf.to_string_lossy().into_owned();
        let serve = self.command(&["build", "serve", "-c", &conf]);
        self.server = Some(Server::start(serve, &self.log())?);
        self.await_answers()
    }

    pub(crate) fn await_answers(&self) -> Result {
        wait_until("the server to answer", || {
            self.build(&["list"]).is_ok_and(|said| said.code == Some(0))
        })
        .with_context(|| self.complaints())
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.world.path("server.log")
    }

    pub(crate) fn complaints(&self) -> String {
        let list = self.build(&["list"]);
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        format!("--- the server\n{log}\n--- {list:?}")
    }

    /// The server's process.
    pub(crate) fn pid(&self) -> Result<i32> {
        let server = self.server.as_ref().context("no server")?;
        Ok(server.pid())
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result {
        kill_process(Pid::from_raw(self.pid()?).context("no pid")?, signal)?;
        Ok(())
    }

    /// Waits until the server has ended by itself; gives its exit status.
    pub(crate) fn ended(&mut self) -> Result<Option<i32>> {
        let mut server = self.server.take().context("no server")?;
        let status =
            wait_for("the server to end", || server.status()).with_context(|| self.complaints())?;
        Ok(status.code())
    }

    /// Kills it as nobody can handle.
    pub(crate) fn kill(&mut self) -> Result {
        self.server.take().context("no server")?.kill()
    }

    /// A build, once it is over.
    pub(crate) fn over(&self, job: &str, number: u32) -> Result<Value> {
        let number = number.to_string();
        wait_for("the build to be over", || {
            let shown = self.build(&["show", job, &number, "--json"]).ok()?;
            let shown = shown.json().ok()?;
            (shown["running"] == false && !shown["result"].is_null()).then_some(shown)
        })
        .with_context(|| format!("{job} {number}\n{}", self.complaints()))
    }

    /// The numbers of all builds of a job, oldest first.
    pub(crate) fn numbers(&self, job: &str) -> Result<Vec<u64>> {
        let builds = self.build(&["list", job, "-n", "1000", "--json"])?;
        let builds = builds.expect(0)?.json()?;
        let builds = builds["builds"].as_array().context("no list")?;
        let numbers = builds.iter().filter_map(|build| build["number"].as_u64());
        Ok(numbers.rev().collect())
    }

    /// Where a build's outcome is once it has ended, whether or not the server knows.
    pub(crate) fn outcome(&self, job: &str, number: u32) -> PathBuf {
        self.home()
            .join(format!("jobs/{job}/builds/{number}/outcome.json"))
    }

    /// Waits until a build's console has `text`.
    pub(crate) fn await_text(&self, job: &str, number: u32, text: &str) -> Result {
        let number = number.to_string();
        wait_until(&format!("`{text}` in the console"), || {
            self.build(&["log", job, &number])
                .is_ok_and(|said| said.out.contains(text))
        })
        .with_context(|| self.complaints())
    }

    /// Ends the server in good order.
    pub(crate) fn end(&mut self) -> Result {
        self.signal(Signal::TERM)?;
        let code = self.ended()?;
        ensure!(code == Some(0), "{code:?}\n{}", self.complaints());
        Ok(())
    }
}

/// A repository with these files and one commit; `None` where there is no git.
pub(crate) fn repository(path: &Path, files: &[(&str, &str)]) -> Result<Option<PathBuf>> {
    if ward_testkit::programs::in_path("git").is_none() {
        ward_testkit::programs::skipped("a repository", "there is no git");
        return Ok(None);
    }
    fs::create_dir_all(path)?;
    for (name, text) in files {
        fs::write(path.join(name), text)?;
    }
    keep(path)?;
    Ok(Some(path.to_owned()))
}
