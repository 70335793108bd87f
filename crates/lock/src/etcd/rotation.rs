//! Having something done by whichever member can: one after the other, within one time limit.
//!
//! Every member gets its share of half the time, so that one that hangs leaves enough for the
//! others, and for a second round: while a new leader is being elected, which takes one or two
//! seconds, what was put to the others may be lost without a word.

use std::time::Duration;

use ward_sys::clock::since_boot;

use super::cluster::Cluster;
use super::error::{EtcdError, Failure, Trouble};
use super::http::LONGEST;
use super::member::Attempt;
use super::refusal::{Meaning, Refusal};
use super::wait::Stop;

/// The pauses between rounds in which no member could, but one may yet: from this,
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
/// doubled up to this.
const LONGEST_PAUSE: Duration = Duration::from_millis(800);

/// What came of asking.
#[derive(Debug)]
pub(super) struct Outcome<T> {
    pub(super) value: T,
    /// Who answered.
    pub(super) member: usize,
    /// When the attempt began that brought it, since boot.
    pub(super) began: Duration,
    /// Whether an earlier attempt may have been carried out too.
    pub(super) repeated: bool,
}

/// How it has gone so far.
#[derive(Debug)]
struct Tour {
    doing: &'static str,
    until: Duration,
    /// How long a member may take in the first round.
    share: Duration,
    /// Why each of the members could not, when it was last asked.
    failures: Vec<Option<Failure>>,
    /// Whether somebody may have done it, and did not say so.
    uncertain: bool,
    /// Whether a new token was got.
    renewed: bool,
}

impl Cluster {
    /// Lets the members be asked by `ask` until one gives an answer, or it is `until`, since boot.
    pub(super) fn rotate<T>(
        &mut self,
        doing: &'static str,
        until: Duration,
        mut ask: impl FnMut(&mut Self, &mut Attempt) -> Result<T, Trouble>,
    ) -> Result<Outcome<T>, EtcdError> {
        let members = self.order();
        let mut tour = Tour {
            doing,
            until,
            share: share(until.saturating_sub(since_boot()), members.len()),
            failures: members.iter().map(|_| None).collect(),
            uncertain: false,
            renewed: false,
        };
        let waiter = self.waiter();
        let mut pause = None;
        loop {
            for member in self.order() {
                if let Some(outcome) = self.visit(member, pause.is_none(), &mut tour, &mut ask)? {
                    return Ok(outcome);
                }
            }
            let is_settled = tour.failures.iter().enumerate().all(|(member, failure)| {
                failure.as_ref().is_some_and(|failure| {
                    // One that never said a word is not going to.
                    let never_spoke = self.heard(member).is_none();
                    failure.is_settled() || (never_spoke && matches!(failure, Failure::Mute))
                })
            });
            let next = pause.map_or(SHORTEST_PAUSE, |pause: Duration| {
                (pause * 2).min(LONGEST_PAUSE)
            });
            if is_settled || since_boot() + next >= until {
                return Err(self.unreachable(tour));
            }
            match waiter.until(until).pause(next) {
                Ok(()) | Err(Stop::Late) => {}
                Err(stop) => return Err(self.ended(stop.into(), 0, &tour)),
            }
            pause = Some(next);
        }
    }

    /// Lets one member be asked; `None` if another should be.
    fn visit<T>(
        &mut self,
        member: usize,
        is_first_round: bool,
        tour: &mut Tour,
        ask: &mut impl FnMut(&mut Self, &mut Attempt) -> Result<T, Trouble>,
    ) -> Result<Option<Outcome<T>>, EtcdError> {
        loop {
            let began = since_boot();
            let left = tour.until.saturating_sub(began);
            if left.is_zero() {
                return Ok(None);
            }
            let most = if is_first_round {
                tour.share
            } else {
                tour.share.max(left / 2)
            };
            let mut attempt = Attempt {
                member,
                until: began + most.min(left),
                sent: false,
                resent: false,
            };
            let trouble = match self
                .log_in(&mut attempt)
                .and_then(|()| ask(self, &mut attempt))
            {
                Ok(value) => {
                    self.succeeded(member);
                    return Ok(Some(Outcome {
                        value,
                        member,
                        began,
                        repeated: tour.uncertain || attempt.resent,
                    }));
                }
                Err(trouble) => trouble,
            };
            let failure = match trouble {
                Trouble::Member(failure) => {
                    tour.uncertain |= attempt.sent;
                    self.failed(member);
                    failure
                }
                Trouble::Late => {
                    tour.uncertain |= attempt.sent;
                    // What had hardly any time says nothing about the member.
                    if left >= tour.share {
                        self.failed(member);
                    }
                    Failure::Silent(since_boot().saturating_sub(began))
                }
                Trouble::Refused(refusal) => match refusal.meaning() {
                    Meaning::Unavailable { uncertain } => {
                        tour.uncertain |= uncertain && attempt.sent;
                        self.failed(member);
                        Failure::Unavailable(refusal.message)
                    }
                    Meaning::Token if self.user().is_some() && !tour.renewed => {
                        tour.renewed = true;
                        self.forget_token();
                        continue;
                    }
                    _ => {
                        self.succeeded(member);
                        return Err(self.ended(Trouble::Refused(refusal), member, tour));
                    }
                },
                other => {
                    tour.uncertain |= attempt.sent;
                    return Err(self.ended(other, member, tour));
                }
            };
            tour.failures[member] = Some(failure);
            return Ok(None);
        }
    }

    /// What becomes of trouble that no other member would be spared.
    fn ended(&self, trouble: Trouble, member: usize, tour: &Tour) -> EtcdError {
        let doing = tour.doing;
        match trouble {
            Trouble::Refused(refusal) => self.refused(doing, member, refusal),
            Trouble::TooLong => EtcdError::TooLong {
                doing,
                limit: LONGEST,
            },
            Trouble::Cancelled => EtcdError::Cancelled {
                doing,
                uncertain: tour.uncertain,
            },
            Trouble::System(source) => EtcdError::System { doing, source },
            Trouble::Member(failure) => EtcdError::Unreachable {
                doing,
                failures: vec![(self.name_of(member), failure)],
                uncertain: tour.uncertain,
            },
            Trouble::Late => EtcdError::Unreachable {
                doing,
                failures: Vec::new(),
                uncertain: tour.uncertain,
            },
        }
    }

    fn unreachable(&self, tour: Tour) -> EtcdError {
        let failures = tour
            .failures
            .into_iter()
            .enumerate()
            .filter_map(|(member, failure)| Some((self.name_of(member), failure?)))
            .collect();
        EtcdError::Unreachable {
            doing: tour.doing,
            failures,
            uncertain: tour.uncertain,
        }
    }

    /// What a refusal is called.
    pub(super) fn refused(
        &self,
        doing: &'static str,
        member: usize,
        refusal: Refusal,
    ) -> EtcdError {
        let user = self.user().map(str::to_owned);
        match (refusal.meaning(), user) {
            (Meaning::Token | Meaning::Credentials, Some(user)) => EtcdError::Authentication {
                user,
                message: refusal.message,
            },
            (Meaning::Token, None) => EtcdError::Anonymous { doing },
            (Meaning::Denied, user) => EtcdError::Denied { doing, user },
            (Meaning::Full, _) => EtcdError::NoSpace {
                doing,
                member: self.name_of(member),
            },
            (_, _) => EtcdError::Refused {
                doing,
                member: self.name_of(member),
                code: refusal.code,
                message: refusal.message,
            },
        }
    }
}

/// How long one of so many members may take before the next one is asked.
fn share(timeout: Duration, members: usize) -> Duration {
    match u32::try_from(members) {
        Ok(0 | 1) => timeout,
        Ok(members) => timeout / members.saturating_mul(2),
        Err(_) => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::Settings;
    use super::*;

    fn cluster(members: usize, timeout: Duration) -> Cluster {
        Cluster::new(Settings {
            endpoints: (0..members).map(|index| format!("m{index}")).collect(),
            timeout,
            ..Settings::default()
        })
        .expect("a cluster")
    }

    const LONG: Duration = Duration::from_secs(60);

    /// Rotates with these outcomes, one for each attempt; tells who was asked.
    fn tour(
        cluster: &mut Cluster,
        timeout: Duration,
        outcomes: Vec<Result<u8, Trouble>>,
    ) -> (Result<Outcome<u8>, EtcdError>, Vec<usize>) {
        let mut outcomes = outcomes.into_iter();
        let mut asked = Vec::new();
        let until = since_boot() + timeout;
        let outcome = cluster.rotate("be asked", until, |_, attempt| {
            asked.push(attempt.member);
            attempt.sent = true;
            outcomes.next().unwrap_or(Err(Trouble::Late))
        });
        (outcome, asked)
    }

    fn refused(code: u32, message: &str) -> Trouble {
        let message = message.to_owned();
        Trouble::Refused(Refusal { code, message })
    }

    fn nobody() -> Trouble {
        Trouble::Member(Failure::Name("x".into()))
    }

    #[test]
    fn the_next_one_is_asked() {
        let mut cluster = cluster(3, LONG);
        let (outcome, asked) = tour(&mut cluster, LONG, vec![Err(nobody()), Ok(7)]);
        let outcome = outcome.expect("answered");
        assert_eq!((outcome.value, outcome.member), (7, 1));
        assert!(outcome.repeated);
        assert_eq!(asked, [0, 1]);
        let (outcome, asked) = tour(&mut cluster, LONG, vec![Ok(8)]);
        assert!(!outcome.expect("answered").repeated);
        assert_eq!(asked, [1], "who answered stays");
    }

    #[test]
    fn who_is_not_there_is_asked_once_and_who_may_get_ready_again() {
        let mut three = cluster(3, LONG);
        let (outcome, asked) = tour(
            &mut three,
            LONG,
            vec![Err(nobody()), Err(nobody()), Err(nobody()), Ok(1)],
        );
        let error = outcome.expect_err("nobody");
        assert_eq!(asked, [0, 1, 2]);
        for name in ["m0", "m1", "m2"] {
            assert!(error.to_string().contains(name), "{error}");
        }

        let mut two = cluster(2, LONG);
        let (outcome, asked) = tour(
            &mut two,
            LONG,
            vec![
                Err(refused(14, "etcdserver: no leader")),
                Err(nobody()),
                Ok(1),
            ],
        );
        assert!(
            outcome.expect("answered").repeated,
            "the second one took it"
        );
        assert_eq!(asked, [0, 1, 0]);
    }

    #[test]
    fn without_a_leader_nothing_was_done() {
        let mut one = cluster(1, LONG);
        let soon = Duration::from_millis(120);
        let lost = || Err(refused(14, "etcdserver: no leader"));
        let (outcome, asked) = tour(&mut one, soon, vec![lost(), lost(), lost(), lost()]);
        let error = outcome.expect_err("no leader");
        assert!(asked.len() > 1, "{asked:?}");
        assert!(!error.may_have_happened());
        assert!(error.to_string().contains("no leader"), "{error}");
        assert!(error.hint().is_some());
    }

    #[test]
    fn a_refusal_is_final() {
        let mut two = cluster(2, LONG);
        let full = refused(8, "etcdserver: mvcc: database space exceeded");
        let (outcome, asked) = tour(&mut two, LONG, vec![Err(full)]);
        let error = outcome.expect_err("full");
        assert!(matches!(error, EtcdError::NoSpace { .. }), "{error:?}");
        assert!(!error.may_have_happened());
        assert_eq!(asked, [0]);
        let (outcome, _) = tour(
            &mut two,
            LONG,
            vec![Err(refused(3, "etcdserver: user name is empty"))],
        );
        let error = outcome.expect_err("anonymous");
        assert!(matches!(error, EtcdError::Anonymous { .. }), "{error:?}");
    }

    #[test]
    fn one_that_hangs_leaves_time_for_the_others() {
        assert_eq!(share(Duration::from_secs(6), 1), Duration::from_secs(6));
        assert_eq!(share(Duration::from_secs(6), 3), Duration::from_secs(1));
    }
}
