//! Where a case is tried: a world, hosts in it, and the cluster that they share.

use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, anyhow, ensure};
use serde_json::Value;
use ward_testkit::daemons::{Ask, Asked, Member, nobody_is_left};
use ward_testkit::etcd::Members;
use ward_testkit::patience::{wait_for, wait_until};
use ward_testkit::processes::children;
use ward_testkit::run::text;
use ward_testkit::world;
use ward_testkit::world::{Who, World};

use crate::Result;

pub(crate) const WRONG_USE: i32 = 2;
pub(crate) const LOST: i32 = 119;
pub(crate) const BUSY: i32 = 122;
pub(crate) const REFUSED: i32 = 125;
pub(crate) const KILLED: i32 = 128 + 9;

/// Longer than any test lasts.
pub(crate) const LONG: &str = "50s";

/// What would lead ward to another cluster, or give it locks that are held above.
pub(crate) const MEANINGFUL: [&str; 17] = [
    "WARD_LOCKS_HELD",
    "WARD_CLUSTER_LOCKS_HELD",
    "WARD_ETCD_ENDPOINTS",
    "WARD_ETCD_USER",
    "WARD_ETCD_PASSWORD_FILE",
    "WARD_ETCD_CACERT",
    "WARD_ETCD_CERT",
    "WARD_ETCD_KEY",
    "WARD_ETCD_PREFIX",
    "WARD_ETCD_LEASE",
    "WARD_CLUSTER_CONFIG",
    "ETCDCTL_ENDPOINTS",
    "ETCDCTL_USER",
    "ETCDCTL_PASSWORD",
    "ETCDCTL_CACERT",
    "ETCDCTL_CERT",
    "ETCDCTL_KEY",
];

/// A host: its locks are where no other host's are.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    name: String,
    /// What starts a program there.
    before: Vec<String>,
}

impl Host {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            before: Vec::new(),
        }
    }

    /// So many.
    pub(crate) fn several(count: usize) -> Vec<Self> {
        let host = |number| Self::new(&format!("host{number}"));
        (0..count).map(host).collect()
    }

    /// It also knows itself by its name. For root.
    pub(crate) fn named(self) -> Self {
        let rename = format!(
            "echo {} >/proc/sys/kernel/hostname && exec \"$@\"",
            self.name
        );
        self.within(&["unshare", "--uts", "sh", "-c", &rename, "sh"])
    }

    /// What starts a program there, before what does so already.
    pub(crate) fn within(mut self, before: &[&str]) -> Self {
        let before = before.iter().map(|word| (*word).to_owned());
        self.before = before.chain(self.before).collect();
        self
    }
}

/// A world with hosts, and a part of a cluster that nobody else uses.
pub(crate) struct Place {
    pub(crate) world: World,
    endpoints: String,
    prefix: String,
    /// Who looks.
    looker: Host,
}

impl Place {
    pub(crate) fn new(members: &Members) -> Result<Self> {
        Self::at(&members.endpoints())
    }

    /// In the cluster that is there.
    pub(crate) fn at(endpoints: &[String]) -> Result<Self> {
        let world = world!()?;
        Ok(Self {
            prefix: format!("/{}", world.mark()),
            world,
            endpoints: endpoints.join(","),
            looker: Host::new("looker"),
        })
    }

    /// Who looks is there.
    pub(crate) fn seen_from(mut self, host: Host) -> Self {
        self.looker = host;
        self
    }

    /// In the part of the cluster that is used if nothing else is said.
    pub(crate) fn with_usual_prefix(mut self) -> Self {
        "/ward/locks".clone_into(&mut self.prefix);
        self
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(crate) fn endpoints(&self) -> &str {
        &self.endpoints
    }

    /// `ward WORDS…` on a host; nothing tells it of the cluster.
    pub(crate) fn ask<'w>(&'w self, host: &Host, words: &[&str]) -> Ask<'w> {
        let ask = match host.before.split_first() {
            None => Ask::new(&self.world, words),
            Some((program, before)) => Ask::of(&self.world, Who::Myself, program.as_ref())
                .words(before)
                .words([self.world.ward_program()])
                .words(words),
        };
        let place = self.world.path(&format!("locks-of-{}", host.name));
        let ask = ask.variable("WARD_LOCK_DIR", place);
        MEANINGFUL
            .iter()
            .fold(ask, |ask, name| ask.variable(name, ""))
    }

    /// The options that name the cluster, and our part of it.
    pub(crate) fn cluster(&self) -> [&str; 4] {
        ["--etcd", &self.endpoints, "--etcd-prefix", &self.prefix]
    }

    /// `ward lock NAME --etcd … OPTIONS…` on a host.
    pub(crate) fn lock(&self, host: &Host, name: &str, options: &[&str]) -> Ask<'_> {
        self.ask(host, &["lock", name])
            .words(self.cluster())
            .words(options)
    }

    /// `ward lock NAME --etcd … OPTIONS… -- true`.
    pub(crate) fn just(&self, host: &Host, name: &str, options: &[&str]) -> Ask<'_> {
        self.lock(host, name, options).words(["--", "true"])
    }

    /// What a command is told by a variable, which nothing keeps from running.
    pub(crate) fn told(
        &self,
        host: &Host,
        name: &str,
        options: &[&str],
        variable: &str,
    ) -> Result<String> {
        let answer = self
            .lock(host, name, options)
            .sh(&format!("echo \"${variable}\""))
            .expect(0)?;
        Ok(answer.out.trim_end().to_owned())
    }

    /// What `ward locks --etcd` shows of a lock; nothing of one that nobody uses.
    pub(crate) fn shown(&self, name: &str) -> Result<Option<Value>> {
        let answer = self
            .ask(&self.looker, &["locks", "--json", name])
            .words(self.cluster())
            .expect(0)?
            .json()?;
        let list = answer["locks"].as_array().context("no list")?;
        ensure!(list.len() <= 1, "{answer:#}");
        Ok(list.first().cloned())
    }

    /// How many hold a lock, and how many wait for it.
    pub(crate) fn queue(&self, name: &str) -> Result<(usize, usize)> {
        let Some(lock) = self.shown(name)? else {
            return Ok((0, 0));
        };
        let count = |list: &Value| list.as_array().map(Vec::len);
        count(&lock["holders"])
            .zip(count(&lock["waiting"]))
            .with_context(|| format!("{lock:#}"))
    }

    pub(crate) fn await_queue(&self, name: &str, wanted: (usize, usize)) -> Result {
        let mut last = String::new();
        wait_until("the queue", || {
            let queue = self.queue(name);
            last = format!("{queue:?}");
            queue.is_ok_and(|queue| queue == wanted)
        })
        .with_context(|| format!("`{name}`: not {wanted:?}, but {last}"))
    }

    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.world.path("said")).unwrap_or_default()
    }

    /// For a shell: to add a word to what is said.
    pub(crate) fn say(&self, word: &str) -> String {
        format!("echo {word} >>{};", text(self.world.path("said")))
    }

    /// For a shell: to wait for a file.
    pub(crate) fn until(&self, gate: &str) -> String {
        let file = text(self.world.path(gate));
        format!("n=0; while [ ! -e {file} ] && [ $n -lt 4000 ]; do n=$((n+1)); sleep 0.02; done;")
    }

    pub(crate) fn open(&self, gate: &str) -> Result {
        Ok(fs::write(self.world.path(gate), "")?)
    }

    /// Somebody who holds a lock until `gate` is opened.
    pub(crate) fn holder(&self, host: &Host, name: &str, options: &[&str]) -> Result<Asked> {
        let before = self.queue(name)?;
        let asked = self
            .lock(host, name, options)
            .sh(&self.until("gate"))
            .start()?;
        self.await_queue(name, (before.0 + 1, before.1))?;
        Ok(asked)
    }

    /// Somebody who waits, and says `word` when it is his turn.
    pub(crate) fn waiter(
        &self,
        host: &Host,
        name: &str,
        options: &[&str],
        word: &str,
    ) -> Result<Asked> {
        let before = self.queue(name)?;
        let asked = self.lock(host, name, options).sh(&self.say(word)).start()?;
        self.await_queue(name, (before.0, before.1 + 1))?;
        Ok(asked)
    }

    /// `ward locks WORDS… --etcd …` on a host.
    pub(crate) fn deed(&self, host: &Host, words: &[&str]) -> Ask<'_> {
        self.ask(host, &["locks"])
            .words(words)
            .words(self.cluster())
    }

    /// Who is in the cluster's queues, as nobody but the cluster itself says it; `None` where that cannot
    /// be asked.
    pub(crate) fn keys(&self, members: &Members) -> Result<Option<Vec<String>>> {
        let words = ["get", "--prefix", "--keys-only", &self.prefix];
        let Some(keys) = members.etcdctl(words)? else {
            return Ok(None);
        };
        let is_somebodys = |key: &&str| key.contains("/queue/") || key.contains("/stop/");
        let in_queue = keys.lines().filter(is_somebodys);
        Ok(Some(in_queue.map(str::to_owned).collect()))
    }

    /// Nothing is left, at once: no process, not even one that renews, no key in a queue.
    pub(crate) fn is_settled(&self, members: &Members) -> Result {
        nobody_is_left(&self.world)?;
        let keys = self.keys(members)?.unwrap_or_default();
        ensure!(keys.is_empty(), "left in the cluster: {keys:?}");
        no_zombie_of_ours()
    }

    /// The same, once leases have run out and orphans have seen that they are.
    pub(crate) fn settles(&self, members: &Members) -> Result {
        let left = || self.world.survivors();
        wait_until("everybody to end", || left().is_empty())
            .with_context(|| format!("left: {:#?}", left()))?;
        let mut keys = Vec::new();
        wait_until("the queues to be empty", || {
            keys = self.keys(members).ok().flatten().unwrap_or_default();
            keys.is_empty()
        })
        .with_context(|| format!("left in the cluster: {keys:?}"))?;
        self.is_settled(members)
    }
}

/// Whoever this program has started has been waited for.
fn no_zombie_of_ours() -> Result {
    let zombies = || {
        let mut seen = children(std::process::id().cast_signed());
        seen.retain(|seen| seen.is_zombie() && seen.name.starts_with("ward"));
        seen
    };
    // Other tests may be about to.
    wait_until("zombies to be reaped", || zombies().is_empty())
        .with_context(|| format!("{:#?}", zombies()))
}

/// A process of ward's own that a front has started, if it has one just now.
pub(crate) fn now(front: &Asked, name: &str) -> Option<Member> {
    let mut all = children(front.pid()).into_iter();
    let it = all.find(|seen| seen.name == name && !seen.is_zombie())?;
    Member::now(it.pid).ok()
}

pub(crate) fn guardian(front: &Asked) -> Result<Member> {
    wait_for("a guardian", || now(front, "ward-guardian"))
}

pub(crate) fn renewer(front: &Asked) -> Result<Member> {
    wait_for("a renewing process", || now(front, "ward-renewer"))
}

/// Tells all the stories, so many at a time: each mostly waits.
pub(crate) fn at_once<T: Sync>(
    at_a_time: usize,
    stories: &[T],
    tell: impl Fn(&T) -> Result + Sync,
) -> Result {
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..at_a_time.min(stories.len()) {
            scope.spawn(|| {
                while let Some(story) = stories.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = tell(story)
                        && let Ok(mut failures) = failures.lock()
                    {
                        failures.push(format!("{error:#}"));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().map_err(|_| anyhow!("a panic"))?;
    ensure!(failures.is_empty(), "{}", failures.join("\n\n"));
    Ok(())
}
