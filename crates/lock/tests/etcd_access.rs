//! Who is let in to a real member of etcd: users with passwords, and TLS with certificates on both
//! sides; and what is said to those who are not.
//!
//! Where there is no etcd, or no openssl(1), this says so and tests nothing.

#![forbid(unsafe_code)]

#[path = "etcd/watching.rs"]
mod watching;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use ward_lock::etcd::{
    Cluster, EtcdError, Failure, Keys, Op, Secret, Seen, Settings, SettingsError, Txn,
};
use ward_testkit::etcd::{Authority, Members, Plan};
use ward_testkit::patience::LIMIT;

use watching::{events, settings, within};

type Result = anyhow::Result<()>;

#[test]
fn users_log_in_with_a_password_from_a_file() -> Result {
    let plan = Plan::of(1).option("--auth-token-ttl=1");
    let Some(members) = plan.start()? else {
        return Ok(());
    };
    // Named before there are users, which does no harm.
    let named = |user: &str, password: &str| Settings {
        user: Some(user.into()),
        password: Some(Secret::new(password)),
        ..settings(&members)
    };
    let mut early = Cluster::new(named("ward", "open sesame"))?;
    early.get("locks/a")?;
    for words in [
        "user add root:rootword",
        "user grant-role root root",
        "role add locks",
        "role grant-permission locks --prefix=true readwrite locks/",
        "user add ward:open@sesame",
        "user grant-role ward locks",
        "auth enable",
    ] {
        let words = words.split(' ').map(|word| word.replace('@', " "));
        if members.etcdctl(words)?.is_none() {
            return Ok(());
        }
    }
    early.get("locks/a")?;

    let mut nobody = Cluster::new(settings(&members))?;
    let error = nobody.get("locks/a").expect_err("nobody");
    assert!(matches!(error, EtcdError::Anonymous { .. }), "{error:?}");
    let mut watch = nobody.watch(Keys::prefix("locks/"), 1);
    let error = watch.next(&mut nobody, within(LIMIT)).expect_err("nobody");
    let is_no = matches!(
        error,
        EtcdError::Denied { .. } | EtcdError::Anonymous { .. }
    );
    assert!(is_no, "{error:?}");

    let mut wrong = Cluster::new(named("ward", "close sesame"))?;
    let error = wrong.get("locks/a").expect_err("the wrong password");
    assert!(
        matches!(error, EtcdError::Authentication { .. }),
        "{error:?}"
    );
    let shown = format!("{error} {error:?} {:?} {wrong:?}", error.hint());
    assert!(
        shown.contains("ward") && !shown.contains("sesame"),
        "{shown}"
    );

    let file = tempfile::NamedTempFile::new()?;
    fs::write(&file, "open sesame\n")?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644))?;
    let error = Secret::read(file.path()).expect_err("everybody may read it");
    assert!(
        matches!(error, SettingsError::Open { mode: 0o644, .. }),
        "{error:?}"
    );
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
    let mut cluster = Cluster::new(Settings {
        password: Some(Secret::read(file.path())?),
        ..named("ward", "")
    })?;
    let mut lease = cluster.grant(Duration::from_secs(60))?;
    let put = Txn::new().then(Op::put_with("locks/a", "x", lease.id));
    let revision = cluster.txn(&put)?.revision;
    let error = cluster.get("secrets").expect_err("another prefix");
    let EtcdError::Denied {
        user: Some(user), ..
    } = &error
    else {
        bail!("{error:?}");
    };
    assert_eq!(user, "ward");
    let mut other = cluster.watch(Keys::prefix("secrets/"), 1);
    let error = other
        .next(&mut cluster, within(LIMIT))
        .expect_err("another prefix");
    assert!(matches!(error, EtcdError::Denied { .. }), "{error:?}");

    // The token lasts a second from its last use; what needs it goes on after that. A watch that
    // was let in stays.
    let mut watch = cluster.watch(Keys::prefix("locks/"), revision + 1);
    for round in 0..2 {
        let seen = watch.next(&mut cluster, within(Duration::from_millis(2500)))?;
        assert_eq!(seen, Seen::Deadline);
        cluster.keep_alive(&mut lease)?;
        let seen = watch.next(&mut cluster, within(Duration::from_millis(2500)))?;
        assert_eq!(seen, Seen::Deadline);
        cluster.txn(&put)?;
        assert_eq!(
            events(&mut watch, &mut cluster, 1)?,
            ["+locks/a=x"],
            "{round}"
        );
        // One that is opened with a token that has run out.
        let seen = watch.next(&mut cluster, within(Duration::from_millis(2500)))?;
        assert_eq!(seen, Seen::Deadline);
        let mut late = cluster.watch(Keys::prefix("locks/"), revision);
        ensure!(!events(&mut late, &mut cluster, 1)?.is_empty());
    }
    cluster.revoke(lease.id)?;
    Ok(())
}

#[test]
fn both_sides_show_certificates() -> Result {
    let (Some(ours), Some(theirs)) = (Authority::new()?, Authority::new()?) else {
        return Ok(());
    };
    let server = ours.sign("server", &["IP:127.0.0.1", "DNS:localhost"])?;
    let client = ours.sign("client", &[])?;
    let Some(members) = Plan::of(1).tls(&server, &client).start()? else {
        return Ok(());
    };
    let good = Settings {
        ca: Some(ours.certificate()),
        certificate: Some(client.certificate.clone()),
        key: Some(client.key),
        ..settings(&members)
    };
    let mut cluster = Cluster::new(good.clone())?;
    let mut lease = cluster.grant(Duration::from_secs(60))?;
    let put = Txn::new().then(Op::put_with("t/a", vec![7; 100_000], lease.id));
    let revision = cluster.txn(&put)?.revision;
    cluster.keep_alive(&mut lease)?;
    assert_eq!(cluster.get("t/a")?.context("there")?.value.len(), 100_000);
    let mut watch = cluster.watch(Keys::prefix("t/"), revision + 1);
    assert_eq!(
        watch.next(&mut cluster, within(Duration::from_millis(50)))?,
        Seen::Deadline
    );
    cluster.revoke(lease.id)?;
    assert_eq!(events(&mut watch, &mut cluster, 1)?, ["-t/a"]);

    // By name, and without the scheme: there are certificates, so it is TLS.
    let by_name = members
        .endpoint(0)
        .replace("https://127.0.0.1", "localhost");
    let mut named = Cluster::new(Settings {
        endpoints: vec![by_name],
        ..good.clone()
    })?;
    named.get("t/a")?;
    assert!(named.member().starts_with("https://localhost:"));

    let why = |settings: Settings| {
        let error = Cluster::new(settings)?.get("t/a").expect_err("no TLS");
        let EtcdError::Unreachable { failures, .. } = &error else {
            bail!("{error:?}");
        };
        ensure!(failures.len() == 1, "{error}");
        ensure!(
            matches!(failures[0].1, Failure::Tls(_) | Failure::Mute),
            "{error:?}"
        );
        Ok(format!("{error} / {}", error.hint().unwrap_or_default()))
    };
    let strange = theirs.sign("client", &[])?;
    let anonymous = why(Settings {
        certificate: None,
        key: None,
        ..good.clone()
    })?;
    assert!(anonymous.contains("WARD_ETCD_CERT"), "{anonymous}");
    let stranger = why(Settings {
        certificate: Some(strange.certificate),
        key: Some(strange.key.clone()),
        ..good.clone()
    })?;
    assert!(stranger.contains("WARD_ETCD_CERT"), "{stranger}");
    let untrusted = why(Settings {
        ca: Some(theirs.certificate()),
        ..good.clone()
    })?;
    assert!(untrusted.contains("WARD_ETCD_CACERT"), "{untrusted}");
    let plain = why(Settings {
        endpoints: vec![members.endpoint(0).replace("https", "http")],
        ..good.clone()
    })?;
    assert!(plain.contains("with https://"), "{plain}");

    let bad = |settings: Settings| match Cluster::new(settings) {
        Err(EtcdError::Settings(error)) => Ok(error),
        other => bail!("{other:?}"),
    };
    let error = bad(Settings {
        key: Some(strange.key),
        ..good.clone()
    })?;
    assert!(matches!(error, SettingsError::Tls { .. }), "{error:?}");
    let error = bad(Settings {
        key: good.certificate.clone(),
        ..good.clone()
    })?;
    assert!(matches!(error, SettingsError::Pem { .. }), "{error:?}");
    let error = bad(Settings {
        ca: Some("/nowhere".into()),
        ..good
    })?;
    assert!(
        matches!(error, SettingsError::Unreadable { .. }),
        "{error:?}"
    );
    Ok(())
}

#[test]
fn a_certificate_for_another_name_and_a_port_without_tls_are_told_apart() -> Result {
    let Some(authority) = Authority::new()? else {
        return Ok(());
    };
    let server = authority.sign("server", &["DNS:elsewhere.example", "IP:127.0.0.1"])?;
    let client = authority.sign("client", &[])?;
    let Some(members) = Plan::of(1).tls(&server, &client).start()? else {
        return Ok(());
    };
    let Some(plain) = Members::start(1)? else {
        return Ok(());
    };
    let hint = |endpoint: String| {
        let settings = Settings {
            endpoints: vec![endpoint],
            ca: Some(authority.certificate()),
            certificate: Some(client.certificate.clone()),
            key: Some(client.key.clone()),
            ..Settings::default()
        };
        let error = Cluster::new(settings)?.get("a").expect_err("no TLS");
        Ok::<_, anyhow::Error>(format!("{error} / {}", error.hint().unwrap_or_default()))
    };
    let other = hint(members.endpoint(0).replace("127.0.0.1", "localhost"))?;
    assert!(other.contains("alternative names"), "{other}");
    let none = hint(plain.endpoint(0).replace("http:", "https:"))?;
    assert!(none.contains("with http://"), "{none}");
    Ok(())
}
