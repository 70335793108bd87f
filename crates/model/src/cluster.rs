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

    /// Names a configuration file whose `[cluster]` says all of that, if [`ENDPOINTS`] does not.
    pub const FILE: &str = "WARD_CLUSTER_CONFIG";

    /// All of them but [`FILE`].
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

    /// Which of [`ALL`], as something farther away said them, must be made empty where `is_nearer` says
    /// which ones something nearer gives: what is told of one cluster is told to no other, nobody's
    /// password goes with another user, and no key with another certificate.
    pub fn superseded(is_nearer: impl Fn(&str) -> bool) -> impl Iterator<Item = &'static str> {
        let another = is_nearer(ENDPOINTS) || is_nearer(FILE);
        // A file for the same user, where he reads another one, is not another user.
        let user = is_nearer(USER);
        let certificate = is_nearer(CERT) || is_nearer(KEY);
        ALL.into_iter().filter(move |name| {
            let together = match *name {
                PASSWORD_FILE => user,
                CERT | KEY => certificate,
                _ => false,
            };
            (another || together) && !is_nearer(name)
        })
    }
}

/// Below which key the locks are if nothing else is said.
pub const USUAL_PREFIX: &str = "/ward/locks";

/// How long a lease lasts if nothing else is said.
pub const USUAL_LEASE: Duration = Duration::from_secs(30);

/// Below this the cluster could not be asked often enough.
pub const SHORTEST_LEASE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::variable::{
        ALL, CERT, ENDPOINTS, FILE, KEY, PASSWORD_FILE, PREFIX, USER, superseded,
    };

    #[test]
    fn what_is_said_of_one_cluster_is_said_to_no_other() {
        let gone = |nearer: &[&str]| {
            let gone = superseded(|name| nearer.contains(&name));
            gone.collect::<Vec<_>>()
        };
        assert_eq!(gone(&[]), [""; 0]);
        assert_eq!(gone(&[PREFIX, "PATH"]), [""; 0]);
        assert_eq!(gone(&[USER]), [PASSWORD_FILE]);
        assert_eq!(gone(&[PASSWORD_FILE]), [""; 0]);
        assert_eq!(gone(&[KEY, USER, PASSWORD_FILE]), [CERT]);
        assert_eq!(gone(&[ENDPOINTS]), ALL[1..]);
        assert_eq!(gone(&[FILE]), ALL);
        let of_another = gone(&[ENDPOINTS, USER, PREFIX]);
        assert_eq!(of_another.len(), 5, "{of_another:?}");
    }
}
