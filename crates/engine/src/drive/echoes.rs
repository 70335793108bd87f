//! One request that arrives twice: both keepers of a daemon hear signals, and the front passes
//! what it hears on to the guardian. Who signals both asks once.
//!
//! Only ever drops what came already by the other way from the same process: a request that came
//! one way only is always new.

use ward_model::signal::Signal;
use ward_model::wire::ToGuardian;

/// More than anybody sends while one of them is on its way.
const REMEMBERED: usize = 16;

/// Which way a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// As a signal to ourselves.
    Direct,
    /// Passed on by the front.
    Passed,
}

/// What came one way and may come the other way too.
#[derive(Debug, Default)]
pub(super) struct Echoes {
    awaited: Vec<(Signal, i32, Way)>,
    orders: Vec<(u16, i32)>,
}

impl Echoes {
    /// Whether this came already, by the other way.
    pub(super) fn is_echo(&mut self, message: &ToGuardian, way: Way) -> bool {
        let (signal, sender) = match message {
            ToGuardian::Stop {
                signal,
                sender: Some(sender),
                order: None,
                ..
            } => (signal, sender.pid),
            ToGuardian::Forward {
                signal,
                sender: Some(sender),
            } => (signal, *sender),
            ToGuardian::Stop { .. }
            | ToGuardian::Forward { .. }
            | ToGuardian::Pause { .. }
            | ToGuardian::Resume { .. } => return false,
        };
        let same = |(known, pid, other): &(Signal, i32, Way)| {
            known == signal && *pid == sender && *other != way
        };
        if let Some(at) = self.awaited.iter().position(same) {
            self.awaited.remove(at);
            return true;
        }
        if self.awaited.len() == REMEMBERED {
            self.awaited.remove(0);
        }
        self.awaited.push((*signal, sender, way));
        false
    }

    /// Whether an order of `ward stop`, which numbers them, is not known yet.
    pub(super) fn is_new(&mut self, request: u16, sender: i32) -> bool {
        let order = (request, sender);
        if self.orders.contains(&order) {
            return false;
        }
        if self.orders.len() == REMEMBERED {
            self.orders.remove(0);
        }
        self.orders.push(order);
        true
    }

    /// Nothing is passed on any more.
    pub(super) fn front_is_gone(&mut self) {
        self.awaited.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ward_model::report::Sender;
    use ward_model::wire::Origin;

    fn stop(pid: i32) -> ToGuardian {
        ToGuardian::Stop {
            signal: Signal::TERM,
            sender: Some(Sender {
                pid,
                uid: 0,
                command: None,
            }),
            origin: Origin::Process,
            order: None,
        }
    }

    #[test]
    fn who_signals_both_asks_once_and_may_ask_again() {
        let mut echoes = Echoes::default();
        for first in [Way::Direct, Way::Passed] {
            let second = match first {
                Way::Direct => Way::Passed,
                Way::Passed => Way::Direct,
            };
            for _ in 0..2 {
                assert!(!echoes.is_echo(&stop(7), first));
                assert!(echoes.is_echo(&stop(7), second));
            }
        }
    }

    #[test]
    fn what_is_for_the_command_reaches_it_once() {
        let hup = ToGuardian::Forward {
            signal: Signal::HUP,
            sender: Some(7),
        };
        let mut echoes = Echoes::default();
        assert!(!echoes.is_echo(&hup, Way::Direct));
        assert!(!echoes.is_echo(&stop(7), Way::Passed));
        assert!(echoes.is_echo(&hup, Way::Passed));
    }

    #[test]
    fn who_signals_one_of_them_twice_asks_twice() {
        let mut echoes = Echoes::default();
        assert!(!echoes.is_echo(&stop(7), Way::Passed));
        assert!(!echoes.is_echo(&stop(7), Way::Passed));
        assert!(!echoes.is_echo(&stop(8), Way::Direct));
    }

    #[test]
    fn orders_are_known_by_number_and_sender() {
        let mut echoes = Echoes::default();
        assert!(echoes.is_new(1, 7));
        assert!(!echoes.is_new(1, 7));
        assert!(echoes.is_new(1, 8));
        assert!(echoes.is_new(2, 7));
        assert!(!echoes.is_new(1, 7));
    }
}
