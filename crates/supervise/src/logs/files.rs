//! All log files of a supervisor: each is there once, however many channels write to it, and only
//! some of them are open.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};

use super::file::{LogFile, MOST_LINKS};
use super::notice::Notice;
use super::workbench::Workbench;

/// So many log files are open at most.
const MOST_OPEN: usize = 256;

/// By so much, bytes, all pipes of programs that write much are made larger together. It is memory only
/// while there is something in them; an ordinary user gets half of it (`pipe-user-pages-soft`, pipe(7)).
const MOST_LARGE: usize = 128 * 1024 * 1024;

/// All log files.
#[derive(Debug, Clone)]
pub struct Files(Rc<All>);

#[derive(Debug)]
struct All {
    most_open: usize,
    logs: RefCell<HashMap<PathBuf, Weak<RefCell<LogFile>>>>,
    open: RefCell<Vec<Weak<RefCell<LogFile>>>>,
    /// Counts uses.
    now: Cell<u64>,
    /// What it was at the last look for idle ones.
    looked: Cell<u64>,
    large: Cell<usize>,
    /// Where directories really are, for a short while.
    places: RefCell<HashMap<PathBuf, Option<PathBuf>>>,
    workbench: RefCell<Workbench>,
}

/// One of them; clones are the same one.
#[derive(Debug, Clone)]
pub struct Log {
    file: Rc<RefCell<LogFile>>,
    all: Rc<All>,
}

impl Default for Files {
    fn default() -> Self {
        Self::new(MOST_OPEN)
    }
}

impl Files {
    /// None yet; of those to come at most `most_open` (at least one) are open at a time.
    #[must_use]
    pub fn new(most_open: usize) -> Self {
        Self(Rc::new(All {
            most_open: most_open.max(1),
            logs: RefCell::default(),
            open: RefCell::default(),
            now: Cell::new(0),
            looked: Cell::new(0),
            large: Cell::new(0),
            places: RefCell::default(),
            workbench: RefCell::default(),
        }))
    }

    /// The log at `path`, which is rotated at `maxbytes` bytes (0: never) with `backups` older parts
    /// (0: it is emptied). If it is known already it is that one, with the new limits. Does not touch
    /// the file.
    #[must_use]
    pub fn log(&self, path: &Path, maxbytes: u64, backups: u64) -> Log {
        let key = self.key(path);
        let mut logs = self.0.logs.borrow_mut();
        let known = logs.get(&key).and_then(Weak::upgrade);
        let file = known.unwrap_or_else(|| {
            let file = Rc::new(RefCell::new(LogFile::new(path.into(), maxbytes, backups)));
            if logs.len().is_power_of_two() {
                logs.retain(|_, log| log.strong_count() > 0);
            }
            logs.insert(key, Rc::downgrade(&file));
            file
        });
        file.borrow_mut().limit(maxbytes, backups);
        Log {
            file,
            all: Rc::clone(&self.0),
        }
    }

    /// What two names of one log have in common, also before it is there.
    fn key(&self, path: &Path) -> PathBuf {
        let is_link = fs::symlink_metadata(path).is_ok_and(|it| it.is_symlink());
        match (path.parent(), path.file_name()) {
            (Some(directory), Some(name)) if !is_link => {
                let here = directory.as_os_str().is_empty();
                let directory = if here { Path::new(".") } else { directory };
                let mut places = self.0.places.borrow_mut();
                let place = match places.get(directory) {
                    Some(place) => place.clone(),
                    None => {
                        let place = fs::canonicalize(directory).ok();
                        places.insert(directory.into(), place.clone());
                        place
                    }
                };
                place.map_or_else(|| path.into(), |place| place.join(name))
            }
            (_, _) => key(path),
        }
    }

    /// Looks again where directories really are: somebody may have put a link in one's place.
    pub fn forget_places(&self) {
        let mut places = self.0.places.borrow_mut();
        if !places.is_empty() {
            *places = HashMap::new();
        }
    }

    /// Reopens all of them, after somebody has put them aside. Gives what could not be.
    pub fn reopen(&self) -> Vec<(PathBuf, io::Error)> {
        let logs: Vec<_> = {
            let logs = self.0.logs.borrow();
            logs.values().filter_map(Weak::upgrade).collect()
        };
        logs.iter()
            .filter_map(|log| {
                let mut log = log.borrow_mut();
                let error = log.reopen().err()?;
                Some((log.path().to_path_buf(), error))
            })
            .collect()
    }

    /// Closes those that nobody has written to since the last call.
    pub fn close_idle(&self) {
        let looked = self.0.looked.replace(self.0.now.get());
        self.0.open.borrow_mut().retain(|log| {
            let Some(log) = log.upgrade() else {
                return false;
            };
            let Ok(mut log) = log.try_borrow_mut() else {
                return true;
            };
            if log.used <= looked {
                log.let_go();
            }
            log.is_open()
        });
    }

    /// How many are open.
    #[must_use]
    pub fn open_count(&self) -> usize {
        let open = self.0.open.borrow();
        let is_open = |log: &Weak<RefCell<LogFile>>| {
            log.upgrade()
                .is_some_and(|log| log.try_borrow().map_or(true, |log| log.is_open()))
        };
        open.iter().filter(|log| is_open(log)).count()
    }

    /// Works with what all channels share.
    pub(crate) fn workbench<T>(&self, work: impl FnOnce(&mut Workbench) -> T) -> T {
        work(&mut self.0.workbench.borrow_mut())
    }

    /// Whether a pipe may be larger by so much, bytes.
    pub(crate) fn may_enlarge(&self, by: usize) -> bool {
        let large = self.0.large.get().saturating_add(by);
        if large <= MOST_LARGE {
            self.0.large.set(large);
        }
        large <= MOST_LARGE
    }

    /// A pipe that was larger by so much is no more, or did not become so.
    pub(crate) fn give_back(&self, by: usize) {
        self.0.large.set(self.0.large.get().saturating_sub(by));
    }
}

impl Log {
    /// Where it is, as it was configured.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.file.borrow().path().to_path_buf()
    }

    /// Makes the file (mode 0666 less the umask), if it is not there.
    ///
    /// # Errors
    /// As open(2).
    pub fn create(&self) -> io::Result<()> {
        self.file.borrow_mut().create()
    }

    /// Removes the file and makes it anew; devices, pipes and terminals stay as they are.
    ///
    /// # Errors
    /// As unlink(2), open(2).
    pub fn clear(&self) -> io::Result<()> {
        self.file.borrow_mut().clear()
    }

    /// Lines about it for the main log, since the last call.
    pub fn notices(&self) -> Vec<Notice> {
        self.file.borrow_mut().notices().collect()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.file.borrow().is_open()
    }

    /// Works with the file; if that opens it, another one may be closed.
    pub(crate) fn work<T>(&self, work: impl FnOnce(&mut LogFile) -> T) -> T {
        let now = self.all.now.get() + 1;
        self.all.now.set(now);
        let mut file = self.file.borrow_mut();
        file.used = now;
        if !file.is_open() {
            self.make_room();
        }
        let before = file.is_open();
        let worked = work(&mut file);
        if !before && file.is_open() {
            let this = Rc::downgrade(&self.file);
            let mut open = self.all.open.borrow_mut();
            open.retain(|log| !log.ptr_eq(&this));
            open.push(this);
        }
        worked
    }

    /// Closes the one that has not been used for longest, if as many are open as may be.
    fn make_room(&self) {
        let mut open = self.all.open.borrow_mut();
        if open.len() < self.all.most_open {
            return;
        }
        open.retain(|log| {
            log.upgrade()
                .is_some_and(|log| log.try_borrow().map_or(true, |log| log.is_open()))
        });
        while open.len() >= self.all.most_open {
            let used = |log: &Weak<RefCell<LogFile>>| {
                log.upgrade()
                    .map_or(0, |log| log.try_borrow().map_or(u64::MAX, |log| log.used))
            };
            let oldest = (0..open.len()).min_by_key(|at| open.get(*at).map_or(0, used));
            let Some(oldest) = oldest else { return };
            if let Some(log) = open.swap_remove(oldest).upgrade()
                && let Ok(mut log) = log.try_borrow_mut()
            {
                log.let_go();
            }
        }
    }
}

/// As [`Files::key`], for a link or a strange name.
fn key(path: &Path) -> PathBuf {
    let mut path = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        if let Ok(whole) = fs::canonicalize(&path) {
            return whole;
        }
        let Ok(target) = fs::read_link(&path) else {
            break;
        };
        // What begins at the root replaces all before it.
        path.pop();
        path.push(target);
    }
    let directory = path.parent().and_then(|it| fs::canonicalize(it).ok());
    match (directory, path.file_name()) {
        (Some(directory), Some(name)) => directory.join(name),
        (_, _) => path,
    }
}
