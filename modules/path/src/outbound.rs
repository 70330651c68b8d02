//! By which listener a request is likely to leave, before it is known where it goes.

use std::net::IpAddr;

use tocsin_net::Protocol;
use tocsin_server::Context;
use tocsin_server::sockets::{Listener, SocketId, Sockets};
use tocsin_sip::{Scheme, UriRef};

/// The listener that a request leaves by, as far as its next hop shows it without a look-up: the one that the script
/// chose; else the one it came by if that speaks what the next hop asks for; else the first that does. `None` when no
/// listener does.
pub(super) fn leaving_by(cx: &Context) -> Option<SocketId> {
    if let Some(chosen) = cx.targets.main.socket {
        return Some(chosen);
    }
    let next_hop = cx.targets.main.next_hop.as_deref().unwrap_or_else(|| cx.request_uri());
    let uri = UriRef::parse(next_hop).ok()?;
    let choose =
        |protocol| choose(&cx.server().network.sockets, cx.received.socket, protocol, uri.host_address());
    asked_for(&uri).iter().copied().find_map(choose)
}

fn choose(sockets: &Sockets, inbound: SocketId, protocol: Protocol, to: Option<IpAddr>) -> Option<SocketId> {
    let inbound = sockets.listener(inbound);
    let to_v4 = to.map_or(inbound.address.is_ipv4(), |to| to.is_ipv4());
    let speaks = |l: &&Listener| l.protocol == protocol && l.address.is_ipv4() == to_v4;
    let reaches =
        |l: &&Listener| speaks(l) && to.is_none_or(|to| !l.address.ip().is_loopback() || to.is_loopback());
    let all = || sockets.all().iter();
    let found = Some(inbound).filter(reaches).or_else(|| all().find(reaches));
    found.or_else(|| all().find(speaks)).map(|listener| listener.id)
}

/// The protocols that a URI asks for, the likely one first: the one that it names, else TLS for `sips:`, else UDP before
/// the others (RFC 3263 section 4.1, without a look-up).
fn asked_for(uri: &UriRef<'_>) -> &'static [Protocol] {
    use Protocol::{Tcp, Tls, Udp, Ws, Wss};
    let named = uri.param(b"transport").and_then(|param| Protocol::parse(param.value?));
    match (named, uri.scheme()) {
        (Some(Tcp | Tls) | None, Scheme::Sips) | (Some(Tls), _) => &[Tls],
        (Some(Ws), Scheme::Sips) | (Some(Wss), _) => &[Wss],
        (Some(Udp), _) => &[Udp],
        (Some(Tcp), _) => &[Tcp],
        (Some(Ws), _) => &[Ws],
        (None, _) => &[Udp, Tcp, Tls],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_asks_for_a_protocol() {
        for (uri, expected) in [
            ("sip:h", &[Protocol::Udp, Protocol::Tcp, Protocol::Tls][..]),
            ("sip:h;transport=TCP", &[Protocol::Tcp]),
            ("sip:h;transport=ws", &[Protocol::Ws]),
            ("sip:h;transport=tls", &[Protocol::Tls]),
            ("sips:h", &[Protocol::Tls]),
            ("sips:h;transport=tcp", &[Protocol::Tls]),
            ("sips:h;transport=ws", &[Protocol::Wss]),
        ] {
            assert_eq!(asked_for(&UriRef::parse(uri.as_bytes()).unwrap()), expected, "{uri}");
        }
    }
}
