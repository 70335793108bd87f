//! Somebody sits before the shell: at a terminal, with keys.

use std::path::Path;
use std::sync::OnceLock;

use anyhow::ensure;
use ward_testkit::run::text;
use ward_testkit::supervisor::daemon::Daemon;
use ward_testkit::supervisor::kit::{Kit, Subject};
use ward_testkit::supervisor::stage::{CONFIGURATION, Stage};
use ward_testkit::terminal::{END_OF_FILE, INTERRUPT, Terminal};
use ward_testkit::world;
use ward_testkit::world::World;

use crate::Result;

const UP: &str = "\x1b[A";

/// Ours alone: what keys do there is not the original's business.
fn kit() -> Result<&'static Kit> {
    static KIT: OnceLock<std::result::Result<Kit, String>> = OnceLock::new();
    KIT.get_or_init(|| {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
        Kit::ours_alone(Path::new(env!("CARGO_BIN_EXE_ward")), place)
            .map_err(|error| format!("{error:#}"))
    })
    .as_ref()
    .map_err(|error| anyhow::anyhow!("{error}"))
}

/// Begins `ward ctl` with these words on a terminal of its own that knows where its cursor is.
fn ctl(world: &World, stage: &Stage, words: &[&str]) -> Result<Terminal> {
    let ward = text(world.ward_program());
    let configuration = text(stage.path(CONFIGURATION));
    let mut command = vec!["env", "TERM=xterm", &ward, "ctl", "-c", &configuration];
    command.extend(words);
    Terminal::start(world, &command)
}

fn at_the_shell(
    rest: &str,
    play: impl FnOnce(&World, &Stage, &Daemon<'_>, &mut Terminal) -> Result,
) -> Result {
    let stage = Stage::new(kit()?, Subject::Ward, Subject::Ward, &[])?;
    let daemon = stage.start(rest)?;
    let world = world!()?;
    let mut terminal = ctl(&world, &stage, &[])?;
    terminal.expect("supervisor> ")?;
    play(&world, &stage, &daemon, &mut terminal)
}

const CAT: &str = "[program:cat]\ncommand=/bin/cat\nautostart=false\nstartsecs=0\n";

#[test]
fn a_line_is_completed_and_remembered() -> Result {
    at_the_shell(
        &format!("history_file=%(here)s/history\n{CAT}"),
        |world, stage, daemon, terminal| {
            terminal.line("start cat")?;
            terminal.expect("cat: started")?;
            terminal.expect("supervisor> ")?;
            // The name is completed, and the blank after it typed.
            terminal.send("stop c\t\r")?;
            terminal.expect("cat: stopped")?;
            terminal.expect("supervisor> ")?;
            terminal.send(&format!("{UP}{UP}\r"))?;
            terminal.expect("cat: started")?;
            terminal.expect("supervisor> ")?;
            terminal.send(END_OF_FILE)?;
            ensure!(terminal.wait()?.success(), "{}", terminal.shown());
            ensure!(daemon.state("cat")? == "RUNNING");
            // The next shell knows what the last one was told.
            let mut next = ctl(world, stage, &[])?;
            next.expect("supervisor> ")?;
            next.send(&format!("{UP}{UP}\r"))?;
            next.expect("cat: stopped")?;
            next.expect("supervisor> ")?;
            next.send(INTERRUPT)?;
            next.wait()?;
            ensure!(daemon.state("cat")? == "STOPPED");
            Ok(())
        },
    )
}

#[test]
fn an_interrupt_ends_what_is_followed_and_not_the_shell() -> Result {
    let rest = "[program:cat]\ncommand=/bin/cat\nstartsecs=0\nstdout_logfile=%(here)s/cat.log\n";
    at_the_shell(rest, |_, _, daemon, terminal| {
        daemon.await_state("cat", "RUNNING")?;
        terminal.line("fg cat")?;
        terminal.expect("==> Press Ctrl-C to exit <==")?;
        terminal.line("to the cat")?;
        // Once by the terminal, once by the cat.
        terminal.expect("to the cat")?;
        terminal.expect("to the cat")?;
        terminal.send(INTERRUPT)?;
        terminal.expect("Exiting foreground")?;
        terminal.expect("supervisor> ")?;
        terminal.line("tail -f cat")?;
        terminal.expect("==> Press Ctrl-C to exit <==")?;
        terminal.expect("to the cat")?;
        let pid = daemon.pid_of("cat")?;
        terminal.send(INTERRUPT)?;
        terminal.expect("supervisor> ")?;
        terminal.line("pid cat")?;
        terminal.expect(&format!("\n{pid}\r\n"))?;
        terminal.expect("supervisor> ")?;
        terminal.line("quit")?;
        ensure!(terminal.wait()?.success(), "{}", terminal.shown());
        Ok(())
    })
}

/// The file has no name and no password, and the daemon wants both.
#[test]
fn who_is_not_known_is_asked_and_his_password_not_shown() -> Result {
    let stage = Stage::new(kit()?, Subject::Ward, Subject::Ward, &[])?;
    stage.configure_all(
        "[unix_http_server]\nfile=%(here)s/s\nusername=ann\npassword=secret words\n\
         [supervisord]\nlogfile=%(here)s/d.log\npidfile=%(here)s/d.pid\n\
         [rpcinterface:supervisor]\n\
         supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
         [program:cat]\ncommand=/bin/cat\nstartsecs=0\n",
    )?;
    let daemon = Daemon::start_unready(
        &stage,
        stage.command("supervisord", &["-n", "-c", CONFIGURATION])?,
    )?;
    daemon.await_that("the socket", || stage.path("s").exists())?;
    daemon.await_log("entered RUNNING")?;
    stage.write(
        "client.conf",
        "[supervisorctl]\nserverurl=unix://%(here)s/s\n",
    )?;
    let world = world!()?;
    let ward = text(world.ward_program());
    let configuration = text(stage.path("client.conf"));
    let command = [ward.as_str(), "ctl", "-c", &configuration, "-i", "status"];
    let mut terminal = Terminal::start(&world, &command)?;
    terminal.expect("Server requires authentication")?;
    terminal.expect("Username:")?;
    terminal.line("ann")?;
    terminal.expect("Password:")?;
    terminal.line("secret words")?;
    terminal.expect("RUNNING")?;
    ensure!(!terminal.shown().contains("secret"), "{}", terminal.shown());
    ensure!(terminal.wait()?.success(), "{}", terminal.shown());
    Ok(())
}
