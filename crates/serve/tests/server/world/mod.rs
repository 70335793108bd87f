//! A server with a supervisor that is kept in memory, and clients that say whatever a test wants.

mod client;
mod supervisor;

pub(crate) use client::{Client, call, post};
pub(crate) use supervisor::{Memory, Shared};

use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use ward_serve::http::{Credentials, Server, Settings};
use ward_serve::listen::{Listener, UnixSocket};

/// How long anything may take before a test gives up.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A running server; ends with it.
pub(crate) struct World {
    directory: tempfile::TempDir,
    pub(crate) shared: Arc<Shared>,
    pub(crate) port: u16,
    pub(crate) told: Arc<Mutex<Vec<String>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {}, None)
    }

    /// With other settings, and with a name and a password at the port.
    pub(crate) fn with(
        change: impl FnOnce(&mut Settings) + Send + 'static,
        credentials: Option<(&'static str, &'static str)>,
    ) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let shared = Arc::new(Shared::new(directory.path()));
        let told = Arc::new(Mutex::new(Vec::new()));
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = mpsc::channel();
        let socket = directory.path().join("s.sock");
        let for_thread = (Arc::clone(&shared), Arc::clone(&told));
        let thread = std::thread::spawn(move || {
            let (shared, told) = for_thread;
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, async move {
                let mut settings = Settings::usual(Rc::new(move |_, line: &str| {
                    told.lock().expect("not poisoned").push(line.to_owned());
                }));
                change(&mut settings);
                let control = Rc::new(Memory(shared));
                let mut server = Server::new(control, settings).expect("a server");
                let tcp = Listener::tcp("127.0.0.1", 0).expect("a port");
                let port = tcp.port().expect("a port");
                let unix = UnixSocket {
                    path: socket,
                    mode: 0o700,
                    owner: None,
                    group: None,
                };
                let unix = Listener::unix(unix, &mut |_| {}).expect("a socket");
                server.listen(
                    tcp,
                    credentials.map(|(name, password)| Credentials::new(name, password)),
                );
                server.listen(unix, None);
                ready.send(port).expect("somebody waits");
                tokio::select! {
                    never = server.run() => match never {},
                    _ = stopped => {}
                }
                for listener in server.into_listeners() {
                    listener.remove();
                }
            });
        });
        let port = is_ready.recv_timeout(LIMIT).expect("it listens");
        Self {
            directory,
            shared,
            port,
            told,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("s.sock")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn tcp(&self) -> Client<TcpStream> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connected");
        stream.set_read_timeout(Some(LIMIT)).expect("set");
        Client::new(stream)
    }

    pub(crate) fn unix(&self) -> Client<UnixStream> {
        let stream = UnixStream::connect(self.socket()).expect("connected");
        stream.set_read_timeout(Some(LIMIT)).expect("set");
        Client::new(stream)
    }

    /// Ends the server.
    pub(crate) fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server did not panic");
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
        }
    }
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LIMIT, "never: {what}");
        std::thread::yield_now();
    }
}
