//! Whatever is cut up how: no secret comes through, and nothing else is lost.

use data_encoding::{BASE64, BASE64URL_NOPAD};
use proptest::prelude::*;

use super::{ALL_FORMS, MASK, Masker};

fn masker(secrets: &[&str]) -> Masker {
    let secrets: Vec<Vec<u8>> = secrets.iter().map(|it| it.as_bytes().to_vec()).collect();
    Masker::new(&secrets)
}

fn masked(secrets: &[&str], text: &str) -> String {
    String::from_utf8(masker(secrets).mask(text.as_bytes())).expect("text")
}

/// What comes out if it is fed in pieces of these lengths, again and again.
fn in_pieces(secrets: &[Vec<u8>], text: &[u8], lengths: &[usize]) -> Vec<u8> {
    let mut masker = Masker::new(secrets);
    let mut out = Vec::new();
    let mut rest = text;
    for length in lengths.iter().cycle() {
        let (piece, after) = rest.split_at(rest.len().min((*length).max(1)));
        masker.feed(piece, &mut out);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    masker.finish(&mut out);
    out
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[test]
fn secrets_are_masked_and_the_rest_is_not() {
    let table = [
        ("a hunter2 b", "a ******** b"),
        ("hunter2", "********"),
        ("hunter2hunter2", "****************"),
        ("hunter", "hunter"),
        ("hunterhunter2", "hunter********"),
        ("hunter\n2", "hunter\n2"),
        ("s3cr3t-and-more", "********-and-more"),
        // Overlapping ones have one mask, to the last byte of both.
        ("xabcdefy", "x********y"),
    ];
    for (text, shown) in table {
        assert_eq!(masked(&["hunter2", "s3cr3t", "abcd", "cdef"], text), shown);
    }
    assert_eq!(
        masked(&["inner", "an inner one"], "an inner one"),
        "********"
    );
    assert_eq!(
        masked(&["inner", "an inner one"], "an inner on"),
        "an ******** on"
    );
}

#[test]
fn lines_of_a_secret_are_masked_one_by_one() {
    let key = "-----BEGIN KEY-----\r\n  MIIEow1BAAKCAQEA\r\n}\r\n-----END KEY-----\n";
    assert_eq!(
        masked(&[key], "+ echo MIIEow1BAAKCAQEA }\n-----END KEY-----"),
        "+ echo ******** }\n********"
    );
    assert_eq!(
        masked(&["word\n"], "a word, sword"),
        "a ********, s********"
    );
}

#[test]
fn short_secrets_are_counted_and_left() {
    let masker = masker(&["abc", "", "\n\n", "a\nb\nc\n", "long enough"]);
    assert_eq!(masker.too_short(), 3);
    assert_eq!(masker.mask(b"abc long enough"), b"abc ********");
    assert!(!masker.is_idle());
    assert!(Masker::new(&[]).is_idle());
}

#[test]
fn base64_is_masked_wherever_it_stands() {
    let secret = "Tr0ub4dor&3?>";
    for before in ["", "a", "ab", "abc", "user:"] {
        for after in ["", "x", "xy", "xyz"] {
            let clear = format!("{before}{secret}{after}");
            let encoded = BASE64.encode(clear.as_bytes());
            let shown = masked(&[secret], &encoded);
            assert!(shown.contains("********"), "{encoded}");
            // At most one character on either side tells anything of the secret, and not all of a byte.
            let rest = shown.replace("********", "");
            let around = before.len().div_ceil(3) * 4 + after.len().div_ceil(3) * 4 + 4;
            assert!(rest.len() <= around, "{encoded} {shown}");
        }
    }
    assert_eq!(
        masked(&[secret], &BASE64.encode(secret.as_bytes())),
        "********"
    );
    let url = BASE64URL_NOPAD.encode(secret.as_bytes());
    assert_ne!(url, BASE64.encode(secret.as_bytes()));
    assert!(masked(&[secret], &url).starts_with("********"));
}

#[test]
fn base64_in_lines_is_masked() {
    let secret: String = (0..300_u32)
        .map(|number| char::from(b'!' + (number * 37 % 90) as u8))
        .collect();
    let encoded = BASE64.encode(secret.as_bytes());
    for width in [76, 64] {
        let wrapped: Vec<&str> = encoded
            .as_bytes()
            .chunks(width)
            .map(|line| std::str::from_utf8(line).expect("text"))
            .collect();
        let shown = masked(&[&secret], &wrapped.join("\n"));
        assert!(shown.lines().all(|line| line == "********"), "{shown}");
    }
}

#[test]
fn quoted_and_percent_encoded_ones_are_masked() {
    let secret = r#"it's "50%" a/b\c"#;
    for shown in [
        "it%27s%20%2250%25%22%20a%2Fb%5Cc",
        "it%27s%20%2250%25%22%20a%2fb%5cc",
        "it%27s+%2250%25%22+a%2Fb%5Cc",
        r#"it'\''s "50%" a/b\c"#,
        r#"it'"'"'s "50%" a/b\c"#,
        r#"it's \"50%\" a/b\\c"#,
        r#"it's \"50%\" a\/b\\c"#,
    ] {
        let text = format!("<{shown}>");
        assert_eq!(masked(&[secret], &text), "<********>", "{shown}");
    }
}

#[test]
fn output_is_held_back_no_longer_than_it_must() {
    let mut masker = masker(&["hunter2"]);
    let mut out = Vec::new();
    masker.feed(b"Enter the hunt", &mut out);
    assert_eq!(
        (out.as_slice(), masker.held_back()),
        (&b"Enter the "[..], 4)
    );
    masker.feed(b"ing ground: ", &mut out);
    assert_eq!(masker.held_back(), 0);
    assert_eq!(out, b"Enter the hunting ground: ");
    out.clear();
    masker.feed(b"hunter", &mut out);
    assert_eq!(masker.held_back(), 6);
    masker.feed(b"\n", &mut out);
    assert_eq!((out.as_slice(), masker.held_back()), (&b"hunter\n"[..], 0));
    out.clear();
    masker.feed(b"hunter", &mut out);
    masker.finish(&mut out);
    assert_eq!(out, b"hunter");
    // What comes after the end is something else.
    masker.feed(b"2\n", &mut out);
    assert_eq!(out, b"hunter2\n");
    out.clear();
    masker.feed(b"hunter2", &mut out);
    assert_eq!((out.as_slice(), masker.held_back()), (MASK, 0));
}

#[test]
fn without_secrets_bytes_go_through() {
    let mut masker = Masker::new(&[]);
    let mut out = Vec::new();
    masker.feed(b"\xff\x00anything", &mut out);
    masker.finish(&mut out);
    assert_eq!(out, b"\xff\x00anything");
    assert_eq!(masker.held_back(), 0);
}

#[test]
fn great_secrets_are_masked_as_they_are() {
    let line = |number: usize| format!("line {number} of a great secret & more");
    let lines: Vec<String> = (0..ALL_FORMS / 20).map(line).collect();
    let great = lines.join("\n");
    assert!(great.len() > ALL_FORMS);
    let masker = masker(&[&great, "a small one"]);
    let text = great.as_bytes();
    let shown = masker.mask(text);
    assert_eq!(shown.len(), lines.len() * (MASK.len() + 1) - 1);
    assert_eq!(masker.mask(b"a small one"), MASK);
}

#[test]
fn nobody_is_told_the_secret_by_a_debugger() {
    let text = format!("{:?}", masker(&["hunter2"]));
    assert!(!text.contains("hunter2") && !text.contains("104"), "{text}");
}

/// Few letters, so that secrets overlap, repeat and begin in one another.
fn secret() -> impl Strategy<Value = Vec<u8>> {
    "[ab\n]{0,12}".prop_map(String::into_bytes)
}

proptest! {
    #[test]
    fn how_it_is_cut_makes_no_difference(
        secrets in proptest::collection::vec(secret(), 0..6),
        text in "[ab\nc]{0,200}",
        lengths in proptest::collection::vec(1..20_usize, 1..6),
    ) {
        let whole = Masker::new(&secrets).mask(text.as_bytes());
        prop_assert_eq!(&in_pieces(&secrets, text.as_bytes(), &lengths), &whole);
        prop_assert_eq!(in_pieces(&secrets, text.as_bytes(), &[1]), whole);
    }

    #[test]
    fn no_line_of_a_secret_is_left(
        secrets in proptest::collection::vec(secret(), 1..6),
        text in "[ab\nc]{0,200}",
    ) {
        let shown = Masker::new(&secrets).mask(text.as_bytes());
        for secret in &secrets {
            for line in secret.split(|it| *it == b'\n').filter(|line| line.len() >= 4) {
                prop_assert!(!contains(&shown, line), "{:?} in {:?}", secret, shown);
            }
        }
        // What belongs to no occurrence is there, in order.
        let mut rest = text.as_bytes().iter();
        let kept = shown.iter().filter(|byte| **byte != b'*');
        prop_assert!(kept.clone().all(|byte| rest.any(|it| it == byte)));
    }

    /// Against a search that looks everywhere: exactly what belongs to an occurrence is masked.
    #[test]
    fn just_the_occurrences_are_masked(
        secrets in proptest::collection::vec("[abc]{4,7}", 1..5),
        text in "[abc]{0,100}",
    ) {
        let plain: Vec<Vec<u8>> = secrets.iter().map(|it| it.clone().into_bytes()).collect();
        let shown = Masker::new(&plain).mask(text.as_bytes());
        let mut covered = vec![false; text.len()];
        // Whether an occurrence goes on over the border before this byte.
        let mut joined = vec![false; text.len() + 1];
        for secret in &secrets {
            for (at, _) in text.char_indices().filter(|(at, _)| text[*at..].starts_with(secret.as_str())) {
                covered[at..at + secret.len()].fill(true);
                joined[at + 1..at + secret.len()].fill(true);
            }
        }
        let mut wanted = Vec::new();
        for (at, byte) in text.bytes().enumerate() {
            if !covered[at] {
                wanted.push(byte);
            } else if !joined[at] {
                wanted.extend_from_slice(MASK);
            }
        }
        // Base64 of such letters is made of others.
        prop_assert_eq!(shown, wanted);
    }

    #[test]
    fn any_bytes_at_all(
        secrets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..8),
        text in proptest::collection::vec(any::<u8>(), 0..300),
        lengths in proptest::collection::vec(1..50_usize, 1..4),
    ) {
        let mut text = text;
        for secret in &secrets {
            text.extend_from_slice(secret);
            text.extend_from_slice(BASE64.encode(secret).as_bytes());
        }
        let whole = Masker::new(&secrets).mask(&text);
        prop_assert_eq!(&in_pieces(&secrets, &text, &lengths), &whole);
        for secret in secrets.iter().filter(|it| it.trim_ascii().len() >= 4) {
            let stars = secret.contains(&b'*');
            prop_assert!(stars || secret.contains(&b'\n') || !contains(&whole, secret));
        }
    }
}
