//! `[cluster]`, through the doors of everybody who reads it: who asks for a lock, the supervisor, the
//! build server.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use ward_config::cluster::Cluster;
use ward_config::diagnostics::Diagnostic;
use ward_config::host::{Accounts, Files, Host};
use ward_config::load::{check, load_builds, load_cluster};
use ward_model::cluster::variable;

/// A file, and one that it includes.
struct Two<'a>(&'a str, &'a str);

const PATH: &str = "/etc/w/ward.conf";

impl Files for Two<'_> {
    fn read(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        let text = if path == Path::new(PATH) {
            self.0
        } else {
            self.1
        };
        Ok(text.as_bytes().to_vec())
    }

    fn exists(&self, _: &Path) -> bool {
        true
    }

    fn is_directory(&self, _: &Path) -> bool {
        true
    }

    fn list(&self, _: &Path) -> Vec<String> {
        vec!["more.conf".into()]
    }
}

fn host() -> Host {
    Host {
        environment: BTreeMap::from([
            ("HOME".into(), "/home/me".into()),
            ("USER".into(), "me".into()),
        ]),
        node_name: "node".into(),
        // Who asks for a lock may be anywhere.
        current_directory: "/somewhere/else".into(),
        temporary_directory: "/tmp".into(),
        accounts: Accounts::parse("root:x:0:0::/root:/bin/sh\n", "root:x:0:\n"),
        uid: 0,
        told: None,
        elsewhere: false,
    }
}

fn lines(found: &[Diagnostic]) -> Vec<String> {
    let line = |d: &Diagnostic| {
        format!(
            "{:?} {}:{} {}",
            d.severity, d.span.line, d.span.column, d.what
        )
    };
    found.iter().map(line).collect()
}

fn cluster(text: &str) -> Cluster {
    let loaded = load_cluster(PATH, &host(), &Two(text, ""));
    let found = lines(&loaded.diagnostics);
    loaded
        .cluster
        .flatten()
        .unwrap_or_else(|| panic!("{found:?}"))
}

/// What is wrong with `text`, as who asks for a lock and the supervisor are told; both refuse it.
fn refusal(text: &str, more: &str) -> Vec<String> {
    let files = Two(text, more);
    let (asked, up) = (
        load_cluster(PATH, &host(), &files),
        check(PATH, &host(), &files),
    );
    let builds = load_builds(PATH, &host(), &files);
    assert!(
        asked.cluster.is_none() && up.configuration.is_none() && builds.builds.is_none(),
        "{text}"
    );
    let (asked, up) = (lines(&asked.diagnostics), lines(&up.diagnostics));
    for one in &asked {
        assert!(up.contains(one), "{one} is not in {up:#?}");
    }
    asked
}

const WHOLE: &str = "\
[cluster]
endpoints = https://a:2379, b
  [::1]:4
user = %(ENV_USER)s
password_file = ~/secrets/etcd
cacert = ca.pem
cert = %(here)s/../%(host_node_name)s.pem
key = /keys/k.pem
prefix = /ours
lease = 1m
";

#[test]
fn everything_that_it_can_say() {
    let cluster = cluster(WHOLE);
    assert_eq!(cluster.endpoints, ["https://a:2379", "b", "[::1]:4"]);
    assert_eq!(cluster.lease, Some(Duration::from_secs(60)));
    let variables = cluster.variables();
    let told: Vec<(&str, &str)> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (variable::CACERT, "/etc/w/ca.pem"),
            (variable::CERT, "/etc/node.pem"),
            (variable::ENDPOINTS, "https://a:2379,b,[::1]:4"),
            (variable::KEY, "/keys/k.pem"),
            (variable::LEASE, "60s"),
            (variable::PASSWORD_FILE, "/home/me/secrets/etcd"),
            (variable::PREFIX, "/ours"),
            (variable::USER, "me"),
        ]
    );
    assert_eq!(variables.len(), variable::ALL.len());
}

#[test]
fn what_is_not_said_is_an_empty_variable() {
    let short = cluster("[cluster]\nendpoints = a\nuser =\nlease = 5500ms\n");
    // Empty ones hide what whoever starts programs was told of some other cluster.
    let variables = short.variables();
    assert_eq!(variables.len(), variable::ALL.len());
    let full: Vec<_> = variables.iter().filter(|(_, it)| !it.is_empty()).collect();
    assert_eq!(
        full,
        [
            (&variable::ENDPOINTS.to_owned(), &"a".to_owned()),
            (&variable::LEASE.to_owned(), &"5500ms".to_owned()),
        ]
    );
    let without = load_cluster(PATH, &host(), &Two("[supervisord]\n", ""));
    assert_eq!(without.cluster, Some(None));
}

#[test]
fn mistakes_are_told_with_their_places() {
    for (text, expected) in [
        ("[cluster]\n", "Error 1:1 [cluster] has no `endpoints`"),
        (
            "[cluster]\nendpoints = ,\n",
            "Error 2:13 endpoints: there is no member",
        ),
        (
            "[cluster]\nendpoints = http://a, ftp://b\n",
            "Error 2:23 endpoints: a member cannot be there: it begins with neither",
        ),
        (
            "[cluster]\nendpoints = http://root:sesame@a\n",
            "Error 2:13 endpoints: a member cannot be there: the user and the password",
        ),
        (
            "[cluster]\nendpoints = a\nuser = x\n",
            "Error 3:8 there is a user and no password_file",
        ),
        (
            "[cluster]\nendpoints = a\npassword_file = x\n",
            "Error 3:17 there is a password_file and no user",
        ),
        (
            "[cluster]\nendpoints = a\ncert = x\n",
            "Error 3:8 there is a cert and no key",
        ),
        (
            "[cluster]\nendpoints = a\nkey = x\n",
            "Error 3:7 there is a key and no cert",
        ),
        (
            "[cluster]\nendpoints = a\nlease = 4999ms\n",
            "Error 3:9 lease: it is at least 5 s",
        ),
        (
            "[cluster]\nendpoints = %(ENV_GONE)s\n",
            "Error 2:13 endpoints: `ENV_GONE` is no name that is known here",
        ),
        (
            "[cluster]\nendpoints = a\nprefx = /x\n",
            "Error 3:1 `prefx` is no key of [cluster]",
        ),
        ("junk\n[cluster]\nendpoints = a\n", "Error 1:1 "),
    ] {
        let found = refusal(text, "");
        assert!(
            found.len() == 1 && found[0].starts_with(expected),
            "{text}: {found:#?}"
        );
    }
}

/// Not everybody may be able to read an included file: he would hold his locks somewhere else.
#[test]
fn it_stands_in_the_main_file() {
    let include = "[include]\nfiles = more.conf\n";
    let more = "[cluster]\nendpoints = b\n";
    let expected = "Error 2:1 [cluster] may not be in an included file";
    for text in [
        include.to_owned(),
        format!("{include}[cluster]\nendpoints = a\n"),
    ] {
        let found = refusal(&text, more);
        assert!(
            found.len() == 1 && found[0].starts_with(expected),
            "{found:#?}"
        );
    }
    let empty = refusal(include, "[cluster]\n");
    assert!(
        empty[0].starts_with("Error 1:1 [cluster] may not be"),
        "{empty:#?}"
    );
    let text = format!("{include}[cluster]\nendpoints = a\n");
    let fine = load_cluster(PATH, &host(), &Two(&text, "[program:x]\ncommand = x\n"));
    assert!(fine.cluster.flatten().is_some());
}

#[test]
fn programs_are_told_of_it_unless_they_say_otherwise() {
    let text = format!(
        "{WHOLE}[supervisord]\nenvironment = WARD_ETCD_LEASE=9s,A=1\n\
         [program:p]\ncommand = p %(ENV_WARD_ETCD_PREFIX)s\nenvironment = WARD_ETCD_PREFIX=/own\n[program:q]\ncommand = q\n\
         [program:u]\ncommand = u\nenvironment = WARD_ETCD_USER=other\n\
         [program:w]\ncommand = w\nenvironment = WARD_ETCD_PASSWORD_FILE=/w\n\
         [program:o]\ncommand = o\nenvironment = WARD_ETCD_ENDPOINTS=b\n\
         [program:f]\ncommand = f\nenvironment = WARD_CLUSTER_CONFIG=/f\n"
    );
    let loaded = check(PATH, &host(), &Two(&text, ""));
    let configuration = loaded.configuration.expect("a configuration");
    assert_eq!(lines(&loaded.diagnostics), [""; 0]);
    let environment = |name: &str, variable: &str| {
        let mut groups = configuration.groups.iter();
        let group = groups.find(|group| group.name == name).expect("a group");
        group.processes[0].environment.get(variable).cloned()
    };
    let told = |name, variable| environment(name, variable).unwrap_or_default();
    assert_eq!(told("q", variable::ENDPOINTS), "https://a:2379,b,[::1]:4");
    assert_eq!(told("q", variable::PREFIX), "/ours");
    assert_eq!(told("p", variable::PREFIX), "/own");
    assert_eq!(told("p", variable::USER), "me");
    assert_eq!(told("q", variable::LEASE), "9s");
    // A user goes with his password, and another cluster with nothing of this one.
    assert_eq!(told("u", variable::USER), "other");
    assert_eq!(told("u", variable::PASSWORD_FILE), "");
    assert_eq!(told("u", variable::CERT), "/etc/node.pem");
    // Who cannot read the file that is named names another one.
    assert_eq!(told("w", variable::USER), "me");
    assert_eq!(told("w", variable::PASSWORD_FILE), "/w");
    for name in variable::ALL {
        let own = match name {
            variable::ENDPOINTS => "b",
            _ => "",
        };
        assert_eq!(told("o", name), own, "{name}");
        assert_eq!(told("f", name), "", "{name}");
    }
    assert_eq!(told("q", "A"), "1");
    assert_eq!(configuration.cluster, Some(cluster(WHOLE)));
}

#[test]
fn builds_are_told_of_it_and_their_own_locks_are_not_in_it() {
    let text = format!(
        "{WHOLE}[build]\nenvironment = WARD_ETCD_LEASE=9s\n[job:x]\nlocks = deploy\nscript = true\n"
    );
    let loaded = load_builds(PATH, &host(), &Two(&text, ""));
    let builds = loaded.builds.expect("builds");
    let server = builds.server.expect("a server");
    let environment: BTreeMap<_, _> = server.environment.iter().cloned().collect();
    assert_eq!(
        environment.len(),
        server.environment.len(),
        "{environment:?}"
    );
    assert_eq!(environment[variable::PREFIX], "/ours");
    assert_eq!(environment[variable::LEASE], "9s");
    let warning = "Warning 14:9 locks: a build holds them on this host only";
    let expect = |found: &[Diagnostic]| {
        let found = lines(found);
        assert!(
            found.len() == 1 && found[0].starts_with(warning),
            "{found:#?}"
        );
    };
    expect(&loaded.diagnostics);
    let up = check(PATH, &host(), &Two(&text, ""));
    expect(&up.diagnostics);
    let build = up.configuration.and_then(|it| it.build).expect("a server");
    assert_eq!(build.environment, server.environment);
    // Without a cluster there is nothing to be mistaken in.
    let alone = text.replace(WHOLE, "");
    assert_eq!(
        lines(&load_builds(PATH, &host(), &Two(&alone, "")).diagnostics),
        [""; 0]
    );
}

/// Programs and builds of one supervisor are told the same, and what `[cluster]` names is looked for where
/// everybody looks for it.
#[test]
fn programs_and_builds_are_told_the_same() {
    let common = "[cluster]\nendpoints = a\nprefix = /%(ENV_USER)s\n\
                  [build]\nenvironment = X=\"%(ENV_WARD_ETCD_PREFIX)s\"\n[program:p]\ncommand = p\n";
    for (more, prefix, lease) in [
        ("", "/me", ""),
        ("[supervisord]\nenvironment = USER=nobody\n", "/me", ""),
        (
            "[supervisord]\nenvironment = WARD_ETCD_PREFIX=/site,WARD_ETCD_LEASE=9s\n",
            "/site",
            "9s",
        ),
        (
            "[supervisord]\nenvironment = WARD_ETCD_ENDPOINTS=b,WARD_ETCD_LEASE=9s\n",
            "",
            "9s",
        ),
    ] {
        let text = format!("{common}{more}");
        let up = check(PATH, &host(), &Two(&text, ""));
        let up = up.configuration.expect("a configuration");
        // As `ward up` starts it: in the environment of programs, and maybe as somebody else.
        let mut there = host();
        there.environment.extend(up.supervisord.environment.clone());
        there.environment.insert("USER".into(), "ci".into());
        let about = |(name, _): &(String, String)| variable::ALL.contains(&name.as_str());
        let told = there.environment.clone().into_iter().filter(about);
        there.told = Some(told.collect());
        for around in [host(), there] {
            let alone = load_builds(PATH, &around, &Two(&text, ""));
            let alone = alone.builds.expect("builds").server.expect("a server");
            assert_eq!(up.build.as_ref(), Some(&alone), "{more}");
        }
        let build = up.build.expect("a server");
        let builds: BTreeMap<String, String> = build.environment.into_iter().collect();
        let program = &up.groups[0].processes[0].environment;
        for name in variable::ALL {
            assert_eq!(builds.get(name), program.get(name), "{more}: {name}");
        }
        assert_eq!(builds[variable::PREFIX], prefix, "{more}");
        assert_eq!(builds[variable::LEASE], lease, "{more}");
        assert_eq!(builds["X"], prefix, "{more}");
    }
}

/// Who only asks for a lock is not kept from it by what is wrong with something else, and is told where he
/// may think that there is a cluster.
#[test]
fn who_asks_for_a_lock_reads_this_section_alone() {
    let asked = |main: &str, more: &str| {
        let loaded = load_cluster(PATH, &host(), &Two(main, more));
        (loaded.cluster, lines(&loaded.diagnostics))
    };
    let include = "[include]\nfiles = more.conf\n[program:x]\nstartsecs = ten\n";
    let (cluster, found) = asked(include, "junk\n");
    assert_eq!((cluster, found.len()), (Some(None), 0));
    for word in ["clusters", "Cluster", "clutser", "cluster:a"] {
        let (cluster, found) = asked(&format!("[{word}]\nendpoints = a\n"), "");
        let expected = format!("Error 1:1 [{word}] is no section");
        assert!(
            cluster.is_none() && found[0].starts_with(&expected),
            "{found:?}"
        );
    }
    for word in ["supervisord", "program:cluster", "build"] {
        assert_eq!(asked(&format!("[{word}]\n"), "").0, Some(None), "{word}");
    }
}

/// Also where no section says it.
#[test]
fn builds_are_told_what_programs_are() {
    let text =
        "[supervisord]\nenvironment = A=1,WARD_CLUSTER_CONFIG=/c,WARD_ETCD_LEASE=9s\n[build]\n";
    let builds = load_builds(PATH, &host(), &Two(text, "")).builds;
    let server = builds.expect("builds").server.expect("a server");
    let expected = [("WARD_CLUSTER_CONFIG", "/c"), ("WARD_ETCD_LEASE", "9s")];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(server.environment, expected);
    let text = "[supervisord]\nenvironment = A=1\n[build]\n[program:p]\ncommand = p\nenvironment = WARD_ETCD_ENDPOINTS=b\n";
    let up = check(PATH, &host(), &Two(text, "")).configuration;
    let up = up.expect("a configuration");
    assert!(up.build.expect("a server").environment.is_empty());
    assert_eq!(up.groups[0].processes[0].environment.len(), 2);
}
