//! Where a case is tried: a world, the calls that are made in it, and who is in the queue.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::Value;
use ward_testkit::daemons::{Answer, Ask, Asked, Member};
use ward_testkit::patience::wait_until;
use ward_testkit::processes::children;
use ward_testkit::run::text;
use ward_testkit::world::{Who, World};

use crate::Result;

/// The original's exit statuses.
pub(crate) const CANNOT_WAIT: i32 = 96;
pub(crate) const NO_COMMAND: i32 = 97;
pub(crate) const BUSY: i32 = 98;
pub(crate) const FAILED: i32 = 99;

/// Longer than any test lasts, milliseconds.
pub(crate) const LONG: &str = "50000";

fn furnished<'w>(world: &'w World, ask: Ask<'w>) -> Ask<'w> {
    ask.variable("WARD_LOCK_DIR", world.path("locks"))
        .variable("WARD_LOCKS_HELD", "")
        .variable("WARD_FLOM_CONF", world.path("flom.conf"))
}

/// `ward flom OPTIONS…`, without a command yet.
pub(crate) fn flom<'w>(world: &'w World, options: &[&str]) -> Ask<'w> {
    furnished(world, Ask::new(world, ["flom"])).words(options)
}

/// `ward WORDS…`.
pub(crate) fn ward<'w>(world: &'w World, words: &[&str]) -> Ask<'w> {
    furnished(world, Ask::new(world, words))
}

/// The same call as another program, or as somebody else.
pub(crate) fn of<'w>(world: &'w World, who: Who, program: &std::path::Path) -> Ask<'w> {
    furnished(world, Ask::of(world, who, program.as_os_str()))
}

/// A script that calls us.
pub(crate) fn script<'w>(world: &'w World, text: &str) -> Ask<'w> {
    furnished(world, Ask::shell(world, text))
}

/// `ward flom OPTIONS… -- true`, and what comes of it.
pub(crate) fn just(world: &World, options: &[&str]) -> Result<Answer> {
    flom(world, options).words(["--", "true"]).answer()
}

/// The words of our program for a shell.
pub(crate) fn words(world: &World) -> String {
    format!("{} flom", world.ward_program().display())
}

/// For a shell: to add a word to what is said.
pub(crate) fn say(world: &World, word: &str) -> String {
    format!("echo {word} >>{};", text(world.path("said")))
}

/// All that was said.
pub(crate) fn said(world: &World) -> String {
    fs::read_to_string(world.path("said")).unwrap_or_default()
}

/// For a shell: to make a file.
pub(crate) fn make(world: &World, file: &str) -> String {
    format!(": >{};", text(world.path(file)))
}

/// For a shell: to wait for a file.
pub(crate) fn until(world: &World, file: &str) -> String {
    let file = text(world.path(file));
    format!("n=0; while [ ! -e {file} ] && [ $n -lt 4000 ]; do n=$((n+1)); sleep 0.02; done;")
}

/// Lets those through who wait for a file.
pub(crate) fn open(world: &World, gate: &str) -> Result {
    Ok(fs::write(world.path(gate), "")?)
}

pub(crate) fn await_file(world: &World, file: &str) -> Result {
    let path = world.path(file);
    wait_until(&format!("`{file}`"), || path.exists())
}

/// Somebody who is inside until the file `gate` is there, which his name makes his own.
pub(crate) struct Holder<'w> {
    world: &'w World,
    name: String,
    pub(crate) asked: Asked,
}

impl<'w> Holder<'w> {
    /// Starts him, and waits until he is inside.
    pub(crate) fn new(world: &'w World, name: &str, options: &[&str]) -> Result<Self> {
        Self::with(world, name, options, "")
    }

    /// The same with a beginning of its own for his script.
    pub(crate) fn with(
        world: &'w World,
        name: &str,
        options: &[&str],
        beginning: &str,
    ) -> Result<Self> {
        let script = format!(
            "{beginning} {} {}",
            make(world, &format!("{name}-inside")),
            until(world, &format!("{name}-gate"))
        );
        let asked = flom(world, options).sh(&script).start()?;
        await_file(world, &format!("{name}-inside"))?;
        Ok(Self {
            world,
            name: name.to_owned(),
            asked,
        })
    }

    /// Lets his command end.
    pub(crate) fn open(&self) -> Result {
        open(self.world, &format!("{}-gate", self.name))
    }

    /// Lets him go, and waits until he has ended.
    pub(crate) fn end(self) -> Result<Answer> {
        self.open()?;
        self.asked.answer()
    }

    /// Who has his command in custody.
    pub(crate) fn guardian(&self) -> Result<Member> {
        let guardian = children(self.asked.pid())
            .into_iter()
            .find(|child| child.name == "ward-guardian")
            .context("there is no guardian")?;
        Member::now(guardian.pid)
    }
}

/// How many hold a lock and how many wait, as `ward locks` shows it.
pub(crate) fn queue(world: &World, lock: &str) -> Result<(usize, usize)> {
    let answer = ward(world, &["locks", "--json", lock]).expect(0)?.json()?;
    let count = |list: &Value| list.as_array().map(Vec::len);
    let lock = &answer["locks"][0];
    count(&lock["holders"])
        .zip(count(&lock["waiting"]))
        .with_context(|| format!("{answer:#}"))
}

pub(crate) fn await_queue(world: &World, lock: &str, wanted: (usize, usize)) -> Result {
    let mut last = String::new();
    wait_until("the queue", || {
        let queue = queue(world, lock);
        last = format!("{queue:?}");
        queue.is_ok_and(|queue| queue == wanted)
    })
    .with_context(|| format!("`{lock}`: not {wanted:?}, but {last}"))
}

/// Somebody who waits, and says `word` when it is his turn.
pub(crate) fn waiter(world: &World, lock: &str, options: &[&str], word: &str) -> Result<Asked> {
    let before = queue(world, lock)?;
    let asked = flom(world, options).sh(&say(world, word)).start()?;
    await_queue(world, lock, (before.0, before.1 + 1))?;
    Ok(asked)
}

/// What a command was given as its last argument.
pub(crate) fn given(world: &World, options: &[&str]) -> Result<String> {
    let answer = flom(world, options).words(["--", "echo"]).expect(0)?;
    Ok(answer.out.trim_end().to_owned())
}

/// As if the host had started anew: what is in a directory that it empties is gone.
pub(crate) fn forget_queues(world: &World) -> Result {
    let entries = fs::read_dir(world.path("locks"))?;
    let files = entries.flatten().filter(|it| it.path().is_file());
    let files: Vec<PathBuf> = files.map(|it| it.path()).collect();
    for file in files {
        fs::remove_file(file)?;
    }
    Ok(())
}
