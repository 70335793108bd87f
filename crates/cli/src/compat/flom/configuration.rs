//! What holds in the end: what is usual, then each file, then the command line, which always wins.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::{self, Write as _};
use std::io;
use std::path::{Path, PathBuf};

use ward_model::lock::Mode;
use ward_sys::account;

use super::key_file;
use super::names::Resource;
use super::refusal::Refusal;
use super::settings::{Key, Kind, SETTINGS, Value, Wrong};

/// The file of the host; [`FILE_VARIABLE`] names another.
const FILE: &str = "/etc/flom.conf";
const FILE_VARIABLE: &str = "WARD_FLOM_CONF";

/// The file of a user, in his home.
const FILE_AT_HOME: &str = ".flom";

/// Who has set something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum By {
    /// An option, as it was written.
    Option(String),
    /// A line of a file.
    Line(PathBuf, usize),
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option(option) => f.write_str(option),
            Self::Line(path, line) => write!(f, "{}:{line}", path.display()),
        }
    }
}

/// What one file, or the command line, sets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Layer(BTreeMap<Key, (Value, By)>);

impl Layer {
    /// Sets something; of what is named twice the last counts, but signals add up.
    pub(super) fn set(&mut self, key: Key, value: Value, by: By) {
        if let (Value::Signals(new), Some((Value::Signals(known), _))) =
            (&value, self.0.get_mut(&key))
        {
            known.extend_from_slice(new);
            return;
        }
        self.0.insert(key, (value, by));
    }

    /// Takes a negative number out again.
    pub(super) fn take_negative(&mut self, key: Key) -> Option<i32> {
        match self.0.get(&key) {
            Some((Value::Number(number @ ..0), _)) => {
                let number = *number;
                self.0.remove(&key);
                Some(number)
            }
            _ => None,
        }
    }

    /// Reads a file.
    pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<Self, Refusal> {
        let mut layer = Self::default();
        let mut no_wait = None;
        let entries = key_file::parse(bytes).map_err(|mistake| {
            let (path, line) = (path.display(), mistake.line);
            Refusal::ours(format!("{path}:{line}: {}", mistake.why))
        })?;
        for entry in entries {
            let by = By::Line(path.to_owned(), entry.line);
            let wrong = |why: Wrong| match why {
                Wrong::Says(why) => {
                    Refusal::ours(format!("{by}: [{}] {}: {why}", entry.group, entry.key))
                }
                Wrong::Name(refusal) => refusal.and(format!("flom: {by} has this name")),
            };
            // Of before there was a time-out.
            if entry.group == "Resource" && entry.key == "Wait" {
                let value = Kind::Switch(true).of_file(&entry.value).map_err(wrong)?;
                no_wait = (value == Value::Switch(false)).then_some(by);
                continue;
            }
            let setting = SETTINGS
                .iter()
                .find(|it| it.group == entry.group && it.name == entry.key);
            // Others may read this file too.
            let Some(setting) = setting else {
                continue;
            };
            let value = setting.kind.of_file(&entry.value).map_err(wrong)?;
            if setting.key == Key::Quantity && matches!(value, Value::Number(..0)) {
                let why = "a quantity is not negative".to_owned();
                return Err(wrong(Wrong::Says(why)));
            }
            // A list that is written twice is no longer list: the last one counts.
            layer.0.remove(&setting.key);
            layer.set(setting.key, value, by);
        }
        if let Some(by) = no_wait {
            layer
                .0
                .entry(Key::Timeout)
                .or_insert((Value::Number(0), by));
        }
        Ok(layer)
    }
}

/// What holds in the end.
#[derive(Debug, Default)]
pub(super) struct Configuration(Layer);

impl Configuration {
    /// Looks into all files. `custom` is the one that the command line names.
    pub(super) fn load(custom: Option<&OsStr>, command_line: Layer) -> Result<Self, Refusal> {
        let of_host = std::env::var_os(FILE_VARIABLE).unwrap_or_else(|| FILE.into());
        let of_user = home().map(|home| home.join(FILE_AT_HOME));
        let mut configuration = Self::default();
        for path in [Some(PathBuf::from(of_host)), of_user]
            .into_iter()
            .flatten()
        {
            match std::fs::read(&path) {
                Ok(bytes) => configuration.lay_over(Layer::read(&path, &bytes)?),
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(unreadable(&path, &error)),
            }
        }
        if let Some(path) = custom.map(Path::new) {
            let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
            configuration.lay_over(Layer::read(path, &bytes)?);
        }
        configuration.lay_over(command_line);
        Ok(configuration)
    }

    /// Lets a layer win over what there was.
    pub(super) fn lay_over(&mut self, layer: Layer) {
        self.0.0.extend(layer.0);
    }

    /// Everything, as FLoM tells it to who wants to hear.
    pub(super) fn told(&self) -> String {
        let mut text = String::new();
        for setting in SETTINGS {
            let value = self.value(setting.key);
            // Writing to a text does not fail.
            let _ = writeln!(text, "[{}]/{}={value}", setting.group, setting.name);
        }
        text
    }

    /// Who has set it, if anybody has.
    pub(super) fn by(&self, key: Key) -> Option<&By> {
        self.0.0.get(&key).map(|(_, by)| by)
    }

    /// The option that has set it, if one has.
    pub(super) fn option(&self, key: Key) -> Option<&str> {
        match self.by(key) {
            Some(By::Option(option)) => Some(option),
            Some(By::Line(..)) | None => None,
        }
    }

    fn value(&self, key: Key) -> Value {
        if let Some((value, _)) = self.0.0.get(&key) {
            return value.clone();
        }
        let setting = SETTINGS.iter().find(|it| it.key == key);
        setting.map_or(Value::Switch(false), |it| it.kind.default())
    }

    /// A text, if it is not empty.
    pub(super) fn text(&self, key: Key) -> Option<String> {
        match self.value(key) {
            Value::Text(text) => Some(text).filter(|text| !text.is_empty()),
            _ => None,
        }
    }

    pub(super) fn number(&self, key: Key) -> i32 {
        match self.value(key) {
            Value::Number(number) => number,
            _ => 0,
        }
    }

    pub(super) fn is_on(&self, key: Key) -> bool {
        self.value(key) == Value::Switch(true)
    }

    pub(super) fn mode(&self) -> Mode {
        match self.value(Key::LockMode) {
            Value::Mode(mode) => mode,
            _ => Mode::EX,
        }
    }

    pub(super) fn resource(&self) -> Resource {
        match self.value(Key::Name) {
            Value::Resource(resource) => resource,
            _ => Resource::default(),
        }
    }

    pub(super) fn signals(&self) -> Vec<String> {
        match self.value(Key::IgnoredSignals) {
            Value::Signals(names) => names,
            _ => Vec::new(),
        }
    }
}

fn home() -> Option<PathBuf> {
    let variable = std::env::var_os("HOME").filter(|home| !home.is_empty());
    let ours = || account::user(&account::own_uid().to_string()).map(|user| user.home.into());
    variable.or_else(ours).map(PathBuf::from)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn unreadable(path: &Path, error: &io::Error) -> Refusal {
    let path = path.display();
    Refusal::ours(format!("cannot read the configuration `{path}`: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(name: &str, text: &str) -> Layer {
        Layer::read(Path::new(name), text.as_bytes()).expect(text)
    }

    #[test]
    fn later_layers_win() {
        let mut all = Configuration::default();
        assert_eq!(all.number(Key::Timeout), -1);
        assert_eq!(all.mode(), Mode::EX);
        assert_eq!(all.resource().name(), "_RESOURCE");
        all.lay_over(layer(
            "/etc/flom.conf",
            "[Resource]\nName=R1\nTimeout=100\nLockMode=PR\nCreate=no\n[Monitor]\nIgnoredSignals=SIGHUP;1;",
        ));
        all.lay_over(layer(
            "/home/joe/.flom",
            "[Resource]\nName=R2\n[Elsewhere]\nName=R3",
        ));
        let mut command_line = Layer::default();
        let by = || By::Option("-o".into());
        // What is usual wins too, where somebody says it.
        command_line.set(Key::Timeout, Value::Number(-1), by());
        command_line.set(
            Key::IgnoredSignals,
            Value::Signals(vec!["TERM".into()]),
            by(),
        );
        command_line.set(Key::IgnoredSignals, Value::Signals(vec!["2".into()]), by());
        all.lay_over(command_line);
        assert_eq!(all.resource().name(), "R2");
        assert_eq!(all.number(Key::Timeout), -1);
        assert_eq!(all.mode(), Mode::PR);
        assert!(!all.is_on(Key::Create));
        assert_eq!(all.signals(), ["TERM", "2"]);
        assert_eq!(
            all.by(Key::Name).map(By::to_string).as_deref(),
            Some("/home/joe/.flom:2")
        );
        assert_eq!(
            all.by(Key::Timeout).map(By::to_string).as_deref(),
            Some("-o")
        );
        assert_eq!(all.by(Key::Quantity), None);
        let told = all.told();
        for line in [
            "[Trace]/DaemonTraceFile=''",
            "[Trace]/Verbose=0",
            "[Resource]/Name='R2'",
            "[Resource]/LockMode=3",
            "[Resource]/Create=0",
            "[Resource]/IdleLifespan=0",
            "[Daemon]/Lifespan=5000",
            "[Monitor]/IgnoredSignals='TERM;2'",
            "[Network]/DiscoveryTTL=1",
            "[TLS]/TlsCheckPeerId=0",
        ] {
            assert!(told.lines().any(|it| it == line), "{line}: {told}");
        }
    }

    #[test]
    fn the_old_way_not_to_wait() {
        for (text, timeout) in [
            ("[Resource]\nWait=no", 0),
            ("[Resource]\nWait=yes", -1),
            ("[Resource]\nWait=no\nTimeout=7", 7),
            ("[Resource]\nTimeout=7\nWait=no", 7),
        ] {
            let mut all = Configuration::default();
            all.lay_over(layer("file", text));
            assert_eq!(all.number(Key::Timeout), timeout, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, line) in [
            ("[Resource]\nTimeout=soon", 2),
            ("[Resource]\n\nLockMode=XX", 3),
            ("[Resource]\nName=no name", 2),
            ("[Resource]\nCreate=perhaps", 2),
            ("[Resource]\nWait=perhaps", 2),
            ("[Resource]\nQuantity=-1", 2),
            ("[Daemon]\nUnicastPort=99999999999", 2),
            ("[Trace]\nVerbose=\\x", 2),
            ("nothing", 1),
        ] {
            let refused = Layer::read(Path::new("/x/flom.conf"), text.as_bytes());
            let refused = format!("{:?}", refused.expect_err(text));
            assert!(
                refused.contains(&format!("/x/flom.conf:{line}")),
                "{refused}"
            );
            assert!(refused.contains("code: 99"), "{refused}");
        }
    }
}
