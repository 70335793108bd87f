//! Machines with a network between them that can be cut: network namespaces, joined by a bridge in one more
//! of them, and a member of etcd on each machine.
//!
//! A namespace lives as long as a process that holds it, which ends with this program.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tempfile::TempDir;
use ward_testkit::patience::{wait_for, wait_until};
use ward_testkit::programs::{in_path, skipped};
use ward_testkit::world::is_root;

use crate::Result;

/// The first three numbers of the machines' addresses: nobody else can see them.
const NETWORK: &str = "10.77.0";
const CLIENT_PORT: u16 = 2379;
const PEER_PORT: u16 = 2380;

/// A namespace.
struct Place(Child);

impl Place {
    fn new() -> Result<Self> {
        let child = Command::new("unshare")
            .args(["--net", "cat"])
            // At its end it ends, whatever becomes of us.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .context("starting unshare")?;
        let place = Self(child);
        let own = std::fs::read_link("/proc/self/ns/net")?;
        wait_until("a network namespace", || {
            std::fs::read_link(place.path()).is_ok_and(|it| it != own)
        })?;
        place.run(&["ip", "link", "set", "lo", "up"])?;
        Ok(place)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.pid()))
    }

    /// What starts a program in it.
    fn before(&self) -> Vec<String> {
        vec![
            "nsenter".to_owned(),
            format!("--net={}", self.path().display()),
            "--".to_owned(),
        ]
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let before = self.before();
        let mut command = Command::new(&before[0]);
        command.args(&before[1..]).arg(program);
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, words: &[&str]) -> Result<String> {
        let output = self.command(words[0]).args(&words[1..]).output()?;
        ensure!(
            output.status.success(),
            "{words:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Machines, with a member of etcd on each.
pub(crate) struct Network {
    // In this order they are dropped.
    members: Vec<Child>,
    machines: Vec<Place>,
    hub: Place,
    directory: TempDir,
}

impl Network {
    /// So many. `None`, said aloud, where that cannot be.
    pub(crate) fn new(count: usize) -> Result<Option<Self>> {
        for name in ["unshare", "nsenter", "ip", "etcd", "etcdctl"] {
            if !is_root() || in_path(name).is_none() {
                skipped("a network that is cut", &format!("needs root and {name}"));
                return Ok(None);
            }
        }
        let hub = match Place::new().and_then(bridged) {
            Ok(hub) => hub,
            Err(error) => {
                skipped("a network that is cut", &format!("{error:#}"));
                return Ok(None);
            }
        };
        let mut network = Self {
            members: Vec::new(),
            machines: Vec::new(),
            hub,
            directory: TempDir::new()?,
        };
        for number in 0..count {
            network.join(number)?;
        }
        for number in 0..count {
            network.start(number, count)?;
        }
        wait_until("the members to be healthy", || {
            (0..count).all(|number| network.status(number).is_some())
        })
        .with_context(|| network.log(0))?;
        Ok(Some(network))
    }

    /// One more machine.
    fn join(&mut self, number: usize) -> Result {
        let machine = Place::new()?;
        let (port, pid) = (port(number), machine.pid().to_string());
        let link = ["ip", "link", "add", &port, "type", "veth", "peer", "name"];
        self.hub
            .run(&[&link[..], &["eth0", "netns", &pid]].concat())?;
        self.hub
            .run(&["ip", "link", "set", &port, "master", "bridge", "up"])?;
        let address = format!("{}/24", address(number));
        machine.run(&["ip", "address", "add", &address, "dev", "eth0"])?;
        machine.run(&["ip", "link", "set", "eth0", "up"])?;
        self.machines.push(machine);
        Ok(())
    }

    fn start(&mut self, number: usize, count: usize) -> Result {
        let url = |number, port| format!("http://{}:{port}", address(number));
        let all = (0..count).map(|it| format!("m{it}={}", url(it, PEER_PORT)));
        let log = std::fs::File::create(self.path(&format!("log{number}")))?;
        let mut command = self.machines[number].command("etcd");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ETCD") {
                command.env_remove(name);
            }
        }
        let child = command
            .args(["--name", &format!("m{number}"), "--data-dir"])
            .arg(self.path(&format!("data{number}")))
            .args(["--listen-client-urls", &url(number, CLIENT_PORT)])
            .args(["--advertise-client-urls", &url(number, CLIENT_PORT)])
            .args(["--listen-peer-urls", &url(number, PEER_PORT)])
            .args(["--initial-advertise-peer-urls", &url(number, PEER_PORT)])
            .args(["--initial-cluster", &all.collect::<Vec<_>>().join(",")])
            // As it is usual.
            .args(["--heartbeat-interval", "100", "--election-timeout", "1000"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("starting etcd")?;
        self.members.push(child);
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(self.directory.path()).join(name)
    }

    /// The end of what a member has logged.
    fn log(&self, number: usize) -> String {
        let text = std::fs::read_to_string(self.path(&format!("log{number}")));
        let text = text.unwrap_or_default();
        text[text.floor_char_boundary(text.len().saturating_sub(2000))..].to_owned()
    }

    /// Where the members are.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        (0..self.members.len())
            .map(|number| format!("http://{}:{CLIENT_PORT}", address(number)))
            .collect()
    }

    /// What starts a program on a machine.
    pub(crate) fn on(&self, number: usize) -> Vec<String> {
        self.machines[number].before()
    }

    /// What etcdctl says on a machine, of the member there alone.
    pub(crate) fn etcdctl(&self, number: usize, words: &[&str]) -> Result<String> {
        let output = self.machines[number]
            .command("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &self.endpoints()[number]])
            .args(["--dial-timeout", "1s", "--command-timeout", "2s"])
            .args(words)
            .output()?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// How a member sees itself and its leader, if it can read and has one.
    fn status(&self, number: usize) -> Option<Value> {
        self.etcdctl(number, &["get", "nothing"]).ok()?;
        let text = self.etcdctl(number, &["endpoint", "status", "-w", "json"]);
        let value: Value = serde_json::from_str(&text.ok()?).ok()?;
        Some(value[0]["Status"].clone()).filter(|status| status["leader"].as_u64() != Some(0))
    }

    /// Where the leader is, as these see it.
    pub(crate) fn leader_among(&self, numbers: &[usize]) -> Result<usize> {
        let leads = |number: &&usize| {
            self.status(**number)
                .is_some_and(|it| it["leader"] == it["header"]["member_id"])
        };
        wait_for("a leader", || numbers.iter().find(leads).copied())
    }

    /// Cuts a machine off from all others.
    pub(crate) fn cut(&self, number: usize) -> Result {
        let words = ["ip", "link", "set", &port(number), "down"];
        self.hub.run(&words).map(drop)
    }

    /// Lets it in again, and waits until its member is one of them.
    pub(crate) fn heal(&self, number: usize) -> Result {
        self.hub.run(&["ip", "link", "set", &port(number), "up"])?;
        wait_until("the member to be back", || self.status(number).is_some())
            .with_context(|| self.log(number))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for member in &mut self.members {
            let _ = member.kill();
            let _ = member.wait();
        }
    }
}

/// With what joins the others.
fn bridged(hub: Place) -> Result<Place> {
    hub.run(&["ip", "link", "add", "bridge", "type", "bridge"])?;
    hub.run(&["ip", "link", "set", "bridge", "up"])?;
    Ok(hub)
}

fn address(number: usize) -> String {
    format!("{NETWORK}.{}", number + 1)
}

fn port(number: usize) -> String {
    format!("port{number}")
}
