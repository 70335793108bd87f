//! What a contestant needs before it can start: its configuration, in a directory of its own.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::contestants::Kind;

/// Log files of this size, in bytes (50 MB, as Supervisor has it where nothing is said) …
const LOG_BYTES: u64 = 50 * 1024 * 1024;
/// … and as many as hold everything.
const LOG_BACKUPS: u32 = 20;

/// Where its words go to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    Nowhere,
    Logs,
}

/// How it is asked to end all programs.
pub(super) enum Stopping {
    /// By SIGTERM.
    Signal,
    Command(Vec<String>),
}

/// Everything that is needed to drive a contestant. Words have no blanks in them.
pub(super) struct Scene {
    pub(super) directory: PathBuf,
    pub(super) start: Vec<String>,
    /// The command that lists all programs, a line for each.
    pub(super) status: Option<Vec<String>>,
    pub(super) stop: Stopping,
    logs: Naming,
}

/// What log files are called.
#[derive(Clone, Copy)]
enum Naming {
    /// `pN.log`, before that `pN.log.1` and so on.
    Numbered,
    /// `pN/current`, before that `pN/@…` in the order of their names.
    Stamped,
}

impl Scene {
    /// Makes it for these programs, each with its words, in `directory`, which is new.
    pub(super) fn make(
        kind: &Kind,
        directory: &Path,
        programs: &[Vec<String>],
        output: Output,
    ) -> Result<Self> {
        let place = directory
            .to_str()
            .filter(|text| !text.contains(char::is_whitespace))
            .with_context(|| format!("{} cannot be written into a file", directory.display()))?;
        for made in ["log", "scan", "state"] {
            fs::create_dir_all(directory.join(made)).context("making a directory")?;
        }
        let words = |text: String| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let shell = |text: String| vec!["sh".to_owned(), "-c".to_owned(), text];
        let mut scene = Self {
            directory: directory.to_owned(),
            start: Vec::new(),
            status: None,
            stop: Stopping::Signal,
            logs: Naming::Numbered,
        };
        match kind {
            Kind::Floor { program } => {
                let list: String = programs.iter().map(|it| it.join(" ") + "\n").collect();
                fs::write(directory.join("list"), list).context("writing a list")?;
                scene.start = vec![program.display().to_string(), format!("{place}/list")];
                if output == Output::Logs {
                    let more = [format!("{place}/log"), LOG_BYTES.to_string()];
                    scene.start.extend(more);
                }
            }
            Kind::Ward { program } => {
                let ward = program.display();
                write_ini(directory, place, programs, output)?;
                scene.start = words(format!("{ward} up -n -c {place}/supervisord.conf"));
                let ctl = format!("{ward} ctl -c {place}/supervisord.conf");
                scene.status = Some(words(format!("{ctl} status")));
                scene.stop = Stopping::Command(words(format!("{ctl} stop all")));
            }
            Kind::Supervisor { programs: original } => {
                let original = original.display();
                write_ini(directory, place, programs, output)?;
                let file = format!("{place}/supervisord.conf");
                scene.start = words(format!("{original}/supervisord -n -c {file}"));
                let ctl = format!("{original}/supervisorctl -c {file}");
                scene.status = Some(words(format!("{ctl} status")));
                scene.stop = Stopping::Command(words(format!("{ctl} stop all")));
            }
            Kind::Runit => {
                write_services(directory, programs, output, |at| {
                    format!("exec svlogd -b 65536 {place}/log/p{at}")
                })?;
                scene.start = words(format!("runsvdir {place}/scan"));
                scene.status = Some(shell(format!("cd {place}/scan && exec sv status ./p*")));
                let stop = format!("cd {place}/scan && exec sv -w 60 force-stop ./p*");
                scene.stop = Stopping::Command(shell(stop));
                scene.logs = Naming::Stamped;
            }
            Kind::S6 => {
                write_services(directory, programs, output, |at| {
                    format!("exec s6-log -b n{LOG_BACKUPS} s{LOG_BYTES} {place}/log/p{at}")
                })?;
                let most = (2 * programs.len() + 10).max(500);
                scene.start = words(format!("s6-svscan -c {most} {place}/scan"));
                let each = "for it in p*; do s6-svstat $it; done";
                scene.status = Some(shell(format!("cd {place}/scan && {each}")));
                scene.stop = Stopping::Command(words(format!("s6-svscanctl -t {place}/scan")));
                scene.logs = Naming::Stamped;
            }
            Kind::Pump { program } => {
                ensure!(programs.len() == 1, "a pump has one writer");
                scene.start = shell(format!(
                    "{} | exec {} {place}/log/p0.log {LOG_BYTES} {LOG_BACKUPS}",
                    programs[0].join(" "),
                    program.display()
                ));
            }
        }
        Ok(scene)
    }

    /// The log files of a program, oldest first.
    pub(super) fn log_files(&self, program: usize) -> Vec<PathBuf> {
        let log = self.directory.join("log");
        match self.logs {
            Naming::Numbered => (1..=LOG_BACKUPS)
                .rev()
                .map(|number| log.join(format!("p{program}.log.{number}")))
                .filter(|file| file.exists())
                .chain([log.join(format!("p{program}.log"))])
                .collect(),
            Naming::Stamped => {
                let directory = log.join(format!("p{program}"));
                let names = fs::read_dir(&directory).into_iter().flatten().flatten();
                let mut files: Vec<PathBuf> = names
                    .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"@"))
                    .map(|entry| entry.path())
                    .collect();
                files.sort();
                files.push(directory.join("current"));
                files
            }
        }
    }
}

fn write_ini(
    directory: &Path,
    place: &str,
    programs: &[Vec<String>],
    output: Output,
) -> Result<()> {
    let descriptors = 3 * programs.len() + 1_000;
    let mut text = format!(
        "[supervisord]\nnodaemon=true\nlogfile={place}/supervisord.log\nlogfile_maxbytes=0\n\
         pidfile={place}/supervisord.pid\nminfds={descriptors}\nchildlogdir={place}/log\n\
         [unix_http_server]\nfile={place}/s.sock\n\
         [rpcinterface:supervisor]\n\
         supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
         [supervisorctl]\nserverurl=unix://{place}/s.sock\n"
    );
    for (at, words) in programs.iter().enumerate() {
        let command = words.join(" ");
        let log = match output {
            Output::Nowhere => "NONE".to_owned(),
            Output::Logs => format!("{place}/log/p{at}.log"),
        };
        // Into a text there is always room.
        let _ = write!(
            text,
            "[program:p{at}]\ncommand={command}\nstartsecs=0\nautorestart=true\n\
             redirect_stderr=true\nstdout_logfile={log}\nstdout_logfile_maxbytes={LOG_BYTES}\n\
             stdout_logfile_backups={LOG_BACKUPS}\n"
        );
    }
    fs::write(directory.join("supervisord.conf"), text).context("writing a configuration file")
}

/// A directory for each program, with a script that becomes the program, and one that becomes its logger.
fn write_services(
    directory: &Path,
    programs: &[Vec<String>],
    output: Output,
    logger: impl Fn(usize) -> String,
) -> Result<()> {
    let script = |path: &Path, lines: &str| -> Result<()> {
        fs::create_dir_all(path).with_context(|| format!("making {}", path.display()))?;
        let run = path.join("run");
        fs::write(&run, format!("#!/bin/sh\n{lines}\n")).context("writing a script")?;
        fs::set_permissions(&run, Permissions::from_mode(0o755)).context("writing a script")
    };
    for (at, words) in programs.iter().enumerate() {
        let service = directory.join(format!("scan/p{at}"));
        let command = words.join(" ");
        match output {
            Output::Nowhere => script(&service, &format!("exec {command}"))?,
            Output::Logs => {
                let log = directory.join(format!("log/p{at}"));
                fs::create_dir_all(&log).context("making a directory")?;
                // svlogd's own way of saying it; s6-log takes it from its words.
                let size = format!("s{LOG_BYTES}\nn{LOG_BACKUPS}\n");
                fs::write(log.join("config"), size).context("writing a configuration")?;
                script(&service, &format!("exec 2>&1\nexec {command}"))?;
                script(&service.join("log"), &logger(at))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs() -> Vec<Vec<String>> {
        vec![vec!["/load".into(), "sleep".into(), "0".into()]; 2]
    }

    fn with_scene(name: &str, kind: &Kind, output: Output, look: impl FnOnce(&Scene)) {
        let name = format!("ward-scene-{name}-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let scene = Scene::make(kind, &directory, &programs(), output);
        if let Ok(scene) = &scene {
            look(scene);
        }
        fs::remove_dir_all(&directory).unwrap();
        scene.unwrap();
    }

    #[test]
    fn the_file_of_ward_and_of_supervisor_has_every_program() {
        let kind = Kind::Ward {
            program: "/ward".into(),
        };
        with_scene("ini", &kind, Output::Logs, |scene| {
            let text = fs::read_to_string(scene.directory.join("supervisord.conf")).unwrap();
            assert!(text.contains("[program:p1]\ncommand=/load sleep 0\n"));
            assert!(text.contains("/log/p1.log\n"));
            assert_eq!(scene.start[..3], ["/ward", "up", "-n"]);
        });
    }

    #[test]
    fn log_files_come_oldest_first() {
        with_scene(
            "numbered",
            &Kind::Floor {
                program: "/floor".into(),
            },
            Output::Logs,
            |scene| {
                let log = scene.directory.join("log");
                for name in ["p0.log", "p0.log.1", "p0.log.10", "p0.log.2"] {
                    fs::write(log.join(name), "").unwrap();
                }
                let names =
                    ["p0.log.10", "p0.log.2", "p0.log.1", "p0.log"].map(|name| log.join(name));
                assert_eq!(scene.log_files(0), names);
            },
        );
        with_scene("stamped", &Kind::S6, Output::Logs, |scene| {
            let log = scene.directory.join("log/p1");
            for name in ["@4000b.s", "@4000a.s", "current", "config"] {
                fs::write(log.join(name), "").unwrap();
            }
            let names = ["@4000a.s", "@4000b.s", "current"].map(|name| log.join(name));
            assert_eq!(scene.log_files(1), names);
        });
    }

    #[test]
    fn a_service_is_a_script_that_becomes_the_program() {
        with_scene("service", &Kind::Runit, Output::Nowhere, |scene| {
            let run = scene.directory.join("scan/p1/run");
            let text = fs::read_to_string(&run).unwrap();
            assert_eq!(text, "#!/bin/sh\nexec /load sleep 0\n");
            assert_eq!(
                fs::metadata(&run).unwrap().permissions().mode() & 0o111,
                0o111
            );
            assert!(!scene.directory.join("scan/p1/log").exists());
        });
    }
}
