//! Where rules are tried.

use std::fs;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use ward_lock::{AuditLog, Directory, Grant, Holding, Listed, LockError, Locks, Patience, Request};

/// A place with locks, that nobody else uses.
pub(crate) trait Place: Clone + Send + Sync + 'static {
    type Locks: Locks<Held: Send> + Sync;

    fn locks(&self) -> Self::Locks;

    /// What people did so far: action, lock, note, and how many it was done to.
    fn deeds(&self) -> Vec<String> {
        let log = fs::read_to_string(self.audit_log().path()).unwrap_or_default();
        let deed = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
            let word = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
            let from = line["from"].as_array().map_or(0, Vec::len);
            let (action, lock, note) = (word("action"), word("lock"), word("note"));
            format!("{action} {lock} ({note}) {from}")
        };
        log.lines().map(deed).collect()
    }

    fn audit_log(&self) -> AuditLog;

    /// All that is asked for, if it can be had at once.
    fn all(&self, request: &Request) -> Result<<Self::Locks as Locks>::Held, LockError> {
        self.locks().acquire(request, Patience::None, None)
    }

    /// The same of one, and what was granted.
    fn now(&self, request: &Request) -> Result<(<Self::Locks as Locks>::Held, Grant), LockError> {
        let held = self.all(request)?;
        let mut grants = held.grants();
        assert_eq!(grants.len(), 1, "{grants:?}");
        Ok((held, grants.remove(0)))
    }

    /// However long it takes.
    fn wait(&self, request: &Request) -> Result<<Self::Locks as Locks>::Held, LockError> {
        self.locks().acquire(request, Patience::Never, None)
    }

    /// Waits in a thread of its own; returns when it is in the queue.
    fn begin(&self, request: Request) -> Waiter<Self> {
        let (came, come) = mpsc::channel();
        let place = self.clone();
        let thread = thread::spawn(move || {
            let mut tell = |_: &ward_lock::Waiting| {
                let _ = came.send(());
            };
            place
                .locks()
                .acquire(&request, Patience::Never, Some(&mut tell))
        });
        come.recv().expect("in the queue");
        Waiter(thread)
    }

    fn shown(&self, name: &str) -> Listed {
        self.locks().show(name).expect("shown")
    }
}

/// Somebody who waits.
pub(crate) struct Waiter<P: Place>(JoinHandle<Result<<P::Locks as Locks>::Held, LockError>>);

impl<P: Place> Waiter<P> {
    pub(crate) fn answer(self) -> Result<<P::Locks as Locks>::Held, LockError> {
        self.0.join().expect("no panic")
    }
}

/// Gives them back, which cannot fail here.
pub(crate) fn free(mut held: impl Holding) {
    held.release().expect("released");
}

/// A lock directory.
#[derive(Clone)]
pub(crate) struct OneHost {
    path: PathBuf,
    _directory: std::sync::Arc<Removed>,
}

struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl OneHost {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ward-rules-{name}-{}", std::process::id()));
        Self {
            _directory: std::sync::Arc::new(Removed(path.clone())),
            path,
        }
    }
}

impl Place for OneHost {
    type Locks = Directory;

    fn locks(&self) -> Directory {
        Directory::open(Some(&self.path)).expect("a directory")
    }

    fn audit_log(&self) -> AuditLog {
        self.locks().audit_log()
    }
}

#[cfg(feature = "etcd")]
pub(crate) use cluster::Several;

#[cfg(feature = "etcd")]
mod cluster {
    use std::time::Duration;

    use ward_lock::etcd::Settings;
    use ward_lock::hosts::Hosts;
    use ward_testkit::etcd::Members;

    /// Longer than any rule takes: nobody keeps leases alive here.
    const LEASE: Duration = Duration::from_secs(300);

    /// Part of a cluster.
    #[derive(Clone)]
    pub(crate) struct Several {
        endpoints: Vec<String>,
        prefix: String,
        /// Where it is written down what people do.
        here: super::OneHost,
    }

    impl Several {
        pub(crate) fn new(members: &Members, name: &str) -> Self {
            Self {
                endpoints: members.endpoints(),
                prefix: format!("/{name}"),
                here: super::OneHost::new(&format!("audit-{name}")),
            }
        }
    }

    impl super::Place for Several {
        type Locks = Hosts;

        fn locks(&self) -> Hosts {
            let settings = Settings {
                endpoints: self.endpoints.clone(),
                ..Settings::default()
            };
            let hosts = Hosts::new(settings, Some(&self.prefix), LEASE).expect("hosts");
            hosts.audited(self.audit_log())
        }

        fn audit_log(&self) -> ward_lock::AuditLog {
            self.here.audit_log()
        }
    }
}
