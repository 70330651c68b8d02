//! The handshake of the side that opens a connection (RFC 6455 section 4.1).

use super::{KEY, NONCE, SUBPROTOCOL, Single, accept_of, lists, single};
use httparse::Status;
use thiserror::Error;

/// Bytes of the answer, to the empty line at its end.
const MAX_ANSWER_BYTES: usize = 8_192;

/// Header fields of the answer.
const MAX_HEADERS: usize = 64;

/// What one connection is opened with: writes the request, knows the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    key: [u8; KEY],
}

/// A host, resource or origin that does not fit a line of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("`{0}` of a WebSocket request is empty, or has a space, a control character or other than ASCII")]
pub struct NotWritable(&'static str);

/// Why an answer does not open the connection, which must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// No HTTP/1.1, or a head that breaks its rules.
    #[error("malformed HTTP answer")]
    Malformed,
    /// A head without an end within 8 KiB, or with too many header fields.
    #[error("HTTP answer too long")]
    TooLong,
    /// A status other than 101: the peer refuses.
    #[error("WebSocket refused with HTTP status {0}")]
    Refused(u16),
    /// Upgrade does not name `websocket`, or Connection does not name `Upgrade`.
    #[error("HTTP answer does not upgrade to WebSocket")]
    Upgrade,
    /// Sec-WebSocket-Accept does not prove that the request was read.
    #[error("Sec-WebSocket-Accept does not fit the key")]
    Accept,
    /// A subprotocol other than `sip`, or none.
    #[error("subprotocol sip was not chosen")]
    Protocol,
    /// An extension that was not offered.
    #[error("WebSocket extension that was not offered")]
    Extension,
}

impl Offer {
    /// An offer with this random nonce, to be used for one connection.
    #[must_use]
    pub fn new(nonce: [u8; NONCE]) -> Self {
        let mut key = [0; KEY];
        data_encoding::BASE64.encode_mut(&nonce, &mut key);
        Self { key }
    }

    /// Appends the request. `host` has the port behind it unless it is the default one; `resource` begins with
    /// a slash.
    ///
    /// # Errors
    /// [`NotWritable`] if one of them would break the request; nothing is appended then.
    pub fn request_into(
        &self,
        host: &str,
        resource: &str,
        origin: Option<&str>,
        out: &mut Vec<u8>,
    ) -> Result<(), NotWritable> {
        check("host", host)?;
        check("resource", resource.strip_prefix('/').map_or("", |_| resource))?;
        origin.map_or(Ok(()), |origin| check("origin", origin))?;
        for part in ["GET ", resource, " HTTP/1.1\r\nHost: ", host] {
            out.extend_from_slice(part.as_bytes());
        }
        out.extend_from_slice(b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ");
        out.extend_from_slice(&self.key);
        if let Some(origin) = origin {
            out.extend_from_slice(b"\r\nOrigin: ");
            out.extend_from_slice(origin.as_bytes());
        }
        for part in ["\r\nSec-WebSocket-Protocol: ", SUBPROTOCOL, "\r\nSec-WebSocket-Version: 13\r\n\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        Ok(())
    }

    /// Reads the answer: its length, behind which frames may follow already, or none while it is not all
    /// there.
    ///
    /// # Errors
    /// [`AnswerError`], for a wrong byte or one too many as soon as it is there.
    pub fn read_answer(&self, bytes: &[u8]) -> Result<Option<usize>, AnswerError> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Response::new(&mut headers);
        let window = &bytes[..bytes.len().min(MAX_ANSWER_BYTES)];
        let length = match head.parse(window) {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) if window.len() == MAX_ANSWER_BYTES => return Err(AnswerError::TooLong),
            Ok(Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => return Err(AnswerError::TooLong),
            Err(_) => return Err(AnswerError::Malformed),
        };
        match head.code {
            Some(101) if head.version == Some(1) => {}
            Some(101) | None => return Err(AnswerError::Malformed),
            Some(status) => return Err(AnswerError::Refused(status)),
        }
        self.check_fields(head.headers).map(|()| Some(length))
    }

    fn check_fields(&self, headers: &[httparse::Header<'_>]) -> Result<(), AnswerError> {
        if !lists(headers, "Upgrade", "websocket") || !lists(headers, "Connection", "upgrade") {
            return Err(AnswerError::Upgrade);
        }
        match single(headers, "Sec-WebSocket-Accept") {
            Single::Is(accept) if accept.as_bytes() == accept_of(&self.key) => {}
            _ => return Err(AnswerError::Accept),
        }
        match single(headers, "Sec-WebSocket-Protocol") {
            Single::Is(protocol) if protocol.eq_ignore_ascii_case(SUBPROTOCOL) => {}
            _ => return Err(AnswerError::Protocol),
        }
        match single(headers, "Sec-WebSocket-Extensions") {
            Single::Missing => Ok(()),
            _ => Err(AnswerError::Extension),
        }
    }
}

fn check(name: &'static str, text: &str) -> Result<(), NotWritable> {
    let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { Ok(()) } else { Err(NotWritable(name)) }
}

#[cfg(test)]
mod tests {
    use super::super::{Rules, read_request};
    use super::*;

    const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\n\
        connection: upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
        Sec-WebSocket-Protocol: sip\r\n\r\n";

    fn offer() -> Offer {
        Offer::new(*b"the sample nonce")
    }

    fn read(text: &str) -> Result<Option<usize>, AnswerError> {
        offer().read_answer(text.as_bytes())
    }

    #[test]
    fn both_sides_understand_each_other() {
        let offer = Offer::new([0xa5; 16]);
        let mut request = Vec::new();
        offer.request_into("ws.example.com:81", "/sip", Some("https://example.com"), &mut request).unwrap();
        let rules = Rules { resource: Some("/sip"), require_origin: true };
        let read = read_request(&request, &rules).unwrap().unwrap();
        assert_eq!((read.length, read.host), (request.len(), "ws.example.com:81"));
        let mut answer = Vec::new();
        read.accept_into(&mut answer);
        assert_eq!(offer.read_answer(&answer), Ok(Some(answer.len())));
        assert_eq!(Offer::new([0xa6; 16]).read_answer(&answer), Err(AnswerError::Accept));
    }

    #[test]
    fn rfc_6455_section_1_3_answer() {
        assert_eq!(read(&format!("{ANSWER}\u{1}")), Ok(Some(ANSWER.len())));
        for end in 0..ANSWER.len() {
            assert_eq!(read(&ANSWER[..end]), Ok(None), "{end}");
        }
    }

    #[test]
    fn what_breaks_a_rule_does_not_open_the_connection() {
        for (from, to, expected) in [
            ("101 Switching Protocols", "403 Forbidden", AnswerError::Refused(403)),
            ("101 Switching Protocols", "200 OK", AnswerError::Refused(200)),
            ("HTTP/1.1", "HTTP/1.0", AnswerError::Malformed),
            ("HTTP/1.1", "SIP/2.0", AnswerError::Malformed),
            ("WebSocket", "h2c", AnswerError::Upgrade),
            ("connection", "x", AnswerError::Upgrade),
            ("xOo=", "xOp=", AnswerError::Accept),
            ("Sec-WebSocket-Accept", "X", AnswerError::Accept),
            ("sip", "chat", AnswerError::Protocol),
            ("Sec-WebSocket-Protocol", "X", AnswerError::Protocol),
            ("upgrade:", "Sec-WebSocket-Extensions: x\r\nupgrade:", AnswerError::Extension),
        ] {
            assert!(ANSWER.contains(from), "{from}");
            assert_eq!(read(&ANSWER.replacen(from, to, 1)), Err(expected), "{from} {to}");
        }
        let long = ANSWER.replacen("upgrade:", &format!("X: {}\r\nupgrade:", "x".repeat(9_000)), 1);
        assert_eq!(read(&long), Err(AnswerError::TooLong));
    }

    #[test]
    fn nothing_slips_into_the_request() {
        let mut out = Vec::new();
        for (host, resource, origin, wrong) in [
            ("", "/", None, "host"),
            ("h\r\nX: y", "/", None, "host"),
            ("h", "", None, "resource"),
            ("h", "sip", None, "resource"),
            ("h", "/ HTTP/1.1\r\n", None, "resource"),
            ("h", "/", Some("a b"), "origin"),
            ("h\u{fc}", "/", None, "host"),
        ] {
            assert_eq!(offer().request_into(host, resource, origin, &mut out), Err(NotWritable(wrong)));
            assert!(out.is_empty());
        }
    }
}
