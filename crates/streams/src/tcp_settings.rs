//! The `tcp_*` globals: how connections of all stream protocols are accepted, kept and watched (manual, "Core
//! Parameters").

use std::time::Duration;

/// `tcp_workers` when nothing says otherwise.
const DEFAULT_WORKERS: u32 = 8;
/// `tcp_workers` in debug mode, unless fewer were asked for.
const DEBUG_WORKERS: u32 = 2;
/// For so many connections that are accepted there is room for one that this server opens, beside them.
const OUTGOING_SHARE: u32 = 16;
/// Connections that this server opens for which there is room at the least.
const OUTGOING_LEAST: u32 = 32;
/// The most connections that are accepted; each may need a descriptor in the process that accepts.
pub const MAX_CONNECTIONS: u32 = ROWS - ROWS / OUTGOING_SHARE;
/// The most connections there can be.
const ROWS: u32 = tocsin_net::connections::MAX_ROWS as u32;

/// The `tcp_*` globals, with their defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpSettings {
    /// `tcp_workers`: processes that serve connections, of all stream protocols together. Default 8; 2 at the most in
    /// debug mode.
    pub workers: u32,
    /// `tcp_accept_aliases`: a connection on which a Via with `;alias` came carries requests back to that Via's port
    /// (RFC 5923). Default off: among clients behind one address it lets one take the calls of another.
    pub accept_aliases: bool,
    /// `tcp_connect_timeout`: time for a connection of ours to stand. `None` when it was not set: the manual's 100 ms
    /// bound a process that stands still, and hold for a protocol whose connections are not asynchronous; see
    /// [`TcpProfile`](crate::tcp_profile::TcpProfile) for what is in force.
    pub connect_timeout: Option<Duration>,
    /// `tcp_connection_lifetime`: time without traffic after which a connection is closed. Default 120 s; 0 closes it as
    /// soon as it is found idle.
    pub lifetime: Duration,
    /// `tcp_keepalive`, `tcp_keepcount`, `tcp_keepidle`, `tcp_keepinterval`: the kernel's probes of idle connections.
    pub keepalive: Keepalive,
    /// `tcp_max_connections`: accepted connections at one time; further ones are refused. Default 2048. Those that this
    /// server opens are not among them, see [`Self::rows`].
    pub max_connections: u32,
    /// `tcp_max_connections_per_source`: accepted connections of one remote address (of IPv6, of one /64) at one time;
    /// further ones are refused. Default 0: no limit. An extension of this server.
    pub max_connections_per_source: u32,
    /// `tcp_max_msg_time`: time for a message to arrive whole, from its first byte on; the connection of a slower one is
    /// dropped. Default 4 s.
    pub max_message_time: Duration,
    /// `tcp_no_new_conn_bflag`: the branch flag (one bit, as in the branch's flags) of requests that only go out on a
    /// connection that stands already. Default 0: none.
    pub no_new_connection_bflag: u32,
    /// `tcp_no_new_conn_rplflag`: the message flag (one bit) of requests whose responses only go out on a connection that
    /// stands already. Default 0: none.
    pub no_new_connection_rplflag: u32,
    /// `tcp_socket_backlog`: connections that the kernel keeps waiting to be accepted, for each listener. Default
    /// 1,024: with the 10 of OpenSIPS a burst of connections waits for seconds.
    pub backlog: u32,
    /// `tcp_threshold`: microseconds that sending may take before it is logged and raised as `E_CORE_THRESHOLD`.
    /// Default 0: off.
    pub threshold_us: u64,
}

/// The kernel's probes of idle connections (tcp(7)). `None` leaves the system's own value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, tocsin_shm::ShmSafe, tocsin_shm::ShmClone)]
pub struct Keepalive {
    /// Whether there are any. Default on; setting one of the others switches it on.
    pub on: bool,
    /// Probes without an answer before the connection is given up.
    pub probes: Option<u32>,
    /// Seconds without traffic before the first probe.
    pub idle_s: Option<u32>,
    /// Seconds between two probes.
    pub interval_s: Option<u32>,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self { on: true, probes: None, idle_s: None, interval_s: None }
    }
}

impl Default for TcpSettings {
    fn default() -> Self {
        Self {
            workers: DEFAULT_WORKERS,
            accept_aliases: false,
            connect_timeout: None,
            lifetime: Duration::from_secs(120),
            keepalive: Keepalive::default(),
            max_connections: 2048,
            max_connections_per_source: 0,
            max_message_time: Duration::from_secs(4),
            no_new_connection_bflag: 0,
            no_new_connection_rplflag: 0,
            backlog: 1024,
            threshold_us: 0,
        }
    }
}

impl TcpSettings {
    /// How many connections there is room for: those that may be accepted, and some that this server opens whatever comes
    /// in.
    pub fn rows(&self) -> usize {
        (self.max_connections + (self.max_connections / OUTGOING_SHARE).max(OUTGOING_LEAST)) as usize
    }

    /// `debug_mode`: few processes, to follow them by eye.
    pub fn debug_mode(&mut self) {
        self.workers = self.workers.min(DEBUG_WORKERS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_the_manuals() {
        let tcp = TcpSettings::default();
        assert_eq!((tcp.workers, tcp.max_connections, tcp.backlog, tcp.threshold_us), (8, 2048, 1024, 0));
        assert_eq!(tcp.connect_timeout, None);
        assert_eq!(tcp.lifetime, Duration::from_secs(120));
        assert_eq!(tcp.max_message_time, Duration::from_secs(4));
        assert!(!tcp.accept_aliases && tcp.keepalive.on);
        assert_eq!((tcp.no_new_connection_bflag, tcp.no_new_connection_rplflag), (0, 0));
        assert_eq!(tcp.max_connections_per_source, 0);
    }

    #[test]
    fn what_is_accepted_leaves_room_for_what_is_opened() {
        let mut tcp = TcpSettings::default();
        let rows = |tcp: &mut TcpSettings, most: u32| {
            tcp.max_connections = most;
            tcp.rows()
        };
        assert_eq!(tcp.rows(), 2048 + 128);
        assert_eq!(rows(&mut tcp, 1), 33);
        assert!(rows(&mut tcp, MAX_CONNECTIONS) <= ROWS as usize);
    }

    #[test]
    fn debug_mode_never_adds_processes() {
        let mut tcp = TcpSettings::default();
        tcp.debug_mode();
        assert_eq!(tcp.workers, 2);
        tcp.workers = 1;
        tcp.debug_mode();
        assert_eq!(tcp.workers, 1);
    }
}
