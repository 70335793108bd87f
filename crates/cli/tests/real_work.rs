//! Real builds: the same exit status and the same output as without ward, and nobody left.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use ward_testkit::patience::wait_until;
use ward_testkit::processes;
use ward_testkit::programs::{in_path, skipped};
use ward_testkit::registry;
use ward_testkit::run::{Ended, text};
use ward_testkit::world;
use ward_testkit::world::{Who, World};

type Result = anyhow::Result<()>;

struct Build<'w> {
    world: &'w World,
    directory: PathBuf,
    variables: Vec<(&'static str, String)>,
}

impl<'w> Build<'w> {
    /// A directory with these files.
    fn of(world: &'w World, files: &[(&str, &str)]) -> anyhow::Result<Self> {
        let directory = world.path("project");
        for (name, contents) in files {
            let path = directory.join(name);
            fs::create_dir_all(path.parent().context("no parent")?)?;
            fs::write(&path, contents)?;
            if contents.starts_with("#!") {
                fs::set_permissions(&path, Permissions::from_mode(0o755))?;
            }
        }
        Ok(Self {
            world,
            directory,
            variables: Vec::new(),
        })
    }

    /// A project that is there, as its registry has it.
    fn found(world: &'w World, directory: PathBuf) -> Self {
        Self {
            world,
            directory,
            variables: Vec::new(),
        }
    }

    /// The home of the tools is the caller's, where their caches are.
    fn at_home(mut self) -> Self {
        if let Some(home) = std::env::var_os("HOME") {
            self.variables.push(("HOME", text(home)));
        }
        self
    }

    fn bare(&self, command: &[&str]) -> anyhow::Result<(Option<i32>, String, String)> {
        let mut bare = self.world.command_as(Who::Myself, command[0]);
        bare.args(&command[1..]).current_dir(&self.directory);
        bare.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let output = bare.output()?;
        Ok((
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ))
    }

    fn in_custody(&self, command: &[&str]) -> anyhow::Result<Ended> {
        let mut run = self
            .world
            .ward()
            .directory(&self.directory)
            .command(command.iter().copied());
        for (name, value) in &self.variables {
            run = run.variable(name, value);
        }
        run.finish()
    }

    /// Does the same twice, after `fresh` each time, and compares.
    fn same(&self, command: &[&str], fresh: impl Fn(&Path) -> Result) -> Result {
        fresh(&self.directory)?;
        let (code, out, err) = self.bare(command)?;
        fresh(&self.directory)?;
        let ended = self.in_custody(command)?;
        let code = u8::try_from(code.context("killed")?)?;
        ended.judge(code)?;
        // How long something took is the only thing that may differ.
        assert_eq!(
            without_numbers(&ended.out()),
            without_numbers(&out),
            "stdout of {command:?}"
        );
        assert_eq!(
            without_numbers(&ended.err()),
            without_numbers(&err),
            "stderr of {command:?}"
        );
        Ok(())
    }
}

/// Every number as `#`: times, process ids, temporary names. Without what cargo says when
/// somebody else on the machine uses its cache at the same time.
fn without_numbers(text: &str) -> String {
    let text: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("Blocking waiting"))
        .map(|line| format!("{line}\n"))
        .collect();
    let mut shortened = String::new();
    for character in text.chars() {
        let number = character.is_ascii_digit() || (character == '.' && shortened.ends_with('#'));
        if !number {
            shortened.push(character);
        } else if !shortened.ends_with('#') {
            shortened.push('#');
        }
    }
    shortened
}

fn remove(directory: &Path, name: &str) -> Result {
    let path = directory.join(name);
    if path.exists() {
        fs::remove_dir_all(&path)?;
    }
    Ok(())
}

#[test]
fn make() -> Result {
    if in_path("make").is_none() || in_path("cc").is_none() {
        skipped("make", "needs make and cc");
        return Ok(());
    }
    let world = world!()?;
    let mut files: Vec<(String, String)> = (0..12)
        .map(|i| {
            (
                format!("part{i}.c"),
                format!("int part{i}(int x) {{ return x * {i} + 1; }}\n"),
            )
        })
        .collect();
    let calls: String = (0..12).map(|i| format!("  x = part{i}(x);\n")).collect();
    let prototypes: String = (0..12).map(|i| format!("int part{i}(int);\n")).collect();
    files.push((
        "main.c".to_owned(),
        format!("#include <stdio.h>\n{prototypes}int main(void) {{\n  int x = 1, unused;\n{calls}  printf(\"%d\\n\", x);\n  return 0;\n}}\n"),
    ));
    files.push((
        "Makefile".to_owned(),
        "OBJECTS = main.o $(foreach i,0 1 2 3 4 5 6 7 8 9 10 11,part$(i).o)\n\
         program: $(OBJECTS)\n\tcc -o $@ $^\n\t./program\n\
         %.o: %.c\n\tcc -Wall -c $<\n\
         clean:\n\trm -f *.o program\n\
         fail:\n\t@echo about to fail\n\tfalse\n"
            .to_owned(),
    ));
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    let build = Build::of(&world, &files)?;
    let clean = |directory: &Path| -> Result {
        ensure!(
            Command::new("make")
                .args(["-s", "clean"])
                .current_dir(directory)
                .status()?
                .success()
        );
        Ok(())
    };
    build.same(&["make"], clean)?;
    build.same(&["make", "-s", "-j4", "-Otarget"], clean)?;
    build.same(&["make", "fail"], clean)?;
    build.same(&["make", "no-such-target"], clean)
}

/// make's own job server goes through inherited descriptors of its children.
#[test]
fn a_make_within_a_make() -> Result {
    if in_path("make").is_none() {
        skipped("make", "needs make");
        return Ok(());
    }
    let world = world!()?;
    let ward = text(world.ward_program());
    let outer = format!("all: a b\na b:\n\t+@{ward} run -q -- $(MAKE) -s -C inner $@\n");
    let build = Build::of(
        &world,
        &[
            ("Makefile", &outer),
            ("inner/Makefile", "a b:\n\t@sleep 0.1; echo made $@\n"),
        ],
    )?;
    let (code, _, err) = build.bare(&["make", "-s", "-j2"])?;
    ensure!(code == Some(0), "{err}");
    assert_eq!(world.survivors(), []);
    Ok(())
}

#[test]
fn cargo() -> Result {
    let Some(cargo) = std::env::var_os("CARGO")
        .map(PathBuf::from)
        .or_else(|| in_path("cargo"))
    else {
        skipped("cargo", "not installed");
        return Ok(());
    };
    let world = world!()?;
    let build = Build::of(
        &world,
        &[
            (
                "Cargo.toml",
                "[package]\nname = \"tiny\"\nversion = \"1.2.3\"\nedition = \"2024\"\n\
                 [dependencies]\ncfg-if = \"1\"\n[workspace]\n",
            ),
            (
                "src/main.rs",
                "cfg_if::cfg_if! { if #[cfg(unix)] { fn main() { println!(\"tiny\"); let unused = 1; } } }\n",
            ),
        ],
    )?
    .at_home();
    let cargo = text(cargo);
    // From the caches of this very build, where the dependency is: nothing is downloaded.
    let build_command = [cargo.as_str(), "build", "--offline"];
    let (code, _, err) = build.bare(&build_command)?;
    if code != Some(0) && err.contains("--offline") {
        skipped("cargo", "the dependency is in no cache here");
        return Ok(());
    }
    let clean = |directory: &Path| remove(directory, "target");
    build.same(&build_command, clean)?;
    build.same(&[&cargo, "run", "--offline", "--quiet"], |_| Ok(()))?;
    fs::write(
        build.directory.join("src/main.rs"),
        "fn main() { missing(); }\n",
    )?;
    build.same(&build_command, clean)
}

/// One with nothing that it depends on, so that nothing is downloaded while it is compared.
#[test]
fn a_crate_of_the_registry() -> Result {
    let world = world!()?;
    let Some(project) = registry::a_crate(&world.path("."), "strsim", "0.11.1")? else {
        return Ok(());
    };
    let cargo = text(registry::cargo().context("no cargo")?);
    let mut build = Build::found(&world, project).at_home();
    let target = text(build.directory.join("target"));
    build.variables.push(("CARGO_TARGET_DIR", target));
    let clean = |directory: &Path| remove(directory, "target");
    build.same(&[&cargo, "build", "--offline", "--jobs", "1"], clean)?;
    let test = [
        "test",
        "--offline",
        "--quiet",
        "--lib",
        "--",
        "--test-threads=1",
    ];
    build.same(&[&[cargo.as_str()][..], &test].concat(), |_| Ok(()))
}

/// bzip2 as its author packed it, within the crate that links it.
#[test]
fn a_project_in_c_of_the_registry() -> Result {
    if in_path("make").is_none() || in_path("gcc").is_none() {
        skipped("bzip2", "needs make and gcc");
        return Ok(());
    }
    let world = world!()?;
    let Some(package) = registry::a_crate(&world.path("."), "bzip2-sys", "0.1.13")? else {
        return Ok(());
    };
    let build = Build::found(&world, package.join("bzip2-1.0.8"));
    let clean = |directory: &Path| -> Result {
        let make = Command::new("make")
            .args(["-s", "clean"])
            .current_dir(directory)
            .output()?;
        ensure!(make.status.success(), "{make:?}");
        Ok(())
    };
    build.same(&["make"], clean)?;
    // Quiet: the order of what two compilers at once say is not the same twice.
    build.same(&["make", "-s", "-j2", "bzip2", "bzip2recover"], clean)?;
    let sample = build.directory.join("sample1.ref");
    let mut bytes = fs::read(&sample)?;
    bytes.push(b'!');
    fs::write(&sample, bytes)?;
    build.same(&["make", "test"], clean)
}

/// With its download.
#[test]
fn pip_and_its_registry() -> Result {
    let world = world!()?;
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let Some(found) = registry::python(&world.path("."), kept, "six", "1.17.0")? else {
        return Ok(());
    };
    let python = text(found.python);
    let build = Build::found(&world, found.project).at_home();
    let clean = |directory: &Path| remove(directory, "into");
    let install = [
        python.as_str(),
        "-m",
        "pip",
        "install",
        "--no-cache-dir",
        "--disable-pip-version-check",
        "--root-user-action=ignore",
        "--progress-bar=off",
        "--target",
        "into",
        "six==1.17.0",
    ];
    build.same(&install, clean)?;
    ensure!(build.directory.join("into/six.py").exists());
    let tests = [
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "test_six.py",
    ];
    build.same(&[&[python.as_str()][..], &tests].concat(), |_| Ok(()))
}

#[test]
fn pip() -> Result {
    let Some(python) = in_path("python3") else {
        skipped("pip", "needs python3");
        return Ok(());
    };
    let world = world!()?;
    let build = Build::of(
        &world,
        &[
            ("package/setup.py", "from setuptools import setup\nsetup(name='tiny', version='1.2.3', py_modules=['tiny'])\n"),
            ("package/tiny.py", "print('tiny')\n"),
        ],
    )?
    .at_home();
    let python = text(python);
    let install = [
        python.as_str(),
        "-m",
        "pip",
        "install",
        "--no-index",
        "--no-build-isolation",
        "--no-deps",
        "--no-cache-dir",
        "--disable-pip-version-check",
        "--root-user-action=ignore",
        "--target",
        "into",
        "./package",
    ];
    let clean = |directory: &Path| -> Result {
        for name in ["into", "package/build", "package/tiny.egg-info"] {
            remove(directory, name)?;
        }
        Ok(())
    };
    let (code, _, err) = build.bare(&install)?;
    if code != Some(0) {
        skipped("pip", &format!("it does not work here without ward: {err}"));
        return Ok(());
    }
    build.same(&install, clean)?;
    ensure!(
        build.directory.join("into/tiny.py").exists(),
        "it was not installed"
    );
    build.same(
        &[
            &python,
            "-m",
            "pip",
            "install",
            "--no-index",
            "no-such-package-anywhere",
        ],
        clean,
    )
}

/// The usual left-over: a test script that starts a server in the background and forgets it.
#[test]
fn npm_and_a_forgotten_server() -> Result {
    if in_path("npm").is_none() || in_path("node").is_none() {
        skipped("npm", "needs npm and node");
        return Ok(());
    }
    let world = world!()?;
    let server = "const fs = require('fs');\n\
        const server = require('http').createServer((q, a) => a.end('hello'));\n\
        server.listen(0, '127.0.0.1', () => fs.writeFileSync('port', String(server.address().port)));\n";
    let client = "const fs = require('fs');\n\
        const wait = setInterval(() => { if (!fs.existsSync('port')) return; clearInterval(wait);\n\
        require('http').get('http://127.0.0.1:' + fs.readFileSync('port'), a => { a.on('data', d => console.log('said ' + d)); }); }, 10);\n";
    let build = Build::of(
        &world,
        &[
            (
                "package.json",
                "{\"name\": \"tiny\", \"version\": \"1.2.3\", \"scripts\": {\"test\": \"node server.js & node client.js\"}}\n",
            ),
            ("server.js", server),
            ("client.js", client),
        ],
    )?;
    let run = world
        .ward()
        .directory(&build.directory)
        .options(["--leftover-grace", "200ms"]);
    let ended = run
        .command(["npm", "test", "--no-update-notifier"])
        .finish()?;
    let report = ended.judge(0)?;
    ensure!(ended.out().ends_with("said hello\n"), "{}", ended.out());
    let left: Vec<&str> = report
        .left_over
        .processes
        .iter()
        .map(|process| process.command.as_str())
        .collect();
    ensure!(left == ["node server.js"], "{left:?}");
    ensure!(
        ended.wards_words().contains("node server.js"),
        "{}",
        ended.err()
    );
    Ok(())
}

#[test]
fn git() -> Result {
    if in_path("git").is_none() {
        skipped("git", "not installed");
        return Ok(());
    }
    let world = world!()?;
    let build = Build::of(&world, &[("a", "a\n"), ("b/c", "c\n")])?;
    let again = |directory: &Path| remove(directory, ".git");
    build.same(&["git", "init", "--quiet"], again)?;
    let commit = "git init --quiet && git add . && git -c user.name=a -c user.email=a@b.invalid commit -m first && git status";
    let fixed = format!(
        "GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z'; export GIT_AUTHOR_DATE GIT_COMMITTER_DATE; {commit}"
    );
    build.same(&["sh", "-c", &fixed], again)
}

/// A build in parallel is stopped in the middle: within the grace nobody is left, and the
/// next build starts from a consistent state.
#[test]
fn a_build_is_stopped_in_the_middle() -> Result {
    if in_path("make").is_none() {
        skipped("make", "not installed");
        return Ok(());
    }
    let world = world!()?;
    let makefile = ".DELETE_ON_ERROR:\nall: $(foreach i,1 2 3 4 5 6 7 8,out$(i))\n\
                    out%:\n\t@echo begun >$@; touch started; sleep 30; echo finished >$@\n";
    let build = Build::of(&world, &[("Makefile", makefile)])?;
    let running = world
        .ward()
        .directory(&build.directory)
        .command(["make", "-j4"])
        .start()?;
    wait_until("the build to be in the middle", || {
        build.directory.join("started").exists()
    })?;
    wait_until("four jobs", || {
        processes::marked(world.mark())
            .iter()
            .filter(|seen| seen.command == "sleep 30")
            .count()
            == 4
    })?;
    running.signal(Signal::TERM)?;
    let ended = running.finish()?;
    let report = ended.judge(123)?;
    ensure!(!report.forced, "it was killed: {report:#?}");
    let half_done: Vec<_> = fs::read_dir(&build.directory)?
        .flatten()
        .filter(|entry| text(entry.file_name()).starts_with("out"))
        .collect();
    ensure!(
        half_done.is_empty(),
        "make did not clean up: {half_done:?}; {}",
        ended.err()
    );
    Ok(())
}
