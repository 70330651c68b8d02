//! From a URI's host to the hops that a request may take (RFC 3263 section 4).
//!
//! In flow a host, and what the URI says of port, transport and security ([`Question`]); out flow protocols and
//! addresses, the best first ([`Hops`]). Which records to ask for and what they lead to is decided by a machine without
//! sockets, clock or chance ([`search`]); [`Resolver::locate`](crate::Resolver::locate) asks on its behalf.

mod ask;
mod naptr;
mod protocols;
mod search;
mod srv;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

use smallvec::SmallVec;
use thiserror::Error;

use crate::{Hop, Protocol};

pub use ask::LOCATE_BUDGET;
pub use protocols::Protocols;
pub use search::{MAX_HOPS, MAX_LOOKUPS};

/// Where one request may go, the best first. Never more than [`MAX_HOPS`].
pub type Hops = SmallVec<[Hop; 2]>;

/// What a URI says of where it leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question<'a> {
    /// A name or an address, the latter with or without brackets.
    pub host: &'a str,
    /// The port, if one is written.
    pub port: Option<u16>,
    /// The transport, if one is written.
    pub transport: Option<Protocol>,
    /// Whether it is a `sips:` URI.
    pub secure: bool,
}

/// How to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Protocols that the server can send by.
    pub usable: Protocols,
    /// Ask for NAPTR records first (manual, `dns_try_naptr`).
    pub naptr: bool,
    /// Ask for IPv4 addresses. A server without an IPv4 socket has no use for them.
    pub ipv4: bool,
    /// Ask for IPv6 addresses of a name that has no IPv4 ones (manual, `dns_try_ipv6`).
    pub ipv6: bool,
    /// Hops that are wanted: the search ends with so many, [`MAX_HOPS`] at the most. 1 when nobody will fail over.
    pub hops: usize,
}

impl Default for Options {
    /// As in the manual, for a server that listens on UDP over IPv4.
    fn default() -> Self {
        Self {
            usable: Protocols::default().with(Protocol::Udp),
            naptr: true,
            ipv4: true,
            ipv6: false,
            hops: MAX_HOPS,
        }
    }
}

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoHop {
    /// The server does not speak what the URI asks for.
    #[error("no listener speaks {0}: add a `socket=` for it and load its proto_ module")]
    Protocol(&'static str),
    /// A `sips:` URI with a transport that has no secure form.
    #[error("a sips: URI cannot be reached by {0}: it needs tcp, tls, ws or wss")]
    Insecure(&'static str),
    /// The domain says that it takes no SIP this way (RFC 2782, target `.`).
    #[error("`{0}` says that it offers no such service")]
    Refused(String),
    /// There is no such name, or it has no address.
    #[error("`{host}` has no address: {cause}")]
    NoAddress {
        /// The host asked for.
        host: String,
        /// What was said to the last question.
        cause: String,
    },
    /// The name servers gave no answer within the budget.
    #[error("no answer for `{0}` within 5 s: check the name servers in /etc/resolv.conf")]
    Timeout(String),
}

impl Question<'_> {
    /// The hop of a host that is an address, which needs no look-up (RFC 3263 section 4.1). `None` for a name.
    ///
    /// # Errors
    /// When the server does not speak the protocol that the URI asks for.
    pub fn direct(&self, usable: Protocols) -> Result<Option<Hop>, NoHop> {
        let bare = self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(self.host);
        let Ok(ip) = bare.parse::<IpAddr>() else { return Ok(None) };
        let protocol = self.protocol(usable)?;
        let port = self.port.unwrap_or(usable.port(protocol));
        Ok(Some(Hop { protocol, to: SocketAddr::new(ip, port) }))
    }

    /// The protocol to speak when the domain does not say otherwise. UDP stands for no transport, or TCP where the
    /// server has no UDP; for `sips:` TLS, or the secure form of what is written (RFC 3261 section 26.2.2).
    fn protocol(&self, usable: Protocols) -> Result<Protocol, NoHop> {
        let wanted = match (self.transport, self.secure) {
            (None, false) if usable.contains(Protocol::Udp) || !usable.contains(Protocol::Tcp) => {
                Protocol::Udp
            }
            (None, false) => Protocol::Tcp,
            (None | Some(Protocol::Tcp), true) => Protocol::Tls,
            (Some(Protocol::Ws), true) => Protocol::Wss,
            (Some(Protocol::Udp), true) => return Err(NoHop::Insecure(Protocol::Udp.name())),
            (Some(written), _) => written,
        };
        if usable.contains(wanted) { Ok(wanted) } else { Err(NoHop::Protocol(wanted.name())) }
    }
}
