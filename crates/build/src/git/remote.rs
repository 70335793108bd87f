//! Looking at a repository without fetching anything: what there is, and whether something is new.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use jiff::Zoned;
use ward_config::job::Source;
use ward_engine::chain;

use super::address::{Address, expand, shown};
use super::alone::Alone;
use super::changelog::is_commit_name;
use super::command::{Git, Setting};
use super::error::{GitError, Trouble};
use super::keys::{Keys, Places};
use super::request::RemoteRequest;
use super::revision;
use crate::runner::Desk;
use crate::triggers::branches::BranchSpec;

/// A look takes no longer than this, whatever a fetch may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// The other side may tell so much, bytes.
const MAX_REFS: usize = 64 << 20;
/// So many new heads are told of; the rest is found by the next look.
const MAX_NEW: usize = 100;

/// What a look for something new came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PollOutcome {
    /// Nothing is new.
    Nothing,
    /// The job was never built, and there is something to build.
    First,
    /// These were not built yet; at least one.
    New(Vec<NewHead>),
    /// It could not be seen; why, for people.
    Failed(String),
}

/// A branch whose newest commit was not built yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewHead {
    /// Its name at the remote: `refs/heads/main`.
    pub reference: String,
    /// The commit.
    pub revision: String,
}

/// A look for something new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Polled {
    /// What it came to.
    pub outcome: PollOutcome,
    /// What people may read of it; no secrets.
    pub log: String,
}

/// What there is in a repository: names of refs at the remote, each with its commit. Runs in custody, and
/// takes two minutes at most.
///
/// # Errors
/// See [`GitError`].
pub fn ls_remote(request: &RemoteRequest<'_>) -> Result<BTreeMap<String, String>, GitError> {
    look(&mut Alone::default(), request, &[])
}

/// Whether there is something to build: a head that the job builds and that `is_built` does not know. A
/// commit that was built once is never new again, wherever its branch was pushed to meanwhile. An error of
/// git is nothing new, and in the log. An empty repository, too.
pub fn poll(
    request: &RemoteRequest<'_>,
    was_ever_built: bool,
    is_built: &dyn Fn(&str) -> bool,
) -> Polled {
    let began = Instant::now();
    let mut desk = Alone::default();
    desk.line(&format!(
        "Started on {}",
        Zoned::now().strftime("%b %-d, %Y, %-I:%M:%S %p")
    ));
    desk.line("Using strategy: Default");
    let outcome = seen(&mut desk, request, was_ever_built, is_built).unwrap_or_else(|error| {
        let mut text = chain(&error);
        if let Some(hint) = error.hint() {
            let _ = write!(text, "\nhint: {hint}");
        }
        PollOutcome::Failed(text)
    });
    let took = began.elapsed().as_secs_f64();
    desk.line(&format!("Done. Took {took:.1} sec"));
    desk.line(&match &outcome {
        PollOutcome::Nothing => "No changes".to_owned(),
        PollOutcome::First | PollOutcome::New(_) => "Changes found".to_owned(),
        PollOutcome::Failed(why) => format!("{why}\nNo changes"),
    });
    Polled {
        outcome,
        log: desk.into_log(),
    }
}

fn seen(
    desk: &mut Alone,
    request: &RemoteRequest<'_>,
    was_ever_built: bool,
    is_built: &dyn Fn(&str) -> bool,
) -> Result<PollOutcome, GitError> {
    let source = request.source;
    let specs = revision::specs(&source.branches, &source.remote, request.variables)?;
    if let Some(commit) = revision::only_commit(&specs) {
        return Ok(if !was_ever_built {
            PollOutcome::First
        } else if is_built(&commit) {
            PollOutcome::Nothing
        } else {
            PollOutcome::New(vec![NewHead {
                reference: "detached".to_owned(),
                revision: commit,
            }])
        });
    }
    let kinds: &[&str] = if source.refspec.is_some() {
        &[]
    } else if specs.iter().any(|spec| spec.text().contains("refs/")) {
        &["--heads", "--tags"]
    } else {
        &["--heads"]
    };
    let refs = look(desk, request, kinds)?;
    let outcome = judge(&refs, source, &specs, was_ever_built, is_built);
    desk.line(&format!("Found {} references", refs.len()));
    if let PollOutcome::New(new) = &outcome {
        for head in new {
            desk.line(&format!(
                "[poll] {} is at {}, which was not built yet",
                head.reference, head.revision
            ));
        }
    }
    Ok(outcome)
}

fn judge(
    refs: &BTreeMap<String, String>,
    source: &Source,
    specs: &[BranchSpec],
    was_ever_built: bool,
    is_built: &dyn Fn(&str) -> bool,
) -> PollOutcome {
    let mut new: Vec<NewHead> = Vec::new();
    let mut is_there = false;
    for (name, revision) in refs {
        let Some(reference) = as_head(name, source) else {
            continue;
        };
        if !specs.iter().any(|spec| spec.matches(&reference)) {
            continue;
        }
        is_there = true;
        let is_known = new.iter().any(|head| head.revision == *revision);
        if new.len() < MAX_NEW && !is_known && !is_built(revision) {
            new.push(NewHead {
                reference,
                revision: revision.clone(),
            });
        }
    }
    match (is_there, was_ever_built) {
        (true, false) => PollOutcome::First,
        (true, true) if !new.is_empty() => PollOutcome::New(new),
        (true | false, true | false) => PollOutcome::Nothing,
    }
}

/// What a ref of the remote is called once it was fetched: a branch, by the job's refspec.
fn as_head(name: &str, source: &Source) -> Option<String> {
    let Some(refspec) = &source.refspec else {
        return Some(name.to_owned());
    };
    if name.starts_with("refs/tags/") {
        return Some(name.to_owned());
    }
    let of_remote = format!("refs/remotes/{}/", source.remote);
    refspec.split_whitespace().find_map(|each| {
        let (from, to) = each.trim_start_matches('+').split_once(':')?;
        let to = to.strip_prefix(&of_remote)?;
        let star = match from.split_once('*') {
            Some((before, behind)) => name.strip_prefix(before)?.strip_suffix(behind)?,
            None if from == name || name.strip_prefix("refs/heads/") == Some(from) => "",
            None => return None,
        };
        Some(format!("refs/heads/{}", to.replacen('*', star, 1)))
    })
}

fn look(
    desk: &mut Alone,
    request: &RemoteRequest<'_>,
    kinds: &[&str],
) -> Result<BTreeMap<String, String>, GitError> {
    let source = request.source;
    let address = Address::read(&expand(&source.url, request.variables))?;
    let places = Places {
        home: request.home,
        secrets: request.secrets,
        scratch: request.scratch,
    };
    let trusted: Vec<_> = address
        .path()
        .map(std::path::Path::new)
        .into_iter()
        .collect();
    let keys = Keys::lay(
        &address,
        source.credentials.as_deref(),
        places,
        None,
        &trusted,
    )?;
    let mut words = vec!["ls-remote", "--quiet"];
    words.extend(kinds);
    words.extend(["--", &address.url]);
    desk.line(&format!(" > git {}", shown(&words.join(" "))));
    let words: Vec<_> = words.into_iter().map(OsStr::new).collect();
    let asked = Git {
        desk: &mut *desk,
        setting: Setting {
            environment: request.environment,
            identity: None,
            keys: &keys,
            limit: source.timeout.min(PATIENCE),
            ways: "file:git:http:https:ssh",
            umask: None,
        },
    }
    .asks(None, &words, MAX_REFS);
    match asked {
        Ok(text) => Ok(read_refs(&text)),
        Err(GitError::Failed { what, said, .. }) => {
            let heard = desk.said.trim();
            let said = if heard.is_empty() {
                said
            } else {
                heard.to_owned()
            };
            Err(GitError::Failed {
                what,
                trouble: Trouble::of(&said),
                said,
            })
        }
        Err(error) => Err(error),
    }
}

fn read_refs(text: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(text);
    let mut refs = BTreeMap::new();
    for line in text.lines() {
        let Some((revision, name)) = line.split_once('\t') else {
            continue;
        };
        if !is_commit_name(revision) || !name.starts_with("refs/") {
            continue;
        }
        // Behind a tag that is an object of its own comes what it is of.
        let name = name.strip_suffix("^{}").unwrap_or(name);
        refs.insert(name.to_owned(), revision.to_owned());
    }
    refs
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn outcome(text: &str, branches: &[&str], was_ever_built: bool, built: &[&str]) -> PollOutcome {
        let source = Source::default();
        let branches: Vec<_> = branches.iter().map(|&each| each.to_owned()).collect();
        let specs = revision::specs(&branches, "origin", &[]).expect("specifications");
        let refs = read_refs(text.as_bytes());
        judge(&refs, &source, &specs, was_ever_built, &|revision| {
            built.contains(&revision)
        })
    }

    #[test]
    fn only_what_was_never_built_is_new() {
        let text = format!("{A}\trefs/heads/main\n{B}\trefs/heads/other\n{B}\tHEAD\n");
        let new = |reference: &str, revision: &str| {
            PollOutcome::New(vec![NewHead {
                reference: reference.to_owned(),
                revision: revision.to_owned(),
            }])
        };
        assert_eq!(outcome(&text, &["*/main"], false, &[]), PollOutcome::First);
        assert_eq!(
            outcome(&text, &["*/main"], true, &[]),
            new("refs/heads/main", A)
        );
        // A branch that was pushed back to a commit of old.
        assert_eq!(
            outcome(&text, &["*/main"], true, &[B, A]),
            PollOutcome::Nothing
        );
        assert_eq!(
            outcome(&text, &["**"], true, &[A]),
            new("refs/heads/other", B)
        );
        assert_eq!(outcome(&text, &["gone"], false, &[]), PollOutcome::Nothing);
        assert_eq!(outcome("", &["**"], false, &[]), PollOutcome::Nothing);
    }

    #[test]
    fn a_tag_is_what_it_is_of() {
        let text = format!("{A}\trefs/tags/v1\n{B}\trefs/tags/v1^{{}}\nfatal: x\n{A}\tnothing\n");
        let refs = read_refs(text.as_bytes());
        assert_eq!(refs.get("refs/tags/v1").map(String::as_str), Some(B));
        assert_eq!(refs.len(), 1);
    }

    #[test]
    fn a_refspec_makes_branches_of_what_it_fetches() {
        let source = Source {
            refspec: Some("+refs/pull/*/head:refs/remotes/origin/pr/*".to_owned()),
            ..Source::default()
        };
        let head = as_head("refs/pull/7/head", &source);
        assert_eq!(head.as_deref(), Some("refs/heads/pr/7"));
        assert_eq!(as_head("refs/heads/main", &source), None);
    }
}
