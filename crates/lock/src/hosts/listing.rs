//! Who holds and who waits in a cluster, for people and scripts.

use ward_model::lock::Standing;

use super::Hosts;
use super::post::{post, record};
use crate::error::LockError;
use crate::etcd::Keys;
use crate::listing::Listed;
use crate::name;
use crate::record::Statistics;

impl Hosts {
    /// Every lock that somebody holds or waits for, by name.
    ///
    /// # Errors
    /// [`LockError::Cluster`].
    pub fn list(&mut self) -> Result<Vec<Listed>, LockError> {
        let root = format!("{}/", self.prefix);
        let range = self.cluster.range(&Keys::prefix(&root));
        let range = range.map_err(LockError::cluster)?;
        let mut all: Vec<Listed> = Vec::new();
        for pair in &range.pairs {
            let key = String::from_utf8_lossy(&pair.key);
            let rest = key.strip_prefix(&root).unwrap_or_default();
            let Some((file, "queue", _)) = parts(rest) else {
                continue;
            };
            let (Some(name), Ok(post)) = (name::decode(file), post(pair)) else {
                continue;
            };
            let at = all
                .iter()
                .position(|it| it.name == name)
                .unwrap_or_else(|| {
                    all.push(Listed {
                        name,
                        shape: post.shape,
                        holders: Vec::new(),
                        waiting: Vec::new(),
                        statistics: Statistics::default(),
                    });
                    all.len() - 1
                });
            let record = record(pair, &post);
            match record.standing {
                Standing::Holding => all[at].holders.push(record),
                Standing::Waiting => all[at].waiting.push(record),
            }
        }
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(all)
    }
}

fn parts(rest: &str) -> Option<(&str, &str, &str)> {
    let (file, rest) = rest.split_once('/')?;
    let (kind, key) = rest.split_once('/')?;
    Some((file, kind, key))
}
