//! Links the binary so that it starts fast; see `ward_sys::start`.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if variable("CARGO_CFG_TARGET_OS") != "linux" {
        return;
    }
    for name in ["pthread_getattr_np", "_dl_get_origin"] {
        println!("cargo::rustc-link-arg-bins=-Wl,--wrap={name}");
    }
    if takes_an_order() {
        let list = format!("{}/order.txt", variable("CARGO_MANIFEST_DIR"));
        println!("cargo::rerun-if-changed={list}");
        println!("cargo::rustc-link-arg-bins=-Wl,--symbol-ordering-file={list}");
        // Names of an older compiler are no mistake.
        println!("cargo::rustc-link-arg-bins=-Wl,--no-warn-symbol-ordering");
        // Where whoever makes the list wants to be told what lies where (`cargo xtask order`). Nothing else
        // may differ from an ordinary build, or functions are called by other names.
        println!("cargo::rerun-if-env-changed=WARD_LINK_MAP");
        let map = variable("WARD_LINK_MAP");
        if !map.is_empty() {
            println!("cargo::rustc-link-arg-bins=-Wl,-Map={map},--no-demangle");
        }
    }
}

/// Whether the linker is the one that takes a list of what to put first (LLD, which the compiler uses by
/// itself for this target), and the program the one that was measured.
fn takes_an_order() -> bool {
    let is_chosen = |flags: &str| flags.contains("linker=") || flags.contains("fuse-ld");
    variable("TARGET") == "x86_64-unknown-linux-gnu"
        && variable("PROFILE") == "release"
        && variable("RUSTC_LINKER").is_empty()
        && !is_chosen(&variable("CARGO_ENCODED_RUSTFLAGS"))
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}
