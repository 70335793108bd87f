//! `status` and `pid`.

use std::fmt::Write as _;

use super::super::call::{CallError, fault};
use super::super::info::Info;
use super::super::names::Name;
use super::super::ours;
use super::super::session::{Session, exit};

/// The first column is at least so wide, and two blanks and one more than its longest name.
const NAMES: usize = 30;

/// How processes stand.
pub(in super::super) fn status(session: &mut Session, words: &[&str]) -> Result<(), CallError> {
    let json = words.contains(&"--json");
    let words: Vec<&str> = words
        .iter()
        .copied()
        .filter(|word| *word != "--json")
        .collect();
    if !session.is_up()? {
        session.set_status(exit::STATUS_UNKNOWN);
        return Ok(());
    }
    let all = Info::all(session.call("getAllProcessInfo", Vec::new())?)?;
    let chosen = Chosen::of(&all, &words);
    if !chosen.unknown.is_empty() {
        session.set_status(exit::STATUS_UNKNOWN);
    }
    if json {
        session.say_text(&ours::status(&chosen)?);
    } else {
        for line in chosen.complaints() {
            session.say(&line);
        }
        session.say_text(&table(&chosen.infos));
    }
    if chosen.infos.iter().any(|info| info.is_down()) {
        session.set_status(exit::STATUS_DOWN);
    }
    Ok(())
}

/// The processes that names mean, in the order of the names.
#[derive(Debug)]
pub(in super::super) struct Chosen<'a> {
    pub(in super::super) infos: Vec<&'a Info>,
    /// The names that mean none, as they were given.
    pub(in super::super) unknown: Vec<&'a str>,
}

impl<'a> Chosen<'a> {
    fn of(all: &'a [Info], words: &[&'a str]) -> Self {
        if words.is_empty() || words.contains(&"all") {
            return Self {
                infos: all.iter().collect(),
                unknown: Vec::new(),
            };
        }
        let (mut infos, mut unknown) = (Vec::new(), Vec::new());
        for word in words {
            let name = Name::of(word);
            let before = infos.len();
            infos.extend(all.iter().filter(|info| {
                info.group == name.group && name.process.is_none_or(|process| info.name == process)
            }));
            if infos.len() == before {
                unknown.push(*word);
            }
        }
        Self { infos, unknown }
    }

    fn complaints(&self) -> impl Iterator<Item = String> {
        self.unknown.iter().map(|given| {
            let name = Name::of(given);
            match name.process {
                None => format!("{}: ERROR (no such group)", name.group),
                Some(_) => format!("{given}: ERROR (no such process)"),
            }
        })
    }
}

fn table(infos: &[&Info]) -> String {
    let names: Vec<String> = infos.iter().map(|info| info.short()).collect();
    let longest = names.iter().map(|name| name.chars().count()).max();
    let width = longest.unwrap_or(0).max(NAMES) + 3;
    let mut text = String::with_capacity(infos.len() * (width + 50));
    for (name, info) in names.iter().zip(infos) {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{name:width$}{:10}{}",
            info.statename, info.description
        );
    }
    text
}

/// Process ids.
pub(in super::super) fn pid(session: &mut Session, words: &[&str]) -> Result<(), CallError> {
    if !session.is_up()? {
        return Ok(());
    }
    if words.is_empty() {
        let pid = session.call("getPID", Vec::new())?;
        let pid = pid.as_int().ok_or(CallError::Shape("getPID"))?;
        session.say(&pid.to_string());
        return Ok(());
    }
    if words.contains(&"all") {
        let all = Info::all(session.call("getAllProcessInfo", Vec::new())?)?;
        let lines: String = all.iter().map(|info| format!("{}\n", info.pid)).collect();
        session.say_text(&lines);
        return Ok(());
    }
    for word in words {
        match session.call_with("getProcessInfo", word) {
            Ok(value) => {
                let pid = Info::of(value)?.pid;
                session.say(&pid.to_string());
                if pid == 0 {
                    session.set_status(exit::NOT_RUNNING);
                }
            }
            Err(error) if error.fault() == Some(fault::BAD_NAME) => {
                session.set_status(exit::GENERIC);
                session.say(&format!("No such process {word}"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(group: &str, name: &str) -> Info {
        Info {
            group: group.into(),
            name: name.into(),
            statename: "RUNNING".into(),
            description: "pid 1".into(),
            ..Info::default()
        }
    }

    #[test]
    fn names_choose_in_their_own_order_and_as_often_as_they_are_given() {
        let all = [info("a", "a"), info("g", "x"), info("g", "y")];
        let chosen = |words: &'static [&'static str]| {
            let chosen = Chosen::of(&all, words);
            let names: Vec<String> = chosen.infos.iter().map(|info| info.short()).collect();
            (
                names.join(" "),
                chosen.complaints().collect::<Vec<_>>().join(", "),
            )
        };
        for (words, names, complaints) in [
            (&[][..], "a g:x g:y", ""),
            (&["nope", "all"], "a g:x g:y", ""),
            (&["g:*", "a", "g:"], "g:x g:y a g:x g:y", ""),
            (
                &["g", "x", "g:y", "none:*"],
                "g:y",
                "g: ERROR (no such process), x: ERROR (no such process), none: ERROR (no such group)",
            ),
        ] {
            assert_eq!(chosen(words), (names.to_owned(), complaints.to_owned()));
        }
    }

    #[test]
    fn the_table_is_as_wide_as_its_longest_name() {
        let long = info("a-group-of-twenty-six-char", "and-process");
        let table = table(&[&info("a", "a"), &long]);
        let expected = "a                                        RUNNING   pid 1\n\
                        a-group-of-twenty-six-char:and-process   RUNNING   pid 1\n";
        assert_eq!(table, expected);
        assert_eq!(super::table(&[&info("a", "a")]).find("RUNNING"), Some(33));
    }
}
