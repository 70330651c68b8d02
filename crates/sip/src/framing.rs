//! Where a message ends on a stream (RFC 3261 section 18.3), and the keep-alives between messages (RFC 5626
//! sections 3.5.1 and 4.4.1).
//!
//! Nothing is copied and nothing is looked at twice: a [`Framer`] remembers how far it came, so that a peer
//! who sends one byte at a time costs no more than one who sends all at once. Lines, names and folds are read
//! exactly as [`Message::parse`](crate::Message::parse) reads them, for a difference between the two would be
//! a place to hide a message in. Where the parser is lenient and a stream cannot afford it, the framer is the
//! stricter one: a line ends in CRLF, never in LF or CR alone, and Content-Length has to be there.

use crate::grammar::{LWS, TOKEN, is, number, trim};
use crate::{HeaderName, Limits};
use memchr::{memchr, memchr2, memrchr};
use thiserror::Error;

/// Bytes of a start line, its line end included, that a stream may send: a Request-URI of the greatest length
/// fits many times.
pub const MAX_START_LINE_BYTES: usize = 8_192;

/// Bytes of a method. What goes on longer without a space is no request; the longest in RFC 4475 has 43.
const MAX_METHOD_BYTES: usize = 128;

/// What the bytes at hand begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Undecided: more bytes are needed. A CRLF with nothing behind it is this too, since it may
    /// become a ping; see [`is_between_messages`].
    Incomplete,
    /// A keep-alive that must be answered with one CRLF.
    Ping {
        /// Bytes to be skipped.
        length: usize,
    },
    /// The answer to a keep-alive, or an empty line before a message: nothing to be done.
    Pong {
        /// Bytes to be skipped.
        length: usize,
    },
    /// A whole message.
    Message {
        /// Its bytes, body included.
        length: usize,
    },
}

/// Why a stream cannot be cut into messages. Where the next message would begin is not known any more: the
/// connection has to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum Unframable {
    /// The first byte of a TLS record: the peer means another port.
    #[error("TLS handshake on a connection without TLS")]
    Tls,
    /// A request or an answer of HTTP.
    #[error("HTTP on a SIP connection")]
    Http,
    /// A control character in the start line, or anything but ASCII in its first word.
    #[error("binary data instead of a SIP message")]
    Binary,
    /// A first line that is neither a request line nor a status line of SIP.
    #[error("no SIP start line")]
    StartLine,
    /// A start line beyond [`MAX_START_LINE_BYTES`].
    #[error("SIP start line too long")]
    StartLineTooLong,
    /// A line end without carriage return: others may not see the end of a line there.
    #[error("line feed without carriage return")]
    BareLineFeed,
    /// A carriage return that ends no line: others may see the end of a line there.
    #[error("carriage return without line feed")]
    BareCarriageReturn,
    /// No end of the header fields within [`Limits::message`].
    #[error("header fields too long")]
    HeadTooLong,
    /// No Content-Length (RFC 3261 section 20.14: mandatory on streams).
    ///
    /// Phones that leave it out mean an empty body, but an element on the way that leaves it out may mean
    /// "to the end": taking the body for the next message is not worth the risk.
    #[error("missing Content-Length")]
    NoLength,
    /// A Content-Length that is no number.
    #[error("invalid Content-Length")]
    Length,
    /// Several Content-Length fields that do not agree.
    #[error("conflicting Content-Length")]
    LengthConflict,
    /// Header fields and body together are beyond [`Limits::message`].
    #[error("message too long")]
    MessageTooLong,
}

/// Tells what `bytes` begin with, for bytes that are all there. For those that arrive little by little there
/// is [`Framer`].
///
/// # Errors
/// [`Unframable`], as soon as no further bytes could make it right.
pub fn frame(bytes: &[u8], limits: &Limits) -> Result<Frame, Unframable> {
    Framer::new(limits).frame(bytes)
}

/// Whether these bytes are nothing, or no more than empty lines: no message has begun that a peer would have
/// to finish in time.
#[must_use]
pub fn is_between_messages(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n'))
}

/// Cuts the bytes of one stream into messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framer {
    /// [`Limits::message`].
    longest: usize,
    place: Place,
    /// Content-Length, once it was met.
    length: Option<u64>,
    /// No line end, nor half of one, lies between the begin of the line and here.
    searched: usize,
}

/// How far the bytes at hand are understood; all counts are from their begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the start line, or before it.
    Start,
    /// In the header field that begins at this byte.
    Field(usize),
    /// Behind the header fields; the message has this many bytes.
    Body(usize),
}

impl Framer {
    /// A framer at the begin of a stream.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self { longest: limits.message as usize, place: Place::Start, length: None, searched: 0 }
    }

    /// Tells what `bytes` begin with.
    ///
    /// After [`Frame::Incomplete`] the same bytes must be given again with more behind them; after any other
    /// frame, the bytes behind it.
    ///
    /// # Errors
    /// [`Unframable`], as soon as no further bytes could make it right. The stream is at its end then.
    pub fn frame(&mut self, bytes: &[u8]) -> Result<Frame, Unframable> {
        if self.place == Place::Start {
            if let Some(frame) = keep_alive(bytes)? {
                return Ok(frame);
            }
            let Some(end) = self.start_line(bytes)? else { return Ok(Frame::Incomplete) };
            (self.place, self.searched) = (Place::Field(end), end);
        }
        while let Place::Field(start) = self.place {
            if !self.field(bytes, start)? {
                return Ok(Frame::Incomplete);
            }
        }
        match self.place {
            Place::Body(length) if length <= bytes.len() => {
                (self.place, self.length, self.searched) = (Place::Start, None, 0);
                Ok(Frame::Message { length })
            }
            _ => Ok(Frame::Incomplete),
        }
    }

    /// How many bytes the message under way has, body included, once its header fields are all there: what
    /// to make room for.
    #[must_use]
    pub fn expected(&self) -> Option<usize> {
        match self.place {
            Place::Body(length) => Some(length),
            _ => None,
        }
    }

    /// Checks what there is of the start line; where it ends, if it does.
    fn start_line(&mut self, bytes: &[u8]) -> Result<Option<usize>, Unframable> {
        let is_status = first_word(bytes)?;
        let window = &bytes[..bytes.len().min(MAX_START_LINE_BYTES)];
        let unread = window.get(self.searched..).unwrap_or_default();
        let plain = unread.iter().position(|&byte| is_control(byte)).unwrap_or(unread.len());
        self.searched += plain;
        match unread[plain..] {
            [b'\r', b'\n', ..] => {}
            [b'\n', ..] => return Err(Unframable::BareLineFeed),
            [] | [b'\r'] if window.len() == MAX_START_LINE_BYTES => return Err(Unframable::StartLineTooLong),
            [] | [b'\r'] => return Ok(None),
            _ => return Err(Unframable::Binary),
        }
        if !is_status {
            request_line(&window[..self.searched])?;
        }
        Ok(Some(self.searched + 2))
    }

    /// Steps over the header field that begins at `start`, or over the empty line: false if there is not
    /// enough of it.
    fn field(&mut self, bytes: &[u8], start: usize) -> Result<bool, Unframable> {
        let window = &bytes[..bytes.len().min(self.longest)];
        match window.get(start..).unwrap_or_default() {
            [b'\r', b'\n', ..] => {
                self.place = Place::Body(self.message_length(start + 2)?);
                return Ok(true);
            }
            [] | [b'\r'] => return self.head_incomplete(window),
            _ => {}
        }
        loop {
            let unread = window.get(self.searched..).unwrap_or_default();
            let Some(stop) = memchr2(b'\r', b'\n', unread) else {
                self.searched += unread.len();
                return self.head_incomplete(window);
            };
            self.searched += stop;
            match unread[stop..] {
                [b'\n', ..] => return Err(Unframable::BareLineFeed),
                [b'\r', b'\n', ..] => {}
                // What follows tells whether it ends the line: it is met again then.
                [_] | [] => return self.head_incomplete(window),
                _ => return Err(Unframable::BareCarriageReturn),
            }
            let end = self.searched + 2;
            match window.get(end) {
                // Only the next byte tells whether the line is folded: this line end is met again then.
                None => return self.head_incomplete(window),
                Some(b' ' | b'\t') => self.searched = end,
                Some(_) => {
                    self.note_length(&window[start..end])?;
                    (self.place, self.searched) = (Place::Field(end), end);
                    return Ok(true);
                }
            }
        }
    }

    /// What to say when the header fields do not end in `window`.
    fn head_incomplete(&self, window: &[u8]) -> Result<bool, Unframable> {
        if window.len() < self.longest { Ok(false) } else { Err(Unframable::HeadTooLong) }
    }

    /// Remembers the value if the field is Content-Length.
    fn note_length(&mut self, field: &[u8]) -> Result<(), Unframable> {
        if !matches!(field[0] | 0x20, b'c' | b'l') {
            return Ok(());
        }
        let Some(colon) = memchr(b':', field) else { return Ok(()) };
        let (name, value) = (&field[..colon], &field[colon + 1..]);
        if HeaderName::of(trim(name)) != HeaderName::ContentLength {
            return Ok(());
        }
        let length = number(trim(value)).ok_or(Unframable::Length)?;
        match self.length.replace(length) {
            Some(before) if before != length => Err(Unframable::LengthConflict),
            _ => Ok(()),
        }
    }

    /// The bytes of a message with this many before its body.
    fn message_length(&self, head: usize) -> Result<usize, Unframable> {
        let body = self.length.ok_or(Unframable::NoLength)?;
        let body = usize::try_from(body).map_err(|_| Unframable::MessageTooLong)?;
        head.checked_add(body).filter(|&length| length <= self.longest).ok_or(Unframable::MessageTooLong)
    }
}

/// What stands before a start line; none if a start line begins.
fn keep_alive(bytes: &[u8]) -> Result<Option<Frame>, Unframable> {
    Ok(match bytes {
        [] | [b'\r'] | [b'\r', b'\n'] | [b'\r', b'\n', b'\r'] => Some(Frame::Incomplete),
        [b'\r', b'\n', b'\r', b'\n', ..] => Some(Frame::Ping { length: 4 }),
        [b'\r', b'\n', ..] => Some(Frame::Pong { length: 2 }),
        [b'\n', ..] => Some(Frame::Pong { length: 1 }),
        [b'\r', ..] => return Err(Unframable::Binary),
        _ => None,
    })
}

/// Checks what there is of the first word: whether it is that of a status line. Garbage is distinguished from SIP here
/// even if it never ends its line.
fn first_word(bytes: &[u8]) -> Result<bool, Unframable> {
    if bytes.first() == Some(&TLS_HANDSHAKE) {
        return Err(Unframable::Tls);
    }
    let word = bytes.iter().take(MAX_METHOD_BYTES + 1).position(|&byte| !is(byte, TOKEN));
    match word.map(|length| (length, bytes[length])) {
        None if bytes.len() > MAX_METHOD_BYTES => Err(Unframable::StartLine),
        None => Ok(false),
        Some((1.., b' ')) => Ok(false),
        Some((3, b'/')) if bytes[..3].eq_ignore_ascii_case(b"SIP") => Ok(true),
        Some((4, b'/')) if bytes.starts_with(b"HTTP") => Err(Unframable::Http),
        Some((_, byte)) if byte >= 0x80 || is_control(byte) && !is(byte, LWS) => Err(Unframable::Binary),
        Some(_) => Err(Unframable::StartLine),
    }
}

/// Checks that a line ends in a version of SIP: which one it is, is for the parser to say.
fn request_line(line: &[u8]) -> Result<(), Unframable> {
    let line = trim(line);
    let version = memrchr(b' ', line).map_or(&b""[..], |space| &line[space + 1..]);
    match version.split_at_checked(4) {
        Some((name, _)) if name.eq_ignore_ascii_case(b"SIP/") => Ok(()),
        _ if version.starts_with(b"HTTP/") => Err(Unframable::Http),
        _ => Err(Unframable::StartLine),
    }
}

/// The content type of a TLS record that a client begins with (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 22;

fn is_control(byte: u8) -> bool {
    byte < b' ' && byte != b'\t' || byte == 0x7f
}

#[cfg(test)]
mod tests;
