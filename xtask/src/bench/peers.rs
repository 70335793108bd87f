//! Who is measured beside ward: the wrappers that this machine has.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Somebody who runs a command for somebody.
pub(super) struct Peer {
    /// As a reader knows it.
    pub(super) name: String,
    /// What comes before the command.
    prefix: Vec<OsString>,
    /// The command goes in as one word of shell text, with this behind it.
    shell_tail: Option<&'static str>,
}

impl Peer {
    /// A peer that takes the command as its last arguments.
    pub(super) fn new(name: &str, prefix: Vec<OsString>) -> Self {
        Self {
            name: name.to_owned(),
            prefix,
            shell_tail: None,
        }
    }

    /// Ward, as itself: its words come before the command.
    pub(super) fn ward(
        name: &str,
        ward: &Path,
        words: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        let mut prefix = vec![ward.into()];
        prefix.extend(words.into_iter().map(Into::into));
        Self::new(name, prefix)
    }

    /// The words that make this peer run `command`.
    pub(super) fn words(&self, command: &[OsString]) -> Vec<OsString> {
        let mut words = self.prefix.clone();
        match self.shell_tail {
            None => words.extend_from_slice(command),
            Some(tail) => {
                let mut text = OsString::new();
                for word in command {
                    // Our own words (paths and numbers) have nothing a shell would change.
                    text.push(word);
                    text.push(" ");
                }
                text.push(tail);
                words.push(text);
            }
        }
        words
    }
}

/// The peers that are installed, and those that are not.
#[derive(Default)]
pub(super) struct Peers {
    pub(super) here: Vec<Peer>,
    pub(super) missing: Vec<String>,
}

impl Peers {
    /// Looks for each of `wanted`: its name, and the words before the command. The first word
    /// is looked up on the path; `sh` takes the command as text, with its last word behind it.
    pub(super) fn find(wanted: &[(&str, &[&'static str])]) -> Self {
        let mut found = Self::default();
        for (name, words) in wanted {
            match which(words[0]) {
                None => found.missing.push((*name).to_owned()),
                Some(program) => {
                    let (middle, shell_tail) = match words {
                        ["sh", middle @ .., tail] => (middle, Some(*tail)),
                        _ => (&words[1..], None),
                    };
                    let mut prefix = vec![program.into_os_string()];
                    prefix.extend(middle.iter().map(OsString::from));
                    found.here.push(Peer {
                        name: (*name).to_owned(),
                        prefix,
                        shell_tail,
                    });
                }
            }
        }
        found
    }

    /// Looks for one more, that takes the command as its last arguments: its words, and where
    /// Debian has it.
    pub(super) fn look_for(&mut self, name: &str, words: &[OsString], package: &str) {
        let Some((program, arguments)) = words.split_first() else {
            return;
        };
        match which(program) {
            None => self.missing.push(format!(
                "{name}: there is no `{}` here ({package})",
                program.display()
            )),
            Some(program) => {
                let prefix = [&[program.into_os_string()], arguments].concat();
                self.here.push(Peer::new(name, prefix));
            }
        }
    }
}

/// Where a program is, by the path.
pub(super) fn which(program: impl AsRef<Path>) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|directory| directory.join(&program))
        .find(|candidate| {
            rustix::fs::access(candidate, rustix::fs::Access::EXEC_OK).is_ok()
                && candidate.is_file()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Vec<OsString> {
        vec!["/bin/tree".into(), "7".into()]
    }

    #[test]
    fn a_command_is_put_behind_the_words_of_its_wrapper() {
        let peer = Peer::ward("ward", Path::new("/bin/ward"), ["run", "--"]);
        assert_eq!(
            peer.words(&command()),
            ["/bin/ward", "run", "--", "/bin/tree", "7"]
        );
    }

    #[test]
    fn a_shell_takes_the_command_as_text() {
        let peers = Peers::find(&[("two", &["sh", "-c", "; :"]), ("one", &["sh", "-c", ""])]);
        let words = peers.here[0].words(&command());
        assert_eq!(words[1..], ["-c", "/bin/tree 7 ; :"]);
        assert_eq!(peers.here[1].words(&command())[2], "/bin/tree 7 ");
    }

    #[test]
    fn whoever_is_not_installed_is_named() {
        let peers = Peers::find(&[
            ("gone", &["no-such-program-here"]),
            ("sh", &["sh", "-c", ""]),
        ]);
        assert_eq!(peers.missing, ["gone"]);
        assert_eq!(peers.here.len(), 1);
        let mut peers = Peers::default();
        let words = ["no-such-program-here".into(), "FILE".into()];
        peers.look_for("gone FILE", &words, "package gone-utils");
        assert!(peers.missing[0].ends_with("`no-such-program-here` here (package gone-utils)"));
        peers.look_for("sh", &["sh".into(), "-c".into()], "");
        assert_eq!(
            peers.here[0].words(&command())[1..],
            ["-c", "/bin/tree", "7"]
        );
    }
}
