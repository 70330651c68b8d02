//! What is in force for one connection: the globals and the options of its protocol, or what a module says for the path
//! between its two ends.

use std::net::SocketAddr;
use std::time::Duration;

use tocsin_net::Protocol;

use crate::stream_options::{PATIENCE, StreamOptions};
use crate::tcp_settings::{Keepalive, TcpSettings};

/// `tcp_connect_timeout` of the manual, for connections that are waited for on the spot.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(100);

/// Who opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Opening {
    /// The remote end.
    Accepted,
    /// This server.
    Opened,
}

/// When a connection carries requests back to a port other than the one that it comes from (RFC 5923).
#[derive(Debug, Clone, Copy, PartialEq, Eq, tocsin_shm::ShmSafe, tocsin_shm::ShmClone)]
pub enum AliasMode {
    /// Never; `force_tcp_alias()` still may.
    Never,
    /// When a Via on it says `;alias`.
    Asked,
    /// For every Via on it.
    Always,
}

/// The values for one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpProfile {
    /// Time for the connection to stand, when this server opens it.
    pub connect_timeout: Duration,
    /// Time without traffic after which it is closed.
    pub lifetime: Duration,
    /// Time for a message to arrive whole.
    pub max_message_time: Duration,
    /// Microseconds that sending may take before it is reported; 0 is off.
    pub threshold_us: u64,
    /// Only a connection that stands may be used: none is opened.
    pub no_new_connection: bool,
    /// When it carries requests back to another port.
    pub aliases: AliasMode,
    /// The kernel's probes.
    pub keepalive: Keepalive,
}

impl TcpProfile {
    /// What the globals and the options of its protocol say. A connection that this server opens gets
    /// `tcp_connect_timeout` when it was set; else [`PATIENCE`], or the manual's 100 ms with `tcp_async` off.
    pub fn new(tcp: &TcpSettings, stream: &StreamOptions) -> Self {
        let unset = if stream.asynchronous { PATIENCE } else { CONNECT_TIMEOUT };
        Self {
            connect_timeout: tcp.connect_timeout.unwrap_or(unset),
            lifetime: tcp.lifetime,
            max_message_time: tcp.max_message_time,
            threshold_us: tcp.threshold_us,
            no_new_connection: false,
            aliases: if tcp.accept_aliases { AliasMode::Asked } else { AliasMode::Never },
            keepalive: tcp.keepalive,
        }
    }
}

/// The module that knows paths with values of their own.
pub trait TcpPaths {
    /// What is in force for a connection between `remote` and `local`: `general`, with what the path says on top.
    /// `local` is the listener for an accepted connection, and the address to send from, with port 0 where the kernel
    /// chooses it, for one that this server opens.
    fn profile_for(
        &self,
        protocol: Protocol,
        remote: SocketAddr,
        local: SocketAddr,
        opening: Opening,
        general: TcpProfile,
    ) -> TcpProfile;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connect_timeout_that_was_set_is_obeyed() {
        let mut tcp = TcpSettings::default();
        let mut stream = StreamOptions::of(Protocol::Tcp);
        assert_eq!(TcpProfile::new(&tcp, &stream).connect_timeout, PATIENCE);
        stream.asynchronous = false;
        assert_eq!(TcpProfile::new(&tcp, &stream).connect_timeout, Duration::from_millis(100));
        tcp.connect_timeout = Some(Duration::from_millis(500));
        assert_eq!(TcpProfile::new(&tcp, &stream).connect_timeout, Duration::from_millis(500));
    }
}
