//! A person at a terminal does not notice ward: keys, job control and the shell's view of a
//! job are as without it, and closing the window ends everything.
//!
//! Each test runs with the command on the user's own terminal, and with a terminal between
//! (`--log` must see what is written).

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use ward_model::life::{CauseKind, End};
use ward_model::report::Report;
use ward_testkit::patience::{wait_for, wait_until};
use ward_testkit::processes;
use ward_testkit::programs::{in_path, skipped};
use ward_testkit::run::{await_report, text};
use ward_testkit::terminal::{END_OF_FILE, INTERRUPT, QUIT, SUSPEND, Terminal};
use ward_testkit::world;
use ward_testkit::world::World;

type Result = anyhow::Result<()>;

/// Runs `test` at a terminal, once for each way in which the command can have it.
fn at_a_terminal(test: impl Fn(&World, &mut Terminal, &Line) -> Result) -> Result {
    if in_path("bash").is_none() {
        skipped("a person at a terminal", "needs bash");
        return Ok(());
    }
    for logged in [false, true] {
        let world = world!()?;
        let line = Line::new(&world, logged);
        let mut terminal = Terminal::bash(&world)?;
        test(&world, &mut terminal, &line)
            .with_context(|| format!("logged: {logged}, shown: {}", terminal.shown()))?;
    }
    Ok(())
}

/// The beginning of a command line.
struct Line {
    ward: String,
    report: PathBuf,
    logged: bool,
}

impl Line {
    fn new(world: &World, logged: bool) -> Self {
        let report = world.path("report.json");
        let log = if logged {
            format!(" --log {}", text(world.path("log")))
        } else {
            String::new()
        };
        let ward = format!(
            "{} run --report {}{log}",
            text(world.ward_program()),
            text(&report)
        );
        Self {
            ward,
            report,
            logged,
        }
    }

    fn run(&self, command: &str) -> String {
        format!("{} -- {command}", self.ward)
    }

    fn with(&self, options: &str, command: &str) -> String {
        format!("{} {options} -- {command}", self.ward)
    }

    fn report(&self) -> anyhow::Result<Report> {
        await_report(&self.report)
    }
}

fn nobody_is_left(world: &World, terminal: &Terminal) -> Result {
    let shell = terminal.leader();
    let left: Vec<_> = world
        .survivors()
        .into_iter()
        .filter(|seen| seen.pid != shell)
        .collect();
    ensure!(left.is_empty(), "{left:#?}");
    ensure!(world.wards().is_empty(), "{:#?}", world.wards());
    Ok(())
}

#[test]
fn a_command_runs_and_its_status_is_the_jobs() -> Result {
    at_a_terminal(|world, terminal, line| {
        assert_eq!(terminal.ask(&line.run("echo hello"))?, "hello");
        assert_eq!(terminal.ask("echo status $?")?, "status 0");
        assert_eq!(terminal.ask(&line.run("sh -c 'exit 7'"))?, "");
        assert_eq!(terminal.ask("echo status $?")?, "status 7");
        nobody_is_left(world, terminal)
    })
}

/// The key speaks to the command, once, and what that makes of it is its own affair.
#[test]
fn the_interrupt_key() -> Result {
    at_a_terminal(|world, terminal, line| {
        for (key, name) in [(INTERRUPT, "INT"), (QUIT, "QUIT")] {
            let record = world.path(name);
            fs::write(world.roll(), "")?;
            let count = ["count-signals", &text(&record), "0.2"];
            terminal.line(&line.run(&world.hostile_text(&count)))?;
            world.await_signatures(1)?;
            terminal.send(key)?;
            terminal.prompt()?;
            assert_eq!(terminal.ask("echo status $?")?, "status 0");
            assert_eq!(fs::read_to_string(&record)?, format!("{name}\n"));
            let report = line.report()?;
            assert_eq!((report.cause, report.end), (None, End::Exited { code: 0 }));
            nobody_is_left(world, terminal)?;
        }
        Ok(())
    })
}

/// Who dies of the key, dies of it: the shell sees the job end as without ward.
#[test]
fn the_interrupt_key_ends_the_command() -> Result {
    at_a_terminal(|world, terminal, line| {
        for (key, status, signal) in [(INTERRUPT, 130, 2), (QUIT, 131, 3)] {
            fs::write(world.roll(), "")?;
            terminal.ask("ulimit -c 0")?;
            terminal.line(&line.run(&world.hostile_text(&["linger"])))?;
            world.await_signatures(1)?;
            terminal.send(key)?;
            terminal.prompt()?;
            assert_eq!(terminal.ask("echo status $?")?, format!("status {status}"));
            let report = line.report()?;
            assert!(
                matches!(report.end, End::Signaled { signal: it, .. } if it.number() == signal),
                "{:?}",
                report.end
            );
            nobody_is_left(world, terminal)?;
        }
        Ok(())
    })
}

/// Whoever is not in the foreground group is not reached by the key, and is a left-over.
#[test]
fn who_left_the_group_is_left_over_after_the_key() -> Result {
    at_a_terminal(|world, terminal, line| {
        let options = "--leftover-grace 200ms --grace 500ms";
        terminal.line(&line.with(options, &world.hostile_text(&["mixed-tree", "20"])))?;
        world.await_signatures(20)?;
        terminal.send(INTERRUPT)?;
        terminal.prompt()?;
        // Ward died of the key like the command; the rest was ended before that.
        assert_eq!(terminal.ask("echo status $?")?, "status 130");
        let report = line.report()?;
        assert!(
            report.left_over.count > 0 && report.killed.count > 0,
            "{report:#?}"
        );
        nobody_is_left(world, terminal)
    })
}

/// A command that takes no notice of the key is ended by `kill`, from elsewhere.
#[test]
fn a_command_that_takes_no_notice_of_the_key() -> Result {
    at_a_terminal(|world, terminal, line| {
        terminal.line(&line.with("--grace 300ms", &world.hostile_text(&["ignore-term"])))?;
        world.await_signatures(1)?;
        terminal.send(INTERRUPT)?;
        terminal.send(INTERRUPT)?;
        terminal.expect("^C")?;
        let front = front_of(world)?;
        processes::signal_marked(front, world.mark(), Signal::TERM);
        terminal.prompt()?;
        assert_eq!(terminal.ask("echo status $?")?, "status 123");
        let report = line.report()?;
        assert!(report.forced && !report.hurried, "{report:#?}");
        nobody_is_left(world, terminal)
    })
}

fn front_of(world: &World) -> anyhow::Result<i32> {
    wait_for("the front", || {
        world
            .wards()
            .into_iter()
            .find(|seen| seen.name == "ward")
            .map(|seen| seen.pid)
    })
}

#[test]
fn the_suspend_key_and_the_way_back() -> Result {
    at_a_terminal(|world, terminal, line| {
        terminal.line(&line.run(&world.hostile_text(&["numbered-lines", "0", "5"])))?;
        let writer = world.await_signatures(1)?[0];
        terminal.expect("line 0000000010")?;
        terminal.send(SUSPEND)?;
        terminal.expect("Stopped")?;
        terminal.prompt()?;
        wait_until("the command to be stopped", || {
            processes::look(writer).is_some_and(|seen| seen.state == 'T')
        })?;
        ensure!(
            terminal.ask("jobs")?.contains("Stopped"),
            "the shell does not know"
        );
        terminal.line("fg")?;
        // More lines than were under way when it was stopped.
        for _ in 0..50 {
            terminal.expect("line ")?;
        }
        terminal.send(INTERRUPT)?;
        terminal.prompt()?;
        assert_eq!(terminal.ask("echo status $?")?, "status 130");
        let report = line.report()?;
        assert!(report.times.paused > 0.0, "{:?}", report.times);
        nobody_is_left(world, terminal)
    })
}

/// A limit does not run while the job is stopped.
#[test]
fn limits_stand_still_with_the_job() -> Result {
    at_a_terminal(|world, terminal, line| {
        terminal.line(&line.with("--timeout 4s", "sh -c 'echo one; sleep 0.2; echo two'"))?;
        terminal.expect("one\r")?;
        terminal.send(SUSPEND)?;
        terminal.expect("Stopped")?;
        terminal.prompt()?;
        // Longer than the limit: this is the very thing that must not count.
        terminal.ask("sleep 5")?;
        terminal.line("fg")?;
        terminal.expect("two\r")?;
        terminal.prompt()?;
        assert_eq!(terminal.ask("echo status $?")?, "status 0");
        let report = line.report()?;
        assert_eq!(report.cause, None);
        assert!(report.times.paused >= 4.9, "{:?}", report.times);
        nobody_is_left(world, terminal)
    })
}

#[test]
fn a_job_in_the_background() -> Result {
    at_a_terminal(|world, terminal, line| {
        terminal.line(&line.run(&world.hostile_text(&["linger"])))?;
        let command = world.await_signatures(1)?[0];
        terminal.send(SUSPEND)?;
        terminal.expect("Stopped")?;
        terminal.prompt()?;
        terminal.ask("bg")?;
        wait_until("the command to go on", || {
            processes::look(command).is_some_and(|seen| seen.state == 'S')
        })?;
        assert_eq!(terminal.ask("echo meanwhile")?, "meanwhile");
        // The shell signals the whole job, so the command may have died of it before ward
        // has been asked.
        terminal
            .line("kill %1; wait %1; s=$?; [ $s = 123 ] || [ $s = 143 ] && echo status fine")?;
        terminal.expect("\nstatus fine")?;
        terminal.prompt()?;
        nobody_is_left(world, terminal)
    })
}

#[test]
fn what_is_typed_reaches_the_command() -> Result {
    at_a_terminal(|world, terminal, line| {
        terminal.line(&line.run("sh -c 'echo ask; read -r x; echo \"got <$x>\"; cat'"))?;
        terminal.expect("ask\r")?;
        terminal.line("some words")?;
        terminal.expect("got <some words>")?;
        terminal.line("and more")?;
        terminal.expect("and more\r\nand more")?;
        terminal.send(END_OF_FILE)?;
        terminal.prompt()?;
        assert_eq!(terminal.ask("echo status $?")?, "status 0");
        nobody_is_left(world, terminal)
    })
}

/// Programs that read single keys see each one unchanged, and leave the terminal as it was.
#[test]
fn single_keys() -> Result {
    at_a_terminal(|world, terminal, line| {
        let before = terminal.ask("stty -a | tr -d '\\n'")?;
        let keys =
            "sh -c 's=$(stty -g); stty raw -echo; echo ask; head -c 4 | od -An -tx1; stty \"$s\"'";
        terminal.line(&line.run(keys))?;
        terminal.expect("ask\n")?;
        terminal.send("a\x03\x1a\x1c")?;
        terminal.expect("61 03 1a 1c")?;
        terminal.prompt()?;
        assert_eq!(terminal.ask("stty -a | tr -d '\\n'")?, before);
        nobody_is_left(world, terminal)
    })
}

/// A job in the background that reads is stopped, and reads when it is brought back.
#[test]
fn reading_in_the_background() -> Result {
    at_a_terminal(|world, terminal, line| {
        if line.logged {
            // With a terminal of its own the command may wait for keys as long as it likes.
            return Ok(());
        }
        terminal.ask(&format!(
            "{} &",
            line.run("sh -c 'read -r x; echo \"got <$x>\"'")
        ))?;
        wait_until("the job to be stopped", || {
            processes::marked(world.mark())
                .iter()
                .any(|seen| seen.state == 'T')
        })?;
        // The shell says so before its next prompt.
        wait_until("the shell to know", || {
            terminal
                .ask("jobs")
                .is_ok_and(|jobs| jobs.contains("Stopped"))
        })?;
        terminal.line("fg")?;
        terminal.expect("read -r x")?;
        terminal.line("now")?;
        terminal.expect("got <now>")?;
        terminal.prompt()?;
        nobody_is_left(world, terminal)
    })
}

#[test]
fn the_command_sees_a_terminal() -> Result {
    at_a_terminal(|world, terminal, line| {
        let ask = "sh -c 'test -t 0 && test -t 1 && test -t 2 && echo all $(stty size)'";
        assert_eq!(terminal.ask(&line.run(ask))?, "all 50 500");
        let tty = "sh -c 'echo x >/dev/tty'";
        assert_eq!(terminal.ask(&line.run(tty))?, "x");
        nobody_is_left(world, terminal)
    })
}

#[test]
fn the_window_changes_its_size() -> Result {
    at_a_terminal(|world, terminal, line| {
        let ask = "sh -c 'trap \"stty size; exit\" WINCH; echo ask; while :; do sleep 0.05; done'";
        terminal.line(&line.run(ask))?;
        terminal.expect("ask\r")?;
        terminal.resize(40, 400)?;
        terminal.expect("40 400")?;
        terminal.prompt()?;
        nobody_is_left(world, terminal)
    })
}

/// The window is closed: everybody is told, everybody ends, and the report says why.
#[test]
fn the_window_is_closed() -> Result {
    at_a_terminal(|world, terminal, line| {
        let file = world.path("cleaned");
        let script = format!(
            "trap 'sleep 0.2; echo done >{}; exit 0' HUP; {} & wait; wait; wait",
            text(&file),
            world.hostile_text(&["mixed-tree", "8"]),
        );
        let path = world.path("script");
        fs::write(&path, script)?;
        terminal.line(&line.with("--grace 1s", &format!("sh {}", text(&path))))?;
        world.await_signatures(8)?;
        terminal.hang_up();
        terminal.wait()?;
        let report = line.report()?;
        assert_eq!(report.cause, Some(CauseKind::Requested), "{report:#?}");
        assert_eq!(
            report.stops[0].signal.map(|signal| signal.number()),
            Some(1)
        );
        assert!(file.exists(), "the clean-up did not run: {report:#?}");
        wait_until("ward to end", || world.wards().is_empty())?;
        nobody_is_left(world, terminal)
    })
}

#[test]
fn a_pipeline_at_the_terminal() -> Result {
    at_a_terminal(|world, terminal, line| {
        assert_eq!(
            terminal.ask(&format!("{} | head -n 2", line.run("yes")))?,
            "y\r\ny"
        );
        assert_eq!(
            terminal.ask(&format!("echo through | {}", line.run("cat")))?,
            "through"
        );
        nobody_is_left(world, terminal)
    })
}

/// A shell within ward has jobs of its own.
#[test]
fn a_shell_within_the_run() -> Result {
    at_a_terminal(|world, terminal, line| {
        terminal.line(&line.run("bash --norc --noprofile -i"))?;
        terminal.prompt()?;
        assert_eq!(terminal.ask("echo inner $((20+3))")?, "inner 23");
        terminal.line("sleep 100")?;
        wait_until("the inner job", || {
            processes::marked(world.mark())
                .iter()
                .any(|seen| seen.command == "sleep 100")
        })?;
        terminal.send(SUSPEND)?;
        terminal.expect("Stopped")?;
        terminal.prompt()?;
        terminal.line("fg")?;
        terminal.expect("sleep 100")?;
        wait_until("the inner job to go on", || {
            processes::marked(world.mark())
                .iter()
                .any(|seen| seen.command == "sleep 100" && seen.state == 'S')
        })?;
        terminal.send(INTERRUPT)?;
        terminal.prompt()?;
        assert_eq!(terminal.ask("echo still inner $?")?, "still inner 130");
        terminal.line("exit 5")?;
        terminal.prompt()?;
        assert_eq!(terminal.ask("echo status $?")?, "status 5");
        nobody_is_left(world, terminal)
    })
}

/// What is logged is what was shown.
#[test]
fn the_log_of_a_terminal() -> Result {
    at_a_terminal(|world, terminal, line| {
        assert_eq!(
            terminal.ask(&line.run("printf 'one\\ntwo\\n'"))?,
            "one\r\ntwo"
        );
        if line.logged {
            let log = fs::read_to_string(world.path("log"))?;
            assert_eq!(log.replace('\r', ""), "one\ntwo\n");
        }
        Ok(())
    })
}

/// A loop in the shell ends with the key, as it would without ward; after a command that
/// handled the key itself and ended well, it goes on.
#[test]
fn a_loop_in_the_shell() -> Result {
    at_a_terminal(|world, terminal, line| {
        let run = line.run(&world.hostile_text(&["linger"]));
        terminal.line(&format!(
            "for i in 1 2 3; do echo round $i; {run}; done; echo after the loop"
        ))?;
        world.await_signatures(1)?;
        terminal.send(INTERRUPT)?;
        terminal.prompt()?;
        let shown = terminal.shown();
        ensure!(
            !shown.contains("\nround 2") && !shown.contains("\nafter the loop"),
            "the loop went on"
        );
        nobody_is_left(world, terminal)
    })
}

/// Ward itself dies at the terminal: the shell gets its terminal back and nobody is left.
#[test]
fn the_front_is_killed_at_the_terminal() -> Result {
    at_a_terminal(|world, terminal, line| {
        terminal.line(&line.with("--grace 500ms", &world.hostile_text(&["mixed-tree", "8"])))?;
        world.await_signatures(8)?;
        processes::signal_marked(front_of(world)?, world.mark(), Signal::KILL);
        terminal.expect("Killed")?;
        terminal.prompt()?;
        assert_eq!(terminal.ask("echo back $((1+1))")?, "back 2");
        wait_until("ward to end", || world.wards().is_empty())?;
        let report = line.report()?;
        assert_eq!(report.cause, Some(CauseKind::FrontLost));
        assert!(
            matches!(report.end, End::Signaled { .. }),
            "{:?}",
            report.end
        );
        nobody_is_left(world, terminal)
    })
}
