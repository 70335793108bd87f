//! Test results.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ward_build::junit::{Budget, parse};

fuzz_target!(|data: &[u8]| {
    let mut budget = Budget {
        cases: 1000,
        text: 1 << 20,
    };
    let parsed = parse(data, "file", false, &mut budget);
    let cases: usize = parsed.suites.iter().map(|suite| suite.cases.len()).sum();
    assert!(cases <= 1000);
});
