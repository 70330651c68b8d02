//! The handshake of the side that accepts a connection (RFC 6455 section 4.2, RFC 7118 section 4).

use super::{ACCEPT, KEY, NONCE, SUBPROTOCOL, Single, accept_of, listed, lists, single};
use httparse::{Header, Status};
use thiserror::Error;

/// Bytes of the request that opens a connection, to the empty line at its end.
pub const MAX_REQUEST_BYTES: usize = 8_192;

/// Header fields of that request.
const MAX_HEADERS: usize = 64;

/// What is asked of a request beyond the RFCs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules<'a> {
    /// The path that has to be asked for, its query apart; any will do for none.
    pub resource: Option<&'a str>,
    /// Whether a request without Origin is refused: only browsers send one.
    pub require_origin: bool,
}

/// A request that may be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// Bytes of the request; behind them frames may follow already.
    pub length: usize,
    /// What was asked for: a path, with its query if there is one.
    pub resource: &'a str,
    /// Host, with the port if there is one.
    pub host: &'a str,
    /// Origin: the page whose script opens the connection.
    pub origin: Option<&'a str>,
    /// The subprotocol as the peer spelled it.
    protocol: &'a str,
    accept: [u8; ACCEPT],
}

impl Request<'_> {
    /// Appends the answer with which the connection is open.
    pub fn accept_into(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Accept: ",
        );
        out.extend_from_slice(&self.accept);
        out.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
        out.extend_from_slice(self.protocol.as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
    }
}

/// Why a request does not open a connection. It is answered by [`refuse_into`](Refusal::refuse_into), and the
/// connection closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No HTTP, or a head that breaks its rules.
    #[error("malformed HTTP request")]
    Malformed,
    /// Longer than [`MAX_REQUEST_BYTES`], or with more header fields than are read.
    #[error("HTTP request too long")]
    TooLong,
    /// A method other than GET.
    #[error("HTTP method is not GET")]
    Method,
    /// Not HTTP/1.1.
    #[error("HTTP version is not 1.1")]
    HttpVersion,
    /// Something behind the head: what follows could be taken for frames.
    #[error("HTTP request with a body")]
    Body,
    /// No Host, or several.
    #[error("no valid Host header field")]
    Host,
    /// An ordinary request: Upgrade does not name `websocket`, or Connection does not name `Upgrade`.
    #[error("HTTP request is not for a WebSocket")]
    Upgrade,
    /// A Sec-WebSocket-Version other than 13.
    #[error("WebSocket version is not 13")]
    Version,
    /// A Sec-WebSocket-Key that is not 16 bytes in base64.
    #[error("invalid Sec-WebSocket-Key")]
    Key,
    /// Sec-WebSocket-Protocol does not offer `sip`.
    #[error("subprotocol sip is not offered")]
    Protocol,
    /// No Origin where one is required, or several.
    #[error("no valid Origin header field")]
    Origin,
    /// A path other than the one that is served.
    #[error("unknown WebSocket resource")]
    Resource,
}

impl Refusal {
    /// The HTTP status to answer.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Method => 405,
            Self::Upgrade | Self::Version => 426,
            Self::Origin => 403,
            Self::Resource => 404,
            Self::TooLong => 431,
            Self::HttpVersion => 505,
            Self::Malformed | Self::Body | Self::Host | Self::Key | Self::Protocol => 400,
        }
    }

    /// Appends the answer.
    pub fn refuse_into(self, out: &mut Vec<u8>) {
        let (line, further) = match self.status() {
            403 => ("403 Forbidden", ""),
            404 => ("404 Not Found", ""),
            405 => ("405 Method Not Allowed", "Allow: GET\r\n"),
            426 => ("426 Upgrade Required", "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"),
            431 => ("431 Request Header Fields Too Large", ""),
            505 => ("505 HTTP Version Not Supported", ""),
            _ => ("400 Bad Request", ""),
        };
        // RFC 9110 section 7.8: who sends Upgrade lists it in Connection.
        let connection = if further.starts_with("Upgrade") { "Upgrade, close" } else { "close" };
        for part in ["HTTP/1.1 ", line, "\r\n", further, "Connection: ", connection, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    }
}

/// Reads the request a connection begins with; none while it is not all there.
///
/// # Errors
/// [`Refusal`], for a wrong byte or one too many as soon as it is there.
pub fn read_request<'a>(bytes: &'a [u8], rules: &Rules<'_>) -> Result<Option<Request<'a>>, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    let window = &bytes[..bytes.len().min(MAX_REQUEST_BYTES)];
    let length = match head.parse(window) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) if window.len() == MAX_REQUEST_BYTES => return Err(Refusal::TooLong),
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooLong),
        Err(httparse::Error::Version) => return Err(Refusal::HttpVersion),
        Err(_) => return Err(Refusal::Malformed),
    };
    check_request_line(head.method, head.version)?;
    let headers = &*head.headers;
    check_no_body(headers)?;
    let Single::Is(host) = single(headers, "Host") else { return Err(Refusal::Host) };
    check_upgrade(headers)?;
    let Single::Is(key) = single(headers, "Sec-WebSocket-Key") else { return Err(Refusal::Key) };
    check_key(key)?;
    let resource = head.path.ok_or(Refusal::Malformed)?;
    check_resource(resource, rules.resource)?;
    let protocol = listed(headers, "Sec-WebSocket-Protocol")
        .find(|offered| offered.eq_ignore_ascii_case(SUBPROTOCOL))
        .ok_or(Refusal::Protocol)?;
    let origin = match single(headers, "Origin") {
        Single::Is(origin) => Some(origin),
        Single::Missing if !rules.require_origin => None,
        _ => return Err(Refusal::Origin),
    };
    let accept = accept_of(key.as_bytes());
    Ok(Some(Request { length, resource, host, origin, protocol, accept }))
}

fn check_request_line(method: Option<&str>, version: Option<u8>) -> Result<(), Refusal> {
    if version != Some(1) {
        return Err(Refusal::HttpVersion);
    }
    if method == Some("GET") { Ok(()) } else { Err(Refusal::Method) }
}

fn check_no_body(headers: &[Header<'_>]) -> Result<(), Refusal> {
    let length = match single(headers, "Content-Length") {
        Single::Missing => true,
        Single::Is(length) => length == "0",
        Single::Wrong => false,
    };
    if length && matches!(single(headers, "Transfer-Encoding"), Single::Missing) {
        Ok(())
    } else {
        Err(Refusal::Body)
    }
}

fn check_upgrade(headers: &[Header<'_>]) -> Result<(), Refusal> {
    if !lists(headers, "Upgrade", "websocket") || !lists(headers, "Connection", "upgrade") {
        return Err(Refusal::Upgrade);
    }
    match single(headers, "Sec-WebSocket-Version") {
        Single::Is("13") => Ok(()),
        _ => Err(Refusal::Version),
    }
}

fn check_key(key: &str) -> Result<(), Refusal> {
    let mut room = [0; KEY / 4 * 3];
    let is_nonce = key.len() == KEY
        && data_encoding::BASE64.decode_mut(key.as_bytes(), &mut room).is_ok_and(|length| length == NONCE);
    if is_nonce { Ok(()) } else { Err(Refusal::Key) }
}

/// Compares paths; the query is the peer's own. A resource may be asked for by an absolute URI (RFC 6455
/// section 4.2.1), which ends in the path too.
fn check_resource(asked: &str, served: Option<&str>) -> Result<(), Refusal> {
    let path = asked.split_once('?').map_or(asked, |(path, _)| path);
    let path = match path.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => path,
    };
    if !path.starts_with('/') {
        return Err(Refusal::Malformed);
    }
    if served.is_none_or(|served| served == path) { Ok(()) } else { Err(Refusal::Resource) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "GET /sip?token=1 HTTP/1.1\r\nHost: ws.example.com:8080\r\nUpgrade: WebSocket\r\n\
        Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Origin: https://example.com\r\nSec-WebSocket-Protocol: chat, sip\r\n\
        Sec-WebSocket-Version: 13\r\n\r\n";

    fn read(text: &str) -> Result<Option<Request<'_>>, Refusal> {
        read_request(text.as_bytes(), &Rules::default())
    }

    /// What a good request is refused for when a piece of it is another.
    fn refusal(from: &str, to: &str) -> Option<Refusal> {
        assert!(GOOD.contains(from), "{from}");
        read(&GOOD.replacen(from, to, 1)).err()
    }

    #[test]
    fn rfc_7118_section_4_1_handshake() {
        let frames = format!("{GOOD}\u{1}frames");
        let request = read(&frames).unwrap().unwrap();
        assert_eq!(request.length, GOOD.len());
        assert_eq!((request.resource, request.host), ("/sip?token=1", "ws.example.com:8080"));
        assert_eq!(request.origin, Some("https://example.com"));
        let mut out = Vec::new();
        request.accept_into(&mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: sip\r\n\r\n"
        );
        for end in 0..GOOD.len() {
            assert_eq!(read(&GOOD[..end]), Ok(None), "{end}");
        }
    }

    #[test]
    fn what_breaks_a_rule_is_refused() {
        for (from, to, expected) in [
            ("GET", "POST", Refusal::Method),
            ("GET /sip", "OPTIONS sip:a", Refusal::Method),
            ("HTTP/1.1", "SIP/2.0", Refusal::HttpVersion),
            ("HTTP/1.1", "HTTP/1.0", Refusal::HttpVersion),
            ("HTTP/1.1", "HTTP/2.0", Refusal::HttpVersion),
            ("/sip", "sip", Refusal::Malformed),
            ("Host", "Hosts", Refusal::Host),
            ("Upgrade:", "Host: other\r\nUpgrade:", Refusal::Host),
            ("WebSocket", "h2c", Refusal::Upgrade),
            ("keep-alive, Upgrade", "keep-alive", Refusal::Upgrade),
            ("Version: 13", "Version: 8", Refusal::Version),
            ("Sec-WebSocket-Version", "X", Refusal::Version),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ", Refusal::Key),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZTE=", Refusal::Key),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZTEy", Refusal::Key),
            ("dGhlIHNhbXBsZSBub25jZQ==", "!!!!!!!!!!!!!!!!!!!!!!==", Refusal::Key),
            ("Sec-WebSocket-Key", "X", Refusal::Key),
            ("Origin", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin", Refusal::Key),
            ("chat, sip", "chat, sips", Refusal::Protocol),
            ("Sec-WebSocket-Protocol", "X", Refusal::Protocol),
            ("Origin", "Origin: null\r\nOrigin", Refusal::Origin),
            ("Origin", "Content-Length: 5\r\nOrigin", Refusal::Body),
            ("Origin", "Transfer-Encoding: chunked\r\nOrigin", Refusal::Body),
            ("Origin: ", "Origin : ", Refusal::Malformed),
            ("Origin: ", "Origin: a\u{0}", Refusal::Malformed),
        ] {
            assert_eq!(refusal(from, to), Some(expected), "{from} {to}");
        }
        assert_eq!(refusal("chat, sip", "SIP"), None);
        assert_eq!(refusal("Origin", "Content-Length: 0\r\nOrigin"), None);
        assert_eq!(refusal("Host", "Sec-WebSocket-Protocol: x\r\nHost"), None);
    }

    #[test]
    fn rules_of_the_operator() {
        let (resource, origin) = (Some("/sip"), true);
        let rules = Rules { resource, require_origin: origin };
        let at = |text: &str| read_request(text.as_bytes(), &rules).map(|request| request.is_some());
        assert_eq!(at(GOOD), Ok(true));
        assert_eq!(at(&GOOD.replace("/sip?token=1", "ws://ws.example.com:8080/sip")), Ok(true));
        assert_eq!(at(&GOOD.replace("/sip?", "/?")), Err(Refusal::Resource));
        assert_eq!(at(&GOOD.replace("/sip?", "/sip/?")), Err(Refusal::Resource));
        assert_eq!(at(&GOOD.replace("/sip?token=1", "ws://ws.example.com")), Err(Refusal::Resource));
        let without = GOOD.replace("Origin", "X");
        assert_eq!(at(&without), Err(Refusal::Origin));
        assert_eq!(read(&without).unwrap().unwrap().origin, None);
    }

    #[test]
    fn a_request_without_an_end_is_refused_at_its_limit() {
        let long = format!("{}X: {}", GOOD.strip_suffix("\r\n").unwrap(), "x".repeat(MAX_REQUEST_BYTES));
        assert_eq!(read(&long[..MAX_REQUEST_BYTES - 1]), Ok(None));
        assert_eq!(read(&long[..MAX_REQUEST_BYTES]), Err(Refusal::TooLong));
        let many = format!("{}{}\r\n", GOOD.strip_suffix("\r\n").unwrap(), "X: y\r\n".repeat(MAX_HEADERS));
        assert_eq!(read(&many), Err(Refusal::TooLong));
        assert_eq!(read("OPTIONS sip:a SIP/2.0\r\n"), Err(Refusal::HttpVersion));
        assert_eq!(read("\x16\x03\x01"), Err(Refusal::Malformed));
    }

    #[test]
    fn refusals_say_what_would_be_right() {
        for (refusal, text) in [
            (Refusal::Protocol, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
            (
                Refusal::Version,
                "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                Connection: Upgrade, close\r\nContent-Length: 0\r\n\r\n",
            ),
            (
                Refusal::Method,
                "HTTP/1.1 405 Method Not Allowed\r\nAllow: GET\r\nConnection: close\r\n\
                Content-Length: 0\r\n\r\n",
            ),
        ] {
            let mut out = Vec::new();
            refusal.refuse_into(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
        for refusal in [Refusal::Origin, Refusal::Resource, Refusal::TooLong, Refusal::HttpVersion] {
            let mut out = Vec::new();
            refusal.refuse_into(&mut out);
            assert!(out.starts_with(format!("HTTP/1.1 {} ", refusal.status()).as_bytes()), "{refusal}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(!matches!(read_request(&bytes, &Rules::default()), Ok(Some(_))));
        }

        #[test]
        fn a_request_with_one_byte_changed_is_read_or_refused(at in 0..GOOD.len(), byte: u8) {
            let mut bytes = GOOD.as_bytes().to_vec();
            bytes[at] = byte;
            if let Ok(Some(request)) = read_request(&bytes, &Rules::default()) {
                prop_assert!(request.length <= bytes.len());
            }
        }
    }
}
