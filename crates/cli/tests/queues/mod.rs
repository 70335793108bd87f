//! Who holds a lock until a gate is opened, who waits for it, and what `ward locks` says of both.

#![allow(dead_code, reason = "each of the test programs needs a part of it")]

use std::fs;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use ward_testkit::daemons::{Ask, Asked, Member, nobody_is_left};
use ward_testkit::patience::{wait_for, wait_until};
use ward_testkit::processes::children;
use ward_testkit::run::text;
use ward_testkit::world::World;

pub(crate) type Result = anyhow::Result<()>;

pub(crate) const WRONG_USE: i32 = 2;
pub(crate) const NOT_HELD: i32 = 121;
pub(crate) const BUSY: i32 = 122;
pub(crate) const STOPPED: i32 = 123;
pub(crate) const TIME_LIMIT: i32 = 124;
pub(crate) const REFUSED: i32 = 125;

/// Where it is kept what outlives the host's run.
pub(crate) const DURABLE: &str = "locks/%durable";

/// Longer than any test lasts.
pub(crate) const LONG: &str = "50s";

pub(crate) fn ask<'w>(world: &'w World, words: &[&str]) -> Ask<'w> {
    in_this_world(world, Ask::new(world, words))
}

/// A shell that asks: for redirections.
pub(crate) fn shell<'w>(world: &'w World, text: &str) -> Ask<'w> {
    in_this_world(world, Ask::shell(world, text))
}

fn in_this_world<'w>(world: &'w World, ask: Ask<'w>) -> Ask<'w> {
    ask.variable("WARD_LOCK_DIR", world.path("locks"))
        .variable("WARD_LOCKS_HELD", "")
}

/// The program, as a word for a shell.
pub(crate) fn ward(world: &World) -> String {
    text(world.ward_program())
}

/// `ward lock LOCK OPTIONS… -- true`.
pub(crate) fn just<'w>(world: &'w World, lock: &str, options: &[&str]) -> Ask<'w> {
    ask(world, &["lock", lock])
        .words(options)
        .words(["--", "true"])
}

/// The first level of the first lock that is named.
fn root(lock: &str) -> &str {
    lock.split([',', '=', '/']).next().unwrap_or(lock)
}

/// What `ward locks` shows of a lock.
pub(crate) fn shown(world: &World, lock: &str) -> anyhow::Result<Value> {
    let answer = ask(world, &["locks", "--json", root(lock)]).expect(0)?;
    Ok(answer.json()?["locks"][0].clone())
}

/// How many hold a lock, and how many wait for it.
pub(crate) fn queue(world: &World, lock: &str) -> anyhow::Result<(usize, usize)> {
    let shown = shown(world, lock)?;
    let count = |list: &Value| list.as_array().map(Vec::len);
    count(&shown["holders"])
        .zip(count(&shown["waiting"]))
        .with_context(|| format!("{shown:#}"))
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

/// What `ward locks --history` tells scripts of a lock.
pub(crate) fn past(world: &World, lock: &str) -> anyhow::Result<Value> {
    let words = ["locks", "--history", "--json", lock];
    let answer = ask(world, &words).expect(0)?.json()?;
    Ok(answer["locks"][0].clone())
}

/// `ward locks WORDS…`, and what it says.
pub(crate) fn locks(world: &World, words: &[&str], code: i32) -> anyhow::Result<String> {
    let answer = ask(world, &["locks"]).words(words).expect(code)?;
    Ok(answer.out + &answer.err)
}

/// The number of the command that holds a lock, once it is written down.
pub(crate) fn work(world: &World, lock: &str) -> anyhow::Result<String> {
    wait_for("the command's number", || {
        let work = &shown(world, lock).ok()?["holders"][0]["work"][0];
        work.is_number().then(|| work.to_string())
    })
}

/// Nobody holds anything, or waits.
pub(crate) fn all_is_free(world: &World) -> Result {
    let answer = ask(world, &["locks"]).expect(0)?;
    ensure!(answer.out.is_empty(), "{}", answer.out);
    Ok(())
}

/// Nobody is left of those whose shell was killed, for whom nobody waits.
pub(crate) fn all_are_gone(world: &World) -> Result {
    wait_until("all to be gone", || world.survivors().is_empty())?;
    nobody_is_left(world)
}

/// What was said in this world.
pub(crate) fn said(world: &World) -> String {
    fs::read_to_string(world.path("said")).unwrap_or_default()
}

/// The words that were said.
pub(crate) fn words_said(world: &World) -> Vec<String> {
    let said = said(world);
    said.split_whitespace().map(str::to_owned).collect()
}

/// For a shell: to add a word to what is said.
pub(crate) fn say(world: &World, word: &str) -> String {
    format!("echo {word} >>{};", text(world.path("said")))
}

/// For a shell: to wait for a file.
pub(crate) fn until(world: &World, file: &str) -> String {
    let file = text(world.path(file));
    format!("n=0; while [ ! -e {file} ] && [ $n -lt 4000 ]; do n=$((n+1)); sleep 0.02; done;")
}

/// For a shell: to write its number into a file, which is there when it is whole.
pub(crate) fn sign(world: &World, file: &str) -> String {
    let file = text(world.path(file));
    format!("echo $$ >{file}.new; mv {file}.new {file};")
}

/// Who has signed.
pub(crate) fn signed(world: &World, file: &str) -> anyhow::Result<Member> {
    wait_until(file, || world.path(file).exists())?;
    Member::now(fs::read_to_string(world.path(file))?.trim().parse()?)
}

/// For a shell: says `cleaned` when it ends, and waits for a gate.
pub(crate) fn cleaning(world: &World, gate: &str) -> String {
    let trap = say(world, "cleaned");
    let ready = sign(world, "cleaning");
    format!("trap '{trap}' EXIT; {ready} {}", until(world, gate))
}

/// Waits until whoever runs what [`cleaning`] gave would clean up.
pub(crate) fn cleans(world: &World) -> Result {
    signed(world, "cleaning")?;
    Ok(fs::remove_file(world.path("cleaning"))?)
}

pub(crate) fn open(world: &World, gate: &str) -> Result {
    Ok(fs::write(world.path(gate), "")?)
}

/// Somebody who holds a lock until `gate` is opened.
pub(crate) fn holder(
    world: &World,
    lock: &str,
    options: &[&str],
    gate: &str,
) -> anyhow::Result<Asked> {
    let before = queue(world, lock)?;
    let asked = ask(world, &["lock", lock])
        .words(options)
        .sh(&until(world, gate))
        .start()?;
    await_queue(world, lock, (before.0 + 1, before.1))?;
    Ok(asked)
}

/// Somebody who waits, and says `word` when it is his turn.
pub(crate) fn waiter(
    world: &World,
    lock: &str,
    options: &[&str],
    word: &str,
) -> anyhow::Result<Asked> {
    let before = queue(world, lock)?;
    let asked = ask(world, &["lock", lock])
        .words(options)
        .sh(&say(world, word))
        .start()?;
    await_queue(world, lock, (before.0, before.1 + 1))?;
    Ok(asked)
}

/// The guardian of a front.
pub(crate) fn guardian(front: &Asked) -> anyhow::Result<Member> {
    wait_for("a guardian", || {
        let mut children = children(front.pid()).into_iter();
        let guardian = children.find(|child| child.is_wards_own())?;
        Member::now(guardian.pid).ok()
    })
}
