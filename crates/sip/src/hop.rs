//! Requests that belong to one hop of another request: ACK to a non-2xx (RFC 3261 section 17.1.1.3) and
//! CANCEL (section 9.1).

use crate::print::{decimal, header_line};
use crate::{CSeqRef, HeaderName, Message, Method, ParseError, Values};

/// Appends the ACK for a reply above 2xx to an INVITE: `invite` is the request as it was sent, with our Via
/// on top; To is that of the reply.
///
/// # Errors
/// What keeps Via, From, To, Call-ID or CSeq from being read.
pub fn ack_into(
    invite: &Message,
    reply: &Message,
    lines: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), ParseError> {
    write(invite, Method::Ack, reply.to()?.text(), lines, out)
}

/// Appends the ACK for a 2xx to an INVITE of our own (RFC 3261 section 13.2.2.4), without a Via: it goes to the Contact of
/// `answer`, along its Record-Route in reverse. `lines` are further header lines.
///
/// # Errors
/// What keeps Contact, From, To, Call-ID, CSeq or Record-Route from being read.
pub fn answer_ack_into(answer: &Message, lines: &[u8], out: &mut Vec<u8>) -> Result<(), ParseError> {
    let contact = answer.contacts().next().ok_or(ParseError::Missing(HeaderName::Contact))??;
    let mut routes = answer.record_routes().collect::<Result<Vec<_>, _>>()?;
    routes.reverse();
    let (from, to) = (answer.from()?.text(), answer.to()?.text());
    let call_id = answer.call_id()?;
    let CSeqRef { number, .. } = answer.cseq()?;
    out.extend_from_slice(b"ACK ");
    out.extend_from_slice(contact.uri_text());
    out.extend_from_slice(b" SIP/2.0\r\n");
    follow(from, to, call_id, number, Method::Ack, out);
    for route in routes {
        header_line(b"Route", route.text(), out);
    }
    out.extend_from_slice(b"Max-Forwards: 70\r\n");
    out.extend_from_slice(lines);
    out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    Ok(())
}

/// Appends the CANCEL for a request: `request` as it was sent, with our Via on top. `lines` are further header lines.
///
/// # Errors
/// What keeps Via, From, To, Call-ID or CSeq from being read.
pub fn cancel_into(request: &Message, lines: &[u8], out: &mut Vec<u8>) -> Result<(), ParseError> {
    write(request, Method::Cancel, request.to()?.text(), lines, out)
}

fn write(
    request: &Message,
    method: Method,
    to: &[u8],
    lines: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), ParseError> {
    let via = request.header(HeaderName::Via).ok_or(ParseError::Missing(HeaderName::Via))?;
    let via = Values::new(via, 1).next().ok_or(ParseError::Via)??.text;
    let from = request.from()?.text();
    let call_id = request.call_id()?;
    let CSeqRef { number, .. } = request.cseq()?;
    let uri = request.ruri()?.text();
    out.extend_from_slice(method.text().as_bytes());
    out.push(b' ');
    out.extend_from_slice(uri);
    out.extend_from_slice(b" SIP/2.0\r\n");
    header_line(b"Via", via, out);
    follow(from, to, call_id, number, method, out);
    for route in request.headers(HeaderName::Route) {
        header_line(b"Route", route.value, out);
    }
    out.extend_from_slice(b"Max-Forwards: 70\r\n");
    out.extend_from_slice(lines);
    out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    Ok(())
}

/// What a request has in common with the one that it follows.
fn follow(from: &[u8], to: &[u8], call_id: &[u8], number: u32, method: Method, out: &mut Vec<u8>) {
    header_line(b"From", from, out);
    header_line(b"Call-ID", call_id, out);
    header_line(b"To", to, out);
    out.extend_from_slice(b"CSeq: ");
    decimal(number, out);
    out.push(b' ');
    out.extend_from_slice(method.text().as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    fn message(text: &str) -> Message {
        Message::parse(text.as_bytes().to_vec(), &Limits::DEFAULT).unwrap()
    }

    const INVITE: &str = "INVITE sip:a@b SIP/2.0\r\n\
        v: SIP/2.0/UDP p;branch=z9hG4bK1, SIP/2.0/UDP c;branch=z9hG4bK2\r\nRoute: <sip:r1;lr>,<sip:r2;lr>\r\n\
        Route: <sip:r3;lr>\r\nf: <sip:c@d>;tag=1\r\nt: <sip:a@b>\r\ni: 1@d\r\nCSeq: 0042 INVITE\r\nContact: <sip:c>\r\nl: 3\r\n\r\nv=0";
    const VIA_AND_FROM: &str = "Via: SIP/2.0/UDP p;branch=z9hG4bK1\r\nFrom: <sip:c@d>;tag=1\r\n";
    const ROUTES: &str = "Route: <sip:r1;lr>,<sip:r2;lr>\r\nRoute: <sip:r3;lr>\r\nMax-Forwards: 70\r\n";

    #[test]
    fn cancel_follows_the_request() {
        let mut out = Vec::new();
        cancel_into(&message(INVITE), b"Reason: SIP\r\n", &mut out).unwrap();
        let expected = format!(
            "CANCEL sip:a@b SIP/2.0\r\n{VIA_AND_FROM}Call-ID: 1@d\r\nTo: <sip:a@b>\r\nCSeq: 42 CANCEL\r\n{ROUTES}Reason: SIP\r\nContent-Length: 0\r\n\r\n"
        );
        assert_eq!(String::from_utf8(out.clone()).unwrap(), expected);
        assert_eq!(Message::parse(out, &Limits::DEFAULT).unwrap().validate(), Ok(()));
    }

    #[test]
    fn ack_has_the_to_of_the_reply() {
        let mut out = Vec::new();
        let reply = message("SIP/2.0 486 Busy\r\nTo: <sip:a@b>;tag=9\r\n\r\n");
        ack_into(&message(INVITE), &reply, b"", &mut out).unwrap();
        let expected = format!(
            "ACK sip:a@b SIP/2.0\r\n{VIA_AND_FROM}Call-ID: 1@d\r\nTo: <sip:a@b>;tag=9\r\nCSeq: 42 ACK\r\n{ROUTES}Content-Length: 0\r\n\r\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn the_ack_of_an_answer_goes_to_its_contact_along_its_routes_in_reverse() {
        let mut out = Vec::new();
        let answer = message(
            "SIP/2.0 200 OK\r\nRecord-Route: <sip:r3;lr>, <sip:r2;lr>\r\nRecord-Route: <sip:r1;lr>\r\n\
             From: <sip:c@d>;tag=1\r\nTo: <sip:a@b>;tag=9\r\nCall-ID: 1@d\r\nCSeq: 42 INVITE\r\n\
             Contact: \"A\" <sip:a@phone;transport=tcp>;q=1\r\n\r\n",
        );
        answer_ack_into(&answer, b"User-Agent: u\r\n", &mut out).unwrap();
        let expected = "ACK sip:a@phone;transport=tcp SIP/2.0\r\nFrom: <sip:c@d>;tag=1\r\nCall-ID: 1@d\r\n\
            To: <sip:a@b>;tag=9\r\nCSeq: 42 ACK\r\nRoute: <sip:r1;lr>\r\nRoute: <sip:r2;lr>\r\nRoute: <sip:r3;lr>\r\n\
            Max-Forwards: 70\r\nUser-Agent: u\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        let without = message("SIP/2.0 200 OK\r\nFrom: <sip:c@d>\r\n\r\n");
        assert_eq!(
            answer_ack_into(&without, b"", &mut Vec::new()),
            Err(ParseError::Missing(HeaderName::Contact))
        );
    }

    #[test]
    fn nothing_is_written_for_what_cannot_be_read() {
        let mut out = Vec::new();
        let broken = message(
            "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP p\r\nTo: <sip:a@b>\r\nFrom: sip:x\r\nCall-ID: 1\r\n\r\n",
        );
        assert_eq!(cancel_into(&broken, b"", &mut out), Err(ParseError::Missing(HeaderName::CSeq)));
        assert!(out.is_empty());
    }
}
