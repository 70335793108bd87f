//! Takes the place of FLoM 1.7.2 (`docs/reference/flom.md`): reads its command line, its files and
//! its names, and gives its messages and exit statuses. What is to be locked and run is handed back
//! to who calls this.

mod command_line;
mod configuration;
mod information;
mod key_file;
mod names;
mod network;
mod place;
mod refusal;
mod settings;
mod strftime;

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use ward_lock::{Directory, LockError, Patience, Wanted};
use ward_model::signal::Signal;

use command_line::{Parsed, Request};
use configuration::Configuration;
use settings::Key;

#[cfg(feature = "etcd")]
pub(crate) use refusal::BUSY;
pub(crate) use refusal::{FAILED, NO_COMMAND, Refusal};

/// What is asked of us.
#[derive(Debug)]
pub(crate) enum Asked {
    /// Nothing but what was printed.
    Nothing,
    /// A command while something is locked.
    Command(Box<Order>),
}

/// What is to be printed before anything else is done, whatever follows.
#[derive(Debug, Default)]
pub(crate) struct Prints {
    /// On standard output.
    pub(crate) out: String,
    /// On standard error, a line each.
    pub(crate) err: Vec<String>,
}

/// A command, and what is to be locked meanwhile.
#[derive(Debug)]
pub(crate) struct Order {
    /// The program and its arguments; never empty.
    pub(crate) command: Vec<OsString>,
    /// What is locked, as it was named.
    pub(crate) name: String,
    /// The same as locks; the command is told of the first.
    pub(crate) wanted: Vec<Wanted>,
    /// Whether the command's last argument is to be what was got.
    pub(crate) hands_out: bool,
    /// How long to wait in all.
    pub(crate) patience: Patience,
    /// How long it counts as used when we have gone.
    pub(crate) idle: Duration,
    /// Signals that are not heeded while the command runs.
    pub(crate) ignored: Vec<Signal>,
    /// Whether to tell what was got.
    pub(crate) verbose: bool,
    /// Options of `ward lock`, each as one word.
    pub(crate) extra: Vec<OsString>,
    timeout: i32,
    socket: Option<String>,
}

impl Order {
    /// The directory of its locks. `lock_dir` is what one of `ward lock`'s options says.
    pub(crate) fn directory(&self, lock_dir: Option<&Path>) -> Result<Directory, Refusal> {
        place::open(lock_dir, self.socket.as_deref())
    }

    /// Why the lock was not got.
    pub(crate) fn refused(&self, error: &LockError) -> Refusal {
        Refusal::of_lock(error, &self.name, self.timeout)
    }
}

/// Reads the words behind the program's name, and the files. What is to be printed is so even if
/// what follows is refused.
pub(crate) fn read(words: &[OsString], prints: &mut Prints) -> Result<Asked, Refusal> {
    let mut request = match command_line::parse(words)? {
        Parsed::Print(information) => {
            prints.out = information.text()?;
            return Ok(Asked::Nothing);
        }
        Parsed::Run(request) => *request,
    };
    disregard_negative_quantity(&mut request, prints)?;
    let layer = std::mem::take(&mut request.layer);
    let configuration = Configuration::load(request.config_file.as_deref(), layer)?;
    if configuration.is_on(Key::Verbose) {
        prints.out = configuration.told();
    }
    if let Some(option) = &request.shutdown {
        prints.err.push(format!(
            "flom: {option}: there is no daemon to end; a lock goes with the command that holds it"
        ));
        return Ok(Asked::Nothing);
    }
    if let Some(feature) = &request.debug_feature {
        return Err(Refusal::ours(format!(
            "--debug-feature {feature}: there is no network here that could be tried"
        )));
    }
    let words = network::cluster(&configuration, &request.extra, prints)?;
    request.extra.extend(words);
    tell_what_has_no_effect(&configuration, prints);
    order(&configuration, request, prints).map(|order| Asked::Command(Box::new(order)))
}

/// FLoM says a word about it, and goes on as if it had not been there.
fn disregard_negative_quantity(request: &mut Request, prints: &mut Prints) -> Result<(), Refusal> {
    let Some(quantity) = request.layer.take_negative(Key::Quantity) else {
        return Ok(());
    };
    let line = format!("flom: a quantity of {quantity} means nothing");
    if request.strict {
        return Err(Refusal::new(FAILED, line));
    }
    prints.err.push(format!("{line}; it is passed over"));
    Ok(())
}

/// Only what somebody has just asked for: a file that is shared with FLoM may say much.
fn tell_what_has_no_effect(configuration: &Configuration, prints: &mut Prints) {
    let mut tell = |keys: &[Key], why: &str| {
        let options = keys.iter().filter_map(|key| configuration.option(*key));
        let options: Vec<&str> = options.collect();
        if !options.is_empty() {
            let options = options.join(", ");
            prints.err.push(format!("flom: {options}: {why}"));
        }
    };
    tell(
        &[Key::MountPoint],
        "nothing is mounted; `ward locks` shows who holds and who waits, `ward locks --json` for \
         programs",
    );
    tell(
        &[
            Key::DaemonTraceFile,
            Key::CommandTraceFile,
            Key::AppendTraceFile,
        ],
        "nothing is traced; `ward locks --history NAME` shows who held a lock",
    );
    if configuration.text(Key::UnicastAddress).is_some() {
        return;
    }
    tell(
        &[
            Key::UnicastPort,
            Key::MulticastPort,
            Key::NetworkInterface,
            Key::TlsCertificate,
            Key::TlsPrivate,
            Key::TlsCaCertificate,
            Key::TlsCheckPeerId,
        ],
        "without an address it is not about FLoM's network: it has no effect",
    );
}

fn order(
    configuration: &Configuration,
    request: Request,
    prints: &mut Prints,
) -> Result<Order, Refusal> {
    if request.command.is_empty() {
        return Err(Refusal::new(NO_COMMAND, "No command to execute!"));
    }
    let mut ignored = Vec::new();
    for name in configuration.signals() {
        match name.parse() {
            Ok(signal) => ignored.push(signal),
            Err(_) => {
                let line = format!("flom: there is no signal `{}`", name.escape_debug());
                if request.strict {
                    return Err(Refusal::new(FAILED, line));
                }
                prints.err.push(format!("{line}; it is passed over"));
            }
        }
    }
    let resource = configuration.resource();
    let timeout = configuration.number(Key::Timeout);
    let idle = configuration.number(Key::IdleLifespan);
    let milliseconds = |number: i32| Duration::from_millis(u64::try_from(number).unwrap_or(0));
    // FLoM's 0 is "not said".
    let quantity = u32::try_from(configuration.number(Key::Quantity)).unwrap_or(1);
    Ok(Order {
        command: request.command,
        wanted: resource.wanted(
            configuration.mode(),
            quantity.max(1),
            configuration.is_on(Key::Create),
        )?,
        hands_out: resource.hands_out(),
        name: resource.name().to_owned(),
        patience: match timeout {
            ..0 => Patience::Never,
            0 => Patience::None,
            _ => Patience::For(milliseconds(timeout)),
        },
        idle: milliseconds(idle),
        ignored,
        verbose: configuration.is_on(Key::Verbose),
        extra: request.extra,
        timeout,
        socket: configuration.text(Key::SocketName),
    })
}
