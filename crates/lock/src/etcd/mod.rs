//! An etcd cluster, as a place where several hosts keep their locks: the client of it.
//!
//! What is here speaks to the cluster and knows nothing of locks: keys and values, transactions,
//! leases, and watching. It uses etcd's JSON gateway (etcd 3.4 and later, `/v3/`) over HTTP/1.1,
//! from one thread, without a runtime. Every request has a time limit over all members, counted
//! on the clock that goes on while the host sleeps; a member that is down, hangs, or has no
//! leader is passed over.
//!
//! ```no_run
//! use std::time::Duration;
//! use ward_lock::etcd::{Cluster, Compare, Keys, Op, Settings, Txn};
//!
//! let mut cluster = Cluster::new(Settings::from_environment()?)?;
//! let mut lease = cluster.grant(Duration::from_secs(15))?;
//! let key = format!("locks/deploy/{:016x}", lease.id);
//! let asked = Txn::new()
//!     .when(Compare::absent(&key))
//!     .then(Op::put_with(&key, "somebody", lease.id))
//!     .otherwise(Op::range(Keys::one(&key)));
//! cluster.txn(&asked)?;
//! cluster.keep_alive(&mut lease)?;
//! cluster.revoke(lease.id)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What may happen twice
//!
//! A member may carry a request out and be gone before it answers; the request is then put to the
//! next one. Reading, deleting, leases and watching take no harm from that. A transaction should
//! be made so that it takes none: with a comparison that its own success makes false, and keys
//! whose values tell whose they are. [`Applied::repeated`] and
//! [`EtcdError::may_have_happened`] say when to look. As a member that stood still may carry
//! out an old request later, what is put should depend on a lease, and who leaves should revoke it.

mod cluster;
mod endpoint;
mod error;
mod http;
mod keys;
mod lease;
mod member;
mod names;
mod refusal;
mod rotation;
mod settings;
mod stream;
mod tls;
mod txn;
mod wait;
mod watch;
mod wire;

pub use cluster::Cluster;
pub use error::{EtcdError, Failure};
pub use keys::{KeyValue, Keys, Range};
pub use lease::{Lease, LeaseId};
pub use settings::{Secret, Settings, SettingsError, endpoints, is_about};
pub use txn::{Applied, Compare, Op, OpAnswer, Relation, Target, Txn};
pub use watch::{Change, Event, Seen, Watch};
