//! Texts of which the beginning and the end are kept.

/// A text that is being collected.
#[derive(Debug, Default, Clone)]
pub(super) struct Cut {
    head: String,
    tail: String,
    /// Bytes between the two.
    missing: u64,
    limit: usize,
}

impl Cut {
    /// At most `limit` bytes of it are kept.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    pub(super) fn push(&mut self, text: &str) {
        let half = self.limit / 2;
        let mut text = text;
        if self.tail.is_empty() && self.missing == 0 {
            let room = half.saturating_sub(self.head.len());
            let end = text.floor_char_boundary(room.min(text.len()));
            let (first, rest) = text.split_at(end);
            self.head.push_str(first);
            text = rest;
        }
        // Not more is copied than may stay.
        let from = text.ceil_char_boundary(text.len().saturating_sub(half));
        let (skipped, last) = text.split_at(from);
        if !skipped.is_empty() {
            self.missing += (self.tail.len() + skipped.len()) as u64;
            self.tail.clear();
        }
        self.tail.push_str(last);
        if self.tail.len() > self.limit {
            self.shorten();
        }
    }

    fn shorten(&mut self) {
        let half = self.limit / 2;
        let from = self
            .tail
            .ceil_char_boundary(self.tail.len().saturating_sub(half));
        self.missing += from as u64;
        self.tail.drain(..from);
    }

    /// Whether there is nothing but blanks.
    pub(super) fn is_blank(&self) -> bool {
        self.head.trim().is_empty() && self.tail.trim().is_empty()
    }

    /// The text, with a mark where something is missing.
    pub(super) fn finish(mut self) -> String {
        if self.head.len() + self.tail.len() > self.limit {
            self.shorten();
        }
        if self.missing == 0 {
            return self.head + &self.tail;
        }
        format!(
            "{}\n[… {} bytes are left out …]\n{}",
            self.head, self.missing, self.tail
        )
    }
}

/// `text`, with at most about `limit` bytes.
pub(super) fn cut(text: &str, limit: usize) -> String {
    let mut cut = Cut::new(limit);
    cut.push(text);
    cut.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_ends_stay() {
        let text = format!("begin{}end", "x".repeat(1000));
        let short = cut(&text, 20);
        assert!(
            short.starts_with("begin") && short.ends_with("end"),
            "{short}"
        );
        assert!(short.contains("988 bytes"), "{short}");
        assert_eq!(cut("short", 20), "short");
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(pieces in proptest::collection::vec("[aä😀]{0,30}", 0..20), limit in 4usize..60) {
            let whole = pieces.concat();
            let mut cut = Cut::new(limit);
            for piece in &pieces {
                cut.push(piece);
            }
            let text = cut.finish();
            if whole.len() <= limit / 2 {
                prop_assert_eq!(&text, &whole);
            }
            prop_assert!(text.len() <= limit + 60);
            let first = whole.chars().next();
            if limit > 8 {
                prop_assert_eq!(text.chars().next(), first);
            }
        }
    }
}
