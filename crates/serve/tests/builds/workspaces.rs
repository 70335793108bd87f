//! Looking into a workspace: what is in it, for who may, and nothing outside of it.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, mkfifoat, open};

use crate::world::{World, job};

/// A job `dir/a` with a workspace, and what must not be seen beside it.
fn stage(own: Option<&str>) -> (World, PathBuf) {
    let world = World::new();
    let root = world.directory.path().join("ws");
    fs::create_dir_all(root.join("src/deep")).expect("made");
    fs::write(root.join("src/deep/a b.txt"), "hello").expect("written");
    fs::write(root.join("page.html"), "<script>alert(1)</script>").expect("written");
    fs::write(world.directory.path().join("secret"), "sesame").expect("written");
    symlink("../secret", root.join("link")).expect("linked");
    symlink("..", root.join("up")).expect("linked");
    symlink("/", root.join("rootdir")).expect("linked");
    let mut view = job("dir/a");
    view.workspace = Some(root.clone());
    view.job.workspace = own.map(str::to_owned);
    world.memory.held().folders.insert("dir".to_owned());
    world.memory.put(view);
    (world, root)
}

const WS: &str = "/job/dir/job/a/ws";

#[test]
fn directories_are_pages_and_files_are_kept_apart() {
    let (world, _) = stage(None);
    let get = |path: &str| world.ask("GET", path).token("bob").send();
    let page = get(&format!("{WS}/"));
    assert_eq!(page.status, 200, "{}", page.text());
    let text = page.text();
    for shown in [
        "href=\"../../../../../job/dir/job/a/ws/src/\">src</a>",
        "page.html</a>",
        "link <small>a link, which is not followed</small>",
    ] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    let policy = page.header("Content-Security-Policy").unwrap_or_default();
    assert!(policy.contains("script-src 'self'"), "{policy}");
    let deep = get(&format!("{WS}/src/deep/")).text();
    assert!(deep.contains("a%20b.txt\">a b.txt</a>"), "{deep}");
    let slashless = get(&format!("{WS}/src"));
    assert_eq!(
        (slashless.status, slashless.header("Location")),
        (302, Some("http://ci:8080/job/dir/job/a/ws/src/"))
    );
    assert_eq!(get(&format!("{WS}/src/deep/a%20b.txt")).body, b"hello");
    let part = world
        .ask("GET", &format!("{WS}/src/deep/a%20b.txt"))
        .token("bob")
        .header("Range", "bytes=1-2")
        .send();
    assert_eq!((part.status, part.text().as_str()), (206, "el"));
    let hostile = get(&format!("{WS}/page.html"));
    let policy = hostile
        .header("Content-Security-Policy")
        .unwrap_or_default();
    assert!(policy.starts_with("sandbox;"), "{policy}");
    assert_eq!(
        hostile.header("Content-Disposition"),
        Some("attachment; filename*=UTF-8''page.html")
    );
    let archive = get(&format!("{WS}/src/*zip*/src.zip"));
    assert_eq!(archive.header("Content-Type"), Some("application/zip"));
    assert!(archive.body.windows(12).any(|it| it == b"deep/a b.txt"));
    let everything = get(&format!("{WS}/*zip*/a.zip"));
    assert!(!everything.body.windows(6).any(|it| it == b"sesame"));
    for (user, link) in [("bob", true), ("carol", false)] {
        let page = world.ask("GET", "/job/dir/job/a/").token(user).send();
        assert_eq!(page.text().contains("ws/\">look into it"), link, "{user}");
    }
}

#[test]
fn who_may_only_read_sees_none_of_it() {
    let (world, _) = stage(None);
    for path in ["", "/", "/page.html", "/none", "/src/", "/*zip*/a.zip"] {
        let path = format!("{WS}{path}");
        assert_eq!(world.ask("GET", &path).send().status, 403, "{path}");
        let read = world.ask("GET", &path).token("carol").send();
        assert_eq!(read.status, 403, "{path}");
        assert!(!read.text().contains("page.html"));
        assert_eq!(
            read.header("X-Error"),
            Some("carol is missing the Job/Workspace permission")
        );
    }
}

#[test]
fn nothing_leads_out() {
    let (world, root) = stage(None);
    for path in [
        "/link",
        "/up/",
        "/up/secret",
        "/rootdir/etc/passwd",
        "/../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/%2e%2e%2fsecret",
        "/src/../../secret",
        "/src/%2e%2e/%2e%2e/secret",
        "/src%2f..%2f..%2fsecret",
        "//etc/passwd",
        "/%2fetc%2fpasswd",
        "/src/deep/a%20b.txt/x",
        "/a%00b",
        "/%ff",
        "/up/*zip*/a.zip",
        "/%2e%2e/*zip*/a.zip",
    ] {
        let answer = world.get(&format!("{WS}{path}"));
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
        assert!(!answer.text().contains("sesame"), "{path}");
    }
    // The build has put a link where its workspace was.
    let moved = root.with_file_name("moved");
    fs::rename(&root, &moved).expect("moved");
    symlink("/etc", &root).expect("linked");
    for path in ["/", "/passwd", "/*zip*/a.zip"] {
        assert_eq!(world.get(&format!("{WS}{path}")).status, 404, "{path}");
    }
    // Where the job says itself what its workspace is, it may be one.
    let (world, root) = stage(Some("/srv/elsewhere"));
    let moved = root.with_file_name("moved");
    fs::rename(&root, &moved).expect("moved");
    symlink(&moved, &root).expect("linked");
    assert_eq!(world.get(&format!("{WS}/page.html")).status, 200);
}

#[test]
fn pipes_and_devices_are_never_opened() {
    let (world, root) = stage(None);
    let pipe = root.join("pipe");
    mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).expect("a pipe");
    let listed = world.get(&format!("{WS}/"));
    assert!(listed.text().contains("pipe <small>no file"));
    for _ in 0..20 {
        assert_eq!(world.get(&format!("{WS}/pipe")).status, 404);
        assert_eq!(world.get(&format!("{WS}/*zip*/a.zip")).status, 200);
        // Who writes to it still finds that nobody reads.
        let writer = open(&pipe, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty());
        assert_eq!(writer.err(), Some(rustix::io::Errno::NXIO));
    }
    let socket = std::os::unix::net::UnixListener::bind(root.join("socket"));
    assert_eq!(world.get(&format!("{WS}/socket")).status, 404);
    drop(socket);
}

#[test]
fn odd_names_and_many_of_them() {
    let (world, root) = stage(None);
    let evil = "<img src=x onerror=alert(1)>\"'&";
    fs::write(root.join(evil), "x").expect("written");
    let no_text: &Path = std::ffi::OsStr::from_bytes(b"\xff\xfe").as_ref();
    fs::write(root.join(no_text), "x").expect("written");
    let page = world.get(&format!("{WS}/")).text();
    assert!(!page.contains("<img"), "{page}");
    assert!(page.contains("&lt;img src=x"), "{page}");
    assert!(page.contains("its name is no text"), "{page}");
    for number in 0..1500 {
        fs::write(root.join(format!("src/{number:04}")), "").expect("written");
    }
    let page = world.get(&format!("{WS}/src/")).text();
    assert!(page.contains("There is more here than is shown"), "{page}");
    assert!(page.matches("<tr>").count() <= 1001);
    let nothing = World::new();
    nothing.memory.put(job("dir/a"));
    assert_eq!(nothing.get(&format!("{WS}/")).status, 404);
    assert_eq!(nothing.get(&format!("{WS}/x")).status, 404);
}

#[test]
fn what_was_kept_of_a_build_has_its_directories() {
    let world = crate::hostile::stage(crate::world::People::usual());
    let page = world.get("/job/dir/job/a/1/artifact/");
    assert_eq!(page.status, 200, "{}", page.text());
    assert!(
        page.text().contains("artifact/out/\">out</a>"),
        "{}",
        page.text()
    );
    let out = world.ask("GET", "/job/dir/job/a/1/artifact/out/");
    assert!(out.token("carol").send().text().contains("a b.txt</a>"));
    assert_eq!(world.get("/job/dir/job/a/1/artifact/none/").status, 404);
}
