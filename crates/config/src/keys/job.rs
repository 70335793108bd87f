//! The keys of a job.

use super::{Fallback, Key, Kind, Scope, Words, key};
use Fallback::{Means, Text};

const fn row(name: &'static str, kind: Kind, fallback: Fallback, help: &'static str) -> Key {
    key(name, kind, fallback, Scope::HereAndHost, help)
}

const fn step(row: Key) -> Key {
    Key {
        each_step: true,
        ..row
    }
}

const CLEAN: Kind = Kind::Word(&Words {
    help: "`no`, `before`, `after` or `wipe`",
    words: &["no", "before", "after", "wipe"],
});

const SUBMODULES: Kind = Kind::Word(&Words {
    help: "`false`, `true` or `recursive`",
    words: &["false", "true", "recursive"],
});

const TIMEOUT_RESULT: Kind = Kind::Word(&Words {
    help: "`aborted` or `failure`",
    words: &["aborted", "failure"],
});

const JOBS: Kind = Kind::Notation(
    "names of jobs, each perhaps with `:stable`, `:unstable`, `:failed` or `:always`; with commas between them or one per line",
);

/// Of a job.
pub(super) const JOB: &[Key] = &[
    row("description", Kind::Text, Text(""), "What it is for."),
    row(
        "display_name",
        Kind::Text,
        Means("its name"),
        "What people read instead of its name.",
    ),
    row(
        "enabled",
        Kind::Boolean,
        Text("true"),
        "If not, nothing starts it.",
    ),
    row(
        "repo",
        Kind::Text,
        Means("nothing is checked out"),
        "The git repository: anything that `git clone` takes.",
    ),
    row(
        "remote",
        Kind::Text,
        Text("origin"),
        "What the repository is called in the workspace.",
    ),
    row(
        "refspec",
        Kind::Text,
        Means("all branches"),
        "What is fetched, in git's notation.",
    ),
    row(
        "branches",
        Kind::Items,
        Text("**"),
        "Which branches are built: `main`, `release/*`, `refs/heads/x`, `**` for all, `${PARAMETER}`, a commit's name, or `:` and a regular expression, which takes the rest of its line.",
    ),
    row(
        "credentials",
        Kind::Text,
        Means("nobody signs in"),
        "The name of the secret to sign in to the repository with: a private key, or `user:password`.",
    ),
    row(
        "depth",
        Kind::Integer,
        Means("all"),
        "How many commits are fetched, 1 at least.",
    ),
    row("tags", Kind::Boolean, Text("true"), "Tags are fetched."),
    row(
        "reference",
        Kind::Text,
        Means("none"),
        "A repository on this host to take objects from: an absolute path.",
    ),
    row(
        "git_timeout",
        Kind::Duration,
        Text("10m"),
        "How long one git command may take.",
    ),
    row(
        "submodules",
        SUBMODULES,
        Text("false"),
        "Submodules are checked out too; `recursive`: theirs as well.",
    ),
    row(
        "checkout_to",
        Kind::Text,
        Means("the workspace itself"),
        "The directory of the workspace to check out to.",
    ),
    row(
        "local_branch",
        Kind::Text,
        Means("no branch"),
        "The commit is checked out as this branch; `**`: as the branch that it is of.",
    ),
    row(
        "cache",
        Kind::Boolean,
        Text("true"),
        "Jobs with the same repository share a copy of it.",
    ),
    row(
        "prune",
        Kind::Boolean,
        Text("false"),
        "Branches that the repository no longer has are forgotten.",
    ),
    row(
        "timer",
        Kind::Cron,
        Means("never"),
        "When it is built, whether there is something new or not.",
    ),
    row(
        "poll",
        Kind::Cron,
        Means("never"),
        "When to look for something new in the repository; empty: only when a push is told.",
    ),
    row(
        "webhook",
        Kind::Boolean,
        Text("false"),
        "Pushes that forges tell start it.",
    ),
    row(
        "webhook_secret",
        Kind::Text,
        Means("none"),
        "The name of the secret that forges sign with.",
    ),
    row(
        "ignore_notify",
        Kind::Boolean,
        Text("false"),
        "`/git/notifyCommit` does not start it.",
    ),
    row(
        "upstream",
        JOBS,
        Means("none"),
        "Jobs whose builds start it, if they are `stable`, unless something else is said.",
    ),
    row(
        "parameters",
        Kind::Parameters,
        Means("none"),
        "What is asked of who starts it.",
    ),
    step(row(
        "script",
        Kind::Script,
        Means("nothing is done"),
        "What is done. `script.NAME` for the step NAME of `steps`.",
    )),
    row(
        "steps",
        Kind::Items,
        Means("one step, `script`"),
        "Names of steps, in the order in which they are done; each has a `script.NAME`.",
    ),
    step(row(
        "shell",
        Kind::Text,
        Means("the server's"),
        "The shell of a script that does not begin with `#!`: an absolute path. `shell.NAME` for one step.",
    )),
    step(row(
        "prelude",
        Kind::Boolean,
        Text("true"),
        "Clean-up by `trap … EXIT` is made to work in every shell when a build is stopped. `prelude.NAME` for one step.",
    )),
    step(row(
        "unstable_status",
        Kind::Integer,
        Means("none"),
        "This exit status, 1 to 255, makes the build unstable, and it goes on. `unstable_status.NAME` for one step.",
    )),
    step(row(
        "always",
        Kind::Boolean,
        Text("false"),
        "It is done after a failure or a stop too. `always.NAME` for one step.",
    )),
    row(
        "environment",
        Kind::Environment,
        Text(""),
        "Variables of every step.",
    ),
    row(
        "secrets",
        Kind::Notation(
            "`VARIABLE=secret`, or `VARIABLE@=secret` for the path of a file; with commas between them or one per line",
        ),
        Means("none"),
        "Secrets that every step gets in its environment. What they are is never shown.",
    ),
    row(
        "user",
        Kind::User,
        Means("whom the server runs as"),
        "Whom the steps run as, where the server may choose.",
    ),
    row(
        "workspace",
        Kind::Text,
        Means("one of its own"),
        "Where it is built. Several builds share it without a lock.",
    ),
    row(
        "clean",
        CLEAN,
        Text("no"),
        "What becomes of files that an older build left: what git does not know goes `before` or `after` the checkout; `wipe`: everything goes.",
    ),
    row(
        "timeout",
        Kind::Duration,
        Means("as long as it takes"),
        "How long a build may take.",
    ),
    row(
        "idle_timeout",
        Kind::Duration,
        Means("as long as it takes"),
        "How long a build may write nothing.",
    ),
    row(
        "timeout_result",
        TIMEOUT_RESULT,
        Text("aborted"),
        "What a build becomes whose time is over.",
    ),
    row(
        "grace",
        Kind::Duration,
        Text("10s"),
        "How long clean-up may take after a stop.",
    ),
    row(
        "leftover_grace",
        Kind::Duration,
        Text("2s"),
        "How long what a step leaves behind may take to end by itself.",
    ),
    row(
        "spare",
        Kind::Boolean,
        Text("true"),
        "Processes with a changed `BUILD_ID` or `JENKINS_NODE_COOKIE` go on after the build.",
    ),
    row(
        "locks",
        Kind::Items,
        Means("none"),
        "Locks, in the notation of `ward lock`: they are held from before the checkout until the last process has ended.",
    ),
    row(
        "concurrent",
        Kind::Notation("`false`, `true`, or a number, 1 at least"),
        Text("false"),
        "How many builds of it run at a time.",
    ),
    row(
        "blocked_by_upstream",
        Kind::Boolean,
        Text("false"),
        "It waits while a job that starts it is building or waits.",
    ),
    row(
        "blocked_by_downstream",
        Kind::Boolean,
        Text("false"),
        "It waits while a job that it starts is building or waits.",
    ),
    row(
        "quiet_period",
        Kind::Duration,
        Means("the server's"),
        "How long a request waits for more of its kind; at most a day.",
    ),
    row(
        "keep_builds",
        Kind::Integer,
        Means("all"),
        "How many builds are kept.",
    ),
    row(
        "keep_days",
        Kind::Integer,
        Means("for ever"),
        "How many days they are kept.",
    ),
    row(
        "keep_artifacts",
        Kind::Integer,
        Means("as builds"),
        "Of how many builds artifacts are kept.",
    ),
    row(
        "keep_artifacts_days",
        Kind::Integer,
        Means("as builds"),
        "How many days artifacts are kept.",
    ),
    row(
        "artifacts",
        Kind::Items,
        Means("none"),
        "Which files are kept, in Ant's notation: `dist/**`, `*.log`.",
    ),
    row(
        "artifacts_exclude",
        Kind::Items,
        Means("none"),
        "But not these.",
    ),
    row(
        "artifacts_default_excludes",
        Kind::Boolean,
        Text("true"),
        "Nor what Ant leaves out: `.git`, `*~` and their like.",
    ),
    row(
        "artifacts_case_sensitive",
        Kind::Boolean,
        Text("true"),
        "Upper and lower case are told apart.",
    ),
    row(
        "artifacts_allow_empty",
        Kind::Boolean,
        Text("false"),
        "No artifacts are no failure.",
    ),
    row(
        "artifacts_only_if_successful",
        Kind::Boolean,
        Text("false"),
        "Only if the build is no worse than unstable.",
    ),
    row(
        "artifacts_follow_symlinks",
        Kind::Boolean,
        Text("true"),
        "Symbolic links within the workspace are followed.",
    ),
    row(
        "junit",
        Kind::Items,
        Means("none"),
        "Files with test results, in Ant's notation.",
    ),
    row(
        "junit_allow_empty",
        Kind::Boolean,
        Text("false"),
        "No test results are no failure.",
    ),
    row(
        "junit_skip_old",
        Kind::Boolean,
        Text("false"),
        "Files that are older than the build do not count.",
    ),
    row(
        "junit_keep_output",
        Kind::Boolean,
        Text("false"),
        "The output of tests that passed is kept too.",
    ),
    row(
        "notify",
        Kind::Notation(
            "`mail:ADDRESS`, `webhook:URL`, `command:COMMAND`, `culprits`, `first-unstable-only`; with commas between them or one per line; a URL and a command take the rest of their line",
        ),
        Means("nobody"),
        "Who is told how builds end. `culprits`: those too whose commits are new since the last success. A command gets a document in JSON on its standard input, and no shell.",
    ),
    row(
        "downstream",
        JOBS,
        Means("none"),
        "Jobs that are built next, if a build is `stable`, unless something else is said.",
    ),
    row(
        "token",
        Kind::Text,
        Means("none"),
        "Who knows it may start the job by `/job/NAME/build?token=`.",
    ),
    row(
        "label",
        Kind::Text,
        Means("none"),
        "Where it may run, as Jenkins' label expression. It is kept and shown: there is one node.",
    ),
    row(
        "build_name",
        Kind::Text,
        Means("`#` and the number"),
        "What a build is called, with `${VARIABLE}`.",
    ),
    row(
        "from_repository",
        Kind::Notation("boolean, or a path in the repository"),
        Text("false"),
        "A file of the checked-out commit says the rest; `true`: `.ward.conf`.",
    ),
];
