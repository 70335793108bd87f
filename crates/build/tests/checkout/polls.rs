//! Looking for something new without a build.

use anyhow::ensure;
use ward_build::git::{GitError, NewHead, PollOutcome, ls_remote, poll};
use ward_config::job::Source;

use crate::room::Room;

pub(crate) const TESTS: &[crate::Test] = &[
    ("what_is_new_is_found_once", what_is_new_is_found_once),
    (
        "what_cannot_be_seen_is_nothing_new",
        what_cannot_be_seen_is_nothing_new,
    ),
];

fn what_is_new_is_found_once() -> anyhow::Result<()> {
    let room = Room::new()?;
    let source = room.source();
    let look = |was_ever_built: bool, built: &[&str]| {
        room.look(&source, |request| {
            poll(request, was_ever_built, &|revision| {
                built.contains(&revision)
            })
        })
    };
    // An empty repository has nothing to build.
    ensure!(look(false, &[]).outcome == PollOutcome::Nothing);
    let one = room.commit("a", "1", 1)?;
    ensure!(look(false, &[]).outcome == PollOutcome::First);
    let polled = look(true, &[&one]);
    ensure!(polled.outcome == PollOutcome::Nothing, "{}", polled.log);
    ensure!(polled.log.contains("Started on ") && polled.log.ends_with("No changes\n"));
    let two = room.commit("a", "2", 2)?;
    let polled = look(true, &[&one]);
    let new = PollOutcome::New(vec![NewHead {
        reference: "refs/heads/main".to_owned(),
        revision: two.clone(),
    }]);
    ensure!(
        polled.outcome == new && polled.log.ends_with("Changes found\n"),
        "{}",
        polled.log
    );
    // Pushed back by force to what was built before.
    room.git(&["reset", "--quiet", "--hard", &one])?;
    ensure!(look(true, &[&one, &two]).outcome == PollOutcome::Nothing);
    let refs = room.look(&source, ls_remote)?;
    ensure!(refs.get("refs/heads/main") == Some(&one), "{refs:?}");
    Ok(())
}

fn what_cannot_be_seen_is_nothing_new() -> anyhow::Result<()> {
    let room = Room::new()?;
    let source = Source {
        url: "/nowhere/at/all".to_owned(),
        ..room.source()
    };
    let polled = room.look(&source, |request| poll(request, false, &|_| false));
    ensure!(matches!(polled.outcome, PollOutcome::Failed(_)));
    for words in [
        "does not appear to be a git repository",
        "hint: ",
        "No changes\n",
    ] {
        ensure!(polled.log.contains(words), "{}", polled.log);
    }
    let bad = Source {
        branches: vec![":(".to_owned()],
        ..room.source()
    };
    let refused = room.look(&bad, |request| poll(request, true, &|_| false));
    ensure!(matches!(refused.outcome, PollOutcome::Failed(_)));
    let option = Source {
        url: "--upload-pack=x".to_owned(),
        ..room.source()
    };
    let error = room.look(&option, ls_remote);
    ensure!(matches!(error, Err(GitError::Address { .. })), "{error:?}");
    Ok(())
}
