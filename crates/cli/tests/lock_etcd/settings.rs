//! How ward is told of the cluster, how it proves who it is, and what is said when that is no good.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use ward_testkit::daemons::{Answer, Ask, nobody_is_left};
use ward_testkit::etcd::{Authority, Members, Plan};
use ward_testkit::patience::wait_until;
use ward_testkit::programs::{in_path, skipped};
use ward_testkit::run::text;

use crate::Result;
use crate::place::{BUSY, Host, Place, REFUSED, WRONG_USE};

const ENDPOINTS: &str = "WARD_ETCD_ENDPOINTS";

#[test]
fn the_environment_names_the_cluster() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?.with_usual_prefix();
    let (here, there) = (Host::new("here"), Host::new("there"));
    let ask = |host: &Host, words: &[&str]| {
        let ask = place.ask(host, words);
        ask.variable(ENDPOINTS, place.endpoints())
    };
    let code = |ask: Ask<'_>, code: i32| ask.words(["--", "true"]).expect(code);
    let first = ask(&here, &["lock", "it"])
        .sh(&place.until("gate"))
        .start()?;
    place.await_queue("it", (1, 0))?;
    code(ask(&there, &["lock", "it", "--no-wait"]), BUSY)?;
    code(ask(&there, &["lock", "it", "--no-wait", "--local"]), 0)?;
    code(place.ask(&there, &["lock", "it", "--no-wait"]), 0)?;
    // The same lock, whichever verb holds it.
    let run = ["run", "--lock", "it", "--lock-wait", "0"];
    code(ask(&there, &run), BUSY)?;
    code(place.ask(&there, &run), 0)?;
    // The option goes before.
    code(
        ask(
            &there,
            &["lock", "it", "--no-wait", "--etcd", "http://127.0.0.1:1"],
        ),
        REFUSED,
    )?;
    for options in [&[][..], &["--local"]] {
        let words = [&["locks", "--json"], options].concat();
        let shown = ask(&there, &words).expect(0)?.json()?;
        let list = shown["locks"].as_array().context("no list")?;
        let held = list.iter().any(|lock| {
            lock["name"] == "it" && lock["holders"].as_array().is_some_and(|it| !it.is_empty())
        });
        assert_eq!(held, options.is_empty(), "{shown:#}");
    }
    place.open("gate")?;
    first.answer()?.expect(0)?;

    // `ward run` holds several, and tells the command.
    fs::remove_file(place.world.path("gate"))?;
    let script = format!(
        "echo $WARD_LOCK_NAME $WARD_CLUSTER_LOCKS_HELD; {}",
        place.until("gate")
    );
    let run = [
        "run",
        "--lock",
        "it",
        "--lock",
        "other=shared",
        "--lock-why",
        "a reason",
    ];
    let run = ask(&here, &run).sh(&script).start()?;
    place.await_queue("it", (1, 0))?;
    place.await_queue("other", (1, 0))?;
    place.just(&there, "it", &["--no-wait"]).expect(BUSY)?;
    let answer = ask(&there, &["locks"]).expect(0)?;
    ensure!(
        answer.out.contains("it: 1 hold, 0 wait") && answer.out.contains("a reason"),
        "{answer:#?}"
    );
    place.open("gate")?;
    let answer = run.answer()?.expect(0)?;
    ensure!(
        answer.out.starts_with("it,other it:") && answer.out.contains(",other:"),
        "{answer:#?}"
    );
    // Who holds it above is known from one verb to the other.
    let inner = format!(
        "WARD_LOCK_DIR={} {} lock it -- true; echo $?",
        text(place.world.path("elsewhere")),
        text(place.world.ward_program())
    );
    let answer = ask(&here, &["run", "--lock", "it"]).sh(&inner).expect(0)?;
    assert_eq!(answer.out.trim(), REFUSED.to_string(), "{answer:#?}");
    place.is_settled(&members)
}

#[test]
fn another_prefix_is_another_lock() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let (one, other) = (Place::new(&members)?, Place::new(&members)?);
    let (here, there) = (Host::new("here"), Host::new("there"));
    let first = one.holder(&here, "it", &[])?;
    one.just(&there, "it", &["--no-wait"]).expect(BUSY)?;
    other.just(&there, "it", &["--no-wait"]).expect(0)?;
    assert_eq!(other.queue("it")?, (0, 0));
    if let Some(keys) = one.keys(&members)? {
        let queue = format!("{}/it/queue/", one.prefix());
        ensure!(keys.len() == 1 && keys[0].starts_with(&queue), "{keys:?}");
    }
    one.open("gate")?;
    first.answer()?.expect(0)?;
    one.is_settled(&members)
}

/// What cannot be used is said, nothing is started, and nobody is asked.
#[test]
fn settings_that_do_not_go_together() -> Result {
    let place = Place::at(&["http://127.0.0.1:1".to_owned()])?;
    let here = Host::new("here");
    let file = |name: &str, mode: u32| {
        let path = place.world.path(name);
        fs::write(&path, "open sesame\n")?;
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
        Ok::<_, anyhow::Error>(text(&path))
    };
    let (secret, open) = (file("secret", 0o600)?, file("open", 0o644)?);
    let empty = text(place.world.path("empty"));
    fs::write(&empty, "")?;
    fs::set_permissions(&empty, Permissions::from_mode(0o600))?;
    let cluster = ["--etcd", place.endpoints()];
    let rows: [(&[&str], &str); 18] = [
        (&["--etcd", ""], "cannot be an etcd endpoint"),
        (&["--etcd", "ftp://a:2379"], "`ftp://a:2379` cannot be"),
        (&["--etcd", "http://a:99999"], "cannot be an etcd endpoint"),
        (
            &["--etcd", "http://a:1,http://"],
            "cannot be an etcd endpoint",
        ),
        (&["--etcd", "http://a:1", "--local"], "--local"),
        (&["--etcd-user", "bob"], "no password is given"),
        (&["--etcd-password-file", &secret], "and no user"),
        (
            &["--etcd-user", "bob", "--etcd-password-file", &open],
            "(mode 0644)",
        ),
        (
            &["--etcd-user", "bob", "--etcd-password-file", &empty],
            "cannot read the password",
        ),
        (
            &["--etcd-user", "bob", "--etcd-password-file", "/nowhere"],
            "/nowhere",
        ),
        (
            &["--etcd", "https://a:1", "--etcd-cacert", "/nowhere"],
            "/nowhere",
        ),
        (
            &["--etcd", "https://a:1", "--etcd-cacert", &secret],
            "there is no certificate in",
        ),
        (&["--etcd-cert", &secret], "no key is named"),
        (&["--etcd-key", &secret], "no certificate is named"),
        (&["--lease", "4900ms"], "--lease is too short"),
        (&["--lease", "0"], "--lease is too short"),
        (&["--lease", "soon"], "soon"),
        (&["--exec"], "--exec"),
    ];
    for (options, word) in rows {
        let mut options = options.to_vec();
        if !options.contains(&"--etcd") {
            options.extend(cluster);
        }
        let answer = place
            .ask(&here, &["lock", "it"])
            .words(&options)
            .sh(&place.say("started"))
            .answer()?;
        ensure!(
            answer.code() == WRONG_USE && answer.err.contains(word),
            "{options:?}: {answer:#?}"
        );
        ensure!(!answer.err.contains("sesame"), "{answer:#?}");
    }
    for (name, value, word) in [
        (ENDPOINTS, ",", "no etcd endpoint is named"),
        (ENDPOINTS, "http://:0", "cannot be an etcd endpoint"),
        ("WARD_ETCD_USER", "bob", "no password is given"),
        ("WARD_ETCD_PASSWORD_FILE", &open, "(mode 0644)"),
        ("WARD_ETCD_KEY", &secret, "no certificate is named"),
    ] {
        for words in [&["lock", "it"][..], &["run", "--lock", "it"]] {
            let answer = place
                .ask(&here, words)
                .variable(ENDPOINTS, place.endpoints())
                .variable(name, value)
                .sh(&place.say("started"))
                .answer()?;
            ensure!(
                answer.code() == WRONG_USE && answer.err.contains(word),
                "{name}={value}: {answer:#?}"
            );
        }
    }
    // Who names a user or a file for a cluster, and no cluster, would hold less than he believes.
    for options in [
        ["--etcd-user", "bob"],
        ["--etcd-password-file", &secret],
        ["--etcd-cacert", &secret],
        ["--etcd-cert", &secret],
        ["--etcd-key", &secret],
    ] {
        let answer = place
            .ask(&here, &["lock", "it"])
            .words(options)
            .sh(&place.say("started"))
            .answer()?;
        ensure!(
            answer.code() == WRONG_USE && answer.err.contains("no etcd endpoint is named"),
            "{options:?}: {answer:#?}"
        );
    }
    assert_eq!(place.said(), "");
    nobody_is_left(&place.world)
}

#[test]
fn a_cluster_that_is_down_is_named() -> Result {
    let Some(mut members) = Members::start(2)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let here = Host::new("here");
    let names_all = |answer: &Answer| {
        let mut all = place.endpoints().split(',');
        all.all(|endpoint| answer.err.contains(endpoint))
    };
    // A short lease leaves a request little time.
    let short = ["--lease", "6s"];
    let refused = || {
        let answer = place
            .lock(&here, "it", &short)
            .sh(&place.say("started"))
            .expect(REFUSED)?;
        ensure!(names_all(&answer), "{answer:#?}");
        let answer = place
            .ask(&here, &["locks"])
            .words(place.cluster())
            .words(short)
            .expect(REFUSED)?;
        ensure!(names_all(&answer), "{answer:#?}");
        // What is not to be had here does not keep this host's lock.
        place
            .ask(&here, &["lock", "it", "--no-wait", "--", "true"])
            .expect(0)?;
        nobody_is_left(&place.world)
    };
    // One answers nothing, and the other cannot do anything alone.
    members.pause(0)?;
    refused().context("one stands still")?;
    members.resume(0)?;
    for index in 0..members.len() {
        members.kill(index)?;
    }
    refused().context("all are dead")?;
    assert_eq!(place.said(), "");
    members.restart_all()?;
    place.just(&here, "it", &[]).expect(0)?;
    place.is_settled(&members)
}

/// Something else is where the queue should be: it is named, and nothing is started beside it.
#[test]
fn a_queue_that_cannot_be_read() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let key = format!("{}/it/queue/0", place.prefix());
    if members.etcdctl(["put", &key, "no json"])?.is_none() {
        return Ok(());
    }
    let answer = place
        .lock(&Host::new("here"), "it", &[])
        .sh(&place.say("started"))
        .expect(REFUSED)?;
    ensure!(
        answer.err.contains(&key) && answer.err.contains("damaged"),
        "{answer:#?}"
    );
    assert_eq!(place.said(), "");
    members.etcdctl(["del", &key])?;
    place.just(&Host::new("here"), "it", &[]).expect(0)?;
    place.is_settled(&members)
}

#[test]
fn users_and_their_passwords() -> Result {
    // Shorter than it takes until a lease is renewed.
    let plan = Plan::of(1).option("--auth-token-ttl=1");
    let Some(members) = plan.start()? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let prefix = format!("{}/", place.prefix());
    for words in [
        "user add root:rootword",
        "user grant-role root root",
        "role add locks",
        &format!("role grant-permission locks --prefix=true readwrite {prefix}"),
        "user add ward:open@sesame",
        "user grant-role ward locks",
        "auth enable",
    ] {
        let words = words.split(' ').map(|word| word.replace('@', " "));
        if members.etcdctl(words)?.is_none() {
            return Ok(());
        }
    }
    let password = |name: &str, password: &str| {
        let path = place.world.path(name);
        fs::write(&path, password)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok::<_, anyhow::Error>(text(&path))
    };
    let (good, bad) = (
        password("good", "open sesame\n")?,
        password("bad", "close sesame\n")?,
    );
    let (here, there) = (Host::new("here"), Host::new("there"));
    let us = ["--etcd-user", "ward", "--etcd-password-file", &good];
    let lease = [&us[..], &["--lease", "8s"]].concat();
    let script = format!("{} {}", place.say("holds"), place.until("gate"));
    let mut first = place.lock(&here, "it", &lease).sh(&script).start()?;
    wait_until("the work", || place.said() == "holds\n" || first.is_over())?;
    let second = place
        .lock(&there, "it", &lease)
        .sh(&place.say("next"))
        .start()?;

    for (options, word) in [
        (&[][..], "etcd wants a user and a password"),
        (
            &["--etcd-user", "ward", "--etcd-password-file", &bad],
            "`ward`",
        ),
        (
            &["--etcd-user", "nobody", "--etcd-password-file", &good],
            "`nobody`",
        ),
    ] {
        let answer = place
            .lock(&there, "other", options)
            .sh(&place.say("started"))
            .expect(REFUSED)?;
        ensure!(
            answer.err.contains(word) && !answer.err.contains("sesame"),
            "{options:?}: {answer:#?}"
        );
    }
    // He has no business elsewhere.
    let answer = place
        .ask(&here, &["lock", "other", "--etcd", place.endpoints()])
        .words(us)
        .sh(&place.say("started"))
        .expect(REFUSED)?;
    ensure!(answer.err.contains("`ward`"), "{answer:#?}");
    // The environment says the same.
    let by_environment = |host: &Host, words: &[&str]| {
        place
            .ask(host, words)
            .words(["--etcd-prefix", place.prefix()])
            .variable(ENDPOINTS, place.endpoints())
            .variable("WARD_ETCD_USER", "ward")
            .variable("WARD_ETCD_PASSWORD_FILE", &good)
    };
    by_environment(&Host::new("third"), &["lock", "it", "--no-wait"])
        .words(["--", "true"])
        .expect(BUSY)?;
    let queue = || {
        let shown = by_environment(&there, &["locks", "--json", "it"]).expect(0);
        let lock = shown.ok()?.json().ok()?["locks"][0].clone();
        let count = |list: &Value| list.as_array().map(Vec::len);
        count(&lock["holders"]).zip(count(&lock["waiting"]))
    };
    // Both keep what they have for longer than a lease lasts, with tokens that run out each time.
    let began = ward_sys::clock::since_boot();
    wait_until("more than a lease to pass", || {
        ward_sys::clock::since_boot() - began > std::time::Duration::from_secs(10)
    })?;
    assert_eq!(queue(), Some((1, 1)), "{}", place.said());
    place.open("gate")?;
    first.answer()?.expect(0)?;
    second.answer()?.expect(0)?;
    assert_eq!(place.said(), "holds\nnext\n");
    assert_eq!(queue(), Some((0, 0)));
    nobody_is_left(&place.world)
}

#[test]
fn certificates_on_both_sides() -> Result {
    let (Some(ours), Some(theirs)) = (Authority::new()?, Authority::new()?) else {
        return Ok(());
    };
    let server = ours.sign("server", &["IP:127.0.0.1", "DNS:localhost"])?;
    let client = ours.sign("client", &[])?;
    let stranger = theirs.sign("client", &[])?;
    let Some(members) = Plan::of(1).tls(&server, &client).start()? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let (here, there) = (Host::new("here"), Host::new("there"));
    let [ca, certificate, key] = [&client.authority, &client.certificate, &client.key].map(text);
    let us = [
        "--etcd-cacert",
        &ca,
        "--etcd-cert",
        &certificate,
        "--etcd-key",
        &key,
    ];
    let script = format!("{} {}", place.say("holds"), place.until("gate"));
    let mut first = place.lock(&here, "it", &us).sh(&script).start()?;
    wait_until("the work", || place.said() == "holds\n" || first.is_over())?;
    let by_environment = |words: &[&str]| {
        place
            .ask(&there, words)
            .words(place.cluster())
            .variable("WARD_ETCD_CACERT", &ca)
            .variable("WARD_ETCD_CERT", &certificate)
            .variable("WARD_ETCD_KEY", &key)
    };
    by_environment(&["lock", "it", "--no-wait"])
        .words(["--", "true"])
        .expect(BUSY)?;
    let listed = by_environment(&["locks"]).expect(0)?;
    ensure!(listed.out.contains("it: 1 hold"), "{listed:#?}");
    let [other_ca, other_certificate, other_key] =
        [&stranger.authority, &stranger.certificate, &stranger.key].map(text);
    for (options, word) in [
        (&[][..], "WARD_ETCD_CACERT"),
        (&["--etcd-cacert", &other_ca], "WARD_ETCD_CACERT"),
        (&["--etcd-cacert", &ca], "WARD_ETCD_CERT"),
        (
            &[
                "--etcd-cacert",
                &ca,
                "--etcd-cert",
                &other_certificate,
                "--etcd-key",
                &other_key,
            ],
            "WARD_ETCD_CERT",
        ),
    ] {
        let answer = place
            .lock(&there, "other", options)
            .sh(&place.say("started"))
            .expect(REFUSED)?;
        ensure!(
            answer.err.contains(word) && answer.err.contains(place.endpoints()),
            "{options:?}: {answer:#?}"
        );
    }
    // Somebody else's key.
    let options = ["--etcd-cert", &certificate, "--etcd-key", &other_key];
    place.just(&there, "it", &options).expect(WRONG_USE)?;
    // Without TLS it is somebody else who is asked.
    let plain = place.endpoints().replace("https", "http");
    let answer = place
        .ask(&there, &["lock", "it", "--etcd", &plain, "--", "true"])
        .expect(REFUSED)?;
    ensure!(answer.err.contains("https://"), "{answer:#?}");
    place.open("gate")?;
    first.answer()?.expect(0)?;
    assert_eq!(place.said(), "holds\n");
    place.is_settled(&members)
}

/// A user of the host who is not root, with a password that only he may read.
#[test]
fn an_ordinary_user() -> Result {
    if in_path("setpriv").is_none() || !ward_testkit::world::is_root() {
        skipped("an ordinary user", "needs root and setpriv");
        return Ok(());
    }
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let id = place.world.ordinary().to_string();
    let him =
        Host::new("his").within(&["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups"]);
    let first = place.holder(&him, "it", &["--containment", "guardian"])?;
    place
        .just(&Host::new("there"), "it", &["--no-wait"])
        .expect(BUSY)?;
    let shown = place.shown("it")?.context("nothing is shown")?;
    assert_eq!(shown["holders"][0]["user"], id.as_str(), "{shown:#}");
    place.open("gate")?;
    first.answer()?.expect(0)?;
    place.is_settled(&members)
}
