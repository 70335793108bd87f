//! What differs between two configurations, by group: what `reread` tells and `update` does.

use std::collections::{HashMap, HashSet};

use ward_config::group::Group;
use ward_config::program::{Channel, Process};
use ward_config::source::{FileId, Span};
use ward_config::value::LogFile;

use crate::api::Reread;

/// The names of groups that `new` has more, otherwise, or no longer, in the order of their starting.
#[must_use]
pub fn compare(active: &[&Group], new: &[Group]) -> Reread {
    let mut found = Reread::default();
    let by_name: HashMap<&str, &Group> = active.iter().map(|it| (&*it.name, *it)).collect();
    let there: HashSet<&str> = new.iter().map(|group| &*group.name).collect();
    for group in new {
        match by_name.get(&*group.name) {
            None => found.added.push(group.name.clone()),
            Some(old) if !is_same(old, group) => found.changed.push(group.name.clone()),
            Some(_) => {}
        }
    }
    for old in active {
        if !there.contains(&*old.name) {
            found.removed.push(old.name.clone());
        }
    }
    found
}

/// Whether a group stays what it is. Where it was written is no part of that; nor is the name of a log
/// that is now AUTO, which may be any.
#[must_use]
pub fn is_same(old: &Group, new: &Group) -> bool {
    old.name == new.name
        && old.priority == new.priority
        && old.kind == new.kind
        && old.processes.len() == new.processes.len()
        && old
            .processes
            .iter()
            .zip(&new.processes)
            .all(|(old, new)| bare(old) == bare(&with_auto(old, new)))
}

fn bare(process: &Process) -> Process {
    Process {
        origins: ward_config::Origins::new(),
        span: Span::start_of(FileId(0)),
        ..process.clone()
    }
}

fn with_auto(old: &Process, new: &Process) -> Process {
    let settled = |old: &Channel, new: &Channel| Channel {
        logfile: match new.logfile {
            LogFile::Auto => old.logfile.clone(),
            LogFile::None | LogFile::Syslog | LogFile::Path(_) => new.logfile.clone(),
        },
        ..new.clone()
    };
    Process {
        stdout: settled(&old.stdout, &new.stdout),
        stderr: settled(&old.stderr, &new.stderr),
        ..new.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::configuration::{Disk, this_host};

    fn groups(text: &str) -> anyhow::Result<Vec<Group>> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("supervisord.conf");
        fs::write(&path, format!("[supervisord]\n{text}"))?;
        let loaded = ward_config::load::load(&path.to_string_lossy(), &this_host([])?, &Disk);
        let found = format!("{:?}", loaded.diagnostics);
        Ok(loaded
            .configuration
            .ok_or_else(|| anyhow::anyhow!(found))?
            .groups)
    }

    fn told(old: &str, new: &str) -> anyhow::Result<Reread> {
        let old = groups(old)?;
        Ok(compare(&old.iter().collect::<Vec<_>>(), &groups(new)?))
    }

    #[test]
    fn what_differs_is_told_by_group() -> anyhow::Result<()> {
        let none = Reread::default();
        let a = "[program:a]\ncommand=cat\n";
        assert_eq!(told(a, a)?, none);
        assert_eq!(told(a, &format!("; a remark\n\n{a}"))?, none, "only moved");
        let changed = Reread {
            changed: vec!["a".into()],
            ..Reread::default()
        };
        for key in [
            "command=dog",
            "priority=1",
            "environment=A=1",
            "stopsignal=INT",
            "autostart=false",
            "stdout_logfile=/tmp/x",
            "redirect_stderr=true",
        ] {
            assert_eq!(told(a, &format!("{a}{key}\n"))?, changed, "{key}");
        }
        // The other way round, a log that is AUTO now.
        assert_eq!(told(&format!("{a}stdout_logfile=/tmp/x\n"), a)?, none);
        let b = "[program:b]\ncommand=cat\n";
        let both = Reread {
            added: vec!["b".into()],
            removed: vec!["a".into()],
            ..Reread::default()
        };
        assert_eq!(told(a, b)?, both);
        let grouped = told(
            &format!("{a}{b}"),
            &format!("{a}{b}[group:g]\nprograms=a\n"),
        )?;
        assert_eq!(grouped.added, ["g"]);
        assert_eq!(grouped.removed, ["a"]);
        Ok(())
    }
}
