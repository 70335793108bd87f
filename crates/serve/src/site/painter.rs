//! A log as markup: lines, colours, and nothing of it that a browser could take for more than text.
//!
//! A log is painted piece by piece, and the pieces fit together: what begins in one and ends in another is
//! painted with the other. Offsets are those of the raw bytes.

use std::fmt::Write as _;

use crate::page::Markup;

/// What tells terminals something is not longer, bytes; longer ones are text.
const SEQUENCE: usize = 4096;

/// How something is written (ECMA-48, 8.3.117).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Pen {
    bold: bool,
    faint: bool,
    italic: bool,
    underlined: bool,
    /// 0 to 15.
    colour: Option<u8>,
    ground: Option<u8>,
}

/// Paints a log from some byte on.
#[derive(Debug)]
pub(super) struct Painter {
    at: u64,
    pen: Pen,
    /// The line that the last piece ended with goes on.
    open: bool,
}

/// A piece of a log.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Piece {
    /// How many bytes were taken. The rest begins something that is not whole.
    pub(super) taken: usize,
    /// What was last painted of the line that goes on is to be thrown away first.
    pub(super) wipes: bool,
    /// What belongs to the line that goes on.
    pub(super) head: String,
    /// Whole lines, and the begin of the last.
    pub(super) lines: String,
}

/// What a line's first byte is known by: the time when it began, if that is known.
pub(super) trait Clock {
    /// For people; empty if it is not known. Asked with rising offsets.
    fn at(&mut self, offset: u64) -> String;
}

impl Painter {
    /// From the byte at `at` on, which begins a line unless `open`.
    pub(super) fn new(at: u64, open: bool) -> Self {
        Self {
            at,
            pen: Pen::default(),
            open,
        }
    }

    /// How far it is.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Paints `bytes`. Unless it is the `last` piece, what is not whole at its end is left.
    pub(super) fn paint(&mut self, bytes: &[u8], last: bool, clock: &mut dyn Clock) -> Piece {
        let mut piece = Piece::default();
        // The line that is being painted.
        let mut line = Markup::fragment();
        let mut begun = self.at;
        let mut in_head = self.open;
        let mut dirty = false;
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some((token, length)) = token(rest, last) else {
                break;
            };
            let offset = self.at;
            rest = rest.get(length..).unwrap_or_default();
            self.at += length as u64;
            piece.taken += length;
            if !self.open && !matches!(token, Token::Pen(_)) {
                begun = offset;
                self.open = true;
            }
            match token {
                Token::Text(text) => {
                    write(&mut line, text, self.pen);
                    dirty = true;
                }
                Token::Pen(codes) => self.pen = self.pen.after(codes),
                Token::Nothing => {}
                Token::Return => {
                    // What follows is written over it.
                    line = Markup::fragment();
                    piece.wipes |= in_head;
                    dirty = true;
                }
                Token::LineEnd => {
                    finish(&mut piece, line, in_head, begun, clock);
                    line = Markup::fragment();
                    in_head = false;
                    dirty = false;
                    self.open = false;
                }
            }
        }
        if self.open && (dirty || !in_head) {
            finish(&mut piece, line, in_head, begun, clock);
        }
        piece
    }
}

fn finish(piece: &mut Piece, line: Markup, in_head: bool, begun: u64, clock: &mut dyn Clock) {
    let line = line.into_text();
    if in_head {
        piece.head.push_str(&line);
        return;
    }
    let time = clock.at(begun);
    // Writing to a String cannot fail.
    let _ = write!(piece.lines, "<div class=\"l\" id=\"b{begun}\"");
    if !time.is_empty() {
        let mut shown = Markup::fragment();
        shown.text(&time);
        let _ = write!(piece.lines, " data-t=\"{}\"", shown.into_text());
    }
    piece.lines.push('>');
    piece.lines.push_str(&line);
    piece.lines.push_str("</div>\n");
}

fn write(line: &mut Markup, text: &[u8], pen: Pen) {
    let text = String::from_utf8_lossy(text);
    if pen == Pen::default() {
        line.text(&text);
        return;
    }
    line.raw("<span class=\"");
    for (is_so, class) in [
        (pen.bold, "bo "),
        (pen.faint, "fa "),
        (pen.italic, "it "),
        (pen.underlined, "un "),
    ] {
        if is_so {
            line.raw(class);
        }
    }
    if let Some(colour) = pen.colour {
        line.text(&format!("f{colour} "));
    }
    if let Some(ground) = pen.ground {
        line.text(&format!("g{ground}"));
    }
    line.raw("\">");
    line.text(&text);
    line.raw("</span>");
}

impl Pen {
    /// What a list of codes makes of it.
    fn after(mut self, codes: &[u8]) -> Self {
        let mut numbers = codes
            .split(|byte| matches!(byte, b';' | b':'))
            .map(|digits| {
                let digits = std::str::from_utf8(digits).unwrap_or_default();
                digits.parse::<u8>().unwrap_or(0)
            });
        while let Some(number) = numbers.next() {
            match number {
                0 => self = Self::default(),
                1 => self.bold = true,
                2 => self.faint = true,
                3 => self.italic = true,
                4 => self.underlined = true,
                22 => (self.bold, self.faint) = (false, false),
                23 => self.italic = false,
                24 => self.underlined = false,
                30..=37 => self.colour = Some(number - 30),
                39 => self.colour = None,
                40..=47 => self.ground = Some(number - 40),
                49 => self.ground = None,
                90..=97 => self.colour = Some(number - 82),
                100..=107 => self.ground = Some(number - 92),
                38 => self.colour = other(&mut numbers).or(self.colour),
                48 => self.ground = other(&mut numbers).or(self.ground),
                _ => {}
            }
        }
        self
    }
}

/// One of 256 colours or of all colours, as the nearest of the sixteen.
fn other(numbers: &mut impl Iterator<Item = u8>) -> Option<u8> {
    match numbers.next()? {
        2 => {
            let (red, green, blue) = (numbers.next()?, numbers.next()?, numbers.next()?);
            Some(nearest(red, green, blue))
        }
        5 => Some(match numbers.next()? {
            plain @ 0..=15 => plain,
            cube @ 16..=231 => {
                let level = |part: u8| if part == 0 { 0 } else { 55 + part * 40 };
                let cube = cube - 16;
                nearest(level(cube / 36), level(cube / 6 % 6), level(cube % 6))
            }
            grey @ 232.. => {
                let level = 8 + (grey - 232) * 10;
                nearest(level, level, level)
            }
        }),
        _ => None,
    }
}

fn nearest(red: u8, green: u8, blue: u8) -> u8 {
    let most = red.max(green).max(blue);
    if most < 64 {
        return 0;
    }
    // What is at least half as strong as the strongest part counts.
    let has = |part: u8| u8::from(part > most / 2);
    let colour = has(red) | has(green) << 1 | has(blue) << 2;
    match (colour, most) {
        (7, 64..=159) => 8,
        (_, 200..) => colour + 8,
        _ => colour,
    }
}

/// What a log is made of.
enum Token<'a> {
    Text(&'a [u8]),
    Pen(&'a [u8]),
    /// What tells terminals something that pages do not do.
    Nothing,
    /// Back to the begin of the line.
    Return,
    LineEnd,
}

/// The first of `bytes`, and its length; nothing if it is not whole and more may come.
fn token(bytes: &[u8], last: bool) -> Option<(Token<'_>, usize)> {
    match bytes {
        [] => None,
        [b'\n', ..] => Some((Token::LineEnd, 1)),
        [b'\r', b'\n', ..] => Some((Token::LineEnd, 2)),
        [b'\r'] if !last => None,
        [b'\r'] => Some((Token::Nothing, 1)),
        [b'\r', ..] => Some((Token::Return, 1)),
        [0x1b, ..] => escape(bytes, last),
        _ => {
            let end = bytes
                .iter()
                .position(|byte| matches!(byte, b'\n' | b'\r' | 0x1b));
            let text = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
            let whole = if end.is_none() && !last {
                without_half_character(text)
            } else {
                text
            };
            (!whole.is_empty()).then_some((Token::Text(whole), whole.len()))
        }
    }
}

/// Text without a character at its end of which some bytes are missing.
fn without_half_character(text: &[u8]) -> &[u8] {
    match text.utf8_chunks().last() {
        // Only the begin of a character can be completed (`invalid` is at most three bytes then).
        Some(chunk)
            if std::str::from_utf8(chunk.invalid()).is_err_and(|e| e.error_len().is_none()) =>
        {
            text.get(..text.len() - chunk.invalid().len())
                .unwrap_or_default()
        }
        Some(_) | None => text,
    }
}

/// What begins with ESC.
fn escape(bytes: &[u8], last: bool) -> Option<(Token<'_>, usize)> {
    let unfinished = || {
        let is_endless = bytes.len() > SEQUENCE;
        (last || is_endless).then_some((Token::Nothing, 1))
    };
    match bytes.get(1) {
        None => unfinished(),
        Some(b'[') => {
            let body = bytes.get(2..).unwrap_or_default();
            let Some(length) = body
                .iter()
                .take(SEQUENCE)
                .position(|byte| !(0x20..0x40).contains(byte))
            else {
                return unfinished();
            };
            let (Some(parameters), Some(kind)) = (body.get(..length), body.get(length)) else {
                return unfinished();
            };
            match kind {
                b'm' => Some((Token::Pen(parameters), length + 3)),
                0x40..=0x7e => Some((Token::Nothing, length + 3)),
                // It was none.
                _ => Some((Token::Nothing, length + 2)),
            }
        }
        // A string, such as a window's title, up to BEL or ST (ECMA-48, 8.3.89).
        Some(b']' | b'P' | b'_' | b'^') => {
            let end = bytes
                .iter()
                .take(SEQUENCE)
                .position(|byte| matches!(byte, 0x07 | b'\n'));
            let st = bytes
                .windows(2)
                .take(SEQUENCE)
                .skip(1)
                .position(|pair| pair == b"\x1b\\")
                .map(|at| at + 1);
            match (end, st) {
                (Some(end), st) if st.is_none_or(|st| end < st) => {
                    let is_bell = bytes.get(end) == Some(&0x07);
                    Some((Token::Nothing, end + usize::from(is_bell)))
                }
                (_, Some(st)) => Some((Token::Nothing, st + 2)),
                (_, None) => unfinished(),
            }
        }
        Some(_) => Some((Token::Nothing, 1)),
    }
}

#[cfg(test)]
mod tests;
