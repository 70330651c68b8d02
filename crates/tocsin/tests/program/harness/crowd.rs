//! Many connections of one kind at once, each cheap for the test that holds it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::stream::{bound_to, web_frame, web_handshake};
use super::{Authority, Message, PATIENCE};

/// The bits of a frame's first byte that say what it is, and a Close (RFC 6455 section 5.2).
const OPCODE: u8 = 0x0f;
const CLOSE: u8 = 0x8;

/// What a crowd speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp,
    Tls,
    Ws,
    Wss,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Tcp, Self::Tls, Self::Ws, Self::Wss];

    /// As a Via names it.
    pub(crate) fn transport(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    pub(crate) fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    fn is_web(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }
}

/// Who opens the connections: all of one kind, to one listener.
pub(crate) struct Crowd {
    kind: Kind,
    to: SocketAddr,
    trust: Arc<ClientConfig>,
}

/// One of a crowd.
pub(crate) struct Member {
    kind: Kind,
    pipe: Pipe,
    /// The port that the server sees.
    pub(crate) port: u16,
    unread: Vec<u8>,
}

enum Pipe {
    Plain(TcpStream),
    Secure(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Crowd {
    /// Connects to `to`, over TLS only to whom `authority` trusts.
    pub(crate) fn new(kind: Kind, to: SocketAddr, authority: &Authority) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority.path("ca.pem")).unwrap()).unwrap();
        let trust = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Self { kind, to, trust: Arc::new(trust) }
    }

    /// One more, with all its handshakes done. It comes from the address 127.0.0.`last`.
    pub(crate) fn join(&self, last: u8) -> Member {
        self.begin(bound_to(last, self.to).into()).unwrap()
    }

    /// One more from any port, where the server may end the connection before the handshakes are done.
    pub(crate) fn try_join(&self) -> io::Result<Member> {
        self.begin(TcpStream::connect(self.to)?)
    }

    fn begin(&self, mut stream: TcpStream) -> io::Result<Member> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let port = stream.local_addr()?.port();
        let pipe = if self.kind.is_secure() {
            let name = ServerName::try_from("127.0.0.1").unwrap();
            let mut session = ClientConnection::new(Arc::clone(&self.trust), name).unwrap();
            session.complete_io(&mut stream)?;
            Pipe::Secure(Box::new(StreamOwned::new(session, stream)))
        } else {
            Pipe::Plain(stream)
        };
        let mut member = Member { kind: self.kind, pipe, port, unread: Vec::new() };
        if self.kind.is_web() {
            member.write(web_handshake(self.to).as_bytes())?;
            while !member.unread.ends_with(b"\r\n\r\n") {
                member.read_more()?;
            }
            let answer = std::mem::take(&mut member.unread);
            assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
        }
        Ok(member)
    }
}

impl Member {
    /// Sends one message.
    pub(crate) fn send(&mut self, message: &str) {
        self.try_send(message).unwrap();
    }

    /// The same where the server may have ended the connection.
    pub(crate) fn try_send(&mut self, message: &str) -> io::Result<()> {
        if self.kind.is_web() {
            self.write(&web_frame(0x81, message.as_bytes()))
        } else {
            self.write(message.as_bytes())
        }
    }

    /// The next final response, which must have this status and no body.
    pub(crate) fn expect_final(&mut self, status: u16) -> Message {
        loop {
            let message = self.try_receive().unwrap();
            if message.status().is_some_and(|status| status >= 200) {
                assert_eq!(message.status(), Some(status), "{}", message.text);
                return message;
            }
        }
    }

    /// The next message, which has no body; the server may end the connection instead. That it does so with a Close frame
    /// is a time-out: nothing came for as long as the connection may be idle.
    pub(crate) fn try_receive(&mut self) -> io::Result<Message> {
        let text = if self.kind.is_web() {
            self.fill(2)?;
            let (length, head) = match self.unread[1] {
                126 => {
                    self.fill(4)?;
                    (usize::from(u16::from_be_bytes([self.unread[2], self.unread[3]])), 4)
                }
                short => (usize::from(short), 2),
            };
            self.fill(head + length)?;
            if self.unread[0] & OPCODE == CLOSE {
                return Err(io::Error::new(ErrorKind::TimedOut, "the server has closed the idle WebSocket"));
            }
            self.unread.drain(..head);
            self.unread.drain(..length).collect::<Vec<_>>()
        } else {
            let end = loop {
                match self.unread.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                    Some(at) => break at + 4,
                    None => self.read_more()?,
                }
            };
            self.unread.drain(..end).collect()
        };
        Ok(Message { text: String::from_utf8(text).unwrap() })
    }

    fn fill(&mut self, count: usize) -> io::Result<()> {
        while self.unread.len() < count {
            self.read_more()?;
        }
        Ok(())
    }

    fn read_more(&mut self) -> io::Result<()> {
        let mut bytes = [0; 4096];
        let length = match &mut self.pipe {
            Pipe::Plain(stream) => stream.read(&mut bytes),
            Pipe::Secure(stream) => stream.read(&mut bytes),
        }?;
        if length == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.unread.extend_from_slice(&bytes[..length]);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.pipe {
            Pipe::Plain(stream) => stream.write_all(bytes),
            Pipe::Secure(stream) => stream.write_all(bytes),
        }
    }
}
