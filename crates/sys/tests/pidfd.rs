//! Processes by descriptor. A program of its own: other tests of this crate reap every child there is.

use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};

use ward_sys::pidfd::{
    has_ended, has_identities, identity, open, signal, status_of_reaped, status_of_unreaped,
};
use ward_sys::reap::Status;

fn sleeper() -> std::process::Child {
    Command::new("sh")
        .args(["-c", "read x; exit 42"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("sh")
}

#[test]
fn how_a_process_ended_is_known_before_and_after_its_reaping() {
    let mut child = sleeper();
    let pid = i32::try_from(child.id()).expect("a pid");
    let fd = open(pid).expect("held");
    assert!(!has_ended(&fd));
    assert_eq!(status_of_reaped(fd.as_fd()), None);
    assert_eq!(status_of_unreaped(fd.as_fd(), pid), None);
    drop(child.stdin.take());
    while !has_ended(&fd) {
        std::thread::yield_now();
    }
    let ended = Some(Status::Exited(42));
    assert_eq!(status_of_unreaped(fd.as_fd(), pid), ended);
    child.wait().expect("reaped");
    assert_eq!(status_of_unreaped(fd.as_fd(), pid), None);
    if let Some(status) = status_of_reaped(fd.as_fd()) {
        assert_eq!(Some(status), ended);
    }
    assert!(signal(fd.as_fd(), 0, false).is_err());
}

#[test]
fn a_process_is_told_from_every_other() {
    let (mut one, mut other) = (sleeper(), sleeper());
    let hold = |child: &std::process::Child| open(i32::try_from(child.id()).expect("a pid")).ok();
    let (first, second, third) = (hold(&one), hold(&one), hold(&other));
    let of = |fd: &Option<OwnedFd>| identity(fd.as_ref().expect("held"));
    assert_eq!(of(&first), of(&second));
    if has_identities() {
        assert_ne!(of(&first), of(&third));
    }
    for child in [&mut one, &mut other] {
        child.kill().expect("killed");
        child.wait().expect("reaped");
    }
}
