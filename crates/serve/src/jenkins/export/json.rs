//! JSON, and the same as Python would write it.

use super::node::{Node, Object};

/// In which language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::jenkins) enum Dialect {
    /// RFC 8259.
    Json,
    /// `None`, `True` and `False`; all else is the same.
    Python,
}

/// Writes a value.
pub(in crate::jenkins) fn write(node: &Node, dialect: Dialect) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    value(node, dialect, &mut out);
    out
}

fn value(node: &Node, dialect: Dialect, out: &mut Vec<u8>) {
    let word = |json: &'static str, python: &'static str| match dialect {
        Dialect::Json => json,
        Dialect::Python => python,
    };
    match node {
        Node::Null => out.extend_from_slice(word("null", "None").as_bytes()),
        Node::Flag(true) => out.extend_from_slice(word("true", "True").as_bytes()),
        Node::Flag(false) => out.extend_from_slice(word("false", "False").as_bytes()),
        Node::Whole(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Node::Real(number) if number.is_finite() => {
            out.extend_from_slice(number.to_string().as_bytes());
        }
        Node::Real(_) => out.push(b'0'),
        Node::Text(content) => text(content, out),
        Node::List(nodes) => {
            out.push(b'[');
            for (at, node) in nodes.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                value(node, dialect, out);
            }
            out.push(b']');
        }
        Node::Object(content) => object(content, dialect, out),
    }
}

fn object(object: &Object, dialect: Dialect, out: &mut Vec<u8>) {
    out.push(b'{');
    let mut is_first = true;
    if let Some(class) = object.class {
        text("_class", out);
        out.push(b':');
        text(class, out);
        is_first = false;
    }
    for (name, node) in &object.fields {
        if !is_first {
            out.push(b',');
        }
        is_first = false;
        text(name, out);
        out.push(b':');
        value(node, dialect, out);
    }
    out.push(b'}');
}

fn text(text: &str, out: &mut Vec<u8>) {
    // Text is always written: there is no other error here.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests {
    use super::super::node::{Node, Object};
    use super::{Dialect, write};

    #[test]
    fn both_dialects() {
        let node = Node::Object(Object {
            class: Some("a.B"),
            fields: vec![
                ("n", Node::Null),
                ("t", Node::Flag(true)),
                (
                    "l",
                    Node::List(vec![Node::Whole(-1), Node::Real(0.5), Node::Real(f64::NAN)]),
                ),
                ("s", "a\"\n\u{1}é".into()),
                ("o", Node::Object(Object::default())),
            ],
        });
        let json = r#"{"_class":"a.B","n":null,"t":true,"l":[-1,0.5,0],"s":"a\"\n\u0001é","o":{}}"#;
        assert_eq!(String::from_utf8_lossy(&write(&node, Dialect::Json)), json);
        let python = json.replace("null", "None").replace("true", "True");
        assert_eq!(
            String::from_utf8_lossy(&write(&node, Dialect::Python)),
            python
        );
    }
}
