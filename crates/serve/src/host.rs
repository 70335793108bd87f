//! The loop of a daemon: its own events and its clients', in one thread.

use std::convert::Infallible;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::LocalSet;
use ward_supervise::daemon::{Outcome, Supervisor};

use crate::http::Server;

/// How long clients whose order ended the daemon have to take their answer.
const LAST_ANSWERS: Duration = Duration::from_millis(20);

/// Serves until the supervisor has come to its end. Listeners are left to the caller.
///
/// # Errors
/// When the kernel does not tell any more what happens.
pub async fn host(supervisor: &Supervisor, server: &mut Server) -> io::Result<Outcome> {
    let poll: OwnedFd = supervisor.with(|core| core.poll_fd().try_clone_to_owned())?;
    #[expect(
        deprecated,
        reason = "it is unsound for what may change its descriptor, which this cannot; its successor is unsafe to call"
    )]
    let events = AsyncFd::with_interest(poll, Interest::READABLE)?;
    LocalSet::new()
        .run_until(async {
            let outcome = tokio::select! {
                biased;
                outcome = turns(supervisor, &events) => outcome,
                never = server.run() => match never {},
            };
            // Whoever asked for the end hears that it has come.
            let last: Result<Infallible, _> =
                tokio::time::timeout(LAST_ANSWERS, server.run()).await;
            match last {
                Ok(never) => match never {},
                Err(_) => outcome,
            }
        })
        .await
}

async fn turns(supervisor: &Supervisor, events: &AsyncFd<OwnedFd>) -> io::Result<Outcome> {
    loop {
        if let Some(outcome) = supervisor.with(|core| core.outcome()) {
            return Ok(outcome);
        }
        let mut ready = events.readable().await?;
        // Readiness is told once: it is over only when a turn has found nothing.
        if !supervisor.with(ward_supervise::daemon::Core::turn)? {
            ready.clear_ready();
        }
        drop(ready);
        // Clients have their turn too.
        tokio::task::yield_now().await;
    }
}
