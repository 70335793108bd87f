//! `[build]` to the build server.

use std::time::Duration;

use super::{BuildServer, Mail};
use crate::diagnostics::Diagnostics;
use crate::ini::document::Section;
use crate::job::is_secret_name;
use crate::keys::{self, Scope};
use crate::program::environment;
use crate::read::{Context, Reader};
use crate::value::{Complaint, inet_address, list};

/// No host runs more builds at a time.
const MOST_EXECUTORS: u32 = 1000;

/// Reads the section.
pub(crate) fn read(
    context: &Context<'_>,
    section: &Section,
    found: &mut Diagnostics,
) -> BuildServer {
    let mut reader = Reader::new(context, section, keys::BUILD, found);
    let day = Duration::from_secs(24 * 60 * 60);
    BuildServer {
        directory: path(&mut reader, "directory"),
        listen: listen(&mut reader),
        url: url(&mut reader),
        executors: reader.within("executors", 1, MOST_EXECUTORS).unwrap_or(1),
        quiet_period: reader
            .time_within("quiet_period", Duration::ZERO, day)
            .unwrap_or_default(),
        shell: path(&mut reader, "shell").unwrap_or_default(),
        user: reader.user("user").map(|user| user.name),
        anonymous_read: reader.flag("anonymous_read"),
        secrets: path(&mut reader, "secrets"),
        environment: environment(&mut reader, "environment", Scope::HereAndHost)
            .into_iter()
            .collect(),
        mail: mail(&mut reader),
        stop_builds: reader.flag("stop_builds"),
    }
}

fn full(reader: &mut Reader<'_, '_>, key: &str) -> Option<String> {
    reader.text(key).filter(|text| !text.is_empty())
}

/// A path, made absolute; `~` is replaced.
fn path(reader: &mut Reader<'_, '_>, key: &str) -> Option<String> {
    let text = full(reader, key)?;
    Some(reader.context.host.normal_path(&text))
}

fn listen(reader: &mut Reader<'_, '_>) -> Vec<String> {
    let text = reader.text("listen").unwrap_or_default().replace('\n', ",");
    let mut addresses = list(&text);
    addresses.retain(|address| !address.is_empty());
    for address in &addresses {
        let complaint = match address.strip_prefix("unix://") {
            Some(path) if path.starts_with('/') => None,
            Some(_) => Some(Complaint::new(
                format!("`{address}` is not the absolute path of a socket"),
                "write unix:///path",
            )),
            None => inet_address(address).err(),
        };
        if let Some(complaint) = complaint {
            reader.complain("listen", address, complaint);
        }
    }
    if addresses.is_empty() {
        let complaint = Complaint::new("there is no address", "listen = 127.0.0.1:8080");
        reader.complain("listen", &text, complaint);
    }
    addresses
}

/// With a slash at its end.
fn url(reader: &mut Reader<'_, '_>) -> Option<String> {
    let url = full(reader, "url")?;
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    let sound = rest.is_some_and(|rest| {
        !rest.starts_with('/')
            && !rest.is_empty()
            && !rest
                .contains(|c: char| c.is_whitespace() || c.is_control() || "?#<>\"'@".contains(c))
    });
    if !sound {
        let complaint = Complaint::new(
            format!("`{url}` is no address of a server"),
            "write http://host:port/ or https://host/path/",
        );
        reader.complain("url", &url, complaint);
        return None;
    }
    Some(if url.ends_with('/') { url } else { url + "/" })
}

fn mail(reader: &mut Reader<'_, '_>) -> Mail {
    let smtp = full(reader, "mail_smtp");
    if let Some(server) = &smtp {
        let sound =
            server.contains(':') && !server.starts_with(':') && inet_address(server).is_ok();
        if !sound {
            let complaint = Complaint::new(
                format!("`{server}` is not host:port"),
                "write mail.example.org:587",
            );
            reader.complain("mail_smtp", server, complaint);
        }
    }
    let secret = full(reader, "mail_smtp_secret");
    if let Some(name) = secret.as_ref().filter(|name| !is_secret_name(name)) {
        let complaint = Complaint::new(
            format!("`{name}` is no name of a secret"),
            "use letters, digits, `-`, `_` and `.`; the secret itself is in a file of that name",
        );
        reader.complain("mail_smtp_secret", name, complaint);
    }
    Mail {
        from: full(reader, "mail_from"),
        smtp,
        smtp_secret: secret,
        smtp_tls: reader.flag("mail_smtp_tls"),
        sendmail: path(reader, "mail_sendmail"),
    }
}
