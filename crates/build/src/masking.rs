//! What nobody may read in a console: secrets, in any of their forms, however the output is cut up.
//!
//! Whatever belongs to any occurrence of any secret becomes [`MASK`], one for each run of occurrences that
//! overlap. Output is held back only for as long as its last bytes may be the beginning of a secret: until a
//! byte comes that cannot go on with it (a secret of several lines is looked for line by line, so that the
//! end of a line is always such a byte), or until [`Masker::finish`]. A pause is no such thing: a program
//! that writes a secret slowly would be shown with it.
//!
//! What is looked for: each line of a secret without blanks around it, and the secret as a whole, as they
//! are, in base64 wherever they stand in what was encoded, percent-encoded, and quoted as shells and JSON
//! quote. A line of fewer than [`SHORTEST`] bytes is not masked: it would be found everywhere and would show
//! where secrets are, not hide them. A secret made of `*` can be seen in what it is replaced by.

mod automaton;
mod forms;
#[cfg(test)]
mod tests;

use automaton::Automaton;
pub use forms::{ALL_FORMS, SHORTEST};

/// What stands in a secret's place.
pub const MASK: &[u8] = b"********";

/// Replaces secrets in a stream of bytes.
pub struct Masker {
    automaton: Option<Automaton>,
    state: u32,
    /// Read and not given out.
    held: Vec<u8>,
    /// Occurrences in `held`: apart from one another, in order.
    found: Vec<Found>,
    /// So many bytes at the beginning of `held` belong to an occurrence whose mask has been given out.
    covered: usize,
    too_short: usize,
}

#[derive(Debug, Clone, Copy)]
struct Found {
    start: usize,
    end: usize,
}

impl Masker {
    /// Masks these secrets. Without any, bytes go through as they are.
    #[must_use]
    pub fn new(secrets: &[Vec<u8>]) -> Self {
        let forms = forms::of(secrets);
        Self {
            automaton: (!forms.texts.is_empty()).then(|| Automaton::new(&forms.texts)),
            state: automaton::START,
            held: Vec::new(),
            found: Vec::new(),
            covered: 0,
            too_short: forms.too_short,
        }
    }

    /// How many secrets are not masked at all because they are shorter than [`SHORTEST`] bytes.
    #[must_use]
    pub fn too_short(&self) -> usize {
        self.too_short
    }

    /// Whether there is nothing to look for.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.automaton.is_none()
    }

    /// How many bytes are held back.
    #[must_use]
    pub fn held_back(&self) -> usize {
        self.held.len()
    }

    /// Reads `bytes`, and adds to `out` whatever can be shown by now.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let Some(automaton) = &self.automaton else {
            out.extend_from_slice(bytes);
            return;
        };
        let before = self.held.len();
        self.held.extend_from_slice(bytes);
        let found = &mut self.found;
        self.state = automaton.run(self.state, bytes, |end, length| {
            let end = before + end;
            add(
                found,
                Found {
                    start: end.saturating_sub(length),
                    end,
                },
            );
        });
        let tail = automaton.tail(self.state);
        self.give_out(self.held.len().saturating_sub(tail), out);
    }

    /// The output ends here: adds what was held back. What is fed after that is output of its own.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.give_out(self.held.len(), out);
        self.state = automaton::START;
        self.covered = 0;
    }

    /// Masks all of `bytes` at once.
    #[must_use]
    pub fn mask(&self, bytes: &[u8]) -> Vec<u8> {
        let mut found = Vec::new();
        let mut out = Vec::with_capacity(bytes.len());
        if let Some(automaton) = &self.automaton {
            automaton.run(automaton::START, bytes, |end, length| {
                add(
                    &mut found,
                    Found {
                        start: end.saturating_sub(length),
                        end,
                    },
                );
            });
        }
        write(bytes, &found, 0, bytes.len(), &mut out);
        out
    }

    /// Gives out the first `until` bytes that are held, none of which can be part of an occurrence that is
    /// not yet found, and forgets them.
    fn give_out(&mut self, until: usize, out: &mut Vec<u8>) {
        if until == 0 {
            return;
        }
        let after = write(&self.held, &self.found, self.covered, until, out);
        self.covered = after.saturating_sub(until);
        self.held.drain(..until);
        self.found.retain_mut(|found| {
            let stays = found.start >= until;
            found.start = found.start.saturating_sub(until);
            found.end = found.end.saturating_sub(until);
            stays
        });
    }
}

/// Adds an occurrence that ends after all that are there.
fn add(found: &mut Vec<Found>, mut new: Found) {
    while let Some(last) = found.last()
        && last.end > new.start
    {
        new.start = new.start.min(last.start);
        found.pop();
    }
    found.push(new);
}

/// Writes `bytes` from `from` on to before `until`, with masks. Returns where the last occurrence that was
/// written ends, which may be behind `until`.
fn write(bytes: &[u8], found: &[Found], from: usize, until: usize, out: &mut Vec<u8>) -> usize {
    let mut at = from;
    for found in found.iter().take_while(|found| found.start < until) {
        // One that overlaps what has been masked already has its mask.
        if found.start >= at {
            out.extend_from_slice(bytes.get(at..found.start).unwrap_or_default());
            out.extend_from_slice(MASK);
        }
        at = at.max(found.end);
    }
    out.extend_from_slice(bytes.get(at..until).unwrap_or_default());
    at.max(until)
}

impl std::fmt::Debug for Masker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Masker")
            .field("held_back", &self.held.len())
            .finish_non_exhaustive()
    }
}
