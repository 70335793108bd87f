//! A socket that hears short messages and knows who sent each of them.
//!
//! The name is abstract (unix(7)): it needs no file, and goes with the socket. Anybody in the
//! same network namespace may send, so every message comes with its sender's credentials,
//! as the kernel tells them; what they are worth is for the caller to decide. Descriptors that
//! come with a message are closed unseen.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use rustix::net::sockopt::set_socket_passcred;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, socket_with};

/// Size of the credentials in a control message, bytes.
#[expect(clippy::cast_possible_truncation, reason = "it is 12")]
const CREDENTIALS: u32 = size_of::<libc::ucred>() as u32;

/// A datagram socket under an abstract name that cannot be guessed. Close-on-exec,
/// non-blocking.
#[derive(Debug)]
pub struct NotifySocket {
    fd: OwnedFd,
    name: String,
}

/// Who sent a message, as seen from our own namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender {
    /// Its process id; 0 if it has none in our process namespace (unix(7)).
    pub pid: i32,
    /// Its real user id, or what it has proved that it may call itself.
    pub uid: u32,
}

/// A message that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram {
    /// Bytes of it, at the beginning of the buffer.
    pub length: usize,
    /// Whether there was more of it than the buffer could take; the rest is lost.
    pub truncated: bool,
    /// Who sent it.
    pub sender: Option<Sender>,
}

impl NotifySocket {
    /// Makes one, under a name with 64 random bits.
    ///
    /// # Errors
    /// As socket(2), setsockopt(2), bind(2) and getrandom(2).
    pub fn new() -> io::Result<Self> {
        let name = format!("ward-notify-{:016x}", random()?);
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        // Before it has a name, so that no message can come without credentials.
        set_socket_passcred(&fd, true)?;
        bind(&fd, &SocketAddrUnix::new_abstract_name(name.as_bytes())?)?;
        Ok(Self { fd, name })
    }

    /// Its abstract name, without the NUL byte or the `@` that people write for it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes the next message, if there is one by now.
    ///
    /// # Errors
    /// As recvmsg(2).
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Datagram>> {
        let mut part = libc::iovec {
            iov_base: buffer.as_mut_ptr().cast(),
            iov_len: buffer.len(),
        };
        // Room for the credentials, which come first, and for nothing else: the kernel closes
        // descriptors that find no room. (rustix would read the credentials into a type whose
        // process id cannot be 0, and strangers do have 0.)
        let mut control = [0u64; 8];
        // SAFETY: arithmetic on its argument only.
        let room = unsafe { libc::CMSG_SPACE(CREDENTIALS) };
        debug_assert!(room as usize <= size_of_val(&control));
        let header = MaybeUninit::<libc::msghdr>::zeroed();
        // SAFETY: of integers and pointers, for all of which zero is a value.
        let mut header = unsafe { header.assume_init() };
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = room as _;
        let length = loop {
            let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
            // SAFETY: the header points to memory that lives on, is ours alone, and is as long
            // as the header says.
            let got = unsafe { libc::recvmsg(self.fd.as_raw_fd(), &raw mut header, flags) };
            if let Ok(length) = usize::try_from(got) {
                break length;
            }
            let error = io::Error::last_os_error();
            match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => return Ok(None),
                _ => return Err(error),
            }
        };
        Ok(Some(Datagram {
            length,
            truncated: header.msg_flags & libc::MSG_TRUNC != 0,
            sender: credentials(&header),
        }))
    }
}

impl AsFd for NotifySocket {
    /// Readable when there is a message.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The credentials in what recvmsg(2) has filled.
fn credentials(header: &libc::msghdr) -> Option<Sender> {
    // SAFETY: the control memory is as long as the header says, and aligned for its headers.
    let first = unsafe { libc::CMSG_FIRSTHDR(header) };
    // SAFETY: null, or a header within that memory.
    let message = unsafe { first.as_ref() }?;
    // SAFETY: arithmetic on its argument only.
    let whole = unsafe { libc::CMSG_LEN(CREDENTIALS) };
    if message.cmsg_level != libc::SOL_SOCKET
        || message.cmsg_type != libc::SCM_CREDENTIALS
        || (message.cmsg_len as usize) < whole as usize
    {
        return None;
    }
    // SAFETY: a header of that memory; what follows it was checked to be there.
    let data = unsafe { libc::CMSG_DATA(first) };
    // SAFETY: as long as the type, and of integers only; its alignment is not relied upon.
    let credentials = unsafe { ptr::read_unaligned(data.cast::<libc::ucred>()) };
    Some(Sender {
        pid: credentials.pid,
        uid: credentials.uid,
    })
}

/// 64 bits that nobody can guess.
fn random() -> io::Result<u64> {
    let mut bits = [0u8; 8];
    loop {
        // SAFETY: the memory is as long as is said. So few bytes come all at once (getrandom(2)).
        let got = unsafe { libc::getrandom(bits.as_mut_ptr().cast(), bits.len(), 0) };
        if got == 8 {
            return Ok(u64::from_ne_bytes(bits));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{SendFlags, sendto};

    fn send(to: &NotifySocket, text: &[u8]) {
        let from = socket_with(
            AddressFamily::UNIX,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            None,
        )
        .expect("a socket");
        let address = SocketAddrUnix::new_abstract_name(to.name().as_bytes()).expect("address");
        sendto(&from, text, SendFlags::empty(), &address).expect("sent");
    }

    #[test]
    fn messages_come_with_their_sender() {
        let socket = NotifySocket::new().expect("a socket");
        let other = NotifySocket::new().expect("a socket");
        assert_ne!(socket.name(), other.name());
        let mut buffer = [0; 16];
        assert_eq!(socket.receive(&mut buffer).expect("nothing"), None);
        send(&socket, b"READY=1");
        let got = socket.receive(&mut buffer).expect("received");
        let us = Sender {
            pid: rustix::process::getpid().as_raw_nonzero().get(),
            uid: rustix::process::getuid().as_raw(),
        };
        let expected = Datagram {
            length: 7,
            truncated: false,
            sender: Some(us),
        };
        assert_eq!(got, Some(expected));
        assert_eq!(&buffer[..7], b"READY=1");
    }

    #[test]
    fn a_long_message_is_cut_and_said_to_be() {
        let socket = NotifySocket::new().expect("a socket");
        send(&socket, &[b'x'; 40]);
        let mut buffer = [0; 16];
        let got = socket.receive(&mut buffer).expect("received").expect("one");
        assert_eq!((got.length, got.truncated), (16, true));
        assert_eq!(socket.receive(&mut buffer).expect("nothing"), None);
    }
}
