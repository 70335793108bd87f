//! A place for one test. Everything that is started in it carries its mark, can be found
//! again by it, and is ended with it.

use std::cell::RefCell;
use std::fs::{self, Permissions};
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Signal, geteuid, pidfd_send_signal};
use tempfile::TempDir;
use ward_model::rung::Rung;

use crate::controlgroup::{self, ControlGroup};
use crate::processes::{self, MARK_VARIABLE, Seen};
use crate::programs;
use crate::run::Run;

/// As whom, and where, ward is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// As the test itself runs; root in CI.
    Myself,
    /// As an ordinary user, who may not make cgroups.
    Ordinary,
    /// As an ordinary user inside a cgroup that was delegated to him.
    Delegated,
}

/// One way to hold a tree: who starts ward, and on which rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Who starts ward.
    pub who: Who,
    /// By which means the tree is held.
    pub rung: Rung,
}

/// Every combination of user and rung that there is.
pub const SETTINGS: [Setting; 4] = [
    Setting {
        who: Who::Myself,
        rung: Rung::Guardian,
    },
    Setting {
        who: Who::Myself,
        rung: Rung::Cgroup,
    },
    Setting {
        who: Who::Ordinary,
        rung: Rung::Guardian,
    },
    Setting {
        who: Who::Delegated,
        rung: Rung::Cgroup,
    },
];

/// Whether the test runs as root.
#[must_use]
pub fn is_root() -> bool {
    geteuid().is_root()
}

/// Those of [`SETTINGS`] that can be had here; says aloud which cannot.
#[must_use]
pub fn settings() -> Vec<Setting> {
    SETTINGS
        .into_iter()
        .filter(|setting| can_have(*setting))
        .collect()
}

/// Whether a setting can be had here; says aloud if not.
#[must_use]
pub fn can_have(setting: Setting) -> bool {
    let why_not = match setting {
        Setting {
            who: Who::Ordinary | Who::Delegated,
            ..
        } if !is_root() => Some("only root can become somebody else"),
        Setting {
            who: Who::Delegated,
            ..
        }
        | Setting {
            rung: Rung::Cgroup, ..
        } if !can_make_cgroups() => Some("no cgroup can be made here"),
        _ => None,
    };
    if let Some(why) = why_not {
        programs::skipped(&format!("{setting:?}"), why);
    }
    why_not.is_none()
}

/// Whether the test may make a cgroup where it is.
#[must_use]
pub fn can_make_cgroups() -> bool {
    let probe = format!("ward-test-probe-{}-{}", std::process::id(), next());
    controlgroup::own().is_some_and(|own| ControlGroup::below(&own, &probe).is_ok())
}

fn next() -> u32 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

/// Variables that ward gives a meaning to: the tests themselves may run in a CI job.
pub const MEANINGFUL: [&str; 3] = ward_foreign();

const fn ward_foreign() -> [&'static str; 3] {
    let [a, b, c] = ward_model::cookie::FOREIGN else {
        panic!("there are three")
    };
    [a, b, c]
}

/// Where ward keeps its books.
pub const STATE_VARIABLE: &str = "WARD_STATE_DIR";

/// A world with the `ward` of the package under test.
#[macro_export]
macro_rules! world {
    () => {
        $crate::world::World::new(env!("CARGO_BIN_EXE_ward"))
    };
}

/// A directory, a mark, and everybody who carries it.
pub struct World {
    mark: String,
    ordinary: u32,
    ward: PathBuf,
    hostile: PathBuf,
    runs: RefCell<u32>,
    // In this order they are dropped, after Drop below has ended everybody.
    mine: Option<ControlGroup>,
    delegated: Option<ControlGroup>,
    _outer: Option<ControlGroup>,
    directory: TempDir,
}

impl World {
    /// Makes a world in which `ward` is the given program.
    ///
    /// # Errors
    /// When its directory or its cgroups cannot be made.
    pub fn new(ward: impl AsRef<Path>) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("ward-test-")
            .permissions(Permissions::from_mode(0o755))
            .tempdir()?;
        let mark = new_mark()?;
        let programs = directory.path().join("bin");
        fs::create_dir(&programs)?;
        let work = directory.path().join("work");
        fs::create_dir(&work)?;
        fs::set_permissions(&work, Permissions::from_mode(0o777))?;
        let ward = programs::put(ward.as_ref(), &programs)?;
        let hostile = programs::put(programs::hostile()?, &programs)?;

        // A user of its own, as far as that goes: limits per user count over all processes.
        let ordinary = 61_000 + (std::process::id() * 31 + next()) % 900;
        let outer = controlgroup::own().and_then(|own| ControlGroup::below(&own, &mark).ok());
        let below = |name| -> anyhow::Result<Option<ControlGroup>> {
            let Some(outer) = &outer else { return Ok(None) };
            Ok(Some(ControlGroup::below(outer.path(), name)?))
        };
        let mine = below("mine")?;
        let delegated = if is_root() { below("delegated")? } else { None };
        if let Some(delegated) = &delegated {
            delegated.delegate(ordinary, ordinary)?;
        }
        let world = Self {
            mark,
            ordinary,
            ward,
            hostile,
            runs: RefCell::new(0),
            mine,
            delegated,
            _outer: outer,
            directory,
        };
        fs::write(world.roll(), "")?;
        fs::set_permissions(world.roll(), Permissions::from_mode(0o666))?;
        Ok(world)
    }

    /// A run of ward in this world, to be described further.
    pub fn ward(&self) -> Run<'_> {
        let mut runs = self.runs.borrow_mut();
        *runs += 1;
        Run::new(self, self.path(&format!("report-{runs}.json")))
    }

    /// What everything that is started here carries.
    #[must_use]
    pub fn mark(&self) -> &str {
        &self.mark
    }

    /// The `ward` program.
    #[must_use]
    pub fn ward_program(&self) -> &Path {
        &self.ward
    }

    /// The `hostile` program.
    #[must_use]
    pub fn hostile_program(&self) -> &Path {
        &self.hostile
    }

    /// The number of the ordinary user, and of his group.
    #[must_use]
    pub fn ordinary(&self) -> u32 {
        self.ordinary
    }

    /// A path in the directory where everybody may write.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("work").join(name)
    }

    /// The directory of the programs.
    #[must_use]
    pub fn programs(&self) -> PathBuf {
        self.directory.path().join("bin")
    }

    /// Where hostile processes sign when they are where they want to be.
    #[must_use]
    pub fn roll(&self) -> PathBuf {
        self.path("roll")
    }

    /// Who has signed so far.
    #[must_use]
    pub fn signed(&self) -> Vec<i32> {
        fs::read_to_string(self.roll())
            .unwrap_or_default()
            .lines()
            .filter_map(|line| line.parse().ok())
            .collect()
    }

    /// Waits until so many have signed.
    ///
    /// # Errors
    /// When they do not.
    pub fn await_signatures(&self, count: usize) -> anyhow::Result<Vec<i32>> {
        crate::patience::wait_for(&format!("{count} signatures"), || {
            Some(self.signed()).filter(|signed| signed.len() >= count)
        })
    }

    /// The arguments of the hostile program in a mood, with the mark and the roll.
    #[must_use]
    pub fn hostile(&self, mood: &[&str]) -> Vec<String> {
        let mut arguments = vec![
            self.hostile.display().to_string(),
            format!("--mark={}", self.mark),
            format!("--roll={}", self.roll().display()),
        ];
        arguments.extend(mood.iter().map(|text| (*text).to_owned()));
        arguments
    }

    /// The hostile program in a mood, as a word for a shell. The names in this world need
    /// no quoting.
    #[must_use]
    pub fn hostile_text(&self, mood: &[&str]) -> String {
        self.hostile(mood).join(" ")
    }

    /// A command that is to become `program` as `who`, in the cgroup for him.
    #[must_use]
    pub fn command_as(&self, who: Who, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(&self.hostile);
        command.arg("enter");
        if let Some(place) = self.cgroup_of(who) {
            command.arg(format!("cgroup={}", place.path().display()));
        }
        if who != Who::Myself {
            command.arg(format!("gid={}", self.ordinary));
            command.arg(format!("uid={}", self.ordinary));
        }
        command.arg("--").arg(program);
        command.current_dir(self.path("."));
        self.furnish(&mut command);
        command.env(STATE_VARIABLE, self.state_of(who));
        command
    }

    /// Gives a command the mark, and takes away what means something to ward.
    pub fn furnish(&self, command: &mut Command) {
        for name in MEANINGFUL {
            command.env_remove(name);
        }
        command
            .env(MARK_VARIABLE, &self.mark)
            .env(STATE_VARIABLE, self.state_of(Who::Myself))
            .env("HOME", self.path("."))
            .env("LC_ALL", "C");
    }

    /// Where ward keeps its books when `who` starts it: each user his own, as nobody else may
    /// read them.
    #[must_use]
    pub fn state_of(&self, who: Who) -> PathBuf {
        self.path(match who {
            Who::Myself => "state",
            Who::Ordinary | Who::Delegated => "state-of-ordinary",
        })
    }

    /// Whether a process belongs to this world: by its mark, or, as a daemon's custodians have
    /// neither environment nor arguments of the caller, by the program that it runs, which
    /// lies in a directory that no other test has.
    #[must_use]
    pub fn owns(&self, pid: i32) -> bool {
        pid != std::process::id().cast_signed()
            && (processes::carries(pid, &self.mark)
                || processes::program(pid).is_some_and(|path| path.starts_with(self.programs())))
    }

    /// Opens a process if it belongs to this world.
    #[must_use]
    pub fn hold(&self, pid: i32) -> Option<OwnedFd> {
        processes::open_if(pid, |pid| self.owns(pid))
    }

    /// Sends `signal` to a process if it belongs to this world; says whether it was sent.
    pub fn signal(&self, pid: i32, signal: Signal) -> bool {
        self.hold(pid)
            .is_some_and(|held| pidfd_send_signal(held, signal).is_ok())
    }

    /// The cgroup in which `who` is started.
    #[must_use]
    pub fn cgroup_of(&self, who: Who) -> Option<&ControlGroup> {
        match who {
            Who::Myself | Who::Ordinary => self.mine.as_ref(),
            Who::Delegated => self.delegated.as_ref(),
        }
    }

    /// Everybody who is alive and carries the mark or is in a cgroup of this world, except
    /// ward's own processes and the test.
    #[must_use]
    pub fn survivors(&self) -> Vec<Seen> {
        self.everybody()
            .into_iter()
            .filter(|seen| !seen.is_wards_own())
            .collect()
    }

    /// Processes of ward's own that are alive.
    #[must_use]
    pub fn wards(&self) -> Vec<Seen> {
        self.everybody()
            .into_iter()
            .filter(Seen::is_wards_own)
            .collect()
    }

    fn everybody(&self) -> Vec<Seen> {
        let mut found = self.owned();
        for place in [&self.mine, &self.delegated].into_iter().flatten() {
            for member in place.members() {
                if !member.is_zombie() && !found.iter().any(|seen| seen.pid == member.pid) {
                    found.push(member);
                }
            }
        }
        found
    }

    /// Everybody alive who belongs to this world, wherever he went.
    fn owned(&self) -> Vec<Seen> {
        processes::all()
            .into_iter()
            .filter(|pid| self.owns(*pid))
            .filter_map(processes::look)
            .filter(|seen| !seen.is_zombie())
            .collect()
    }

    /// Directories that ward made in the cgroups of this world and has not removed.
    #[must_use]
    pub fn forgotten_cgroups(&self) -> Vec<PathBuf> {
        [&self.mine, &self.delegated]
            .into_iter()
            .flatten()
            .flat_map(ControlGroup::below_it)
            .collect()
    }

    /// Kills everybody who belongs here, until nobody does.
    fn end_everybody(&self) {
        let started = Instant::now();
        // Twice, so that nobody slips through between two readings of a directory.
        let mut clean = 0;
        while clean < 2 {
            let found = self.owned();
            clean = if found.is_empty() { clean + 1 } else { 0 };
            for seen in found {
                self.signal(seen.pid, Signal::KILL);
            }
            if started.elapsed() > Duration::from_secs(20) {
                eprintln!("cannot end {:?}", self.owned());
                return;
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.end_everybody();
    }
}

fn new_mark() -> anyhow::Result<String> {
    let mut bytes = [0; 8];
    fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .context("reading /dev/urandom")?;
    Ok(format!("ward-test-{:016x}", u64::from_ne_bytes(bytes)))
}
