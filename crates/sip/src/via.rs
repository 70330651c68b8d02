//! Via (RFC 3261 section 20.42, RFC 3581).

use crate::grammar::{Cursor, TOKEN, host_address, host_end, inside_quotes, port, same};
use crate::params::{Param, Params, scan_params};
use crate::span::Span;
use crate::{Limits, ParseError, print};
use std::net::{IpAddr, SocketAddr};

/// The transport a Via or a URI names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// `UDP`.
    Udp,
    /// `TCP`.
    Tcp,
    /// `TLS`.
    Tls,
    /// `SCTP`.
    Sctp,
    /// `TLS-SCTP`.
    TlsSctp,
    /// `WS`, RFC 7118.
    Ws,
    /// `WSS`, RFC 7118.
    Wss,
    /// Any other token.
    Other,
}

impl Transport {
    /// The transport of this name, letters of either case.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        const KNOWN: [Transport; 7] = [
            Transport::Udp,
            Transport::Tcp,
            Transport::Tls,
            Transport::Ws,
            Transport::Wss,
            Transport::Sctp,
            Transport::TlsSctp,
        ];
        KNOWN.into_iter().find(|known| same(name, known.text().as_bytes())).unwrap_or(Self::Other)
    }

    /// The name as Via writes it; empty for [`Transport::Other`].
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Sctp => "SCTP",
            Self::TlsSctp => "TLS-SCTP",
            Self::Ws => "WS",
            Self::Wss => "WSS",
            Self::Other => "",
        }
    }

    /// Whether what is sent arrives or an error says that it did not.
    #[must_use]
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// The port when none is written (RFC 3261 section 19.1.2, RFC 7118 section 4).
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Tls | Self::TlsSctp => 5061,
            Self::Ws => 80,
            Self::Wss => 443,
            Self::Udp | Self::Tcp | Self::Sctp | Self::Other => 5060,
        }
    }
}

/// The `rport` parameter of a Via (RFC 3581).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rport {
    /// Not there.
    #[default]
    Absent,
    /// There without a value: the sender asks for symmetric response routing.
    Asked,
    /// Filled in by the server that received the request.
    Port(u16),
}

/// Where the parts of a Via value lie in its text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ViaSpans {
    transport: Span,
    host: Span,
    port: Option<u16>,
    params: Span,
    branch: Option<Span>,
    received: Option<Span>,
    rport: Rport,
}

/// One Via value, read in place.
#[derive(Clone, Copy, Debug)]
pub struct ViaRef<'a> {
    text: &'a [u8],
    spans: ViaSpans,
}

impl<'a> ViaRef<'a> {
    /// Reads one value: `SIP/2.0/UDP host:port;params`.
    ///
    /// # Errors
    /// [`ParseError::Version`] if the protocol is not SIP/2.0, [`ParseError::Via`], a parameter error, or
    /// [`ParseError::HeaderValueTooLong`].
    pub fn parse(text: &'a [u8], limits: &Limits) -> Result<Self, ParseError> {
        if text.len() > usize::from(limits.header_value) {
            return Err(ParseError::HeaderValueTooLong);
        }
        Ok(Self { text, spans: spans(text, limits)? })
    }

    pub(crate) fn from_spans(text: &'a [u8], spans: ViaSpans) -> Self {
        Self { text, spans }
    }

    pub(crate) fn spans(&self) -> ViaSpans {
        self.spans
    }

    /// The whole value as it came.
    #[must_use]
    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    /// The transport.
    #[must_use]
    pub fn transport(&self) -> Transport {
        Transport::of(self.transport_text())
    }

    /// The transport as it came.
    #[must_use]
    pub fn transport_text(&self) -> &'a [u8] {
        self.spans.transport.of(self.text)
    }

    /// The host of `sent-by`, brackets of an IPv6 reference included.
    #[must_use]
    pub fn host(&self) -> &'a [u8] {
        self.spans.host.of(self.text)
    }

    /// The address the host is, if it is no name.
    #[must_use]
    pub fn host_address(&self) -> Option<IpAddr> {
        host_address(self.host())
    }

    /// The port of `sent-by`.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.spans.port
    }

    /// The `branch`, cookie included.
    #[must_use]
    pub fn branch(&self) -> Option<&'a [u8]> {
        self.spans.branch.map(|branch| branch.of(self.text))
    }

    /// The branch if it identifies a transaction by RFC 3261: the cookie `z9hG4bK`, and something behind it.
    #[must_use]
    pub fn rfc3261_branch(&self) -> Option<&'a [u8]> {
        self.branch().filter(|branch| {
            branch.len() > COOKIE.len() && branch[..COOKIE.len()].eq_ignore_ascii_case(COOKIE)
        })
    }

    /// The `received` parameter as it came.
    #[must_use]
    pub fn received(&self) -> Option<&'a [u8]> {
        self.spans.received.map(|received| received.of(self.text))
    }

    /// The address of the `received` parameter: IPv6 with or without brackets (RFC 5118 section 4.5).
    #[must_use]
    pub fn received_address(&self) -> Option<IpAddr> {
        self.received().and_then(host_address)
    }

    /// The `rport` parameter.
    #[must_use]
    pub fn rport(&self) -> Rport {
        self.spans.rport
    }

    /// The `maddr` parameter.
    #[must_use]
    pub fn maddr(&self) -> Option<&'a [u8]> {
        self.param(b"maddr").and_then(|param| param.value)
    }

    /// The `ttl` parameter, if it is a number from 0 to 255.
    #[must_use]
    pub fn ttl(&self) -> Option<u8> {
        let text = self.param(b"ttl")?.value?;
        crate::grammar::number(text).and_then(|ttl| u8::try_from(ttl).ok())
    }

    /// All parameters.
    #[must_use]
    pub fn params(&self) -> Params<'a> {
        Params::new(self.spans.params.of(self.text))
    }

    /// The parameter of this name.
    #[must_use]
    pub fn param(&self, name: &[u8]) -> Option<Param<'a>> {
        self.params().named(name)
    }

    /// Appends the value with what the server that receives a request adds to it: `received` if the host
    /// differs from the source or `rport` was asked for (RFC 3261 section 18.2.1), `rport` with the port if
    /// asked for, or always if `force_rport` (RFC 3581 section 4). A `received` or a filled `rport` that came
    /// with the request is not believed. Both stand before the other parameters, but for an `rport` that keeps
    /// its place in a request.
    pub fn write_received(&self, source: SocketAddr, force_rport: bool, written: Written, out: &mut Vec<u8>) {
        let (head, tail) = self.text.split_at(usize::from(self.spans.params.start).min(self.text.len()));
        out.extend_from_slice(head.trim_ascii_end());
        let asked = self.spans.rport != Rport::Absent;
        let write_rport = |out: &mut Vec<u8>| {
            out.extend_from_slice(b";rport=");
            print::decimal(source.port().into(), out);
        };
        if written == Written::InRequest && force_rport && !asked {
            write_rport(out);
        }
        if force_rport || asked || self.host_address() != Some(source.ip().to_canonical()) {
            out.extend_from_slice(b";received=");
            print::address(source.ip().to_canonical(), out);
        }
        if written == Written::InResponse && (force_rport || asked) {
            write_rport(out);
        }
        for param in Params::new(tail) {
            if param.is(b"rport") {
                if written == Written::InRequest {
                    write_rport(out);
                }
            } else if !param.is(b"received") {
                write_param(param, out);
            }
        }
    }
}

/// The kind of message that a Via with [`ViaRef::write_received`] is written into: it decides about the order of parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// The request that goes on.
    InRequest,
    /// A response to it.
    InResponse,
}

/// What a branch begins with if it follows RFC 3261 (section 8.1.1.7).
pub const COOKIE: &[u8] = b"z9hG4bK";

fn spans(text: &[u8], limits: &Limits) -> Result<ViaSpans, ParseError> {
    let mut cursor = Cursor::new(text);
    let protocol = token(&mut cursor)?;
    slash(&mut cursor)?;
    let version = token(&mut cursor)?;
    slash(&mut cursor)?;
    if !same(protocol.of(text), b"SIP") || version.of(text) != b"2.0" {
        return Err(ParseError::Version);
    }
    let transport = token(&mut cursor)?;
    let gap = cursor.at;
    cursor.skip_lws();
    if cursor.at == gap {
        return Err(ParseError::Via);
    }
    let host = Span::new(cursor.at, host_end(text, cursor.at).map_err(|_| ParseError::Via)?);
    cursor.at = usize::from(host.end);
    let mut spans = ViaSpans {
        transport,
        host,
        port: None,
        params: Span::default(),
        branch: None,
        received: None,
        rport: Rport::Absent,
    };
    cursor.skip_lws();
    if cursor.eat(b':') {
        cursor.skip_lws();
        let digits = cursor.run(crate::grammar::DIGIT).of(text);
        spans.port = Some(port(digits).ok_or(ParseError::Via)?);
        cursor.skip_lws();
    }
    spans.params = Span::new(cursor.at, text.len());
    scan_params(&mut cursor, limits.parameters, |name, value| spans.note(text, name, value))?;
    Ok(spans)
}

impl ViaSpans {
    /// Remembers the parameters every message is asked for.
    fn note(&mut self, text: &[u8], name: Span, value: Option<Span>) -> Result<(), ParseError> {
        let name = name.of(text);
        if same(name, b"branch") {
            let value = value.filter(|value| value.start < value.end).ok_or(ParseError::Via)?;
            once(self.branch.replace(value).is_none())
        } else if same(name, b"received") {
            let value = value.filter(|value| value.start < value.end).ok_or(ParseError::Via)?;
            once(self.received.replace(value).is_none())
        } else if same(name, b"rport") {
            let value = value.map(|value| inside_quotes(value.of(text))).filter(|value| !value.is_empty());
            let rport = match value {
                None => Rport::Asked,
                Some(digits) => Rport::Port(port(digits).ok_or(ParseError::Via)?),
            };
            once(std::mem::replace(&mut self.rport, rport) == Rport::Absent)
        } else {
            Ok(())
        }
    }
}

fn once(first: bool) -> Result<(), ParseError> {
    if first { Ok(()) } else { Err(ParseError::DuplicateParameter) }
}

fn token(cursor: &mut Cursor<'_>) -> Result<Span, ParseError> {
    let token = cursor.run(TOKEN);
    if token.start == token.end { Err(ParseError::Via) } else { Ok(token) }
}

fn slash(cursor: &mut Cursor<'_>) -> Result<(), ParseError> {
    cursor.skip_lws();
    let slash = cursor.eat(b'/');
    cursor.skip_lws();
    if slash { Ok(()) } else { Err(ParseError::Via) }
}

fn write_param(param: Param<'_>, out: &mut Vec<u8>) {
    out.push(b';');
    out.extend_from_slice(param.name);
    if let Some(value) = param.value {
        out.push(b'=');
        out.extend_from_slice(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn via(text: &str) -> Result<ViaRef<'_>, ParseError> {
        ViaRef::parse(text.as_bytes(), &Limits::DEFAULT)
    }

    fn received(text: &str, source: &str, force: bool) -> String {
        written(text, source, force, Written::InResponse)
    }

    fn written(text: &str, source: &str, force: bool, kind: Written) -> String {
        let mut out = Vec::new();
        via(text).unwrap().write_received(source.parse().unwrap(), force, kind, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_part_is_found() {
        let via = via("SIP  / 2.0  / TCP     spindle.example.com : 5070  ;\r\n  branch  =   z9hG4bK9ikj8 ;rport;received=[2001:db8::1];ttl=16;maddr=239.0.0.1").unwrap();
        assert_eq!(via.transport(), Transport::Tcp);
        assert_eq!(via.host(), b"spindle.example.com");
        assert_eq!(via.port(), Some(5070));
        assert_eq!(via.branch(), Some(&b"z9hG4bK9ikj8"[..]));
        assert_eq!(via.rfc3261_branch(), via.branch());
        assert_eq!(via.rport(), Rport::Asked);
        assert_eq!(via.received_address(), Some("2001:db8::1".parse().unwrap()));
        assert_eq!(via.ttl(), Some(16));
        assert_eq!(via.maddr(), Some(&b"239.0.0.1"[..]));
    }

    #[test]
    fn what_is_no_via() {
        for (text, error) in [
            ("", ParseError::Via),
            ("SIP/2.0/UDP", ParseError::Via),
            ("SIP/2.0/UDP ", ParseError::Via),
            ("SIP/2.0/UDP ;branch=x", ParseError::Via),
            ("SIP/2.0 UDP host", ParseError::Via),
            ("SIP/7.0/UDP host", ParseError::Version),
            ("HTTP/2.0/UDP host", ParseError::Version),
            ("SIP/2.0/UDP host:", ParseError::Via),
            ("SIP/2.0/UDP host:-1", ParseError::Via),
            ("SIP/2.0/UDP host:99999", ParseError::Via),
            ("SIP/2.0/UDP [::1", ParseError::Via),
            ("SIP/2.0/UDP host;;branch=x", ParseError::Parameter),
            ("SIP/2.0/UDP host;branch", ParseError::Via),
            ("SIP/2.0/UDP host;branch=", ParseError::Via),
            ("SIP/2.0/UDP host;received=", ParseError::Via),
            ("SIP/2.0/UDP host;rport=x", ParseError::Via),
            ("SIP/2.0/UDP host;branch=a;branch=b", ParseError::DuplicateParameter),
            ("SIP/2.0/UDP host x", ParseError::Parameter),
        ] {
            assert_eq!(via(text).err(), Some(error), "{text}");
        }
    }

    #[test]
    fn what_the_receiver_adds() {
        assert_eq!(
            received("SIP/2.0/UDP 192.0.2.1:5070;branch=z9", "192.0.2.1:5070", false),
            "SIP/2.0/UDP 192.0.2.1:5070;branch=z9"
        );
        assert_eq!(
            received("SIP/2.0/UDP a.example ;branch=z9", "192.0.2.1:5070", false),
            "SIP/2.0/UDP a.example;received=192.0.2.1;branch=z9"
        );
        assert_eq!(
            received("SIP/2.0/UDP 192.0.2.1;rport;branch=z9", "192.0.2.1:5070", false),
            "SIP/2.0/UDP 192.0.2.1;received=192.0.2.1;rport=5070;branch=z9"
        );
        assert_eq!(
            received("SIP/2.0/UDP 10.0.0.1;received=6.6.6.6;rport=1;branch=z9", "192.0.2.1:5070", false),
            "SIP/2.0/UDP 10.0.0.1;received=192.0.2.1;rport=5070;branch=z9"
        );
        assert_eq!(
            received("SIP/2.0/UDP [2001:db8::1]", "[2001:db8::2]:9", true),
            "SIP/2.0/UDP [2001:db8::1];received=2001:db8::2;rport=9"
        );
        let relayed = |text, force| written(text, "192.0.2.1:5070", force, Written::InRequest);
        assert_eq!(
            relayed("SIP/2.0/UDP 10.0.0.1;branch=z9", true),
            "SIP/2.0/UDP 10.0.0.1;rport=5070;received=192.0.2.1;branch=z9"
        );
        for force in [false, true] {
            assert_eq!(
                relayed("SIP/2.0/UDP 10.0.0.1;branch=z9;rport=3;received=6.6.6.6;ttl=1", force),
                "SIP/2.0/UDP 10.0.0.1;received=192.0.2.1;branch=z9;rport=5070;ttl=1"
            );
        }
    }
}
