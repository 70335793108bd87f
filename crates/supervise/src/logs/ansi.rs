//! Taking the colours out of text: control sequences (`ESC [` … letter), also where they are cut
//! by a read. Knows nothing of files.

/// Begins a sequence, with a bracket.
const ESCAPE: u8 = 0x1b;

/// Where in a sequence the text so far has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Escape {
    /// In none.
    #[default]
    Text,
    /// After an escape that is not yet known to begin one. It is not in the output yet.
    Begun,
    /// In one.
    Inside,
}

impl Escape {
    /// A number for it.
    pub(crate) fn number(self) -> u64 {
        match self {
            Self::Text => 0,
            Self::Begun => 1,
            Self::Inside => 2,
        }
    }

    /// Of a number; what is none is text.
    pub(crate) fn of(number: u64) -> Self {
        match number {
            1 => Self::Begun,
            2 => Self::Inside,
            _ => Self::Text,
        }
    }

    /// Appends `bytes` to `out`, less the sequences in it. A sequence is `ESC [`, parameters
    /// (0x20 to 0x3f) and one last byte (0x40 to 0x7e, ECMA-48 section 5.4); what can be no part of
    /// one ends it and is text.
    pub(crate) fn strip(mut self, bytes: &[u8], out: &mut Vec<u8>) -> Self {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            match self {
                Self::Text => {
                    let text = rest
                        .iter()
                        .position(|byte| *byte == ESCAPE)
                        .unwrap_or(rest.len());
                    let (text, sequence) = rest.split_at(text);
                    out.extend_from_slice(text);
                    if sequence.is_empty() {
                        return self;
                    }
                    self = Self::Begun;
                    rest = sequence.get(1..).unwrap_or_default();
                }
                Self::Begun if byte == b'[' => {
                    self = Self::Inside;
                    rest = after;
                }
                Self::Begun => {
                    out.push(ESCAPE);
                    self = Self::Text;
                }
                Self::Inside => match byte {
                    0x20..=0x3f => rest = after,
                    0x40..=0x7e => {
                        self = Self::Text;
                        rest = after;
                    }
                    _ => self = Self::Text,
                },
            }
        }
        self
    }

    /// Nothing comes after it: an escape alone is text.
    pub(crate) fn end(self, out: &mut Vec<u8>) {
        match self {
            Self::Begun => out.push(ESCAPE),
            Self::Text | Self::Inside => {}
        }
    }
}

/// Whether there is nothing in it that [`Escape::strip`] would take out.
pub(crate) fn is_free_of_escapes(bytes: &[u8]) -> bool {
    !bytes.contains(&ESCAPE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Escape::Text.strip(bytes, &mut out).end(&mut out);
        out
    }

    /// Looks at all of it at once, by searching.
    fn naive(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            if bytes[at..].starts_with(b"\x1b[") {
                at += 2;
                while at < bytes.len() && (0x20..=0x3f).contains(&bytes[at]) {
                    at += 1;
                }
                if at < bytes.len() && (0x40..=0x7e).contains(&bytes[at]) {
                    at += 1;
                }
            } else {
                out.push(bytes[at]);
                at += 1;
            }
        }
        out
    }

    #[test]
    fn sequences_go_and_text_stays() {
        for (text, stripped) in [
            ("plain", "plain"),
            ("\x1b[31mred\x1b[0m.", "red."),
            ("a\x1b[2J\x1b[1;1Hb", "ab"),
            ("\x1b[?25lhidden\x1b[?25h", "hidden"),
            ("\x1b[38;2;1;2;3mtrue", "true"),
            // The original takes all up to the next of its letters.
            ("\x1b[5Gcolumn", "column"),
            ("\x1b[12\nnext", "\nnext"),
            ("\x1b\x1b[1mx\x1b", "\x1bx\x1b"),
            ("\x1b]0;title\x07", "\x1b]0;title\x07"),
        ] {
            assert_eq!(whole(text.as_bytes()), stripped.as_bytes(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn however_it_is_cut(
            bytes in proptest::collection::vec(prop_oneof![
                Just(0x1b), Just(b'['), Just(b'1'), Just(b';'), Just(b'm'), Just(b'G'),
                Just(b'x'), Just(b'\n'), any::<u8>()
            ], 0..60),
            cuts in proptest::collection::vec(0_usize..60, 0..5),
        ) {
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.push(0);
            cuts.push(bytes.len());
            cuts.sort_unstable();
            let mut out = Vec::new();
            let mut state = Escape::Text;
            for pair in cuts.windows(2) {
                state = state.strip(&bytes[pair[0]..pair[1]], &mut out);
            }
            state.end(&mut out);
            prop_assert_eq!(&out, &naive(&bytes));
            prop_assert!(!is_free_of_escapes(&bytes) || out == bytes);
        }
    }
}
