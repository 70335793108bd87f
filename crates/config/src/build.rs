//! The build server: the typed form of `[build]`.

mod read;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cluster::over;

pub(crate) use read::read;

/// The build server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildServer {
    /// Where everything is kept; else a place by who runs it.
    pub directory: Option<String>,
    /// Addresses to listen at: `host:port`, or `unix:///path`.
    pub listen: Vec<String>,
    /// The server's address as its users know it, with a slash at its end; else what they ask for.
    pub url: Option<String>,
    /// How many builds run at a time.
    pub executors: u32,
    /// How long a request waits for more of its kind.
    pub quiet_period: Duration,
    /// The shell of scripts without `#!`.
    pub shell: String,
    /// As whom the server runs where `ward up` starts it as root.
    pub user: Option<String>,
    /// Who does not sign in may read.
    pub anonymous_read: bool,
    /// Where secrets are: a directory of files with mode 0600; else `secrets` in `directory`.
    pub secrets: Option<String>,
    /// Variables of every build.
    pub environment: Vec<(String, String)>,
    /// How mail leaves.
    pub mail: Mail,
    /// What a shutdown does with what runs: stops it, or leaves it to be found again.
    pub stop_builds: bool,
}

impl Default for BuildServer {
    fn default() -> Self {
        Self {
            directory: None,
            listen: vec!["127.0.0.1:8080".to_owned()],
            url: None,
            executors: 2,
            quiet_period: Duration::from_secs(5),
            shell: "/bin/sh".to_owned(),
            user: None,
            anonymous_read: false,
            secrets: None,
            environment: Vec::new(),
            mail: Mail::default(),
            stop_builds: true,
        }
    }
}

impl BuildServer {
    /// Tells builds what `told` has ([`crate::load::Builds::told`]), where their environment does not say
    /// something else.
    pub fn tell(&mut self, told: &BTreeMap<String, String>) {
        if !told.is_empty() {
            let own = std::mem::take(&mut self.environment);
            let all = over(told.clone(), own.into_iter().collect());
            self.environment = all.into_iter().collect();
        }
    }

    /// The server's address with a slash at its end: what is configured, else its first TCP listener as this
    /// host reaches it. Nothing where it listens on sockets only.
    #[must_use]
    pub fn address(&self) -> Option<String> {
        self.url.clone().or_else(|| {
            let first = self.listen.iter().find(|one| !one.starts_with("unix:"))?;
            let (host, port) = first.rsplit_once(':').unwrap_or(("", first));
            let host = match host {
                "" | "*" | "0.0.0.0" | "[::]" => "localhost",
                host => host,
            };
            Some(format!("http://{host}:{port}/"))
        })
    }
}

/// How mail leaves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mail {
    /// From whom; else `ward@` this host.
    pub from: Option<String>,
    /// The server that takes it, `host:port`; else `sendmail`.
    pub smtp: Option<String>,
    /// The name of the secret `user:password` to sign in there.
    pub smtp_secret: Option<String>,
    /// STARTTLS is insisted on.
    pub smtp_tls: bool,
    /// The program that takes it.
    pub sendmail: Option<String>,
}

#[cfg(test)]
mod address_tests {
    use super::BuildServer;

    #[test]
    fn builds_know_where_their_server_is() {
        let at = |listen: &[&str], url: Option<&str>| {
            let listen = listen.iter().map(|one| (*one).to_owned()).collect();
            let url = url.map(str::to_owned);
            let server = BuildServer {
                listen,
                url,
                ..BuildServer::default()
            };
            server.address()
        };
        let told = |address: Option<String>| address.unwrap_or_default();
        assert_eq!(
            told(at(&["127.0.0.1:8080"], None)),
            "http://127.0.0.1:8080/"
        );
        assert_eq!(
            told(at(&["unix:///s", "*:80"], None)),
            "http://localhost:80/"
        );
        assert_eq!(told(at(&["9000"], None)), "http://localhost:9000/");
        assert_eq!(at(&["unix:///s"], None), None);
        assert_eq!(told(at(&["9000"], Some("https://ci/"))), "https://ci/");
    }
}
