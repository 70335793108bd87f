//! A commit of a repository into a workspace, whatever was left there.
//!
//! In order: what is new is fetched into the shared clone, and from there into the workspace's own; the
//! commit is chosen; the files are made to be that commit's. A workspace whose clone is damaged, or is
//! another repository's, is emptied and filled anew; if that does not help, from a shared clone that is
//! made anew too.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use ward_config::job::{Clean, Source};

use super::address::{Address, Transport, expand, shown};
use super::cache;
use super::changelog;
use super::command::{Git, Setting};
use super::error::GitError;
use super::keys::{Keys, Places};
use super::request::{Checked, CheckoutRequest};
use super::revision::{self, Chosen};
use super::settings::{check_remote, directory_of, refspecs_of};
use super::{stale, wipe};
use crate::outcome::Checkout;
use crate::plan::BuiltBranch;
use crate::runner::Desk;

/// Ways to fetch that a job's own address may name.
const WAYS: &str = "file:git:http:https:ssh";
/// Ways to fetch that a repository may name for its submodules.
const WAYS_OF_STRANGERS: &str = "git:http:https:ssh";

/// Checks out what `request` says.
///
/// # Errors
/// See [`GitError`]; [`GitError::Stopped`] when the build is being stopped.
pub fn checkout(desk: &mut dyn Desk, request: &CheckoutRequest<'_>) -> Result<Checked, GitError> {
    let mut plan = Prepared::new(request)?;
    if let Some(name) = &request.source.credentials {
        desk.line(&format!("Using credential {name}"));
    }
    if request.clean == Clean::Wipe {
        desk.line("Wiping out the workspace");
        wipe::empty(request.workspace).map_err(GitError::file("empty", request.workspace))?;
    }
    let mut attempt = 0;
    loop {
        let shared = plan.refresh_cache(desk)?;
        let has_shared = shared.is_some();
        plan.lay_their_keys(desk)?;
        let error = match plan.fill(desk, shared) {
            Err(error) if plan.may_begin_anew(&error) && !desk.is_stopping() => error,
            result => return result,
        };
        // The workspace first, which is at fault most often and is nobody else's; then what it was filled from.
        match attempt {
            0 => {
                desk.line(&format!(
                    "The clone in the workspace cannot be used ({error}): it is emptied and cloned anew"
                ));
            }
            1 if has_shared => {
                desk.line(&format!(
                    "Nor can the shared clone ({error}): both are made anew"
                ));
                plan.discard_cache(desk)?;
            }
            _ => return Err(error),
        }
        wipe::empty(&plan.directory).map_err(GitError::file("empty", &plan.directory))?;
        attempt += 1;
    }
}

fn places<'a>(request: &CheckoutRequest<'a>) -> Places<'a> {
    Places {
        home: request.home,
        secrets: request.secrets,
        scratch: request.scratch,
    }
}

/// Repositories of this host that may belong to anybody.
fn trusted<'a>(address: &'a Address, shared: Option<&'a (PathBuf, Vec<String>)>) -> Vec<&'a Path> {
    let shared = shared.map(|(place, _)| place.as_path());
    address
        .path()
        .map(Path::new)
        .into_iter()
        .chain(shared)
        .collect()
}

/// Everything that does not change while it goes on.
struct Prepared<'a> {
    request: &'a CheckoutRequest<'a>,
    source: &'a Source,
    address: Address,
    /// Where the files go.
    directory: PathBuf,
    refspecs: Vec<String>,
    /// The shared clone, and what is fetched into it; none where nothing is shared.
    shared: Option<(PathBuf, Vec<String>)>,
    /// For who we are.
    our_keys: Keys,
    /// For who runs the steps, if that is somebody else.
    their_keys: Option<Keys>,
}

impl<'a> Prepared<'a> {
    fn new(request: &'a CheckoutRequest<'a>) -> Result<Self, GitError> {
        let source = request.source;
        let address = Address::read(&expand(&source.url, request.variables))?;
        check_remote(&source.remote)?;
        let refspecs = refspecs_of(source, request.variables)?;
        let may_share =
            !source.no_cache && source.depth.is_none() && address.transport != Transport::Local;
        let shared = cache::refspecs(&refspecs, !source.no_tags)
            .filter(|_| may_share)
            .map(|all| {
                let place = cache::place(request.cache, &address, request.identity);
                (place, all)
            });
        let credentials = source.credentials.as_deref();
        let trusted = trusted(&address, shared.as_ref());
        let our_keys = Keys::lay(&address, credentials, places(request), None, &trusted)?;
        Ok(Self {
            directory: directory_of(request)?,
            request,
            source,
            address,
            refspecs,
            shared,
            our_keys,
            their_keys: None,
        })
    }

    /// Lays out for who runs the steps what git needs to sign in, if that is somebody else. Hosts that we have
    /// met by then are known to them; they cannot remember any.
    fn lay_their_keys(&mut self, desk: &mut dyn Desk) -> Result<(), GitError> {
        let Some(identity) = self.request.identity else {
            return Ok(());
        };
        if self.their_keys.is_some() {
            return Ok(());
        }
        if self.shared.is_none() && self.address.transport == Transport::Ssh {
            // Nobody of us has been there in this build.
            let words = ["ls-remote", "--quiet", "--", &self.address.url, "HEAD"];
            self.ours(desk).does(None, &words.map(OsStr::new))?;
        }
        // With a shared clone they need to sign in for submodules only.
        let needed = self.shared.is_none() || self.source.submodules;
        let mut bare = self.address.clone();
        if !needed {
            bare.login = None;
        }
        let credentials = self.source.credentials.as_deref().filter(|_| needed);
        let trusted = trusted(&self.address, self.shared.as_ref());
        let places = places(self.request);
        let keys = Keys::lay(&bare, credentials, places, Some(identity), &trusted)?;
        self.their_keys = Some(keys);
        Ok(())
    }

    /// Git as who we are: for the shared clone.
    fn ours<'d>(&self, desk: &'d mut dyn Desk) -> Git<'d, '_> {
        Git {
            desk,
            setting: Setting {
                environment: self.request.environment,
                identity: None,
                keys: &self.our_keys,
                limit: self.source.timeout,
                ways: WAYS,
                umask: Some(if self.request.identity.is_some() {
                    0o027
                } else {
                    0o077
                }),
            },
        }
    }

    /// Git as who runs the steps: for the workspace.
    fn theirs<'d>(&self, desk: &'d mut dyn Desk) -> Git<'d, '_> {
        Git {
            desk,
            setting: Setting {
                environment: self.request.environment,
                identity: self.request.identity,
                keys: self.their_keys.as_ref().unwrap_or(&self.our_keys),
                limit: self.source.timeout,
                ways: WAYS,
                umask: None,
            },
        }
    }

    /// Whether what failed is likely to be the workspace's fault, and may be mended by emptying it.
    fn may_begin_anew(&self, error: &GitError) -> bool {
        match error {
            GitError::Failed { trouble, .. } => {
                trouble.is_of_clone() && !self.request.shared_workspace
            }
            GitError::Stopped
            | GitError::Address { .. }
            | GitError::Setting { .. }
            | GitError::Branches { .. }
            | GitError::Secret { .. }
            | GitError::Custody(_)
            | GitError::NoGit { .. }
            | GitError::TimedOut { .. }
            | GitError::Nonsense(_)
            | GitError::Empty(_)
            | GitError::NoBranch { .. }
            | GitError::NoRevision { .. }
            | GitError::File { .. } => false,
        }
    }

    fn refresh_cache(&self, desk: &mut dyn Desk) -> Result<Option<cache::Clone>, GitError> {
        let Some((path, refspecs)) = &self.shared else {
            return Ok(None);
        };
        desk.line(&format!(
            "Fetching upstream changes from {}",
            shown(&self.address.url)
        ));
        let identity = self.request.identity;
        let mut git = self.ours(desk);
        let clone = cache::Clone::open(&mut git, path.clone(), identity)?;
        match clone.fetch(&mut git, &self.address, refspecs) {
            Ok(()) => Ok(Some(clone)),
            Err(GitError::Failed { trouble, said, .. })
                if trouble.is_of_clone() && !git.desk.is_stopping() =>
            {
                git.desk.line(&format!(
                    "The shared clone cannot be used ({said}): it is made anew"
                ));
                clone.discard()?;
                drop(clone);
                let clone = cache::Clone::open(&mut git, path.clone(), identity)?;
                clone.fetch(&mut git, &self.address, refspecs)?;
                Ok(Some(clone))
            }
            Err(error) => Err(error),
        }
    }

    fn discard_cache(&self, desk: &mut dyn Desk) -> Result<(), GitError> {
        let Some((path, _)) = &self.shared else {
            return Ok(());
        };
        let mut git = self.ours(desk);
        cache::Clone::open(&mut git, path.clone(), self.request.identity)?.discard()
    }

    /// Everything in the workspace. The shared clone is let go as soon as nothing is needed of it.
    fn fill(&self, desk: &mut dyn Desk, shared: Option<cache::Clone>) -> Result<Checked, GitError> {
        let is_new = self.prepare_repository(desk)?;
        self.fetch(desk, shared.as_ref(), is_new)?;
        let chosen = self.choose(desk, shared.as_ref())?;
        drop(shared);
        let mut git = self.theirs(desk);
        let at = Some(self.directory.as_path());
        if self.request.clean == Clean::Before && !is_new {
            git.does(at, &["reset", "--hard", "--quiet"].map(OsStr::new))?;
            self.clean(&mut git)?;
        }
        git.desk.line(&format!(
            "Checking out Revision {} ({})",
            chosen.revision, chosen.branch
        ));
        let local = self.local_branch(&chosen)?;
        let mut words = vec!["checkout", "--force", "--quiet"];
        match &local {
            Some(local) => words.extend(["-B", local, &chosen.revision]),
            None => words.extend(["--detach", &chosen.revision]),
        }
        words.push("--");
        let words: Vec<&OsStr> = words.into_iter().map(OsStr::new).collect();
        git.does(at, &words)?;
        if self.request.clean == Clean::After {
            self.clean(&mut git)?;
        }
        if self.source.submodules {
            self.submodules(&mut git)?;
        }
        let commit = changelog::commit(&mut git, &self.directory, &chosen.revision)?;
        let title = commit.map(|commit| commit.title).unwrap_or_default();
        git.desk.line(&format!("Commit message: \"{title}\""));
        let changes = self.changes(&mut git, &chosen)?;
        let environment = self.environment(&chosen, local.as_deref());
        Ok(Checked {
            checkout: Checkout {
                url: shown(&self.address.url),
                revision: chosen.revision,
                branch: chosen.branch,
                changes,
            },
            environment,
            directory: self.directory.clone(),
        })
    }

    /// Makes the workspace's own repository if there is none of that address; true if it is new.
    fn prepare_repository(&self, desk: &mut dyn Desk) -> Result<bool, GitError> {
        let inside = self.directory.join(".git");
        let key = format!("remote.{}.url", self.source.remote);
        let is_there = std::fs::symlink_metadata(&inside).is_ok();
        if is_there && cache::is_repository(&inside) {
            let age = self.request.shared_workspace.then_some(self.source.timeout);
            for lock in stale::clear(&inside, age) {
                desk.line(&format!("Removed {lock}, which a killed git had left"));
            }
            let mut git = self.theirs(desk);
            let words = ["config", "--local", "--get", &key].map(OsStr::new);
            let known = git.tries(Some(&self.directory), &words, 16 << 10)?;
            let known = known.unwrap_or_default();
            if known.trim_ascii() == self.address.url.as_bytes() {
                git.desk
                    .line("Fetching changes from the remote Git repository");
                return Ok(false);
            }
            let known = shown(&String::from_utf8_lossy(known.trim_ascii()));
            if self.request.shared_workspace {
                desk.line(&format!("The workspace had a clone of `{known}`"));
            } else {
                desk.line(&format!(
                    "The workspace has a clone of `{known}`: it is emptied"
                ));
                self.empty()?;
            }
        } else if is_there {
            desk.line("The workspace has a broken clone: it is made anew");
            if self.request.shared_workspace {
                wipe::remove(&inside).map_err(GitError::file("remove", &inside))?;
            } else {
                self.empty()?;
            }
        }
        desk.line("Cloning the remote Git repository");
        desk.line(&format!("Cloning repository {}", shown(&self.address.url)));
        let mut git = self.theirs(desk);
        let mut words = ["init", "--quiet", "--"].map(OsStr::new).to_vec();
        words.push(self.directory.as_os_str());
        git.does(None, &words)?;
        let at = Some(self.directory.as_path());
        let words = ["config", "--local", &key, &self.address.url].map(OsStr::new);
        git.asks(at, &words, 4096)?;
        let key = format!("remote.{}.fetch", self.source.remote);
        for (index, refspec) in self.refspecs.iter().enumerate() {
            let how = if index == 0 { "--replace-all" } else { "--add" };
            let words = ["config", "--local", how, &key, refspec].map(OsStr::new);
            git.asks(at, &words, 4096)?;
        }
        Ok(true)
    }

    fn empty(&self) -> Result<(), GitError> {
        wipe::empty(&self.directory).map_err(GitError::file("empty", &self.directory))
    }

    /// Fetches into the workspace: from the shared clone, or from afar.
    fn fetch(
        &self,
        desk: &mut dyn Desk,
        shared: Option<&cache::Clone>,
        is_new: bool,
    ) -> Result<(), GitError> {
        let mut git = self.theirs(desk);
        let at = Some(self.directory.as_path());
        if is_new && let Some(reference) = &self.source.reference {
            // Only a help: whoever cannot be read, or is gone, is missed by nobody.
            let refspec = "+refs/heads/*:refs/ward/reference/*";
            let words = ["fetch", "--quiet", "--no-tags", "--", reference, refspec];
            if git.tries(at, &words.map(OsStr::new), 4096)?.is_none() {
                git.desk
                    .line(&format!("Nothing could be taken from {reference}"));
            }
        }
        let tags = if self.source.no_tags {
            "--no-tags"
        } else {
            "--tags"
        };
        let depth = self.source.depth.map(|depth| format!("--depth={depth}"));
        let is_shallow = self.directory.join(".git/shallow").exists();
        let mut words: Vec<&OsStr> = ["fetch", "--progress", "--force", "--prune", tags]
            .map(OsStr::new)
            .into();
        if let Some(depth) = &depth {
            words.push(OsStr::new(depth));
        } else if is_shallow {
            words.push(OsStr::new("--unshallow"));
        }
        words.push(OsStr::new("--"));
        words.push(match shared {
            Some(shared) => shared.path.as_os_str(),
            None => OsStr::new(&self.address.url),
        });
        words.extend(self.refspecs.iter().map(OsStr::new));
        if self.source.prune && !self.source.no_tags {
            // What is asked for by name is forgotten too when it is gone, which `--tags` alone does not do.
            words.push(OsStr::new("+refs/tags/*:refs/tags/*"));
        }
        if shared.is_none() {
            let line = format!(
                "Fetching upstream changes from {}",
                shown(&self.address.url)
            );
            git.desk.line(&line);
        }
        git.does(at, &words)
    }

    /// The commit to build.
    fn choose(
        &self,
        desk: &mut dyn Desk,
        shared: Option<&cache::Clone>,
    ) -> Result<Chosen, GitError> {
        let source = self.source;
        let specs = revision::specs(&source.branches, &source.remote, self.request.variables)?;
        let wanted = match self.request.revision {
            Some(revision) => Some(revision.to_owned()),
            None => revision::only_commit(&specs),
        };
        let url = shown(&self.address.url);
        let mut git = self.theirs(desk);
        let heads = revision::heads(&mut git, &self.directory, &self.source.remote)?;
        let Some(wanted) = wanted else {
            return revision::newest(&heads, &specs, &self.source.remote, &url);
        };
        if !changelog::is_commit_name(&wanted) {
            return revision::named(&mut git, &self.directory, &wanted, &url);
        }
        if !revision::is_there(&mut git, &self.directory, &wanted)? {
            self.fetch_commit(git.desk, shared, &wanted)?;
            git = self.theirs(desk);
            if !revision::is_there(&mut git, &self.directory, &wanted)? {
                return Err(GitError::NoRevision {
                    url,
                    revision: wanted,
                });
            }
        }
        revision::settled(
            &mut git,
            &self.directory,
            (&heads, &specs),
            &self.source.remote,
            &wanted,
        )
    }

    /// Fetches a commit that no branch has: it was pushed away, and the other side may still give it.
    fn fetch_commit(
        &self,
        desk: &mut dyn Desk,
        shared: Option<&cache::Clone>,
        revision: &str,
    ) -> Result<(), GitError> {
        let (from, name) = match shared {
            Some(shared) => {
                let mut git = self.ours(desk);
                match shared.name_commit(&mut git, &self.address, revision)? {
                    Some(name) => (shared.path.as_os_str(), name),
                    None => return Ok(()),
                }
            }
            None => (OsStr::new(&self.address.url), revision.to_owned()),
        };
        let refspec = format!("+{name}:refs/ward/{revision}");
        let depth = self.source.depth.map(|depth| format!("--depth={depth}"));
        let mut words: Vec<&OsStr> = ["fetch", "--no-tags"].map(OsStr::new).into();
        words.extend(depth.as_deref().map(OsStr::new));
        words.extend([OsStr::new("--"), from, OsStr::new(&refspec)]);
        self.theirs(desk)
            .tries(Some(&self.directory), &words, 4096)?;
        Ok(())
    }

    fn clean(&self, git: &mut Git<'_, '_>) -> Result<(), GitError> {
        let at = Some(self.directory.as_path());
        git.does(at, &["clean", "-ffdxq"].map(OsStr::new))?;
        if self.source.submodules {
            // The words are ours; git gives them to a shell in each.
            let words = [
                "submodule",
                "--quiet",
                "foreach",
                "--recursive",
                "git clean -ffdxq",
            ];
            git.does(at, &words.map(OsStr::new))?;
        }
        Ok(())
    }

    fn submodules(&self, git: &mut Git<'_, '_>) -> Result<(), GitError> {
        let at = Some(self.directory.as_path());
        if self.address.transport != Transport::Local {
            git.setting.ways = WAYS_OF_STRANGERS;
        }
        let recursive = self
            .source
            .recursive_submodules
            .then_some("--recursive")
            .map(OsStr::new);
        let mut words = ["submodule", "--quiet", "sync"].map(OsStr::new).to_vec();
        words.extend(recursive);
        git.does(at, &words)?;
        let depth = self.source.depth.map(|depth| format!("--depth={depth}"));
        let mut words = ["submodule", "update", "--init", "--force", "--progress"]
            .map(OsStr::new)
            .to_vec();
        words.extend(recursive);
        words.extend(depth.as_deref().map(OsStr::new));
        let result = git.does(at, &words);
        git.setting.ways = WAYS;
        result
    }

    fn local_branch(&self, chosen: &Chosen) -> Result<Option<String>, GitError> {
        let Some(wanted) = &self.source.local_branch else {
            return Ok(None);
        };
        let name = match wanted.as_str() {
            "**" | "" => match chosen.short(&self.source.remote) {
                Some(short) => short.to_owned(),
                None => return Ok(None),
            },
            name => expand(name, self.request.variables),
        };
        if name.starts_with('-') || !revision::is_ref_name(&name) {
            return Err(GitError::Setting {
                what: "local branch",
                value: name,
                why: "git has no such names",
            });
        }
        Ok(Some(name))
    }

    fn changes(
        &self,
        git: &mut Git<'_, '_>,
        chosen: &Chosen,
    ) -> Result<Vec<crate::outcome::Change>, GitError> {
        let Some(previous) = self.before(chosen).map(|it| it.revision.as_str()) else {
            git.desk.line("First time build. Skipping changelog.");
            return Ok(Vec::new());
        };
        if previous == chosen.revision {
            return Ok(Vec::new());
        }
        if !changelog::is_commit_name(previous)
            || !revision::is_there(git, &self.directory, previous)?
        {
            git.desk.line(&format!(
                "The commit of the build before, {previous}, is not there any more. Skipping changelog."
            ));
            return Ok(Vec::new());
        }
        changelog::between(git, &self.directory, previous, &chosen.revision)
    }

    /// What was built of this branch before.
    fn before(&self, chosen: &Chosen) -> Option<&BuiltBranch> {
        let mut built = self.request.built.iter();
        built.find(|it| it.branch == chosen.branch)
    }

    fn environment(&self, chosen: &Chosen, local: Option<&str>) -> Vec<(String, String)> {
        let mut all = vec![
            ("GIT_COMMIT", chosen.revision.clone()),
            ("GIT_BRANCH", chosen.branch.clone()),
            ("GIT_URL", shown(&self.address.url)),
        ];
        let given = |name, value: Option<&str>| value.map(|value| (name, value.to_owned()));
        all.extend(given("GIT_LOCAL_BRANCH", local));
        let before = self.before(chosen);
        let revision = before.map(|it| it.revision.as_str());
        let successful = before.and_then(|it| it.successful.as_deref());
        all.extend(given("GIT_PREVIOUS_COMMIT", revision));
        all.extend(given("GIT_PREVIOUS_SUCCESSFUL_COMMIT", successful));
        all.into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}
