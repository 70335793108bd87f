//! From XML to calls and answers.

use std::str::Utf8Error;

use data_encoding::BASE64;
use thiserror::Error;

use super::limits::Limits;
use super::read::{Token, Tokens, is_space};
use super::value::{Call, FaultValue, Value};

/// Why a document is not XML-RPC.
#[derive(Debug, Error)]
pub enum ParseError {
    /// Whatever it declares, only UTF-8 is read.
    #[error("not UTF-8")]
    NotUtf8(#[source] Utf8Error),
    /// Not well-formed.
    #[error("not XML")]
    Xml(#[source] quick_xml::Error),
    /// Document types may tell a reader to open files: never read.
    #[error("a document type is not read")]
    DocumentType,
    /// Another entity than the five of XML.
    #[error("unknown entity")]
    Entity,
    /// It ends before it is complete.
    #[error("cut short")]
    Cut,
    /// Text where there may be none.
    #[error("text where there may be none")]
    StrayText,
    /// An element where it has no meaning.
    #[error("element {name:?} where it has no meaning")]
    Unexpected {
        /// Its name, at most 64 characters of it.
        name: String,
    },
    /// An element that has to be there is not.
    #[error("no element {0:?}")]
    Missing(&'static str),
    /// Text that is no value of its type.
    #[error("not a value of type {0}")]
    BadValue(&'static str),
    /// A call without the name of a method, or with an empty one.
    #[error("no method name")]
    NoMethod,
    /// [`Limits::depth`].
    #[error("nested deeper than {0}")]
    TooDeep(usize),
    /// [`Limits::values`].
    #[error("more than {0} values")]
    TooMany(usize),
}

impl ParseError {
    pub(super) fn unexpected(name: &str) -> Self {
        Self::Unexpected {
            name: name.chars().take(64).collect(),
        }
    }
}

/// Reads what a client sends, within [`Limits::CALL`].
///
/// Calls without `params` and values without a type are read as others read them.
///
/// # Errors
/// What is wrong with it.
pub fn parse_call(document: &[u8]) -> Result<Call, ParseError> {
    let mut parser = Parser::new(document, Limits::CALL)?;
    let root = parser.tokens.root()?;
    if root != "methodCall" {
        return Err(ParseError::unexpected(&root));
    }
    let mut method = None;
    let mut params = None;
    while let Some(name) = parser.tokens.element()? {
        match name.as_str() {
            "methodName" if method.is_none() => method = Some(parser.tokens.text()?),
            "params" if params.is_none() => params = Some(parser.params()?),
            other => return Err(ParseError::unexpected(other)),
        }
    }
    parser.tokens.finish()?;
    let method = method.unwrap_or_default().trim().to_owned();
    if method.is_empty() {
        return Err(ParseError::NoMethod);
    }
    Ok(Call {
        method,
        params: params.unwrap_or_default(),
    })
}

/// Reads what a server answers, within [`Limits::RESPONSE`].
///
/// # Errors
/// What is wrong with it.
pub fn parse_response(document: &[u8]) -> Result<Result<Value, FaultValue>, ParseError> {
    let mut parser = Parser::new(document, Limits::RESPONSE)?;
    let root = parser.tokens.root()?;
    if root != "methodResponse" {
        return Err(ParseError::unexpected(&root));
    }
    let kind = parser.tokens.element()?;
    let answer = match kind.as_deref() {
        Some("params") => {
            let mut params = parser.params()?.into_iter();
            match (params.next(), params.next()) {
                (Some(value), None) => Ok(value),
                (None, _) => return Err(ParseError::Missing("param")),
                (Some(_), Some(_)) => return Err(ParseError::unexpected("param")),
            }
        }
        Some("fault") => {
            let fault = parser.only_value()?;
            let code = fault
                .member("faultCode")
                .and_then(Value::as_int)
                .and_then(|code| i32::try_from(code).ok())
                .ok_or(ParseError::Missing("faultCode"))?;
            let text = fault
                .member("faultString")
                .and_then(Value::as_text)
                .unwrap_or_default();
            Err(FaultValue {
                code,
                text: text.to_owned(),
            })
        }
        Some(other) => return Err(ParseError::unexpected(other)),
        None => return Err(ParseError::Missing("params")),
    };
    parser.tokens.close()?;
    parser.tokens.finish()?;
    Ok(answer)
}

struct Parser<'a> {
    tokens: Tokens<'a>,
    limits: Limits,
    values: usize,
}

impl<'a> Parser<'a> {
    fn new(document: &'a [u8], limits: Limits) -> Result<Self, ParseError> {
        Ok(Self {
            tokens: Tokens::new(document)?,
            limits,
            values: 0,
        })
    }

    /// What is in `params`, up to its end.
    fn params(&mut self) -> Result<Vec<Value>, ParseError> {
        let mut params = Vec::new();
        while let Some(name) = self.tokens.element()? {
            if name != "param" {
                return Err(ParseError::unexpected(&name));
            }
            params.push(self.only_value()?);
        }
        Ok(params)
    }

    /// An element of which only the begin was read holds one value and nothing else.
    fn only_value(&mut self) -> Result<Value, ParseError> {
        self.open("value")?;
        let value = self.value(0)?;
        self.tokens.close()?;
        Ok(value)
    }

    fn open(&mut self, expected: &'static str) -> Result<(), ParseError> {
        match self.tokens.element()? {
            Some(name) if name == expected => Ok(()),
            Some(name) => Err(ParseError::unexpected(&name)),
            None => Err(ParseError::Missing(expected)),
        }
    }

    /// What is in `value`, up to its end.
    fn value(&mut self, depth: usize) -> Result<Value, ParseError> {
        self.values += 1;
        if self.values > self.limits.values {
            return Err(ParseError::TooMany(self.limits.values));
        }
        let mut text = String::new();
        loop {
            match self.tokens.next()? {
                Token::Text(more) => text.push_str(&more),
                Token::Close => return Ok(Value::Text(text)),
                Token::End => return Err(ParseError::Cut),
                Token::Open(_) if !is_space(&text) => return Err(ParseError::StrayText),
                Token::Open(kind) => {
                    let value = self.typed(&kind, depth)?;
                    self.tokens.close()?;
                    return Ok(value);
                }
            }
        }
    }

    fn typed(&mut self, kind: &str, depth: usize) -> Result<Value, ParseError> {
        Ok(match kind {
            "string" => Value::Text(self.tokens.text()?),
            "int" | "i4" | "i8" | "i2" | "i1" => Value::Int(whole(&self.tokens.text()?)?),
            "boolean" => Value::Bool(match self.tokens.text()?.trim() {
                "1" | "true" => true,
                "0" | "false" => false,
                _ => return Err(ParseError::BadValue("boolean")),
            }),
            "double" => {
                let text = self.tokens.text()?;
                let number = text.trim().parse();
                Value::Double(number.map_err(|_| ParseError::BadValue("double"))?)
            }
            "nil" => {
                self.tokens.close()?;
                Value::Nil
            }
            "base64" => {
                let mut text = self.tokens.text()?;
                text.retain(|character| !character.is_ascii_whitespace());
                let bytes = BASE64.decode(text.as_bytes());
                Value::Base64(bytes.map_err(|_| ParseError::BadValue("base64"))?)
            }
            "dateTime.iso8601" => Value::DateTime(self.tokens.text()?.trim().to_owned()),
            "array" => Value::Array(self.array(self.deeper(depth)?)?),
            "struct" => Value::Struct(self.members(self.deeper(depth)?)?),
            other => return Err(ParseError::unexpected(other)),
        })
    }

    fn deeper(&self, depth: usize) -> Result<usize, ParseError> {
        if depth < self.limits.depth {
            Ok(depth + 1)
        } else {
            Err(ParseError::TooDeep(self.limits.depth))
        }
    }

    /// What is in `array`, up to its end.
    fn array(&mut self, depth: usize) -> Result<Vec<Value>, ParseError> {
        self.open("data")?;
        let mut items = Vec::new();
        while let Some(name) = self.tokens.element()? {
            if name != "value" {
                return Err(ParseError::unexpected(&name));
            }
            items.push(self.value(depth)?);
        }
        self.tokens.close()?;
        Ok(items)
    }

    /// What is in `struct`, up to its end.
    fn members(&mut self, depth: usize) -> Result<Vec<(String, Value)>, ParseError> {
        let mut members = Vec::new();
        while let Some(name) = self.tokens.element()? {
            if name != "member" {
                return Err(ParseError::unexpected(&name));
            }
            let mut called = None;
            let mut value = None;
            while let Some(part) = self.tokens.element()? {
                match part.as_str() {
                    "name" if called.is_none() => called = Some(self.tokens.text()?),
                    "value" if value.is_none() => value = Some(self.value(depth)?),
                    other => return Err(ParseError::unexpected(other)),
                }
            }
            members.push((
                called.ok_or(ParseError::Missing("name"))?,
                value.ok_or(ParseError::Missing("value"))?,
            ));
        }
        Ok(members)
    }
}

/// A whole number; one that is too large is as large as can be.
fn whole(text: &str) -> Result<i64, ParseError> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ParseError::BadValue("int"));
    }
    Ok(match text.parse() {
        Ok(number) => number,
        Err(_) if negative => i64::MIN,
        Err(_) => i64::MAX,
    })
}
