//! `ward logs`: what a daemon printed, over the parts of its log.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use ward_engine::ledger::{Ledger, locate};
use ward_engine::log_part;

use super::stop::{on_record, unknown};
use crate::args::LogsArgs;
use crate::failure::Failure;

/// How often a log that is followed is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Lines that are shown first where a log is followed.
const FIRST_LINES: usize = 10;

/// How often parts are looked for before what was found is taken as it is: a writer who begins new ones as
/// fast as they are looked for never stands still.
const LOOKS: usize = 200;

/// Bytes read at a time.
const PIECE: usize = 64 << 10;

/// Prints it.
pub(crate) fn run(arguments: &LogsArgs) -> Result<ExitCode, Failure> {
    let ledger = Ledger::at(&locate()?);
    let seen = on_record(&ledger, &arguments.name)?;
    let Some(path) = seen.entry.log else {
        return Err(Failure::usage(
            format!("`{}` has no log: its output goes elsewhere", arguments.name),
            "it was started with its own files for its output",
        ));
    };
    let lines = arguments.lines.or(arguments.follow.then_some(FIRST_LINES));
    match print(&path, lines, arguments.follow, &mut io::stdout()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        // Whoever read has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(unknown(&arguments.name)),
        Err(error) => Err(Failure::ours(
            &format!("cannot show the log `{}`", path.display()),
            &error,
        )),
    }
}

/// The files of a log, oldest first, as they were at one moment: it is looked again where another part was
/// begun meanwhile.
fn parts(path: &Path) -> io::Result<Vec<File>> {
    let current = || fs::metadata(path).ok().map(|meta| meta.ino());
    for _ in 0..LOOKS {
        let before = current();
        let files = look_once(path)?;
        // Between two steps of a rotation there is no current one.
        if before.is_some() && current() == before {
            return Ok(files);
        }
    }
    look_once(path)
}

/// Opens them from the youngest on, as a rotation moves each to the next number, where it is met then, or
/// met again. Who looked the other way round would pass one of them by.
fn look_once(path: &Path) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    let missing = match File::open(path) {
        Ok(current) => {
            files.push(current);
            None
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(error),
        Err(error) => return Err(error),
    };
    let mut next = 1;
    loop {
        // A number may be missing, also where a writer was killed while it rotated. What is behind the
        // last one now was not there when it was listed.
        let listed = numbers(path);
        let moved = listed.iter().map(|number| number.saturating_add(1));
        let mut numbers: Vec<u32> = listed.iter().copied().chain(moved).collect();
        numbers.retain(|number| *number >= next);
        numbers.sort_unstable();
        numbers.dedup();
        if !listed.iter().any(|number| *number >= next) {
            break;
        }
        for number in numbers {
            files.extend(File::open(log_part(path, number)).ok());
            next = number.saturating_add(1);
        }
    }
    let mut seen = std::collections::HashSet::new();
    files.retain(|file| file.metadata().is_ok_and(|meta| seen.insert(meta.ino())));
    files.reverse();
    match missing {
        Some(error) if files.is_empty() => Err(error),
        Some(_) | None => Ok(files),
    }
}

/// The numbers of a log's older parts, in no order.
fn numbers(path: &Path) -> Vec<u32> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Vec::new();
    };
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let other = entry.file_name();
            let rest = other.as_bytes().strip_prefix(name.as_bytes())?;
            let number = std::str::from_utf8(rest.strip_prefix(b".")?).ok()?;
            // None behind the last there can be.
            number.parse().ok().filter(|number| *number < u32::MAX)
        })
        .collect()
}

fn print(path: &Path, lines: Option<usize>, follow: bool, out: &mut impl Write) -> io::Result<()> {
    let mut files = parts(path)?;
    let mut first = 0;
    if let Some(mut wanted) = lines {
        first = files.len();
        while first > 0 && wanted > 0 {
            first -= 1;
            wanted = seek_to_last_lines(&mut files[first], wanted)?;
        }
    }
    for file in &mut files[first..] {
        io::copy(file, out)?;
    }
    out.flush()?;
    if follow && let Some(mut current) = files.pop() {
        // With no line wanted, none of it was read.
        if lines == Some(0) {
            current.seek(SeekFrom::End(0))?;
        }
        go_on(path, current, out)?;
    }
    Ok(())
}

/// Puts a file's offset before its last `wanted` lines. Returns how many of them it lacks.
fn seek_to_last_lines(file: &mut File, wanted: usize) -> io::Result<usize> {
    let end = file.metadata()?.len();
    let mut at = end;
    let mut missing = wanted;
    let mut piece = vec![0; PIECE];
    while at > 0 {
        let length = usize::try_from(at.min(PIECE as u64)).unwrap_or(PIECE);
        at -= length as u64;
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut piece[..length])?;
        for index in (0..length).rev() {
            let place = at + index as u64;
            // The end of a line that has others behind it.
            if piece[index] == b'\n' && place + 1 < end {
                missing -= 1;
                if missing == 0 {
                    file.seek(SeekFrom::Start(place + 1))?;
                    return Ok(0);
                }
            }
        }
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(missing.saturating_sub(usize::from(end > 0)))
}

/// Prints what is added, until nobody reads any more.
fn go_on(path: &Path, mut current: File, out: &mut impl Write) -> io::Result<()> {
    loop {
        io::copy(&mut current, out)?;
        out.flush()?;
        let meta = current.metadata()?;
        if current.stream_position()? > meta.len() {
            // Emptied.
            current.seek(SeekFrom::Start(0))?;
            continue;
        }
        let replaced = fs::metadata(path).is_ok_and(|there| there.ino() != meta.ino());
        if replaced {
            // Nothing is added to a part that was put aside; what was added before that is taken
            // first, and parts that came and went meanwhile after it.
            io::copy(&mut current, out)?;
            let files = parts(path)?;
            let ours = files
                .iter()
                .position(|file| file.metadata().is_ok_and(|there| there.ino() == meta.ino()));
            let mut newer: Vec<File> = match ours {
                Some(at) => files.into_iter().skip(at + 1).collect(),
                None => files,
            };
            if let Some(last) = newer.pop() {
                for mut file in newer {
                    io::copy(&mut file, out)?;
                }
                current = last;
            }
            continue;
        }
        std::thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(parts: &[&str], lines: Option<usize>) -> String {
        let directory = std::env::temp_dir().join(format!(
            "ward-logs-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        fs::create_dir_all(&directory).expect("a directory");
        let path = directory.join("log");
        for (index, text) in parts.iter().rev().enumerate() {
            let file = match u32::try_from(index).expect("few") {
                0 => path.clone(),
                number => log_part(&path, number),
            };
            fs::write(file, text).expect("write");
        }
        let mut out = Vec::new();
        print(&path, lines, false, &mut out).expect("print");
        fs::remove_dir_all(&directory).expect("clean up");
        String::from_utf8(out).expect("text")
    }

    /// Puts every part one further, as the writer does, and begins a new one.
    fn rotate(path: &Path, keep: u32, text: &str) {
        let draft = path.with_extension("new");
        fs::write(&draft, text).expect("write");
        for number in (1..keep).rev() {
            let _ = fs::rename(log_part(path, number), log_part(path, number + 1));
        }
        fs::rename(path, log_part(path, 1)).expect("put aside");
        fs::rename(&draft, path).expect("begun");
    }

    #[test]
    fn a_rotation_in_between_loses_no_part() {
        const KEEP: u32 = 100;
        const ROTATIONS: u32 = 500;
        let place = std::env::temp_dir().join(format!("ward-logs-moving-{}", std::process::id()));
        fs::create_dir_all(&place).expect("a directory");
        let path = place.join("log");
        fs::write(&path, "0").expect("write");
        for number in 1..=KEEP {
            rotate(&path, KEEP, &number.to_string());
        }
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for number in KEEP + 1..=ROTATIONS {
                    rotate(&path, KEEP, &number.to_string());
                }
            });
            while !writer.is_finished() {
                let numbers: Vec<u32> = parts(&path)
                    .expect("parts")
                    .into_iter()
                    .map(|file| io::read_to_string(file).expect("read"))
                    .map(|text| text.parse().expect("a number"))
                    .collect();
                // The oldest may go while we look; nobody may between two others.
                let whole = numbers.windows(2).all(|two| two[0] + 1 == two[1]);
                assert!(whole && numbers.len() > 50, "{numbers:?}");
            }
        });
        fs::remove_dir_all(&place).expect("clean up");
    }

    #[test]
    fn last_lines_reach_over_parts() {
        let parts = ["1\n2\n3\n", "4\n5\n", "6\n7"];
        for (lines, text) in [
            (None, "1\n2\n3\n4\n5\n6\n7"),
            (Some(0), ""),
            (Some(1), "7"),
            (Some(2), "6\n7"),
            (Some(3), "5\n6\n7"),
            (Some(5), "3\n4\n5\n6\n7"),
            (Some(100), "1\n2\n3\n4\n5\n6\n7"),
        ] {
            assert_eq!(shown(&parts, lines), text, "{lines:?}");
        }
        assert_eq!(shown(&["a\n", ""], Some(1)), "a\n");
    }
}
