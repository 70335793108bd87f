//! Which etcd cluster keeps the locks of several hosts.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};
use ward_model::quantity;

/// Below which key the locks are if nothing else is said.
const PREFIX: &str = "/ward/locks";

/// How long a lease lasts if nothing else is said.
const LEASE: &str = "30s";

impl Default for ClusterArgs {
    fn default() -> Self {
        Self {
            etcd: Vec::new(),
            local: false,
            etcd_user: None,
            etcd_password_file: None,
            etcd_cacert: None,
            etcd_cert: None,
            etcd_key: None,
            etcd_prefix: PREFIX.to_owned(),
            lease: quantity::duration(LEASE).unwrap_or_default(),
        }
    }
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ClusterArgs {
    /// Hold the lock among several hosts too, in the etcd cluster with these endpoints
    /// [default: WARD_ETCD_ENDPOINTS]
    #[arg(
        long,
        value_name = "URL,…",
        value_delimiter = ',',
        help_heading = "Several hosts"
    )]
    pub(crate) etcd: Vec<String>,

    /// Only on this host, whatever WARD_ETCD_ENDPOINTS says
    #[arg(long, conflicts_with = "etcd", help_heading = "Several hosts")]
    pub(crate) local: bool,

    /// The cluster's user [default: WARD_ETCD_USER]
    #[arg(long, value_name = "USER", help_heading = "Several hosts")]
    pub(crate) etcd_user: Option<String>,

    /// A file with his password, which nobody else may read [default: WARD_ETCD_PASSWORD_FILE]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Several hosts")]
    pub(crate) etcd_password_file: Option<PathBuf>,

    /// Who must have signed the cluster's certificate [default: WARD_ETCD_CACERT]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Several hosts")]
    pub(crate) etcd_cacert: Option<PathBuf>,

    /// Our certificate [default: WARD_ETCD_CERT]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Several hosts")]
    pub(crate) etcd_cert: Option<PathBuf>,

    /// Its key [default: WARD_ETCD_KEY]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Several hosts")]
    pub(crate) etcd_key: Option<PathBuf>,

    /// Below which key the locks are
    #[arg(
        long,
        value_name = "KEY",
        default_value = PREFIX,
        help_heading = "Several hosts"
    )]
    pub(crate) etcd_prefix: String,

    /// How long the cluster keeps a lock for a host that it does not hear of; the work is stopped before
    #[arg(long, value_name = "DURATION", default_value = LEASE, value_parser = quantity::duration, help_heading = "Several hosts")]
    pub(crate) lease: Duration,
}
