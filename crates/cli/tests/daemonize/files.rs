//! Descriptors, and the files and the directory that they lead to.

use std::fs;
use std::path::Path;

use anyhow::ensure;
use ward_testkit::run::text;

use crate::Result;
use crate::place::{TOUCH, each};
use crate::seen::{descriptor, directory, equal};

#[test]
fn output_is_replaced_or_added_to() -> Result {
    each(|place| {
        let (out, err) = (place.path("out"), place.path("err"));
        let speak = "echo out; echo err >&2";
        let attached = [format!("-ao{out}"), format!("-e{err}")];
        for options in [
            &["-o", &out, "-e", &err][..],
            // The letter's argument may be attached, and -a comes from anywhere.
            &[attached[0].as_str(), attached[1].as_str()][..],
            &["-e", &err, "-o", &out, "-a"][..],
        ] {
            place.script(options, speak)?;
        }
        equal("out", fs::read_to_string(&out)?, "out\n".repeat(3))?;
        equal("err", fs::read_to_string(&err)?, "err\n".repeat(3))?;
        place.script(&["-o", &out, "-e", &err], speak)?;
        equal("out", fs::read_to_string(&out)?, "out\n".to_owned())?;
        equal("err", fs::read_to_string(&err)?, "err\n".to_owned())?;
        // Without a file for it, -a is about nothing.
        place.script(&["-a"], speak)
    })
}

#[test]
fn the_stream_without_a_file_goes_nowhere() -> Result {
    each(|place| {
        let (out, err) = (place.path("out"), place.path("err"));
        let pid = place.daemon(&["-o", &out])?;
        let leads_to = [0, 1, 2].map(|number| descriptor(pid, number).unwrap_or_default());
        equal(
            "-o",
            leads_to,
            ["/dev/null", &out, "/dev/null"].map(str::to_owned),
        )?;
        let pid = place.daemon(&["-e", &err])?;
        let leads_to = [0, 1, 2].map(|number| descriptor(pid, number).unwrap_or_default());
        equal(
            "-e",
            leads_to,
            ["/dev/null", "/dev/null", &err].map(str::to_owned),
        )
    })
}

#[test]
fn one_file_for_both_streams() -> Result {
    each(|place| {
        let both = place.path("both");
        let speak = "echo 1; echo 2 >&2; echo 3; echo 4 >&2";
        // By the same name it is one open file, and nothing is overwritten.
        place.script(&["-o", &both, "-e", &both], speak)?;
        equal(
            "one name",
            fs::read_to_string(&both)?,
            "1\n2\n3\n4\n".to_owned(),
        )?;
        place.script(&["-a", "-o", &both, "-e", &both], "echo 5; echo 6 >&2")?;
        equal(
            "added",
            fs::read_to_string(&both)?,
            "1\n2\n3\n4\n5\n6\n".to_owned(),
        )?;
        // By two names it is two, each with a place of its own in the file.
        let other = place.path("./both");
        place.script(&["-o", &both, "-e", &other], "echo long; echo s >&2")?;
        equal(
            "two names",
            fs::read_to_string(&both)?,
            "s\nng\n".to_owned(),
        )
    })
}

#[test]
fn directories() -> Result {
    each(|place| {
        let there = place.path("there");
        fs::create_dir(&there)?;
        let pid = place.daemon(&["-c", &there])?;
        equal(
            "directory",
            directory(pid)?,
            text(fs::canonicalize(&there)?),
        )?;
        let file = place.path("file");
        fs::write(&file, "")?;
        for (path, why) in [
            (place.path("nowhere"), "No such file or directory"),
            (file, "Not a directory"),
            (String::new(), "No such file or directory"),
        ] {
            place.refuses(
                &["-c", &path, TOUCH],
                &format!("Can't change working directory to \"{path}\": {why}\n"),
            )?;
        }
        Ok(())
    })
}

#[test]
fn output_files_that_cannot_be() -> Result {
    each(|place| {
        let nowhere = place.path("nowhere/out");
        for (letter, stream) in [("-o", "stdout"), ("-e", "stderr")] {
            for (path, why) in [
                (nowhere.as_str(), "No such file or directory"),
                ("/", "Is a directory"),
                ("", "No such file or directory"),
            ] {
                place.refuses(
                    &[letter, path, TOUCH],
                    &format!("Can't open \"{path}\" for {stream}: {why}\n"),
                )?;
            }
        }
        Ok(())
    })
}

#[test]
fn relative_files_are_the_callers() -> Result {
    each(|place| {
        let there = place.path("there");
        fs::create_dir(&there)?;
        let pid = place.daemon(&["-c", &there, "-o", "out", "-e", "err", "-l", "lock"])?;
        for name in ["out", "err", "lock"] {
            ensure!(Path::new(&place.path(name)).exists(), "no {name}");
        }
        equal("there", fs::read_dir(&there)?.count(), 0)?;
        place.end(pid)
    })
}

#[test]
fn a_relative_directory_is_the_callers() -> Result {
    each(|place| {
        fs::create_dir_all(place.path("sub/sub"))?;
        let pid = place.daemon(&["-c", "sub"])?;
        // The original goes there twice.
        let should = if place.is_ours() { "sub" } else { "sub/sub" };
        let should = text(fs::canonicalize(place.path(should))?);
        equal("directory", directory(pid)?, should)?;
        let pid = place.daemon(&["-c", "."])?;
        equal(
            "directory",
            directory(pid)?,
            text(fs::canonicalize(place.path("."))?),
        )
    })
}

#[test]
fn there_is_nothing_to_read() -> Result {
    each(|place| {
        let out = place.path("out");
        // With an output file the original's standard input is open for writing only.
        let read = "if read word; then echo \"read $word\"; else echo nothing; fi 2>/dev/null";
        place.script(&["-o", &out], read)?;
        equal("read", fs::read_to_string(&out)?, "nothing\n".to_owned())?;
        place.script(&["-o", &out], "cat && echo end of file")?;
        let should = if place.is_ours() { "end of file\n" } else { "" };
        equal("cat", fs::read_to_string(&out)?, should.to_owned())
    })
}

#[test]
fn closed_streams_do_no_harm() -> Result {
    each(|place| {
        let pid = place.daemon_by(Some("exec \"$@\" <&- >&- 2>&-"), &[])?;
        for number in 0..=2 {
            let leads_to = descriptor(pid, number);
            equal("descriptor", leads_to.as_deref(), Some("/dev/null"))?;
        }
        if !place.is_ours() {
            // With an output file, all of the original's are closed.
            return Ok(());
        }
        let out = place.path("out");
        let pid = place.daemon_by(Some("exec \"$@\" <&- >&- 2>&-"), &["-o", &out])?;
        let leads_to = [0, 1, 2].map(|number| descriptor(pid, number).unwrap_or_default());
        equal(
            "descriptors",
            leads_to,
            ["/dev/null", &out, "/dev/null"].map(str::to_owned),
        )
    })
}
