//! The datagram transport: one request a datagram, over UDP or a UNIX socket, and the reply to its sender.
//!
//! The sockets are opened before the process starts. A text that is no JSON is answered with the plain text
//! `400 Parse_error`, and an id that is neither string nor number nor null with `500 Internal error`.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram as StdUnixDatagram};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UdpSocket, UnixDatagram};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::jsonrpc::{Answer, Progress, Response, Style, begin};
use crate::{MiError, Registry};

/// How many bytes a request may have; the rest of a longer one is cut off by the socket.
pub const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// How many bytes of reply a UDP datagram carries (IPv4).
pub const MAX_UDP_REPLY_BYTES: usize = 65_507;

/// How many requests may be waiting for a command or for a reader; beyond, a request is refused.
pub const MAX_WAITING: usize = 256;

/// How long a UNIX client may take to make room for its reply.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(2);

/// How long to wait before trying again to send to a UNIX client whose queue is full.
const PAUSE: Duration = Duration::from_millis(5);

/// Serves requests from a UDP socket until its task ends.
///
/// # Errors
/// The socket cannot be put into the runtime.
pub async fn serve_udp(socket: std::net::UdpSocket, registry: Rc<Registry>, style: Style) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    serve(UdpSocket::from_std(socket)?, registry, style).await
}

/// Serves requests from a UNIX datagram socket until its task ends. A client that is not bound gets no reply.
///
/// # Errors
/// The socket cannot be put into the runtime.
pub async fn serve_unix(socket: StdUnixDatagram, registry: Rc<Registry>, style: Style) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    let sending = socket.try_clone()?;
    serve(UnixSocket { receiving: UnixDatagram::from_std(socket)?, sending }, registry, style).await
}

/// Whether somebody serves the UNIX socket at `path`.
///
/// # Errors
/// Unknown: the socket belongs to another user, or the path is something else.
pub fn is_served(path: &Path) -> io::Result<bool> {
    match StdUnixDatagram::unbound()?.connect(path) {
        Ok(()) => Ok(true),
        // A living socket of another type.
        Err(error) if error.raw_os_error() == Some(libc::EPROTOTYPE) => Ok(true),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(false),
        Err(error) => Err(error),
    }
}

/// What the two kinds of socket have in common.
trait Datagrams: 'static {
    /// Where a reply goes.
    type Client: 'static;
    fn receive(&self, bytes: &mut [u8]) -> impl Future<Output = io::Result<(usize, Self::Client)>>;
    fn send(&self, reply: &[u8], to: &Self::Client) -> impl Future<Output = io::Result<()>>;
}

impl Datagrams for UdpSocket {
    type Client = std::net::SocketAddr;

    async fn receive(&self, bytes: &mut [u8]) -> io::Result<(usize, Self::Client)> {
        self.recv_from(bytes).await
    }

    async fn send(&self, reply: &[u8], to: &Self::Client) -> io::Result<()> {
        self.send_to(reply, to).await.map(drop)
    }
}

/// The sending half is outside the runtime: that a client's queue is full says nothing about this socket, so there is
/// no readiness to wait for.
struct UnixSocket {
    receiving: UnixDatagram,
    sending: StdUnixDatagram,
}

impl Datagrams for UnixSocket {
    type Client = UnixAddr;

    async fn receive(&self, bytes: &mut [u8]) -> io::Result<(usize, Self::Client)> {
        let (length, client) = self.receiving.recv_from(bytes).await?;
        Ok((length, client.into()))
    }

    async fn send(&self, reply: &[u8], to: &Self::Client) -> io::Result<()> {
        if to.is_unnamed() {
            return Ok(());
        }
        let trying = async {
            loop {
                match self.sending.send_to_addr(reply, to) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => sleep(PAUSE).await,
                    sent => return sent.map(drop),
                }
            }
        };
        timeout(REPLY_TIMEOUT, trying).await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
    }
}

async fn serve<D: Datagrams>(socket: D, registry: Rc<Registry>, style: Style) -> io::Result<()> {
    let socket = Rc::new(socket);
    let under_way = Arc::new(Semaphore::new(MAX_WAITING));
    let mut bytes = vec![0; MAX_REQUEST_BYTES];
    loop {
        let (length, client) = match socket.receive(&mut bytes).await {
            Ok(received) => received,
            Err(error) => {
                tracing::error!("MI datagram: cannot receive: {error}");
                sleep(PAUSE).await;
                continue;
            }
        };
        if length == 0 {
            continue;
        }
        let Ok(permit) = Arc::clone(&under_way).try_acquire_owned() else {
            tracing::error!("MI datagram: refused a request, {MAX_WAITING} are under way");
            continue;
        };
        let progress = begin(&registry, &bytes[..length]);
        let socket = Rc::clone(&socket);
        tokio::task::spawn_local(async move {
            let answer = match progress {
                Progress::Done(answer) => answer,
                Progress::Waiting(waiting) => waiting.finish().await,
            };
            reply(&*socket, answer, &client, style).await;
            drop(permit);
        });
        // Replies go out, and requests of others are served, before the next request is looked at.
        tokio::task::yield_now().await;
    }
}

async fn reply<D: Datagrams>(socket: &D, answer: Answer, to: &D::Client, style: Style) {
    let text = match answer {
        Answer::Response(response) => fitting(response, style),
        Answer::NotJson => b"400 Parse_error".to_vec(),
        Answer::BadId => b"500 Internal error".to_vec(),
        Answer::Nothing => return,
    };
    if let Err(error) = socket.send(&text, to).await {
        tracing::error!("MI datagram: cannot send a reply of {} bytes: {error}", text.len());
    }
}

/// The reply's text, or that of an error where it is more than a datagram carries.
fn fitting(response: Response, style: Style) -> Vec<u8> {
    let text = response.to_bytes(style);
    if text.len() <= MAX_UDP_REPLY_BYTES {
        return text;
    }
    let error = MiError::server_error(format!("Reply of {} bytes is too large for a datagram", text.len()));
    response.replaced_by(error).to_bytes(style)
}
