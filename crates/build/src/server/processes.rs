//! The processes of a build that runs, for people.

use std::fs;
use std::path::Path;

use ward_sys::procfs::{self, Stat};

use super::ending::read_state;
use super::home::read_bounded;
use crate::api::ProcessLine;
use crate::masking::Masker;
use crate::plan::{Plan, file};

/// No more are shown.
const MOST: usize = 1_000;
/// A command line is shown so far, characters.
const LONGEST: usize = 500;
/// No plan is larger, bytes.
const LARGEST_PLAN: u64 = 64 << 20;
/// No secret is longer, bytes.
const LONGEST_SECRET: u64 = 64 << 10;

/// The processes below the runner of the build in `directory`, parents first; none if it is over.
pub(super) fn of_build(directory: &Path) -> Vec<ProcessLine> {
    let Some(state) = read_state(directory) else {
        return Vec::new();
    };
    let is_it = Stat::of(state.pid).is_some_and(|stat| stat.start_ticks == state.start_time);
    if !is_it {
        return Vec::new();
    }
    let masker = Masker::new(&secrets(directory));
    let mut lines = Vec::new();
    let mut to_see = vec![(state.pid, 0)];
    while let Some((pid, depth)) = to_see.pop() {
        if lines.len() >= MOST {
            break;
        }
        // Whoever ended since is left out, with those below, who are somebody else's now.
        let Some(stat) = Stat::of(pid).filter(|stat| !stat.has_ended()) else {
            continue;
        };
        let command = procfs::command_line(pid, &stat.comm);
        let masked = masker.mask(command.as_bytes());
        let shown = String::from_utf8_lossy(&masked);
        lines.push(ProcessLine {
            pid,
            parent: stat.ppid,
            depth,
            command: shown.chars().take(LONGEST).collect(),
            age: stat.age().as_secs(),
        });
        let mut children = procfs::children(pid);
        children.sort_unstable_by(|one, other| other.cmp(one));
        to_see.extend(children.into_iter().map(|child| (child, depth + 1)));
    }
    lines
}

/// What may not be shown of a build: all that its console does not show either.
fn secrets(directory: &Path) -> Vec<Vec<u8>> {
    let Some(plan) = read_bounded(&directory.join(file::PLAN), LARGEST_PLAN)
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Plan>(&bytes).ok())
    else {
        return Vec::new();
    };
    let parameters = plan
        .parameters
        .iter()
        .filter(|parameter| parameter.secret)
        .map(|parameter| parameter.value.clone().into_bytes());
    let bound = plan.job.secrets.iter().filter_map(|binding| {
        // A name that is a path names no secret of ours.
        let name = Some(binding.secret.as_str()).filter(|name| !name.contains('/'))?;
        read_bounded(&plan.secrets.join(name), LONGEST_SECRET).ok()
    });
    parameters
        .chain(bound)
        .chain([plan.server_cookie.clone().into_bytes()])
        .collect()
}

/// A secret of the server, by name, without the end of its last line; none if there is no such.
pub(super) fn secret(secrets: &Path, name: &str) -> Option<Vec<u8>> {
    let is_name = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
    let path = is_name.then(|| secrets.join(name))?;
    if !fs::metadata(&path).ok()?.is_file() {
        return None;
    }
    let mut bytes = read_bounded(&path, LONGEST_SECRET).ok()?;
    while matches!(bytes.last(), Some(b'\n' | b'\r')) {
        bytes.pop();
    }
    (!bytes.is_empty()).then_some(bytes)
}
