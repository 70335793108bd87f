//! Listeners and who comes to them, whatever is shown inside: connections and their limits.

use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustix::fs::inotify::WatchFlags;
use rustix::io::Errno;
use rustix::net::sockopt;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::ground::Ground;
use super::meter::{METER, Meter, Phase};
use super::reply::Reply;
use super::settings::Weight;
use super::stream::{Metered, Stream, Visitor};
use crate::listen::{Listener, Socket};
use crate::watch::Watch;

/// How long nobody is let in where there are no files to be opened.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// How often one looks for the file of a socket where the kernel does not tell.
const BLIND: Duration = Duration::from_secs(60);

/// How long until one tries again to have a socket found, at the most.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer that is being made.
pub(crate) type Answering<'a> = Pin<Box<dyn Future<Output = Reply> + 'a>>;

/// What is behind a door: answers everything that is asked there.
pub(crate) trait Rooms {
    /// Answers one request. What is wrong with it is an answer too.
    fn answer(&self, visitor: Visitor, request: Request<Incoming>) -> Answering<'_>;
}

/// The doors of a site.
pub(crate) struct Doors {
    ground: Rc<Ground>,
    doors: Vec<Door>,
}

struct Door {
    listener: Listener,
    guests: Guests,
}

impl Doors {
    /// None yet.
    pub(crate) fn new(ground: Rc<Ground>) -> Self {
        Self {
            ground,
            doors: Vec::new(),
        }
    }

    /// One more, with what is behind it.
    pub(crate) fn open(&mut self, listener: Listener, rooms: Rc<dyn Rooms>) {
        let guests = Guests::new(&self.ground, rooms);
        self.doors.push(Door { listener, guests });
    }

    /// Lets people in, in a `LocalSet`, until it is dropped. Connections go on in that `LocalSet` as long
    /// as the doors are there, and nobody new is let in until this is called again.
    ///
    /// The file of a unix socket that vanishes is made anew.
    pub(crate) async fn run(&mut self) -> Infallible {
        let ground = &self.ground;
        let mut rooms: Vec<Pin<Box<dyn Future<Output = Infallible> + '_>>> =
            vec![Box::pin(ground.watches.run())];
        for door in &mut self.doors {
            rooms.push(Box::pin(serve(door, ground)));
        }
        poll_fn(move |context| {
            for room in &mut rooms {
                match room.as_mut().poll(context) {
                    Poll::Pending => {}
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Cuts off all connections; the listeners are to be removed or handed over.
    pub(crate) fn into_listeners(self) -> Vec<Listener> {
        self.doors.into_iter().map(|door| door.listener).collect()
    }
}

/// What is accepted from.
enum Accepting {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Accepting {
    /// Of a listener, which keeps its socket.
    fn at(listener: &Listener) -> io::Result<Self> {
        Ok(match &listener.socket {
            Socket::Unix(socket) => Self::Unix(UnixListener::from_std(socket.try_clone()?)?),
            Socket::Tcp(socket) => Self::Tcp(TcpListener::from_std(socket.try_clone()?)?),
        })
    }

    fn poll(&self, context: &mut std::task::Context<'_>) -> Poll<io::Result<Stream>> {
        match self {
            Self::Unix(listener) => listener
                .poll_accept(context)
                .map_ok(|(stream, _)| Stream::Unix(stream)),
            Self::Tcp(listener) => listener.poll_accept(context).map_ok(|(stream, _)| {
                // A client whose host is gone is noticed after some hours; nobody waits to send more.
                let _ = sockopt::set_socket_keepalive(&stream, true);
                let _ = stream.set_nodelay(true);
                Stream::Tcp(stream)
            }),
        }
    }
}

async fn serve(door: &mut Door, ground: &Rc<Ground>) -> Infallible {
    let guests = &mut door.guests;
    let mut tell = |line: &str| ground.tell(Weight::Info, line);
    let mut retry = None;
    let mut patience = Duration::from_secs(1);
    loop {
        let accepting = match Accepting::at(&door.listener) {
            Ok(accepting) => accepting,
            Err(error) => {
                ground.tell(Weight::Critical, &format!("Cannot serve: {error}"));
                tokio::time::sleep(PATIENCE).await;
                continue;
            }
        };
        let mut found = Found::watch(&door.listener, ground);
        loop {
            if !door.listener.is_found() && retry.is_none_or(|at| at <= Instant::now()) {
                match door.listener.renew(&mut tell) {
                    Ok(_) => {
                        let path = door.listener.path().map(|path| path.display().to_string());
                        let line = format!(
                            "The socket {} was gone: it is made anew",
                            path.unwrap_or_default()
                        );
                        ground.tell(Weight::Error, &line);
                        retry = None;
                        patience = Duration::from_secs(1);
                        guests.rest(&accepting).await;
                        break;
                    }
                    Err(error) => {
                        let line = format!("Nobody finds the socket any more: {error}");
                        ground.tell(Weight::Error, &line);
                        retry = Some(Instant::now() + patience);
                        patience = (patience * 2).min(PATIENCE);
                    }
                }
            } else if door.listener.is_found() {
                retry = None;
            }
            let again = retry.unwrap_or_else(Instant::now);
            tokio::select! {
                accepted = poll_fn(|context| accepting.poll(context)) => guests.received(accepted).await,
                () = found.lost() => {}
                () = tokio::time::sleep_until(again), if retry.is_some() => {}
                Some(_) = guests.tasks.join_next(), if !guests.tasks.is_empty() => {}
            }
        }
    }
}

/// Tells when a socket may not be found any more.
struct Found(Option<(Watch, Watch)>);

impl Found {
    fn watch(listener: &Listener, ground: &Rc<Ground>) -> Self {
        Self(listener.path().map(|path| {
            // The socket itself, not what happens beside it: directories of temporary files are busy.
            let moved = WatchFlags::MOVE_SELF | WatchFlags::DELETE_SELF;
            let itself = ground.watches.add(path, None, moved | WatchFlags::ATTRIB);
            let around = path.parent().unwrap_or(path);
            (itself, ground.watches.add(around, None, moved))
        }))
    }

    async fn lost(&mut self) {
        match &mut self.0 {
            None => std::future::pending().await,
            Some((itself, around)) => tokio::select! {
                () = itself.changed(BLIND) => {}
                () = around.changed(BLIND) => {}
            },
        }
    }
}

/// The connections of a listener.
struct Guests {
    ground: Rc<Ground>,
    rooms: Rc<dyn Rooms>,
    tasks: JoinSet<()>,
    here: Rc<RefCell<HashMap<u64, Guest>>>,
    next: u64,
    exhausted: bool,
}

struct Guest {
    meter: Rc<Meter>,
    task: AbortHandle,
}

/// Leaves the list when its connection ends, however that is.
struct Place {
    number: u64,
    here: Rc<RefCell<HashMap<u64, Guest>>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.here.borrow_mut().remove(&self.number);
    }
}

impl Guests {
    fn new(ground: &Rc<Ground>, rooms: Rc<dyn Rooms>) -> Self {
        Self {
            ground: Rc::clone(ground),
            rooms,
            tasks: JoinSet::new(),
            here: Rc::default(),
            next: 0,
            exhausted: false,
        }
    }

    /// Lets somebody in, or finds out why that cannot be.
    async fn received(&mut self, accepted: io::Result<Stream>) {
        match accepted {
            Ok(stream) => {
                self.exhausted = false;
                self.admit(stream);
            }
            Err(error) => {
                let none_left = matches!(
                    Errno::from_io_error(&error),
                    Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
                );
                if none_left {
                    if !self.exhausted {
                        let line = format!("A connection cannot be taken: {error}");
                        self.ground.tell(Weight::Error, &line);
                    }
                    self.exhausted = true;
                    self.dismiss();
                    tokio::time::sleep(EXHAUSTED).await;
                }
            }
        }
    }

    /// Lets everybody in who waits at a socket that is given up.
    async fn rest(&mut self, accepting: &Accepting) {
        loop {
            let waiting = poll_fn(|context| match accepting.poll(context) {
                Poll::Ready(Ok(stream)) => Poll::Ready(Some(stream)),
                Poll::Ready(Err(_)) | Poll::Pending => Poll::Ready(None),
            });
            match waiting.await {
                Some(stream) => self.admit(stream),
                None => return,
            }
        }
    }

    fn admit(&mut self, stream: Stream) {
        let full = self.here.borrow().len() >= self.ground.limits.connections;
        if full && !self.dismiss() {
            stream.try_say(self.ground.full);
            return;
        }
        let number = self.next;
        self.next += 1;
        let meter = Rc::new(Meter::new());
        let place = Place {
            number,
            here: Rc::clone(&self.here),
        };
        let attending = attend(
            stream,
            Rc::clone(&meter),
            (Rc::clone(&self.ground), Rc::clone(&self.rooms)),
            place,
        );
        let task = self.tasks.spawn_local(attending);
        self.here.borrow_mut().insert(number, Guest { meter, task });
    }

    /// Cuts off the connection of least use, if there is one that may be.
    fn dismiss(&self) -> bool {
        let mut here = self.here.borrow_mut();
        let least = here
            .iter()
            .filter_map(|(number, guest)| Some((guest.meter.worthless()?, *number)))
            .max();
        let dismissed = least.and_then(|(_, number)| here.remove(&number));
        drop(here);
        match dismissed {
            Some(guest) => {
                guest.task.abort();
                true
            }
            None => false,
        }
    }
}

async fn attend(
    stream: Stream,
    meter: Rc<Meter>,
    (ground, rooms): (Rc<Ground>, Rc<dyn Rooms>),
    place: Place,
) {
    let limits = &ground.limits;
    let visitor = stream.visitor();
    let service = service_fn(|request| {
        meter.enter(Phase::Busy);
        let answering = rooms.answer(visitor, request);
        let meter = &meter;
        async move { Ok::<_, Infallible>(answering.await.map(|body| body.metered(meter))) }
    });
    let connection = http1::Builder::new()
        .title_case_headers(true)
        .max_buf_size(limits.head_bytes.max(8192))
        .serve_connection(
            TokioIo::new(Metered::new(stream, Rc::clone(&meter))),
            service,
        );
    tokio::select! {
        // Whatever ends a connection ends it for its client, too: there is nobody else to tell.
        _ = METER.scope(Rc::clone(&meter), connection) => {}
        () = meter.overdue(limits) => {}
    }
    drop(place);
}
