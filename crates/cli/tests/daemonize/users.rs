//! Other users: to become one, their rights, and calls of somebody who is not root.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context as _, ensure};
use ward_testkit::processes::{self, look};
use ward_testkit::run::text;
use ward_testkit::world::Who;

use crate::Result;
use crate::place::{TOUCH, each_as_root, said};
use crate::seen::{equal, is_locked, nobody, pid_in, status_line};

#[test]
fn as_another_user() -> Result {
    each_as_root("-u", |place| {
        let (out, file, lock) = (place.path("out"), place.path("pid"), place.path("lock"));
        let options = [
            "-u", "nobody", "-o", &out, "-p", &file, "-l", &lock, "-E", "USER=x",
        ];
        let pid = place.daemon(&options)?;
        let (uid, gid) = nobody()?;
        equal(
            "users",
            status_line(pid, "Uid")?,
            [uid; 4].map(|id| id.to_string()).join(" "),
        )?;
        equal(
            "groups",
            status_line(pid, "Gid")?,
            [gid; 4].map(|id| id.to_string()).join(" "),
        )?;
        equal(
            "supplementary",
            status_line(pid, "Groups")?,
            gid.to_string(),
        )?;
        for name in ["USER", "LOGNAME"] {
            equal(
                name,
                processes::variable(pid, name).as_deref(),
                Some("nobody"),
            )?;
        }
        let home = processes::variable(pid, "HOME").context("no HOME")?;
        ensure!(home != text(place.world.path(".")), "HOME is the caller's");
        equal("id", pid_in(&file)?, pid)?;
        let owner = |path: &str| fs::metadata(path).map(|of| (of.uid(), of.gid()));
        equal("pid file", owner(&file)?, (uid, gid))?;
        equal("output", owner(&out)?, (uid, gid))?;
        equal("lock", owner(&lock)?, (0, 0))
    })
}

#[test]
fn another_users_rights_count() -> Result {
    each_as_root("-u", |place| {
        let private = place.path("private");
        fs::create_dir(&private)?;
        fs::set_permissions(&private, Permissions::from_mode(0o700))?;
        let out = place.path("private/out");
        place.refuses(
            &["-u", "nobody", "-o", &out, TOUCH],
            &format!("Can't open \"{out}\" for stdout: Permission denied\n"),
        )?;
        place.refuses(
            &["-u", "nobody", "-c", &private, TOUCH],
            &format!("Can't change working directory to \"{private}\": Permission denied\n"),
        )?;
        // Locks and pid files are made before anybody becomes anybody else.
        let lock = place.path("private/lock");
        let pid = place.daemon(&["-u", "nobody", "-l", &lock])?;
        ensure!(is_locked(&lock)?, "not locked");
        place.end(pid)
    })
}

#[test]
fn users_that_cannot_be() -> Result {
    each_as_root("-u", |place| {
        // Names only: a number is none.
        for name in ["no-such-user", "65534", ""] {
            place.refuses(
                &["-u", name, TOUCH],
                &format!("Can't find user \"{name}\" in password file.\n"),
            )?;
        }
        Ok(())
    })
}

#[test]
fn an_ordinary_user() -> Result {
    each_as_root("an ordinary user's daemon", |place| {
        let marker = place.path("was started");
        for name in ["root", "nobody", "no-such-user"] {
            let words = ["-u", name, TOUCH, &marker];
            let said = said(&mut place.command_as(Who::Ordinary, None, &words))?;
            equal(
                name,
                said.err.as_str(),
                "Must be root to specify a different user.\n",
            )?;
            equal(name, said.status.code(), Some(1))?;
        }
        let file = place.path("pid");
        let daemon = place.lingering();
        let words: Vec<&str> = ["-p", file.as_str()]
            .into_iter()
            .chain(daemon.iter().map(String::as_str))
            .collect();
        let pid = place.start(&mut place.command_as(Who::Ordinary, None, &words))?;
        equal("id", pid_in(&file)?, pid)?;
        equal("user", look(pid).map(|seen| seen.session), Some(pid))?;
        let uid = place.world.ordinary();
        ensure!(
            status_line(pid, "Uid")?.starts_with(&format!("{uid} ")),
            "{uid}"
        );
        ensure!(!Path::new(&marker).exists(), "it was started");
        Ok(())
    })
}
