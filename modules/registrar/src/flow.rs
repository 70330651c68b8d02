//! Registrations that come over a connection: by what address their devices are reached, and flows that the devices
//! manage themselves (RFC 5626).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tocsin_net::Protocol;
use tocsin_server::Context;
use tocsin_sip::{HeaderName, Message, UriRef};

use super::flags::PathMode;

/// Hosts below this name are nowhere: devices in a browser register such a contact (RFC 7118 section 5).
const NOWHERE: &[u8] = b".invalid";
/// Seconds that a device is given to be late with a keep-alive.
const GRACE: u64 = 10;

/// The way by which a registration came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Flow {
    /// The device's own connection to this server, if that is how it came.
    direct: Option<(Protocol, SocketAddr)>,
    /// The URI of that connection's other end, or empty.
    pub(super) uri: Vec<u8>,
    /// The device asks for outbound, and the first hop keeps its flow.
    pub(super) outbound: bool,
}

impl Flow {
    /// The way of the REGISTER `message`, which came from `source` by `protocol`.
    pub(super) fn of(message: &Message, protocol: Protocol, source: SocketAddr, path: PathMode) -> Self {
        let has_path = message.header(HeaderName::Path).is_some();
        let is_direct =
            protocol != Protocol::Udp && !has_path && message.values(HeaderName::Via).nth(1).is_none();
        let direct = is_direct.then_some((protocol, source));
        // An edge that does not keep flows makes it an ordinary registration, where section 6 would refuse it with 439:
        // what the device asks for is a supplement to it.
        let is_kept = is_direct || (path != PathMode::Ignored && first_hop_keeps_flow(message));
        Self {
            direct,
            uri: direct.map(uri_of).unwrap_or_default(),
            outbound: is_kept && message.lists_token(HeaderName::Supported, b"outbound"),
        }
    }

    /// Whether a contact is reached over the connection that it was registered by, and not by its URI: one that is a flow
    /// (`is_flow`), in a browser, nowhere, or behind a translator of addresses. Any other may listen where it says.
    pub(super) fn reaches(&self, contact: &UriRef<'_>, is_flow: bool) -> bool {
        let Some((protocol, source)) = self.direct else { return false };
        let elsewhere = |host: IpAddr| host.to_canonical() != source.ip().to_canonical();
        is_flow
            || matches!(protocol, Protocol::Ws | Protocol::Wss)
            || is_nowhere(contact.host())
            || contact.host_address().is_some_and(elsewhere)
    }

    /// Seconds within which a device must send something over its connection, which ends after `lifetime` without
    /// (RFC 5626 section 4.4.1). `None` when it did not come over a connection, or there is no time to be late.
    pub(super) fn timer(&self, lifetime: Duration) -> Option<u64> {
        self.direct?;
        lifetime.as_secs().checked_sub(GRACE).filter(|seconds| *seconds >= GRACE)
    }
}

/// Lets the connection that a registration came by live as long as its contacts do, whatever happens on it.
pub(super) fn keep_connection(cx: &Context, seconds: u32) {
    if cx.received.connection.is_some() {
        cx.worker.streams().keep(cx.received.connection, seconds);
    }
}

/// The Path value next to the device has `ob` (RFC 5626 section 5.1).
fn first_hop_keeps_flow(message: &Message) -> bool {
    let last = message.addresses(HeaderName::Path).last();
    last.is_some_and(|hop| hop.is_ok_and(|hop| hop.uri().is_ok_and(|uri| uri.param(b"ob").is_some())))
}

fn uri_of((protocol, address): (Protocol, SocketAddr)) -> Vec<u8> {
    format!("sip:{address};transport={}", protocol.name()).into_bytes()
}

fn is_nowhere(host: &[u8]) -> bool {
    let from = host.len().saturating_sub(NOWHERE.len());
    host[from..].eq_ignore_ascii_case(NOWHERE)
}

#[cfg(test)]
mod tests {
    use tocsin_sip::Limits;

    use super::*;

    fn register(headers: &str) -> Message {
        let text = format!(
            "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/WS h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
             To: <sip:a@b>\r\nCall-ID: c1\r\nCSeq: 7 REGISTER\r\n{headers}\r\n"
        );
        Message::parse(text.into_bytes(), &Limits::default()).unwrap()
    }

    fn flow(protocol: Protocol, path: PathMode, headers: &str) -> Flow {
        Flow::of(&register(headers), protocol, "192.0.2.7:40000".parse().unwrap(), path)
    }

    #[test]
    fn outbound_needs_a_first_hop_that_keeps_the_flow() {
        let asks = "Supported: path,gruu,outbound\r\n";
        for (protocol, path, headers, expected) in [
            (Protocol::Ws, PathMode::Ignored, "", true),
            (Protocol::Tcp, PathMode::Lazy, "", true),
            (Protocol::Udp, PathMode::Ignored, "", false),
            (Protocol::Ws, PathMode::Ignored, "Via: SIP/2.0/UDP p;branch=z9hG4bK2\r\n", false),
            (Protocol::Udp, PathMode::Lazy, "Path: <sip:p1;lr>, <sip:p2;lr;ob>\r\n", true),
            (Protocol::Udp, PathMode::Ignored, "Path: <sip:p2;lr;ob>\r\n", false),
            (Protocol::Udp, PathMode::Lazy, "Path: <sip:p1;lr;ob>, <sip:p2;lr>\r\n", false),
            (Protocol::Tcp, PathMode::Lazy, "Path: <sip:p2;lr>\r\n", false),
            (Protocol::Tcp, PathMode::Lazy, "Path: <sip:p2\r\n", false),
        ] {
            let with = flow(protocol, path, &format!("{asks}{headers}"));
            assert_eq!(with.outbound, expected, "{protocol:?} {path:?} {headers}");
            assert!(!flow(protocol, path, headers).outbound);
        }
    }

    #[test]
    fn the_connection_is_the_way_to_who_cannot_be_called() {
        let reaches =
            |flow: &Flow, uri: &str, is_flow| flow.reaches(&UriRef::parse(uri.as_bytes()).unwrap(), is_flow);
        let tcp = flow(Protocol::Tcp, PathMode::Ignored, "");
        assert_eq!(tcp.uri, b"sip:192.0.2.7:40000;transport=tcp");
        for (uri, expected) in [
            ("sip:a@192.0.2.7:5060;transport=tcp", false),
            ("sip:a@10.0.0.1:5060;transport=tcp", true),
            ("sip:a@gw.example.com;transport=tcp", false),
            ("sip:a@df7jal23ls0d.INVALID;transport=ws", true),
        ] {
            assert_eq!(reaches(&tcp, uri, false), expected, "{uri}");
            assert!(reaches(&tcp, uri, true));
        }
        assert!(reaches(&flow(Protocol::Wss, PathMode::Ignored, ""), "sip:a@192.0.2.7", false));
        let udp = flow(Protocol::Udp, PathMode::Ignored, "");
        assert!(!reaches(&udp, "sip:a@10.0.0.1", true) && udp.uri.is_empty());
        let relayed = flow(Protocol::Tcp, PathMode::Ignored, "Path: <sip:p;lr>\r\n");
        assert!(!reaches(&relayed, "sip:a@10.0.0.1", false));
    }

    #[test]
    fn a_device_is_told_to_speak_before_its_connection_ends() {
        let direct = flow(Protocol::Tcp, PathMode::Ignored, "");
        for (lifetime, expected) in [(120, Some(110)), (20, Some(10)), (19, None), (0, None)] {
            assert_eq!(direct.timer(Duration::from_secs(lifetime)), expected, "{lifetime}");
        }
        let relayed = flow(Protocol::Udp, PathMode::Lazy, "Path: <sip:p;lr;ob>\r\n");
        assert_eq!(relayed.timer(Duration::from_secs(120)), None);
    }
}
