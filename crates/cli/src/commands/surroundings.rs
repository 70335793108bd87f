//! From the options about surroundings to numbers and a complete environment: users are looked
//! up, files read, and mistakes found, before anything is started.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use ward_model::rung::{Rung, RungChoice};
use ward_model::spec::{Identity, Rlimit, Spec, TreeLimits};
use ward_sys::account::{self, User};
use ward_sys::limits;

use crate::args::{Containment, SurroundingsArgs};
use crate::failure::Failure;

/// Surroundings without anything left to look up.
#[derive(Debug)]
pub(crate) struct Resolved {
    arguments: SurroundingsArgs,
    identity: Option<Identity>,
    environment: Vec<(OsString, OsString)>,
}

impl Resolved {
    /// Looks everything up.
    pub(crate) fn new(arguments: SurroundingsArgs) -> Result<Self, Failure> {
        let who = arguments.user.as_deref().map(find_user).transpose()?;
        let identity = identity(who.as_ref(), arguments.group.as_deref())?;
        let environment = environment(&arguments, who.as_ref())?;
        Ok(Self {
            arguments,
            identity,
            environment,
        })
    }

    /// As whom the command runs, if as another.
    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Puts it into a spec.
    pub(crate) fn apply(self, spec: &mut Spec) {
        let arguments = self.arguments;
        spec.environment = self.environment;
        spec.directory = arguments.chdir;
        spec.identity = self.identity;
        spec.umask = arguments.umask;
        spec.nice = arguments.nice;
        spec.rlimits = arguments
            .rlimit
            .into_iter()
            .map(|limit| Rlimit {
                resource: limit.resource,
                soft: limit.soft,
                hard: limit
                    .hard
                    .unwrap_or_else(|| hard_for(limit.resource, limit.soft)),
            })
            .collect();
        spec.tree_limits = TreeLimits {
            memory_max: arguments.memory_max,
            pids_max: arguments.pids_max,
            cpu_max: arguments.cpu_max,
        };
        spec.best_effort = arguments.best_effort;
        spec.keep_fds = arguments.keep_fd;
        spec.rung = match arguments.containment {
            Containment::Auto => RungChoice::Auto,
            Containment::Cgroup => RungChoice::Exactly(Rung::Cgroup),
            Containment::Guardian => RungChoice::Exactly(Rung::Guardian),
        };
    }
}

/// `NAME=SOFT` alone lowers the soft limit and leaves the hard one; a soft limit above it
/// asks for a higher hard one too, which only root gets.
fn hard_for(resource: u32, soft: Option<u64>) -> Option<u64> {
    let hard = limits::hard_limit(resource).unwrap_or(u64::MAX);
    let wanted = soft.unwrap_or(u64::MAX).max(hard);
    (wanted != u64::MAX).then_some(wanted)
}

fn find_user(name: &str) -> Result<User, Failure> {
    if let Some(user) = account::user(name) {
        return Ok(user);
    }
    // A number without an entry is a user all the same, as in containers.
    match name.parse::<u32>() {
        Ok(uid) if uid != u32::MAX => Ok(User {
            name: name.to_owned(),
            uid,
            gid: uid,
            home: "/".to_owned(),
            shell: String::new(),
        }),
        _ => Err(Failure::usage(
            format!("there is no user `{name}`"),
            "--user takes a login name or a number; `getent passwd` lists them",
        )),
    }
}

fn identity(user: Option<&User>, group: Option<&str>) -> Result<Option<Identity>, Failure> {
    let gid = match group {
        None => None,
        Some(name) => Some(
            account::group(name)
                .or_else(|| name.parse().ok().filter(|gid| *gid != u32::MAX))
                .ok_or_else(|| {
                    Failure::usage(
                        format!("there is no group `{name}`"),
                        "--group takes a group's name or a number; `getent group` lists them",
                    )
                })?,
        ),
    };
    Ok(match (user, gid) {
        (None, None) => None,
        (Some(user), gid) => Some(Identity {
            uid: user.uid,
            gid: gid.unwrap_or(user.gid),
            groups: account::groups_of(user),
        }),
        (None, Some(gid)) => Some(Identity {
            uid: account::own_uid(),
            gid,
            groups: vec![gid],
        }),
    })
}

fn environment(
    arguments: &SurroundingsArgs,
    user: Option<&User>,
) -> Result<Vec<(OsString, OsString)>, Failure> {
    let mut environment: Vec<(OsString, OsString)> = if arguments.clear_env {
        Vec::new()
    } else {
        std::env::vars_os().collect()
    };
    if let Some(user) = user {
        for (key, value) in [
            ("HOME", &user.home),
            ("USER", &user.name),
            ("LOGNAME", &user.name),
        ] {
            set(&mut environment, key.into(), value.into());
        }
    }
    for path in &arguments.env_file {
        let text = std::fs::read(path).map_err(|error| {
            Failure::usage(
                format!(
                    "cannot read the environment file `{}`: {error}",
                    path.display()
                ),
                "--env-file takes a file of NAME=VALUE lines",
            )
        })?;
        for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.trim_ascii().is_empty() || line.trim_ascii_start().starts_with(b"#") {
                continue;
            }
            let place = format!("{}:{}", path.display(), number + 1);
            assign(&mut environment, OsStr::from_bytes(line), &place)?;
        }
    }
    for item in &arguments.env {
        assign(&mut environment, item, "--env")?;
    }
    Ok(environment)
}

/// Takes `NAME=VALUE`, or `NAME` for our own value of it, if we have one.
fn assign(
    environment: &mut Vec<(OsString, OsString)>,
    item: &OsStr,
    place: &str,
) -> Result<(), Failure> {
    let bytes = item.as_bytes();
    let (name, value) = match bytes.iter().position(|byte| *byte == b'=') {
        Some(at) => (
            &bytes[..at],
            Some(OsString::from_vec(bytes[at + 1..].to_vec())),
        ),
        None => (bytes, std::env::var_os(item)),
    };
    if name.is_empty()
        || name
            .iter()
            .any(|byte| byte.is_ascii_whitespace() || *byte == 0)
    {
        return Err(Failure::usage(
            format!(
                "{place}: `{}` does not name a variable",
                String::from_utf8_lossy(name)
            ),
            "write NAME=VALUE, without blanks in the name",
        ));
    }
    if let Some(value) = value {
        set(environment, OsStr::from_bytes(name).to_owned(), value);
    }
    Ok(())
}

fn set(environment: &mut Vec<(OsString, OsString)>, name: OsString, value: OsString) {
    environment.retain(|(known, _)| *known != name);
    environment.push((name, value));
}
