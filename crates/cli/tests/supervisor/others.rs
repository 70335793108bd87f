//! What people run beside Supervisor: superlance, the listener that starts programs in order,
//! the plugin that writes everything to the standard output.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;

use serde_json::json;
use ward_testkit::programs::skipped;
use ward_testkit::supervisor::kit::Subject;

use crate::{Result, Stage};

crate::tests![
    memmon,
    httpok,
    crashmail,
    fatalmailbatch,
    in_order_of_dependence,
    supervisor_stdout,
    pidproxy,
];

/// A program of the original's environment; that is where those of others are.
fn installed(s: &Stage, name: &str) -> Result<Option<String>> {
    if !s.kit().has(Subject::Original) {
        skipped(name, "is not installed");
        return Ok(None);
    }
    let path = s.kit().program(Subject::Original, name)?;
    Ok(Some(path.display().to_string()))
}

/// A `sendmail` that keeps what it is given.
fn mail(s: &Stage) -> Result<String> {
    let path = s.script(
        "sendmail",
        &format!("#!/bin/sh\ncat >> {}/mail\necho >> {0}/mail\n", s.here()),
    )?;
    Ok(path.display().to_string())
}

fn memmon(s: &Stage) -> Result {
    let Some(memmon) = installed(s, "memmon")? else {
        return Ok(());
    };
    let d = s.start(&format!(
        "[eventlistener:memmon]\ncommand={memmon} -p a=1KB -p b=1GB\nevents=TICK_5\n\
         [program:a]\ncommand=sleep 1000\nstartsecs=0\n[program:b]\ncommand=sleep 1000\nstartsecs=0\n"
    ))?;
    d.await_state("a", "RUNNING")?;
    let before = (d.pid_of("a")?, d.pid_of("b")?);
    d.await_that("the restart", || {
        d.pid_of("a").is_ok_and(|pid| pid > 0 && pid != before.0)
    })?;
    assert_eq!(d.pid_of("b")?, before.1);
    Ok(())
}

fn httpok(s: &Stage) -> Result {
    let Some(httpok) = installed(s, "httpok")? else {
        return Ok(());
    };
    // A service that is ill: it answers 500.
    let service = TcpListener::bind("127.0.0.1:0")?;
    let port = service.local_addr()?.port();
    std::thread::spawn(move || {
        for stream in service.incoming().flatten() {
            let mut stream = stream;
            let mut buffer = [0; 1024];
            let _ = stream.read(&mut buffer);
            let _ = stream
                .write_all(b"HTTP/1.1 500 Ill\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    let d = s.start(&format!(
        "[eventlistener:httpok]\ncommand={httpok} -p a -t 2 http://127.0.0.1:{port}/\nevents=TICK_5\n\
         [program:a]\ncommand=sleep 1000\nstartsecs=0\n"
    ))?;
    d.await_state("a", "RUNNING")?;
    let before = d.pid_of("a")?;
    d.await_that("the restart", || {
        d.pid_of("a").is_ok_and(|pid| pid > 0 && pid != before)
    })
}

fn crashmail(s: &Stage) -> Result {
    let Some(crashmail) = installed(s, "crashmail")? else {
        return Ok(());
    };
    let sendmail = mail(s)?;
    let d = s.start(&format!(
        "[eventlistener:crashmail]\ncommand={crashmail} -a -s {sendmail} -m me@example.invalid\n\
         events=PROCESS_STATE_EXITED\n\
         [program:bad]\ncommand=sh -c 'exit 3'\nstartsecs=0\nautorestart=false\n\
         [program:good]\ncommand=true\nstartsecs=0\n"
    ))?;
    let mail = d.await_text("mail", "Process bad in group bad exited unexpectedly (pid ")?;
    assert!(mail.contains("To: me@example.invalid\n"), "{mail}");
    assert!(mail.contains("from state RUNNING"), "{mail}");
    assert!(!mail.contains("good"), "{mail}");
    Ok(())
}

/// Takes one mail as a server does, and puts it into a file.
fn take_mail(server: &TcpListener, file: &std::path::Path) -> std::io::Result<()> {
    let (stream, _) = server.accept()?;
    let mut answers = stream.try_clone()?;
    answers.write_all(b"220 here\r\n")?;
    let mut mail = String::new();
    let mut in_mail = false;
    for line in BufReader::new(stream).lines() {
        let line = line?;
        if in_mail && line != "." {
            mail.push_str(&line);
            mail.push('\n');
            continue;
        }
        in_mail = line.eq_ignore_ascii_case("DATA");
        let answer = if in_mail {
            "354 go on\r\n"
        } else {
            "250 ok\r\n"
        };
        answers.write_all(answer.as_bytes())?;
        if line == "." {
            return std::fs::write(file, mail);
        }
    }
    Ok(())
}

fn fatalmailbatch(s: &Stage) -> Result {
    let Some(fatalmailbatch) = installed(s, "fatalmailbatch")? else {
        return Ok(());
    };
    let server = TcpListener::bind("127.0.0.1:0")?;
    let port = server.local_addr()?.port();
    let file = s.path("mail");
    std::thread::spawn(move || take_mail(&server, &file));
    let d = s.start(&format!(
        "[eventlistener:fatal]\ncommand={fatalmailbatch} --interval=0.01 --tickEvent=TICK_5 \
         --smtpHost=127.0.0.1:{port} --toEmail=me@example.invalid --fromEmail=it@example.invalid\n\
         events=PROCESS_STATE,TICK_5\n\
         [program:a]\ncommand=false\nstartsecs=9\nstartretries=0\n"
    ))?;
    let mail = d.await_text("mail", "Process a:a failed to start too many times")?;
    assert!(mail.contains("To: me@example.invalid\n"), "{mail}");
    Ok(())
}

fn in_order_of_dependence(s: &Stage) -> Result {
    let Some(program) = installed(s, "supervisord-dependent-startup")? else {
        return Ok(());
    };
    let one = |name: &str, rest: &str| {
        format!(
            "[program:{name}]\ncommand=sleep 1000\nstartsecs=0\nautostart=false\ndependent_startup=true\n{rest}"
        )
    };
    let d = s.start(&format!(
        "[eventlistener:dependent-startup]\ncommand={program} -c %(here)s/c.conf\n\
         autostart=true\nautorestart=unexpected\nstartsecs=0\nevents=PROCESS_STATE\n{}{}{}",
        one(
            "web",
            "dependent_startup_wait_for=cache:running db:running\n"
        ),
        one("cache", "dependent_startup_wait_for=db:running\n"),
        one("db", "")
    ))?;
    d.await_state("web", "RUNNING")?;
    let log = d.log();
    let at = |name: &str| log.find(&format!("success: {name} entered"));
    assert!(
        at("db").is_some() && at("db") < at("cache") && at("cache") < at("web"),
        "{log}"
    );
    Ok(())
}

/// A plugin that answers every event with what is to be printed, and the handler that prints it.
/// (The one that is published under this name is for Python 2.)
fn supervisor_stdout(s: &Stage) -> Result {
    s.write(
        "supervisor_stdout.py",
        "import sys\n\n\
         def event_handler(event, response):\n    \
             header, _, data = response.decode().partition('\\n')\n    \
             fields = dict(word.split(':') for word in header.split())\n    \
             for line in data.splitlines():\n        \
                 print('%s %s | %s' % (fields['processname'], fields['channel'], line))\n    \
             sys.stdout.flush()\n\n\
         if __name__ == '__main__':\n    \
             while True:\n        \
                 sys.stdout.write('READY\\n'); sys.stdout.flush()\n        \
                 line = sys.stdin.readline()\n        \
                 if not line: break\n        \
                 length = int(dict(word.split(':') for word in line.split())['len'])\n        \
                 data = sys.stdin.read(length)\n        \
                 sys.stdout.write('RESULT %d\\n%s' % (len(data.encode()), data)); sys.stdout.flush()\n",
    )?;
    s.configure(
        "[program:a]\ncommand=sh -c 'echo one;echo two;echo bad >&2;exec sleep 1000'\n\
         stdout_events_enabled=true\nstderr_events_enabled=true\n\
         [eventlistener:stdout]\ncommand=@python %(here)s/supervisor_stdout.py\nbuffer_size=100\n\
         events=PROCESS_LOG\nresult_handler=supervisor_stdout:event_handler\n",
    )?;
    let mut command = s.command("supervisord", &["-n", "-c", "c.conf"])?;
    command.env("PYTHONPATH", s.path(""));
    let d = s.start_by(command)?;
    for line in [
        "\na stdout | one\n",
        "\na stdout | two\n",
        "\na stderr | bad\n",
    ] {
        d.await_that(line, || d.output().contains(line))?;
    }
    assert!(!d.log().contains("rejected"));
    Ok(())
}

fn pidproxy(s: &Stage) -> Result {
    s.script(
        "forking",
        &format!(
            "#!/bin/sh\ncd {}\n(trap 'echo hup >> got' HUP; trap 'echo term >> got;exit 0' TERM\n\
             sh -c 'echo $PPID > pid'\nwhile :; do sleep 0.05; done) &\nwait\n",
            s.here()
        ),
    )?;
    let program = s.kit().program(s.daemon, "pidproxy")?;
    let d = s.start(&format!(
        "[program:a]\ncommand={} %(here)s/pid %(here)s/forking\nstartsecs=0\nautorestart=false\n",
        program.display()
    ))?;
    d.await_text("pid", "\n")?;
    d.sv("signalProcess", &json!(["a", "HUP"]))?;
    d.await_text("got", "hup\n")?;
    d.sv("stopProcess", &json!(["a"]))?;
    assert_eq!(d.info("a")?["exitstatus"], 0);
    d.await_text("got", "term\n")?;
    Ok(())
}
