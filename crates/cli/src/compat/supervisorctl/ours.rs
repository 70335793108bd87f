//! What ward adds: answers for programs, `explain`, and `upgrade`.

use serde_json::{Value as Json, json};
use ward_serve::xmlrpc::Value;

use super::actions::status::Chosen;
use super::call::{CallError, fault};
use super::info::Info;
use super::names::Name;
use super::session::{Session, exit};

/// How processes stand, for programs.
pub(super) fn status(chosen: &Chosen<'_>) -> Result<String, CallError> {
    let processes: Vec<Json> = chosen.infos.iter().map(|info| one(info)).collect();
    pretty(&json!({ "processes": processes, "unknown": chosen.unknown }))
}

fn one(info: &Info) -> Json {
    let some = |number: i64| (number != 0).then_some(number);
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let uptime = (info.pid != 0).then(|| (info.now - info.start).max(0));
    json!({
        "name": info.short(),
        "group": info.group,
        "process": info.name,
        "state": info.statename,
        "pid": some(info.pid),
        "uptime_seconds": uptime,
        "started_at": some(info.start),
        "ended_at": some(info.stop),
        "exit_status": (info.stop != 0).then_some(info.exitstatus),
        "spawn_error": text(&info.spawnerr),
        "stdout_logfile": text(&info.stdout_logfile),
        "stderr_logfile": text(&info.stderr_logfile),
        "description": info.description,
    })
}

fn pretty(json: &Json) -> Result<String, CallError> {
    let text = serde_json::to_string_pretty(json);
    let mut text = text.map_err(|error| CallError::Host(error.into()))?;
    text.push('\n');
    Ok(text)
}

/// How a process is configured, and what became of it.
pub(super) fn explain(session: &mut Session, words: &[&str]) -> Result<(), CallError> {
    let as_json = words.contains(&"--json");
    let names: Vec<&str> = words
        .iter()
        .copied()
        .filter(|word| *word != "--json")
        .collect();
    if !session.is_up()? {
        return Ok(());
    }
    if names.is_empty() {
        session.wrong("Error: explain requires a process name", Some("explain"));
        return Ok(());
    }
    for given in names {
        let answer = match session.call_any("ward.explain", vec![Value::text(given)]) {
            Ok(value) => value,
            Err(error) => match error.fault() {
                Some(fault::UNKNOWN_METHOD) => {
                    only_wards(session, "explain");
                    return Ok(());
                }
                Some(fault::BAD_NAME) => {
                    let shown = match Name::of(given).process {
                        Some(_) => given,
                        None => given.trim_end_matches(['*', ':']),
                    };
                    session.wrong(&format!("{shown}: ERROR (no such process)"), None);
                    continue;
                }
                _ => return Err(error),
            },
        };
        let text = answer.as_text().ok_or(CallError::Shape("ward.explain"))?;
        let told: Json =
            serde_json::from_str(text).map_err(|_| CallError::Shape("ward.explain"))?;
        if as_json {
            session.say_text(&pretty(&told)?);
        } else {
            let mut lines = String::new();
            lay_out(&told, 0, &mut lines);
            session.say_text(&lines);
        }
    }
    Ok(())
}

/// A line per value; what is inside another is further to the right.
fn lay_out(value: &Json, depth: usize, lines: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Json::Object(members) => {
            for (key, member) in members {
                match plain(member) {
                    Some(text) => lines.push_str(&format!("{indent}{key}: {text}\n")),
                    None => {
                        lines.push_str(&format!("{indent}{key}:\n"));
                        lay_out(member, depth + 1, lines);
                    }
                }
            }
        }
        Json::Array(items) => {
            for item in items {
                match plain(item) {
                    Some(text) => lines.push_str(&format!("{indent}- {text}\n")),
                    None => {
                        lines.push_str(&format!("{indent}-\n"));
                        lay_out(item, depth + 1, lines);
                    }
                }
            }
        }
        other => {
            let text = plain(other).unwrap_or_default();
            lines.push_str(&format!("{indent}{text}\n"));
        }
    }
}

/// A value that fits into a line; without what a terminal would obey.
fn plain(value: &Json) -> Option<String> {
    Some(match value {
        Json::Null => "none".to_owned(),
        Json::Bool(truth) => truth.to_string(),
        Json::Number(number) => number.to_string(),
        Json::String(text) => text
            .chars()
            .flat_map(|c| {
                let escaped: String = if c.is_control() {
                    c.escape_default().collect()
                } else {
                    c.to_string()
                };
                escaped.chars().collect::<Vec<char>>()
            })
            .collect(),
        Json::Array(items) if items.is_empty() => "none".to_owned(),
        Json::Object(members) if members.is_empty() => "none".to_owned(),
        Json::Array(_) | Json::Object(_) => return None,
    })
}

/// Puts the version of ward to work that is installed now.
pub(super) fn upgrade(session: &mut Session, words: &[&str]) -> Result<(), CallError> {
    if !session.takes_none("upgrade", words) || !session.is_up()? {
        return Ok(());
    }
    match session.call_any("ward.upgrade", Vec::new()) {
        Ok(Value::Text(text)) => session.say(&text),
        Ok(_) => session.say("Upgraded"),
        Err(error) => match error.fault() {
            Some(fault::UNKNOWN_METHOD) => only_wards(session, "upgrade"),
            _ => return Err(error),
        },
    }
    Ok(())
}

fn only_wards(session: &mut Session, command: &str) {
    let url = &session.settings.serverurl;
    let text = format!("ERROR: {url} does not know {command}: it is no `ward up`");
    session.say(&text);
    session.set_status(exit::UNIMPLEMENTED);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_explained_has_a_line_per_value() {
        let told = json!({
            "command": "sh -c 'a\u{1b}[2J'",
            "environment": ["A", "B"],
            "last_end": { "exit_status": 1, "signal": null, "at": [] },
            "more": [{ "x": true }],
        });
        let mut lines = String::new();
        lay_out(&told, 0, &mut lines);
        let expected = "command: sh -c 'a\\u{1b}[2J'\n\
                        environment:\n  - A\n  - B\n\
                        last_end:\n  at: none\n  exit_status: 1\n  signal: none\n\
                        more:\n  -\n    x: true\n";
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_process_that_never_ran_has_no_numbers() {
        let info = Info {
            group: "g".into(),
            name: "p".into(),
            statename: "STOPPED".into(),
            now: 1_700_000_000,
            ..Info::default()
        };
        let told = one(&info);
        assert_eq!(told["name"], "g:p");
        for key in [
            "pid",
            "uptime_seconds",
            "started_at",
            "ended_at",
            "exit_status",
        ] {
            assert_eq!(told[key], Json::Null, "{key}");
        }
        let ran = one(&Info {
            pid: 7,
            start: 1_699_999_990,
            ..info
        });
        assert_eq!(ran["uptime_seconds"], 10);
    }
}
