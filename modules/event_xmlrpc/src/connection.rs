//! One connection to an XML-RPC server: a call goes out, an answer comes in.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tocsin_event::{OwnPorts, dial};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long one attempt to connect may take.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a server may take for its answer, from the call's first byte to the answer's last.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of the head of an answer.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// Bytes of the body of an answer that are read so that its connection can be used again.
const MAX_BODY_BYTES: usize = 64 << 10;

const AGENT: &str = "Tocsin XMLRPC Notifier";

/// Why a call has not come through.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// There is no connection, or it broke before there was an answer: the call may go again.
    #[error("cannot send to {0}: {1}")]
    Broken(SocketAddr, String),
    /// The server has answered so, or not in time.
    #[error("{0}")]
    Final(String),
}

/// A connection that is open, as far as is known.
pub(crate) struct Connection {
    to: SocketAddr,
    sender: http1::SendRequest<Full<Bytes>>,
    /// Reads and writes.
    task: JoinHandle<()>,
}

impl Connection {
    pub(crate) async fn open(to: SocketAddr, ports: Option<OwnPorts>) -> Result<Self, Failure> {
        let broken = |why: String| Failure::Broken(to, why);
        let (stream, port) =
            dial(to, ports, CONNECT_TIMEOUT).await.map_err(|why: io::Error| broken(why.to_string()))?;
        let mut builder = http1::Builder::new();
        builder.title_case_headers(true).max_buf_size(MAX_HEAD_BYTES);
        let (sender, connection) =
            builder.handshake(TokioIo::new(stream)).await.map_err(|why| broken(why.to_string()))?;
        let task = tokio::task::spawn_local(async move {
            let _port = port;
            // What broke it, the call is told.
            let _ = connection.await;
        });
        Ok(Self { to, sender, task })
    }

    /// Whether another call may be sent.
    pub(crate) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Sends a call and waits for the answer. Returns whether the connection may be used again.
    pub(crate) async fn call(&mut self, authority: &str, path: &str, body: Bytes) -> Result<bool, Failure> {
        let request = Request::post(path)
            .header(HOST, authority)
            .header(USER_AGENT, AGENT)
            .header(CONTENT_TYPE, "text/xml")
            .body(Full::new(body))
            .map_err(|why| Failure::Final(why.to_string()))?;
        let to = self.to;
        let exchange = async {
            let broken = |why: hyper::Error| Failure::Broken(to, why.to_string());
            self.sender.ready().await.map_err(broken)?;
            let answer = self.sender.send_request(request).await.map_err(broken)?;
            let status = answer.status();
            if !status.is_success() {
                return Err(Failure::Final(format!("{to} answered {status}")));
            }
            Ok(drain(answer).await)
        };
        let late = |_| Failure::Final(format!("{to} did not answer within {} s", ANSWER_TIMEOUT.as_secs()));
        timeout(ANSWER_TIMEOUT, exchange).await.map_err(late).flatten()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads the rest of an answer. False if that is too much, or broke off: the event is delivered nevertheless.
async fn drain(mut answer: Response<Incoming>) -> bool {
    let mut bytes = 0;
    while let Some(frame) = answer.body_mut().frame().await {
        let Ok(frame) = frame else { return false };
        bytes += frame.data_ref().map_or(0, Bytes::len);
        if bytes > MAX_BODY_BYTES {
            return false;
        }
    }
    true
}
