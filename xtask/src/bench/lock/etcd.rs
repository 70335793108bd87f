//! An etcd of our own, on loopback, for as long as it is measured.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::super::peers::which;
use super::super::setup::{Setup, wait_until};

/// How long it may take to elect itself.
const STARTING: Duration = Duration::from_secs(30);
/// How long it may take to answer.
const ANSWERING: Duration = Duration::from_secs(2);

/// A server that runs; dropped, it ends, and what it kept is removed.
pub(super) struct Server {
    child: Child,
    directory: PathBuf,
    clients: SocketAddr,
}

impl Server {
    /// Starts it, and waits until it takes requests; `None` where none is installed.
    pub(super) fn start(setup: &Setup) -> Result<Option<Self>> {
        let Some(program) = which("etcd") else {
            return Ok(None);
        };
        let directory = setup.work.join("etcd");
        fs::create_dir(&directory).context("making a directory for etcd")?;
        let log = directory.join("log");
        let [clients, members] = free_addresses().context("looking for free ports")?;
        let (for_clients, for_members) = (url(clients), url(members));
        let child = Command::new(program)
            .arg("--data-dir")
            .arg(directory.join("data"))
            .args(["--name", "one", "--log-level", "error"])
            .args(["--listen-client-urls", &for_clients])
            .args(["--advertise-client-urls", &for_clients])
            .args(["--listen-peer-urls", &for_members])
            .args(["--initial-advertise-peer-urls", &for_members])
            .args(["--initial-cluster", &format!("one={for_members}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).context("making a log for etcd")?)
            .spawn()
            .context("starting etcd")?;
        let mut server = Self {
            child,
            directory,
            clients,
        };
        wait_until("etcd takes requests", STARTING, || {
            if let Some(status) = server.child.try_wait().context("looking after etcd")? {
                let said = fs::read_to_string(&log).unwrap_or_default();
                let last = said.trim().lines().last().unwrap_or("nothing said");
                bail!("etcd ended ({status}: {last})");
            }
            // Until it listens, there is nobody to answer.
            Ok(is_healthy(clients).unwrap_or(false).then_some(()))
        })?;
        Ok(Some(server))
    }

    /// What its clients are told.
    pub(super) fn endpoint(&self) -> String {
        url(self.clients)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, and its directory goes with the others at the latest.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Two addresses that nobody listened at a moment ago; both at once, so that they differ.
fn free_addresses() -> io::Result<[SocketAddr; 2]> {
    let any = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let both = [any()?, any()?];
    Ok([both[0].local_addr()?, both[1].local_addr()?])
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

/// Whether it says that it can do its work.
fn is_healthy(address: SocketAddr) -> io::Result<bool> {
    let mut connection = TcpStream::connect_timeout(&address, ANSWERING)?;
    connection.set_read_timeout(Some(ANSWERING))?;
    connection.write_all(b"GET /health HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer.contains("\"health\":\"true\""))
}
