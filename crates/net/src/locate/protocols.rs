//! A set of transport protocols.

use crate::Protocol;

/// Transport protocols that one can choose among, such as those the server can send by, each with the port of
/// destinations that name none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Protocols {
    bits: u8,
    /// By protocol; 0 is the protocol's own.
    ports: [u16; Protocol::ALL.len()],
}

impl Protocols {
    /// The set with `protocol` beside what it had.
    #[must_use]
    pub const fn with(self, protocol: Protocol) -> Self {
        Self { bits: self.bits | 1 << protocol as u8, ..self }
    }

    /// The same set, where `port` is that of destinations by `protocol` that name none.
    #[must_use]
    pub const fn with_port(mut self, protocol: Protocol, port: u16) -> Self {
        self.ports[protocol as usize] = port;
        self
    }

    /// The port of destinations by `protocol` that name none: the protocol's own unless another was chosen.
    pub fn port(self, protocol: Protocol) -> u16 {
        match self.ports[protocol as usize] {
            0 => protocol.default_port(),
            port => port,
        }
    }

    /// Whether `protocol` is one of them.
    pub const fn contains(self, protocol: Protocol) -> bool {
        self.bits & 1 << protocol as u8 != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.bits == 0
    }
}

impl FromIterator<Protocol> for Protocols {
    fn from_iter<I: IntoIterator<Item = Protocol>>(protocols: I) -> Self {
        protocols.into_iter().fold(Self::default(), Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_in() {
        let set: Protocols = [Protocol::Udp, Protocol::Wss, Protocol::Udp].into_iter().collect();
        assert!(set.contains(Protocol::Udp) && set.contains(Protocol::Wss));
        assert!(!set.contains(Protocol::Tcp) && !set.contains(Protocol::Tls) && !set.contains(Protocol::Ws));
        assert!(!set.is_empty() && Protocols::default().is_empty());
    }

    #[test]
    fn a_port_that_was_chosen_is_that_of_one_protocol() {
        let set = Protocols::default().with(Protocol::Tcp).with_port(Protocol::Tcp, 5065);
        assert_eq!(Protocol::ALL.map(|protocol| set.port(protocol)), [5060, 5065, 5061, 80, 443]);
        assert!(!set.contains(Protocol::Tls));
    }
}
