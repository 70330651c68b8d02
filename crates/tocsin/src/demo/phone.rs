//! A phone that is just good enough for the demo.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A phone with a UDP socket of its own.
pub(super) struct Phone {
    socket: UdpSocket,
    own: SocketAddr,
    server: SocketAddr,
    sent: Cell<u32>,
}

impl Phone {
    /// A phone that talks to `server`.
    pub(super) async fn open(server: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        socket.connect(server).await?;
        Ok(Self { own: socket.local_addr()?, socket, server, sent: Cell::new(0) })
    }

    /// Sends a message for `user`, and waits for the answer.
    pub(super) async fn ask(&self, user: &str, body: &str) -> io::Result<()> {
        let text = self.request("MESSAGE", &format!("sip:{user}@{}", self.server), user, "", body);
        self.socket.send(text.as_bytes()).await?;
        self.answer().await
    }

    /// The same, without an answer.
    pub(super) async fn tell(&self, user: &str) -> io::Result<()> {
        let text = self.request("MESSAGE", &format!("sip:{user}@{}", self.server), user, "", "");
        self.socket.send(text.as_bytes()).await.map(drop)
    }

    /// Registers a phone of that number, which has a long address.
    pub(super) async fn register(&self, number: u32) -> io::Result<()> {
        let user = format!("phone{number}");
        let contact = format!("Contact: <sip:{user}@{};{}>\r\nExpires: 60\r\n", self.own, "x".repeat(200));
        let text = self.request("REGISTER", &format!("sip:{}", self.server), &user, &contact, "");
        self.socket.send(text.as_bytes()).await?;
        self.answer().await
    }

    /// Connects to `server` over TCP, asks it something, and closes the connection.
    pub(super) async fn connect_and_leave(server: SocketAddr) -> io::Result<()> {
        let mut stream = TcpStream::connect(server).await?;
        let own = stream.local_addr()?;
        stream
            .write_all(request("TCP", own, 1, "OPTIONS", &format!("sip:{server}"), "demo", "", "").as_bytes())
            .await?;
        let mut answer = [0; 1024];
        stream.read(&mut answer).await.map(drop)
    }

    fn request(&self, method: &str, uri: &str, user: &str, headers: &str, body: &str) -> String {
        let number = self.sent.get() + 1;
        self.sent.set(number);
        request("UDP", self.own, number, method, uri, user, headers, body)
    }

    async fn answer(&self) -> io::Result<()> {
        let mut answer = [0; 4096];
        let received = timeout(ANSWER_WITHIN, self.socket.recv(&mut answer)).await;
        let length =
            received.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the server does not answer"))??;
        let text = String::from_utf8_lossy(&answer[..length]);
        let line = text.lines().next().unwrap_or_default();
        if line.starts_with("SIP/2.0 2") {
            Ok(())
        } else {
            Err(io::Error::other(format!("the server answers: {line}")))
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "the parts of a request, each once")]
fn request(
    transport: &str,
    own: SocketAddr,
    number: u32,
    method: &str,
    uri: &str,
    user: &str,
    headers: &str,
    body: &str,
) -> String {
    let length = body.len();
    format!(
        "{method} {uri} SIP/2.0\r\n\
         Via: SIP/2.0/{transport} {own};branch=z9hG4bKdemo{}x{number}\r\n\
         From: <sip:demo@{own}>;tag=demo\r\n\
         To: <sip:{user}@demo.test>\r\n\
         Call-ID: demo-{}-{number}@{own}\r\n\
         CSeq: {number} {method}\r\n\
         Max-Forwards: 70\r\n\
         {headers}Content-Length: {length}\r\n\r\n{body}",
        own.port(),
        own.port(),
    )
}
