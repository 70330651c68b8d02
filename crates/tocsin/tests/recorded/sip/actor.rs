//! A party of a case: sockets of its own, and all that it received.

use std::collections::BTreeMap;
use std::io::{Error, Result};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use super::super::ports::{tcp_listener, udp_socket};
use super::connection::{Connection, Side};
use super::message::Message;

const HOST: &str = "127.0.0.1";
const SECOND_HOST: &str = "127.0.0.2";

/// What stands in the inbox for the end of a connection.
pub(super) const CLOSED: &[u8] = b"<closed>";

/// Where a message came from, and where its reply goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    Datagram(SocketAddr),
    /// The number of a connection.
    Connection(usize),
}

/// A message that was received.
pub(super) struct Received {
    pub(super) data: Vec<u8>,
    pub(super) origin: Origin,
}

pub(super) struct Actor {
    pub(super) name: String,
    /// `udp`, `tcp`, `tls` or `ws`.
    pub(super) kind: String,
    pub(super) host: &'static str,
    pub(super) port: u16,
    /// The socket of a party that speaks UDP. Another has it for its port, which nobody else gets then.
    udp: UdpSocket,
    listener: Option<TcpListener>,
    pub(super) connections: Vec<Connection>,
    pub(super) inbox: Vec<Received>,
    /// How much of the inbox the steps have seen.
    pub(super) seen: usize,
    pub(super) sent: Vec<Vec<u8>>,
    pub(super) last_reply: Option<(Vec<u8>, Origin)>,
}

impl Actor {
    pub(super) fn new(name: &str, kind: &str) -> Self {
        let (kind, host) = if kind == "udp2" { ("udp", SECOND_HOST) } else { (kind, HOST) };
        let udp = udp_socket(host);
        udp.set_nonblocking(true).unwrap();
        let listener = (kind == "tcp").then(tcp_listener);
        let port = match &listener {
            Some(listener) => listener.local_addr().unwrap().port(),
            None => udp.local_addr().unwrap().port(),
        };
        if let Some(listener) = &listener {
            listener.set_nonblocking(true).unwrap();
        }
        Self {
            name: name.to_owned(),
            kind: kind.to_owned(),
            host,
            port,
            udp,
            listener,
            connections: Vec::new(),
            inbox: Vec::new(),
            seen: 0,
            sent: Vec::new(),
            last_reply: None,
        }
    }

    /// All that can have something to read.
    pub(super) fn sockets(&self) -> Vec<BorrowedFd<'_>> {
        let mut sockets = vec![self.udp.as_fd()];
        sockets.extend(self.listener.as_ref().map(AsFd::as_fd));
        let open = self.connections.iter().filter(|connection| connection.is_open);
        sockets.extend(open.map(|connection| connection.socket().as_fd()));
        sockets
    }

    /// Takes all that has come.
    pub(super) fn read(&mut self) {
        let mut data = [0; 65_535];
        while let Ok((length, from)) = self.udp.recv_from(&mut data) {
            self.inbox.push(Received { data: data[..length].to_vec(), origin: Origin::Datagram(from) });
        }
        while let Some(Ok((stream, _))) = self.listener.as_ref().map(TcpListener::accept) {
            self.connections.push(Connection::accepted(stream));
        }
        for (number, connection) in self.connections.iter_mut().enumerate() {
            if !connection.is_open {
                continue;
            }
            let mut messages = connection.read();
            if !connection.is_open {
                messages.push(CLOSED.to_vec());
            }
            let origin = Origin::Connection(number);
            self.inbox.extend(messages.into_iter().map(|data| Received { data, origin }));
        }
    }

    /// Sends a datagram to a port of the server.
    pub(super) fn send_datagram(&self, data: &[u8], port: u16) -> Result<()> {
        self.udp.send_to(data, (HOST, port)).map(|_| ())
    }

    /// The connection over which it sends: the latest that it opened, or else the latest.
    pub(super) fn connection(&mut self) -> Option<&mut Connection> {
        let open = |connection: &&mut Connection| connection.is_open;
        let own = self
            .connections
            .iter()
            .rposition(|connection| connection.is_open && connection.side == Side::Own);
        match own {
            Some(number) => self.connections.get_mut(number),
            None => self.connections.iter_mut().rev().find(open),
        }
    }

    /// Opens a connection to a port of the server. Returns the port that it comes from.
    pub(super) fn connect(&mut self, port: u16) -> Result<u16> {
        let connection = Connection::open(&self.kind, port)?;
        let from = connection.socket().local_addr()?.port();
        self.connections.push(connection);
        Ok(from)
    }

    /// Closes all connections.
    pub(super) fn close(&mut self) {
        for connection in self.connections.iter_mut().filter(|connection| connection.is_open) {
            connection.close();
        }
    }

    /// Sends a reply to where the request came from.
    pub(super) fn answer(&mut self, data: Vec<u8>, to: Origin) -> Result<()> {
        match to {
            Origin::Datagram(address) => {
                self.udp.send_to(&data, address)?;
            }
            Origin::Connection(number) => {
                let connection = self.connections.get_mut(number);
                connection.ok_or_else(|| Error::other("no such connection"))?.send(&data)?;
            }
        }
        self.last_reply = Some((data, to));
        Ok(())
    }

    /// The latest message received that fits.
    pub(super) fn latest(&self, fits: impl Fn(&Message) -> bool) -> Option<Message> {
        self.inbox.iter().rev().map(|received| Message::new(&received.data)).find(fits)
    }

    /// An INVITE that it sent: the latest, or the one of this number.
    pub(super) fn invite(&self, number: Option<usize>) -> Option<Message> {
        let sent = self.sent.iter().map(|data| Message::new(data));
        let mut invites: Vec<_> = sent.filter(|message| message.method() == "INVITE").collect();
        match number {
            Some(number) => (number < invites.len()).then(|| invites.swap_remove(number)),
            None => invites.pop(),
        }
    }
}

/// The parties of a case, by name.
pub(super) type Actors = BTreeMap<String, Actor>;
