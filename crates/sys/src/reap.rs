//! Learning of the end of children, and letting them go.

use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions, WaitStatus, wait, waitid, waitpid};
use std::mem::MaybeUninit;

/// How a child ended or stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It called exit with this status.
    Exited(u8),
    /// This signal ended it, perhaps leaving a core file.
    Signaled(i32, bool),
    /// Job control stopped it by this signal; it is still a child.
    Stopped(i32),
}

impl Status {
    const EXITED: i32 = 1 << 16;
    const SIGNALED: i32 = 1 << 17;
    const CORE: i32 = 1 << 8;

    /// From the number that wait(2) gives for a process that has ended.
    #[must_use]
    pub fn from_wait_status(status: i32) -> Self {
        match status & 0x7f {
            0 => Self::Exited(u8::try_from((status >> 8) & 0xff).unwrap_or(u8::MAX)),
            signal => Self::Signaled(signal, status & CORE_DUMPED != 0),
        }
    }

    /// As a number that is not 0, for a [`crate::shared::SharedNumber`]; `None` for a child
    /// that has not ended.
    #[must_use]
    pub fn to_number(self) -> Option<i32> {
        match self {
            Self::Exited(code) => Some(Self::EXITED | i32::from(code)),
            Self::Signaled(signal, core) => {
                Some(Self::SIGNALED | (signal & 0xff) | if core { Self::CORE } else { 0 })
            }
            Self::Stopped(_) => None,
        }
    }

    /// From a number of [`Status::to_number`].
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        let low = number & 0xff;
        if number & Self::EXITED != 0 {
            return u8::try_from(low).ok().map(Self::Exited);
        }
        (number & Self::SIGNALED != 0).then_some(Self::Signaled(low, number & Self::CORE != 0))
    }
}

/// What asking for children gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaped {
    /// This one ended (and is gone) or stopped.
    Child(Pid, Status),
    /// There are children, and nothing to say of them.
    NothingNew,
    /// There is no child at all: `ECHILD`, the proof that a subreaper's tree is empty.
    NoChildren,
}

const CORE_DUMPED: i32 = 0x80;

fn status_of(status: WaitStatus) -> Option<Status> {
    if let Some(code) = status.exit_status() {
        return Some(Status::Exited(u8::try_from(code & 0xff).unwrap_or(u8::MAX)));
    }
    if let Some(signal) = status.terminating_signal() {
        return Some(Status::Signaled(signal, status.as_raw() & CORE_DUMPED != 0));
    }
    status.stopping_signal().map(Status::Stopped)
}

/// Takes the next child that ended or stopped, without waiting. Before it is taken, `note` is
/// told: should we be killed in between, whoever inherits our notes and our children has the
/// one or the other. Only the one loop that owns all children of this process may call it.
#[must_use]
pub fn next(note: &mut dyn FnMut(Pid, Status)) -> Reaped {
    loop {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        let options = libc::WEXITED | libc::WSTOPPED | libc::WNOHANG | libc::WNOWAIT;
        // SAFETY: the buffer has the right type; nothing is taken.
        let result = unsafe { libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), options) };
        if result != 0 {
            match std::io::Error::last_os_error().raw_os_error() {
                Some(libc::EINTR) => continue,
                _ => return Reaped::NoChildren,
            }
        }
        // SAFETY: zeroed, then filled; every bit pattern is valid.
        let info = unsafe { info.assume_init() };
        // SAFETY: waitid fills this field, or leaves it 0 if there is nothing to tell.
        let pid = unsafe { info.si_pid() };
        // SAFETY: as above.
        let value = unsafe { info.si_status() };
        let Some(pid) = Pid::from_raw(pid) else {
            return Reaped::NothingNew;
        };
        let status = match info.si_code {
            libc::CLD_EXITED => Status::Exited(u8::try_from(value & 0xff).unwrap_or(u8::MAX)),
            libc::CLD_KILLED => Status::Signaled(value, false),
            libc::CLD_DUMPED => Status::Signaled(value, true),
            _ => Status::Stopped(value),
        };
        note(pid, status);
        let taken = match status {
            // Only the stop: who was killed since is met by the next look, with how it ended.
            Status::Stopped(_) => {
                let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
                match waitid(WaitId::Pid(pid), options) {
                    Ok(None) => continue,
                    taken => taken.map(|_| ()),
                }
            }
            Status::Exited(_) | Status::Signaled(..) => {
                waitpid(Some(pid), WaitOptions::NOHANG).map(|_| ())
            }
        };
        match taken {
            Ok(()) => return Reaped::Child(pid, status),
            Err(Errno::INTR) => {}
            Err(_) => return Reaped::NothingNew,
        }
    }
}

/// Takes the next child that ended, whatever made it, without waiting, after `note` was told of it as
/// by [`next`]. Children that stop are not looked at: one that is killed just after it stopped would
/// be taken for stopped, and its status would be lost.
#[must_use]
pub fn next_ended(note: &mut dyn FnMut(Pid, Status)) -> Reaped {
    let ended = || look(libc::P_ALL, 0, libc::WNOWAIT);
    match ended() {
        Ok(Some((pid, status))) => {
            note(pid, status);
            let id = pid.as_raw_nonzero().get().unsigned_abs();
            match look(libc::P_PID, id, 0) {
                Ok(_) => Reaped::Child(pid, status),
                Err(()) => Reaped::NothingNew,
            }
        }
        Ok(None) => Reaped::NothingNew,
        Err(()) => Reaped::NoChildren,
    }
}

/// Whether this is a child of ours, be it alive or not yet reaped.
#[must_use]
pub fn is_own_child(pid: Pid) -> bool {
    let id = pid.as_raw_nonzero().get().unsigned_abs();
    look(libc::P_PID, id, libc::WNOWAIT).is_ok()
}

/// waitid(2) for children that have ended, without waiting; an error is ECHILD.
fn look(
    kind: libc::idtype_t,
    id: libc::id_t,
    option: libc::c_int,
) -> Result<Option<(Pid, Status)>, ()> {
    let options = libc::WEXITED | libc::WNOHANG | libc::__WALL | option;
    loop {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: the buffer has the right type.
        let result = unsafe { libc::waitid(kind, id, info.as_mut_ptr(), options) };
        if result != 0 {
            match std::io::Error::last_os_error().raw_os_error() {
                Some(libc::EINTR) => continue,
                _ => return Err(()),
            }
        }
        // SAFETY: zeroed, then filled; every bit pattern is valid.
        let info = unsafe { info.assume_init() };
        // SAFETY: waitid fills this field, or leaves it 0 if there is nothing to tell.
        let pid = unsafe { info.si_pid() };
        // SAFETY: as above.
        let value = unsafe { info.si_status() };
        let status = match info.si_code {
            libc::CLD_EXITED => Status::Exited(u8::try_from(value & 0xff).unwrap_or(u8::MAX)),
            libc::CLD_DUMPED => Status::Signaled(value, true),
            _ => Status::Signaled(value, false),
        };
        return Ok(Pid::from_raw(pid).map(|pid| (pid, status)));
    }
}

/// Takes the next child that ended or stopped, without waiting, and tells nobody before: for
/// children of whose status nobody must know. Cheaper than [`next`] by one call each; otherwise
/// the same.
#[must_use]
pub fn next_unnoted() -> Reaped {
    loop {
        match wait(WaitOptions::NOHANG | WaitOptions::UNTRACED) {
            Ok(Some((pid, status))) => {
                // Neither CONTINUED nor ptrace was asked for: it ended or stopped.
                let status = status_of(status).unwrap_or(Status::Stopped(0));
                return Reaped::Child(pid, status);
            }
            Ok(None) => return Reaped::NothingNew,
            Err(Errno::INTR) => {}
            Err(_) => return Reaped::NoChildren,
        }
    }
}

/// Waits for one child to end. `None` if it is not our child.
#[must_use = "the child may not have been ours"]
pub fn wait_for_status(pid: Pid) -> Option<Status> {
    loop {
        match waitpid(Some(pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => return status_of(status),
            Ok(None) | Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
}

/// Waits for one child to end, whatever its status.
pub(crate) fn wait_for(pid: Pid) {
    let _ = wait_for_status(pid);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_survive_as_numbers() {
        for status in [
            Status::Exited(0),
            Status::Exited(255),
            Status::Signaled(9, false),
            Status::Signaled(11, true),
        ] {
            let number = status.to_number().expect("an end");
            assert_ne!(number, 0);
            assert_eq!(Status::from_number(number), Some(status));
        }
        assert_eq!(Status::Stopped(19).to_number(), None);
        assert_eq!(Status::from_number(0), None);
    }

    #[test]
    #[expect(clippy::zombie_processes, reason = "it is taken by what is tested")]
    fn a_child_is_noted_before_it_is_taken() {
        let child = std::process::Command::new("sh")
            .args(["-c", "exit 7"])
            .spawn()
            .expect("sh");
        let pid = Pid::from_child(&child);
        let mut noted = None;
        loop {
            match next(&mut |who, status| noted = Some((who, status))) {
                Reaped::Child(who, status) => {
                    assert_eq!((who, status), (pid, Status::Exited(7)));
                    break;
                }
                Reaped::NothingNew => std::thread::yield_now(),
                Reaped::NoChildren => panic!("the child was lost"),
            }
        }
        assert_eq!(noted, Some((pid, Status::Exited(7))));

        // Here too, as others' children must not be taken: one that is killed just after its stop was seen.
        let child = std::process::Command::new("sh")
            .args(["-c", "kill -STOP $$"])
            .spawn()
            .expect("sh");
        let pid = Pid::from_child(&child);
        let mut kill = |who: Pid, status| {
            if matches!(status, Status::Stopped(_)) {
                rustix::process::kill_process(who, rustix::process::Signal::KILL).expect("killed");
                let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
                waitid(WaitId::Pid(who), ended).expect("ended");
            }
        };
        loop {
            match next(&mut kill) {
                Reaped::Child(who, status) => {
                    assert_eq!((who, status), (pid, Status::Signaled(9, false)));
                    break;
                }
                Reaped::NothingNew => std::thread::yield_now(),
                Reaped::NoChildren => panic!("its end was lost"),
            }
        }
    }

    #[test]
    fn a_wait_status_says_how_it_ended() {
        assert_eq!(Status::from_wait_status(0), Status::Exited(0));
        assert_eq!(Status::from_wait_status(0x2a00), Status::Exited(42));
        assert_eq!(Status::from_wait_status(9), Status::Signaled(9, false));
        assert_eq!(Status::from_wait_status(0x8b), Status::Signaled(11, true));
    }
}
