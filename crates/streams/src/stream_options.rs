//! How the connections of one stream protocol are served: what the `modparam`s of `proto_tcp`, `proto_tls`, `proto_ws` and
//! `proto_wss` say. What all of them have in common is in [`crate::tcp_settings`].

use std::ops::{Index, IndexMut};
use std::time::Duration;

use tocsin_net::Protocol;

/// How long one thing may take for which the operator has set no limit. OpenSIPS's 100 ms bound the time for which a
/// process stands still; no process does here, so that what is slow may be waited for, and 4 s is what a whole message
/// gets (`tcp_max_msg_time`).
pub const PATIENCE: Duration = Duration::from_secs(4);
/// Reads that one message may take, by the manual.
pub const MAX_CHUNKS: u32 = 4;
/// Messages that may wait for a connection to open. The manual's 32 would lose calls of a busy trunk when it is opened.
pub const MAX_POSTPONED: u32 = 1024;
/// What is asked for when a WebSocket is opened from here.
pub const RESOURCE: &str = "/";
/// How many protocols there are.
const PROTOCOLS: usize = 5;

/// How connections of one protocol are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamOptions {
    /// `tcp_port`, `tls_port`, `ws_port`, `wss_port`: the port of listeners and of destinations that name none. Default
    /// 5060, 5061, 80, 443.
    pub default_port: u16,
    /// `*_send_timeout`: how long a connection may take nothing of what waits to be sent before it is closed. Default
    /// [`PATIENCE`] (100 ms in OpenSIPS); what was set is obeyed.
    pub send_timeout: Duration,
    /// `tcp_async`, `tls_async`: whether a message may wait for its connection beyond `tcp_connect_timeout`. Default on.
    pub asynchronous: bool,
    /// `*_async_max_postponed_chunks`: messages that may wait for a connection to open and to shake hands; one more is not
    /// sent. What an open connection does not take is bounded by its bytes and by `send_timeout`. Default 1,024.
    pub max_postponed: u32,
    /// `*_max_msg_chunks`: reads in which one message may arrive. Checked and not acted on: `tcp_max_msg_time` bounds a slow
    /// message. Default 4.
    pub max_chunks: u32,
    /// `*_crlf_pingpong`: a ping (CRLF CRLF) is answered by a pong (CRLF) (RFC 5626 section 3.5.1). Default on.
    pub crlf_pingpong: bool,
    /// `*_crlf_drop`: a CRLF that comes alone between messages is dropped, and is no half of a ping. Default off.
    pub crlf_drop: bool,
    /// `tls_handshake_timeout`, `wss_tls_handshake_timeout`: time for the whole TLS handshake. Default [`PATIENCE`] (the
    /// peer's is 100 ms for each wait); what was set is obeyed.
    pub tls_handshake_timeout: Duration,
    /// `ws_handshake_timeout`, `wss_handshake_timeout`: time for the whole WebSocket handshake. Default [`PATIENCE`] (the
    /// peer's is 100 ms for each wait); what was set is obeyed.
    pub handshake_timeout: Duration,
    /// `ws_resource`, `wss_resource`: the resource that is asked for when a WebSocket is opened from here. Default `/`.
    pub resource: String,
    /// `require_origin`: a WebSocket handshake without an `Origin` header is refused. Default on.
    pub require_origin: bool,
    /// `cert_check_on_conn_reusage`: a TLS connection is only used again for a destination whose client domain has the
    /// certificate with which the connection was opened. Default off.
    pub match_certificate: bool,
}

impl StreamOptions {
    /// The default of `asynchronous`.
    pub const ASYNCHRONOUS: bool = true;
    /// The default of `crlf_pingpong`.
    pub const CRLF_PINGPONG: bool = true;
    /// The default of `crlf_drop`.
    pub const CRLF_DROP: bool = false;
    /// The default of `require_origin`.
    pub const REQUIRE_ORIGIN: bool = true;
    /// The default of `match_certificate`.
    pub const MATCH_CERTIFICATE: bool = false;

    /// The defaults of `protocol`.
    pub fn of(protocol: Protocol) -> Self {
        Self {
            default_port: protocol.default_port(),
            send_timeout: PATIENCE,
            asynchronous: Self::ASYNCHRONOUS,
            max_postponed: MAX_POSTPONED,
            max_chunks: MAX_CHUNKS,
            crlf_pingpong: Self::CRLF_PINGPONG,
            crlf_drop: Self::CRLF_DROP,
            tls_handshake_timeout: PATIENCE,
            handshake_timeout: PATIENCE,
            resource: RESOURCE.to_owned(),
            require_origin: Self::REQUIRE_ORIGIN,
            match_certificate: Self::MATCH_CERTIFICATE,
        }
    }
}

/// The options of every protocol. Of UDP only the default port means something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamOptionsByProtocol([StreamOptions; PROTOCOLS]);

impl Default for StreamOptionsByProtocol {
    fn default() -> Self {
        use Protocol::{Tcp, Tls, Udp, Ws, Wss};
        Self([Udp, Tcp, Tls, Ws, Wss].map(StreamOptions::of))
    }
}

impl Index<Protocol> for StreamOptionsByProtocol {
    type Output = StreamOptions;

    fn index(&self, protocol: Protocol) -> &StreamOptions {
        let [udp, tcp, tls, ws, wss] = &self.0;
        match protocol {
            Protocol::Udp => udp,
            Protocol::Tcp => tcp,
            Protocol::Tls => tls,
            Protocol::Ws => ws,
            Protocol::Wss => wss,
        }
    }
}

impl IndexMut<Protocol> for StreamOptionsByProtocol {
    fn index_mut(&mut self, protocol: Protocol) -> &mut StreamOptions {
        let [udp, tcp, tls, ws, wss] = &mut self.0;
        match protocol {
            Protocol::Udp => udp,
            Protocol::Tcp => tcp,
            Protocol::Tls => tls,
            Protocol::Ws => ws,
            Protocol::Wss => wss,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_protocol_has_its_own() {
        let mut all = StreamOptionsByProtocol::default();
        let ports = |all: &StreamOptionsByProtocol| {
            [Protocol::Udp, Protocol::Tcp, Protocol::Tls, Protocol::Ws, Protocol::Wss]
                .map(|protocol| all[protocol].default_port)
        };
        assert_eq!(ports(&all), [5060, 5060, 5061, 80, 443]);
        all[Protocol::Ws].default_port = 8080;
        assert_eq!(ports(&all), [5060, 5060, 5061, 8080, 443]);
    }
}
