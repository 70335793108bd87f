//! What a lock must not forget when the host starts anew: numbers that were given, and the last
//! time. A small file each, replaced as a whole and written through to the disk before anybody
//! learns the number; only changed in the lock's critical section.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::LockError;
use crate::image::Image;
use crate::kept::{Kept, Stamp};
use crate::name::Name;
use crate::timestamp::Format;

/// So many numbers are set aside at once, so that not each costs a write to the disk; they are
/// skipped when the host starts anew.
const SET_ASIDE: u64 = 64;

/// A file longer than this is not ours, bytes.
const LONGEST: u64 = 1 << 20;

/// A lock's file.
#[derive(Debug, Clone)]
pub(crate) struct Durable {
    path: PathBuf,
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
        }
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

    fn save(&self, kept: &Kept) -> Result<(), LockError> {
        let failed = |error| LockError::io("write", &self.path)(error);
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        let mut next = self.path.clone().into_os_string();
        next.push("%new");
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
            file.sync_data()?;
            fs::rename(&next, &self.path)?;
            File::open(directory)?.sync_data()
        };
        write().map_err(failed)
    }

    /// The next number, for good.
    pub(crate) fn number(&self, image: &mut Image) -> Result<u64, LockError> {
        if image.sequence >= image.set_aside {
            let mut kept = self.load()?;
            (image.sequence, image.set_aside) = (kept.next, kept.next.saturating_add(SET_ASIDE));
            kept.next = image.set_aside;
            self.save(&kept)?;
        }
        let number = image.sequence;
        image.sequence += 1;
        Ok(number)
    }

    /// The next number for `ticket`, which is somebody else's again unless it is committed. `is_there`
    /// says of other tickets whether their owners are: if not, they failed.
    pub(crate) fn number_on_trial(
        &self,
        ticket: u64,
        is_there: impl Fn(u64) -> bool,
    ) -> Result<u64, LockError> {
        let mut kept = self.load()?;
        let number = kept.number_on_trial(ticket, is_there);
        self.save(&kept)?;
        Ok(number)
    }

    /// The number of `ticket` is used up. Returns whether it still had one.
    pub(crate) fn commit(&self, ticket: u64) -> Result<bool, LockError> {
        let mut kept = self.load()?;
        let ours = kept.commit(ticket);
        if ours {
            self.save(&kept)?;
        }
        Ok(ours)
    }

    /// The time, if nobody was given the same. `waited` says that we waited for it already.
    pub(crate) fn stamp(&self, format: &Format, waited: bool) -> Result<Stamp, LockError> {
        let mut kept = self.load()?;
        let stamp = kept.stamp(format, waited)?;
        if matches!(stamp, Stamp::Given(_)) {
            self.save(&kept)?;
        }
        Ok(stamp)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn durable(name: &str) -> (PathBuf, Durable) {
        let path = std::env::temp_dir().join(format!("ward-durable-{name}-{}", std::process::id()));
        let name = Name::parse("numbers").expect("a name");
        (path.clone(), Durable::new(&path.join("deep"), &name))
    }

    #[test]
    fn numbers_on_trial_come_back() {
        let (path, durable) = durable("trial");
        let there = |ticket: u64| ticket != 8;
        assert_eq!(durable.number_on_trial(7, there).expect("given"), 1);
        assert_eq!(durable.number_on_trial(8, there).expect("given"), 2);
        // 8 is gone without a word.
        assert_eq!(durable.number_on_trial(9, there).expect("given"), 2);
        durable.commit(7).expect("committed");
        durable.commit(9).expect("committed");
        assert_eq!(durable.number_on_trial(10, |_| false).expect("given"), 3);
        fs::remove_dir_all(path).expect("clean up");
    }

    #[test]
    fn a_damaged_file_is_not_taken_for_a_new_one() {
        let (path, durable) = durable("damaged");
        durable.number_on_trial(7, |_| true).expect("given");
        fs::write(&durable.path, "{\"next\":").expect("written");
        let refused = durable.number_on_trial(8, |_| true).expect_err("damaged");
        assert!(matches!(refused, LockError::Damaged { .. }));
        fs::remove_dir_all(path).expect("clean up");
    }

    #[test]
    fn no_time_is_given_twice_whatever_the_clock_does() {
        let (path, durable) = durable("stamp");
        let format = Format::new("%Y-%m-%d %H:%M:%S.#fff").expect("a format");
        let Stamp::Given(first) = durable.stamp(&format, false).expect("given") else {
            panic!("the first one has to wait for nobody");
        };
        let mut kept = durable.load().expect("there");
        // The clock is set back by an hour.
        kept.stamp = kept.stamp.map(|it| it + 3_600_000_000);
        durable.save(&kept).expect("saved");
        assert!(matches!(
            durable.stamp(&format, false).expect("told"),
            Stamp::Later(left) if left <= Duration::from_millis(1)
        ));
        let Stamp::Given(second) = durable.stamp(&format, true).expect("given") else {
            panic!("it has waited");
        };
        assert!(second > first, "{first} {second}");
        let last = durable.load().expect("there").stamp;
        assert_eq!(last, kept.stamp.map(|it| it + 1000));
        fs::remove_dir_all(path).expect("clean up");
    }
}
