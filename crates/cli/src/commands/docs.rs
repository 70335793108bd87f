//! `ward docs`: pages of the reference that are generated from the code.

use std::process::ExitCode;

use clap::CommandFactory;
use ward_model::exit_code;
use ward_model::life::State;
use ward_model::program;

use crate::args::{DocsArgs, Ward};
use crate::failure::Failure;

type Page = (&'static str, &'static str, fn() -> Result<String, Failure>);

const PAGES: &[Page] = &[
    ("cli", "cli.md", cli),
    ("config", "config.md", config),
    ("exit-codes", "exit-codes.md", exit_codes),
    ("life", "life.md", life),
    ("states", "states.md", states),
    #[cfg(feature = "schema")]
    ("report-schema", "report.schema.json", report_schema),
];

/// Prints a page, or lists them.
pub(crate) fn run(arguments: &DocsArgs) -> Result<ExitCode, Failure> {
    let Some(wanted) = arguments.page.as_deref().filter(|_| !arguments.list) else {
        for (name, file, _) in PAGES {
            println!("{name}\t{file}");
        }
        return Ok(ExitCode::SUCCESS);
    };
    let Some((_, _, render)) = PAGES.iter().find(|(name, ..)| *name == wanted) else {
        return Err(Failure::usage(
            format!("there is no page `{wanted}`"),
            "`ward docs --list` lists them",
        ));
    };
    print!("{}", render()?);
    Ok(ExitCode::SUCCESS)
}

fn cli() -> Result<String, Failure> {
    let mut command = Ward::command().term_width(100);
    command.build();
    let mut text = String::from("# Command line\n\nGenerated from the code.\n");
    for verb in command.get_subcommands_mut() {
        push_verb(&mut text, "ward", verb);
    }
    Ok(text)
}

/// The help of a verb, and of the verbs below it.
fn push_verb(text: &mut String, above: &str, verb: &mut clap::Command) {
    if verb.is_hide_set() {
        return;
    }
    let name = format!("{above} {}", verb.get_name());
    let help = verb.render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    text.push_str(&format!(
        "\n## {name}\n\n```text\n{}\n```\n",
        help.join("\n").trim_end()
    ));
    for below in verb.get_subcommands_mut() {
        push_verb(text, &name, below);
    }
}

fn config() -> Result<String, Failure> {
    Ok(ward_config::reference::page())
}

fn exit_codes() -> Result<String, Failure> {
    let mut text = String::from(
        "# Exit statuses\n\nGenerated from the code.\n\n| status | name | meaning |\n|---|---|---|\n",
    );
    for (code, name, meaning) in exit_code::TABLE {
        text.push_str(&format!("| {code} | {name} | {meaning} |\n"));
    }
    text.push_str(
        "\nWhere the user at a terminal ends the command with the keyboard (Ctrl-C, Ctrl-\\\\), ward dies of the\n\
         same signal, so that a shell's loop around it ends as it would without ward.\n",
    );
    Ok(text)
}

fn life() -> Result<String, Failure> {
    let mut text = String::from(
        "# The life of a run\n\nGenerated from the code: what each event does in each state. `·` changes nothing.\n\n",
    );
    let states = State::ALL.map(|state| format!("{state:?}"));
    push_table(&mut text, &states, &ward_model::life::table());
    Ok(text)
}

fn states() -> Result<String, Failure> {
    let mut text = String::from(
        "# The states of a program\n\nGenerated from the code: what each event does in each state of a program of `ward up`. The states are\n         Supervisor's. `·` changes nothing.\n\n",
    );
    let states = program::State::ALL.map(|state| state.word().to_owned());
    push_table(&mut text, &states, &program::table());
    Ok(text)
}

/// What each event (a row) does in each state (a column).
fn push_table(text: &mut String, states: &[String], rows: &[(String, Vec<String>)]) {
    text.push_str("| event |");
    for state in states {
        text.push_str(&format!(" {state} |"));
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(states.len()));
    text.push('\n');
    for (event, cells) in rows {
        text.push_str(&format!("| {event} |"));
        for cell in cells {
            text.push_str(&format!(" {cell} |"));
        }
        text.push('\n');
    }
}

#[cfg(feature = "schema")]
fn report_schema() -> Result<String, Failure> {
    let schema = ward_model::report::schema();
    let mut text = serde_json::to_string_pretty(&schema)
        .map_err(|error| Failure::ours("cannot write the schema", &error))?;
    text.push('\n');
    Ok(text)
}
