//! Two supervisors of the same file.

use std::path::Path;

use anyhow::ensure;
use ward_testkit::patience::wait_until;
use ward_testkit::supervisor::stage::Stage;

use crate::programs::identities;
use crate::scene::{ALL, Scene};
use crate::{Result, on_stage};

const SLEEPER: &str = "[program:a]\ncommand=sleep 1000\nstartsecs=0\n";

#[test]
fn the_second_finds_the_socket_in_use() -> Result {
    on_stage(|s| {
        let scene = Scene::start(s, SLEEPER)?;
        let before = identities(&scene.await_all("RUNNING")?)?;
        for victim in ALL {
            let second = s.run("supervisord", &["-n", "-c", "c.conf"])?;
            let said = format!("{}{}", second.out, second.err);
            ensure!(
                second.code == 2 && said.contains("Another program is already listening"),
                "{second:?}"
            );
            ensure!(identities(&scene.all()?)? == before);
            let sleepers = s.everybody();
            let sleepers = sleepers.iter().filter(|seen| seen.name == "sleep");
            ensure!(sleepers.count() == 1);
            // Neither does it harm what the first one leaves.
            scene.strike(victim)?;
            ensure!(identities(&scene.all()?)? == before, "{victim:?}");
        }
        Ok(())
    })
}

#[test]
fn the_second_says_where_its_own_help_is() -> Result {
    on_stage(|s| {
        let _scene = Scene::start(s, SLEEPER)?;
        let ward = Path::new(env!("CARGO_BIN_EXE_ward"));
        let second = s.finish(s.furnished(ward, &["up", "-n", "-c", "c.conf"]))?;
        ensure!(second.code == 2, "{second:?}");
        ensure!(
            second.err.ends_with("\nFor help, use ward up -h\n"),
            "{second:?}"
        );
        Ok(())
    })
}

fn sleepers(s: &Stage) -> Vec<i32> {
    let found = s.everybody();
    let mut found: Vec<i32> = found
        .iter()
        .filter(|seen| seen.command == "sleep 4321")
        .map(|seen| seen.pid)
        .collect();
    found.sort_unstable();
    found
}

#[test]
fn two_without_servers() -> Result {
    on_stage(|s| {
        s.configure_all(
            "[supervisord]\nlogfile=%(here)s/d.log\npidfile=%(here)s/d.pid\n\
             [program:a]\ncommand=sleep 4321\nstartsecs=0\n",
        )?;
        let words = ["-n", "-c", "c.conf"];
        let start = || -> Result<_> {
            let command = s.command("supervisord", &words)?;
            ward_testkit::supervisor::daemon::Daemon::start_unready(s, command)
        };
        let one = start()?;
        wait_until("the first program", || sleepers(s).len() == 1)?;
        let two = start()?;
        wait_until("the second program", || sleepers(s).len() == 2)?;
        let ended = two.stop()?;
        ensure!(ended.code == 0, "{ended:?}");
        wait_until("the second to be gone", || sleepers(s).len() == 1)?;
        let ended = one.stop()?;
        ensure!(ended.code == 0, "{ended:?}");
        wait_until("the first to be gone", || sleepers(s).is_empty())
    })
}
