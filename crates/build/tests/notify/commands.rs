//! Commands and `sendmail`: what they read, what they are given, and how they fail.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, ensure};
use ward_build::notify::{Delivery, NotifyError, compose, deliver};
use ward_config::build::Mail;

use crate::Test;
use crate::stage::Stage;

pub(crate) const TESTS: &[Test] = &[
    ("a_command_reads_a_document", document),
    ("commands_that_fail", failures),
    ("sendmail_takes_a_mail", sendmail),
];

fn document() -> anyhow::Result<()> {
    let stage = Stage::new()?;
    let out = stage.home.path().join("out put");
    let mut facts = stage.facts();
    facts.job.notify.mail.clear();
    facts.job.notify.commands = vec![format!(
        "sh -c 'cat >\"$1\"; echo \"$WARD_JOB $WARD_RESULT $WARD_KIND\" >>\"$1\"' sh \"{}\"",
        out.display()
    )];
    let ways = stage.ways(Mail::default());
    let delivery = compose(&facts, &ways).pop().context("one")?;
    let said = deliver(&delivery, &ways)?;
    ensure!(said == "command sh", "{said}");
    let text = fs::read_to_string(&out)?;
    let (document, line) = text
        .split_once('}')
        .and(text.rsplit_once('}'))
        .context("JSON")?;
    let document: serde_json::Value = serde_json::from_str(&format!("{document}}}"))?;
    ensure!(document["job"] == "docs/site", "{document}");
    ensure!(line == "docs/site FAILURE still-failing\n", "{line}");
    let left = fs::read_dir(stage.scratch())?.count();
    ensure!(left == 0, "{left} files were left");
    Ok(())
}

fn failures() -> anyhow::Result<()> {
    let stage = Stage::new()?;
    let ways = stage.ways(Mail::default());
    for (command, expected, temporary) in [
        ("sh -c 'echo why >&2; exit 3'", "status 3: why", false),
        ("sh -c 'exit 75'", "status 75", true),
        ("/nonexistent/program", "was not started", false),
        ("sh -c 'unclosed", "quote", false),
        ("", "empty", false),
    ] {
        let delivery = Delivery::Command {
            command: command.to_owned(),
            environment: Vec::new(),
            body: "{}".to_owned(),
        };
        let error = deliver(&delivery, &ways).err().context(command)?;
        ensure!(error.is_temporary() == temporary, "{error:?}");
        let text = ward_engine::chain(&error);
        ensure!(text.contains(expected), "{command}: {text}");
    }
    Ok(())
}

fn sendmail() -> anyhow::Result<()> {
    let stage = Stage::new()?;
    let program = stage.home.path().join("sendmail");
    let out = stage.home.path().join("mail");
    let script = format!(
        "#!/bin/sh\nfor word; do echo \"<$word>\"; done >{0}\ncat >>{0}\n",
        out.display()
    );
    fs::write(&program, script)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let mail = Mail {
        sendmail: Some(program.display().to_string()),
        ..Mail::default()
    };
    let ways = stage.ways(mail);
    let delivery = compose(&stage.facts(), &ways).pop().context("one")?;
    deliver(&delivery, &ways)?;
    let text = fs::read_to_string(&out)?;
    ensure!(
        text.starts_with("<-i>\n<-f>\n<ward@ci.example>\n<-->\n<team@example.org>\nFrom: \"ward\" <ward@ci.example>\n"),
        "{text}"
    );
    ensure!(!text.contains('\r'));
    let ways = stage.ways(Mail {
        sendmail: Some("/nonexistent/sendmail".to_owned()),
        ..Mail::default()
    });
    let error = deliver(&delivery, &ways).err().context("refused")?;
    ensure!(matches!(error, NotifyError::Failed { .. }), "{error:?}");
    Ok(())
}
