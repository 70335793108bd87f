//! `[cluster]` of a configuration file: who reads it, what goes before it, and that nobody takes
//! another lock than he believes where it cannot be read.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use ward_testkit::daemons::{Ask, nobody_is_left};
use ward_testkit::etcd::Members;
use ward_testkit::patience::wait_until;
use ward_testkit::programs::skipped;
use ward_testkit::run::text;
use ward_testkit::world::is_root;

use crate::Result;
use crate::place::{BUSY, Host, Place, REFUSED, WRONG_USE};

const FILE: &str = "WARD_CLUSTER_CONFIG";
const ENDPOINTS: &str = "WARD_ETCD_ENDPOINTS";

/// Nobody listens there.
const NOBODY: &str = "http://127.0.0.1:1";

/// A variable and its value.
type Variable<'a> = (&'a str, &'a str);

/// A file that names the cluster, and our part of it.
fn written(place: &Place, name: &str, more: &str) -> Result<PathBuf> {
    let path = place.world.path(name);
    let text = format!(
        "[cluster]\nendpoints = {}\nprefix = {}\n{more}",
        place.endpoints(),
        place.prefix()
    );
    fs::write(&path, text)?;
    Ok(path)
}

fn code(ask: Ask<'_>, code: i32) -> Result {
    ask.words(["--", "true"]).expect(code)?;
    Ok(())
}

#[test]
fn a_file_names_the_cluster() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let (here, there) = (Host::new("here"), Host::new("there"));
    let file = text(written(&place, "ward.conf", "lease = 9s\n")?);
    let option = ["--cluster-config", &file];
    let script = format!("echo $WARD_CLUSTER_LOCKS_HELD; {}", place.until("gate"));
    let first = place
        .ask(&here, &["lock", "it"])
        .words(option)
        .sh(&script)
        .start()?;
    // Seen by who names cluster and prefix by options.
    place.await_queue("it", (1, 0))?;
    let try_it = ["lock", "it", "--no-wait"];
    code(place.ask(&there, &try_it).words(option), BUSY)?;
    code(place.ask(&there, &try_it).variable(FILE, &file), BUSY)?;
    let run = ["run", "--lock", "it", "--lock-wait", "0"];
    code(place.ask(&there, &run).variable(FILE, &file), BUSY)?;
    let flom = ["flom", "-r", "it", "-o", "0"];
    let answer = place
        .ask(&there, &flom)
        .variable(FILE, &file)
        .words(["--", "true"])
        .answer()?;
    ensure!(answer.code() != 0, "{answer:#?}");
    let locks = place.ask(&there, &["locks"]).words(option).expect(0)?;
    ensure!(locks.out.contains("it: 1 hold, 0 wait"), "{locks:#?}");

    // What is nearer goes before it.
    code(place.ask(&there, &try_it), 0)?;
    let with_file = || place.ask(&there, &try_it).variable(FILE, &file);
    code(with_file().words(["--local"]), 0)?;
    code(with_file().words(["--etcd", NOBODY]), REFUSED)?;
    code(with_file().variable(ENDPOINTS, NOBODY), REFUSED)?;
    code(with_file().words(["--etcd-prefix", "/other"]), 0)?;
    code(with_file().variable("WARD_ETCD_PREFIX", "/other"), 0)?;
    let nearest = place.ask(&there, &try_it).words(option);
    code(nearest.variable(ENDPOINTS, NOBODY), BUSY)?;
    code(
        place
            .ask(&there, &try_it)
            .words(option)
            .words(["--etcd", NOBODY]),
        WRONG_USE,
    )?;
    place.open("gate")?;
    let answer = first.answer()?.expect(0)?;
    ensure!(answer.out.starts_with("it:"), "{answer:#?}");
    place.is_settled(&members)
}

/// Whose password goes to which cluster, and with whom.
#[test]
fn what_belongs_together_comes_from_one_place() -> Result {
    let place = Place::at(&[NOBODY.to_owned()])?;
    let here = Host::new("here");
    let secret = place.world.path("secret");
    fs::write(&secret, "open sesame\n")?;
    fs::set_permissions(&secret, Permissions::from_mode(0o600))?;
    let secret = text(&secret);
    let signed_in = text(written(
        &place,
        "users.conf",
        "user = us\npassword_file = secret\nlease = 6s\n",
    )?);
    let gone = text(written(
        &place,
        "gone.conf",
        "user = us\npassword_file = gone\nlease = 6s\n",
    )?);
    let ask = |file: &str, variables: &[Variable<'_>], options: &[&str]| {
        let ask = place.ask(&here, &["lock", "it"]).variable(FILE, file);
        let ask = variables
            .iter()
            .fold(ask, |ask, (name, value)| ask.variable(name, value));
        ask.words(options).sh(&place.say("started")).answer()
    };
    let user = ("WARD_ETCD_USER", "me");
    let password = ("WARD_ETCD_PASSWORD_FILE", secret.as_str());
    let rows: [(&str, &[Variable<'_>], i32, &str); 8] = [
        // It is read, and nobody answers.
        (&signed_in, &[], REFUSED, NOBODY),
        // The user's own, instead of what he cannot read.
        (&gone, &[], WRONG_USE, "cannot read the password"),
        (&gone, &[user, password], REFUSED, NOBODY),
        // The file's password is not another user's.
        (&signed_in, &[user], WRONG_USE, "no password is given"),
        (&gone, &[password], REFUSED, NOBODY),
        // What etcdctl is told is about some other cluster.
        (
            &signed_in,
            &[("ETCDCTL_CERT", "/c"), ("ETCDCTL_CACERT", "/ca")],
            REFUSED,
            NOBODY,
        ),
        // Endpoints of the environment: nothing of the file is theirs.
        (
            &gone,
            &[(ENDPOINTS, "http://127.0.0.1:2"), ("WARD_ETCD_LEASE", "6s")],
            REFUSED,
            "http://127.0.0.1:2",
        ),
        (
            &signed_in,
            &[("WARD_ETCD_LEASE", "1s")],
            WRONG_USE,
            "WARD_ETCD_LEASE is too short",
        ),
    ];
    for (file, variables, code, word) in rows {
        let answer = ask(file, variables, &[])?;
        ensure!(
            answer.code() == code && answer.err.contains(word),
            "{file} {variables:?}: {answer:#?}"
        );
        ensure!(!answer.err.contains("sesame"), "{answer:#?}");
    }
    let answer = ask(&signed_in, &[("WARD_ETCD_LEASE", "soon")], &[])?.expect(WRONG_USE)?;
    ensure!(
        answer.err.contains("WARD_ETCD_LEASE: `soon`"),
        "{answer:#?}"
    );
    let answer = ask(&signed_in, &[("WARD_ETCD_LEASE", "1s")], &["--lease", "6s"])?;
    ensure!(answer.code() == REFUSED, "{answer:#?}");
    assert_eq!(place.said(), "");
    nobody_is_left(&place.world)
}

#[test]
fn what_cannot_be_read_is_no_lock_of_this_host() -> Result {
    let place = Place::at(&[NOBODY.to_owned()])?;
    let here = Host::new("here");
    let file = |name: &str, words: &str| {
        let path = place.world.path(name);
        fs::write(&path, words)?;
        Ok::<_, anyhow::Error>(text(&path))
    };
    let rows = [
        (
            text(place.world.path("gone")),
            ":1:1: error: the file cannot be read",
        ),
        (
            text(place.world.path(".")),
            ":1:1: error: the file cannot be read",
        ),
        (file("none", "[supervisord]\n")?, "has no section [cluster]"),
        (
            file("odd", "[cluster]\nendpoints = a:0\nlease = 1s\n")?,
            ":2:13: error: endpoints: a member cannot be there",
        ),
        (
            file("odd", "[cluster]\nendpoints = a:0\nlease = 1s\n")?,
            ":3:9: error: lease: it is at least 5 s",
        ),
        (file("binary", "\0\u{1}\n")?, ":1:1: error: "),
    ];
    for (path, word) in rows {
        for words in [&["lock", "it"][..], &["run", "--lock", "it"]] {
            let answer = place
                .ask(&here, words)
                .variable(FILE, &path)
                .sh(&place.say("started"))
                .answer()?;
            ensure!(
                answer.code() == WRONG_USE && answer.err.contains(word),
                "{path}: {answer:#?}"
            );
        }
        let answer = place
            .ask(&here, &["locks"])
            .variable(FILE, &path)
            .answer()?;
        ensure!(answer.code() == WRONG_USE, "{path}: {answer:#?}");
    }
    assert_eq!(place.said(), "");
    nobody_is_left(&place.world)
}

/// Programs of a supervisor, whose file names the cluster, hold their locks in it.
#[test]
fn programs_hold_their_locks_in_it() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let (here, there) = (Host::new("here"), Host::new("there"));
    let ward = text(place.world.ward_program());
    let script = place.world.path("work.sh");
    fs::write(&script, format!("{}\n", place.until("gate")))?;
    let program = format!(
        "[supervisord]\nlogfile = %(here)s/up.log\npidfile = %(here)s/up.pid\n\
         [unix_http_server]\nfile = %(here)s/up.sock\n\
         [supervisorctl]\nserverurl = unix://%(here)s/up.sock\n\
         [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n\
         [program:work]\ncommand = {ward} lock it -- sh {} {}\nautorestart = false\nstartsecs = 0\n",
        text(&script),
        place.world.mark(),
    );
    let file = text(written(&place, "up.conf", &program)?);
    place.ask(&here, &["up", "-c", &file]).expect(0)?;
    place.await_queue("it", (1, 0))?;
    place.just(&there, "it", &["--no-wait"]).expect(BUSY)?;
    place.open("gate")?;
    place.await_queue("it", (0, 0))?;
    place
        .ask(&here, &["ctl", "-c", &file, "shutdown"])
        .expect(0)?;
    wait_until("everybody to be gone", || {
        place.world.wards().is_empty() && place.world.survivors().is_empty()
    })
    .with_context(|| format!("{:#?}", place.world.wards()))?;
    place.is_settled(&members)
}

/// What a host has in `/etc/ward.conf`, for everybody on it who does not say otherwise.
#[test]
fn a_host_has_a_file_for_everybody() -> Result {
    if !is_root() {
        skipped("a file in /etc", "needs root");
        return Ok(());
    }
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let file = written(&place, "etc.conf", "")?;
    let with = |name: &str, make: &str| {
        // Only they see it there.
        let mount = format!(
            "mount -t tmpfs none /etc && {make} && unset {FILE} {ENDPOINTS} && exec \"$@\""
        );
        Host::new(name).within(&["unshare", "--mount", "sh", "-c", &mount, "sh"])
    };
    let copy = |path: &Path| format!("cp {} /etc/ward.conf", text(path));
    let here = with("here", &copy(&file));
    if place.ask(&here, &["--version"]).answer()?.code() != 0 {
        skipped("a file in /etc", "no mounts of our own");
        return Ok(());
    }
    let first = place
        .ask(&here, &["lock", "it"])
        .sh(&place.until("gate"))
        .start()?;
    place.await_queue("it", (1, 0))?;
    let there = with("there", &copy(&file));
    let try_it = ["lock", "it", "--no-wait"];
    code(place.ask(&there, &try_it), BUSY)?;
    code(
        place.ask(&there, &["run", "--lock", "it", "--lock-wait", "0"]),
        BUSY,
    )?;
    code(place.ask(&there, &try_it).words(["--local"]), 0)?;
    // A host without the file, one whose file is about something else.
    code(place.ask(&with("bare", "true"), &try_it), 0)?;
    let other = place.world.path("other.conf");
    fs::write(&other, "[supervisord]\n")?;
    code(place.ask(&with("other", &copy(&other)), &try_it), 0)?;
    // What is there and cannot be read is not passed over.
    let odd = with("odd", "mkdir /etc/ward.conf");
    let answer = place
        .ask(&odd, &try_it)
        .sh(&place.say("started"))
        .expect(WRONG_USE)?;
    ensure!(answer.err.contains("/etc/ward.conf"), "{answer:#?}");
    assert_eq!(place.said(), "");
    // Empty, the variable names no file: for who cannot give options.
    let script = format!("mount -t tmpfs none /etc && {} && exec \"$@\"", copy(&file));
    let none = Host::new("none").within(&["unshare", "--mount", "sh", "-c", &script, "sh"]);
    code(
        place.ask(&none, &["run", "--lock", "it", "--lock-wait", "0"]),
        0,
    )?;
    place.open("gate")?;
    first.answer()?.expect(0)?;
    place.is_settled(&members)
}
