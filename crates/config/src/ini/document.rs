//! All sections of all files, merged as they follow each other.

use std::collections::HashMap;

use super::lexer::Chapter;
pub use super::lexer::{Entry, Value, is_blank, strip};
use crate::source::{FileId, Span};

/// The section whose entries every other one has too.
pub(crate) const DEFAULTS: &str = "DEFAULT";

/// What is replaced, as text, in an included file.
const HERE: &str = "%(here)s";

/// A section, from all places where it is continued.
#[derive(Debug, Clone)]
pub struct Section {
    /// As it is written between the brackets.
    pub name: String,
    /// Its first header.
    pub span: Span,
    entries: Vec<Entry>,
}

impl Section {
    /// One that is not written, where that means the same as an empty one.
    pub(crate) fn unwritten(name: &str, span: Span) -> Self {
        Self {
            name: name.to_owned(),
            span,
            entries: Vec::new(),
        }
    }

    /// Its own entries.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// A later value is the one that counts.
    fn set(&mut self, mut entry: Entry) {
        match self.entries.iter_mut().find(|old| old.key == entry.key) {
            Some(old) => {
                entry.earlier = Some(old.span);
                *old = entry;
            }
            None => self.entries.push(entry),
        }
    }
}

/// Everything that was read.
#[derive(Debug, Clone, Default)]
pub struct Document {
    sections: Vec<Section>,
    /// Where in them each name is.
    known: HashMap<String, usize>,
    defaults: Option<Section>,
}

impl Document {
    /// Adds what a file says.
    pub(crate) fn merge(&mut self, chapters: Vec<Chapter>) {
        for chapter in chapters {
            let fresh = || Section {
                name: chapter.name.clone(),
                span: chapter.span,
                entries: Vec::new(),
            };
            let section = if chapter.name == DEFAULTS {
                self.defaults.get_or_insert_with(fresh)
            } else {
                let next = self.sections.len();
                let at = *self.known.entry(chapter.name.clone()).or_insert(next);
                if at == next {
                    self.sections.push(fresh());
                }
                &mut self.sections[at]
            };
            for entry in chapter.entries {
                section.set(entry);
            }
        }
    }

    /// Every section but [`DEFAULTS`], in the order of their first headers.
    #[must_use]
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The section of this name.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.get(*self.known.get(name)?)
    }

    /// The section that gives every other one its entries, if there is one.
    #[must_use]
    pub fn defaults(&self) -> Option<&Section> {
        self.defaults.as_ref()
    }

    /// The entry of a section, or the one that all sections have.
    #[must_use]
    pub fn entry<'a>(&'a self, section: &'a Section, key: &str) -> Option<&'a Entry> {
        let own = section.entries.iter().find(|entry| entry.key == key);
        own.or_else(|| {
            self.defaults
                .as_ref()?
                .entries
                .iter()
                .find(|e| e.key == key)
        })
    }

    /// Every entry of a section, with those that all sections have.
    #[must_use]
    pub fn entries<'a>(&'a self, section: &'a Section) -> Vec<&'a Entry> {
        let mut entries: Vec<&Entry> = section.entries().collect();
        for entry in self.defaults.iter().flat_map(Section::entries) {
            if !section.entries.iter().any(|own| own.key == entry.key) {
                entries.push(entry);
            }
        }
        entries
    }

    /// Puts `directory` in the place of `%(here)s` wherever it is still written; what all
    /// sections have becomes each section's own by it.
    pub(crate) fn settle_here(&mut self, directory: &str) {
        let defaults: Vec<Entry> = self
            .defaults
            .iter()
            .flat_map(|section| section.entries.clone())
            .filter(|entry| entry.value.text().contains(HERE))
            .collect();
        for section in &mut self.sections {
            for entry in &defaults {
                if !section.entries.iter().any(|own| own.key == entry.key) {
                    section.entries.push(entry.clone());
                }
            }
            for entry in &mut section.entries {
                if entry.value.text().contains(HERE) {
                    let text = entry.value.text().replace(HERE, directory);
                    entry.value.replace(text);
                }
            }
        }
    }

    /// The sections whose first header is in `file`.
    pub fn of_file(&self, file: FileId) -> impl Iterator<Item = &Section> {
        self.sections.iter().filter(move |s| s.span.file == file)
    }
}
