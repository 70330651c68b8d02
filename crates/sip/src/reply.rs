//! Replies made from the request they answer (RFC 3261 section 8.2.6).

use crate::print::{decimal, header_line};
use crate::{HeaderName, Kind, Message, Values, Written};
use std::net::SocketAddr;

/// What a reply is made of. Nothing is written before [`ReplyBuilder::write_into`], which does it in one pass
/// over the request.
///
/// Copied from the request, as they came: every Via, From, To, Call-ID and CSeq; Record-Route if the reply
/// can make a dialog; Timestamp if it is a 100. Max-Forwards, Route and all else are not. A request that is
/// malformed is answered with what it has, so that a 400 can be sent to its sender.
#[derive(Clone, Copy, Debug)]
pub struct ReplyBuilder<'a> {
    request: &'a Message,
    status: u16,
    reason: &'a [u8],
    to_tag: &'a [u8],
    source: Option<(SocketAddr, bool)>,
    lines: &'a [u8],
    server: &'a [u8],
    body: Option<(&'a [u8], &'a [u8])>,
}

impl<'a> ReplyBuilder<'a> {
    /// A reply to this request.
    #[must_use]
    pub fn new(request: &'a Message, status: u16, reason: &'a [u8]) -> Self {
        Self { request, status, reason, to_tag: b"", source: None, lines: b"", server: b"", body: None }
    }

    /// The tag To gets if it has none; a 100 gets none.
    #[must_use]
    pub fn to_tag(mut self, tag: &'a [u8]) -> Self {
        self.to_tag = tag;
        self
    }

    /// Where the request came from: noted in the topmost Via (see
    /// [`ViaRef::write_received`](crate::ViaRef::write_received)).
    #[must_use]
    pub fn source(mut self, source: SocketAddr, force_rport: bool) -> Self {
        self.source = Some((source, force_rport));
        self
    }

    /// Whole header lines to add, each with its line end.
    #[must_use]
    pub fn lines(mut self, lines: &'a [u8]) -> Self {
        self.lines = lines;
        self
    }

    /// The value of Server; left out if empty.
    #[must_use]
    pub fn server(mut self, server: &'a [u8]) -> Self {
        self.server = server;
        self
    }

    /// A body and its Content-Type; an empty one is among the `lines` already, or not wanted.
    #[must_use]
    pub fn body(mut self, content_type: &'a [u8], body: &'a [u8]) -> Self {
        self.body = Some((content_type, body));
        self
    }

    /// Appends the reply.
    pub fn write_into(&self, out: &mut Vec<u8>) {
        let body = self.body.map_or(&b""[..], |(_, body)| body);
        out.reserve(self.request.bytes().len() + self.lines.len() + self.server.len() + body.len() + 128);
        out.extend_from_slice(b"SIP/2.0 ");
        decimal(self.status.into(), out);
        out.push(b' ');
        out.extend_from_slice(self.reason);
        out.extend_from_slice(b"\r\n");
        self.copy_headers(out);
        out.extend_from_slice(self.lines);
        if !self.server.is_empty() {
            header_line(b"Server", self.server, out);
        }
        if let Some((content_type, _)) = self.body.filter(|(content_type, _)| !content_type.is_empty()) {
            header_line(b"Content-Type", content_type, out);
        }
        out.extend_from_slice(b"Content-Length: ");
        decimal(u32::try_from(body.len()).unwrap_or(u32::MAX), out);
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(body);
    }

    fn copy_headers(&self, out: &mut Vec<u8>) {
        let dialog = self.may_make_dialog();
        let mut topmost = true;
        for header in self.request.all_headers() {
            match header.name {
                HeaderName::Via if topmost => {
                    topmost = false;
                    self.copy_topmost_via(header.name_text, header.value, out);
                }
                HeaderName::To => self.copy_to(header.name_text, header.value, out),
                HeaderName::Via | HeaderName::From | HeaderName::CallId | HeaderName::CSeq => {
                    header_line(header.name_text, header.value, out);
                }
                HeaderName::RecordRoute if dialog => header_line(header.name_text, header.value, out),
                HeaderName::Timestamp if self.status == 100 => {
                    header_line(header.name_text, header.value, out);
                }
                _ => {}
            }
        }
    }

    fn copy_topmost_via(&self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        let (Some((source, force_rport)), Ok(via)) = (self.source, self.request.via()) else {
            header_line(name, value, out);
            return;
        };
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        via.write_received(source, force_rport, Written::InResponse, out);
        // Further values of the same header field.
        let first = Values::new(value, 1).next().and_then(Result::ok);
        let end = first.map_or(value.len(), |first| first.start + first.text.len());
        out.extend_from_slice(value.get(end..).unwrap_or_default());
        out.extend_from_slice(b"\r\n");
    }

    fn copy_to(&self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        let wanted = self.status > 100 && !self.to_tag.is_empty();
        if wanted && self.request.to().is_ok_and(|to| to.tag().is_none()) {
            out.extend_from_slice(b";tag=");
            out.extend_from_slice(self.to_tag);
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Whether Record-Route has to go back: in a provisional above 100 or a 2xx to a request that makes a
    /// dialog, and to one inside of a dialog it does no harm (RFC 3261 section 12.1.1).
    fn may_make_dialog(&self) -> bool {
        let forms = matches!(self.request.kind(), Kind::Request { method, .. } if method.forms_dialog());
        forms && (101..300).contains(&self.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    fn request(text: &str) -> Message {
        Message::parse(text.as_bytes().to_vec(), &Limits::DEFAULT).unwrap()
    }

    fn text(reply: &ReplyBuilder<'_>) -> String {
        let mut out = Vec::new();
        reply.write_into(&mut out);
        String::from_utf8(out).unwrap()
    }

    const INVITE: &str = "INVITE sip:a@b SIP/2.0\r\n\
        Via: SIP/2.0/UDP 192.0.2.9;rport;branch=z9hG4bK1 , SIP/2.0/UDP c;branch=z9hG4bK2\r\n\
        v: SIP/2.0/UDP d;branch=z9hG4bK3\r\nRecord-Route: <sip:p;lr>\r\nMax-Forwards: 70\r\nFrom: <sip:c@d>;tag=1\r\n\
        To: <sip:a@b>\r\n ;x=y\r\ni: 1@d\r\nCSeq: 1 INVITE\r\nTimestamp: 54\r\nContent-Length: 3\r\n\r\nv=0";

    #[test]
    fn a_reply_copies_what_it_has_to() {
        let request = request(INVITE);
        let source = "192.0.2.1:5070".parse().unwrap();
        let reply = ReplyBuilder::new(&request, 180, b"Ringing")
            .to_tag(b"t")
            .source(source, false)
            .server(b"x")
            .lines(b"A: b\r\n");
        assert_eq!(
            text(&reply),
            "SIP/2.0 180 Ringing\r\n\
             Via: SIP/2.0/UDP 192.0.2.9;received=192.0.2.1;rport=5070;branch=z9hG4bK1 , SIP/2.0/UDP c;branch=z9hG4bK2\r\n\
             v: SIP/2.0/UDP d;branch=z9hG4bK3\r\nRecord-Route: <sip:p;lr>\r\nFrom: <sip:c@d>;tag=1\r\n\
             To: <sip:a@b>\r\n ;x=y;tag=t\r\ni: 1@d\r\nCSeq: 1 INVITE\r\nA: b\r\nServer: x\r\nContent-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn what_depends_on_the_status() {
        let request = request(INVITE);
        let trying = text(&ReplyBuilder::new(&request, 100, b"Trying").to_tag(b"t"));
        assert!(
            !trying.contains("tag=t") && !trying.contains("Record-Route") && trying.contains("Timestamp: 54")
        );
        let busy =
            text(&ReplyBuilder::new(&request, 486, b"Busy Here").to_tag(b"t").body(b"text/plain", b"no"));
        assert!(busy.contains(";tag=t\r\n") && !busy.contains("Record-Route"));
        assert!(busy.ends_with("Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nno"));
    }

    #[test]
    fn a_tag_that_is_there_stays() {
        let request = request("BYE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP d\r\nTo: sip:a@b;tag=x\r\n\r\n");
        assert!(
            text(&ReplyBuilder::new(&request, 200, b"OK").to_tag(b"t")).contains("To: sip:a@b;tag=x\r\n")
        );
    }

    #[test]
    fn malformed_requests_are_answered_with_what_they_have() {
        let request = request("BYE sip:a@b SIP/2.0\r\nVia: ;;,\r\nTo: \"open\r\nCall-ID: x\r\n\r\n");
        let reply = ReplyBuilder::new(&request, 400, b"Bad Request")
            .to_tag(b"t")
            .source("1.2.3.4:5".parse().unwrap(), true);
        assert_eq!(
            text(&reply),
            "SIP/2.0 400 Bad Request\r\nVia: ;;,\r\nTo: \"open\r\nCall-ID: x\r\nContent-Length: 0\r\n\r\n"
        );
    }
}
