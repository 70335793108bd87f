//! Parts of artifacts and logs: what is asked for, and nothing else.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use ward_model::build::BuildResult;

use crate::world::{Answer, World, build, finished, job};

const CONTENT: &[u8] = b"0123456789";

fn with(content: &[u8]) -> World {
    let world = World::new();
    world.memory.put(job("a"));
    let log = content.len() as u64;
    let mut view = finished("a", 1, BuildResult::Success, log);
    if let Some(outcome) = &mut view.outcome {
        for artifact in &mut outcome.artifacts {
            artifact.size = log;
            artifact.sha256 = "ab12".to_owned();
        }
    }
    world.memory.put_build(view, content);
    let held = world.memory.held();
    let root = held.builds[&("a".to_owned(), 1)].artifacts.clone();
    drop(held);
    fs::create_dir_all(root.join("out")).expect("made");
    for (name, content) in [
        ("out/a b.txt", content),
        ("page.html", content),
        ("none", b""),
    ] {
        fs::write(root.join(name), content).expect("written");
    }
    world
}

const PLACES: [&str; 3] = [
    "/job/a/1/artifact/out/a%20b.txt",
    "/job/a/1/artifact/page.html",
    "/job/a/1/consoleText",
];

fn range(world: &World, place: &str, range: &str) -> Answer {
    let ask = world.ask("GET", place).token("carol");
    ask.header("Range", range).send()
}

#[test]
fn a_part_is_sent_and_said_which() {
    let world = with(CONTENT);
    for place in PLACES {
        let whole = world.get(place);
        assert_eq!((whole.status, whole.body.as_slice()), (200, CONTENT));
        assert_eq!(whole.header("Accept-Ranges"), Some("bytes"), "{place}");
        assert_eq!(whole.header("Content-Range"), None);
        for (asked, said, sent) in [
            ("bytes=3-", "bytes 3-9/10", "3456789"),
            ("bytes=2-4", "bytes 2-4/10", "234"),
            ("bytes=-3", "bytes 7-9/10", "789"),
            ("bytes=9-400", "bytes 9-9/10", "9"),
        ] {
            let part = range(&world, place, asked);
            assert_eq!((part.status, part.text().as_str()), (206, sent), "{place}");
            assert_eq!(part.header("Content-Range"), Some(said), "{place} {asked}");
            let length = sent.len().to_string();
            assert_eq!(part.header("Content-Length"), Some(length.as_str()));
            assert_eq!(part.header("Content-Type"), whole.header("Content-Type"));
            let policy = part.header("Content-Security-Policy");
            assert_eq!(policy, whole.header("Content-Security-Policy"), "{place}");
            let disposition = part.header("Content-Disposition");
            assert_eq!(disposition, whole.header("Content-Disposition"));
        }
        for asked in ["bytes=10-", "bytes=-0", "bytes=99999999999999999999-"] {
            let beyond = range(&world, place, asked);
            assert_eq!(beyond.status, 416, "{place} {asked}");
            assert_eq!(beyond.header("Content-Range"), Some("bytes */10"));
            assert!(!beyond.text().contains("0123456789"));
        }
        let head = world.ask("HEAD", place).token("carol");
        let head = head.header("Range", "bytes=3-").send();
        assert_eq!(
            (head.status, head.header("Content-Length")),
            (200, Some("10"))
        );
        assert_eq!(head.header("Accept-Ranges"), Some("bytes"));
        assert!(head.body.is_empty());
    }
}

#[test]
fn what_is_no_range_asks_for_everything() {
    let world = with(CONTENT);
    let many = format!("bytes={}", vec!["0-9"; 2000].join(","));
    for place in PLACES {
        for asked in [
            "bytes=5-2",
            "bytes=0-1,4-5",
            many.as_str(),
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=0x1-",
            "bytes=+1-2",
            "lines=1-2",
            "bytes 1-2",
            "bytes=1-2\u{fc}",
        ] {
            let whole = range(&world, place, asked);
            assert_eq!(
                (whole.status, whole.body.as_slice()),
                (200, CONTENT),
                "{asked:?}"
            );
        }
    }
    let none = "/job/a/1/artifact/none";
    assert_eq!(range(&world, none, "bytes=0-").status, 416);
    assert_eq!(range(&world, none, "bytes=-5").status, 200);
    let stranger = world.ask("GET", PLACES[0]).header("Range", "bytes=0-1");
    assert_eq!(stranger.send().status, 403);
}

#[test]
fn a_part_is_of_the_file_that_the_client_knows() {
    let world = with(CONTENT);
    let root = world.directory.path().join("a-1");
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for name in ["artifacts/out/a b.txt", "log"] {
        let file = File::options().write(true).open(root.join(name));
        file.and_then(|file| file.set_modified(old)).expect("set");
    }
    let date = "Sun, 09 Sep 2001 01:46:40 GMT";
    let conditional = |place: &str, mark: &str| {
        let ask = world.ask("GET", place).token("carol");
        let ask = ask.header("Range", "bytes=8-").header("If-Range", mark);
        ask.send().status
    };
    let artifact = PLACES[0];
    let whole = world.get(artifact);
    assert_eq!(whole.header("ETag"), Some("\"ab12\""));
    assert_eq!(whole.header("Last-Modified"), Some(date));
    for (place, mark, status) in [
        (artifact, "\"ab12\"", 206),
        (artifact, date, 206),
        (artifact, "W/\"ab12\"", 200),
        (artifact, "\"other\"", 200),
        (artifact, "Sun, 09 Sep 2001 01:46:41 GMT", 200),
        (PLACES[2], date, 206),
        (PLACES[2], "\"ab12\"", 200),
    ] {
        assert_eq!(conditional(place, mark), status, "{place} {mark}");
    }
    // It was changed: the checksum is no longer known to be its.
    fs::write(root.join("artifacts/out/a b.txt"), "0123456789abc").expect("written");
    assert_eq!(conditional(artifact, "\"ab12\""), 200);
    assert_eq!(conditional(artifact, date), 200);
    // A log that grows has no date to know it by.
    world.memory.put_build(build("a", 2), CONTENT);
    let growing = world.get("/job/a/2/consoleText");
    assert_eq!(growing.header("Last-Modified"), None);
    assert_eq!(
        range(&world, "/job/a/2/consoleText", "bytes=8-").text(),
        "89"
    );
}

#[test]
fn curl_goes_on_where_it_was_cut_off() {
    let content: Vec<u8> = (0..2_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let world = with(&content);
    let file = world.directory.path().join("fetched");
    for place in [PLACES[1], PLACES[2]] {
        fs::write(&file, content.get(..1_234_567).expect("a part")).expect("written");
        let ran = Command::new("curl")
            .args(["-sS", "-f", "-C", "-", "-u", "carol:token-of-carol", "-o"])
            .arg(&file)
            .arg(format!("http://127.0.0.1:{}{place}", world.port))
            .stdin(Stdio::null())
            .output();
        match ran {
            Ok(output) => assert!(output.status.success(), "{output:?}"),
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "no curl: {error}");
                eprintln!("SKIPPED: there is no curl here ({error})");
                return;
            }
        }
        assert!(fs::read(&file).expect("fetched") == content, "{place}");
    }
}
