//! Many datagrams, one system call: recvmmsg and sendmmsg.

use std::io;
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;

/// Datagrams taken by one system call at the most.
pub const BATCH: usize = 8;
/// The longest datagram that is read, in bytes; UDP itself allows no more.
pub const MAX_DATAGRAM_BYTES: usize = 65_535;

/// Where received datagrams land. Buffers are owned by the messages made of them and come back when a message is
/// done, so a message that waits for something keeps its bytes without a copy.
#[derive(Debug)]
pub struct Inbox {
    spare: Vec<Vec<u8>>,
    received: Vec<(Vec<u8>, SocketAddr)>,
}

impl Default for Inbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Inbox {
    /// An inbox with no buffers yet: they are made as they are needed.
    pub fn new() -> Self {
        Self { spare: Vec::with_capacity(BATCH), received: Vec::with_capacity(BATCH) }
    }

    /// Reads what is queued, at most [`BATCH`] datagrams, without waiting. Returns how many came; fewer than
    /// [`BATCH`] means that the queue is empty now.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        while self.spare.len() < BATCH {
            self.spare.push(Vec::with_capacity(MAX_DATAGRAM_BYTES));
        }
        let mut names = [const { mem::MaybeUninit::<libc::sockaddr_storage>::uninit() }; BATCH];
        let mut parts: [libc::iovec; BATCH] = std::array::from_fn(|i| libc::iovec {
            iov_base: self.spare[i].as_mut_ptr().cast(),
            iov_len: self.spare[i].capacity().min(MAX_DATAGRAM_BYTES),
        });
        let mut heads: [libc::mmsghdr; BATCH] = std::array::from_fn(|i| {
            header(names[i].as_mut_ptr(), size_of::<libc::sockaddr_storage>(), &raw mut parts[i])
        });
        // SAFETY: each header points to a name, a part and a buffer of the capacity written in the part, all of
        // which outlive the call.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                heads.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        if count < 0 {
            return match io::Error::last_os_error() {
                e if e.kind() == io::ErrorKind::WouldBlock => Ok(0),
                e => Err(e),
            };
        }
        let count = count as usize;
        for (i, head) in heads.iter().enumerate().take(count).rev() {
            let mut buffer = self.spare.swap_remove(i);
            // SAFETY: the kernel wrote `msg_len` bytes, no more than the capacity it was given.
            unsafe { buffer.set_len((head.msg_len as usize).min(buffer.capacity())) };
            // SAFETY: for a received datagram the kernel filled the name in.
            let source = decode(unsafe { &*names[i].as_ptr() });
            match source {
                Some(source) => self.received.push((buffer, source)),
                None => self.give_back(buffer),
            }
        }
        Ok(count)
    }

    /// The next datagram in order of arrival, with where it came from.
    pub fn take(&mut self) -> Option<(Vec<u8>, SocketAddr)> {
        self.received.pop()
    }

    /// An empty buffer for the longest datagram, for another way of receiving.
    pub fn lend(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_else(|| Vec::with_capacity(MAX_DATAGRAM_BYTES))
    }

    /// Takes back the buffer of a message that is done.
    pub fn give_back(&mut self, mut buffer: Vec<u8>) {
        if self.spare.len() < BATCH && buffer.capacity() >= MAX_DATAGRAM_BYTES {
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}

/// What a flush of an [`Outbox`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Datagrams that the kernel took.
    pub sent: usize,
    /// Datagrams that it refused (no buffer space, unreachable): SIP retransmits over UDP.
    pub refused: usize,
}

/// Messages on their way out, collected while a batch is served.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    datagrams: Vec<Datagram>,
}

#[derive(Debug)]
struct Datagram {
    socket: RawFd,
    to: SocketAddr,
    start: usize,
    end: usize,
}

/// Datagrams handed to the kernel by one system call at the most.
const SEND_BATCH: usize = 16;

impl Outbox {
    /// An empty outbox.
    pub fn new() -> Self {
        Self::default()
    }

    /// Queues one datagram: `write` appends its bytes. `socket` must stay open until the next flush.
    pub fn push(
        &mut self,
        socket: BorrowedFd<'_>,
        to: SocketAddr,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> &[u8] {
        let start = self.bytes.len();
        write(&mut self.bytes);
        let end = self.bytes.len();
        self.datagrams.push(Datagram { socket: socket.as_raw_fd(), to, start, end });
        &self.bytes[start..end]
    }

    /// Whether nothing waits to be sent.
    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// Sends all, in order, without waiting.
    pub fn flush(&mut self) -> Sent {
        let mut total = Sent::default();
        let mut rest = &self.datagrams[..];
        while let Some(first) = rest.first() {
            let run = rest.iter().take(SEND_BATCH).take_while(|l| l.socket == first.socket).count();
            total.sent += send_run(&rest[..run], &self.bytes, &mut total.refused);
            rest = &rest[run..];
        }
        self.datagrams.clear();
        self.bytes.clear();
        total
    }
}

/// Sends datagrams of one socket; a refused one is skipped and counted.
fn send_run(datagrams: &[Datagram], bytes: &[u8], refused: &mut usize) -> usize {
    let mut names = [const { mem::MaybeUninit::<libc::sockaddr_storage>::uninit() }; SEND_BATCH];
    let mut parts = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; SEND_BATCH];
    let mut heads: [mem::MaybeUninit<libc::mmsghdr>; SEND_BATCH] =
        [const { mem::MaybeUninit::uninit() }; SEND_BATCH];
    for (i, datagram) in datagrams.iter().enumerate() {
        let length = encode(datagram.to, &mut names[i]);
        let body = &bytes[datagram.start..datagram.end];
        parts[i] = libc::iovec { iov_base: body.as_ptr().cast_mut().cast(), iov_len: body.len() };
        heads[i].write(header(names[i].as_mut_ptr(), length, &raw mut parts[i]));
    }
    let mut done = 0;
    let mut sent = 0;
    while done < datagrams.len() {
        // SAFETY: the headers from `done` on are initialised and point to names, parts and bytes that outlive the
        // call; the kernel only reads them (and writes msg_len).
        let n = unsafe {
            libc::sendmmsg(
                datagrams[done].socket,
                heads[done..].as_mut_ptr().cast(),
                (datagrams.len() - done) as libc::c_uint,
                libc::MSG_DONTWAIT as _,
            )
        };
        if n > 0 {
            sent += n as usize;
            done += n as usize;
        } else if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            *refused += 1;
            done += 1;
        }
    }
    sent
}

fn header(name: *mut libc::sockaddr_storage, name_length: usize, part: *mut libc::iovec) -> libc::mmsghdr {
    // SAFETY: msghdr is plain data for which all zero bytes are valid; some systems pad it with private fields.
    let mut head: libc::msghdr = unsafe { mem::zeroed() };
    head.msg_name = name.cast();
    head.msg_namelen = name_length as libc::socklen_t;
    head.msg_iov = part;
    head.msg_iovlen = 1;
    libc::mmsghdr { msg_hdr: head, msg_len: 0 }
}

fn decode(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that a sockaddr_in lies here; the storage is large enough and aligned.
            let v4 = unsafe { &*ptr::from_ref(name).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above, for a sockaddr_in6.
            let v6 = unsafe { &*ptr::from_ref(name).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            Some(SocketAddrV6::new(ip, u16::from_be(v6.sin6_port), 0, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

fn encode(address: SocketAddr, name: &mut mem::MaybeUninit<libc::sockaddr_storage>) -> usize {
    match address {
        SocketAddr::V4(v4) => {
            let inner = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from(*v4.ip()).to_be() },
                sin_zero: [0; 8],
            };
            // SAFETY: the storage is large enough and aligned for every family.
            unsafe { name.as_mut_ptr().cast::<libc::sockaddr_in>().write(inner) };
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(v6) => {
            let inner = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            };
            // SAFETY: as above.
            unsafe { name.as_mut_ptr().cast::<libc::sockaddr_in6>().write(inner) };
            size_of::<libc::sockaddr_in6>()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;

    fn pair(ip: &str) -> (UdpSocket, UdpSocket) {
        (UdpSocket::bind((ip, 0)).unwrap(), UdpSocket::bind((ip, 0)).unwrap())
    }

    #[test]
    fn a_batch_arrives_in_order_with_its_source() {
        for ip in ["127.0.0.1", "::1"] {
            let (a, b) = pair(ip);
            let mut out = Outbox::new();
            for i in 0..20u8 {
                out.push(a.as_fd(), b.local_addr().unwrap(), |bytes| bytes.extend([b'm', i]));
            }
            assert_eq!(out.flush(), Sent { sent: 20, refused: 0 });
            let mut inbox = Inbox::new();
            let mut seen = vec![];
            loop {
                let n = inbox.receive(b.as_fd()).unwrap();
                while let Some((buffer, from)) = inbox.take() {
                    assert_eq!(from, a.local_addr().unwrap());
                    seen.push(buffer[1]);
                    inbox.give_back(buffer);
                }
                if n < BATCH {
                    break;
                }
            }
            assert_eq!(seen, (0..20).collect::<Vec<u8>>());
        }
    }

    #[test]
    fn an_oversized_datagram_is_refused_and_the_others_go() {
        let (a, b) = pair("127.0.0.1");
        let mut out = Outbox::new();
        let to = b.local_addr().unwrap();
        out.push(a.as_fd(), to, |bytes| bytes.extend(b"one"));
        out.push(a.as_fd(), to, |bytes| bytes.resize(bytes.len() + 70_000, 0));
        out.push(a.as_fd(), to, |bytes| bytes.extend(b"two"));
        assert_eq!(out.flush(), Sent { sent: 2, refused: 1 });
        assert!(out.is_empty());
    }

    #[test]
    fn an_empty_queue_is_no_error() {
        let (a, _) = pair("127.0.0.1");
        a.set_nonblocking(true).unwrap();
        assert_eq!(Inbox::new().receive(a.as_fd()).unwrap(), 0);
    }
}
