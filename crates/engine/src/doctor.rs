//! What this host gives for containment, found by doing and not by version numbers.

use serde::Serialize;
use ward_model::rung::Rung;
use ward_sys::contain::cgroup::{self, Cgroup, CgroupError};
use ward_sys::contain::process::pidfd_works;
use ward_sys::contain::subreaper;
use ward_sys::fork::{Side, fork_single_threaded};
use ward_sys::reap::{self, Status};

use crate::guardian::quit;
use crate::tree::chain;

/// One thing that was tried.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// What.
    pub what: &'static str,
    /// Whether it works.
    pub works: bool,
    /// What was found, or why it does not.
    pub detail: String,
    /// What would make it work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub better: Option<String>,
}

/// Everything that was tried.
#[derive(Debug, Clone, Serialize)]
pub struct Diagnosis {
    /// The rung that runs get here.
    pub rung: Rung,
    /// Why.
    pub because: String,
    /// One by one.
    pub findings: Vec<Finding>,
}

/// Tries everything that containment needs. Must be called in a single-threaded process.
#[must_use]
pub fn examine() -> Diagnosis {
    let mut findings = vec![
        subreaper_finding(),
        works(
            "pidfd",
            "signals cannot hit a reused process id",
            pidfd_works().map_err(|error| error.to_string()),
            "needs Linux 5.3 and a seccomp policy that allows pidfd_open",
        ),
        works(
            "children",
            "/proc lists children, so that members are found quickly",
            std::fs::read_to_string("/proc/thread-self/children")
                .map(drop)
                .map_err(|error| error.to_string()),
            "a kernel with CONFIG_PROC_CHILDREN; without it all of /proc is read",
        ),
    ];
    let cgroup = cgroup_finding(&mut findings);
    let rung = if cgroup { Rung::Cgroup } else { Rung::Guardian };
    let because = findings
        .iter()
        .find(|finding| finding.what == "cgroup")
        .map(|finding| finding.detail.clone())
        .unwrap_or_default();
    Diagnosis {
        rung,
        because,
        findings,
    }
}

fn works(what: &'static str, means: &str, result: Result<(), String>, better: &str) -> Finding {
    match result {
        Ok(()) => Finding {
            what,
            works: true,
            detail: means.to_owned(),
            better: None,
        },
        Err(error) => Finding {
            what,
            works: false,
            detail: error,
            better: Some(better.to_owned()),
        },
    }
}

/// Whether an orphan really falls to us.
fn subreaper_finding() -> Finding {
    let attempt = || -> Result<(), String> {
        let text = |error: std::io::Error| error.to_string();
        subreaper::become_subreaper().map_err(text)?;
        let me = std::process::id();
        let parent = match fork_single_threaded().map_err(text)? {
            Side::Parent(parent) => parent,
            Side::Child => {
                if let Ok(Side::Child) = fork_single_threaded() {
                    // Lives on until its parent has gone.
                    while std::os::unix::process::parent_id() != me {
                        std::thread::yield_now();
                    }
                }
                quit()
            }
        };
        let _ = reap::wait_for_status(parent);
        loop {
            match reap::next(&mut |_, _| {}) {
                reap::Reaped::Child(_, Status::Exited(0)) => return Ok(()),
                reap::Reaped::Child(..) => return Err("an orphan ended oddly".to_owned()),
                reap::Reaped::NothingNew => std::thread::yield_now(),
                reap::Reaped::NoChildren => return Err("orphans do not fall to us".to_owned()),
            }
        }
    };
    works(
        "guardian",
        "orphans fall to the guardian, which sees the last of them end",
        attempt(),
        "needs Linux 3.4",
    )
}

fn cgroup_finding(findings: &mut Vec<Finding>) -> bool {
    let name = format!("ward-doctor-{}", std::process::id());
    let result = cgroup::own_directory().and_then(|parent| {
        let made = Cgroup::create(&parent, &name)?;
        Ok((parent, made))
    });
    let (parent, made) = match result {
        Ok(both) => both,
        Err(error) => {
            findings.push(Finding {
                what: "cgroup",
                works: false,
                detail: chain(&error),
                better: Some(cgroup_advice(&error).to_owned()),
            });
            return false;
        }
    };
    let joined = try_to_join(&made);
    let works = joined.is_ok();
    findings.push(Finding {
        what: "cgroup",
        works,
        detail: match &joined {
            Ok(()) => format!("runs get a cgroup of their own in {}", parent.display()),
            Err(error) => error.clone(),
        },
        better: (!works).then(|| {
            "start ward inside the delegated cgroup: `systemd-run --user --scope -p Delegate=yes …`"
                .to_owned()
        }),
    });
    if works {
        let kill = made.path().join("cgroup.kill").exists();
        findings.push(Finding {
            what: "cgroup.kill",
            works: kill,
            detail: if kill {
                "a whole tree is killed at once"
            } else {
                "members are killed one by one"
            }
            .to_owned(),
            better: (!kill).then(|| "needs Linux 5.14".to_owned()),
        });
        for (controller, option) in [
            ("memory", "--memory-max"),
            ("pids", "--pids-max"),
            ("cpu", "--cpu-max"),
        ] {
            let file = match controller {
                "memory" => "memory.max",
                "pids" => "pids.max",
                _ => "cpu.max",
            };
            let result = made.set_limit(controller, file, "max");
            findings.push(Finding {
                what: option,
                works: result.is_ok(),
                detail: match &result {
                    Ok(()) => format!("the {controller} controller limits whole trees"),
                    Err(error) => chain(error),
                },
                better: result
                    .as_ref()
                    .err()
                    .map(|error| cgroup_advice(error).to_owned()),
            });
        }
    }
    made.remove();
    works
}

fn try_to_join(made: &Cgroup) -> Result<(), String> {
    let procs = made.open_procs().map_err(|error| error.to_string())?;
    match fork_single_threaded() {
        Err(error) => Err(error.to_string()),
        Ok(Side::Child) => {
            let code = match rustix::io::write(&procs, b"0") {
                Ok(_) => 0,
                Err(error) => error.raw_os_error(),
            };
            #[expect(clippy::disallowed_methods, reason = "a forked half ends here")]
            std::process::exit(code)
        }
        Ok(Side::Parent(child)) => match reap::wait_for_status(child) {
            Some(Status::Exited(0)) => Ok(()),
            Some(Status::Exited(errno)) => Err(format!(
                "a process cannot join it: {}",
                std::io::Error::from_raw_os_error(i32::from(errno))
            )),
            _ => Err("a process that joined it was killed".to_owned()),
        },
    }
}

fn cgroup_advice(error: &CgroupError) -> &'static str {
    match error {
        CgroupError::NotWanted | CgroupError::NotMounted => {
            "mount cgroup2 (a unified or hybrid hierarchy)"
        }
        CgroupError::NotVisible => "give the container its own cgroup namespace, writable",
        CgroupError::Io { .. } => {
            "run as root, or start ward in a delegated cgroup: `systemd-run --user --scope -p Delegate=yes …`"
        }
        CgroupError::NoController { .. } => {
            "the controller must be in the unified hierarchy, and delegated to our cgroup"
        }
        CgroupError::Busy { .. } => {
            "start ward in a delegated cgroup of its own: `systemd-run --scope -p Delegate=yes …`"
        }
    }
}
