//! `environment=`, command lines, and `%(names)s`.

#![no_main]

use std::collections::BTreeMap;
use std::rc::Rc;

use libfuzzer_sys::fuzz_target;
use ward_config::ini::expand::{Names, expand};
use ward_config::ini::words::{arguments, pairs};

fuzz_target!(|text: &str| {
    if let Ok(found) = pairs(text) {
        assert!(found.pairs.len() <= text.len());
    }
    if let Ok(words) = arguments(text) {
        assert!(words.iter().map(String::len).sum::<usize>() <= text.len());
    }
    let environment = BTreeMap::from([("X".to_owned(), "value".to_owned())]);
    let names = Names::of_environment(&Rc::new(environment)).with("here", "/etc");
    let _ = expand(text, &names);
});
