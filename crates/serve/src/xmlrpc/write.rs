//! From calls and answers to XML.
//!
//! The form is that of Python's `xmlrpc.client`, line by line: there are clients that do not parse but search.

use std::fmt::Write as _;

use data_encoding::BASE64;

use super::value::{Call, FaultValue, Value};

/// Writes what a client sends.
#[must_use]
pub fn write_call(call: &Call) -> Vec<u8> {
    let mut out = String::from("<?xml version='1.0'?>\n<methodCall>\n<methodName>");
    escape(&call.method, &mut out);
    out.push_str("</methodName>\n<params>\n");
    for param in &call.params {
        out.push_str("<param>\n");
        write_value(param, &mut out);
        out.push_str("</param>\n");
    }
    out.push_str("</params>\n</methodCall>\n");
    out.into_bytes()
}

/// Writes what a server answers.
#[must_use]
pub fn write_response(answer: &Result<Value, FaultValue>) -> Vec<u8> {
    let mut out = String::from("<?xml version='1.0'?>\n<methodResponse>\n");
    match answer {
        Ok(value) => {
            out.push_str("<params>\n<param>\n");
            write_value(value, &mut out);
            out.push_str("</param>\n</params>\n");
        }
        Err(fault) => {
            out.push_str("<fault>\n");
            let fault = Value::members([
                ("faultCode", Value::Int(i64::from(fault.code))),
                ("faultString", Value::text(fault.text.as_str())),
            ]);
            write_value(&fault, &mut out);
            out.push_str("</fault>\n");
        }
    }
    out.push_str("</methodResponse>\n");
    out.into_bytes()
}

fn write_value(value: &Value, out: &mut String) {
    out.push_str("<value>");
    match value {
        Value::Int(number) => {
            let capped = (*number).clamp(i64::from(i32::MIN), i64::from(i32::MAX));
            element("int", format_args!("{capped}"), out);
        }
        Value::Bool(truth) => element("boolean", format_args!("{}", u8::from(*truth)), out),
        Value::Text(text) => {
            out.push_str("<string>");
            escape(text, out);
            out.push_str("</string>");
        }
        Value::Double(number) => element("double", format_args!("{number:?}"), out),
        Value::Array(items) => {
            out.push_str("<array><data>\n");
            for item in items {
                write_value(item, out);
            }
            out.push_str("</data></array>");
        }
        Value::Struct(members) => {
            out.push_str("<struct>\n");
            for (name, member) in members {
                out.push_str("<member>\n<name>");
                escape(name, out);
                out.push_str("</name>\n");
                write_value(member, out);
                out.push_str("</member>\n");
            }
            out.push_str("</struct>");
        }
        Value::Nil => out.push_str("<nil/>"),
        Value::Base64(bytes) => {
            out.push_str("<base64>\n");
            BASE64.encode_append(bytes, out);
            out.push_str("\n</base64>");
        }
        Value::DateTime(text) => {
            out.push_str("<dateTime.iso8601>");
            escape(text, out);
            out.push_str("</dateTime.iso8601>");
        }
    }
    out.push_str("</value>\n");
}

fn element(kind: &str, text: std::fmt::Arguments<'_>, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = write!(out, "<{kind}>{text}</{kind}>");
}

/// Text as it may stand in XML 1.0 (section 2.2, `Char`): what may not is U+FFFD, and a carriage return is
/// a reference, because readers make a line feed of it otherwise (section 2.11).
fn escape(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\r' => out.push_str("&#13;"),
            '\t' | '\n' => out.push(character),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(character),
        }
    }
}
