//! XML to a tree of elements, each with its place in the text: bounded, and without document types.
//!
//! Jenkins writes XML 1.1; clients send 1.0. Both are read, in UTF-8 only.

use std::ops::Range;

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesDecl, BytesStart, Event};

use super::refusal::{BadDocument, DEEPEST, LARGEST};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// An element.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Element {
    /// As it is written.
    pub(super) tag: String,
    /// Its `class`, if it says one.
    pub(super) class: Option<String>,
    /// The text that is directly in it.
    pub(super) text: String,
    /// The elements that are directly in it.
    pub(super) children: Vec<Element>,
    /// Where what is in it begins and ends, in bytes of the document; `None` if it is written `<x/>`.
    pub(super) inside: Option<Range<usize>>,
    /// Where it begins and ends, in bytes of the document.
    pub(super) whole: Range<usize>,
}

impl Element {
    /// Its name without what is put into it to make Java's names names of elements: `__` is `_`, `_-` is `$`.
    pub(super) fn name(&self) -> String {
        let mut name = String::with_capacity(self.tag.len());
        let mut rest = self.tag.as_str();
        while let Some(at) = rest.find('_') {
            name.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('-') {
                name.push('$');
                rest = after;
            } else {
                name.push('_');
                rest = rest.strip_prefix('_').unwrap_or(rest);
            }
        }
        name.push_str(rest);
        name
    }

    /// Its text without blanks around it.
    pub(super) fn word(&self) -> &str {
        self.text.trim()
    }

    /// The first element of this name in it.
    pub(super) fn child(&self, tag: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.tag == tag)
    }
}

/// Reads a document: its outermost element.
pub(super) fn read(document: &[u8]) -> Result<Element, BadDocument> {
    if document.len() > LARGEST {
        return Err(BadDocument::TooLarge);
    }
    let base = if document.starts_with(BYTE_ORDER_MARK) {
        BYTE_ORDER_MARK.len()
    } else {
        0
    };
    let text = std::str::from_utf8(&document[base..]).map_err(|_| BadDocument::Encoding)?;
    if text.contains('\0') {
        return Err(malformed("a character of number 0", base));
    }
    let mut tree = Tree {
        open: Vec::new(),
        root: None,
    };
    let mut reader = Reader::from_str(text);
    loop {
        let start = position(reader.buffer_position(), base);
        let event = reader
            .read_event()
            .map_err(|error| malformed(error, position(reader.error_position(), base)))?;
        let end = position(reader.buffer_position(), base);
        match event {
            Event::Start(tag) => tree.begin(element(&tag, start..end, false)?)?,
            Event::Empty(tag) => {
                tree.begin(element(&tag, start..end, true)?)?;
                tree.end(start, end)?;
            }
            Event::End(_) => tree.end(start, end)?,
            Event::Text(text) => tree.text(&text.xml10_content(), start)?,
            Event::CData(text) => tree.text(&text.xml10_content(), start)?,
            Event::GeneralRef(reference) => {
                let one = reference
                    .resolve_char_ref()
                    .map_err(|error| malformed(error, start))?;
                match one {
                    Some(character) => tree.text(character.encode_utf8(&mut [0; 4]), start)?,
                    None => {
                        let text = resolve_predefined_entity(&reference)
                            .ok_or_else(|| malformed("an entity that nobody defined", start))?;
                        tree.text(text, start)?;
                    }
                }
            }
            Event::DocType(_) => return Err(BadDocument::DocumentType),
            Event::Decl(declaration) => check_encoding(&declaration, text)?,
            Event::Comment(_) | Event::PI(_) => {}
            Event::Eof if tree.open.is_empty() => {
                return tree
                    .root
                    .ok_or_else(|| malformed("there is no element", end));
            }
            Event::Eof => return Err(malformed("it ends within an element", end)),
        }
    }
}

fn position(at: u64, base: usize) -> usize {
    usize::try_from(at)
        .unwrap_or(usize::MAX)
        .saturating_add(base)
}

fn malformed(what: impl std::fmt::Display, at: usize) -> BadDocument {
    BadDocument::Malformed {
        what: what.to_string(),
        at: u64::try_from(at).unwrap_or(u64::MAX),
    }
}

/// Another encoding may be declared where the text is the same in it.
fn check_encoding(declaration: &BytesDecl<'_>, text: &str) -> Result<(), BadDocument> {
    let Some(Ok(encoding)) = declaration.encoding() else {
        return Ok(());
    };
    let is_utf8 = ["utf-8", "utf8"].contains(&encoding.to_lowercase().as_str());
    if is_utf8 || text.is_ascii() {
        Ok(())
    } else {
        Err(BadDocument::Encoding)
    }
}

fn element(
    tag: &BytesStart<'_>,
    whole: Range<usize>,
    is_empty: bool,
) -> Result<Element, BadDocument> {
    let mut class = None;
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|error| malformed(error, whole.start))?;
        if attribute.key.as_ref() == "class" {
            class = Some(attribute.value.clone().into_owned());
        }
    }
    Ok(Element {
        tag: tag.name().into_inner().to_owned(),
        class,
        text: String::new(),
        children: Vec::new(),
        inside: (!is_empty).then_some(whole.end..whole.end),
        whole,
    })
}

struct Tree {
    open: Vec<Element>,
    root: Option<Element>,
}

impl Tree {
    fn begin(&mut self, element: Element) -> Result<(), BadDocument> {
        if self.open.len() >= DEEPEST {
            return Err(BadDocument::TooDeep);
        }
        if self.open.is_empty() && self.root.is_some() {
            return Err(malformed("a second outermost element", element.whole.start));
        }
        self.open.push(element);
        Ok(())
    }

    fn end(&mut self, start: usize, end: usize) -> Result<(), BadDocument> {
        let mut done = self
            .open
            .pop()
            .ok_or_else(|| malformed("an end without a beginning", start))?;
        if let Some(inside) = &mut done.inside {
            inside.end = start;
        }
        done.whole.end = end;
        match self.open.last_mut() {
            Some(parent) => parent.children.push(done),
            None => self.root = Some(done),
        }
        Ok(())
    }

    fn text(&mut self, text: &str, at: usize) -> Result<(), BadDocument> {
        match self.open.last_mut() {
            Some(element) => {
                element.text.push_str(text);
                Ok(())
            }
            None if text.trim().is_empty() => Ok(()),
            None => Err(malformed("text outside of all elements", at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read() {
        let text = "<?xml version='1.1' encoding='UTF-8'?>\n<a class=\"x\" plugin='p@1'>t&lt;&#x41;<![CDATA[<&]]>\r\n<b__c/><d_-e>\n</d_-e><!-- no --></a>\n";
        let root = read(text.as_bytes()).unwrap();
        assert_eq!((root.tag.as_str(), root.class.as_deref()), ("a", Some("x")));
        assert_eq!(root.text, "t<A<&\n");
        let names: Vec<String> = root.children.iter().map(Element::name).collect();
        assert_eq!(names, ["b_c", "d$e"]);
        assert_eq!(root.children[0].inside, None);
        assert_eq!(&text[root.children[1].whole.clone()], "<d_-e>\n</d_-e>");
        assert_eq!(&text[root.children[1].inside.clone().unwrap()], "\n");
    }

    #[test]
    fn a_byte_order_mark_moves_places() {
        let text = "\u{feff}<a><b>x</b></a>";
        let root = read(text.as_bytes()).unwrap();
        let inside = root.child("b").and_then(|b| b.inside.clone()).unwrap();
        assert_eq!(&text[inside], "x");
    }

    #[test]
    fn what_is_refused() {
        use BadDocument::{DocumentType, Encoding, TooDeep, TooLarge};
        let deep = "<a>".repeat(DEEPEST + 1) + &"</a>".repeat(DEEPEST + 1);
        let large = format!("<a>{}</a>", "x".repeat(LARGEST));
        for (text, expected) in [
            (deep.as_bytes(), TooDeep),
            (large.as_bytes(), TooLarge),
            (b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", DocumentType),
            (b"<a>\xff</a>", Encoding),
            (
                "<?xml version='1.0' encoding='latin1'?><a>ä</a>".as_bytes(),
                Encoding,
            ),
        ] {
            assert_eq!(read(text).unwrap_err(), expected);
        }
        for text in [
            "",
            "x",
            "<a>",
            "<a></b>",
            "</a>",
            "<a/><b/>",
            "<a/>x",
            "<a>&b;</a>",
            "<a>&#0;</a>",
            "<a>\0</a>",
            "<a x='1' x='2'/>",
            "<a x=1/>",
            "<a><b></a></b>",
            "<a",
            "<![CDATA[x",
        ] {
            let found = read(text.as_bytes());
            assert!(
                matches!(found, Err(BadDocument::Malformed { .. })),
                "{text}: {found:?}"
            );
        }
    }
}
