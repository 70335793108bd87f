//! The members together: who is asked, as whom we are logged in, and what they are asked.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use ward_sys::clock::since_boot;

use super::endpoint;
use super::error::{EtcdError, Failure, Trouble};
use super::http::Lines;
use super::member::{Attempt, Member, Question, Shape};
use super::refusal::{Meaning, Refusal};
use super::rotation::Outcome;
use super::settings::{Secret, Settings};
use super::tls;
use super::wait::{Stop, Waiter};
use super::wire::{self, AuthenticateRequest, AuthenticateResponse, Streamed};

/// A cluster: its members, the connections to them, and our login.
///
/// It belongs to one thread at a time. Nothing is sent before something is asked; connections
/// stay open until it is dropped.
pub struct Cluster {
    members: Vec<Member>,
    /// Members in the order in which they are asked: whoever answered last, and at the end
    /// whoever failed last.
    order: Vec<usize>,
    login: Option<(String, Secret)>,
    token: Token,
    waiter: Arc<Waiter>,
    timeout: Duration,
}

/// What stands for our password.
#[derive(Clone)]
enum Token {
    /// To be got.
    Unknown,
    /// None is wanted.
    Unneeded,
    Known(Arc<str>),
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members: Vec<String> = self.members.iter().map(Member::name).collect();
        f.debug_struct("Cluster")
            .field("members", &members)
            .field("order", &self.order)
            .field("user", &self.user())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// Takes the settings and reads the files of certificates. Asks nobody.
    ///
    /// # Errors
    /// [`EtcdError::Settings`] when they do not go together, an endpoint cannot be one, or a file
    /// cannot be used; [`EtcdError::System`] when the kernel gives no timer.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "nothing of them, such as the password, should be left with the caller"
    )]
    pub fn new(settings: Settings) -> Result<Self, EtcdError> {
        settings.check()?;
        let tls_by_default = settings.names_tls();
        let endpoints = settings
            .endpoints
            .iter()
            .map(|text| endpoint::parse(text.trim(), tls_by_default))
            .collect::<Result<Vec<_>, _>>()?;
        let configuration = endpoints
            .iter()
            .any(|endpoint| endpoint.tls)
            .then(|| tls::configuration(&settings))
            .transpose()?;
        let members = endpoints
            .into_iter()
            .map(|endpoint| {
                let configuration = configuration.clone().filter(|_| endpoint.tls);
                Member::new(endpoint, configuration)
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            order: (0..members.len()).collect(),
            members,
            login: settings.user.clone().zip(settings.password.clone()),
            token: Token::Unknown,
            waiter: Arc::new(waiter(None)?),
            timeout: settings.timeout,
        })
    }

    /// The same cluster, by connections of its own. What cancels one cancels the other, until one of
    /// them is told otherwise.
    ///
    /// # Errors
    /// [`EtcdError::System`] when the kernel gives no timer.
    pub fn another(&self) -> Result<Self, EtcdError> {
        let waiter = self.waiter.another().map_err(no_timer)?;
        Ok(Self {
            members: self.members.iter().map(Member::another).collect(),
            order: self.order.clone(),
            login: self.login.clone(),
            token: self.token.clone(),
            waiter: Arc::new(waiter),
            timeout: self.timeout,
        })
    }

    /// From now on, gives up whatever is being waited for as soon as `cancel` is readable, or at
    /// its end of file: requests with [`EtcdError::Cancelled`], a watch with
    /// [`Seen::Cancelled`](super::Seen::Cancelled). Nothing is read from it. `None` takes this
    /// back, so that what is held can be let go.
    ///
    /// # Errors
    /// [`EtcdError::System`] when the kernel gives no timer.
    pub fn cancel_on(&mut self, cancel: Option<OwnedFd>) -> Result<(), EtcdError> {
        self.waiter = Arc::new(waiter(cancel)?);
        Ok(())
    }

    /// How long a request may take, all members and attempts together.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Sets that, from the next request on; zero fails at once.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// The endpoint of the member that is asked next: of whoever answered last, as long as he does.
    #[must_use]
    pub fn member(&self) -> String {
        self.order
            .first()
            .map(|index| self.members[*index].name())
            .unwrap_or_default()
    }

    pub(super) fn waiter(&self) -> Arc<Waiter> {
        Arc::clone(&self.waiter)
    }

    /// Asks a question whose answer is of type `A`.
    pub(super) fn call<A: DeserializeOwned>(
        &mut self,
        doing: &'static str,
        path: &str,
        question: &impl Serialize,
        shape: Shape,
    ) -> Result<Outcome<A>, EtcdError> {
        let body = json(doing, question)?;
        let until = since_boot() + self.timeout;
        self.rotate(doing, until, |cluster, attempt| {
            cluster.ask(attempt, path, &body, shape)
        })
    }

    /// Puts a question to one member.
    pub(super) fn ask<A: DeserializeOwned>(
        &mut self,
        attempt: &mut Attempt,
        path: &str,
        body: &[u8],
        shape: Shape,
    ) -> Result<A, Trouble> {
        let (waiter, token) = (self.waiter(), self.token());
        let limits = waiter.until(attempt.until);
        let question = Question {
            path,
            token: token.as_deref(),
            body,
        };
        let answer = self.members[attempt.member].ask(&question, shape, attempt, &limits)?;
        if answer.status != 200 {
            return Err(Refusal::read(answer.status, &answer.body));
        }
        match shape {
            Shape::Whole => wire::read(&answer.body),
            Shape::FirstLine => match wire::read(&answer.body)? {
                Streamed::Result(value) => Ok(value),
                Streamed::Error(said) => Err(Trouble::Refused(said.into())),
            },
        }
    }

    /// Puts a question to one member whose answers come line by line, without an end.
    pub(super) fn ask_for_lines(
        &mut self,
        attempt: &Attempt,
        path: &str,
        body: &[u8],
    ) -> Result<Lines, Trouble> {
        let (waiter, token) = (self.waiter(), self.token());
        let limits = waiter.until(attempt.until);
        let question = Question {
            path,
            token: token.as_deref(),
            body,
        };
        self.members[attempt.member]
            .ask_for_lines(&question, &limits)?
            .map_err(|answer| Refusal::read(answer.status, &answer.body))
    }

    fn token(&self) -> Option<Arc<str>> {
        match &self.token {
            Token::Known(token) => Some(Arc::clone(token)),
            Token::Unknown | Token::Unneeded => None,
        }
    }

    /// Gets a token for our password, unless there is one, or none is wanted.
    pub(super) fn log_in(&mut self, attempt: &mut Attempt) -> Result<(), Trouble> {
        let (Some((user, password)), Token::Unknown) = (&self.login, &self.token) else {
            return Ok(());
        };
        let body = serde_json::to_vec(&AuthenticateRequest {
            name: user,
            password: password.expose(),
        })
        .map_err(|error| Trouble::System(error.into()))?;
        let answer = self.ask(attempt, "/v3/auth/authenticate", &body, Shape::Whole);
        // Nobody minds how often that is done.
        (attempt.sent, attempt.resent) = (false, false);
        self.token = match answer {
            Ok(AuthenticateResponse { token }) if is_token(&token) => Token::Known(token.into()),
            Ok(_) => {
                let what = "what it gives for the password is no token".to_owned();
                return Err(Trouble::Member(Failure::Foreign(what)));
            }
            Err(Trouble::Refused(refusal)) if refusal.meaning() == Meaning::NoUsers => {
                Token::Unneeded
            }
            Err(trouble) => return Err(trouble),
        };
        Ok(())
    }

    /// That the token is not good, or not any more.
    pub(super) fn forget_token(&mut self) {
        self.token = Token::Unknown;
    }

    pub(super) fn user(&self) -> Option<&str> {
        self.login.as_ref().map(|(user, _)| user.as_str())
    }

    /// Waits for nothing but that this time is over.
    pub(super) fn pause(&self, doing: &'static str, time: Duration) -> Result<(), EtcdError> {
        match self.waiter.until(since_boot() + time).pause(time) {
            Ok(()) | Err(Stop::Late) => Ok(()),
            Err(Stop::Cancelled) => Err(EtcdError::Cancelled {
                doing,
                uncertain: false,
            }),
            Err(Stop::System(source)) => Err(EtcdError::System { doing, source }),
        }
    }

    /// The members in the order in which they are to be asked.
    pub(super) fn order(&self) -> Vec<usize> {
        self.order.clone()
    }

    pub(super) fn name_of(&self, member: usize) -> String {
        self.members[member].name()
    }

    /// When a member was last heard of, since boot.
    pub(super) fn heard(&self, member: usize) -> Option<Duration> {
        self.members[member].heard
    }

    /// Whether a member has failed since then.
    pub(super) fn has_failed_since(&self, member: usize, then: Duration) -> bool {
        self.members[member].failed.is_some_and(|at| at >= then)
    }

    /// That a member answered: it is asked first.
    pub(super) fn succeeded(&mut self, member: usize) {
        self.members[member].heard = Some(since_boot());
        self.order.retain(|index| *index != member);
        self.order.insert(0, member);
    }

    /// That a member did not: the others are asked before it.
    pub(super) fn failed(&mut self, member: usize) {
        self.members[member].failed = Some(since_boot());
        self.order.retain(|index| *index != member);
        self.order.push(member);
    }
}

/// A question as it is sent.
pub(super) fn json(doing: &'static str, question: &impl Serialize) -> Result<Vec<u8>, EtcdError> {
    serde_json::to_vec(question).map_err(|error| EtcdError::System {
        doing,
        source: error.into(),
    })
}

/// Whether it can be put into the head of a request.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn waiter(cancel: Option<OwnedFd>) -> Result<Waiter, EtcdError> {
    Waiter::new(cancel).map_err(no_timer)
}

fn no_timer(source: std::io::Error) -> EtcdError {
    EtcdError::System {
        doing: "answer",
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_may_be_sent_to_another_thread_and_shows_no_secret() {
        fn is_send<T: Send>(_: &T) {}
        let cluster = Cluster::new(Settings {
            endpoints: vec!["a".into(), "[::1]:1".into()],
            user: Some("me".into()),
            password: Some(Secret::new("hunter2")),
            ..Settings::default()
        })
        .expect("a cluster");
        is_send(&cluster);
        let shown = format!("{cluster:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("http://[::1]:1"), "{shown}");
        assert_eq!(cluster.member(), "http://a:2379");
    }

    #[test]
    fn who_answered_is_asked_first_and_who_failed_last() {
        let mut cluster = Cluster::new(Settings {
            endpoints: vec!["a".into(), "b".into(), "c".into()],
            ..Settings::default()
        })
        .expect("a cluster");
        let then = since_boot();
        cluster.failed(0);
        assert_eq!(cluster.order(), [1, 2, 0]);
        assert!(cluster.has_failed_since(0, then));
        assert!(!cluster.has_failed_since(1, then));
        cluster.succeeded(2);
        assert_eq!(cluster.order(), [2, 1, 0]);
    }

    #[test]
    fn tokens() {
        assert!(is_token("aBc.12"));
        assert!(!is_token(""));
        assert!(!is_token("a\r\nX: y"));
        assert!(!is_token("a b"));
    }
}
