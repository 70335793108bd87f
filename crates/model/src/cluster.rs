//! An etcd cluster, as people and programs are told of it: where it is, and by which variables.
//!
//! What is said here is about how it is written. Who speaks to it is the lock manager.

mod endpoint;

use std::time::Duration;

pub use endpoint::{BadEndpoint, Endpoint};

/// The names of the variables that say which cluster keeps the locks of several hosts. An empty
/// variable is none.
pub mod variable {
    /// Its members, separated by commas, each as [`super::Endpoint`] reads it. Without it there is no
    /// cluster.
    pub const ENDPOINTS: &str = "WARD_ETCD_ENDPOINTS";
    /// Whom to sign in as.
    pub const USER: &str = "WARD_ETCD_USER";
    /// A file with the user's password, which nobody but its owner may read.
    pub const PASSWORD_FILE: &str = "WARD_ETCD_PASSWORD_FILE";
    /// A file with the certificates (PEM) of who vouches for the members.
    pub const CACERT: &str = "WARD_ETCD_CACERT";
    /// A file with our certificate (PEM).
    pub const CERT: &str = "WARD_ETCD_CERT";
    /// A file with its key (PEM).
    pub const KEY: &str = "WARD_ETCD_KEY";
    /// The key below which the locks are.
    pub const PREFIX: &str = "WARD_ETCD_PREFIX";
    /// How long a lease lasts, as [`crate::quantity::duration`] reads it.
    pub const LEASE: &str = "WARD_ETCD_LEASE";

    /// All of them.
    pub const ALL: [&str; 8] = [
        ENDPOINTS,
        USER,
        PASSWORD_FILE,
        CACERT,
        CERT,
        KEY,
        PREFIX,
        LEASE,
    ];
}

/// Below which key the locks are if nothing else is said.
pub const USUAL_PREFIX: &str = "/ward/locks";

/// How long a lease lasts if nothing else is said.
pub const USUAL_LEASE: Duration = Duration::from_secs(30);

/// Below this the cluster could not be asked often enough.
pub const SHORTEST_LEASE: Duration = Duration::from_secs(5);
