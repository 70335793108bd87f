//! What becomes of the bytes of a channel: which are logged, which are captured between tags, which
//! have to wait for more. Pure; the same bytes in the same state always give the same, which is what
//! a writer relies on that was killed in the middle.

use super::ansi::{Escape, is_free_of_escapes};

/// Between these, output is captured.
pub(crate) const BEGIN: &[u8] = b"<!--XSUPERVISOR:BEGIN-->";
/// Likewise.
pub(crate) const END: &[u8] = b"<!--XSUPERVISOR:END-->";

/// How a channel's bytes are sifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sieve {
    /// Colours are taken out.
    pub(crate) strip: bool,
    /// So many bytes are captured at most, the last ones; 0 is no capturing.
    pub(crate) capture: usize,
}

/// Where in the stream it is, beyond the bytes that have not been used yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct State {
    /// In a capture whose beginning is gone as it is too long.
    pub(crate) capturing: bool,
    /// In a control sequence of the log.
    pub(crate) escape: Escape,
}

/// What became of some bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Sifted {
    /// For the log.
    pub(crate) log: Vec<u8>,
    /// In the order in which they came.
    pub(crate) parts: Vec<Part>,
    /// So many bytes have been used; the others have to wait for more.
    pub(crate) used: usize,
    /// What comes next is in this state.
    pub(crate) state: State,
    /// A capture was not ended: so it is text.
    pub(crate) unended: bool,
}

/// A piece of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// The log up to here (from where the last one ended).
    Logged(usize),
    /// A whole capture, its last bytes where it was too long.
    Captured(Vec<u8>),
}

impl Sieve {
    /// Whether all bytes pass as they are, whatever they are.
    pub(crate) fn is_open(&self) -> bool {
        !self.strip && self.capture == 0
    }

    /// Whether these pass as they are, from the beginning.
    pub(crate) fn passes(&self, raw: &[u8]) -> bool {
        let tags = self.capture == 0 || (find(raw, BEGIN).is_none() && held(raw, BEGIN) == 0);
        tags && (!self.strip || is_free_of_escapes(raw))
    }

    /// Sifts. `searched`: the beginning of `raw` that was there before, and in which an end of a
    /// capture was looked for in vain. `last`: nothing will come after it.
    pub(crate) fn sift(&self, state: State, raw: &[u8], searched: usize, last: bool) -> Sifted {
        let mut sifted = Sifted {
            state,
            ..Sifted::default()
        };
        if self.capture == 0 {
            self.log(raw, &mut sifted);
            sifted.used = raw.len();
        } else {
            self.sift_tags(raw, searched, last, &mut sifted);
        }
        if last {
            self.end_piece(&mut sifted);
        }
        let logged = sifted.log.len();
        note_logged(&mut sifted.parts, logged);
        sifted
    }

    fn sift_tags(&self, raw: &[u8], searched: usize, last: bool, sifted: &mut Sifted) {
        let mut searched = searched;
        loop {
            let rest = raw.get(sifted.used..).unwrap_or_default();
            if sifted.state.capturing {
                if !self.capture_rest(rest, searched, last, sifted) {
                    return;
                }
            } else {
                let Some(begin) = find(rest, BEGIN) else {
                    let waits = if last { 0 } else { held(rest, BEGIN) };
                    let text = rest.len() - waits;
                    self.log(rest.get(..text).unwrap_or_default(), sifted);
                    sifted.used += text;
                    return;
                };
                self.log(rest.get(..begin).unwrap_or_default(), sifted);
                let inside = rest.get(begin + BEGIN.len()..).unwrap_or_default();
                let from = searched.saturating_sub(sifted.used + begin + BEGIN.len());
                match find_from(inside, END, from) {
                    Some(end) => {
                        self.end_piece(sifted);
                        self.captured(inside.get(..end).unwrap_or_default(), sifted);
                        sifted.used += begin + BEGIN.len() + end + END.len();
                    }
                    None if last => {
                        self.log(rest.get(begin..).unwrap_or_default(), sifted);
                        sifted.used = raw.len();
                        sifted.unended = true;
                        return;
                    }
                    None if inside.len() > self.most() => {
                        self.end_piece(sifted);
                        sifted.state.capturing = true;
                        sifted.used = raw.len() - self.most();
                        return;
                    }
                    None => {
                        sifted.used += begin;
                        return;
                    }
                }
            }
            searched = searched.max(sifted.used);
        }
    }

    /// In a capture whose beginning is gone. Whether it has ended.
    fn capture_rest(&self, rest: &[u8], searched: usize, last: bool, sifted: &mut Sifted) -> bool {
        let from = searched.saturating_sub(sifted.used);
        if let Some(end) = find_from(rest, END, from) {
            self.captured(rest.get(..end).unwrap_or_default(), sifted);
            sifted.state.capturing = false;
            sifted.used += end + END.len();
            return true;
        }
        if last {
            sifted.state.capturing = false;
            self.log(rest, sifted);
            sifted.used += rest.len();
            sifted.unended = true;
        } else {
            sifted.used += rest.len().saturating_sub(self.most());
        }
        false
    }

    /// What has to be kept of a capture: its last bytes, and what may be the beginning of its end.
    /// Twice as much where colours go: they are not counted.
    fn most(&self) -> usize {
        let most = if self.strip {
            self.capture.saturating_mul(2)
        } else {
            self.capture
        };
        most.saturating_add(END.len())
    }

    fn log(&self, raw: &[u8], sifted: &mut Sifted) {
        if self.strip {
            sifted.state.escape = sifted.state.escape.strip(raw, &mut sifted.log);
        } else {
            sifted.log.extend_from_slice(raw);
        }
    }

    /// A sequence does not go beyond a tag.
    fn end_piece(&self, sifted: &mut Sifted) {
        sifted.state.escape.end(&mut sifted.log);
        sifted.state.escape = Escape::Text;
    }

    fn captured(&self, raw: &[u8], sifted: &mut Sifted) {
        let mut payload = Vec::new();
        if self.strip {
            Escape::Text.strip(raw, &mut payload).end(&mut payload);
        } else {
            payload.extend_from_slice(raw);
        }
        let oldest = payload.len().saturating_sub(self.capture);
        payload.drain(..oldest);
        let logged = sifted.log.len();
        note_logged(&mut sifted.parts, logged);
        sifted.parts.push(Part::Captured(payload));
    }
}

fn note_logged(parts: &mut Vec<Part>, upto: usize) {
    let before = parts.iter().rev().find_map(|part| match part {
        Part::Logged(end) => Some(*end),
        Part::Captured(_) => None,
    });
    if upto > before.unwrap_or(0) {
        parts.push(Part::Logged(upto));
    }
}

fn find(text: &[u8], tag: &[u8]) -> Option<usize> {
    find_from(text, tag, 0)
}

/// Where `tag` is in `text`, if it does not lie within the first `searched` bytes.
fn find_from(text: &[u8], tag: &[u8], searched: usize) -> Option<usize> {
    let mut at = searched.saturating_sub(tag.len() - 1);
    loop {
        let rest = text.get(at..)?;
        let next = rest.iter().position(|byte| Some(byte) == tag.first())?;
        at += next;
        if text.get(at..)?.starts_with(tag) {
            return Some(at);
        }
        at += 1;
    }
}

/// How much at the end of `text` may be the beginning of `tag`.
fn held(text: &[u8], tag: &[u8]) -> usize {
    (1..tag.len().min(text.len() + 1))
        .rev()
        .find(|length| text.ends_with(tag.get(..*length).unwrap_or_default()))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests;
