//! A site on a port and a socket, with a build server and accounts that are kept in memory.

mod accounts;
mod client;
mod memory;

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;
use ward_serve::builds::{BuildSite, SiteSettings, Trust};
use ward_serve::listen::{Listener, UnixSocket};

pub(crate) use accounts::People;
pub(crate) use client::{Answer, Ask};
pub(crate) use memory::{Memory, build, finished, job};

/// How long anything may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// A site.
pub(crate) struct World {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) memory: Arc<Memory>,
    pub(crate) port: u16,
    pub(crate) told: Arc<Mutex<Vec<String>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl World {
    /// With alice (admin), bob (build) and carol (read); nobody else may read.
    pub(crate) fn new() -> Self {
        Self::with(|_| {}, People::usual())
    }

    pub(crate) fn with(
        change: impl FnOnce(&mut SiteSettings) + Send + 'static,
        people: People,
    ) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let memory = Arc::new(Memory::new(directory.path()));
        let told = Arc::new(Mutex::new(Vec::new()));
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, is_ready) = mpsc::channel();
        let socket = directory.path().join("control.sock");
        let for_thread = (Arc::clone(&memory), Arc::clone(&told));
        let thread = std::thread::spawn(move || {
            let (memory, told) = for_thread;
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async move {
                let mut settings = SiteSettings::usual(Rc::new(move |_, line: &str| {
                    told.lock().expect("not poisoned").push(line.to_owned());
                }));
                change(&mut settings);
                let mut site = BuildSite::new(memory, Arc::new(people), settings).expect("a site");
                let tcp = Listener::tcp("127.0.0.1", 0).expect("a port");
                let port = tcp.port().expect("a port");
                let unix = UnixSocket {
                    path: socket,
                    mode: 0o600,
                    owner: None,
                    group: None,
                };
                let unix = Listener::unix(unix, &mut |_| {}).expect("a socket");
                site.listen(tcp, Trust::Nobody);
                site.listen(unix, Trust::Admin);
                ready.send(port).expect("somebody waits");
                site.run_until(async {
                    let _ = stopped.await;
                })
                .await;
                for listener in site.into_listeners() {
                    listener.remove();
                }
            });
        });
        let port = is_ready.recv_timeout(LIMIT).expect("it listens");
        Self {
            directory,
            memory,
            port,
            told,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("control.sock")
    }

    /// A request as nobody.
    pub(crate) fn ask(&self, method: &str, path: &str) -> Ask<'_> {
        Ask::new(self, method, path)
    }

    /// What administrators see.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path).token("alice").send()
    }

    /// What administrators have done.
    pub(crate) fn post(&self, path: &str) -> Answer {
        self.ask("POST", path).token("alice").send()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take()
            && !std::thread::panicking()
        {
            thread.join().expect("the site did not panic");
        }
    }
}
