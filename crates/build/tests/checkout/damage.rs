//! What is left behind by a git that was killed, or by whoever came by: the next build goes on, and tells.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use ward_build::git::{GitError, PollOutcome, poll};
use ward_config::job::Source;
use ward_testkit::moments::moments;

use crate::afar::{Daemon, cached};
use crate::desk::{Notes, Strike};
use crate::room::{Ask, Room, content};

pub(crate) const TESTS: &[crate::Test] = &[
    (
        "a_shared_clone_with_a_hole_is_made_anew",
        a_shared_clone_with_a_hole_is_made_anew,
    ),
    (
        "a_git_that_is_killed_anywhere_costs_one_build",
        a_git_that_is_killed_anywhere_costs_one_build,
    ),
    (
        "a_workspace_that_was_cleared_away",
        a_workspace_that_was_cleared_away,
    ),
    ("what_was_forced_is_told", what_was_forced_is_told),
    (
        "a_thousand_branches_are_new_a_few_at_a_time",
        a_thousand_branches_are_new_a_few_at_a_time,
    ),
];

/// Text that no pack makes much smaller.
fn noise(seed: u64) -> String {
    let mut state = seed;
    (0..40_000)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            char::from(b'a' + u8::try_from(state >> 60).unwrap_or(0))
        })
        .collect()
}

fn packs(clone: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(clone.join("objects/pack"))?;
    let all = entries.flatten().map(|entry| entry.path());
    Ok(all
        .filter(|path| path.extension().is_some_and(|end| end == "pack"))
        .collect())
}

/// Its refs are whole, so that nothing is wrong with it until somebody takes something out of it.
fn a_shared_clone_with_a_hole_is_made_anew() -> anyhow::Result<()> {
    let room = Room::new()?;
    room.commit("a", &noise(1), 1)?;
    let Some(daemon) = Daemon::start(&room)? else {
        return Ok(());
    };
    let source = daemon.source(&room);
    room.checkout(&source, &Ask::default())?;
    let clone = cached(&room)?;
    let name = clone.file_name().context("a name")?.to_string_lossy();
    room.git_in(&format!("cache/{name}"), &["gc", "--quiet"])?;
    for pack in packs(&clone)? {
        let mut bytes = fs::read(&pack)?;
        let middle = bytes.len() / 2;
        bytes[middle..middle + 64].fill(0);
        fs::set_permissions(&pack, fs::Permissions::from_mode(0o644))?;
        fs::write(&pack, bytes)?;
    }
    fs::remove_dir_all(room.workspace(".git"))?;
    let (checked, console) = room.checkout(&source, &Ask::default())?;
    ensure!(checked.checkout.branch == "origin/main");
    ensure!(content(room.workspace("a"))? == noise(1));
    ensure!(console.contains("both are made anew"), "{console}");
    // Nor does the next build find anything wrong with either.
    room.commit("a", "2", 2)?;
    let (_, console) = room.checkout(&source, &Ask::default())?;
    ensure!(!console.contains("anew") && content(room.workspace("a"))? == "2");
    room.git_in("workspace", &["fsck", "--full"])?;
    room.git_in(&format!("cache/{name}"), &["fsck", "--full"])?;
    Ok(())
}

fn a_git_that_is_killed_anywhere_costs_one_build() -> anyhow::Result<()> {
    let room = Room::new()?;
    room.commit("a", "0", 0)?;
    let Some(daemon) = Daemon::start(&room)? else {
        return Ok(());
    };
    room.git_in(".", &["clone", "--quiet", "repository", "sub"])?;
    room.git(&["submodule", "--quiet", "add", "../sub", "sub"])?;
    for (round, moment) in moments(Duration::from_millis(12)).enumerate() {
        let round = u32::try_from(round)?;
        // Every other time into a workspace where nothing is yet.
        if round % 2 == 1 {
            fs::remove_dir_all(room.path("workspace"))?;
            fs::create_dir(room.path("workspace"))?;
        }
        if round % 5 == 4 {
            fs::remove_dir_all(room.path("cache"))?;
        }
        let word = noise(u64::from(round));
        let wanted = room.commit("a", &word, 10 + round)?;
        let source = Source {
            url: daemon.url.clone(),
            no_cache: round % 4 == 3,
            submodules: true,
            ..room.source()
        };
        let mut desk = Notes {
            strike: Some(Strike {
                after: round as usize % 11,
                moment,
            }),
            ..Notes::default()
        };
        let struck = room.checkout_with(&mut desk, &source, &Ask::default());
        ensure!(
            matches!(struck, Ok(_) | Err(GitError::Stopped)),
            "{struck:?} {}",
            desk.text
        );
        let (checked, console) = room
            .checkout(&source, &Ask::default())
            .with_context(|| format!("round {round}, after {}", desk.text))?;
        ensure!(checked.checkout.revision == wanted, "{console}");
        ensure!(content(room.workspace("a"))? == word, "{console}");
        ensure!(content(room.workspace("sub/a"))? == "0", "{console}");
        let changed = room.git_in("workspace", &["status", "--porcelain"])?;
        ensure!(changed.is_empty(), "{changed}");
    }
    Ok(())
}

fn a_workspace_that_was_cleared_away() -> anyhow::Result<()> {
    let room = Room::new()?;
    let source = room.source();
    let one = room.commit("dir/a", "1", 1)?;
    room.checkout(&source, &Ask::default())?;
    let ask = Ask {
        previous: Some(&one),
        ..Ask::default()
    };
    room.commit("dir/a", "2", 2)?;
    // Its files only; its repository only; the index of it; a file in the place of a directory.
    fs::remove_dir_all(room.workspace("dir"))?;
    let (checked, _) = room.checkout(&source, &ask)?;
    ensure!(content(room.workspace("dir/a"))? == "2" && checked.checkout.changes.len() == 1);
    fs::remove_dir_all(room.workspace(".git"))?;
    let (checked, _) = room.checkout(&source, &ask)?;
    ensure!(content(room.workspace("dir/a"))? == "2" && checked.checkout.changes.len() == 1);
    fs::remove_file(room.workspace(".git/index"))?;
    fs::remove_dir_all(room.workspace("dir"))?;
    fs::write(room.workspace("dir"), "in the way")?;
    room.checkout(&source, &ask)?;
    ensure!(content(room.workspace("dir/a"))? == "2");
    // Whatever stands where its repository was.
    fs::remove_dir_all(room.workspace(".git"))?;
    fs::write(room.workspace(".git"), "gitdir: /nowhere\n")?;
    let (_, console) = room.checkout(&source, &ask)?;
    ensure!(content(room.workspace("dir/a"))? == "2", "{console}");
    // A clone that came no further than its first commands.
    fs::remove_dir_all(room.workspace(".git"))?;
    room.git_in("workspace", &["init", "--quiet"])?;
    room.checkout(&source, &ask)?;
    ensure!(content(room.workspace("dir/a"))? == "2");
    Ok(())
}

fn what_was_forced_is_told() -> anyhow::Result<()> {
    let room = Room::new()?;
    let base = room.commit("a", "base", 1)?;
    let lost = room.commit("a", "lost", 2)?;
    let Some(daemon) = Daemon::start(&room)? else {
        return Ok(());
    };
    let source = daemon.source(&room);
    room.checkout(&source, &Ask::default())?;
    // The same change otherwise, and another history altogether.
    room.git(&["reset", "--quiet", "--hard", &base])?;
    let kept = room.commit("a", "kept", 3)?;
    let ask = Ask {
        previous: Some(&lost),
        ..Ask::default()
    };
    let (checked, _) = room.checkout(&source, &ask)?;
    let told = |checked: &ward_build::git::Checked| -> Vec<String> {
        let changes = checked.checkout.changes.iter();
        changes.map(|change| change.revision.clone()).collect()
    };
    ensure!(checked.checkout.revision == kept && content(room.workspace("a"))? == "kept");
    ensure!(told(&checked) == [kept.clone()], "{:?}", told(&checked));
    room.git(&["checkout", "--quiet", "--orphan", "anew"])?;
    let anew = room.commit("b", "anew", 4)?;
    room.git(&["branch", "--force", "main", &anew])?;
    let ask = Ask {
        previous: Some(&kept),
        ..Ask::default()
    };
    let (checked, _) = room.checkout(&source, &ask)?;
    ensure!(checked.checkout.revision == anew && told(&checked) == [anew.clone()]);
    // What was built before is gone from the workspace and everywhere else.
    fs::remove_dir_all(room.workspace(".git"))?;
    fs::remove_dir_all(room.path("cache"))?;
    room.git(&["branch", "--delete", "--force", "anew"]).ok();
    room.git(&["reflog", "expire", "--expire=now", "--all"])?;
    room.git(&["gc", "--quiet", "--prune=now"])?;
    let (checked, console) = room.checkout(&source, &ask)?;
    ensure!(checked.checkout.revision == anew && told(&checked).is_empty());
    ensure!(console.contains("is not there any more"), "{console}");
    Ok(())
}

fn a_thousand_branches_are_new_a_few_at_a_time() -> anyhow::Result<()> {
    let room = Room::new()?;
    let tree = {
        room.commit("a", "1", 1)?;
        room.git(&["rev-parse", "HEAD^{tree}"])?
    };
    let mut commits = String::new();
    for index in 0..1000 {
        commits.push_str(&format!(
            "commit refs/heads/topic/{index}\ncommitter C <c@example.invalid> {} +0000\ndata 1\n{}\nM 040000 {tree} \n\n",
            1_700_000_000 + index,
            index % 10,
        ));
    }
    room.git_fed(&["fast-import", "--quiet"], &commits)?;
    let Some(daemon) = Daemon::start(&room)? else {
        return Ok(());
    };
    let source = Source {
        url: daemon.url.clone(),
        branches: vec!["topic/*".to_owned()],
        ..room.source()
    };
    let mut built: Vec<String> = Vec::new();
    // Each look finds some; who builds them has them all in the end, and none twice.
    for _ in 0..1000 {
        let polled = room.look(&source, |request| {
            poll(request, true, &|revision| {
                built.iter().any(|known| known == revision)
            })
        });
        match polled.outcome {
            PollOutcome::New(new) => {
                ensure!(!new.is_empty() && new.len() <= 100, "{}", new.len());
                built.extend(new.into_iter().map(|head| head.revision));
            }
            PollOutcome::Nothing => break,
            other => anyhow::bail!("{other:?}"),
        }
    }
    let count = built.len();
    built.sort();
    built.dedup();
    ensure!(
        (count, built.len()) == (1000, 1000),
        "{count} {}",
        built.len()
    );
    let (checked, _) = room.checkout(&source, &Ask::default())?;
    ensure!(checked.checkout.branch == "origin/topic/999");
    Ok(())
}
