//! A real sshd on loopback, with keys of its own, and an agent.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};

use crate::patience::wait_for;
use crate::programs::skipped;
use crate::world::is_root;

/// How often another port is tried, as somebody else may take one before sshd does.
const PORTS: usize = 20;

/// A server that lets in whoever runs the test, by the key `good` in its directory and not by `bad`.
#[derive(Debug)]
pub struct Sshd {
    server: Child,
    directory: PathBuf,
    port: u16,
}

impl Sshd {
    /// Starts one whose files are in `directory`, and whose own key is called `host` there. `None`, said aloud,
    /// where there is no sshd.
    ///
    /// # Errors
    /// When it is there and does not come up.
    pub fn start(directory: &Path, host: &str, port: Option<u16>) -> anyhow::Result<Option<Self>> {
        let Some(program) = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"]
            .map(Path::new)
            .into_iter()
            .find(|path| path.is_file())
        else {
            skipped("ssh", "needs sshd");
            return Ok(None);
        };
        if is_root() {
            // Root's sshd wants it; what starts it as a service makes it.
            fs::create_dir_all("/run/sshd")?;
        }
        for name in ["good", "bad", host] {
            key(directory, name, "")?;
        }
        let authorized = directory.join("authorized");
        if !authorized.exists() {
            fs::copy(directory.join("good.pub"), &authorized)?;
        }
        let quoted = |name: &str| format!("\"{}\"", directory.join(name).display());
        for _ in 0..PORTS {
            let port = match port {
                Some(port) => port,
                None => TcpListener::bind("127.0.0.1:0")?.local_addr()?.port(),
            };
            let settings = format!(
                "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\n\
                 UsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPidFile none\n\
                 SetEnv \"PATH={}\"\n",
                quoted(host),
                quoted("authorized"),
                std::env::var("PATH")?,
            );
            fs::write(directory.join("sshd_config"), settings)?;
            let log = fs::File::create(directory.join("sshd.log"))?;
            let server = Command::new(program)
                .args(["-D", "-e", "-f"])
                .arg(directory.join("sshd_config"))
                .stdin(Stdio::null())
                .stderr(log)
                .spawn()?;
            let mut sshd = Self {
                server,
                directory: directory.to_owned(),
                port,
            };
            let is_up = wait_for("sshd", || {
                if !matches!(sshd.server.try_wait(), Ok(None)) {
                    return Some(false);
                }
                TcpStream::connect(("127.0.0.1", port)).ok().map(|_| true)
            })?;
            if is_up {
                return Ok(Some(sshd));
            }
        }
        let said = fs::read_to_string(directory.join("sshd.log"))?;
        anyhow::bail!("sshd does not come up: {said}")
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address of a path of this host, for whoever runs the test.
    ///
    /// # Errors
    /// When it is not known who that is.
    pub fn url(&self, path: &Path) -> anyhow::Result<String> {
        let user = Command::new("id").arg("-un").output()?.stdout;
        let user = String::from_utf8(user)?;
        Ok(format!(
            "ssh://{}@127.0.0.1:{}{}",
            user.trim(),
            self.port,
            path.display()
        ))
    }

    /// Starts an agent, which has no keys yet.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn agent(&self) -> anyhow::Result<Agent> {
        let socket = self.directory.join("agent.sock");
        let mut agent = Command::new("ssh-agent")
            .args(["-D", "-a"])
            .arg(&socket)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = agent.stdout.take().context("no output")?;
        let agent = Agent { agent, socket };
        // It says where it listens once it does.
        BufReader::new(stdout).read_line(&mut String::new())?;
        Ok(agent)
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// An agent, which ends with this.
#[derive(Debug)]
pub struct Agent {
    agent: Child,
    socket: PathBuf,
}

impl Agent {
    /// What `SSH_AUTH_SOCK` is to say.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Gives it a key.
    ///
    /// # Errors
    /// When it does not take it.
    pub fn add(&self, key: &Path) -> anyhow::Result<()> {
        let added = Command::new("ssh-add")
            .arg(key)
            .env("SSH_AUTH_SOCK", &self.socket)
            .stdin(Stdio::null())
            .output()?;
        ensure!(added.status.success(), "{added:?}");
        Ok(())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.agent.kill();
        let _ = self.agent.wait();
    }
}

/// Makes a key in `directory`, if there is none of that name; the public one is beside it.
///
/// # Errors
/// When it cannot be made.
pub fn key(directory: &Path, name: &str, passphrase: &str) -> anyhow::Result<PathBuf> {
    let path = directory.join(name);
    if !path.exists() {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", passphrase, "-f"])
            .arg(&path)
            .stdin(Stdio::null())
            .output()?;
        ensure!(made.status.success(), "{made:?}");
    }
    Ok(path)
}
