//! Ports of 127.0.0.1, from the kernel.

use std::net::{TcpListener, UdpSocket};
use std::sync::Mutex;

/// Ports that were given out in this run. None is given out twice: what one case sends late must not reach another.
static GIVEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());

/// The smallest number of five digits: recordings know ports by that length.
const SMALLEST: u16 = 10_000;

/// A port that is free for UDP and TCP at this moment. Whoever binds it may find that another was quicker, and tries again
/// with other ports.
pub(crate) fn free_port() -> u16 {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = udp.local_addr().unwrap().port();
        if is_new(port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A UDP socket of `host` at a port that no other part of this run has.
pub(crate) fn udp_socket(host: &str) -> UdpSocket {
    loop {
        let socket = UdpSocket::bind((host, 0)).unwrap();
        if is_new(socket.local_addr().unwrap().port()) {
            return socket;
        }
    }
}

/// The same for connections that come in.
pub(crate) fn tcp_listener() -> TcpListener {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        if is_new(listener.local_addr().unwrap().port()) {
            return listener;
        }
    }
}

/// A port at which nobody listens as long as this lives.
pub(crate) struct DeadPort {
    port: u16,
    /// Bound, so that the kernel gives the port to nobody else, and connected to itself, so that the kernel refuses what
    /// others send there.
    _held: UdpSocket,
}

impl DeadPort {
    pub(crate) fn new() -> Self {
        let held = udp_socket("127.0.0.1");
        let port = held.local_addr().unwrap().port();
        held.connect(("127.0.0.1", port)).unwrap();
        Self { port, _held: held }
    }

    pub(crate) fn number(&self) -> u16 {
        self.port
    }
}

fn is_new(port: u16) -> bool {
    let mut given = GIVEN.lock().unwrap();
    let new = port >= SMALLEST && !given.contains(&port);
    if new {
        given.push(port);
    }
    new
}
