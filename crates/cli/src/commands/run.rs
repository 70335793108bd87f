//! `ward run`: a command in custody.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::ExitCode;

use ward_engine::front::{self, FrontEnd};
use ward_engine::shell_step::{self, Script};
use ward_model::life::Policy;
use ward_model::rung::{Rung, RungChoice};
use ward_model::spec::{Identity, Log, Rlimit, Spec, Stdin, TreeLimits};
use ward_sys::account::{self, User};
use ward_sys::{limits, signals};

use crate::args::{Containment, RunArgs};
use crate::failure::Failure;

/// Runs it and gives its exit status.
pub(crate) fn run(arguments: RunArgs) -> Result<ExitCode, Failure> {
    let report = arguments.report.clone();
    let spec = spec(arguments)?;
    let made = spec.remove_at_end.clone();
    let end = front::run(spec, report.as_deref());
    if let (Err(_), Some(made)) = (&end, made) {
        let _ = std::fs::remove_file(made);
    }
    let FrontEnd {
        exit_status,
        die_of,
    } = end?;
    if let Some(signal) = die_of {
        signals::no_core_file();
        signals::take_default_action(signal.number());
    }
    Ok(ExitCode::from(exit_status))
}

fn spec(arguments: RunArgs) -> Result<Spec, Failure> {
    for (option, given) in [
        ("--log-append", arguments.log_append),
        ("--timestamps", arguments.timestamps),
    ] {
        if given && arguments.log.is_none() {
            return Err(Failure::usage(
                format!("{option} is about the log, and there is none"),
                "give --log FILE too",
            ));
        }
    }
    let who = arguments.user.as_deref().map(find_user).transpose()?;
    let identity = identity(who.as_ref(), arguments.group.as_deref())?;
    let environment = environment(&arguments, who.as_ref())?;
    let script = match (&arguments.script, &arguments.shell) {
        (Some(path), _) => Some(Script::File(path)),
        (None, Some(text)) => Some(Script::Text(text)),
        (None, None) => None,
    };
    let mut spec = match script {
        None => Spec::new(arguments.command),
        Some(script) => {
            let step = shell_step::prepare(
                script,
                &arguments.command,
                &arguments.shell_path,
                !arguments.no_prelude,
                identity
                    .as_ref()
                    .map(|identity| (identity.uid, identity.gid)),
            )?;
            Spec {
                title: Some(step.title),
                remove_at_end: step.made.map(Into::into),
                ..Spec::new(step.command)
            }
        }
    };
    spec.environment = environment;
    spec.directory = arguments.chdir;
    spec.identity = identity;
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
    spec.stdin = match arguments.stdin.as_bytes() {
        b"inherit" => Stdin::Inherit,
        b"null" => Stdin::Null,
        _ => Stdin::File(arguments.stdin),
    };
    spec.merge = arguments.merge;
    spec.keep_fds = arguments.keep_fd;
    spec.rung = match arguments.containment {
        Containment::Auto => RungChoice::Auto,
        Containment::Cgroup => RungChoice::Exactly(Rung::Cgroup),
        Containment::Guardian => RungChoice::Exactly(Rung::Guardian),
    };
    spec.spare = !arguments.no_spare;
    spec.policy = Policy {
        timeout: arguments.timeout.filter(|limit| !limit.is_zero()),
        idle_timeout: arguments.idle_timeout.filter(|limit| !limit.is_zero()),
        stop_signal: arguments.signal,
        grace: arguments.grace,
        leftover_grace: arguments.leftover_grace,
    };
    spec.log = arguments.log.map(|path| Log {
        path: path.into(),
        append: arguments.log_append,
        timestamps: arguments.timestamps,
    });
    spec.quiet = arguments.quiet;
    Ok(spec)
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
    arguments: &RunArgs,
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
