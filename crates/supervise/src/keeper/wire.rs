//! What keeper and daemon say to each other: packets of one size on a socket of their own, with
//! descriptors. Everything else is in the roster; a packet from the keeper is only a reason to look.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

use super::roster::Slot;
use crate::api::Stream;

/// The longest key of a kept descriptor, bytes.
pub const KEY_MAX: usize = 47;

/// The name of a kept descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key([u8; KEY_MAX + 1]);

impl Key {
    /// The key of these bytes; none if there are none or more than [`KEY_MAX`].
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() || bytes.len() > KEY_MAX {
            return None;
        }
        let mut key = [0; KEY_MAX + 1];
        key[0] = u8::try_from(bytes.len()).ok()?;
        key[1..=bytes.len()].copy_from_slice(bytes);
        Some(Self(key))
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        let length = usize::from(self.0[0]).min(KEY_MAX);
        &self.0[1..=length]
    }

    fn from_packet(bytes: [u8; KEY_MAX + 1]) -> Option<Self> {
        let length = usize::from(bytes[0]);
        Self::new(bytes.get(1..=length)?)
    }
}

/// A packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    /// To the keeper: the daemon works.
    Ready,
    /// To the keeper: pipes of a process that is about to be made, this many from this stream on. To
    /// the next keeper: one of them.
    Readers(Slot, u32, Stream),
    /// To the keeper: that pipe has ended, and need not be held.
    Drained(Slot, u32, Stream),
    /// To the keeper: keep this descriptor. To the daemon, to the next keeper: it was kept.
    Keep(Key),
    /// To the keeper: let go of it.
    LetGo(Key),
    /// To the daemon: those were all.
    AllKept,
    /// To the daemon: look at the roster.
    Look,
    /// To the next keeper: a process that is not its child.
    Foster(Slot, u32),
}

/// Of a packet, bytes.
pub(super) const PACKET: usize = 64;
/// The most descriptors of a packet.
pub(super) const FDS: usize = 2;

pub(super) type Fds = [Option<OwnedFd>; FDS];

impl Message {
    pub(super) fn encode(&self) -> [u8; PACKET] {
        let none = (0, 0, 0);
        let (kind, (one, two, three), key) = match self {
            Self::Ready => (1, none, None),
            Self::Readers(slot, generation, stream) => {
                (2, place(*slot, *generation, *stream), None)
            }
            Self::Drained(slot, generation, stream) => {
                (3, place(*slot, *generation, *stream), None)
            }
            Self::Keep(key) => (4, none, Some(key)),
            Self::LetGo(key) => (5, none, Some(key)),
            Self::AllKept => (6, none, None),
            Self::Look => (7, none, None),
            Self::Foster(slot, generation) => (8, (slot.number(), *generation, 0), None),
        };
        let mut packet = [0; PACKET];
        for (index, number) in [kind, one, two, three].into_iter().enumerate() {
            packet[index * 4..][..4].copy_from_slice(&u32::to_ne_bytes(number));
        }
        if let Some(key) = key {
            packet[16..].copy_from_slice(&key.0);
        }
        packet
    }

    /// `None` for what is no packet of ours.
    pub(super) fn decode(packet: &[u8]) -> Option<Self> {
        let packet: &[u8; PACKET] = packet.try_into().ok()?;
        let number = |index: usize| {
            let bytes = packet.get(index * 4..index * 4 + 4)?.try_into().ok()?;
            Some(u32::from_ne_bytes(bytes))
        };
        let (one, two, three) = (number(1)?, number(2)?, number(3)?);
        let slot = || Slot::new(usize::try_from(one).ok()?);
        let stream = || Stream::ALL.get(usize::try_from(three).ok()?).copied();
        let key = || Key::from_packet(packet.get(16..)?.try_into().ok()?);
        Some(match number(0)? {
            1 => Self::Ready,
            2 => Self::Readers(slot()?, two, stream()?),
            3 => Self::Drained(slot()?, two, stream()?),
            4 => Self::Keep(key()?),
            5 => Self::LetGo(key()?),
            6 => Self::AllKept,
            7 => Self::Look,
            8 => Self::Foster(slot()?, two),
            _ => return None,
        })
    }
}

fn place(slot: Slot, generation: u32, stream: Stream) -> (u32, u32, u32) {
    let stream = u32::try_from(stream.index()).unwrap_or(0);
    (slot.number(), generation, stream)
}

/// Both ends of a connection.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::SEQPACKET,
        rustix::net::SocketFlags::CLOEXEC | rustix::net::SocketFlags::NONBLOCK,
        None,
    )?)
}

/// Sends a packet, without ever waiting.
///
/// # Errors
/// EAGAIN: there is no room. EPIPE, ECONNRESET: nobody is at the other end.
pub(super) fn send(
    socket: BorrowedFd<'_>,
    message: &Message,
    fds: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let packet = message.encode();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    loop {
        match rustix::net::sendmsg(socket, &[IoSlice::new(&packet)], &mut control, flags) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// What came.
#[derive(Debug)]
pub(super) enum Received {
    /// A packet and the descriptors with it.
    Message(Message, Fds),
    /// Something else, which is to be passed over.
    Rubbish,
    /// Nothing yet.
    Nothing,
    /// Nothing any more: the other side is gone.
    End,
}

/// Takes the next packet, without ever waiting.
pub(super) fn receive(socket: BorrowedFd<'_>) -> Received {
    let mut packet = [0; PACKET];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = loop {
        let mut parts = [IoSliceMut::new(&mut packet)];
        match rustix::net::recvmsg(socket, &mut parts, &mut control, flags) {
            Ok(received) => break received.bytes,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Received::Nothing,
            Err(_) => return Received::End,
        }
    };
    let mut fds = Fds::default();
    let mut places = fds.iter_mut();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            for fd in rights {
                if let Some(place) = places.next() {
                    *place = Some(fd);
                }
            }
        }
    }
    if received == 0 {
        return Received::End;
    }
    match packet.get(..received).and_then(Message::decode) {
        Some(message) => Received::Message(message, fds),
        None => Received::Rubbish,
    }
}

/// Waits until there is room to send, or something to receive; false if that takes too long.
pub(super) fn wait(socket: impl AsFd, to_send: bool, seconds: i64) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let interest = if to_send {
        PollFlags::OUT
    } else {
        PollFlags::IN
    };
    let limit = Timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    };
    loop {
        let mut fds = [PollFd::new(&socket, interest)];
        match poll(&mut fds, Some(&limit)) {
            Ok(0) => return false,
            Err(Errno::INTR) => {}
            Ok(_) | Err(_) => return true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Message> {
        let slot = Slot::new(65_535).expect("a slot");
        let key = Key::new(&[b'k'; KEY_MAX]).expect("a key");
        vec![
            Message::Ready,
            Message::Readers(slot, u32::MAX, Stream::Stdout),
            Message::Drained(slot, 1, Stream::Stderr),
            Message::Keep(key),
            Message::LetGo(Key::new(b"x").expect("a key")),
            Message::AllKept,
            Message::Look,
            Message::Foster(slot, 3),
        ]
    }

    #[test]
    fn packets_are_read_as_they_were_written() {
        for message in all() {
            assert_eq!(Message::decode(&message.encode()), Some(message));
        }
        assert_eq!(Key::new(b""), None);
        assert_eq!(Key::new(&[0; KEY_MAX + 1]), None);
    }

    proptest::proptest! {
        #[test]
        fn rubbish_is_no_packet_and_no_panic(bytes: Vec<u8>, kind in 0u32..10) {
            let _ = Message::decode(&bytes);
            let mut packet = [0xff; PACKET];
            for (to, from) in packet.iter_mut().zip(&bytes) {
                *to = *from;
            }
            packet[..4].copy_from_slice(&kind.to_ne_bytes());
            if let Some(message) = Message::decode(&packet) {
                let again = Message::decode(&message.encode());
                proptest::prop_assert_eq!(again, Some(message));
            }
        }
    }

    #[test]
    fn descriptors_pass_and_the_end_is_seen() {
        let (one, other) = pair().expect("a pair");
        let null = std::fs::File::open("/dev/null").expect("there");
        let message = all()[1];
        send(one.as_fd(), &message, &[null.as_fd(), null.as_fd()]).expect("sent");
        let Received::Message(got, [Some(_), Some(_)]) = receive(other.as_fd()) else {
            panic!("not received");
        };
        assert_eq!(got, message);
        assert!(matches!(receive(other.as_fd()), Received::Nothing));
        rustix::net::send(&one, b"short", SendFlags::empty()).expect("sent");
        assert!(matches!(receive(other.as_fd()), Received::Rubbish));
        while send(one.as_fd(), &Message::Look, &[]).is_ok() {}
        let error = send(one.as_fd(), &Message::Look, &[]).expect_err("full");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(one);
        while let Received::Message(..) = receive(other.as_fd()) {}
        assert!(matches!(receive(other.as_fd()), Received::End));
    }
}
