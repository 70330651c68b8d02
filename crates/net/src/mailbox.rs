//! Messages between two processes of the family, each with a descriptor if need be.
//!
//! A mailbox is made before the first fork and never closed: every process can write, the process that owns it reads,
//! and what was posted for a process that died is read by its successor. Messages keep their bounds and their order.

use std::io::{self, IoSlice};
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socketpair, sockopt};
use socket2::SockRef;
use thiserror::Error;

/// The longest message, in bytes: a SIP message of the longest kind, and what is said about it.
pub const MAX_MAILBOX_MESSAGE_BYTES: usize = 70_000;
/// Bytes that the kernel is asked to hold for one mailbox.
const QUEUE_BYTES: usize = 4 << 20;

/// A message is longer than [`MAX_MAILBOX_MESSAGE_BYTES`]; nobody could read all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a message of {length} bytes is too long for a mailbox ({MAX_MAILBOX_MESSAGE_BYTES})")]
pub struct TooLong {
    /// Its length in bytes.
    pub length: usize,
}

/// The two ends of a mailbox. Every process has both.
#[derive(Debug)]
pub struct Mailbox {
    slot: OwnedFd,
    tray: OwnedFd,
}

/// What came with a message's bytes.
#[derive(Debug)]
pub struct MailboxMessage {
    /// How many bytes were read into the buffer.
    pub length: usize,
    /// The descriptor that was enclosed.
    pub enclosed: Option<OwnedFd>,
}

impl Mailbox {
    /// Makes a mailbox.
    pub fn open() -> io::Result<Self> {
        Self::with_room(QUEUE_BYTES)
    }

    /// Makes a mailbox that holds about `bytes`, with what the kernel adds to each message. Without the privilege to say so
    /// the kernel has its own limit (`net.core.wmem_max`).
    pub fn with_room(bytes: usize) -> io::Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let (slot, tray) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        if setsockopt(&slot, sockopt::SndBufForce, &bytes).is_err() {
            SockRef::from(&slot).set_send_buffer_size(bytes)?;
        }
        Ok(Self { slot, tray })
    }

    /// Posts one message made of `parts`, with a duplicate of `enclosed`. Never waits.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] for a full box, or when more descriptors are on their way than the system allows: later
    /// it may go. [`io::ErrorKind::InvalidInput`] with [`TooLong`] for a message longer than [`MAX_MAILBOX_MESSAGE_BYTES`].
    pub fn post(&self, parts: &[&[u8]], enclosed: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let length = parts.iter().map(|part| part.len()).sum();
        if length > MAX_MAILBOX_MESSAGE_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, TooLong { length }));
        }
        let slices: smallvec::SmallVec<[IoSlice<'_>; 4]> =
            parts.iter().map(|part| IoSlice::new(part)).collect();
        let fds: [RawFd; 1] = [enclosed.map_or(-1, |fd| fd.as_raw_fd())];
        let rights = [nix::sys::socket::ControlMessage::ScmRights(&fds)];
        let control = if enclosed.is_some() { &rights[..] } else { &[] };
        let flags = nix::sys::socket::MsgFlags::MSG_NOSIGNAL | nix::sys::socket::MsgFlags::MSG_DONTWAIT;
        match nix::sys::socket::sendmsg::<()>(self.slot.as_raw_fd(), &slices, control, flags, None) {
            Ok(_) => Ok(()),
            // unix(7): descriptors on their way count, and buffers may be scarce for a moment.
            Err(Errno::ETOOMANYREFS | Errno::ENOBUFS) => Err(io::ErrorKind::WouldBlock.into()),
            Err(cause) => Err(cause.into()),
        }
    }

    /// Takes the next message; `None` when the box is empty. `buffer` is overwritten; [`MAX_MAILBOX_MESSAGE_BYTES`] bytes hold any.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] when the message is longer than `buffer`: it is lost.
    pub fn take(&self, buffer: &mut [u8]) -> io::Result<Option<MailboxMessage>> {
        let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        // Room for one descriptor and its header, aligned as a header has to be.
        let mut control = [0_u64; 8];
        // SAFETY: msghdr is plain data for which all zero bytes are valid.
        let mut head: libc::msghdr = unsafe { mem::zeroed() };
        head.msg_iov = &raw mut part;
        head.msg_iovlen = 1;
        head.msg_control = control.as_mut_ptr().cast();
        head.msg_controllen = size_of_val(&control) as _;
        let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
        // SAFETY: `head` points to `part`, `buffer` and `control`, with their lengths; all outlive the call.
        let length = unsafe { libc::recvmsg(self.tray.as_raw_fd(), &raw mut head, flags) };
        if length < 0 {
            return match io::Error::last_os_error() {
                e if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
                e => Err(e),
            };
        }
        let enclosed = enclosed(&head);
        if head.msg_flags & libc::MSG_TRUNC != 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Some(MailboxMessage { length: length as usize, enclosed }))
    }

    /// Copies the next message into `buffer` and leaves it in the box, without what is enclosed. Returns its length; `None`
    /// when the box is empty.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] when the message is longer than `buffer`.
    pub fn look(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.peek(buffer)? {
            Some(length) if length > buffer.len() => Err(io::ErrorKind::InvalidData.into()),
            length => Ok(length),
        }
    }

    /// Whether no message is in the box.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.peek(&mut [])?.is_none())
    }

    /// Copies what fits of the next message into `buffer`, and says how long the message is.
    fn peek(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        use nix::sys::socket::{MsgFlags, recv};
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC | MsgFlags::MSG_DONTWAIT;
        match recv(self.tray.as_raw_fd(), buffer, flags) {
            Ok(length) => Ok(Some(length)),
            Err(Errno::EAGAIN) => Ok(None),
            Err(cause) => Err(cause.into()),
        }
    }

    /// Throws the next message away: it was looked at, and what it says is done.
    pub fn discard(&self) -> io::Result<()> {
        use nix::sys::socket::{MsgFlags, recv};
        recv(self.tray.as_raw_fd(), &mut [0], MsgFlags::MSG_DONTWAIT)?;
        Ok(())
    }

    /// Becomes readable when a message comes.
    pub fn wake_fd(&self) -> BorrowedFd<'_> {
        self.tray.as_fd()
    }
}

/// The descriptor that the kernel put into the control part of `head`.
fn enclosed(head: &libc::msghdr) -> Option<OwnedFd> {
    // SAFETY: `head` was filled in by recvmsg and its control buffer is still there.
    let mut at = unsafe { libc::CMSG_FIRSTHDR(head) };
    let mut found = None;
    while !at.is_null() {
        // SAFETY: a header that CMSG_FIRSTHDR or CMSG_NXTHDR names lies within the control buffer.
        let (level, kind, data) = unsafe { ((*at).cmsg_level, (*at).cmsg_type, libc::CMSG_DATA(at)) };
        if level == libc::SOL_SOCKET && kind == libc::SCM_RIGHTS {
            // SAFETY: the data of SCM_RIGHTS begins with one descriptor; messages carry no more.
            let fd: RawFd = unsafe { ptr::read_unaligned(data.cast()) };
            // SAFETY: the kernel made this descriptor for us; nobody else closes it.
            found = Some(unsafe { OwnedFd::from_raw_fd(fd) });
        }
        // SAFETY: as for CMSG_FIRSTHDR.
        at = unsafe { libc::CMSG_NXTHDR(head, at) };
    }
    found
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn letters_keep_their_bounds_and_order() {
        let mailbox = Mailbox::open().unwrap();
        let mut buffer = vec![0; MAX_MAILBOX_MESSAGE_BYTES];
        assert!(mailbox.take(&mut buffer).unwrap().is_none());
        mailbox.post(&[b"ab", b"c"], None).unwrap();
        mailbox.post(&[&[7; 65_600]], None).unwrap();
        let first = mailbox.take(&mut buffer).unwrap().unwrap();
        assert_eq!(&buffer[..first.length], b"abc");
        assert_eq!(mailbox.take(&mut buffer).unwrap().unwrap().length, 65_600);
    }

    #[test]
    fn a_connection_can_be_enclosed() {
        let mailbox = Mailbox::open().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        mailbox.post(&[b"x"], Some(server.as_fd())).unwrap();
        drop(server);
        let message = mailbox.take(&mut [0; 8]).unwrap().unwrap();
        let mut passed = TcpStream::from(message.enclosed.unwrap());
        passed.write_all(b"hello").unwrap();
        let mut said = [0; 5];
        client.read_exact(&mut said).unwrap();
        assert_eq!(&said, b"hello");
    }

    #[test]
    fn a_letter_stays_until_what_it_says_is_done() {
        let mailbox = Mailbox::open().unwrap();
        let mut buffer = vec![0; MAX_MAILBOX_MESSAGE_BYTES];
        assert_eq!(mailbox.look(&mut buffer).unwrap(), None);
        mailbox.post(&[b"first"], None).unwrap();
        mailbox.post(&[b"second"], None).unwrap();
        assert_eq!(mailbox.look(&mut buffer).unwrap(), Some(5));
        assert_eq!(mailbox.look(&mut buffer).unwrap(), Some(5));
        mailbox.discard().unwrap();
        assert_eq!(mailbox.take(&mut buffer).unwrap().unwrap().length, 6);
        assert_eq!(mailbox.look(&mut buffer).unwrap(), None);
    }

    #[test]
    fn a_letter_is_read_whole_or_not_posted() {
        let mailbox = Mailbox::open().unwrap();
        let refused = mailbox.post(&[&[1; MAX_MAILBOX_MESSAGE_BYTES], b"x"], None).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(
            refused.get_ref().and_then(|cause| cause.downcast_ref()),
            Some(&TooLong { length: MAX_MAILBOX_MESSAGE_BYTES + 1 })
        );
        assert!(mailbox.is_empty().unwrap());
        mailbox.post(&[&[1; MAX_MAILBOX_MESSAGE_BYTES]], None).unwrap();
        assert!(!mailbox.is_empty().unwrap());
        assert_eq!(mailbox.look(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(
            mailbox.look(&mut vec![0; MAX_MAILBOX_MESSAGE_BYTES]).unwrap(),
            Some(MAX_MAILBOX_MESSAGE_BYTES)
        );
        assert_eq!(mailbox.take(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(mailbox.is_empty().unwrap());
    }

    #[test]
    fn a_full_box_says_so_at_once() {
        let mailbox = Mailbox::open().unwrap();
        let message = vec![0; 60_000];
        let refused = (0..10_000).find_map(|_| mailbox.post(&[&message], None).err()).unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        assert!(mailbox.take(&mut vec![0; MAX_MAILBOX_MESSAGE_BYTES]).unwrap().is_some());
    }
}
