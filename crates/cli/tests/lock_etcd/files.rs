//! `[cluster]` of a configuration file: who reads it, what goes before it, and that nobody takes
//! another lock than he believes where it cannot be read.

use std::fs::{self, Permissions};
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, ensure};
use ward_testkit::daemons::{Ask, nobody_is_left};
use ward_testkit::etcd::Members;
use ward_testkit::patience::wait_until;
use ward_testkit::programs::skipped;
use ward_testkit::run::text;
use ward_testkit::world::is_root;

use crate::Result;
use crate::place::{BUSY, Host, MEANINGFUL as CLUSTER_VARIABLES, Place, REFUSED, WRONG_USE};

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
    // Its status for a lock that is held.
    ensure!(answer.code() == 98, "{answer:#?}");
    let locks = place.ask(&there, &["locks"]).words(option).expect(0)?;
    ensure!(locks.out.contains("it: 1 hold, 0 wait"), "{locks:#?}");

    // What is nearer goes before it.
    code(place.ask(&there, &try_it), 0)?;
    let with_file = || place.ask(&there, &try_it).variable(FILE, &file);
    code(with_file().words(["--local"]), 0)?;
    code(with_file().words(["--etcd", NOBODY]), REFUSED)?;
    code(with_file().variable(ENDPOINTS, NOBODY), REFUSED)?;
    code(with_file().words(["--etcd-prefix", "/other"]), 0)?;
    code(with_file().variable("WARD_ETCD_PREFIX", "/other"), BUSY)?;
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

/// Somewhere to be asked: it remembers what it was told, and never answers.
struct Listener {
    endpoint: String,
    heard: Arc<Mutex<String>>,
}

impl Listener {
    fn new() -> Result<Self> {
        let socket = TcpListener::bind("127.0.0.1:0")?;
        let endpoint = format!("http://{}", socket.local_addr()?);
        let heard = Arc::new(Mutex::new(String::new()));
        let told = Arc::clone(&heard);
        // It ends with this program.
        std::thread::spawn(move || {
            for stream in socket.incoming() {
                let (Ok(mut stream), told) = (stream, Arc::clone(&told)) else {
                    continue;
                };
                std::thread::spawn(move || {
                    let mut part = [0; 4096];
                    while let Ok(count @ 1..) = stream.read(&mut part) {
                        let text = String::from_utf8_lossy(&part[..count]).into_owned();
                        told.lock().expect("no panic").push_str(&text);
                    }
                });
            }
        });
        Ok(Self { endpoint, heard })
    }

    /// What it was told since it was asked last.
    fn heard(&self) -> String {
        std::mem::take(&mut self.heard.lock().expect("no panic"))
    }
}

/// Whose password goes to which cluster, and with whom: two of them are there, and each hears nothing that
/// was said of the other.
#[test]
fn nobodys_password_is_told_to_another_cluster() -> Result {
    let (a, b) = (Listener::new()?, Listener::new()?);
    let place = Place::at(std::slice::from_ref(&a.endpoint))?;
    let here = Host::new("here");
    let secret = |name: &str| {
        let path = place.world.path(name);
        fs::write(&path, format!("word-of-{name}\n"))?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok::<_, anyhow::Error>(text(&path))
    };
    let (of_a, of_b, own) = (secret("a")?, secret("b")?, secret("own")?);
    let file = |name: &str, endpoint: &str, more: &str| {
        let path = place.world.path(name);
        fs::write(
            &path,
            format!("[cluster]\nendpoints = {endpoint}\nlease = 6s\n{more}"),
        )?;
        Ok::<_, anyhow::Error>(text(&path))
    };
    let file_a = file("a.conf", &a.endpoint, "user = a\npassword_file = a\n")?;
    let file_b = file("b.conf", &b.endpoint, "user = b\npassword_file = b\n")?;
    let open_b = file("open-b.conf", &b.endpoint, "")?;
    let gone_b = file(
        "gone-b.conf",
        &b.endpoint,
        "user = b\npassword_file = gone\n",
    )?;
    let slash_a = format!("{}/", a.endpoint);
    let variables_of_a = [
        (ENDPOINTS, a.endpoint.as_str()),
        ("WARD_ETCD_USER", "a"),
        ("WARD_ETCD_PASSWORD_FILE", &of_a),
        ("WARD_ETCD_LEASE", "6s"),
    ];
    let etcdctls = [
        ("ETCDCTL_ENDPOINTS", a.endpoint.as_str()),
        ("ETCDCTL_USER", "a:word-of-a"),
    ];
    let stray = [("ETCDCTL_USER", "a:word-of-a")];
    let with_b = ["--etcd", b.endpoint.as_str(), "--lease", "6s"];
    let own_user = [
        "--cluster-config",
        file_b.as_str(),
        "--etcd-user",
        "own",
        "--etcd-password-file",
        own.as_str(),
    ];
    // Who is asked, and by which name and word he is; none if nobody says who he is.
    type Row<'a> = (
        &'a [Variable<'a>],
        Vec<&'a str>,
        &'a Listener,
        Option<(&'a str, &'a str)>,
    );
    let rows: [Row<'_>; 15] = [
        (
            &[],
            vec!["--cluster-config", &file_a],
            &a,
            Some(("a", "word-of-a")),
        ),
        (&variables_of_a, vec![], &a, Some(("a", "word-of-a"))),
        (
            &variables_of_a,
            vec!["--cluster-config", &file_b],
            &b,
            Some(("b", "word-of-b")),
        ),
        (&variables_of_a, vec!["--cluster-config", &open_b], &b, None),
        (
            &variables_of_a[1..],
            vec!["--cluster-config", &open_b],
            &b,
            None,
        ),
        (&variables_of_a, with_b.to_vec(), &b, None),
        // Said of no cluster by name: of whichever one the options name.
        (
            &variables_of_a[1..],
            with_b.to_vec(),
            &b,
            Some(("a", "word-of-a")),
        ),
        (&etcdctls, with_b.to_vec(), &b, None),
        (&stray, with_b.to_vec(), &b, Some(("a", "word-of-a"))),
        (&stray, vec!["--cluster-config", &open_b], &b, None),
        (&[], own_user.to_vec(), &b, Some(("own", "word-of-own"))),
        (
            &variables_of_a,
            own_user.to_vec(),
            &b,
            Some(("own", "word-of-own")),
        ),
        // What is replaced need not be readable.
        (
            &[],
            [&["--cluster-config", gone_b.as_str()], &own_user[2..]].concat(),
            &b,
            Some(("own", "word-of-own")),
        ),
        // However they are written.
        (
            &variables_of_a,
            vec!["--etcd", &slash_a],
            &a,
            Some(("a", "word-of-a")),
        ),
        (
            &[],
            vec!["--cluster-config", &file_b, "--etcd-password-file", &own],
            &b,
            Some(("b", "word-of-own")),
        ),
    ];
    for (variables, options, asked, who) in rows {
        // Unset rather than empty, as in a shell.
        let ask = place
            .ask(&here, &["lock", "it"])
            .without(&CLUSTER_VARIABLES);
        let ask = variables
            .iter()
            .fold(ask, |ask, (name, value)| ask.variable(name, value));
        let what = format!("{variables:?} {options:?}");
        let answer = ask.words(options).sh(&place.say("started")).expect(REFUSED);
        answer.with_context(|| what.clone())?;
        let (told, other) = (asked.heard(), if std::ptr::eq(asked, &a) { &b } else { &a });
        ensure!(
            !told.is_empty() && other.heard().is_empty(),
            "{what}: {told}"
        );
        match who {
            Some((user, word)) => {
                let body = format!(r#"{{"name":"{user}","password":"{word}"}}"#);
                ensure!(told.contains(&body), "{what}: {told}");
            }
            None => ensure!(!told.contains("word-of"), "{what}: {told}"),
        }
    }
    // A user alone is not the file's.
    let alone = ["--cluster-config", &file_b, "--etcd-user", "other"];
    let certificate = ["--cluster-config", &file_b, "--etcd-cert", &of_b];
    for (options, word) in [
        (alone, "no password is given"),
        (certificate, "no key is named"),
    ] {
        let ask = place.ask(&here, &["lock", "it"]).words(options);
        let answer = ask.sh(&place.say("started")).expect(WRONG_USE)?;
        ensure!(answer.err.contains(word), "{answer:#?}");
    }
    ensure!(a.heard().is_empty() && b.heard().is_empty());

    // Nor do programs of a supervisor tell it.
    let program = |name: &str, environment: &str| {
        format!(
            "[program:{name}]\ncommand = {} lock it -- true\nenvironment = WARD_LOCK_DIR=\"%(here)s/{name}\"{environment}\n\
             autorestart = false\nstartsecs = 0\n",
            text(place.world.ward_program()),
        )
    };
    let more = format!(
        "user = a\npassword_file = a\n[supervisord]\nlogfile = %(here)s/up.log\npidfile = %(here)s/up.pid\n\
         [unix_http_server]\nfile = %(here)s/up.sock\n[supervisorctl]\nserverurl = unix://%(here)s/up.sock\n\
         [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n{}{}{}",
        program("same", ""),
        program(
            "other",
            &format!(",WARD_ETCD_ENDPOINTS=\"{}\",WARD_ETCD_LEASE=6s", b.endpoint)
        ),
        program("file", &format!(",WARD_CLUSTER_CONFIG=\"{open_b}\"")),
    );
    let conf = file("up.conf", &a.endpoint, &more)?;
    let up = place
        .ask(&here, &["up", "-c", &conf])
        .without(&CLUSTER_VARIABLES);
    let stray = [
        ("ETCDCTL_USER", "root:word-of-root"),
        ("WARD_ETCD_CERT", "/c"),
    ];
    let up = stray
        .iter()
        .fold(up, |up, (name, value)| up.variable(name, value));
    up.expect(0)?;
    let status = || place.ask(&here, &["ctl", "-c", &conf, "status"]).answer();
    wait_until("all three to give up", || {
        status().is_ok_and(|it| it.out.matches("EXITED").count() == 3)
    })
    .with_context(|| format!("{:#?}", status()))?;
    let (to_a, to_b) = (a.heard(), b.heard());
    place
        .ask(&here, &["ctl", "-c", &conf, "shutdown"])
        .expect(0)?;
    ensure!(
        to_a.contains("word-of-a") && !to_a.contains("word-of-root"),
        "{to_a}"
    );
    // The two that say so ask there.
    ensure!(
        to_b.matches("POST ").count() >= 2 && !to_b.contains("word-of"),
        "{to_b}"
    );
    assert_eq!(place.said(), "");
    wait_until("everybody to be gone", || place.world.wards().is_empty())
        .with_context(|| format!("{:#?}", place.world.wards()))?;

    // Nor where it was the supervisor that was told of another one.
    let conf = place.world.path("bare.conf");
    let other = program(
        "other",
        &format!(",WARD_ETCD_ENDPOINTS=\"{}\",WARD_ETCD_LEASE=6s", b.endpoint),
    );
    let bare = more.split_once("[supervisord]").context("a section")?.1;
    let bare = bare.split("[program:").next().unwrap_or_default();
    fs::write(
        &conf,
        format!("[supervisord]{bare}{}{other}", program("same", "")),
    )?;
    let conf = text(&conf);
    let up = place
        .ask(&here, &["up", "-c", &conf])
        .without(&CLUSTER_VARIABLES);
    let up = variables_of_a
        .iter()
        .fold(up, |up, (name, value)| up.variable(name, value));
    up.expect(0)?;
    let status = || place.ask(&here, &["ctl", "-c", &conf, "status"]).answer();
    wait_until("both to give up", || {
        status().is_ok_and(|it| it.out.matches("EXITED").count() == 2)
    })
    .with_context(|| format!("{:#?}", status()))?;
    let (to_a, to_b) = (a.heard(), b.heard());
    place
        .ask(&here, &["ctl", "-c", &conf, "shutdown"])
        .expect(0)?;
    ensure!(to_a.contains("word-of-a"), "{to_a}");
    ensure!(
        to_b.contains("POST ") && !to_b.contains("word-of"),
        "{to_b}"
    );
    wait_until("everybody to be gone", || place.world.wards().is_empty())
        .with_context(|| format!("{:#?}", place.world.wards()))
}

#[test]
fn variables_and_a_file_are_not_mixed() -> Result {
    let place = Place::at(&[NOBODY.to_owned()])?;
    let here = Host::new("here");
    let file = text(written(&place, "ward.conf", "lease = 6s\n")?);
    let gone = text(written(
        &place,
        "gone.conf",
        "user = us\npassword_file = gone\nlease = 6s\n",
    )?);
    let rows: [(&str, &[Variable<'_>], i32, &str); 6] = [
        (&file, &[], REFUSED, NOBODY),
        (&gone, &[], WRONG_USE, "cannot read the password"),
        // The file's own lease counts.
        (&file, &[("WARD_ETCD_LEASE", "1s")], REFUSED, NOBODY),
        (&file, &[("WARD_ETCD_KEY", "/k")], REFUSED, NOBODY),
        // Endpoints of the environment: nothing of the file is theirs.
        (
            &gone,
            &[(ENDPOINTS, "http://127.0.0.1:2"), ("WARD_ETCD_LEASE", "6s")],
            REFUSED,
            "http://127.0.0.1:2",
        ),
        (
            &gone,
            &[(ENDPOINTS, NOBODY), ("WARD_ETCD_LEASE", "1s")],
            WRONG_USE,
            "WARD_ETCD_LEASE is too short",
        ),
    ];
    for (file, variables, code, word) in rows {
        let ask = place.ask(&here, &["lock", "it"]).variable(FILE, file);
        let ask = variables
            .iter()
            .fold(ask, |ask, (name, value)| ask.variable(name, value));
        let answer = ask.sh(&place.say("started")).answer()?;
        ensure!(
            answer.code() == code && answer.err.contains(word),
            "{file} {variables:?}: {answer:#?}"
        );
    }
    let soon = place
        .ask(&here, &["lock", "it"])
        .variable(ENDPOINTS, NOBODY)
        .variable("WARD_ETCD_LEASE", "soon")
        .sh(&place.say("started"))
        .expect(WRONG_USE)?;
    ensure!(soon.err.contains("WARD_ETCD_LEASE: `soon`"), "{soon:#?}");
    // Who gives a prefix or a lease means a cluster.
    for options in [["--etcd-prefix", "/x"], ["--lease", "9s"]] {
        let ask = place.ask(&here, &["lock", "it"]).words(options);
        let answer = ask.sh(&place.say("started")).expect(WRONG_USE)?;
        ensure!(
            answer.err.contains("no etcd endpoint is named"),
            "{answer:#?}"
        );
    }
    assert_eq!(place.said(), "");
    nobody_is_left(&place.world)
}

/// What others are to see is not done as if they did.
#[test]
fn beside_a_cluster_nothing_is_done_on_this_host_alone() -> Result {
    let place = Place::at(&[NOBODY.to_owned()])?;
    let here = Host::new("here");
    let file = text(written(&place, "ward.conf", "")?);
    let ask = |words: &[&str]| place.ask(&here, words).variable(FILE, &file);
    for verb in ["reserve", "steal", "release"] {
        let answer = ask(&["locks", verb, "it"]).expect(REFUSED)?;
        ensure!(answer.err.contains(NOBODY), "{answer:#?}");
    }
    ask(&["locks", "reserve", "it", "--local"]).expect(0)?;
    ask(&["lock", "it", "--local", "--no-wait", "--", "true"]).expect(BUSY)?;
    ask(&["locks", "release", "it", "--local"]).expect(0)?;
    let exec = ask(&["lock", "it", "--exec", "--", "true"]).expect(WRONG_USE)?;
    ensure!(exec.err.contains(&file), "{exec:#?}");

    // FLoM's users: a socket is theirs alone, and there is a word for this host.
    let flom = |options: &[&str]| {
        let words = [&["flom", "-r", "it", "-o", "0"], options, &["--", "true"]].concat();
        ask(&words).answer()
    };
    let socket = text(place.world.path("socket"));
    ensure!(flom(&["-s", &socket])?.code() == 0);
    ensure!(flom(&["--local"])?.code() == 0);
    ensure!(flom(&[])?.err.contains(NOBODY));
    ensure!(
        flom(&["--lease", "1s"])?
            .err
            .contains("--lease is too short")
    );
    for options in [["--etcd", NOBODY], ["--cluster-config", &file]] {
        let both = [&["-s", socket.as_str()][..], &options].concat();
        let answer = flom(&both)?;
        ensure!(answer.err.contains("name one of them"), "{answer:#?}");
    }
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
        (file("near", "[clusters]\n")?, ":1:1: error: [clusters]"),
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
    // Who is in a directory that is gone can be given a lock.
    let left = format!(
        "mkdir {0} && cd {0} && rmdir {0} && exec {1} lock it --no-wait -- true",
        text(place.world.path("left")),
        text(place.world.ward_program())
    );
    let left = ["sh", "-c", &left];
    place
        .ask(&there, &["run", "--chdir", "/"])
        .words(["--"])
        .words(left)
        .expect(BUSY)?;
    // What is there and cannot be read is not passed over.
    let lost = with("lost", "ln -s /nowhere/ward.conf /etc/ward.conf");
    let answer = place
        .ask(&lost, &try_it)
        .sh(&place.say("started"))
        .expect(WRONG_USE)?;
    ensure!(answer.err.contains("/etc/ward.conf"), "{answer:#?}");
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
