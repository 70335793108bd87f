//! Addresses of hosts by name.
//!
//! Names that hosts(5) does not have are asked of getent(1): the static binary cannot load
//! name-service modules, and nobody could end a resolver of the C library that hangs.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};

use rustix::event::PollFlags;
use ward_sys::contain::process::Process;

use super::error::{Failure, Trouble};
use super::wait::Limits;

/// As many addresses of one name are tried.
const MOST_ADDRESSES: usize = 8;
/// As much of what getent(1) says is read, bytes.
const LONGEST_LIST: u64 = 16 << 10;

/// The addresses of `host`, at least one.
pub(super) fn addresses(host: &str, limits: &Limits<'_>) -> Result<Vec<IpAddr>, Trouble> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    // Whatever the files say (RFC 6761, section 6.3).
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
    let mut found = in_hosts(&hosts, host);
    if found.is_empty() {
        let list = Asking::start(host)
            .map_err(|_| unknown(host))?
            .answer(limits)?;
        found = first_words(&list);
    }
    let mut seen = HashSet::new();
    found.retain(|address| seen.insert(*address));
    found.truncate(MOST_ADDRESSES);
    if found.is_empty() {
        return Err(unknown(host));
    }
    Ok(found)
}

fn unknown(host: &str) -> Trouble {
    Trouble::Member(Failure::Name(host.to_owned()))
}

/// The addresses that hosts(5) has for a name.
fn in_hosts(hosts: &str, name: &str) -> Vec<IpAddr> {
    let of_line = |line: &str| {
        let line = line.split('#').next().unwrap_or_default();
        let mut fields = line.split_ascii_whitespace();
        let address = fields.next()?.parse().ok()?;
        fields
            .any(|known| known.eq_ignore_ascii_case(name))
            .then_some(address)
    };
    hosts.lines().filter_map(of_line).collect()
}

fn first_words(text: &str) -> Vec<IpAddr> {
    text.lines()
        .filter_map(|line| line.split_ascii_whitespace().next()?.parse().ok())
        .collect()
}

/// A getent(1) that looks for a name; it is ended with this.
struct Asking {
    child: Child,
    held: Option<Process>,
}

impl Asking {
    fn start(host: &str) -> io::Result<Self> {
        let child = Command::new("getent")
            .args(["ahosts", host])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        // Whoever else in this process reaps children may reap this one: its number alone would
        // not be enough to signal it.
        let held = Process::hold(child.id().cast_signed());
        Ok(Self { child, held })
    }

    fn answer(mut self, limits: &Limits<'_>) -> Result<String, Trouble> {
        let Some(pipe) = self.child.stdout.take() else {
            return Ok(String::new());
        };
        let mut pipe = pipe.take(LONGEST_LIST);
        let mut list = Vec::new();
        let mut buffer = [0; 1024];
        loop {
            limits.wait(pipe.get_ref().as_fd(), PollFlags::IN)?;
            match pipe.read(&mut buffer) {
                Ok(0) => return Ok(String::from_utf8_lossy(&list).into_owned()),
                Ok(count) => list.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Ok(String::new()),
            }
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some(held) = &self.held {
            // It has usually ended.
            let _ = held.signal(rustix::process::Signal::KILL.as_raw());
        }
        // Somebody else may have reaped it.
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::super::wait::Waiter;
    use super::*;
    use std::time::Duration;
    use ward_sys::clock::since_boot;

    fn ask(host: &str, time: Duration) -> Result<Vec<IpAddr>, Trouble> {
        let waiter = Waiter::new(None).expect("a timer");
        addresses(host, &waiter.until(since_boot() + time))
    }

    #[test]
    fn names_in_a_file() {
        let hosts = "# x\n10.0.0.1 one One.example # two\n::2\ttwo\nbad two\n10.0.0.2 two";
        let texts = |name: &str| -> Vec<String> {
            let found = in_hosts(hosts, name);
            found.iter().map(IpAddr::to_string).collect()
        };
        assert_eq!(texts("ONE"), ["10.0.0.1"]);
        assert_eq!(texts("two"), ["::2", "10.0.0.2"]);
        assert!(texts("x").is_empty());
    }

    #[test]
    fn addresses_are_taken_as_they_are() {
        let minute = Duration::from_secs(60);
        let expected: Vec<IpAddr> = vec!["::7".parse().expect("an address")];
        assert_eq!(ask("::7", minute).expect("known"), expected);
        assert_eq!(ask("localhost", minute).expect("known").len(), 2);
    }

    #[test]
    fn a_name_that_nobody_has_is_said_to_be_unknown() {
        // Reserved for this (RFC 6761, section 6.4). Where the name service is out of reach it
        // may take its time, and is ended.
        let start = since_boot();
        match ask("ward.invalid", Duration::from_secs(2)) {
            Err(Trouble::Member(Failure::Name(name))) => assert_eq!(name, "ward.invalid"),
            Err(Trouble::Late) => {}
            other => panic!("{other:?}"),
        }
        assert!(since_boot() < start + Duration::from_secs(30));
    }
}
