//! The bytes at hand: what was read of a connection and is not served to its end.

use std::ops::Range;

use crate::end::End;

/// How to read bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// Look at what the kernel has queued, and leave it there.
    Look,
    /// Take it out.
    Take,
    /// Nothing is read: what was read before has its turn.
    Nothing,
}

/// Bytes that were read.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// The bytes.
    pub(crate) bytes: Vec<u8>,
    /// The buffer had no room for more.
    pub(crate) is_full: bool,
    /// The peer sends nothing behind what the kernel has.
    pub(crate) is_closed: bool,
}

/// How far the service of the bytes at hand is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Go on.
    Serving,
    /// It is over, and there may be more to read.
    Again,
    /// It is over, and nothing more has come.
    Wait,
}

/// What of the bytes at hand is being served.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    /// Its bytes, frame and all.
    pub(super) length: usize,
    /// It opened the WebSocket.
    pub(super) is_upgrade: bool,
    /// Its begin was taken out of the kernel before: only with this process can it come to its end.
    pub(super) is_rest: bool,
}

/// The bytes at hand, and the turn in which they are served.
#[derive(Debug, Default)]
pub(super) struct Input {
    /// Bytes that were looked at, during a turn; between turns those that were taken out of the kernel and not served yet:
    /// decrypted ones, and the begin of a long message.
    pub(super) bytes: Vec<u8>,
    /// The bytes are still in the kernel's queue.
    pub(super) is_queued: bool,
    /// Some of the bytes are whole, and wait for the next turn.
    pub(super) has_unserved: bool,
    /// A turn is under way.
    pub(super) is_serving: bool,
    /// The buffer that was read into had no room for more.
    pub(super) is_full: bool,
    /// The peer sends nothing more.
    pub(super) is_closed: bool,
    /// Pieces of this turn.
    pub(super) pieces: u32,
    /// A message was among them.
    pub(super) has_message: bool,
    /// How many bytes were served in this turn.
    pub(super) at: usize,
    /// What is being served.
    pub(super) piece: Option<Piece>,
    /// The message in it, until it is given to the process.
    pub(super) message: Vec<u8>,
    /// The buffer of a read, once nothing of it is at hand.
    pub(super) spent: Vec<u8>,
    /// What to say about the bytes themselves.
    pub(super) answer: Vec<u8>,
    /// What ends the connection once the bytes are served.
    pub(super) ends_as: Option<Box<End>>,
}

impl Input {
    /// Begins a turn over what is at hand.
    pub(super) fn begin(&mut self) {
        self.is_serving = true;
        self.has_message = false;
        self.pieces = 0;
        self.at = 0;
    }

    /// How many bytes were not served.
    pub(super) fn left(&self) -> usize {
        self.rest().len()
    }

    /// The bytes that were not served.
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The message at `place` behind what was served. A buffer that it fills is given away with it.
    pub(super) fn message(&mut self, place: Range<usize>) -> Vec<u8> {
        let place = self.at + place.start..self.at + place.end;
        if place == (0..self.bytes.len()) {
            std::mem::take(&mut self.bytes)
        } else {
            self.bytes[place].to_vec()
        }
    }

    /// Whether bytes lie here, or are being served, that the kernel does not have any more.
    pub(super) fn holds_bytes(&self) -> bool {
        let is_rest = self.piece.is_some_and(|piece| piece.is_rest);
        is_rest || (!self.is_queued && (self.is_serving || !self.bytes.is_empty()))
    }
}
