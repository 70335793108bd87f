//! Getting a lock, and letting go of it.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use ward_model::lock::{Ask, Mode, Shape, Standing, blockers};
use ward_sys::account;
use ward_sys::contain::process::Process;
use ward_sys::procfs::Stat;

use crate::error::LockError;
use crate::store::{Record, State, Store, now};

/// The kernel wakes us; should it ever not, we look.
const LOOK: Duration = Duration::from_secs(1);

/// A command line in the queue is cut to this, bytes.
const LONGEST_COMMAND: usize = 200;

/// With more than this in the queue, whoever has gone is looked for although he is in nobody's way.
const MANY: usize = 32;

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

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Order {
    /// Of which lock.
    pub name: String,
    /// In which mode.
    pub mode: Mode,
    /// Of how many slots, if it has such.
    pub slots: Option<u32>,
    /// How many of them.
    pub take: u32,
    /// What for, as a command line.
    pub command: String,
    /// Why, in somebody's words.
    pub why: Option<String>,
    /// Tickets that what we are a part of holds, each with its lock's name.
    pub held_above: Vec<(String, u64)>,
}

/// How it stands while we wait.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// How many are before us in the queue, holders included.
    pub ahead: usize,
    /// Who holds.
    pub holders: Vec<Record>,
}

impl Order {
    /// The whole lock, for nobody else.
    #[must_use]
    pub fn exclusive(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            mode: Mode::EX,
            slots: None,
            take: 1,
            command: String::new(),
            why: None,
            held_above: Vec::new(),
        }
    }

    fn shape(&self) -> Shape {
        self.slots.map_or(Shape::Modes, Shape::Slots)
    }

    /// Gets it from the usual lock directory.
    ///
    /// # Errors
    /// As [`Order::acquire_in`].
    pub fn acquire(
        &self,
        patience: Patience,
        tell: &mut dyn FnMut(&Waiting),
    ) -> Result<Held, LockError> {
        self.acquire_in(&crate::place::locate(None)?, patience, tell)
    }

    /// Gets it, and tells how it stands while it waits: each time that changes, and each second.
    ///
    /// # Errors
    /// [`LockError`]; then nothing is held, and nobody waits any more.
    pub fn acquire_in(
        &self,
        directory: &Path,
        patience: Patience,
        tell: &mut dyn FnMut(&Waiting),
    ) -> Result<Held, LockError> {
        if let Some(slots) = self.slots
            && self.take > slots
        {
            return Err(LockError::TooMuch {
                name: self.name.clone(),
                slots,
                take: self.take,
            });
        }
        let deadline = match patience {
            Patience::None => Some(Instant::now()),
            Patience::For(time) => Instant::now().checked_add(time),
            Patience::Never => None,
        };
        let mut request = Request {
            store: Store::open(directory, &self.name)?,
            order: self,
            ticket: None,
        };
        let mut bell: Option<OwnedFd> = None;
        let mut told: Option<((usize, Vec<u64>), Instant)> = None;
        loop {
            let blocked = match request.advance()? {
                Step::Granted(ticket) => {
                    return Ok(Held {
                        store: request.store,
                        ticket,
                    });
                }
                Step::Blocked(blocked) => blocked,
            };
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(LockError::Busy {
                    name: self.name.clone(),
                    holders: blocked.holders(),
                });
            }
            let standing = (
                blocked.ahead,
                blocked.holders().iter().map(|it| it.ticket).collect(),
            );
            let known = told
                .as_ref()
                .is_some_and(|(known, at)| *known == standing && at.elapsed() < LOOK);
            if !known {
                tell(&Waiting {
                    ahead: blocked.ahead,
                    holders: blocked.holders(),
                });
                told = Some((standing, Instant::now()));
            }
            match &bell {
                Some(bell) => wait(&request.store, bell, &blocked, deadline),
                // Whoever went before it was hung up made no sound: look once more.
                None => bell = Some(hang(request.store.path())?),
            }
        }
    }
}

/// A descriptor that is readable when somebody has closed the file.
fn hang(path: &Path) -> Result<OwnedFd, LockError> {
    let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
    let closed = inotify::WatchFlags::CLOSE_WRITE | inotify::WatchFlags::CLOSE_NOWRITE;
    let bell = inotify::init(flags).map_err(|error| LockError::io("watch", path)(error.into()))?;
    inotify::add_watch(&bell, path, closed)
        .map_err(|error| LockError::io("watch", path)(error.into()))?;
    Ok(bell)
}

/// Who is in the way.
#[derive(Debug)]
struct Blocked {
    ahead: usize,
    by: Vec<Record>,
}

impl Blocked {
    fn holders(&self) -> Vec<Record> {
        let holds = |record: &&Record| record.standing == Standing::Holding;
        self.by.iter().filter(holds).cloned().collect()
    }
}

enum Step {
    Granted(u64),
    Blocked(Blocked),
}

/// A request on its way. Dropped on the way, it leaves the queue: nobody else has its description.
struct Request<'a> {
    store: Store,
    order: &'a Order,
    ticket: Option<u64>,
}

impl Request<'_> {
    /// Takes a place in the queue, if it has none, and the lock, if it can be had.
    fn advance(&mut self) -> Result<Step, LockError> {
        let section = self.store.section()?;
        let mut state = section.load(self.order.shape())?;
        let before = state.clone();
        let ticket = match self.ticket {
            Some(ticket) => ticket,
            None => {
                self.agree_on_shape(&mut state)?;
                let ticket = state.next_ticket;
                state.next_ticket += 1;
                self.store.appear(ticket)?;
                state.records.push(self.record(ticket));
                ticket
            }
        };
        if state.records.len() > MANY {
            strike_off(&self.store, &mut state, ticket)?;
        }
        let by = live_blockers(&self.store, &mut state, ticket)?;
        if self.would_wait_for_itself(&state, ticket) {
            self.store.disappear(ticket);
            return Err(LockError::Ours(self.order.name.clone()));
        }
        if by.is_empty()
            && let Some(record) = state.record_mut(ticket)
        {
            record.standing = Standing::Holding;
            record.held_since = Some(now());
        }
        if state != before {
            section.save(&state)?;
        }
        self.ticket = Some(ticket);
        Ok(if by.is_empty() {
            Step::Granted(ticket)
        } else {
            let mut ahead = 0;
            for record in state.records.iter().filter(|it| it.ticket < ticket) {
                ahead += usize::from(self.store.is_there(record)?);
            }
            Step::Blocked(Blocked { ahead, by })
        })
    }

    /// Everybody who is there must mean the same by the name.
    fn agree_on_shape(&self, state: &mut State) -> Result<(), LockError> {
        let shape = self.order.shape();
        if state.shape == shape {
            return Ok(());
        }
        for record in state.records.clone() {
            if self.store.is_there(&record)? {
                let text = |shape| match shape {
                    Shape::Modes => "modes".to_owned(),
                    Shape::Slots(slots) => format!("{slots} slots"),
                };
                return Err(LockError::Shape {
                    name: self.order.name.clone(),
                    theirs: text(state.shape),
                    ours: text(shape),
                });
            }
        }
        state.records.clear();
        state.shape = shape;
        Ok(())
    }

    fn record(&self, ticket: u64) -> Record {
        let pid = i32::try_from(std::process::id()).unwrap_or(0);
        let uid = account::own_uid();
        let mut command = self.order.command.clone();
        if command.len() > LONGEST_COMMAND {
            let end = (0..=LONGEST_COMMAND)
                .rev()
                .find(|at| command.is_char_boundary(*at));
            command.truncate(end.unwrap_or(0));
            command.push('…');
        }
        Record {
            ticket,
            standing: Standing::Waiting,
            ask: Ask {
                mode: self.order.mode,
                take: self.order.take,
            },
            pid,
            start_ticks: Stat::of(pid).map_or(0, |stat| stat.start_ticks),
            work: None,
            user: account::name_of(uid).unwrap_or_else(|| uid.to_string()),
            command,
            why: self.order.why.clone(),
            asked_at: now(),
            held_since: None,
        }
    }

    /// Whether who is in the way, or who is in his way, and so on, is what we are a part of.
    fn would_wait_for_itself(&self, state: &State, ticket: u64) -> bool {
        let above: Vec<u64> = self
            .order
            .held_above
            .iter()
            .filter(|(name, _)| *name == self.order.name)
            .map(|(_, ticket)| *ticket)
            .collect();
        if above.is_empty() {
            return false;
        }
        let places = state.places();
        let mut open = vec![ticket];
        let mut seen = Vec::new();
        while let Some(next) = open.pop() {
            for other in blockers(state.shape, &places, next) {
                if above.contains(&other) {
                    return true;
                }
                if !seen.contains(&other) {
                    seen.push(other);
                    open.push(other);
                }
            }
        }
        false
    }
}

/// Strikes everybody off who is not there any more, whether in the way or not.
fn strike_off(store: &Store, state: &mut State, own: u64) -> Result<(), LockError> {
    let mut gone = Vec::new();
    for record in &state.records {
        if record.ticket != own && !store.is_there(record)? {
            gone.push(record.ticket);
        }
    }
    for ticket in gone {
        state.remove(ticket);
    }
    Ok(())
}

/// Who is in the way of `ticket` and there. Who is not there any more is struck off, but only as
/// far as he is in the way: to look after everybody would make a long queue slow.
fn live_blockers(store: &Store, state: &mut State, ticket: u64) -> Result<Vec<Record>, LockError> {
    loop {
        let by = blockers(state.shape, &state.places(), ticket);
        let mut gone = Vec::new();
        for other in &by {
            if let Some(record) = state.record(*other)
                && !store.is_there(record)?
            {
                gone.push(*other);
            }
        }
        if gone.is_empty() {
            return Ok(by
                .iter()
                .filter_map(|other| state.record(*other).cloned())
                .collect());
        }
        for other in gone {
            state.remove(other);
        }
    }
}

/// Waits until somebody may have gone who is in the way.
fn wait(store: &Store, bell: &OwnedFd, blocked: &Blocked, deadline: Option<Instant>) {
    // Work that closed its descriptors makes no sound when it ends.
    let silent: Vec<Process> = blocked
        .by
        .iter()
        .filter_map(|record| record.work)
        .filter_map(|(pid, start)| {
            Process::hold(pid).filter(|process| process.stat().start_ticks == start)
        })
        .collect();
    loop {
        let now = Instant::now();
        let left = deadline.map_or(LOOK, |deadline| deadline.saturating_duration_since(now));
        let timeout = Timespec::try_from(left.min(LOOK)).ok();
        let mut fds = vec![PollFd::new(bell, PollFlags::IN)];
        fds.extend(silent.iter().map(|it| PollFd::new(it, PollFlags::IN)));
        let _ = poll(&mut fds, timeout.as_ref());
        let rang = fds.first().is_some_and(|fd| !fd.revents().is_empty());
        let ended = fds.iter().skip(1).any(|fd| !fd.revents().is_empty());
        drop(fds);
        let mut events = [0; 4096];
        while rang && matches!(rustix::io::read(bell, &mut events), Ok(read) if read > 0) {}
        let over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        // Others close the file too: whoever looks, and whoever was not in our way. As long as the
        // first who is in our way is there, nothing has changed for us.
        let still = blocked
            .by
            .first()
            .is_some_and(|record| store.is_there(record).unwrap_or(false));
        if ended || over || !rang || !still || blocked.by.len() > 1 {
            return;
        }
    }
}

/// A lock that is held. It is freed by [`Held::release`], or when the last process is gone that
/// has its descriptor open.
#[derive(Debug)]
pub struct Held {
    store: Store,
    ticket: u64,
}

impl Held {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.store.name()
    }

    /// A number that is higher than that of everybody who held it before: what is guarded can
    /// refuse whoever comes with a lower one.
    #[must_use]
    pub fn token(&self) -> u64 {
        self.ticket
    }

    /// The descriptor that the work must inherit, so that it holds the lock without us.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.file().as_fd()
    }

    fn file(&self) -> &File {
        self.store.file()
    }

    /// Writes down which process is the work: it holds the lock even if it closes the
    /// descriptor.
    ///
    /// # Errors
    /// When the queue cannot be written.
    pub fn note_work(&self, pid: i32) -> Result<(), LockError> {
        let Some(stat) = Stat::of(pid) else {
            return Ok(());
        };
        let section = self.store.section()?;
        let mut state = section.load(Shape::Modes)?;
        if let Some(record) = state.record_mut(self.ticket) {
            record.work = Some((pid, stat.start_ticks));
            section.save(&state)?;
        }
        Ok(())
    }

    /// Frees it, whoever else has its descriptor.
    pub fn release(&self) {
        // Struck off, so that the work, which may still be there for a moment, does not count.
        if let Ok(section) = self.store.section()
            && let Ok(mut state) = section.load(Shape::Modes)
        {
            state.remove(self.ticket);
            let _ = section.save(&state);
        }
        self.store.disappear(self.ticket);
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("ward-lock-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        path
    }

    fn quiet() -> impl FnMut(&Waiting) {
        |_| {}
    }

    #[test]
    fn one_at_a_time_and_the_next_one_when_it_goes() {
        let place = directory("one");
        let order = Order::exclusive("deploy");
        let now = |patience| order.acquire_in(&place, patience, &mut quiet());
        let first = now(Patience::None).expect("free");
        let refused = now(Patience::None).expect_err("held");
        assert!(matches!(&refused, LockError::Busy { holders, .. } if holders.len() == 1));
        assert!(
            refused
                .to_string()
                .contains(&std::process::id().to_string())
        );
        let waiting = crate::listing::one(&place, "deploy").expect("listed");
        // Who was refused does not wait.
        assert_eq!((waiting.holders.len(), waiting.waiting.len()), (1, 0));
        let token = first.token();
        first.release();
        let second = now(Patience::None).expect("free again");
        assert!(second.token() > token);
        // Dropped without a word, as by a kill.
        drop(second);
        now(Patience::None).expect("free again").release();
        std::fs::remove_dir_all(&place).expect("clean up");
    }

    #[test]
    fn many_wait_in_order_and_never_two_are_inside() {
        const MANY: usize = 16;
        let place = directory("many");
        let inside = Arc::new(AtomicU32::new(0));
        let order = Order::exclusive("busy");
        let first = order
            .acquire_in(&place, Patience::None, &mut quiet())
            .expect("free");
        let (came, come) = mpsc::channel();
        let (got, gets) = mpsc::channel();
        let mut threads = Vec::new();
        for number in 0..MANY {
            let (place, order, inside) = (place.clone(), order.clone(), Arc::clone(&inside));
            let (came, got) = (came.clone(), got.clone());
            threads.push(thread::spawn(move || {
                let mut told = false;
                let held = order
                    .acquire_in(&place, Patience::Never, &mut |_| {
                        if !std::mem::replace(&mut told, true) {
                            came.send(()).expect("heard");
                        }
                    })
                    .expect("granted");
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                got.send(number).expect("heard");
                inside.fetch_sub(1, Ordering::SeqCst);
                // One in two goes as if it were killed.
                if number % 2 == 0 {
                    held.release();
                }
            }));
            // The next one comes when this one is in the queue.
            come.recv().expect("in the queue");
        }
        first.release();
        for thread in threads {
            thread.join().expect("no two inside");
        }
        let order: Vec<usize> = gets.try_iter().collect();
        assert_eq!(order, (0..MANY).collect::<Vec<_>>());
        std::fs::remove_dir_all(&place).expect("clean up");
    }

    #[test]
    fn slots_are_shared_and_their_number_is_agreed_on() {
        let place = directory("slots");
        let order = |slots, take| Order {
            slots: Some(slots),
            take,
            ..Order::exclusive("slots")
        };
        let get = |order: Order| order.acquire_in(&place, Patience::None, &mut quiet());
        let two = get(order(3, 2)).expect("two of three");
        let one = get(order(3, 1)).expect("the third");
        assert!(matches!(get(order(3, 1)), Err(LockError::Busy { .. })));
        assert!(matches!(get(order(4, 1)), Err(LockError::Shape { .. })));
        assert!(matches!(get(order(3, 4)), Err(LockError::TooMuch { .. })));
        two.release();
        let again = get(order(3, 2)).expect("two of three");
        drop((one, again));
        get(order(4, 4))
            .expect("nobody is left who meant three")
            .release();
        std::fs::remove_dir_all(&place).expect("clean up");
    }

    #[test]
    fn what_is_held_above_is_not_waited_for() {
        let place = directory("above");
        let outer = Order::exclusive("twice")
            .acquire_in(&place, Patience::None, &mut quiet())
            .expect("free");
        let inner = Order {
            held_above: vec![("twice".to_owned(), outer.token())],
            ..Order::exclusive("twice")
        };
        assert!(matches!(
            inner.acquire_in(&place, Patience::Never, &mut quiet()),
            Err(LockError::Ours(_))
        ));
        drop(outer);
        std::fs::remove_dir_all(&place).expect("clean up");
    }

    #[test]
    fn a_torn_change_is_as_if_it_had_not_been() {
        use std::os::unix::fs::FileExt;
        let place = directory("torn");
        let order = Order::exclusive("torn");
        let get = || order.acquire_in(&place, Patience::None, &mut quiet());
        let held = get().expect("free");
        let token = held.token();
        drop(held);
        let file = File::options()
            .write(true)
            .open(place.join("torn"))
            .expect("the file");
        for at in [4 << 10, 1 << 20] {
            file.write_all_at(b"nonsense", at + 40).expect("written");
            let next = get().expect("free");
            assert!(next.token() > token);
        }
        std::fs::remove_dir_all(&place).expect("clean up");
    }
}
