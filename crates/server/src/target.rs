//! Where a request goes: what the script makes of the Request-URI, the next hop and the branches beside them.

use std::net::{IpAddr, SocketAddr};

use smallvec::SmallVec;
use thiserror::Error;
use tocsin_net::Protocol;
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
    /// A transport for which no module is loaded.
    #[error("no listener for the transport of `{0}`")]
    Transport(String),
}

/// The host that a URI leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextHop {
    /// An address: send there.
    Address(SocketAddr),
    /// A name: ask for its addresses first.
    Name {
        /// The host name.
        host: String,
        /// The port to use with each address.
        port: u16,
    },
}

impl NextHop {
    /// Reads the host, port and transport of `uri`.
    pub fn of(uri: &[u8]) -> Result<Self, NoRoute> {
        let text = || String::from_utf8_lossy(uri).into_owned();
        let parsed = UriRef::parse(uri).map_err(|_| NoRoute::Malformed(text()))?;
        if !matches!(parsed.scheme(), Scheme::Sip | Scheme::Sips) {
            return Err(NoRoute::Scheme(text()));
        }
        if parsed.transport().is_some_and(|t| t != Transport::Udp) || parsed.scheme() == Scheme::Sips {
            return Err(NoRoute::Transport(text()));
        }
        let port = parsed.port().unwrap_or(Protocol::Udp.default_port());
        let maddr = parsed.param(b"maddr").and_then(|p| p.value);
        let host = maddr.unwrap_or_else(|| parsed.host());
        if maddr.is_none()
            && let Some(ip) = parsed.host_address()
        {
            return Ok(Self::Address(SocketAddr::new(ip, port)));
        }
        let host = std::str::from_utf8(host).map_err(|_| NoRoute::Malformed(text()))?;
        match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(ip) => Ok(Self::Address(SocketAddr::new(ip, port))),
            Err(_) => Ok(Self::Name { host: host.to_owned(), port }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_names_and_refusals() {
        let address = |text: &str| NextHop::Address(text.parse().unwrap());
        assert_eq!(NextHop::of(b"sip:127.0.0.1:5070"), Ok(address("127.0.0.1:5070")));
        assert_eq!(NextHop::of(b"sip:u@[::1]"), Ok(address("[::1]:5060")));
        assert_eq!(NextHop::of(b"sip:a@h.example;maddr=127.0.0.9"), Ok(address("127.0.0.9:5060")));
        assert_eq!(
            NextHop::of(b"sip:a@h.example:7000;transport=udp"),
            Ok(NextHop::Name { host: "h.example".into(), port: 7000 })
        );
        assert!(matches!(NextHop::of(b"tel:+358"), Err(NoRoute::Scheme(_))));
        assert!(matches!(NextHop::of(b"sip:h;transport=tcp"), Err(NoRoute::Transport(_))));
        assert!(matches!(NextHop::of(b"sip:h;transport=tcp"), Err(NoRoute::Transport(_))));
        assert!(matches!(NextHop::of(b"not a uri"), Err(NoRoute::Malformed(_))));
    }
}
