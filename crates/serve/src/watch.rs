//! The kernel tells when files change (inotify(7)): one instance for everybody who waits here.
//!
//! Where the kernel has no more to give (`fs.inotify.max_user_instances`, `max_user_watches`), who waits
//! looks again after a while instead.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

/// Bytes of events taken at once.
const EVENTS: usize = 4096;

/// Who waits for files to change.
pub(crate) struct Watches {
    instance: Option<AsyncFd<OwnedFd>>,
    seats: RefCell<HashMap<i32, Vec<Seat>>>,
    next: Cell<u64>,
}

struct Seat {
    id: u64,
    /// Of what in a directory; nothing for everything.
    name: Option<OsString>,
    tell: watch::Sender<()>,
}

/// One who waits; asks no more when dropped.
pub(crate) struct Watch {
    watches: Rc<Watches>,
    /// Watch descriptor, number, and what is told; nothing where the kernel tells nothing.
    seat: Option<(i32, u64, watch::Receiver<()>)>,
}

impl Watches {
    /// In a tokio runtime.
    pub(crate) fn new() -> Rc<Self> {
        #[expect(
            deprecated,
            reason = "for types that may give another descriptor each time; an OwnedFd does not"
        )]
        let instance = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .ok()
            .and_then(|fd| AsyncFd::try_with_interest(fd, Interest::READABLE).ok());
        Rc::new(Self {
            instance,
            seats: RefCell::default(),
            next: Cell::new(0),
        })
    }

    /// Waits for `flags` of a file, or of what is called `name` in a directory.
    ///
    /// What happens from now on is told, even before somebody asks.
    pub(crate) fn add(
        self: &Rc<Self>,
        path: &Path,
        name: Option<&OsStr>,
        flags: WatchFlags,
    ) -> Watch {
        let seat = self.instance.as_ref().and_then(|instance| {
            let wd =
                inotify::add_watch(instance.get_ref(), path, flags | WatchFlags::MASK_ADD).ok()?;
            let id = self.next.get();
            self.next.set(id + 1);
            let (tell, told) = watch::channel(());
            self.seats.borrow_mut().entry(wd).or_default().push(Seat {
                id,
                name: name.map(OsStr::to_owned),
                tell,
            });
            Some((wd, id, told))
        });
        Watch {
            watches: Rc::clone(self),
            seat,
        }
    }

    /// Tells everybody what they wait for, for as long as it is polled.
    pub(crate) async fn run(&self) -> Infallible {
        let Some(instance) = &self.instance else {
            return std::future::pending().await;
        };
        loop {
            let Ok(mut ready) = instance.readable().await else {
                return std::future::pending().await;
            };
            if let Err(Errno::WOULDBLOCK) = self.take(instance.get_ref()) {
                ready.clear_ready();
            }
            tokio::task::yield_now().await;
        }
    }

    /// Tells what one reading gives.
    fn take(&self, instance: &OwnedFd) -> Result<(), Errno> {
        let mut room = [MaybeUninit::uninit(); EVENTS];
        let mut reader = Reader::new(instance, &mut room);
        loop {
            let event = reader.next()?;
            let name = event
                .file_name()
                .map(|name| OsStr::from_bytes(name.to_bytes()));
            self.tell(event.wd(), name, event.events());
            if reader.is_buffer_empty() {
                return Ok(());
            }
        }
    }

    fn tell(&self, wd: i32, name: Option<&OsStr>, what: ReadFlags) {
        let seats = self.seats.borrow();
        let lost = what.contains(ReadFlags::QUEUE_OVERFLOW);
        for (_, seats) in seats.iter().filter(|(of, _)| lost || **of == wd) {
            for seat in seats {
                if lost || name.is_none() || seat.name.is_none() || seat.name.as_deref() == name {
                    seat.tell.send_replace(());
                }
            }
        }
    }
}

impl Watch {
    /// Returns when something happened since it was asked last (or since the beginning); where the kernel
    /// tells nothing, after `blind`.
    pub(crate) async fn changed(&mut self, blind: Duration) {
        match &mut self.seat {
            Some((_, _, told)) => {
                if told.changed().await.is_err() {
                    tokio::time::sleep(blind).await;
                }
            }
            None => tokio::time::sleep(blind).await,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Some((wd, id, _)) = &self.seat else {
            return;
        };
        let mut table = self.watches.seats.borrow_mut();
        let Some(seats) = table.get_mut(wd) else {
            return;
        };
        seats.retain(|seat| seat.id != *id);
        if seats.is_empty() {
            table.remove(wd);
            if let Some(instance) = &self.watches.instance {
                // It is gone already if the file is.
                let _ = inotify::remove_watch(instance.get_ref(), *wd);
            }
        }
    }
}
