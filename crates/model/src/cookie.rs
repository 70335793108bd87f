//! Which process was detached on purpose.
//!
//! Jenkins ends what a build left behind by looking for its own variables in
//! `/proc/PID/environ`, so people change one of them for a daemon that is meant to stay:
//! `BUILD_ID=dontKillMe ./server &`. ward honours that, and a variable of its own.
//! The environment of a process is that of its last exec: exporting the variable inside a
//! shell concerns only what the shell starts afterwards.

/// ward's own variable. A nested run appends to it: `outer/inner`.
pub const WARD_RUN_ID: &str = "WARD_RUN_ID";

/// Variables of other tools whose change is a known way to ask for survival: Jenkins
/// freestyle, Jenkins pipelines, and the GitHub and Gitea runners.
pub const FOREIGN: &[&str] = &["BUILD_ID", "JENKINS_NODE_COOKIE", "RUNNER_TRACKING_ID"];

/// Variables by which build servers find what to kill, and which nobody else reads: a daemon that
/// is to outlive the build is started without them. What tells of the build (`BUILD_ID`,
/// `JOB_NAME`, ...) stays; Jenkins asks for all of its seven, these among them, to be equal.
pub const OF_BUILD_SERVERS: &[&str] = &[
    "HUDSON_COOKIE",
    "HUDSON_SERVER_COOKIE",
    "JENKINS_NODE_COOKIE",
    "JENKINS_SERVER_COOKIE",
    "RUNNER_TRACKING_ID",
];

/// Variables by which a service manager speaks to its own child (sd_notify(3),
/// sd_listen_fds(3)): a daemon that inherits them would speak for somebody else.
pub const OF_SERVICE_MANAGERS: &[&str] = &[
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// The value that asks for survival even where the variable was not set before.
pub const DONT_KILL_ME: &str = "dontKillMe";

/// The cookies that the step itself was given, to compare with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cookies {
    run_id: Vec<u8>,
    foreign: Vec<(&'static str, Option<Vec<u8>>)>,
}

impl Cookies {
    /// Takes the cookies from the environment that the step is started with.
    pub fn of_step<'a>(
        run_id: &str,
        environment: &(impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone),
    ) -> Self {
        let given = |name: &str| {
            environment
                .clone()
                .filter(|(key, _)| *key == name.as_bytes())
                .last()
                .map(|(_, value)| value.to_vec())
        };
        Self {
            run_id: run_id.as_bytes().to_vec(),
            foreign: FOREIGN.iter().map(|name| (*name, given(name))).collect(),
        }
    }

    /// The cookies of something that is no step of a build: only our own variable counts.
    #[must_use]
    pub fn of_daemon(run_id: &str) -> Self {
        Self {
            run_id: run_id.as_bytes().to_vec(),
            foreign: Vec::new(),
        }
    }

    /// The variable by which a process with this environment (`KEY=VALUE` items separated by
    /// NUL, as in `/proc/PID/environ`, proc_pid_environ(5)) asks to be spared, if it does.
    ///
    /// A variable that is missing asks for nothing: `env -i` is common, and a wiped
    /// environment is how strays hide.
    #[must_use]
    pub fn asks_to_stay(&self, environ: &[u8]) -> Option<&'static str> {
        // The last value of a name is the one that counts, as for getenv's usual writers.
        let last = |name: &str| {
            environ
                .split(|byte| *byte == 0)
                .filter_map(|item| item.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
                .next_back()
        };
        if last(WARD_RUN_ID).is_some_and(|value| !self.is_ours(value)) {
            return Some(WARD_RUN_ID);
        }
        self.foreign.iter().find_map(|(name, given)| {
            let value = last(name)?;
            let changed = match given {
                Some(given) => given != value,
                None => value.eq_ignore_ascii_case(DONT_KILL_ME.as_bytes()),
            };
            changed.then_some(*name)
        })
    }

    fn is_ours(&self, value: &[u8]) -> bool {
        value
            .strip_prefix(self.run_id.as_slice())
            .is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookies(environment: &[(&str, &str)]) -> Cookies {
        let bytes: Vec<_> = environment
            .iter()
            .map(|(key, value)| (key.as_bytes(), value.as_bytes()))
            .collect();
        Cookies::of_step("a1", &bytes.iter().copied())
    }

    #[test]
    fn jenkins_habits() {
        let in_jenkins = cookies(&[("BUILD_ID", "17"), ("JENKINS_NODE_COOKIE", "c0ffee")]);
        for (environ, asks) in [
            ("BUILD_ID=dontKillMe\0", Some("BUILD_ID")),
            ("BUILD_ID=\0", Some("BUILD_ID")),
            (
                "PATH=/bin\0JENKINS_NODE_COOKIE=dontKillMe\0",
                Some("JENKINS_NODE_COOKIE"),
            ),
            ("BUILD_ID=17\0JENKINS_NODE_COOKIE=c0ffee\0", None),
            ("PATH=/bin\0", None),
            ("", None),
            ("XBUILD_ID=18\0", None),
        ] {
            assert_eq!(
                in_jenkins.asks_to_stay(environ.as_bytes()),
                asks,
                "{environ:?}"
            );
        }
    }

    #[test]
    fn outside_jenkins_only_the_known_word_counts() {
        let outside = cookies(&[]);
        assert_eq!(
            outside.asks_to_stay(b"BUILD_ID=dontKillMe"),
            Some("BUILD_ID")
        );
        assert_eq!(
            outside.asks_to_stay(b"BUILD_ID=dontkillme"),
            Some("BUILD_ID")
        );
        assert_eq!(outside.asks_to_stay(b"BUILD_ID=2026-11-21"), None);
    }

    #[test]
    fn the_builds_of_a_daemon_that_is_an_agent_are_its_own() {
        let agent = Cookies::of_daemon("a1");
        assert_eq!(agent.asks_to_stay(b"BUILD_ID=dontKillMe"), None);
        assert_eq!(agent.asks_to_stay(b"WARD_RUN_ID=b2"), Some(WARD_RUN_ID));
    }

    #[test]
    fn nested_runs_are_ours() {
        let cookies = cookies(&[]);
        assert_eq!(cookies.asks_to_stay(b"WARD_RUN_ID=a1"), None);
        assert_eq!(cookies.asks_to_stay(b"WARD_RUN_ID=a1/b2"), None);
        assert_eq!(cookies.asks_to_stay(b"WARD_RUN_ID=a12"), Some(WARD_RUN_ID));
        assert_eq!(cookies.asks_to_stay(b"WARD_RUN_ID="), Some(WARD_RUN_ID));
    }
}
