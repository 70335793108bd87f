//! What can be asked for, and how it stands while we wait.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use ward_model::lock::{Ask, Mode, Shape, Turn};

use crate::error::LockError;
use crate::name::{Badge, Name};
use crate::record::Record;

/// How long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Not at all.
    None,
    /// This long in all.
    For(Duration),
    /// As long as it takes.
    Never,
}

/// What a lock gives to who holds it, besides itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Gives {
    /// Nothing, or things of its pool.
    #[default]
    Nothing,
    /// The next of its numbers, which begin with 1 and are never given twice, whatever is killed
    /// and however often the host starts anew.
    Sequence {
        /// Only used up if the work succeeds ([`crate::Held::commit`]): else somebody gets it again.
        transactional: bool,
    },
    /// The time, written so that nobody else gets the same.
    Timestamp {
        /// As strftime(3), and `#f` to `#ffffff` for fractions of a second.
        format: String,
    },
}

/// One lock, and how it is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub(crate) name: Name,
    pub(crate) mode: Mode,
    pub(crate) shape: Shape,
    pub(crate) take: u32,
    pub(crate) among: Vec<String>,
    pub(crate) gives: Gives,
    pub(crate) create: bool,
}

impl Wanted {
    /// All of it, for nobody else.
    ///
    /// # Errors
    /// As [`crate::check_name`].
    pub fn new(name: &str) -> Result<Self, LockError> {
        Ok(Self::of(Name::parse(name)?))
    }

    /// As [`Wanted::new`], with a first level that may be anything (up to 240 bytes, of which all
    /// but letters, digits and `. _ - + @ :` count three), and the path below it.
    ///
    /// # Errors
    /// [`LockError::Name`].
    pub fn exact(root: &str, path: &str) -> Result<Self, LockError> {
        Ok(Self::of(Name::exact(root, path)?))
    }

    fn of(name: Name) -> Self {
        Self {
            name,
            mode: Mode::EX,
            shape: Shape::Modes,
            take: 1,
            among: Vec::new(),
            gives: Gives::Nothing,
            create: true,
        }
    }

    /// Only if somebody uses it just now; else somebody else must do so first.
    #[must_use]
    pub fn only_if_used(mut self) -> Self {
        self.create = false;
        self
    }

    /// In this mode.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// So many of its slots.
    ///
    /// # Errors
    /// [`LockError::TooMuch`].
    pub fn slots(mut self, take: u32, of: u32) -> Result<Self, LockError> {
        if take > of || take == 0 {
            return Err(LockError::TooMuch {
                name: self.name().to_owned(),
                slots: of,
                take,
            });
        }
        (self.shape, self.take) = (Shape::Slots(of), take);
        Ok(self)
    }

    /// So many of these things, whichever are free.
    ///
    /// # Errors
    /// [`LockError::TooMuch`] if there are not so many, or one is named twice; [`LockError::Thing`]
    /// for one that is empty or has a comma or a control character in it.
    pub fn things(mut self, take: u32, among: Vec<String>) -> Result<Self, LockError> {
        if let Some(bad) = among
            .iter()
            .find(|it| it.is_empty() || it.contains(|it: char| it == ',' || it.is_control()))
        {
            return Err(LockError::Thing {
                name: self.name().to_owned(),
                thing: bad.clone(),
            });
        }
        let mut different = among.clone();
        different.sort_unstable();
        different.dedup();
        let have = u32::try_from(different.len()).unwrap_or(u32::MAX);
        if take > have || take == 0 || different.len() != among.len() {
            return Err(LockError::TooMuch {
                name: self.name().to_owned(),
                slots: have,
                take,
            });
        }
        (self.shape, self.take, self.among) = (Shape::Pool, take, among);
        Ok(self)
    }

    /// With what it gives.
    #[must_use]
    pub fn giving(mut self, gives: Gives) -> Self {
        self.gives = gives;
        self
    }

    /// What must be held on this host before a cluster is asked for it: the same, but that what is
    /// given is the cluster's to give.
    #[must_use]
    pub fn on_this_host(&self) -> Self {
        let mut local = self.clone();
        (local.gives, local.create) = (Gives::Nothing, true);
        if local.shape == Shape::Pool {
            (local.shape, local.mode, local.take) = (Shape::Modes, Mode::NL, 1);
            local.among.clear();
        }
        local
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.text()
    }

    /// In which mode it is wanted.
    #[must_use]
    pub fn wanted_mode(&self) -> Mode {
        self.mode
    }

    pub(crate) fn ask(&self, request: &Request) -> Ask {
        Ask {
            mode: self.mode,
            take: self.take,
            path: self.name.path().to_owned(),
            among: self.among.clone(),
            priority: request.priority,
            turn: request.turn,
        }
    }
}

/// What to do about others who are in the queue when we come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Crowd {
    /// Wait behind them.
    #[default]
    Join,
    /// Give up: whoever waits will do what we would.
    SkipIfQueued,
    /// Send those away who wait: what we do makes up for it.
    ReplacePending,
}

/// What is asked for: one lock, or several, all or none.
#[derive(Debug, Clone)]
pub struct Request {
    /// Which locks. None may be another's part, or the same.
    pub locks: Vec<Wanted>,
    /// Higher goes first.
    pub priority: i32,
    /// Which turn among those of this priority.
    pub turn: Turn,
    /// What to do about others in the queue.
    pub crowd: Crowd,
    /// What for, as a command line. Who says nothing is counted, but not in the history.
    pub command: String,
    /// Why, in somebody's words.
    pub why: Option<String>,
    /// Which build it is a part of.
    pub origin: Option<String>,
    /// What is held by what we are a part of ([`crate::Held::badge`]).
    pub held_above: Vec<Badge>,
    /// Whether locks that are held above are shared with us.
    pub reentrant: bool,
    /// How long a lock counts as used after the last one has gone, if it was not before us.
    pub idle: Duration,
    /// Whoever asks is the work, by execve(2), and cannot wake who waits when it ends: that he watches
    /// himself.
    pub becomes_work: bool,
}

impl Request {
    /// These, in order.
    #[must_use]
    pub fn new(locks: Vec<Wanted>) -> Self {
        Self {
            locks,
            priority: 0,
            turn: Turn::InOrder,
            crowd: Crowd::Join,
            command: String::new(),
            why: None,
            origin: None,
            held_above: Vec::new(),
            reentrant: false,
            idle: Duration::ZERO,
            becomes_work: false,
        }
    }

    /// One lock, for nobody else.
    ///
    /// # Errors
    /// As [`crate::check_name`].
    pub fn exclusive(name: &str) -> Result<Self, LockError> {
        Ok(Self::new(vec![Wanted::new(name)?]))
    }

    /// Every lock's name, for people.
    #[must_use]
    pub fn names(&self) -> String {
        let names: Vec<&str> = self.locks.iter().map(Wanted::name).collect();
        names.join(", ")
    }

    /// Two locks of one file cannot be asked for at once: they would be in one another's way, or
    /// their files' critical sections would be.
    pub(crate) fn check(&self) -> Result<(), LockError> {
        let mut files: Vec<&str> = self.locks.iter().map(|it| it.name.file()).collect();
        files.sort_unstable();
        match files.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(LockError::Twice(pair[0].to_owned())),
            None => Ok(()),
        }
    }
}

/// How it stands while we wait.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Waiting {
    /// How many are before us in the queue, holders included.
    pub ahead: usize,
    /// Which of the locks is not to be had.
    pub name: String,
    /// Who holds it.
    pub holders: Vec<Record>,
}
