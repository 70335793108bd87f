//! Sockets: how they are made, when they are somebody else's, and that they come back.

use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use ward_serve::listen::{BindError, Listener, UnixSocket};

use crate::world::{World, until};

fn wanted(path: &Path) -> UnixSocket {
    UnixSocket {
        path: path.to_owned(),
        mode: 0o720,
        owner: None,
        group: None,
    }
}

fn bind(path: &Path) -> (Result<Listener, BindError>, Vec<String>) {
    let mut told = Vec::new();
    let bound = Listener::unix(wanted(path), &mut |line| told.push(line.to_owned()));
    (bound, told)
}

fn names(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_socket_is_made_with_its_permissions_and_nothing_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let (bound, told) = bind(&path);
    let listener = bound.unwrap();
    assert_eq!(told, [""; 0]);
    let metadata = path.metadata().unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o720);
    assert_eq!(names(directory.path()), std::slice::from_ref(&path));
    assert!(listener.is_found());
    UnixStream::connect(&path).unwrap();

    // Closed, it stays; removed, it does not.
    let inode = metadata.ino();
    drop(listener);
    assert_eq!(path.metadata().unwrap().ino(), inode);
    let (bound, told) = bind(&path);
    assert_eq!(told, [format!("Unlinking stale socket {}", path.display())]);
    bound.unwrap().remove();
    assert!(names(directory.path()).is_empty());
}

#[test]
fn what_is_somebody_elses_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let other = UnixListener::bind(&path).unwrap();
    let (bound, told) = bind(&path);
    let error = bound.unwrap_err();
    assert!(matches!(error, BindError::InUse { .. }));
    assert_eq!(
        error.to_string(),
        "Another program is already listening on a port that one of our HTTP servers is configured to use.  Shut this program down first before starting supervisord."
    );
    assert_eq!(told, [""; 0]);
    drop(other);

    // Where a socket was, and now is one that is somebody else's: removing leaves it.
    let (bound, _) = bind(&path);
    let listener = bound.unwrap();
    std::fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    assert!(!listener.is_found());
    listener.remove();
    UnixStream::connect(&path).unwrap();

    let file = directory.path().join("precious");
    std::fs::write(&file, "data").unwrap();
    assert!(matches!(bind(&file).0, Err(BindError::NotSocket(_))));
    assert_eq!(std::fs::read(&file).unwrap(), b"data");
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    assert!(matches!(bind(&link).0, Err(BindError::NotSocket(_))));

    let nowhere = directory.path().join("no/s");
    let error = bind(&nowhere).0.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Cannot open an HTTP server: socket.error reported errno.ENOENT (2)"
    );
    let long = directory.path().join("x".repeat(200));
    assert!(matches!(bind(&long).0, Err(BindError::TooLong(_))));
}

#[test]
fn ports_are_taken_once() {
    let listener = Listener::tcp("127.0.0.1", 0).unwrap();
    let port = listener.port().unwrap();
    assert!(matches!(
        Listener::tcp("127.0.0.1", port),
        Err(BindError::InUse { .. })
    ));
    assert!(listener.is_found());
    let inherited =
        Listener::inherited(listener.socket().try_clone_to_owned().unwrap(), None).unwrap();
    assert_eq!(inherited.port(), Some(port));
    let (one, _other) = UnixStream::pair().unwrap();
    assert!(Listener::inherited(OwnedFd::from(one), None).is_err());
}

#[test]
fn an_inherited_socket_is_served_and_looked_after() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let first = bind(&path).0.unwrap();
    let socket = first.socket().try_clone_to_owned().unwrap();
    drop(first);
    let mut second = Listener::inherited(socket, Some(wanted(&path))).unwrap();
    assert!(second.is_found());
    UnixStream::connect(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(!second.is_found());
    assert!(second.renew(&mut |_| {}).unwrap());
    assert!(!second.renew(&mut |_| {}).unwrap());
    UnixStream::connect(&path).unwrap();

    // One whose file was replaced by that of a socket which is dead by now.
    let socket = second.socket().try_clone_to_owned().unwrap();
    std::fs::remove_file(&path).unwrap();
    drop(UnixListener::bind(&path).unwrap());
    let mut third = Listener::inherited(socket, Some(wanted(&path))).unwrap();
    assert!(!third.is_found());
    assert!(third.renew(&mut |_| {}).unwrap());
    UnixStream::connect(&path).unwrap();
}

#[test]
fn a_socket_that_vanishes_comes_back() {
    let mut world = World::new();
    let path = world.socket();
    let mut before = world.unix();
    assert_eq!(before.get("/ok.html").status, 200);
    for round in 0..5 {
        let inode = path.metadata().unwrap().ino();
        if round % 2 == 0 {
            std::fs::remove_file(&path).unwrap();
        } else {
            std::fs::rename(&path, world.path("moved")).unwrap();
        }
        until("it is there again", || {
            path.metadata()
                .is_ok_and(|metadata| metadata.ino() != inode)
                && UnixStream::connect(&path).is_ok()
        });
        assert_eq!(world.unix().get("/ok.html").status, 200);
        assert_eq!(
            path.metadata().unwrap().permissions().mode() & 0o7777,
            0o700
        );
    }
    // Who was there before still is.
    assert_eq!(before.get("/ok.html").status, 200);
    assert!(
        world
            .told
            .lock()
            .unwrap()
            .iter()
            .any(|line| line.contains("made anew"))
    );
    world.stop();
    assert!(path.symlink_metadata().is_err());
}
