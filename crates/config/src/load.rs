//! From a path to a configuration, or to everything that is wrong with it.

mod builds;
mod client;
mod cluster;

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use serde::Serialize;

use crate::build::BuildServer;
use crate::cluster::{self as cluster_section, Cluster};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::group::{self, Group};
use crate::host::{Files, Host, directory_of, join};
use crate::ini::document::{Document, Section};
use crate::ini::{include, lexer};
use crate::job::Job;
use crate::keys;
use crate::lint;
use crate::read::{Context, Reader};
use crate::server::{self, Server, Supervisorctl, Supervisord, server_url};
use crate::source::{FileId, SourceFile, Sources, Span};

pub use builds::{Builds, LoadedBuilds, load_builds};
pub use client::{LoadedClient, load_client};
pub use cluster::{LoadedCluster, load_cluster};

/// Everything that a configuration says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Configuration {
    /// `[supervisord]`
    pub supervisord: Supervisord,
    /// `[inet_http_server]` and `[unix_http_server]`
    pub servers: Vec<Server>,
    /// What processes are told as the server's address.
    pub server_url: Option<String>,
    /// The names of the interfaces that the servers answer.
    pub interfaces: Vec<String>,
    /// `[supervisorctl]`
    pub supervisorctl: Option<Supervisorctl>,
    /// Every group, in the order of starting.
    pub groups: Vec<Group>,
    /// `[build]`, if there is one.
    pub build: Option<BuildServer>,
    /// `[job:x]`, in the order of the file; none if anything is wrong with one of them, which is an error
    /// that leaves everything else usable.
    pub jobs: Vec<Job>,
    /// `[cluster]`, if there is one.
    pub cluster: Option<Cluster>,
    /// Every file that was read, the main one first.
    pub files: Vec<String>,
}

impl Configuration {
    /// How many programs there are, each counted once.
    #[must_use]
    pub fn programs(&self) -> usize {
        let processes = self.groups.iter().flat_map(|group| &group.processes);
        let spans: std::collections::BTreeSet<Span> =
            processes.map(|process| process.span).collect();
        spans.len()
    }

    /// How many processes there are.
    #[must_use]
    pub fn processes(&self) -> usize {
        self.groups.iter().map(|group| group.processes.len()).sum()
    }
}

/// What came of reading.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The files.
    pub sources: Sources,
    /// Everything that was found, by place.
    pub diagnostics: Vec<Diagnostic>,
    /// The configuration, unless there are errors in anything but jobs.
    pub configuration: Option<Configuration>,
    /// Patterns of `[include]` that no file matches, from the main file's directory on.
    pub unmatched: Vec<String>,
}

/// Reads the configuration at `path`, and what it includes, to work with it. What is no mistake, and hardly
/// what was meant, is found by [`check`] only.
#[must_use]
pub fn load(path: &str, host: &Host, files: &dyn Files) -> Loaded {
    loaded(Loader::new(host, files), path)
}

/// As [`load`], for people: with warnings.
#[must_use]
pub fn check(path: &str, host: &Host, files: &dyn Files) -> Loaded {
    let mut loader = Loader::new(host, files);
    loader.lints = true;
    loaded(loader, path)
}

fn loaded(mut loader: Loader<'_>, path: &str) -> Loaded {
    let configuration = loader.run(path);
    let Loader {
        sources,
        mut found,
        jobs,
        unmatched,
        ..
    } = loader;
    let configuration = configuration.filter(|_| found.errors() == 0);
    found.extend(jobs, false);
    Loaded {
        sources,
        diagnostics: found.sorted(),
        configuration,
        unmatched,
    }
}

struct Loader<'a> {
    host: &'a Host,
    files: &'a dyn Files,
    sources: Sources,
    found: Diagnostics,
    /// What is wrong with jobs: a supervisor runs its programs all the same.
    jobs: Diagnostics,
    document: Document,
    unmatched: Vec<String>,
    lints: bool,
}

impl<'a> Loader<'a> {
    fn new(host: &'a Host, files: &'a dyn Files) -> Self {
        Self {
            host,
            files,
            sources: Sources::default(),
            found: Diagnostics::default(),
            jobs: Diagnostics::default(),
            document: Document::default(),
            unmatched: Vec::new(),
            lints: false,
        }
    }

    /// The bytes of the main file.
    fn read(&mut self, path: &str) -> Option<Vec<u8>> {
        let absolute = join(&self.host.current_directory, path);
        match self.files.read(Path::new(&absolute)) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                let file = self.sources.add(SourceFile::new(path, ""));
                self.found.error(
                    Span::start_of(file),
                    format!("the file cannot be read: {error}"),
                    None,
                );
                None
            }
        }
    }

    /// Reads the main file and what it includes. The main file's own document, where that is another, and
    /// its directory.
    fn all(&mut self, path: &str) -> Option<(Option<Document>, String)> {
        let bytes = self.read(path)?;
        let here = directory_of(&self.host.absolute(path)).to_owned();
        self.add(path, &bytes);
        let mut main_alone = None;
        if self.document.section(keys::INCLUDE.word).is_some() {
            main_alone = Some(self.document.clone());
            self.document.settle_here(&here);
            self.include(&here);
        }
        Some((main_alone, here))
    }

    fn run(&mut self, path: &str) -> Option<Configuration> {
        // The client reads the main file only.
        let (main_alone, here) = self.all(path)?;
        let main = FileId(0);
        let document = std::mem::take(&mut self.document);
        if self.lints {
            lint::of_document(&document, &self.sources, main, &mut self.found);
        }
        let mut context = Context {
            document: &document,
            host: self.host,
            files: self.files,
            here: &here,
            environment: Rc::new(self.host.environment.clone()),
        };
        let main_alone = main_alone.as_ref().unwrap_or(&document);
        let supervisorctl = self.supervisorctl(main_alone, &context);
        // The original asks for the section. A file with sections of ours is none of its files.
        let start = Span::start_of(main);
        let unwritten = Section::unwritten(keys::SUPERVISORD.word, start);
        let section = match document.section(keys::SUPERVISORD.word) {
            Some(section) => section,
            None if has_our_sections(&document) => &unwritten,
            None => {
                self.found.error(
                    start,
                    "there is no section [supervisord]",
                    Some("add a line [supervisord]; it may be empty".into()),
                );
                return None;
            }
        };
        let mut supervisord = server::supervisord(&context, section, &mut self.found);
        // Who runs programs that hold the wrong locks had better not run them.
        let cluster = cluster_section::read(main_alone, &context, &mut self.found);
        let told = cluster_section::tell(cluster.as_ref(), &mut supervisord);
        context.environment = Rc::new(with(&self.host.environment, &supervisord.environment));
        let interfaces = server::interfaces(&context, &mut self.found);
        let groups = group::read(&context, &supervisord.environment, &mut self.found);
        let servers = server::servers(&context, &mut self.found);
        // It is one more program: what is wrong with it is wrong with the whole.
        let build = builds::server(&context, &told, &mut self.found);
        let jobs = builds::jobs(&context, &self.sources, &mut self.jobs);
        let sound = self.jobs.errors() == 0;
        let configuration = Configuration {
            server_url: server_url(&servers),
            supervisord,
            servers,
            interfaces,
            supervisorctl,
            groups,
            build,
            jobs: if sound { jobs } else { Vec::new() },
            cluster,
            files: self.sources.files().map(|file| file.path.clone()).collect(),
        };
        if self.lints {
            lint::of_configuration(&configuration, &document, &mut self.found);
        }
        Some(configuration)
    }

    fn supervisorctl(&mut self, main: &Document, around: &Context<'_>) -> Option<Supervisorctl> {
        let section = main.section(keys::SUPERVISORCTL.word)?;
        let context = around.of(main);
        let mut found = Diagnostics::default();
        let client = server::supervisorctl(&context, section, &mut found);
        let sound = found.errors() == 0;
        // The supervisor itself does not read it.
        self.found.extend(found, true);
        sound.then_some(client)
    }

    /// Adds the text of a file.
    fn add(&mut self, path: &str, bytes: &[u8]) -> FileId {
        // What is no text is told; the rest is read all the same, for what else is wrong.
        let text = String::from_utf8_lossy(bytes);
        let id = self.sources.add(SourceFile::new(path, text));
        if let Err(error) = std::str::from_utf8(bytes) {
            let before =
                SourceFile::new("", String::from_utf8_lossy(&bytes[..error.valid_up_to()]));
            let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            let line = number(before.lines().len().max(1));
            let column = before.lines().last().map_or(0, |line| line.chars().count());
            self.found.error(
                Span {
                    file: id,
                    line,
                    column: number(column + 1),
                    length: 1,
                },
                "the file is not UTF-8 from here on",
                Some("save it as UTF-8".into()),
            );
        }
        if let Some(file) = self.sources.file(id) {
            let chapters = lexer::read(id, file, &mut self.found);
            self.document.merge(chapters);
        }
        id
    }

    /// Reads what `[include]` of the main file names. What included files include is not read.
    fn include(&mut self, here: &str) {
        let document = self.document.clone();
        let context = Context {
            document: &document,
            host: self.host,
            files: self.files,
            here,
            environment: Rc::new(self.host.environment.clone()),
        };
        let Some(section) = document.section(keys::INCLUDE.word) else {
            return;
        };
        let mut reader = Reader::new(&context, section, keys::INCLUDE, &mut self.found);
        let Some(patterns) = reader.text("files") else {
            return;
        };
        let entry = reader.entry("files");
        for pattern in patterns.split(lexer::is_blank).filter(|p| !p.is_empty()) {
            let span = entry.map_or(section.span, |entry| entry.value.locate(pattern));
            let whole = join(here, pattern);
            let paths = include::glob(&whole, self.files);
            if paths.is_empty() {
                self.found
                    .warn(span, format!("no file matches `{whole}`"), None);
                self.unmatched.push(whole.clone());
            }
            for path in paths {
                self.include_one(&path, span);
            }
        }
    }

    fn include_one(&mut self, path: &str, span: Span) {
        let bytes = match self.files.read(Path::new(path)) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.found.warn(
                    span,
                    format!("`{path}` is passed over, as it cannot be read: {error}"),
                    None,
                );
                return;
            }
        };
        self.add(path, &bytes);
        let directory = self.host.absolute(directory_of(path));
        self.document.settle_here(&directory);
    }
}

/// Whether a file has sections that the original does not know.
fn has_our_sections(document: &Document) -> bool {
    let words = [keys::BUILD.word, keys::JOB.word, keys::CLUSTER.word];
    let mut sections = document.sections().iter();
    sections.any(|section| keys::kind_of(&section.name).is_some_and(|it| words.contains(&it.word)))
}

fn with(
    environment: &BTreeMap<String, String>,
    more: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut all = environment.clone();
    all.extend(more.clone());
    all
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::io;

    /// Files in memory; every directory is there unless its name has `missing` in it.
    #[derive(Debug, Default)]
    pub(crate) struct Memory(pub(crate) BTreeMap<String, Vec<u8>>);

    impl Files for Memory {
        fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
            let bytes = path.to_str().and_then(|path| self.0.get(path));
            bytes.cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
        }

        fn exists(&self, path: &Path) -> bool {
            path.to_str().is_some_and(|path| self.0.contains_key(path))
        }

        fn is_directory(&self, path: &Path) -> bool {
            !path.to_string_lossy().contains("missing")
        }

        fn list(&self, directory: &Path) -> Vec<String> {
            let directory = directory.to_string_lossy();
            let inside = self.0.keys().filter(|path| directory_of(path) == directory);
            inside
                .filter_map(|path| Some(path.rsplit_once('/')?.1.to_owned()))
                .collect()
        }
    }

    pub(crate) fn host() -> Host {
        Host {
            environment: BTreeMap::from([
                ("HOME".into(), "/root".into()),
                ("PORT".into(), "80".into()),
            ]),
            node_name: "node".into(),
            current_directory: "/etc".into(),
            temporary_directory: "/tmp".into(),
            accounts: crate::host::Accounts::parse(
                "root:x:0:0::/root:/bin/sh\nwww-data:x:33:33::/srv:/bin/sh\n",
                "root:x:0:\nwww-data:x:33:\n",
            ),
            uid: 0,
            told: None,
            elsewhere: false,
        }
    }

    pub(crate) fn loaded_files(files: &[(&str, &str)]) -> Loaded {
        let memory = files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()));
        check("/etc/s.conf", &host(), &Memory(memory.collect()))
    }

    pub(crate) fn loaded(text: &str) -> Loaded {
        loaded_files(&[("/etc/s.conf", text)])
    }

    /// The findings, each `error|warning LINE:COLUMN WHAT`.
    pub(crate) fn findings(loaded: &Loaded) -> Vec<String> {
        let line = |d: &Diagnostic| {
            format!(
                "{:?} {}:{} {}",
                d.severity, d.span.line, d.span.column, d.what
            )
        };
        loaded.diagnostics.iter().map(line).collect()
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let loaded = loaded(
            "[supervisord]\nlogfile=/missing/x.log\nloglevel=warning\n[program:web]\nautostrat=true\nstartsecs=ten\nstopsignal=FOO\nstdout_logfile_maxbytes=50M\nenvironment=A=\"1\n[group:g]\nprograms=web,wbe\n[inet_http_server]\nport=nine\nusername=u\n",
        );
        assert!(loaded.configuration.is_none());
        let found = findings(&loaded);
        for expected in [
            "Error 2:9 logfile: there is no directory `/missing`",
            "Error 3:10 loglevel: `warning` is not a log level",
            "Error 4:1 [program:web] has no `command`",
            "Warning 5:1 `autostrat` is no key of [program:web]",
            "Error 6:11 startsecs: `ten` is not an integer",
            "Error 7:12 stopsignal: `FOO` is not a signal",
            "Error 8:25 stdout_logfile_maxbytes: `50M` is not a size in bytes",
            "Error 9:15 environment: the quote at",
            "Error 11:14 programs: there is no program `wbe`",
            "Error 13:6 `nine` is not a port",
            "Error 14:10 there is a username and no password",
        ] {
            let expected = expected.replace("13:6 `nine`", "13:6 port: `nine`");
            assert!(
                found.iter().any(|line| line.starts_with(&expected)),
                "{expected} is not in\n{}",
                found.join("\n")
            );
        }
    }

    #[test]
    fn processes_are_numbered_named_and_expanded() {
        let loaded = loaded(
            "[supervisord]\nenvironment=BASE=\"/srv\"\n[program:w]\ncommand=%(ENV_BASE)s/run -p %(process_num)d -e %(ENV_OWN)s %(host_node_name)s\nprocess_name=%(group_name)s_%(process_num)02d\nnumprocs=2\nnumprocs_start=9\nenvironment=OWN=\"n%(process_num)s,%(numprocs)d\"\n",
        );
        assert_eq!(findings(&loaded).len(), 0, "{:?}", findings(&loaded));
        let configuration = loaded.configuration.unwrap();
        let processes = &configuration.groups[0].processes;
        let told: Vec<_> = processes
            .iter()
            .map(|p| (p.name.as_str(), p.command.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("w_09", "/srv/run -p 9 -e n9,2 node"),
                ("w_10", "/srv/run -p 10 -e n10,2 node")
            ]
        );
        assert_eq!(processes[0].environment["BASE"], "/srv");
        assert_eq!(processes[0].environment["OWN"], "n9,2");
        assert_eq!(
            (configuration.programs(), configuration.processes()),
            (1, 2)
        );
    }

    #[test]
    fn included_files_override_and_know_their_own_place() {
        let loaded = loaded_files(&[
            (
                "/etc/s.conf",
                "[supervisord]\n[include]\nfiles = s.d/*.conf\n  %(here)s/none-*.ini\n[program:a]\ncommand=%(here)s/a\n",
            ),
            (
                "/etc/s.d/2.conf",
                "[program:a]\ncommand=%(here)s/two\n[include]\nfiles=x\n",
            ),
            ("/etc/s.d/1.conf", "[program:b]\ncommand=%(here)s/b\n"),
            ("/etc/s.d/.3.conf", "junk"),
        ]);
        let configuration = loaded.configuration.clone().unwrap();
        let commands: Vec<&str> = configuration
            .groups
            .iter()
            .map(|g| g.processes[0].command.as_str())
            .collect();
        assert_eq!(commands, ["/etc/s.d/two", "/etc/s.d/b"]);
        assert_eq!(
            configuration.files,
            ["/etc/s.conf", "/etc/s.d/1.conf", "/etc/s.d/2.conf"]
        );
        let found = findings(&loaded);
        assert!(
            found
                .iter()
                .any(|f| f.contains("no file matches `/etc/none-*.ini`")),
            "{found:?}"
        );
    }

    #[test]
    fn groups_of_every_kind() {
        let loaded = loaded(
            "[supervisord]\n[program:a]\ncommand=a\npriority=5\n[program:b]\ncommand=b\n[group:g]\nprograms=b\npriority=1\n[eventlistener:l]\ncommand=l\nevents=tick_5,PROCESS_STATE\n[fcgi-program:f]\ncommand=f\nsocket=unix:///run/%(program_name)s.sock\nuser=www-data\n",
        );
        let configuration = loaded.configuration.unwrap();
        let told: Vec<_> = configuration
            .groups
            .iter()
            .map(|g| (g.name.as_str(), g.priority))
            .collect();
        assert_eq!(told, [("l", -1), ("g", 1), ("a", 5), ("f", 999)]);
        let crate::group::GroupKind::Fcgi { socket } = &configuration.groups[3].kind else {
            panic!("f is no FastCGI group");
        };
        assert_eq!(
            serde_json::to_value(socket).unwrap(),
            serde_json::json!({"socket": "unix", "path": "/run/f.sock", "mode": 0o700, "owner": {"uid": 33, "gid": 33}, "backlog": null})
        );
    }

    #[test]
    fn plugins_are_refused_by_the_name_of_their_section() {
        let loaded = loaded(
            "[supervisord]\n[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface : make_main_rpcinterface\n[rpcinterface:t]\nsupervisor.rpcinterface_factory=twiddler:make\n[eventlistener:l]\ncommand=l\nevents=EVENT\nresult_handler=supervisor_stdout:event_handler\n[eventlistener:m]\ncommand=l\nevents=EVENT\nresult_handler=x:y\n[ctlplugin:c]\nsupervisor.ctl_factory=x:y\n",
        );
        let found = findings(&loaded);
        let errors: Vec<_> = found.iter().filter(|f| f.starts_with("Error")).collect();
        assert_eq!(errors.len(), 2, "{found:?}");
        assert!(errors[0].contains("[rpcinterface:t]") && errors[1].contains("[eventlistener:m]"));
        assert!(
            found
                .iter()
                .any(|f| f.starts_with("Warning 14:1") && f.contains("plugin")),
            "{found:?}"
        );
    }

    #[test]
    fn names_that_are_not_known_are_told_without_the_secrets() {
        let loaded = loaded(
            "[supervisord]\n[program:a]\ncommand=x %(prgram_name)s %(ENV_NOPE)s\npriority=%(process_num)d\n",
        );
        let text = format!("{:?}", loaded.diagnostics);
        assert!(text.contains("did you mean %(program_name)s?"), "{text}");
        assert!(!text.contains("HOME"), "{text}");
        assert_eq!(
            findings(&loaded)
                .iter()
                .filter(|f| f.starts_with("Error 4:10"))
                .count(),
            1,
            "{text}"
        );
    }

    #[test]
    fn a_tree_is_contained_where_it_is_asked_for() {
        let loaded = loaded("[supervisord]\n[program:a]\ncommand=x\ncontain=Tree\n");
        let process = &loaded.configuration.unwrap().groups[0].processes[0];
        assert_eq!(process.contain, crate::value::Contain::Tree);
    }

    #[test]
    fn a_client_reads_its_own_section_of_the_main_file() {
        let client = |text: &str| {
            let files = [
                ("/etc/s.conf", text),
                ("/etc/more.conf", "[supervisorctl]\nprompt=more\n"),
            ];
            let files = files.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()));
            load_client("s.conf", &host(), &Memory(files.into()))
        };
        let found = client(
            "[program:x]\nstartsecs=ten\n[include]\nfiles=more.conf\n[ctlplugin:p]\nx=y\n[supervisorctl]\nserverurl=unix://%(here)s/../s.sock\npassword=%(ENV_PORT)s\n",
        );
        let section = found.client.unwrap();
        assert_eq!(section.serverurl, "unix:///s.sock");
        assert_eq!(section.prompt, "supervisor");
        assert_eq!(
            section.password.map(|p| p.reveal().to_owned()),
            Some("80".into())
        );
        assert_eq!(found.plugins, ["p"]);
        assert_eq!(found.diagnostics, []);

        let found = client("[supervisord]\n[include]\nfiles=more.conf\n");
        assert_eq!((found.client, found.diagnostics.len()), (None, 0));
        let found = client("[supervisorctl]\nprompt=%(nope)s\n");
        assert_eq!((found.client, found.diagnostics.len()), (None, 1));
        let found = client("junk\n[supervisorctl]\n");
        assert_eq!((found.client, found.diagnostics.len()), (None, 1));
        let found = load_client("gone.conf", &host(), &Memory::default());
        assert_eq!((found.client, found.diagnostics.len()), (None, 1));
    }

    #[test]
    fn what_is_no_utf8_is_told_with_its_place() {
        let memory = Memory(BTreeMap::from([(
            "/etc/s.conf".to_owned(),
            b"[supervisord]\nx=\xff\n".to_vec(),
        )]));
        let loaded = check("s.conf", &host(), &memory);
        assert!(
            findings(&loaded)[1].starts_with("Error 2:3 the file is not UTF-8"),
            "{:?}",
            findings(&loaded)
        );
        let absent = check("gone.conf", &host(), &memory);
        assert_eq!(absent.diagnostics.len(), 1);
    }
}
