//! What a build leaves: files that are kept and test results, out of workspaces whose owners are not to be
//! trusted.

#![forbid(unsafe_code)]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ward_build::artifacts::{self, Kept, Limits, Served, Zip};
use ward_build::junit::{self, Taken};
use ward_build::outcome::TestCounts;
use ward_build::runner::{Desk, Ran};
use ward_config::job::{Artifacts, Junit};
use ward_engine::EngineError;
use ward_model::build::BuildResult;
use ward_model::spec::Spec;
use ward_testkit::pypi::PYTEST;

/// A console without commands.
#[derive(Default)]
struct Notes {
    text: String,
    /// So many more looks for a stop find none.
    looks: Option<std::cell::Cell<u32>>,
}

impl Desk for Notes {
    fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn write(&mut self, bytes: &[u8]) {
        self.text.push_str(&String::from_utf8_lossy(bytes));
    }

    fn run(&mut self, command: Spec, _capture: Option<usize>) -> Result<Ran, EngineError> {
        panic!("nothing here runs anything, but {:?}", command.command);
    }

    fn is_stopping(&self) -> bool {
        let Some(looks) = &self.looks else {
            return false;
        };
        let left = looks.get();
        looks.set(left.saturating_sub(1));
        left == 0
    }
}

struct Room {
    directory: tempfile::TempDir,
}

impl Room {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir(directory.path().join("workspace")).expect("made");
        Self { directory }
    }

    fn workspace(&self, name: &str) -> PathBuf {
        self.directory.path().join("workspace").join(name)
    }

    fn kept(&self) -> PathBuf {
        self.directory.path().join("build/artifacts")
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.workspace(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, content).expect("written");
    }

    fn keep(&self, wanted: &Artifacts) -> (Kept, String) {
        self.keep_so_far(wanted, BuildResult::Success)
    }

    fn keep_so_far(&self, wanted: &Artifacts, so_far: BuildResult) -> (Kept, String) {
        let mut desk = Notes::default();
        let wanted = std::slice::from_ref(wanted);
        let kept = artifacts::keep(
            &mut desk,
            wanted,
            &self.workspace("."),
            &self.kept(),
            so_far,
        );
        (kept, desk.text)
    }

    fn take(&self, wanted: &Junit, so_far: BuildResult) -> (Taken, String) {
        let mut desk = Notes::default();
        let wanted = std::slice::from_ref(wanted);
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970");
        let started = i64::try_from(now.as_millis()).expect("before long");
        let taken = junit::take(&mut desk, wanted, &self.workspace("."), started, so_far);
        (taken, desk.text)
    }
}

fn files(include: &str) -> Artifacts {
    Artifacts {
        include: vec![include.to_owned()],
        ..Artifacts::default()
    }
}

fn paths(kept: &Kept) -> Vec<&str> {
    kept.artifacts
        .iter()
        .map(|each| each.path.as_str())
        .collect()
}

/// What is in a directory, whatever it is.
fn everything(directory: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        all.push(entry.path());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            all.extend(everything(&entry.path()));
        }
    }
    all
}

#[test]
fn files_are_kept_with_their_checksums() {
    let room = Room::new();
    room.write("dist/a b.txt", "abc");
    room.write("dist/sub/run", "#!/bin/sh\n");
    room.write("dist/sub/x.o", "x");
    room.write("other", "x");
    let run = room.workspace("dist/sub/run");
    fs::set_permissions(run, fs::Permissions::from_mode(0o6775)).expect("mode");
    let wanted = Artifacts {
        exclude: vec!["**/*.o".to_owned()],
        ..files("dist/, nothing/**")
    };
    let (kept, console) = room.keep(&wanted);
    assert_eq!(paths(&kept), ["dist/a b.txt", "dist/sub/run"]);
    assert_eq!((kept.result, kept.is_stopped), (None, false));
    assert_eq!(console, "Archiving artifacts\n");
    let first = &kept.artifacts[0];
    assert_eq!(first.size, 3);
    assert_eq!(
        first.sha256,
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    let mode = |name: &str| {
        let about = fs::metadata(room.kept().join(name)).expect("kept");
        about.permissions().mode() & 0o7777
    };
    assert_eq!((mode("dist/a b.txt"), mode("dist/sub/run")), (0o644, 0o755));
    let Ok(Served::File(mut file, 3)) = artifacts::open(&room.kept(), "dist/a b.txt") else {
        panic!("not given out");
    };
    let mut text = String::new();
    file.read_to_string(&mut text).expect("text");
    assert_eq!(text, "abc");
}

#[test]
fn nothing_to_keep_is_a_failure_unless_it_is_none() {
    let room = Room::new();
    room.write("a", "x");
    let none = files("*.jar");
    let (kept, console) = room.keep(&none);
    assert_eq!(kept.result, Some(BuildResult::Failure));
    let message =
        "No artifacts found that match the file pattern \"*.jar\". Configuration error?\n";
    assert!(console.contains(message), "{console}");
    assert_eq!(room.keep_so_far(&none, BuildResult::Failure).0.result, None);
    let empty = Artifacts {
        allow_empty: true,
        ..none
    };
    assert_eq!(room.keep(&empty).0.result, None);
    let only = Artifacts {
        only_if_successful: true,
        ..files("a")
    };
    assert!(paths(&room.keep_so_far(&only, BuildResult::Failure).0).is_empty());
    assert_eq!(
        paths(&room.keep_so_far(&only, BuildResult::Unstable).0),
        ["a"]
    );
    // What another list has kept counts for this one too.
    let mut desk = Notes::default();
    let both = [files("a"), files("*")];
    let kept = artifacts::keep(
        &mut desk,
        &both,
        &room.workspace("."),
        &room.kept(),
        BuildResult::Success,
    );
    assert_eq!((paths(&kept), kept.result), (vec!["a"], None));
    assert_eq!(
        room.keep(&files("../x")).0.result,
        Some(BuildResult::Failure)
    );
}

#[test]
fn nothing_leaves_the_workspace() {
    let room = Room::new();
    let outside = room.directory.path().join("outside");
    fs::create_dir(&outside).expect("made");
    fs::write(outside.join("secret"), "hidden").expect("written");
    room.write("d/real", "1");
    let link = |to: &Path, name: &str| symlink(to, room.workspace(name)).expect("linked");
    link(&outside.join("secret"), "d/secret");
    link(Path::new("../../outside/secret"), "d/relative");
    link(&outside, "d/directory");
    link(Path::new("/proc/self/environ"), "d/magic");
    link(Path::new("nothing"), "d/dangling");
    link(Path::new("real"), "d/inside");
    link(&room.workspace("d/real"), "d/absolute");
    link(Path::new("../d"), "d/loop");
    link(Path::new("self"), "d/self");
    let fifo = Command::new("mkfifo")
        .arg(room.workspace("d/fifo"))
        .status();
    assert!(fifo.expect("mkfifo").success());
    link(Path::new("fifo"), "d/to-fifo");

    let (kept, console) = room.keep(&files("d/**"));
    assert_eq!(paths(&kept), ["d/absolute", "d/inside", "d/real"]);
    for (name, why) in [
        ("d/secret", "leads out of the workspace"),
        ("d/relative", "leads out of the workspace"),
        ("d/magic", "leads out of the workspace"),
        ("d/dangling", "to nothing"),
        ("d/self", "to nothing"),
        ("d/fifo", "it is no file"),
        ("d/to-fifo", "it is no file"),
    ] {
        let line = console
            .lines()
            .find(|line| line.contains(&format!("{name}:")));
        assert!(
            line.is_some_and(|line| line.contains(why)),
            "{name} in {console}"
        );
    }
    for path in everything(&room.kept()) {
        let about = fs::symlink_metadata(&path).expect("there");
        assert!(about.is_dir() || about.is_file());
        let content = fs::read(&path).unwrap_or_default();
        assert!(
            !content.windows(6).any(|part| part == b"hidden"),
            "{path:?}"
        );
    }
    let plain = Artifacts {
        follow_symlinks: false,
        ..files("d/**")
    };
    fs::remove_dir_all(room.kept()).expect("removed");
    assert_eq!(paths(&room.keep(&plain).0), ["d/real"]);
}

#[test]
fn there_is_an_end_to_what_is_kept() {
    let room = Room::new();
    for index in 0..5 {
        room.write(&format!("f{index}"), vec![b'x'; 1000]);
    }
    let keep = |limits| {
        let mut desk = Notes::default();
        let kept = artifacts::keep_within(
            &mut desk,
            &[files("*")],
            (&room.workspace("."), &room.kept()),
            BuildResult::Success,
            limits,
        );
        (kept, desk.text)
    };
    let (kept, console) = keep(Limits {
        files: 3,
        ..Limits::default()
    });
    assert_eq!(
        (paths(&kept).len(), kept.result),
        (3, Some(BuildResult::Failure))
    );
    assert!(console.contains("more than 3 artifacts"), "{console}");
    let (kept, console) = keep(Limits {
        bytes: 2500,
        ..Limits::default()
    });
    assert_eq!(
        (paths(&kept).len(), kept.result),
        (2, Some(BuildResult::Failure))
    );
    assert!(console.contains("more than 2500 bytes"), "{console}");
    assert!(!room.kept().with_extension("part").exists());
}

#[test]
fn a_stop_leaves_no_half_file() {
    let room = Room::new();
    room.write("big", vec![b'x'; 3 << 20]);
    room.write("small", "x");
    for looks in 0..20 {
        let _ = fs::remove_dir_all(room.kept());
        let mut desk = Notes {
            looks: Some(std::cell::Cell::new(looks)),
            ..Notes::default()
        };
        let kept = artifacts::keep(
            &mut desk,
            &[files("*")],
            &room.workspace("."),
            &room.kept(),
            BuildResult::Success,
        );
        for path in everything(&room.kept()) {
            let size = fs::metadata(&path).expect("there").len();
            let is_whole = size == 1 || size == 3 << 20;
            assert!(is_whole, "{size} bytes of {path:?} after {looks} looks");
        }
        assert!(!room.kept().with_extension("part").exists());
        assert!(kept.is_stopped || paths(&kept) == ["big", "small"]);
        assert_eq!(kept.result, None);
    }
}

#[test]
fn all_artifacts_are_one_zip_file() {
    let room = Room::new();
    room.write("a", "1");
    room.write("empty", "");
    room.write("ä/big", vec![7; 300_000]);
    room.keep(&files("**"));
    let mut zip = Vec::new();
    Zip::new(&room.kept(), "", "archive/")
        .expect("a zip file")
        .read_to_end(&mut zip)
        .expect("whole");
    let Some(python) = ward_testkit::programs::in_path("python3") else {
        ward_testkit::programs::skipped("zip", "there is no python3");
        return;
    };
    let script = "import sys, io, zipfile\n\
        z = zipfile.ZipFile(io.BytesIO(sys.stdin.buffer.read()))\n\
        assert z.testzip() is None\n\
        print(sorted((i.filename, i.file_size, oct(i.external_attr >> 16)) for i in z.infolist()))\n\
        assert z.read('archive/ä/big') == bytes([7]) * 300000";
    let mut child = Command::new(python)
        .args(["-c", script])
        .env("PYTHONIOENCODING", "utf-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(&zip).expect("written");
    drop(stdin);
    let output = child.wait_with_output().expect("an end");
    assert!(output.status.success());
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        "[('archive/a', 1, '0o100644'), ('archive/empty', 0, '0o100644'), ('archive/ä/big', 300000, '0o100644')]"
    );
    let mut part = Vec::new();
    Zip::new(&room.kept(), "ä", "")
        .expect("a zip file")
        .read_to_end(&mut part)
        .expect("whole");
    assert!(part.starts_with(b"PK\x03\x04") && part.len() > 300_000);
    assert!(Zip::new(&room.kept(), "../..", "").is_err());
}

fn results(include: &str) -> Junit {
    Junit {
        include: vec![include.to_owned()],
        ..Junit::default()
    }
}

#[test]
fn results_make_builds_what_they_are() {
    let room = Room::new();
    let wanted = results("**/*.xml");
    let (taken, console) = room.take(&wanted, BuildResult::Success);
    assert_eq!(
        (taken.counts, taken.result),
        (None, Some(BuildResult::Failure))
    );
    assert!(console.contains("No test report files were found. Configuration error?"));
    room.write("a.xml", "<testsuite name='none'/>");
    let (taken, console) = room.take(&wanted, BuildResult::Success);
    assert_eq!(taken.result, Some(BuildResult::Failure));
    assert!(console.contains("None of the test reports contained any result"));
    assert_eq!(room.take(&wanted, BuildResult::Failure).0.result, None);
    let empty = Junit {
        allow_empty: true,
        ..wanted.clone()
    };
    assert_eq!(room.take(&empty, BuildResult::Success).0.result, None);

    room.write("b.xml", "<testsuite name='b'><testcase name='x'/><testcase name='y'><skipped/></testcase></testsuite>");
    let (taken, console) = room.take(&wanted, BuildResult::Success);
    let counts = TestCounts {
        passed: 1,
        failed: 0,
        skipped: 1,
    };
    assert_eq!((taken.counts, taken.result), (Some(counts), None));
    assert!(console.starts_with("Recording test results\n"));
    // One that is broken hides no other.
    room.write(
        "sub/c.xml",
        "<testsuite name='c'><testcase name='z'><failure",
    );
    let (taken, console) = room.take(&wanted, BuildResult::Success);
    assert_eq!(
        taken.counts.map(|counts| (counts.passed, counts.failed)),
        Some((1, 1))
    );
    assert_eq!(taken.result, Some(BuildResult::Unstable));
    assert!(console.contains("sub/c.xml: it "), "{console}");
}

#[test]
fn results_of_an_older_build_may_not_count() {
    let room = Room::new();
    room.write(
        "old.xml",
        "<testsuite name='o'><testcase name='x'><failure/></testcase></testsuite>",
    );
    room.write(
        "new.xml",
        "<testsuite name='n'><testcase name='x'/></testsuite>",
    );
    let file = fs::File::options()
        .write(true)
        .open(room.workspace("old.xml"));
    let past = SystemTime::now() - Duration::from_secs(60);
    file.and_then(|file| file.set_modified(past))
        .expect("an older file");
    let wanted = results("*.xml");
    let all = room.take(&wanted, BuildResult::Success).0;
    assert_eq!(
        (all.suites.len(), all.result),
        (2, Some(BuildResult::Unstable))
    );
    let skipping = Junit {
        skip_old: true,
        ..wanted
    };
    let new = room.take(&skipping, BuildResult::Success).0;
    assert_eq!((new.suites.len(), new.result), (1, None));
}

#[test]
fn results_stay_in_the_workspace_too() {
    let room = Room::new();
    let outside = room.directory.path().join("outside.xml");
    fs::write(
        &outside,
        "<testsuite name='o'><testcase name='x'/></testsuite>",
    )
    .expect("written");
    symlink(&outside, room.workspace("link.xml")).expect("linked");
    let (taken, console) = room.take(&results("*.xml"), BuildResult::Success);
    assert!(
        taken.suites.is_empty() && console.contains("leads out"),
        "{console}"
    );
}

#[test]
fn what_pytest_writes_is_read() {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let Some(programs) = PYTEST.programs(place).expect("a place") else {
        return;
    };
    let room = Room::new();
    let tests = "import pytest, sys\n\
        def test_good(): print('fine')\n\
        def test_bad(): print('to \\x1b[1mstdout'); assert 1 == 2, 'no <&> \\x00'\n\
        @pytest.mark.skip(reason='not now')\n\
        def test_skipped(): pass\n\
        @pytest.fixture\n\
        def broken(): raise ValueError('broken')\n\
        def test_error(broken): pass\n\
        @pytest.mark.parametrize('x', ['ä', '\"<'])\n\
        def test_each(x): pass\n";
    room.write("test_it.py", tests);
    let output = Command::new(programs.join("python3"))
        .args([
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--junitxml=out.xml",
        ])
        .current_dir(room.workspace("."))
        .output()
        .expect("pytest");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let (taken, console) = room.take(&results("out.xml"), BuildResult::Success);
    let counts = TestCounts {
        passed: 3,
        failed: 2,
        skipped: 1,
    };
    assert_eq!(taken.counts, Some(counts), "{console}");
    let cases = &taken.suites[0].cases;
    let find = |name: &str| cases.iter().find(|case| case.name == name).expect("there");
    assert_eq!(find("test_good").class, "test_it");
    let message = find("test_bad").message.clone().expect("a message");
    assert!(message.contains("no <&>"), "{message}");
    assert_eq!(find("test_skipped").message.as_deref(), Some("not now"));
    assert!(
        find("test_error")
            .details
            .as_ref()
            .is_some_and(|text| text.contains("ValueError"))
    );
}
