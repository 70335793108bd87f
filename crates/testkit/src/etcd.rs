//! Real etcd members on loopback: as many as wanted, each to be stopped, resumed, killed and
//! started again, alone.
//!
//! Every cluster has a directory of its own, and ports that nobody else has; its members end with
//! it. Certificates are made with openssl(1), as people make them.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::patience::{wait_for_within, wait_until};
use crate::programs::{in_path, skipped};

/// How often a cluster is begun again when somebody took one of its ports.
const BEGINNINGS: usize = 4;
/// A cluster that is not healthy by then has lost a port, or something else.
const START: Duration = Duration::from_secs(30);
/// Where members listen: this port, and so many after it.
const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 12_000;
/// How long a member may take to tell how it is.
const ANSWER: Duration = Duration::from_secs(2);

/// Milliseconds between heartbeats, and without one until an election: faster than usual, so that
/// tests are, and slow enough for a busy machine.
const HEARTBEAT: u32 = 60;
const ELECTION: u32 = 600;

/// A cluster that is being described.
#[derive(Debug, Clone)]
#[must_use]
pub struct Plan {
    size: usize,
    options: Vec<String>,
    server: Option<Identity>,
    client: Option<Identity>,
}

impl Plan {
    /// One of so many members.
    pub fn of(size: usize) -> Self {
        Self {
            size,
            options: Vec::new(),
            server: None,
            client: None,
        }
    }

    /// An option that each member is started with.
    pub fn option(mut self, option: impl Into<String>) -> Self {
        self.options.push(option.into());
        self
    }

    /// Members that speak TLS to clients, as `server`, and want a certificate from them; etcdctl
    /// shows that of `client`.
    pub fn tls(mut self, server: &Identity, client: &Identity) -> Self {
        self.server = Some(server.clone());
        self.client = Some(client.clone());
        self
    }

    /// Starts it, and waits until it is healthy. `None`, said aloud, if there is no etcd here.
    ///
    /// # Errors
    /// When it does not get healthy.
    pub fn start(self) -> anyhow::Result<Option<Members>> {
        let Some(program) = program("etcd") else {
            return Ok(None);
        };
        let mut beginnings = 0;
        loop {
            beginnings += 1;
            let mut members = Members::begin(&self, &program)?;
            match members.all_healthy() {
                Ok(()) => return Ok(Some(members)),
                Err(_) if beginnings < BEGINNINGS => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A port that nobody has, and that nobody gets by chance while its member is dead: it is not
/// among those that the kernel gives to connections (ip_local_port_range, ip(7)).
fn port() -> anyhow::Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    for _ in 0..PORTS {
        // Test programs that run at the same time begin at different places.
        let begin = std::process::id().wrapping_mul(97) % u32::from(PORTS);
        let offset = u32::from(NEXT.fetch_add(1, Ordering::Relaxed)) + begin;
        let port = FIRST_PORT + u16::try_from(offset % u32::from(PORTS))?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port is free")
}

/// A program of etcd, or openssl; says aloud if it is not there.
fn program(name: &str) -> Option<PathBuf> {
    let found = in_path(name);
    if found.is_none() {
        skipped(name, "not installed");
    }
    found
}

/// A cluster; its members are killed with it.
#[derive(Debug)]
pub struct Members {
    plan: Plan,
    program: PathBuf,
    members: Vec<Member>,
    directory: TempDir,
}

#[derive(Debug)]
struct Member {
    name: String,
    client: u16,
    peer: u16,
    /// Where it tells how it is, without TLS.
    health: u16,
    child: Option<Child>,
}

impl Members {
    /// A cluster of `size` members without TLS. `None`, said aloud, if there is no etcd here.
    ///
    /// # Errors
    /// When it does not get healthy.
    pub fn start(size: usize) -> anyhow::Result<Option<Self>> {
        Plan::of(size).start()
    }

    fn begin(plan: &Plan, program: &Path) -> anyhow::Result<Self> {
        let member = |index| {
            Ok::<_, anyhow::Error>(Member {
                name: format!("m{index}"),
                client: port()?,
                peer: port()?,
                health: port()?,
                child: None,
            })
        };
        let mut members = Self {
            plan: plan.clone(),
            program: program.to_owned(),
            members: (0..plan.size).map(member).collect::<Result<_, _>>()?,
            directory: TempDir::new()?,
        };
        for index in 0..plan.size {
            members.spawn(index)?;
        }
        Ok(members)
    }

    fn spawn(&mut self, index: usize) -> anyhow::Result<()> {
        let local = |port| format!("http://127.0.0.1:{port}");
        let mut cluster = String::new();
        for member in &self.members {
            write!(cluster, ",{}={}", member.name, local(member.peer))?;
        }
        let member = &self.members[index];
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.directory.path().join(format!("{}.log", member.name)))?;
        let client = self.endpoint(index);
        let mut command = Command::new(&self.program);
        command
            .args(["--name", &member.name, "--data-dir"])
            .arg(self.directory.path().join(&member.name))
            .args(["--listen-client-urls", &client])
            .args(["--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &local(member.peer)])
            .args(["--initial-advertise-peer-urls", &local(member.peer)])
            .args(["--initial-cluster", cluster.trim_start_matches(',')])
            .args(["--listen-metrics-urls", &local(member.health)])
            .args(["--heartbeat-interval", &HEARTBEAT.to_string()])
            .args(["--election-timeout", &ELECTION.to_string()])
            .args(&self.plan.options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        if let Some(server) = &self.plan.server {
            command.arg("--client-cert-auth");
            command.arg("--cert-file").arg(&server.certificate);
            command.arg("--key-file").arg(&server.key);
            command.arg("--trusted-ca-file").arg(&server.authority);
        }
        let child = without_settings(&mut command).spawn();
        self.members[index].child = Some(child.context("starting etcd")?);
        Ok(())
    }

    fn all_healthy(&mut self) -> anyhow::Result<()> {
        for index in 0..self.members.len() {
            // Where it says so somebody else may have been listening: it must also run.
            let outcome = wait_for_within(START, "etcd to be healthy or to end", || {
                let is_healthy = self.is_healthy(index);
                let child = self.members[index].child.as_mut();
                let has_ended = child.is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
                (is_healthy || has_ended).then_some(!has_ended)
            });
            let is_alive = outcome.with_context(|| self.log(index))?;
            ensure!(is_alive, "it ended; {}", self.log(index));
        }
        Ok(())
    }

    /// How many there are, dead or alive.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Where clients reach a member: `http://127.0.0.1:PORT`, or with `https`.
    #[must_use]
    pub fn endpoint(&self, index: usize) -> String {
        let scheme = if self.plan.server.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://127.0.0.1:{}", self.members[index].client)
    }

    /// All of them.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        (0..self.members.len())
            .map(|index| self.endpoint(index))
            .collect()
    }

    /// Which member is at an endpoint.
    ///
    /// # Errors
    /// When none is.
    pub fn at(&self, endpoint: &str) -> anyhow::Result<usize> {
        self.endpoints()
            .iter()
            .position(|known| known == endpoint)
            .with_context(|| format!("no member is at {endpoint}"))
    }

    /// Whether a member can read and write, as it says itself.
    #[must_use]
    pub fn is_healthy(&self, index: usize) -> bool {
        self.told(index, "/health")
            .is_ok_and(|text| text.contains(r#""health":"true""#))
    }

    /// The leader, as those who answer see it.
    ///
    /// # Errors
    /// When there is none for a long time.
    pub fn leader(&self) -> anyhow::Result<usize> {
        let leads = |index: &usize| {
            self.told(*index, "/metrics")
                .is_ok_and(|text| text.contains("\netcd_server_is_leader 1\n"))
        };
        wait_for_within(START, "a leader", || (0..self.members.len()).find(leads))
    }

    /// What a member tells about itself.
    fn told(&self, index: usize, path: &str) -> anyhow::Result<String> {
        let address = ([127, 0, 0, 1], self.members[index].health).into();
        let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
        stream.set_read_timeout(Some(ANSWER))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }

    /// Stops a member where it is: it takes connections, and answers nothing.
    ///
    /// # Errors
    /// When it does not run, or does not stop.
    pub fn pause(&self, index: usize) -> anyhow::Result<()> {
        let id = self.signal(index, Signal::STOP)?;
        // One thread after the other does so.
        wait_until("the member to stand still", || stands_still(id))
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume(&self, index: usize) -> anyhow::Result<()> {
        self.signal(index, Signal::CONT).map(drop)
    }

    fn signal(&self, index: usize, signal: Signal) -> anyhow::Result<i32> {
        let child = self.members[index].child.as_ref();
        let id = child.context("the member is dead")?.id().cast_signed();
        // Not reaped yet, so it is still the same process.
        let pid = Pid::from_raw(id).context("no process")?;
        kill_process(pid, signal).with_context(|| format!("sending {signal:?}"))?;
        Ok(id)
    }

    /// Kills a member.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self, index: usize) -> anyhow::Result<()> {
        let mut child = self.members[index]
            .child
            .take()
            .context("the member is dead")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Starts a member that was killed, with what it had on disk, and waits until it is healthy:
    /// more than half of them must run.
    ///
    /// # Errors
    /// When it cannot be started, or does not get healthy.
    pub fn restart(&mut self, index: usize) -> anyhow::Result<()> {
        ensure!(self.members[index].child.is_none(), "the member runs");
        self.spawn(index)?;
        wait_until("the member to be healthy", || self.is_healthy(index))
            .with_context(|| self.log(index))
    }

    /// Starts all that were killed, and waits until all are healthy.
    ///
    /// # Errors
    /// As [`Members::restart`].
    pub fn restart_all(&mut self) -> anyhow::Result<()> {
        for index in 0..self.members.len() {
            if self.members[index].child.is_none() {
                self.spawn(index)?;
            }
        }
        self.all_healthy()
    }

    /// The end of what a member has logged.
    #[must_use]
    pub fn log(&self, index: usize) -> String {
        const LINES: usize = 30;
        let name = &self.members[index].name;
        let path = self.directory.path().join(format!("{name}.log"));
        let text = fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let end = &lines[lines.len().saturating_sub(LINES)..];
        format!("the log of {name}:\n{}", end.join("\n"))
    }

    /// Lets etcdctl do something with the cluster; what it says on standard output. `None`, said
    /// aloud, if there is no etcdctl here.
    ///
    /// # Errors
    /// When it fails.
    pub fn etcdctl<T: AsRef<OsStr>>(
        &self,
        words: impl IntoIterator<Item = T>,
    ) -> anyhow::Result<Option<String>> {
        let Some(program) = program("etcdctl") else {
            return Ok(None);
        };
        let mut command = Command::new(program);
        without_settings(&mut command)
            .env("ETCDCTL_API", "3")
            .arg("--endpoints")
            .arg(self.endpoints().join(","));
        if let Some(client) = &self.plan.client {
            command.arg("--cacert").arg(&client.authority);
            command.arg("--cert").arg(&client.certificate);
            command.arg("--key").arg(&client.key);
        }
        let output = command.args(words).stdin(Stdio::null()).output()?;
        ensure!(
            output.status.success(),
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()))
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        for child in self.members.iter_mut().filter_map(|it| it.child.as_mut()) {
            // One that has ended is to be reaped all the same.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Whether all threads of a process are stopped.
fn stands_still(pid: i32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return false;
    };
    threads.flatten().all(|thread| {
        fs::read_to_string(thread.path().join("status"))
            .is_ok_and(|status| status.contains("\nState:\tT"))
    })
}

/// Takes the variables away that etcd and etcdctl would take for options.
fn without_settings(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ETCD") {
            command.env_remove(name);
        }
    }
    command
}

/// A certificate, its key, and who vouches for it: files in PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate of the authority.
    pub authority: PathBuf,
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// An authority that signs certificates.
#[derive(Debug)]
pub struct Authority {
    openssl: PathBuf,
    directory: TempDir,
}

impl Authority {
    /// A new one. `None`, said aloud, if there is no openssl(1) here.
    ///
    /// # Errors
    /// When openssl fails.
    pub fn new() -> anyhow::Result<Option<Self>> {
        let Some(openssl) = program("openssl") else {
            return Ok(None);
        };
        let directory = TempDir::new()?;
        let new = Self { openssl, directory };
        new.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
             -keyout ca.key -out ca.pem -subj /CN=authority \
             -addext keyUsage=critical,keyCertSign",
        )?;
        Ok(Some(new))
    }

    /// Its own certificate.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Signs a new certificate, for servers and for clients, with these subject alternative names
    /// (`IP:127.0.0.1`, `DNS:localhost`).
    ///
    /// # Errors
    /// When openssl fails.
    pub fn sign(&self, name: &str, alternatives: &[&str]) -> anyhow::Result<Identity> {
        let mut extensions = "extendedKeyUsage=serverAuth,clientAuth\n".to_owned();
        if !alternatives.is_empty() {
            writeln!(extensions, "subjectAltName={}", alternatives.join(","))?;
        }
        let path = |end: &str| self.directory.path().join(format!("{name}.{end}"));
        fs::write(path("ext"), extensions)?;
        self.openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
             -keyout {name}.key -out {name}.csr -subj /CN={name}"
        ))?;
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
             -extfile {name}.ext -out {name}.pem"
        ))?;
        Ok(Identity {
            authority: self.certificate(),
            certificate: path("pem"),
            key: path("key"),
        })
    }

    fn openssl(&self, words: &str) -> anyhow::Result<()> {
        let output = Command::new(&self.openssl)
            .args(words.split_whitespace())
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .output()
            .context("starting openssl")?;
        if !output.status.success() {
            bail!(
                "openssl {words}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }
}
