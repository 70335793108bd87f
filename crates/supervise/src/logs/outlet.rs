//! Lines on their way to something that may not take them just now: some are kept, then they are
//! counted.

use std::fmt::Write;

/// So much is kept at most, bytes.
pub(crate) const MOST_KEPT: usize = 256 * 1024;

/// Keeps lines.
#[derive(Debug, Default)]
pub(crate) struct Outlet {
    kept: Vec<u8>,
    lost: u64,
}

impl Outlet {
    /// Takes a line with its end.
    pub(crate) fn push(&mut self, line: &[u8]) {
        // One line is taken, however long it is.
        if self.kept.is_empty() || self.kept.len() + line.len() <= MOST_KEPT {
            self.confess();
            self.kept.extend_from_slice(line);
        } else {
            self.lost += 1;
        }
    }

    /// Gives all that is there to `write`, which says how much it took; until it takes none.
    pub(crate) fn flush(&mut self, mut write: impl FnMut(&[u8]) -> usize) {
        loop {
            let mut done = 0;
            while let Some(rest) = self.kept.get(done..)
                && !rest.is_empty()
            {
                match write(rest) {
                    0 => break,
                    taken => done += taken,
                }
            }
            self.kept.drain(..done.min(self.kept.len()));
            if !self.kept.is_empty() || self.lost == 0 {
                break;
            }
            self.confess();
        }
        if self.kept.is_empty() {
            self.kept.shrink_to(4096);
        }
    }

    /// How much is kept, bytes.
    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether all is out.
    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    fn confess(&mut self) {
        let lost = std::mem::take(&mut self.lost);
        if lost > 0 {
            let mut line = String::new();
            // Writing to memory does not fail.
            let _ = writeln!(line, "(lines are missing here: {lost})");
            self.kept.extend_from_slice(line.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_taken_is_kept_and_then_counted() {
        let mut outlet = Outlet::default();
        let line = [b'x'; 1024];
        for _ in 0..300 {
            outlet.push(&line);
        }
        outlet.flush(|_| 0);
        assert!(!outlet.is_empty());
        let mut out = Vec::new();
        outlet.flush(|text| {
            let taken = text.len().min(1000);
            out.extend_from_slice(&text[..taken]);
            taken
        });
        assert!(outlet.is_empty());
        let text = String::from_utf8(out).expect("text");
        assert_eq!(text.matches('x').count(), 256 * 1024);
        assert!(
            text.ends_with("x(lines are missing here: 44)\n"),
            "{}",
            text.len()
        );
    }
}
