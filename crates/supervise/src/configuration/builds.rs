//! The build server as one more program: where the configuration has `[build]`, `builds` is kept as if it
//! had been written.
//!
//! Its command is this executable's `build serve`. Nothing here knows what that does.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use ward_config::Origins;
use ward_config::build::BuildServer;
use ward_config::diagnostics::{Diagnostic, Severity};
use ward_config::group::{Group, GroupKind};
use ward_config::host::{Files, Host};
use ward_config::job::Job;
use ward_config::load::{Configuration, Loaded, load};
use ward_config::program::Process;
use ward_config::source::{FileId, Span};
use ward_config::value::{Account, Surroundings};
use ward_engine::ledger::{self, LedgerError};

use super::Disk;

/// What the program is called.
pub const BUILDS: &str = "builds";

/// What its section would say; the command is put in afterwards.
const SECTION: &str = "[supervisord]\n[program:builds]\ncommand = ward\nautorestart = true\n\
                       redirect_stderr = true\nstopwaitsecs = 30\n";

/// Beyond what clean-up of builds may take: for the server's own end, and for builds' left-overs.
const OWN_END: Duration = Duration::from_secs(30);

/// Where a build server keeps everything: as its configuration says; else `builds` in the state directory of
/// who runs it ([`ledger::locate`]), or, for root, of the user that the configuration names.
///
/// # Errors
/// [`LedgerError::NoPlace`].
pub fn home_of(server: &BuildServer, host: &Host) -> Result<PathBuf, LedgerError> {
    if let Some(directory) = &server.directory {
        return Ok(PathBuf::from(host.absolute(directory)));
    }
    let is_root = ward_sys::account::own_uid() == 0;
    let user = server.user.as_deref().filter(|_| is_root);
    let home = user.and_then(|user| home_of_user(user, host));
    match home {
        Some(home) => Ok(home.join(".local/state/ward/builds")),
        None => Ok(ledger::locate()?.join("builds")),
    }
}

fn home_of_user(user: &str, host: &Host) -> Option<PathBuf> {
    let account = account(user, host).ok()?;
    let known = host.accounts.user_by_id(account.uid?)?;
    Some(PathBuf::from(&known.home)).filter(|home| home.is_absolute())
}

fn account(user: &str, host: &Host) -> Result<Account, String> {
    let around = Surroundings { host, files: &Disk };
    around.user(user).map_err(|complaint| complaint.what)
}

/// Adds the program to what was read from `path`, where that has a build server; or says why it cannot be.
pub(super) fn add(loaded: &mut Loaded, path: &str, host: &Host) {
    let Some(configuration) = &mut loaded.configuration else {
        return;
    };
    let Some(server) = configuration.build.clone() else {
        return;
    };
    match group(configuration, &server, path, host) {
        Ok(group) => {
            configuration.groups.push(group);
            configuration
                .groups
                .sort_by(|a, b| (a.priority, &a.name).cmp(&(b.priority, &b.name)));
        }
        Err(Refusal { what, hint, span }) => {
            loaded.configuration = None;
            loaded.diagnostics.push(Diagnostic {
                span,
                severity: Severity::Error,
                what,
                hint: Some(hint.to_owned()),
            });
        }
    }
}

/// Why there can be no such program.
struct Refusal {
    what: String,
    hint: &'static str,
    span: Span,
}

fn group(
    configuration: &Configuration,
    server: &BuildServer,
    path: &str,
    host: &Host,
) -> Result<Group, Refusal> {
    let somewhere = Span::start_of(FileId(0));
    let taken = configuration
        .groups
        .iter()
        .find(|group| group.name == BUILDS);
    if let Some(taken) = taken {
        return Err(Refusal {
            what: format!(
                "`{BUILDS}` is the name of the build server, which [build] asks for: nothing else can be called so"
            ),
            hint: "give this one another name",
            span: taken.span,
        });
    }
    let refuse = |what: String, hint| Refusal {
        what: format!("[build]: {what}"),
        hint,
        span: somewhere,
    };
    let executable = executable().map_err(|error| {
        refuse(
            format!("our own executable cannot be found: {error}"),
            "mount /proc",
        )
    })?;
    let home = home_of(server, host)
        .map_err(|error| refuse(ward_engine::chain(&error), "set directory="))?;
    let words = [
        executable.to_string_lossy().into_owned(),
        "build".to_owned(),
        "serve".to_owned(),
        "-c".to_owned(),
        host.absolute(path),
        "--directory".to_owned(),
        home.to_string_lossy().into_owned(),
        "--supervised".to_owned(),
    ];
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    let template = load("[build]", host, &Written(SECTION)).configuration;
    let template = template
        .and_then(|written| written.groups.into_iter().next())
        .and_then(|group| group.processes.into_iter().next())
        .ok_or_else(|| refuse("the program cannot be made".to_owned(), "tell its makers"))?;
    let mut process = Process {
        command: words.join(" "),
        environment: configuration.supervisord.environment.clone(),
        stopwaitsecs: patience(server, &configuration.jobs),
        origins: Origins::new(),
        span: somewhere,
        ..Rc::unwrap_or_clone(template)
    };
    let is_root = ward_sys::account::own_uid() == 0;
    if let Some(user) = server.user.as_deref().filter(|_| is_root) {
        let account =
            account(user, host).map_err(|what| refuse(what, "make it, or name another"))?;
        be(&account, host, &mut process.environment);
        process.user = Some(account);
    }
    Ok(Group {
        name: BUILDS.to_owned(),
        priority: process.priority,
        kind: GroupKind::Program,
        processes: vec![Rc::new(process)],
        span: somewhere,
    })
}

/// What programs look at to find out whose they are. What was written goes before it.
fn be(account: &Account, host: &Host, environment: &mut BTreeMap<String, String>) {
    let known = account.uid.and_then(|uid| host.accounts.user_by_id(uid));
    let Some(user) = known else { return };
    for (name, value) in [
        ("HOME", &user.home),
        ("USER", &user.name),
        ("LOGNAME", &user.name),
    ] {
        environment
            .entry(name.to_owned())
            .or_insert_with(|| value.clone());
    }
}

/// Seconds from the stop signal to the kill: all clean-up that builds have a right to.
fn patience(server: &BuildServer, jobs: &[Job]) -> i64 {
    let clean_up = jobs
        .iter()
        .map(|job| job.grace.saturating_add(job.leftover_grace))
        .max()
        .filter(|_| server.stop_builds);
    let whole = clean_up.unwrap_or_default().saturating_add(OWN_END);
    i64::try_from(whole.as_secs()).unwrap_or(i64::MAX)
}

/// Where this program is. One that was replaced while it runs is found where it was: that is the newer one.
fn executable() -> io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    let Some(text) = path.to_str() else {
        return Ok(path);
    };
    Ok(text.strip_suffix(" (deleted)").unwrap_or(text).into())
}

/// A word of a command line, whatever is in it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:,@=".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\"'\"'"))
}

/// A configuration that is written here.
struct Written(&'static str);

impl Files for Written {
    fn read(&self, _path: &Path) -> io::Result<Vec<u8>> {
        Ok(self.0.as_bytes().to_vec())
    }

    fn exists(&self, _path: &Path) -> bool {
        false
    }

    fn is_directory(&self, _path: &Path) -> bool {
        false
    }

    fn list(&self, _directory: &Path) -> Vec<String> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use ward_config::ini::words::arguments;

    use super::*;
    use crate::configuration::{Recorder, this_host};

    fn loaded(text: &str) -> anyhow::Result<(tempfile::TempDir, Loaded)> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("ward.conf");
        fs::write(&path, text)?;
        let host = this_host([("WARD_STATE_DIR".into(), "/x".into())])?;
        let (loaded, memory) = Recorder::new(&Disk).load(&path.to_string_lossy(), &host);
        // Who goes on with a memory goes on with the build server.
        assert_eq!(memory.load(&host).configuration, loaded.configuration);
        Ok((directory, loaded))
    }

    #[test]
    fn a_build_server_is_one_more_program() -> anyhow::Result<()> {
        let (place, loaded) = loaded(
            "[supervisord]\nenvironment = A=1\n[build]\ndirectory = %(here)s/it's here\n\
             [job:slow]\nscript = true\ngrace = 5m\n[program:web]\ncommand = cat\npriority = 1000\n",
        )?;
        let configuration = loaded.configuration.expect("it is right");
        let names: Vec<&str> = configuration
            .groups
            .iter()
            .map(|g| g.name.as_str())
            .collect();
        assert_eq!(names, ["builds", "web"]);
        let process = &configuration.groups[0].processes[0];
        let words = arguments(&process.command).expect("words");
        let conf = place.path().join("ward.conf");
        let home = place.path().join("it's here");
        assert_eq!(
            words[1..],
            [
                "build",
                "serve",
                "-c",
                &conf.to_string_lossy(),
                "--directory",
                &home.to_string_lossy(),
                "--supervised"
            ]
        );
        assert_eq!(process.environment["A"], "1");
        assert!(process.stopwaitsecs > 300);
        assert_eq!(
            (process.name.as_str(), process.user.as_ref()),
            ("builds", None)
        );
        Ok(())
    }

    #[test]
    fn nothing_else_has_its_name() -> anyhow::Result<()> {
        for other in ["program:builds", "group:builds", "eventlistener:builds"] {
            let keys = match other {
                "group:builds" => "programs = a",
                "program:builds" => "command = cat",
                _ => "command = cat\nevents = TICK_5",
            };
            let text = format!("[supervisord]\n[program:a]\ncommand = cat\n[{other}]\n{keys}\n");
            assert!(loaded(&text)?.1.configuration.is_some(), "{other}");
            let (_place, refused) = loaded(&format!("{text}[build]\n"))?;
            assert_eq!(refused.configuration, None, "{other}");
            let error = refused.diagnostics.last().expect("why");
            assert!(error.what.contains("name of the build server"), "{error:?}");
            assert_eq!(error.span.line, 4);
        }
        Ok(())
    }

    #[test]
    fn without_a_section_there_is_no_program() -> anyhow::Result<()> {
        let (_place, loaded) = loaded("[supervisord]\n[job:x]\nscript = true\n")?;
        assert_eq!(loaded.configuration.expect("it is right").groups, []);
        Ok(())
    }
}
