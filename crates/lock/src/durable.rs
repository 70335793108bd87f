//! What a lock must not forget when the host starts anew: numbers that were given, and the last
//! time. A small file each, replaced as a whole and written through to the disk before anybody
//! learns the number; only changed by who has locked the file beside it. That is never waited for
//! in the lock's critical section, which is not to last as long as the disk takes; the section may
//! be entered by who has it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ward_sys::lockfile;

use crate::error::LockError;
use crate::kept::{Kept, Stamp};
use crate::name::Name;
use crate::timestamp::Format;

/// So many numbers are set aside at once, so that not each costs a write to the disk; they are
/// skipped when the host starts anew.
const SET_ASIDE: u64 = 64;

/// A file longer than this is not ours, bytes.
const LONGEST: u64 = 1 << 20;

/// So long we sleep between two tries at most: whoever has it writes to the disk.
const LONGEST_PAUSE: Duration = Duration::from_millis(5);

/// A lock's file.
#[derive(Debug, Clone)]
pub(crate) struct Durable {
    path: PathBuf,
    /// The lock's name.
    name: String,
}

/// The same, while nobody else reads or changes it.
#[derive(Debug)]
pub(crate) struct Alone<'a> {
    durable: &'a Durable,
    /// Closed, it lets others.
    _lock: File,
}

/// Makes the directory, for whoever may use the one that it is in.
pub(crate) fn make(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    let parent = directory.parent().unwrap_or(Path::new("/"));
    let mode = fs::metadata(parent)?.permissions().mode() & 0o2770;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700 | mode))
}

impl Durable {
    pub(crate) fn new(directory: &Path, name: &Name) -> Self {
        Self {
            path: directory.join(name.file()),
            name: name.text().to_owned(),
        }
    }

    fn beside(&self, what: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(what);
        path.into()
    }

    /// Waits until nobody else reads or changes it; not longer than `limit`, should he be stopped.
    pub(crate) fn alone(&self, limit: Duration) -> Result<Alone<'_>, LockError> {
        let path = self.beside("%lock");
        let open = || {
            File::options()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o660)
                .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
                .open(&path)
        };
        let make = || -> io::Result<File> {
            match open() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    make(self.path.parent().unwrap_or(Path::new("/")))?;
                    open()
                }
                opened => opened,
            }
        };
        let file = make().map_err(LockError::io("open", &path))?;
        // Whatever our umask is; another's file stays as it is.
        let _ = rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(0o660));
        let began = Instant::now();
        let mut pause = Duration::from_micros(20);
        while !lockfile::try_lock(&file, 0).map_err(LockError::io("lock", &path))? {
            if began.elapsed() >= limit {
                return Err(LockError::Stuck {
                    name: self.name.clone(),
                    who: lockfile::holders(&file, 0),
                });
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Ok(Alone {
            durable: self,
            _lock: file,
        })
    }

    fn load(&self) -> Result<Kept, LockError> {
        let failed = |error| Err(LockError::io("read", &self.path)(error));
        let damaged = |why: String| LockError::Damaged {
            path: self.path.clone(),
            why,
        };
        match fs::metadata(&self.path) {
            Ok(meta) if meta.len() > LONGEST => return Err(damaged("it is too long".into())),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Kept::default());
            }
            Err(error) => return failed(error),
        }
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) => return failed(error),
        };
        serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))
    }

    /// Written through to the disk, if it must be there before anything else is done.
    fn save(&self, kept: &Kept, through: bool) -> Result<(), LockError> {
        let failed = |error| LockError::io("write", &self.path)(error);
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        let next = self.beside("%new");
        let write = || {
            make(directory)?;
            // Of somebody who was killed while he wrote; he may have been another user.
            match fs::remove_file(&next) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = File::options()
                .write(true)
                .create_new(true)
                .mode(0o660)
                .open(&next)?;
            // Whatever our umask is: who shares the locks shares their numbers.
            rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(0o660))?;
            file.write_all(&serde_json::to_vec(kept)?)?;
            if through {
                file.sync_data()?;
            }
            fs::rename(&next, &self.path)?;
            if through {
                File::open(directory)?.sync_data()?;
            }
            Ok(())
        };
        write().map_err(failed)
    }
}

impl Alone<'_> {
    /// Sets the next numbers aside, for good.
    pub(crate) fn set_aside(&self) -> Result<Range<u64>, LockError> {
        let mut kept = self.durable.load()?;
        let numbers = kept.next..kept.next.saturating_add(SET_ASIDE);
        kept.next = numbers.end;
        self.durable.save(&kept, true)?;
        Ok(numbers)
    }

    /// The next number for `ticket`, which is somebody else's again unless it is committed. `is_there`
    /// says of other tickets whether their owners are: if not, they failed.
    pub(crate) fn number_on_trial(
        &self,
        ticket: u64,
        is_there: impl Fn(u64) -> bool,
    ) -> Result<u64, LockError> {
        let mut kept = self.durable.load()?;
        let number = kept.number_on_trial(ticket, is_there);
        self.durable.save(&kept, true)?;
        Ok(number)
    }

    /// The number of `ticket` is used up. Returns whether it still had one.
    pub(crate) fn commit(&self, ticket: u64) -> Result<bool, LockError> {
        let mut kept = self.durable.load()?;
        let ours = kept.commit(ticket);
        if ours {
            self.durable.save(&kept, true)?;
        }
        Ok(ours)
    }

    /// The number of `ticket` is somebody else's again. Whoever comes would find that out himself, but
    /// not in which order they failed: so the disk need not know.
    pub(crate) fn roll_back(&self, ticket: u64) -> Result<(), LockError> {
        let mut kept = self.durable.load()?;
        if kept.roll_back(ticket) {
            self.durable.save(&kept, false)?;
        }
        Ok(())
    }

    /// The time, if nobody was given the same. `waited` says that we waited for it already.
    pub(crate) fn stamp(&self, format: &Format, waited: bool) -> Result<Stamp, LockError> {
        let mut kept = self.durable.load()?;
        let stamp = kept.stamp(format, waited)?;
        if matches!(stamp, Stamp::Given(_)) {
            self.durable.save(&kept, true)?;
        }
        Ok(stamp)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    fn durable(name: &str) -> (PathBuf, Durable) {
        let path = std::env::temp_dir().join(format!("ward-durable-{name}-{}", std::process::id()));
        let name = Name::parse("numbers").expect("a name");
        (path.clone(), Durable::new(&path.join("deep"), &name))
    }

    #[test]
    fn numbers_on_trial_come_back() {
        let (path, durable) = durable("trial");
        let there = |ticket: u64| ticket != 8;
        assert_eq!(
            durable
                .alone(LIMIT)
                .expect("alone")
                .number_on_trial(7, there)
                .expect("given"),
            1
        );
        assert_eq!(
            durable
                .alone(LIMIT)
                .expect("alone")
                .number_on_trial(8, there)
                .expect("given"),
            2
        );
        // 8 is gone without a word.
        assert_eq!(
            durable
                .alone(LIMIT)
                .expect("alone")
                .number_on_trial(9, there)
                .expect("given"),
            2
        );
        durable
            .alone(LIMIT)
            .expect("alone")
            .commit(7)
            .expect("committed");
        durable
            .alone(LIMIT)
            .expect("alone")
            .commit(9)
            .expect("committed");
        assert_eq!(
            durable
                .alone(LIMIT)
                .expect("alone")
                .number_on_trial(10, |_| false)
                .expect("given"),
            3
        );
        fs::remove_dir_all(path).expect("clean up");
    }

    #[test]
    fn numbers_come_back_in_the_order_in_which_they_failed() {
        let (path, durable) = durable("failed");
        let give = |ticket| {
            let alone = durable.alone(LIMIT).expect("alone");
            alone.number_on_trial(ticket, |_| true).expect("given")
        };
        assert_eq!([7, 8, 9].map(give), [1, 2, 3]);
        for failed in [9, 7] {
            let alone = durable.alone(LIMIT).expect("alone");
            alone.roll_back(failed).expect("back");
        }
        // 8 has it still.
        assert_eq!([10, 11, 12].map(give), [3, 1, 4]);
        fs::remove_dir_all(path).expect("clean up");
    }

    #[test]
    fn one_at_a_time_reads_and_changes_it() {
        let (path, durable) = durable("alone");
        let taken: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4_u64)
                .map(|_| {
                    scope.spawn(|| {
                        let take = || {
                            durable
                                .alone(LIMIT)?
                                .set_aside()
                                .map(|numbers| numbers.start)
                        };
                        (0..8).map(|_| take().expect("numbers")).collect::<Vec<_>>()
                    })
                })
                .collect();
            let taken = threads.into_iter().map(|it| it.join().expect("ended"));
            taken.flatten().collect()
        });
        let mut sorted = taken;
        sorted.sort_unstable();
        let all: Vec<u64> = (0..32).map(|it| 1 + it * SET_ASIDE).collect();
        assert_eq!(sorted, all);
        fs::remove_dir_all(path).expect("clean up");
    }

    #[test]
    fn a_damaged_file_is_not_taken_for_a_new_one() {
        let (path, durable) = durable("damaged");
        durable
            .alone(LIMIT)
            .expect("alone")
            .number_on_trial(7, |_| true)
            .expect("given");
        fs::write(&durable.path, "{\"next\":").expect("written");
        let refused = durable
            .alone(LIMIT)
            .expect("alone")
            .number_on_trial(8, |_| true)
            .expect_err("damaged");
        assert!(matches!(refused, LockError::Damaged { .. }));
        fs::remove_dir_all(path).expect("clean up");
    }

    #[test]
    fn no_time_is_given_twice_whatever_the_clock_does() {
        let (path, durable) = durable("stamp");
        let format = Format::new("%Y-%m-%d %H:%M:%S.#fff").expect("a format");
        let Stamp::Given(first) = durable
            .alone(LIMIT)
            .expect("alone")
            .stamp(&format, false)
            .expect("given")
        else {
            panic!("the first one has to wait for nobody");
        };
        let mut kept = durable.load().expect("there");
        // The clock is set back by an hour.
        kept.stamp = kept.stamp.map(|it| it + 3_600_000_000);
        durable.save(&kept, false).expect("saved");
        assert!(matches!(
            durable.alone(LIMIT).expect("alone").stamp(&format, false).expect("told"),
            Stamp::Later(left) if left <= Duration::from_millis(1)
        ));
        let Stamp::Given(second) = durable
            .alone(LIMIT)
            .expect("alone")
            .stamp(&format, true)
            .expect("given")
        else {
            panic!("it has waited");
        };
        assert!(second > first, "{first} {second}");
        let last = durable.load().expect("there").stamp;
        assert_eq!(last, kept.stamp.map(|it| it + 1000));
        fs::remove_dir_all(path).expect("clean up");
    }
}
