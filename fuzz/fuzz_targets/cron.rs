//! Times in Jenkins' notation: what is read is due some day, before and after.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ward_model::build::cron::{Cron, Minute};

fuzz_target!(|input: (i64, &str)| {
    let (seed, spec) = input;
    let Ok(cron) = Cron::parse(spec, seed) else {
        return;
    };
    let from = Minute::new(2026, 6, 15, 12, 30).expect("a minute");
    let next = cron.next_after(&from);
    assert_eq!(next.is_none(), cron.is_empty());
    if let Some(next) = next {
        assert!(next > from && cron.matches(&next));
        assert!(cron.previous(&next).is_none_or(|it| it <= from));
    }
    assert!(!cron.summary().is_empty());
});
