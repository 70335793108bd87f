//! Sifting in pieces is like sifting the whole.

use super::*;
use proptest::prelude::*;

type Result = (Vec<u8>, Vec<Vec<u8>>);

/// Feeds it piece by piece, as a channel does.
fn pieces(sieve: Sieve, bytes: &[u8], cuts: &[usize]) -> Result {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| (*cut).min(bytes.len())).collect();
    cuts.push(0);
    cuts.push(bytes.len());
    cuts.sort_unstable();
    let (mut log, mut captured) = (Vec::new(), Vec::new());
    let mut waiting = Vec::new();
    let mut searched = 0;
    let mut state = State::default();
    let mut take = |waiting: &mut Vec<u8>, searched: &mut usize, last| {
        let sifted = sieve.sift(state, waiting, *searched, last);
        let mut from = 0;
        for part in &sifted.parts {
            match part {
                Part::Logged(upto) => {
                    log.extend_from_slice(&sifted.log[from..*upto]);
                    from = *upto;
                }
                Part::Captured(payload) => captured.push(payload.clone()),
            }
        }
        assert_eq!(from, sifted.log.len());
        waiting.drain(..sifted.used);
        *searched = waiting.len();
        state = sifted.state;
    };
    for pair in cuts.windows(2) {
        waiting.extend_from_slice(&bytes[pair[0]..pair[1]]);
        take(&mut waiting, &mut searched, false);
    }
    take(&mut waiting, &mut searched, true);
    assert_eq!(waiting, b"");
    (log, captured)
}

/// Splits all of it at once.
fn naive(sieve: Sieve, bytes: &[u8]) -> Result {
    let strip = |bytes: &[u8]| {
        let mut out = Vec::new();
        if sieve.strip {
            Escape::Text.strip(bytes, &mut out).end(&mut out);
        } else {
            out.extend_from_slice(bytes);
        }
        out
    };
    let at = |text: &[u8], tag: &[u8]| text.windows(tag.len()).position(|it| it == tag);
    let (mut log, mut captured) = (Vec::new(), Vec::new());
    let mut rest = bytes;
    loop {
        let begin = if sieve.capture == 0 {
            None
        } else {
            at(rest, BEGIN)
        };
        let Some(begin) = begin else {
            log.extend(strip(rest));
            return (log, captured);
        };
        let inside = &rest[begin + BEGIN.len()..];
        let Some(end) = at(inside, END) else {
            log.extend(strip(rest));
            return (log, captured);
        };
        log.extend(strip(&rest[..begin]));
        let payload = strip(&inside[..end]);
        let from = payload.len().saturating_sub(sieve.capture);
        captured.push(payload[from..].to_vec());
        rest = &inside[end + END.len()..];
    }
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        4 => Just(BEGIN.to_vec()),
        4 => Just(END.to_vec()),
        1 => Just(b"<!--XSUPERVISOR:".to_vec()),
        1 => Just(b"<".to_vec()),
        1 => Just(b"\x1b[31m".to_vec()),
        1 => Just(b"\x1b".to_vec()),
        1 => Just(b"[1".to_vec()),
        3 => proptest::collection::vec(any::<u8>(), 0..12),
    ];
    proptest::collection::vec(word, 0..12).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn however_it_is_cut(
        bytes in text(),
        cuts in proptest::collection::vec(0_usize..200, 0..12),
        strip: bool,
        capture: bool,
    ) {
        let capture = if capture { 1000 } else { 0 };
        let sieve = Sieve { strip, capture };
        prop_assert_eq!(pieces(sieve, &bytes, &cuts), naive(sieve, &bytes));
        if sieve.passes(&bytes) {
            prop_assert_eq!(pieces(sieve, &bytes, &cuts), (bytes, Vec::new()));
        }
    }

    #[test]
    fn of_a_capture_that_is_too_long_the_last_bytes_stay(
        payload in proptest::collection::vec(b'a'..=b'z', 0..100),
        cuts in proptest::collection::vec(0_usize..160, 0..12),
        capture in 1_usize..20,
    ) {
        let sieve = Sieve { strip: false, capture };
        let bytes = [b"before", BEGIN, &payload, END, b"after"].concat();
        prop_assert_eq!(pieces(sieve, &bytes, &cuts), naive(sieve, &bytes));
    }
}

#[test]
fn a_tag_that_did_not_come_is_text_at_the_end() {
    let sieve = Sieve {
        strip: false,
        capture: 100,
    };
    let short = b"short <!--XSUPERVISOR:BEG";
    assert_eq!(pieces(sieve, short, &[9, 14]), (short.to_vec(), vec![]));
    let unended = [b"a", BEGIN, b"never ended"].concat();
    let sifted = sieve.sift(State::default(), &unended, 0, false);
    assert_eq!((sifted.used, sifted.log), (1, b"a".to_vec()));
    let sifted = sieve.sift(State::default(), &unended, 0, true);
    assert!(sifted.unended);
    assert_eq!(sifted.log, unended);
}

#[test]
fn an_endless_capture_is_bounded() {
    let sieve = Sieve {
        strip: true,
        capture: 10,
    };
    let mut waiting = BEGIN.to_vec();
    let mut state = State::default();
    for _ in 0..1000 {
        waiting.extend_from_slice(b"0123456789");
        let sifted = sieve.sift(state, &waiting, 0, false);
        assert_eq!(sifted.log, b"");
        waiting.drain(..sifted.used);
        state = sifted.state;
        assert!(waiting.len() < 100);
    }
}
