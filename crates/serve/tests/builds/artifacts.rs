//! What builds kept, and that it cannot act as the site.

use std::process::{Command, Stdio};

use ward_model::build::BuildResult;

use crate::world::{World, finished, job};

fn with_files(files: &[(&str, &[u8])]) -> World {
    let world = World::new();
    world.memory.put(job("a"));
    world
        .memory
        .put_build(finished("a", 1, BuildResult::Success, 0), b"");
    let root = world.memory.held().builds[&("a".to_owned(), 1)]
        .artifacts
        .clone();
    for (name, content) in files {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        std::fs::write(path, content).expect("written");
    }
    world
}

#[test]
fn files_are_sent_and_kept_apart() {
    let world = with_files(&[
        ("out/a b.txt", b"hello"),
        ("page.html", b"<script>alert(1)</script>"),
        ("pic.SVG", b"<svg/>"),
        ("pic.png", b"png"),
        ("raw", b"\0"),
    ]);
    for (path, kind, is_shown) in [
        ("out/a%20b.txt", "text/plain;charset=utf-8", true),
        ("page.html", "text/html", false),
        ("pic.SVG", "image/svg+xml", false),
        ("pic.png", "image/png", true),
        ("raw", "application/octet-stream", false),
    ] {
        let answer = world.get(&format!("/job/a/lastBuild/artifact/{path}"));
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("Content-Type"), Some(kind), "{path}");
        assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"));
        let policy = answer.header("Content-Security-Policy").expect("a policy");
        assert!(policy.starts_with("sandbox;"), "{path}: {policy}");
        assert!(!policy.contains("allow-"), "{path}: {policy}");
        assert_eq!(
            answer.header("Content-Disposition").is_none(),
            is_shown,
            "{path}"
        );
    }
    assert_eq!(world.get("/job/a/1/artifact/out/a%20b.txt").body, b"hello");
    for path in [
        "none",
        "../log",
        "%2e%2e/log",
        "..%2flog",
        "out%2fa%20b.txt",
        "out/../../log",
    ] {
        let answer = world.get(&format!("/job/a/1/artifact/{path}"));
        assert_eq!(answer.status, 404, "{path}");
    }
    let nobody = world.ask("GET", "/job/a/1/artifact/page.html").send();
    assert_eq!(nobody.status, 403);
}

#[test]
fn all_of_it_in_one_archive() {
    let long = vec![7; 300_000];
    let world = with_files(&[
        ("out/ü.txt", b"hello"),
        ("out/deep/long", &long),
        ("x", b""),
    ]);
    let answer = world.get("/job/a/1/artifact/*zip*/archive.zip");
    assert_eq!(answer.header("Content-Type"), Some("application/zip"));
    assert_eq!(
        answer.header("Content-Length"),
        Some(answer.body.len().to_string().as_str())
    );
    let file = world.directory.path().join("archive.zip");
    std::fs::write(&file, &answer.body).expect("written");
    let read = "import sys, zipfile\narchive = zipfile.ZipFile(sys.argv[1])\nprint(archive.testzip(), [(i.filename, i.file_size) for i in archive.infolist()])";
    let ran = Command::new("python3")
        .args(["-c", read])
        .arg(&file)
        .env("PYTHONIOENCODING", "utf-8")
        .stdin(Stdio::null())
        .output();
    match ran {
        Ok(output) => assert_eq!(
            String::from_utf8_lossy(&output.stdout).trim(),
            "None [('out/deep/long', 300000), ('out/ü.txt', 5), ('x', 0)]",
            "{}",
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => eprintln!("SKIPPED: there is no python3 here ({error})"),
    }
    let part = world.get("/job/a/1/artifact/out/*zip*/out.zip");
    assert_eq!(part.status, 200);
    assert!(part.body.len() < answer.body.len());
    assert_eq!(world.get("/job/a/1/artifact/none/*zip*/x.zip").status, 404);
}
