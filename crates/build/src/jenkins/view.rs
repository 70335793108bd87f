//! Views: lists of jobs.

use super::document::{Element, read};
use super::refusal::BadDocument;
use super::xml::Writer;

/// No view names more jobs.
const MOST_JOBS: usize = 10_000;

/// A list of jobs (`hudson.model.ListView`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// Its name, where the document says it.
    pub name: Option<String>,
    /// What it is for.
    pub description: String,
    /// Full names of jobs.
    pub jobs: Vec<String>,
    /// Jobs whose whole name this regular expression matches are in it too.
    pub regex: Option<String>,
    /// Jobs in folders are too.
    pub recurse: bool,
}

/// Reads a view's document.
///
/// # Errors
/// When it is no XML, or describes something else than a `hudson.model.ListView`.
pub fn parse_view(document: &[u8]) -> Result<View, BadDocument> {
    let root = read(document)?;
    if root.tag != "hudson.model.ListView" {
        return Err(BadDocument::Foreign {
            found: root.tag,
            expected: "a list of jobs (`hudson.model.ListView`)",
        });
    }
    let text = |tag: &str| root.child(tag).map(|child| child.text.clone());
    let full = |tag: &str| {
        let text = text(tag).map(|text| text.trim().to_owned());
        text.filter(|text| !text.is_empty())
    };
    let mut jobs = Vec::new();
    if let Some(names) = root.child("jobNames") {
        strings(names, &mut jobs);
    }
    Ok(View {
        name: full("name"),
        description: text("description").unwrap_or_default(),
        jobs,
        regex: full("includeRegex"),
        recurse: full("recurse").is_some_and(|word| word == "true"),
    })
}

fn strings(element: &Element, found: &mut Vec<String>) {
    for child in &element.children {
        let word = child.word();
        let is_new = !found.iter().any(|known| known == word);
        if child.tag == "string" && !word.is_empty() && is_new && found.len() < MOST_JOBS {
            found.push(word.to_owned());
        }
    }
}

/// A view's document.
#[must_use]
pub fn write_view(view: &View) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.within("hudson.model.ListView", "", |writer| {
        head(
            writer,
            view.name.as_deref().unwrap_or_default(),
            &view.description,
        );
        writer.within("jobNames", "", |writer| {
            writer.within(
                "comparator",
                " class=\"java.lang.String$CaseInsensitiveComparator\"",
                |_| {},
            );
            for job in &view.jobs {
                writer.leaf("string", job);
            }
        });
        writer.leaf("jobFilters", "");
        writer.within("columns", "", |writer| {
            for column in [
                "Status",
                "Weather",
                "Job",
                "LastSuccess",
                "LastFailure",
                "LastDuration",
                "BuildButton",
            ] {
                writer.leaf(&format!("hudson.views.{column}Column"), "");
            }
        });
        if let Some(regex) = &view.regex {
            writer.leaf("includeRegex", regex);
        }
        writer.flag("recurse", view.recurse);
    });
    writer.finish()
}

fn head(writer: &mut Writer, name: &str, description: &str) {
    writer.leaf("name", name);
    if !description.is_empty() {
        writer.leaf("description", description);
    }
    writer.flag("filterExecutors", false);
    writer.flag("filterQueue", false);
    writer.within(
        "properties",
        " class=\"hudson.model.View$PropertyList\"",
        |_| {},
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let view = View {
            name: Some("libs <1>".into()),
            description: "d & e".into(),
            jobs: vec!["a".into(), "team/b".into()],
            regex: Some("lib-.*".into()),
            recurse: true,
        };
        assert_eq!(parse_view(&write_view(&view)), Ok(view));
        assert_eq!(
            parse_view(&write_view(&View::default())),
            Ok(View::default())
        );
        let all = parse_view(b"<hudson.model.AllView><name>all</name></hudson.model.AllView>");
        assert!(matches!(all, Err(BadDocument::Foreign { .. })));
    }
}
