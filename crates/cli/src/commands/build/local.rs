//! `ward build local`: the job of the checkout around us, as the server would run it, without one.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use ward_build::outcome::Outcome;
use ward_build::plan::{Plan, VERSION, file};
use ward_build::runner::run_local;
use ward_build::server::{resolve_parameters, step_environment};
use ward_build::triggers::same_repository;
use ward_config::job::{
    Clean, Job, LARGEST_REPOSITORY_FILE, REPOSITORY_FILE, Source, load_repository_job,
};
use ward_config::load::Builds;
use ward_config::source::{SourceFile, Sources};
use ward_engine::ledger;
use ward_model::build::Cause;
use ward_model::exit_code;

use super::place::{self, secrets_of};
use crate::args::LocalArgs;
use crate::commands::check::host;
use crate::commands::{say, say_findings};
use crate::failure::Failure;

/// How often a number is taken that somebody else takes at the same moment.
const ATTEMPTS: u32 = 100;

/// Runs it.
pub(super) fn run(arguments: &LocalArgs) -> Result<ExitCode, Failure> {
    let checkout = Checkout::around()?;
    let (builds, mut job) = find(arguments, &checkout)?;
    let mut server = builds.server.unwrap_or_default();
    server.tell(&builds.told);
    let state = ledger::locate()?.join("local");
    let name = job.name.replace('/', "%2F");
    let workspace = if arguments.clean {
        let commit = checkout.commit.clone().ok_or_else(|| {
            Failure::usage(
                format!("{} has no commit to be built", checkout.top.display()),
                "commit something, or leave out --clean",
            )
        })?;
        job.source = Some(Source {
            url: checkout.top.to_string_lossy().into_owned(),
            branches: vec![commit],
            submodules: job.source.as_ref().is_some_and(|s| s.submodules),
            recursive_submodules: job.source.as_ref().is_some_and(|s| s.recursive_submodules),
            directory: job.source.as_ref().and_then(|s| s.directory.clone()),
            no_cache: true,
            ..Source::default()
        });
        state.join("workspaces").join(&name)
    } else {
        // What is here is somebody's work: nothing is fetched, and nothing is cleaned away.
        job.source = None;
        job.clean = Clean::No;
        job.workspace = None;
        checkout.top.clone()
    };
    let unknown = arguments
        .parameters
        .iter()
        .find(|(given, _)| !job.parameters.iter().any(|known| known.name == *given));
    if let Some((name, _)) = unknown {
        let known: Vec<&str> = job.parameters.iter().map(|p| p.name.as_str()).collect();
        return Err(Failure::usage(
            format!("{} has no parameter `{name}`", job.name),
            if known.is_empty() {
                "it has none".to_owned()
            } else {
                format!("it has {}", known.join(", "))
            },
        ));
    }
    let parameters = resolve_parameters(&job, &arguments.parameters)
        .map_err(|refusal| Failure::with_code(refusal.to_string(), None, exit_code::USAGE))?;
    let (directory, number) = next(&state.join("builds").join(&name))?;
    let secrets = match &arguments.secrets {
        Some(path) => path.clone(),
        None => secrets_of(&server, &place::home_of(&server)?),
    };
    make(&workspace)?;
    let plan = Plan {
        version: VERSION,
        number,
        queue_id: 0,
        causes: vec![Cause::Local { user: user() }],
        parameters,
        directory: directory.clone(),
        home: state.clone(),
        workspace,
        cache: state.join("cache"),
        secrets: absolute(&secrets)?,
        url: None,
        executor: 0,
        shell: server.shell.clone(),
        environment: step_environment(&server),
        server_cookie: cookie()?,
        revision: checkout.commit.filter(|_| arguments.clean),
        built: Vec::new(),
        local: true,
        job,
    };
    let outcome = run_local(&plan).map_err(|error| {
        Failure::ours(
            &format!("the build in {} came to no end", directory.display()),
            &error,
        )
    })?;
    tell(&directory, &outcome);
    Ok(ExitCode::from(exit_code::of_build(outcome.result)))
}

/// Where things are.
fn tell(directory: &Path, outcome: &Outcome) {
    let mut line = format!(
        "{}: log {}",
        outcome.result,
        directory.join(file::LOG).display()
    );
    if !outcome.artifacts.is_empty() {
        let artifacts = directory.join(file::ARTIFACTS);
        line.push_str(&format!(
            ", {} in {}",
            match outcome.artifacts.len() {
                1 => "1 artifact".to_owned(),
                count => format!("{count} artifacts"),
            },
            artifacts.display()
        ));
    }
    if let Some(tests) = outcome.tests {
        let total = u64::from(tests.passed) + u64::from(tests.failed) + u64::from(tests.skipped);
        line.push_str(&format!(", {total} tests, {} failed", tests.failed));
    }
    say(&line);
}

/// A checkout, or the directory where we are.
struct Checkout {
    top: PathBuf,
    /// What is checked out.
    commit: Option<String>,
    /// Where it was cloned from.
    origin: Option<String>,
}

impl Checkout {
    fn around() -> Result<Self, Failure> {
        let here = std::env::current_dir()
            .map_err(|error| Failure::ours("the current directory is not known", &error))?;
        let top = git(&["rev-parse", "--show-toplevel"]);
        Ok(Self {
            top: top.map_or(here, PathBuf::from),
            commit: git(&["rev-parse", "--verify", "--quiet", "HEAD"]),
            origin: git(&["config", "--get", "remote.origin.url"]),
        })
    }

    /// Whether a job builds from it.
    fn is_of(&self, job: &Job) -> bool {
        job.source.as_ref().is_some_and(|source| {
            let is_same = |other: &str| same_repository(&source.url, other);
            self.origin.as_deref().is_some_and(is_same) || is_same(&self.top.to_string_lossy())
        })
    }
}

/// What git says in one line; nothing, where there is no repository or no git.
fn git(words: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .args(words)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.trim_end_matches('\n');
    (output.status.success() && !line.is_empty()).then(|| line.to_owned())
}

/// The configuration, as far as there is one, and the job.
fn find(arguments: &LocalArgs, checkout: &Checkout) -> Result<(Builds, Job), Failure> {
    let own = checkout.top.join(REPOSITORY_FILE);
    if arguments.configuration.is_none() && own.is_file() {
        let name = arguments.job.clone().or_else(|| {
            let name = checkout.top.file_name()?;
            Some(name.to_string_lossy().into_owned())
        });
        let base = Job {
            name: name.unwrap_or_else(|| "local".to_owned()),
            ..Job::default()
        };
        return Ok((Builds::default(), of_repository(&own, &base)?));
    }
    let path = place::found(arguments.configuration.as_deref()).ok_or_else(|| {
        Failure::usage(
            format!("{} has no {REPOSITORY_FILE}", checkout.top.display()),
            "write one with a section [job], or name a configuration with -c FILE",
        )
    })?;
    let mut builds = place::load(&path)?;
    let jobs = std::mem::take(&mut builds.jobs);
    let mut job = choose(arguments, &path, checkout, jobs)?;
    if let Some(file) = job.from_repository.take() {
        job = of_repository(&checkout.top.join(file), &job)?;
    }
    Ok((builds, job))
}

/// The job that is meant.
fn choose(
    arguments: &LocalArgs,
    path: &Path,
    checkout: &Checkout,
    jobs: Vec<Job>,
) -> Result<Job, Failure> {
    let names: Vec<String> = jobs.iter().map(|job| job.name.clone()).collect();
    let all = || format!("it has {}", names.join(", "));
    let file = path.display();
    if let Some(name) = &arguments.job {
        let hint = if names.is_empty() {
            "it has none".to_owned()
        } else {
            all()
        };
        return jobs
            .into_iter()
            .find(|job| job.name == *name)
            .ok_or_else(|| {
                Failure::usage(format!("{file} has no job `{name}`"), hint)
                    .with_status(exit_code::UNKNOWN_NAME)
            });
    }
    if names.is_empty() {
        return Err(Failure::usage(
            format!("{file} has no job"),
            "write a section [job:NAME]",
        ));
    }
    let is_only = jobs.len() == 1;
    let mut fitting = jobs
        .into_iter()
        .filter(|job| is_only || checkout.is_of(job));
    match (fitting.next(), fitting.next()) {
        (Some(job), None) => Ok(job),
        _ => Err(Failure::usage(
            format!("{file} does not say which job is meant"),
            format!("name one with --job; {}", all()),
        )),
    }
}

/// A job with what a file of its repository says.
fn of_repository(path: &Path, base: &Job) -> Result<Job, Failure> {
    use std::io::Read as _;
    let failed =
        |error: io::Error| Failure::ours(&format!("cannot read {}", path.display()), &error);
    let mut bytes = Vec::new();
    fs::File::open(path)
        .map_err(failed)?
        .take(LARGEST_REPOSITORY_FILE as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    let text = String::from_utf8_lossy(&bytes);
    let (job, found) = load_repository_job(&text, &host(false)?, base);
    let mut sources = Sources::default();
    sources.add(SourceFile::new(path.to_string_lossy(), text));
    say_findings(&found, &sources);
    job.ok_or_else(|| {
        Failure::with_code(
            format!("{}: it cannot be used", path.display()),
            None,
            exit_code::USAGE,
        )
    })
}

/// A directory for the next build, and its number.
fn next(builds: &Path) -> Result<(PathBuf, u32), Failure> {
    make(builds)?;
    let failed =
        |error: io::Error| Failure::ours(&format!("cannot use {}", builds.display()), &error);
    let mut number = 1;
    for entry in fs::read_dir(builds).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let taken = name.to_str().and_then(|name| name.parse::<u32>().ok());
        number = number.max(taken.unwrap_or(0).saturating_add(1));
    }
    for number in number..number.saturating_add(ATTEMPTS) {
        let directory = builds.join(number.to_string());
        match DirBuilder::new().mode(0o700).create(&directory) {
            Ok(()) => return Ok((directory, number)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Err(failed(io::ErrorKind::AlreadyExists.into()))
}

fn make(directory: &Path) -> Result<(), Failure> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error| Failure::ours(&format!("cannot make {}", directory.display()), &error))
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path)
        .map_err(|error| Failure::ours(&format!("cannot use {}", path.display()), &error))
}

fn user() -> String {
    let uid = ward_sys::account::own_uid();
    ward_sys::account::name_of(uid).unwrap_or_else(|| uid.to_string())
}

/// What marks the processes of this build, and of no other: hexadecimal.
fn cookie() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| Failure::ours("the system gives no random bytes", &error))?;
    Ok(data_encoding::HEXLOWER.encode(&bytes))
}
