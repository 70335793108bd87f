//! Jenkins' documents of jobs and views: what was read and written again is read as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ward_build::jenkins;

fuzz_target!(|data: &[u8]| {
    if let Ok(parsed) = jenkins::parse("job", data) {
        let written = jenkins::write(&parsed.job);
        jenkins::parse("job", &written).expect("what was written can be read");
        if let Ok(edited) = jenkins::edit_disabled(data, true) {
            let again = jenkins::parse("job", &edited).expect("what was edited can be read");
            assert!(again.job.disabled);
        }
    }
    if let Ok(view) = jenkins::parse_view(data) {
        jenkins::parse_view(&jenkins::write_view(&view)).expect("what was written can be read");
    }
});
