//! `ward check`: what is wrong with a configuration, and what it says.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::{Value, json};
use ward_config::Origins;
use ward_config::diagnostics::{Diagnostic, Palette, Severity};
use ward_config::host::Host;
use ward_config::job::{Job, ParameterKind};
use ward_config::load::{Configuration, Loaded, check};
use ward_config::source::{Sources, Span};
use ward_model::exit_code;
use ward_model::signal::Signal;
use ward_supervise::configuration::{Disk, this_host};

use crate::args::CheckArgs;
use crate::compat::configuration_file::{NotFound, find_configuration};
use crate::failure::Failure;

/// Reads the configuration and tells everything about it.
pub(crate) fn run(arguments: &CheckArgs) -> Result<ExitCode, Failure> {
    let path = match &arguments.configuration {
        Some(path) => path.clone(),
        None => search()?,
    };
    let path = path.to_string_lossy();
    let loaded = check(&path, &host(arguments.elsewhere)?, &Disk);
    let text = if arguments.json {
        as_json(&loaded, arguments)?
    } else {
        as_text(&path, &loaded, arguments)?
    };
    // Who stops reading has read enough; the exit status says the rest.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(if is_fine(&loaded, arguments.strict) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(exit_code::USAGE)
    })
}

fn is_fine(loaded: &Loaded, strict: bool) -> bool {
    let has_error = loaded
        .diagnostics
        .iter()
        .any(|found| found.severity == Severity::Error);
    loaded.configuration.is_some() && !has_error && (!strict || loaded.diagnostics.is_empty())
}

/// The first configuration in the places where the original looks, in its order.
fn search() -> Result<PathBuf, Failure> {
    let called = std::env::args_os().next().unwrap_or_default();
    find_configuration(&called).map_err(|NotFound(places)| {
        let places: Vec<_> = places.iter().map(|p| p.display().to_string()).collect();
        Failure::usage(
            format!("there is no configuration at {}", places.join(", ")),
            "name one with -c FILE",
        )
    })
}

/// This host, as far as a configuration depends on it.
pub(super) fn host(elsewhere: bool) -> Result<Host, Failure> {
    let host = this_host(std::env::vars_os())
        .map_err(|error| Failure::ours("this host cannot be described", &error))?;
    Ok(Host { elsewhere, ..host })
}

fn as_text(path: &str, loaded: &Loaded, arguments: &CheckArgs) -> Result<String, Failure> {
    let palette = if io::stdout().is_terminal() {
        Palette::COLOURED
    } else {
        Palette::default()
    };
    let mut text = String::new();
    for found in &loaded.diagnostics {
        text.push_str(&found.render(&loaded.sources, palette));
    }
    if let Some(configuration) = loaded.configuration.as_ref().filter(|_| arguments.show) {
        text.push_str(&shown(configuration, &loaded.sources)?);
    }
    let told = counted(&loaded.diagnostics);
    let says = match &loaded.configuration {
        // Programs run all the same.
        Some(configuration) if !is_fine(loaded, false) => {
            format!("{}; its jobs cannot be used", summary(configuration))
        }
        Some(configuration) => summary(configuration),
        None => "it cannot be used".to_owned(),
    };
    text.push_str(&format!("{path}: {says}; {told}\n"));
    Ok(text)
}

fn counted(diagnostics: &[Diagnostic]) -> String {
    let count = |severity| {
        diagnostics
            .iter()
            .filter(|d| d.severity == severity)
            .count()
    };
    match (count(Severity::Error), count(Severity::Warning)) {
        (0, 0) => "nothing is wrong".to_owned(),
        (0, warnings) => number(warnings, "warning"),
        (errors, 0) => number(errors, "error"),
        (errors, warnings) => {
            format!(
                "{}, {}",
                number(errors, "error"),
                number(warnings, "warning")
            )
        }
    }
}

fn summary(configuration: &Configuration) -> String {
    let mut parts = vec![
        number(configuration.programs(), "program"),
        match configuration.processes() {
            1 => "1 process".to_owned(),
            count => format!("{count} processes"),
        },
        number(configuration.groups.len(), "group"),
        number(configuration.servers.len(), "server"),
    ];
    if configuration.build.is_some() || !configuration.jobs.is_empty() {
        parts.push(number(configuration.jobs.len(), "job"));
    }
    if let Some(cluster) = &configuration.cluster {
        parts.push(format!(
            "a cluster of {}",
            number(cluster.endpoints.len(), "endpoint")
        ));
    }
    parts.join(", ")
}

fn number(count: usize, what: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {what}{ending}")
}

fn as_json(loaded: &Loaded, arguments: &CheckArgs) -> Result<String, Failure> {
    let sources = &loaded.sources;
    let diagnostics = loaded.diagnostics.iter().map(|found| {
        json!({
            "severity": found.severity,
            "file": sources.path(found.span),
            "line": found.span.line,
            "column": found.span.column,
            "length": found.span.length,
            "what": found.what,
            "hint": found.hint,
        })
    });
    let mut told = json!({
        "ok": is_fine(loaded, arguments.strict),
        "diagnostics": diagnostics.collect::<Vec<_>>(),
    });
    if let Some(configuration) = &loaded.configuration {
        told["files"] = json!(configuration.files);
        told["programs"] = json!(configuration.programs());
        told["processes"] = json!(configuration.processes());
        told["groups"] = json!(configuration.groups.len());
        told["servers"] = json!(configuration.servers.len());
        told["jobs"] = json!(configuration.jobs.len());
        if arguments.show {
            told["configuration"] = traced(configuration, sources)?;
        }
    }
    let mut text = serde_json::to_string_pretty(&told)
        .map_err(|error| Failure::ours("cannot write JSON", &error))?;
    text.push('\n');
    Ok(text)
}

/// A section's values, with where each was given under `from`.
fn with_places(
    section: &impl Serialize,
    origins: &Origins,
    sources: &Sources,
) -> Result<Value, Failure> {
    let mut value = to_json(section)?;
    let places = origins
        .iter()
        .map(|(key, span)| ((*key).to_owned(), json!(sources.place(*span))));
    value["from"] = Value::Object(places.collect());
    Ok(value)
}

fn to_json(value: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(value).map_err(|error| Failure::ours("cannot write JSON", &error))
}

/// The whole configuration with the places of all values.
fn traced(configuration: &Configuration, sources: &Sources) -> Result<Value, Failure> {
    let mut value = to_json(configuration)?;
    let main = &configuration.supervisord;
    value["supervisord"] = with_places(main, &main.origins, sources)?;
    for (index, server) in configuration.servers.iter().enumerate() {
        value["servers"][index] = with_places(server, &server.origins, sources)?;
    }
    if let Some(client) = &configuration.supervisorctl {
        value["supervisorctl"] = with_places(client, &client.origins, sources)?;
    }
    if let Some(cluster) = &configuration.cluster {
        value["cluster"] = with_places(cluster, &cluster.origins, sources)?;
    }
    for (index, job) in configuration.jobs.iter().enumerate() {
        value["jobs"][index] = to_json(&without_secrets(job))?;
    }
    for (g, group) in configuration.groups.iter().enumerate() {
        for (p, process) in group.processes.iter().enumerate() {
            value["groups"][g]["processes"][p] = with_places(process, &process.origins, sources)?;
        }
    }
    Ok(value)
}

/// The same for people: a paragraph for each section and process.
fn shown(configuration: &Configuration, sources: &Sources) -> Result<String, Failure> {
    let mut text = String::new();
    let main = &configuration.supervisord;
    paragraph(
        "supervisord",
        main.span,
        &to_json(main)?,
        &main.origins,
        sources,
        &mut text,
    );
    for server in &configuration.servers {
        paragraph(
            &server.section,
            server.span,
            &to_json(server)?,
            &server.origins,
            sources,
            &mut text,
        );
    }
    if let Some(client) = &configuration.supervisorctl {
        paragraph(
            "supervisorctl",
            client.span,
            &to_json(client)?,
            &client.origins,
            sources,
            &mut text,
        );
    }
    for group in &configuration.groups {
        for process in &group.processes {
            let title = format!("process {}:{}", group.name, process.name);
            paragraph(
                &title,
                process.span,
                &to_json(process)?,
                &process.origins,
                sources,
                &mut text,
            );
        }
    }
    if let Some(build) = &configuration.build {
        values("build", &to_json(build)?, &mut text);
    }
    if let Some(cluster) = &configuration.cluster {
        values("cluster", &to_json(cluster)?, &mut text);
    }
    for job in &configuration.jobs {
        let title = format!("job {}", job.name);
        values(&title, &to_json(&without_secrets(job))?, &mut text);
    }
    Ok(text)
}

/// A job as anybody may see it.
fn without_secrets(job: &Job) -> Job {
    const SECRET: &str = "(secret)";
    let mut job = job.clone();
    if let Some(token) = &mut job.token {
        SECRET.clone_into(token);
    }
    for parameter in &mut job.parameters {
        if let ParameterKind::Password { default } = &mut parameter.kind
            && !default.is_empty()
        {
            SECRET.clone_into(default);
        }
    }
    job
}

/// A paragraph of what is said of something, and of what holds for it without a word.
fn values(title: &str, value: &Value, text: &mut String) {
    text.push_str(&format!("{}\n", printable(title)));
    let mut lines = Vec::new();
    every("", value, &mut lines);
    for (key, value) in lines {
        text.push_str(&format!("  {key} = {value}\n"));
    }
    text.push('\n');
}

/// Every value that is there, by its path.
fn every(path: &str, value: &Value, lines: &mut Vec<(String, String)>) {
    let below = |key: &str| match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    };
    match value {
        Value::Null => {}
        Value::Object(map) => {
            // A time, as it is kept.
            let part = |key: &str| map.get(key).and_then(Value::as_f64);
            if let (Some(seconds), Some(nanoseconds)) = (part("secs"), part("nanos")) {
                let whole = seconds + nanoseconds / 1e9;
                lines.push((path.to_owned(), format!("{whole} s")));
                return;
            }
            for (key, value) in map {
                every(&below(key), value, lines);
            }
        }
        Value::Array(parts) if parts.iter().any(Value::is_object) => {
            for (index, value) in parts.iter().enumerate() {
                every(&below(&(index + 1).to_string()), value, lines);
            }
        }
        Value::Array(parts) if parts.is_empty() => {}
        Value::Array(_) | Value::String(_) | Value::Number(_) | Value::Bool(_) => {
            lines.push((path.to_owned(), plain(value)));
        }
    }
}

fn paragraph(
    title: &str,
    span: Span,
    value: &Value,
    origins: &Origins,
    sources: &Sources,
    text: &mut String,
) {
    text.push_str(&format!("{} ({})\n", printable(title), sources.place(span)));
    let mut lines = Vec::new();
    flatten("", value, &mut lines);
    for (key, value) in lines {
        let place = origins
            .get(key.as_str())
            .map_or_else(|| "default".to_owned(), |span| sources.place(*span));
        text.push_str(&format!("  {key} = {value}  ({place})\n"));
    }
    text.push('\n');
}

/// The keys as they are written in a file, each with its value in one line.
fn flatten(prefix: &str, value: &Value, lines: &mut Vec<(String, String)>) {
    // What the section's own name says is told by the title.
    const TOLD: &[&str] = &["name", "program", "kind", "number", "section", "server"];
    let Value::Object(map) = value else {
        return;
    };
    for (key, value) in map {
        if prefix.is_empty() && TOLD.contains(&key.as_str()) {
            continue;
        }
        match (key.as_str(), value) {
            ("stdout" | "stderr", inner) => flatten(&format!("{key}_"), inner, lines),
            ("user", Value::Object(user)) => lines.push(("user".into(), plain(&user["name"]))),
            ("umask" | "chmod", Value::Number(mode)) => {
                let mode = mode.as_i64().unwrap_or_default();
                lines.push((key.clone(), format!("{mode:04o}")));
            }
            ("stopsignal", Value::Number(signal)) => {
                let signal = signal.as_i64().and_then(|n| i32::try_from(n).ok());
                let signal = signal.and_then(Signal::from_number);
                lines.extend(signal.map(|signal| (key.clone(), signal.to_string())));
            }
            ("credentials", Value::Object(inner)) => {
                for (key, value) in inner {
                    lines.push((key.clone(), plain(value)));
                }
            }
            (_, Value::Null) => {}
            (_, value) => lines.push((format!("{prefix}{key}"), plain(value))),
        }
    }
}

/// In one line, and without what a terminal would obey.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => printable(text),
        Value::Array(parts) => parts.iter().map(plain).collect::<Vec<_>>().join(","),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect::<Vec<_>>()
            .join(","),
        other => other.to_string(),
    }
}
