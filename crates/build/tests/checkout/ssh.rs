//! Repositories behind a real sshd: keys by file and by agent, and hosts that are not who they were.

use std::fs;

use anyhow::{Context as _, ensure};
use ward_build::git::{GitError, Trouble, ls_remote};
use ward_config::job::Source;
use ward_testkit::programs::skipped;
use ward_testkit::sshd::{Sshd, key};
use ward_testkit::world::is_root;

use crate::room::{Ask, Room, content};

pub(crate) const TESTS: &[crate::Test] = &[
    ("a_key_opens_by_file", a_key_opens_by_file),
    ("a_key_opens_by_agent", a_key_opens_by_agent),
    (
        "a_key_that_does_not_fit_is_said_to",
        a_key_that_does_not_fit_is_said_to,
    ),
    ("a_host_is_known_by_its_key", a_host_is_known_by_its_key),
    ("another_user_goes_by_ssh", another_user_goes_by_ssh),
];

fn start(room: &Room, host: &str, port: Option<u16>) -> anyhow::Result<Option<Sshd>> {
    Sshd::start(&room.path("."), host, port)
}

/// The room's repository, behind `sshd`.
fn behind(sshd: &Sshd, room: &Room, credentials: Option<&str>) -> anyhow::Result<Source> {
    Ok(Source {
        url: sshd.url(&room.path("repository"))?,
        credentials: credentials.map(str::to_owned),
        ..room.source()
    })
}

fn secret_of(room: &Room, name: &str) -> anyhow::Result<()> {
    room.secret(name, &content(room.path(name))?)
}

fn trouble(error: &GitError) -> Option<Trouble> {
    match error {
        GitError::Failed { trouble, .. } => Some(*trouble),
        _ => None,
    }
}

fn a_key_opens_by_file() -> anyhow::Result<()> {
    let room = Room::new()?;
    let Some(sshd) = start(&room, "host", None)? else {
        return Ok(());
    };
    secret_of(&room, "good")?;
    for (round, no_cache) in [false, true, false].into_iter().enumerate() {
        let word = format!("round {round}");
        let one = room.commit("a", &word, u32::try_from(round)?)?;
        let source = Source {
            no_cache,
            ..behind(&sshd, &room, Some("good"))?
        };
        let (checked, console) = room.checkout(&source, &Ask::default())?;
        ensure!(checked.checkout.revision == one && content(room.workspace("a"))? == word);
        ensure!(!console.contains("PRIVATE"), "{console}");
        let refs = room.look(&source, ls_remote)?;
        ensure!(refs.get("refs/heads/main") == Some(&one), "{refs:?}");
    }
    Ok(())
}

fn a_key_opens_by_agent() -> anyhow::Result<()> {
    let mut room = Room::new()?;
    room.commit("a", "1", 1)?;
    let Some(sshd) = start(&room, "host", None)? else {
        return Ok(());
    };
    let agent = sshd.agent()?;
    agent.add(&room.path("bad"))?;
    room.environment
        .push(("SSH_AUTH_SOCK".into(), agent.socket().into()));
    let nobodys = behind(&sshd, &room, None)?;
    let (error, _) = room.refused(&nobodys, &Ask::default())?;
    ensure!(trouble(&error) == Some(Trouble::SignIn), "{error:?}");
    agent.add(&room.path("good"))?;
    room.checkout(&nobodys, &Ask::default())?;
    ensure!(content(room.workspace("a"))? == "1");
    // A job that names a key means that one, whatever the agent has.
    secret_of(&room, "bad")?;
    let named = behind(&sshd, &room, Some("bad"))?;
    let (error, _) = room.refused(&named, &Ask::default())?;
    ensure!(trouble(&error) == Some(Trouble::SignIn), "{error:?}");
    Ok(())
}

fn a_key_that_does_not_fit_is_said_to() -> anyhow::Result<()> {
    let room = Room::new()?;
    room.commit("a", "1", 1)?;
    let Some(sshd) = start(&room, "host", None)? else {
        return Ok(());
    };
    // One that is not let in, one that would be if somebody could be asked for its passphrase, and none.
    key(&room.path("."), "sealed", "passphrase")?;
    let both = content(room.path("good.pub"))? + &content(room.path("sealed.pub"))?;
    fs::write(room.path("authorized"), both)?;
    for name in ["bad", "sealed"] {
        secret_of(&room, name)?;
    }
    room.secret("rubbish", "-----BEGIN OPENSSH PRIVATE KEY-----\nhidden\n")?;
    for name in [Some("bad"), Some("sealed"), Some("rubbish"), None] {
        let source = behind(&sshd, &room, name)?;
        let (error, console) = room.refused(&source, &Ask::default())?;
        ensure!(
            trouble(&error) == Some(Trouble::SignIn),
            "{name:?}: {error:?}"
        );
        let hint = error.hint().unwrap_or_default();
        ensure!(
            hint.contains("credentials") && hint.contains("passphrase"),
            "{hint}"
        );
        ensure!(
            !console.contains("hidden") && !console.contains("anew"),
            "{console}"
        );
        let error = room.look(&source, ls_remote).err().context("seen")?;
        ensure!(
            trouble(&error) == Some(Trouble::SignIn),
            "{name:?}: {error:?}"
        );
    }
    // What is not there, behind a key that fits.
    secret_of(&room, "good")?;
    let mut source = behind(&sshd, &room, Some("good"))?;
    source.url.push_str("-that-is-not-there");
    let (error, _) = room.refused(&source, &Ask::default())?;
    ensure!(trouble(&error) == Some(Trouble::NotFound), "{error:?}");
    // Nobody there any more.
    let source = behind(&sshd, &room, Some("good"))?;
    drop(sshd);
    let (error, _) = room.refused(&source, &Ask::default())?;
    ensure!(trouble(&error) == Some(Trouble::Unreachable), "{error:?}");
    Ok(())
}

fn a_host_is_known_by_its_key() -> anyhow::Result<()> {
    let room = Room::new()?;
    room.commit("a", "1", 1)?;
    let Some(sshd) = start(&room, "host", None)? else {
        return Ok(());
    };
    secret_of(&room, "good")?;
    let source = behind(&sshd, &room, Some("good"))?;
    // One that was never seen is believed, and remembered from then on.
    let (_, console) = room.checkout(&source, &Ask::default())?;
    ensure!(console.contains("Permanently added"), "{console}");
    let known = content(room.path("home/known_hosts"))?;
    // Which one it is may be hashed (HashKnownHosts of ssh_config(5)).
    ensure!(known.lines().count() == 1, "{known}");
    let (_, console) = room.checkout(&source, &Ask::default())?;
    ensure!(!console.contains("Permanently added"), "{console}");
    // Somebody else in its place.
    let port = sshd.port();
    drop(sshd);
    let sshd = start(&room, "another", Some(port))?.context("no sshd")?;
    let (error, console) = room.refused(&source, &Ask::default())?;
    ensure!(trouble(&error) == Some(Trouble::HostKey), "{error:?}");
    ensure!(
        error
            .hint()
            .is_some_and(|hint| hint.contains("known_hosts"))
    );
    ensure!(!console.contains("anew"), "{console}");
    ensure!(
        content(room.path("home/known_hosts"))? == known,
        "it stays as it was"
    );
    let error = room.look(&source, ls_remote).err().context("seen")?;
    ensure!(trouble(&error) == Some(Trouble::HostKey), "{error:?}");
    // It is right, and somebody says so.
    let line = content(room.path("another.pub"))?;
    fs::write(
        room.path("home/known_hosts"),
        format!("[127.0.0.1]:{port} {line}"),
    )?;
    room.checkout(&source, &Ask::default())?;
    drop(sshd);
    Ok(())
}

fn another_user_goes_by_ssh() -> anyhow::Result<()> {
    if !is_root() {
        skipped(
            "git over ssh as somebody else",
            "who is not root is nobody else",
        );
        return Ok(());
    }
    let room = Room::new()?;
    room.commit("a", "1", 1)?;
    let Some(sshd) = start(&room, "host", None)? else {
        return Ok(());
    };
    secret_of(&room, "good")?;
    let nobody = room.of_nobody()?;
    let ask = Ask {
        identity: Some(&nobody),
        ..Ask::default()
    };
    // By themselves, and by the shared clone.
    for no_cache in [true, false] {
        let source = Source {
            no_cache,
            ..behind(&sshd, &room, Some("good"))?
        };
        room.checkout(&source, &ask)?;
        ensure!(content(room.workspace("a"))? == "1");
        ensure!(content(room.path("home/known_hosts"))?.lines().count() == 1);
        fs::remove_dir_all(room.workspace(".git"))?;
    }
    // Who is there instead of the host that was seen is told from it by them, too.
    let port = sshd.port();
    drop(sshd);
    let sshd = start(&room, "another", Some(port))?.context("no sshd")?;
    let source = Source {
        no_cache: true,
        ..behind(&sshd, &room, Some("good"))?
    };
    let (error, _) = room.refused(&source, &ask)?;
    ensure!(trouble(&error) == Some(Trouble::HostKey), "{error:?}");
    Ok(())
}
