//! What event listeners write: however it is cut, it means the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ward_config::group::ResultHandler;
use ward_supervise::events::{Heard, Listener, ListenerState, judge};

fn hear<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<String>, ListenerState) {
    let mut listener = Listener::new(ListenerState::Acknowledged);
    let mut all = Vec::new();
    for piece in pieces {
        let mut heard: Vec<Heard> = Vec::new();
        listener.feed(piece, &mut heard);
        all.extend(heard.iter().map(|heard| format!("{heard:?}")));
    }
    (all, listener.state())
}

fuzz_target!(|data: &[u8]| {
    let (_, whole) = hear(std::iter::once(data));
    let (_, cut) = hear(data.chunks(1));
    assert_eq!(whole, cut);
    let _ = judge(ResultHandler::Default, data);
    let _ = judge(ResultHandler::Print, data);
});
