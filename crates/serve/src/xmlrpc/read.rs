//! XML, one element at a time: no document types, no entities but the five, no namespaces.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;

use super::parse::ParseError;

/// What comes next.
pub(super) enum Token<'a> {
    /// An element begins.
    Open(String),
    /// The innermost element ends.
    Close,
    /// Text, with references resolved; longer text may come in pieces.
    Text(Cow<'a, str>),
    /// The document ends.
    End,
}

/// A document, as far as it has been read.
pub(super) struct Tokens<'a> {
    reader: Reader<&'a [u8]>,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(document: &'a [u8]) -> Result<Self, ParseError> {
        let document = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
        // Which encoding is declared does not matter, as for Supervisor: clients that declare Latin-1
        // write anything beyond ASCII as references.
        let text = std::str::from_utf8(document).map_err(ParseError::NotUtf8)?;
        let mut reader = Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        Ok(Self { reader })
    }

    pub(super) fn next(&mut self) -> Result<Token<'a>, ParseError> {
        loop {
            return Ok(match self.reader.read_event().map_err(ParseError::Xml)? {
                Event::Start(start) | Event::Empty(start) => {
                    Token::Open(start.local_name().into_inner().to_owned())
                }
                Event::End(_) => Token::Close,
                Event::Text(text) => Token::Text(text.xml10_content()),
                Event::CData(text) => Token::Text(text.xml10_content()),
                Event::GeneralRef(reference) => {
                    if let Some(character) =
                        reference.resolve_char_ref().map_err(ParseError::Xml)?
                    {
                        Token::Text(Cow::Owned(character.to_string()))
                    } else {
                        let resolved = resolve_predefined_entity(&reference);
                        Token::Text(Cow::Borrowed(resolved.ok_or(ParseError::Entity)?))
                    }
                }
                Event::DocType(_) => return Err(ParseError::DocumentType),
                Event::Eof => Token::End,
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) => continue,
            });
        }
    }

    /// The next element's name, or nothing if the one around it ends first; space between is skipped.
    pub(super) fn element(&mut self) -> Result<Option<String>, ParseError> {
        loop {
            match self.next()? {
                Token::Open(name) => return Ok(Some(name)),
                Token::Close => return Ok(None),
                Token::Text(text) if is_space(&text) => {}
                Token::Text(_) => return Err(ParseError::StrayText),
                Token::End => return Err(ParseError::Cut),
            }
        }
    }

    /// The document's own element.
    pub(super) fn root(&mut self) -> Result<String, ParseError> {
        self.element()?.ok_or(ParseError::Cut)
    }

    /// The element whose begin was read last must end here.
    pub(super) fn close(&mut self) -> Result<(), ParseError> {
        match self.element()? {
            None => Ok(()),
            Some(name) => Err(ParseError::unexpected(&name)),
        }
    }

    /// The text of the element whose begin was read last, up to its end.
    pub(super) fn text(&mut self) -> Result<String, ParseError> {
        let mut whole = String::new();
        loop {
            match self.next()? {
                Token::Text(text) => whole.push_str(&text),
                Token::Close => return Ok(whole),
                Token::Open(name) => return Err(ParseError::unexpected(&name)),
                Token::End => return Err(ParseError::Cut),
            }
        }
    }

    /// Nothing may follow.
    pub(super) fn finish(&mut self) -> Result<(), ParseError> {
        loop {
            match self.next()? {
                Token::End => return Ok(()),
                Token::Text(text) if is_space(&text) => {}
                Token::Text(_) => return Err(ParseError::StrayText),
                Token::Open(name) => return Err(ParseError::unexpected(&name)),
                Token::Close => return Err(ParseError::Cut),
            }
        }
    }
}

/// Whether it is nothing but XML's white space.
pub(super) fn is_space(text: &str) -> bool {
    text.bytes()
        .all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}
