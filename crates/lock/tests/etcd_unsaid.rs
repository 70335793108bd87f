//! What people do to a cluster's locks, where an answer is lost: of each request in turn, once. Whatever was
//! asked for is then done and said so, or not done and said so, or said not to be known.
//!
//! A real member, behind somebody who keeps one answer to himself; where there is no etcd this says so and
//! tests nothing.

#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use ward_lock::etcd::Settings;
use ward_lock::hosts::Hosts;
use ward_lock::{LockError, Locks as _, Patience, Record, Request};
use ward_testkit::etcd::Members;

type Result<T = ()> = anyhow::Result<T>;

/// Long enough that nobody's ends by itself.
const LEASE: Duration = Duration::from_secs(60);

/// No deed takes as many requests.
const REQUESTS: i64 = 24;

/// Hands everything on, but for one answer.
struct Between {
    at: SocketAddr,
    /// So many requests more are answered before that; negative, once it is lost.
    left: Arc<AtomicI64>,
}

impl Between {
    fn new(member: &str) -> Result<Self> {
        let member: SocketAddr = member.trim_start_matches("http://").parse()?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let at = listener.local_addr()?;
        let left = Arc::new(AtomicI64::new(-1));
        let counted = Arc::clone(&left);
        // It ends with the test's process.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let left = Arc::clone(&counted);
                thread::spawn(move || hand_on(client, member, &left));
            }
        });
        Ok(Self { at, left })
    }

    fn lose(&self, request: i64) {
        self.left.store(request, Ordering::SeqCst);
    }

    /// Whether an answer was lost since.
    fn has_lost(&self) -> bool {
        self.left.load(Ordering::SeqCst) < 0
    }
}

fn hand_on(mut client: TcpStream, member: SocketAddr, left: &AtomicI64) -> Option<()> {
    let mut server = TcpStream::connect(member).ok()?;
    let mut back = (server.try_clone().ok()?, client.try_clone().ok()?);
    let mut bytes = vec![0; 1 << 16];
    // Answers, as they come; nothing is read of them once one is lost.
    let (loses, lost) = std::sync::mpsc::channel::<()>();
    let answers = thread::spawn(move || {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(count @ 1..) = back.0.read(&mut bytes) {
            if lost.try_recv().is_ok() {
                break;
            }
            if back.1.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        let _ = back.1.shutdown(Shutdown::Both);
    });
    while let Ok(count @ 1..) = client.read(&mut bytes) {
        let is_request = bytes[..count].starts_with(b"POST ");
        if is_request && left.fetch_sub(1, Ordering::SeqCst) == 0 {
            let _ = loses.send(());
        }
        if server.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
    answers.join().ok()
}

fn hosts(endpoints: Vec<String>, prefix: &str) -> Result<Hosts> {
    let settings = Settings {
        endpoints,
        timeout: Duration::from_secs(5),
        ..Settings::default()
    };
    Ok(Hosts::new(settings, Some(prefix), LEASE)?)
}

/// Who holds it, as somebody sees it whom nothing keeps from it.
fn holders(clear: &Hosts) -> Result<Vec<Record>> {
    Ok(clear.show("it")?.holders)
}

/// Tries something with each answer lost once, by a member alone and by one of two; `told` says whether
/// what it returned is so.
fn with_each_answer_lost<T>(
    before: impl Fn(&Hosts) -> Result<T>,
    deed: impl Fn(&Hosts) -> std::result::Result<(), LockError>,
    told: impl Fn(&Hosts, std::result::Result<(), LockError>, T) -> Result,
) -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let member = members.endpoints().pop().context("a member")?;
    let between = Between::new(&member)?;
    let mut lost = 0;
    for alone in [true, false] {
        for request in 0..REQUESTS {
            let prefix = format!("/{alone}-{request}");
            let clear = hosts(vec![member.clone()], &prefix)?;
            let mut endpoints = vec![format!("http://{}", between.at)];
            if !alone {
                endpoints.push(member.clone());
            }
            let kept = before(&clear)?;
            between.lose(request);
            let done = deed(&hosts(endpoints, &prefix)?);
            lost += usize::from(between.has_lost());
            let text = format!("alone: {alone}, answer {request} lost: {done:?}");
            between.lose(-1);
            told(&clear, done, kept).context(text)?;
        }
    }
    ensure!(lost >= 6, "only {lost} answers were lost");
    ensure!(
        lost < 2 * usize::try_from(REQUESTS)?,
        "there are more requests"
    );
    Ok(())
}

fn wanted() -> Request {
    Request {
        why: Some("moving".into()),
        ..Request::exclusive("it").expect("a name")
    }
}

#[test]
fn what_is_reserved_is_said_to_be() -> Result {
    let free = |_: &Hosts| Ok(());
    for time in [None, Some(LEASE)] {
        with_each_answer_lost(
            free,
            |hosts| hosts.reserve(&wanted(), Patience::For(LEASE), time, None),
            |clear, done, ()| {
                let holders = holders(clear)?;
                match done {
                    Ok(()) => ensure!(holders.len() == 1 && holders[0].reserved, "{holders:?}"),
                    Err(LockError::HalfDone { .. }) => {}
                    Err(_) => ensure!(holders.iter().all(|it| !it.reserved), "{holders:?}"),
                }
                Ok(())
            },
        )?;
    }
    Ok(())
}

#[test]
fn what_is_taken_is_said_to_be() -> Result {
    let held = |clear: &Hosts| {
        let request = Request {
            why: Some("work".into()),
            ..wanted()
        };
        Ok(clear.acquire(&request, Patience::None, None)?)
    };
    let taken = std::cell::RefCell::new(Vec::new());
    with_each_answer_lost(
        held,
        |hosts| {
            *taken.borrow_mut() = hosts.steal(&wanted(), None)?;
            Ok(())
        },
        |clear, done, mut work| {
            let holders = holders(clear)?;
            let from = taken.take();
            match done {
                Ok(()) => {
                    ensure!(holders.len() == 1 && holders[0].reserved, "{holders:?}");
                    ensure!(
                        from.len() == 1 && from[0].why.as_deref() == Some("work"),
                        "{from:?}"
                    );
                }
                Err(LockError::HalfDone { .. }) => {}
                Err(_) => ensure!(holders.len() == 1 && !holders[0].reserved, "{holders:?}"),
            }
            Ok(work.release()?)
        },
    )
}

#[test]
fn what_is_freed_is_said_to_be() -> Result {
    let held = |clear: &Hosts| Ok(clear.reserve(&wanted(), Patience::None, Some(LEASE), None)?);
    let freed = std::cell::RefCell::new(Vec::new());
    with_each_answer_lost(
        held,
        |hosts| {
            *freed.borrow_mut() = hosts.free("it", None, false, None)?;
            Ok(())
        },
        |clear, done, ()| {
            let left = holders(clear)?;
            let freed = freed.take();
            match done {
                Ok(()) => ensure!(left.is_empty() && freed.len() == 1, "{left:?}, {freed:?}"),
                Err(LockError::HalfDone { .. }) => {}
                Err(error) if left.len() != 1 => bail!("{error:#}: {left:?}"),
                Err(_) => {}
            }
            Ok(())
        },
    )
}
