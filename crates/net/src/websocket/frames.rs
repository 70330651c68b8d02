//! Reading frames (RFC 6455 section 5): what a connection carries once it is open.

use super::mask::mask;
use std::ops::Range;
use thiserror::Error;

/// Frames of one message. A message of 64 KiB in pieces of one Ethernet frame has 45; without an end to empty
/// ones a message would never be too long.
const MAX_FRAGMENTS: u32 = 1_024;

/// Payload bytes of a control frame (RFC 6455 section 5.5).
pub(super) const MAX_CONTROL_BYTES: usize = 125;

/// Who sends the frames that are read: a client masks them, a server must not (RFC 6455 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The side that opened the connection.
    Client,
    /// The side that accepted it.
    Server,
}

/// What the bytes at hand begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// Part of a frame.
    Incomplete {
        /// Bytes from the begin that are needed to go on: to make room for.
        needed: usize,
    },
    /// A whole frame.
    Frame {
        /// Its bytes: to be skipped when the event is dealt with.
        length: usize,
        /// What it means.
        event: Event,
    },
}

/// What a frame means. Ranges are places in the bytes that were decoded, unmasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The message is whole.
    Message(Payload),
    /// A part of a message, kept until the last one comes.
    Fragment,
    /// To be answered with a pong of the same payload, 125 bytes at the most.
    Ping(Range<usize>),
    /// A keep-alive, or the answer to one.
    Pong(Range<usize>),
    /// The peer closes: to be answered with the same code, if none was sent, and the connection closed.
    Close {
        /// Why (RFC 6455 section 7.4), if the peer said so.
        code: Option<u16>,
        /// The same in words, in UTF-8.
        reason: Range<usize>,
    },
}

/// Where a message is. Whether it came as text or as binary makes no difference to SIP (RFC 7118 section 5);
/// text is known to be UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// It came in one frame: in the bytes that were decoded.
    InPlace(Range<usize>),
    /// It came in fragments.
    Joined(Vec<u8>),
}

/// What a peer may not send. Answered by a close frame with its [`close_code`](Violation::close_code); nothing
/// behind it may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum Violation {
    /// A reserved bit, whose meaning no extension gave.
    #[error("reserved bit in a WebSocket frame")]
    Reserved,
    /// An opcode without a meaning.
    #[error("unknown WebSocket opcode")]
    Opcode,
    /// A frame from a client that is not masked.
    #[error("WebSocket frame of a client is not masked")]
    Unmasked,
    /// A frame from a server that is masked.
    #[error("WebSocket frame of a server is masked")]
    Masked,
    /// A control frame in fragments, or longer than 125 bytes.
    #[error("WebSocket control frame is fragmented or too long")]
    Control,
    /// A length written with more bytes than it needs, or of 2^63 or more.
    #[error("malformed WebSocket frame length")]
    Length,
    /// A continuation of nothing.
    #[error("WebSocket continuation without a message")]
    Continuation,
    /// A message that begins within another.
    #[error("WebSocket message within another")]
    Interrupted,
    /// A close frame with half a code, or with one that may not be sent.
    #[error("invalid WebSocket close code")]
    CloseCode,
    /// Text, or the reason of a close, that is not UTF-8.
    #[error("WebSocket text is not UTF-8")]
    Utf8,
    /// A message beyond the limit of its [`Decoder`].
    #[error("WebSocket message too long")]
    TooLong,
    /// A message in too many fragments.
    #[error("WebSocket message in too many fragments")]
    TooManyFragments,
}

impl Violation {
    /// The code to close the connection with (RFC 6455 section 7.4.1).
    #[must_use]
    pub fn close_code(self) -> u16 {
        match self {
            Self::Utf8 => 1007,
            Self::TooManyFragments => 1008,
            Self::TooLong => 1009,
            _ => 1002,
        }
    }
}

impl Payload {
    /// The bytes of the message; `decoded` are those that were decoded.
    #[must_use]
    pub fn of<'a>(&'a self, decoded: &'a [u8]) -> &'a [u8] {
        match self {
            Self::InPlace(place) => decoded.get(place.clone()).unwrap_or_default(),
            Self::Joined(bytes) => bytes,
        }
    }
}

/// Reads the frames of one direction of a connection. It keeps memory only while a message in fragments is
/// under way.
#[derive(Debug)]
pub struct Decoder {
    sender: Sender,
    longest: usize,
    under_way: Option<UnderWay>,
}

/// A message of which fragments came.
#[derive(Debug, Default)]
struct UnderWay {
    is_text: bool,
    fragments: u32,
    bytes: Vec<u8>,
}

impl Decoder {
    /// A decoder for the frames of this sender, whose messages may have so many bytes.
    #[must_use]
    pub fn new(sender: Sender, longest: usize) -> Self {
        Self { sender, longest, under_way: None }
    }

    /// Reads the frame that `bytes` begin with; its payload is unmasked where it lies.
    ///
    /// After [`Decoded::Incomplete`] the same bytes, which were not changed, must be given again with more
    /// behind them; after a frame, the bytes behind it.
    ///
    /// # Errors
    /// [`Violation`], as soon as the head of the frame shows it. Nothing more may be decoded then.
    pub fn decode(&mut self, bytes: &mut [u8]) -> Result<Decoded, Violation> {
        let head = match Head::read(bytes, self.sender)? {
            Ok(head) => head,
            Err(needed) => return Ok(Decoded::Incomplete { needed }),
        };
        self.check(&head)?;
        let place = head.length..head.length + head.payload;
        let Some(payload) = bytes.get_mut(place.clone()) else {
            return Ok(Decoded::Incomplete { needed: place.end });
        };
        if let Some(key) = head.mask {
            mask(payload, key);
        }
        let length = place.end;
        let event = match head.opcode {
            Opcode::Ping => Event::Ping(place),
            Opcode::Pong => Event::Pong(place),
            Opcode::Close => close(payload, place)?,
            Opcode::Text | Opcode::Binary if head.is_last => {
                whole(payload, head.opcode == Opcode::Text)?;
                Event::Message(Payload::InPlace(place))
            }
            Opcode::Text | Opcode::Binary | Opcode::Continuation => self.fragment(&head, payload)?,
        };
        Ok(Decoded::Frame { length, event })
    }

    /// Whether no message in fragments is under way. It says nothing about a frame of which a part is there:
    /// that is so if [`decode`](Decoder::decode) was not given nothing.
    #[must_use]
    pub fn is_between_messages(&self) -> bool {
        self.under_way.is_none()
    }

    /// Checks a head against what came before it.
    fn check(&self, head: &Head) -> Result<(), Violation> {
        if head.opcode.is_control() {
            return Ok(());
        }
        let (before, fragments) = match (&self.under_way, head.opcode == Opcode::Continuation) {
            (None, false) => (0, 0),
            (Some(message), true) => (message.bytes.len(), message.fragments),
            (None, true) => return Err(Violation::Continuation),
            (Some(_), false) => return Err(Violation::Interrupted),
        };
        if head.payload > self.longest.saturating_sub(before) {
            return Err(Violation::TooLong);
        }
        if fragments < MAX_FRAGMENTS { Ok(()) } else { Err(Violation::TooManyFragments) }
    }

    fn fragment(&mut self, head: &Head, payload: &[u8]) -> Result<Event, Violation> {
        let is_text = head.opcode == Opcode::Text;
        let message = self.under_way.get_or_insert_with(|| UnderWay { is_text, ..UnderWay::default() });
        message.fragments += 1;
        message.bytes.extend_from_slice(payload);
        if !head.is_last {
            return Ok(Event::Fragment);
        }
        let message = self.under_way.take().unwrap_or_default();
        whole(&message.bytes, message.is_text)?;
        Ok(Event::Message(Payload::Joined(message.bytes)))
    }
}

/// What stands before the payload of a frame.
#[derive(Debug)]
struct Head {
    is_last: bool,
    opcode: Opcode,
    mask: Option<[u8; 4]>,
    /// Bytes of the head itself.
    length: usize,
    /// Bytes of the payload. The two together fit a `usize`.
    payload: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn of(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

impl Head {
    /// Reads a head, or says how many bytes are needed to go on.
    fn read(bytes: &[u8], sender: Sender) -> Result<Result<Self, usize>, Violation> {
        let [first, second, rest @ ..] = bytes else { return Ok(Err(2)) };
        let (is_last, short) = (first & 0x80 != 0, second & 0x7f);
        let opcode = Opcode::of(first & 0x0f).ok_or(Violation::Opcode)?;
        if first & 0x70 != 0 {
            return Err(Violation::Reserved);
        }
        let mask_length = match (sender, second & 0x80 != 0) {
            (Sender::Client, true) => 4,
            (Sender::Server, false) => 0,
            (Sender::Client, false) => return Err(Violation::Unmasked),
            (Sender::Server, true) => return Err(Violation::Masked),
        };
        if opcode.is_control() && !(is_last && usize::from(short) <= MAX_CONTROL_BYTES) {
            return Err(Violation::Control);
        }
        let (extended, least) = match short {
            126 => (2, 126),
            127 => (8, 65_536),
            _ => (0, 0),
        };
        let length = 2 + extended + mask_length;
        let Some((extended, rest)) = rest.split_at_checked(extended) else { return Ok(Err(length)) };
        let payload = match extended {
            [] => u64::from(short),
            bytes => bytes.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)),
        };
        if payload < least || payload > i64::MAX as u64 {
            return Err(Violation::Length);
        }
        let payload = usize::try_from(payload).map_err(|_| Violation::TooLong)?;
        let mask = match mask_length {
            0 => None,
            _ => match rest.first_chunk() {
                Some(&key) => Some(key),
                None => return Ok(Err(length)),
            },
        };
        Ok(Ok(Self { is_last, opcode, mask, length, payload }))
    }
}

/// Checks a whole message.
fn whole(message: &[u8], is_text: bool) -> Result<(), Violation> {
    if is_text && std::str::from_utf8(message).is_err() { Err(Violation::Utf8) } else { Ok(()) }
}

/// Reads a close frame: a code, and a reason behind it (RFC 6455 section 5.5.1).
fn close(payload: &[u8], place: Range<usize>) -> Result<Event, Violation> {
    match payload {
        [] => Ok(Event::Close { code: None, reason: place }),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                return Err(Violation::CloseCode);
            }
            whole(reason, true)?;
            Ok(Event::Close { code: Some(code), reason: place.start + 2..place.end })
        }
        _ => Err(Violation::CloseCode),
    }
}

#[cfg(test)]
mod tests;
