//! Formats of times as strftime(3) understands them in the C locale, in which FLoM runs; told in
//! terms that do not depend on a locale, nor on what else knows them.

/// Conversions that mean the same to everybody.
const PLAIN: &str = "aAbBCdDeFgGhHIjklmMnpPRsStTuUVwWXyYzZ%";

/// Conversions that a locale decides about.
const OF_LOCALE: [(char, &str); 3] = [
    ('c', "%a %b %e %H:%M:%S %Y"),
    ('r', "%I:%M:%S %p"),
    ('x', "%m/%d/%y"),
];

/// Conversions before which an E or an O may stand. It asks for another calendar, or other digits, of
/// which the C locale has none.
const MODIFIED: [(char, &str); 2] = [('E', "cCxXyY%"), ('O', "bBdehHImMSuUVwWy%")];

/// The same format in plain conversions. What is none stands for itself, as in the C library.
pub(super) fn plain(format: &str) -> String {
    let mut plain = String::with_capacity(format.len());
    let mut rest = format;
    while let Some((before, behind)) = rest.split_once('%') {
        plain.push_str(before);
        if let Some((meaning, length)) = conversion(behind) {
            plain.push_str(&meaning);
            rest = &behind[length..];
        } else {
            plain.push_str("%%");
            rest = behind;
        }
    }
    plain.push_str(rest);
    plain
}

/// What the conversion at the beginning of `text` means, and how long it is.
fn conversion(text: &str) -> Option<(String, usize)> {
    let letters = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let width = &text[..text.len() - letters.len()];
    let modified = MODIFIED.iter().find_map(|(modifier, known)| {
        let letters = letters.strip_prefix(*modifier)?;
        letters
            .starts_with(|c| known.contains(c))
            .then_some(letters)
    });
    let letter = modified.unwrap_or(letters).chars().next()?;
    let length = text.len() - modified.unwrap_or(letters).len() + letter.len_utf8();
    let of_locale = OF_LOCALE.iter().find(|(known, _)| *known == letter);
    let meaning = match of_locale {
        Some((_, meaning)) => (*meaning).to_owned(),
        None if PLAIN.contains(letter) => format!("%{width}{letter}"),
        None => return None,
    };
    Some((meaning, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_c_library_reads_them() {
        for (format, expected) in [
            ("stamp", "stamp"),
            ("%H:%M%S#fff", "%H:%M%S#fff"),
            ("a%cb", "a%a %b %e %H:%M:%S %Yb"),
            ("%r%X%x", "%I:%M:%S %p%X%m/%d/%y"),
            ("%Ec%EY%Od", "%a %b %e %H:%M:%S %Y%Y%d"),
            // Neither is one there, though elsewhere they are.
            ("%f%N%L%q", "%%f%%N%%L%%q"),
            ("%e%E%F", "%e%%F"),
            ("%OF%EH", "%%OF%%EH"),
            ("%10S%3%", "%10S%3%"),
            ("%1", "%%1"),
            ("%S%", "%S%%"),
            ("%E", "%%E"),
            ("%%H", "%%H"),
        ] {
            assert_eq!(plain(format), expected, "{format}");
        }
    }
}
