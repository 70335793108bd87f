//! `/RPC2`, passed on to a supervisor.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;

use ward_serve::builds::Supervisor;

use crate::world::{People, World};

const CALL: &str = "<methodCall><methodName>supervisor.getPID</methodName></methodCall>";

#[test]
fn administrators_reach_the_supervisor_and_nobody_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("s.sock");
    let listener = UnixListener::bind(&socket).expect("a socket");
    let supervisor = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a call");
        let mut heard = Vec::new();
        let mut piece = [0; 1024];
        while !String::from_utf8_lossy(&heard).contains("</methodCall>") {
            let read = stream.read(&mut piece).expect("more");
            heard.extend_from_slice(piece.get(..read).expect("that much"));
        }
        let answer = "<methodResponse/>";
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        stream.write_all(head.as_bytes()).expect("said");
        stream.write_all(answer.as_bytes()).expect("said");
        String::from_utf8_lossy(&heard).into_owned()
    });
    let world = World::with(
        move |settings| {
            settings.supervisor = Some(Supervisor {
                socket,
                credentials: Some(("user".to_owned(), "pass".to_owned())),
            });
        },
        People::usual(),
    );
    let call = |user: &str| {
        world
            .ask("POST", "/RPC2")
            .token(user)
            .body("text/xml", CALL)
            .send()
    };
    assert_eq!(
        world
            .ask("POST", "/RPC2")
            .body("text/xml", CALL)
            .send()
            .status,
        403
    );
    assert_eq!(call("bob").status, 403);
    let answer = call("alice");
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (200, "<methodResponse/>")
    );
    let heard = supervisor.join().expect("it heard");
    assert!(
        heard.contains("Authorization: Basic dXNlcjpwYXNz"),
        "{heard}"
    );
    assert!(heard.contains(CALL));
    assert_eq!(call("alice").status, 502, "it is gone");
}

#[test]
fn there_is_none_where_none_is_named() {
    let world = World::new();
    assert_eq!(world.post("/RPC2").status, 404);
}
