use super::*;
use crate::{Rport, Transport};
use proptest::prelude::*;

fn parse(text: &[u8]) -> Result<Message, ParseError> {
    Message::parse(text.to_vec(), &Limits::DEFAULT).map_err(|(error, buffer)| {
        assert_eq!(buffer, text);
        error
    })
}

fn message(text: &str) -> Message {
    parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

const INVITE: &str = "INVITE sip:bob@biloxi.com SIP/2.0\r\n\
    Via: SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bK776asdhds;rport, SIP/2.0/TCP x\r\n\
    v: SIP/2.0/TLS y\r\nMax-Forwards: 70\r\nTo: Bob <sip:bob@biloxi.com>\r\n\
    From: Alice <sip:alice@atlanta.com>;tag=1928301774\r\nCall-ID: a84b4c76e66710@pc33.atlanta.com\r\n\
    CSeq: 314159 INVITE\r\nContact: <sip:alice@pc33.atlanta.com>, \"x, y\" <sip:z>;q=0.5\r\n\
    Route: <sip:p1;lr>\r\nRoute: <sip:p2;lr> , <sip:p3>\r\nSupported: path, 100rel;x\r\nX-Own : one\r\n\ttwo\r\n\
    x-own: three\r\nExpires: 99999999999\r\nContent-Type: application/sdp\r\nContent-Length: 4\r\n\r\nv=0\n";

#[test]
fn a_message_that_is_kept_gives_its_large_buffer_back() {
    let mut large = Vec::with_capacity(65_535);
    large.extend_from_slice(INVITE.as_bytes());
    let mut kept = Message::parse(large, &Limits::DEFAULT).unwrap();
    assert_eq!(kept.via().unwrap().host(), b"pc33.atlanta.com");
    assert_eq!(kept.fit().map(|buffer| buffer.capacity()), Some(65_535));
    assert_eq!(kept.fit(), None);
    assert_eq!(kept.bytes(), INVITE.as_bytes());
    assert_eq!((kept.via().unwrap().host(), kept.body()), (&b"pc33.atlanta.com"[..], &b"v=0\n"[..]));
    assert_eq!(kept.into_buffer().capacity(), INVITE.len());
}

#[test]
fn what_a_request_says() {
    let message = message(INVITE);
    assert_eq!(message.kind(), Kind::Request { method: Method::Invite, uri: b"sip:bob@biloxi.com" });
    assert_eq!(
        (message.method(), message.method_text(), message.status()),
        (Method::Invite, &b"INVITE"[..], None)
    );
    assert_eq!(message.ruri().unwrap().host(), b"biloxi.com");
    let via = message.via().unwrap();
    assert_eq!((via.host(), via.rport()), (&b"pc33.atlanta.com"[..], Rport::Asked));
    let transports: Vec<_> = message.vias().map(|via| via.unwrap().transport()).collect();
    assert_eq!(transports, [Transport::Udp, Transport::Tcp, Transport::Tls]);
    assert_eq!(message.from().unwrap().tag(), Some(&b"1928301774"[..]));
    assert_eq!(message.from().unwrap().display(), b"Alice");
    assert_eq!(message.to().unwrap().uri().unwrap().user(), Some(&b"bob"[..]));
    assert_eq!(message.call_id(), Ok(&b"a84b4c76e66710@pc33.atlanta.com"[..]));
    assert_eq!(
        message.cseq(),
        Ok(CSeqRef { number: 314_159, method: Method::Invite, method_text: b"INVITE" })
    );
    assert_eq!(message.max_forwards(), Ok(Some(70)));
    assert_eq!(
        message.contacts().map(|contact| contact.unwrap().uri_text().len()).collect::<Vec<_>>(),
        [26, 5]
    );
    assert_eq!(message.routes().filter(|route| route.as_ref().unwrap().uri().unwrap().is_loose()).count(), 2);
    assert_eq!(message.record_routes().count(), 0);
    assert_eq!(message.expires(), Ok(Some(u32::MAX)));
    assert_eq!(message.content_length(), Some(4));
    assert!(message.content_type().unwrap().unwrap().is(b"application", b"sdp"));
    assert_eq!(message.body(), b"v=0\n");
    assert!(
        message.lists_token(HeaderName::Supported, b"PATH")
            && message.lists_token(HeaderName::Supported, b"100rel")
    );
    assert!(!message.lists_token(HeaderName::Supported, b"pat"));
    assert_eq!(message.header_by_text(b"X-OWN"), Some(&b"one\r\n\ttwo"[..]));
    assert_eq!(message.headers_by_text(b"x-own").count(), 2);
    assert_eq!(
        message.header_by_text(b"M").map(<[u8]>::len),
        message.header(HeaderName::Contact).map(<[u8]>::len)
    );
    assert_eq!(message.header_count(), 16);
    assert_eq!(message.validate(), Ok(()));
    assert_eq!(message.bytes(), INVITE.as_bytes());
    assert_eq!(message.into_buffer(), INVITE.as_bytes());
}

#[test]
fn what_was_read_once_stays_the_same() {
    let message = message(INVITE);
    let first = (message.via().unwrap().text().as_ptr(), message.from().unwrap().text().as_ptr());
    let moved = Box::new(message);
    let second = (moved.via().unwrap().text().as_ptr(), moved.from().unwrap().text().as_ptr());
    assert_eq!(first, second);
    assert_eq!(moved.cseq(), moved.clone().cseq());
    assert_eq!(moved.ruri().unwrap().text(), moved.ruri().unwrap().text());
}

/// It waits in futures, and is moved on its way there.
#[test]
fn a_message_can_be_sent_and_is_not_large() {
    fn is_send<T: Send>(_: &T) {}
    is_send(&message(INVITE));
    let size = size_of::<Message>();
    assert!(size <= 768, "{size}");
}

#[test]
fn what_a_reply_says() {
    let reply = message("SIP/2.0 200 All right\r\nCSeq: 7 FOO\r\n\r\n");
    assert_eq!(reply.kind(), Kind::Reply { status: 200, reason: b"All right" });
    assert_eq!((reply.status(), reply.is_request()), (Some(200), false));
    assert_eq!((reply.method(), reply.method_text()), (Method::Other, &b"FOO"[..]));
    assert_eq!(reply.ruri().err(), Some(ParseError::StartLine));
    assert_eq!(message("SIP/2.0 200\r\n\r\n").kind(), Kind::Reply { status: 200, reason: b"" });
    assert_eq!(message("SIP/2.0 200 \r\n\r\n").kind(), Kind::Reply { status: 200, reason: b"" });
    assert_eq!(message("SIP/2.0 200 \r\n\r\n").method(), Method::Other);
}

#[test]
fn start_lines_that_are_none() {
    for (text, error) in [
        ("", ParseError::Empty),
        ("\r\n\r\n", ParseError::Empty),
        (" \t \r\n ", ParseError::Empty),
        ("INVITE", ParseError::StartLine),
        ("INVITE sip:a@b\r\n\r\n", ParseError::StartLine),
        ("INVITE SIP/2.0\r\n\r\n", ParseError::StartLine),
        (" INVITE sip:a@b SIP/2.0\r\n\r\n", ParseError::StartLine),
        ("INV(TE sip:a@b SIP/2.0\r\n\r\n", ParseError::StartLine),
        ("GET / HTTP/1.1\r\n\r\n", ParseError::StartLine),
        ("SIP/2.0\r\n\r\n", ParseError::StartLine),
        ("SIP/3.0 200 OK\r\n\r\n", ParseError::Version),
        ("SIP/2.0 99 Low\r\n\r\n", ParseError::StatusCode),
        ("SIP/2.0 700 High\r\n\r\n", ParseError::StatusCode),
        ("SIP/2.0 0200 OK\r\n\r\n", ParseError::StatusCode),
        ("SIP/2.0 -20 OK\r\n\r\n", ParseError::StatusCode),
        ("SIP/2.0 200OK\r\n\r\n", ParseError::StatusCode),
    ] {
        assert_eq!(parse(text.as_bytes()).err(), Some(error), "{text:?}");
    }
}

#[test]
fn bodies_end_where_content_length_says() {
    let body = |head: &str, rest: &str| {
        let message = message(&format!("MESSAGE sip:a SIP/2.0\r\n{head}\r\n{rest}"));
        (String::from_utf8(message.body().to_vec()).unwrap(), message.defect())
    };
    assert_eq!(body("l: 3\r\n", "abcdef"), ("abc".into(), None));
    assert_eq!(body("", "abcdef"), ("abcdef".into(), None));
    assert_eq!(body("l: 0\r\n", "abcdef"), (String::new(), None));
    assert_eq!(body("l: 7\r\n", "abcdef"), ("abcdef".into(), Some(ParseError::Truncated)));
    assert_eq!(body("l: 3\r\nContent-Length: 03\r\n", "abcdef"), ("abc".into(), None));
    assert_eq!(
        body("no colon\r\nl: 3\r\nl: 4\r\nl: 5\r\n", "abcdef"),
        ("abcdef".into(), Some(ParseError::HeaderLine))
    );
    assert_eq!(
        body("l: 3\r\nContent-Length: 4\r\n", "abcdef"),
        ("abcdef".into(), Some(ParseError::ContentLengthConflict))
    );
    for bad in ["-1", "3x", "", "4294967299", "18446744073709551619", "65536", "+3", "3, 3"] {
        assert_eq!(
            body(&format!("l: {bad}\r\n"), "abcdef"),
            ("abcdef".into(), Some(ParseError::ContentLength)),
            "{bad}"
        );
    }
}

#[test]
fn a_message_needs_its_empty_line() {
    let defect = |text: &str| {
        let message = message(text);
        assert_eq!(message.body(), b"");
        message.defect()
    };
    assert_eq!(defect("OPTIONS sip:a SIP/2.0\r\nl: 0\r\n\r\n"), None);
    for cut in ["\r\nl: 0\r\n", "\r\nl: 0", "\r\nl: 0\r", "\r\nl: 9\r\n", "\r\nl", "\r\n", ""] {
        let defect = defect(&format!("OPTIONS sip:a SIP/2.0{cut}"));
        assert!(matches!(defect, Some(ParseError::Unterminated | ParseError::BareCarriageReturn)), "{cut:?}");
    }
}

#[test]
fn line_feeds_alone_end_lines() {
    let message = message(&INVITE.replace("\r\n", "\n"));
    assert_eq!((message.validate(), message.header_count(), message.body()), (Ok(()), 16, &b"v=0\n"[..]));
}

#[test]
fn limits_have_their_own_errors() {
    let head = "OPTIONS sip:a SIP/2.0\r\n";
    let limited = |text: String, limits: Limits| {
        Message::parse(text.into_bytes(), &limits).err().map(|(error, _)| error)
    };
    let few =
        Limits { headers: 2, vias: 1, header_name: 4, header_value: 10, message: 60, ..Limits::DEFAULT };
    assert_eq!(limited(format!("{head}A: b\r\nC: d\r\n\r\n"), few), None);
    assert_eq!(limited(format!("{head}A: b\r\nC: d\r\nE: f\r\n\r\n"), few), Some(ParseError::TooManyHeaders));
    assert_eq!(limited(format!("{head}v: b\r\nv: d\r\n\r\n"), few), Some(ParseError::TooManyVias));
    assert_eq!(limited(format!("{head}Abcde: b\r\n\r\n"), few), Some(ParseError::HeaderNameTooLong));
    assert_eq!(limited(format!("{head}A: bcdefghijk\r\n\r\n"), few), Some(ParseError::HeaderValueTooLong));
    assert_eq!(limited(format!("{head}\r\n{}", "x".repeat(50)), few), Some(ParseError::MessageTooLong));
    assert_eq!((ParseError::TooManyHeaders.limit(), ParseError::Via.limit()), (Some("headers"), None));
    let lists = Limits { values: 2, vias: 2, ..Limits::DEFAULT };
    let text =
        format!("{head}v: SIP/2.0/UDP a\r\nv: SIP/2.0/UDP b\r\nRoute: <sip:a>,<sip:b>,<sip:c>\r\n\r\n");
    let message = Message::parse(text.into_bytes(), &lists).unwrap();
    assert_eq!(message.routes().last().unwrap().err(), Some(ParseError::TooManyValues));
    assert_eq!(message.vias().filter(Result::is_ok).count(), 2);
    let text = format!("{head}v: SIP/2.0/UDP a,SIP/2.0/UDP a\r\nv: SIP/2.0/UDP b\r\n\r\n");
    let message = Message::parse(text.into_bytes(), &lists).unwrap();
    assert_eq!(message.vias().last().unwrap().err(), Some(ParseError::TooManyVias));
}

#[test]
fn validation_says_what_to_answer() {
    let good = "OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFrom: sip:a\r\nTo: sip:b\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\r\n";
    assert_eq!(message(good).validate(), Ok(()));
    let answer = |text: String| match message(&text).validate() {
        Err(Rejection::Answer { status, reason, error }) => (status, reason, error),
        other => panic!("{text}: {other:?}"),
    };
    for (line, name) in [
        ("Via: SIP/2.0/UDP h\r\n", HeaderName::Via),
        ("From: sip:a\r\n", HeaderName::From),
        ("To: sip:b\r\n", HeaderName::To),
        ("Call-ID: 1\r\n", HeaderName::CallId),
        ("CSeq: 1 OPTIONS\r\n", HeaderName::CSeq),
    ] {
        let (status, reason, error) = answer(good.replace(line, ""));
        assert_eq!((status, error), (400, ParseError::Missing(name)));
        assert_eq!(reason, format!("Missing {name} Header Field"));
        if name != HeaderName::Via {
            assert_eq!(answer(good.replace(line, &line.repeat(2))).2, ParseError::Duplicate(name));
        }
    }
    let long = format!("sip:{}", "a".repeat(2000));
    assert_eq!(answer(good.replacen("sip:a", &long, 1)).0, 414);
    assert_eq!(answer(good.replace("From: sip:a", &format!("From: {long}"))).0, 400);
    assert_eq!(answer(good.replace("SIP/2.0\r\nVia", "SIP/2.1\r\nVia")).0, 505);
    assert_eq!(answer(good.replace("CSeq", "Max-Forwards: 256\r\nCSeq")).2, ParseError::MaxForwards);
    assert_eq!(answer(good.replace("CSeq: 1 OPTIONS", "CSeq: 1 INVITE")).2, ParseError::CSeqMethod);
    assert_eq!(answer(good.replace("Call-ID: 1", "Call-ID: 1 2")).2, ParseError::CallId);
    let ack = good.replace("OPTIONS", "ACK").replace("From: sip:a\r\n", "");
    assert_eq!(
        message(&ack).validate(),
        Err(Rejection::Drop { error: ParseError::Missing(HeaderName::From) })
    );
    let reply =
        message("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h\r\nFrom: sip:a\r\nTo: sip:b\r\nCall-ID: 1\r\n\r\n");
    assert_eq!(reply.validate(), Err(Rejection::Drop { error: ParseError::Missing(HeaderName::CSeq) }));
}

#[test]
fn a_star_is_no_address() {
    let star = message("REGISTER sip:a SIP/2.0\r\nm: *\r\n\r\n");
    assert!(star.contact_is_star());
    assert_eq!(star.contacts().count(), 0);
    assert!(!message(INVITE).contact_is_star());
}

/// Every accessor: for the properties below, that none of them panics.
fn touch(message: &Message) {
    let _ = (message.kind(), message.method_text(), message.ruri().map(|uri| uri.params().count()));
    let _ = (message.via().map(|via| via.params().count()), message.from().map(|from| from.uri().is_ok()));
    let _ =
        (message.to().is_ok(), message.call_id(), message.cseq(), message.max_forwards(), message.expires());
    let _ = (
        message.vias().count(),
        message.contacts().count(),
        message.routes().count(),
        message.contact_is_star(),
    );
    let _ = (message.authorization().count(), message.proxy_authorization().count(), message.validate());
    let _ = message.parts().map(|parts| parts.flatten().filter(|part| part.content_type().is_ok()).count());
    for header in message.all_headers() {
        assert_eq!(message.header_at(header.index), Some(header));
        assert!(
            message.headers_by_text(header.name_text).any(|same| same == header)
                || header.name_text.is_empty()
        );
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_given_back(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(message) = parse(&bytes) {
            touch(&message);
        }
    }

    #[test]
    fn a_message_without_edits_is_printed_as_it_came(
        headers in proptest::collection::vec("[A-Za-z-]{1,12} {0,2}:[ -~]{0,20}(\r\n [ -~]{0,9})?", 0..9),
        body in proptest::collection::vec(any::<u8>(), 0..40),
        method in "[A-Z]{1,9}", uri in "[!-~]{1,20}",
    ) {
        let mut text = format!("{method} {uri} SIP/2.0\r\n").into_bytes();
        for header in &headers {
            text.extend_from_slice(header.as_bytes());
            text.extend_from_slice(b"\r\n");
        }
        text.extend_from_slice(b"\r\n");
        text.extend_from_slice(&body);
        let message = parse(&text).unwrap();
        touch(&message);
        let mut out = Vec::new();
        message.print_into(&Edits::new(), &mut out);
        if message.content_length().is_none() {
            prop_assert_eq!(&out, &text);
        }
        prop_assert_eq!(&out, message.bytes());
        prop_assert_eq!(message.header_count(), headers.len());
    }

    #[test]
    fn a_mutated_message_never_panics(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_usize..4), 1..12),
        cut in any::<prop::sample::Index>(), shorten in any::<bool>(),
    ) {
        let mut bytes = INVITE.as_bytes().to_vec();
        for (at, byte, kind) in changes {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => bytes[at] = b" \r\n\t:;,<>\"\\@%="[usize::from(byte) % 14],
                _ => { bytes.remove(at); }
            }
        }
        if shorten {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(message) = parse(&bytes) {
            touch(&message);
            let mut out = Vec::new();
            message.print_into(&Edits::new(), &mut out);
            prop_assert_eq!(&out, message.bytes());
        }
    }
}
