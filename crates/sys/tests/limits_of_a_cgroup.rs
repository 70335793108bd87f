//! A limit in a cgroup that holds ourselves and nobody else: we must step aside first.

use std::fs;
use std::path::Path;
use std::process::Command;

use ward_sys::contain::cgroup::{self, Cgroup};

/// Tells the inner test that it runs in a cgroup of its own.
const INSIDE: &str = "WARD_TEST_INSIDE";

/// Controllers of the unified hierarchy, with a file of each and a value for it.
const CONTROLLERS: [(&str, &str, &str); 4] = [
    ("memory", "memory.max", "1073741824"),
    ("pids", "pids.max", "100"),
    ("cpu", "cpu.max", "50000 100000"),
    ("hugetlb", "hugetlb.2MB.max", "0"),
];

fn available(directory: &Path) -> Option<(&'static str, &'static str, &'static str)> {
    let text = fs::read_to_string(directory.join("cgroup.controllers")).ok()?;
    CONTROLLERS
        .into_iter()
        .find(|(name, ..)| text.split_ascii_whitespace().any(|known| known == *name))
}

#[test]
fn one_alone_in_its_cgroup_steps_aside() {
    let Ok(own) = cgroup::own_directory() else {
        println!("SKIPPED: no cgroup v2 here");
        return;
    };
    let outer = own.join(format!("ward-sys-test-{}", std::process::id()));
    let Some((controller, ..)) = available(&own).filter(|_| fs::create_dir(&outer).is_ok()) else {
        println!("SKIPPED: no cgroup with a controller can be made here");
        return;
    };
    let enabled = fs::write(own.join("cgroup.subtree_control"), format!("+{controller}"));
    let status = Command::new("sh")
        .args([
            "-c",
            "echo $$ > \"$0/cgroup.procs\" && exec \"$1\" --exact inside --nocapture",
        ])
        .arg(&outer)
        .arg(std::env::current_exe().expect("our own executable"))
        .env(INSIDE, controller)
        .status()
        .expect("sh");
    cgroup::remove_tree(&outer);
    // As it was, unless something else of ours needs it meanwhile.
    let _ = fs::write(own.join("cgroup.subtree_control"), format!("-{controller}"));
    if enabled.is_err() {
        println!("SKIPPED: {controller} cannot be enabled for children here");
        return;
    }
    assert!(status.success());
}

#[test]
fn inside() {
    let Ok(controller) = std::env::var(INSIDE) else {
        return;
    };
    let own = cgroup::own_directory().expect("a cgroup");
    let made = Cgroup::create(&own, "run").expect("a cgroup in it");
    let (controller, file, value) = CONTROLLERS
        .into_iter()
        .find(|(name, ..)| *name == controller)
        .expect("a known controller");
    made.set_limit(controller, file, value).expect("a limit");
    let set = fs::read_to_string(made.path().join(file)).expect("its file");
    assert_eq!(set.trim(), value);
    assert_ne!(
        cgroup::own_directory().expect("a cgroup"),
        own,
        "we stepped aside"
    );
    made.remove();
}
