//! Small changes to a document; everything else stays as it was sent, byte for byte.

use super::document::{Element, read};
use super::refusal::BadDocument;
use super::xml::escaped;

/// The document of a job with another `<disabled>`.
///
/// # Errors
/// When it is no XML.
pub fn edit_disabled(document: &[u8], disabled: bool) -> Result<Vec<u8>, BadDocument> {
    edit(
        document,
        "disabled",
        if disabled { "true" } else { "false" },
    )
}

/// The document of a job with another `<description>`.
///
/// # Errors
/// When it is no XML.
pub fn edit_description(document: &[u8], description: &str) -> Result<Vec<u8>, BadDocument> {
    edit(document, "description", &escaped(description))
}

/// The document with another text in this child of its outermost element, which is put first where it is not there.
fn edit(document: &[u8], tag: &str, text: &str) -> Result<Vec<u8>, BadDocument> {
    let root = read(document)?;
    let whole = format!("<{tag}>{text}</{tag}>");
    let Some(child) = root.child(tag) else {
        return Ok(match &root.inside {
            Some(inside) => {
                let new = format!("\n  {whole}");
                replaced(document, inside.start..inside.start, &new)
            }
            None => with_first(document, &root, &whole),
        });
    };
    Ok(match &child.inside {
        Some(inside) => replaced(document, inside.clone(), text),
        None => replaced(document, child.whole.clone(), &whole),
    })
}

/// `<x a="b"/>` with a child in it; its attributes stay.
fn with_first(document: &[u8], root: &Element, child: &str) -> Vec<u8> {
    let end = root.whole.end;
    let slash = end.saturating_sub(2);
    replaced(
        document,
        slash..end,
        &format!(">\n  {child}\n</{}>", root.tag),
    )
}

fn replaced(document: &[u8], place: std::ops::Range<usize>, text: &str) -> Vec<u8> {
    let mut new = Vec::with_capacity(document.len() + text.len());
    new.extend_from_slice(document.get(..place.start).unwrap_or_default());
    new.extend_from_slice(text.as_bytes());
    new.extend_from_slice(document.get(place.end..).unwrap_or_default());
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_else_changes() {
        for (before, after) in [
            (
                "<project>\r\n<x  a='1'/><disabled>false</disabled>&#65;</project>\n",
                "<project>\r\n<x  a='1'/><disabled>true</disabled>&#65;</project>\n",
            ),
            ("<p><disabled/></p>", "<p><disabled>true</disabled></p>"),
            (
                "<p><y><disabled>false</disabled></y></p>",
                "<p>\n  <disabled>true</disabled><y><disabled>false</disabled></y></p>",
            ),
            (
                "<p a='/>'/>",
                "<p a='/>'>\n  <disabled>true</disabled>\n</p>",
            ),
            (
                "\u{feff}<p><disabled>false</disabled></p>",
                "\u{feff}<p><disabled>true</disabled></p>",
            ),
        ] {
            let edited = edit_disabled(before.as_bytes(), true).unwrap();
            assert_eq!(String::from_utf8(edited).unwrap(), after);
        }
        let edited =
            edit_description(b"<p><description>a</description></p>", "<b> & \u{1}").unwrap();
        assert_eq!(
            edited,
            b"<p><description>&lt;b&gt; &amp; &#x1;</description></p>"
        );
        assert_eq!(
            read(&edited).unwrap().child("description").unwrap().text,
            "<b> & \u{1}"
        );
        assert!(edit_disabled(b"<p>", true).is_err());
    }
}
