//! `ward build serve`: the build server, in the foreground.
//!
//! One thread looks after signals and the network; the server's own threads do the rest. It may be killed at any
//! moment: builds go on, and the next one finds them.

use std::fs::File;
use std::future::pending;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use ward_build::access::Accounts;
use ward_build::api::Role;
use ward_build::server::{Server, ServerSettings};
use ward_config::build::BuildServer;
use ward_config::load::load_client;
use ward_config::value::inet_address;
use ward_engine::chain;
use ward_model::exit_code;
use ward_model::signal::Signal;
use ward_serve::builds::{BuildSite, SiteSettings, Supervisor, Trust};
use ward_serve::http::Weight;
use ward_serve::listen::{Listener, UnixSocket};
use ward_supervise::configuration::Disk;
use ward_sys::signals::{self, SignalSource};

use super::place::{self, Read, SOCKET, home_of, secrets_of};
use super::words::moment;
use crate::args::ServeArgs;
use crate::commands::check::host;
use crate::failure::Failure;

/// signal(7): an error of write(2) instead.
const SIGXFSZ: i32 = 25;

/// The secret that hooks of repositories tell of pushes with.
const NOTIFY_TOKEN: &str = "notify-token";
/// Bytes of it.
const LONGEST_TOKEN: u64 = 4096;

/// Serves until it is told to end.
pub(super) fn run(arguments: &ServeArgs) -> Result<ExitCode, Failure> {
    // Before there are threads, so that none of them dies of one.
    let signals = SignalSource::new(&[
        Signal::HUP.number(),
        Signal::INT.number(),
        Signal::TERM.number(),
    ])
    .map_err(|error| Failure::ours("cannot read signals", &error))?;
    signals::ignore(SIGXFSZ);
    let told = place::told(arguments.supervised);
    let read = place::read_as_told(arguments.whose.configuration.as_deref(), told)?;
    let home = match &arguments.directory {
        Some(directory) => std::path::absolute(directory).map_err(|error| {
            Failure::ours(&format!("cannot use {}", directory.display()), &error)
        })?,
        None => home_of(&read.server)?,
    };
    let Read {
        path,
        builds,
        server: build,
        warnings,
    } = read;
    say_all(&warnings);
    let server = Server::open(ServerSettings {
        build: build.clone(),
        jobs: builds.jobs,
        home: home.clone(),
        say: Arc::new(say),
    })
    .map_err(|error| {
        let failure = Failure::ours("cannot be the build server", &error);
        let failure = failure.with_status(exit_code::TAKEN);
        match error.hint() {
            Some(hint) => failure.with_hint(&hint),
            None => failure,
        }
    })?;
    let anonymous = build.anonymous_read.then_some(Role::Read);
    let accounts = Accounts::open(&home, anonymous)
        .map_err(|error| Failure::ours("cannot read the accounts", &error))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| Failure::ours("cannot serve", &error))?;
    let _entered = runtime.enter();
    let mut settings = SiteSettings::usual(Rc::new(|weight, text: &str| match weight {
        Weight::Critical | Weight::Error => say(text),
        Weight::Info | Weight::Trace => {}
    }));
    settings.url.clone_from(&build.url);
    settings.address = build.address();
    settings.supervisor = supervisor(&path);
    settings.notify_token = notify_token(&secrets_of(&build, &home))?;
    let mut site = BuildSite::new(Arc::clone(&server) as _, Arc::new(accounts), settings)
        .map_err(|error| Failure::ours("cannot serve", &error))?;
    open(&mut site, &build, &home)?;
    server
        .start()
        .map_err(|error| Failure::ours("cannot begin", &error))?;
    say(&format!(
        "the build server of {} listens at {}",
        path.display(),
        build.listen.join(", ")
    ));
    tell_ready();
    let life = Life {
        server,
        build,
        path,
        supervised: arguments.supervised,
    };
    let poll = signals
        .as_fd()
        .try_clone_to_owned()
        .map_err(|error| Failure::ours("cannot read signals", &error))?;
    runtime.block_on(site.run_until(life.until_end(&signals, poll)));
    for listener in site.into_listeners() {
        listener.remove();
    }
    say("the build server has ended");
    Ok(ExitCode::SUCCESS)
}

/// Says it to whoever keeps this process' output.
fn say(text: &str) {
    // Where nobody can be told, nothing is lost: what counts is in the history.
    let _ = writeln!(io::stderr(), "{} {text}", moment(super::words::now()));
}

/// Says what is passed over in the configuration: a job that does less than was written is not to be a riddle.
fn say_all(warnings: &[String]) {
    for warning in warnings {
        say(warning.trim_end());
    }
}

/// Opens every address of the configuration, and the socket in the directory.
fn open(site: &mut BuildSite, build: &BuildServer, home: &Path) -> Result<(), Failure> {
    for address in &build.listen {
        let listener = match address.strip_prefix("unix://") {
            Some(path) => socket(path.into(), 0o660),
            None => inet_address(address)
                .map_err(|complaint| Failure::usage(complaint.what, "write host:port"))
                .and_then(|(host, port)| {
                    Listener::tcp(&host, port).map_err(|error| cannot_listen(address, &error))
                }),
        };
        site.listen(listener?, Trust::Nobody);
    }
    site.listen(socket(home.join(SOCKET), 0o600)?, Trust::Admin);
    Ok(())
}

fn socket(path: PathBuf, mode: u32) -> Result<Listener, Failure> {
    let shown = path.display().to_string();
    let wanted = UnixSocket {
        path,
        mode,
        owner: None,
        group: None,
    };
    Listener::unix(wanted, &mut |text| say(text)).map_err(|error| cannot_listen(&shown, &error))
}

fn cannot_listen(address: &str, error: &dyn std::error::Error) -> Failure {
    Failure::ours(&format!("cannot listen at {address}"), error)
        .with_hint("choose another by `listen =` in [build]")
        .with_status(exit_code::TAKEN)
}

/// What `/git/notifyCommit` wants to be told, if there is such a secret.
fn notify_token(secrets: &Path) -> Result<Option<String>, Failure> {
    let path = secrets.join(NOTIFY_TOKEN);
    let failed =
        |error: io::Error| Failure::ours(&format!("cannot read {}", path.display()), &error);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut text = String::new();
    file.take(LONGEST_TOKEN)
        .read_to_string(&mut text)
        .map_err(failed)?;
    let token = text.trim();
    Ok((!token.is_empty()).then(|| token.to_owned()))
}

/// Where the supervisor is that keeps this process, with what it wants to know of its clients.
fn supervisor(path: &Path) -> Option<Supervisor> {
    let url = std::env::var("SUPERVISOR_SERVER_URL").ok()?;
    let socket = url.strip_prefix("unix://")?;
    let client = load_client(&path.to_string_lossy(), &host(false).ok()?, &Disk).client;
    let credentials = client
        .filter(|client| client.serverurl == url)
        .and_then(|client| Some((client.username?, client.password?.reveal().to_owned())));
    Some(Supervisor {
        socket: socket.into(),
        credentials,
    })
}

/// Tells the service manager that clients are answered (sd_notify(3)), if there is one.
fn tell_ready() {
    let Some(place) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let address = match place.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(&place),
    };
    let told = address.and_then(|address| {
        UnixDatagram::unbound()?.send_to_addr(b"READY=1\n", &address)?;
        Ok(())
    });
    if let Err(error) = told {
        say(&format!("the service manager could not be told: {error}"));
    }
}

/// A server that runs.
struct Life {
    server: Arc<Server>,
    build: BuildServer,
    path: PathBuf,
    /// By `ward up`.
    supervised: bool,
}

impl Life {
    /// Heeds signals until the server has ended. Clients are answered meanwhile.
    async fn until_end(self, signals: &SignalSource, poll: OwnedFd) {
        #[expect(
            deprecated,
            reason = "it is unsound for what may change its descriptor, which this cannot; its successor is unsafe to call"
        )]
        let events = match AsyncFd::with_interest(poll, Interest::READABLE) {
            Ok(events) => events,
            Err(error) => {
                say(&format!("cannot wait for signals: {error}"));
                return;
            }
        };
        let mut ended: Option<oneshot::Receiver<()>> = None;
        loop {
            let end = async {
                match &mut ended {
                    // Whoever ends it without a word has ended too.
                    Some(ended) => drop(ended.await),
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                ready = events.readable() => {
                    let Ok(mut ready) = ready else { return };
                    ready.clear_ready();
                }
                () = end => return,
            }
            while let Some(received) = signals.next() {
                if received.signal == Signal::HUP.number() {
                    self.reload();
                } else if ended.is_some() {
                    say("builds that are being stopped are left to themselves");
                    return;
                } else {
                    ended = Some(self.end());
                }
            }
        }
    }

    /// Begins to end; the receiver hears of it.
    fn end(&self) -> oneshot::Receiver<()> {
        say(if self.build.stop_builds {
            "ending: what runs is stopped; a second signal does not wait for it"
        } else {
            "ending: what runs goes on"
        });
        let (tell, ended) = oneshot::channel();
        let server = Arc::clone(&self.server);
        let stop_builds = self.build.stop_builds;
        // It may take as long as the clean-up of builds.
        std::thread::spawn(move || {
            server.shut_down(stop_builds);
            // Nobody hears it who did not wait.
            let _ = tell.send(());
        });
        ended
    }

    /// Reads the configuration again; where it cannot be used, everything stays as it was.
    fn reload(&self) {
        let told = place::told(self.supervised);
        let read = match place::read_as_told(Some(&self.path), told) {
            Ok(read) => read,
            Err(failure) => {
                say(&format!("everything stays as it was: {}", failure.text()));
                return;
            }
        };
        say_all(&read.warnings);
        let needs_restart = BuildServer {
            listen: read.server.listen.clone(),
            directory: read.server.directory.clone(),
            anonymous_read: read.server.anonymous_read,
            url: read.server.url.clone(),
            ..self.build.clone()
        } != self.build;
        match self.server.reload(read.server, &read.builds.jobs) {
            Ok(()) => say("the configuration was read again"),
            Err(error) => say(&format!("everything stays as it was: {}", chain(&error))),
        }
        if needs_restart {
            say("where it listens, and who may read, changes with a restart");
        }
    }
}
