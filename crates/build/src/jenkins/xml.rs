//! Writing XML: indented by two blanks for each level, as Jenkins does.

/// The text as it stands between tags. What XML has no way to write at all, the character of number 0, is left out.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '\0' => {}
            '\n' | '\t' => safe.push(c),
            c if needs_reference(c) => safe.push_str(&format!("&#x{:x};", u32::from(c))),
            c => safe.push(c),
        }
    }
    safe
}

/// What would be changed, or refused, on its way: control characters, and other ends of lines.
fn needs_reference(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{fffe}' | '\u{ffff}')
}

/// A document, being written.
#[derive(Debug, Default)]
pub(super) struct Writer {
    body: String,
    open: Vec<&'static str>,
}

impl Writer {
    fn indent(&mut self) {
        for _ in 0..self.open.len() {
            self.body.push_str("  ");
        }
    }

    /// An element with text.
    pub(super) fn leaf(&mut self, tag: &str, text: &str) {
        self.indent();
        let text = escaped(text);
        if text.is_empty() {
            self.body.push_str(&format!("<{tag}/>\n"));
        } else {
            self.body.push_str(&format!("<{tag}>{text}</{tag}>\n"));
        }
    }

    /// An element with a boolean.
    pub(super) fn flag(&mut self, tag: &str, value: bool) {
        self.leaf(tag, if value { "true" } else { "false" });
    }

    /// An element with a number.
    pub(super) fn number(&mut self, tag: &str, value: impl std::fmt::Display) {
        self.leaf(tag, &value.to_string());
    }

    /// An element with others in it; `attributes` are written as they are, with a blank first.
    pub(super) fn within(
        &mut self,
        tag: &'static str,
        attributes: &str,
        inside: impl FnOnce(&mut Self),
    ) {
        self.indent();
        let at = self.body.len();
        self.body.push_str(&format!("<{tag}{attributes}>\n"));
        let begun = self.body.len();
        self.open.push(tag);
        inside(self);
        self.open.pop();
        if self.body.len() == begun {
            self.body.truncate(at);
            self.body.push_str(&format!("<{tag}{attributes}/>\n"));
        } else {
            self.indent();
            self.body.push_str(&format!("</{tag}>\n"));
        }
    }

    /// The whole document. It is XML 1.0, which every client reads, unless something in it can only be written in 1.1.
    pub(super) fn finish(self) -> Vec<u8> {
        let needs = self.body.contains("&#x") && has_control(&self.body);
        let version = if needs { "1.1" } else { "1.0" };
        format!(
            "<?xml version='{version}' encoding='UTF-8'?>\n{}",
            self.body
        )
        .into_bytes()
    }
}

/// Whether a reference to one of the characters 1 to 1f, but for a carriage return, is in it.
fn has_control(body: &str) -> bool {
    body.match_indices("&#x").any(|(at, _)| {
        let digits = body[at + 3..].split(';').next().unwrap_or_default();
        u32::from_str_radix(digits, 16).is_ok_and(|number| number < 0x20 && number != 0xd)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jenkins::document::read;

    #[test]
    fn what_is_written_can_be_read() {
        let text = "a <b> & \"c\"\r\n\t\u{1}\u{85}\u{2028}é";
        let mut writer = Writer::default();
        writer.within("x", " class=\"y\"", |writer| {
            writer.leaf("t", text);
            writer.leaf("e", "");
            writer.within("w", "", |_| {});
        });
        let document = writer.finish();
        assert!(document.starts_with(b"<?xml version='1.1'"));
        let root = read(&document).unwrap();
        assert_eq!(root.child("t").unwrap().text, text);
        assert_eq!(root.children.len(), 3);
        let mut plain = Writer::default();
        plain.leaf("t", "a\r\nb");
        assert!(plain.finish().starts_with(b"<?xml version='1.0'"));
    }
}
