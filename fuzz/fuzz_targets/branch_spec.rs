//! Branch specifications, with names that they may mean.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ward_build::triggers::BranchSpec;

fuzz_target!(|input: (&str, &str)| {
    let (spec, name) = input;
    if let Ok(spec) = BranchSpec::new(spec, "origin", |name| Some(name.to_owned())) {
        let reference = format!("refs/heads/{name}");
        assert!(spec.commit().is_none() || !spec.matches(&reference));
        let _ = spec.is_exact();
    }
});
