//! Who is measured beside ward: the wrappers that this machine has.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

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

/// The peers that are installed, and the names of those that are not.
pub(super) struct Peers {
    pub(super) here: Vec<Peer>,
    pub(super) missing: Vec<String>,
}

impl Peers {
    /// Looks for each of `wanted`: its name, and the words before the command. The first word
    /// is looked up on the path; `sh` takes the command as text, with its last word behind it.
    pub(super) fn find(wanted: &[(&str, &[&'static str])]) -> Self {
        let mut found = Self {
            here: Vec::new(),
            missing: Vec::new(),
        };
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
}

/// Where a program is, by the path.
pub(super) fn which(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|directory| directory.join(program))
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
        let peer = Peer::new("ward", vec!["/bin/ward".into(), "run".into(), "--".into()]);
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
    }
}
