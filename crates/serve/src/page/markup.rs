//! Writing HTML: what is ours as it is, everything else escaped.

/// A page that is being written.
pub(crate) struct Markup(String);

impl Markup {
    /// Up to the begin of its body.
    pub(crate) fn begin(title: &str) -> Self {
        let mut page = Self(String::with_capacity(8 << 10));
        page.raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
        page.raw(
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
        );
        page.text(title);
        page.raw("</title>\n<link rel=\"stylesheet\" href=\"stylesheets/supervisor.css\">\n");
        page.raw("<link rel=\"icon\" type=\"image/svg+xml\" href=\"images/icon.svg\">\n</head>\n<body>\n");
        page
    }

    /// A part of a page, or another page's.
    pub(crate) fn fragment() -> Self {
        Self(String::new())
    }

    /// What was written so far.
    pub(crate) fn into_text(self) -> String {
        self.0
    }

    /// All of it.
    pub(crate) fn end(mut self) -> String {
        self.raw("</body>\n</html>\n");
        self.0
    }

    /// Markup; only ours.
    pub(crate) fn raw(&mut self, markup: &'static str) {
        self.0.push_str(markup);
    }

    /// What another [`Markup`] became.
    pub(crate) fn append(&mut self, markup: &str) {
        self.0.push_str(markup);
    }

    /// Text, also within quotation marks.
    pub(crate) fn text(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' | '\t' => self.0.push(character),
                '\r' => {}
                // No page may hold them, and some turn the text around that follows.
                _ if character.is_control() || is_direction(character) => self.0.push('\u{fffd}'),
                _ => self.0.push(character),
            }
        }
    }

    /// A part of a URL.
    pub(crate) fn part(&mut self, text: &str) {
        let encoded = crate::http::encode(text);
        self.0.push_str(&encoded);
    }
}

/// Characters that change the direction of those beside them.
fn is_direction(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::Markup;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_text_becomes_markup(text in any::<String>()) {
            let mut page = Markup(String::new());
            page.text(&text);
            prop_assert!(!page.0.contains(['<', '>', '"', '\'']));
            prop_assert!(page.0.chars().all(|c| !c.is_control() || c == '\n' || c == '\t'));
            let mut page = Markup(String::new());
            page.part(&text);
            prop_assert!(page.0.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)));
        }
    }
}
