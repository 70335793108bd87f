//! A build server in the directory of a test, and people who ask it.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use ward_testkit::patience::{wait_for, wait_until};
use ward_testkit::world::World;

use crate::Result;

pub(crate) fn world() -> Result<World> {
    World::new(env!("CARGO_BIN_EXE_ward"))
}

pub(crate) struct Scene<'w> {
    pub(crate) world: &'w World,
    pub(crate) conf: PathBuf,
    server: Option<Child>,
}

/// What a command said, and its exit status.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output
                .status
                .code()
                .or_else(|| output.status.signal().map(|signal| -signal)),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    pub(crate) fn expect(self, code: i32) -> Result<Self> {
        ensure!(self.code == Some(code), "not {code}: {self:#?}");
        Ok(self)
    }

    pub(crate) fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.out).with_context(|| format!("{self:#?}"))
    }
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
        let mut command = Command::new(self.world.ward_program());
        self.world.furnish(&mut command);
        for name in [
            "WARD_BUILD_URL",
            "WARD_BUILD_TOKEN",
            "XDG_CONFIG_HOME",
            "NOTIFY_SOCKET",
        ] {
            command.env_remove(name);
        }
        command
            .args(words)
            .env("TMPDIR", self.temporary())
            .current_dir(self.world.path("."))
            .stdin(Stdio::null());
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
        let log = File::options().create(true).append(true).open(self.log())?;
        let server = self
            .command(&["build", "serve", "-c", &conf])
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.server = Some(server);
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
        Ok(server.id().cast_signed())
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result {
        kill_process(Pid::from_raw(self.pid()?).context("no pid")?, signal)?;
        Ok(())
    }

    /// Waits until the server has ended by itself; gives its exit status.
    pub(crate) fn ended(&mut self) -> Result<Option<i32>> {
        let mut server = self.server.take().context("no server")?;
        let status = wait_for("the server to end", || server.try_wait().ok().flatten())
            .with_context(|| self.complaints())?;
        Ok(status.code())
    }

    /// Kills it as nobody can handle.
    pub(crate) fn kill(&mut self) -> Result {
        let mut server = self.server.take().context("no server")?;
        server.kill()?;
        server.wait()?;
        Ok(())
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

impl Drop for Scene<'_> {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            // What it has started is ended by the world.
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// A repository with these files and one commit; `None` where there is no git.
pub(crate) fn repository(path: &Path, files: &[(&str, &str)]) -> Result<Option<PathBuf>> {
    if ward_testkit::programs::in_path("git").is_none() {
        ward_testkit::programs::skipped("a repository", "there is no git");
        return Ok(None);
    }
    fs::create_dir_all(path)?;
    git(path, &["init", "-q"])?;
    git(path, &["symbolic-ref", "HEAD", "refs/heads/main"])?;
    for (name, text) in files {
        fs::write(path.join(name), text)?;
    }
    git(path, &["add", "."])?;
    commit(path, "first")?;
    Ok(Some(path.to_owned()))
}

pub(crate) fn commit(path: &Path, message: &str) -> Result {
    git(path, &["commit", "-q", "-a", "-m", message])
}

fn git(path: &Path, words: &[&str]) -> Result {
    let output = Command::new("git")
        .args(["-c", "user.name=T", "-c", "user.email=t@example.org"])
        .args(words)
        .current_dir(path)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .output()?;
    ensure!(output.status.success(), "{words:?}: {output:?}");
    Ok(())
}
