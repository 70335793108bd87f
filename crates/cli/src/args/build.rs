//! The command lines of `ward build` and of its verbs.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

const ABOUT: &str = "\
Build jobs: from a pushed commit to a truthful result.

`ward build serve` is the server; `ward up` keeps it where the configuration has [build]. The other verbs \
ask it, over its address, or, on its own host and as its own user, over the socket in its directory.";

const AFTER: &str = "\
Where the server is: --url, else $WARD_BUILD_URL, else the [build] section of the configuration that -c names
or that is found as `ward ctl` finds it, ./ward.conf before all others. On the server's host its own user and
root are let in without more; everybody else says who they are by $WARD_BUILD_TOKEN, as USER:TOKEN, or by a
file with that in it and mode 0600: ~/.config/ward/build-token. Where the address begins with https:// the
server has to show a certificate that the system trusts, or that --ca FILE or $WARD_CA names the authority of.

Exit status:
  0 when it is done, or the result is SUCCESS; 1 FAILURE; 117 UNSTABLE; 123 ABORTED; 116 NOT_BUILT;
  118 when no server answers; 121 when there is no such job, build or request; 122 when it is refused as
  things are; 125 when ward itself failed; 2 for a mistake on the command line.";

const EXAMPLES: &str = "\
Examples:
  ward build serve -c ward.conf          in the foreground; `ward up` keeps it running
  ward build start docs --wait -f        build it, show the log, end with its result
  ward build start deploy -p TARGET=test -p FAST=true
  ward build list; ward build list docs; ward build show docs 17
  ward build log docs -f
  ward build stop docs                   what runs of it: clean-up has its time
  ward build local                       the job of this checkout, without a server
  ward build user add alice --role admin </run/secrets/alice
  ward build token new alice laptop";

/// `ward build`.
#[derive(Debug, Args)]
#[command(long_about = ABOUT, after_help = format!("{AFTER}\n\n{EXAMPLES}"), disable_help_subcommand = true)]
pub(crate) struct BuildArgs {
    #[command(subcommand)]
    pub(crate) verb: BuildVerb,
}

/// What to do about builds.
#[derive(Debug, Subcommand)]
pub(crate) enum BuildVerb {
    /// Be the build server of a configuration
    Serve(ServeArgs),
    /// Ask for a build
    Start(StartArgs),
    /// Stop a build: everybody is told, clean-up runs, what is left is killed
    Stop(StopBuildArgs),
    /// List jobs, or the builds of one
    List(ListArgs),
    /// Show the console of a build
    Log(LogArgs),
    /// Tell all about a build
    Show(ShowArgs),
    /// Tell what waits, and why; take something out
    Queue(QueueArgs),
    /// Run the job of the current checkout as the server would, without one
    Local(LocalArgs),
    /// Accounts of the server
    User(UserArgs),
    /// API tokens of accounts
    Token(TokenArgs),
    /// Secrets for jobs
    Secret(SecretArgs),
}

/// Where the server is.
#[derive(Debug, Clone, Args)]
pub(crate) struct At {
    /// The server's address, as http://HOST:PORT/ or unix:///PATH
    #[arg(
        long,
        value_name = "URL",
        value_hint = ValueHint::Url,
        help_heading = "The server"
    )]
    pub(crate) url: Option<String>,

    /// Whose certificates to trust where the server's address begins with https://: a file in PEM,
    /// instead of the system's [default: $WARD_CA]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "The server")]
    pub(crate) ca: Option<PathBuf>,

    /// The configuration of the server on this host
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "The server")]
    pub(crate) configuration: Option<PathBuf>,
}

/// Which configuration, where no server is asked.
#[derive(Debug, Clone, Args)]
pub(crate) struct Whose {
    /// The configuration of the server [default: found as `ward ctl` does, ./ward.conf before all others]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) configuration: Option<PathBuf>,
}

const SERVE_AFTER: &str = "\
TERM and INT end it: what runs is stopped first, or, with `stop_builds = false`, goes on and is found again by
the next server. HUP reads the configuration again; where it cannot be used everything stays as it was.
kill -9 ends no build. Where NOTIFY_SOCKET is set, service managers are told when it is ready (sd_notify(3)).";

#[derive(Debug, Args)]
#[command(after_help = SERVE_AFTER)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) whose: Whose,

    /// Where everything is kept, whatever the configuration says
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) directory: Option<PathBuf>,

    /// Kept by `ward up`, which has read the configuration and says by variables which cluster it names
    #[arg(long, hide = true)]
    pub(crate) supervised: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// Which job
    #[arg(value_name = "JOB")]
    pub(crate) job: String,

    /// A parameter's value; those that are left out get their defaults
    #[arg(short, long = "parameter", value_name = "NAME=VALUE", value_parser = assignment)]
    pub(crate) parameters: Vec<(String, String)>,

    /// Wait for its end, and end with its result
    #[arg(long)]
    pub(crate) wait: bool,

    /// Show its console as it grows, and end with its result
    #[arg(short, long)]
    pub(crate) follow: bool,

    /// Print JSON
    #[arg(long, conflicts_with = "follow")]
    pub(crate) json: bool,

    /// Say nothing but failures
    #[arg(short, long)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) at: At,
}

#[derive(Debug, Args)]
pub(crate) struct StopBuildArgs {
    /// Of which job
    #[arg(value_name = "JOB")]
    pub(crate) job: String,

    /// Which build [default: the one that runs]
    #[arg(value_name = "N")]
    pub(crate) number: Option<u32>,

    /// Kill at once what is left; clean-up has no more time
    #[arg(long)]
    pub(crate) force: bool,

    /// Return when the last of its processes is gone
    #[arg(long)]
    pub(crate) wait: bool,

    #[command(flatten)]
    pub(crate) at: At,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Builds of this job
    #[arg(value_name = "JOB")]
    pub(crate) job: Option<String>,

    /// So many of the newest builds
    #[arg(
        short = 'n',
        long,
        value_name = "N",
        default_value = "20",
        requires = "job"
    )]
    pub(crate) limit: u32,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) at: At,
}

#[derive(Debug, Args)]
#[command(after_help = "\
With --follow the exit status tells the build's result, as of `ward build start --wait`.")]
pub(crate) struct LogArgs {
    /// Of which job
    #[arg(value_name = "JOB")]
    pub(crate) job: String,

    /// Which build, by number or as lastBuild, lastSuccessfulBuild, lastFailedBuild …
    #[arg(value_name = "N", default_value = "lastBuild")]
    pub(crate) build: String,

    /// Go on as it grows, until the build is over
    #[arg(short, long)]
    pub(crate) follow: bool,

    #[command(flatten)]
    pub(crate) at: At,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Of which job
    #[arg(value_name = "JOB")]
    pub(crate) job: String,

    /// Which build, by number or as lastBuild, lastSuccessfulBuild, lastFailedBuild …
    #[arg(value_name = "N", default_value = "lastBuild")]
    pub(crate) build: String,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) at: At,
}

#[derive(Debug, Args)]
pub(crate) struct QueueArgs {
    /// Take this one out
    #[arg(long, value_name = "ID", conflicts_with = "json")]
    pub(crate) cancel: Option<u64>,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) at: At,
}

const LOCAL_AFTER: &str = "\
The job is [job] or [job:NAME] of .ward.conf at the top of the checkout, else a job of the configuration that
-c names. It runs where you are, on your files as they are: the checkout is left out. With --clean it runs on
a clone of the commit that is checked out, in a directory of its own, as on the server.
Locks, custody, limits, artifacts and test results are as on the server; notifications and downstream jobs
are left out. Results are kept below the state directory, and their place is said at the end. Ctrl-C is a
stop; a second one leaves no time for clean-up.

The exit status tells the result, as of `ward build start --wait`.";

#[derive(Debug, Args)]
#[command(after_help = LOCAL_AFTER)]
pub(crate) struct LocalArgs {
    /// Which job [default: the only one, or the one that builds from this repository]
    #[arg(long, value_name = "NAME")]
    pub(crate) job: Option<String>,

    /// A parameter's value; those that are left out get their defaults
    #[arg(short, long = "parameter", value_name = "NAME=VALUE", value_parser = assignment)]
    pub(crate) parameters: Vec<(String, String)>,

    /// Build the commit, not the files as they are
    #[arg(long)]
    pub(crate) clean: bool,

    /// Where jobs are written [default: .ward.conf of the checkout]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) configuration: Option<PathBuf>,

    /// Where secrets are [default: those of the server of this user]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) secrets: Option<PathBuf>,
}

/// What an account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleArg {
    /// Look
    Read,
    /// Start and stop builds too
    Build,
    /// Everything
    Admin,
}

#[derive(Debug, Args)]
#[command(
    disable_help_subcommand = true,
    after_help = "\
Passwords are read from standard input, without echo at a terminal. They are never on a command line.
A server that runs sees changes at once."
)]
pub(crate) struct UserArgs {
    #[command(subcommand)]
    pub(crate) deed: UserDeed,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserDeed {
    /// Make an account; its password comes from standard input
    Add {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
        /// What it may do
        #[arg(long, value_name = "ROLE", default_value = "build")]
        role: RoleArg,
        /// It has none: only its tokens let in
        #[arg(long)]
        no_password: bool,
        #[command(flatten)]
        whose: Whose,
    },
    /// Give an account another password, from standard input
    Passwd {
        /// Whose
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        whose: Whose,
    },
    /// Remove an account with its tokens
    Remove {
        /// Whose
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        whose: Whose,
    },
    /// List accounts
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        whose: Whose,
    },
}

#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    pub(crate) deed: TokenDeed,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenDeed {
    /// Make a token; it is shown this once
    New {
        /// Whose
        #[arg(value_name = "USER")]
        user: String,
        /// What it is for; an account has one token of a label
        #[arg(value_name = "LABEL")]
        label: String,
        #[command(flatten)]
        whose: Whose,
    },
    /// Make a token worthless
    Revoke {
        /// Whose
        #[arg(value_name = "USER")]
        user: String,
        /// Which
        #[arg(value_name = "LABEL")]
        label: String,
        #[command(flatten)]
        whose: Whose,
    },
    /// List the tokens of an account: what for, never what they are
    List {
        /// Whose
        #[arg(value_name = "USER")]
        user: String,
        #[command(flatten)]
        whose: Whose,
    },
}

#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub(crate) struct SecretArgs {
    #[command(subcommand)]
    pub(crate) deed: SecretDeed,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecretDeed {
    /// Keep standard input, to the last byte, as a secret for jobs
    Set {
        /// Its name, as `secrets =`, `credentials =` and others name it
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        whose: Whose,
    },
    /// Forget a secret
    Remove {
        /// Which
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        whose: Whose,
    },
    /// List the names of secrets
    List {
        #[command(flatten)]
        whose: Whose,
    },
}

/// `NAME=VALUE`.
fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("write NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::assignment;

    #[test]
    fn parameters_have_a_name() {
        let both = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(assignment("A=b=c"), both("A", "b=c"));
        assert_eq!(assignment("A="), both("A", ""));
        assert!(assignment("A").is_err() && assignment("=b").is_err());
    }
}
