//! `fcgi-program`: processes that share a socket.

use std::fs;
use std::io::Read as _;
use std::net::TcpStream;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;

use serde_json::json;
use ward_testkit::processes::descriptors;

use crate::{Result, Stage};

crate::tests![
    at_a_path,
    at_a_port,
    shared_and_closed,
    no_standard_input,
    in_a_group,
];

/// Answers each connection to its descriptor 0 with its process id.
const SERVER: &str = "import os, socket\nl = socket.socket(fileno=0)\n\
    while True:\n    c, _ = l.accept()\n    \
    try: c.sendall(str(os.getpid()).encode())\n    except OSError: pass\n    c.close()\n";

fn with(s: &Stage, rest: &str) -> Result<String> {
    s.write("server.py", SERVER)?;
    Ok(format!(
        "[fcgi-program:f]\ncommand=@python -I -S %(here)s/server.py\n{rest}"
    ))
}

fn at_a_path(s: &Stage) -> Result {
    let d = s.start(&with(
        s,
        "socket=unix://%(here)s/%(program_name)s.sock\nsocket_mode=0742\n",
    )?)?;
    d.await_state("f", "RUNNING")?;
    let data = fs::metadata(s.path("f.sock"))?;
    assert!(data.file_type().is_socket());
    assert_eq!(data.permissions().mode() & 0o777, 0o742);
    let mut text = String::new();
    UnixStream::connect(s.path("f.sock"))?.read_to_string(&mut text)?;
    assert_eq!(text, d.pid_of("f")?.to_string());
    let log = d.log();
    assert!(
        log.contains(&format!(
            "INFO Creating socket unix://{}/f.sock\n",
            s.here()
        )),
        "{log}"
    );
    Ok(())
}

fn at_a_port(s: &Stage) -> Result {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port();
    let d = s.start(&with(
        s,
        &format!("socket=tcp://localhost:{port}\nprocess_name=f%(process_num)d\nnumprocs=2\nstartsecs=0\n"),
    )?)?;
    let pids = [
        d.pid_of_started_python("f:f0")?,
        d.pid_of_started_python("f:f1")?,
    ];
    let mut text = String::new();
    TcpStream::connect(("127.0.0.1", port))?.read_to_string(&mut text)?;
    assert!(pids.contains(&text.parse()?), "{text} {pids:?}");
    // It is one socket.
    let socket = |pid| {
        descriptors(pid)
            .into_iter()
            .find(|(number, _)| *number == 0)
    };
    assert_eq!(socket(pids[0]), socket(pids[1]));
    Ok(())
}

fn shared_and_closed(s: &Stage) -> Result {
    let d = s.start(&with(
        s,
        "socket=unix://%(here)s/f.sock\nprocess_name=f%(process_num)d\nnumprocs=2\n",
    )?)?;
    d.await_state("f:f0", "RUNNING")?;
    d.await_state("f:f1", "RUNNING")?;
    d.sv("stopProcess", &json!(["f:f0"]))?;
    UnixStream::connect(s.path("f.sock"))?.read_to_end(&mut Vec::new())?;
    d.sv("stopProcess", &json!(["f:f1"]))?;
    // The file may stay.
    d.await_that("its end", || UnixStream::connect(s.path("f.sock")).is_err())?;
    d.await_log(&format!("INFO Closing socket unix://{}/f.sock\n", s.here()))?;
    d.sv("startProcess", &json!(["f:f0"]))?;
    UnixStream::connect(s.path("f.sock"))?.read_to_end(&mut Vec::new())?;
    Ok(())
}

fn no_standard_input(s: &Stage) -> Result {
    let d = s.start(&with(s, "socket=unix://%(here)s/f.sock\n")?)?;
    d.await_state("f", "RUNNING")?;
    assert_eq!(
        d.fault("sendProcessStdin", &json!(["f", "x"]))?,
        "20 NO_FILE: f"
    );
    Ok(())
}

fn in_a_group(s: &Stage) -> Result {
    let d = s.start(&with(
        s,
        "socket=unix://%(here)s/f.sock\nstartsecs=0\nautorestart=false\n[group:g]\nprograms=f\n",
    )?)?;
    if s.differs("fcgi-in-group")? {
        d.await_state("g:f", "RUNNING")?;
        UnixStream::connect(s.path("f.sock"))?.read_to_end(&mut Vec::new())?;
    } else {
        d.await_log("spawned: 'f'")?;
        d.await_state("g:f", "EXITED")?;
        // The one that was made while the file was checked is gone.
        assert!(!s.path("f.sock").exists());
    }
    Ok(())
}
