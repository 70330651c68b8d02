//! The group net: bytes that wait in the kernel to be read by this server, of all listeners of a protocol.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;

use tocsin_net::Protocol;

use crate::sockets::Sockets;
use tocsin_telemetry::statistic_row::StatRow;
use tocsin_telemetry::statistics::Statistics;

/// Where the server listens; known when its sockets are open.
static LISTENERS: OnceLock<Vec<(Protocol, SocketAddr)>> = OnceLock::new();

const GROUP: &str = "net";
const UDP: StatRow = StatRow::value(GROUP, "waiting_udp", "Bytes that wait to be read at the UDP listeners.");
const TCP: StatRow =
    StatRow::value(GROUP, "waiting_tcp", "Bytes that wait to be read at the TCP and WebSocket listeners.");
const TLS: StatRow = StatRow::value(
    GROUP,
    "waiting_tls",
    "Bytes that wait to be read at the TLS and secure WebSocket listeners.",
);

/// The group net.
pub const NETWORK_STATISTICS: &[StatRow] = &[UDP, TCP, TLS];

/// Registers [`NETWORK_STATISTICS`].
pub fn register(statistics: &mut Statistics) {
    statistics.computed(GROUP, |each| {
        each(UDP.name, waiting(&["udp", "udp6"], &[Protocol::Udp]));
        each(TCP.name, waiting(&["tcp", "tcp6"], &[Protocol::Tcp, Protocol::Ws]));
        each(TLS.name, waiting(&["tcp", "tcp6"], &[Protocol::Tls, Protocol::Wss]));
    });
}

/// Takes the addresses of the listeners.
pub fn listen(sockets: &Sockets) {
    let all = sockets.all().iter().map(|listener| (listener.protocol, listener.address));
    // Set once: a process has one server.
    let _ = LISTENERS.set(all.collect());
}

/// The bytes in the receive queues of sockets at the listeners of `protocols`, as the kernel's `tables` show them.
fn waiting(tables: &[&str], protocols: &[Protocol]) -> i64 {
    let listeners = LISTENERS.get().map(Vec::as_slice).unwrap_or_default();
    let ours = |address: &SocketAddr| {
        listeners.iter().any(|(protocol, listener)| protocols.contains(protocol) && listener == address)
    };
    if !listeners.iter().any(|(protocol, _)| protocols.contains(protocol)) {
        return 0;
    }
    let tables = tables.iter().filter_map(|table| File::open(format!("/proc/net/{table}")).ok());
    // Line by line: with many connections a table is larger than the memory that a process may use.
    let lines = tables.flat_map(|table| BufReader::new(table).lines().map_while(Result::ok));
    lines.filter_map(|line| queue(&line)).filter(|(at, _)| ours(at)).map(|(_, bytes)| bytes).sum()
}

/// The local address of a line of `/proc/net/udp` and its like, and the bytes in its receive queue.
fn queue(line: &str) -> Option<(SocketAddr, i64)> {
    let mut words = line.split_whitespace();
    let (ip, port) = words.nth(1)?.split_once(':')?;
    let (_, received) = words.nth(2)?.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some((SocketAddr::new(address(ip)?, port), i64::from_str_radix(received, 16).ok()?))
}

/// An address as the kernel prints it: words of four bytes in the order of the machine.
fn address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(hex.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes());
    if hex.len() == 8 {
        return Some(word(0)?.into());
    }
    let words = [word(0)?, word(1)?, word(2)?, word(3)?];
    <[u8; 16]>::try_from(words.concat()).ok().map(IpAddr::from)
}

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernel_tells_address_and_queue() {
        let line = "  123: 0100007F:1F90 00000000:0000 07 00000000:00000240 00:00000000 00000000     0        0 1 2 0 0";
        assert_eq!(queue(line), Some(("127.0.0.1:8080".parse().unwrap(), 0x240)));
        let line = "  9: 00000000000000000000000001000000:13C4 00000000000000000000000000000000:0000 07 00000000:00000001 0";
        assert_eq!(queue(line), Some(("[::1]:5060".parse().unwrap(), 1)));
        assert_eq!(queue("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when"), None);
        assert_eq!(queue(""), None);
    }
}
