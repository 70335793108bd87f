//! Repositories that are reached by the network, all of it within this host.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use ward_build::git::{GitError, Trouble};
use ward_config::job::Source;
use ward_testkit::patience::{LIMIT, wait_for};

use crate::desk::Notes;
use crate::room::{Ask, Room, content};

pub(crate) const TESTS: &[crate::Test] = &[
    (
        "a_shared_clone_is_a_help_and_no_need",
        a_shared_clone_is_a_help_and_no_need,
    ),
    (
        "what_was_pushed_away_is_said_to_be",
        what_was_pushed_away_is_said_to_be,
    ),
    (
        "pull_requests_are_fetched_by_a_refspec",
        pull_requests_are_fetched_by_a_refspec,
    ),
    (
        "another_user_reads_the_shared_clone",
        another_user_reads_the_shared_clone,
    ),
    ("builds_wait_for_one_another", builds_wait_for_one_another),
    (
        "strangers_name_no_files_of_this_host",
        strangers_name_no_files_of_this_host,
    ),
    (
        "a_password_is_not_asked_for_and_not_shown",
        a_password_is_not_asked_for_and_not_shown,
    ),
    (
        "ssh_gets_its_key_and_asks_nobody",
        ssh_gets_its_key_and_asks_nobody,
    ),
    ("nobody_at_the_other_side", nobody_at_the_other_side),
    ("a_stop_ends_a_fetch", a_stop_ends_a_fetch),
];

/// git's own server, on loopback.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) url: String,
}

impl Daemon {
    /// Serves the room's repository; nothing where git has no server.
    pub(crate) fn start(room: &Room) -> anyhow::Result<Option<Self>> {
        let place = Command::new("git").arg("--exec-path").output()?.stdout;
        let place = String::from_utf8(place)?;
        if !std::path::Path::new(place.trim())
            .join("git-daemon")
            .exists()
        {
            println!("skipped: there is no git daemon");
            return Ok(None);
        }
        // Somebody else may take the port before it does.
        for _ in 0..20 {
            let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            let mut base = std::ffi::OsString::from("--base-path=");
            base.push(room.path("."));
            let child = Command::new(std::path::Path::new(place.trim()).join("git-daemon"))
                .args(["--reuseaddr", "--export-all", "--listen=127.0.0.1"])
                .arg(format!("--port={port}"))
                .arg(base)
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            let mut daemon = Self {
                child,
                url: format!("git://127.0.0.1:{port}/repository"),
            };
            let up = wait_for("git daemon", || {
                if !matches!(daemon.child.try_wait(), Ok(None)) {
                    return Some(false);
                }
                TcpStream::connect(("127.0.0.1", port)).ok().map(|_| true)
            })?;
            if up {
                return Ok(Some(daemon));
            }
        }
        anyhow::bail!("git daemon finds no port")
    }
}

impl Daemon {
    /// The room's repository, by way of it.
    pub(crate) fn source(&self, room: &Room) -> Source {
        Source {
            url: self.url.clone(),
            ..room.source()
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The one shared clone.
pub(crate) fn cached(room: &Room) -> anyhow::Result<std::path::PathBuf> {
    let entries = fs::read_dir(room.path("cache"))?;
    entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|end| end == "git"))
        .context("no shared clone")
}

fn a_shared_clone_is_a_help_and_no_need() -> anyhow::Result<()> {
    let room = Room::new()?;
    let one = room.commit("a", "1", 1)?;
    let Some(daemon) = Daemon::start(&room)? else {
        return Ok(());
    };
    let source = daemon.source(&room);
    room.checkout(&source, &Ask::default())?;
    let cache = cached(&room)?;
    // The workspace needs nothing of it.
    fs::remove_dir_all(&cache)?;
    room.git_in("workspace", &["fsck", "--full"])?;
    let url = room.git_in("workspace", &["remote", "get-url", "origin"])?;
    ensure!(url == daemon.url);
    room.commit("a", "2", 2)?;
    let ask = Ask {
        previous: Some(&one),
        ..Ask::default()
    };
    let (checked, _) = room.checkout(&source, &ask)?;
    ensure!(checked.checkout.changes.len() == 1 && content(room.workspace("a"))? == "2");
    // One that is damaged is made anew, and so is one that a killed git left locked.
    fs::write(cache.join("packed-refs.lock"), "")?;
    fs::write(cache.join("config"), "")?;
    room.commit("a", "3", 3)?;
    room.checkout(&source, &Ask::default())?;
    ensure!(content(room.workspace("a"))? == "3");
    fs::write(cache.join("refs/heads/main"), "nonsense\n")?;
    let (_, console) = room.checkout(&source, &Ask::default())?;
    ensure!(content(room.workspace("a"))? == "3", "{console}");
    // And without it.
    let alone = Source {
        no_cache: true,
        ..source
    };
    fs::remove_dir_all(room.path("cache"))?;
    room.commit("a", "4", 4)?;
    room.checkout(&alone, &Ask::default())?;
    ensure!(content(room.workspace("a"))? == "4" && !room.path("cache").exists());
    Ok(())
}

fn what_was_pushed_away_is_said_to_be() -> anyhow::Result<()> {
    let room = Room::new()?;
    room.commit("a", "1", 1)?;
    let two = room.commit("a", "2", 2)?;
    let Some(daemon) = Daemon::start(&room)? else {
        return Ok(());
    };
    let source = daemon.source(&room);
    room.checkout(&source, &Ask::default())?;
    room.git(&["reset", "--quiet", "--hard", "HEAD~1"])?;
    room.commit("a", "3", 3)?;
    let ask = Ask {
        revision: Some(&two),
        ..Ask::default()
    };
    // The shared clone still has it, and a new workspace gets it from there.
    fs::remove_dir_all(room.workspace(".git"))?;
    let (checked, _) = room.checkout(&source, &ask)?;
    ensure!(checked.checkout.revision == two && checked.checkout.branch == "detached");
    ensure!(content(room.workspace("a"))? == "2");
    // Nobody has it any more.
    room.git(&["reflog", "expire", "--expire=now", "--all"])?;
    room.git(&["gc", "--quiet", "--prune=now"])?;
    fs::remove_dir_all(room.path("cache"))?;
    fs::remove_dir_all(room.workspace(".git"))?;
    let (error, console) = room.refused(&source, &ask)?;
    ensure!(
        matches!(error, GitError::NoRevision { .. }),
        "{error:?} {console}"
    );
    ensure!(
        error
            .hint()
            .is_some_and(|hint| hint.contains("pushed away"))
    );
    Ok(())
}

fn pull_requests_are_fetched_by_a_refspec() -> anyhow::Result<()> {
    let room = Room::new()?;
    room.commit("a", "1", 1)?;
    room.git(&["update-ref", "refs/pull/7/head", "HEAD"])?;
    let Some(daemon) = Daemon::start(&room)? else {
        return Ok(());
    };
    for no_cache in [false, true] {
        let source = Source {
            url: daemon.url.clone(),
            refspec: Some("+refs/pull/*/head:refs/remotes/origin/pr/*".to_owned()),
            branches: vec!["pr/*".to_owned()],
            no_cache,
            ..room.source()
        };
        let (checked, _) = room.checkout(&source, &Ask::default())?;
        ensure!(checked.checkout.branch == "origin/pr/7");
        fs::remove_dir_all(room.workspace(".git"))?;
    }
    Ok(())
}

fn another_user_reads_the_shared_clone() -> anyhow::Result<()> {
    use std::os::unix::fs::MetadataExt;
    if !ward_testkit::world::is_root() {
        println!("skipped: who is not root is nobody else");
        return Ok(());
    }
    let room = Room::new()?;
    room.commit("a", "1", 1)?;
    room.secret("login", "me:pass")?;
    let Some(daemon) = Daemon::start(&room)? else {
        return Ok(());
    };
    let nobody = room.of_nobody()?;
    let source = Source {
        url: daemon.url.clone(),
        credentials: Some("login".to_owned()),
        ..room.source()
    };
    let ask = Ask {
        identity: Some(&nobody),
        ..Ask::default()
    };
    for _ in 0..2 {
        room.checkout(&source, &ask)?;
    }
    ensure!(fs::metadata(room.workspace(".git/HEAD"))?.uid() == 65534);
    // They can read the clone that is shared, and cannot change it; nobody else can read it.
    let shared = fs::metadata(room.path("cache/u65534"))?;
    ensure!((shared.uid(), shared.gid(), shared.mode() & 0o777) == (0, 65534, 0o750));
    Ok(())
}

fn builds_wait_for_one_another() -> anyhow::Result<()> {
    let room = Room::new()?;
    room.commit("a", "1", 1)?;
    let Some(daemon) = Daemon::start(&room)? else {
        return Ok(());
    };
    let source = daemon.source(&room);
    room.checkout(&source, &Ask::default())?;
    let path = cached(&room)?.with_extension("lock");
    let lock = fs::File::options().write(true).open(path)?;
    lock.lock()?;
    let (tell, told) = mpsc::channel();
    let done = std::thread::scope(|scope| {
        let build = scope.spawn(|| {
            let mut desk = Notes {
                lines: Some(tell),
                ..Notes::default()
            };
            let result = room.checkout_with(&mut desk, &source, &Ask::default());
            (result, desk)
        });
        let mut lines = std::iter::from_fn(|| told.recv_timeout(LIMIT).ok());
        let waits = lines.any(|line: String| line.contains("Waiting for another build"));
        let _ = lock.unlock();
        build.join().map(|done| (waits, done))
    });
    let (waits, (result, desk)) = done.map_err(|_| anyhow::anyhow!("it panicked"))?;
    ensure!(waits && result.is_ok(), "{result:?} {}", desk.text);
    Ok(())
}

fn strangers_name_no_files_of_this_host() -> anyhow::Result<()> {
    let room = Room::new()?;
    room.commit("a", "1", 1)?;
    let other = room.path("other");
    room.git_in(".", &["clone", "--quiet", "repository", "other"])?;
    let other = other.to_string_lossy().into_owned();
    room.git(&["submodule", "--quiet", "add", &other, "sub"])?;
    room.commit("a", "2", 2)?;
    let Some(daemon) = Daemon::start(&room)? else {
        return Ok(());
    };
    let source = Source {
        url: daemon.url.clone(),
        submodules: true,
        ..room.source()
    };
    let (error, _) = room.refused(&source, &Ask::default())?;
    let is_forbidden = matches!(
        error,
        GitError::Failed {
            trouble: Trouble::Forbidden,
            ..
        }
    );
    ensure!(
        is_forbidden && !room.workspace("sub/a").exists(),
        "{error:?}"
    );
    Ok(())
}

/// A site that lets nobody in. Tells what it was told of who asks.
fn closed_site() -> anyhow::Result<(u16, mpsc::Receiver<Option<String>>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { break };
            let Ok(other) = stream.try_clone() else { break };
            let mut who = None;
            for line in BufReader::new(other).lines().map_while(Result::ok) {
                if line.is_empty() {
                    break;
                }
                if line.to_ascii_lowercase().starts_with("authorization:") {
                    who = Some(line);
                }
            }
            let _ = stream.write_all(
                b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
            if tell.send(who).is_err() {
                break;
            }
        }
    });
    Ok((port, told))
}

fn a_password_is_not_asked_for_and_not_shown() -> anyhow::Result<()> {
    let room = Room::new()?;
    room.commit("a", "1", 1)?;
    room.secret("login", "me:hidden+word\n")?;
    let (port, told) = closed_site()?;
    let refused = |url: String, credentials: Option<&str>| -> anyhow::Result<Vec<String>> {
        let source = Source {
            url,
            credentials: credentials.map(str::to_owned),
            ..room.source()
        };
        let mut desk = Notes::default();
        let error = room.checkout_with(&mut desk, &source, &Ask::default());
        let error = error.err().context("let in")?;
        let is_it = matches!(
            error,
            GitError::Failed {
                trouble: Trouble::SignIn,
                ..
            }
        );
        ensure!(is_it, "{error:?}");
        ensure!(
            error
                .hint()
                .is_some_and(|hint| hint.contains("credentials"))
        );
        let all = format!("{error:?} {error} {} {:?}", desk.text, desk.commands);
        ensure!(!all.contains("hidden"), "{all}");
        Ok(told.try_iter().flatten().collect())
    };
    let none = refused(format!("http://127.0.0.1:{port}/x.git"), None)?;
    ensure!(none.is_empty(), "{none:?}");
    // me:hidden+word
    let wanted = "Basic bWU6aGlkZGVuK3dvcmQ=";
    let by_secret = refused(format!("http://127.0.0.1:{port}/x.git"), Some("login"))?;
    ensure!(
        by_secret.iter().any(|line| line.contains(wanted)),
        "{by_secret:?}"
    );
    let in_url = format!("http://me:hidden%2Bword@127.0.0.1:{port}/x.git");
    let by_url = refused(in_url, None)?;
    ensure!(
        by_url.iter().any(|line| line.contains(wanted)),
        "{by_url:?}"
    );

    let source = Source {
        url: format!("http://127.0.0.1:{port}/x.git"),
        credentials: Some("nothing".to_owned()),
        ..room.source()
    };
    let (error, _) = room.refused(&source, &Ask::default())?;
    ensure!(matches!(error, GitError::Secret { .. }), "{error:?}");
    Ok(())
}

fn ssh_gets_its_key_and_asks_nobody() -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mut room = Room::new()?;
    room.secret("key", "-----BEGIN KEY-----\nhidden\n-----END KEY-----\n")?;
    // One that tells how it was called, and lets nobody in.
    let programs = room.path("programs");
    fs::create_dir(&programs)?;
    let script = "#!/bin/sh\n\
        for each; do printf '[%s]' \"$each\"; done > \"${0%/*}/called\"\n\
        while [ $# -gt 0 ]; do [ \"$1\" = -i ] && cat \"$2\" > \"${0%/*}/key\"; shift; done\n\
        echo 'git@host: Permission denied (publickey).' >&2\n\
        exit 255\n";
    fs::write(programs.join("ssh"), script)?;
    fs::set_permissions(programs.join("ssh"), fs::Permissions::from_mode(0o755))?;
    let mut path = programs.clone().into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    room.environment.push(("PATH".into(), path));
    let source = Source {
        url: "git@host.invalid:x/y.git".to_owned(),
        credentials: Some("key".to_owned()),
        ..room.source()
    };
    let (error, _) = room.refused(&source, &Ask::default())?;
    let is_it = matches!(
        error,
        GitError::Failed {
            trouble: Trouble::SignIn,
            ..
        }
    );
    ensure!(is_it, "{error:?}");
    let called = content(programs.join("called"))?;
    let hosts = format!(
        "[UserKnownHostsFile=\"{}\"]",
        room.path("home/known_hosts").display()
    );
    for word in [
        "[BatchMode=yes]",
        "[IdentitiesOnly=yes]",
        "[git@host.invalid]",
        &hosts,
    ] {
        ensure!(called.contains(word), "no {word} in {called}");
    }
    ensure!(content(programs.join("key"))?.contains("hidden"));
    ensure!(fs::read_dir(room.path("scratch"))?.next().is_none());
    Ok(())
}

fn nobody_at_the_other_side() -> anyhow::Result<()> {
    let room = Room::new()?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let source = Source {
        url: format!("git://127.0.0.1:{port}/x"),
        ..room.source()
    };
    let (error, _) = room.refused(&source, &Ask::default())?;
    let is_it = matches!(
        error,
        GitError::Failed {
            trouble: Trouble::Unreachable,
            ..
        }
    );
    ensure!(is_it, "{error:?}");
    // Somebody who says nothing.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let source = Source {
        url: format!("git://127.0.0.1:{}/x", silent.local_addr()?.port()),
        timeout: Duration::from_millis(300),
        ..room.source()
    };
    let (error, _) = room.refused(&source, &Ask::default())?;
    ensure!(matches!(error, GitError::TimedOut { .. }), "{error:?}");
    let local = Source {
        url: "/nowhere/at/all".to_owned(),
        ..room.source()
    };
    let (error, _) = room.refused(&local, &Ask::default())?;
    let is_it = matches!(
        error,
        GitError::Failed {
            trouble: Trouble::NotFound,
            ..
        }
    );
    ensure!(is_it, "{error:?}");
    Ok(())
}

fn a_stop_ends_a_fetch() -> anyhow::Result<()> {
    let room = Room::new()?;
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let source = Source {
        url: format!("git://127.0.0.1:{}/x", silent.local_addr()?.port()),
        ..room.source()
    };
    let (tell, told) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let connection = silent.accept();
        let _ = tell.send(());
        connection
    });
    let mut desk = Notes {
        stop_at: Some(told),
        ..Notes::default()
    };
    let result = room.checkout_with(&mut desk, &source, &Ask::default());
    ensure!(
        matches!(result, Err(GitError::Stopped)),
        "{result:?} {}",
        desk.text
    );
    drop(thread.join());
    Ok(())
}
