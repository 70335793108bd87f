//! Daemons that are asked over a socket.

use super::*;

#[test]
fn a_port_that_opens_later() {
    let world = World::new();
    let port = free_port();
    let opening = beside(move || {
        dawdle(Duration::from_millis(50));
        TcpListener::bind(("127.0.0.1", port)).expect("the port")
    });
    assert_eq!(world.verdict(&format!("tcp:{port}"), LIMIT), Verdict::Ready);
    drop(opening.join());
}

#[test]
fn an_ipv6_port_alone_is_found_by_localhost() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        eprintln!("skipped: there is no IPv6 here");
        return;
    };
    let world = World::new();
    let port = listener.local_addr().expect("address").port();
    for ready in [format!("tcp:{port}"), format!("tcp:[::1]:{port}")] {
        assert_eq!(world.verdict(&ready, LIMIT), Verdict::Ready, "{ready}");
    }
}

#[test]
fn a_port_that_nobody_opens() {
    let world = World::new();
    let port = free_port();
    let last = world.why_not(&format!("tcp:{port}"));
    assert_eq!(last, format!("connection refused by 127.0.0.1:{port}"));
}

#[test]
fn a_name_that_nobody_has() {
    let world = World::new();
    let last = late(world.verdict("tcp:no-such-host.invalid:80", Duration::from_secs(8)));
    assert!(
        last.contains("no address of `no-such-host.invalid` is known"),
        "{last}"
    );
}

#[test]
fn unix_sockets_of_every_type() {
    let world = World::new();
    let path = world.path("socket");
    let ready = format!("unix:{}", path.display());
    let last = world.why_not(&ready);
    assert_eq!(last, format!("`{}` does not exist", path.display()));

    let listener = UnixListener::bind(&path).expect("bound");
    assert_eq!(world.verdict(&ready, LIMIT), Verdict::Ready);
    drop(listener);
    let last = world.why_not(&ready);
    assert_eq!(last, format!("connection refused by `{}`", path.display()));

    fs::remove_file(&path).expect("removed");
    let _socket = UnixDatagram::bind(&path).expect("bound");
    assert_eq!(world.verdict(&ready, LIMIT), Verdict::Ready);
}

#[test]
fn an_abstract_socket() {
    use std::os::linux::net::SocketAddrExt;
    let world = World::new();
    let name = format!("ward-ready-test-{}", std::process::id());
    let last = world.why_not(&format!("unix:@{name}"));
    assert_eq!(last, format!("connection refused by `@{name}`"));
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("a name");
    let _listener = UnixListener::bind_addr(&address).expect("bound");
    assert_eq!(
        world.verdict(&format!("unix:@{name}"), LIMIT),
        Verdict::Ready
    );
}

#[test]
fn a_real_http_server() {
    let world = World::new();
    let port = free_port();
    let child = Command::new("python3")
        .args([
            "-u",
            "-m",
            "http.server",
            "--bind",
            "127.0.0.1",
            &port.to_string(),
        ])
        .current_dir(&world.directory)
        .stdout(Stdio::null())
        .stderr(File::create(world.path("noise")).expect("a file"))
        .spawn();
    let _child = Helper(child.expect("python3"));
    let ready = format!("http://localhost:{port}/");
    assert_eq!(world.verdict(&ready, LIMIT), Verdict::Ready);
    let last = world.why_not(&format!("http:{port}/not-here"));
    assert_eq!(last, format!("HTTP 404 from 127.0.0.1:{port}"));
    let noise = fs::read_to_string(world.path("noise")).expect("its log");
    assert!(noise.contains("\"GET / HTTP/1.1\" 200"), "{noise}");
    assert!(!noise.contains("Traceback"), "{noise}");
}

#[test]
fn the_request_is_as_it_should_be() {
    let world = World::new();
    let (sender, receiver) = std::sync::mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let port = server(move |mut stream| {
        let request = read_request(&mut stream);
        let _ = sender.lock().expect("the sender").send(request);
        let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
    });
    assert_eq!(
        world.verdict(&format!("http:{port}/a?b=c"), LIMIT),
        Verdict::Ready
    );
    let request = receiver.recv_timeout(LIMIT).expect("a request");
    let lines: Vec<&str> = request.split("\r\n").collect();
    assert_eq!(lines[0], "GET /a?b=c HTTP/1.1");
    assert!(
        lines.contains(&format!("Host: localhost:{port}").as_str()),
        "{lines:?}"
    );
    assert!(lines.contains(&"Connection: close"), "{lines:?}");
    assert!(lines.contains(&"User-Agent: ward"), "{lines:?}");
}

#[test]
fn http_answers() {
    let world = World::new();
    for (answer, why) in [
        ("HTTP/1.0 200 OK\r\n\r\nhello", None),
        (
            "HTTP/1.1 302 Found\r\nLocation: https://elsewhere.invalid/\r\n\r\n",
            None,
        ),
        ("HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 399 x\r\n\r\n", None),
        ("HTTP/1.1 400 Bad Request\r\n\r\n", Some("HTTP 400 from")),
        (
            "HTTP/1.1 503 Not Yet\r\nRetry-After: 1\r\n\r\n",
            Some("HTTP 503 from"),
        ),
        ("SSH-2.0-OpenSSH\r\n", Some("does not speak HTTP")),
        ("", Some("ended the connection without an answer")),
        (
            "HTTP/1.1 20",
            Some("ended the connection within the first line"),
        ),
    ] {
        let ready = format!("http:127.0.0.1:{}", answering(answer));
        match why {
            None => assert_eq!(world.verdict(&ready, LIMIT), Verdict::Ready, "{answer:?}"),
            Some(why) => {
                let last = world.why_not(&ready);
                assert!(last.contains(why), "{answer:?}: {last}");
            }
        }
    }
}

#[test]
fn hostile_http_servers_are_late() {
    let world = World::new();
    let silent = server(hold);
    let half = server(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200");
        hold(stream);
    });
    let dripping = server(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 ");
        while stream.write_all(b"2").is_ok() {
            dawdle(Duration::from_millis(20));
        }
    });
    let flooding = server(|mut stream| {
        let block = [b'x'; 4096];
        let _ = stream.write_all(b"HTTP/1.1 200 ");
        while stream.write_all(&block).is_ok() {}
    });
    let deaf = server(|stream| {
        let _ = stream.shutdown(Shutdown::Write);
        hold(stream);
    });
    for (port, limit, whys) in [
        (
            silent,
            SHORT,
            &["takes connections and does not answer"][..],
        ),
        (silent, ATTEMPTS, &["takes connections and does not answer"]),
        (half, ATTEMPTS, &["does not end the first line"]),
        (dripping, ATTEMPTS, &["does not end the first line"]),
        (flooding, SHORT, &["does not speak HTTP"]),
        (deaf, SHORT, &["without an answer", "does not answer"]),
    ] {
        let last = late(world.verdict(&format!("http:127.0.0.1:{port}/"), limit));
        assert!(
            whys.iter().any(|why| last.contains(why)),
            "{whys:?}: {last}"
        );
    }
}

#[test]
fn an_endless_answer_of_a_good_server_is_good() {
    let world = World::new();
    let port = server(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(b"data: x\n\n").is_ok() {}
    });
    assert_eq!(
        world.verdict(&format!("http:{port}/events"), LIMIT),
        Verdict::Ready
    );
}
