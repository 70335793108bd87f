//! Daemons that say it in their log.

use super::*;

#[test]
fn a_line_of_the_log() {
    let world = World::new();
    let log = world.log();
    let writing = beside(move || {
        for text in ["starting\n", "lis", "tening on 80", "\r\nmore\n"] {
            append(&log, text);
            dawdle(Duration::from_millis(20));
        }
    });
    let verdict = world.verdict("log:^listening on [0-9]+$", LIMIT);
    assert_eq!(verdict, Verdict::Ready);
    writing.join();
}

#[test]
fn lines_of_an_earlier_daemon_do_not_count() {
    let world = World::new();
    append(&world.log(), "ready\n");
    let mut watch = watch("log:ready");
    let deadline = Some(Instant::now() + SHORT);
    let last = late(watch.wait(&world.log(), 6, world.gone.as_fd(), deadline));
    assert_eq!(last, "no line of the log matches `ready`");
    append(&world.log(), "rea\u{fffd}\nit is ready now\n");
    let deadline = Some(Instant::now() + LIMIT);
    let verdict = watch.wait(&world.log(), 6, world.gone.as_fd(), deadline);
    assert_eq!(verdict, Verdict::Ready);
}

#[test]
fn a_log_that_is_rotated_loses_nothing() {
    let world = World::new();
    // However the line falls: in the old file after the last look, across both, in a file that
    // was rotated again at once, or in the last one.
    for (old, between, new) in [
        ("a\nready\n", "b\n", "c\n"),
        ("a\nrea", "dy\nb\n", "c\n"),
        ("a\n", "ready\n", "c\n"),
        ("a\n", "b\n", "ready\n"),
        ("a\nre", "ad", "y\n"),
    ] {
        let log = world.log();
        for name in ["log", "log.1", "log.2"] {
            let _ = fs::remove_file(world.path(name));
        }
        append(&log, "before\n");
        let regex = Regex::new("^ready$").expect("a regular expression");
        let patience = Patience::new(world.gone.as_fd(), Some(Instant::now() + LIMIT));
        let mut follower = Follower::new(&log, 0);
        assert!(matches!(
            follower.look(&regex, &patience),
            Ok(Look::NotYet(_))
        ));
        append(&log, old);
        fs::rename(&log, world.path("log.1")).expect("rotated");
        append(&log, between);
        fs::rename(world.path("log.1"), world.path("log.2")).expect("rotated");
        fs::rename(&log, world.path("log.1")).expect("rotated");
        append(&log, new);
        let looked = follower.look(&regex, &patience);
        assert_eq!(looked, Ok(Look::Ready), "{old:?} {between:?} {new:?}");
    }
}

#[test]
fn a_log_that_is_replaced_or_cut_is_read_from_its_start() {
    let world = World::new();
    let log = world.log();
    for replace in [true, false] {
        let _ = fs::remove_file(&log);
        append(&log, "a long line to begin with\nand no end");
        let regex = Regex::new("^ready$").expect("a regular expression");
        let patience = Patience::new(world.gone.as_fd(), Some(Instant::now() + LIMIT));
        let mut follower = Follower::new(&log, 0);
        assert!(matches!(
            follower.look(&regex, &patience),
            Ok(Look::NotYet(_))
        ));
        if replace {
            append(&log, "\n");
            // Removed and made anew, its number could be the same.
            append(&world.path("new"), "");
            fs::rename(world.path("new"), &log).expect("replaced");
        } else {
            File::create(&log).expect("cut");
        }
        assert!(matches!(
            follower.look(&regex, &patience),
            Ok(Look::NotYet(_))
        ));
        append(&log, "ready\n");
        assert_eq!(
            follower.look(&regex, &patience),
            Ok(Look::Ready),
            "{replace}"
        );
    }
}

#[test]
fn a_log_that_is_rotated_all_the_time() {
    let world = World::new();
    let (log, first) = (world.log(), world.path("log.1"));
    let writing = beside(move || {
        for number in 0..200 {
            for line in 0..50 {
                append(&log, &format!("line {line} of {number}\n"));
            }
            fs::rename(&log, &first).expect("rotated");
            dawdle(Duration::from_millis(1));
        }
        append(&log, "ready\n");
    });
    assert_eq!(world.verdict("log:^ready", LIMIT), Verdict::Ready);
    writing.join();
}

#[test]
fn a_line_without_end_is_taken_in_pieces() {
    let world = World::new();
    append(&world.log(), &"x".repeat(200_000));
    let last = world.why_not("log:ready");
    assert!(last.contains("its last line has no end yet"), "{last}");
    append(&world.log(), &format!("ready{}", "x".repeat(200_000)));
    assert_eq!(world.verdict("log:ready", LIMIT), Verdict::Ready);
}

#[test]
fn an_endless_log_is_late() {
    let world = World::new();
    let mut child = child_to(Command::new("yes").arg("no"), &world.log());
    late(world.verdict("log:^ready", SHORT));
    child.0.kill().expect("killed");
    let _ = fs::remove_file(world.log());
    let mut endless = Command::new("tr");
    endless
        .args(["\\0", "x"])
        .stdin(File::open("/dev/zero").expect("zeros"));
    let _child = child_to(&mut endless, &world.log());
    late(world.verdict("log:^ready", SHORT));
}

fn child_to(command: &mut Command, path: &Path) -> Helper {
    let file = File::create(path).expect("a file");
    let limit = rustix::process::Rlimit {
        current: Some(64 << 20),
        maximum: Some(64 << 20),
    };
    let child = Helper(
        command
            .stdout(file)
            .stderr(Stdio::null())
            .spawn()
            .expect("started"),
    );
    let pid = rustix::process::Pid::from_child(&child.0);
    rustix::process::prlimit(Some(pid), rustix::process::Resource::Fsize, limit).expect("limited");
    child
}

#[test]
fn a_log_that_is_no_file_does_not_hang() {
    let world = World::new();
    let made = Command::new("mkfifo").arg(world.log()).status();
    assert!(made.expect("mkfifo").success());
    let last = world.why_not("log:ready");
    assert!(last.contains("it is not a regular file"), "{last}");
}
