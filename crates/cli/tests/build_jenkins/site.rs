//! A build server on a port, with an administrator, and Jenkins' clients.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use ward_testkit::daemons::free_port;
use ward_testkit::patience::wait_until;
use ward_testkit::pypi::JENKINS_CLIENTS;
use ward_testkit::world::World;

use crate::Result;

/// Where Jenkins' clients are; nothing where they cannot be had.
pub(crate) fn clients() -> Result<Option<PathBuf>> {
    JENKINS_CLIENTS.programs(Path::new(env!("CARGO_TARGET_TMPDIR")))
}

pub(crate) struct Site {
    pub(crate) world: World,
    pub(crate) url: String,
    pub(crate) token: String,
    conf: PathBuf,
    server: Option<Child>,
}

impl Site {
    /// A server that answers.
    pub(crate) fn new() -> Result<Self> {
        let world = World::new(env!("CARGO_BIN_EXE_ward"))?;
        let conf = world.path("ward.conf");
        let port = free_port()?;
        let mark = world.mark();
        fs::write(
            &conf,
            format!(
                "[build]\ndirectory = %(here)s/home\nlisten = 127.0.0.1:{port}\nquiet_period = 0\n\
                 environment = WARD_TEST_MARK=\"{mark}\"\n\
                 [job:of-file]\nscript = echo from the file\n"
            ),
        )?;
        let mut site = Self {
            world,
            url: format!("http://127.0.0.1:{port}"),
            token: String::new(),
            conf,
            server: None,
        };
        site.build(&["user", "add", "admin", "--role", "admin", "--no-password"])?;
        site.token = site.build(&["token", "new", "admin", "test"])?;
        let log = File::create(site.world.path("server.log"))?;
        let conf = site.conf.to_string_lossy().into_owned();
        let server = site
            .command(&["build", "serve", "-c", &conf])
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        site.server = Some(server);
        wait_until("the server to answer", || site.build(&["list"]).is_ok())
            .with_context(|| site.complaints())?;
        Ok(site)
    }

    fn command(&self, words: &[&str]) -> Command {
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
            .current_dir(self.world.path("."))
            .stdin(Stdio::null());
        command
    }

    /// `ward build` with our configuration; what it said.
    fn build(&self, words: &[&str]) -> Result<String> {
        let conf = self.conf.to_string_lossy();
        let words = [&["build"], words, &["-c", &conf]].concat();
        let output = self.command(&words).output()?;
        ensure!(output.status.success(), "{words:?}: {output:?}");
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    pub(crate) fn complaints(&self) -> String {
        fs::read_to_string(self.world.path("server.log")).unwrap_or_default()
    }

    /// Runs a script of Python with the address, the user and the token as arguments.
    pub(crate) fn run_python(&self, programs: &Path, script: &str) -> Result {
        let file = self.world.path("script.py");
        fs::write(&file, script)?;
        let output = Command::new(programs.join("python"))
            .arg(&file)
            .args([&self.url, "admin", &self.token])
            .arg(programs)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONWARNINGS", "ignore")
            .env("no_proxy", "127.0.0.1")
            .current_dir(self.world.path("."))
            .stdin(Stdio::null())
            .output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success() && said.ends_with("done\n"),
            "{said}\n{}\n--- the server\n{}",
            String::from_utf8_lossy(&output.stderr),
            self.complaints()
        );
        Ok(())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            // What it has started is ended by the world.
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}
