//! Consoles, as clients read them.

use ward_model::build::BuildResult;

use crate::world::{World, build, finished, job};

#[test]
fn a_log_is_followed_by_its_offset() {
    let world = World::new();
    world.memory.put(job("a"));
    world.memory.put_build(build("a", 1), b"one\ntwo\r\nthr");
    let read = |start: &str| world.get(&format!("/job/a/1/logText/progressiveText?start={start}"));
    let first = read("0");
    assert_eq!(first.text(), "one\r\ntwo\r\nthr");
    assert_eq!(first.header("X-Text-Size"), Some("12"));
    assert_eq!(first.header("X-More-Data"), Some("true"));
    assert_eq!(read("12").text(), "");
    assert_eq!(read("9").text(), "thr");
    assert_eq!(
        read("13").text(),
        "one\r\ntwo\r\nthr",
        "beyond the end: all of it"
    );
    assert_eq!(read("x").text(), "one\r\ntwo\r\nthr");
    world.memory.put_build(
        finished("a", 1, BuildResult::Success, 9),
        b"one\ntwo\r\nleft-over",
    );
    let last = read("4");
    assert_eq!(
        last.text(),
        "two\r\n",
        "what a daemon writes later is not part of it"
    );
    assert_eq!(last.header("X-Text-Size"), Some("9"));
    assert_eq!(last.header("X-More-Data"), None);
    let whole = world.get("/job/a/1/consoleText");
    assert_eq!(whole.text(), "one\ntwo\r\n");
    assert_eq!(
        whole.header("Content-Type"),
        Some("text/plain;charset=utf-8")
    );
    let marked = world.get("/job/a/1/logText/progressiveHtml?start=0");
    assert_eq!(marked.header("X-Text-Size"), Some("9"));
    let lost = build("a", 2);
    world.memory.put_build(lost, b"");
    let path = world.memory.held().builds[&("a".to_owned(), 2)].log.clone();
    std::fs::remove_file(path).expect("gone");
    let none = world.get("/job/a/2/logText/progressiveText?start=5");
    assert_eq!(
        (
            none.text().as_str(),
            none.header("X-Text-Size"),
            none.header("X-More-Data")
        ),
        ("", Some("0"), Some("true"))
    );
}

#[test]
fn a_long_log_arrives_whole() {
    let world = World::new();
    world.memory.put(job("a"));
    let line = b"0123456789abcdef\xff\xfe\n";
    let log = line.repeat(200_000);
    let length = log.len() as u64;
    world
        .memory
        .put_build(finished("a", 1, BuildResult::Success, length), &log);
    let whole = world.get("/job/a/1/consoleText");
    assert_eq!(
        whole.header("Content-Length"),
        Some(length.to_string().as_str())
    );
    assert!(whole.body == log, "bytes stay bytes");
    let text = world.get("/job/a/1/logText/progressiveText?start=0");
    assert_eq!(text.body.len() as u64, length + 200_000);
    let marked = world.get("/job/a/1/logText/progressiveHtml?start=0");
    assert_eq!(
        marked.header("X-More-Data"),
        Some("true"),
        "a part at a time"
    );
}

#[test]
fn markup_in_a_log_is_text() {
    let world = World::new();
    world.memory.put(job("a"));
    world.memory.put_build(build("a", 1), "<b>&\nü".as_bytes());
    let marked = world.get("/job/a/1/logText/progressiveHtml?start=0");
    assert_eq!(marked.text(), "&lt;b&gt;&amp;\r\nü");
    world.memory.put_build(
        build("a", 2),
        "x\u{fc}".as_bytes().get(..2).expect("half of it"),
    );
    let marked = world.get("/job/a/2/logText/progressiveHtml?start=0");
    assert_eq!(marked.text(), "x");
    assert_eq!(marked.header("X-Text-Size"), Some("1"));
}
