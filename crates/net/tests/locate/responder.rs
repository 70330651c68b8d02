//! A name server for tests: a small zone over UDP, on a port of its own (RFC 1035 section 4).

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use tokio::net::UdpSocket;

pub(crate) const A: u16 = 1;
pub(crate) const AAAA: u16 = 28;
pub(crate) const SRV: u16 = 33;
pub(crate) const NAPTR: u16 = 35;

/// What the responder knows, and what it was asked.
#[derive(Default)]
pub(crate) struct Zone {
    records: HashMap<(String, u16), Vec<Vec<u8>>>,
    silent: Vec<String>,
}

impl Zone {
    pub(crate) fn address(mut self, name: &str, address: &str) -> Self {
        match address.parse().unwrap() {
            IpAddr::V4(ip) => self.add(name, A, ip.octets().to_vec()),
            IpAddr::V6(ip) => self.add(name, AAAA, ip.octets().to_vec()),
        }
        self
    }

    pub(crate) fn srv(mut self, name: &str, priority: u16, weight: u16, port: u16, target: &str) -> Self {
        let mut data: Vec<u8> = [priority, weight, port].iter().flat_map(|n| n.to_be_bytes()).collect();
        data.extend(encoded(target));
        self.add(name, SRV, data);
        self
    }

    pub(crate) fn naptr(
        mut self,
        name: &str,
        order: u16,
        flags: &str,
        service: &str,
        replacement: &str,
    ) -> Self {
        let mut data: Vec<u8> = [order, 0].iter().flat_map(|n: &u16| n.to_be_bytes()).collect();
        for text in [flags, service, ""] {
            data.push(text.len() as u8);
            data.extend(text.as_bytes());
        }
        data.extend(encoded(replacement));
        self.add(name, NAPTR, data);
        self
    }

    /// Questions for this name get no answer.
    pub(crate) fn silent(mut self, name: &str) -> Self {
        self.silent.push(name.to_owned());
        self
    }

    fn add(&mut self, name: &str, kind: u16, data: Vec<u8>) {
        self.records.entry((name.to_owned(), kind)).or_default().push(data);
    }

    /// Answers on a port of its own, as long as the runtime runs.
    pub(crate) async fn serve(self) -> Responder {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let responder = Responder { address: socket.local_addr().unwrap(), asked: Rc::default() };
        let asked = Rc::clone(&responder.asked);
        tokio::task::spawn_local(async move {
            let mut packet = [0; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut packet).await {
                let (name, kind) = question(&packet[..length]);
                asked.borrow_mut().push((name.clone(), kind));
                if !self.silent.contains(&name) {
                    let answer = self.answer(&packet[..length], &name, kind);
                    socket.send_to(&answer, from).await.unwrap();
                }
            }
        });
        responder
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
        packet.extend(&query[12..question_end(query)]);
        for data in found {
            packet.extend([0xc0, 12]);
            packet.extend(kind.to_be_bytes());
            packet.extend([0, 1, 0, 0, 0, 60]);
            packet.extend((data.len() as u16).to_be_bytes());
            packet.extend(data);
        }
        packet
    }
}

/// A responder at work.
pub(crate) struct Responder {
    pub(crate) address: SocketAddr,
    asked: Rc<RefCell<Vec<(String, u16)>>>,
}

impl Responder {
    /// The questions so far, each once: one that is slow to be answered is asked again.
    pub(crate) fn asked(&self) -> Vec<(String, u16)> {
        let mut asked = self.asked.borrow().clone();
        asked.dedup();
        asked
    }
}

fn encoded(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let mut bytes: Vec<u8> = labels.flat_map(|l| [&[l.len() as u8], l.as_bytes()].concat()).collect();
    bytes.push(0);
    bytes
}

fn question_end(query: &[u8]) -> usize {
    let mut at = 12;
    while query[at] != 0 {
        at += usize::from(query[at]) + 1;
    }
    at + 5
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
