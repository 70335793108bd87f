//! FLoM's configuration files, names of resources, and ways to write a time.

#![no_main]

use libfuzzer_sys::fuzz_target;

mod error {
    pub(crate) use ward_lock::LockError;
}

#[expect(dead_code, reason = "of the rooms, only a part is looked at")]
#[path = "../../crates/lock/src/timestamp.rs"]
mod timestamp;

#[expect(dead_code, reason = "of the rooms, only a part is looked at")]
#[path = "../../crates/cli/src/compat/flom"]
mod flom {
    mod configuration;
    mod key_file;
    mod names;
    mod refusal;
    mod settings;
    mod strftime;

    use std::path::Path;

    use configuration::{Configuration, Layer};

    pub(super) fn file(bytes: &[u8]) {
        if let Ok(layer) = Layer::read(Path::new("/etc/flom.conf"), bytes) {
            let mut all = Configuration::default();
            all.lay_over(layer);
            assert!(all.told().contains("[Resource]/Name="));
        }
    }

    pub(super) fn name(text: &str) {
        if let Ok(resource) = names::Resource::parse(text) {
            assert_eq!(resource.name(), text);
            let _ = resource.wanted(ward_model::lock::Mode::EX, 1, true);
        }
    }

    pub(super) fn time(text: &str) -> String {
        let plain = strftime::plain(text);
        assert_eq!(strftime::plain(&plain), plain);
        plain
    }
}

fuzz_target!(|data: &[u8]| {
    flom::file(data);
    if let Ok(text) = std::str::from_utf8(data) {
        flom::name(text);
        let plain = flom::time(text);
        if let Ok(format) = timestamp::Format::new(&plain) {
            assert!(format.unit() > 0);
            let _ = format.write(-1);
        }
    }
});
