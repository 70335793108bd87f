//! Everything that can be set: by which option, by which key of which group, and to what.

use std::fmt;

use ward_model::lock::Mode;

use super::key_file;
use super::names::Resource;
use super::refusal::Refusal;

/// What can be set, in the order in which it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    DaemonTraceFile,
    CommandTraceFile,
    AppendTraceFile,
    Verbose,
    Name,
    Timeout,
    Quantity,
    LockMode,
    Create,
    IdleLifespan,
    SocketName,
    Lifespan,
    UnicastAddress,
    UnicastPort,
    MulticastAddress,
    MulticastPort,
    MountPoint,
    IgnoredSignals,
    NetworkInterface,
    DiscoveryAttempts,
    DiscoveryTimeout,
    DiscoveryTtl,
    KeepaliveTime,
    KeepaliveInterval,
    KeepaliveProbes,
    TlsCertificate,
    TlsPrivate,
    TlsCaCertificate,
    TlsCheckPeerId,
}

/// What something is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Number(i32),
    Switch(bool),
    Mode(Mode),
    Resource(Resource),
    /// As they were written: not all of them need be known.
    Signals(Vec<String>),
}

impl fmt::Display for Value {
    /// As FLoM tells it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "'{}'", text.escape_debug()),
            Self::Number(number) => write!(f, "{number}"),
            Self::Switch(on) => write!(f, "{}", u8::from(*on)),
            Self::Mode(mode) => write!(f, "{}", *mode as u8),
            Self::Resource(resource) => write!(f, "'{}'", resource.name().escape_debug()),
            Self::Signals(names) => write!(f, "'{}'", names.join(";").escape_debug()),
        }
    }
}

/// Why something cannot be set to what was written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// This is wrong with it.
    Says(String),
    /// It is no resource's name, which FLoM has words of its own for.
    Name(Refusal),
}

impl From<String> for Wrong {
    fn from(why: String) -> Self {
        Self::Says(why)
    }
}

/// Which values something can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// And what it is where nobody says.
    Number(i32),
    Switch(bool),
    Mode,
    Resource,
    Signals,
}

impl Kind {
    /// What it is where nobody says.
    pub(super) fn default(self) -> Value {
        match self {
            Self::Text => Value::Text(String::new()),
            Self::Number(number) => Value::Number(number),
            Self::Switch(on) => Value::Switch(on),
            Self::Mode => Value::Mode(Mode::EX),
            Self::Resource => Value::Resource(Resource::default()),
            Self::Signals => Value::Signals(Vec::new()),
        }
    }

    /// Reads an argument of the command line.
    pub(super) fn of_argument(self, text: &str) -> Result<Value, Wrong> {
        Ok(match self {
            Self::Number(_) => Value::Number(c_number(text)?),
            Self::Signals => Value::Signals(vec![text.to_owned()]),
            Self::Text => Value::Text(text.to_owned()),
            Self::Resource => Value::Resource(Resource::parse(text).map_err(Wrong::Name)?),
            Self::Switch(_) => Value::Switch(switch(text)?),
            Self::Mode => Value::Mode(text.parse().map_err(|error| format!("{error}"))?),
        })
    }

    /// Reads what a file says.
    pub(super) fn of_file(self, value: &str) -> Result<Value, Wrong> {
        match self {
            Self::Number(_) => {
                let number = value.parse();
                let why = |_| format!("`{value}` is no number");
                Ok(Value::Number(number.map_err(why)?))
            }
            Self::Signals => Ok(Value::Signals(key_file::list(value)?)),
            _ => self.of_argument(&key_file::text(value)?),
        }
    }
}

/// A number as strtol(3) reads it: also hexadecimal with 0x, and octal with 0.
fn c_number(text: &str) -> Result<i32, String> {
    let digits = text.trim_start();
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, digits.strip_prefix('+').unwrap_or(digits)),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match lower.strip_prefix("0x") {
        Some(rest) => (16, rest),
        None if lower.len() > 1 && lower.starts_with('0') => (8, &lower[1..]),
        None => (10, lower.as_str()),
    };
    let is_number = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(base));
    if !is_number {
        return Err(format!("`{text}` is no number"));
    }
    i64::from_str_radix(digits, base)
        .ok()
        .and_then(|number| i32::try_from(sign * number).ok())
        .ok_or_else(|| format!("`{text}` is out of range"))
}

/// FLoM looks for `yes` or `no` anywhere in it, so that "nobody" is no and "maybe" is yes.
fn switch(text: &str) -> Result<bool, String> {
    let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    match (
        is(&["yes", "y", "true", "1"]),
        is(&["no", "n", "false", "0"]),
    ) {
        (true, _) => Ok(true),
        (_, true) => Ok(false),
        (false, false) => Err(format!("`{text}` is neither yes nor no")),
    }
}

/// Something that can be set.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) key: Key,
    pub(super) group: &'static str,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Its option, long and short.
    pub(super) long: &'static str,
    pub(super) short: Option<u8>,
}

const fn setting(
    key: Key,
    group: &'static str,
    name: &'static str,
    kind: Kind,
    long: &'static str,
    short: Option<u8>,
) -> Setting {
    Setting {
        key,
        group,
        name,
        kind,
        long,
        short,
    }
}

const TRACE: &str = "Trace";
const RESOURCE: &str = "Resource";
const DAEMON: &str = "Daemon";
const MONITOR: &str = "Monitor";
const NETWORK: &str = "Network";
const TLS: &str = "TLS";

/// Everything, in the order of [`Key`].
#[rustfmt::skip]
pub(super) const SETTINGS: &[Setting] = &[
    setting(Key::DaemonTraceFile, TRACE, "DaemonTraceFile", Kind::Text, "daemon-trace-file", Some(b't')),
    setting(Key::CommandTraceFile, TRACE, "CommandTraceFile", Kind::Text, "command-trace-file", Some(b'T')),
    setting(Key::AppendTraceFile, TRACE, "AppendTraceFile", Kind::Switch(false), "append-trace-file", None),
    setting(Key::Verbose, TRACE, "Verbose", Kind::Switch(false), "verbose", Some(b'V')),
    setting(Key::Name, RESOURCE, "Name", Kind::Resource, "resource-name", Some(b'r')),
    setting(Key::Timeout, RESOURCE, "Timeout", Kind::Number(-1), "resource-timeout", Some(b'o')),
    setting(Key::Quantity, RESOURCE, "Quantity", Kind::Number(1), "resource-quantity", Some(b'q')),
    setting(Key::LockMode, RESOURCE, "LockMode", Kind::Mode, "lock-mode", Some(b'l')),
    setting(Key::Create, RESOURCE, "Create", Kind::Switch(true), "resource-create", Some(b'e')),
    setting(Key::IdleLifespan, RESOURCE, "IdleLifespan", Kind::Number(0), "resource-idle-lifespan", Some(b'i')),
    setting(Key::SocketName, DAEMON, "SocketName", Kind::Text, "socket-name", Some(b's')),
    setting(Key::Lifespan, DAEMON, "Lifespan", Kind::Number(5000), "daemon-lifespan", Some(b'd')),
    setting(Key::UnicastAddress, DAEMON, "UnicastAddress", Kind::Text, "unicast-address", Some(b'a')),
    setting(Key::UnicastPort, DAEMON, "UnicastPort", Kind::Number(28015), "unicast-port", Some(b'p')),
    setting(Key::MulticastAddress, DAEMON, "MulticastAddress", Kind::Text, "multicast-address", Some(b'A')),
    setting(Key::MulticastPort, DAEMON, "MulticastPort", Kind::Number(28015), "multicast-port", Some(b'P')),
    setting(Key::MountPoint, DAEMON, "MountPointVFS", Kind::Text, "mount-point-vfs", Some(b'm')),
    setting(Key::IgnoredSignals, MONITOR, "IgnoredSignals", Kind::Signals, "ignore-signal", None),
    setting(Key::NetworkInterface, NETWORK, "NetworkInterface", Kind::Text, "network-interface", Some(b'n')),
    setting(Key::DiscoveryAttempts, NETWORK, "DiscoveryAttempts", Kind::Number(2), "discovery-attempts", Some(b'D')),
    setting(Key::DiscoveryTimeout, NETWORK, "DiscoveryTimeout", Kind::Number(500), "discovery-timeout", Some(b'I')),
    setting(Key::DiscoveryTtl, NETWORK, "DiscoveryTTL", Kind::Number(1), "discovery-ttl", None),
    setting(Key::KeepaliveTime, NETWORK, "TcpKeepaliveTime", Kind::Number(60), "tcp-keepalive-time", None),
    setting(Key::KeepaliveInterval, NETWORK, "TcpKeepaliveIntvl", Kind::Number(10), "tcp-keepalive-intvl", None),
    setting(Key::KeepaliveProbes, NETWORK, "TcpKeepaliveProbes", Kind::Number(6), "tcp-keepalive-probes", None),
    setting(Key::TlsCertificate, TLS, "TlsCertificate", Kind::Text, "tls-certificate", None),
    setting(Key::TlsPrivate, TLS, "TlsPrivateKey", Kind::Text, "tls-private-key", None),
    setting(Key::TlsCaCertificate, TLS, "TlsCaCertificate", Kind::Text, "tls-ca-certificate", None),
    setting(Key::TlsCheckPeerId, TLS, "TlsCheckPeerId", Kind::Switch(false), "tls-check-peer-id", None),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_says_nothing_twice() {
        let keys: Vec<Key> = SETTINGS.iter().map(|it| it.key).collect();
        assert!(keys.is_sorted());
        let mut words: Vec<String> = SETTINGS.iter().map(|it| it.long.to_owned()).collect();
        words.extend(
            SETTINGS
                .iter()
                .filter_map(|it| Some(char::from(it.short?).to_string())),
        );
        words.extend(
            SETTINGS
                .iter()
                .map(|it| format!("{}/{}", it.group, it.name)),
        );
        let all = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), all);
    }

    #[test]
    fn numbers_as_c_reads_them() {
        for (text, number) in [
            ("0", 0),
            ("7", 7),
            (" 7", 7),
            ("+5", 5),
            ("-1", -1),
            ("0x10", 16),
            ("010", 8),
            ("2147483647", i32::MAX),
            ("-2147483648", i32::MIN),
        ] {
            assert_eq!(c_number(text), Ok(number), "{text}");
        }
        for text in [
            "",
            "-",
            "5x",
            "7 ",
            "0x",
            "08",
            "--1",
            "2147483648",
            "99999999999999999999",
            "ä",
        ] {
            assert!(c_number(text).is_err(), "{text}");
        }
        let number = Kind::Number(0);
        assert_eq!(number.of_file("010"), Ok(Value::Number(10)));
        assert!(number.of_file("0x10").is_err());
    }

    #[test]
    fn yes_and_no_are_meant_as_they_are_written() {
        for (text, on) in [
            ("yes", true),
            ("Y", true),
            ("1", true),
            ("No", false),
            ("n", false),
        ] {
            assert_eq!(switch(text), Ok(on), "{text}");
        }
        for text in ["", "nobody", "maybe", "yes please", "on", "2"] {
            assert!(switch(text).is_err(), "{text}");
        }
    }

    #[test]
    fn how_values_are_told() {
        for (value, text) in [
            (Value::Text("/tmp/foo".into()), "'/tmp/foo'"),
            (Value::Number(-100), "-100"),
            (Value::Switch(true), "1"),
            (Value::Mode(Mode::NL), "0"),
            (Value::Mode(Mode::PR), "3"),
            (Value::Mode(Mode::EX), "5"),
            (Value::Resource(Resource::default()), "'_RESOURCE'"),
            (Value::Signals(vec!["TERM".into(), "1".into()]), "'TERM;1'"),
        ] {
            assert_eq!(value.to_string(), text);
        }
    }
}
