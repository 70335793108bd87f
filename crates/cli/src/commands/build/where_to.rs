//! Which server is asked, and who we are to it.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use ward_config::build::BuildServer;
use ward_model::exit_code;
use ward_serve::secure::Trust;

use super::connection::{Endpoint, Server};
use super::place::{self, SOCKET, home_of};
use crate::args::At;
use crate::failure::Failure;

/// The variable with a server's address.
const URL: &str = "WARD_BUILD_URL";
/// The variable that says who we are: `USER:TOKEN`.
const TOKEN: &str = "WARD_BUILD_TOKEN";
/// The variable with a file of the authorities that are trusted.
const CA: &str = "WARD_CA";
/// The file that says it, in the user's directory of configurations.
const TOKEN_FILE: &str = "ward/build-token";
/// Bytes of that file.
const LONGEST: u64 = 4096;

/// The server that is meant.
pub(super) fn server(at: &At) -> Result<Server, Failure> {
    let named = at.url.clone().or_else(|| {
        // A configuration on the command line is nearer than a variable.
        let url = std::env::var(URL).ok().filter(|url| !url.is_empty());
        url.filter(|_| at.configuration.is_none())
    });
    if let Some(url) = named {
        return by_url(&url, at.ca.as_deref());
    }
    let path = place::found(at.configuration.as_deref()).ok_or_else(|| {
        Failure::with_code(
            "no build server is known",
            Some("name it with --url, $WARD_BUILD_URL, or its configuration with -c FILE"),
            exit_code::NO_SERVER,
        )
    })?;
    let builds = place::load(&path)?;
    let Some(server) = &builds.server else {
        return Err(Failure::with_code(
            format!("{} has no section [build]", path.display()),
            Some("name the server with --url, or another configuration with -c FILE"),
            exit_code::NO_SERVER,
        ));
    };
    of_configuration(server, &path, at.ca.as_deref())
}

/// By the socket in its directory, if we may; else by the first address that it listens at.
fn of_configuration(
    server: &BuildServer,
    path: &Path,
    ca: Option<&Path>,
) -> Result<Server, Failure> {
    let socket = home_of(server)?.join(SOCKET);
    if is_open(&socket) {
        return Ok(Server {
            endpoint: Endpoint::Unix(socket),
            prefix: String::new(),
            credentials: None,
            trust: None,
        });
    }
    match server.listen.first() {
        Some(address) => by_url(&url_of(address), ca),
        None => Err(Failure::with_code(
            format!("the server of {} does not run", path.display()),
            Some("start it by `ward up`, or by `ward build serve -c FILE`"),
            exit_code::NO_SERVER,
        )),
    }
}

/// Whether somebody listens there whom we may ask: nobody but ourselves and root may have put it there.
fn is_open(socket: &Path) -> bool {
    let Ok(meta) = std::fs::symlink_metadata(socket) else {
        return false;
    };
    meta.file_type().is_socket() && UnixStream::connect(socket).is_ok()
}

/// As a configuration says where to listen: `HOST:PORT`, `:PORT`, `*:PORT`, `PORT` or `unix:///PATH`.
fn url_of(address: &str) -> String {
    if address.contains("://") {
        return address.to_owned();
    }
    let (host, port) = address.rsplit_once(':').unwrap_or(("", address));
    let host = match host {
        "" | "*" | "0.0.0.0" => "127.0.0.1",
        "[::]" => "[::1]",
        host => host,
    };
    format!("http://{host}:{port}/")
}

fn by_url(url: &str, ca: Option<&Path>) -> Result<Server, Failure> {
    let (endpoint, prefix) = Endpoint::of(url)?;
    let trust = match &endpoint {
        Endpoint::Tls(..) => Some(trust(ca)?),
        Endpoint::Unix(_) | Endpoint::Tcp(..) => None,
    };
    Ok(Server {
        endpoint,
        prefix,
        credentials: credentials()?,
        trust,
    })
}

/// Whose certificates are trusted: those of the file that is named, else the system's.
fn trust(ca: Option<&Path>) -> Result<Trust, Failure> {
    let by_variable = || {
        std::env::var_os(CA)
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
    };
    let named = ca.map(Path::to_owned).or_else(by_variable);
    Trust::new(named.as_deref()).map_err(|error| {
        let failure = Failure::ours("TLS cannot be used", &error);
        match error.hint() {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    })
}

/// Who we are: by the variable, else by the file.
fn credentials() -> Result<Option<String>, Failure> {
    if let Ok(text) = std::env::var(TOKEN)
        && !text.is_empty()
    {
        return checked(&text, TOKEN).map(Some);
    }
    let Some(path) = token_file() else {
        return Ok(None);
    };
    let Ok(meta) = std::fs::metadata(&path) else {
        return Ok(None);
    };
    if meta.mode() & 0o077 != 0 {
        return Err(Failure::usage(
            format!("{} may be read by others than its owner", path.display()),
            format!("chmod 600 {}", path.display()),
        ));
    }
    if meta.len() > LONGEST {
        return Err(Failure::usage(
            format!("{} is no token", path.display()),
            "it holds USER:TOKEN, and nothing else",
        ));
    }
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Failure::ours(&format!("cannot read {}", path.display()), &error))?;
    checked(text.trim(), &path.display().to_string()).map(Some)
}

fn token_file() -> Option<PathBuf> {
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_CONFIG_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".config")))
        .map(|base| base.join(TOKEN_FILE))
}

/// `USER:TOKEN`; what it is instead is never said.
fn checked(text: &str, place: &str) -> Result<String, Failure> {
    let is_sound = text.split_once(':').is_some_and(|(user, token)| {
        !user.is_empty() && !token.is_empty() && !text.contains(char::is_control)
    });
    if is_sound {
        return Ok(text.to_owned());
    }
    Err(Failure::usage(
        format!("{place} does not say who you are"),
        "write USER:TOKEN; `ward build token new USER LABEL` makes a token",
    ))
}

#[cfg(test)]
mod tests {
    use super::{checked, url_of};

    #[test]
    fn addresses_of_a_configuration() {
        for (address, url) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080/"),
            (":8080", "http://127.0.0.1:8080/"),
            ("*:80", "http://127.0.0.1:80/"),
            ("8080", "http://127.0.0.1:8080/"),
            ("[::]:8080", "http://[::1]:8080/"),
            ("0.0.0.0:8080", "http://127.0.0.1:8080/"),
            ("unix:///run/x.sock", "unix:///run/x.sock"),
        ] {
            assert_eq!(url_of(address), url);
        }
    }

    #[test]
    fn a_secret_is_not_in_what_is_said_of_it() {
        for text in ["hunter2", ":hunter2", "hunter2:", "a:hunter2\nX: y"] {
            let failure = checked(text, "WARD_BUILD_TOKEN").expect_err("it is no token");
            assert!(!failure.text().contains("hunter2"), "{}", failure.text());
        }
        assert!(checked("alice:ward_x", "").is_ok());
    }
}
