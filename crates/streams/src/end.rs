//! How connections end, and who is notified.

use std::time::Duration;

use thiserror::Error;
use tocsin_net::connections::{View, marks};
use tocsin_net::tls::TlsError;
use tocsin_net::websocket::{Refusal, Violation};
use tocsin_sip::Unframable;

use crate::security::NoDomain;

/// Why a connection ended.
#[derive(Debug, Error)]
pub enum End {
    /// The peer closed it.
    #[error("closed by the peer")]
    Closed,
    /// The peer, or the network, broke it.
    #[error("broken: {0}")]
    Broken(std::io::Error),
    /// It could not be opened.
    #[error("cannot be opened: {0}")]
    Refused(std::io::Error),
    /// It was not open in time.
    #[error("not open within {} ms (tcp_connect_timeout)", .0.as_millis())]
    ConnectTimeout(Duration),
    /// Nothing came or went for as long as it may.
    #[error("idle")]
    Idle,
    /// The handshake of TLS or WebSocket was not finished in time.
    #[error("handshake not finished within {} ms", .0.as_millis())]
    HandshakeTimeout(Duration),
    /// A message did not arrive whole in time.
    #[error("a message did not arrive whole within {} s (tcp_max_msg_time)", .0.as_secs())]
    SlowMessage(Duration),
    /// What came is no SIP.
    #[error("bad bytes: {0}")]
    Unframable(#[from] Unframable),
    /// What came is no WebSocket.
    #[error("bad WebSocket frame: {0}")]
    Violation(#[from] Violation),
    /// The request for a WebSocket came from no browser, and only those are let in.
    #[error("WebSocket refused: no Origin header field (require_origin of proto_ws and proto_wss)")]
    NoOrigin,
    /// The request for a WebSocket was refused.
    #[error("WebSocket refused: {0}")]
    WebSocketRefused(Refusal),
    /// The answer to our own request for a WebSocket is none.
    #[error("no WebSocket there: {0}")]
    NoWebSocket(String),
    /// A close frame came.
    #[error("closed by a WebSocket close frame")]
    CloseFrame,
    /// TLS failed.
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    /// There is no TLS configuration for it.
    #[error("TLS: {0}")]
    NoDomain(#[from] NoDomain),
    /// No module for TLS is loaded.
    #[error("TLS: load the module tls_mgm")]
    NoSecurity,
    /// The peer takes nothing, or too little.
    #[error("the peer does not take what is sent to it")]
    Stalled,
    /// The process that kept it ended.
    #[error("its worker ended")]
    WorkerEnded,
    /// Nobody is there who could open it.
    #[error("no TCP worker serves at this moment")]
    NoWorker,
    /// Shared memory has no room for it.
    #[error("the table of connections is full (tcp_max_connections)")]
    Full,
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Origin => Self::NoOrigin,
            other => Self::WebSocketRefused(other),
        }
    }
}

impl End {
    /// Whether this is the way of things, not worth a line in the log.
    fn is_usual(&self) -> bool {
        matches!(self, Self::Closed | Self::Idle | Self::CloseFrame | Self::Broken(_))
    }
}

/// Logs the end of a connection.
pub(crate) fn log(view: &View, end: &End) {
    let (protocol, remote) = (view.protocol.name(), view.remote);
    if view.marks & marks::OPEN == 0 {
        tracing::error!("connection to {protocol}:{remote}: {end}");
    } else if end.is_usual() {
        tracing::debug!("connection with {protocol}:{remote} ended: {end}");
    } else {
        tracing::info!("connection with {protocol}:{remote} ended: {end}");
    }
}
