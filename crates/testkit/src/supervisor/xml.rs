//! XML-RPC as far as a client needs it, <http://xmlrpc.com/spec.md>: JSON values in, JSON values
//! out. Written for answers of modest size from servers that are trusted to be servers.

use std::fmt::Write as _;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Map, Value};

/// A refusal as it came over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// `faultCode`.
    pub code: i64,
    /// `faultString`.
    pub text: String,
}

/// A call of `method`.
#[must_use]
pub fn call(method: &str, parameters: &[Value]) -> String {
    let mut text = String::from("<?xml version='1.0'?>\n<methodCall>\n<methodName>");
    escape(method, &mut text);
    text.push_str("</methodName>\n<params>\n");
    for parameter in parameters {
        text.push_str("<param>");
        value(parameter, &mut text);
        text.push_str("</param>\n");
    }
    text.push_str("</params>\n</methodCall>\n");
    text
}

fn escape(from: &str, into: &mut String) {
    for letter in from.chars() {
        match letter {
            '<' => into.push_str("&lt;"),
            '>' => into.push_str("&gt;"),
            '&' => into.push_str("&amp;"),
            other => into.push(other),
        }
    }
}

fn value(from: &Value, into: &mut String) {
    into.push_str("<value>");
    match from {
        Value::Null => into.push_str("<nil/>"),
        Value::Bool(yes) => {
            let _ = write!(into, "<boolean>{}</boolean>", i32::from(*yes));
        }
        Value::Number(number) if number.is_f64() => {
            let _ = write!(into, "<double>{number}</double>");
        }
        Value::Number(number) => {
            let _ = write!(into, "<int>{number}</int>");
        }
        Value::String(text) => {
            into.push_str("<string>");
            escape(text, into);
            into.push_str("</string>");
        }
        Value::Array(items) => {
            into.push_str("<array><data>");
            for item in items {
                value(item, into);
            }
            into.push_str("</data></array>");
        }
        Value::Object(members) => {
            into.push_str("<struct>");
            for (name, member) in members {
                into.push_str("<member><name>");
                escape(name, into);
                into.push_str("</name>");
                value(member, into);
                into.push_str("</member>");
            }
            into.push_str("</struct>");
        }
    }
    into.push_str("</value>");
}

/// What an answer says.
///
/// # Errors
/// When it is not an answer.
pub fn answer(text: &str) -> anyhow::Result<Result<Value, Fault>> {
    let mut reader = Reader {
        rest: text.trim_start(),
    };
    if reader.rest.starts_with("<?") {
        let (_, after) = reader.rest.split_once("?>").context("an open prolog")?;
        reader.rest = after;
    }
    reader.tag("methodResponse")?;
    if reader.is_at("fault") {
        reader.tag("fault")?;
        let fault = reader.value()?;
        let code = fault["faultCode"].as_i64().context("no faultCode")?;
        let text = fault["faultString"].as_str().context("no faultString")?;
        return Ok(Err(Fault {
            code,
            text: text.to_owned(),
        }));
    }
    reader.tag("params")?;
    reader.tag("param")?;
    let value = reader.value()?;
    reader.tag("/param")?;
    reader.tag("/params")?;
    reader.tag("/methodResponse")?;
    ensure!(
        reader.rest.trim().is_empty(),
        "after the answer: {}",
        reader.rest
    );
    Ok(Ok(value))
}

struct Reader<'t> {
    rest: &'t str,
}

impl<'t> Reader<'t> {
    fn is_at(&mut self, name: &str) -> bool {
        self.rest = self.rest.trim_start();
        let after = self.rest.strip_prefix('<');
        after
            .and_then(|after| after.strip_prefix(name))
            .is_some_and(|after| after.starts_with('>'))
    }

    fn tag(&mut self, name: &str) -> anyhow::Result<()> {
        ensure!(self.is_at(name), "no <{name}> at: {}", self.rest);
        self.any_tag()?;
        Ok(())
    }

    fn any_tag(&mut self) -> anyhow::Result<&'t str> {
        self.rest = self.rest.trim_start();
        let inside = self.rest.strip_prefix('<').context("no tag")?;
        let (name, after) = inside.split_once('>').context("an open tag")?;
        self.rest = after;
        Ok(name.trim())
    }

    /// Everything up to the next tag; white space belongs to it.
    fn text(&mut self) -> anyhow::Result<String> {
        let end = self.rest.find('<').context("text without an end")?;
        let (text, after) = self.rest.split_at(end);
        self.rest = after;
        unescape(text)
    }

    fn value(&mut self) -> anyhow::Result<Value> {
        self.rest = self.rest.trim_start();
        let outer = self.any_tag()?;
        if outer == "value/" {
            return Ok(Value::String(String::new()));
        }
        ensure!(outer == "value", "<{outer}> is no <value>");
        let bare = self.text()?;
        if self.is_at("/value") {
            self.any_tag()?;
            return Ok(Value::String(bare));
        }
        let kind = self.any_tag()?;
        let value = match kind {
            "nil/" => Value::Null,
            "string/" => Value::String(String::new()),
            "array" => self.array()?,
            "struct" => self.members()?,
            scalar => {
                let text = self.text()?;
                self.tag(&format!("/{scalar}"))?;
                match scalar {
                    "string" | "dateTime.iso8601" | "base64" => Value::String(text),
                    "int" | "i4" | "i8" => Value::from(text.trim().parse::<i64>()?),
                    "double" => Value::from(text.trim().parse::<f64>()?),
                    "boolean" => match text.as_str() {
                        "0" => Value::Bool(false),
                        "1" => Value::Bool(true),
                        other => bail!("boolean {other}"),
                    },
                    other => bail!("a value of type {other}"),
                }
            }
        };
        self.tag("/value")?;
        Ok(value)
    }

    fn array(&mut self) -> anyhow::Result<Value> {
        let mut items = Vec::new();
        self.tag("data")?;
        while !self.is_at("/data") {
            items.push(self.value()?);
        }
        self.tag("/data")?;
        self.tag("/array")?;
        Ok(Value::Array(items))
    }

    fn members(&mut self) -> anyhow::Result<Value> {
        let mut members = Map::new();
        while !self.is_at("/struct") {
            self.tag("member")?;
            self.tag("name")?;
            let name = self.text()?;
            self.tag("/name")?;
            let value = self.value()?;
            self.tag("/member")?;
            members.insert(name, value);
        }
        self.tag("/struct")?;
        Ok(Value::Object(members))
    }
}

fn unescape(text: &str) -> anyhow::Result<String> {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        let (name, after) = after.split_once(';').context("an open entity")?;
        plain.push(match name {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            other => {
                let number = other.strip_prefix('#').context("an unknown entity")?;
                let number = match number.strip_prefix('x') {
                    Some(hex) => u32::from_str_radix(hex, 16)?,
                    None => number.parse()?,
                };
                char::from_u32(number).context("no such letter")?
            }
        });
        rest = after;
    }
    plain.push_str(rest);
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_written_is_read() -> anyhow::Result<()> {
        let all = json!({"a": [1, -2, true, "<&>\n\u{e9}", "", null, [], {}], "b": 1.5});
        let text = call("m", std::slice::from_ref(&all))
            .replace("methodCall>", "methodResponse>")
            .replace("<methodName>m</methodName>\n", "");
        assert_eq!(answer(&text)?, Ok(all));
        Ok(())
    }

    #[test]
    fn bare_text_and_faults() -> anyhow::Result<()> {
        let bare = "<methodResponse><params><param><value> x &#65;&#x42;</value></param></params></methodResponse>";
        assert_eq!(answer(bare)?, Ok(json!(" x AB")));
        let fault = "<?xml version='1.0'?>\n<methodResponse><fault><value><struct>\
            <member><name>faultCode</name><value><int>10</int></value></member>\
            <member><name>faultString</name><value><string>BAD_NAME: x</string></value></member>\
            </struct></value></fault></methodResponse>";
        let expected = Fault {
            code: 10,
            text: "BAD_NAME: x".to_owned(),
        };
        assert_eq!(answer(fault)?, Err(expected));
        assert!(answer("<html>").is_err());
        Ok(())
    }
}
