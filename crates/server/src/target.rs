//! Where a request goes: what the script makes of the Request-URI, the next hop and the branches beside them.

use std::net::{IpAddr, SocketAddr};

use smallvec::SmallVec;
use thiserror::Error;
use tocsin_net::{Hop, Protocol};
use tocsin_script::Bytes;
use tocsin_sip::{Scheme, Transport, UriRef};

use crate::sockets::SocketId;

/// Destinations of one request, the first included (the peer's MAX_BRANCHES).
pub const BRANCH_LIMIT: usize = 12;

/// One destination of a request.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// The Request-URI that this branch gets; `None` keeps the one received.
    pub uri: Option<Bytes>,
    /// The next hop (`$du`), if it is not the Request-URI's host.
    pub next_hop: Option<Bytes>,
    /// Route headers to add for this branch: a contact's path, as header values.
    pub path: Option<Bytes>,
    /// The listener to send from, if the script chose one.
    pub socket: Option<SocketId>,
    /// Preference in thousandths; -1 when none was given.
    pub q: i32,
    /// Branch flags.
    pub flags: u32,
}

/// All destinations of a request.
#[derive(Debug, Clone, Default)]
pub struct Targets {
    /// The first: `$ru`, `$du` and their relatives work on it.
    pub main: Target,
    /// Appended ones.
    pub others: SmallVec<[Target; 1]>,
}

impl Targets {
    /// Appends a branch. `false` when there are as many as there may be.
    pub fn append(&mut self, branch: Target) -> bool {
        let fits = self.others.len() + 1 < BRANCH_LIMIT;
        if fits {
            self.others.push(branch);
        }
        fits
    }
}

/// Why a URI leads nowhere.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NoRoute {
    /// It cannot be read.
    #[error("the URI `{0}` cannot be read")]
    Malformed(String),
    /// Neither `sip:` nor `sips:`.
    #[error("no route for the scheme of `{0}`: only sip: and sips: lead to a host")]
    Scheme(String),
    /// A transport that this server does not speak.
    #[error("no way to speak the transport of `{0}`: udp, tcp, tls, ws and wss are there")]
    Transport(String),
}

/// What a URI leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextHop {
    /// An address: send there.
    Hop(Hop),
    /// A name: ask where its service is (RFC 3263).
    Name(ServiceName),
}

/// A host name, and what its URI says about how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceName {
    /// The name.
    pub host: String,
    /// The port, if one is written.
    pub port: Option<u16>,
    /// The protocol, if one is written; a secure one for `sips:`.
    pub transport: Option<Protocol>,
    /// Only encrypted ways will do (`sips:`).
    pub secure: bool,
}

impl NextHop {
    /// Reads the host, port and transport of `uri`.
    pub fn of(uri: &[u8]) -> Result<Self, NoRoute> {
        let text = || String::from_utf8_lossy(uri).into_owned();
        let parsed = UriRef::parse(uri).map_err(|_| NoRoute::Malformed(text()))?;
        let secure = match parsed.scheme() {
            Scheme::Sip => false,
            Scheme::Sips => true,
            _ => return Err(NoRoute::Scheme(text())),
        };
        let transport = match parsed.transport() {
            None => None,
            Some(named) => Some(protocol_of(named, secure).ok_or_else(|| NoRoute::Transport(text()))?),
        };
        let maddr = parsed.param(b"maddr").and_then(|p| p.value);
        let host = std::str::from_utf8(maddr.unwrap_or_else(|| parsed.host()))
            .map_err(|_| NoRoute::Malformed(text()))?;
        let numeric = match maddr {
            None => parsed.host_address(),
            Some(_) => host.trim_matches(['[', ']']).parse::<IpAddr>().ok(),
        };
        Ok(match numeric {
            Some(ip) => {
                let protocol = transport.unwrap_or(if secure { Protocol::Tls } else { Protocol::Udp });
                let port = parsed.port().unwrap_or(protocol.default_port());
                Self::Hop(Hop { protocol, to: SocketAddr::new(ip, port) })
            }
            None => Self::Name(ServiceName { host: host.to_owned(), port: parsed.port(), transport, secure }),
        })
    }
}

/// The protocol that a `transport` parameter names; a `sips:` URI makes it the secure one (RFC 5630 section 3.1.3).
fn protocol_of(transport: Transport, secure: bool) -> Option<Protocol> {
    let protocol = match transport {
        Transport::Udp if !secure => Protocol::Udp,
        Transport::Tcp => Protocol::Tcp,
        Transport::Tls => Protocol::Tls,
        Transport::Ws => Protocol::Ws,
        Transport::Wss => Protocol::Wss,
        _ => return None,
    };
    Some(match protocol {
        Protocol::Tcp if secure => Protocol::Tls,
        Protocol::Ws if secure => Protocol::Wss,
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_names_and_refusals() {
        let hop = |protocol, text: &str| NextHop::Hop(Hop { protocol, to: text.parse().unwrap() });
        assert_eq!(NextHop::of(b"sip:127.0.0.1:5070"), Ok(hop(Protocol::Udp, "127.0.0.1:5070")));
        assert_eq!(NextHop::of(b"sip:u@[::1]"), Ok(hop(Protocol::Udp, "[::1]:5060")));
        assert_eq!(NextHop::of(b"sip:a@h.example;maddr=127.0.0.9"), Ok(hop(Protocol::Udp, "127.0.0.9:5060")));
        assert_eq!(NextHop::of(b"sip:127.0.0.1;transport=tls"), Ok(hop(Protocol::Tls, "127.0.0.1:5061")));
        assert_eq!(NextHop::of(b"sips:127.0.0.1;transport=tcp"), Ok(hop(Protocol::Tls, "127.0.0.1:5061")));
        assert_eq!(NextHop::of(b"sip:127.0.0.1:9;transport=ws"), Ok(hop(Protocol::Ws, "127.0.0.1:9")));
        let host = "h.example".to_owned();
        assert_eq!(
            NextHop::of(b"sip:a@h.example:7000;transport=udp"),
            Ok(NextHop::Name(ServiceName {
                host: host.clone(),
                port: Some(7000),
                transport: Some(Protocol::Udp),
                secure: false,
            }))
        );
        assert_eq!(
            NextHop::of(b"sips:h.example"),
            Ok(NextHop::Name(ServiceName { host, port: None, transport: None, secure: true }))
        );
        assert!(matches!(NextHop::of(b"tel:+358"), Err(NoRoute::Scheme(_))));
        assert!(matches!(NextHop::of(b"sip:h;transport=sctp"), Err(NoRoute::Transport(_))));
        assert!(matches!(NextHop::of(b"not a uri"), Err(NoRoute::Malformed(_))));
    }
}
