//! The way between this server and a peer, which RFC 5626 calls a flow: a pair of addresses for datagrams, a connection
//! for streams.

use std::net::SocketAddr;

use tocsin_net::Hop;
use tocsin_net::connections::ConnectionId;
use tocsin_shm::{ShmClone, ShmSafe};

use crate::security::TlsSelection;
use crate::sockets::{SocketId, Sockets};

/// Which way a message takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ShmSafe, ShmClone)]
pub struct Flow {
    /// The listener that it leaves by; its protocol is the flow's.
    pub socket: SocketId,
    /// Where it goes. Over a stream: where to connect if the connection is no more.
    pub peer: SocketAddr,
    /// The connection to use; none takes the one that leads to `peer`, or makes one.
    pub connection: ConnectionId,
    /// A connection may be opened for it.
    pub may_open: bool,
}

impl Flow {
    /// From `socket` to `peer`, by whatever connection leads there.
    pub fn new(socket: SocketId, peer: SocketAddr) -> Self {
        Self { socket, peer, connection: ConnectionId::NONE, may_open: true }
    }

    /// The same, over a connection that stands already or not at all, if `flags` has the bit `forbidding`
    /// (`tcp_no_new_conn_bflag` and `tcp_no_new_conn_rplflag`; 0: there is no such flag).
    #[must_use]
    pub fn unless(mut self, flags: u32, forbidding: u32) -> Self {
        self.may_open &= flags & forbidding == 0;
        self
    }

    /// The protocol and address of the far end.
    pub fn hop(&self, sockets: &Sockets) -> Hop {
        Hop { protocol: sockets.listener(self.socket).protocol, to: self.peer }
    }
}

/// Where a message came from and where it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// The sender.
    pub source: SocketAddr,
    /// The listener it arrived on.
    pub socket: SocketId,
    /// The connection it came by; none for a datagram.
    pub connection: ConnectionId,
}

impl Received {
    /// What this server itself made: it came from `source`, its own listener `socket`.
    pub fn own(socket: SocketId, source: SocketAddr) -> Self {
        Self { source, socket, connection: ConnectionId::NONE }
    }

    /// As the way back to the sender.
    pub fn flow(&self) -> Flow {
        Flow { connection: self.connection, ..Flow::new(self.socket, self.source) }
    }
}

/// Whose message it is: notified when it cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BranchRef {
    /// The transaction, by the identity that its layer gave it.
    pub transaction: u64,
    /// Its branch.
    pub branch: u8,
}

/// How to send a message.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// Which way.
    pub flow: Flow,
    /// What the script selects of TLS, should a connection have to be opened.
    pub tls_selection: Option<&'a TlsSelection>,
    /// The name that led to the flow's address, to be asked for by TLS; empty when there was none.
    pub host: &'a str,
    /// Who wants to know if it cannot be sent.
    pub branch_ref: Option<BranchRef>,
}

impl From<Flow> for Envelope<'_> {
    fn from(flow: Flow) -> Self {
        Self { flow, tls_selection: None, host: "", branch_ref: None }
    }
}
