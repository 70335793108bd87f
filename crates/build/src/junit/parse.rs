//! One file of test results, read as a stream.
//!
//! What is read: `testsuites`, `testsuite` (nested too), `testcase` with `failure`, `error`, `skipped`,
//! `system-out`, `system-err`; what Maven writes of tests that were run again (`rerunFailure`,
//! `flakyFailure` …) goes into the details. What is unknown is skipped. A document type is refused: entities
//! of its own are the way to make a small file a large one.

use std::io::{self, BufRead, BufReader, Read};

use quick_xml::XmlVersion;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::reader::Reader;

use super::characters::Characters;
use super::cut::{Cut, cut};
use crate::outcome::{TestCase, TestStatus, TestSuite};

/// A file has at most so many bytes.
const MAX_FILE: u64 = 100 << 20;
/// Elements are nested at most so deeply.
const MAX_DEPTH: usize = 100;
/// Names are cut here, bytes.
const MAX_NAME: usize = 1000;
/// Messages are cut here, bytes.
const MAX_MESSAGE: usize = 4000;
/// Details and output of a test that failed are cut here, bytes.
const MAX_TEXT: usize = 100_000;
/// Output of a test that passed is cut here, unless all is wanted, bytes.
const MAX_PASSING: usize = 1000;
/// What was read of a text is given back to the system from here on, bytes.
const MAX_BUFFER: usize = 1 << 20;

/// How much all files of a build may tell together.
#[derive(Debug, Clone)]
pub struct Budget {
    /// Tests that may still come.
    pub cases: usize,
    /// Bytes of messages, details and output that may still come.
    pub text: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            cases: 200_000,
            text: 64 << 20,
        }
    }
}

/// What a file told.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parsed {
    /// Suites that have tests, in the file's order.
    pub suites: Vec<TestSuite>,
    /// Why there may be more than that.
    pub broken: Option<Broken>,
}

/// Why a file was not read to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// It has more bytes than a file may.
    #[error("it has more than {} MB", MAX_FILE >> 20)]
    TooLong,
    /// Elements within elements within elements.
    #[error("elements are nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// All files of the build have more tests than it may have.
    #[error("there are too many tests; the rest is not counted")]
    TooMany,
    /// It declares entities.
    #[error("it has a document type, which is refused")]
    DocumentType,
    /// It ends in the middle.
    #[error("it ends within <{0}>")]
    Unfinished(String),
    /// It is no XML.
    #[error("it is no XML at byte {at}: {what}")]
    NoXml {
        /// Where, in UTF-8.
        at: u64,
        /// Why.
        what: String,
    },
    /// It is XML of something else.
    #[error("it has no test results, but <{0}>")]
    SomethingElse(String),
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(String),
}

/// Reads a file. `name` is for suites without a name of their own; `keep_long_output` keeps the output of
/// tests that pass too.
#[must_use]
pub fn parse(from: impl Read, name: &str, keep_long_output: bool, budget: &mut Budget) -> Parsed {
    let mut reading = Reading {
        name,
        keep_long_output,
        budget,
        open: Vec::new(),
        suites: Vec::new(),
    };
    let broken = match Characters::new(from, MAX_FILE) {
        Ok(characters) => reading.run(BufReader::new(characters)).err(),
        Err(error) => Some(Broken::Unreadable(error.to_string())),
    };
    reading.close_all();
    let mut suites = reading.suites;
    suites.retain(|suite| !suite.cases.is_empty());
    Parsed { suites, broken }
}

/// An element that has begun.
enum Open {
    Suites,
    Suite(Suite),
    Case(Box<Case>),
    Text(TextOf, Cut),
    Other,
}

struct Suite {
    /// Which of the suites that come out.
    index: usize,
    has_duration: bool,
    stdout: Option<String>,
    stderr: Option<String>,
}

struct Case {
    case: TestCase,
    details: Vec<String>,
}

/// What a text is of.
enum TextOf {
    /// A failure or an error, with its message and its kind.
    Failure {
        message: Option<String>,
        kind: Option<String>,
    },
    /// A run of the test that was not the last.
    Rerun {
        label: String,
    },
    Skipped {
        message: Option<String>,
    },
    Stdout,
    Stderr,
}

struct Reading<'a> {
    name: &'a str,
    keep_long_output: bool,
    budget: &'a mut Budget,
    open: Vec<Open>,
    suites: Vec<TestSuite>,
}

impl Reading<'_> {
    fn run(&mut self, from: impl BufRead) -> Result<(), Broken> {
        let mut reader = Reader::from_reader(from);
        let config = reader.config_mut();
        config.expand_empty_elements = true;
        config.allow_dangling_amp = true;
        let mut names: Vec<String> = Vec::new();
        let mut seen_any = false;
        let mut buffer = Vec::new();
        loop {
            buffer.clear();
            if buffer.capacity() > MAX_BUFFER {
                buffer.shrink_to(0);
            }
            let at = reader.buffer_position();
            match reader.read_event_into(&mut buffer) {
                Ok(Event::Start(element)) => {
                    let name = element.local_name().into_inner().to_owned();
                    if !seen_any
                        && !matches!(name.as_str(), "testsuites" | "testsuite" | "testcase")
                    {
                        return Err(Broken::SomethingElse(cut(&name, 100)));
                    }
                    seen_any = true;
                    if names.len() >= MAX_DEPTH {
                        return Err(Broken::TooDeep);
                    }
                    self.begin(&name, &element)?;
                    names.push(name);
                }
                Ok(Event::End(_)) => {
                    names.pop();
                    self.end();
                }
                Ok(Event::Text(text)) => self.text(&text.xml10_content()),
                Ok(Event::CData(text)) => self.text(&text.xml10_content()),
                Ok(Event::GeneralRef(reference)) => self.reference(&reference),
                Ok(Event::DocType(_)) => return Err(Broken::DocumentType),
                Ok(Event::Eof) => {
                    return match names.pop() {
                        Some(name) => Err(Broken::Unfinished(cut(&name, 100))),
                        None if !seen_any => Err(Broken::Empty),
                        None => Ok(()),
                    };
                }
                Ok(Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_)) => {}
                Err(error) => return Err(broken(&error, at)),
            }
        }
    }

    fn begin(&mut self, name: &str, element: &BytesStart<'_>) -> Result<(), Broken> {
        let open = match (self.open.last(), name) {
            (Some(Open::Text(..) | Open::Other), _) => Open::Other,
            (Some(Open::Case(_)), _) => self.in_case(name, element),
            (None | Some(Open::Suites | Open::Suite(_)), "testcase") => self.case(element)?,
            (None | Some(Open::Suites | Open::Suite(_)), "testsuite") => {
                Open::Suite(self.suite(element))
            }
            (None | Some(Open::Suites), "testsuites") => Open::Suites,
            (Some(Open::Suite(_)), "system-out") => text(TextOf::Stdout),
            (Some(Open::Suite(_)), "system-err") => text(TextOf::Stderr),
            (Some(Open::Suite(_)), "failure" | "error") => text(TextOf::Failure {
                message: attribute(element, "message"),
                kind: attribute(element, "type"),
            }),
            (None | Some(Open::Suites | Open::Suite(_)), _) => Open::Other,
        };
        self.open.push(open);
        Ok(())
    }

    fn in_case(&mut self, name: &str, element: &BytesStart<'_>) -> Open {
        let message = || attribute(element, "message");
        let kind = || attribute(element, "type");
        match name {
            "failure" | "error" => text(TextOf::Failure {
                message: message(),
                kind: kind(),
            }),
            "rerunFailure" | "rerunError" | "flakyFailure" | "flakyError" => {
                let said = message().or_else(kind).unwrap_or_default();
                text(TextOf::Rerun {
                    label: format!("{name}: {said}"),
                })
            }
            "skipped" => text(TextOf::Skipped { message: message() }),
            "system-out" => text(TextOf::Stdout),
            "system-err" => text(TextOf::Stderr),
            _ => Open::Other,
        }
    }

    fn suite(&mut self, element: &BytesStart<'_>) -> Suite {
        let name = attribute(element, "name").filter(|name| !name.is_empty());
        let name = name.unwrap_or_else(|| self.name.to_owned());
        // Ant writes the package apart from the class.
        let name = match attribute(element, "package") {
            Some(package) if !package.is_empty() && !name.starts_with(&package) => {
                format!("{package}.{name}")
            }
            _ => name,
        };
        let duration = attribute(element, "time").and_then(|text| seconds(&text));
        self.suites.push(TestSuite {
            name: cut(&name, MAX_NAME),
            duration: duration.unwrap_or_default(),
            cases: Vec::new(),
        });
        Suite {
            index: self.suites.len() - 1,
            has_duration: duration.is_some(),
            stdout: None,
            stderr: None,
        }
    }

    /// The suite that a case is of; one is made for a case that is in none.
    fn innermost(&mut self) -> usize {
        let of = |open: &Open| match open {
            Open::Suite(suite) => Some(suite.index),
            Open::Suites | Open::Case(_) | Open::Text(..) | Open::Other => None,
        };
        if let Some(index) = self.open.iter().rev().find_map(of) {
            return index;
        }
        let name = cut(self.name, MAX_NAME);
        if let Some(index) = self.suites.iter().position(|suite| suite.name == name) {
            return index;
        }
        self.suites.push(TestSuite {
            name,
            ..TestSuite::default()
        });
        self.suites.len() - 1
    }

    fn case(&mut self, element: &BytesStart<'_>) -> Result<Open, Broken> {
        self.budget.cases = self.budget.cases.checked_sub(1).ok_or(Broken::TooMany)?;
        let index = self.innermost();
        let suite = self.suites.get(index).map(|suite| suite.name.clone());
        let suite = suite.unwrap_or_default();
        let class = attribute(element, "classname").filter(|class| !class.is_empty());
        let name = attribute(element, "name").filter(|name| !name.is_empty());
        let is = |key, values: &[&str]| {
            attribute(element, key).is_some_and(|value| values.contains(&value.as_str()))
        };
        // GoogleTest says so of what is disabled.
        let is_skipped = is("status", &["notrun", "skipped", "disabled"])
            || is("result", &["skipped", "suppressed"]);
        let status = if is_skipped {
            TestStatus::Skipped
        } else {
            TestStatus::Passed
        };
        let duration = attribute(element, "time").and_then(|text| seconds(&text));
        Ok(Open::Case(Box::new(Case {
            case: new_case(
                cut(&class.unwrap_or(suite), MAX_NAME),
                cut(&name.unwrap_or_else(|| "(no name)".to_owned()), MAX_NAME),
                status,
                duration.unwrap_or_default(),
            ),
            details: Vec::new(),
        })))
    }

    fn text(&mut self, words: &str) {
        if let Some(Open::Text(_, cut)) = self.open.last_mut() {
            cut.push(words);
        }
    }

    fn reference(&mut self, reference: &BytesRef<'_>) {
        let mut buffer = [0; 4];
        match reference.resolve_char_ref() {
            Ok(Some(character)) => self.text(character.encode_utf8(&mut buffer)),
            // What no XML may have, and many tools write.
            Err(_) => self.text("\u{fffd}"),
            Ok(None) => {
                let name: &str = reference;
                match quick_xml::escape::resolve_xml_entity(name) {
                    Some(value) => self.text(value),
                    None => {
                        self.text("&");
                        self.text(name);
                        self.text(";");
                    }
                }
            }
        }
    }

    fn end(&mut self) {
        match self.open.pop() {
            Some(Open::Text(of, words)) => self.end_of_text(of, words),
            Some(Open::Case(case)) => self.end_of_case(*case),
            Some(Open::Suite(suite)) => self.end_of_suite(&suite),
            Some(Open::Suites | Open::Other) | None => {}
        }
    }

    fn end_of_text(&mut self, of: TextOf, words: Cut) {
        match self.open.last_mut() {
            Some(Open::Case(case)) => add(case, of, words),
            Some(Open::Suite(suite)) => match of {
                TextOf::Stdout => suite.stdout = some(words),
                TextOf::Stderr => suite.stderr = some(words),
                TextOf::Failure { message, kind } => {
                    let index = suite.index;
                    self.failure_of_suite(index, message.or(kind), words);
                }
                TextOf::Rerun { .. } | TextOf::Skipped { .. } => {}
            },
            Some(Open::Suites | Open::Text(..) | Open::Other) | None => {}
        }
    }

    /// A suite that failed before any of its tests began.
    fn failure_of_suite(&mut self, index: usize, message: Option<String>, words: Cut) {
        let Some(suite) = self.suites.get_mut(index) else {
            return;
        };
        let mut case = new_case(
            suite.name.clone(),
            "<init>".to_owned(),
            TestStatus::Failed,
            0.0,
        );
        case.message = message.map(|message| cut(&message, MAX_MESSAGE));
        case.details = some(words);
        spend(&mut self.budget.text, &mut case);
        suite.cases.push(case);
    }

    fn end_of_case(&mut self, case: Case) {
        let Case { mut case, details } = case;
        if !details.is_empty() {
            case.details = Some(cut(&details.join("\n\n"), MAX_TEXT));
        }
        if !case.status.is_failure() && !self.keep_long_output {
            for text in [&mut case.stdout, &mut case.stderr] {
                *text = text.take().map(|text| cut(&text, MAX_PASSING));
            }
        }
        spend(&mut self.budget.text, &mut case);
        let index = self.innermost();
        if let Some(suite) = self.suites.get_mut(index) {
            suite.cases.push(case);
        }
    }

    fn end_of_suite(&mut self, ended: &Suite) {
        let Some(suite) = self.suites.get_mut(ended.index) else {
            return;
        };
        if !ended.has_duration {
            suite.duration = suite.cases.iter().map(|case| case.duration).sum();
        }
        // Nobody knows which of its tests wrote it: those that failed may have.
        for case in suite
            .cases
            .iter_mut()
            .filter(|case| case.status.is_failure())
        {
            for (own, all) in [
                (&mut case.stdout, &ended.stdout),
                (&mut case.stderr, &ended.stderr),
            ] {
                if own.is_none()
                    && let Some(all) = all
                    && self.budget.text >= all.len()
                {
                    self.budget.text -= all.len();
                    *own = Some(all.clone());
                }
            }
        }
    }

    /// What has begun in a file that is broken counts as far as it goes; a test that has not ended does not.
    fn close_all(&mut self) {
        while let Some(open) = self.open.pop() {
            match open {
                Open::Suite(suite) => self.end_of_suite(&suite),
                Open::Suites | Open::Case(_) | Open::Text(..) | Open::Other => {}
            }
        }
    }
}

pub(super) fn new_case(class: String, name: String, status: TestStatus, duration: f64) -> TestCase {
    TestCase {
        class,
        name,
        duration,
        status,
        message: None,
        details: None,
        stdout: None,
        stderr: None,
        age: 0,
        failed_since: 0,
    }
}

fn text(of: TextOf) -> Open {
    Open::Text(of, Cut::new(MAX_TEXT))
}

fn some(words: Cut) -> Option<String> {
    (!words.is_blank()).then(|| words.finish())
}

fn add(case: &mut Case, of: TextOf, words: Cut) {
    match of {
        TextOf::Failure { message, kind } => {
            let is_first = !case.case.status.is_failure();
            case.case.status = TestStatus::Failed;
            let said = message.clone().or_else(|| kind.clone());
            let words = some(words);
            if is_first {
                let first = || {
                    words
                        .as_deref()
                        .and_then(|words| words.trim().lines().next())
                };
                let said = said.clone().or_else(|| first().map(str::to_owned));
                case.case.message = said.map(|said| cut(&said, MAX_MESSAGE));
            } else if let Some(said) = said {
                // The message of a later one is nowhere else.
                case.details.push(cut(&said, MAX_MESSAGE));
            }
            case.details
                .extend(words.or_else(|| kind.filter(|_| message.is_some())));
        }
        TextOf::Rerun { label } => {
            case.details.push(cut(&label, MAX_MESSAGE));
            case.details.extend(some(words));
        }
        TextOf::Skipped { message } => {
            if !case.case.status.is_failure() {
                case.case.status = TestStatus::Skipped;
                let said = message.filter(|message| !message.is_empty());
                let said = said.or_else(|| some(words));
                case.case.message = said.map(|said| cut(said.trim(), MAX_MESSAGE));
            }
        }
        TextOf::Stdout => case.case.stdout = joined(case.case.stdout.take(), some(words)),
        TextOf::Stderr => case.case.stderr = joined(case.case.stderr.take(), some(words)),
    }
}

fn joined(one: Option<String>, other: Option<String>) -> Option<String> {
    match (one, other) {
        (Some(one), Some(other)) => Some(cut(&format!("{one}\n{other}"), MAX_TEXT)),
        (one, other) => one.or(other),
    }
}

/// Takes the texts of a case out of what there may be; those that there is no room for go.
fn spend(left: &mut usize, case: &mut TestCase) {
    for text in [
        &mut case.message,
        &mut case.details,
        &mut case.stdout,
        &mut case.stderr,
    ] {
        let length = text.as_ref().map_or(0, String::len);
        match left.checked_sub(length) {
            Some(rest) => *left = rest,
            None => *text = Some("[left out: too much text]".to_owned()),
        }
    }
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let mut all = element.attributes();
    let mut all = all.with_checks(false).filter_map(Result::ok);
    let found = all.find(|each| each.key.local_name().into_inner() == name)?;
    // A reference that is none is no reason to lose the rest.
    let value = found.normalized_value(XmlVersion::Implicit1_0);
    Some(cut(value.as_deref().unwrap_or(&found.value), MAX_MESSAGE))
}

/// Seconds, some with thousands parted by commas.
fn seconds(text: &str) -> Option<f64> {
    let plain = text.trim().replace(',', "");
    plain
        .parse()
        .ok()
        .filter(|value: &f64| value.is_finite() && *value >= 0.0)
}

fn broken(error: &quick_xml::Error, at: u64) -> Broken {
    if let quick_xml::Error::Io(error) = error {
        return match error.kind() {
            io::ErrorKind::FileTooLarge => Broken::TooLong,
            _ => Broken::Unreadable(error.to_string()),
        };
    }
    Broken::NoXml {
        at,
        what: cut(&error.to_string(), 300),
    }
}

#[cfg(test)]
mod tests;
