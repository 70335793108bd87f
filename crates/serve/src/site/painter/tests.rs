use super::*;
use proptest::prelude::*;

struct NoClock;

impl Clock for NoClock {
    fn at(&mut self, _: u64) -> String {
        String::new()
    }
}

/// What a reader sees in the end, pieces put together as the pages do: lines, each without its own markup.
fn seen(bytes: &[u8], cuts: &[usize]) -> (Vec<String>, u64) {
    let mut painter = Painter::new(0, false);
    let mut lines: Vec<String> = Vec::new();
    let mut from = 0;
    for to in cuts.iter().copied().chain([bytes.len(), bytes.len()]) {
        let to = to.clamp(from, bytes.len());
        let last = to == bytes.len();
        let piece = painter.paint(&bytes[from..to], last, &mut NoClock);
        from += piece.taken;
        if piece.wipes {
            lines.last_mut().expect("a line that goes on").clear();
        }
        if !piece.head.is_empty() {
            let line = lines.last_mut().expect("a line that goes on");
            line.push_str(&piece.head);
        }
        for line in piece.lines.split_terminator("</div>\n") {
            let (_, line) = line.split_once('>').expect("its begin");
            lines.push(line.to_owned());
        }
    }
    assert_eq!(from, bytes.len(), "everything was taken");
    (lines, painter.at())
}

/// Without our own markup.
fn text(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('<') {
        out.push_str(before);
        rest = after.split_once('>').expect("its end").1;
    }
    out.push_str(rest);
    out
}

#[test]
fn lines_and_colours() {
    let log = b"plain <b>\r\n\n\x1b[1;31mred\x1b[0m done\nlast";
    let (lines, at) = seen(log, &[]);
    assert_eq!(
        lines,
        [
            "plain &lt;b&gt;",
            "",
            "<span class=\"bo f1 \">red</span> done",
            "last"
        ]
    );
    assert_eq!(at, log.len() as u64);
    let colour = |codes: &str| {
        let (lines, _) = seen(format!("\x1b[{codes}mx").as_bytes(), &[]);
        lines.concat()
    };
    for (codes, expected) in [
        ("31;1;39", "<span class=\"bo \">x</span>"),
        ("94", "<span class=\"f12 \">x</span>"),
        ("41", "<span class=\"g1\">x</span>"),
        ("38;5;196", "<span class=\"f9 \">x</span>"),
        ("38;2;0;128;0", "<span class=\"f2 \">x</span>"),
        ("38;5", "x"),
        ("", "x"),
        ("999", "x"),
    ] {
        assert_eq!(colour(codes), expected, "{codes}");
    }
}

#[test]
fn what_is_written_over_is_gone_and_what_pages_do_not_do_is_left_out() {
    assert_eq!(seen(b"10%\r50%\r100%\ndone", &[]).0, ["100%", "done"]);
    assert_eq!(
        seen(b"10%\r50%\r100%\ndone", &[3, 5, 8]).0,
        ["100%", "done"]
    );
    assert_eq!(
        seen(b"a\x1b[2K\x1b]0;title\x07b\x1b]8;;x\x1b\\c", &[]).0,
        ["abc"]
    );
    assert_eq!(seen(b"a\x1b]no end\nb", &[]).0, ["a", "b"]);
    assert_eq!(seen(b"a\x1b[no end\nb", &[2]).0, ["ao end", "b"]);
    assert_eq!(seen("é".as_bytes(), &[1]).0, ["é"]);
    assert_eq!(seen(b"\xc3\n\xff", &[1]).0, ["\u{fffd}", "\u{fffd}"]);
}

#[test]
fn offsets_are_those_of_raw_bytes() {
    struct Noted(Vec<u64>);
    impl Clock for Noted {
        fn at(&mut self, offset: u64) -> String {
            self.0.push(offset);
            "0:01.0\"".to_owned()
        }
    }
    let mut clock = Noted(Vec::new());
    let mut painter = Painter::new(100, false);
    let piece = painter.paint(b"\xffa\n\x1b[1mb\r\nc", true, &mut clock);
    assert_eq!(clock.0, [100, 107, 110]);
    assert!(
        piece.lines.contains("id=\"b107\" data-t=\"0:01.0&quot;\""),
        "{}",
        piece.lines
    );
    let mut painter = Painter::new(100, true);
    let piece = painter.paint(b"rest\nnext\n", true, &mut clock);
    assert_eq!((piece.head.as_str(), clock.0.last()), ("rest", Some(&105)));
    assert!(!painter.open);
}

proptest! {
    #[test]
    fn nothing_becomes_markup(bytes in any::<Vec<u8>>()) {
        for line in seen(&bytes, &[]).0 {
            let has_markup = text(&line).contains(['<', '>', '"', '\'', '\u{1b}']);
            prop_assert!(!has_markup, "{}", line);
        }
    }

    #[test]
    fn pieces_fit_together(
        bytes in proptest::collection::vec(
            prop_oneof![
                Just(b"\x1b[31m".to_vec()), Just(b"\x1b]0;t\x07".to_vec()), Just(b"\x1b".to_vec()),
                Just("é€".as_bytes().to_vec()), Just(b"\r\n".to_vec()), Just(b"\n".to_vec()),
                Just(b"\r".to_vec()), "[a-z<]{0,3}".prop_map(String::into_bytes),
                proptest::collection::vec(any::<u8>(), 0..3),
            ], 0..20),
        cuts in proptest::collection::vec(0usize..80, 0..6),
    ) {
        let bytes = bytes.concat();
        let mut cuts = cuts;
        cuts.sort_unstable();
        let (whole, at) = seen(&bytes, &[]);
        let (pieces, same) = seen(&bytes, &cuts);
        prop_assert_eq!(at, same);
        let whole: Vec<_> = whole.iter().map(|line| text(line)).collect();
        let pieces: Vec<_> = pieces.iter().map(|line| text(line)).collect();
        prop_assert_eq!(whole, pieces);
    }
}
