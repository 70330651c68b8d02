//! What a connection is found by: the address of its far end, and its TLS identity.

use std::net::SocketAddr;

use tocsin_shm::{ShmClone, ShmSafe};

use crate::address::Hop;

/// Client certificate and server name used when a connection was opened. Connections that differ in either must not be
/// shared (RFC 5922 section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, ShmSafe, ShmClone)]
pub struct TlsIdentity {
    /// A hash of the TLS domain's name.
    pub domain: u32,
    /// A hash of the name that was asked for; 0 if none was.
    pub name: u32,
}

impl TlsIdentity {
    /// The identity of connections that the far end opened, and of those without TLS.
    pub const NONE: Self = Self { domain: 0, name: 0 };

    /// The same certificate, whatever server name was asked for.
    #[must_use]
    pub fn without_server_name(self) -> Self {
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
pub(super) struct ConnectionKey {
    pub(super) hop: Hop,
    pub(super) tls_identity: TlsIdentity,
}

impl ConnectionKey {
    /// Without what a row does not remember: the scope and flow of an IPv6 address.
    pub(super) fn new(hop: &Hop, tls_identity: TlsIdentity) -> Self {
        Self { hop: Hop { to: SocketAddr::new(hop.to.ip(), hop.to.port()), ..*hop }, tls_identity }
    }
}
