//! Logs that are followed.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use crate::world::{World, until};

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[test]
fn a_log_is_followed_through_whatever_happens_to_it() {
    let world = World::new();
    let log = world.path("a.out");
    append(
        &log,
        &format!("{}{}END\n", "old".repeat(1000), "x".repeat(1020)),
    );
    for (path, buffering) in [
        ("/logtail/a", Some("no")),
        ("/logtail/a%3Aa/stdout", Some("no")),
    ] {
        let mut client = world.tcp();
        client.say(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        let head = client.head().unwrap();
        assert_eq!(head.status, 200);
        assert_eq!(
            head.header("content-type"),
            Some("text/plain;charset=utf-8")
        );
        assert_eq!(head.header("transfer-encoding"), Some("chunked"));
        assert_eq!(head.header("x-accel-buffering"), buffering);
        assert!(head.header("last-modified").is_some());
        assert_eq!(
            client.pieces_until("END\n"),
            format!("{}END\n", "x".repeat(1020))
        );

        append(&log, "grown\n");
        assert_eq!(client.pieces_until("grown\n"), "grown\n");

        // Rotated, with a last line that nobody had read.
        append(&log, "last\n");
        std::fs::rename(&log, world.path("a.out.1")).unwrap();
        append(&log, "first of the new\n");
        assert_eq!(client.pieces_until("new\n"), "last\nfirst of the new\n");

        // Removed and made again.
        std::fs::remove_file(&log).unwrap();
        append(&log, "again\n");
        assert_eq!(client.pieces_until("again\n"), "again\n");

        std::fs::write(&log, "").unwrap();
        assert_eq!(client.pieces_until("<==\n"), "==> File truncated <==\n");
        append(&log, "after\n");
        assert_eq!(client.pieces_until("after\n"), "after\n");

        let _ = std::fs::remove_file(&log);
        append(&log, &format!("{}END\n", "x".repeat(1020)));
    }
}

#[test]
fn the_main_log_is_followed_too_and_a_short_one_from_its_begin() {
    let world = World::new();
    assert_eq!(world.tcp().get("/mainlogtail").status, 404);
    append(&world.path("main.log"), "short\n");
    let mut client = world.unix();
    client.say("GET /mainlogtail HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.head().unwrap().header("x-accel-buffering"), None);
    assert_eq!(client.pieces_until("short\n"), "short\n");
    append(&world.path("main.log"), "more\n");
    assert_eq!(client.pieces_until("more\n"), "more\n");
}

#[test]
fn who_followed_leaves_nothing_behind() {
    let world = World::new();
    let log = world.path("a.out");
    append(&log, "x\n");
    let held = |path: &Path| {
        let path = path.canonicalize().unwrap();
        std::fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
            .filter(|open| *open == path)
            .count()
    };
    let mut clients: Vec<_> = (0..50).map(|_| world.tcp()).collect();
    for client in &mut clients {
        client.say("GET /logtail/a HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.head().unwrap().status, 200);
    }
    assert_eq!(held(&log), 50);
    drop(clients);
    until("all are closed", || held(&log) == 0);
}

#[test]
fn a_flood_reaches_a_slow_reader_whole() {
    let world = World::new();
    let log = world.path("a.out");
    append(&log, "");
    let mut client = world.tcp();
    client.say("GET /logtail/a HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.head().unwrap().status, 200);
    let mut expected = String::new();
    for line in 0..200_000 {
        expected.push_str(&format!(
            "line {line} of many that are written before anybody reads\n"
        ));
    }
    expected.push_str("END\n");
    append(&log, &expected);
    // Others are served while he does not read.
    assert_eq!(world.tcp().get("/ok.html").status, 200);
    assert!(client.pieces_until("END\n") == expected);
}

#[test]
fn only_files_are_followed() {
    let world = World::new();
    let fifo = world.path("a.out");
    let status = std::process::Command::new("mkfifo")
        .arg(&fifo)
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(world.tcp().get("/logtail/a").status, 404);
    std::fs::remove_file(&fifo).unwrap();
    std::fs::create_dir(&fifo).unwrap();
    assert_eq!(world.tcp().get("/logtail/a").status, 404);
}
