//! Streams: a listening address, and reading what came without taking it.
//!
//! A plain connection is read by looking ([`peek`]) and taken only once it was served ([`discard`]): what a process has
//! not finished stays in the kernel, where its successor finds it.

use std::io;
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};

use crate::udp::OpenError;

/// Bytes that the kernel may hold for the receiving side of a connection. The begin of a message stays there until the
/// rest comes, and beside it there has to be room for a whole segment (64 KiB on the loopback), or the kernel lets the
/// peer send nothing more.
const RECEIVE_BUFFER: usize = 262_144;

/// Opens a listening stream address (port 0: the kernel chooses). `backlog`: connections that may wait to be accepted.
pub fn listen(address: SocketAddr, backlog: i32) -> Result<TcpListener, OpenError> {
    let open = || -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // Connections of a server that ended a moment ago do not keep its port; a server that runs does.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        // Connections that are accepted inherit it.
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        socket.bind(&address.into())?;
        socket.listen(backlog)?;
        Ok(socket.into())
    };
    open().map_err(|cause| OpenError::of("tcp", address, cause))
}

/// A socket on its way to `to`: it is connected when it becomes writable and has no error. `from`: the address to
/// connect from; its port is the kernel's choice.
pub fn connect(from: SocketAddr, to: SocketAddr) -> io::Result<std::net::TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    // A wildcard says nothing; a loopback address cannot leave the machine.
    if !from.ip().is_unspecified()
        && from.is_ipv4() == to.is_ipv4()
        && from.ip().is_loopback() == to.ip().is_loopback()
    {
        socket.bind(&SocketAddr::new(from.ip(), 0).into())?;
    }
    match socket.connect(&to.into()) {
        Ok(()) => {}
        Err(cause) if cause.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(cause) => return Err(cause),
    }
    Ok(socket.into())
}

/// Copies what has come on `stream` into `buffer`, as far as its capacity goes, and leaves it queued. Returns `false` at
/// the end of the stream.
pub fn peek(stream: &impl AsFd, buffer: &mut Vec<u8>) -> io::Result<bool> {
    receive(stream, buffer, libc::MSG_PEEK)
}

/// Takes what has come on `stream` and appends it to `buffer`, as far as its capacity goes. Returns `false` at the end of
/// the stream.
pub fn read(stream: &impl AsFd, buffer: &mut Vec<u8>) -> io::Result<bool> {
    receive(stream, buffer, 0)
}

/// How many of the bytes that were written to a connection the system at its other end has not acknowledged, those that
/// did not leave yet included. Also to be asked after the connection was reset.
///
/// # Errors
/// What the system answered.
pub fn unacknowledged(stream: &impl AsFd) -> io::Result<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the request (SIOCOUTQ, tcp(7)) writes one int, to which the pointer leads.
    let answer = unsafe { libc::ioctl(stream.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(u64::try_from(bytes).unwrap_or(0))
}

/// How many bytes are on their way to the other end: sent, and not acknowledged. Also to be asked after the connection was
/// reset: a reset while none is answers none. `None` when the system cannot say (tcp(7), `TCP_INFO` with
/// `tcpi_notsent_bytes`, since Linux 4.6).
pub fn in_flight(stream: &impl AsFd) -> Option<u64> {
    let (info, filled) = info(stream)?;
    let known = std::mem::offset_of!(libc::tcp_info, tcpi_notsent_bytes) + size_of::<u32>();
    let unsent = (filled >= known).then_some(u64::from(info.tcpi_notsent_bytes))?;
    Some(unacknowledged(stream).ok()?.saturating_sub(unsent))
}

/// For how many bytes the system at the other end has room, as it last said. Also to be asked after the connection was reset.
/// `None` when the system cannot say (tcp(7), `TCP_INFO` with `tcpi_snd_wnd`, since Linux 5.4).
pub fn send_window(stream: &impl AsFd) -> Option<u64> {
    let (info, filled) = info(stream)?;
    let known = std::mem::offset_of!(libc::tcp_info, tcpi_snd_wnd) + size_of::<u32>();
    (filled >= known).then_some(u64::from(info.tcpi_snd_wnd))
}

/// How many bytes of the stream have been taken out of the kernel's queue since the connection was established, by
/// whichever process; perhaps one more once the stream has ended. `None` when the system cannot say (tcp(7), `TCP_INFO` with
/// `tcpi_bytes_received`, since Linux 4.1).
pub fn consumed(stream: &impl AsFd) -> Option<u64> {
    /// Tries to find no byte arriving between two questions.
    const TRIES: usize = 100;
    let mut received = received(stream)?;
    for _ in 0..TRIES {
        let queued = queued(stream)?;
        let again = self::received(stream)?;
        if again == received {
            return received.checked_sub(queued);
        }
        received = again;
    }
    None
}

/// For how long the system at the other end has not answered, if the last two attempts to have it acknowledge something were
/// in vain. One whose reader reads nothing does answer: it says that it has no room.
pub fn silence(stream: &impl AsFd) -> Option<Duration> {
    let (info, _) = info(stream)?;
    let in_vain = u32::from(info.tcpi_retransmits) + u32::from(info.tcpi_probes);
    (in_vain >= 2).then(|| Duration::from_millis(info.tcpi_last_ack_recv.into()))
}

/// What the system knows of the connection (tcp(7), `TCP_INFO`), and how many bytes of that it filled in.
fn info(stream: &impl AsFd) -> Option<(libc::tcp_info, usize)> {
    // SAFETY: tcp_info is plain data for which all zero bytes are valid.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to `info`, and how many those were to `length`.
    let answer = unsafe {
        let into = (&raw mut info).cast();
        libc::getsockopt(stream.as_fd().as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, into, &raw mut length)
    };
    (answer == 0).then_some((info, length as usize))
}

/// How many bytes of the stream have come so far.
fn received(stream: &impl AsFd) -> Option<u64> {
    let (info, filled) = info(stream)?;
    let known = std::mem::offset_of!(libc::tcp_info, tcpi_bytes_received) + size_of::<u64>();
    (filled >= known).then_some(info.tcpi_bytes_received)
}

/// How many of them nobody has taken yet.
fn queued(stream: &impl AsFd) -> Option<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the request (SIOCINQ, tcp(7)) writes one int, to which the pointer leads.
    let answer = unsafe { libc::ioctl(stream.as_fd().as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
    (answer == 0).then(|| u64::try_from(bytes).ok()).flatten()
}

fn receive(stream: &impl AsFd, buffer: &mut Vec<u8>, flags: i32) -> io::Result<bool> {
    let count =
        SockRef::from(stream).recv_with_flags(buffer.spare_capacity_mut(), flags | libc::MSG_DONTWAIT)?;
    // SAFETY: the kernel wrote `count` bytes behind the length, within the capacity.
    unsafe { buffer.set_len(buffer.len() + count) };
    Ok(count > 0)
}

/// Takes `count` bytes that were looked at out of the kernel's queue, without copying them.
pub fn discard(stream: &impl AsFd, mut count: usize) -> io::Result<()> {
    // With MSG_TRUNC a TCP socket drops the bytes; the buffer only says how many.
    let mut unused = [MaybeUninit::<u8>::uninit(); 4096];
    while count > 0 {
        let part = count.min(unused.len());
        let dropped = SockRef::from(stream)
            .recv_with_flags(&mut unused[..part], libc::MSG_TRUNC | libc::MSG_DONTWAIT)?;
        if dropped == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        count -= dropped.min(count);
    }
    Ok(())
}

/// Writes as much of `bytes` as the kernel takes at once. Returns how many; [`io::ErrorKind::WouldBlock`] for none.
pub fn write(stream: &impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    SockRef::from(stream).send_with_flags(bytes, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
}

/// Whether the kernel surely takes `count` more bytes at one go: a process that dies in [`write()`] then leaves all of them
/// or none.
pub fn takes_at_once(stream: &impl AsFd, count: usize) -> bool {
    /// Bytes for which the smallest send buffer of an established connection has room, with all that the kernel adds.
    const ROOM: usize = 8 * 1024;
    let mut queued: libc::c_int = 0;
    // SAFETY: TIOCOUTQ writes one int, which `queued` is.
    let asked = unsafe { libc::ioctl(stream.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut queued) };
    asked == 0 && usize::try_from(queued).is_ok_and(|queued| queued + count <= ROOM)
}

/// Throws away what has come and was not read. Returns `false` at the end of the stream.
pub fn drain(stream: &impl AsFd) -> io::Result<bool> {
    let mut unused = [MaybeUninit::<u8>::uninit(); 4096];
    let count = SockRef::from(stream).recv_with_flags(&mut unused, libc::MSG_TRUNC | libc::MSG_DONTWAIT)?;
    Ok(count > 0)
}

/// Says that nothing more will come from here.
pub fn shut_writing(stream: &impl AsFd) {
    // It fails where the peer has ended the stream already.
    let _ = SockRef::from(stream).shutdown(std::net::Shutdown::Write);
}

/// Ends the stream in both directions, also for processes that have duplicates of it.
pub fn shut(stream: &impl AsFd) {
    // It fails where the peer has ended it already.
    let _ = SockRef::from(stream).shutdown(std::net::Shutdown::Both);
}

/// The kernel's own probes of a silent connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepAlive {
    /// Silence before the first probe; `None` takes the system's value, here and below.
    pub idle: Option<Duration>,
    /// Time between probes.
    pub interval: Option<Duration>,
    /// Probes without an answer that end the connection.
    pub probes: Option<u32>,
}

/// Prepares an established stream: small messages leave at once, and silence is probed if that is wanted.
pub fn prepare(stream: &impl AsFd, keep_alive: Option<&KeepAlive>) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if let Some(wanted) = keep_alive {
        let mut probes = TcpKeepalive::new();
        if let Some(idle) = wanted.idle {
            probes = probes.with_time(idle);
        }
        if let Some(interval) = wanted.interval {
            probes = probes.with_interval(interval);
        }
        if let Some(count) = wanted.probes {
            probes = probes.with_retries(count);
        }
        socket.set_tcp_keepalive(&probes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{Shutdown, TcpStream};

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = listen("127.0.0.1:0".parse().unwrap(), 10).unwrap();
        listener.set_nonblocking(false).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        (client, server)
    }

    /// Looks until `wanted` bytes have come.
    fn seen(stream: &TcpStream, wanted: usize) -> Vec<u8> {
        stream.set_nonblocking(false).unwrap();
        let mut first = [0; 1];
        stream.peek(&mut first).unwrap();
        loop {
            let mut buffer = Vec::with_capacity(wanted + 10);
            assert!(peek(stream, &mut buffer).unwrap());
            if buffer.len() >= wanted {
                return buffer;
            }
        }
    }

    #[test]
    fn what_was_looked_at_stays_until_it_is_discarded() {
        let (mut client, server) = pair();
        client.write_all(b"onetwo").unwrap();
        assert_eq!(seen(&server, 6), b"onetwo");
        discard(&server, 3).unwrap();
        assert_eq!(seen(&server, 3), b"two");
        discard(&server, 3).unwrap();
        let nothing = peek(&server, &mut Vec::with_capacity(4)).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        client.shutdown(Shutdown::Both).unwrap();
        let mut buffer = Vec::with_capacity(4);
        while let Ok(true) | Err(_) = peek(&server, &mut buffer) {}
        assert!(buffer.is_empty());
    }

    #[test]
    fn the_kernel_says_how_much_was_taken() {
        let (mut client, server) = pair();
        assert_eq!(consumed(&server), Some(0));
        client.write_all(b"onetwo").unwrap();
        seen(&server, 6);
        assert_eq!(consumed(&server), Some(0));
        discard(&server, 3).unwrap();
        assert_eq!(consumed(&server), Some(3));
        client.shutdown(Shutdown::Write).unwrap();
        read(&server, &mut Vec::with_capacity(10)).unwrap();
        // The end of the stream can be read once it is here.
        server.set_nonblocking(false).unwrap();
        assert_eq!(server.peek(&mut [0; 1]).unwrap(), 0);
        assert!(consumed(&server).is_some_and(|bytes| (6..=7).contains(&bytes)), "{:?}", consumed(&server));
        assert_eq!(consumed(&std::net::UdpSocket::bind("127.0.0.1:0").unwrap()), None);
    }

    #[test]
    fn a_port_in_use_is_refused_with_advice() {
        let taken = listen("127.0.0.1:0".parse().unwrap(), 10).unwrap();
        let error = listen(taken.local_addr().unwrap(), 10).unwrap_err();
        assert!(error.to_string().contains("in use"), "{error}");
    }
}
