//! The part of XPath that scripts use against Jenkins: steps by name, `//`, `*`, `text()`, and conditions
//! `[2]`, `[last()]`, `[name]`, `[name='text']`.

use super::xml::Element;

/// Steps of a path that are read.
const MAX_STEPS: usize = 32;

/// How many elements a step may give.
const MAX_FOUND: usize = 100_000;

/// What a path leads to.
#[derive(Debug, PartialEq)]
pub(in crate::jenkins) enum Found<'a> {
    /// Elements.
    Elements(Vec<&'a Element>),
    /// What is in them.
    Texts(Vec<String>),
}

/// A path that cannot be followed here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this XPath is not understood here: {0}")]
pub(in crate::jenkins) struct BadPath(String);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    is_deep: bool,
    name: String,
    conditions: Vec<Condition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Place(usize),
    Last,
    Has(String),
    Is(String, String),
}

/// Follows a path from a document's root.
///
/// # Errors
/// It is more than is understood here.
pub(in crate::jenkins) fn select<'a>(root: &'a Element, path: &str) -> Result<Found<'a>, BadPath> {
    let (steps, wants_text) = read(path)?;
    let mut found = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        let mut next: Vec<&Element> = Vec::new();
        if at == 0 {
            step.take(std::slice::from_ref(root), &mut next);
        } else {
            for element in found {
                step.take_below(element, &mut next);
            }
        }
        if next.len() > MAX_FOUND {
            return Err(BadPath(path.to_owned()));
        }
        found = next;
    }
    Ok(if wants_text {
        Found::Texts(found.iter().map(|element| element.all_text()).collect())
    } else {
        Found::Elements(found)
    })
}

/// Takes away what a path leads to.
///
/// # Errors
/// It is more than is understood here.
pub(in crate::jenkins) fn exclude(root: &mut Element, path: &str) -> Result<(), BadPath> {
    let doomed: Vec<*const Element> = match select(root, path)? {
        Found::Elements(elements) => elements.into_iter().map(std::ptr::from_ref).collect(),
        Found::Texts(_) => return Err(BadPath(path.to_owned())),
    };
    let doomed = doomed.into_iter().collect();
    *root = without(root, &doomed);
    Ok(())
}

/// A copy without some; they are told by where they are.
fn without(element: &Element, doomed: &std::collections::HashSet<*const Element>) -> Element {
    Element {
        name: element.name.clone(),
        class: element.class,
        text: element.text.clone(),
        below: element
            .below
            .iter()
            .filter(|below| !doomed.contains(&std::ptr::from_ref(*below)))
            .map(|below| without(below, doomed))
            .collect(),
    }
}

impl Step {
    fn take_below<'a>(&self, element: &'a Element, out: &mut Vec<&'a Element>) {
        self.take(&element.below, out);
    }

    /// Those of some siblings, and of what is below them if it is a deep step.
    fn take<'a>(&self, siblings: &'a [Element], out: &mut Vec<&'a Element>) {
        let mut here: Vec<&Element> = siblings
            .iter()
            .filter(|element| self.name == "*" || element.name == self.name)
            .collect();
        for condition in &self.conditions {
            here = match condition {
                Condition::Place(place) => here.into_iter().skip(place - 1).take(1).collect(),
                Condition::Last => here.into_iter().next_back().into_iter().collect(),
                Condition::Has(name) => here
                    .into_iter()
                    .filter(|element| element.below.iter().any(|below| below.name == *name))
                    .collect(),
                Condition::Is(name, text) => here
                    .into_iter()
                    .filter(|element| {
                        let is = |below: &Element| below.name == *name && below.all_text() == *text;
                        element.below.iter().any(is)
                    })
                    .collect(),
            };
        }
        out.extend(here);
        if self.is_deep {
            for element in siblings {
                if out.len() > MAX_FOUND {
                    return;
                }
                self.take(&element.below, out);
            }
        }
    }
}

fn read(path: &str) -> Result<(Vec<Step>, bool), BadPath> {
    let bad = || BadPath(path.chars().take(200).collect());
    let mut rest = path.trim();
    let mut steps = Vec::new();
    if !rest.starts_with('/') {
        return Err(bad());
    }
    while let Some(after) = rest.strip_prefix('/') {
        let (is_deep, after) = match after.strip_prefix('/') {
            Some(after) => (true, after),
            None => (false, after),
        };
        if after == "text()" && !is_deep && !steps.is_empty() {
            return Ok((steps, true));
        }
        let length = after.find(['/', '[']).unwrap_or(after.len());
        let (name, mut behind) = after.split_at(length);
        let is_name = |name: &str| {
            !name.is_empty()
                && name
                    .chars()
                    .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
        };
        if name != "*" && !is_name(name) || steps.len() >= MAX_STEPS {
            return Err(bad());
        }
        let mut conditions = Vec::new();
        while let Some(inside) = behind.strip_prefix('[') {
            let (condition, after) = inside.split_once(']').ok_or_else(bad)?;
            conditions.push(condition_of(condition.trim()).ok_or_else(bad)?);
            behind = after;
            if conditions.len() > MAX_STEPS {
                return Err(bad());
            }
        }
        steps.push(Step {
            is_deep,
            name: name.to_owned(),
            conditions,
        });
        rest = behind;
    }
    if rest.is_empty() && !steps.is_empty() {
        Ok((steps, false))
    } else {
        Err(bad())
    }
}

fn condition_of(text: &str) -> Option<Condition> {
    if let Ok(place) = text.parse::<usize>() {
        return (place > 0).then_some(Condition::Place(place));
    }
    if text == "last()" {
        return Some(Condition::Last);
    }
    let is_name = |name: &str| !name.is_empty() && name.chars().all(char::is_alphanumeric);
    match text.split_once('=') {
        None => is_name(text).then(|| Condition::Has(text.to_owned())),
        Some((name, value)) => {
            let (name, value) = (name.trim(), value.trim());
            let quote = value.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
            let inner = value.strip_prefix(quote)?.strip_suffix(quote)?;
            (is_name(name) && !inner.contains(quote))
                .then(|| Condition::Is(name.to_owned(), inner.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::node::{Node, Object};
    use super::super::xml::Element;
    use super::{Found, exclude, select};
    use proptest::prelude::*;

    fn document() -> Element {
        let build = |number: i64, result: &str| {
            Node::Object(Object {
                class: Some("hudson.model.FreeStyleBuild"),
                fields: vec![("number", number.into()), ("result", result.into())],
            })
        };
        Element::root(&Node::Object(Object {
            class: Some("hudson.model.FreeStyleProject"),
            fields: vec![
                ("name", "a<b>&\u{1}".into()),
                ("building", false.into()),
                ("nothing", Node::Null),
                (
                    "builds",
                    Node::List(vec![build(2, "SUCCESS"), build(1, "FAILURE")]),
                ),
            ],
        }))
    }

    #[test]
    fn a_document() {
        let mut out = String::new();
        document().write(&mut out);
        assert_eq!(
            out,
            "<freeStyleProject _class=\"hudson.model.FreeStyleProject\"><name>a&lt;b&gt;&amp;\u{fffd}</name><building>false</building>\
             <build _class=\"hudson.model.FreeStyleBuild\"><number>2</number><result>SUCCESS</result></build>\
             <build _class=\"hudson.model.FreeStyleBuild\"><number>1</number><result>FAILURE</result></build></freeStyleProject>"
        );
    }

    fn texts(path: &str) -> Vec<String> {
        match select(&document(), path).expect(path) {
            Found::Texts(texts) => texts,
            Found::Elements(elements) => elements.iter().map(|one| one.all_text()).collect(),
        }
    }

    #[test]
    fn paths_that_scripts_use() {
        assert_eq!(texts("//building/text()"), ["false"]);
        assert_eq!(texts("/freeStyleProject/building"), ["false"]);
        assert_eq!(texts("/*/build[1]/number/text()"), ["2"]);
        assert_eq!(texts("//build[last()]/number"), ["1"]);
        assert_eq!(texts("//build[result='FAILURE']/number"), ["1"]);
        assert_eq!(texts("//build[result]/number"), ["2", "1"]);
        assert_eq!(texts("//number"), ["2", "1"]);
        assert!(texts("/build").is_empty());
    }

    #[test]
    fn what_is_excluded_is_gone() {
        let mut root = document();
        exclude(&mut root, "//build[1]").expect("a path");
        assert_eq!(root.below.len(), 3);
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for path in [
            "",
            "building",
            "//",
            "/a[",
            "/a[0]",
            "/a[@b]",
            "count(//a)",
            "//a|//b",
            "/a/",
        ] {
            assert!(select(&document(), path).is_err(), "{path}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(path in "[/a-c*\\[\\]='()0-9]{0,40}") {
            let _ = select(&document(), &path);
        }
    }
}
