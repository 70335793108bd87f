//! Sending what was composed: once, or as often as may help.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use ward_config::build::Mail;
use ward_config::ini::words::arguments;

use super::address::{Place, Url, mailbox};
use super::command;
use super::compose::{Facts, compose, shown};
use super::error::{NotifyError, words};
use super::smtp::{self, Server};
use super::trust::configuration;
use super::webhook;

/// No attempt takes longer, but for looking up names.
pub const LONGEST: Duration = Duration::from_secs(60);

/// Where the program is that takes mails, unless the settings name another.
const SENDMAIL: &str = "/usr/sbin/sendmail";

/// A secret is not longer, bytes.
const SECRET: u64 = 64 << 10;

/// How things can be sent from here.
#[derive(Debug, Clone)]
pub struct Ways {
    /// How mail leaves.
    pub mail: Mail,
    /// Where secrets are.
    pub secrets: PathBuf,
    /// The name of this host, as others know it.
    pub host: String,
    /// A directory for files that commands read, where nobody else reads; it is made if it is not there.
    pub scratch: PathBuf,
    /// A file with the certificates of who is trusted, instead of the system's.
    pub authorities: Option<PathBuf>,
}

impl Ways {
    /// The address that mails come from.
    pub(super) fn sender(&self) -> String {
        let named = self.mail.from.as_deref().and_then(mailbox);
        named.map_or_else(|| format!("ward@{}", self.own_name()), str::to_owned)
    }

    /// What stands before it.
    pub(super) fn sender_name(&self) -> String {
        let name = self.mail.from.as_deref().and_then(|from| {
            let (name, _) = from.rsplit_once('<')?;
            let name = name.trim().trim_matches('"');
            (!name.is_empty()).then(|| name.to_owned())
        });
        name.unwrap_or_else(|| "ward".to_owned())
    }

    /// What follows `@` in the names of messages.
    pub(super) fn domain(&self) -> String {
        let sender = self.sender();
        sender
            .rsplit_once('@')
            .map_or_else(|| self.own_name(), |(_, domain)| domain.to_owned())
    }

    /// The host's name, where it can stand in commands and addresses.
    fn own_name(&self) -> String {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
        if !self.host.is_empty() && self.host.len() <= 253 && self.host.bytes().all(fits) {
            self.host.clone()
        } else {
            "localhost".to_owned()
        }
    }
}

/// Something to be sent. It can be kept, and sent later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "way", rename_all = "kebab-case")]
pub enum Delivery {
    /// A mail.
    Mail {
        /// From which address.
        from: String,
        /// To which.
        to: Vec<String>,
        /// All of it, ASCII, lines ending with CRLF.
        message: String,
    },
    /// A document, by HTTP.
    Webhook {
        /// To where; its path may be a secret.
        url: String,
        /// JSON.
        body: String,
    },
    /// A document, to a command.
    Command {
        /// To be cut into words by quotes and backslashes.
        command: String,
        /// Variables.
        environment: Vec<(String, String)>,
        /// JSON.
        body: String,
    },
}

impl Delivery {
    /// What it is, for people; without secrets.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Mail { to, .. } => {
                let some = to.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
                match to.len().saturating_sub(5) {
                    0 => format!("mail to {some}"),
                    more => format!("mail to {some} and {more} more"),
                }
            }
            Self::Webhook { url, .. } => format!("webhook {}", shown(url)),
            Self::Command { command, .. } => {
                let program = command.split_whitespace().next().unwrap_or_default();
                format!("command {}", words(program.as_bytes()))
            }
        }
    }
}

/// Tries once to send it. What is given is a line for people.
///
/// # Errors
/// It was not taken; [`NotifyError::is_temporary`] tells whether to try again.
pub fn deliver(delivery: &Delivery, ways: &Ways) -> Result<String, NotifyError> {
    let until = Instant::now() + LONGEST;
    let tls = || configuration(ways.authorities.as_deref());
    let what = delivery.describe();
    match delivery {
        Delivery::Mail { from, to, message } => match &ways.mail.smtp {
            Some(smtp) => {
                let left = by_smtp(smtp, ways, (from, to), message, until)?;
                let mut line = what;
                for (address, said) in left {
                    line.push_str(&format!("; {address} was refused: {said}"));
                }
                return Ok(line);
            }
            None => by_sendmail(ways, from, to, message)?,
        },
        Delivery::Webhook { url, body } => webhook::post(&Url::read(url)?, body, until, tls)?,
        Delivery::Command {
            command,
            environment,
            body,
        } => {
            let bad = |why| NotifyError::Bad {
                what: "the command".to_owned(),
                why,
            };
            let words = arguments(command).map_err(|_| bad("a quote is not closed"))?;
            if words.is_empty() {
                return Err(bad("it is empty"));
            }
            command::tell(&words, environment, body, &ways.scratch, LONGEST)?;
        }
    }
    Ok(what)
}

fn by_smtp(
    smtp: &str,
    ways: &Ways,
    (from, to): (&str, &[String]),
    message: &str,
    until: Instant,
) -> Result<smtp::Left, NotifyError> {
    let place = Place::read(smtp, 25).ok_or_else(|| NotifyError::Bad {
        what: "the mail server".to_owned(),
        why: "it is not HOST or HOST:PORT",
    })?;
    let account = ways.mail.smtp_secret.as_deref();
    let account = account.map(|id| account_of(ways, id)).transpose()?;
    let own_name = ways.own_name();
    let server = Server {
        place: &place,
        own_name: &own_name,
        account,
        insists_on_tls: ways.mail.smtp_tls,
    };
    smtp::hand_over(&server, from, to, message, until, || {
        configuration(ways.authorities.as_deref())
    })
}

fn account_of(ways: &Ways, id: &str) -> Result<(String, String), NotifyError> {
    let unreadable = |source| NotifyError::Secret {
        id: id.to_owned(),
        source,
    };
    if id.is_empty() || id.starts_with('.') || id.contains('/') {
        return Err(unreadable(std::io::ErrorKind::InvalidInput.into()));
    }
    let mut text = String::new();
    File::open(ways.secrets.join(id))
        .and_then(|file| file.take(SECRET).read_to_string(&mut text))
        .map_err(unreadable)?;
    let (user, password) = text
        .trim_end_matches(['\r', '\n'])
        .split_once(':')
        .ok_or_else(|| NotifyError::BadSecret(id.to_owned()))?;
    Ok((user.to_owned(), password.to_owned()))
}

fn by_sendmail(ways: &Ways, from: &str, to: &[String], message: &str) -> Result<(), NotifyError> {
    let program = ways.mail.sendmail.as_deref().unwrap_or(SENDMAIL);
    let bad = |why| NotifyError::Bad {
        what: "the program `sendmail`".to_owned(),
        why,
    };
    let mut words = arguments(program).map_err(|_| bad("a quote is not closed"))?;
    if words.is_empty() {
        return Err(bad("it is empty"));
    }
    // Recipients stand on the command line, not only in the message: what is in a message was written by others.
    words.extend(["-i", "-f", from, "--"].map(str::to_owned));
    words.extend_from_slice(to);
    // Lines end here as they do for every program of this system.
    let message = message.replace("\r\n", "\n");
    command::tell(&words, &[], &message, &ways.scratch, LONGEST)
}

/// How long to wait after so many attempts failed, before there is another; none: give up.
#[must_use]
pub fn pause_after(attempts: u32) -> Option<Duration> {
    let seconds = match attempts {
        0 => 0,
        1 => 5,
        2 => 30,
        3 => 120,
        4 => 600,
        _ => return None,
    };
    Some(Duration::from_secs(seconds))
}

/// Sends everything that is to be sent because of a build's end, and tells how that went: a line each, for
/// people.
///
/// `pause` waits between attempts, and says `false` if there is no time for more of them.
#[must_use]
pub fn send(facts: &Facts, ways: &Ways, pause: &dyn Fn(Duration) -> bool) -> Vec<String> {
    compose(facts, ways)
        .iter()
        .map(|delivery| insistently(delivery, ways, pause))
        .collect()
}

fn insistently(delivery: &Delivery, ways: &Ways, pause: &dyn Fn(Duration) -> bool) -> String {
    let mut attempts = 0;
    loop {
        let error = match deliver(delivery, ways) {
            Ok(line) => return line,
            Err(error) => error,
        };
        attempts += 1;
        let next = pause_after(attempts).filter(|_| error.is_temporary());
        if !next.is_some_and(pause) {
            return format!(
                "{} failed: {}",
                delivery.describe(),
                ward_engine::chain(&error)
            );
        }
    }
}
