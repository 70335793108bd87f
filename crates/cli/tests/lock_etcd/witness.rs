//! Somebody who sees who is inside, and knows nothing of ward: the kernel's own lock on a file, of which
//! flock(1) says whether anybody has it, and which goes with whoever has it.

use ward_testkit::programs::{in_path, skipped};
use ward_testkit::run::text;

use crate::Result;
use crate::place::Place;

use anyhow::ensure;

/// What the work ends with if somebody else is inside.
pub(crate) const BROKEN: i32 = 77;

/// Whether there is one; says aloud if not.
pub(crate) fn is_here() -> bool {
    let found = in_path("flock").is_some();
    if !found {
        skipped("the witness", "no flock(1)");
    }
    found
}

/// Who is inside as long as what lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The command itself.
    Command,
    /// Anybody who belongs to it.
    Tree,
}

/// For a shell that is the command: `work`, during which nobody else may be inside.
pub(crate) fn alone(place: &Place, tag: &str, seen: Seen, work: &str) -> String {
    enter(place, tag, "inside", "-x", seen, work)
}

/// The same, beside others who share it.
pub(crate) fn beside(place: &Place, tag: &str, work: &str) -> String {
    enter(place, tag, "inside", "-s", Seen::Command, work)
}

/// The same, on something of one's own.
pub(crate) fn alone_with(place: &Place, tag: &str, thing: &str, work: &str) -> String {
    enter(
        place,
        tag,
        &format!("inside-{thing}"),
        "-x",
        Seen::Command,
        work,
    )
}

fn enter(place: &Place, tag: &str, file: &str, how: &str, seen: Seen, work: &str) -> String {
    let said = text(place.world.path("said"));
    let file = text(place.world.path(file));
    // Whoever the command leaves behind is no longer inside, unless the tree is meant.
    let close = match seen {
        Seen::Command => "9>&-",
        Seen::Tree => "",
    };
    format!(
        "exec 9>>\"{file}\"
        flock {how} -n 9 || {{ echo broken {tag} >>{said}; exit {BROKEN}; }}
        echo enter {tag} >>{said}
        {{ {work} :; }} {close}
        echo leave {tag} >>{said}"
    )
}

/// Nobody ever found somebody else inside.
pub(crate) fn judge(place: &Place) -> Result {
    let said = place.said();
    ensure!(!said.contains("broken"), "two inside:\n{said}");
    Ok(())
}

/// How many came in, and how many went out by themselves.
pub(crate) fn counted(place: &Place) -> (usize, usize) {
    let said = place.said();
    let count = |word: &str| said.lines().filter(|line| line.starts_with(word)).count();
    (count("enter "), count("leave "))
}
