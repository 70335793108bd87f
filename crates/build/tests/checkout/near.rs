//! Repositories of this host, and what may have become of a workspace.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use anyhow::{Context as _, ensure};
use ward_build::git::GitError;
use ward_config::job::{Clean, Source};
use ward_model::spec::Identity;

use crate::room::{Ask, Room, content};

pub(crate) const TESTS: &[crate::Test] = &[
    ("a_first_and_a_second_build", a_first_and_a_second_build),
    (
        "what_git_does_not_know_goes_as_asked",
        what_git_does_not_know_goes_as_asked,
    ),
    ("a_killed_git_left_its_locks", a_killed_git_left_its_locks),
    ("a_broken_clone_is_made_anew", a_broken_clone_is_made_anew),
    (
        "a_workspace_of_another_repository",
        a_workspace_of_another_repository,
    ),
    ("branches_come_and_go", branches_come_and_go),
    ("a_settled_commit", a_settled_commit),
    ("a_thousand_branches", a_thousand_branches),
    (
        "a_place_and_a_branch_of_ones_own",
        a_place_and_a_branch_of_ones_own,
    ),
    ("depth_and_tags", depth_and_tags),
    ("submodules_of_submodules", submodules_of_submodules),
    (
        "nothing_of_the_repository_runs",
        nothing_of_the_repository_runs,
    ),
    ("another_user", another_user),
];

fn a_first_and_a_second_build() -> anyhow::Result<()> {
    let room = Room::new()?;
    let source = room.source();
    let one = room.commit("a", "1", 1)?;
    let (checked, console) = room.checkout(&source, &Ask::default())?;
    ensure!(checked.checkout.revision == one && checked.checkout.branch == "origin/main");
    ensure!(content(room.workspace("a"))? == "1");
    for line in [
        "Cloning the remote Git repository\n",
        &format!("Checking out Revision {one} (origin/main)\n"),
        "Commit message: \"a is 1\"\n",
        "First time build. Skipping changelog.\n",
        " > git fetch ",
    ] {
        ensure!(console.contains(line), "no {line:?} in {console}");
    }
    let has = |name: &str| {
        let found = checked.environment.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    };
    ensure!(has("GIT_COMMIT").as_deref() == Some(one.as_str()));
    ensure!(has("GIT_BRANCH").as_deref() == Some("origin/main"));
    ensure!(has("GIT_URL") == Some(source.url.clone()) && has("GIT_PREVIOUS_COMMIT").is_none());

    room.commit("a", "2", 2)?;
    room.git(&["mv", "a", "ä b"])?;
    let three = room.commit("c", "3", 3)?;
    let ask = Ask {
        previous: Some(&one),
        ..Ask::default()
    };
    let (checked, console) = room.checkout(&source, &ask)?;
    ensure!(
        console.contains("Fetching changes from the remote Git repository\n"),
        "{console}"
    );
    let changes = &checked.checkout.changes;
    let titles: Vec<_> = changes.iter().map(|change| change.title.as_str()).collect();
    ensure!(titles == ["c is 3", "a is 2"] && changes[0].revision == three);
    ensure!(changes[0].author == "Ännie" && changes[0].author_email == "a@example.invalid");
    ensure!(changes[0].at == 1_700_000_003 && changes[0].message.ends_with("indeed"));
    let mut paths = changes[0].paths.clone();
    paths.sort();
    let pair = |kind: &str, path: &str| (kind.to_owned(), path.to_owned());
    ensure!(
        paths == [pair("add", "c"), pair("add", "ä b"), pair("delete", "a")],
        "{paths:?}"
    );
    ensure!(changes[1].paths == [pair("edit", "a")]);
    ensure!(!room.workspace("a").exists() && room.workspace("ä b").exists());

    // Nothing is new.
    let ask = Ask {
        previous: Some(&three),
        ..Ask::default()
    };
    ensure!(room.checkout(&source, &ask)?.0.checkout.changes.is_empty());
    // The build before was of a commit that nobody has any more.
    let gone = "0123456789012345678901234567890123456789";
    let ask = Ask {
        previous: Some(gone),
        ..Ask::default()
    };
    let (checked, console) = room.checkout(&source, &ask)?;
    ensure!(checked.checkout.changes.is_empty() && console.contains("is not there any more"));
    Ok(())
}

fn what_git_does_not_know_goes_as_asked() -> anyhow::Result<()> {
    let room = Room::new()?;
    let source = room.source();
    room.commit("a", "1", 1)?;
    room.commit(".gitignore", "*.o\n", 1)?;
    room.checkout(&source, &Ask::default())?;
    let dirty = || -> anyhow::Result<()> {
        fs::write(room.workspace("a"), "changed")?;
        fs::write(room.workspace("left"), "x")?;
        fs::write(room.workspace("left.o"), "x")?;
        fs::create_dir_all(room.workspace("nested"))?;
        room.git_in("workspace/nested", &["init", "--quiet"])?;
        Ok(())
    };
    for (clean, is_left) in [
        (Clean::No, true),
        (Clean::Before, false),
        (Clean::After, false),
        (Clean::Wipe, false),
    ] {
        dirty()?;
        let ask = Ask {
            clean: Some(clean),
            ..Ask::default()
        };
        room.checkout(&source, &ask)?;
        ensure!(content(room.workspace("a"))? == "1", "{clean:?}");
        for name in ["left", "left.o", "nested"] {
            ensure!(room.workspace(name).exists() == is_left, "{clean:?} {name}");
        }
    }
    Ok(())
}

fn a_killed_git_left_its_locks() -> anyhow::Result<()> {
    let room = Room::new()?;
    let source = room.source();
    room.commit("a", "1", 1)?;
    room.checkout(&source, &Ask::default())?;
    room.commit("a", "2", 2)?;
    for name in [
        ".git/index.lock",
        ".git/HEAD.lock",
        ".git/refs/remotes/origin/main.lock",
        ".git/packed-refs.lock",
    ] {
        fs::write(room.workspace(name), "")?;
    }
    let (_, console) = room.checkout(&source, &Ask::default())?;
    ensure!(content(room.workspace("a"))? == "2");
    ensure!(console.contains("Removed index.lock"), "{console}");
    ensure!(!console.contains("cloned anew"));

    // Where others may be at work, a lock that is not old is theirs.
    fs::write(room.workspace(".git/index.lock"), "")?;
    room.commit("a", "3", 3)?;
    let ask = Ask {
        is_shared: true,
        ..Ask::default()
    };
    let (error, _) = room.refused(&source, &ask)?;
    ensure!(
        error
            .hint()
            .is_some_and(|hint| hint.contains("no other git")),
        "{error:?}"
    );
    ensure!(room.workspace(".git/index.lock").exists());
    Ok(())
}

fn a_broken_clone_is_made_anew() -> anyhow::Result<()> {
    let room = Room::new()?;
    let source = room.source();
    room.commit("a", "1", 1)?;
    room.checkout(&source, &Ask::default())?;
    // No repository any more.
    fs::write(room.workspace(".git/HEAD"), "")?;
    fs::write(room.workspace("left"), "x")?;
    let (_, console) = room.checkout(&source, &Ask::default())?;
    ensure!(
        console.contains("broken clone") && !room.workspace("left").exists(),
        "{console}"
    );
    // Objects that are damaged.
    for entry in walk(&room.workspace(".git/objects"))? {
        fs::set_permissions(&entry, fs::Permissions::from_mode(0o644))?;
        fs::write(&entry, "nonsense")?;
    }
    let (_, console) = room.checkout(&source, &Ask::default())?;
    ensure!(console.contains("cloned anew"), "{console}");
    ensure!(content(room.workspace("a"))? == "1");
    // An index of nobody.
    fs::write(room.workspace(".git/index"), "nonsense")?;
    room.checkout(&source, &Ask::default())?;
    ensure!(content(room.workspace("a"))? == "1");
    Ok(())
}

fn walk(directory: &std::path::Path) -> anyhow::Result<Vec<std::path::PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files.extend(walk(&entry.path())?);
        } else {
            files.push(entry.path());
        }
    }
    Ok(files)
}

fn a_workspace_of_another_repository() -> anyhow::Result<()> {
    let room = Room::new()?;
    room.commit("a", "1", 1)?;
    room.git_in(".", &["clone", "--quiet", "repository", "other"])?;
    room.checkout(&room.source(), &Ask::default())?;
    fs::write(room.workspace("left"), "x")?;
    let other = Source {
        url: room.path("other").to_string_lossy().into_owned(),
        ..room.source()
    };
    // What others may use is not emptied.
    let ask = Ask {
        is_shared: true,
        ..Ask::default()
    };
    room.checkout(&other, &ask)?;
    ensure!(room.workspace("left").exists());
    let (_, console) = room.checkout(&room.source(), &Ask::default())?;
    ensure!(console.contains("it is emptied") && !room.workspace("left").exists());
    Ok(())
}

fn branches_come_and_go() -> anyhow::Result<()> {
    let room = Room::new()?;
    let (error, _) = room.refused(&room.source(), &Ask::default())?;
    ensure!(matches!(error, GitError::Empty(_)), "{error:?}");
    let one = room.commit("a", "1", 1)?;
    room.git(&["branch", "topic"])?;
    let source = Source {
        branches: vec!["topic".to_owned(), "topic/*".to_owned()],
        ..room.source()
    };
    room.checkout(&source, &Ask::default())?;
    // A branch of the name that was a directory's.
    room.git(&["branch", "--quiet", "-D", "topic"])?;
    room.git(&["branch", "topic/a"])?;
    let (checked, _) = room.checkout(&source, &Ask::default())?;
    ensure!(checked.checkout.branch == "origin/topic/a");
    // It is gone: what the workspace remembers of it is not built.
    room.git(&["branch", "--quiet", "-D", "topic/a"])?;
    let (error, _) = room.refused(&source, &Ask::default())?;
    ensure!(
        matches!(&error, GitError::NoBranch { there, .. } if there == &["main"]),
        "{error:?}"
    );
    // What was pushed by force is built, with what is new about it.
    room.git(&["commit", "--quiet", "--amend", "-m", "again"])?;
    let two = room.git(&["rev-parse", "HEAD"])?;
    let source = Source {
        branches: vec!["${WHICH}".to_owned()],
        ..room.source()
    };
    let ask = Ask {
        previous: Some(&one),
        ..Ask::default()
    };
    let (checked, _) = room.checkout(&source, &ask)?;
    ensure!(checked.checkout.revision == two && checked.checkout.changes.len() == 1);
    Ok(())
}

fn a_settled_commit() -> anyhow::Result<()> {
    let room = Room::new()?;
    let one = room.commit("a", "1", 1)?;
    let two = room.commit("a", "2", 2)?;
    let source = room.source();
    let settled = |revision: &str| {
        let ask = Ask {
            revision: Some(revision),
            ..Ask::default()
        };
        room.checkout(&source, &ask)
            .map(|(checked, _)| checked.checkout)
    };
    let first = settled(&one)?;
    ensure!(
        first.revision == one && first.branch == "origin/main",
        "{first:?}"
    );
    ensure!(content(room.workspace("a"))? == "1");
    ensure!(settled(&two)?.branch == "origin/main");
    let short = settled(&one[..8])?;
    ensure!(short.revision == one && short.branch == "detached");
    // A commit for a branch.
    let named = Source {
        branches: vec![one.clone()],
        ..room.source()
    };
    ensure!(room.checkout(&named, &Ask::default())?.0.checkout.revision == one);
    let gone = "0123456789012345678901234567890123456789";
    for revision in [gone, "no such", "--all", "a..b"] {
        let ask = Ask {
            revision: Some(revision),
            ..Ask::default()
        };
        let (error, _) = room.refused(&source, &ask)?;
        ensure!(
            matches!(error, GitError::NoRevision { .. }),
            "{revision}: {error:?}"
        );
    }
    Ok(())
}

fn a_thousand_branches() -> anyhow::Result<()> {
    let room = Room::new()?;
    let one = room.commit("a", "1", 1)?;
    let two = room.commit("a", "2", 2)?;
    let refs: String = (0..1000)
        .map(|index| format!("{one} refs/heads/release/{index}\n"))
        .collect();
    fs::write(room.path("repository/.git/packed-refs"), refs)?;
    room.git(&["update-ref", "refs/heads/release/777", &two])?;
    let source = Source {
        branches: vec!["release/*".to_owned()],
        ..room.source()
    };
    let (checked, _) = room.checkout(&source, &Ask::default())?;
    ensure!(checked.checkout.branch == "origin/release/777" && checked.checkout.revision == two);
    let (error, _) = room.refused(
        &Source {
            branches: vec!["nothing/*".to_owned()],
            ..room.source()
        },
        &Ask::default(),
    )?;
    ensure!(
        error
            .hint()
            .is_some_and(|hint| hint.contains("and 991 more")),
        "{error:?}"
    );
    Ok(())
}

fn a_place_and_a_branch_of_ones_own() -> anyhow::Result<()> {
    let room = Room::new()?;
    let one = room.commit("a", "1", 1)?;
    let source = Source {
        directory: Some("src/${WHICH}".to_owned()),
        local_branch: Some("**".to_owned()),
        remote: "upstream".to_owned(),
        ..room.source()
    };
    let (checked, _) = room.checkout(&source, &Ask::default())?;
    ensure!(checked.directory == room.workspace("src/main"));
    ensure!(checked.checkout.branch == "upstream/main");
    let local = ("GIT_LOCAL_BRANCH".to_owned(), "main".to_owned());
    ensure!(checked.environment.contains(&local));
    let name = room.git_in("workspace/src/main", &["symbolic-ref", "HEAD"])?;
    ensure!(name == "refs/heads/main");
    let head = room.git_in("workspace/src/main", &["rev-parse", "upstream/main"])?;
    ensure!(head == one);
    let outside = room.path("outside");
    fs::create_dir(&outside)?;
    symlink(&outside, room.workspace("link"))?;
    for directory in ["../outside", "/tmp", "link", "link/x"] {
        let source = Source {
            directory: Some(directory.to_owned()),
            ..room.source()
        };
        let (error, _) = room.refused(&source, &Ask::default())?;
        ensure!(
            matches!(error, GitError::Setting { .. }),
            "{directory}: {error:?}"
        );
    }
    ensure!(fs::read_dir(outside)?.next().is_none());
    for (local_branch, remote) in [
        ("-x", "origin"),
        ("a..b", "origin"),
        ("a", "--x"),
        ("a", "a b"),
    ] {
        let source = Source {
            local_branch: Some(local_branch.to_owned()),
            remote: remote.to_owned(),
            ..room.source()
        };
        let (error, _) = room.refused(&source, &Ask::default())?;
        ensure!(matches!(error, GitError::Setting { .. }), "{error:?}");
    }
    Ok(())
}

fn depth_and_tags() -> anyhow::Result<()> {
    let room = Room::new()?;
    for index in 1..5 {
        room.commit("a", &index.to_string(), index)?;
    }
    room.git(&["tag", "v1"])?;
    let shallow = Source {
        url: format!("file://{}", room.path("repository").display()),
        depth: Some(2),
        no_tags: true,
        ..room.source()
    };
    let count = || room.git_in("workspace", &["rev-list", "--count", "HEAD"]);
    let tags = || room.git_in("workspace", &["tag"]);
    room.checkout(&shallow, &Ask::default())?;
    ensure!((count()?, tags()?) == ("2".to_owned(), String::new()));
    let deep = Source {
        depth: None,
        no_tags: false,
        ..shallow
    };
    room.checkout(&deep, &Ask::default())?;
    ensure!((count()?, tags()?) == ("4".to_owned(), "v1".to_owned()));
    // A tag that moved, and one of the workspace's own.
    room.commit("a", "5", 5)?;
    room.git(&["tag", "--force", "v1"])?;
    room.git_in("workspace", &["tag", "own"])?;
    let tagged = Source {
        branches: vec!["refs/tags/v1".to_owned()],
        ..deep.clone()
    };
    let (checked, _) = room.checkout(&tagged, &Ask::default())?;
    ensure!(checked.checkout.branch == "refs/tags/v1");
    ensure!(content(room.workspace("a"))? == "5" && tags()? == "own\nv1");
    let pruned = Source {
        prune: true,
        ..deep
    };
    room.checkout(&pruned, &Ask::default())?;
    ensure!(tags()? == "v1");
    Ok(())
}

fn submodules_of_submodules() -> anyhow::Result<()> {
    let room = Room::new()?;
    room.commit("deep", "1", 1)?;
    room.git_in(".", &["clone", "--quiet", "repository", "deep"])?;
    room.git_in(".", &["clone", "--quiet", "repository", "middle"])?;
    room.git_in(
        "middle",
        &["submodule", "--quiet", "add", "../deep", "deeper"],
    )?;
    room.git_in("middle", &["commit", "--quiet", "-m", "one"])?;
    room.git(&["submodule", "--quiet", "add", "../middle", "sub"])?;
    room.commit("a", "1", 2)?;
    let mut source = Source {
        submodules: true,
        ..room.source()
    };
    room.checkout(&source, &Ask::default())?;
    ensure!(room.workspace("sub/deep").exists() && !room.workspace("sub/deeper/deep").exists());
    source.recursive_submodules = true;
    room.checkout(&source, &Ask::default())?;
    ensure!(room.workspace("sub/deeper/deep").exists());
    fs::write(room.workspace("sub/left"), "x")?;
    let ask = Ask {
        clean: Some(Clean::Before),
        ..Ask::default()
    };
    room.checkout(&source, &ask)?;
    ensure!(!room.workspace("sub/left").exists() && room.workspace("sub/deeper/deep").exists());
    Ok(())
}

fn nothing_of_the_repository_runs() -> anyhow::Result<()> {
    let room = Room::new()?;
    room.commit("a", "1", 1)?;
    room.checkout(&room.source(), &Ask::default())?;
    let proof = room.path("proof");
    let script = format!(
        "#!/bin/sh\ntouch '{}'\n",
        proof.display().to_string().replace('\'', r"'\''")
    );
    for name in ["post-checkout", "reference-transaction", "monitor"] {
        let hook = room.workspace(".git/hooks").join(name);
        fs::create_dir_all(room.workspace(".git/hooks"))?;
        fs::write(&hook, &script)?;
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755))?;
    }
    room.git_in(
        "workspace",
        &["config", "core.fsmonitor", ".git/hooks/monitor"],
    )?;
    // Nor what a build wrote into its home, or has in its environment.
    let home = room.path("home");
    fs::write(
        home.join(".gitconfig"),
        format!(
            "[core]\n\thooksPath = {}\n",
            room.workspace(".git/hooks").display()
        ),
    )?;
    let mut room = room;
    room.environment.push(("GIT_DIR".into(), "/nowhere".into()));
    room.environment
        .push(("GIT_INDEX_FILE".into(), "/nowhere".into()));
    if proof.exists() {
        fs::remove_file(&proof)?;
    }
    room.commit("a", "2", 2)?;
    room.checkout(&room.source(), &Ask::default())?;
    ensure!(content(room.workspace("a"))? == "2" && !proof.exists());
    Ok(())
}

fn another_user() -> anyhow::Result<()> {
    if !ward_testkit::world::is_root() {
        println!("skipped: who is not root is nobody else");
        return Ok(());
    }
    let room = Room::new()?;
    room.commit("a", "1", 1)?;
    let nobody = Identity {
        uid: 65534,
        gid: 65534,
        groups: Vec::new(),
    };
    let workspace = room.path("workspace");
    for name in ["workspace", "scratch", "repository", "."] {
        fs::set_permissions(room.path(name), fs::Permissions::from_mode(0o755))?;
    }
    std::os::unix::fs::chown(&workspace, Some(nobody.uid), Some(nobody.gid))?;
    let ask = Ask {
        identity: Some(&nobody),
        ..Ask::default()
    };
    let (_, console) = room.checkout(&room.source(), &ask)?;
    let owner = |name: &str| fs::metadata(room.workspace(name)).map(|about| about.uid());
    ensure!(owner("a").context(console)? == nobody.uid && owner(".git/config")? == nobody.uid);
    Ok(())
}
