//! `ward up`: Supervisor's daemon.
//!
//! The same words run three processes: the one that the user starts reads everything and becomes the
//! keeper; the keeper starts the daemon, which reads everything again and does the work.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::{fs, io};

use rustix::fs::Mode;
use ward_config::diagnostics::{Palette, Severity};
use ward_config::host::Host;
use ward_config::load::{Configuration, Loaded};
use ward_config::server::{Address, Server as ServerConfig, Supervisord};
use ward_config::value::{LogFile, LogLevel};
use ward_model::exit_code;
use ward_serve::http::{Credentials, Server, Settings as ServeSettings, Weight};
use ward_serve::listen::{Listener, UnixSocket};
use ward_supervise::configuration::{Disk, Memory, Recorder, this_host};
use ward_supervise::daemon::{
    self, Beginning, Core, Outcome, Settings, Supervisor, drop_privileges, raise_limits,
};
use ward_supervise::keeper::{self, Custody, Plan, code, place};
use ward_supervise::logs::{MainLog, MainLogSettings, Syslog};

use crate::compat::configuration_file::find_configuration;
use crate::compat::supervisord::{Options, Parsed, Refusal, parse};

/// signal(7).
const SIGPIPE: i32 = 13;
const SIGXFSZ: i32 = 25;

/// Does what the words say. `called` is how this process was called, for where to look; `program` what
/// people are told that it is.
pub(crate) fn run(called: &OsStr, program: &str, words: &[OsString]) -> ExitCode {
    let custody = match Custody::from_role() {
        None => None,
        Some(Ok(custody)) => Some(custody),
        Some(Err(error)) => return refuse(&error).report(program),
    };
    let program = match &custody {
        Some(custody) => name_of_keeper(custody),
        None => program.to_owned(),
    };
    match begin(called, &program, words, custody) {
        Ok(code) => code,
        Err(refusal) => refusal.report(&program),
    }
}

/// What the user has called, whose daemon this process is: by that name he finds help.
fn name_of_keeper(custody: &Custody) -> String {
    let called = custody.called();
    match Path::new(&called).file_name() {
        Some(name) if name == "supervisord" => called.to_string_lossy().into_owned(),
        Some(_) | None => "ward up".to_owned(),
    }
}

fn refuse(error: &dyn std::error::Error) -> Refusal {
    Refusal(ward_engine::chain(error))
}

/// What the words and the files say.
struct Read {
    path: String,
    /// Whether the words say how the supervisor calls itself.
    identifier_is_given: bool,
    configuration: Configuration,
    loaded: Loaded,
    memory: Memory,
}

fn begin(
    called: &OsStr,
    program: &str,
    words: &[OsString],
    custody: Option<Custody>,
) -> Result<ExitCode, Refusal> {
    if let Some(started_in) = custody.as_ref().and_then(Custody::started_in) {
        work_in(&started_in)?;
    }
    let environment: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
    let host = this_host(environment.clone()).map_err(|error| refuse(&error))?;
    let words: Vec<String> = words
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let options = match parse(program, &words, &host, &Disk)? {
        Parsed::Print(text) => {
            // Who stops reading has read enough.
            let _ = io::stdout().write_all(text.as_bytes());
            return Ok(ExitCode::SUCCESS);
        }
        Parsed::Run(options) => options,
    };
    let called = custody
        .as_ref()
        .map_or_else(|| called.to_owned(), Custody::called);
    let mut read = read(&called, program, &options, &host, custody.as_ref())?;
    overrule(&mut read.configuration.supervisord, &options, &host)?;
    match custody {
        None => {
            warn_of_search(program, &options);
            warn_of_builds(program, &read.loaded);
            become_keeper(&read)
        }
        Some(custody) => Ok(serve(read, custody, environment, &host, program)),
    }
}

fn read(
    called: &OsStr,
    program: &str,
    options: &Options,
    host: &Host,
    custody: Option<&Custody>,
) -> Result<Read, Refusal> {
    let path = match &options.configuration {
        Some(path) => path.clone(),
        None => find_configuration(called)
            .map_err(|error| refuse(&error))?
            .to_string_lossy()
            .into_owned(),
    };
    let path = host.expand_home(&path);
    // Where a daemon was killed the next one goes on with what it had, whatever the file says by now.
    let (mut loaded, memory) = custody
        .and_then(|custody| daemon::remembered(custody, host))
        .unwrap_or_else(|| Recorder::new(&Disk).load(&path, host));
    match loaded.configuration.take() {
        Some(configuration) => Ok(Read {
            path,
            identifier_is_given: options.identifier.is_some(),
            configuration,
            loaded,
            memory,
        }),
        None => Err(mistakes(program, &loaded)),
    }
}

/// Every mistake at once; the last one is told by the caller, with how to get help.
fn mistakes(program: &str, loaded: &Loaded) -> Refusal {
    let mut text = String::new();
    let errors = loaded
        .diagnostics
        .iter()
        .filter(|found| found.severity == Severity::Error);
    for found in errors {
        text.push_str(&found.render(&loaded.sources, Palette::default()));
    }
    // Where nobody can be told, the exit status still says it.
    let _ = io::stderr().write_all(text.as_bytes());
    Refusal(format!(
        "{program} cannot use its configuration: {}",
        daemon::first_mistake(loaded)
    ))
}

/// The words go before the file.
fn overrule(supervisord: &mut Supervisord, options: &Options, host: &Host) -> Result<(), Refusal> {
    fn set<T: Clone>(value: &mut T, given: Option<&T>) {
        if let Some(given) = given {
            value.clone_from(given);
        }
    }
    set(&mut supervisord.nodaemon, options.nodaemon.as_ref());
    set(&mut supervisord.silent, options.silent.as_ref());
    set(&mut supervisord.umask, options.umask.as_ref());
    set(
        &mut supervisord.logfile_maxbytes,
        options.logfile_maxbytes.as_ref(),
    );
    set(
        &mut supervisord.logfile_backups,
        options.logfile_backups.as_ref(),
    );
    set(&mut supervisord.loglevel, options.loglevel.as_ref());
    set(&mut supervisord.identifier, options.identifier.as_ref());
    set(&mut supervisord.childlogdir, options.childlogdir.as_ref());
    set(&mut supervisord.nocleanup, options.nocleanup.as_ref());
    set(&mut supervisord.minfds, options.minfds.as_ref());
    set(&mut supervisord.minprocs, options.minprocs.as_ref());
    set(&mut supervisord.strip_ansi, options.strip_ansi.as_ref());
    if let Some(directory) = &options.directory {
        supervisord.directory = Some(directory.clone());
    }
    if let Some(pidfile) = &options.pidfile {
        supervisord.pidfile = host.normal_path(pidfile);
    }
    if let Some(logfile) = &options.logfile {
        supervisord.logfile = if logfile.eq_ignore_ascii_case("syslog") {
            LogFile::Syslog
        } else {
            LogFile::Path(host.normal_path(logfile))
        };
    }
    if let Some(user) = &options.user {
        let around = ward_config::value::Surroundings { host, files: &Disk };
        let account = around
            .user(user)
            .map_err(|complaint| Refusal(complaint.what))?;
        supervisord.user = Some(account);
    }
    Ok(())
}

/// Root should say which configuration he means: one in the current directory may be anybody's.
fn warn_of_search(program: &str, options: &Options) {
    if options.configuration.is_none() && rustix::process::getuid().is_root() {
        // Where nobody can be told, nothing is lost.
        let _ = writeln!(
            io::stderr(),
            "{program}: UserWarning: Supervisord is running as root and it is searching for its configuration file in default locations (including its current working directory); you probably want to specify a \"-c\" argument specifying an absolute path to a configuration file for improved security."
        );
    }
}

/// What is wrong with a job keeps no program from running, and the build server from starting.
fn warn_of_builds(program: &str, loaded: &Loaded) {
    if let Some(why) = not_built(loaded) {
        // Where nobody can be told, the log still says it.
        let _ = writeln!(io::stderr(), "{program}: {why}");
    }
}

/// Why the build server of a configuration that can be used will not start, if something is wrong with a job.
fn not_built(loaded: &Loaded) -> Option<String> {
    let why = daemon::first_mistake(loaded);
    (!why.is_empty()).then(|| format!("the build server cannot start: {why}"))
}

/// In the user's process: what has to be done while it still is the user's.
fn become_keeper(read: &Read) -> Result<ExitCode, Refusal> {
    let supervisord = &read.configuration.supervisord;
    raise_limits(supervisord.minfds, supervisord.minprocs).map_err(|error| refuse(&error))?;
    if let Some(user) = &supervisord.user {
        drop_privileges(user).map_err(|error| refuse(&error))?;
    }
    let place = place::usual(Path::new(&read.path)).map_err(|error| refuse(&error))?;
    let plan = Plan {
        place,
        daemonize: !supervisord.nodaemon,
        silence: !supervisord.nodaemon,
        directory: supervisord
            .directory
            .as_ref()
            .filter(|_| !supervisord.nodaemon)
            .map(PathBuf::from),
    };
    keeper::start(&plan).map_err(|error| refuse(&error))
}

/// In the daemon.
fn serve(
    read: Read,
    custody: Custody,
    environment: BTreeMap<OsString, OsString>,
    host: &Host,
    program: &str,
) -> ExitCode {
    match work(read, custody, environment, host) {
        Ok(code) => ExitCode::from(code),
        Err(refusal) => {
            refusal.report(program);
            ExitCode::from(code::CANNOT_START)
        }
    }
}

fn work(
    read: Read,
    custody: Custody,
    environment: BTreeMap<OsString, OsString>,
    host: &Host,
) -> Result<u8, Refusal> {
    let Read {
        path,
        identifier_is_given,
        configuration,
        loaded,
        memory,
    } = read;
    for signal in [SIGPIPE, SIGXFSZ] {
        // As errors of the calls that they would interrupt.
        ward_sys::signals::ignore(signal);
    }
    let supervisord = configuration.supervisord.clone();
    let started_in = host.current_directory.clone();
    if !supervisord.nodaemon {
        settle_in(&supervisord)?;
    }
    let files = daemon::log_files();
    let syslog = Rc::new(Syslog::default());
    let log = MainLog::new(supervisord.loglevel);
    open_log(&log, &supervisord, &files, &syslog)?;
    let servers = configuration.servers.clone();
    let unmatched: Vec<String> = loaded
        .unmatched
        .iter()
        .map(|pattern| format!("No file matches via include \"{pattern}\""))
        .collect();
    let not_built = not_built(&loaded);
    let included: Vec<String> = configuration.files.iter().skip(1).cloned().collect();
    let has_interface = configuration
        .interfaces
        .iter()
        .any(|name| name == "supervisor");
    let settings = Settings {
        configuration: path,
        started_in,
        identifier: supervisord.identifier.clone(),
        identifier_is_given,
        environment,
        server_url: configuration.server_url.clone(),
        strip_ansi: supervisord.strip_ansi,
        childlogdir: host.absolute(&supervisord.childlogdir),
        nocleanup: supervisord.nocleanup,
    };
    let core = Core::new(Beginning {
        settings,
        configuration: (configuration, loaded, memory),
        log,
        files,
        syslog,
        custody,
    })
    .map_err(|error| refuse(&error))?;
    let is_resumed = core.is_resumed();
    let supervisor = Supervisor::new(core);
    if !is_resumed {
        say_identity(&supervisor, &supervisord);
        for text in unmatched {
            supervisor.log(LogLevel::Warn, &text);
        }
        if let Some(text) = not_built {
            supervisor.log(LogLevel::Critical, &text);
        }
        for file in included {
            let text = format!("Included extra file \"{file}\" during parsing");
            supervisor.log(LogLevel::Info, &text);
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| refuse(&error))?;
    let _entered = runtime.enter();
    let mut server = open_servers(&supervisor, &servers, has_interface)?;
    let pidfile = write_pidfile(&supervisor, &supervisord);
    supervisor
        .with(|core| core.ready(supervisord.nodaemon))
        .map_err(|error| refuse(&error))?;
    let outcome = runtime
        .block_on(ward_serve::host::host(&supervisor, &mut server))
        .map_err(|error| refuse(&error))?;
    Ok(end(&supervisor, server, outcome, pidfile.as_deref()))
}

/// Changes the directory of this process.
fn work_in(directory: &Path) -> Result<(), Refusal> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the daemon has one thread, and its programs start where it is"
    )]
    std::env::set_current_dir(directory).map_err(|error| {
        Refusal(format!(
            "cannot chdir into {}: {error}",
            directory.display()
        ))
    })
}

/// Where a daemon in the background works.
fn settle_in(supervisord: &Supervisord) -> Result<(), Refusal> {
    if let Some(directory) = &supervisord.directory {
        work_in(Path::new(directory))?;
    }
    let umask = u32::try_from(supervisord.umask).unwrap_or(0o022);
    rustix::process::umask(Mode::from_raw_mode(umask));
    Ok(())
}

fn open_log(
    log: &MainLog,
    supervisord: &Supervisord,
    files: &ward_supervise::logs::Files,
    syslog: &Rc<Syslog>,
) -> Result<(), Refusal> {
    let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
    let file = match &supervisord.logfile {
        LogFile::Path(path) => {
            let file = files.log(
                Path::new(path),
                unsigned(supervisord.logfile_maxbytes),
                unsigned(supervisord.logfile_backups),
            );
            file.create()
                .map_err(|error| Refusal(format!("cannot open the log {path}: {error}")))?;
            Some(file)
        }
        LogFile::Auto | LogFile::None | LogFile::Syslog => None,
    };
    let console = supervisord
        .nodaemon
        .then(|| io::stdout().as_fd().try_clone_to_owned())
        .transpose()
        .map_err(|error| refuse(&error))?;
    log.open(MainLogSettings {
        log: file,
        syslog: matches!(supervisord.logfile, LogFile::Syslog).then(|| Rc::clone(syslog)),
        console,
        silent: supervisord.silent,
    });
    Ok(())
}

fn say_identity(log: &Supervisor, supervisord: &Supervisord) {
    let uid = rustix::process::getuid().as_raw();
    if let Some(user) = &supervisord.user {
        let uid = user.uid.unwrap_or(uid);
        log.log(LogLevel::Info, &format!("Set uid to user {uid} succeeded"));
    } else if uid == 0 {
        log.log(
            LogLevel::Critical,
            "Supervisor is running as root.  Privileges were not dropped because no user is specified in the config file.  If you intend to run as root, you can set user=root in the config file to avoid this message.",
        );
    }
}

fn open_servers(
    supervisor: &Supervisor,
    servers: &[ServerConfig],
    has_interface: bool,
) -> Result<Server, Refusal> {
    let teller = supervisor.clone();
    let mut settings = ServeSettings::usual(Rc::new(move |weight, text: &str| {
        let level = match weight {
            Weight::Critical => LogLevel::Critical,
            Weight::Error => LogLevel::Error,
            Weight::Info => LogLevel::Info,
            Weight::Trace => LogLevel::Trace,
        };
        teller.log(level, text);
    }));
    settings.supervisor_namespace = has_interface;
    let control = Rc::new(supervisor.clone());
    let mut server = Server::new(control, settings).map_err(|error| refuse(&error))?;
    for (number, wanted) in servers.iter().enumerate() {
        let (listener, is_new) = open_server(supervisor, wanted, number)?;
        if !is_new {
            server.listen(listener, credentials_of(wanted));
            continue;
        }
        if has_interface {
            supervisor.log(LogLevel::Info, "RPC interface 'supervisor' initialized");
        }
        if wanted.credentials.is_none() {
            let section = &wanted.section;
            let text =
                format!("Server '{section}' running without any HTTP authentication checking");
            supervisor.log(LogLevel::Critical, &text);
        }
        server.listen(listener, credentials_of(wanted));
    }
    Ok(server)
}

/// The socket of a server: that of the daemon before this one, or a new one, and which.
fn open_server(
    supervisor: &Supervisor,
    wanted: &ServerConfig,
    number: usize,
) -> Result<(Listener, bool), Refusal> {
    let key = format!("listen-{number}");
    let home = match &wanted.address {
        Address::Inet { .. } => None,
        Address::Unix { file, chmod, chown } => Some(UnixSocket {
            path: PathBuf::from(file),
            mode: u32::try_from(*chmod).unwrap_or(0o700),
            owner: chown.uid,
            group: chown.gid,
        }),
    };
    let kept = supervisor.with(|core| core.take_kept(&key));
    if let Some(listener) = kept.and_then(|kept| Listener::inherited(kept, home.clone()).ok()) {
        return Ok((listener, false));
    }
    let mut said = Vec::new();
    let opened = match (&wanted.address, home) {
        (Address::Inet { host, port }, _) => Listener::tcp(host, *port),
        (Address::Unix { .. }, Some(home)) => {
            Listener::unix(home, &mut |text| said.push(text.to_owned()))
        }
        (Address::Unix { .. }, None) => return Err(Refusal("a socket without a path".into())),
    };
    for text in said {
        supervisor.log(LogLevel::Critical, &text);
    }
    let listener = opened.map_err(|error| refuse(&error))?;
    if let Err(error) = supervisor.with(|core| core.keep(&key, listener.socket())) {
        let text = format!(
            "the next daemon has to open {} anew: {error}",
            wanted.section
        );
        supervisor.log(LogLevel::Error, &text);
    }
    Ok((listener, true))
}

fn credentials_of(server: &ServerConfig) -> Option<Credentials> {
    let both = server.credentials.as_ref()?;
    Some(Credentials::new(&both.username, both.password.reveal()))
}

/// Writes the number of the process that the user started; where, if it could be written.
fn write_pidfile(supervisor: &Supervisor, supervisord: &Supervisord) -> Option<PathBuf> {
    use ward_supervise::api::Control as _;
    let path = PathBuf::from(&supervisord.pidfile);
    let pid = supervisor.pid();
    match fs::write(&path, format!("{pid}\n")) {
        Ok(()) => Some(path),
        Err(error) => {
            let text = format!("could not write pidfile {}: {error}", path.display());
            supervisor.log(LogLevel::Critical, &text);
            None
        }
    }
}

/// Puts everything in order for what comes after this daemon; with which status it ends.
fn end(supervisor: &Supervisor, server: Server, outcome: Outcome, pidfile: Option<&Path>) -> u8 {
    match outcome {
        Outcome::Upgrade => return code::UPGRADE,
        Outcome::TakeOver => {
            drop(server);
            let error = supervisor.take_over();
            supervisor.log(
                LogLevel::Critical,
                &format!("cannot become the keeper: {error}"),
            );
            return exit_code::WARD_FAILED;
        }
        Outcome::Shutdown | Outcome::Restart => {}
    }
    for (number, listener) in server.into_listeners().into_iter().enumerate() {
        supervisor.with(|core| core.let_go(&format!("listen-{number}")));
        listener.remove();
    }
    if let Some(pidfile) = pidfile {
        // Somebody may have been there before us.
        let _ = fs::remove_file(pidfile);
    }
    supervisor.with(Core::forget_everything);
    match outcome {
        Outcome::Restart => code::START_ANEW,
        Outcome::Shutdown | Outcome::Upgrade | Outcome::TakeOver => code::OVER,
    }
}
