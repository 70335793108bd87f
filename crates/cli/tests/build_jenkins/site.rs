//! A build server on a port, with an administrator, and Jenkins' clients.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use ward_testkit::builds::{self, Server};
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
    pub(crate) conf: PathBuf,
    server: Option<Server>,
}

/// Who there is besides `admin`, who has a token alone.
const PEOPLE: [(&str, &str, &str); 3] = [
    ("person", "build", "a good password"),
    ("reader", "read", "another good password"),
    ("boss", "admin", "a very good password"),
];

/// Programs beside the build server.
const PROGRAMS: &str = "[program:steady]\ncommand = sh -c 'echo said by steady; exec sleep 1000'\n\
    [program:idle]\ncommand = sleep 1000\nautostart = false\n\
    [program:many]\ncommand = sleep 1000\nautostart = false\nnumprocs = 2\n\
    process_name = %(program_name)s_%(process_num)02d\n";

impl Site {
    /// A server that answers.
    pub(crate) fn new() -> Result<Self> {
        Self::with("")
    }

    /// One with more sections.
    pub(crate) fn with(sections: &str) -> Result<Self> {
        let mut site = Self::prepared(sections)?;
        let conf = site.conf.to_string_lossy().into_owned();
        let serve = site.command(&["build", "serve", "-c", &conf]);
        site.server = Some(Server::start(serve, &site.world.path("server.log"))?);
        site.await_answers()?;
        Ok(site)
    }

    /// One that `ward up` keeps, beside programs.
    pub(crate) fn kept_by_up() -> Result<Self> {
        let supervisor = "[supervisord]\nlogfile = %(here)s/up.log\npidfile = %(here)s/up.pid\nchildlogdir = %(here)s\n\
            [unix_http_server]\nfile = %(here)s/up.sock\nusername = keeper\npassword = of the socket\n\
            [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n\
            [supervisorctl]\nserverurl = unix://%(here)s/up.sock\nusername = keeper\npassword = of the socket\n";
        let site = Self::prepared(&format!("{supervisor}{PROGRAMS}"))?;
        let conf = site.conf.to_string_lossy().into_owned();
        let output = site.command(&["up", "-c", &conf]).output()?;
        ensure!(output.status.success(), "{output:?}");
        site.await_answers()?;
        Ok(site)
    }

    /// Ends what `ward up` keeps, and waits until it has ended.
    pub(crate) fn shut_down(self) -> Result {
        let conf = self.conf.to_string_lossy().into_owned();
        let output = self.command(&["ctl", "-c", &conf, "shutdown"]).output()?;
        ensure!(output.status.success(), "{output:?}");
        wait_until("everybody to be gone", || self.world.wards().is_empty())
            .with_context(|| format!("{:#?}", self.world.wards()))
    }

    fn await_answers(&self) -> Result {
        wait_until("the server to answer", || self.build(&["list"]).is_ok())
            .with_context(|| self.complaints())
    }

    /// A configuration and accounts, and nobody who serves yet.
    fn prepared(sections: &str) -> Result<Self> {
        let world = World::new(env!("CARGO_BIN_EXE_ward"))?;
        let conf = world.path("ward.conf");
        let port = free_port()?;
        let mark = world.mark();
        fs::write(
            &conf,
            format!(
                "[build]\ndirectory = %(here)s/home\nlisten = 127.0.0.1:{port}\nquiet_period = 0\n\
                 environment = WARD_TEST_MARK=\"{mark}\"\n\
                 [job:of-file]\nscript = echo from the file\n{sections}"
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
        for (name, role, password) in PEOPLE {
            let conf = site.conf.to_string_lossy().into_owned();
            let words = ["build", "user", "add", name, "--role", role, "-c", &conf];
            let file = site.world.path("password");
            fs::write(&file, format!("{password}\n"))?;
            let mut command = site.command(&words);
            let output = command.stdin(File::open(&file)?).output()?;
            ensure!(output.status.success(), "{output:?}");
        }
        Ok(site)
    }

    /// A command of `ward`.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = builds::command(&self.world, words);
        command.env_remove("SSL_CERT_FILE");
        command
    }

    /// `ward build` with our configuration; what it said.
    pub(crate) fn build(&self, words: &[&str]) -> Result<String> {
        let conf = self.conf.to_string_lossy();
        let words = [&["build"], words, &["-c", &conf]].concat();
        let output = self.command(&words).output()?;
        ensure!(output.status.success(), "{words:?}: {output:?}");
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    pub(crate) fn complaints(&self) -> String {
        let logs = ["server.log", "up.log"].map(|name| self.world.path(name));
        logs.iter()
            .filter_map(|log| fs::read_to_string(log).ok())
            .collect()
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
