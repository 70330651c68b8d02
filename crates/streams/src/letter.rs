//! What TCP main and the TCP workers write to each other, as bytes.

use std::net::SocketAddr;

use tocsin_net::connections::{ConnectionId, OwnerId};

use crate::flow::{Flow, Ticket};
use crate::security::Wish;
use crate::sockets::SocketId;

/// Bytes before the texts of a letter.
const HEAD: usize = 40;
/// Where the number of a letter stands.
const NUMBER_AT: usize = 32;
/// The longest name in a letter.
const NAME_MAX: usize = 1_024;

/// A letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Letter<'a> {
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
        ticket: Option<Ticket>,
        /// The name that led to the address.
        host: &'a str,
        /// What the script selects of TLS.
        wish: Wish,
        /// The message.
        bytes: &'a [u8],
    },
    /// To a worker: open a connection of yours, then send this over it.
    Open {
        /// The connection.
        id: ConnectionId,
        /// Whose message it is.
        ticket: Option<Ticket>,
        /// The name that led to the address.
        host: &'a str,
        /// What the script selects of TLS.
        wish: Wish,
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

impl<'a> Letter<'a> {
    /// Appends the letter's bytes to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut head = Head::default();
        match self {
            Self::Adopt { id, from } => head.set(1, *id).owner(*from),
            Self::Send { flow, ticket, .. } => head.set(2, flow.connection).ticket(*ticket).flow(flow),
            Self::Open { id, ticket, .. } => head.set(3, *id).ticket(*ticket),
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
            Self::Send { flow, host, wish, bytes, .. } => {
                text(out, &flow.peer.to_string());
                names(out, host, wish);
                out.extend_from_slice(bytes);
            }
            Self::Open { host, wish, bytes, .. } => {
                names(out, host, wish);
                out.extend_from_slice(bytes);
            }
            _ => {}
        }
    }

    /// Whether a connection is enclosed in the letter to a worker that these are the bytes of.
    pub fn has_enclosure(bytes: &[u8]) -> bool {
        matches!(Letter::read(bytes), Some(Letter::Adopt { .. } | Letter::Hold { .. }))
    }

    /// Gives the letter that `bytes` begins with a number by which it is known among all.
    pub fn set_number(bytes: &mut [u8], number: u64) {
        if let Some(place) = bytes.get_mut(NUMBER_AT..HEAD) {
            place.copy_from_slice(&number.to_le_bytes());
        }
    }

    /// The number of the letter that `bytes` is; 0 if it has none.
    pub fn number(bytes: &[u8]) -> u64 {
        bytes.get(NUMBER_AT..).and_then(<[u8]>::first_chunk).map_or(0, |number| u64::from_le_bytes(*number))
    }

    /// Reads a letter; `None` for bytes that are none.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let (head, mut rest) = bytes.split_at_checked(HEAD)?;
        let head = Head(head.try_into().ok()?);
        let id = head.id();
        Some(match head.0[0] {
            1 => Self::Adopt { id, from: head.read_owner() },
            2 => {
                let flow = head.read_flow(take_text(&mut rest)?.parse().ok()?);
                let (host, wish) = take_names(&mut rest)?;
                Self::Send { flow, ticket: head.read_ticket(), host, wish, bytes: rest }
            }
            3 => {
                let (host, wish) = take_names(&mut rest)?;
                Self::Open { id, ticket: head.read_ticket(), host, wish, bytes: rest }
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

/// Kind (1), flags (1), a listener (2), the connection (8), a number (8), a ticket (8 + 1), spare (3), the number of the
/// letter (8).
#[derive(Clone, Copy)]
struct Head([u8; HEAD]);

/// The flag of a letter that has a ticket.
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

    fn ticket(&mut self, ticket: Option<Ticket>) -> &mut Self {
        if let Some(ticket) = ticket {
            self.0[1] |= TICKET;
            self.0[20..28].copy_from_slice(&ticket.transaction.to_le_bytes());
            self.0[28] = ticket.branch;
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

    fn read_ticket(&self) -> Option<Ticket> {
        (self.0[1] & TICKET != 0).then(|| Ticket { transaction: self.word(20), branch: self.0[28] })
    }
}

/// A text with its length before it; one beyond [`NAME_MAX`] is left out, as no name is that long.
fn text(out: &mut Vec<u8>, text: &str) {
    let text = if text.len() > NAME_MAX { "" } else { text };
    out.extend_from_slice(&(text.len() as u16).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// What a connection over TLS is to be opened with.
fn names(out: &mut Vec<u8>, host: &str, wish: &Wish) {
    text(out, host);
    text(out, wish.domain.as_deref().unwrap_or_default());
    text(out, wish.sip_domain.as_deref().unwrap_or_default());
}

fn take_names<'a>(rest: &mut &'a [u8]) -> Option<(&'a str, Wish)> {
    let host = take_text(rest)?;
    let mut named = || take_text(rest).map(|name| (!name.is_empty()).then(|| name.to_owned()));
    Some((host, Wish { domain: named()?, sip_domain: named()? }))
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
        let ticket = Some(Ticket { transaction: u64::MAX - 1, branch: 11 });
        let peer = "[::1]:5060".parse().unwrap();
        let flow = Flow { socket: SocketId(3), peer, connection: id, may_open: true };
        let closed = Flow { may_open: false, ..flow };
        let wish = Wish { domain: Some("d".into()), sip_domain: None };
        for letter in [
            Letter::Adopt { id, from: owner },
            Letter::Send { flow, ticket, host: "h.example", wish: wish.clone(), bytes: b"INVITE" },
            Letter::Send { flow: closed, ticket: None, host: "", wish: Wish::default(), bytes: b"" },
            Letter::Open { id, ticket, host: "h.example", wish, bytes: b"x" },
            Letter::Announce,
            Letter::Keep { id, seconds: 3600 },
            Letter::Started { owner },
            Letter::Opened { id },
            Letter::Ended { id },
            Letter::Released { id },
            Letter::Hold { id },
        ] {
            let mut bytes = Vec::new();
            letter.write(&mut bytes);
            Letter::set_number(&mut bytes, u64::MAX - 5);
            assert_eq!(Letter::number(&bytes), u64::MAX - 5);
            assert_eq!(Letter::read(&bytes), Some(letter));
        }
    }

    #[test]
    fn other_bytes_are_no_letter() {
        assert_eq!(Letter::read(b""), None);
        assert_eq!(Letter::read(&[99; 64]), None);
        assert_eq!(Letter::read(&[[3; 1].as_slice(), &[0xff; 60]].concat()), None);
    }
}
