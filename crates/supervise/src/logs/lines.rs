//! Output as lines with a name before them.

/// A longer line is cut, bytes.
const LONGEST: usize = 8 * 1024;

/// Puts lines together.
#[derive(Debug)]
pub(crate) struct Lines {
    prefix: usize,
    /// The prefix and a line whose end has not come.
    line: Vec<u8>,
}

impl Lines {
    /// Lines `NAME line`.
    pub(crate) fn new(name: &str) -> Self {
        let line = format!("{name} ").into_bytes();
        Self {
            prefix: line.len(),
            line,
        }
    }

    /// Gives each line that is whole by now, without its end.
    pub(crate) fn take(&mut self, text: &[u8], mut give: impl FnMut(&[u8])) {
        for piece in text.split_inclusive(|byte| *byte == b'\n') {
            let (piece, whole) = match piece.split_last() {
                Some((b'\n', line)) => (line, true),
                Some(_) | None => (piece, false),
            };
            let mut rest = piece;
            loop {
                let room = LONGEST.saturating_sub(self.line.len() - self.prefix);
                let (now, later) = rest.split_at(room.min(rest.len()));
                self.line.extend_from_slice(now);
                rest = later;
                if rest.is_empty() {
                    break;
                }
                self.give(&mut give);
            }
            if whole {
                self.give(&mut give);
            }
        }
    }

    /// Gives what has no end.
    pub(crate) fn end(&mut self, mut give: impl FnMut(&[u8])) {
        if self.line.len() > self.prefix {
            self.give(&mut give);
        }
    }

    fn give(&mut self, give: &mut impl FnMut(&[u8])) {
        give(&self.line);
        self.line.truncate(self.prefix);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_and_cut() {
        let mut lines = Lines::new("web");
        let mut given = Vec::new();
        let mut take = |lines: &mut Lines, text: &[u8]| {
            lines.take(text, |line| given.push(line.to_vec()));
        };
        take(&mut lines, b"one\ntw");
        take(&mut lines, b"o\n\nthree");
        take(&mut lines, &vec![b'x'; LONGEST]);
        lines.end(|line| given.push(line.to_vec()));
        lines.end(|_| unreachable!("nothing is left"));
        assert_eq!(given[..3], [&b"web one"[..], b"web two", b"web "]);
        assert_eq!(given.len(), 5);
        assert_eq!(given[3].len(), 4 + LONGEST);
        assert_eq!(given[4], b"web xxxxx");
    }
}
