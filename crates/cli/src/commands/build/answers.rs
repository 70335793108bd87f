//! What a build server answers, as far as people are shown it: the part of Jenkins' JSON that is read here.
//!
//! Every field may be missing: another version, or Jenkins itself, may answer.

use serde::Deserialize;
use ward_model::build::BuildResult;

use super::connection::{Answer, Server, encoded, job_path};
use crate::failure::Failure;

/// How deep jobs in folders are looked for.
const DEPTH: usize = 6;

/// A list of jobs, or a folder.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Jobs {
    pub(super) jobs: Vec<Job>,
}

/// A job.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Job {
    pub(super) name: String,
    pub(super) full_name: Option<String>,
    pub(super) description: Option<String>,
    pub(super) color: Option<String>,
    pub(super) disabled: bool,
    pub(super) in_queue: bool,
    pub(super) last_build: Option<Build>,
    pub(super) last_completed_build: Option<Build>,
    /// Under the one name at most 100 are given, as Jenkins does it.
    #[serde(alias = "allBuilds")]
    pub(super) builds: Vec<Build>,
    pub(super) property: Vec<Property>,
    /// Of a folder.
    pub(super) jobs: Option<Vec<Job>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Property {
    pub(super) parameter_definitions: Vec<Definition>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Definition {
    pub(super) name: String,
}

/// A build.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Build {
    pub(super) number: u32,
    pub(super) display_name: Option<String>,
    pub(super) description: Option<String>,
    pub(super) building: bool,
    pub(super) in_progress: Option<bool>,
    pub(super) result: Option<BuildResult>,
    /// Milliseconds since the epoch.
    pub(super) timestamp: i64,
    /// Milliseconds.
    pub(super) duration: u64,
    /// Milliseconds, or below zero.
    pub(super) estimated_duration: i64,
    pub(super) url: Option<String>,
    pub(super) actions: Vec<Option<Action>>,
    pub(super) artifacts: Vec<Artifact>,
    pub(super) change_set: Option<ChangeSet>,
    pub(super) keep_log: bool,
}

impl Build {
    /// Whether it is not over yet.
    pub(super) fn is_running(&self) -> bool {
        self.building || self.in_progress == Some(true)
    }

    /// In a word.
    pub(super) fn word(&self) -> &'static str {
        match self.result {
            _ if self.building => "running",
            Some(result) => result.word(),
            None => "ending",
        }
    }
}

/// What is told of a build beside the rest: causes, parameters, tests, the commit.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Action {
    pub(super) causes: Vec<Cause>,
    pub(super) parameters: Vec<Parameter>,
    pub(super) last_built_revision: Option<Revision>,
    pub(super) remote_urls: Vec<String>,
    pub(super) fail_count: Option<u32>,
    pub(super) skip_count: Option<u32>,
    pub(super) total_count: Option<u32>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Cause {
    pub(super) short_description: String,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) value: serde_json::Value,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(super) struct Revision {
    #[serde(rename = "SHA1")]
    pub(super) sha1: String,
    pub(super) branch: Vec<Branch>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(super) struct Branch {
    pub(super) name: String,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Artifact {
    pub(super) relative_path: String,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(super) struct ChangeSet {
    pub(super) items: Vec<Change>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Change {
    pub(super) commit_id: String,
    pub(super) msg: String,
    pub(super) author: Author,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Author {
    pub(super) full_name: String,
}

/// What waits.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Queue {
    pub(super) items: Vec<Item>,
}

/// A request in the queue.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Item {
    pub(super) id: u64,
    pub(super) task: Task,
    pub(super) why: Option<String>,
    pub(super) in_queue_since: i64,
    pub(super) stuck: bool,
    pub(super) cancelled: bool,
    pub(super) executable: Option<Build>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Task {
    pub(super) name: String,
    pub(super) url: Option<String>,
}

impl Item {
    /// The full name of its job, with folders, as its address has it.
    pub(super) fn job(&self) -> String {
        let Some((_, path)) = self
            .task
            .url
            .as_deref()
            .and_then(|url| url.split_once("/job/"))
        else {
            return self.task.name.clone();
        };
        let segments = path
            .split("/job/")
            .map(|segment| decoded(segment.trim_end_matches('/')));
        segments.collect::<Vec<_>>().join("/")
    }
}

/// `%XX` back to what it means; what is none stays.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| *first == b'%');
        let value = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match value {
            Some(value) => {
                bytes.push(value);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What is asked of a build in a list.
pub(super) const OF_BUILD: &str = "number,displayName,description,building,inProgress,result,timestamp,duration,estimatedDuration";

/// Every job, those in folders too, by full name.
pub(super) fn jobs(server: &Server) -> Result<Vec<Job>, Failure> {
    let of_job = format!(
        "name,fullName,description,color,disabled,inQueue,lastBuild[{OF_BUILD}],lastCompletedBuild[{OF_BUILD}]"
    );
    let mut tree = format!("jobs[{of_job}]");
    for _ in 1..DEPTH {
        tree = format!("jobs[{of_job},{tree}]");
    }
    let all: Jobs = server.get_json(&format!("/api/json?tree={}", encoded(&tree)))?;
    let mut flat = Vec::new();
    flatten("", all.jobs, &mut flat);
    Ok(flat)
}

fn flatten(folder: &str, jobs: Vec<Job>, flat: &mut Vec<Job>) {
    for mut job in jobs {
        let name = if folder.is_empty() {
            job.name.clone()
        } else {
            format!("{folder}/{}", job.name)
        };
        if let (Some(inside), None) = (job.jobs.take(), &job.color) {
            flatten(&name, inside, flat);
        } else {
            // What a server calls a job fully has its folders in it already.
            job.name = job.full_name.clone().unwrap_or(name);
            flat.push(job);
        }
    }
}

/// A job with what this tree names.
pub(super) fn job(server: &Server, name: &str, tree: &str) -> Result<Job, Failure> {
    server.get_json(&format!(
        "{}/api/json?tree={}",
        job_path(name),
        encoded(tree)
    ))
}

/// A build, by number or by one of Jenkins' words.
pub(super) fn build(server: &Server, job: &str, build: &str, tree: &str) -> Result<Build, Failure> {
    server.get_json(&format!(
        "{}/api/json?tree={}",
        build_path(job, build),
        encoded(tree)
    ))
}

/// The path of a build.
pub(super) fn build_path(job: &str, build: &str) -> String {
    format!("{}/{}", job_path(job), encoded(build))
}

/// The number at the end of the address that an answer names.
pub(super) fn item_of(answer: &Answer) -> Option<u64> {
    let place = answer.head.field("location")?;
    let (_, number) = place.trim_end_matches('/').rsplit_once("/queue/item/")?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_of_folders_have_their_full_names() -> anyhow::Result<()> {
        let all: Jobs = serde_json::from_str(
            r#"{"_class":"x","jobs":[{"name":"a","color":"blue","extra":1},
                {"name":"f","jobs":[{"name":"b","color":"red"},{"name":"g","jobs":[{"name":"c","color":"x"}]}]},
                {"name":"d","fullName":"f/d","color":"blue"}]}"#,
        )?;
        let mut flat = Vec::new();
        flatten("", all.jobs, &mut flat);
        let names: Vec<_> = flat.iter().map(|job| job.name.as_str()).collect();
        assert_eq!(names, ["a", "f/b", "f/g/c", "f/d"]);
        Ok(())
    }

    #[test]
    fn the_job_of_a_request_is_in_its_address() {
        let item = |url: &str| Item {
            task: Task {
                name: "n".to_owned(),
                url: Some(url.to_owned()),
            },
            ..Item::default()
        };
        assert_eq!(item("http://h/ci/job/a%20b/job/c/").job(), "a b/c");
        assert_eq!(item("http://h/").job(), "n");
        assert_eq!(item("http://h/job/%zz%").job(), "%zz%");
    }

    #[test]
    fn a_build_that_is_over_but_for_its_log_still_runs() {
        let ending = Build {
            result: Some(BuildResult::Success),
            in_progress: Some(true),
            ..Build::default()
        };
        assert!(ending.is_running());
        let over = Build {
            in_progress: Some(false),
            ..ending
        };
        assert!(!over.is_running());
        assert_eq!(over.word(), "SUCCESS");
    }
}
