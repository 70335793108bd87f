//! Webhooks: what they are told, and what they answer.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use rustls::{ServerConnection, StreamOwned};
use ward_build::notify::{Delivery, compose, deliver, pause_after, send};
use ward_config::build::Mail;
use ward_model::build::BuildResult;
use ward_testkit::etcd::Authority;

use crate::Test;
use crate::sink::{Sink, http, server_config};
use crate::stage::Stage;

pub(crate) const TESTS: &[Test] = &[
    ("a_webhook_gets_a_document", document),
    ("answers_of_webhooks", answers),
    ("a_webhook_in_tls", in_tls),
    ("what_may_go_better_is_tried_again", again),
];

fn document() -> anyhow::Result<()> {
    let stage = Stage::new()?;
    let sink = Sink::start(|stream: TcpStream| http(stream, "HTTP/1.1 204 No Content\r\n\r\n"))?;
    let mut facts = stage.facts();
    facts.job.notify.mail.clear();
    facts.job.notify.webhooks = vec![format!("http://{}/hooks/secret?x=1", sink.address)];
    let ways = stage.ways(Mail::default());
    let delivery = compose(&facts, &ways).pop().context("one")?;
    // It can be kept, and sent by another process.
    let kept: Delivery = serde_json::from_str(&serde_json::to_string(&delivery)?)?;
    let said = deliver(&kept, &ways)?;
    ensure!(said == format!("webhook http://{}", sink.address), "{said}");
    let heard = sink.heard()?;
    ensure!(
        heard
            .first()
            .is_some_and(|line| line == "POST /hooks/secret?x=1 HTTP/1.1")
    );
    let body: serde_json::Value = serde_json::from_str(heard.last().context("a body")?)?;
    ensure!(
        body["format"] == "ward-notice/1" && body["kind"] == "still-failing",
        "{body}"
    );
    ensure!(body["result"] == "FAILURE" && body["number"] == 7, "{body}");
    ensure!(
        body["url"] == "https://ci.example/job/docs/job/site/7/",
        "{body}"
    );
    ensure!(body["log_tail"][4] == "Finished: FAILURE", "{body}");
    // Every end is told, also such as mails say nothing of.
    facts.build.result = Some(BuildResult::Aborted);
    let all = compose(&facts, &ways);
    ensure!(
        matches!(all.as_slice(), [Delivery::Webhook { body, .. }] if body.contains("\"kind\":null")),
        "{all:?}"
    );
    Ok(())
}

fn answers() -> anyhow::Result<()> {
    for (answer, temporary) in [
        ("HTTP/1.1 200 OK\r\n\r\n", None),
        (
            "HTTP/1.1 100 Continue\r\nA: b\r\n\r\nHTTP/1.1 202 Accepted\r\n\r\n",
            None,
        ),
        ("HTTP/1.1 404 Not Found\r\n\r\n", Some(false)),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n",
            Some(false),
        ),
        ("HTTP/1.1 503 Busy\x1b\r\n\r\n", Some(true)),
        ("HTTP/1.1 429 Slow down\r\n\r\n", Some(true)),
        ("", Some(true)),
        ("hello\r\n", Some(false)),
    ] {
        let stage = Stage::new()?;
        let sink = Sink::start(move |stream: TcpStream| http(stream, answer))?;
        let delivery = Delivery::Webhook {
            url: format!("http://{}/T0/secret", sink.address),
            body: "{}".to_owned(),
        };
        let outcome = deliver(&delivery, &stage.ways(Mail::default()));
        sink.heard()?;
        match (outcome, temporary) {
            (Ok(_), None) => {}
            (Err(error), Some(temporary)) => {
                ensure!(error.is_temporary() == temporary, "{answer}: {error:?}");
                let text = ward_engine::chain(&error);
                ensure!(
                    !text.contains("secret") && !text.contains('\u{1b}'),
                    "{text}"
                );
            }
            (outcome, _) => anyhow::bail!("{answer}: {outcome:?}"),
        }
    }
    Ok(())
}

fn in_tls() -> anyhow::Result<()> {
    let Some(authority) = Authority::new()? else {
        return Ok(());
    };
    let config = server_config(&authority.sign("hooks", &["IP:127.0.0.1"])?)?;
    let stage = Stage::new()?;
    let sink = Sink::start(move |stream| {
        let connection = ServerConnection::new(Arc::clone(&config))?;
        http(
            StreamOwned::new(connection, stream),
            "HTTP/1.1 200 OK\r\n\r\n",
        )
    })?;
    let delivery = Delivery::Webhook {
        url: format!("https://{}/", sink.address),
        body: "{\"a\": \"b\"}".to_owned(),
    };
    let mut ways = stage.ways(Mail::default());
    ways.authorities = Some(authority.certificate());
    deliver(&delivery, &ways)?;
    let heard = sink.heard()?;
    ensure!(
        heard.last().is_some_and(|body| body == "{\"a\": \"b\"}"),
        "{heard:?}"
    );
    Ok(())
}

fn again() -> anyhow::Result<()> {
    let stage = Stage::new()?;
    let mut facts = stage.facts();
    facts.job.notify.mail.clear();
    // Nobody listens at port 1 of loopback.
    facts.job.notify.webhooks = vec!["http://127.0.0.1:1/x".to_owned(), "gopher://x".to_owned()];
    let pauses = std::cell::RefCell::new(Vec::new());
    let told = send(&facts, &stage.ways(Mail::default()), &|pause: Duration| {
        pauses.borrow_mut().push(pause);
        true
    });
    let expected: Vec<_> = (1..).map_while(pause_after).collect();
    ensure!(*pauses.borrow() == expected, "{pauses:?}");
    ensure!(told.len() == 2, "{told:?}");
    ensure!(
        told.iter().all(|line| line.contains(" failed: ")),
        "{told:?}"
    );
    Ok(())
}
