//! Bodies in every cut, and a server that does what servers do.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener};
use std::thread::JoinHandle;

use super::*;
use crate::etcd::wait::Waiter;
use ward_sys::clock::since_boot;

const MINUTE: Duration = Duration::from_secs(60);

/// The body of `pieces`, and what follows it.
fn decoded(
    mut framing: Framing,
    pieces: &[&[u8]],
) -> Result<(Vec<u8>, Vec<u8>, bool), &'static str> {
    let (mut input, mut body, mut is_whole) = (Vec::new(), Vec::new(), false);
    for piece in pieces {
        input.extend_from_slice(piece);
        let (taken, whole) = framing.take(&input, &mut body)?;
        input.drain(..taken);
        is_whole = whole;
    }
    Ok((body, input, is_whole))
}

#[test]
fn chunks_in_every_cut() {
    let text = b"4;a=b\r\nwiki\r\n0A\r\n0123456789\r\n000\r\nField: x\r\n\r\nnext";
    for first in 0..=text.len() {
        for second in first..=text.len() {
            let pieces = [&text[..first], &text[first..second], &text[second..]];
            let chunks = Framing::Chunks(Chunks::Size);
            let (body, rest, whole) = decoded(chunks, &pieces).expect("well formed");
            assert_eq!(body, b"wiki0123456789");
            assert_eq!(rest, b"next");
            assert!(whole);
        }
    }
}

#[test]
fn chunks_that_are_none() {
    for bad in [
        &b"x\r\n"[..],
        b"\r\n",
        b"-1\r\n",
        b"+1\r\na\r\n",
        b"11111111111111111\r\n",
        b"1\r\nab\r\n",
        &[b'0'; LONGEST_LINE + 1],
    ] {
        let outcome = decoded(Framing::Chunks(Chunks::Size), &[bad]);
        assert!(
            outcome.is_err(),
            "{:?}: {outcome:?}",
            String::from_utf8_lossy(bad)
        );
    }
}

#[test]
fn lengths() {
    let (body, rest, whole) = decoded(Framing::Length(3), &[b"a", b"bcd"]).expect("well formed");
    assert_eq!(
        (&body[..], &rest[..], whole),
        (&b"abc"[..], &b"d"[..], true)
    );
    let (body, _, whole) = decoded(Framing::UntilEnd, &[b"a", b"b"]).expect("well formed");
    assert_eq!((&body[..], whole), (&b"ab"[..], false));
}

#[test]
fn heads() {
    let parsed = |text: &str| head(text.as_bytes()).expect("well formed").expect("whole");
    let plain = parsed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde");
    assert_eq!(plain.status, 200);
    assert!(plain.stays);
    assert!(matches!(plain.framing, Framing::Length(5)));
    let both = parsed("HTTP/1.1 404 x\r\nTransfer-Encoding: Chunked\r\nContent-Length: 5\r\n\r\n");
    assert!(matches!(both.framing, Framing::Chunks(Chunks::Size)));
    let old = parsed("HTTP/1.0 200 OK\r\n\r\n");
    assert!(!old.stays);
    assert!(matches!(old.framing, Framing::UntilEnd));
    assert!(!parsed("HTTP/1.1 200 OK\r\nConnection: Close\r\n\r\n").stays);
    assert!(matches!(
        parsed("HTTP/1.1 204 x\r\n\r\n").framing,
        Framing::Length(0)
    ));
    assert!(
        head(b"HTTP/1.1 200 OK\r\nContent-Le")
            .expect("well formed")
            .is_none()
    );
    for bad in [
        "SSH-2.0-x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
    ] {
        assert!(head(bad.as_bytes()).is_err(), "{bad}");
    }
}

/// A server that answers each request on one connection with the next of these, and then ends it.
fn server(answers: Vec<Vec<u8>>) -> (Connection, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut requests = Vec::new();
        for answer in answers {
            let mut request = Vec::new();
            let mut buffer = [0; 512];
            while !request.ends_with(b"{}") {
                match stream.read(&mut buffer) {
                    Ok(count) if count > 0 => request.extend_from_slice(&buffer[..count]),
                    _ => break,
                }
            }
            requests.push(String::from_utf8_lossy(&request).into_owned());
            // Whoever asked may have had enough.
            let _ = stream.write_all(&answer);
        }
        let _ = stream.shutdown(Shutdown::Write);
        // Until the other side has gone.
        let _ = stream.read(&mut [0]);
        requests
    });
    let waiter = Waiter::new(None).expect("a timer");
    let limits = waiter.until(since_boot() + MINUTE);
    let stream = Stream::connect(address, None, &limits).expect("connected");
    (Connection::new(stream), thread)
}

fn request(token: Option<&'static str>) -> Request<'static> {
    Request {
        authority: "a.b:1",
        path: "/v3/kv/range",
        token,
        body: b"{}",
    }
}

#[test]
fn a_connection_is_used_again() {
    let (mut connection, thread) = server(vec![
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none".to_vec(),
        b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 400 B\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n".to_vec(),
    ]);
    let waiter = Waiter::new(None).expect("a timer");
    let limits = waiter.until(since_boot() + MINUTE);
    let mut sent = false;
    let first = connection.ask(&request(None), &mut sent, &limits);
    let first = first.expect("answered");
    assert_eq!((first.status, &first.body[..]), (200, &b"one"[..]));
    assert!(sent);
    assert!(connection.is_usable());
    let second = connection.ask(&request(Some("abc.1")), &mut sent, &limits);
    let second = second.expect("answered");
    assert_eq!((second.status, &second.body[..]), (400, &b"two"[..]));
    drop(connection);
    let requests = thread.join().expect("served");
    assert!(requests[0].starts_with("POST /v3/kv/range HTTP/1.1\r\nHost: a.b:1\r\n"));
    assert!(requests[0].contains("\r\nContent-Length: 2\r\n"));
    assert!(!requests[0].contains("Authorization"));
    assert!(requests[1].contains("\r\nAuthorization: abc.1\r\n"));
}

#[test]
fn an_answer_that_breaks_off_is_none() {
    for broken in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\non",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n",
    ] {
        let (mut connection, thread) = server(vec![broken.to_vec()]);
        let waiter = Waiter::new(None).expect("a timer");
        let limits = waiter.until(since_boot() + MINUTE);
        let outcome = connection.ask(&request(None), &mut false, &limits);
        assert!(
            matches!(
                outcome,
                Err(Trouble::Member(Failure::Ended | Failure::Mute))
            ),
            "{outcome:?}"
        );
        assert!(!connection.is_usable());
        drop(connection);
        thread.join().expect("served");
    }
}

#[test]
fn an_answer_without_end_is_cut_off() {
    let mut flood = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    flood.resize(LONGEST + (1 << 20), b'x');
    let (mut connection, thread) = server(vec![flood]);
    let waiter = Waiter::new(None).expect("a timer");
    let limits = waiter.until(since_boot() + MINUTE);
    let outcome = connection.ask(&request(None), &mut false, &limits);
    assert!(matches!(outcome, Err(Trouble::TooLong)), "{outcome:?}");
    drop(connection);
    thread.join().expect("served");
}

#[test]
fn a_server_that_keeps_silent_costs_the_limit() {
    let (mut connection, thread) = server(vec![
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n".to_vec(),
        Vec::new(),
    ]);
    let waiter = Waiter::new(None).expect("a timer");
    let start = since_boot();
    let limits = waiter.until(start + Duration::from_millis(50));
    let outcome = connection.ask(&request(None), &mut false, &limits);
    assert!(matches!(outcome, Err(Trouble::Late)), "{outcome:?}");
    assert!(!connection.is_usable());
    drop(connection);
    thread.join().expect("served");
}

#[test]
fn lines_come_one_by_one_and_are_not_lost() {
    let text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n{1}\n{2\r\n3\r\n}\n\n\r\n3\r\n{3}\r\n";
    let mut rest = text.to_vec();
    rest.extend_from_slice(b"0\r\n\r\n");
    let (connection, thread) = server(vec![rest]);
    let waiter = Waiter::new(None).expect("a timer");
    let limits = waiter.until(since_boot() + MINUTE);
    let lines = connection.ask_for_lines(&request(None), &mut false, &limits);
    let mut lines = lines.expect("asked").expect("granted");
    let mut all = Vec::new();
    while let Some(line) = lines.next(&limits).expect("a line") {
        all.push(String::from_utf8(line).expect("text"));
    }
    assert_eq!(all, ["{1}", "{2}", "{3}"]);
    drop(lines);
    thread.join().expect("served");

    // One that stays open: the time is over, and what has come stays.
    let mut open = text.to_vec();
    open.truncate(text.len() - b"3\r\n{3}\r\n".len());
    let (connection, thread) = server(vec![open, Vec::new()]);
    let lines = connection.ask_for_lines(&request(None), &mut false, &limits);
    let mut lines = lines.expect("asked").expect("granted");
    assert_eq!(lines.next(&limits).expect("a line"), Some(b"{1}".to_vec()));
    assert_eq!(lines.next(&limits).expect("a line"), Some(b"{2}".to_vec()));
    let soon = waiter.until(since_boot() + Duration::from_millis(30));
    assert!(matches!(lines.next(&soon), Err(Trouble::Late)));
    drop(lines);
    thread.join().expect("served");
}

#[test]
fn the_first_line_is_all_that_matters() {
    let (connection, thread) = server(vec![
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{1}\n\r\n0\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{2}\n\r\n".to_vec(),
        Vec::new(),
    ]);
    let waiter = Waiter::new(None).expect("a timer");
    let limits = waiter.until(since_boot() + MINUTE);
    let (answer, again) = connection
        .ask_for_line(&request(None), &mut false, &limits)
        .expect("answered");
    assert_eq!(answer.body, b"{1}");
    let connection = again.expect("its end has come");
    let (answer, again) = connection
        .ask_for_line(&request(None), &mut false, &limits)
        .expect("answered");
    assert_eq!(answer.body, b"{2}");
    assert!(again.is_none(), "its end has not come");
    thread.join().expect("served");
}
