//! Daemons that say it: by a message, or by a newline in a pipe.

use super::*;

#[test]
fn a_child_notifies() {
    let world = World::new();
    let mut watch = watch("notify");
    let environment = watch.environment();
    assert_eq!(environment.len(), 1);
    let texts = ["STATUS=up", "X=1\nREADY=1\nMAINPID=1"].map(OsStr::new);
    let child = python(NOTIFY, &texts).envs(environment).spawn();
    let _child = Helper(child.expect("python3"));
    assert_eq!(world.wait(&mut watch, LIMIT), Verdict::Ready);
    assert_eq!(watch.daemon_status().as_deref(), Some("status: up"));
}

#[test]
fn systemd_notify_notifies_and_is_let_go() {
    let world = World::new();
    let mut watch = watch("notify");
    let child = Command::new("systemd-notify")
        .args(["--ready", "--status=serving"])
        .envs(watch.environment())
        .spawn();
    let Ok(child) = child else {
        eprintln!("skipped: there is no systemd-notify");
        return;
    };
    let mut child = Helper(child);
    assert_eq!(world.wait(&mut watch, LIMIT), Verdict::Ready);
    // It waits until the descriptor that it sends with BARRIER=1 is closed by who receives it.
    let Way::Notify(notifications) = &mut watch.way else {
        panic!("another way");
    };
    wait_until("the end of systemd-notify", || {
        notifications.hear();
        child.0.try_wait().expect("a child").is_some()
    });
    assert!(child.0.wait().expect("ended").success());
}

#[test]
fn what_the_daemon_says_of_its_failure_is_told() {
    let world = World::new();
    let mut watch = watch("notify");
    let texts = ["READY=0", "STATUS=no database\nERRNO=13"].map(OsStr::new);
    let status = python(NOTIFY, &texts).envs(watch.environment()).status();
    assert!(status.expect("python3").success());
    let last = late(world.wait(&mut watch, SHORT));
    assert!(last.contains("no READY=1 came"), "{last}");
    assert!(
        last.contains("status: no database; error: Permission denied"),
        "{last}"
    );
    assert!(watch.daemon_status().is_some());
}

#[test]
fn strangers_are_not_listened_to_unless_expected() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can send as somebody else");
        return;
    }
    let world = World::new();
    let send = |watch: &Watch| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=12345", "--clear-groups", "--regid=12345", "--"]);
        // Not one of a home that only root can enter.
        command.args(["/usr/bin/python3", "-c", NOTIFY, "READY=1"]);
        command.envs(watch.environment()).status()
    };
    let mut strict = watch("notify");
    match send(&strict) {
        Ok(status) if status.success() => {}
        other => {
            eprintln!("skipped: setpriv or /usr/bin/python3 is not to be had: {other:?}");
            return;
        }
    }
    let last = late(world.wait(&mut strict, SHORT));
    assert!(last.contains("1 message ignored"), "{last}");
    assert!(last.contains("of user 12345"), "{last}");
    let mut open = watch("notify");
    open.expect_uid(12345);
    assert!(send(&open).expect("sent").success());
    assert_eq!(world.wait(&mut open, LIMIT), Verdict::Ready);
}

#[test]
fn a_flood_of_messages_does_not_hide_the_deadline() {
    let world = World::new();
    let mut watch = watch("notify");
    let script = format!("{NOTIFY}\nwhile True: s.send(b'STATUS=flood')");
    let child = python(&script, &[])
        .envs(watch.environment())
        .stderr(Stdio::null())
        .spawn();
    let _child = Helper(child.expect("python3"));
    late(world.wait(&mut watch, SHORT));
}

/// Starts sh with the pipe as its standard output, which stands for any number: putting a
/// descriptor in its place is the business of who starts the daemon.
fn shell_with_pipe(watch: &mut Watch, script: &str) -> Helper {
    let (writer, number) = watch.take_passed().expect("a pipe");
    assert_eq!(number, 7);
    assert!(watch.take_passed().is_none());
    let child = Command::new("sh")
        .args(["-c", script])
        .stdout(writer)
        .spawn();
    Helper(child.expect("sh"))
}

#[test]
fn a_child_writes_a_newline() {
    let world = World::new();
    let mut watch = watch("fd=7");
    let _child = shell_with_pipe(
        &mut watch,
        "printf x; sleep 0.05; printf 'y\\nz'; sleep 100",
    );
    assert_eq!(world.wait(&mut watch, LIMIT), Verdict::Ready);
}

#[test]
fn a_pipe_closed_without_a_newline_is_hopeless() {
    let world = World::new();
    let mut watch = watch("fd=7");
    let _child = shell_with_pipe(&mut watch, "printf x; exec >/dev/null; exec sleep 100");
    let why = "it closed its descriptor 7 without a newline".to_owned();
    assert_eq!(world.wait(&mut watch, LIMIT), Verdict::Never { why });
}

#[test]
fn a_pipe_closed_by_the_end_is_an_end() {
    let mut world = World::new();
    let mut watch = watch("fd=7");
    let mut child = shell_with_pipe(&mut watch, "printf x");
    let life = world.life.take();
    let ending = beside(move || {
        child.0.wait().expect("ended");
        dawdle(Duration::from_millis(20));
        drop(life);
    });
    assert_eq!(world.wait(&mut watch, LIMIT), Verdict::Ended);
    ending.join();
}

#[test]
fn a_pipe_full_of_other_things_is_late() {
    let world = World::new();
    let mut watch = watch("fd=7");
    let _child = shell_with_pipe(&mut watch, "exec tr '\\0' x </dev/zero");
    let last = late(world.wait(&mut watch, SHORT));
    assert_eq!(last, "no newline came from its descriptor 7");
}
