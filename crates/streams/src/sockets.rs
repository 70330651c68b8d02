//! The addresses that the server listens on: who they are to the outside, and how to send from them.

use std::net::{IpAddr, SocketAddr, TcpListener};

use tocsin_event::OwnListener;
use tocsin_net::locate::Protocols;
use tocsin_net::{Hop, Protocol, UdpGroup};
use tocsin_process::Profile;

/// Index of a listening socket, in the order of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, tocsin_shm::ShmSafe, tocsin_shm::ShmClone)]
pub struct SocketId(pub u16);

/// One `socket=` of the configuration, open.
#[derive(Debug)]
pub struct Listener {
    /// Its index.
    pub id: SocketId,
    /// Its protocol.
    pub protocol: Protocol,
    /// Where it listens.
    pub address: SocketAddr,
    /// The name it has for others, in Via and Record-Route: `host` and `port`.
    pub advertised: (String, u16),
    /// `udp:127.0.0.1:5060`, as logs, `ps` and `$socket_in` show it.
    pub name: String,
    /// Name given by the operator (`tag`).
    pub tag: Option<String>,
    /// Its worker processes; 0 for streams, which all TCP workers serve.
    pub workers: usize,
    /// How their number follows their load; `None`: it does not.
    pub profile: Option<Profile>,
    /// What the kernel has for it.
    pub endpoint: Endpoint,
    /// ` SIP/2.0/UDP host:port;branch=z9hG4bK`, the constant part of every Via this listener writes.
    pub via_prefix: Vec<u8>,
}

/// The kernel's side of a listener.
#[derive(Debug)]
pub enum Endpoint {
    /// One socket for each worker slot.
    Datagrams(UdpGroup),
    /// Where connections are accepted.
    Stream(TcpListener),
}

impl Listener {
    /// The sockets of a UDP listener.
    pub fn udp(&self) -> Option<&UdpGroup> {
        match &self.endpoint {
            Endpoint::Datagrams(group) => Some(group),
            Endpoint::Stream(_) => None,
        }
    }

    /// The socket at which connections are accepted.
    pub fn stream(&self) -> Option<&TcpListener> {
        match &self.endpoint {
            Endpoint::Datagrams(_) => None,
            Endpoint::Stream(listener) => Some(listener),
        }
    }
}

/// A host that means this server, beside its listeners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// Lower-case host name or address.
    pub host: String,
    /// Port; `None` means all.
    pub port: Option<u16>,
    /// Also all names below it.
    pub subdomains: bool,
}

/// All listeners and aliases.
#[derive(Debug, Default)]
pub struct Sockets {
    listeners: Vec<Listener>,
    aliases: Vec<Alias>,
    protocols: Protocols,
}

impl Sockets {
    /// Gathers them. Listeners must be in the order of their IDs.
    pub fn new(listeners: Vec<Listener>, aliases: Vec<Alias>) -> Self {
        let protocols = listeners.iter().map(|listener| listener.protocol).collect();
        Self { listeners, aliases, protocols }
    }

    /// The same, where `port_of` says the port of destinations that name none, by their protocol.
    #[must_use]
    pub fn with_ports(mut self, port_of: impl Fn(Protocol) -> u16) -> Self {
        let with = |ports: Protocols, protocol| ports.with_port(protocol, port_of(protocol));
        self.protocols = Protocol::ALL.into_iter().fold(self.protocols, with);
        self
    }

    /// All listeners, in order.
    pub fn all(&self) -> &[Listener] {
        &self.listeners
    }

    /// The places at which what is sent comes to this server, those included that it has for others.
    pub fn as_own_listeners(&self) -> impl Iterator<Item = OwnListener> {
        self.listeners.iter().flat_map(|listener| {
            let (host, port) = &listener.advertised;
            let advertised = host.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, *port));
            let is_udp = listener.udp().is_some();
            [Some(listener.address), advertised].into_iter().flatten().map(move |address| match is_udp {
                true => OwnListener::Datagram(address),
                false => OwnListener::Stream(address),
            })
        })
    }

    /// The listener with this ID; the first one for an ID of another server.
    pub fn listener(&self, id: SocketId) -> &Listener {
        self.listeners.get(usize::from(id.0)).unwrap_or(&self.listeners[0])
    }

    /// The listener to send from to `hop`: `preferred` if it speaks the protocol and can reach the address's family, else,
    /// as in OpenSIPS, the last one named that does.
    pub fn outgoing(&self, preferred: SocketId, hop: &Hop) -> Option<&Listener> {
        let to = &hop.to;
        let family = |l: &&Listener| l.protocol == hop.protocol && l.address.is_ipv4() == to.is_ipv4();
        let reaches = |l: &&Listener| family(l) && (!l.address.ip().is_loopback() || to.ip().is_loopback());
        let preferred = Some(self.listener(preferred));
        preferred
            .filter(reaches)
            .or_else(|| self.listeners.iter().rfind(reaches))
            .or(preferred.filter(family))
            .or_else(|| self.listeners.iter().rfind(family))
    }

    /// The listeners that take datagrams, in order.
    pub fn datagrams(&self) -> impl Iterator<Item = (&Listener, &UdpGroup)> {
        self.listeners.iter().filter_map(|listener| listener.udp().map(|group| (listener, group)))
    }

    /// The listeners that accept connections, in order.
    pub fn streams(&self) -> impl Iterator<Item = (&Listener, &TcpListener)> {
        self.listeners.iter().filter_map(|listener| listener.stream().map(|socket| (listener, socket)))
    }

    /// The protocols that the listeners speak, and the ports of destinations that name none.
    pub fn protocols(&self) -> Protocols {
        self.protocols
    }

    /// Whether any listener has an IPv4 address.
    pub fn has_ipv4(&self) -> bool {
        self.listeners.iter().any(|listener| listener.address.is_ipv4())
    }

    /// The listener with this protocol, address and port, as named in a Route header or a script.
    pub fn find(&self, protocol: Option<Protocol>, host: &str, port: Option<u16>) -> Option<&Listener> {
        self.listeners.iter().find(|l| {
            protocol.is_none_or(|p| p == l.protocol)
                && (same_host(l, host) && port.is_none_or(|p| p == l.address.port() || p == l.advertised.1)
                    || l.tag.as_deref() == Some(host))
        })
    }

    /// Whether `host` and `port` (`None`: the default port, as in a URI without one) mean this server.
    pub fn is_myself(&self, host: &[u8], port: Option<u16>) -> bool {
        self.means(host, Some(port.unwrap_or(5060)))
    }

    /// Whether a host is this server, at whichever port.
    pub fn is_myself_at_any_port(&self, host: &[u8]) -> bool {
        self.means(host, None)
    }

    /// `port`: `None` is any.
    fn means(&self, host: &[u8], port: Option<u16>) -> bool {
        let Ok(host) = std::str::from_utf8(host) else { return false };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        self.listeners.iter().any(|l| {
            same_host(l, host) && port.is_none_or(|port| port == l.address.port() || port == l.advertised.1)
        }) || self.aliases.iter().any(|alias| {
            let same = alias.host.eq_ignore_ascii_case(host)
                || (alias.subdomains
                    && host.len() > alias.host.len()
                    && host.as_bytes()[..host.len() - alias.host.len()].ends_with(b".")
                    && host.is_char_boundary(host.len() - alias.host.len())
                    && host[host.len() - alias.host.len()..].eq_ignore_ascii_case(&alias.host));
            same && (port.is_none() || alias.port.is_none() || alias.port == port)
        })
    }
}

fn same_host(listener: &Listener, host: &str) -> bool {
    listener.advertised.0.eq_ignore_ascii_case(host)
        || host.parse::<IpAddr>().is_ok_and(|ip| ip == listener.address.ip())
}

/// `127.0.0.1:5060` or `[::1]:5060` for a host name or address.
pub fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(id: u16, address: &str) -> Listener {
        let udp = UdpGroup::open(address.parse().unwrap(), 1, 1).unwrap();
        let address = udp.address();
        Listener {
            id: SocketId(id),
            protocol: Protocol::Udp,
            address,
            advertised: (address.ip().to_string(), address.port()),
            name: format!("udp:{address}"),
            tag: None,
            workers: 1,
            profile: None,
            endpoint: Endpoint::Datagrams(udp),
            via_prefix: vec![],
        }
    }

    fn udp(to: &str) -> Hop {
        Hop { protocol: Protocol::Udp, to: to.parse().unwrap() }
    }

    #[test]
    fn myself_is_a_listener_or_an_alias() {
        let first = listener(0, "127.0.0.1:0");
        let port = first.address.port();
        let alias = Alias { host: "example.org".into(), port: None, subdomains: true };
        let sockets = Sockets::new(vec![first], vec![alias]);
        assert!(sockets.is_myself(b"127.0.0.1", Some(port)));
        assert!(!sockets.is_myself(b"127.0.0.1", Some(port ^ 1)));
        assert!(sockets.is_myself(b"EXAMPLE.org", Some(1)));
        assert!(sockets.is_myself(b"sip.example.org", None));
        assert!(!sockets.is_myself(b"notexample.org", None));
        assert!(!sockets.is_myself(b"\xff", None));
    }

    #[test]
    fn the_sending_socket_fits_the_family() {
        let sockets = Sockets::new(vec![listener(0, "127.0.0.1:0"), listener(1, "[::1]:0")], vec![]);
        assert_eq!(sockets.outgoing(SocketId(0), &udp("[::1]:5060")).unwrap().id, SocketId(1));
        assert_eq!(sockets.outgoing(SocketId(1), &udp("127.0.0.1:5060")).unwrap().id, SocketId(0));
        let tcp = Hop { protocol: Protocol::Tcp, ..udp("127.0.0.1:5060") };
        assert!(sockets.outgoing(SocketId(0), &tcp).is_none());
        let all = vec![listener(0, "127.0.0.1:0"), listener(1, "[::1]:0"), listener(2, "[::1]:0")];
        let sockets = Sockets::new(all, vec![]);
        assert_eq!(sockets.outgoing(SocketId(0), &udp("[::1]:5060")).unwrap().id, SocketId(2));
        assert_eq!(sockets.outgoing(SocketId(1), &udp("[::1]:5060")).unwrap().id, SocketId(1));
    }
}
