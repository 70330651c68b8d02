//! The text of a Path entry, and the reading of what was noted in one (RFC 3327 section 5, RFC 5626 section 5.1).

use std::io::Write;
use std::net::SocketAddr;

use tocsin_net::Protocol;
use tocsin_script::Bytes;
use tocsin_server::sockets::Listener;
use tocsin_sip::{UriRef, escape_user, unescape};

/// What all entries of one passage have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    /// The user part, unescaped.
    pub(super) user: Option<&'a [u8]>,
    /// Where the registration came from.
    pub(super) received: Option<(Protocol, SocketAddr)>,
    /// This is the first hop of a device that manages its flows, and keeps them (RFC 5626).
    pub(super) keeps_flow: bool,
}

/// How a listener is named.
#[derive(Debug, Clone, Copy)]
pub(super) struct Here<'a> {
    protocol: Protocol,
    host: &'a str,
    port: u16,
}

impl<'a> From<&'a Listener> for Here<'a> {
    fn from(listener: &'a Listener) -> Self {
        let (host, port) = &listener.advertised;
        Self { protocol: listener.protocol, host, port: *port }
    }
}

impl Entry<'_> {
    /// `<sip:user@host:port;transport=tcp;received=sip:192.0.2.1:7%3Btransport%3Dtcp;lr>`. `pair`: there is another one
    /// for the other side.
    pub(super) fn write(&self, here: Here<'_>, pair: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(b"<sip:");
        if let Some(user) = self.user {
            out.extend_from_slice(&escape_user(user));
            out.push(b'@');
        }
        // A vector takes all that is written.
        let _ = match here.host.contains(':') {
            true => write!(out, "[{}]", here.host),
            false => write!(out, "{}", here.host),
        };
        // Without a port those of the other protocols would mean another one.
        if here.port != 5060 || !matches!(here.protocol, Protocol::Udp | Protocol::Tcp) {
            let _ = write!(out, ":{}", here.port);
        }
        if here.protocol != Protocol::Udp {
            let _ = write!(out, ";transport={}", here.protocol.name());
        }
        if let Some((protocol, address)) = self.received {
            let _ = write!(out, ";received=sip:{address}");
            if protocol != Protocol::Udp {
                let _ = write!(out, "%3Btransport%3D{}", protocol.name());
            }
        }
        if pair {
            out.extend_from_slice(b";r2=on");
        }
        out.extend_from_slice(b";lr");
        if self.keeps_flow {
            out.extend_from_slice(b";ob");
        }
        out.push(b'>');
    }

    /// Two header fields: the one that the registrar's side meets first goes on top.
    pub(super) fn write_pair(&self, outbound: Here<'_>, inbound: Here<'_>, out: &mut Vec<u8>) {
        self.write(outbound, true, out);
        out.extend_from_slice(b"\r\nPath: ");
        self.write(inbound, true, out);
    }
}

/// The URI that was noted in an entry, if it is one.
pub(super) fn noted_received(entry: &UriRef<'_>) -> Option<Bytes> {
    let noted = unescape(entry.param(b"received")?.value?);
    UriRef::parse(&noted).is_ok().then(|| Bytes::new(&noted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(entry: Entry<'_>, protocol: Protocol, host: &str, port: u16) -> String {
        let mut out = Vec::new();
        entry.write(Here { protocol, host, port }, false, &mut out);
        String::from_utf8(out).unwrap()
    }

    const PLAIN: Entry<'static> = Entry { user: None, received: None, keeps_flow: false };

    #[test]
    fn an_entry_names_us_such_that_it_leads_back() {
        assert_eq!(text(PLAIN, Protocol::Udp, "192.0.2.9", 5060), "<sip:192.0.2.9;lr>");
        assert_eq!(text(PLAIN, Protocol::Udp, "192.0.2.9", 5070), "<sip:192.0.2.9:5070;lr>");
        assert_eq!(text(PLAIN, Protocol::Tls, "h", 5061), "<sip:h:5061;transport=tls;lr>");
        assert_eq!(
            text(PLAIN, Protocol::Wss, "2001:db8::1", 443),
            "<sip:[2001:db8::1]:443;transport=wss;lr>"
        );
        let user = Entry { user: Some(b"a@b>c"), ..PLAIN };
        assert_eq!(text(user, Protocol::Udp, "h", 5060), "<sip:a%40b%3Ec@h;lr>");
    }

    #[test]
    fn what_is_noted_reads_back() {
        for (protocol, address, expected) in [
            (Protocol::Udp, "198.51.100.7:1234", "sip:198.51.100.7:1234"),
            (Protocol::Tcp, "198.51.100.7:1234", "sip:198.51.100.7:1234;transport=tcp"),
            (Protocol::Wss, "[2001:db8::7]:1234", "sip:[2001:db8::7]:1234;transport=wss"),
        ] {
            let received = Some((protocol, address.parse().unwrap()));
            let written = text(Entry { received, keeps_flow: true, ..PLAIN }, Protocol::Udp, "h", 5060);
            let inner = written.trim_matches(['<', '>']);
            let uri = UriRef::parse(inner.as_bytes()).unwrap();
            assert_eq!(noted_received(&uri), Some(expected.into()), "{written}");
            assert!(uri.is_loose() && uri.param(b"ob").is_some(), "{written}");
        }
        for nothing in ["sip:h;lr", "sip:h;received;lr", "sip:h;received=;lr", "sip:h;received=%00;lr"] {
            assert_eq!(noted_received(&UriRef::parse(nothing.as_bytes()).unwrap()), None, "{nothing}");
        }
    }
}
