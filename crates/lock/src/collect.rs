//! Files of locks that nobody has used for long are removed, so that names that are used once (a
//! build's number in them) do not fill the disk. What must outlive the host's run is elsewhere, and
//! stays.
//!
//! A file is removed only in its critical section, by whom it is seen that nobody is in its queue.
//! Whoever has opened it before, and enters the section after, finds that it has no name any more
//! and takes another one ([`crate::acquire::Step::Removed`]).

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use ward_model::lock::Shape;

use crate::error::LockError;
use crate::line::Line;
use crate::name::{self, Name};
use crate::store::Store;
use crate::surroundings;

/// Nobody has used them for so long; or, where there are many, for so long.
const LONG: Duration = Duration::from_secs(7 * 24 * 3600);
const NOT_SO_LONG: Duration = Duration::from_secs(3600);
const MANY: usize = 1000;

/// So often it is looked for such files, when a new one is made.
const SELDOM: Duration = Duration::from_secs(3600);

/// No more are removed at a time.
const AT_ONCE: usize = 500;

/// When it was last looked for them, as its time of change. No lock's file is called so.
const LOOKED: &str = "%looked";

/// What an unfinished file begins with ([`crate::store`]).
const UNFINISHED: &str = "%new-";

/// Removes what nobody needs, if it is time. To be called where somebody has made a new file.
pub(crate) fn collect(directory: &Path) {
    // What cannot be removed stays: the locks do not depend on it.
    if is_due(directory).unwrap_or(false) {
        let _ = sweep(directory, LONG, NOT_SO_LONG);
    }
}

fn age(meta: &fs::Metadata) -> Option<Duration> {
    // Where the clock was set back it is looked at again when it has caught up.
    SystemTime::now().duration_since(meta.modified().ok()?).ok()
}

fn is_due(directory: &Path) -> io::Result<bool> {
    let path = directory.join(LOOKED);
    match fs::symlink_metadata(&path) {
        Ok(meta) if age(&meta).is_some_and(|age| age < SELDOM) => return Ok(false),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o660)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)?;
    // Whatever our umask is; another's file stays as it is.
    let _ = rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(0o660));
    file.write_all_at(b"\n", 0)?;
    Ok(true)
}

fn sweep(directory: &Path, long: Duration, where_many: Duration) -> io::Result<()> {
    let mut locks: Vec<(Duration, String)> = Vec::new();
    for entry in fs::read_dir(directory)?.flatten() {
        let Ok(file) = entry.file_name().into_string() else {
            continue;
        };
        let Some(age) = entry
            .metadata()
            .ok()
            .filter(fs::Metadata::is_file)
            .and_then(|it| age(&it))
        else {
            continue;
        };
        if let Some(root) = name::decode(&file) {
            locks.push((age, root));
        } else if file.starts_with(UNFINISHED) && age >= SELDOM {
            // Of somebody who was killed while he made it.
            let _ = fs::remove_file(entry.path());
        }
    }
    let limit = if locks.len() > MANY { where_many } else { long };
    locks.retain(|(age, _)| *age >= limit);
    locks.sort_unstable_by(|one, other| other.cmp(one));
    for (_, root) in locks.iter().take(AT_ONCE) {
        let _ = remove_unused(directory, root, limit);
    }
    Ok(())
}

/// Removes the file of a lock, if nobody needs it.
fn remove_unused(directory: &Path, root: &str, limit: Duration) -> Result<(), LockError> {
    let name = Name::exact(root, "")?;
    let Some(store) = Store::known(directory, &name)? else {
        return Ok(());
    };
    // Whoever is in the section uses it.
    let line = Line::enter(&store, Duration::ZERO, Shape::Modes)?;
    let meta = store
        .file()
        .metadata()
        .map_err(LockError::io("look at", store.path()))?;
    let named =
        fs::symlink_metadata(store.path()).map_err(LockError::io("look at", store.path()))?;
    let is_old = age(&meta).is_some_and(|age| age >= limit);
    let is_named = (meta.dev(), meta.ino()) == (named.dev(), named.ino());
    // Tokens rise with the clock from a file to the next one of the name; numbers that were set aside
    // would be skipped.
    let rises = line.image().next_ticket <= surroundings::now();
    if is_old
        && is_named
        && rises
        && !line.has_numbers()
        && store.has_queue()?
        && !line.is_used()?
        && !store.is_anybody_there()?
    {
        fs::remove_file(store.path()).map_err(LockError::io("remove", store.path()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use super::*;
    use crate::acquire::{Pending, Step};
    use crate::{Directory, Gives, Patience, Request, Wanted};

    struct Place(Directory);

    impl Place {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("ward-collect-{name}-{}", std::process::id()));
            Self(Directory::open(Some(&path)).expect("a directory"))
        }

        fn get(&self, wanted: Wanted) -> crate::Held {
            let got = self
                .0
                .acquire(&Request::new(vec![wanted]), Patience::Never, None);
            got.expect("got").remove(0)
        }

        /// As if it had not been touched for so long.
        fn age(&self, file: &str, age: Duration) {
            let path = self.0.path().join(file);
            let file = File::options().write(true).open(path).expect("there");
            file.set_modified(SystemTime::now() - age).expect("set");
        }

        fn is_there(&self, file: &str) -> bool {
            self.0.path().join(file).exists()
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(self.0.path());
        }
    }

    fn lock(name: &str) -> Wanted {
        Wanted::new(name).expect("a name")
    }

    #[test]
    fn what_nobody_has_used_for_long_is_removed_when_something_new_comes() {
        let place = Place::new("old");
        let first = place.get(lock("old"));
        let token = first.token();
        first.release();
        drop(first);
        place.get(lock("young")).release();
        let held = place.get(lock("held"));
        let left = place.get(lock("numbers").giving(Gives::Sequence {
            transactional: false,
        }));
        left.release();
        drop(left);
        fs::write(place.0.path().join("foreign"), "a text that is no lock").expect("written");
        fs::write(place.0.path().join("%new-1-2-3"), "").expect("written");
        for old in ["old", "held", "numbers", "foreign", "%new-1-2-3", LOOKED] {
            place.age(old, LONG + Duration::from_secs(60));
        }
        place.get(lock("new")).release();
        let there = ["old", "young", "held", "numbers", "foreign", "%new-1-2-3"];
        assert_eq!(
            there.map(|file| place.is_there(file)),
            [false, true, true, true, true, false]
        );
        held.release();
        let again = place.get(lock("old"));
        assert!(again.token() > token);
        again.release();
        // Not at each new name.
        place.age("young", LONG + Duration::from_secs(60));
        place.get(lock("newer")).release();
        assert!(place.is_there("young"));
    }

    #[test]
    fn who_has_opened_what_is_removed_takes_another_one() {
        let place = Place::new("removed");
        place.get(lock("it")).release();
        let request = Request::new(vec![lock("it")]);
        let mut pending = Pending::new(&place.0, &request, &mut Vec::new()).expect("opened");
        remove_unused(place.0.path(), "it", Duration::ZERO).expect("removed");
        assert!(!place.is_there("it"));
        let step = pending.advance(Duration::from_secs(20)).expect("told");
        assert!(matches!(step, Step::Removed));
        place.0.steal(&request, None).expect("taken");
        assert_eq!(place.0.show("it").expect("there").holders.len(), 1);
    }

    #[test]
    fn nobody_is_let_in_beside_another_by_a_file_that_goes() {
        let place = Place::new("race");
        let (inside, most) = (AtomicU32::new(0), AtomicU32::new(0));
        let over = AtomicBool::new(false);
        let removed = AtomicU32::new(0);
        std::thread::scope(|scope| {
            let locks: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        for _ in 0..400 {
                            let held = place.get(lock("it"));
                            most.fetch_max(
                                inside.fetch_add(1, Ordering::SeqCst) + 1,
                                Ordering::SeqCst,
                            );
                            inside.fetch_sub(1, Ordering::SeqCst);
                            held.release();
                        }
                    })
                })
                .collect();
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    let was = place.is_there("it");
                    let _ = remove_unused(place.0.path(), "it", Duration::ZERO);
                    removed.fetch_add(u32::from(was && !place.is_there("it")), Ordering::SeqCst);
                }
            });
            for lock in locks {
                lock.join().expect("ended");
            }
            over.store(true, Ordering::SeqCst);
        });
        assert_eq!(most.load(Ordering::SeqCst), 1);
        place.get(lock("it")).release();
        let _ = remove_unused(place.0.path(), "it", Duration::ZERO);
        assert!(!place.is_there("it"), "{}", removed.load(Ordering::SeqCst));
    }
}
