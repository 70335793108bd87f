//! Which commit is built: what the branches' names say, and what is there.

use std::ffi::OsStr;
use std::path::Path;

use super::changelog::is_commit_name;
use super::command::Git;
use super::error::GitError;
use crate::triggers::branches::BranchSpec;

/// Names of branches are read up to so many bytes.
const MAX_REFS: usize = 64 << 20;
/// So many branches are named to who asks for one that is not there.
const MAX_NAMED: usize = 10;

/// A branch, or a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// Its name at the remote: `refs/heads/main`.
    pub(super) reference: String,
    /// Its commit.
    pub(super) revision: String,
    /// When the commit was made, seconds since the epoch.
    pub(super) at: i64,
}

/// What was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) revision: String,
    /// `origin/main`, `refs/tags/v1`, or `detached`.
    pub(super) branch: String,
}

impl Chosen {
    fn of(head: &Head, remote: &str) -> Self {
        let branch = match head.reference.strip_prefix("refs/heads/") {
            Some(short) => format!("{remote}/{short}"),
            None => head.reference.clone(),
        };
        Self {
            revision: head.revision.clone(),
            branch,
        }
    }

    fn detached(revision: &str) -> Self {
        Self {
            revision: revision.to_owned(),
            branch: "detached".to_owned(),
        }
    }

    /// The branch's own name, if it is one.
    pub(super) fn short(&self, remote: &str) -> Option<&str> {
        self.branch.strip_prefix(remote)?.strip_prefix('/')
    }
}

/// What the job builds. None at all means every branch.
///
/// # Errors
/// [`GitError::Setting`].
pub(super) fn specs(
    branches: &[String],
    remote: &str,
    variables: &[(String, String)],
) -> Result<Vec<BranchSpec>, GitError> {
    let variable = |name: &str| {
        let found = variables.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    };
    let every = [String::new()];
    let branches = if branches.is_empty() {
        &every
    } else {
        branches
    };
    branches
        .iter()
        .map(|text| {
            BranchSpec::new(text, remote, variable).map_err(|error| GitError::Branches {
                what: error.to_string(),
            })
        })
        .collect()
}

/// The commit that the job builds, if it names one and nothing else.
pub(super) fn only_commit(specs: &[BranchSpec]) -> Option<String> {
    match specs {
        [one] => one.commit().map(str::to_owned),
        _ => None,
    }
}

/// Whether git takes it for the name of a branch (git-check-ref-format(1)).
pub(super) fn is_ref_name(name: &str) -> bool {
    let is_bad = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
    !name.is_empty()
        && !name.split('/').any(is_bad)
        && !name.ends_with('.')
        && name != "@"
        && !name.contains("..")
        && !name.contains("@{")
        && !name
            .bytes()
            .any(|byte| byte.is_ascii_control() || b" ~^:?*[\\".contains(&byte))
}

/// The branches of the remote, and the tags, as the workspace knows them.
///
/// # Errors
/// What git says.
pub(super) fn heads(
    git: &mut Git<'_, '_>,
    repository: &Path,
    remote: &str,
) -> Result<Vec<Head>, GitError> {
    let of_remote = format!("refs/remotes/{remote}/");
    let words = [
        "for-each-ref",
        "--format=%(objectname)%00%(*objectname)%00%(committerdate:unix)%00%(*committerdate:unix)%00%(refname)",
        &of_remote,
        "refs/tags/",
    ];
    let text = git.asks(Some(repository), &words.map(OsStr::new), MAX_REFS)?;
    Ok(read_heads(&text, &of_remote))
}

fn read_heads(text: &[u8], of_remote: &str) -> Vec<Head> {
    let text = String::from_utf8_lossy(text);
    let read = |line: &str| {
        let mut parts = line.split('\0');
        let (object, peeled) = (parts.next()?, parts.next()?);
        let (at, peeled_at) = (parts.next()?, parts.next()?);
        let name = parts.next()?;
        let reference = match name.strip_prefix(of_remote) {
            // Which branch is the usual one there.
            Some("HEAD") => return None,
            Some(short) => format!("refs/heads/{short}"),
            None => name.to_owned(),
        };
        let (revision, at) = if peeled.is_empty() {
            (object, at)
        } else {
            (peeled, peeled_at)
        };
        is_commit_name(revision).then(|| Head {
            reference,
            revision: revision.to_owned(),
            at: at.parse().unwrap_or_default(),
        })
    };
    text.lines().filter_map(read).collect()
}

/// The newest commit of the branches that the job builds.
///
/// # Errors
/// [`GitError::Empty`] and [`GitError::NoBranch`].
pub(super) fn newest(
    heads: &[Head],
    specs: &[BranchSpec],
    remote: &str,
    url: &str,
) -> Result<Chosen, GitError> {
    let is_wanted = |head: &&Head| specs.iter().any(|spec| spec.matches(&head.reference));
    let newest = heads.iter().filter(is_wanted).max_by(|one, other| {
        let by_time = one.at.cmp(&other.at);
        by_time.then_with(|| other.reference.cmp(&one.reference))
    });
    if let Some(head) = newest {
        return Ok(Chosen::of(head, remote));
    }
    if heads.is_empty() {
        return Err(GitError::Empty(url.to_owned()));
    }
    Err(no_branch(heads, specs, url))
}

/// That no branch is as the job wants it.
pub(super) fn no_branch(heads: &[Head], specs: &[BranchSpec], url: &str) -> GitError {
    let wanted: Vec<_> = specs
        .iter()
        .map(|spec| format!("`{}`", spec.text()))
        .collect();
    let mut there: Vec<_> = heads
        .iter()
        .filter_map(|head| head.reference.strip_prefix("refs/heads/"))
        .map(str::to_owned)
        .collect();
    if there.len() > MAX_NAMED {
        let more = there.len() - MAX_NAMED;
        there.truncate(MAX_NAMED);
        there.push(format!("and {more} more"));
    }
    GitError::NoBranch {
        url: url.to_owned(),
        wanted: wanted.join(" or "),
        there,
    }
}

/// Whether the commit is in the repository.
///
/// # Errors
/// [`GitError::Stopped`], and when git cannot be run.
pub(super) fn is_there(
    git: &mut Git<'_, '_>,
    repository: &Path,
    revision: &str,
) -> Result<bool, GitError> {
    let object = format!("{revision}^{{commit}}");
    let words = ["cat-file", "-e", &object].map(OsStr::new);
    Ok(git.tries(Some(repository), &words, 4096)?.is_some())
}

/// The commit that somebody names otherwise than in full.
///
/// # Errors
/// [`GitError::NoRevision`].
pub(super) fn named(
    git: &mut Git<'_, '_>,
    repository: &Path,
    name: &str,
    url: &str,
) -> Result<Chosen, GitError> {
    let nothing = || GitError::NoRevision {
        url: url.to_owned(),
        revision: name.chars().take(200).collect(),
    };
    if name.starts_with('-') || name.chars().any(char::is_control) {
        return Err(nothing());
    }
    let object = format!("{name}^{{commit}}");
    let words = ["rev-parse", "--verify", "--quiet", &object].map(OsStr::new);
    let found = git.tries(Some(repository), &words, 4096)?;
    let found = found.unwrap_or_default();
    let revision = String::from_utf8_lossy(found.trim_ascii()).into_owned();
    if !is_commit_name(&revision) {
        return Err(nothing());
    }
    Ok(Chosen::detached(&revision))
}

/// A commit that is settled and there, with the branch that it is on: one whose newest commit it is, else
/// one of the job's that has it.
///
/// # Errors
/// What git says.
pub(super) fn settled(
    git: &mut Git<'_, '_>,
    repository: &Path,
    (heads, specs): (&[Head], &[BranchSpec]),
    remote: &str,
    revision: &str,
) -> Result<Chosen, GitError> {
    let is_wanted = |head: &Head| specs.iter().any(|spec| spec.matches(&head.reference));
    let on_top: Vec<_> = heads
        .iter()
        .filter(|head| head.revision == revision)
        .collect();
    let best = on_top
        .iter()
        .find(|head| is_wanted(head))
        .or(on_top.first());
    if let Some(head) = best {
        return Ok(Chosen::of(head, remote));
    }
    let of_remote = format!("refs/remotes/{remote}/");
    let words = [
        "for-each-ref",
        "--contains",
        revision,
        "--format=%(refname)",
        &of_remote,
    ];
    let text = git.asks(Some(repository), &words.map(OsStr::new), MAX_REFS)?;
    let text = String::from_utf8_lossy(&text);
    let has: Vec<_> = text
        .lines()
        .filter_map(|name| name.strip_prefix(&of_remote))
        .map(|short| format!("refs/heads/{short}"))
        .collect();
    let newest = heads
        .iter()
        .filter(|head| has.contains(&head.reference) && is_wanted(head))
        .max_by_key(|head| head.at);
    Ok(match newest {
        Some(head) => Chosen {
            revision: revision.to_owned(),
            ..Chosen::of(head, remote)
        },
        None => Chosen::detached(revision),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn head(reference: &str, revision: &str, at: i64) -> Head {
        Head {
            reference: reference.to_owned(),
            revision: revision.to_owned(),
            at,
        }
    }

    fn read(branches: &[&str]) -> Vec<BranchSpec> {
        let branches: Vec<_> = branches.iter().map(|&each| each.to_owned()).collect();
        specs(&branches, "origin", &[]).expect("specifications")
    }

    #[test]
    fn heads_are_read() {
        let text = format!(
            "{A}\0\x005\0\0refs/remotes/origin/a/b\n{A}\0\x005\0\0refs/remotes/origin/HEAD\n{A}\0{B}\0\x007\0refs/tags/v1\nnonsense\n"
        );
        assert_eq!(
            read_heads(text.as_bytes(), "refs/remotes/origin/"),
            [head("refs/heads/a/b", A, 5), head("refs/tags/v1", B, 7)]
        );
    }

    #[test]
    fn the_newest_of_what_is_wanted_is_built() {
        let heads = [
            head("refs/heads/main", A, 1),
            head("refs/heads/release/1", B, 3),
            head("refs/tags/v9", B, 9),
        ];
        let chosen = |branches: &[&str]| newest(&heads, &read(branches), "origin", "u");
        assert_eq!(chosen(&["*/main"]).expect("one").branch, "origin/main");
        assert_eq!(chosen(&[]).expect("one").branch, "origin/release/1");
        assert_eq!(
            chosen(&["main", "release/*"]).expect("one").revision,
            B.to_owned()
        );
        assert_eq!(
            chosen(&["refs/tags/v*"]).expect("one").branch,
            "refs/tags/v9"
        );
        let error = chosen(&["nothing"]).expect_err("none");
        assert!(
            error
                .hint()
                .is_some_and(|hint| hint.contains("main, release/1"))
        );
        let nothing = newest(&[], &read(&["main"]), "origin", "u");
        assert!(matches!(nothing, Err(GitError::Empty(_))));
    }

    #[test]
    fn names_of_branches() {
        for name in ["main", "a/b", "ä", "a.b", "v1@x"] {
            assert!(is_ref_name(name), "{name}");
        }
        for name in [
            "", "a b", "a//b", ".a", "a.lock", "a..b", "@", "a@{1}", "a:b", "/a", "a/",
        ] {
            assert!(!is_ref_name(name), "{name}");
        }
    }
}
