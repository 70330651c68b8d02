//! What a connection is found by: the address at its far end, and in which guise it was opened.

use std::net::SocketAddr;

use tocsin_shm::{ShmClone, ShmSafe};

use crate::address::Hop;

/// As whom and for whom a connection over TLS was opened: one that shows another certificate, or that asked for another
/// name, is not the same to whoever answers it (RFC 5922 section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, ShmSafe, ShmClone)]
pub struct Guise {
    /// A hash of the TLS domain's name.
    pub domain: u32,
    /// A hash of the name that was asked for; 0 if none was.
    pub name: u32,
}

impl Guise {
    /// That of connections that the other end opened, and of those without TLS.
    pub const NONE: Self = Self { domain: 0, name: 0 };

    /// The same, whatever name was asked for.
    #[must_use]
    pub fn nameless(self) -> Self {
        Self { name: 0, ..self }
    }

    pub(super) fn word(self) -> u64 {
        u64::from(self.domain) << 32 | u64::from(self.name)
    }

    pub(super) fn of(word: u64) -> Self {
        Self { domain: (word >> 32) as u32, name: word as u32 }
    }
}

/// What a connection is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ShmSafe, ShmClone)]
pub(super) struct Way {
    pub(super) hop: Hop,
    pub(super) guise: Guise,
}

impl Way {
    /// Without what a row does not remember: the scope and flow of an IPv6 address.
    pub(super) fn new(hop: &Hop, guise: Guise) -> Self {
        Self { hop: Hop { to: SocketAddr::new(hop.to.ip(), hop.to.port()), ..*hop }, guise }
    }
}
