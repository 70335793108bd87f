//! The command line: where options may stand, what is only printed, and what has no effect here.

use std::os::unix::fs::symlink;

use anyhow::{Context as _, ensure};
use ward_testkit::world;
use ward_testkit::world::Who;

use crate::Result;
use crate::place::{BUSY, FAILED, Holder, NO_COMMAND, flom, just, of};

#[test]
fn by_its_name_it_is_the_same() -> Result {
    let world = world!()?;
    let link = world.programs().join("flom");
    symlink(world.ward_program(), &link)?;
    for (words, code, out) in [
        (
            &["-r", "R", "--", "sh", "-c", "echo in; exit 3"][..],
            3,
            "in\n",
        ),
        (&["echo", "-r", "R", "in"], 0, "in\n"),
        (&["-r", "a.b", "--", "echo"], 0, "a\n"),
        (&["--", "sh", "-c", "kill -KILL $$"], 137, ""),
        (&[], NO_COMMAND, ""),
    ] {
        let answer = of(&world, Who::Myself, &link).words(words).expect(code)?;
        assert_eq!(answer.out, out, "{words:?}");
    }
    // Both mean the same lock.
    let holder = Holder::new(&world, "it", &["-r", "R"])?;
    of(&world, Who::Myself, &link)
        .words(["-r", "R", "-o", "0", "--", "true"])
        .expect(BUSY)?;
    holder.end()?.expect(0)?;
    Ok(())
}

#[test]
fn options_end_at_two_dashes_and_nowhere_else() -> Result {
    let world = world!()?;
    for (words, code, out) in [
        (
            &["-r", "R", "--", "echo", "-r", "--", "x"][..],
            0,
            "-r -- x\n",
        ),
        (&["echo", "a", "-r", "R", "b", "--", "-c"], 0, "a b -c\n"),
        (&["--resource-name=R", "-o0", "echo"], 0, "\n"),
        (&["-o", "-1", "-l", "ConcurrentRead", "--", "echo"], 0, "\n"),
        (&["--", "sh", "-c", "exit 7"], 7, ""),
    ] {
        let answer = flom(&world, words).expect(code)?;
        assert_eq!(answer.out, out, "{words:?}");
    }
    // A command's own options are taken for ours, as in FLoM.
    let answer = flom(&world, &["ls", "-l"]).expect(FAILED)?;
    ensure!(
        answer.err.starts_with("option parsing failed: "),
        "{answer:#?}"
    );
    Ok(())
}

#[test]
fn what_cannot_be_read_is_refused() -> Result {
    let world = world!()?;
    for words in [
        &["-z", "FOO", "--", "true"][..],
        &["--ZZZ-ZZZ=BAR", "--", "true"],
        &["-o", "soon", "--", "true"],
        &["-q"],
        &["--debug-feature", "tls.server"],
        &["--grace", "soon", "--", "true"],
        &["--script", "x"],
    ] {
        let answer = flom(&world, words).expect(FAILED)?;
        ensure!(
            answer.out.is_empty() && !answer.err.is_empty(),
            "{answer:#?}"
        );
    }
    let answer = just(&world, &["-l", "XX"])?.expect(FAILED)?;
    ensure!(answer.err.contains("`XX` is no lock mode"), "{answer:#?}");
    Ok(())
}

#[test]
fn what_is_only_printed() -> Result {
    let world = world!()?;
    for option in ["-h", "--help", "-?"] {
        let answer = flom(&world, &["-V", option, "-Z"]).expect(0)?;
        ensure!(answer.out.starts_with("Usage: flom "), "{answer:#?}");
    }
    for option in ["-v", "--version"] {
        let answer = flom(&world, &[option, "--", "false"]).expect(0)?;
        ensure!(answer.out.contains("package version: 1.7.2"), "{answer:#?}");
    }
    let answer = flom(&world, &["--signal-list"]).expect(0)?;
    ensure!(answer.out.contains("SIGTERM"), "{answer:#?}");
    if let Ok(id) = std::fs::read_to_string("/etc/machine-id")
        && !id.trim().is_empty()
    {
        let answer = flom(&world, &["--unique-id"]).expect(0)?;
        assert_eq!(answer.out.trim(), id.trim());
    }
    Ok(())
}

/// The lines that FLoM's own tests look for.
#[test]
fn the_whole_configuration_is_told() -> Result {
    let world = world!()?;
    for (options, line) in [
        (
            &["-t", "/tmp/d.trc"][..],
            "[Trace]/DaemonTraceFile='/tmp/d.trc'",
        ),
        (
            &["-T", "/tmp/c.trc"],
            "[Trace]/CommandTraceFile='/tmp/c.trc'",
        ),
        (&["--append-trace-file=yes"], "[Trace]/AppendTraceFile=1"),
        (&["--verbose"], "[Trace]/Verbose=1"),
        (&["-r", "MYRES"], "[Resource]/Name='MYRES'"),
        (&["-o", "100"], "[Resource]/Timeout=100"),
        (&["-o", "-100"], "[Resource]/Timeout=-100"),
        (&["-q", "22"], "[Resource]/Quantity=22"),
        (&["-e", "y"], "[Resource]/Create=1"),
        (&["-i", "123"], "[Resource]/IdleLifespan=123"),
        (&["-l", "PR"], "[Resource]/LockMode=3"),
        (&["--lock-mode=ProtectedRead"], "[Resource]/LockMode=3"),
        (&["-l", "NL"], "[Resource]/LockMode=0"),
        (&["-s", "/tmp/foo"], "[Daemon]/SocketName='/tmp/foo'"),
        (&["-d", "231"], "[Daemon]/Lifespan=231"),
        (&["-p", "27750"], "[Daemon]/UnicastPort=27750"),
        (&["-P", "27750"], "[Daemon]/MulticastPort=27750"),
        (&["-n", "eth0"], "[Network]/NetworkInterface='eth0'"),
        (&["-D", "3"], "[Network]/DiscoveryAttempts=3"),
        (&["-I", "12345"], "[Network]/DiscoveryTimeout=12345"),
        (&["--discovery-ttl=4"], "[Network]/DiscoveryTTL=4"),
        (
            &["--tcp-keepalive-time=12345"],
            "[Network]/TcpKeepaliveTime=12345",
        ),
        (
            &["--tcp-keepalive-intvl=12345"],
            "[Network]/TcpKeepaliveIntvl=12345",
        ),
        (
            &["--tcp-keepalive-probes=12345"],
            "[Network]/TcpKeepaliveProbes=12345",
        ),
        (&["--tls-certificate=c.pem"], "[TLS]/TlsCertificate='c.pem'"),
        (&["--tls-private-key=k.pem"], "[TLS]/TlsPrivateKey='k.pem'"),
        (
            &["--tls-ca-certificate=a.pem"],
            "[TLS]/TlsCaCertificate='a.pem'",
        ),
        (&["--tls-check-peer-id=yes"], "[TLS]/TlsCheckPeerId=1"),
    ] {
        let all = [&["-V"], options].concat();
        let answer = flom(&world, &all).words(["--", "echo", "ran"]).expect(0)?;
        let lines: Vec<&str> = answer.out.lines().collect();
        ensure!(lines.contains(&line), "{line}: {answer:#?}");
        // All of it before the command.
        assert_eq!(lines.last().copied(), Some("ran"));
    }
    // Nothing is added to who did not ask.
    let answer = flom(&world, &["--", "echo", "ran"]).expect(0)?;
    assert_eq!((answer.out.as_str(), answer.err.as_str()), ("ran\n", ""));
    Ok(())
}

#[test]
fn what_was_got_is_told() -> Result {
    let world = world!()?;
    let answer = flom(&world, &["-V", "-r", "red.green"])
        .words(["--", "echo"])
        .expect(0)?;
    let mut lines = answer.out.lines().rev();
    assert_eq!(lines.next(), Some("red"));
    assert_eq!(lines.next(), Some("Locked element is 'red'"));
    let answer = flom(&world, &["-V", "-r", "R"])
        .words(["--", "true"])
        .expect(0)?;
    ensure!(!answer.out.contains("Locked element"), "{answer:#?}");
    Ok(())
}

#[test]
fn what_is_about_a_daemon_has_no_effect() -> Result {
    let world = world!()?;
    for options in [
        &["-d", "0"][..],
        &["-d", "1"],
        &["-d", "-1"],
        &["-D", "1", "-I", "1", "--discovery-ttl", "1"],
        &[
            "--tcp-keepalive-time=1",
            "--tcp-keepalive-intvl=1",
            "--tcp-keepalive-probes=1",
        ],
    ] {
        let answer = just(&world, options)?.expect(0)?;
        ensure!(answer.err.is_empty(), "{answer:#?}");
    }
    for (options, told) in [
        (&["-m", "/mnt"][..], "-m: nothing is mounted"),
        (
            &["-T", "/tmp/c", "-t", "/tmp/d"],
            "-t, -T: nothing is traced",
        ),
        (
            &["--append-trace-file", "no"],
            "--append-trace-file: nothing is traced",
        ),
        (&["-p", "1"], "-p: without an address"),
        (
            &["--tls-certificate=c.pem"],
            "--tls-certificate: without an address",
        ),
    ] {
        let answer = just(&world, options)?.expect(0)?;
        ensure!(answer.err.contains(told), "{answer:#?}");
        assert_eq!(answer.err.lines().count(), 1, "{answer:#?}");
    }
    // A file that FLoM reads too is not commented upon.
    let file = "[Trace]\nDaemonTraceFile=/tmp/d\n[Daemon]\nMountPointVFS=/mnt\nUnicastPort=1\n";
    std::fs::write(world.path(".flom"), file)?;
    let answer = just(&world, &[])?.expect(0)?;
    ensure!(answer.err.is_empty(), "{answer:#?}");
    Ok(())
}

#[test]
fn several_hosts_are_those_of_a_cluster() -> Result {
    let world = world!()?;
    for (options, endpoint) in [
        (&["-a", "127.0.0.1", "-p", "1"][..], "http://127.0.0.1:1"),
        (&["--unicast-address=::1", "-p", "1"], "http://[::1]:1"),
    ] {
        let answer = just(&world, options)?.expect(FAILED)?;
        let told = format!("{endpoint} is taken for an etcd cluster");
        ensure!(
            answer.err.contains(&told) && answer.err.contains("Connection refused"),
            "{answer:#?}"
        );
    }
    let answer = just(&world, &["-A", "239.255.0.1"])?.expect(FAILED)?;
    ensure!(
        answer.err.contains("-A: `239.255.0.1`") && answer.err.contains("ward lock NAME --etcd"),
        "{answer:#?}"
    );
    for options in [
        &["-V", "-s", "/tmp/foo", "-a", "192.168.1.1"][..],
        &["-V", "-s", "/tmp/foo", "-A", "239.255.0.1"],
    ] {
        let answer = just(&world, options)?.expect(FAILED)?;
        ensure!(answer.err.contains("there is a socket too"), "{answer:#?}");
    }
    std::fs::write(
        world.path("flom.conf"),
        "[Daemon]\nUnicastAddress=127.0.0.1\nUnicastPort=1\n",
    )?;
    let answer = just(&world, &[])?.expect(FAILED)?;
    ensure!(answer.err.contains("flom.conf:2"), "{answer:#?}");
    // Whoever wants another one of this host says so.
    just(&world, &["-a", ""])?.expect(0)?;
    Ok(())
}

/// Options of `ward lock` that FLoM does not have.
#[test]
fn options_of_ours() -> Result {
    let world = world!()?;
    let locks = world.path("elsewhere");
    let answer = flom(
        &world,
        &[
            "--chdir=/",
            "--env",
            "X=1",
            "--why=a good reason",
            "--lock-dir",
        ],
    )
    .words([&locks])
    .words(["-r", "R", "--", "sh", "-c", "pwd; echo $X"])
    .expect(0)?;
    assert_eq!(answer.out, "/\n1\n");
    ensure!(locks.join("R").exists(), "{answer:#?}");
    let report = world.path("report");
    flom(&world, &["--report"])
        .words([&report])
        .words(["--", "sh", "-c", "exit 5"])
        .expect(5)?;
    let text = std::fs::read(&report).context("no report")?;
    let report: serde_json::Value = serde_json::from_slice(&text)?;
    assert_eq!(report["end"]["code"], 5, "{report:#}");
    Ok(())
}
