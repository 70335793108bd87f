//! Secrets in output: none is shown, however it is cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ward_build::masking::Masker;

fuzz_target!(|input: (Vec<Vec<u8>>, Vec<&[u8]>)| {
    let (secrets, pieces) = input;
    let mut masker = Masker::new(&secrets);
    let mut shown = Vec::new();
    for piece in &pieces {
        masker.feed(piece, &mut shown);
    }
    masker.finish(&mut shown);
    assert_eq!(shown, masker.mask(&pieces.concat()));
    for line in secrets
        .iter()
        .flat_map(|secret| secret.split(|byte| *byte == b'\n'))
    {
        let line = line.trim_ascii();
        if line.len() >= 4 && !line.contains(&b'*') {
            assert!(!shown.windows(line.len()).any(|window| window == line));
        }
    }
});
