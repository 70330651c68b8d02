//! One stream connection of an actor, and the messages in it.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::LazyLock;
use std::time::Duration;

use regex::bytes::Regex;

use super::tls::Tls;
use super::websocket::{self, find};

static LENGTH: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?i)\r\n(?:content-length|l)[ \t]*:[ \t]*([0-9]+)").unwrap());

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Who opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The actor.
    Own,
    /// The server.
    Accepted,
}

/// A connection with what has come over it and is no whole message yet.
pub(super) struct Connection {
    stream: Stream,
    pub(super) side: Side,
    pub(super) is_open: bool,
    buffer: Vec<u8>,
}

enum Stream {
    Plain(TcpStream),
    WebSocket(TcpStream),
    Tls(Box<Tls>),
}

impl Connection {
    /// One that the server opened.
    pub(super) fn accepted(stream: TcpStream) -> Self {
        Self::new(Stream::Plain(stream), Side::Accepted, Vec::new())
    }

    /// Connects to the server over what an actor of this kind speaks.
    pub(super) fn open(kind: &str, port: u16) -> Result<Self> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(HANDSHAKE))?;
        Ok(match kind {
            "tls" => Self::new(Stream::Tls(Box::new(Tls::open(stream)?)), Side::Own, Vec::new()),
            "ws" => {
                let behind = websocket::shake_hands(&mut stream, port)?;
                Self::new(Stream::WebSocket(stream), Side::Own, behind)
            }
            _ => Self::new(Stream::Plain(stream), Side::Own, Vec::new()),
        })
    }

    fn new(stream: Stream, side: Side, buffer: Vec<u8>) -> Self {
        let connection = Self { stream, side, is_open: true, buffer };
        connection.socket().set_nonblocking(true).unwrap();
        connection
    }

    pub(super) fn socket(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(stream) | Stream::WebSocket(stream) => stream,
            Stream::Tls(tls) => tls.stream(),
        }
    }

    /// Sends a message.
    pub(super) fn send(&mut self, data: &[u8]) -> Result<()> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(data),
            Stream::WebSocket(stream) => stream.write_all(&websocket::message(data)),
            Stream::Tls(tls) => tls.write_all(data).and_then(|()| tls.flush()),
        }
    }

    /// Sends a WebSocket frame of this kind.
    pub(super) fn send_frame(&mut self, data: &[u8], kind: u8) -> Result<()> {
        match &mut self.stream {
            Stream::WebSocket(stream) => stream.write_all(&websocket::frame(data, kind)),
            _ => Err(Error::other("only a WebSocket has frames")),
        }
    }

    /// Ends the connection from this side.
    pub(super) fn close(&mut self) {
        let _ = self.socket().shutdown(Shutdown::Both);
        self.is_open = false;
    }

    /// The messages that have come in whole. Notices the end of the connection.
    pub(super) fn read(&mut self) -> Vec<Vec<u8>> {
        let mut data = [0; 65_536];
        loop {
            let read = match &mut self.stream {
                Stream::Plain(stream) | Stream::WebSocket(stream) => stream.read(&mut data),
                Stream::Tls(tls) => tls.read(&mut data),
            };
            match read {
                Ok(0) => self.is_open = false,
                Ok(length) => {
                    self.buffer.extend(&data[..length]);
                    continue;
                }
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => {}
                Err(_) => self.is_open = false,
            }
            break;
        }
        std::iter::from_fn(|| self.take()).collect()
    }

    fn take(&mut self) -> Option<Vec<u8>> {
        match self.stream {
            Stream::WebSocket(_) => websocket::take(&mut self.buffer),
            _ => take_message(&mut self.buffer),
        }
    }
}

/// Takes a message from the front of the buffer if it is there as a whole.
fn take_message(buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    if buffer.starts_with(b"\r\n") {
        buffer.drain(..2);
        return Some(b"<CRLF>".to_vec());
    }
    let end = find(buffer, b"\r\n\r\n")?;
    let length = LENGTH
        .captures(&buffer[..end + 2])
        .and_then(|found| std::str::from_utf8(&found[1]).ok()?.parse::<usize>().ok());
    let whole = end + 4 + length.unwrap_or(0);
    (buffer.len() >= whole).then(|| buffer.drain(..whole).collect())
}
