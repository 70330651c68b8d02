//! Addresses as an operator writes them: `udp:127.0.0.1:5060`, `[::1]:5080`, `*`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use thiserror::Error;
use tocsin_shm::{ShmClone, ShmSafe};

/// A transport protocol, as named in `socket=` and in a Via header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ShmSafe, ShmClone)]
pub enum Protocol {
    /// RFC 768 datagrams.
    Udp,
    /// RFC 9293 streams.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// WebSocket (RFC 7118).
    Ws,
    /// WebSocket over TLS.
    Wss,
}

impl Protocol {
    /// Every one.
    pub const ALL: [Self; 5] = [Self::Udp, Self::Tcp, Self::Tls, Self::Ws, Self::Wss];

    /// Reads a name in either case; `None` for an unknown one.
    pub fn parse(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| name.eq_ignore_ascii_case(protocol.name().as_bytes()))
    }

    /// Lower case, as in `socket=` and in a `transport` parameter.
    pub fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// Upper case, as in a Via header.
    pub fn via_name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// Whether it needs a connection: messages over it arrive once and in order, or not at all.
    pub fn is_stream(self) -> bool {
        self != Self::Udp
    }

    /// Whether what it carries is encrypted.
    pub fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// Whether messages travel in WebSocket frames (RFC 7118).
    pub fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    /// The port meant when none is written (RFC 3261 section 19.1.2, RFC 7118).
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }
}

/// Where one message is sent: a protocol, and an address to speak it with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ShmSafe, ShmClone)]
pub struct Hop {
    /// What is spoken there.
    pub protocol: Protocol,
    /// Who is there.
    pub to: SocketAddr,
}

/// As in `socket=`: `tcp:127.0.0.1:5060`, `udp:[::1]:5060`.
impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.protocol.name(), self.to)
    }
}

/// Why a written address is not one.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AddressError {
    /// The part after the last colon is no port.
    #[error("`{0}` is not a port: a number from 0 to 65535 is needed")]
    Port(String),
    /// A bracket was opened and not closed, or text follows it.
    #[error("`{0}` is not an address: write IPv6 as [address]:port")]
    Bracket(String),
    /// Nothing where a host was expected.
    #[error("a host or an address is missing")]
    Empty,
}

/// Splits `host`, `host:port` and `[v6]:port`. The host comes without brackets.
pub fn split_host_port(text: &str) -> Result<(&str, Option<u16>), AddressError> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or_else(|| AddressError::Bracket(text.to_owned()))?;
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => return Err(AddressError::Bracket(text.to_owned())),
            }
        }
        // An IPv6 address without brackets has more than one colon and no port.
        None if text.matches(':').count() > 1 => (text, None),
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err(AddressError::Empty);
    }
    let port = port.map(|p| p.parse::<u16>().map_err(|_| AddressError::Port(p.to_owned()))).transpose()?;
    Ok((host, port))
}

/// The addresses of the interface `name`, or of every interface that is up for `None` (loopback last).
pub fn interface_addresses(name: Option<&str>) -> std::io::Result<Vec<IpAddr>> {
    let mut found: Vec<IpAddr> = Vec::new();
    for interface in nix::ifaddrs::getifaddrs().map_err(std::io::Error::from)? {
        let wanted = name.is_none_or(|n| n == interface.interface_name);
        let up = interface.flags.contains(nix::net::if_::InterfaceFlags::IFF_UP);
        let Some(address) = interface.address.filter(|_| wanted && up) else { continue };
        let ip = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
            (Some(v4), _) => IpAddr::V4(v4.ip()),
            // A link-local address needs a scope that a SIP URI cannot carry.
            (_, Some(v6)) if !v6.ip().is_unicast_link_local() => IpAddr::V6(v6.ip()),
            _ => continue,
        };
        if !found.contains(&ip) {
            found.push(ip);
        }
    }
    found.sort_by_key(IpAddr::is_loopback);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        assert_eq!(split_host_port("127.0.0.1:5060"), Ok(("127.0.0.1", Some(5060))));
        assert_eq!(split_host_port("[::1]:5080"), Ok(("::1", Some(5080))));
        assert_eq!(split_host_port("[::1]"), Ok(("::1", None)));
        assert_eq!(split_host_port("fe80::1"), Ok(("fe80::1", None)));
        assert_eq!(split_host_port("sip.example.org"), Ok(("sip.example.org", None)));
    }

    #[test]
    fn wrong_ports_are_refused_not_cut() {
        assert_eq!(split_host_port("h:70000"), Err(AddressError::Port("70000".into())));
        assert_eq!(split_host_port("h:-1"), Err(AddressError::Port("-1".into())));
        assert_eq!(split_host_port(":5060"), Err(AddressError::Empty));
        assert_eq!(split_host_port("[::1"), Err(AddressError::Bracket("[::1".into())));
    }

    #[test]
    fn loopback_is_an_interface_address() {
        let all = interface_addresses(None).unwrap();
        assert!(all.contains(&"127.0.0.1".parse().unwrap()), "{all:?}");
    }
}
