//! Output is bytes: all of them, unchanged, in order, to whoever reads, and to the log.

#![forbid(unsafe_code)]

use std::fs::{self, File, OpenOptions};
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use ward_model::life::End;
use ward_testkit::hostile::noise::{BROKEN_PIPE, numbered_line, random_bytes};
use ward_testkit::patience::wait_until;
use ward_testkit::processes;
use ward_testkit::run::{Capture, Ended, contains, pipe_with, text};
use ward_testkit::truth::is_rfc3339;
use ward_testkit::world;
use ward_testkit::world::{Who, settings};

type Result = anyhow::Result<()>;

const OUT: usize = 3_000_017;
const ERR: usize = 2_000_003;

fn random() -> [String; 4] {
    [
        "random-bytes".to_owned(),
        "7".to_owned(),
        OUT.to_string(),
        ERR.to_string(),
    ]
}

fn mood(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// Both streams as they were sent; not `assert_eq`, which would print megabytes.
fn same(what: &str, got: &[u8], sent: &[u8]) -> Result {
    let at = got.iter().zip(sent).position(|(a, b)| a != b);
    ensure!(
        got == sent,
        "{what}: {} bytes instead of {}, first difference at {at:?}",
        got.len(),
        sent.len()
    );
    Ok(())
}

fn reported(ended: &Ended, out: usize, err: usize) -> Result {
    let output = ended.judge(0)?.output;
    assert_eq!(
        (output.stdout_bytes, output.stderr_bytes),
        (out as u64, err as u64)
    );
    assert_eq!((output.undelivered_bytes, output.log_lost_bytes), (0, 0));
    Ok(())
}

#[test]
fn two_pipes() -> Result {
    for setting in settings() {
        let world = world!()?;
        let ended = world
            .ward()
            .setting(setting)
            .options(["--quiet"])
            .hostile(&mood(&random()))
            .finish()?;
        same("stdout", &ended.stdout, &random_bytes(7, OUT))?;
        same("stderr", &ended.stderr, &random_bytes(8, ERR))?;
        reported(&ended, OUT, ERR)?;
    }
    Ok(())
}

#[test]
fn a_file_and_the_end_of_another() -> Result {
    let world = world!()?;
    let (new, old) = (world.path("new"), world.path("old"));
    fs::write(&old, "what was there\n")?;
    let run = world.ward().stdout(File::create(&new)?);
    let run = run.stderr(OpenOptions::new().append(true).open(&old)?);
    let ended = run.hostile(&mood(&random())).finish()?;
    same("the new file", &fs::read(&new)?, &random_bytes(7, OUT))?;
    let all = [b"what was there\n".to_vec(), random_bytes(8, ERR)].concat();
    same("the old file", &fs::read(&old)?, &all)?;
    reported(&ended, OUT, ERR)
}

/// Both streams in one file that was opened once, as after `>file 2>&1`: they share its
/// offset, so neither overwrites the other.
#[test]
fn one_file_for_both() -> Result {
    let world = world!()?;
    let path = world.path("both");
    let file = File::create(&path)?;
    let run = world.ward().stdout(file.try_clone()?).stderr(file);
    run.hostile(&["both-streams", "2000"]).finish()?.judge(0)?;
    let mut lines: Vec<String> = fs::read_to_string(&path)?
        .lines()
        .map(|line| format!("{line}\n"))
        .collect();
    lines.sort();
    same(
        "the lines",
        lines.concat().as_bytes(),
        (1..=2000).map(numbered_line).collect::<String>().as_bytes(),
    )
}

#[test]
fn sockets() -> Result {
    let world = world!()?;
    let (near, far) = UnixStream::pair()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let near_tcp = std::net::TcpStream::connect(listener.local_addr()?)?;
    let (far_tcp, _) = listener.accept()?;
    let run = world.ward().stdout(std::os::fd::OwnedFd::from(near));
    let run = run
        .stderr(std::os::fd::OwnedFd::from(near_tcp))
        .hostile(&mood(&random()));
    let running = run.start()?;
    let (out, err) = (Capture::of(far.into()), Capture::of(far_tcp.into()));
    let ended = running.finish()?;
    same(
        "the unix socket",
        &out.to_end("the unix socket")?,
        &random_bytes(7, OUT),
    )?;
    same(
        "the tcp socket",
        &err.to_end("the tcp socket")?,
        &random_bytes(8, ERR),
    )?;
    reported(&ended, OUT, ERR)
}

/// A descriptor that does not block, as programs on an event loop leave behind: a full pipe
/// is not an error.
#[test]
fn a_pipe_that_does_not_block() -> Result {
    let world = world!()?;
    let (mut reader, writer) = std::io::pipe()?;
    rustix::io::ioctl_fionbio(&writer, true)?;
    let running = world
        .ward()
        .stdout(writer)
        .hostile(&["random-bytes", "7", "1000003", "0"])
        .start()?;
    let mut got = Vec::new();
    reader.read_to_end(&mut got)?;
    running.finish()?.judge(0)?;
    same("stdout", &got, &random_bytes(7, 1_000_003))
}

#[test]
fn a_reader_that_takes_its_time() -> Result {
    let world = world!()?;
    let (mut reader, writer) = std::io::pipe()?;
    // More than all the pipes in between hold.
    let bytes = 6_000_000;
    let mut running = world
        .ward()
        .stdout(writer)
        .hostile(&["random-bytes", "7", "6000000", "0"])
        .start()?;
    let mut got = Vec::new();
    let mut piece = vec![0; 9973];
    // Nobody reads until the pipes are full all along and the command waits.
    let signed = running.await_signatures(1)?[0];
    wait_until("the writer to wait", || {
        processes::look(signed).is_some_and(|seen| seen.state == 'S')
    })?;
    loop {
        let count = reader.read(&mut piece)?;
        if count == 0 {
            break;
        }
        got.extend_from_slice(&piece[..count]);
    }
    same("stdout", &got, &random_bytes(7, bytes))?;
    running.finish()?.judge(0)?;
    Ok(())
}

/// The last words come before the end, however short the life.
#[test]
fn last_words() -> Result {
    let world = world!()?;
    for _ in 0..40 {
        let ended = world
            .ward()
            .sh("printf out; printf err >&2; exit 3")
            .finish()?;
        ended.judge(3)?;
        assert_eq!((ended.out().as_str(), ended.err().as_str()), ("out", "err"));
    }
    Ok(())
}

/// What left-overs say while they are being stopped is output like any other.
#[test]
fn last_words_of_who_was_left_over() -> Result {
    for setting in settings() {
        let world = world!()?;
        let file = world.path("cleaned");
        let text = format!(
            "{} & while ! [ -s {} ]; do sleep 0.01; done; exit 3",
            world.hostile_text(&["cleanup", "0.3", &text(&file)]),
            text(world.roll()),
        );
        let ended = world
            .ward()
            .setting(setting)
            .options(["--leftover-grace", "100ms"])
            .sh(&text)
            .finish()?;
        let report = ended.judge(3)?;
        assert!(
            ended.out().starts_with("READY\nSTART\n") && ended.out().ends_with("END\n"),
            "{}",
            ended.out()
        );
        assert_eq!((report.cleaned_up.count, report.killed.count), (1, 0));
        assert!(file.exists());
    }
    Ok(())
}

/// `yes | head`: who writes for nobody is told so, as without ward.
#[test]
fn a_reader_that_has_enough() -> Result {
    for setting in settings() {
        let world = world!()?;
        let (mut reader, writer) = std::io::pipe()?;
        let running = world
            .ward()
            .setting(setting)
            .stdout(writer)
            .command(["yes"])
            .start()?;
        let mut some = [0; 20];
        reader.read_exact(&mut some)?;
        drop(reader);
        assert_eq!(&some, b"y\ny\ny\ny\ny\ny\ny\ny\ny\ny\n");
        let ended = running.finish()?;
        let report = ended.judge(128 + 13)?;
        assert!(
            matches!(report.end, End::Signaled { signal, .. } if signal.number() == 13),
            "{:?}",
            report.end
        );
        assert_eq!(report.cause, None);
    }
    Ok(())
}

/// The same for a program that handles the error itself.
#[test]
fn a_reader_that_has_enough_of_a_program_that_ignores_sigpipe() -> Result {
    let world = world!()?;
    let (reader, writer) = std::io::pipe()?;
    let mut running = world
        .ward()
        .stdout(writer)
        .hostile(&["flood", "0"])
        .start()?;
    running.await_signatures(1)?;
    drop(reader);
    running.finish()?.judge(BROKEN_PIPE)?;
    Ok(())
}

/// One stream without a reader does not stop the other.
#[test]
fn one_reader_less() -> Result {
    let world = world!()?;
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let text = "trap '' PIPE; echo lost; i=0; while [ $i -lt 200 ]; do echo lost; echo kept >&2; i=$((i+1)); done; exit 5";
    let ended = world
        .ward()
        .stdout(writer)
        .options(["--quiet"])
        .sh(&format!("{{ {text}; }} 2>&2"))
        .finish()?;
    assert_eq!(ended.code(), 5);
    assert_eq!(
        ended.err().lines().filter(|line| *line == "kept").count(),
        200
    );
    Ok(())
}

#[test]
fn a_full_disk_is_told_of_and_stops_nobody() -> Result {
    let world = world!()?;
    let full = OpenOptions::new().write(true).open("/dev/full")?;
    let mut running = world
        .ward()
        .stdout(full)
        .sh("echo READY >&2; echo lost; exit 0")
        .start()?;
    wait_until("the command", || {
        contains(&running.stderr_so_far(), "READY")
    })?;
    ensure!(
        wait_until("the end", || running.is_over()).is_ok(),
        "it hangs"
    );
    let ended = running.finish()?;
    let report = ended.report()?;
    assert_eq!(report.output.undelivered_bytes, 5, "{report:#?}");
    assert!(
        ended.wards_words().contains("No space left"),
        "{}",
        ended.err()
    );
    Ok(())
}

#[test]
fn merged_streams_keep_their_order() -> Result {
    for setting in settings() {
        let world = world!()?;
        let ended = world
            .ward()
            .setting(setting)
            .options(["--merge"])
            .hostile(&["both-streams", "5000"])
            .finish()?;
        let report = ended.judge(0)?;
        let lines: String = (1..=5000).map(numbered_line).collect();
        same("stdout", &ended.stdout, lines.as_bytes())?;
        assert_eq!(ended.err(), "");
        assert_eq!(report.output.stdout_bytes, lines.len() as u64);
    }
    Ok(())
}

#[test]
fn the_log_has_everything() -> Result {
    for setting in settings() {
        let world = world!()?;
        let log = world.path("log");
        let log_text = text(&log);
        fs::write(&log, "what was there\n")?;
        fs::set_permissions(&log, std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
        let run = || {
            world
                .ward()
                .setting(setting)
                .options(["--quiet", "--log", &log_text])
        };

        let ended = run()
            .hostile(&["random-bytes", "7", "2000003", "0"])
            .finish()?;
        ended.judge(0)?;
        same("stdout", &ended.stdout, &random_bytes(7, 2_000_003))?;
        same("the log", &fs::read(&log)?, &random_bytes(7, 2_000_003))?;

        let ended = run()
            .options(["--log-append"])
            .hostile(&["random-bytes", "9", "0", "100003"])
            .finish()?;
        ended.judge(0)?;
        let all = [random_bytes(7, 2_000_003), random_bytes(10, 100_003)].concat();
        same("the log", &fs::read(&log)?, &all)?;

        let ended = run()
            .options(["--merge"])
            .hostile(&["both-streams", "1000"])
            .finish()?;
        ended.judge(0)?;
        let lines: String = (1..=1000).map(numbered_line).collect();
        same("the log", &fs::read(&log)?, lines.as_bytes())?;
        same("stdout", &ended.stdout, lines.as_bytes())?;
    }
    Ok(())
}

/// Without `--merge` the log has the lines of both streams, each line whole.
#[test]
fn the_log_has_both_streams() -> Result {
    let world = world!()?;
    let log = world.path("log");
    let ended = world
        .ward()
        .options(["--log", &text(&log)])
        .hostile(&["both-streams", "1000"])
        .finish()?;
    ended.judge(0)?;
    let mut lines: Vec<String> = fs::read_to_string(&log)?
        .lines()
        .map(|line| format!("{line}\n"))
        .collect();
    lines.sort();
    same(
        "the lines",
        lines.concat().as_bytes(),
        (1..=1000).map(numbered_line).collect::<String>().as_bytes(),
    )
}

/// The time is in the log, before each line, and nowhere else.
#[test]
fn the_log_has_the_time() -> Result {
    let world = world!()?;
    let log = world.path("log");
    let run = world.ward().options(["--log", &text(&log), "--timestamps"]);
    let ended = run
        .sh("echo one; echo; printf '  three'; sleep 0.02; printf ' and more\\nfour'")
        .finish()?;
    ended.judge(0)?;
    assert_eq!(ended.out(), "one\n\n  three and more\nfour");
    let text = fs::read_to_string(&log)?;
    let mut moments = Vec::new();
    let mut lines = Vec::new();
    for line in text.split('\n').filter(|line| !line.is_empty()) {
        let (moment, line) = line
            .split_once(' ')
            .with_context(|| format!("no time in {line:?}"))?;
        ensure!(
            is_rfc3339(moment) && moment.len() == "2026-11-21T10:42:00.000Z".len(),
            "{moment}"
        );
        moments.push(moment.to_owned());
        lines.push(line.to_owned());
    }
    assert_eq!(lines, ["one", "", "  three and more", "four"]);
    assert!(moments.is_sorted(), "{moments:?}");
    Ok(())
}

#[test]
fn a_log_on_a_full_disk_costs_nothing_but_the_log() -> Result {
    let world = world!()?;
    let run = world
        .ward()
        .options(["--log", "/dev/full"])
        .hostile(&["numbered-lines", "5000"]);
    let ended = run.finish()?;
    let report = ended.judge(0)?;
    let lines: String = (1..=5000).map(numbered_line).collect();
    same("stdout", &ended.stdout, lines.as_bytes())?;
    assert_eq!(report.output.log_lost_bytes, lines.len() as u64);
    let words = ended.wards_words();
    assert!(
        words.contains("log") && words.contains("No space left"),
        "{words}"
    );
    Ok(())
}

#[test]
fn input_passes_through() -> Result {
    let world = world!()?;
    let bytes = random_bytes(3, 700_001);
    let ended = world
        .ward()
        .stdin(pipe_with(bytes.clone())?)
        .command(["cat"])
        .finish()?;
    reported(&ended, bytes.len(), 0)?;
    same("stdout", &ended.stdout, &bytes)
}

/// What the command does not read is still there for who comes after it.
#[test]
fn ward_reads_no_input_of_its_own() -> Result {
    let world = world!()?;
    let ward = text(world.ward_program());
    let text = format!("{ward} run -- true; {ward} run -- head -c 2; {ward} run -- cat");
    let output = world
        .command_as(Who::Myself, "/bin/sh")
        .args(["-c", &text, world.mark()])
        .stdin(Stdio::from(pipe_with(b"abcdef".to_vec())?))
        .output()?;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "abcdef");
    Ok(())
}

#[test]
fn ward_says_who_was_left_over_unless_it_is_to_be_quiet() -> Result {
    let world = world!()?;
    let run = || world.ward().options(["--leftover-grace", "100ms"]);
    let ended = run().hostile_leaving(9, &["daemonize"]).finish()?;
    let report = ended.judge(9)?;
    let pid = report.left_over.processes[0].pid.to_string();
    assert!(ended.wards_words().contains(&pid), "{}", ended.err());
    let ended = run()
        .options(["--quiet"])
        .hostile_leaving(9, &["daemonize"])
        .finish()?;
    ended.judge(9)?;
    assert_eq!(ended.err(), "");
    Ok(())
}

#[test]
fn a_quiet_run_says_nothing() -> Result {
    let world = world!()?;
    let ended = world.ward().without_report().command(["true"]).finish()?;
    assert_eq!(
        (ended.out(), ended.err(), ended.code()),
        (String::new(), String::new(), 0)
    );
    Ok(())
}

/// The standard streams may all be closed.
#[test]
fn without_any_stream() -> Result {
    let world = world!()?;
    let file = world.path("done");
    let run = world
        .ward()
        .started_by(["/bin/sh", "-c", "exec \"$@\" <&- >&- 2>&-", "sh"]);
    let ended = run
        .sh(&format!("echo lost; echo done > {}; exit 3", text(&file)))
        .finish()?;
    assert_eq!(ended.code(), 3);
    assert_eq!(fs::read_to_string(&file)?, "done\n");
    assert_eq!(ended.report()?.exit_status, 3);
    Ok(())
}

/// Two runs side by side in a pipeline, as people write it.
#[test]
fn a_pipeline_of_wards() -> Result {
    let world = world!()?;
    let ward = text(world.ward_program());
    let text = format!(
        "{ward} run -- {} | {ward} run -- sort -r | {ward} run -- head -n 3",
        world.hostile_text(&["numbered-lines", "5000"])
    );
    let output = world
        .command_as(Who::Myself, "/bin/sh")
        .args(["-c", &text, world.mark()])
        .output()?;
    let lines: String = (4998..=5000).rev().map(numbered_line).collect();
    assert_eq!(String::from_utf8_lossy(&output.stdout), lines);
    assert_eq!(world.survivors(), []);
    Ok(())
}

/// A log is created for its owner and with the caller's umask, like any file.
#[test]
fn the_log_is_a_file_like_any_other() -> Result {
    let world = world!()?;
    let log = world.path("log");
    let run = world
        .ward()
        .started_by(["/bin/sh", "-c", "umask 027; exec \"$@\"", "sh"]);
    run.options(["--log", &text(&log)])
        .sh("echo x")
        .finish()?
        .judge(0)?;
    let metadata = fs::metadata(&log)?;
    assert_eq!(metadata.mode() & 0o777, 0o640);
    assert_eq!(metadata.len(), 2);
    Ok(())
}
