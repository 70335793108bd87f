//! What is said over HTTP beside the calls: connections, refusals, names and passwords, logs that
//! are followed, the page for people.

use std::fs;
use std::net::TcpListener;

use serde_json::json;
use ward_testkit::supervisor::daemon::{read_answer, request};
use ward_testkit::supervisor::http::{Connection, Endpoint, Response, ask};
use ward_testkit::supervisor::xml;

use crate::{Result, Stage};

crate::tests![
    calls_that_are_none,
    kept_alive,
    version_1_0_closes,
    any_path_below_rpc2,
    paths_that_are_not_there,
    small_things,
    name_and_password,
    password_as_a_digest,
    several_servers,
    log_that_is_followed,
    log_that_is_truncated,
    log_that_is_replaced,
    log_of_a_process_that_is_not_there,
    main_log_that_is_followed,
    page_of_states,
    page_of_a_log,
    deeds_of_the_page,
    clients_of_python,
];

fn post(path: &str, rest: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{rest}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: example:9001\r\nConnection: close\r\n\r\n")
}

fn calls_that_are_none(s: &Stage) -> Result {
    let d = s.start("")?;
    let status = |bytes: String| -> Result<u16> { Ok(d.http(bytes)?.status) };
    assert_eq!(status(get("/RPC2"))?, 400);
    assert_eq!(status(post("/RPC2", "", "no xml"))?, 400);
    assert_eq!(status(post("/RPC2", "", "<methodCall></methodCall>"))?, 400);
    let without = "POST /RPC2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert_eq!(status(without.to_owned())?, 411);
    // And goes on.
    d.sv("getState", &json!([]))?;
    Ok(())
}

fn kept_alive(s: &Stage) -> Result {
    let d = s.start("")?;
    let call =
        request("supervisor.getAPIVersion", &json!([]))?.replace("Connection: close\r\n", "");
    let mut connection = d.connect()?;
    for _ in 0..3 {
        connection.send(&call)?;
        assert_eq!(read_answer(&mut connection)?, Ok(json!("3.0")));
    }
    // Asked for another, on the same connection.
    connection.send("GET /ok.html HTTP/1.1\r\nHost: x\r\n\r\n")?;
    assert_eq!(connection.response()?.text().trim(), "OK");
    Ok(())
}

fn version_1_0_closes(s: &Stage) -> Result {
    let d = s.start("")?;
    let call = request("supervisor.getAPIVersion", &json!([]))?
        .replace("Connection: close\r\n", "")
        .replace("HTTP/1.1", "HTTP/1.0");
    let mut connection = d.connect()?;
    connection.send(&call)?;
    let all = String::from_utf8(connection.to_end()?)?;
    assert!(all.starts_with("HTTP/1.0 200 OK\r\n"), "{all}");
    assert!(all.contains("3.0"), "{all}");
    Ok(())
}

fn any_path_below_rpc2(s: &Stage) -> Result {
    let d = s.start("")?;
    let body = xml::call("supervisor.getAPIVersion", &[]);
    for path in ["/RPC2", "/RPC2/", "/RPC2/x", "/RPC2x"] {
        assert_eq!(d.http(post(path, "", &body))?.status, 200, "{path}");
    }
    assert_ne!(d.http(post("/rpc", "", &body))?.status, 200);
    Ok(())
}

fn paths_that_are_not_there(s: &Stage) -> Result {
    let d = s.start("")?;
    for path in [
        "/nothing",
        "/stylesheets/nothing",
        "/../../etc/passwd",
        "/images/../../options.py",
    ] {
        assert_eq!(d.http(get(path))?.status, 404, "{path}");
    }
    Ok(())
}

fn small_things(s: &Stage) -> Result {
    let d = s.start("")?;
    let ok = d.http(get("/ok.html"))?;
    assert_eq!((ok.status, ok.text().trim()), (200, "OK"));
    let sheet = d.http(get("/stylesheets/supervisor.css"))?;
    assert_eq!(
        (sheet.status, sheet.header("content-type")),
        (200, Some("text/css"))
    );
    Ok(())
}

/// A port that was free a moment ago.
fn port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn with_authority(endpoint: &Endpoint, authority: &str) -> Result<Response> {
    let header = format!("Authorization: {authority}\r\n");
    ask(
        endpoint,
        post(
            "/RPC2",
            &header,
            &xml::call("supervisor.getAPIVersion", &[]),
        ),
    )
}

fn name_and_password(s: &Stage) -> Result {
    let port = port()?;
    let d = s.start(&format!(
        "[inet_http_server]\nport=127.0.0.1:{port}\nusername=user\npassword=secret\n"
    ))?;
    let endpoint = Endpoint::Tcp(port);
    // user:secret, user:wrong, nobody:secret.
    assert_eq!(
        with_authority(&endpoint, "Basic dXNlcjpzZWNyZXQ=")?.status,
        200
    );
    for wrong in [
        "Basic dXNlcjp3cm9uZw==",
        "Basic bm9ib2R5OnNlY3JldA==",
        "Bearer x",
    ] {
        let refused = with_authority(&endpoint, wrong)?;
        assert!(
            [400, 401].contains(&refused.status),
            "{wrong}: {}",
            refused.head
        );
    }
    for path in [
        "/RPC2",
        "/",
        "/logtail/a",
        "/mainlogtail",
        "/ok.html",
        "/tail.html",
    ] {
        let refused = ask(&endpoint, get(path))?;
        assert_eq!(refused.status, 401, "{path}");
        assert_eq!(
            refused.header("www-authenticate"),
            Some("Basic realm=\"default\"")
        );
    }
    // The socket has none.
    d.sv("getState", &json!([]))?;
    let log = d.log();
    assert!(!log.contains("'inet_http_server' running without"), "{log}");
    assert!(!log.contains("secret"));
    Ok(())
}

fn password_as_a_digest(s: &Stage) -> Result {
    let port = port()?;
    // Of `secret`.
    let _d = s.start(&format!(
        "[inet_http_server]\nport=127.0.0.1:{port}\nusername=user\n\
         password={{SHA}}e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4\n"
    ))?;
    let endpoint = Endpoint::Tcp(port);
    assert_eq!(
        with_authority(&endpoint, "Basic dXNlcjpzZWNyZXQ=")?.status,
        200
    );
    assert_eq!(
        with_authority(&endpoint, "Basic dXNlcjp3cm9uZw==")?.status,
        401
    );
    Ok(())
}

fn several_servers(s: &Stage) -> Result {
    let (one, two) = (port()?, port()?);
    let _d = s.start(&format!(
        "[inet_http_server:one]\nport=127.0.0.1:{one}\n[inet_http_server:two]\nport=127.0.0.1:{two}\n\
         [unix_http_server:more]\nfile=%(here)s/more\n"
    ))?;
    for endpoint in [
        Endpoint::Tcp(one),
        Endpoint::Tcp(two),
        Endpoint::Unix(s.path("more")),
    ] {
        assert_eq!(ask(&endpoint, get("/ok.html"))?.status, 200, "{endpoint:?}");
    }
    Ok(())
}

const CAT: &str = "[program:a]\ncommand=cat\nstdout_logfile=%(here)s/out\n";

fn follow(d: &ward_testkit::supervisor::daemon::Daemon, path: &str) -> Result<Connection> {
    let mut connection = d.connect()?;
    connection.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))?;
    let head = connection.head()?;
    assert_eq!(head.status, 200, "{}", head.head);
    assert_eq!(head.header("transfer-encoding"), Some("chunked"));
    let kind = head.header("content-type").unwrap_or_default();
    assert!(kind.starts_with("text/plain"), "{kind}");
    let buffering = path.starts_with("/logtail").then_some("no");
    assert_eq!(head.header("x-accel-buffering"), buffering);
    Ok(connection)
}

fn log_that_is_followed(s: &Stage) -> Result {
    s.write(
        "out",
        format!("{}1023 and before{}", "x".repeat(2000), "y".repeat(1023)),
    )?;
    let d = s.start(CAT)?;
    d.pid_of_started("a")?;
    let mut connection = follow(&d, "/logtail/a")?;
    // The last 1024 bytes, then what comes.
    let first = connection.chunks_until("yyy")?;
    assert!(first.starts_with("eyyy"), "{first}");
    d.sv("sendProcessStdin", &json!(["a", "one\n"]))?;
    connection.chunks_until("one\n")?;
    d.sv("sendProcessStdin", &json!(["a", "two\n"]))?;
    assert_eq!(connection.chunks_until("two\n")?, "two\n");
    follow(&d, "/logtail/a/stdout")?;
    follow(&d, "/logtail/a:a/stderr")?;
    Ok(())
}

/// The original means to say so, and loses the connection.
fn log_that_is_truncated(s: &Stage) -> Result {
    let d = s.start(&format!("{CAT}stdout_logfile_maxbytes=0\n"))?;
    d.pid_of_started("a")?;
    let mut connection = follow(&d, "/logtail/a")?;
    d.sv("sendProcessStdin", &json!(["a", "before\n"]))?;
    connection.chunks_until("before\n")?;
    fs::File::options()
        .write(true)
        .open(s.path("out"))?
        .set_len(0)?;
    if s.differs("truncated-logs")? {
        let said = connection.chunks_until("==> File truncated <==\n")?;
        assert!(!said.contains("before"), "{said}");
        d.sv("sendProcessStdin", &json!(["a", "after\n"]))?;
        connection.chunks_until("after\n")?;
    } else {
        assert_eq!(connection.to_end()?, b"");
    }
    Ok(())
}

fn log_that_is_replaced(s: &Stage) -> Result {
    let d = s.start(&format!("{CAT}stdout_logfile_maxbytes=10\n"))?;
    d.pid_of_started("a")?;
    d.sv("sendProcessStdin", &json!(["a", "1234567"]))?;
    d.await_text("out", "1234567")?;
    let mut connection = follow(&d, "/logtail/a")?;
    connection.chunks_until("1234567")?;
    d.sv("sendProcessStdin", &json!(["a", "89abcdef"]))?;
    d.await_text("out.1", "89abcdef")?;
    d.sv("sendProcessStdin", &json!(["a", "new"]))?;
    connection.chunks_until("new")?;
    Ok(())
}

fn log_of_a_process_that_is_not_there(s: &Stage) -> Result {
    let d = s.start("[program:a]\ncommand=cat\nautostart=false\nstdout_logfile=NONE\n[program:b]\ncommand=cat\nautostart=false\nstdout_logfile=%(here)s/never\n")?;
    for path in [
        "/logtail/no",
        "/logtail/a",
        "/logtail/b",
        "/logtail/a/stdin",
        "/logtail/no:no",
    ] {
        let answer = d.http(get(path))?;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
    }
    Ok(())
}

fn main_log_that_is_followed(s: &Stage) -> Result {
    let d = s.start("[program:a]\ncommand=sleep 1000\nautostart=false\n")?;
    let mut connection = follow(&d, "/mainlogtail")?;
    connection.chunks_until("supervisord started with pid")?;
    d.sv("startProcess", &json!(["a", false]))?;
    connection.chunks_until("spawned: 'a' with pid")?;
    Ok(())
}

fn page_of_states(s: &Stage) -> Result {
    let d = s.start("[program:a]\ncommand=sleep 1000\nstartsecs=0\n[group:g]\nprograms=b\n[program:b]\ncommand=cat\nautostart=false\n")?;
    d.await_state("a", "RUNNING")?;
    for path in ["/", "/index.html", "/?message=hello%20%3Cthere%3E"] {
        let page = d.http(get(path))?;
        assert_eq!(page.status, 200);
        let kind = page.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("text/html"), "{kind}");
        let caching = page.header("cache-control").unwrap_or_default();
        assert!(caching.contains("no-cache"), "{caching}");
        let text = page.text();
        for part in [
            "index.html?processname=a&amp;action=stop",
            "index.html?processname=a&amp;action=restart",
            "index.html?processname=a&amp;action=clearlog",
            "index.html?processname=g%3Ab&amp;action=start",
            "tail.html?processname=a",
            "logtail/a",
            "index.html?action=refresh",
            "index.html?action=restartall",
            "index.html?action=stopall",
            "Not started",
        ] {
            if part.contains("action=") && s.differs("page-deeds")? {
                continue;
            }
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(
            path.len() > 12,
            text.contains("hello &lt;there"),
            "{path}: {text}"
        );
    }
    Ok(())
}

fn page_of_a_log(s: &Stage) -> Result {
    s.write("out", format!("{}<last & line>\n", "first\n".repeat(1000)))?;
    let d = s.start(CAT)?;
    d.pid_of_started("a")?;
    let page = d.http(get("/tail.html?processname=a"))?.text();
    assert!(page.contains("&lt;last &amp; line"), "{page}");
    let firsts = page.matches("first").count();
    assert!((160..180).contains(&firsts), "{firsts}");
    let page = d.http(get("/tail.html?processname=a&limit=2048"))?.text();
    assert!(page.matches("first").count() > 300, "{page}");
    let page = d.http(get("/tail.html?processname=no"))?;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("ERROR"), "{}", page.text());
    Ok(())
}

fn deeds_of_the_page(s: &Stage) -> Result {
    let d = s.start("[program:a]\ncommand=sleep 1000\nautostart=false\nstartsecs=0\n[program:b]\ncommand=sleep 1000\nautostart=false\nstartsecs=0\n")?;
    if s.differs("page-deeds")? {
        let answer = d.http(get("/index.html?processname=a&action=start"))?;
        assert_eq!(answer.status, 405, "{}", answer.head);
        assert_eq!(d.state("a")?, "STOPPED");
        return Ok(());
    }
    let deed = |query: &str| -> Result<String> {
        let answer = d.http(get(&format!("/index.html?{query}")))?;
        assert_eq!(answer.status, 301, "{}", answer.head);
        let place = answer.header("location").unwrap_or_default().to_owned();
        assert!(place.starts_with("http://example:9001"), "{place}");
        Ok(place)
    };
    assert!(deed("processname=a&action=start")?.ends_with("?message=Process%20a%20started"));
    d.await_state("a", "RUNNING")?;
    assert!(deed("processname=a&action=restart")?.ends_with("?message=Process%20a%20restarted"));
    let message = deed("processname=a&action=stop")?;
    assert!(
        message.ends_with("?message=Process%20a%20stopped"),
        "{message}"
    );
    assert_eq!(d.state("a")?, "STOPPED");
    let message = deed("processname=a&action=clearlog")?;
    assert!(
        message.ends_with("?message=Log%20for%20a%20cleared"),
        "{message}"
    );
    deed("action=restartall")?;
    d.await_state("b", "RUNNING")?;
    deed("action=stopall")?;
    d.await_state("b", "STOPPED")?;
    let message = deed("action=refresh")?;
    assert!(
        message.contains("?message=Page%20refreshed%20at"),
        "{message}"
    );
    Ok(())
}

/// `xmlrpc.client`, as everybody uses it from Python.
fn clients_of_python(s: &Stage) -> Result {
    let port = port()?;
    let _d = s.start(&format!(
        "[inet_http_server]\nport=127.0.0.1:{port}\nusername=user\npassword=secret\n[program:a]\ncommand=sleep 1000\nautostart=false\n"
    ))?;
    let script = format!(
        "import xmlrpc.client as x\n\
         p = x.ServerProxy('http://user:secret@127.0.0.1:{port}/RPC2')\n\
         assert p.supervisor.startProcess('a') is True\n\
         assert p.supervisor.getProcessInfo('a')['statename'] == 'RUNNING'\n\
         assert p.supervisor.getAllConfigInfo()[0]['autostart'] is False\n\
         calls = [dict(methodName='supervisor.' + n, params=q) for n, q in [('stopProcess', ['a']), ('getState', [])]]\n\
         assert p.system.multicall(calls) == [True, dict(statecode=1, statename='RUNNING')]\n\
         try: p.supervisor.startProcess('no')\n\
         except x.Fault as f: assert (f.faultCode, f.faultString) == (10, 'BAD_NAME: no')\n\
         assert x.ServerProxy('http://user:secret@127.0.0.1:{port}').system.listMethods()\n\
         try: x.ServerProxy('http://127.0.0.1:{port}/RPC2').supervisor.getState()\n\
         except x.ProtocolError as e: assert e.errcode == 401\n\
         print('done')\n"
    );
    let ended = s.finish(s.furnished(s.kit().python()?, &["-c", &script]))?;
    assert_eq!((ended.code, ended.out.as_str()), (0, "done\n"), "{ended:?}");
    Ok(())
}
