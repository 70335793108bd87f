//! One member of the cluster: where it is, how it was lately, and the connection to it.

use std::net::SocketAddr;
use std::time::Duration;

use rustls::pki_types::ServerName;
use ward_model::cluster::Endpoint;
use ward_sys::clock::since_boot;

use super::error::{Failure, Trouble};
use super::http::{Answer, Connection, Lines, Request};
use super::names;
use super::settings::SettingsError;
use super::stream::{Stream, Tls};
use super::wait::Limits;

/// How an answer comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// In one piece.
    Whole,
    /// As a stream, of which the first line matters.
    FirstLine,
}

/// One attempt to have something done by a member.
#[derive(Debug)]
pub(super) struct Attempt {
    /// Which member.
    pub(super) member: usize,
    /// How long it may take, since boot.
    pub(super) until: Duration,
    /// Whether the member may have got the request.
    pub(super) sent: bool,
    /// Whether it may have got it more than once.
    pub(super) resent: bool,
}

/// A member.
#[derive(Debug)]
pub(super) struct Member {
    endpoint: Endpoint,
    authority: String,
    tls: Option<Tls>,
    /// Where connections were made to lately; the name is asked for again when none can be.
    addresses: Vec<SocketAddr>,
    connection: Option<Connection>,
    /// When it last answered, and when it last failed, since boot.
    pub(super) heard: Option<Duration>,
    pub(super) failed: Option<Duration>,
}

impl Member {
    /// One that nobody has asked yet.
    pub(super) fn new(
        endpoint: Endpoint,
        tls: Option<std::sync::Arc<rustls::ClientConfig>>,
    ) -> Result<Self, SettingsError> {
        let tls = tls
            .map(|configuration| {
                let name = ServerName::try_from(endpoint.host.clone()).map_err(|_| {
                    SettingsError::Endpoint {
                        endpoint: endpoint.to_string(),
                        why: "its host cannot be in a certificate",
                    }
                })?;
                Ok::<_, SettingsError>(Tls {
                    configuration,
                    name,
                })
            })
            .transpose()?;
        Ok(Self {
            authority: endpoint.authority(),
            endpoint,
            tls,
            addresses: Vec::new(),
            connection: None,
            heard: None,
            failed: None,
        })
    }

    /// The same, with a connection of its own.
    pub(super) fn another(&self) -> Self {
        Self {
            endpoint: self.endpoint.clone(),
            authority: self.authority.clone(),
            tls: self.tls.clone(),
            addresses: self.addresses.clone(),
            connection: None,
            heard: self.heard,
            failed: self.failed,
        }
    }

    /// For messages.
    pub(super) fn name(&self) -> String {
        self.endpoint.to_string()
    }

    /// Puts a request to it, over the connection that there is, or a new one.
    pub(super) fn ask(
        &mut self,
        question: &Question<'_>,
        shape: Shape,
        attempt: &mut Attempt,
        limits: &Limits<'_>,
    ) -> Result<Answer, Trouble> {
        if let Some(mut old) = self.connection.take()
            && old.is_usable()
        {
            match self.ask_over(old, question, shape, attempt, limits) {
                // The member may have been about to end it: that says nothing about the member.
                Err(Trouble::Member(failure)) if failure.is_of_connection() => {
                    attempt.resent |= attempt.sent;
                }
                outcome => return outcome,
            }
        }
        let new = self.connect(limits)?;
        self.ask_over(new, question, shape, attempt, limits)
    }

    /// Puts a request to it whose answer comes line by line, over a connection of its own.
    pub(super) fn ask_for_lines(
        &mut self,
        question: &Question<'_>,
        limits: &Limits<'_>,
    ) -> Result<Result<Lines, Answer>, Trouble> {
        let connection = self.connect(limits)?;
        let request = self.request(question);
        connection.ask_for_lines(&request, &mut false, limits)
    }

    fn ask_over(
        &mut self,
        mut connection: Connection,
        question: &Question<'_>,
        shape: Shape,
        attempt: &mut Attempt,
        limits: &Limits<'_>,
    ) -> Result<Answer, Trouble> {
        let request = self.request(question);
        let (answer, again) = match shape {
            Shape::Whole => {
                let answer = connection.ask(&request, &mut attempt.sent, limits)?;
                (answer, Some(connection))
            }
            Shape::FirstLine => connection.ask_for_line(&request, &mut attempt.sent, limits)?,
        };
        self.connection = again;
        Ok(answer)
    }

    fn request<'a>(&'a self, question: &Question<'a>) -> Request<'a> {
        Request {
            authority: &self.authority,
            path: question.path,
            token: question.token,
            body: question.body,
        }
    }

    /// Connects to the first of its addresses that takes it.
    fn connect(&mut self, limits: &Limits<'_>) -> Result<Connection, Trouble> {
        if !self.addresses.is_empty() {
            match self.connect_to_any(limits) {
                // It may have moved.
                Err(Trouble::Member(Failure::Connect { .. })) => {}
                outcome => return outcome,
            }
        }
        let known = names::addresses(&self.endpoint.host, limits)?;
        let port = self.endpoint.port;
        self.addresses = known
            .into_iter()
            .map(|address| SocketAddr::new(address, port))
            .collect();
        self.connect_to_any(limits)
    }

    fn connect_to_any(&mut self, limits: &Limits<'_>) -> Result<Connection, Trouble> {
        let mut first = None;
        for (index, address) in self.addresses.iter().enumerate() {
            // One that does not answer leaves time for the others.
            let others = u32::try_from(self.addresses.len() - index).unwrap_or(u32::MAX);
            let limits = limits.at_most(since_boot() + limits.left() / others);
            match Stream::connect(*address, self.tls.as_ref(), &limits) {
                Ok(stream) => {
                    self.addresses[..=index].rotate_right(1);
                    return Ok(Connection::new(stream));
                }
                Err(trouble @ (Trouble::Member(_) | Trouble::Late)) => {
                    first = first.or(Some(trouble));
                }
                Err(trouble) => return Err(trouble),
            }
        }
        Err(first.unwrap_or_else(|| Trouble::Member(Failure::Name(self.endpoint.host.clone()))))
    }
}

/// What is put to a member.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) path: &'a str,
    pub(super) token: Option<&'a str>,
    pub(super) body: &'a [u8],
}
