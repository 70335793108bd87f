//! The supervisor's server: its doors and what is behind them.

use std::convert::Infallible;
use std::io;
use std::rc::Rc;

use ward_supervise::api::Control;

use super::authentication::Credentials;
use super::doors::Doors;
use super::route::Counter;
use super::settings::Settings;
use super::site::Site;
use crate::listen::Listener;

/// A server with its listeners, for one supervisor.
pub struct Server {
    site: Rc<Site>,
    doors: Doors,
}

impl Server {
    /// Without a listener yet. Within a tokio runtime that has I/O and time.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn new(control: Rc<dyn Control>, settings: Settings) -> io::Result<Self> {
        let site = Rc::new(Site::new(control, settings)?);
        let doors = Doors::new(Rc::clone(&site.ground));
        Ok(Self { site, doors })
    }

    /// One more listener; without `credentials` everybody who can connect may do everything.
    pub fn listen(&mut self, listener: Listener, credentials: Option<Credentials>) {
        let counter = Counter::new(&self.site, credentials);
        self.doors.open(listener, Rc::new(counter));
    }

    /// Serves, in a `LocalSet`, until it is dropped. Connections go on in that `LocalSet` as long as the
    /// server is there, and nobody new is let in until this is called again.
    ///
    /// The file of a unix socket that vanishes is made anew.
    pub async fn run(&mut self) -> Infallible {
        self.doors.run().await
    }

    /// Cuts off all connections; the listeners are to be removed or handed over.
    #[must_use]
    pub fn into_listeners(self) -> Vec<Listener> {
        self.doors.into_listeners()
    }
}
