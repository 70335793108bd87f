//! `reread`, `update`, `add`, `remove` and `avail`: groups, and the configuration that names them.

use std::collections::{BTreeMap, BTreeSet};

use ward_serve::xmlrpc::Value;

use super::super::call::{CallError, fault};
use super::super::info::{Info, Outcome};
use super::super::names::short;
use super::super::session::Session;

/// What differs between the configuration in use and its file: names of groups.
#[derive(Debug, Default)]
struct Reread {
    added: Vec<String>,
    changed: Vec<String>,
    removed: Vec<String>,
}

impl Reread {
    fn of(value: &Value) -> Result<Self, CallError> {
        let lists = value.as_array().and_then(|outer| outer.first()?.as_array());
        let names = |list: &Value| -> Option<Vec<String>> {
            let texts = list.as_array()?.iter();
            texts
                .map(|text| text.as_text().map(str::to_owned))
                .collect()
        };
        let reread = lists.and_then(|lists| {
            let [added, changed, removed] = lists else {
                return None;
            };
            Some(Self {
                added: names(added)?,
                changed: names(changed)?,
                removed: names(removed)?,
            })
        });
        reread.ok_or(CallError::Shape("reloadConfig"))
    }
}

/// Reads the configuration again, and tells what differs.
pub(in super::super) fn reread(session: &mut Session, words: &[&str]) -> Result<(), CallError> {
    if !session.takes_none("reread", words) {
        return Ok(());
    }
    let reread = match session.call("reloadConfig", Vec::new()) {
        Ok(value) => Reread::of(&value)?,
        Err(CallError::Fault(fault)) if fault.code == fault::SHUTDOWN_STATE => {
            session.wrong("ERROR: supervisor shutting down", None);
            return Ok(());
        }
        Err(CallError::Fault(fault)) if fault.code == fault::CANT_REREAD => {
            session.wrong(&format!("ERROR: {}", fault.text), None);
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let mut told = BTreeMap::new();
    for (names, word) in [
        (reread.added, "available"),
        (reread.changed, "changed"),
        (reread.removed, "disappeared"),
    ] {
        told.extend(names.into_iter().map(|name| (name, word)));
    }
    if told.is_empty() {
        session.say("No config updates to processes");
    }
    for (name, word) in told {
        session.say(&format!("{name}: {word}"));
    }
    Ok(())
}

/// Reads the configuration again, and makes it so.
pub(in super::super) fn update(session: &mut Session, words: &[&str]) -> Result<(), CallError> {
    let reread = match session.call("reloadConfig", Vec::new()) {
        Ok(value) => Reread::of(&value)?,
        Err(error) if error.fault() == Some(fault::SHUTDOWN_STATE) => {
            session.wrong("ERROR: already shutting down", None);
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let wanted: &[&str] = if words.contains(&"all") { &[] } else { words };
    if !wanted.is_empty() {
        complain_of_unknown(session, wanted, &reread.added)?;
    }
    let is_wanted = |name: &String| wanted.is_empty() || wanted.contains(&name.as_str());

    for name in reread.removed.iter().filter(|name| is_wanted(name)) {
        let outcomes = Outcome::all(session.call_with("stopProcessGroup", name)?)?;
        session.say(&format!("{name}: stopped"));
        if outcomes
            .iter()
            .any(|outcome| outcome.status == fault::FAILED)
        {
            session.wrong(&format!("{name}: has problems; not removing"), None);
            continue;
        }
        session.call_with("removeProcessGroup", name)?;
        session.say(&format!("{name}: removed process group"));
    }
    for name in reread.changed.iter().filter(|name| is_wanted(name)) {
        session.call_with("stopProcessGroup", name)?;
        session.say(&format!("{name}: stopped"));
        session.call_with("removeProcessGroup", name)?;
        session.call_with("addProcessGroup", name)?;
        session.say(&format!("{name}: updated process group"));
    }
    for name in reread.added.iter().filter(|name| is_wanted(name)) {
        session.call_with("addProcessGroup", name)?;
        session.say(&format!("{name}: added process group"));
    }
    Ok(())
}

fn complain_of_unknown(
    session: &mut Session,
    wanted: &[&str],
    added: &[String],
) -> Result<(), CallError> {
    let all = Info::all(session.call("getAllProcessInfo", Vec::new())?)?;
    let known: BTreeSet<&str> = all
        .iter()
        .map(|info| info.group.as_str())
        .chain(added.iter().map(String::as_str))
        .collect();
    let mut told = BTreeSet::new();
    for name in wanted {
        if !known.contains(name) && told.insert(name) {
            session.wrong(&format!("ERROR: no such group: {name}"), None);
        }
    }
    Ok(())
}

/// Puts groups to work.
pub(in super::super) fn add(session: &mut Session, words: &[&str]) -> Result<(), CallError> {
    for name in words {
        match session.call_with("addProcessGroup", name) {
            Ok(_) => session.say(&format!("{name}: added process group")),
            Err(error) => match error.fault() {
                Some(fault::SHUTDOWN_STATE) => session.wrong("ERROR: shutting down", None),
                // Which is no failure: it is as it should be.
                Some(fault::ALREADY_ADDED) => session.say("ERROR: process group already active"),
                Some(fault::BAD_NAME) => {
                    session.wrong(&format!("ERROR: no such process/group: {name}"), None);
                }
                _ => return Err(error),
            },
        }
    }
    Ok(())
}

/// Takes groups out of work.
pub(in super::super) fn remove(session: &mut Session, words: &[&str]) -> Result<(), CallError> {
    for name in words {
        match session.call_with("removeProcessGroup", name) {
            Ok(_) => session.say(&format!("{name}: removed process group")),
            Err(error) => match error.fault() {
                Some(fault::STILL_RUNNING) => {
                    session.wrong(&format!("ERROR: process/group still running: {name}"), None);
                }
                Some(fault::BAD_NAME) => {
                    session.wrong(&format!("ERROR: no such process/group: {name}"), None);
                }
                _ => return Err(error),
            },
        }
    }
    Ok(())
}

/// Lists what is configured.
pub(in super::super) fn avail(session: &mut Session, words: &[&str]) -> Result<(), CallError> {
    if !session.takes_none("avail", words) {
        return Ok(());
    }
    let value = match session.call("getAllConfigInfo", Vec::new()) {
        Err(error) if error.fault() == Some(fault::SHUTDOWN_STATE) => {
            session.wrong("ERROR: supervisor shutting down", None);
            return Ok(());
        }
        answer => answer?,
    };
    let lines = value
        .as_array()
        .and_then(|all| all.iter().map(line).collect::<Option<String>>());
    let lines = lines.ok_or(CallError::Shape("getAllConfigInfo"))?;
    session.say_text(&lines);
    Ok(())
}

fn line(value: &Value) -> Option<String> {
    let text = |key| value.member(key).and_then(Value::as_text);
    let number = |key| value.member(key).and_then(Value::as_int);
    let truth = |key| value.member(key).and_then(Value::as_bool);
    Some(format!(
        "{:32} {:9} {:9} {}:{}\n",
        short(text("group")?, text("name")?),
        if truth("inuse")? { "in use" } else { "avail" },
        if truth("autostart")? {
            "auto"
        } else {
            "manual"
        },
        number("group_prio")?,
        number("process_prio")?,
    ))
}
