//! The other side: a client that asks a running server, over any of the transports that servers answer on.

use std::fmt;
use std::fs;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tocsin_json::{Limits, Value, parse};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::net::{TcpStream, UdpSocket, UnixDatagram};
use tokio::time::timeout;

/// How long an answer may take.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How many bytes an answer may have.
pub const MAX_ANSWER_BYTES: usize = 16 << 20;

/// Where mi_fifo writes replies, unless its `reply_dir` is another folder.
const REPLY_DIR: &str = "/tmp";

/// Where a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `http://host:port/path`: the module mi_http.
    Http {
        /// `host:port`
        host: String,
        /// `/mi`, unless the server says otherwise.
        path: String,
    },
    /// `udp:host:port`: the module mi_datagram.
    Udp(SocketAddr),
    /// `unix:path`: the same at a UNIX socket.
    Unix(PathBuf),
    /// `fifo:path`: the module mi_fifo. Replies come in `/tmp`, its `reply_dir` by default, or in the folder of the FIFO.
    Fifo(PathBuf),
}

/// A text that names no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not an address of a server: give http://host:port/mi, udp:host:port, unix:path or fifo:path"
)]
pub struct NoPlace(String);

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let wrong = || NoPlace(text.to_owned());
        let (scheme, rest) = text.split_once(':').filter(|(_, rest)| !rest.is_empty()).ok_or_else(wrong)?;
        match scheme {
            "http" => {
                let rest = rest.strip_prefix("//").ok_or_else(wrong)?;
                let (host, path) = rest.split_once('/').unwrap_or((rest, "mi"));
                let host = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
                Ok(Self::Http { host, path: format!("/{path}") })
            }
            "udp" => {
                let address = rest.to_socket_addrs().ok().and_then(|mut all| all.next());
                address.map(Self::Udp).ok_or_else(wrong)
            }
            "unix" => Ok(Self::Unix(rest.into())),
            "fifo" => Ok(Self::Fifo(rest.into())),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { host, path } => write!(f, "http://{host}{path}"),
            Self::Udp(address) => write!(f, "udp:{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Fifo(path) => write!(f, "fifo:{}", path.display()),
        }
    }
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody can be reached there.
    #[error("no server answers: {0}")]
    Io(#[from] io::Error),
    /// The server took the request and said nothing in time.
    #[error("the server did not answer within {} s", ANSWER_WITHIN.as_secs())]
    Silent,
    /// What came is no JSON-RPC 2.0.
    #[error("something answers there, but it is not a management interface: {0}")]
    Strange(String),
    /// The server refused.
    #[error("{code} {message}")]
    Refused {
        /// The error's code.
        code: i64,
        /// The error's message, with its data behind it.
        message: String,
    },
}

/// Asks the server at `place` to run `method`, and returns the result.
///
/// # Errors
/// [`CallError`]
pub async fn call(place: &Place, method: &str, params: Value) -> Result<Value, CallError> {
    let request = Value::object([
        ("jsonrpc", Value::from("2.0")),
        ("method", Value::from(method.to_owned())),
        ("params", params),
        ("id", Value::from(1)),
    ]);
    let request = request.to_compact();
    let asking = async {
        match place {
            Place::Http { host, path } => over_http(host, path, request).await,
            Place::Udp(address) => over_udp(*address, &request).await,
            Place::Unix(path) => over_unix(path, &request).await,
            Place::Fifo(path) => over_fifo(path, &request).await,
        }
    };
    let answer = timeout(ANSWER_WITHIN, asking).await.map_err(|_| CallError::Silent)??;
    read(&answer)
}

/// The result in the answer `text`.
fn read(text: &[u8]) -> Result<Value, CallError> {
    let strange = || CallError::Strange(text[..text.len().min(80)].escape_ascii().to_string());
    let answer = parse(text, Limits::default()).map_err(|_| strange())?;
    if let Some(error) = answer.member("error") {
        let said = |name: &str| error.member(name).and_then(Value::as_bytes).map(String::from_utf8_lossy);
        let (message, more) = (said("message").unwrap_or_default(), said("data").unwrap_or_default());
        let message = if more.is_empty() { message.into_owned() } else { format!("{message}: {more}") };
        let code = error.member("code").and_then(Value::as_integer).unwrap_or_default();
        return Err(CallError::Refused { code, message });
    }
    answer.member("result").cloned().ok_or_else(strange)
}

async fn over_http(host: &str, path: &str, request: Vec<u8>) -> Result<Vec<u8>, CallError> {
    let strange = |cause: &dyn fmt::Display| CallError::Strange(cause.to_string());
    let stream = TcpStream::connect(host).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| strange(&e))?;
    let request = Request::post(path)
        .header(header::HOST, host)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(request)))
        .map_err(|e| strange(&e))?;
    let asking = async {
        let response = sender.send_request(request).await.map_err(|e| strange(&e))?;
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
        Ok(body.map_err(|e| strange(&e))?.to_bytes().to_vec())
    };
    tokio::pin!(asking, connection);
    tokio::select! {
        biased;
        answer = &mut asking => answer,
        // It is over with its last byte; what was read by then is the answer.
        _ = &mut connection => asking.await,
    }
}

async fn over_udp(address: SocketAddr, request: &[u8]) -> Result<Vec<u8>, CallError> {
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    socket.send(request).await?;
    let mut answer = vec![0; 65_536];
    let length = socket.recv(&mut answer).await?;
    answer.truncate(length);
    Ok(answer)
}

async fn over_unix(path: &Path, request: &[u8]) -> Result<Vec<u8>, CallError> {
    let own = Scratch(std::env::temp_dir().join(scratch_name("tocsin-mi")));
    let socket = UnixDatagram::bind(&own.0)?;
    socket.send_to(request, path).await?;
    let mut answer = vec![0; 65_536];
    let length = socket.recv(&mut answer).await?;
    answer.truncate(length);
    Ok(answer)
}

async fn over_fifo(path: &Path, request: &[u8]) -> Result<Vec<u8>, CallError> {
    let name = scratch_name("tocsin_mi");
    let beside = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut folders = vec![Path::new(REPLY_DIR), beside];
    folders.dedup();
    // Which of the folders the server writes to cannot be known.
    let made: Vec<_> = folders.into_iter().map(|folder| ReplyFifo::make(folder, &name)).collect();
    let mut commands = pipe::OpenOptions::new().open_sender(path)?;
    let mut replies = Vec::new();
    let mut failed = None;
    for fifo in made {
        match fifo {
            Ok(fifo) => replies.push(fifo),
            Err(cause) => failed = Some(cause),
        }
    }
    if let (true, Some(cause)) = (replies.is_empty(), failed) {
        return Err(cause.into());
    }
    commands.write_all(&[b":", name.as_bytes(), b":", request, b"\n"].concat()).await?;
    loop {
        for fifo in &mut replies {
            if let Some(answer) = fifo.answer().await? {
                return Ok(answer);
            }
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Where a reply may come.
struct ReplyFifo {
    receiver: pipe::Receiver,
    #[expect(dead_code, reason = "held, not read: the FIFO goes with it")]
    file: Scratch,
}

impl ReplyFifo {
    fn make(folder: &Path, name: &str) -> io::Result<Self> {
        let file = Scratch(folder.join(name));
        mkfifo(&file.0, Mode::S_IRUSR | Mode::S_IWUSR | Mode::S_IRGRP | Mode::S_IWGRP)?;
        Ok(Self { receiver: pipe::OpenOptions::new().open_receiver(&file.0)?, file })
    }

    /// The whole answer, if it has begun. Until the server opens it too, the FIFO has no writer and reads as ended.
    async fn answer(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut answer = vec![0; 4096];
        match self.receiver.try_read(&mut answer) {
            Ok(0) => Ok(None),
            Ok(length) => {
                answer.truncate(length);
                (&mut self.receiver).take(MAX_ANSWER_BYTES as u64).read_to_end(&mut answer).await?;
                Ok(Some(answer))
            }
            Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(cause) => Err(cause),
        }
    }
}

/// A name that no other client has.
fn scratch_name(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{name}_{}_{}", nix::unistd::getpid(), NEXT.fetch_add(1, Relaxed))
}

/// A file that is gone when it is no longer needed.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // It may never have been made.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_shown() {
        for text in
            ["http://127.0.0.1:8888/mi", "udp:127.0.0.1:8080", "unix:/run/mi.sock", "fifo:/tmp/opensips_fifo"]
        {
            assert_eq!(text.parse::<Place>().map(|place| place.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("http://sip.example".parse::<Place>().unwrap().to_string(), "http://sip.example:80/mi");
        for text in ["", "http:", "127.0.0.1:8888", "udp:nowhere", "gopher:x", "unix:"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }

    #[test]
    fn answers_are_results_or_refusals() {
        assert_eq!(read(br#"{"jsonrpc":"2.0","result":"OK","id":1}"#).unwrap().as_bytes(), Some(&b"OK"[..]));
        let refused = read(
            br#"{"jsonrpc":"2.0","error":{"code":-32602,"message":"Invalid params","data":"no"},"id":1}"#,
        );
        assert_eq!(refused.unwrap_err().to_string(), "-32602 Invalid params: no");
        assert!(matches!(read(b"<html>"), Err(CallError::Strange(_))));
        assert!(matches!(read(b"{}"), Err(CallError::Strange(_))));
    }
}
