//! A build server on a port of loopback, repositories, and whoever speaks HTTP to it.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;
pub(crate) use ward_testkit::builds::{Said, commit, git, keep};
use ward_testkit::builds::{Server, command};
use ward_testkit::daemons::free_port;
use ward_testkit::patience::{wait_for_within, wait_until};
use ward_testkit::programs::{in_path, skipped};
use ward_testkit::world::World;

use crate::Result;

/// How long a build of a real project may take before it is called a hang.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(300);

pub(crate) struct Place {
    pub(crate) world: World,
    pub(crate) port: u16,
    conf: PathBuf,
    server: Option<Server>,
}

/// An answer of the server.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Place {
    /// `None`, said aloud, where there is no git.
    pub(crate) fn new() -> Result<Option<Self>> {
        if in_path("git").is_none() {
            skipped("builds of projects", "there is no git");
            return Ok(None);
        }
        let world = World::new(env!("CARGO_BIN_EXE_ward"))?;
        let conf = world.path("ward.conf");
        Ok(Some(Self {
            world,
            port: free_port()?,
            conf,
            server: None,
        }))
    }

    /// A configuration with these jobs.
    pub(crate) fn write(&self, jobs: &str) -> Result {
        let (mark, port) = (self.world.mark(), self.port);
        fs::write(
            &self.conf,
            format!(
                "[build]\ndirectory = %(here)s/home\nlisten = 127.0.0.1:{port}\nquiet_period = 0\n\
                 environment = WARD_TEST_MARK=\"{mark}\"\n{jobs}\n"
            ),
        )?;
        Ok(())
    }

    /// `ward build` with these words and our configuration.
    pub(crate) fn build(&self, words: &[&str]) -> Result<Said> {
        self.build_in(&self.world.path("."), words)
    }

    /// The same, where somebody has a checkout.
    pub(crate) fn build_in(&self, directory: &Path, words: &[&str]) -> Result<Said> {
        let conf = self.conf.to_string_lossy();
        let words = [&["build"], words, &["-c", &conf]].concat();
        let output = command(&self.world, &words)
            .current_dir(directory)
            .output()?;
        Ok(Said::of(&output))
    }

    pub(crate) fn secret(&self, name: &str, content: &str) -> Result {
        let file = self.world.path("given");
        fs::write(&file, content)?;
        let conf = self.conf.to_string_lossy();
        let output = command(&self.world, &["build", "secret", "set", name, "-c", &conf])
            .stdin(File::open(&file)?)
            .output()?;
        fs::remove_file(file)?;
        Said::of(&output).expect(0)?;
        Ok(())
    }

    /// Starts the server, with these variables more, and waits until it answers.
    pub(crate) fn serve(&mut self, variables: &[(&str, &Path)]) -> Result {
        let conf = self.conf.to_string_lossy().into_owned();
        let mut serve = command(&self.world, &["build", "serve", "-c", &conf]);
        serve.envs(variables.iter().copied());
        let log = self.world.path("server.log");
        self.server = Some(Server::start(serve, &log)?);
        wait_until("the server to answer", || {
            self.build(&["list"]).is_ok_and(|said| said.code == Some(0))
        })
        .with_context(|| self.complaints())
    }

    pub(crate) fn complaints(&self) -> String {
        fs::read_to_string(self.world.path("server.log")).unwrap_or_default()
    }

    /// A build, once it is over, as `ward build show --json` has it.
    pub(crate) fn over(&self, job: &str, number: u32) -> Result<Value> {
        let number = number.to_string();
        let shown = || -> Option<Value> {
            let said = self.build(&["show", job, &number, "--json"]).ok()?;
            let shown: Value = serde_json::from_str(&said.out).ok()?;
            (shown["running"] == false && !shown["result"].is_null()).then_some(shown)
        };
        wait_for_within(LIMIT, "the build to be over", shown)
            .with_context(|| format!("{job} {number}\n{}", self.complaints()))
    }

    /// What a build wrote.
    pub(crate) fn console(&self, job: &str, number: u32) -> Result<String> {
        Ok(self.build(&["log", job, &number.to_string()])?.out)
    }

    /// How many builds a job has had.
    pub(crate) fn count(&self, job: &str) -> Result<usize> {
        let said = self.build(&["list", job, "--json"])?.expect(0)?;
        let list: Value = serde_json::from_str(&said.out)?;
        let builds = list.get("builds").unwrap_or(&list);
        builds.as_array().map(Vec::len).context(said.out)
    }

    /// Asks the server over HTTP.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Answer> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(ward_testkit::patience::LIMIT))?;
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\nContent-Length: {}\r\n",
            self.port,
            body.len()
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        write!(stream, "{head}\r\n{body}")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, text) = answer.split_once("\r\n\r\n").context("no answer")?;
        let status = head.split(' ').nth(1).context("no status")?;
        Ok(Answer {
            status: status.parse()?,
            text: text.to_owned(),
        })
    }
}
