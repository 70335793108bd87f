//! Daemons of which a command says it.

use super::*;

#[test]
fn a_command_that_succeeds_at_last() {
    let world = World::new();
    let path = world.path("flag");
    let flag = path.clone();
    let making = beside(move || {
        dawdle(Duration::from_millis(50));
        append(&flag, "");
    });
    let ready = format!("exec:test -e '{}'", path.display());
    assert_eq!(world.verdict(&ready, LIMIT), Verdict::Ready);
    making.join();
}

#[test]
fn commands_that_never_succeed() {
    let world = World::new();
    for (ready, why) in [
        ("exec:sh -c 'exit 3'", "`sh -c exit 3` exits with status 3"),
        ("exec:sh -c 'kill -SEGV $$'", "is ended by SIGSEGV"),
        (
            "exec:/no/such/program",
            "cannot start `/no/such/program`: No such file",
        ),
        ("exec:cat", "x"),
    ] {
        match world.verdict(ready, SHORT) {
            Verdict::TimedOut { last } => assert!(last.contains(why), "{last}"),
            // With nothing to read it ends at once.
            Verdict::Ready => assert_eq!(ready, "exec:cat"),
            other @ (Verdict::Ended | Verdict::Never { .. }) => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_command_that_hangs_is_killed_with_its_children() {
    let world = World::new();
    let pids = world.path("pids");
    let script = format!(
        "trap \"\" TERM; sleep 1000 & echo $$ $! > {}; wait",
        pids.display()
    );
    let mut probe = watch(&format!("exec:sh -c '{script}'"));
    let deadline = Some(Instant::now() + Duration::from_secs(2));
    let last = late(probe.wait(&world.log(), 0, world.gone.as_fd(), deadline));
    assert!(last.contains("has not ended yet"), "{last}");
    let pids = fs::read_to_string(&pids).expect("the numbers");
    assert_eq!(pids.split_whitespace().count(), 2);
    for (at, pid) in pids.split_whitespace().enumerate() {
        wait_until("its end", || ended(pid));
        // Our own child is not left as a zombie.
        assert!(
            at > 0 || !Path::new(&format!("/proc/{pid}")).exists(),
            "{pid}"
        );
    }
}

#[test]
fn a_command_that_takes_too_long_is_killed_before_the_deadline() {
    let world = World::new();
    let pids = world.path("pids");
    let script = format!("sleep 1000 & echo $$ $! > {}; wait", pids.display());
    let probe = Probe::new(&["sh".into(), "-c".into(), script]);
    let patience = Patience::new(world.gone.as_fd(), Some(Instant::now() + LIMIT));
    let until = Instant::now() + Duration::from_secs(2);
    let why = probe.output(&patience, until).expect("not late");
    assert!(why.expect_err("too long").ends_with("took too long"));
    let pids = fs::read_to_string(&pids).expect("the numbers");
    for pid in pids.split_whitespace() {
        wait_until("its end", || ended(pid));
    }
}

#[test]
fn what_a_command_leaves_behind_is_killed() {
    let world = World::new();
    let pid = world.path("pid");
    let script = format!("sleep 1000 & echo $! > {}", pid.display());
    let verdict = world.verdict(&format!("exec:sh -c '{script}'"), LIMIT);
    assert_eq!(verdict, Verdict::Ready);
    let pid = fs::read_to_string(pid).expect("the number");
    wait_until("its end", || ended(pid.trim()));
}

#[test]
fn descriptors_of_ours_do_not_reach_a_command() {
    let world = World::new();
    let (reader, writer) = ward_sys::pipe::pipe().expect("a pipe");
    let ready = format!("exec:test ! -e /proc/self/fd/{}", writer.as_raw_fd());
    // `test` opens nothing itself, so that the number can only be ours.
    assert_eq!(world.verdict(&ready, LIMIT), Verdict::Ready);
    drop(reader);
}
