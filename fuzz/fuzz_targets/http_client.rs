//! Answers of HTTP servers: heads, and bodies in chunks, however they are cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ward_serve::client::{Body, head};

fuzz_target!(|data: &[u8]| {
    let Ok(Some((head, length))) = head(data) else {
        return;
    };
    let rest = data
        .get(length..)
        .expect("a head is no longer than what was read");
    let mut whole = Vec::new();
    let mut body = Body::new(head.framing);
    let all = body.take(rest, &mut whole).is_ok();
    let mut cut = Vec::new();
    let mut body = Body::new(head.framing);
    let mut pieces = rest.chunks(1);
    let bit_by_bit = pieces.all(|piece| body.is_over() || body.take(piece, &mut cut).is_ok());
    assert_eq!((all, whole), (bit_by_bit, cut));
});
