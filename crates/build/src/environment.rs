//! The environment of a build's steps: Jenkins' variables, as scripts that were written for it expect
//! them, and a few of our own.
//!
//! Later layers win: the server's, what Jenkins always sets, what was checked out, parameters, what the job
//! says, secrets. Pure: nothing is looked up here.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use ward_model::cluster::variable;

use crate::plan::Plan;

/// Where programs are found, if nobody says.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What Jenkins calls its own host.
const NODE: &str = "built-in";

/// Our own variable: `JOB#NUMBER`.
pub const BUILD: &str = "WARD_BUILD";

/// Variables and their values. Of two with one name the later counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment(Vec<(OsString, OsString)>);

impl Environment {
    /// What every step of the build has: no parameters yet, and nothing of the job.
    #[must_use]
    pub fn of_plan(plan: &Plan) -> Self {
        let mut all = Self::default();
        all.set("PATH", PATH);
        for (name, value) in &plan.environment {
            all.set(name, value);
        }
        let name = &plan.job.name;
        let number = plan.number.to_string();
        all.set("BUILD_NUMBER", &number);
        all.set("BUILD_ID", &number);
        all.set("BUILD_DISPLAY_NAME", format!("#{number}"));
        all.set(
            "BUILD_TAG",
            format!("jenkins-{}-{number}", name.replace('/', "-")),
        );
        all.set("JOB_NAME", name);
        all.set("JOB_BASE_NAME", name.rsplit('/').next().unwrap_or(name));
        if let Some(url) = &plan.url {
            let job = job_url(url, name);
            all.set("JENKINS_URL", url);
            all.set("HUDSON_URL", url);
            all.set("BUILD_URL", format!("{job}{number}/"));
            all.set("JOB_URL", job);
        }
        all.set("JENKINS_HOME", &plan.home);
        all.set("HUDSON_HOME", &plan.home);
        all.set("EXECUTOR_NUMBER", plan.executor.to_string());
        all.set("NODE_NAME", NODE);
        all.set("NODE_LABELS", NODE);
        all.set("WORKSPACE", &plan.workspace);
        all.set("WORKSPACE_TMP", temporary(&plan.workspace));
        all.set("CI", "true");
        all.set("JENKINS_SERVER_COOKIE", &plan.server_cookie);
        all.set("HUDSON_SERVER_COOKIE", &plan.server_cookie);
        all.set("CLASSPATH", "");
        all.set(BUILD, format!("{name}#{number}"));
        all
    }

    /// Adds the parameters: each by its name, and by its name in capitals.
    pub fn add_parameters(&mut self, plan: &Plan) {
        let names = || plan.parameters.iter().map(|it| it.name.as_str());
        self.supersede(|name| names().any(|it| it == name || it.to_uppercase() == name));
        for parameter in &plan.parameters {
            self.set(parameter.name.to_uppercase(), &parameter.value);
        }
        // Of `a` and `A` each has its own value.
        for parameter in &plan.parameters {
            self.set(&parameter.name, &parameter.value);
        }
    }

    /// Adds what the job says.
    pub fn add_of_job(&mut self, environment: &[(String, String)]) {
        self.supersede(|name| environment.iter().any(|(own, _)| own == name));
        for (name, value) in environment {
            self.set(name, value);
        }
    }

    /// Makes empty what may not stay of a cluster beside what a nearer layer says of it.
    pub fn supersede(&mut self, is_nearer: impl Fn(&str) -> bool) {
        if !variable::ALL.iter().any(|name| self.get(name).is_some()) {
            return;
        }
        for name in variable::superseded(is_nearer) {
            self.set(name, "");
        }
    }

    /// Sets one. What no environment can have (environ(7)) is left out: a name without a letter or with
    /// `=` in it, and NUL.
    pub fn set(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) {
        let (name, value) = (name.as_ref(), value.as_ref());
        let bytes = name.as_bytes();
        if bytes.is_empty() || bytes.contains(&b'=') || bytes.contains(&0) {
            return;
        }
        self.0.retain(|(known, _)| known != name);
        let mut value = value.as_bytes().to_vec();
        value.retain(|byte| *byte != 0);
        self.0.push((name.to_owned(), OsString::from_vec(value)));
    }

    /// Takes one out.
    pub fn unset(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
    }

    /// The value of a variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_os_str())
    }

    /// All of it, each name once.
    #[must_use]
    pub fn to_vec(&self) -> Vec<(OsString, OsString)> {
        self.0.clone()
    }

    /// `text` with each `${NAME}` and `$NAME` replaced by its value; one that is not there stays as it is.
    #[must_use]
    pub fn expand(&self, text: &str) -> String {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            expanded.push_str(before);
            let named = match after.strip_prefix('{') {
                Some(inner) => inner.split_once('}'),
                None => Some(
                    after.split_at(
                        after
                            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                            .unwrap_or(after.len()),
                    ),
                ),
            };
            match named.and_then(|(name, behind)| Some((self.get(name)?, behind))) {
                Some((value, behind)) => {
                    expanded.push_str(&value.to_string_lossy());
                    rest = behind;
                }
                None => {
                    expanded.push('$');
                    rest = after;
                }
            }
        }
        expanded.push_str(rest);
        expanded
    }
}

/// What belongs to a workspace and is not in it: its path with `@tmp` behind.
#[must_use]
pub fn temporary(workspace: &Path) -> PathBuf {
    let mut path = workspace.as_os_str().to_owned();
    path.push("@tmp");
    path.into()
}

/// The address of a job's page: `ROOTjob/FOLDER/job/NAME/`.
#[must_use]
pub fn job_url(root: &str, name: &str) -> String {
    let mut url = root.to_owned();
    for part in name.split('/') {
        url.push_str("job/");
        url.push_str(&encoded(part));
        url.push('/');
    }
    url
}

/// A segment of an address (RFC 3986, section 3.3).
fn encoded(segment: &str) -> String {
    let mut text = String::new();
    for byte in segment.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => text.push(char::from(byte)),
            _ if b"-._~!$&'()*+,=@".contains(&byte) => text.push(char::from(byte)),
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use std::ffi::OsStr;
    use std::path::PathBuf;

    use ward_config::job::Job;

    use super::{Environment, job_url};
    use crate::plan::{ParameterValue, Plan, VERSION};

    /// The plan of a build that is like no other.
    pub(crate) fn plan() -> Plan {
        Plan {
            version: VERSION,
            job: Job {
                name: "team a/näme".to_owned(),
                ..Job::default()
            },
            number: 17,
            queue_id: 1,
            causes: Vec::new(),
            parameters: Vec::new(),
            directory: PathBuf::from("/h/builds/17"),
            home: PathBuf::from("/h"),
            workspace: PathBuf::from("/h/workspaces/näme@2"),
            cache: PathBuf::from("/h/cache"),
            secrets: PathBuf::from("/h/secrets"),
            url: Some("http://ci.example/".to_owned()),
            executor: 3,
            shell: "/bin/sh".to_owned(),
            environment: vec![("LANG".to_owned(), "C".to_owned())],
            server_cookie: "c0ffee".to_owned(),
            revision: None,
            built: Vec::new(),
            local: false,
        }
    }

    #[test]
    fn what_jenkins_sets() {
        let all = Environment::of_plan(&plan());
        for (name, value) in [
            ("BUILD_NUMBER", "17"),
            ("BUILD_ID", "17"),
            ("BUILD_DISPLAY_NAME", "#17"),
            ("BUILD_TAG", "jenkins-team a-näme-17"),
            ("JOB_NAME", "team a/näme"),
            ("JOB_BASE_NAME", "näme"),
            (
                "BUILD_URL",
                "http://ci.example/job/team%20a/job/n%C3%A4me/17/",
            ),
            ("JOB_URL", "http://ci.example/job/team%20a/job/n%C3%A4me/"),
            ("JENKINS_URL", "http://ci.example/"),
            ("HUDSON_URL", "http://ci.example/"),
            ("JENKINS_HOME", "/h"),
            ("HUDSON_HOME", "/h"),
            ("EXECUTOR_NUMBER", "3"),
            ("NODE_NAME", "built-in"),
            ("WORKSPACE", "/h/workspaces/näme@2"),
            ("WORKSPACE_TMP", "/h/workspaces/näme@2@tmp"),
            ("CI", "true"),
            ("JENKINS_SERVER_COOKIE", "c0ffee"),
            ("HUDSON_SERVER_COOKIE", "c0ffee"),
            ("CLASSPATH", ""),
            ("LANG", "C"),
            ("WARD_BUILD", "team a/näme#17"),
        ] {
            assert_eq!(all.get(name), Some(OsStr::new(value)), "{name}");
        }
        let mut plan = plan();
        plan.url = None;
        assert_eq!(Environment::of_plan(&plan).get("BUILD_URL"), None);
    }

    #[test]
    fn parameters_have_two_names_and_their_own_values() {
        let mut plan = plan();
        let value = |name: &str, value: &str| ParameterValue {
            name: name.to_owned(),
            value: value.to_owned(),
            secret: false,
        };
        plan.parameters = vec![value("Level", "3"), value("a", "1"), value("A", "2")];
        let mut all = Environment::of_plan(&plan);
        all.add_parameters(&plan);
        let get = |name| all.get(name).and_then(OsStr::to_str);
        assert_eq!((get("Level"), get("LEVEL")), (Some("3"), Some("3")));
        assert_eq!((get("a"), get("A")), (Some("1"), Some("2")));
    }

    #[test]
    fn nothing_gets_in_that_no_environment_can_have() {
        let mut all = Environment::default();
        all.set("", "x");
        all.set("A=B", "x");
        all.set("A\0", "x");
        all.set("A", "a\0b");
        all.set("A", "c\0d");
        assert_eq!(all.to_vec(), [("A".into(), "cd".into())]);
    }

    #[test]
    fn variables_in_texts() {
        let mut all = Environment::default();
        all.set("A", "1");
        assert_eq!(all.expand("x${A}y$A-$B ${B} $ ${A"), "x1y1-$B ${B} $ ${A");
    }

    #[test]
    fn addresses() {
        assert_eq!(job_url("http://h/", "a"), "http://h/job/a/");
        assert_eq!(job_url("", "a b/c%?#"), "job/a%20b/job/c%25%3F%23/");
    }
}
