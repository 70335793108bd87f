//! What is shown, and the addresses of it.

use std::sync::Arc;

use ward_build::api::{Account, BuildView, Builds};

use crate::builds::Around;
use crate::http::encode;

/// What is shown, and to whom; may go to another thread.
#[derive(Clone)]
pub(super) struct World {
    pub(super) builds: Arc<dyn Builds>,
    /// The site's address, with a slash at its end.
    pub(super) root: String,
    pub(super) account: Account,
    pub(super) is_open: bool,
}

impl World {
    pub(super) fn of(around: &Around<'_>) -> Self {
        Self {
            builds: Arc::clone(around.builds),
            root: around.root.clone(),
            account: around.account.clone(),
            is_open: !around.has_accounts,
        }
    }

    pub(super) fn job_url(&self, name: &str) -> String {
        format!("{}{}", self.root, job_path(name))
    }

    pub(super) fn build_url(&self, job: &str, number: u32) -> String {
        format!("{}{}{number}/", self.root, job_path(job))
    }

    pub(super) fn view_url(&self, name: &str) -> String {
        if name == ALL {
            self.root.clone()
        } else {
            format!("{}view/{}/", self.root, encode(name))
        }
    }
}

/// The view that is always there.
pub(super) const ALL: &str = "all";

/// Where a job or folder is below the site's root, with a slash at its end.
pub(crate) fn job_path(name: &str) -> String {
    let mut path = String::new();
    for part in name.split('/') {
        path.push_str("job/");
        path.push_str(&encode(part));
        path.push('/');
    }
    path
}

/// The last part of a full name.
pub(super) fn base_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// Whether a build is not over: its log may still grow, too.
pub(super) fn is_building(build: &BuildView) -> bool {
    build.line.result.is_none() || build.log_grows
}
