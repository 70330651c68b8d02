//! Clients that speak SIP over streams: TCP as it is, and WebSocket.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, sockopt};

use super::{Message, PATIENCE, Request};

/// A TCP connection that speaks SIP.
pub(crate) struct Line {
    stream: TcpStream,
    near: SocketAddr,
    far: SocketAddr,
    /// What was read and belongs to no message yet.
    unread: Vec<u8>,
}

impl Line {
    pub(crate) fn open(to: SocketAddr) -> Self {
        Self::new(TcpStream::connect(to).unwrap())
    }

    /// Connects from the address 127.0.0.`last`: ports that many connections take there are free elsewhere.
    pub(crate) fn open_from(last: u8, to: SocketAddr) -> Self {
        Self::new(bound_to(last, to).into())
    }

    /// A connection that was accepted.
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let (near, far) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
        Self { stream, near, far, unread: Vec::new() }
    }

    /// The near end.
    pub(crate) fn address(&self) -> SocketAddr {
        self.near
    }

    pub(crate) fn port(&self) -> u16 {
        self.address().port()
    }

    /// The far end.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.far
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// The same where the server may have closed the connection already.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Sends as much of `bytes` as the kernel takes without waiting.
    pub(crate) fn send_some(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.stream.set_nonblocking(true).unwrap();
        let sent = self.stream.write(bytes);
        self.stream.set_nonblocking(false).unwrap();
        match sent {
            Err(cause) if cause.kind() == ErrorKind::WouldBlock => Ok(0),
            sent => sent,
        }
    }

    /// The next message, cut by its Content-Length, which must come.
    pub(crate) fn receive(&mut self) -> Message {
        let head = loop {
            if let Some(at) = self.unread.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            self.read_more();
        };
        let text = String::from_utf8_lossy(&self.unread[..head]).into_owned();
        let body = Message { text }.header("Content-Length").expect("a Content-Length").parse::<usize>();
        let text = self.receive_bytes(head + body.unwrap());
        Message { text: String::from_utf8_lossy(&text).into_owned() }
    }

    /// The next response, which must have this status; 100 is passed over.
    pub(crate) fn expect_status(&mut self, status: u16) -> Message {
        loop {
            let message = self.receive();
            if message.status() != Some(100) || status == 100 {
                assert_eq!(message.status(), Some(status), "{}", message.text);
                return message;
            }
        }
    }

    /// The next request, which must be a `method`.
    pub(crate) fn expect_request(&mut self, method: &str) -> Message {
        let message = self.receive();
        assert_eq!(message.method(), Some(method), "{}", message.text);
        message
    }

    /// The next `count` bytes.
    pub(crate) fn receive_bytes(&mut self, count: usize) -> Vec<u8> {
        while self.unread.len() < count {
            self.read_more();
        }
        self.unread.drain(..count).collect()
    }

    fn read_more(&mut self) {
        let mut bytes = [0; 16_384];
        let length = self.stream.read(&mut bytes).expect("more bytes");
        assert!(length > 0, "the connection was closed behind {:?}", String::from_utf8_lossy(&self.unread));
        self.unread.extend_from_slice(&bytes[..length]);
    }

    /// Waits for the server to close the connection. Returns what it said before.
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE;
        let mut bytes = [0; 16_384];
        loop {
            assert!(Instant::now() < deadline, "the connection was not closed");
            match self.stream.read(&mut bytes) {
                Ok(0) => break,
                Ok(length) => self.unread.extend_from_slice(&bytes[..length]),
                Err(cause) if cause.kind() == ErrorKind::ConnectionReset => break,
                Err(cause) => panic!("the connection was not closed: {cause}"),
            }
        }
        std::mem::take(&mut self.unread)
    }

    /// Whether nothing has come, neither bytes nor an end.
    pub(crate) fn is_quiet(&self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let looked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).unwrap();
        self.unread.is_empty() && looked.is_err_and(|cause| cause.kind() == ErrorKind::WouldBlock)
    }

    /// Says that no more will be sent, and still reads.
    pub(crate) fn finish_sending(&self) {
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Ends the connection with a reset instead of an end of the stream.
    pub(crate) fn reset(self) {
        let at_once = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        nix::sys::socket::setsockopt(&self.stream, sockopt::Linger, &at_once).unwrap();
    }

    /// Sends a request of its own and waits for the 200. An answer that came before may come again: a worker that is
    /// killed has perhaps answered and not noted it.
    pub(crate) fn ping(&mut self) {
        let probe = Request::over("TCP", self.port(), "OPTIONS", &format!("sip:ping@{}", self.peer()));
        self.send(probe.text());
        self.wait_for_answer(&probe);
    }

    /// Waits for the 200 to `request`; see [`Self::ping`].
    pub(crate) fn wait_for_answer(&mut self, request: &Request) {
        while self.expect_status(200).header("Call-ID") != Some(request.call_id.as_str()) {}
    }
}

/// A connection from the address 127.0.0.`last`.
pub(crate) fn bound_to(last: u8, to: SocketAddr) -> OwnedFd {
    use nix::sys::socket;
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket: OwnedFd = socket::socket(AddressFamily::Inet, SockType::Stream, flags, None).unwrap();
    let from = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 0);
    let number = std::os::fd::AsRawFd::as_raw_fd(&socket);
    socket::bind(number, &SockaddrStorage::from(from)).unwrap();
    socket::connect(number, &SockaddrStorage::from(to)).unwrap();
    socket
}

/// A WebSocket that carries SIP (RFC 7118).
pub(crate) struct Web {
    pub(crate) line: Line,
}

/// The request for a WebSocket, as a browser sends it.
pub(crate) fn web_handshake(to: SocketAddr) -> String {
    format!(
        "GET / HTTP/1.1\r\nHost: {to}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://{to}\r\n\
         Sec-WebSocket-Protocol: sip\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

/// The key that hides what a client says (RFC 6455 section 5.3).
const MASK: [u8; 4] = [0x11, 0x22, 0x33, 0x44];

/// One frame of a client: `first` holds the bits and the opcode.
pub(crate) fn web_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        0..126 => frame.push(0x80 | payload.len() as u8),
        126..65_536 => {
            frame.push(0x80 | 126);
            frame.extend((payload.len() as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

impl Web {
    /// Connects and shakes hands.
    pub(crate) fn open(to: SocketAddr) -> Self {
        Self::over(Line::open(to), to)
    }

    /// Shakes hands with `to` over a connection that stands.
    pub(crate) fn over(mut line: Line, to: SocketAddr) -> Self {
        line.send(web_handshake(to));
        let end = b"\r\n\r\n";
        while !line.unread.ends_with(end) {
            line.read_more();
        }
        let answer = String::from_utf8(std::mem::take(&mut line.unread)).unwrap();
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        assert!(answer.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{answer}");
        assert!(answer.contains("\r\nSec-WebSocket-Protocol: sip\r\n"), "{answer}");
        Self { line }
    }

    pub(crate) fn port(&self) -> u16 {
        self.line.port()
    }

    /// Sends one message in one frame.
    pub(crate) fn send(&mut self, message: impl AsRef<[u8]>) {
        self.line.send(web_frame(0x81, message.as_ref()));
    }

    /// The next frame: its first byte and its payload.
    pub(crate) fn receive_frame(&mut self) -> (u8, Vec<u8>) {
        let head = self.line.receive_bytes(2);
        assert_eq!(head[1] & 0x80, 0, "a server does not mask");
        let length = match head[1] {
            126 => self.line.receive_bytes(2).iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
            127 => self.line.receive_bytes(8).iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
            length => usize::from(length),
        };
        (head[0], self.line.receive_bytes(length))
    }

    /// The next message, which must come, in one frame.
    pub(crate) fn receive(&mut self) -> Message {
        let (first, payload) = self.receive_frame();
        assert!(matches!(first, 0x81 | 0x82), "{first:#x}");
        Message { text: String::from_utf8_lossy(&payload).into_owned() }
    }

    /// Sends a request of its own and waits for the 200; see [`Line::ping`].
    pub(crate) fn ping(&mut self) {
        let to = self.line.peer();
        let probe = Request::over("WS", self.port(), "OPTIONS", &format!("sip:ping@{to}"));
        self.send(probe.text());
        loop {
            let answer = self.receive();
            assert_eq!(answer.status(), Some(200), "{}", answer.text);
            if answer.header("Call-ID") == Some(probe.call_id.as_str()) {
                break;
            }
        }
    }
}

/// A TCP callee that accepts connections.
pub(crate) struct Desk {
    listener: std::net::TcpListener,
}

impl Desk {
    pub(crate) fn open() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { listener }
    }

    pub(crate) fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    /// The next connection, which must come.
    pub(crate) fn accept(&self) -> Line {
        let (stream, _) = super::until("somebody connects", || self.listener.accept().ok());
        stream.set_nonblocking(false).unwrap();
        Line::new(stream)
    }
}

/// How many descriptors the process `pid` has open.
pub(crate) fn descriptors(pid: i32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// A moment that is surely longer than what the server needs to notice something, for things that must not happen.
pub(crate) const A_MOMENT: Duration = Duration::from_millis(300);
