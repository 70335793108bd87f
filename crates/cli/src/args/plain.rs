//! Command lines that say little, read without the description of every option: to make that
//! description takes as long as all the rest of `ward lock NAME -- COMMAND`. Whatever is not plain
//! (another option, one that is there twice, a value that is none) is left to who reads them all, and
//! says what is wrong. That both read the same is tested.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum as _;
use ward_model::exit_code;
use ward_model::quantity;

use super::lock::{Hold, LockArgs, LockedRunArgs, WaitArgs};
use super::run::RunArgs;
use super::surroundings::{Containment, SurroundingsArgs};
use super::{Verb, Ward};

/// An option with what it sets. Each may be there once.
type Known<T> = (&'static str, Takes<T>);

enum Takes<T> {
    Nothing(fn(&mut T)),
    /// None if it is no value of this option.
    Value(fn(&mut T, &str) -> Option<()>),
}

/// What excludes one another is not among them, but by being the same.
const OF_LOCK: [Known<LockArgs>; 10] = [
    ("--no-wait", Takes::Nothing(|it| it.no_wait = true)),
    ("--shared", Takes::Nothing(|it| it.shared = true)),
    ("--exec", Takes::Nothing(|it| it.exec = true)),
    ("--quiet", Takes::Nothing(|it| it.run.quiet = true)),
    ("-q", Takes::Nothing(|it| it.run.quiet = true)),
    (
        "--wait",
        Takes::Value(|it, text| duration(&mut it.wait, text)),
    ),
    ("--why", Takes::Value(|it, text| string(&mut it.why, text))),
    (
        "--lock-dir",
        Takes::Value(|it, text| {
            it.place.lock_dir = Some(PathBuf::from(text));
            Some(())
        }),
    ),
    (
        "--timeout",
        Takes::Value(|it, text| duration(&mut it.run.timeout, text)),
    ),
    (
        "--containment",
        Takes::Value(|it, text| containment(&mut it.run.surroundings.containment, text)),
    ),
];

const OF_RUN: [Known<LockedRunArgs>; 5] = [
    ("--quiet", Takes::Nothing(|it| it.run.quiet = true)),
    ("-q", Takes::Nothing(|it| it.run.quiet = true)),
    (
        "--timeout",
        Takes::Value(|it, text| duration(&mut it.run.timeout, text)),
    ),
    (
        "--containment",
        Takes::Value(|it, text| containment(&mut it.run.surroundings.containment, text)),
    ),
    (
        "--lock",
        Takes::Value(|it, text| {
            it.lock.push(text.to_owned());
            Some(())
        }),
    ),
];

/// These excluded one another.
const NOT_BOTH: [[&str; 2]; 4] = [
    ["--no-wait", "--wait"],
    ["--quiet", "-q"],
    ["--exec", "--timeout"],
    ["--exec", "--containment"],
];

fn duration(to: &mut Option<Duration>, text: &str) -> Option<()> {
    *to = Some(quantity::duration(text).ok()?);
    Some(())
}

fn containment(to: &mut Containment, text: &str) -> Option<()> {
    *to = Containment::from_str(text, false).ok()?;
    Some(())
}

fn string(to: &mut Option<String>, text: &str) -> Option<()> {
    *to = Some(text.to_owned());
    Some(())
}

/// Reads the words behind the program's name; none if they are not plain.
pub(super) fn read(words: impl IntoIterator<Item = OsString>) -> Option<Ward> {
    let mut words = words.into_iter();
    let verb = words.next()?;
    let verb = match verb.to_str()? {
        "lock" => {
            let mut arguments = LockArgs::plain();
            let of_lock = Words {
                options: &OF_LOCK,
                name: Some(|it| &mut it.name),
            };
            arguments.run.command = of_lock.read(&mut arguments, words)?;
            Verb::Lock(Box::new(arguments))
        }
        "run" => {
            let mut arguments = LockedRunArgs::plain();
            let of_run = Words {
                options: &OF_RUN,
                name: None,
            };
            arguments.run.command = of_run.read(&mut arguments, words)?;
            Verb::Run(Box::new(arguments))
        }
        _ => return None,
    };
    Some(Ward { verb })
}

/// What may stand before the `--`.
struct Words<T: 'static> {
    options: &'static [Known<T>],
    /// What has to stand among them.
    name: Option<fn(&mut T) -> &mut String>,
}

impl<T> Words<T> {
    /// Reads all to the `--` that must be there, and hands back the command behind it.
    fn read(&self, to: &mut T, mut words: impl Iterator<Item = OsString>) -> Option<Vec<OsString>> {
        let mut seen: Vec<&str> = Vec::new();
        let mut unnamed = self.name;
        loop {
            let word = words.next()?;
            if word == "--" {
                break;
            }
            let word = word.to_str()?;
            if !word.starts_with('-') {
                let name = unnamed.take().filter(|_| !word.is_empty())?;
                word.clone_into(name(to));
                continue;
            }
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word, None),
            };
            let (name, takes) = self.options.iter().find(|(known, _)| *known == name)?;
            let excluded = |it: &&str| {
                NOT_BOTH
                    .iter()
                    .any(|both| both.contains(it) && both.contains(name))
            };
            if seen.contains(name) || seen.iter().any(excluded) {
                return None;
            }
            seen.push(name);
            match (takes, value) {
                (Takes::Nothing(set), None) => set(to),
                (Takes::Nothing(_), Some(_)) => return None,
                (Takes::Value(set), Some(value)) if !value.is_empty() => set(to, value)?,
                (Takes::Value(_), Some(_)) => return None,
                (Takes::Value(set), None) => {
                    let value = words.next()?;
                    let value = value
                        .to_str()
                        .filter(|it| !it.is_empty() && !it.starts_with('-'))?;
                    set(to, value)?;
                }
            }
        }
        let command: Vec<OsString> = words.collect();
        (unnamed.is_none() && !command.is_empty()).then_some(command)
    }
}

// What is so where nothing is said: the same as in the descriptions.

impl LockArgs {
    fn plain() -> Self {
        Self {
            name: String::new(),
            shared: false,
            exclusive: false,
            mode: None,
            slots: None,
            pool: Vec::new(),
            take: None,
            sequence: false,
            transactional: false,
            timestamp: None,
            reentrant: false,
            hold: Hold::Command,
            max_hold: None,
            why: None,
            place: WaitArgs { lock_dir: None },
            wait: None,
            no_wait: false,
            priority: 0,
            newest_first: false,
            first_fit: false,
            skip_if_queued: false,
            replace_pending: false,
            cancel_running: false,
            conflict_exit_code: exit_code::TAKEN,
            status_fd: None,
            ignore_signal: Vec::new(),
            #[cfg(feature = "etcd")]
            cluster: super::ClusterArgs::default(),
            exec: false,
            run: RunArgs::plain(),
        }
    }
}

impl LockedRunArgs {
    fn plain() -> Self {
        Self {
            lock: Vec::new(),
            lock_wait: None,
            lock_why: None,
            lock_dir: None,
            run: RunArgs::plain(),
        }
    }
}

impl RunArgs {
    fn plain() -> Self {
        Self {
            command: Vec::new(),
            script: None,
            shell: None,
            shell_path: OsStr::new("/bin/sh").to_owned(),
            no_prelude: false,
            timeout: None,
            idle_timeout: None,
            signal: None,
            grace: Duration::from_secs(10),
            leftover_grace: Duration::from_secs(2),
            no_spare: false,
            merge: false,
            log: None,
            log_append: false,
            timestamps: false,
            report: None,
            quiet: false,
            stdin: OsStr::new("inherit").to_owned(),
            surroundings: SurroundingsArgs::plain(),
        }
    }
}

impl SurroundingsArgs {
    fn plain() -> Self {
        Self {
            chdir: None,
            env: Vec::new(),
            env_file: Vec::new(),
            clear_env: false,
            user: None,
            group: None,
            umask: None,
            nice: None,
            rlimit: Vec::new(),
            keep_fd: Vec::new(),
            memory_max: None,
            pids_max: None,
            cpu_max: None,
            best_effort: false,
            containment: Containment::Auto,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use clap::Parser as _;

    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ')
            .filter(|it| !it.is_empty())
            .map(OsString::from)
            .collect()
    }

    /// Read by whom all options are described to.
    fn described(words: &[OsString]) -> Result<String, String> {
        let all = [OsString::from("ward")]
            .into_iter()
            .chain(words.iter().cloned());
        match Ward::try_parse_from(all) {
            Ok(ward) => Ok(format!("{:?}", ward.verb)),
            Err(error) => Err(error.to_string()),
        }
    }

    fn plain(words: &[OsString]) -> Option<String> {
        read(words.iter().cloned()).map(|ward| format!("{:?}", ward.verb))
    }

    #[test]
    fn what_is_plain_is_read_alike() {
        for line in [
            "lock x -- true",
            "lock a,b=shared -- make -j4 -- x",
            "lock x --no-wait -- true",
            "lock x --shared --wait 5m -- true",
            "lock x --wait=5m --why reason -q -- true --wait 7",
            "lock x --timeout 10m --quiet -- true",
            "lock x --exec --lock-dir /tmp/y -- true --exec",
            "lock --exec x -- true",
            "lock --wait 5m a=shared --why z -- true",
            "lock x --lock-dir=y --why z -- true",
            "run -- true",
            "lock --containment guardian x -- true",
            "run --containment=cgroup -- make",
            "run --quiet --timeout=30s -- make",
            "run --lock deploy -q -- make --lock x",
        ] {
            let words = words(line);
            let read = plain(&words).expect(line);
            assert_eq!(described(&words).expect(line), read, "{line}");
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_others() {
        for line in [
            "",
            "lock",
            "lock x",
            "lock x --",
            "lock --help",
            "lock x --help -- true",
            "lock -- x true",
            "lock x true",
            "lock x y -- true",
            "lock --exec -- true",
            "lock x --no-wait --wait 5m -- true",
            "lock x --shared --shared -- true",
            "lock x --no-wait=yes -- true",
            "lock x --wait -- true",
            "lock x --wait= -- true",
            "lock x --wait soon -- true",
            "lock x --hold tree -- true",
            "lock x --exec --timeout 5m -- true",
            "lock x --exec --exec -- true",
            "lock x --lock-dir= -- true",
            "lock x --containment Guardian -- true",
            "lock x --exec --containment guardian -- true",
            "run",
            "run true",
            "run --lock -- true",
            "run --lock a --lock b -- true",
            "locks",
            "ps",
        ] {
            assert_eq!(plain(&words(line)), None, "{line}");
        }
        let odd = OsString::from_vec(b"\xff".to_vec());
        for at in 0..3 {
            let mut words = words("lock x --no-wait -- true");
            words[at] = odd.clone();
            assert_eq!(plain(&words), None, "{at}");
        }
        let mut words = words("lock x -- true");
        words[3] = odd;
        assert_eq!(described(&words).ok(), plain(&words));
    }

    /// Whatever stands where: what is taken for plain is what all the descriptions say.
    #[test]
    fn nothing_is_read_in_two_ways() {
        const WORDS: [&str; 24] = [
            "x",
            "--",
            "-",
            "-q",
            "--quiet",
            "--wait",
            "--wait=1s",
            "5m",
            "--why",
            "a b",
            "--no-wait",
            "--shared",
            "--exec",
            "--timeout",
            "--containment=guardian",
            "--containment",
            "--lock",
            "--lock-dir",
            "true",
            "",
            "--wai",
            "=",
            "--why=",
            "--why=-x",
        ];
        let mut plain_ones = 0;
        for begin in [&["lock", "x"][..], &["lock"], &["run"]] {
            for number in 0..WORDS.len().pow(4) {
                let digit = |at: u32| WORDS[number / WORDS.len().pow(at) % WORDS.len()];
                let line = begin.iter().copied().chain((0..4).map(digit));
                let words: Vec<OsString> = line.map(OsString::from).collect();
                if let Some(read) = plain(&words) {
                    assert_eq!(described(&words), Ok(read), "{words:?}");
                    plain_ones += 1;
                }
            }
        }
        assert!(plain_ones > 1000, "{plain_ones}");
    }
}
