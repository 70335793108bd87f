//! Ant's patterns, with paths that they may mean.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ward_build::artifacts::Patterns;

fuzz_target!(|input: (String, String, bool, &[u8])| {
    let (include, exclude, is_case_sensitive, path) = input;
    let Ok(patterns) = Patterns::read(&[include], &[exclude], true, is_case_sensitive) else {
        return;
    };
    let mut place = patterns.top();
    let mut names = path.split(|byte| *byte == b'/').peekable();
    let mut is_reached = true;
    while let Some(name) = names.next() {
        place = patterns.step(&place, name);
        if names.peek().is_some() {
            is_reached = is_reached && patterns.may_be_below(&place);
        }
    }
    // No walk passes over a directory with something that is meant in it.
    assert!(is_reached || !patterns.is_meant(&place));
});
