//! `cargo xtask doors`: who depends on whom, where unsafe code is, what files are called.
//!
//! The rules are those of the design page; a crate that has no row in the table fails, so
//! that nobody adds a room without saying which doors it has.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::cargo;
use crate::metadata::{Follow, Metadata, Package};
use crate::source::Code;

/// A crate, and which of our crates it may use.
struct Room {
    package: &'static str,
    may_use: &'static [&'static str],
}

/// `cli → serve → {supervise, build} → engine → {model, sys}`, where who may use a room may
/// also use the rooms behind it; `lock` and `config` stand beside that row.
const ROOMS: &[Room] = &[
    Room {
        package: "ward-model",
        may_use: &[],
    },
    Room {
        package: "ward-sys",
        may_use: &[],
    },
    Room {
        package: "ward-config",
        may_use: &["ward-model"],
    },
    Room {
        package: "ward-lock",
        may_use: &["ward-model", "ward-sys"],
    },
    Room {
        package: "ward-engine",
        may_use: &["ward-model", "ward-sys", "ward-lock"],
    },
    Room {
        package: "ward-supervise",
        may_use: &["ward-model", "ward-sys", "ward-config", "ward-engine"],
    },
    Room {
        package: "ward-build",
        may_use: &[
            "ward-model",
            "ward-sys",
            "ward-config",
            "ward-lock",
            "ward-engine",
        ],
    },
    Room {
        package: "ward-serve",
        may_use: &[
            "ward-model",
            "ward-sys",
            "ward-engine",
            "ward-supervise",
            "ward-build",
        ],
    },
    Room {
        package: "ward",
        may_use: &[
            "ward-model",
            "ward-sys",
            "ward-config",
            "ward-lock",
            "ward-engine",
            "ward-supervise",
            "ward-build",
            "ward-serve",
        ],
    },
    Room {
        package: TESTKIT,
        may_use: &["ward-model", "ward-sys"],
    },
    Room {
        package: "xtask",
        may_use: &[],
    },
];

/// Hostile children: in the tests of any room, in the product of none.
const TESTKIT: &str = "ward-testkit";

/// The one room that may hold unsafe code.
const UNSAFE_ROOM: &str = "ward-sys";

/// What the pure room may not use even from outside: all of these reach the system.
const IMPURE: &[&str] = &["libc", "rustix", "nix", "mio", "tokio", "signal-hook"];

/// Rooms that the path of `ward run` does not enter.
const NOT_ON_THE_PATH_OF_RUN: &[&str] = &["ward-serve", "ward-build", "ward-supervise"];

/// Packages of HTTP, SQLite and TLS, none of which may be on the path of `ward run`.
const HEAVY: &[&str] = &[
    "actix-web",
    "aws-lc-rs",
    "aws-lc-sys",
    "axum",
    "boring",
    "boring-sys",
    "curl",
    "curl-sys",
    "diesel",
    "h2",
    "h3",
    "http",
    "http-body",
    "httparse",
    "hyper",
    "hyper-util",
    "isahc",
    "libsqlite3-sys",
    "mbedtls",
    "native-tls",
    "openssl",
    "openssl-sys",
    "quinn",
    "reqwest",
    "ring",
    "rusqlite",
    "rustls",
    "s2n-tls",
    "schannel",
    "security-framework",
    "sqlite",
    "sqlx",
    "tiny_http",
    "tokio-native-tls",
    "tokio-rustls",
    "tonic",
    "tungstenite",
    "ureq",
    "warp",
    "webpki",
];

/// Of these, what the client of an etcd cluster needs, which is a room of `ward-lock`: only the process
/// that renews a lease runs it, beside the path of `ward run`.
const OF_THE_RENEWER: &[&str] = &["httparse", "ring", "rustls"];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &[
    "common", "helper", "helpers", "manager", "managers", "misc", "util", "utils",
];

/// A file longer than this is several rooms.
const LONGEST: usize = 700;
/// From here on somebody should think of splitting it.
const LONG: usize = 600;

/// What a check found: failures, and what is only worth a word.
#[derive(Default)]
struct Findings {
    wrong: Vec<String>,
    notes: Vec<String>,
}

pub(crate) fn check() -> Result<()> {
    let metadata = cargo::metadata()?;
    let mut findings = Findings::default();
    for package in metadata.members() {
        findings
            .wrong
            .extend(wrong_doors(package, &member_names(&metadata)));
    }
    findings.wrong.extend(heavy_on_the_path_of_run(&metadata));
    let files = read_sources(&metadata)?;
    for file in &files {
        judge_file(file, &mut findings);
    }

    for note in &findings.notes {
        eprintln!("doors: note: {note}");
    }
    for wrong in &findings.wrong {
        eprintln!("doors: {wrong}");
    }
    if !findings.wrong.is_empty() {
        bail!(
            "{} findings break the rules of the house",
            findings.wrong.len()
        );
    }
    println!(
        "doors: {} rooms, {} files, all as the design page has it",
        metadata.workspace_members.len(),
        files.len()
    );
    Ok(())
}

fn member_names(metadata: &Metadata) -> Vec<&str> {
    metadata
        .members()
        .map(|member| member.name.as_str())
        .collect()
}

/// The doors of `package` that are not in the table. `members` are the names of our crates.
fn wrong_doors(package: &Package, members: &[&str]) -> Vec<String> {
    let Some(room) = ROOMS.iter().find(|room| room.package == package.name) else {
        return vec![format!(
            "{}: no row in the table of xtask/src/doors.rs; add one with the doors it has",
            package.name
        )];
    };
    let mut wrong = Vec::new();
    for dependency in &package.dependencies {
        let name = dependency.name.as_str();
        let in_tests = dependency.kind.as_deref() == Some("dev");
        if members.contains(&name) {
            let allowed = room.may_use.contains(&name) || (in_tests && name == TESTKIT);
            if !allowed && name == TESTKIT {
                wrong.push(format!(
                    "{}: {TESTKIT} belongs under [dev-dependencies]",
                    package.name
                ));
            } else if !allowed {
                wrong.push(format!(
                    "{} → {name}: this door is not on the design page",
                    package.name
                ));
            }
        } else if room.package == "ward-model" && !in_tests && IMPURE.contains(&name) {
            wrong.push(format!(
                "ward-model → {name}: the rules are pure, they do not reach the system"
            ));
        }
    }
    wrong
}

/// The HTTP, SQLite and TLS packages that `ward run` would carry, with the way to each.
fn heavy_on_the_path_of_run(metadata: &Metadata) -> Vec<String> {
    let product = metadata
        .members()
        .find(|member| member.name == "ward")
        .map(|member| member.id.as_str());
    let ways = metadata.ways(product, Follow::Normal, |package| {
        !NOT_ON_THE_PATH_OF_RUN.contains(&package.name.as_str())
    });
    let name = |id: &str| metadata.package(id).map(|package| package.name.as_str());
    ways.iter()
        .filter(|(id, way)| {
            let of_the_renewer = || {
                name(id).is_some_and(|name| OF_THE_RENEWER.contains(&name))
                    && way.iter().any(|step| name(step) == Some("ward-lock"))
            };
            name(id).is_some_and(|name| HEAVY.contains(&name)) && !of_the_renewer()
        })
        .map(|(_, way)| {
            format!(
                "`ward run` would touch HTTP, SQLite or TLS code: {}",
                metadata.spell(way)
            )
        })
        .collect()
}

/// A source file, and what the checks must know of where it stands.
struct SourceFile {
    /// From the root of the workspace.
    path: PathBuf,
    text: String,
    may_be_unsafe: bool,
    is_crate_root: bool,
}

/// Every Rust file of the members' directories.
fn read_sources(metadata: &Metadata) -> Result<Vec<SourceFile>> {
    let mut files = Vec::new();
    for package in metadata.members() {
        let directory = package
            .manifest_path
            .parent()
            .context("a manifest without a directory")?;
        let roots: Vec<&Path> = package
            .targets
            .iter()
            .filter(|target| {
                target
                    .kind
                    .iter()
                    .any(|kind| matches!(kind.as_str(), "lib" | "bin" | "proc-macro" | "example"))
            })
            .map(|target| target.src_path.as_path())
            .collect();
        let mut paths = Vec::new();
        collect_rust_files(directory, &mut paths)?;
        // A target may lie outside its package's directory (the workspace's tests and examples).
        for target in &package.targets {
            if !target.src_path.starts_with(directory) {
                paths.push(target.src_path.clone());
            }
        }
        for path in paths {
            let text =
                fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            files.push(SourceFile {
                text,
                may_be_unsafe: package.name == UNSAFE_ROOM,
                is_crate_root: roots.contains(&path.as_path()),
                path: path
                    .strip_prefix(&metadata.workspace_root)
                    .unwrap_or(&path)
                    .to_owned(),
            });
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn collect_rust_files(directory: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("listing {}", directory.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("listing {}", directory.display()))?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if entry.file_name() != "target" {
                collect_rust_files(&path, into)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
    Ok(())
}

fn judge_file(file: &SourceFile, findings: &mut Findings) {
    let path = file.path.display();
    let code = Code::of(&file.text);

    if !file.may_be_unsafe {
        for line in code.lines_with("unsafe") {
            findings
                .wrong
                .push(format!("{path}:{line}: unsafe code outside {UNSAFE_ROOM}"));
        }
        if file.is_crate_root && !code.forbids_unsafe() {
            findings.wrong.push(format!(
                "{path}: a crate root without #![forbid(unsafe_code)]"
            ));
        }
    }

    // Only what is certain: whether a module inside `src` is a test is not to be seen here.
    if file.path.iter().any(|part| part == "tests") {
        let sleeps = code.lines_with("sleep");
        for line in code.lines_with("thread") {
            if sleeps.contains(&line) {
                findings.wrong.push(format!(
                    "{path}:{line}: a test that sleeps; wait for a condition, with a limit"
                ));
            }
        }
    }

    let from_path = file
        .path
        .iter()
        .filter_map(|part| part.to_str())
        .map(|part| part.trim_end_matches(".rs"));
    for name in from_path.chain(code.modules()) {
        if EMPTY_NAMES.contains(&name) {
            findings.wrong.push(format!(
                "{path}: `{name}` says nothing about what is inside"
            ));
        }
    }

    let length = file.text.lines().count();
    if length > LONGEST {
        findings
            .wrong
            .push(format!("{path}: {length} lines, more than {LONGEST}"));
    } else if length > LONG {
        findings
            .notes
            .push(format!("{path}: {length} lines, {LONGEST} is the limit"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::sample;

    /// What the doors check says of `package` with these dependencies.
    fn doors(package: &str, dependencies: &[(&str, Option<&str>)]) -> Vec<String> {
        let metadata = sample::metadata(&[(package, None, true, dependencies)]);
        let members: Vec<&str> = ROOMS.iter().map(|room| room.package).collect();
        wrong_doors(&metadata.packages[0], &members)
    }

    #[test]
    fn the_doors_of_the_page_are_open() {
        for (package, uses) in [
            ("ward-engine", "ward-model"),
            ("ward-engine", "ward-sys"),
            ("ward-engine", "ward-lock"),
            ("ward-lock", "ward-sys"),
            ("ward-config", "ward-model"),
            ("ward-supervise", "ward-config"),
            ("ward-build", "ward-lock"),
            ("ward-serve", "ward-build"),
            ("ward", "ward-engine"),
            ("ward", "ward-serve"),
            ("ward", "ward-config"),
        ] {
            assert!(
                doors(package, &[(uses, None)]).is_empty(),
                "{package} → {uses}"
            );
        }
    }

    #[test]
    fn every_other_door_is_shut() {
        for (package, uses) in [
            ("ward-model", "ward-sys"),
            ("ward-sys", "ward-model"),
            ("ward-engine", "ward"),
            ("ward-engine", "ward-config"),
            ("ward-lock", "ward-engine"),
            ("ward-config", "ward-sys"),
            ("ward-supervise", "ward-build"),
            ("ward-build", "ward-supervise"),
            ("ward-build", "ward-serve"),
            ("ward-serve", "ward-config"),
            ("xtask", "ward-model"),
        ] {
            assert_eq!(
                doors(package, &[(uses, None)]).len(),
                1,
                "{package} → {uses}"
            );
            assert_eq!(
                doors(package, &[(uses, Some("dev"))]).len(),
                1,
                "{package} ⇢ {uses}"
            );
            assert_eq!(
                doors(package, &[(uses, Some("build"))]).len(),
                1,
                "{package} ⇢ {uses}"
            );
        }
    }

    #[test]
    fn the_testkit_is_for_tests_only() {
        assert!(doors("ward-engine", &[(TESTKIT, Some("dev"))]).is_empty());
        assert!(doors("ward", &[(TESTKIT, Some("dev"))]).is_empty());
        assert!(doors("ward", &[(TESTKIT, None)])[0].contains("dev-dependencies"));
        assert!(doors("ward", &[(TESTKIT, Some("build"))])[0].contains("dev-dependencies"));
    }

    #[test]
    fn the_rules_reach_no_system() {
        assert_eq!(doors("ward-model", &[("libc", None)]).len(), 1);
        assert!(doors("ward-model", &[("serde", None)]).is_empty());
        assert!(doors("ward-sys", &[("libc", None)]).is_empty());
    }

    #[test]
    fn a_room_without_a_row_is_refused() {
        assert!(doors("ward-attic", &[])[0].contains("no row"));
    }

    #[test]
    fn the_table_names_only_rooms_it_has_and_has_no_circle() {
        let mut behind: Vec<&str> = Vec::new();
        while behind.len() < ROOMS.len() {
            let next = ROOMS.iter().find(|room| {
                !behind.contains(&room.package)
                    && room.may_use.iter().all(|used| behind.contains(used))
            });
            behind.push(next.expect("a circle, or a name without a row").package);
        }
    }

    #[test]
    fn heavy_packages_are_found_on_the_path_of_run_and_nowhere_else() {
        let metadata = sample::metadata(&[
            (
                "ward",
                None,
                true,
                &[
                    ("ward-engine", None),
                    ("ward-lock", None),
                    ("ward-serve", None),
                    ("rustls", Some("dev")),
                ],
            ),
            ("ward-lock", None, true, &[("ring", None)]),
            ("ring", None, false, &[]),
            ("ward-engine", None, true, &[("innocent", None)]),
            ("ward-serve", None, true, &[("hyper", None)]),
            (
                "innocent",
                None,
                false,
                &[("rusqlite", None), ("openssl", Some("build"))],
            ),
            ("rusqlite", None, false, &[]),
            ("hyper", None, false, &[]),
            ("rustls", None, false, &[]),
            ("openssl", None, false, &[]),
        ]);
        assert_eq!(
            heavy_on_the_path_of_run(&metadata),
            ["`ward run` would touch HTTP, SQLite or TLS code: \
              ward → ward-engine → innocent 1.0.0 → rusqlite 1.0.0"]
        );
    }

    fn findings(path: &str, text: &str, is_crate_root: bool, may_be_unsafe: bool) -> Findings {
        let mut findings = Findings::default();
        let file = SourceFile {
            path: PathBuf::from(path),
            text: text.to_owned(),
            may_be_unsafe,
            is_crate_root,
        };
        judge_file(&file, &mut findings);
        findings
    }

    #[test]
    fn unsafe_code_is_wrong_but_in_its_room() {
        let text = "#![forbid(unsafe_code)]\nfn f() { unsafe {} }\n";
        let wrong = findings("crates/engine/src/lib.rs", text, true, false).wrong;
        assert_eq!(
            wrong,
            ["crates/engine/src/lib.rs:2: unsafe code outside ward-sys"]
        );
        assert!(
            findings("crates/sys/src/lib.rs", text, true, true)
                .wrong
                .is_empty()
        );
    }

    #[test]
    fn a_crate_root_must_forbid_unsafe_code() {
        let wrong = |root| findings("crates/cli/src/main.rs", "fn main() {}", root, false).wrong;
        assert_eq!(wrong(true).len(), 1);
        assert!(wrong(false).is_empty());
    }

    #[test]
    fn names_that_say_nothing_are_wrong_as_files_directories_and_modules() {
        for (path, text) in [
            ("crates/cli/src/utils.rs", ""),
            ("crates/cli/src/common/exit.rs", ""),
            ("crates/cli/src/run.rs", "mod helpers { }"),
        ] {
            assert_eq!(findings(path, text, false, false).wrong.len(), 1, "{path}");
        }
        let fine = findings(
            "crates/cli/src/commands/run.rs",
            "mod utility;",
            false,
            false,
        );
        assert!(fine.wrong.is_empty());
    }

    #[test]
    fn a_test_that_sleeps_is_wrong() {
        let text = "use std::thread;\nfn t() { thread::sleep(LONG); }\n// thread::sleep\n";
        let wrong = |path| findings(path, text, false, false).wrong;
        assert_eq!(wrong("crates/cli/tests/stop.rs").len(), 1);
        assert!(wrong("crates/testkit/src/patience.rs").is_empty());
        let step = "run(\"sleep 5\"); thread::spawn(work);";
        assert!(
            findings("crates/cli/tests/stop.rs", step, false, false)
                .wrong
                .is_empty()
        );
    }

    #[test]
    fn a_long_file_is_worth_a_word_and_a_longer_one_is_wrong() {
        let of = |lines: usize| findings("a.rs", &"//\n".repeat(lines), false, false);
        assert!(of(600).notes.is_empty() && of(600).wrong.is_empty());
        assert!(of(601).notes.len() == 1 && of(601).wrong.is_empty());
        assert!(of(700).notes.len() == 1 && of(700).wrong.is_empty());
        assert!(of(701).notes.is_empty() && of(701).wrong.len() == 1);
    }
}
