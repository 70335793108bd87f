//! Which part of a file is asked for: one range of bytes (RFC 9110, section 14), and whether it is still the
//! same file (section 13.1.5).
//!
//! Several ranges at once are answered with everything, which the RFC leaves to the server: an answer in parts
//! costs more than it saves, and has been used to tire servers out.

use std::time::{Duration, SystemTime};

use hyper::Method;
use hyper::header::{HeaderMap, IF_RANGE, RANGE};

/// A date tells two states of a file apart only if it is older than this (RFC 9110, section 8.8.2.2).
const TELLS_APART: Duration = Duration::from_secs(1);

/// What of a file is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Everything.
    Whole,
    /// The bytes from the first to before the second; never none.
    Bytes(u64, u64),
    /// Nothing: what was asked for begins behind the end.
    Beyond,
}

/// What a file is known by.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Marks<'a> {
    /// Its entity tag, with its quotation marks; a strong one.
    pub(super) tag: Option<&'a str>,
    /// When it was changed.
    pub(super) modified: Option<SystemTime>,
}

/// What of a file of `length` bytes is asked for. What is no range, or one of another kind, asks for all.
pub(super) fn wanted(
    method: &Method,
    headers: &HeaderMap,
    length: u64,
    marks: Marks<'_>,
    now: SystemTime,
) -> Part {
    // HEAD has no ranges (section 14.2).
    if *method != Method::GET || !is_same(headers, marks, now) {
        return Part::Whole;
    }
    let mut said = headers.get_all(RANGE).iter();
    let (Some(range), None) = (said.next(), said.next()) else {
        return Part::Whole;
    };
    range
        .to_str()
        .ok()
        .and_then(|range| read(range, length))
        .unwrap_or(Part::Whole)
}

/// Whether the client has a part of just this file; so it is if it does not say.
fn is_same(headers: &HeaderMap, marks: Marks<'_>, now: SystemTime) -> bool {
    let mut said = headers.get_all(IF_RANGE).iter();
    let Some(mark) = said.next() else {
        return true;
    };
    let Ok(mark) = mark.to_str() else {
        return false;
    };
    if said.next().is_some() {
        return false;
    }
    if mark.starts_with('"') {
        return marks.tag == Some(mark);
    }
    let Some(modified) = marks.modified else {
        return false;
    };
    let tells_apart = now
        .duration_since(modified)
        .is_ok_and(|age| age >= TELLS_APART);
    tells_apart && mark == httpdate::fmt_http_date(modified)
}

/// `bytes=FIRST-LAST`, `bytes=FIRST-` or `bytes=-COUNT`; nothing for what is none of these.
fn read(range: &str, length: u64) -> Option<Part> {
    let (unit, set) = range.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = set.trim_matches([' ', '\t']).split_once('-')?;
    let is_open = last.is_empty();
    let last = match number(last) {
        None if !is_open => return None,
        last => last,
    };
    Some(if first.is_empty() {
        match last? {
            0 => Part::Beyond,
            // Of a file without bytes the last ones are all there are.
            _ if length == 0 => Part::Whole,
            count => Part::Bytes(length.saturating_sub(count), length),
        }
    } else {
        let first = number(first)?;
        let last = last.unwrap_or(u64::MAX);
        if first > last {
            return None;
        }
        if first >= length {
            Part::Beyond
        } else {
            Part::Bytes(first, last.saturating_add(1).min(length))
        }
    })
}

/// Digits; a number that nothing can hold is as good as the greatest.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::{Marks, Part, wanted};
    use hyper::Method;
    use hyper::header::{HeaderMap, HeaderValue, IF_RANGE, RANGE};
    use proptest::prelude::*;
    use std::time::{Duration, SystemTime};

    fn asked(range: &str, length: u64) -> Part {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, HeaderValue::from_str(range).expect("a value"));
        let now = SystemTime::now();
        wanted(&Method::GET, &headers, length, Marks::default(), now)
    }

    #[test]
    fn one_range_is_read_and_nothing_else_is() {
        use Part::{Beyond, Bytes, Whole};
        for (range, length, part) in [
            ("bytes=0-", 10, Bytes(0, 10)),
            ("BYTES=0-0", 10, Bytes(0, 1)),
            ("bytes=3-5", 10, Bytes(3, 6)),
            ("bytes= 3-5 ", 10, Bytes(3, 6)),
            ("bytes=9-", 10, Bytes(9, 10)),
            ("bytes=9-99999999999999999999999", 10, Bytes(9, 10)),
            ("bytes=-3", 10, Bytes(7, 10)),
            ("bytes=-30", 10, Bytes(0, 10)),
            ("bytes=-99999999999999999999999", 10, Bytes(0, 10)),
            ("bytes=-0", 10, Beyond),
            ("bytes=10-", 10, Beyond),
            ("bytes=10-20", 10, Beyond),
            ("bytes=99999999999999999999999-", 10, Beyond),
            ("bytes=0-", 0, Beyond),
            ("bytes=-1", 0, Whole),
            ("bytes=5-3", 10, Whole),
            ("bytes=0-1,3-4", 10, Whole),
            ("bytes=0-1,", 10, Whole),
            ("bytes=", 10, Whole),
            ("bytes=-", 10, Whole),
            ("bytes", 10, Whole),
            ("bytes=+1-2", 10, Whole),
            ("bytes=1 - 2", 10, Whole),
            ("bytes=0x1-", 10, Whole),
            ("bytes=--1", 10, Whole),
            ("bytes=1-2-3", 10, Whole),
            ("bytes =1-2", 10, Whole),
            ("lines=1-2", 10, Whole),
            ("", 10, Whole),
        ] {
            assert_eq!(asked(range, length), part, "{range:?} of {length}");
        }
    }

    #[test]
    fn two_headers_and_other_methods_ask_for_everything() {
        let mut headers = HeaderMap::new();
        headers.append(RANGE, HeaderValue::from_static("bytes=0-1"));
        let now = SystemTime::now();
        for method in [Method::HEAD, Method::POST] {
            let part = wanted(&method, &headers, 9, Marks::default(), now);
            assert_eq!(part, Part::Whole, "{method}");
        }
        headers.append(RANGE, HeaderValue::from_static("bytes=0-1"));
        let part = wanted(&Method::GET, &headers, 9, Marks::default(), now);
        assert_eq!(part, Part::Whole);
    }

    #[test]
    fn a_part_is_sent_only_of_what_the_client_has_the_beginning_of() {
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let marks = Marks {
            tag: Some("\"abc\""),
            modified: Some(modified),
        };
        let later = modified + Duration::from_secs(5);
        let of = |marks, said: &[&str], now| {
            let mut headers = HeaderMap::new();
            headers.insert(RANGE, HeaderValue::from_static("bytes=1-"));
            for one in said {
                headers.append(IF_RANGE, HeaderValue::from_str(one).expect("a value"));
            }
            wanted(&Method::GET, &headers, 9, marks, now)
        };
        let date = "Sun, 09 Sep 2001 01:46:40 GMT";
        for said in [&[][..], &["\"abc\""], &[date]] {
            assert_eq!(of(marks, said, later), Part::Bytes(1, 9), "{said:?}");
        }
        for said in [
            &["\"abd\""][..],
            &["W/\"abc\""],
            &["abc"],
            &[""],
            &["Sun, 09 Sep 2001 01:46:41 GMT"],
            &["\"abc\"", "\"abc\""],
        ] {
            assert_eq!(of(marks, said, later), Part::Whole, "{said:?}");
        }
        assert_eq!(of(marks, &[date], modified), Part::Whole, "just written");
        let unknown = Marks::default();
        for said in [&["\"abc\""][..], &[date]] {
            assert_eq!(of(unknown, said, later), Part::Whole, "{said:?}");
        }
    }

    proptest! {
        #[test]
        fn a_part_is_within(range in "(bytes)?=?[-0-9, ]{0,30}", length in any::<u64>()) {
            match asked(&range, length) {
                Part::Bytes(from, to) => prop_assert!(from < to && to <= length),
                Part::Whole | Part::Beyond => {}
            }
        }
    }
}
