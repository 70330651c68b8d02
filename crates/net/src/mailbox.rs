//! Letters between two processes of the family, each with a descriptor if need be.
//!
//! A mailbox is made before the first fork and never closed: whoever writes holds the slot, whoever has the box reads,
//! and what was posted for a process that died is read by its successor. Letters keep their bounds and their order.

use std::io::{self, IoSlice};
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use socket2::SockRef;

/// The longest letter, in bytes: a message of the longest kind and what is said about it.
pub const LETTER_MAX: usize = 70_000;
/// Bytes that the kernel is asked to hold for one mailbox.
const QUEUE_BYTES: usize = 4 << 20;

/// The two ends of a mailbox. Every process has both.
#[derive(Debug)]
pub struct Mailbox {
    slot: OwnedFd,
    tray: OwnedFd,
}

/// What came with a letter's bytes.
#[derive(Debug)]
pub struct Letter {
    /// How many bytes were read into the buffer.
    pub length: usize,
    /// The descriptor that was enclosed.
    pub enclosed: Option<OwnedFd>,
}

impl Mailbox {
    /// Makes a mailbox.
    pub fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let (slot, tray) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        SockRef::from(&slot).set_send_buffer_size(QUEUE_BYTES)?;
        Ok(Self { slot, tray })
    }

    /// Posts one letter made of `parts`, with a duplicate of `enclosed`. Never waits: a full box is
    /// [`io::ErrorKind::WouldBlock`].
    pub fn post(&self, parts: &[&[u8]], enclosed: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let slices: smallvec::SmallVec<[IoSlice<'_>; 4]> =
            parts.iter().map(|part| IoSlice::new(part)).collect();
        let fds: [RawFd; 1] = [enclosed.map_or(-1, |fd| fd.as_raw_fd())];
        let rights = [nix::sys::socket::ControlMessage::ScmRights(&fds)];
        let control = if enclosed.is_some() { &rights[..] } else { &[] };
        let flags = nix::sys::socket::MsgFlags::MSG_NOSIGNAL | nix::sys::socket::MsgFlags::MSG_DONTWAIT;
        nix::sys::socket::sendmsg::<()>(self.slot.as_raw_fd(), &slices, control, flags, None)?;
        Ok(())
    }

    /// Takes the next letter; `None` when the box is empty. `buffer` is overwritten; [`LETTER_MAX`] bytes hold any.
    pub fn take(&self, buffer: &mut [u8]) -> io::Result<Option<Letter>> {
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
        Ok(Some(Letter { length: length as usize, enclosed: enclosed(&head) }))
    }

    /// Copies the next letter into `buffer` and leaves it in the box, without what is enclosed. Returns its length; `None`
    /// when the box is empty.
    pub fn look(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        use nix::sys::socket::{MsgFlags, recv};
        match recv(self.tray.as_raw_fd(), buffer, MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT) {
            Ok(length) => Ok(Some(length)),
            Err(nix::Error::EAGAIN) => Ok(None),
            Err(cause) => Err(cause.into()),
        }
    }

    /// Throws the next letter away: it was looked at, and what it says is done.
    pub fn discard(&self) -> io::Result<()> {
        use nix::sys::socket::{MsgFlags, recv};
        recv(self.tray.as_raw_fd(), &mut [0], MsgFlags::MSG_DONTWAIT)?;
        Ok(())
    }

    /// Becomes readable when a letter comes.
    pub fn bell(&self) -> BorrowedFd<'_> {
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
            // SAFETY: the data of SCM_RIGHTS begins with one descriptor; letters carry no more.
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
        let mut buffer = vec![0; LETTER_MAX];
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
        let letter = mailbox.take(&mut [0; 8]).unwrap().unwrap();
        let mut passed = TcpStream::from(letter.enclosed.unwrap());
        passed.write_all(b"hello").unwrap();
        let mut said = [0; 5];
        client.read_exact(&mut said).unwrap();
        assert_eq!(&said, b"hello");
    }

    #[test]
    fn a_letter_stays_until_what_it_says_is_done() {
        let mailbox = Mailbox::open().unwrap();
        let mut buffer = vec![0; LETTER_MAX];
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
    fn a_full_box_says_so_at_once() {
        let mailbox = Mailbox::open().unwrap();
        let letter = vec![0; 60_000];
        let refused = (0..10_000).find_map(|_| mailbox.post(&[&letter], None).err()).unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        assert!(mailbox.take(&mut vec![0; LETTER_MAX]).unwrap().is_some());
    }
}
