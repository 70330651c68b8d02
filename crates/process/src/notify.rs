//! Readiness for systemd: one datagram to the socket that it named.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Tells the service manager `state` (`READY=1`, `STOPPING=1`), if there is one that listens.
pub(crate) fn send(state: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let bytes = name.as_encoded_bytes();
    let address = match bytes.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&name),
    };
    let sent = address
        .and_then(|to| UnixDatagram::unbound().and_then(|socket| socket.send_to_addr(state.as_bytes(), &to)));
    if let Err(cause) = sent {
        tracing::warn!("cannot send {state} to the service manager: {cause}");
    }
}
