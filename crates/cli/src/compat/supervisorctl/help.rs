//! `help`: the list of commands, and how each is written.

use super::session::Session;

/// Columns of the list.
const WIDTH: usize = 79;

/// A command, and how it is written. By name, as the original lists them.
const COMMANDS: &[(&str, &str)] = &[
    (
        "add",
        "add <name> [...]\tPut groups to work that are configured, and not active yet\n",
    ),
    (
        "avail",
        "avail\t\t\tList every process that is configured, and whether it is in use\n",
    ),
    (
        "clear",
        "clear <name>\t\tEmpty the logs of a process\n\
         clear <name> <name>\tEmpty the logs of several\n\
         clear all\t\tEmpty the logs of all\n",
    ),
    ("exit", "exit\tLeave the shell\n"),
    (
        "fg",
        "fg <process>\tSend lines to a process, and see what it prints\n\t\tCtrl-C to leave it; it runs on\n",
    ),
    (
        "maintail",
        "maintail -f \tThe end of the supervisor's log, and what is added to it (Ctrl-C to end)\n\
         maintail -100\tIts last 100 *bytes*\n\
         maintail\tIts last 1600 *bytes*\n\n",
    ),
    (
        "open",
        "open <url>\tAsk another supervisor from now on\n\t\t(http://host:port or unix:///socket/path)\n",
    ),
    (
        "pid",
        "pid\t\t\tThe process id of the supervisor\n\
         pid <name>\t\tThat of a process; 0 if it does not run\n\
         pid all\t\t\tThose of all, a line each\n",
    ),
    ("quit", "quit\tLeave the shell\n"),
    (
        "reload",
        "reload \t\tStop everything, read the configuration again, and start anew\n",
    ),
    (
        "remove",
        "remove <name> [...]\tTake groups out of work that do not run\n",
    ),
    (
        "reread",
        "reread \t\t\tRead the configuration again and tell what differs; nothing is changed\n",
    ),
    (
        "restart",
        "restart <name>\t\tStop a process and start it again\n\
         restart <gname>:*\tAll of a group\n\
         restart <name> <name>\tSeveral\n\
         restart all\t\tAll\n\
         Note: a changed configuration is not looked at; reread and update do that\n",
    ),
    (
        "shutdown",
        "shutdown \tStop everything, and end the supervisor\n",
    ),
    (
        "signal",
        "signal <signal name> <name>\t\tSend a signal to a process\n\
         signal <signal name> <gname>:*\t\tTo all of a group\n\
         signal <signal name> <name> <name>\tTo several\n\
         signal <signal name> all\t\tTo all\n",
    ),
    (
        "start",
        "start <name>\t\tStart a process\n\
         start <gname>:*\t\tAll of a group\n\
         start <name> <name>\tSeveral processes or groups\n\
         start all\t\tAll\n",
    ),
    (
        "status",
        "status <name>\t\tHow a process stands\n\
         status <gname>:*\tHow all of a group do\n\
         status <name> <name>\tSeveral\n\
         status\t\t\tAll\n\
         status [...] --json\tThe same for programs\n",
    ),
    (
        "stop",
        "stop <name>\t\tStop a process\n\
         stop <gname>:*\t\tAll of a group\n\
         stop <name> <name>\tSeveral processes or groups\n\
         stop all\t\tAll\n",
    ),
    (
        "tail",
        "tail [-f] <name> [stdout|stderr] (default stdout)\n\
         Ex:\n\
         tail -f <name>\t\tThe end of a process's output, and what is added to it\n\
         \t\t\tCtrl-C to end it\n\
         tail -100 <name>\tThe last 100 *bytes* of its output\n\
         tail <name> stderr\tThe last 1600 *bytes* of its errors\n",
    ),
    (
        "update",
        "update\t\t\tRead the configuration again; start what is new, restart what changed, stop what is gone\n\
         update all\t\tThe same\n\
         update <gname> [...]\tOnly these groups\n",
    ),
    ("version", "version\t\t\tThe version of the supervisor\n"),
];

/// Those that ward adds.
const OURS: &[(&str, &str)] = &[
    (
        "explain",
        "explain <name> [--json]\tHow a process is configured, where that is written, and how it ended last\n",
    ),
    (
        "upgrade",
        "upgrade\t\t\tPut the version of ward to work that is installed now; programs run on\n",
    ),
];

const HELP: &str = "help\t\tList the commands\nhelp <action>\tHow a command is written\n";

/// How a command is written; whole lines.
pub(super) fn text(command: &str) -> Option<&'static str> {
    let all = COMMANDS.iter().chain(OURS);
    all.clone()
        .find(|(name, _)| *name == command)
        .map(|(_, text)| *text)
}

/// All names of commands, as they are completed.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let all = COMMANDS.iter().chain(OURS).map(|(name, _)| *name);
    std::iter::once("help").chain(all)
}

/// `help`.
pub(super) fn help(session: &Session, argument: &str) {
    match argument {
        "" => session.say_text(&listed()),
        "help" => session.say_text(HELP),
        argument => match text(argument) {
            Some(text) => session.say_text(text),
            None => session.say(&format!("*** No help on {argument}")),
        },
    }
}

fn listed() -> String {
    let mut text = String::from("\n");
    for (title, commands) in [
        ("default commands (type help <topic>):", COMMANDS),
        ("ward commands (type help <topic>):", OURS),
    ] {
        let names: Vec<&str> = commands.iter().map(|(name, _)| *name).collect();
        let ruler = "=".repeat(title.len());
        text.push_str(&format!("{title}\n{ruler}\n{}\n", columns(&names)));
    }
    text
}

/// In as few lines as fit, filled column by column.
fn columns(names: &[&str]) -> String {
    let mut lines = String::new();
    for rows in 1..=names.len() {
        let columns: Vec<&[&str]> = names.chunks(rows).collect();
        let longest = |column: &&[&str]| column.iter().map(|name| name.len()).max().unwrap_or(0);
        let widths: Vec<usize> = columns.iter().map(longest).collect();
        let total: usize = widths.iter().map(|width| width + 2).sum();
        if total > WIDTH + 2 && rows < names.len() {
            continue;
        }
        for row in 0..rows {
            let cells = columns.iter().zip(&widths).filter_map(|(column, width)| {
                let name = column.get(row)?;
                Some(format!("{name:width$}"))
            });
            lines.push_str(&cells.collect::<Vec<_>>().join("  "));
            lines.push('\n');
        }
        break;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the original printed it.
    #[test]
    fn the_list_is_the_originals_and_below_it_ours() {
        let expected = "
default commands (type help <topic>):
=====================================
add    exit      open  reload  restart   start   tail   
avail  fg        pid   remove  shutdown  status  update 
clear  maintail  quit  reread  signal    stop    version

ward commands (type help <topic>):
==================================
explain  upgrade

";
        assert_eq!(listed(), expected);
    }

    #[test]
    fn every_command_has_a_text_of_whole_lines() {
        for name in names().filter(|name| *name != "help") {
            assert!(
                text(name).is_some_and(|text| text.ends_with('\n')),
                "{name}"
            );
        }
        assert_eq!(text("help"), None);
    }
}
