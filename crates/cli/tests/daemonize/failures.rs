//! Failures: programs that cannot be executed, the one that only the shell can, and which of
//! several complaints is made.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::ensure;
use rustix::fs::FlockOperation;
use ward_testkit::patience::wait_until;
use ward_testkit::world::is_root;

use crate::Result;
use crate::pid_and_lock::locked;
use crate::place::{TOUCH, each, write_program};
use crate::seen::{equal, is_gone, is_locked, pid_in};

#[test]
fn programs_that_cannot_be() -> Result {
    each(|place| {
        let plain = place.path("plain");
        fs::write(&plain, "")?;
        let dangling = place.path("dangling");
        symlink("nowhere", &dangling)?;
        let here = place.path(".");
        let relative = "The 'path' parameter must be an absolute path name.\n".to_owned();
        let not_executable = |path: &str| format!("File \"{path}\" is not executable.\n");
        for (words, complaint) in [
            (&["true"][..], relative.clone()),
            (&["./true"], relative.clone()),
            (&[""], relative.clone()),
            (&["-", "/bin/true"], relative.clone()),
            (&["--", "-x"], relative),
            (&["/no/such/program"], not_executable("/no/such/program")),
            (&[&plain], not_executable(&plain)),
            (&[&dangling], not_executable(&dangling)),
            (&["/dev/null"], not_executable("/dev/null")),
            (&[&here], format!("File \"{here}\" is not regular file.\n")),
        ] {
            place.refuses(words, &complaint)?;
        }
        Ok(())
    })
}

#[test]
fn scripts_without_an_interpreter_are_the_shells() -> Result {
    each(|place| {
        let (script, out) = (place.path("script"), place.path("out"));
        write_program(&script, "echo \"$0 $1\"\n: >\"$2\"\n")?;
        let done = place.path("done");
        place
            .say(&["-o", &out, &script, "word", &done])?
            .is_silent_success()?;
        wait_until("the script to end", || Path::new(&done).exists())?;
        equal(
            "output",
            fs::read_to_string(&out)?,
            format!("{script} word\n"),
        )
    })
}

#[test]
fn a_program_that_cannot_be_executed_after_all() -> Result {
    each(|place| {
        let (program, err, file) = (place.path("program"), place.path("err"), place.path("pid"));
        write_program(&program, "#!/no/such/interpreter\n")?;
        let complaint = format!("Can't exec \"{program}\": No such file or directory\n");
        if place.is_ours() {
            place.refuses(&["-e", &err, "-p", &file, &program], &complaint)?;
            equal("pid file", fs::read_to_string(&file)?, String::new())
        } else {
            // It says so where nobody waits for it any more.
            place
                .say(&["-e", &err, "-p", &file, &program])?
                .is_silent_success()?;
            wait_until("the complaint", || {
                fs::read_to_string(&err).is_ok_and(|text| text == complaint)
            })?;
            let pid = pid_in(&file)?;
            wait_until("it to be gone", || is_gone(pid))
        }
    })
}

#[test]
fn the_first_thing_that_is_wrong_is_told() -> Result {
    each(|place| {
        let held = place.path("held");
        let lock = File::create(&held)?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        let free = place.path("free");
        let root = is_root();
        let unknown = if root {
            "Can't find user \"no-such-user\" in password file.\n"
        } else {
            "Must be root to specify a different user.\n"
        };
        let missing = "No such file or directory";
        // Everything is wrong; from line to line the first thing is put right.
        for (options, program, complaint) in [
            (
                &[
                    "-l",
                    &held,
                    "-p",
                    "/-/p",
                    "-u",
                    "no-such-user",
                    "-o",
                    "/-/o",
                    "-c",
                    "/-",
                ][..],
                "relative",
                "The 'path' parameter must be an absolute path name.\n".to_owned(),
            ),
            (
                &[
                    "-l",
                    &held,
                    "-p",
                    "/-/p",
                    "-u",
                    "no-such-user",
                    "-o",
                    "/-/o",
                    "-c",
                    "/-",
                ],
                TOUCH,
                locked(&held),
            ),
            (
                &[
                    "-l",
                    &free,
                    "-p",
                    "/-/p",
                    "-u",
                    "no-such-user",
                    "-o",
                    "/-/o",
                    "-c",
                    "/-",
                ],
                TOUCH,
                format!("Can't create PID file \"/-/p\": {missing}\n"),
            ),
            (
                &["-u", "no-such-user", "-o", "/-/o", "-e", "/-/e", "-c", "/-"],
                TOUCH,
                unknown.to_owned(),
            ),
            (
                &["-e", "/-/e", "-o", "/-/o", "-c", "/-"],
                TOUCH,
                format!("Can't open \"/-/o\" for stdout: {missing}\n"),
            ),
            (
                &["-c", "/-", "-e", "/-/e"],
                TOUCH,
                format!("Can't open \"/-/e\" for stderr: {missing}\n"),
            ),
        ] {
            place.refuses(&[options, &[program]].concat(), &complaint)?;
        }
        // What was right until then has been done.
        let (pid_file, out) = (place.path("pid"), place.path("out"));
        fs::write(&pid_file, "old")?;
        fs::write(&out, "old")?;
        place.refuses(
            &["-p", &pid_file, "-o", &out, "-c", "/-", TOUCH],
            &format!("Can't change working directory to \"/-\": {missing}\n"),
        )?;
        equal("pid file", fs::read_to_string(&pid_file)?, "old".to_owned())?;
        equal("output", fs::read_to_string(&out)?, String::new())?;
        // Nobody holds the lock of a start that failed.
        ensure!(!is_locked(&free)?, "it is locked");
        Ok(())
    })
}
