//! Which etcd cluster keeps the locks of several hosts.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};
use ward_model::quantity;

#[derive(Debug, Clone, Default, Args)]
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

    /// A configuration file whose [cluster] says all this
    /// [default: WARD_CLUSTER_CONFIG, or /etc/ward.conf if it is there]
    #[arg(long, value_name = "FILE", conflicts_with = "etcd", value_hint = ValueHint::FilePath, help_heading = "Several hosts")]
    pub(crate) cluster_config: Option<PathBuf>,

    /// Only on this host, whatever the environment and files say
    #[arg(long, conflicts_with_all = ["etcd", "cluster_config"], help_heading = "Several hosts")]
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

    /// Below which key the locks are [default: WARD_ETCD_PREFIX, or /ward/locks]
    #[arg(long, value_name = "KEY", help_heading = "Several hosts")]
    pub(crate) etcd_prefix: Option<String>,

    /// How long the cluster keeps a lock for a host that it does not hear of; the work is stopped before
    /// [default: WARD_ETCD_LEASE, or 30s]
    #[arg(long, value_name = "DURATION", value_parser = quantity::duration, help_heading = "Several hosts")]
    pub(crate) lease: Option<Duration>,
}
