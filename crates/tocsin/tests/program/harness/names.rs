//! A name server of one test: a small zone over UDP (RFC 1035 section 4).

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a slow answer takes.
const SLOW: Duration = Duration::from_millis(1500);

const A: u16 = 1;
const SRV: u16 = 33;

/// What a name server knows.
#[derive(Default)]
pub(crate) struct Zone {
    records: HashMap<(String, u16), Vec<Vec<u8>>>,
    /// Names whose first question takes its time.
    slow: Vec<String>,
    /// Names whose every question takes that long.
    late: HashMap<String, Duration>,
}

impl Zone {
    /// `name` has the address 127.0.0.`last`.
    pub(crate) fn address(mut self, name: &str, last: u8) -> Self {
        let ip = Ipv4Addr::new(127, 0, 0, last);
        self.add(name, A, ip.octets().to_vec());
        self
    }

    /// The service `name` is at `port` of `target`.
    pub(crate) fn srv(mut self, name: &str, priority: u16, port: u16, target: &str) -> Self {
        let mut data: Vec<u8> = [priority, 1, port].iter().flat_map(|n| n.to_be_bytes()).collect();
        for label in target.split('.') {
            data.push(label.len() as u8);
            data.extend(label.as_bytes());
        }
        data.push(0);
        self.add(name, SRV, data);
        self
    }

    /// The first question for `name` is answered after [`SLOW`] only.
    pub(crate) fn slow(mut self, name: &str) -> Self {
        self.slow.push(name.to_owned());
        self
    }

    /// Every question for `name` is answered after this time only.
    #[allow(dead_code, reason = "the conformance tests use it")]
    pub(crate) fn late(mut self, name: &str, time: Duration) -> Self {
        self.late.insert(name.to_owned(), time);
        self
    }

    fn add(&mut self, name: &str, kind: u16, data: Vec<u8>) {
        self.records.entry((name.to_owned(), kind)).or_default().push(data);
    }

    /// Answers on a port of its own, as long as what it returns lives.
    #[expect(clippy::disallowed_methods, reason = "a test forks nothing: it may have threads")]
    pub(crate) fn serve(mut self) -> Names {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let address = socket.local_addr().unwrap();
        let (asked, ended) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicBool>::default());
        let (noted, over) = (Arc::clone(&asked), Arc::clone(&ended));
        let thread = std::thread::spawn(move || {
            let mut packet = [0; 4096];
            while !over.load(Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut packet) else { continue };
                let (name, kind) = question(&packet[..length]);
                noted.lock().unwrap().push(name.clone());
                if let Some(at) = self.slow.iter().position(|slow| *slow == name) {
                    self.slow.remove(at);
                    super::pause(SLOW);
                }
                if let Some(time) = self.late.get(&name) {
                    super::pause(*time);
                }
                socket.send_to(&self.answer(&packet[..length], &name, kind), from).unwrap();
            }
        });
        Names { address, asked, ended, thread: Some(thread) }
    }

    fn answer(&self, query: &[u8], name: &str, kind: u16) -> Vec<u8> {
        let found = self.records.get(&(name.to_owned(), kind)).map_or(&[][..], Vec::as_slice);
        let known = self.records.keys().any(|(known, _)| known == name);
        let mut packet = query[..2].to_vec();
        // A response, recursion available; NXDOMAIN for a name without any record.
        packet.extend([0x81, if known { 0x80 } else { 0x83 }]);
        packet.extend([0, 1]);
        packet.extend((found.len() as u16).to_be_bytes());
        packet.extend([0; 4]);
        packet.extend(&query[12..name_end(query) + 4]);
        for data in found {
            // The name of the question, the kind, the class, and a minute to live.
            packet.extend([0xc0, 12]);
            packet.extend(kind.to_be_bytes());
            packet.extend([0, 1, 0, 0, 0, 60]);
            packet.extend((data.len() as u16).to_be_bytes());
            packet.extend(data);
        }
        packet
    }
}

/// A name server at work.
pub(crate) struct Names {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Names {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The names asked for so far. One that is slow to be answered may be asked for again: that counts once.
    pub(crate) fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap().clone();
        asked.dedup();
        asked
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.ended.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn name_end(query: &[u8]) -> usize {
    let mut at = 12;
    while query[at] != 0 {
        at += usize::from(query[at]) + 1;
    }
    at + 1
}

fn question(query: &[u8]) -> (String, u16) {
    let mut labels = vec![];
    let mut at = 12;
    while query[at] != 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..end]).to_ascii_lowercase());
        at = end;
    }
    (labels.join("."), u16::from_be_bytes([query[at + 1], query[at + 2]]))
}
