//! The `tcp_*` globals: how connections of all stream protocols are accepted, kept and watched (manual, "Core
//! Parameters").

use std::time::Duration;

/// `tcp_workers` when nothing says otherwise.
const DEFAULT_WORKERS: u32 = 8;
/// `tcp_workers` at the most, as on the command line.
const MOST_WORKERS: u32 = 1024;
/// `tcp_workers` in debug mode, unless fewer were asked for.
const DEBUG_WORKERS: u32 = 2;
/// The longest time that a time-out or a lifetime may be set to: a year. More is a mistake of units.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// The kernel's limits on keep-alive: seconds before and between probes, and the number of them.
const KEEPALIVE_SECONDS: u32 = 32_767;
const KEEPALIVE_PROBES: u32 = 127;
/// For so many connections that are accepted there is room for one that this server opens, beside them.
const OUTGOING_SHARE: u32 = 16;
/// Connections that this server opens for which there is room at the least.
const OUTGOING_LEAST: u32 = 32;
/// The most connections that are accepted; each may need a descriptor in the process that accepts.
const MOST_CONNECTIONS: u32 = ROWS - ROWS / OUTGOING_SHARE;
/// The most connections there can be.
const ROWS: u32 = tocsin_net::connections::ROWS_MAX as u32;

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
    /// `tcp_parallel_read_on_workers`: another worker may read the next message of a connection. Default off.
    pub parallel_read: bool,
    /// `tcp_socket_backlog`: connections that the kernel keeps waiting to be accepted, for each listener. Default
    /// 1,024: with the 10 of OpenSIPS a burst of connections waits for seconds.
    pub backlog: u32,
    /// `tcp_threshold`: microseconds that sending may take before it is logged and told as `E_CORE_THRESHOLD`.
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
            parallel_read: false,
            backlog: 1024,
            threshold_us: 0,
        }
    }
}

impl TcpSettings {
    /// Takes a global whose value is a number; others are left alone.
    ///
    /// # Errors
    /// What is wrong with the value, and what would be right.
    pub fn number(&mut self, name: &str, number: i64) -> Result<(), String> {
        match name {
            "tcp_workers" => self.workers = within(number, 1, MOST_WORKERS, "processes")?,
            "tcp_connect_timeout" => self.connect_timeout = Some(Duration::from_millis(millis(number)?)),
            "tcp_connection_lifetime" => self.lifetime = Duration::from_secs(seconds(number, 0)?),
            "tcp_keepcount" => self.probe(|k, n| k.probes = n, number, KEEPALIVE_PROBES, "probes")?,
            "tcp_keepidle" => self.probe(|k, n| k.idle_s = n, number, KEEPALIVE_SECONDS, "seconds")?,
            "tcp_keepinterval" => {
                self.probe(|k, n| k.interval_s = n, number, KEEPALIVE_SECONDS, "seconds")?;
            }
            "tcp_max_connections" => {
                self.max_connections = within(number, 1, MOST_CONNECTIONS, "connections")?;
            }
            "tcp_max_connections_per_source" => {
                self.max_connections_per_source = within(number, 0, MOST_CONNECTIONS, "connections")?;
            }
            "tcp_max_msg_time" => self.max_message_time = Duration::from_secs(seconds(number, 1)?),
            "tcp_socket_backlog" => {
                self.backlog = within(number, 1, i32::MAX.cast_unsigned(), "connections")?;
            }
            "tcp_threshold" => {
                self.threshold_us =
                    u64::try_from(number).map_err(|_| "microseconds are 0 (off) or more".to_owned())?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes a global whose value is yes or no; others are left alone.
    pub fn switch(&mut self, name: &str, truth: bool) {
        match name {
            "tcp_accept_aliases" => self.accept_aliases = truth,
            "tcp_keepalive" => self.keepalive.on = truth,
            "tcp_parallel_read_on_workers" => self.parallel_read = truth,
            _ => {}
        }
    }

    /// Takes a global that names a flag. `bit` gives the flag's bit.
    ///
    /// # Errors
    /// Those of `bit`.
    pub fn flag(&mut self, name: &str, bit: impl FnOnce() -> Result<u32, String>) -> Result<(), String> {
        match name {
            "tcp_no_new_conn_bflag" => self.no_new_connection_bflag = bit()?,
            "tcp_no_new_conn_rplflag" => self.no_new_connection_rplflag = bit()?,
            _ => {}
        }
        Ok(())
    }

    /// How many connections there is room for: those that may be accepted, and some that this server opens whatever comes
    /// in.
    pub fn rows(&self) -> usize {
        (self.max_connections + (self.max_connections / OUTGOING_SHARE).max(OUTGOING_LEAST)) as usize
    }

    /// `debug_mode`: few processes, to follow them by eye.
    pub fn debug_mode(&mut self) {
        self.workers = self.workers.min(DEBUG_WORKERS);
    }

    /// One of the probes' numbers; 0 leaves it to the system.
    fn probe(
        &mut self,
        put: fn(&mut Keepalive, Option<u32>),
        number: i64,
        most: u32,
        of: &str,
    ) -> Result<(), String> {
        let number = within(number, 0, most, of)?;
        put(&mut self.keepalive, Some(number).filter(|number| *number > 0));
        self.keepalive.on |= number > 0;
        Ok(())
    }
}

fn within(number: i64, least: u32, most: u32, of: &str) -> Result<u32, String> {
    match u32::try_from(number) {
        Ok(fits) if (least..=most).contains(&fits) => Ok(fits),
        _ => Err(format!("{number} is out of range: {least} to {most} {of} are possible")),
    }
}

fn millis(number: i64) -> Result<u64, String> {
    match u64::try_from(number) {
        Ok(fits) if (1..=LONGEST.as_millis()).contains(&u128::from(fits)) => Ok(fits),
        _ => Err(format!("{number} is out of range: milliseconds are 1 to {}", LONGEST.as_millis())),
    }
}

fn seconds(number: i64, least: u64) -> Result<u64, String> {
    match u64::try_from(number) {
        Ok(fits) if (least..=LONGEST.as_secs()).contains(&fits) => Ok(fits),
        _ => Err(format!("{number} is out of range: seconds are {least} to {}", LONGEST.as_secs())),
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
        assert!(!tcp.accept_aliases && !tcp.parallel_read && tcp.keepalive.on);
        assert_eq!((tcp.no_new_connection_bflag, tcp.no_new_connection_rplflag), (0, 0));
        assert_eq!(tcp.max_connections_per_source, 0);
    }

    #[test]
    fn numbers_out_of_range_are_refused_not_cut() {
        let mut tcp = TcpSettings::default();
        for (name, bad) in [
            ("tcp_workers", 0),
            ("tcp_workers", 1025),
            ("tcp_connect_timeout", 0),
            ("tcp_connection_lifetime", -1),
            ("tcp_max_connections", -5),
            ("tcp_max_connections", 0),
            ("tcp_max_connections", 1 << 32),
            ("tcp_max_connections_per_source", i64::MAX),
            ("tcp_max_msg_time", 0),
            ("tcp_keepcount", 128),
            ("tcp_keepidle", 40_000),
            ("tcp_socket_backlog", 0),
            ("tcp_threshold", -1),
        ] {
            let problem = tcp.number(name, bad).unwrap_err();
            assert!(!problem.is_empty(), "{name} = {bad}");
        }
        assert_eq!(tcp, TcpSettings::default());
        tcp.number("tcp_connection_lifetime", 0).unwrap();
        assert_eq!(tcp.lifetime, Duration::ZERO);
    }

    #[test]
    fn what_is_accepted_leaves_room_for_what_is_opened() {
        let mut tcp = TcpSettings::default();
        let rows = |tcp: &mut TcpSettings, most: u32| {
            tcp.number("tcp_max_connections", most.into()).unwrap();
            tcp.rows()
        };
        assert_eq!(tcp.rows(), 2048 + 128);
        assert_eq!(rows(&mut tcp, 1), 33);
        assert!(rows(&mut tcp, MOST_CONNECTIONS) <= ROWS as usize);
        assert!(tcp.number("tcp_max_connections", i64::from(MOST_CONNECTIONS) + 1).is_err());
    }

    #[test]
    fn a_number_for_the_probes_switches_them_on() {
        let mut tcp = TcpSettings::default();
        tcp.switch("tcp_keepalive", false);
        tcp.number("tcp_keepidle", 0).unwrap();
        assert!(!tcp.keepalive.on);
        tcp.number("tcp_keepidle", 30).unwrap();
        assert_eq!(tcp.keepalive, Keepalive { on: true, probes: None, idle_s: Some(30), interval_s: None });
    }

    #[test]
    fn debug_mode_never_adds_processes() {
        let mut tcp = TcpSettings::default();
        tcp.debug_mode();
        assert_eq!(tcp.workers, 2);
        tcp.number("tcp_workers", 1).unwrap();
        tcp.debug_mode();
        assert_eq!(tcp.workers, 1);
    }
}
