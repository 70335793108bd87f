//! The line between front and guardian: one message per packet (unix(7), SOCK_SEQPACKET).
//! Its end of file means that the other side is gone, however it went.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Seek, SeekFrom, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use ward_model::wire::MAX_MESSAGE;

/// One end of the line.
#[derive(Debug)]
pub(crate) struct Line(OwnedFd);

/// What came over the line.
#[derive(Debug)]
pub(crate) enum Heard<T> {
    /// A message.
    Message(T),
    /// Nothing just now.
    Nothing,
    /// The other side is gone.
    Gone,
}

impl Line {
    /// A line's two ends.
    ///
    /// # Errors
    /// As socketpair(2).
    pub(crate) fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok((Self(one), Self(other)))
    }

    /// Its descriptor, to be handed to another process.
    pub(crate) fn into_fd(self) -> OwnedFd {
        self.0
    }

    /// Takes an inherited end.
    pub(crate) fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Says something. A side that is gone or does not listen loses it: nobody waits here.
    pub(crate) fn say<T: Serialize>(&self, message: &T) -> bool {
        let Ok(packet) = serde_json::to_vec(message) else {
            return false;
        };
        if packet.len() > MAX_MESSAGE {
            return false;
        }
        loop {
            match rustix::net::send(&self.0, &packet, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(_) => return true,
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }

    /// Passes on a text of any length, in a file in memory (memfd_create(2)), and a descriptor.
    ///
    /// # Errors
    /// As the system calls.
    pub(crate) fn pass(&self, text: &[u8], other: BorrowedFd<'_>) -> io::Result<()> {
        let memory = rustix::fs::memfd_create(c"ward-order", MemfdFlags::CLOEXEC)?;
        let mut file = File::from(memory);
        file.write_all(text)?;
        file.seek(SeekFrom::Start(0))?;
        let fds = [file.as_fd(), other];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&fds));
        let byte = [IoSlice::new(b"o")];
        rustix::net::sendmsg(&self.0, &byte, &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Waits for what the other side passes on.
    ///
    /// # Errors
    /// As the system calls; `UnexpectedEof` if it passes nothing.
    pub(crate) fn receive(&self) -> io::Result<(OwnedFd, OwnedFd)> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let mut buffers = [IoSliceMut::new(&mut byte)];
        rustix::net::recvmsg(
            &self.0,
            &mut buffers,
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        ancillary
            .drain()
            .find_map(|message| match message {
                RecvAncillaryMessage::ScmRights(mut fds) => fds.next().zip(fds.next()),
                _ => None,
            })
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
    }

    /// Takes the next message without waiting. A message that cannot be understood is
    /// passed over: it is from a version that knows more than we do.
    pub(crate) fn hear<T: DeserializeOwned>(&self) -> Heard<T> {
        let mut buffer = Vec::with_capacity(MAX_MESSAGE);
        loop {
            buffer.clear();
            let room = spare_capacity(&mut buffer);
            match rustix::net::recv(&self.0, room, RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Heard::Gone,
                Ok(_) => {
                    if let Ok(message) = serde_json::from_slice(&buffer) {
                        return Heard::Message(message);
                    }
                }
                // The other side closed without having read all that we said; what it said
                // before is still here.
                Err(Errno::INTR | Errno::CONNRESET) => {}
                Err(Errno::AGAIN) => return Heard::Nothing,
                Err(_) => return Heard::Gone,
            }
        }
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ward_model::wire::ToGuardian;

    #[test]
    fn say_and_hear() {
        let (front, guardian) = Line::pair().expect("a line");
        let message = ToGuardian::Pause { stop_members: true };
        assert!(matches!(guardian.hear::<ToGuardian>(), Heard::Nothing));
        assert!(front.say(&message));
        assert!(front.say(&"from a later version"));
        assert!(front.say(&message));
        for _ in 0..2 {
            assert!(matches!(guardian.hear::<ToGuardian>(), Heard::Message(m) if m == message));
        }
        drop(front);
        assert!(matches!(guardian.hear::<ToGuardian>(), Heard::Gone));
        assert!(!guardian.say(&message));
    }
}
