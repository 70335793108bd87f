//! Links the binary so that it starts fast; see `ward_sys::start`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        for name in ["pthread_getattr_np", "_dl_get_origin"] {
            println!("cargo::rustc-link-arg-bins=-Wl,--wrap={name}");
        }
    }
}
