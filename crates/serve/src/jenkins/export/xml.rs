//! The same as elements of XML: a list is its elements one after the other, nothing is left out.

use std::fmt::Write as _;

use super::node::Node;

/// An element.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::jenkins) struct Element {
    pub(in crate::jenkins) name: String,
    pub(in crate::jenkins) class: Option<&'static str>,
    pub(in crate::jenkins) text: String,
    pub(in crate::jenkins) below: Vec<Element>,
}

impl Element {
    /// The whole of an answer. Its name is the last part of its class, as `freeStyleBuild`.
    pub(in crate::jenkins) fn root(node: &Node) -> Self {
        let mut root = Self::of("", node);
        let class = root.class.unwrap_or_default();
        let last = class.rsplit(['.', '$']).next().unwrap_or_default();
        let mut letters = last.chars();
        root.name = match letters.next() {
            Some(first) => first.to_lowercase().chain(letters).collect(),
            None => "root".to_owned(),
        };
        root
    }

    /// An element around others.
    pub(in crate::jenkins) fn around(name: &str, below: Vec<Self>) -> Self {
        Self {
            name: name.to_owned(),
            class: None,
            text: String::new(),
            below,
        }
    }

    fn of(name: &str, node: &Node) -> Self {
        let mut element = Self::around(name, Vec::new());
        match node {
            Node::Null => {}
            Node::Flag(flag) => element.text = flag.to_string(),
            Node::Whole(number) => element.text = number.to_string(),
            Node::Real(number) => element.text = number.to_string(),
            Node::Text(text) => element.text.clone_from(text),
            Node::List(nodes) => {
                element.below = nodes.iter().map(|node| Self::of(name, node)).collect();
            }
            Node::Object(object) => {
                element.class = object.class;
                for (name, node) in &object.fields {
                    match node {
                        Node::Null => {}
                        Node::List(nodes) => {
                            let name = singular(name);
                            let each = nodes.iter().map(|node| Self::of(&name, node));
                            element.below.extend(each);
                        }
                        other => element.below.push(Self::of(name, other)),
                    }
                }
            }
        }
        element
    }

    /// All text in it.
    pub(in crate::jenkins) fn all_text(&self) -> String {
        let mut out = self.text.clone();
        for below in &self.below {
            out.push_str(&below.all_text());
        }
        out
    }

    /// Writes it.
    pub(in crate::jenkins) fn write(&self, out: &mut String) {
        out.push('<');
        out.push_str(&self.name);
        if let Some(class) = self.class {
            // Writing to a String cannot fail.
            let _ = write!(out, " _class=\"{class}\"");
        }
        if self.text.is_empty() && self.below.is_empty() {
            out.push_str("/>");
            return;
        }
        out.push('>');
        for character in self.text.chars() {
            match character {
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '&' => out.push_str("&amp;"),
                '\r' => out.push_str("&#13;"),
                '\n' | '\t' => out.push(character),
                // XML 1.0 has no way to say these.
                '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
                other => out.push(other),
            }
        }
        for below in &self.below {
            below.write(out);
        }
        let _ = write!(out, "</{}>", self.name);
    }
}

/// What one of a list is called.
fn singular(name: &str) -> String {
    match name {
        "children" => "child".to_owned(),
        other => {
            if let Some(stem) = other.strip_suffix("ies") {
                return format!("{stem}y");
            }
            other.strip_suffix('s').unwrap_or(other).to_owned()
        }
    }
}
