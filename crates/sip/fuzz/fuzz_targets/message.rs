//! Any bytes as a message: every accessor, validation, every edit, the replies and requests made from it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::net::SocketAddr;
use tocsin_sip::{
    Edits, HeaderName, Limits, Message, ParseError, Parts, ReplyBuilder, ack_into, cancel_into, unfold,
    unquote,
};

fuzz_target!(|bytes: &[u8]| {
    let message = match Message::parse(bytes.to_vec(), &Limits::DEFAULT) {
        Ok(message) => message,
        Err((_, buffer)) => {
            assert_eq!(buffer, bytes);
            return;
        }
    };
    ask(&message);
    let valid = message.validate().is_ok();
    print(&message);
    edit(&message, bytes.len(), valid);
    reply(&message, valid);
    assert_eq!(message.into_buffer(), bytes);
});

fn ask(message: &Message) {
    let _ = (message.kind(), message.method(), message.method_text(), message.status(), message.defect());
    let _ = (message.ruri().is_ok(), message.via().is_ok(), message.from().is_ok(), message.to().is_ok());
    let _ = (
        message.call_id(),
        message.cseq(),
        message.max_forwards(),
        message.expires(),
        message.content_length(),
    );
    let _ = message.content_type().map(|kind| kind.map(|kind| (kind.is_multipart(), kind.boundary())));
    assert_eq!(message.vias().next().is_some(), message.header(HeaderName::Via).is_some());
    for (name, count) in
        [(HeaderName::Contact, message.contacts().count()), (HeaderName::Route, message.routes().count())]
    {
        assert!(count <= message.values(name).count());
    }
    let _ = (
        message.record_routes().count(),
        message.contact_is_star(),
        message.lists_token(HeaderName::Supported, b"path"),
    );
    let _ = (message.authorization().count(), message.proxy_authorization().count());
    for header in message.all_headers() {
        assert_eq!(message.header_at(header.index), Some(header));
        let _ = (unfold(header.value), unquote(header.value), message.header_by_text(header.name_text));
    }
    parts(message.parts(), 0);
}

fn parts(parts: Result<Parts<'_>, ParseError>, depth: u8) {
    assert!(parts.is_err() || depth < Limits::DEFAULT.multipart_depth);
    for part in parts.into_iter().flatten().flatten() {
        let _ = (
            part.headers_text(),
            part.body(),
            part.header(HeaderName::ContentId),
            part.content_type().is_ok(),
        );
        self::parts(part.parts(), depth + 1);
    }
}

fn print(message: &Message) {
    let mut out = Vec::new();
    message.print_into(&Edits::new(), &mut out);
    assert_eq!(out, message.bytes());
    if let Ok(again) = Message::parse(out, message.limits()) {
        assert_eq!(again.header_count(), message.header_count());
        assert_eq!(again.body(), message.body());
        assert_eq!(again.validate(), message.validate());
    }
}

fn edit(message: &Message, seed: usize, valid: bool) {
    let mut edits = Edits::new();
    let count = message.header_count().max(1);
    edits.replace_request_uri(message, b"sip:new@example.com");
    edits.replace_status(message, 299, b"New");
    edits.prepend_header(message, b"Via", b"SIP/2.0/UDP new;branch=z9hG4bKnew");
    for step in 0..6 {
        let header = (seed + step * 7) % count;
        match (seed + step) % 6 {
            0 => drop(edits.remove_header(message, header)),
            1 => drop(edits.remove_value(message, header, step % 2)),
            2 => drop(edits.replace_value(message, header, step % 3, b"x")),
            3 => drop(edits.append_to_value(message, header, 0, b";y")),
            4 => drop(edits.insert_after(message, header, b"New: line")),
            _ => drop(edits.replace_header(message, header, b"z")),
        }
    }
    edits.append_header(message, b"Last", b"one");
    let mut out = Vec::new();
    message.print_into(&edits, &mut out);
    if valid {
        let again =
            Message::parse(out.clone(), &Limits { message: u32::MAX, headers: u16::MAX, ..Limits::DEFAULT });
        let again = again.map_err(|(error, _)| error);
        assert!(again.as_ref().is_ok_and(|again| again.header_by_text(b"Last") == Some(b"one")), "{again:?}");
    }
    edits.clear();
    edits.receive(message, SocketAddr::from(([192, 0, 2, 1], 5060)), true);
    edits.decrement_max_forwards(message);
    edits.replace_body(message, Some(b"text/plain"), b"body");
    edits.remove_headers(message, HeaderName::Route);
    out.clear();
    message.print_into(&edits, &mut out);
    if valid
        && let Ok(again) =
            Message::parse(out, &Limits { message: u32::MAX, headers: u16::MAX, ..Limits::DEFAULT })
    {
        assert_eq!(again.body(), b"body");
        assert!(again.header(HeaderName::Route).is_none());
    }
}

fn reply(message: &Message, valid: bool) {
    let mut out = Vec::new();
    let source = SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 5070));
    ReplyBuilder::new(message, 400, b"Bad Request")
        .to_tag(b"tag")
        .source(source, true)
        .lines(b"A: b\r\n")
        .write_into(&mut out);
    if valid && message.is_request() {
        let again = Message::parse(out.clone(), &Limits { message: u32::MAX, ..Limits::DEFAULT })
            .map_err(|(error, _)| error);
        assert!(again.as_ref().is_ok_and(|again| again.validate().is_ok()), "{again:?}");
    }
    out.clear();
    let cancelled = cancel_into(message, b"", &mut out);
    assert!(cancelled.is_err() == out.is_empty());
    let _ = ack_into(message, message, b"", &mut out);
}
