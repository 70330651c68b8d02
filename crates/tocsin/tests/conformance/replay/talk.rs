//! How bytes go to the server and come from it: subscribers, the FIFO, datagrams, HTTP.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;

use crate::harness::{Phone, Request};

/// The time between two requests of a load: each of them is processed for longer.
const BETWEEN_REQUESTS: Duration = Duration::from_millis(10);

/// A socket at which somebody waits for events.
pub(crate) enum Receiver {
    Udp(UdpSocket),
    Unix(UnixDatagram),
    Tcp(Stream),
}

/// A TCP subscriber: the bytes of its connections, in the order in which they were accepted.
pub(crate) struct Stream {
    listener: TcpListener,
    connections: Vec<TcpStream>,
    /// The connection that was read last.
    last: usize,
}

impl Receiver {
    pub(crate) fn udp() -> Self {
        Self::Udp(UdpSocket::bind("127.0.0.1:0").unwrap())
    }

    pub(crate) fn unix(path: &Path) -> Self {
        Self::Unix(UnixDatagram::bind(path).unwrap())
    }

    pub(crate) fn tcp() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self::Tcp(Stream { listener, connections: Vec::new(), last: 0 })
    }

    /// Its port, if it has one.
    pub(crate) fn port(&self) -> Option<u16> {
        match self {
            Self::Udp(socket) => Some(socket.local_addr().unwrap().port()),
            Self::Unix(_) => None,
            Self::Tcp(stream) => Some(stream.listener.local_addr().unwrap().port()),
        }
    }

    /// The next datagram, or the bytes that have come over a stream.
    pub(crate) fn next(&mut self, patience: Duration) -> Option<Vec<u8>> {
        let mut bytes = vec![0; 65_536];
        let patience = patience.max(Duration::from_millis(1));
        let length = match self {
            Self::Udp(socket) => {
                socket.set_read_timeout(Some(patience)).unwrap();
                socket.recv(&mut bytes)
            }
            Self::Unix(socket) => {
                socket.set_read_timeout(Some(patience)).unwrap();
                socket.recv(&mut bytes)
            }
            Self::Tcp(stream) => stream.read(&mut bytes, patience),
        };
        bytes.truncate(length.ok()?);
        Some(bytes)
    }

    /// Closes the connections that were opened to it.
    pub(crate) fn hang_up(&mut self) {
        if let Self::Tcp(stream) = self {
            stream.connections.clear();
        }
    }

    /// Answers over the connection that was read last. False if there is none.
    pub(crate) fn say(&mut self, bytes: &[u8]) -> bool {
        let Self::Tcp(Stream { connections, last, .. }) = self else { return false };
        connections.get_mut(*last).is_some_and(|connection| connection.write_all(bytes).is_ok())
    }

    /// The next connection that is opened to it.
    pub(crate) fn accept(&mut self, patience: Duration) -> Option<TcpStream> {
        let Self::Tcp(stream) = self else { return None };
        stream.accept(patience).then(|| stream.connections.pop()).flatten()
    }
}

impl Stream {
    fn accept(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            if let Ok((connection, _)) = self.listener.accept() {
                connection.set_nonblocking(false).unwrap();
                self.connections.push(connection);
                return true;
            }
            if Instant::now() > deadline {
                return false;
            }
            crate::harness::pause(Duration::from_millis(5));
        }
    }

    fn read(&mut self, bytes: &mut [u8], patience: Duration) -> std::io::Result<usize> {
        let deadline = Instant::now() + patience;
        loop {
            self.accept(Duration::ZERO);
            for (at, connection) in self.connections.iter_mut().enumerate() {
                connection.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
                match connection.read(bytes) {
                    Ok(length) if length > 0 => {
                        self.last = at;
                        return Ok(length);
                    }
                    _ => {}
                }
            }
            if Instant::now() > deadline {
                return Err(ErrorKind::TimedOut.into());
            }
        }
    }
}

/// Requests that keep coming, as long as it lives.
pub(crate) struct Load {
    started: Instant,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    /// Begins to send requests to a port, over UDP or over one TCP connection.
    #[expect(clippy::disallowed_methods, reason = "a test forks nothing: it may have threads")]
    pub(crate) fn start(over_tcp: bool, port: u16) -> Self {
        let over = Arc::<AtomicBool>::default();
        let ended = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let phone = Phone::new();
            let to = SocketAddr::from(([127, 0, 0, 1], port));
            let mut line = over_tcp.then(|| TcpStream::connect(to).unwrap());
            let protocol = if over_tcp { "TCP" } else { "UDP" };
            while !ended.load(Relaxed) {
                let near = line.as_ref().map_or(phone.port(), |line| line.local_addr().unwrap().port());
                let request = Request::over(protocol, near, "OPTIONS", &format!("sip:load@{to}"));
                match &mut line {
                    Some(line) => line.write_all(request.text().as_bytes()).unwrap(),
                    None => phone.send(to, request.text()),
                }
                crate::harness::pause(BETWEEN_REQUESTS);
            }
        });
        Self { started: Instant::now(), over, thread: Some(thread) }
    }

    /// Ends it, after so much time at the earliest.
    pub(crate) fn end(self, at_least: Duration) {
        crate::harness::pause(at_least.saturating_sub(self.started.elapsed()));
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Sends one datagram to a port, and waits for one in return.
pub(crate) fn datagram(port: u16, bytes: &[u8], patience: Duration) -> Vec<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", port)).unwrap();
    socket.send(bytes).unwrap();
    socket.set_read_timeout(Some(patience)).unwrap();
    let mut answer = vec![0; 65_536];
    let length = socket.recv(&mut answer).unwrap_or(0);
    answer.truncate(length);
    answer
}

/// Writes `bytes` to the FIFO in `dir`, and reads what comes through the FIFO `reply` beside it.
pub(crate) fn fifo(dir: &Path, bytes: &[u8], reply: &str, patience: Duration) -> Vec<u8> {
    let path = dir.join(reply);
    let _ = fs::remove_file(&path);
    nix::unistd::mkfifo(&path, Mode::from_bits_truncate(0o600)).unwrap();
    let not_waiting = nix::fcntl::OFlag::O_NONBLOCK.bits();
    let mut reading = OpenOptions::new().read(true).custom_flags(not_waiting).open(&path).unwrap();
    OpenOptions::new().write(true).open(dir.join("mi.fifo")).unwrap().write_all(bytes).unwrap();
    let answer = read_fifo(&mut reading, patience);
    fs::remove_file(path).unwrap();
    answer
}

fn read_fifo(fifo: &mut File, patience: Duration) -> Vec<u8> {
    let deadline = Instant::now() + patience;
    let mut bytes = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut watched = [PollFd::new(fifo.as_fd(), PollFlags::POLLIN)];
        poll(&mut watched, PollTimeout::try_from(left).unwrap()).unwrap();
        // Without a writer a FIFO is at its end from the start.
        if (fifo.read_to_end(&mut bytes).is_ok() && !bytes.is_empty()) || left.is_zero() {
            return bytes;
        }
    }
}

/// Sends one request to the HTTP server, and reads until it closes the connection or the answer is complete.
pub(crate) fn http(port: u16, request: &[u8], patience: Duration) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(patience)).unwrap();
    stream.write_all(request).unwrap();
    let closes = String::from_utf8_lossy(request).contains("\r\nConnection: close\r\n");
    let (mut answer, mut bytes) = (Vec::new(), [0; 16_384]);
    while let Ok(length @ 1..) = stream.read(&mut bytes) {
        answer.extend_from_slice(&bytes[..length]);
        if !closes && is_complete(&answer) {
            break;
        }
    }
    answer
}

fn is_complete(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok());
    length.is_none_or(|length: usize| body.len() >= length)
}
