//! The command line: options, arguments, what cannot be read, and what is said of it all.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use ward_testkit::programs::{in_path, skipped};
use ward_testkit::run::text;
use ward_testkit::terminal::Terminal;
use ward_testkit::world::is_root;

use crate::Result;
use crate::place::{Kind, TOUCH, each};
use crate::seen::{directory, equal, nobody};

#[test]
fn the_last_of_an_option_counts() -> Result {
    each(|place| {
        let (first, last) = (place.path("first"), place.path("last"));
        place.script(&["-o", &first, "-o", &last], "echo out")?;
        ensure!(!Path::new(&first).exists(), "the first was made");
        equal("last", fs::read_to_string(&last)?, "out\n".to_owned())?;
        let pid = place.daemon(&["-c", "/nowhere", "-c", "/usr"])?;
        equal("directory", directory(pid)?, "/usr".to_owned())
    })
}

#[test]
fn arguments_are_the_daemons_own() -> Result {
    each(|place| {
        let out = place.path("out");
        for separator in [&[][..], &["--"][..]] {
            let options = [&["-o", out.as_str()][..], separator].concat();
            place.script(&options, "printf '%s.' \"$@\"")?;
            equal(
                "arguments",
                fs::read_to_string(&out)?,
                "first.-x.--.last.".to_owned(),
            )?;
        }
        let pid = place.daemon(&[])?;
        let words = fs::read(format!("/proc/{pid}/cmdline"))?;
        let words: Vec<&[u8]> = words
            .strip_suffix(b"\0")
            .context("no words")?
            .split(|byte| *byte == 0)
            .collect();
        let should = place.lingering();
        equal(
            "command",
            words,
            should.iter().map(|word| word.as_bytes()).collect(),
        )
    })
}

#[test]
fn command_lines_that_cannot_be_read() -> Result {
    each(|place| {
        let marker = place.path("was started");
        for (words, complaint) in [
            (&[][..], ""),
            (&["--"], ""),
            (&["-v"], ""),
            (
                &["-o"],
                "option requires an argument -- o\nBad option: -o\n",
            ),
            (
                &["-av", "-E"],
                "option requires an argument -- E\nBad option: -E\n",
            ),
            (
                &["-x", TOUCH, &marker],
                "illegal option -- x\nBad option: -x\n",
            ),
            (
                &["-vxa", TOUCH, &marker],
                "illegal option -- x\nBad option: -x\n",
            ),
            (
                &["-:", TOUCH, &marker],
                "illegal option -- :\nBad option: -:\n",
            ),
            (
                &["-a-", TOUCH, &marker],
                "illegal option -- -\nBad option: --\n",
            ),
            (&["-x", "-E", "A"], "illegal option -- x\nBad option: -x\n"),
        ] {
            let said = place.say(words)?;
            let name = match place.kind {
                Kind::Verb => "daemonize".into(),
                Kind::Original | Kind::Link => text(&place.program),
            };
            let complaint = match complaint {
                "" => String::new(),
                text => format!("{name}: {text}"),
            };
            ensure!(said.err.starts_with(&complaint), "{words:?}: {said:?}");
            ensure!(said.out.is_empty(), "{words:?}: {said:?}");
            ensure!(!Path::new(&marker).exists(), "{words:?}: it was started");
            if place.is_ours() {
                let usage = said.err.strip_prefix(&complaint).unwrap_or_default();
                ensure!(usage.starts_with("daemonize, version 1.7.8"), "{said:?}");
                ensure!(usage.contains("\nUsage: daemonize "), "{said:?}");
                ensure!(said.status.code() == Some(1), "{words:?}: {said:?}");
            } else {
                // It crashes when it is about to print its usage.
                let crashed = said.status.signal() == Some(Signal::SEGV.as_raw());
                ensure!(crashed || said.status.code() == Some(1), "{said:?}");
            }
        }
        // What is wrong with a variable is said before the rest of the line is read.
        place.refuses(
            &["-E", "A", "-x", TOUCH],
            "Argument to -E (\"A\") is not of the form name=value.\n",
        )
    })
}

#[test]
fn talking_about_it() -> Result {
    if in_path("bash").is_none() {
        skipped("-v on a terminal", "needs bash");
        return Ok(());
    }
    each(|place| {
        let (out, err, file) = (place.path("out"), place.path("err"), place.path("pid"));
        let mut terminal = Terminal::bash(&place.world)?;
        let mut ask = |options: &str| -> Result<String> {
            let words: Vec<_> = place.beginning().iter().map(text).collect();
            let state = place.path("state");
            // The line would be too long to be typed.
            let call = format!(
                "WARD_STATE_DIR={state} exec {} {options} {}",
                words.join(" "),
                place.world.hostile_text(&["linger"])
            );
            fs::write(place.path("call"), call)?;
            terminal.ask("sh call")
        };
        let (uid, _) = nobody()?;
        let created = format!("Creating PID file \"{file}\".\r\n");
        let given = if is_root() {
            format!("Changing ownership of PID file to \"nobody\" ({uid})\r\n")
        } else {
            String::new()
        };
        let user = if is_root() { "-u nobody" } else { "" };
        for (options, lines) in [
            (
                format!("-v {user} -e {err} -p {file} -o {out}"),
                format!("{created}{given}Overwriting {out}\r\nOverwriting {err}"),
            ),
            (
                format!("-av -o {out} -e {out}"),
                format!("Appending to {out}"),
            ),
            (format!("-vv -l {file}"), String::new()),
            ("-a".to_owned(), String::new()),
        ] {
            equal(&options, ask(&options)?, lines)?;
        }
        place.world.await_signatures(4)?;
        // Where a start fails, it is told on a pipe too.
        let said = place.say(&["-v", "-p", &file, "-o", "/-/o", TOUCH])?;
        equal(
            "pipe",
            said.out,
            format!("Creating PID file \"{file}\".\nOverwriting /-/o\n"),
        )?;
        equal(
            "complaint",
            said.err.as_str(),
            "Can't open \"/-/o\" for stdout: No such file or directory\n",
        )?;
        equal("status", said.status.code(), Some(1))
    })
}

#[test]
fn help() -> Result {
    each(|place| {
        if !place.is_ours() {
            // It has none.
            return Ok(());
        }
        for word in ["-h", "--help"] {
            let said = place.say(&[word, TOUCH])?;
            ensure!(said.status.success() && said.err.is_empty(), "{said:?}");
            ensure!(said.out.starts_with("Usage: daemonize "), "{said:?}");
        }
        Ok(())
    })
}
