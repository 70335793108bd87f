//! The build server's site: its doors and what is behind them.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::LocalSet;
use ward_build::api::{Access, Builds};

use super::front::{Front, House};
use super::settings::{SiteSettings, Trust};
use crate::http::Doors;
use crate::listen::Listener;

/// How long clients whose order ended the server have to take their answer.
const LAST_ANSWERS: Duration = Duration::from_millis(50);

/// The build server's site with its listeners: Jenkins' REST, pages, webhooks.
pub struct BuildSite {
    house: Rc<House>,
    doors: Doors,
}

impl BuildSite {
    /// Without a listener yet. Within a tokio runtime that has I/O and time.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn new(
        builds: Arc<dyn Builds>,
        access: Arc<dyn Access>,
        settings: SiteSettings,
    ) -> io::Result<Self> {
        let house = Rc::new(House::new(builds, access, settings)?);
        let doors = Doors::new(Rc::clone(&house.ground));
        Ok(Self { house, doors })
    }

    /// One more listener, and whom those who come there are taken for.
    pub fn listen(&mut self, listener: Listener, trust: Trust) {
        let front = Front::new(&self.house, trust);
        self.doors.open(listener, Rc::new(front));
    }

    /// Serves, in a `LocalSet`, until it is dropped.
    pub async fn run(&mut self) -> Infallible {
        self.doors.run().await
    }

    /// Serves until `stop` is ready; whoever asks at that moment gets an answer still. Makes its own
    /// `LocalSet`.
    pub async fn run_until(&mut self, stop: impl Future<Output = ()>) {
        LocalSet::new()
            .run_until(async {
                tokio::select! {
                    biased;
                    () = stop => {}
                    never = self.run() => match never {},
                }
                // Nothing comes of it but that the last answers are written.
                let last: Result<Infallible, _> =
                    tokio::time::timeout(LAST_ANSWERS, self.run()).await;
                if let Ok(never) = last {
                    match never {}
                }
            })
            .await;
    }

    /// Cuts off all connections; the listeners are to be removed or handed over.
    #[must_use]
    pub fn into_listeners(self) -> Vec<Listener> {
        self.doors.into_listeners()
    }
}
