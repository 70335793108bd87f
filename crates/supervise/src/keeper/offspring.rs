//! The daemon, as its keeper has it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::process::Pid;
use ward_sys::clock;
use ward_sys::shared::SharedNumber;
use ward_sys::spawn::{Group, Launch, SpawnError, Surroundings, own_standard_stream};

use super::role::{self, House};
use super::store::Kept;
use super::wire::{self, Message};

/// What the daemon is called.
pub(super) const DAEMON_NAME: &str = "ward-daemon";

/// Ourselves, whatever has become of the file since.
pub(super) const SELF: &str = "/proc/self/exe";

/// Signals that reach the daemon through its keeper, and the terminal's whole group besides.
const DEAF_TO: [i32; 6] = [1, 2, 3, 10, 12, 15];

/// A daemon that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) pid: Pid,
    pub(super) since: Duration,
    pub(super) ready: bool,
    pub(super) socket: OwnedFd,
    /// From which place on kept descriptors are still to be handed to it.
    handing: Option<usize>,
    /// Whether it is waited for that there is room in the socket.
    pub(super) awaits_room: bool,
}

/// How daemons are started: everything is prepared, and the same for each.
#[derive(Debug)]
pub(super) struct Nursery {
    launch: Launch,
    told: SharedNumber,
    /// A number for the daemon's end of the socket; in between something else is there.
    place: OwnedFd,
    nothing: OwnedFd,
}

/// The environment of this process, and a role.
pub(super) fn environment_with(role: OsString) -> Vec<(OsString, OsString)> {
    let own = std::env::vars_os().filter(|(name, _)| name != role::VARIABLE);
    own.chain([(role::VARIABLE.into(), role)]).collect()
}

/// A command with our own standard streams, or nothing in their place.
pub(super) fn prepare(
    command: &[OsString],
    file: &OsStr,
    role: OsString,
    keep: &[i32],
    silent: bool,
) -> Result<Launch, SpawnError> {
    let stream = |number| {
        if silent {
            open_null()
        } else {
            own_standard_stream(number)
        }
        .map_err(SpawnError::Clone)
    };
    let (stdin, stdout, stderr) = (stream(0)?, stream(1)?, stream(2)?);
    let environment = environment_with(role);
    let environment: Vec<_> = environment
        .iter()
        .map(|(name, value)| (name.as_os_str(), value.as_os_str()))
        .collect();
    let around = Surroundings {
        environment: &environment,
        directory: None,
        credentials: None,
        umask: None,
        nice: None,
        limits: &[],
        group: Group::Same,
        cgroup: None,
        stdio: [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()],
        keep,
        place: &[],
        tell_pid: &[],
    };
    Launch::new(command, &around)?.executing(file)
}

fn open_null() -> io::Result<OwnedFd> {
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    Ok(rustix::fs::open(
        "/dev/null",
        flags,
        rustix::fs::Mode::empty(),
    )?)
}

impl Nursery {
    pub(super) fn new(house: &House) -> Result<Self, SpawnError> {
        let place = open_null().map_err(SpawnError::Clone)?;
        Ok(Self {
            launch: Self::launch(house, &place)?,
            told: SharedNumber::new().map_err(SpawnError::Clone)?,
            place,
            nothing: open_null().map_err(SpawnError::Clone)?,
        })
    }

    fn launch(house: &House, place: &OwnedFd) -> Result<Launch, SpawnError> {
        let mut command = vec![OsString::from(DAEMON_NAME)];
        command.extend(std::env::args_os().skip(1));
        let keep = [
            house.roster_number(),
            house.directory.as_raw_fd(),
            place.as_raw_fd(),
        ];
        let role = role::daemon(house, place);
        Ok(prepare(&command, OsStr::new(SELF), role, &keep, false)?.ignoring(&DEAF_TO))
    }

    /// Prepares everything again: our standard streams are others now.
    pub(super) fn renew(&mut self, house: &House) {
        if let Ok(launch) = Self::launch(house, &self.place) {
            self.launch = launch;
        }
    }

    /// Starts one.
    ///
    /// # Errors
    /// [`SpawnError`], and when there is no socket to be had.
    pub(super) fn start(&mut self) -> Result<Running, SpawnError> {
        let (ours, theirs) = wire::pair().map_err(SpawnError::Clone)?;
        let flags = rustix::io::DupFlags::CLOEXEC;
        rustix::io::dup3(&theirs, &mut self.place, flags)
            .map_err(|error| SpawnError::Clone(error.into()))?;
        drop(theirs);
        let started = self.launch.start(&self.told);
        // As long as we had it open, nobody would see the daemon's end.
        let _ = rustix::io::dup3(&self.nothing, &mut self.place, flags);
        Ok(Running {
            pid: started?,
            since: clock::since_boot(),
            ready: false,
            socket: ours,
            handing: Some(0),
            awaits_room: false,
        })
    }
}

impl Running {
    /// Hands over kept descriptors for as long as there is room. Whether there are more.
    pub(super) fn hand(&mut self, kept: &Kept) -> bool {
        while let Some(from) = self.handing {
            let next = kept.next(from);
            let sent = match next {
                Some((_, key, fd)) => self.send(&Message::Keep(key), &[fd]),
                None => self.send(&Message::AllKept, &[]),
            };
            match sent {
                Ok(()) => self.handing = next.map(|(place, ..)| place + 1),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                // Nobody is there any more: its end will be told.
                Err(_) => self.handing = None,
            }
        }
        false
    }

    pub(super) fn send(&self, message: &Message, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        wire::send(self.socket.as_fd(), message, fds)
    }
}
