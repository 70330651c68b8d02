//! A server of TLS under test, its certificates, and what it tells about the ends of its connections.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{
    Authority, SecureClient, Server, Setup, Subscriber, Tunnel, Web, disconnected, free_tcp_port, until,
};

/// Milliseconds for a handshake that is to succeed, on however busy a machine.
const PATIENT: u32 = 20_000;

/// A server with the domains `usual`, `named` (for `named.example` and names below it, TLS 1.2 only) and `mutual` (at a
/// port of its own).
pub(crate) struct Gate {
    pub(crate) server: Server,
    pub(crate) authority: Authority,
    pub(crate) tls: SocketAddr,
    pub(crate) mutual: SocketAddr,
    pub(crate) wss: SocketAddr,
    events: Subscriber,
}

impl Gate {
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// The same with more lines of globals.
    pub(crate) fn start_with(globals: &str) -> Self {
        Self::start_with_all(globals, PATIENT, PATIENT)
    }

    /// The same; handshakes may take so many milliseconds, that of TLS and that of WebSocket.
    pub(crate) fn start_with_timeouts(tls: u32, web: u32) -> Self {
        Self::start_with_all("", tls, web)
    }

    fn start_with_all(globals: &str, tls_handshake: u32, web_handshake: u32) -> Self {
        let authority = Authority::new();
        authority.issue("usual", ["usual.example", "localhost"]);
        authority.issue("named", ["named.example", "*.named.example"]);
        let events = Subscriber::new();
        let [tls, mutual, wss] = [(); 3].map(|()| SocketAddr::from(([127, 0, 0, 1], free_tcp_port())));
        let server = Setup::new(include_str!("../../configs/tls.cfg"))
            .put("TLS", tls.port())
            .put("MUTUAL", mutual.port())
            .put("WSS", wss.port())
            .put("HANDSHAKE", tls_handshake)
            .put("WEBHANDSHAKE", web_handshake)
            .put("GLOBALS", globals)
            .put("CERTS", authority.dir().display())
            .put("SUBSCRIBER", events.name())
            .start();
        Self { server, authority, tls, mutual, wss, events }
    }

    /// A client of the TLS listener.
    pub(crate) fn client(&self) -> SecureClient {
        SecureClient::new(self.tls)
    }

    /// A client of the listener that asks for certificates.
    pub(crate) fn mutual_client(&self) -> SecureClient {
        SecureClient::new(self.mutual)
    }

    /// A WebSocket over TLS, and the tunnel that it goes through.
    pub(crate) fn web(&self) -> (Web, Tunnel) {
        let (line, tunnel) = SecureClient::new(self.wss).open();
        (Web::over(line, self.wss), tunnel)
    }

    /// No connection is left, and these `ends` have been told once each, byte for byte: the port of the client, the
    /// listener, and the protocol.
    pub(crate) fn told_once<const N: usize>(&self, ends: [(u16, SocketAddr, &str); N]) {
        self.until_connections(0);
        let client = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let mut expected = ends.map(|(port, listener, proto)| disconnected(client(port), listener, proto));
        expected.sort();
        assert_eq!(self.told(), expected);
    }

    /// The connections that `list_tcp_conns` shows.
    pub(crate) fn connections(&self) -> Vec<Value> {
        self.server.mi().call("list_tcp_conns", Value::Null)["Connections"].as_array().unwrap().clone()
    }

    /// Waits until `count` connections are left.
    pub(crate) fn until_connections(&self, count: usize) {
        until(&format!("{count} connections are left"), || (self.connections().len() == count).then_some(()));
    }

    /// The events since the last look, in the order of their bytes.
    fn told(&self) -> Vec<String> {
        self.server.mi().call("raise_event", json!(["E_MARK"]));
        let events = std::iter::repeat_with(|| self.events.raw());
        let mut told: Vec<_> = events.take_while(|event| !event.contains(r#""method":"E_MARK""#)).collect();
        told.sort();
        told
    }
}
