//! Who guesses passwords has to wait: by where they come from, and by whose password it is.
//!
//! Nobody is locked out: the right password is let in after the pause. No clock and no waiting here.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

/// So many wrong ones are free: people mistype.
const FREE: u32 = 3;

/// The first pause; each further one is twice as long.
const FIRST: Duration = Duration::from_millis(250);

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(8);

/// After so long without a wrong one all is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// How many addresses, and how many names, are remembered.
const MAX_REMEMBERED: usize = 4096;

/// Wrong passwords of late.
#[derive(Debug, Default)]
pub(super) struct Brake {
    addresses: Failures<IpAddr>,
    names: Failures<String>,
}

#[derive(Debug)]
struct Failures<K>(HashMap<K, (u32, Instant)>);

impl<K> Default for Failures<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl Brake {
    /// How long somebody has to wait before their password is looked at.
    pub(super) fn pause(&mut self, address: Option<IpAddr>, name: &str, now: Instant) -> Duration {
        let by_name = self.names.count(&name.to_owned(), now);
        let by_address = counted(address).map_or(0, |address| self.addresses.count(&address, now));
        let failures = by_name.max(by_address);
        match failures.checked_sub(FREE) {
            None | Some(0) => Duration::ZERO,
            Some(more) => LONGEST.min(FIRST * 2_u32.pow((more - 1).min(8))),
        }
    }

    /// A wrong password came.
    pub(super) fn failed(&mut self, address: Option<IpAddr>, name: &str, now: Instant) {
        self.names.add(name.to_owned(), now);
        if let Some(address) = counted(address) {
            self.addresses.add(address, now);
        }
    }
}

/// Everybody behind a proxy on this host comes from this host: they are told apart by name alone. Who has
/// one address of IPv6 has all of its network.
fn counted(address: Option<IpAddr>) -> Option<IpAddr> {
    match address? {
        address if address.is_loopback() => None,
        IpAddr::V4(address) => Some(IpAddr::V4(address)),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Some(IpAddr::from([a, b, c, d, 0, 0, 0, 0]))
        }
    }
}

impl<K: Hash + Eq + Clone> Failures<K> {
    fn count(&self, key: &K, now: Instant) -> u32 {
        match self.0.get(key) {
            Some((count, last)) if now.duration_since(*last) < FORGOTTEN => *count,
            Some(_) | None => 0,
        }
    }

    fn add(&mut self, key: K, now: Instant) {
        let count = self.count(&key, now).saturating_add(1);
        if self.0.len() >= MAX_REMEMBERED && !self.0.contains_key(&key) {
            self.0
                .retain(|_, (_, last)| now.duration_since(*last) < FORGOTTEN);
            let oldest = self.0.iter().min_by_key(|(_, (_, last))| *last);
            if self.0.len() >= MAX_REMEMBERED
                && let Some(oldest) = oldest.map(|(key, _)| key.clone())
            {
                self.0.remove(&oldest);
            }
        }
        self.0.insert(key, (count, now));
    }
}

#[cfg(test)]
mod tests {
    use super::{Brake, FORGOTTEN, LONGEST, MAX_REMEMBERED};
    use std::net::IpAddr;
    use std::time::Duration;
    use tokio::time::Instant;

    #[test]
    fn who_guesses_waits_longer_each_time_and_not_for_ever() {
        let mut brake = Brake::default();
        let now = Instant::now();
        let here: Option<IpAddr> = "192.0.2.1".parse().ok();
        let elsewhere: Option<IpAddr> = "192.0.2.2".parse().ok();
        let pauses: Vec<u64> = (0..12)
            .map(|_| {
                brake.failed(here, "alice", now);
                let pause = brake.pause(here, "alice", now);
                u64::try_from(pause.as_millis()).expect("seconds")
            })
            .collect();
        assert_eq!(
            pauses,
            [0, 0, 0, 250, 500, 1000, 2000, 4000, 8000, 8000, 8000, 8000]
        );
        assert_eq!(brake.pause(here, "bob", now), LONGEST);
        assert_eq!(brake.pause(elsewhere, "alice", now), LONGEST);
        assert_eq!(brake.pause(elsewhere, "bob", now), Duration::ZERO);
        assert_eq!(
            brake.pause(here, "alice", now + FORGOTTEN),
            Duration::ZERO,
            "forgotten"
        );
    }

    #[test]
    fn a_proxy_on_this_host_is_nobody() {
        let mut brake = Brake::default();
        let now = Instant::now();
        for number in 0..100 {
            let name = format!("guess{number}");
            brake.failed("127.0.0.1".parse().ok(), &name, now);
        }
        let pause = brake.pause("127.0.0.1".parse().ok(), "alice", now);
        assert_eq!(pause, Duration::ZERO);
    }

    #[test]
    fn a_network_of_ipv6_is_one_place() {
        let mut brake = Brake::default();
        let now = Instant::now();
        for number in 0..10 {
            let address = format!("2001:db8::{number}").parse().ok();
            brake.failed(address, &number.to_string(), now);
        }
        let pause = brake.pause("2001:db8::ffff".parse().ok(), "x", now);
        assert!(pause > Duration::ZERO);
    }

    #[test]
    fn memory_is_bounded() {
        let mut brake = Brake::default();
        let now = Instant::now();
        for number in 0..MAX_REMEMBERED + 10 {
            brake.failed(None, &number.to_string(), now);
        }
        assert!(brake.names.0.len() <= MAX_REMEMBERED);
    }
}
