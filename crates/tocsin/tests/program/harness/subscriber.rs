//! Subscribers to events, over UDP and UNIX datagrams, with the receive buffers that the system gives by default or with
//! larger ones.

use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use nix::sys::socket::{setsockopt, sockopt};
use serde_json::Value;

use super::PATIENCE;

/// A UDP subscriber.
pub(crate) struct Subscriber {
    socket: UdpSocket,
}

impl Subscriber {
    pub(crate) fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket }
    }

    /// With room for some thousand events, so that it loses none while its process waits for its turn: nothing sends them
    /// again.
    pub(crate) fn with_room(self) -> Self {
        setsockopt(&self.socket, sockopt::RcvBufForce, &(8 << 20)).unwrap();
        self
    }

    /// Its address, as a subscription names it.
    pub(crate) fn name(&self) -> String {
        format!("udp:{}", self.socket.local_addr().unwrap())
    }

    /// The bytes of the next event, which must come.
    pub(crate) fn raw(&self) -> String {
        let mut bytes = vec![0; 65_536];
        let length = self.socket.recv(&mut bytes).expect("an event");
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    /// The next event.
    pub(crate) fn next(&self) -> Value {
        serde_json::from_str(&self.raw()).unwrap()
    }

    /// All events up to the first one named `last`, which is left out.
    pub(crate) fn up_to(&self, last: &str) -> Vec<Value> {
        std::iter::repeat_with(|| self.next()).take_while(|event| event["method"] != last).collect()
    }
}

/// A subscriber at a UNIX socket.
pub(crate) struct UnixSubscriber {
    socket: UnixDatagram,
    name: String,
}

impl UnixSubscriber {
    pub(crate) fn new(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, name: format!("unix:{}", path.display()) }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn raw(&self) -> String {
        let mut bytes = vec![0; 65_536];
        let length = self.socket.recv(&mut bytes).expect("an event");
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    pub(crate) fn next(&self) -> Value {
        serde_json::from_str(&self.raw()).unwrap()
    }

    /// The events that have come and were not looked at.
    pub(crate) fn waiting(&self) -> Vec<String> {
        self.socket.set_nonblocking(true).unwrap();
        let mut bytes = vec![0; 65_536];
        let mut waiting = Vec::new();
        while let Ok(length) = self.socket.recv(&mut bytes) {
            waiting.push(String::from_utf8(bytes[..length].to_vec()).unwrap());
        }
        self.socket.set_nonblocking(false).unwrap();
        waiting
    }
}
