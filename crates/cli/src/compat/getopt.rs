//! Options as Python's `getopt` reads them: the grammar of Supervisor's command lines.
//!
//! Options end at the first word that is none, or at `--`. A long option may be shortened as long as it
//! is clear which one is meant. What an option means is known by who asks.

use ward_config::ini::repr::repr;

/// An option: its letter, its long name, and whether it takes a value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<T: 'static> {
    /// Behind one dash.
    pub(crate) letter: Option<char>,
    /// Behind two.
    pub(crate) long: Option<&'static str>,
    /// Whether a value belongs to it.
    pub(crate) takes_value: bool,
    /// What it is.
    pub(crate) meaning: T,
}

/// An option that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given<T> {
    /// `-c` or `--configuration`, in full.
    pub(crate) option: String,
    /// Its value; empty where it takes none.
    pub(crate) value: String,
    /// What it is.
    pub(crate) meaning: T,
}

/// A command line, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Words<T> {
    /// The options, in order.
    pub(crate) options: Vec<Given<T>>,
    /// What stands behind them.
    pub(crate) rest: Vec<String>,
}

/// Reads the words behind the program's name.
///
/// # Errors
/// What is wrong, in the words of the original.
pub(crate) fn read<T: Copy>(known: &[Known<T>], words: &[String]) -> Result<Words<T>, String> {
    let mut options = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.as_slice().first() {
        if word == "--" {
            words.next();
            break;
        }
        if let Some(long) = word.strip_prefix("--") {
            words.next();
            options.push(long_option(known, long, &mut words)?);
            continue;
        }
        let Some(letters) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) else {
            break;
        };
        words.next();
        letter_options(known, letters, &mut words, &mut options)?;
    }
    Ok(Words {
        options,
        rest: words.cloned().collect(),
    })
}

fn letter_options<T: Copy>(
    known: &[Known<T>],
    letters: &str,
    words: &mut std::slice::Iter<'_, String>,
    options: &mut Vec<Given<T>>,
) -> Result<(), String> {
    let mut letters = letters.chars();
    while let Some(letter) = letters.next() {
        let found = known.iter().find(|known| known.letter == Some(letter));
        let Some(found) = found else {
            return Err(format!("option -{letter} not recognized"));
        };
        let mut value = String::new();
        if found.takes_value {
            value = letters.as_str().to_owned();
            letters = "".chars();
            if value.is_empty() {
                let next = words.next().cloned();
                value = next.ok_or_else(|| format!("option -{letter} requires argument"))?;
            }
        }
        options.push(Given {
            option: format!("-{letter}"),
            value,
            meaning: found.meaning,
        });
    }
    Ok(())
}

fn long_option<T: Copy>(
    known: &[Known<T>],
    word: &str,
    words: &mut std::slice::Iter<'_, String>,
) -> Result<Given<T>, String> {
    let (name, value) = match word.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (word, None),
    };
    let longs = || {
        known
            .iter()
            .filter_map(|known| known.long.map(|long| (long, known)))
    };
    let exact = longs().find(|(long, _)| *long == name);
    let (long, found) = match exact {
        Some(found) => found,
        None => {
            let mut near = longs().filter(|(long, _)| long.starts_with(name));
            match (near.next(), near.next()) {
                (Some(found), None) => found,
                (Some(_), Some(_)) => return Err(format!("option --{name} not a unique prefix")),
                (None, _) => return Err(format!("option --{name} not recognized")),
            }
        }
    };
    let value = match (found.takes_value, value) {
        (true, Some(value)) => value.to_owned(),
        (true, None) => {
            let next = words.next().cloned();
            next.ok_or_else(|| format!("option --{long} requires argument"))?
        }
        (false, None) => String::new(),
        (false, Some(_)) => return Err(format!("option --{long} must not have an argument")),
    };
    Ok(Given {
        option: format!("--{long}"),
        value,
        meaning: found.meaning,
    })
}

/// An option was given that says what another has said already.
pub(crate) fn conflict(option: &str) -> String {
    format!("conflicting command line option {}", repr(option, false))
}

/// A value that an option does not take.
pub(crate) fn invalid(option: &str, value: &str, why: &str) -> String {
    format!("invalid value for {option} {}: {why}", repr(value, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[Known<u8>] = &[
        Known {
            letter: Some('c'),
            long: Some("configuration"),
            takes_value: true,
            meaning: 1,
        },
        Known {
            letter: Some('i'),
            long: Some("interactive"),
            takes_value: false,
            meaning: 2,
        },
        Known {
            letter: None,
            long: Some("identifier"),
            takes_value: true,
            meaning: 3,
        },
    ];

    fn told(line: &str) -> String {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        match read(KNOWN, &words) {
            Ok(words) => {
                let options = words
                    .options
                    .iter()
                    .map(|given| format!("{}={}", given.option, given.value));
                format!(
                    "{} | {}",
                    options.collect::<Vec<_>>().join(" "),
                    words.rest.join(" ")
                )
            }
            Err(error) => error,
        }
    }

    /// The right column was printed by Python's getopt 3.11.
    #[test]
    fn lines_are_read_as_the_original_reads_them() {
        for (line, expected) in [
            ("-c x status -i", "-c=x | status -i"),
            ("-ic x a", "-i= -c=x | a"),
            ("-cx -i", "-c=x -i= | "),
            ("-c -i", "-c=-i | "),
            ("--conf x", "--configuration=x | "),
            ("--conf=x=y z", "--configuration=x=y | z"),
            ("--int", "--interactive= | "),
            ("-- -c", " | -c"),
            ("- -c x", " | - -c x"),
            ("--i", "option --i not a unique prefix"),
            (
                "--interactive=1",
                "option --interactive must not have an argument",
            ),
            ("--id", "option --identifier requires argument"),
            ("--nope", "option --nope not recognized"),
            ("-ix", "option -x not recognized"),
            ("-i -c", "option -c requires argument"),
        ] {
            assert_eq!(told(line), expected, "{line}");
        }
    }
}
