//! A set of transport protocols.

use crate::Protocol;

/// Transport protocols that one can choose among, such as those the server can send by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Protocols(u8);

impl Protocols {
    /// The set with `protocol` beside what it had.
    #[must_use]
    pub const fn with(self, protocol: Protocol) -> Self {
        Self(self.0 | 1 << protocol as u8)
    }

    /// Whether `protocol` is one of them.
    pub const fn contains(self, protocol: Protocol) -> bool {
        self.0 & 1 << protocol as u8 != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
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
}
