//! Inputs that brought other servers down, each by what it was reported as. None of them may panic, be
//! believed, or grow.

mod bodies;
mod fields;
mod lines;
mod uris;

use std::net::SocketAddr;
use tocsin_sip::{
    Edits, HeaderName, Limits, Message, ParseError, Parts, ReplyBuilder, UriParts, UriRef, ack_into,
    cancel_into, unfold,
};

const GOOD: &str = "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport\r\n\
    Max-Forwards: 70\r\nFrom: \"A\" <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: 1@example.com\r\n\
    CSeq: 1 INVITE\r\nContact: <sip:alice@192.0.2.1>\r\nRoute: <sip:p1;lr>, <sip:p2;lr>\r\nAuthorization: Digest username=\"a\", realm=\"r\"\r\n\
    Content-Type: multipart/mixed;boundary=\"b\"\r\nContent-Length: 26\r\n\r\n--b\r\nA: b\r\n\r\nbody\r\n--b--\r\n";

fn read(text: impl AsRef<[u8]>) -> Message {
    match Message::parse(text.as_ref().to_vec(), &Limits::DEFAULT) {
        Ok(message) => message,
        Err((error, _)) => panic!("{error}"),
    }
}

fn refusal(text: impl AsRef<[u8]>) -> Option<ParseError> {
    Message::parse(text.as_ref().to_vec(), &Limits::DEFAULT).err().map(|(error, _)| error)
}

/// The good request with one piece of it replaced.
fn with(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    GOOD.replacen(from, to, 1)
}

fn rejection(text: impl AsRef<[u8]>) -> Option<ParseError> {
    read(text).validate().err().map(|rejection| rejection.error())
}

/// Asks for everything there is, and writes everything that can be written.
fn touch_all(message: &Message) {
    let _ = (
        message.kind(),
        message.method(),
        message.method_text(),
        message.bytes(),
        message.body(),
        message.defect(),
    );
    if let Ok(uri) = message.ruri() {
        touch_uri(&uri);
    }
    for via in message.vias().chain([message.via()]).flatten() {
        let _ = (via.host_address(), via.received_address(), via.maddr(), via.ttl(), via.rfc3261_branch());
    }
    for name in [
        HeaderName::Contact,
        HeaderName::Route,
        HeaderName::RecordRoute,
        HeaderName::From,
        HeaderName::Diversion,
    ] {
        for address in message.addresses(name).chain([message.from(), message.to()]).flatten() {
            let _ = (
                address.display_plain(),
                address.q(),
                address.expires(),
                address.instance(),
                address.reg_id(),
            );
            if let Ok(uri) = address.uri() {
                touch_uri(&uri);
            }
        }
    }
    for credentials in message.authorization().chain(message.proxy_authorization()).flatten() {
        let _ = (credentials.is_complete(), credentials.username());
    }
    let _ = (
        message.call_id(),
        message.cseq(),
        message.max_forwards(),
        message.expires(),
        message.contact_is_star(),
    );
    touch_parts(message.parts());
    let mut out = Vec::new();
    let mut edits = Edits::new();
    let source = SocketAddr::from(([192, 0, 2, 9], 9));
    edits.replace_request_uri(message, b"sip:x");
    edits.receive(message, source, true);
    edits.decrement_max_forwards(message);
    edits.replace_body(message, Some(b"text/plain"), b"x");
    for header in message.all_headers() {
        let _ = unfold(header.value);
        edits.remove_value(message, header.index, 0);
    }
    message.print_into(&edits, &mut out);
    ReplyBuilder::new(message, 400, b"Bad Request").to_tag(b"t").source(source, true).write_into(&mut out);
    let _ =
        (ack_into(message, message, b"", &mut out), cancel_into(message, b"", &mut out), message.validate());
}

fn touch_uri(uri: &UriRef<'_>) {
    let mut out = Vec::new();
    UriParts::of(uri).print_into(&mut out);
    uri.aor_key_into(&mut out);
    assert!(uri.equivalent(uri));
    let _ = (uri.host_address(), uri.user_plain(), uri.headers().count(), uri.transport());
}

fn touch_parts(parts: Result<Parts<'_>, ParseError>) {
    for part in parts.into_iter().flatten().flatten() {
        let _ = (part.header_by_text(b"x"), part.content_type(), part.body());
        touch_parts(part.parts());
    }
}
