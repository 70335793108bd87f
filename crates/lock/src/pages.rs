//! Pages of numbers that stay mapped: to map one in each turn of a lock that is wanted by many takes
//! a tenth of the turn.
//!
//! A page keeps the description open by which it was mapped. So that is one of its own, without a
//! byte locked: a lock's own would not be free when the last descriptor is gone.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rustix::fs::{AtFlags, CWD, Statx, StatxFlags, makedev, statx};
use ward_sys::words::Words;

/// So many are kept: each keeps a file on its disk that others may have removed.
const MOST: usize = 8;

/// A file, which its page keeps from being another one.
pub(crate) type Id = (u64, u64);

/// What is asked of a file.
const WANTED: StatxFlags = StatxFlags::INO
    .union(StatxFlags::NLINK)
    .union(StatxFlags::SIZE);

static KEPT: Mutex<Vec<(Id, Arc<Words>)>> = Mutex::new(Vec::new());

/// A file as it is now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// Which one it is; none if there is no page in it: who sleeps on what is not there does not sleep.
    pub(crate) id: Option<Id>,
    /// Whether it has a name.
    pub(crate) is_linked: bool,
}

/// Looks without asking for the file's times: once they were asked for, the next change of it writes new ones
/// into the file system (multigrain timestamps, Linux 6.13), and in each turn that is a sixth of it.
pub(crate) fn look(file: &File) -> std::io::Result<Seen> {
    match statx(file, c"", AtFlags::EMPTY_PATH, WANTED) {
        Ok(seen) => Ok(seen.into()),
        // There is none before Linux 4.11, and some sandboxes refuse it.
        Err(_) => file.metadata().map(Seen::from),
    }
}

/// As [`look`], at the file that has this name now.
pub(crate) fn look_at(path: &Path) -> std::io::Result<Seen> {
    match statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, WANTED) {
        Ok(seen) => Ok(seen.into()),
        Err(_) => path.symlink_metadata().map(Seen::from),
    }
}

impl Seen {
    fn new(id: Id, length: u64, links: u64) -> Self {
        Self {
            id: (length >= Words::LENGTH as u64).then_some(id),
            is_linked: links > 0,
        }
    }
}

impl From<Statx> for Seen {
    fn from(seen: Statx) -> Self {
        let device = makedev(seen.stx_dev_major, seen.stx_dev_minor);
        Self::new((device, seen.stx_ino), seen.stx_size, seen.stx_nlink.into())
    }
}

impl From<Metadata> for Seen {
    fn from(meta: Metadata) -> Self {
        Self::new((meta.dev(), meta.ino()), meta.len(), meta.nlink())
    }
}

/// The page of `file`, which is this one, if that is known, and was opened by this path; none where it
/// cannot be mapped.
pub(crate) fn of(
    file: &File,
    known: Option<Id>,
    path: &Path,
    open: impl FnOnce(&Path) -> std::io::Result<File>,
) -> Option<Arc<Words>> {
    let id = |file: &File| look(file).ok()?.id;
    let own = known.or_else(|| id(file))?;
    let ours = || Words::of(file).ok().map(Arc::new);
    // Another thread may have had it when we were forked: he never gives it back.
    let Ok(mut kept) = KEPT.try_lock() else {
        return ours();
    };
    if let Some(at) = kept.iter().position(|(other, _)| *other == own) {
        // The last are those that are used.
        kept[at..].rotate_left(1);
        return kept.last().map(|(_, words)| Arc::clone(words));
    }
    // By its path there may be another one by now.
    let Some(again) = open(path).ok().filter(|again| id(again) == Some(own)) else {
        return ours();
    };
    let words = Arc::new(Words::of(&again).ok()?);
    if kept.len() == MOST {
        kept.remove(0);
    }
    kept.push((own, Arc::clone(&words)));
    Some(words)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Directory, LockError, Patience, Request};

    #[test]
    fn a_page_keeps_no_lock() {
        let path = std::env::temp_dir().join(format!("ward-pages-{}", std::process::id()));
        let locks = Directory::open(Some(&path)).expect("a directory");
        let request = Request::exclusive("it").expect("a name");
        let short = Patience::For(Duration::from_millis(20));
        for _ in 0..3 {
            let held = locks.acquire(&request, Patience::Never, None);
            let held = held.expect("free");
            let refused = locks.acquire(&request, short, None);
            assert!(matches!(refused, Err(LockError::Busy { .. })));
            assert!(held[0].store.word(held[0].ticket()).is_some());
            // Given back by nobody.
            drop(held);
        }
        // Another file of this name is another page.
        let was =
            crate::store::Store::open(&path, &crate::name::Name::parse("it").expect("a name"));
        let was = was.expect("opened");
        std::fs::remove_file(was.path()).expect("removed");
        let held = locks.acquire(&request, Patience::None, None).expect("free");
        let before = was.word(7);
        held[0].store.wake(&[7]);
        assert_eq!(was.word(7), before);
        drop(held);
        std::fs::remove_dir_all(path).expect("clean up");
    }

    #[test]
    fn no_more_are_kept() {
        let path = std::env::temp_dir().join(format!("ward-pages-many-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("made");
        let open = |path: &Path| File::options().read(true).write(true).open(path);
        for number in 0..3 * MOST {
            let path = path.join(number.to_string());
            std::fs::write(&path, vec![0; Words::LENGTH]).expect("written");
            let file = open(&path).expect("opened");
            assert!(of(&file, None, &path, open).is_some());
        }
        assert!(KEPT.lock().expect("nobody panicked").len() <= MOST);
        let cut = path.join("0");
        let file = open(&cut).expect("opened");
        assert!(of(&file, None, &cut, open).is_some());
        file.set_len(1).expect("cut");
        assert!(of(&file, None, &cut, open).is_none());
        std::fs::remove_dir_all(path).expect("clean up");
    }
}
