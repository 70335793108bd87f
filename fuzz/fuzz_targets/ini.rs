//! `supervisord.conf` and what it includes: sections, keys, expansion, `[build]`, jobs.

#![no_main]

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use ward_config::host::{Accounts, Files, Host};

/// The main file and one that it may include.
struct Two<'a> {
    main: &'a [u8],
    included: &'a [u8],
}

impl Files for Two<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match path.to_str() {
            Some("/etc/ward.conf") => Ok(self.main.to_vec()),
            Some("/etc/conf.d/more.conf") => Ok(self.included.to_vec()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn exists(&self, path: &Path) -> bool {
        self.read(path).is_ok() || self.is_directory(path)
    }

    fn is_directory(&self, path: &Path) -> bool {
        matches!(path.to_str(), Some("/" | "/etc" | "/etc/conf.d"))
    }

    fn list(&self, directory: &Path) -> Vec<String> {
        let names: &[&str] = match directory.to_str() {
            Some("/etc") => &["ward.conf", "conf.d"],
            Some("/etc/conf.d") => &["more.conf"],
            _ => &[],
        };
        names.iter().map(|&name| name.to_owned()).collect()
    }
}

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let files = Two {
        main: parts.next().unwrap_or_default(),
        included: parts.next().unwrap_or_default(),
    };
    let host = Host {
        environment: BTreeMap::from([("HOME".to_owned(), "/root".to_owned())]),
        node_name: "host".to_owned(),
        current_directory: "/etc".to_owned(),
        temporary_directory: "/tmp".to_owned(),
        accounts: Accounts::parse("root:x:0:0::/root:/bin/sh\n", "root:x:0:\n"),
        uid: 0,
        elsewhere: false,
    };
    let loaded = ward_config::load::check("/etc/ward.conf", &host, &files);
    // What is no configuration says why.
    assert!(loaded.configuration.is_some() || !loaded.diagnostics.is_empty());
});
