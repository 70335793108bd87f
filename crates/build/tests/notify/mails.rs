//! Mail: its text as other programs read it, and servers that take it or do not.

use std::io::Write;
use std::net::TcpStream;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use data_encoding::BASE64;
use ward_build::notify::{Delivery, NotifyError, compose, deliver};
use ward_config::build::Mail;
use ward_model::build::BuildResult;
use ward_testkit::etcd::Authority;

use crate::Test;
use crate::sink::{Manners, Sink, server_config, smtp};
use crate::stage::Stage;

pub(crate) const TESTS: &[Test] = &[
    ("who_is_told_what", who),
    ("a_mail_as_python_reads_it", as_python_reads_it),
    ("a_mail_is_taken_by_smtp", plain),
    ("a_mail_is_taken_in_tls_by_who_signed_in", in_tls),
    ("passwords_do_not_leave_without_tls", no_tls),
    ("servers_that_refuse", refusals),
    ("servers_that_behave_badly", hostile),
];

fn by(address: &str) -> Mail {
    Mail {
        from: Some("Ward <ward@ci.example>".to_owned()),
        smtp: Some(address.to_owned()),
        ..Mail::default()
    }
}

fn the_mail(stage: &Stage, mail: Mail) -> anyhow::Result<(Delivery, String)> {
    let mut all = compose(&stage.facts(), &stage.ways(mail));
    ensure!(all.len() == 1, "{all:?}");
    let delivery = all.remove(0);
    let Delivery::Mail { message, .. } = &delivery else {
        anyhow::bail!("{delivery:?}");
    };
    let message = message.clone();
    Ok((delivery, message))
}

fn who() -> anyhow::Result<()> {
    let stage = Stage::new()?;
    let ways = stage.ways(Mail::default());
    let people = |facts| -> Vec<String> {
        compose(&facts, &ways)
            .into_iter()
            .flat_map(|delivery| match delivery {
                Delivery::Mail { to, .. } => to,
                Delivery::Webhook { .. } | Delivery::Command { .. } => Vec::new(),
            })
            .collect()
    };
    ensure!(people(stage.facts()) == ["team@example.org"]);
    let mut facts = stage.facts();
    facts.job.notify.mail_culprits = true;
    ensure!(people(facts) == ["team@example.org", "j@example.net"]);
    let mut facts = stage.facts();
    facts.build.result = Some(BuildResult::Aborted);
    ensure!(people(facts).is_empty());
    let mut facts = stage.facts();
    facts.build.result = Some(BuildResult::Unstable);
    facts.previous = vec![BuildResult::Unstable];
    ensure!(people(facts.clone()) == ["team@example.org"]);
    facts.job.notify.mail_first_unstable_only = true;
    ensure!(people(facts).is_empty());
    let mut facts = stage.facts();
    facts.job.notify.mail.clear();
    ensure!(people(facts).is_empty());
    Ok(())
}

/// What Python's `email` makes of it: headers and body as JSON.
const READ: &str = "import email, email.policy, json, sys
m = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
print(json.dumps({'headers': {k: str(v) for k, v in m.items()}, 'body': m.get_content(), 'defects': [str(d) for d in m.defects]}))";

fn as_python_reads_it() -> anyhow::Result<()> {
    let stage = Stage::new()?;
    let mut facts = stage.facts();
    facts.job.display_name = Some("Grüße\r\nBcc: x@y".to_owned());
    let delivery = compose(&facts, &stage.ways(by("localhost"))).pop();
    let Some(Delivery::Mail { message, .. }) = delivery else {
        anyhow::bail!("{delivery:?}");
    };
    ensure!(message.is_ascii() && message.lines().all(|line| line.len() <= 998));
    let python = Command::new("python3")
        .args(["-c", READ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut python) = python else {
        println!("python3 is not here: nobody else reads the mail");
        return Ok(());
    };
    python
        .stdin
        .take()
        .context("a pipe")?
        .write_all(message.as_bytes())?;
    let read: serde_json::Value = serde_json::from_slice(&python.wait_with_output()?.stdout)?;
    ensure!(
        read["defects"].as_array().is_some_and(Vec::is_empty),
        "{read}"
    );
    let header = |name: &str| {
        read["headers"][name]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    ensure!(
        header("Subject") == "Build failed in Jenkins: Grüße  Bcc: x@y #7",
        "{read}"
    );
    ensure!(header("Bcc").is_empty());
    ensure!(header("X-Jenkins-Result") == "FAILURE");
    ensure!(header("X-Jenkins-Job") == "Grüße  Bcc: x@y");
    ensure!(header("In-Reply-To").starts_with("<build-5."), "{read}");
    ensure!(header("Message-ID").starts_with("<build-7."), "{read}");
    let body = read["body"]
        .as_str()
        .unwrap_or_default()
        .replace("\r\n", "\n");
    for expected in [
        "See <https://ci.example/job/docs/job/site/7/display/redirect>\n",
        "No build has succeeded since #5.\n",
        "[Jürgen] mend the <title> (abcdef0123)\n",
        "\n.dot at the begin\n.\ngrün\nFinished: FAILURE\n",
        "Tests: 1 failed, 3 passed, 0 skipped.\n",
    ] {
        ensure!(body.contains(expected), "{expected} is not in {body}");
    }
    ensure!(!body.contains("later"), "what a daemon wrote later: {body}");
    Ok(())
}

fn plain() -> anyhow::Result<()> {
    let stage = Stage::new()?;
    let sink = Sink::start(|stream| smtp(stream, &Manners::default()))?;
    let ways = stage.ways(by(&sink.address));
    let (delivery, message) = the_mail(&stage, by(&sink.address))?;
    let said = deliver(&delivery, &ways)?;
    ensure!(said == "mail to team@example.org", "{said}");
    let heard = sink.heard()?;
    ensure!(heard.starts_with(&[
        "EHLO ci.example".to_owned(),
        "MAIL FROM:<ward@ci.example>".to_owned(),
        "RCPT TO:<team@example.org>".to_owned(),
        "DATA".to_owned(),
    ]));
    let end = heard
        .iter()
        .position(|line| line == ".")
        .context("an end")?;
    let taken: Vec<_> = heard
        .get(4..end)
        .context("a message")?
        .iter()
        .map(|line| line.strip_prefix('.').unwrap_or(line))
        .collect();
    ensure!(taken == message.lines().collect::<Vec<_>>());
    ensure!(heard.last().is_some_and(|line| line == "QUIT"));
    Ok(())
}

fn in_tls() -> anyhow::Result<()> {
    let Some(authority) = Authority::new()? else {
        return Ok(());
    };
    let good = server_config(&authority.sign("mail", &["IP:127.0.0.1"])?)?;
    let bad = server_config(&authority.sign("other", &["IP:127.0.0.2"])?)?;
    for (way, config) in [
        ("AUTH PLAIN LOGIN", &good),
        ("AUTH=LOGIN", &good),
        ("AUTH PLAIN", &bad),
    ] {
        let stage = Stage::new()?;
        let manners = Manners {
            tls: Some(config.clone()),
            offers: vec![way.to_owned()],
            refuses: Vec::new(),
        };
        let sink = Sink::start(move |stream| smtp(stream, &manners))?;
        let mut mail = by(&sink.address);
        mail.smtp_tls = true;
        mail.smtp_secret = Some("smtp".to_owned());
        let mut ways = stage.ways(mail.clone());
        ways.authorities = Some(authority.certificate());
        let (delivery, _) = the_mail(&stage, mail)?;
        let outcome = deliver(&delivery, &ways);
        let heard = sink.heard().unwrap_or_default();
        if std::sync::Arc::ptr_eq(config, &bad) {
            ensure!(
                matches!(outcome, Err(NotifyError::Tls { .. })),
                "{outcome:?}"
            );
            continue;
        }
        outcome?;
        let tls = heard.iter().position(|line| line == "TLS").context("TLS")?;
        let (before, after) = heard.split_at(tls);
        ensure!(!before.iter().any(|line| line.starts_with("AUTH")));
        let plain = format!("AUTH PLAIN {}", BASE64.encode(b"\0robot\0open sesame"));
        let expected = if way.contains("PLAIN") {
            plain.as_str()
        } else {
            "AUTH LOGIN"
        };
        ensure!(after.iter().any(|line| line == expected), "{after:?}");
        ensure!(after.iter().any(|line| line == "."), "{after:?}");
    }
    Ok(())
}

fn no_tls() -> anyhow::Result<()> {
    let stage = Stage::new()?;
    let sink = Sink::start(|stream| smtp(stream, &Manners::default()))?;
    let mut mail = by(&sink.address);
    mail.smtp_tls = true;
    mail.smtp_secret = Some("smtp".to_owned());
    let (delivery, _) = the_mail(&stage, mail.clone())?;
    let error = deliver(&delivery, &stage.ways(mail))
        .err()
        .context("refused")?;
    ensure!(matches!(error, NotifyError::NotOffered { .. }), "{error:?}");
    let heard = sink.heard()?;
    ensure!(heard == ["EHLO ci.example"], "{heard:?}");
    // A secret that is not there, and one that leads elsewhere.
    for id in ["missing", "../log", ""] {
        let mut mail = by("127.0.0.1:1");
        mail.smtp_secret = Some(id.to_owned());
        let error = deliver(&delivery, &stage.ways(mail))
            .err()
            .context("refused")?;
        ensure!(matches!(error, NotifyError::Secret { .. }), "{error:?}");
    }
    Ok(())
}

fn refusals() -> anyhow::Result<()> {
    for (refuses, taken, temporary) in [
        (vec![("team", "550 no such user")], false, false),
        (vec![("team", "450 come back later")], false, true),
        (vec![("j@", "550 no such user")], true, false),
    ] {
        let stage = Stage::new()?;
        let manners = Manners {
            refuses: refuses
                .into_iter()
                .map(|(whom, said)| (whom.to_owned(), said.to_owned()))
                .collect(),
            ..Manners::default()
        };
        let sink = Sink::start(move |stream| smtp(stream, &manners))?;
        let ways = stage.ways(by(&sink.address));
        let mut facts = stage.facts();
        facts.job.notify.mail_culprits = taken;
        let delivery = compose(&facts, &ways).pop().context("a mail")?;
        match deliver(&delivery, &ways) {
            Ok(said) => {
                ensure!(taken, "{said}");
                ensure!(said.contains("j@example.net was refused: 550"), "{said}");
            }
            Err(error) => {
                ensure!(!taken && error.is_temporary() == temporary, "{error:?}");
                ensure!(error.to_string().contains("50 "), "{error}");
            }
        }
        drop(sink);
    }
    Ok(())
}

/// What a server does with whoever comes.
type Behaviour = Box<dyn FnOnce(TcpStream) + Send>;

fn hostile() -> anyhow::Result<()> {
    let endless = |stream: &mut TcpStream, piece: &[u8]| -> anyhow::Result<()> {
        // It is cut off: then no more can be written.
        while stream.write_all(piece).is_ok() {}
        Ok(())
    };
    let ways: [(&str, Behaviour); 5] = [
        ("closes at once", Box::new(drop)),
        (
            "a line without an end",
            Box::new(move |mut stream| drop(endless(&mut stream, &[b'x'; 4096]))),
        ),
        (
            "an answer without an end",
            Box::new(move |mut stream| drop(endless(&mut stream, b"220-more\r\n"))),
        ),
        (
            "not a mail server",
            Box::new(|mut stream| drop(stream.write_all(b"SSH-2.0-x\r\n"))),
        ),
        (
            "says something else",
            Box::new(|mut stream| drop(stream.write_all(b"554 go\x1b[31m away\r\n"))),
        ),
    ];
    for (what, behave) in ways {
        let stage = Stage::new()?;
        let sink = Sink::start(move |stream| {
            behave(stream);
            Ok(Vec::new())
        })?;
        let (delivery, _) = the_mail(&stage, by(&sink.address))?;
        let error = deliver(&delivery, &stage.ways(by(&sink.address)))
            .err()
            .context(what)?;
        ensure!(!error.to_string().contains('\u{1b}'), "{error}");
        sink.heard()?;
    }
    Ok(())
}
