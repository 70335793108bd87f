//! From a document to a job.
//!
//! Each part of a document has a room below. Whoever reads a part looks at every element of it: what it does not know
//! is noted with its path. A thing (a step, a trigger, a publisher) that is not known is always noted; an option of
//! something only if it says more than nothing, `false`, `0` or `-1`.

mod parameters;
mod properties;
mod publishers;
mod source;
mod triggers;
mod wrappers;

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use ward_config::job::{Job, Keep, Step, UNLIMITED};

use super::document::{Element, read};
use super::refusal::BadDocument;

/// What a document says.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The job.
    pub job: Job,
    /// Elements that are not known here: their paths, and whether a build without them would silently do less
    /// than the job says.
    pub unknown: Vec<(String, bool)>,
}

/// No document tells more of what is not known.
const MOST_UNKNOWN: usize = 200;

/// Reads a document as the job `name`. As whom its steps run is not for a document to say, nor are commands that the
/// server runs.
///
/// # Errors
/// When it is no such document, or a value in it is none of its type.
pub fn parse(name: &str, document: &[u8]) -> Result<Parsed, BadDocument> {
    let root = read(document)?;
    if root.tag != "project" {
        return Err(BadDocument::Foreign {
            found: root.tag,
            expected: "a freestyle job (`project`)",
        });
    }
    let mut map = Map {
        job: Job {
            name: name.to_owned(),
            ..Job::default()
        },
        unknown: Vec::new(),
        path: vec![root.tag.clone()],
        most: None,
    };
    map.project(&root)?;
    // Jenkins heeds how many only where there may be several.
    map.job.concurrent = match (map.job.concurrent, map.most) {
        (1, _) => 1,
        (_, Some(most)) => most,
        (concurrent, None) => concurrent,
    };
    map.unknown.truncate(MOST_UNKNOWN);
    Ok(Parsed {
        job: map.job,
        unknown: map.unknown,
    })
}

/// A job, being read.
struct Map {
    job: Job,
    unknown: Vec<(String, bool)>,
    path: Vec<String>,
    /// How many builds may run at a time, by what throttles them.
    most: Option<u32>,
}

type Done = Result<(), BadDocument>;

impl Map {
    /// Calls `each` for everything in an element.
    fn within(
        &mut self,
        element: &Element,
        mut each: impl FnMut(&mut Self, &Element) -> Done,
    ) -> Done {
        self.path.push(element.tag.clone());
        for child in &element.children {
            each(self, child)?;
        }
        self.path.pop();
        Ok(())
    }

    /// A thing that is not known.
    fn thing(&mut self, element: &Element, loses: bool) {
        if self.unknown.len() <= MOST_UNKNOWN {
            self.unknown
                .push((format!("{}/{}", self.path.join("/"), element.tag), loses));
        }
    }

    /// An option that is not known.
    fn option(&mut self, element: &Element, loses: bool) {
        let says_nothing =
            element.children.is_empty() && matches!(element.word(), "" | "false" | "0" | "-1");
        if !says_nothing {
            self.thing(element, loses);
        }
    }

    fn bad(&self, element: &Element, what: impl Display) -> BadDocument {
        BadDocument::Value {
            path: format!("{}/{}", self.path.join("/"), element.tag),
            what: what.to_string(),
        }
    }

    fn flag(&self, element: &Element) -> Result<bool, BadDocument> {
        match element.word() {
            "true" => Ok(true),
            "false" | "" => Ok(false),
            other => Err(self.bad(
                element,
                format!("`{}` is neither true nor false", cut(other)),
            )),
        }
    }

    fn number<N: FromStr>(&self, element: &Element) -> Result<N, BadDocument> {
        let word = element.word();
        word.parse().map_err(|_| {
            self.bad(
                element,
                format!("`{}` is no number, or too large", cut(word)),
            )
        })
    }

    /// A number of at least 1; anything below is none.
    fn count(&self, element: &Element) -> Result<Option<u32>, BadDocument> {
        if element.word().is_empty() {
            return Ok(None);
        }
        let number: i64 = self.number(element)?;
        if number < 1 {
            return Ok(None);
        }
        u32::try_from(number)
            .map(Some)
            .map_err(|_| self.bad(element, format!("{number} is too large")))
    }

    fn time(&self, element: &Element, seconds_each: u64) -> Result<Option<Duration>, BadDocument> {
        let count = self.count(element)?.map(u64::from);
        Ok(count.map(|count| Duration::from_secs(count.saturating_mul(seconds_each))))
    }

    fn project(&mut self, root: &Element) -> Done {
        for element in &root.children {
            match element.name().as_str() {
                "description" => self.job.description.clone_from(&element.text),
                "displayName" => self.job.display_name = full(element),
                "disabled" => self.job.disabled = self.flag(element)?,
                "concurrentBuild" => {
                    self.job.concurrent = if self.flag(element)? { UNLIMITED } else { 1 };
                }
                "blockBuildWhenDownstreamBuilding" => {
                    self.job.blocked_by_downstream = self.flag(element)?;
                }
                "blockBuildWhenUpstreamBuilding" => {
                    self.job.blocked_by_upstream = self.flag(element)?;
                }
                "quietPeriod" => {
                    let seconds: u32 = self.number(element)?;
                    self.job.quiet_period = Some(Duration::from_secs(seconds.into()));
                }
                "authToken" => self.job.token = full(element),
                "assignedNode" => self.job.label = full(element),
                "customWorkspace" => self.job.workspace = full(element),
                "logRotator" => self.rotator(element)?,
                "scm" => self.source(element)?,
                "triggers" => self.triggers(element)?,
                "properties" => self.properties(element)?,
                "buildWrappers" => self.wrappers(element)?,
                "builders" => self.within(element, Self::builder)?,
                "publishers" => self.publishers(element)?,
                "keepDependencies" | "canRoam" => {}
                _ => self.option(element, false),
            }
        }
        Ok(())
    }

    fn builder(&mut self, element: &Element) -> Done {
        // The second is what python-jenkins sends.
        let known = ["hudson.tasks.Shell", "jenkins.tasks.Shell"];
        if !known.contains(&element.name().as_str()) {
            self.thing(element, true);
            return Ok(());
        }
        let mut step = Step::default();
        self.within(element, |map, option| {
            match option.name().as_str() {
                "command" => step.script = option.text.replace("\r\n", "\n"),
                "unstableReturn" => {
                    let status: Option<u32> = map.count(option)?;
                    step.unstable_status = match status.map(u8::try_from) {
                        None => None,
                        Some(Ok(status)) => Some(status),
                        Some(Err(_)) => return Err(map.bad(option, "an exit status is 0 to 255")),
                    };
                }
                "ward.name" => step.name = full(option),
                "ward.shell" => step.shell = full(option),
                "ward.prelude" => step.prelude = map.flag(option)?,
                "ward.always" => step.always = map.flag(option)?,
                _ => map.option(option, true),
            }
            Ok(())
        })?;
        self.job.steps.push(step);
        Ok(())
    }

    /// `hudson.tasks.LogRotator`, wherever it stands.
    fn rotator(&mut self, element: &Element) -> Done {
        let mut keep = Keep::default();
        self.within(element, |map, option| {
            match option.name().as_str() {
                "daysToKeep" => keep.days = map.count(option)?,
                "numToKeep" => keep.builds = map.count(option)?,
                "artifactDaysToKeep" => keep.artifact_days = map.count(option)?,
                "artifactNumToKeep" => keep.artifact_builds = map.count(option)?,
                _ => map.option(option, false),
            }
            Ok(())
        })?;
        self.job.keep = keep;
        Ok(())
    }
}

/// A text that says something.
fn full(element: &Element) -> Option<String> {
    let word = element.word();
    (!word.is_empty()).then(|| word.to_owned())
}

/// Several, with commas between them.
fn list(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split([',', '\n'])
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
}

/// Not more of a text than is good to read.
fn cut(text: &str) -> String {
    text.chars().take(60).collect()
}
