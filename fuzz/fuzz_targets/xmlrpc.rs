//! XML-RPC in both directions: what was read and written again is read as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ward_serve::xmlrpc::{parse_call, parse_response, write_call, write_response};

fuzz_target!(|data: &[u8]| {
    if let Ok(call) = parse_call(data) {
        let written = write_call(&call);
        let again = parse_call(&written).expect("what was written can be read");
        assert_eq!(write_call(&again), written);
    }
    if let Ok(answer) = parse_response(data) {
        let written = write_response(&answer);
        let again = parse_response(&written).expect("what was written can be read");
        assert_eq!(write_response(&again), written);
    }
});
