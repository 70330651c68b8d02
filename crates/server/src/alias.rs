//! Connections that carry requests back to another port of their far end (RFC 5923).

use crate::context::Context;
use crate::tcp_profile::AliasMode;

/// Reads what the topmost Via of a request says about the connection that it came by, where that counts. Over TLS it
/// counts from a peer whose certificate was checked and found good (RFC 5923 section 4): a port belongs to whatever
/// listens there, and anybody at that address may say that it is theirs.
pub(crate) fn note_alias(cx: &Context) {
    let Some(mode) = cx.worker.streams().alias_mode(cx.received.connection) else { return };
    if mode == AliasMode::Never || !is_trusted(cx) {
        return;
    }
    let Ok(via) = cx.message.via() else { return };
    if mode == AliasMode::Always || via.param(b"alias").is_some() {
        force_alias(cx, via.port());
    }
}

/// Whether the connection says of itself whose it is. That of TCP cannot, and the operator has let it speak.
fn is_trusted(cx: &Context) -> bool {
    let protocol = cx.server().network.sockets.listener(cx.received.socket).protocol;
    let is_verified =
        || cx.worker.streams().facts(cx.received.connection).is_some_and(|facts| facts.is_verified());
    !protocol.is_secure() || is_verified()
}

/// Lets the connection that a message came by be found by `port` too, the protocol's own for none. `false` when it came by
/// no connection.
pub fn force_alias(cx: &Context, port: Option<u16>) -> bool {
    let server = cx.server();
    let connection = cx.received.connection;
    let protocol = server.network.sockets.listener(cx.received.socket).protocol;
    if connection.is_some() {
        server.network.shared.connections.alias(connection, port.unwrap_or(protocol.default_port()));
    }
    connection.is_some()
}
