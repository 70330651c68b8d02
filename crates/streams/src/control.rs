//! What TCP main and the TCP workers write to each other, as bytes.

use std::net::SocketAddr;

use tocsin_net::connections::{ConnectionId, OwnerId};

use crate::flow::{BranchRef, Flow};
use crate::security::TlsSelection;
use crate::sockets::SocketId;

/// Bytes before the texts of a message.
const HEAD: usize = 40;
/// Where the number of a message stands.
const NUMBER_AT: usize = 32;
/// The longest name in a message.
const MAX_NAME_BYTES: usize = 1_024;

/// A message between TCP main and the TCP workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlMessage<'a> {
    /// To a worker: serve the connection that is enclosed, which was `from`'s.
    Adopt {
        /// The connection.
        id: ConnectionId,
        /// Its owner before.
        from: OwnerId,
    },
    /// To a worker: send this over a connection of yours.
    Send {
        /// Which way.
        flow: Flow,
        /// Whose message it is.
        branch_ref: Option<BranchRef>,
        /// The name that led to the address.
        host: &'a str,
        /// What the script selects of TLS.
        tls_selection: TlsSelection,
        /// The message.
        bytes: &'a [u8],
    },
    /// To a worker: open a connection of yours, then send this over it.
    Open {
        /// The connection.
        id: ConnectionId,
        /// Whose message it is.
        branch_ref: Option<BranchRef>,
        /// The name that led to the address.
        host: &'a str,
        /// What the script selects of TLS.
        tls_selection: TlsSelection,
        /// The message.
        bytes: &'a [u8],
    },
    /// To a worker: TCP main has begun anew and has no duplicates.
    Announce,
    /// To a worker: keep the enclosed duplicate of a connection that another worker serves.
    Hold {
        /// The connection.
        id: ConnectionId,
    },
    /// To a worker: let the connection live `seconds` without traffic.
    Keep {
        /// The connection.
        id: ConnectionId,
        /// For how long.
        seconds: u32,
    },
    /// To TCP main: the worker has begun, and has read what was posted before.
    Started {
        /// The worker.
        owner: OwnerId,
    },
    /// To TCP main: a connection that you may not know; a duplicate of it is enclosed if it can outlive the worker.
    Opened {
        /// The connection.
        id: ConnectionId,
    },
    /// To TCP main: the connection has ended.
    Ended {
        /// The connection.
        id: ConnectionId,
    },
    /// To TCP main: another worker is to go on with the connection, which is enclosed.
    Released {
        /// The connection.
        id: ConnectionId,
    },
}

impl<'a> ControlMessage<'a> {
    /// Appends the message's bytes to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut head = Head::default();
        match self {
            Self::Adopt { id, from } => head.set(1, *id).owner(*from),
            Self::Send { flow, branch_ref, .. } => {
                head.set(2, flow.connection).branch_ref(*branch_ref).flow(flow)
            }
            Self::Open { id, branch_ref, .. } => head.set(3, *id).branch_ref(*branch_ref),
            Self::Announce => head.set(4, ConnectionId::NONE),
            Self::Keep { id, seconds } => head.set(5, *id).number(u64::from(*seconds)),
            Self::Started { owner } => head.set(6, ConnectionId::NONE).owner(*owner),
            Self::Opened { id } => head.set(7, *id),
            Self::Ended { id } => head.set(8, *id),
            Self::Released { id } => head.set(9, *id),
            Self::Hold { id } => head.set(10, *id),
        };
        out.extend_from_slice(&head.0);
        match self {
            Self::Send { flow, host, tls_selection, bytes, .. } => {
                text(out, &flow.peer.to_string());
                names(out, host, tls_selection);
                out.extend_from_slice(bytes);
            }
            Self::Open { host, tls_selection, bytes, .. } => {
                names(out, host, tls_selection);
                out.extend_from_slice(bytes);
            }
            _ => {}
        }
    }

    /// Whether a connection is enclosed in the message to a worker whose bytes these are.
    pub fn has_enclosure(bytes: &[u8]) -> bool {
        matches!(
            ControlMessage::read(bytes),
            Some(ControlMessage::Adopt { .. } | ControlMessage::Hold { .. })
        )
    }

    /// Writes a number into the message at the beginning of `bytes`: no other message has it.
    pub fn set_number(bytes: &mut [u8], number: u64) {
        if let Some(place) = bytes.get_mut(NUMBER_AT..HEAD) {
            place.copy_from_slice(&number.to_le_bytes());
        }
    }

    /// The number of the message in `bytes`; 0 if it has none.
    pub fn number(bytes: &[u8]) -> u64 {
        bytes.get(NUMBER_AT..).and_then(<[u8]>::first_chunk).map_or(0, |number| u64::from_le_bytes(*number))
    }

    /// Reads a message; `None` for other bytes.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let (head, mut rest) = bytes.split_at_checked(HEAD)?;
        let head = Head(head.try_into().ok()?);
        let id = head.id();
        Some(match head.0[0] {
            1 => Self::Adopt { id, from: head.read_owner() },
            2 => {
                let flow = head.read_flow(take_text(&mut rest)?.parse().ok()?);
                let (host, tls_selection) = take_names(&mut rest)?;
                Self::Send { flow, branch_ref: head.read_ticket(), host, tls_selection, bytes: rest }
            }
            3 => {
                let (host, tls_selection) = take_names(&mut rest)?;
                Self::Open { id, branch_ref: head.read_ticket(), host, tls_selection, bytes: rest }
            }
            4 => Self::Announce,
            5 => Self::Keep { id, seconds: u32::try_from(head.read_number()).unwrap_or(u32::MAX) },
            6 => Self::Started { owner: head.read_owner() },
            7 => Self::Opened { id },
            8 => Self::Ended { id },
            9 => Self::Released { id },
            10 => Self::Hold { id },
            _ => return None,
        })
    }
}

/// Kind (1), flags (1), a listener (2), the connection (8), a number (8), a branch (8 + 1), spare (3), the number of the
/// message (8).
#[derive(Clone, Copy)]
struct Head([u8; HEAD]);

/// The flag of a message that belongs to a branch.
const TICKET: u8 = 1;
/// The flag of a message for which a connection may be opened.
const MAY_OPEN: u8 = 2;

impl Default for Head {
    fn default() -> Self {
        Self([0; HEAD])
    }
}

impl Head {
    fn set(&mut self, kind: u8, id: ConnectionId) -> &mut Self {
        self.0[0] = kind;
        self.0[4..12].copy_from_slice(&id.number().to_le_bytes());
        self
    }

    fn number(&mut self, number: u64) -> &mut Self {
        self.0[12..20].copy_from_slice(&number.to_le_bytes());
        self
    }

    fn owner(&mut self, owner: OwnerId) -> &mut Self {
        self.number(u64::from(owner.index) << 32 | u64::from(owner.generation))
    }

    fn branch_ref(&mut self, branch_ref: Option<BranchRef>) -> &mut Self {
        if let Some(branch_ref) = branch_ref {
            self.0[1] |= TICKET;
            self.0[20..28].copy_from_slice(&branch_ref.transaction.to_le_bytes());
            self.0[28] = branch_ref.branch;
        }
        self
    }

    /// What of `flow` is no text.
    fn flow(&mut self, flow: &Flow) -> &mut Self {
        self.0[2..4].copy_from_slice(&flow.socket.0.to_le_bytes());
        if flow.may_open {
            self.0[1] |= MAY_OPEN;
        }
        self
    }

    fn word(&self, at: usize) -> u64 {
        let mut word = [0; 8];
        word.copy_from_slice(&self.0[at..at + 8]);
        u64::from_le_bytes(word)
    }

    fn id(&self) -> ConnectionId {
        ConnectionId::from_number(self.word(4))
    }

    fn read_number(&self) -> u64 {
        self.word(12)
    }

    fn read_flow(&self, peer: SocketAddr) -> Flow {
        let socket = SocketId(u16::from_le_bytes([self.0[2], self.0[3]]));
        Flow { socket, peer, connection: self.id(), may_open: self.0[1] & MAY_OPEN != 0 }
    }

    fn read_owner(&self) -> OwnerId {
        let word = self.read_number();
        OwnerId { index: (word >> 32) as u16, generation: word as u32 }
    }

    fn read_ticket(&self) -> Option<BranchRef> {
        (self.0[1] & TICKET != 0).then(|| BranchRef { transaction: self.word(20), branch: self.0[28] })
    }
}

/// A text with its length before it; one beyond [`MAX_NAME_BYTES`] is left out, as no name is that long.
fn text(out: &mut Vec<u8>, text: &str) {
    let text = if text.len() > MAX_NAME_BYTES { "" } else { text };
    out.extend_from_slice(&(text.len() as u16).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// What to open a connection over TLS with.
fn names(out: &mut Vec<u8>, host: &str, tls_selection: &TlsSelection) {
    text(out, host);
    text(out, tls_selection.domain.as_deref().unwrap_or_default());
    text(out, tls_selection.sip_domain.as_deref().unwrap_or_default());
}

fn take_names<'a>(rest: &mut &'a [u8]) -> Option<(&'a str, TlsSelection)> {
    let host = take_text(rest)?;
    let mut named = || take_text(rest).map(|name| (!name.is_empty()).then(|| name.to_owned()));
    Some((host, TlsSelection { domain: named()?, sip_domain: named()? }))
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let (length, behind) = rest.split_first_chunk::<2>()?;
    let (text, behind) = behind.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    *rest = behind;
    std::str::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_arrive_as_they_were_written() {
        let id = ConnectionId::from_number(0x1234_5678_9abc);
        let owner = OwnerId { index: 7, generation: 3_000_000_000 };
        let branch_ref = Some(BranchRef { transaction: u64::MAX - 1, branch: 11 });
        let peer = "[::1]:5060".parse().unwrap();
        let flow = Flow { socket: SocketId(3), peer, connection: id, may_open: true };
        let closed = Flow { may_open: false, ..flow };
        let tls_selection = TlsSelection { domain: Some("d".into()), sip_domain: None };
        for message in [
            ControlMessage::Adopt { id, from: owner },
            ControlMessage::Send {
                flow,
                branch_ref,
                host: "h.example",
                tls_selection: tls_selection.clone(),
                bytes: b"INVITE",
            },
            ControlMessage::Send {
                flow: closed,
                branch_ref: None,
                host: "",
                tls_selection: TlsSelection::default(),
                bytes: b"",
            },
            ControlMessage::Open { id, branch_ref, host: "h.example", tls_selection, bytes: b"x" },
            ControlMessage::Announce,
            ControlMessage::Keep { id, seconds: 3600 },
            ControlMessage::Started { owner },
            ControlMessage::Opened { id },
            ControlMessage::Ended { id },
            ControlMessage::Released { id },
            ControlMessage::Hold { id },
        ] {
            let mut bytes = Vec::new();
            message.write(&mut bytes);
            ControlMessage::set_number(&mut bytes, u64::MAX - 5);
            assert_eq!(ControlMessage::number(&bytes), u64::MAX - 5);
            assert_eq!(ControlMessage::read(&bytes), Some(message));
        }
    }

    #[test]
    fn other_bytes_are_no_letter() {
        assert_eq!(ControlMessage::read(b""), None);
        assert_eq!(ControlMessage::read(&[99; 64]), None);
        assert_eq!(ControlMessage::read(&[[3; 1].as_slice(), &[0xff; 60]].concat()), None);
    }
}
