//! Where events arrive: a connection if the server has event_stream, for nothing is lost there, else datagrams.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};

use tocsin_json::{ErrorKind, Limits, Value, parse_prefix};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// Bytes of one text that are waited for.
const MAX_TEXT_BYTES: usize = 1 << 20;

/// An event: its bytes as they came, and what they say.
pub(crate) type Heard = (Vec<u8>, Value);

/// A socket that events arrive at.
#[derive(Debug)]
pub(crate) enum Receiver {
    /// `tcp:`, whose connections follow each other.
    Stream { listener: TcpListener, connection: Option<Connection> },
    /// `udp:`
    Datagrams(UdpSocket),
}

/// A connection with a server, and what came over it.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    bytes: Vec<u8>,
    heard: VecDeque<Heard>,
}

impl Receiver {
    /// A socket for a server that sees us at `own`: of a connection, or for datagrams.
    pub(crate) async fn open(own: IpAddr, stream: bool) -> io::Result<Self> {
        let any = SocketAddr::new(own, 0);
        Ok(if stream {
            Self::Stream { listener: TcpListener::bind(any).await?, connection: None }
        } else {
            Self::Datagrams(UdpSocket::bind(any).await?)
        })
    }

    /// As a subscription names it.
    pub(crate) fn name(&self) -> io::Result<String> {
        Ok(match self {
            Self::Stream { listener, .. } => format!("tcp:{}", listener.local_addr()?),
            Self::Datagrams(socket) => format!("udp:{}", socket.local_addr()?),
        })
    }

    /// The next event.
    pub(crate) async fn next(&mut self) -> io::Result<Heard> {
        match self {
            Self::Datagrams(socket) => next_datagram(socket).await,
            Self::Stream { listener, connection } => next_on_stream(listener, connection).await,
        }
    }
}

/// The event in the next datagram that has one.
async fn next_datagram(socket: &UdpSocket) -> io::Result<Heard> {
    loop {
        let mut bytes = vec![0; 65_536];
        let length = socket.recv(&mut bytes).await?;
        bytes.truncate(length);
        if let Ok((value, _)) = parse_prefix(&bytes, Limits::default()) {
            return Ok((bytes, value));
        }
    }
}

/// The next event on the open connection, or on the next one once that has ended.
async fn next_on_stream(listener: &TcpListener, connection: &mut Option<Connection>) -> io::Result<Heard> {
    loop {
        let open = match connection {
            Some(open) => open,
            None => connection.insert(Connection::new(listener.accept().await?.0)),
        };
        if let Some(heard) = open.next().await {
            return Ok(heard);
        }
        *connection = None;
    }
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self { stream, bytes: Vec::new(), heard: VecDeque::new() }
    }

    /// The next event; nothing when the connection has ended.
    async fn next(&mut self) -> Option<Heard> {
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return Some(heard);
            }
            // Cancelled while it reads, it has read nothing.
            let read = self.stream.read_buf(&mut self.bytes).await.ok()?;
            if read == 0 || !self.cut() || self.bytes.len() > MAX_TEXT_BYTES {
                return None;
            }
        }
    }

    /// Takes the whole texts off the front; they follow each other without anything in between. `false`: this is no JSON.
    fn cut(&mut self) -> bool {
        loop {
            match parse_prefix(&self.bytes, Limits::default()) {
                Ok((value, length)) => {
                    let rest = self.bytes.split_off(length);
                    self.heard.push_back((std::mem::replace(&mut self.bytes, rest), value));
                }
                Err(error) => return error.kind == ErrorKind::End,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[test]
    fn texts_are_cut_wherever_reads_end() {
        let texts = [r#"{"method":"E_A"}"#, r#"{"method":"E_B","params":["}{"]}"#, r#"{"method":"E_C"}"#];
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let mut receiver = Receiver::open(IpAddr::from([127, 0, 0, 1]), true).await.unwrap();
            let name = receiver.name().unwrap();
            let server = async {
                for _ in 0..2 {
                    let mut stream = TcpStream::connect(name.strip_prefix("tcp:").unwrap()).await.unwrap();
                    for byte in texts.concat().bytes() {
                        stream.write_all(&[byte]).await.unwrap();
                    }
                }
            };
            let client = async {
                for text in texts.iter().chain(&texts) {
                    assert_eq!(receiver.next().await.unwrap().0, text.as_bytes());
                }
            };
            tokio::join!(server, client);
        });
    }
}
