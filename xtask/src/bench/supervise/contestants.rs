//! Who is measured.

use std::path::{Path, PathBuf};

use super::super::peers::which;
use super::super::setup::Setup;
use super::programs::{self, Compiled};

pub(super) const WARD: &str = "ward";
pub(super) const SUPERVISOR: &str = "Supervisor";
pub(super) const FLOOR: &str = "floor";

/// How somebody is configured, started and asked.
#[derive(Clone)]
pub(super) enum Kind {
    /// The least that has to be done.
    Floor {
        program: PathBuf,
    },
    Ward {
        program: PathBuf,
    },
    /// PyPI supervisor; the directory of its programs.
    Supervisor {
        programs: PathBuf,
    },
    Runit,
    S6,
    /// What moves ward's logs, without ward: one pipe into one file.
    Pump {
        program: PathBuf,
    },
}

/// Somebody who is measured.
#[derive(Clone)]
pub(super) struct Contestant {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// How many programs it takes, where that is known.
    pub(super) most: u32,
}

/// All of them, and what they supervise.
pub(super) struct Field {
    pub(super) load: PathBuf,
    /// The supervisors.
    pub(super) all: Vec<Contestant>,
    /// Ward's own pump, which supervises nobody.
    pub(super) pump: Contestant,
    /// Who is not here, and why.
    pub(super) missing: Vec<String>,
}

impl Field {
    /// Whoever this machine has.
    pub(super) fn find(setup: &Setup, compiled: Compiled, directory: &Path) -> Self {
        let mut all = vec![
            of(
                FLOOR,
                Kind::Floor {
                    program: compiled.floor,
                },
            ),
            of(
                WARD,
                Kind::Ward {
                    program: setup.ward.clone(),
                },
            ),
        ];
        let mut missing = Vec::new();
        match programs::supervisor(directory) {
            Ok(programs) => all.push(of(SUPERVISOR, Kind::Supervisor { programs })),
            Err(why) => missing.push(format!("{SUPERVISOR}: {why}")),
        }
        for (contestant, needs) in [
            // runsvdir(8): it looks after up to 1,000 services.
            (
                Contestant {
                    most: 1_000,
                    ..of("runit", Kind::Runit)
                },
                ["runsvdir", "svlogd"],
            ),
            (of("s6", Kind::S6), ["s6-svscan", "s6-log"]),
        ] {
            match needs.into_iter().find(|program| which(program).is_none()) {
                None => all.push(contestant),
                Some(program) => missing.push(format!(
                    "{0}: there is no `{program}` here (Debian's package {0})",
                    contestant.name
                )),
            }
        }
        Self {
            load: compiled.load,
            all,
            pump: of(
                "ward's log-pump",
                Kind::Pump {
                    program: setup.load.clone(),
                },
            ),
            missing,
        }
    }
}

fn of(name: &'static str, kind: Kind) -> Contestant {
    Contestant {
        name,
        kind,
        most: u32::MAX,
    }
}
