//! Repositories behind a web server: git's own `http-backend`, with a password, with TLS, and out of order.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use ward_build::git::{GitError, Trouble, ls_remote};
use ward_config::job::Source;
use ward_testkit::programs::{in_path, skipped};

use crate::desk::Notes;
use crate::room::{Ask, Room, content};

pub(crate) const TESTS: &[crate::Test] = &[
    (
        "a_password_opens_and_is_not_seen",
        a_password_opens_and_is_not_seen,
    ),
    (
        "a_site_that_lets_nobody_in_says_why",
        a_site_that_lets_nobody_in_says_why,
    ),
    (
        "a_password_goes_to_its_own_site_only",
        a_password_goes_to_its_own_site_only,
    ),
    (
        "submodules_beside_the_repository",
        submodules_beside_the_repository,
    ),
    (
        "a_submodule_that_cannot_be_had",
        a_submodule_that_cannot_be_had,
    ),
    (
        "what_is_out_of_order_elsewhere_costs_nothing_here",
        what_is_out_of_order_elsewhere_costs_nothing_here,
    ),
    (
        "a_certificate_has_to_be_known",
        a_certificate_has_to_be_known,
    ),
];

/// Who may come in. What stands behind the colon must be seen nowhere.
const LOGIN: &str = "me:hidden+word/%";

/// A site with the repositories of a room.
struct Site {
    server: Child,
    scheme: &'static str,
    port: u16,
    log: std::path::PathBuf,
}

impl Site {
    /// `None`, said aloud, where it cannot be had.
    fn start(room: &Room) -> anyhow::Result<Option<Self>> {
        Self::with(room, "visits", None)
    }

    fn with(room: &Room, log: &str, certificate: Option<&str>) -> anyhow::Result<Option<Self>> {
        let place = Command::new("git").arg("--exec-path").output()?.stdout;
        let place = String::from_utf8(place)?;
        let has_backend = std::path::Path::new(place.trim())
            .join("git-http-backend")
            .exists();
        let Some(python) = in_path("python3").filter(|_| has_backend) else {
            skipped("git over HTTP", "needs python3 and git http-backend");
            return Ok(None);
        };
        let script = room.path("git_site.py");
        fs::write(&script, include_str!("git_site.py"))?;
        let log = room.path(log);
        let mut command = Command::new(python);
        command
            .arg(&script)
            .arg(room.path("."))
            .arg(&log)
            .arg(LOGIN);
        command.args(certificate.map(|name| room.path(name)));
        let mut server = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = server.stdout.take().context("no output")?;
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line);
        let mut site = Self {
            server,
            scheme: if certificate.is_some() {
                "https"
            } else {
                "http"
            },
            port: 0,
            log,
        };
        read?;
        site.port = line
            .trim()
            .parse()
            .with_context(|| format!("no port: {line:?}"))?;
        Ok(Some(site))
    }

    fn url(&self, path: &str) -> String {
        format!("{}://127.0.0.1:{}/{path}", self.scheme, self.port)
    }

    /// Who came, and where to, since this was asked last.
    fn visits(&self) -> anyhow::Result<Vec<String>> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        fs::write(&self.log, "")?;
        Ok(text.lines().map(str::to_owned).collect())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn at(room: &Room, url: String, credentials: Option<&str>) -> Source {
    Source {
        url,
        credentials: credentials.map(str::to_owned),
        ..room.source()
    }
}

/// That the password is in no text and in no file that stays.
fn is_hidden(room: &Room, desk: &Notes) -> anyhow::Result<()> {
    let all = format!("{} {:?}", desk.text, desk.commands);
    ensure!(!all.contains("hidden"), "{all}");
    for place in ["workspace", "cache", "home"] {
        let found = Command::new("grep")
            .args(["-r", "-l", "-a", "hidden"])
            .arg(room.path(place))
            .output()?;
        let found = String::from_utf8_lossy(&found.stdout).into_owned();
        ensure!(found.is_empty(), "{found}");
    }
    let left: Vec<_> = fs::read_dir(room.path("scratch"))?.collect();
    ensure!(left.is_empty(), "{left:?}");
    Ok(())
}

fn a_password_opens_and_is_not_seen() -> anyhow::Result<()> {
    let room = Room::new()?;
    room.secret("login", &format!("{LOGIN}\n"))?;
    room.commit("a", "1", 1)?;
    let Some(site) = Site::start(&room)? else {
        return Ok(());
    };
    let mut previous = None;
    for (round, no_cache) in [false, true, false].into_iter().enumerate() {
        let word = format!("round {round}");
        let one = room.commit("a", &word, 10 + u32::try_from(round)?)?;
        let source = Source {
            no_cache,
            ..at(&room, site.url("closed/repository/.git"), Some("login"))
        };
        let ask = Ask {
            previous: previous.as_deref(),
            ..Ask::default()
        };
        let mut desk = Notes::default();
        let checked = room
            .checkout_with(&mut desk, &source, &ask)
            .with_context(|| desk.text.clone())?;
        ensure!(checked.checkout.revision == one && content(room.workspace("a"))? == word);
        ensure!(checked.checkout.changes.len() == usize::from(previous.is_some()));
        is_hidden(&room, &desk)?;
        let refs = room.look(&source, ls_remote)?;
        ensure!(refs.get("refs/heads/main") == Some(&one), "{refs:?}");
        previous = Some(one);
    }
    // As it may stand in the address, too.
    let url = site
        .url("closed/repository/.git")
        .replace("//", "//me:hidden%2Bword%2F%25@");
    let mut desk = Notes::default();
    let source = at(&room, url, None);
    let checked = room.checkout_with(&mut desk, &source, &Ask::default())?;
    ensure!(!format!("{checked:?}").contains("hidden"), "{checked:?}");
    is_hidden(&room, &desk)?;
    Ok(())
}

fn trouble(error: &GitError) -> Option<Trouble> {
    match error {
        GitError::Failed { trouble, .. } => Some(*trouble),
        _ => None,
    }
}

fn a_site_that_lets_nobody_in_says_why() -> anyhow::Result<()> {
    let room = Room::new()?;
    room.secret("login", &format!("{LOGIN}\n"))?;
    room.secret("wrong", "me:hidden-otherwise\n")?;
    room.commit("a", "1", 1)?;
    let Some(site) = Site::start(&room)? else {
        return Ok(());
    };
    let cases = [
        (
            "closed/repository/.git",
            None,
            Trouble::SignIn,
            "credentials",
        ),
        (
            "closed/repository/.git",
            Some("wrong"),
            Trouble::SignIn,
            "credentials",
        ),
        (
            "forbidden/repository/.git",
            Some("login"),
            Trouble::SignIn,
            "credentials",
        ),
        (
            "closed/nothing.git",
            Some("login"),
            Trouble::NotFound,
            "look at the address",
        ),
    ];
    for (path, credentials, wanted, hint) in cases {
        for no_cache in [false, true] {
            let source = Source {
                no_cache,
                ..at(&room, site.url(path), credentials)
            };
            let mut desk = Notes::default();
            let error = room.checkout_with(&mut desk, &source, &Ask::default());
            let error = error
                .err()
                .with_context(|| format!("{path}: {}", desk.text))?;
            ensure!(
                trouble(&error) == Some(wanted),
                "{path} {credentials:?}: {error:?}"
            );
            let said = error.hint().unwrap_or_default();
            ensure!(said.contains(hint), "{path}: {said}");
            ensure!(
                !format!("{error} {error:?}").contains("hidden"),
                "{error:?}"
            );
            is_hidden(&room, &desk)?;
            let error = room.look(&source, ls_remote).err().context("seen")?;
            ensure!(trouble(&error) == Some(wanted), "{path}: {error:?}");
        }
    }
    Ok(())
}

fn a_password_goes_to_its_own_site_only() -> anyhow::Result<()> {
    let room = Room::new()?;
    room.secret("login", &format!("{LOGIN}\n"))?;
    room.commit("a", "1", 1)?;
    let (Some(site), Some(other)) = (Site::start(&room)?, Site::with(&room, "others", None)?)
    else {
        return Ok(());
    };
    // Sent on to a site that anybody may read.
    let path = format!("away/{}/open/repository/.git", other.port);
    let source = at(&room, site.url(&path), Some("login"));
    room.checkout(&source, &Ask::default())?;
    // Sent on to one that wants to be told who comes.
    let path = format!("away/{}/closed/repository/.git", other.port);
    let source = at(&room, site.url(&path), Some("login"));
    let (error, _) = room.refused(&source, &Ask::default())?;
    ensure!(trouble(&error) == Some(Trouble::SignIn), "{error:?}");
    let visits = other.visits()?;
    let is_told = visits.iter().any(|visit| !visit.starts_with("nobody "));
    ensure!(!visits.is_empty() && !is_told, "{visits:?}");
    Ok(())
}

/// A repository beside the room's, with one file; it is a submodule of the room's, named as `url`.
fn add_submodule(room: &Room, name: &str, url: &str) -> anyhow::Result<()> {
    room.git_in(".", &["clone", "--quiet", "repository", name])?;
    room.git(&["submodule", "--quiet", "add", &format!("../{name}"), name])?;
    room.git(&[
        "config",
        "-f",
        ".gitmodules",
        &format!("submodule.{name}.url"),
        url,
    ])?;
    Ok(())
}

fn submodules_beside_the_repository() -> anyhow::Result<()> {
    let room = Room::new()?;
    room.secret("login", &format!("{LOGIN}\n"))?;
    room.commit("a", "1", 1)?;
    let Some(site) = Site::start(&room)? else {
        return Ok(());
    };
    // Found by its place beside the other, with the same password.
    add_submodule(&room, "sub", "../../sub/.git")?;
    room.commit("a", "2", 2)?;
    for (round, no_cache) in [false, true].into_iter().enumerate() {
        let source = Source {
            no_cache,
            submodules: true,
            ..at(&room, site.url("closed/repository/.git"), Some("login"))
        };
        let mut desk = Notes::default();
        room.checkout_with(&mut desk, &source, &Ask::default())
            .with_context(|| desk.text.clone())?;
        ensure!(content(room.workspace("sub/a"))? == "1");
        is_hidden(&room, &desk)?;
        // The submodule goes on, and so does the next build.
        fs::write(room.path("sub/b"), format!("{round}"))?;
        room.git_in("sub", &["add", "b"])?;
        room.git_in("sub", &["commit", "--quiet", "-m", "b"])?;
        room.git_in("repository/sub", &["pull", "--quiet"])?;
        room.commit("a", &format!("more {round}"), 10)?;
        room.checkout(&source, &Ask::default())?;
        ensure!(content(room.workspace("sub/b"))? == format!("{round}"));
        fs::remove_dir_all(room.workspace(".git"))?;
    }
    Ok(())
}

fn a_submodule_that_cannot_be_had() -> anyhow::Result<()> {
    let room = Room::new()?;
    room.commit("a", "1", 1)?;
    let Some(site) = Site::start(&room)? else {
        return Ok(());
    };
    add_submodule(&room, "sub", "../../gone/.git")?;
    room.commit("a", "2", 2)?;
    let source = Source {
        submodules: true,
        ..at(&room, site.url("open/repository/.git"), None)
    };
    let (error, console) = room.refused(&source, &Ask::default())?;
    ensure!(
        trouble(&error) == Some(Trouble::NotFound),
        "{error:?} {console}"
    );
    ensure!(error.to_string().contains("gone"), "{error}");
    ensure!(!console.contains("emptied"), "{console}");
    // It is put right, and nobody has to clean up after it.
    room.git(&[
        "config",
        "-f",
        ".gitmodules",
        "submodule.sub.url",
        "../../sub/.git",
    ])?;
    room.commit("a", "3", 3)?;
    room.checkout(&source, &Ask::default())?;
    ensure!(content(room.workspace("sub/a"))? == "1");
    // A commit of it that nobody has.
    fs::write(room.path("repository/sub/a"), "never pushed")?;
    room.git_in("repository/sub", &["commit", "--quiet", "-a", "-m", "x"])?;
    room.commit("a", "4", 4)?;
    let (error, console) = room.refused(&source, &Ask::default())?;
    ensure!(
        trouble(&error) == Some(Trouble::NoRef),
        "{error:?} {console}"
    );
    // Half a clone of it, as a killed git leaves one.
    room.git_in("sub", &["pull", "--quiet", "../repository/sub"])?;
    fs::remove_file(room.workspace(".git/modules/sub/HEAD"))?;
    fs::write(room.workspace(".git/modules/sub/index.lock"), "")?;
    room.checkout(&source, &Ask::default())?;
    ensure!(content(room.workspace("sub/a"))? == "never pushed");
    Ok(())
}

fn what_is_out_of_order_elsewhere_costs_nothing_here() -> anyhow::Result<()> {
    let room = Room::new()?;
    room.commit("a", "1", 1)?;
    let Some(site) = Site::start(&room)? else {
        return Ok(());
    };
    for no_cache in [false, true] {
        let good = Source {
            no_cache,
            ..at(&room, site.url("open/repository/.git"), None)
        };
        room.checkout(&good, &Ask::default())?;
        fs::write(room.workspace("kept"), "made by the build before")?;
        let big: String = (0..20_000).map(|i| format!("{}\n", i * 7919)).collect();
        fs::write(room.path("repository/big"), big)?;
        room.commit("a", if no_cache { "3" } else { "2" }, 2)?;
        for way in ["broken", "cut"] {
            // The same address as before, for git and for us; what answers there is out of order.
            let place = format!("url.{}.insteadOf", site.url(&format!("{way}/")));
            let settings = room.path("home/gitconfig");
            room.git_in(
                ".",
                &[
                    "config",
                    "-f",
                    &settings.to_string_lossy(),
                    &place,
                    &site.url("open/"),
                ],
            )?;
            let (error, console) = room.refused(&good, &Ask::default())?;
            fs::remove_file(&settings)?;
            ensure!(
                trouble(&error) == Some(Trouble::BrokenOff),
                "{way}: {error:?}"
            );
            ensure!(
                error.hint().is_some_and(|hint| hint.contains("other side")),
                "{error:?}"
            );
            ensure!(!console.contains("anew"), "{way}: {console}");
        }
        let silent = Source {
            timeout: Duration::from_millis(300),
            ..at(&room, site.url("silent/repository/.git"), None)
        };
        // It asks the place where its clone is from what that place is, so it is another workspace.
        let (error, _) = room.refused(
            &Source {
                directory: Some("other".to_owned()),
                ..silent
            },
            &Ask::default(),
        )?;
        ensure!(matches!(error, GitError::TimedOut { .. }), "{error:?}");
        ensure!(room.workspace("kept").exists());
        room.checkout(&good, &Ask::default())?;
        ensure!(room.workspace("big").exists() && room.workspace("kept").exists());
        fs::remove_dir_all(room.workspace(".git"))?;
    }
    Ok(())
}

fn a_certificate_has_to_be_known() -> anyhow::Result<()> {
    let room = Room::new()?;
    room.commit("a", "1", 1)?;
    if in_path("openssl").is_none() {
        skipped("git over HTTPS", "needs openssl");
        return Ok(());
    }
    let pem = room.path("site.pem");
    let made = Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        ])
        .args([
            "-subj",
            "/CN=127.0.0.1",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ])
        .arg("-keyout")
        .arg(room.path("site.key"))
        .arg("-out")
        .arg(&pem)
        .output()?;
    ensure!(made.status.success(), "{made:?}");
    let both = fs::read_to_string(&pem)? + &fs::read_to_string(room.path("site.key"))?;
    fs::write(room.path("both.pem"), both)?;
    let Some(site) = Site::with(&room, "visits", Some("both.pem"))? else {
        return Ok(());
    };
    let source = at(&room, site.url("open/repository/.git"), None);
    let (error, _) = room.refused(&source, &Ask::default())?;
    ensure!(trouble(&error) == Some(Trouble::Certificate), "{error:?}");
    let hint = error.hint().unwrap_or_default();
    ensure!(
        hint.contains("http.sslCAInfo") && hint.contains("gitconfig"),
        "{hint}"
    );
    let settings = room.path("home/gitconfig").to_string_lossy().into_owned();
    room.git_in(
        ".",
        &[
            "config",
            "-f",
            &settings,
            "http.sslCAInfo",
            &pem.to_string_lossy(),
        ],
    )?;
    room.checkout(&source, &Ask::default())?;
    ensure!(content(room.workspace("a"))? == "1");
    Ok(())
}
