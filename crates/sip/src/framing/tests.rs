use super::*;
use crate::Message;
use proptest::prelude::*;

const OPTIONS: &str = "OPTIONS sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\n\
    Call-ID: 1\r\nContent-Length: 4\r\n\r\nbody";

fn limits(message: u32) -> Limits {
    Limits { message, ..Limits::DEFAULT }
}

fn of(bytes: impl AsRef<[u8]>) -> Result<Frame, Unframable> {
    frame(bytes.as_ref(), &Limits::DEFAULT)
}

/// A request with these header lines and body.
fn request(headers: &str, body: &str) -> String {
    format!("MESSAGE sip:bob@example.com SIP/2.0\r\n{headers}\r\n{body}")
}

/// The frames of a stream that arrives in pieces of these lengths, and what stopped it, if anything did.
fn cut(stream: &[u8], pieces: &[usize], limits: &Limits) -> (Vec<Frame>, Option<Unframable>) {
    let mut framer = Framer::new(limits);
    let (mut frames, mut begin, mut arrived) = (Vec::new(), 0, 0);
    let mut pieces = pieces.iter().copied();
    while arrived < stream.len() {
        arrived = (arrived + pieces.next().unwrap_or(stream.len()).max(1)).min(stream.len());
        loop {
            let frame = match framer.frame(&stream[begin..arrived]) {
                Ok(frame) => frame,
                Err(error) => return (frames, Some(error)),
            };
            let length = match frame {
                Frame::Incomplete => break,
                Frame::Ping { length } | Frame::Pong { length } | Frame::Message { length } => length,
            };
            assert!((1..=arrived - begin).contains(&length));
            frames.push(frame);
            begin += length;
        }
    }
    (frames, None)
}

#[test]
fn section_18_3_content_length_ends_a_message() {
    assert_eq!(of(OPTIONS), Ok(Frame::Message { length: OPTIONS.len() }));
    assert_eq!(of(format!("{OPTIONS}{OPTIONS}")), Ok(Frame::Message { length: OPTIONS.len() }));
    for end in 0..OPTIONS.len() {
        assert_eq!(of(&OPTIONS[..end]), Ok(Frame::Incomplete), "{end}");
    }
    let reply = "sip/2.0 200 OK\r\nl: 0\r\n\r\n";
    assert_eq!(of(reply), Ok(Frame::Message { length: reply.len() }));
}

#[test]
fn content_length_is_found_as_the_parser_finds_it() {
    for header in [
        "Content-Length: 4\r\n",
        "CONTENT-LENGTH:4\r\n",
        "content-length \t:  4 \t\r\n",
        "l:4\r\n",
        "L : 4\r\n",
        "Content-Length:\r\n 4\r\n",
        "l\r\n :\r\n\t4\r\n \r\n",
        "l: 4\r\nContent-Length: 04\r\n",
        "Call-ID: folded\r\n over\r\n lines\r\nl: 4\r\nCSeq: 1 MESSAGE\r\n",
        "Subject: x\r\n l: 7\r\nl: 4\r\n",
        " l: 7\r\nl: 4\r\n",
        "c: text/plain\r\nContact: <sip:l: 7>\r\nl: 4\r\n",
    ] {
        let text = request(header, "bodyMore");
        assert_eq!(of(&text), Ok(Frame::Message { length: text.len() - 4 }), "{header:?}");
        let message = Message::parse(text.into_bytes(), &Limits::DEFAULT).unwrap();
        assert_eq!(message.body(), b"body", "{header:?}");
    }
}

#[test]
fn content_length_that_is_none_is_refused() {
    for (header, error) in [
        ("", Unframable::NoLength),
        ("Content-Length 4\r\n", Unframable::NoLength),
        ("Subject: x\r\n Content-Length: 4\r\n", Unframable::NoLength),
        ("X-Content-Length: 4\r\n", Unframable::NoLength),
        ("Content-Length: \r\n", Unframable::Length),
        ("Content-Length: -1\r\n", Unframable::Length),
        ("Content-Length: +4\r\n", Unframable::Length),
        ("Content-Length: 0x4\r\n", Unframable::Length),
        ("Content-Length: 4;x\r\n", Unframable::Length),
        ("Content-Length: 4, 4\r\n", Unframable::Length),
        ("Content-Length: 4\r\n 4\r\n", Unframable::Length),
        ("Content-Length: 4\r\nl: five\r\n", Unframable::Length),
        ("Content-Length: 4\r\nl: 5\r\n", Unframable::LengthConflict),
        ("Content-Length: 5\r\nSubject: x\r\nContent-Length: 4\r\n", Unframable::LengthConflict),
    ] {
        assert_eq!(of(request(header, "body")), Err(error), "{header:?}");
    }
}

#[test]
fn cve_2026_23457_content_length_does_not_wrap() {
    for length in ["4294967328", "18446744073709551648", "99999999999999999999999", "2147483647", "65536"] {
        let text = request(&format!("Content-Length: {length}\r\n"), &"b".repeat(32));
        assert_eq!(of(text), Err(Unframable::MessageTooLong), "{length}");
    }
}

#[test]
fn a_message_may_reach_its_limit_and_not_pass_it() {
    let head = request("Content-Length: 00004\r\n", "");
    let whole = limits(u32::try_from(head.len()).unwrap() + 4);
    assert_eq!(
        frame(format!("{head}body").as_bytes(), &whole),
        Ok(Frame::Message { length: head.len() + 4 })
    );
    let less = limits(whole.message - 1);
    assert_eq!(frame(head.as_bytes(), &less), Err(Unframable::MessageTooLong));
    let head_only = limits(u32::try_from(head.len()).unwrap());
    assert_eq!(frame(head.as_bytes(), &head_only), Err(Unframable::MessageTooLong));
    let less = limits(head_only.message - 1);
    assert_eq!(frame(head.as_bytes(), &less), Err(Unframable::HeadTooLong));
}

#[test]
fn header_fields_without_an_end_are_refused_at_the_limit() {
    for filler in ["X: y\r\n", "x", "X: y\r\n folded\r\n"] {
        let mut text = request("", "");
        text.truncate(text.len() - 2);
        while text.len() < 65_535 {
            text.push_str(filler);
        }
        assert_eq!(of(&text[..65_534]), Ok(Frame::Incomplete), "{filler:?}");
        assert_eq!(of(&text[..65_535]), Err(Unframable::HeadTooLong), "{filler:?}");
    }
}

#[test]
fn rfc_5626_keep_alives() {
    for start in ["", "\r", "\r\n", "\r\n\r"] {
        assert_eq!(of(start), Ok(Frame::Incomplete), "{start:?}");
        assert!(is_between_messages(start.as_bytes()));
    }
    assert_eq!(of("\r\n\r\n"), Ok(Frame::Ping { length: 4 }));
    assert_eq!(of("\r\n\r\nOPTIONS"), Ok(Frame::Ping { length: 4 }));
    assert_eq!(of("\r\nOPTIONS"), Ok(Frame::Pong { length: 2 }));
    assert_eq!(of("\r\n\n"), Ok(Frame::Pong { length: 2 }));
    assert_eq!(of("\n"), Ok(Frame::Pong { length: 1 }));
    assert_eq!(of("\r\n\rx"), Ok(Frame::Pong { length: 2 }));
    assert_eq!(of("\rx"), Err(Unframable::Binary));
    assert!(!is_between_messages(b"\r\nO"));
}

#[test]
fn what_is_not_sip_is_named() {
    for (bytes, error) in [
        (&b"\x16"[..], Unframable::Tls),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Unframable::Tls),
        (b"GET / HTTP/1.1\r\n", Unframable::Http),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Unframable::Http),
        (b"HTTP/1.1 400 Bad Request\r\n", Unframable::Http),
        (b"\0", Unframable::Binary),
        (b"\xff\xfeI\0N\0", Unframable::Binary),
        (b"INV\x01", Unframable::Binary),
        (b"INVITE sip:\0", Unframable::Binary),
        (b"INVITE sip:a\rSIP/2.0", Unframable::Binary),
        (b"\x80\x2e\x01", Unframable::Binary),
        (b"garbage\r\n", Unframable::StartLine),
        (b"garbage\n", Unframable::StartLine),
        (b"this is garbage\r\n\r\n", Unframable::StartLine),
        (b"{\"jsonrpc\"", Unframable::StartLine),
        (b"<?xml", Unframable::StartLine),
        (b" INVITE", Unframable::StartLine),
        (b"v=0\r\n", Unframable::StartLine),
        (b"DESCRIBE rtsp://h RTSP/1.0\r\n", Unframable::StartLine),
        (b"INVITE sip:a\r\n", Unframable::StartLine),
        (b"this is garbage\n", Unframable::BareLineFeed),
        (b"INVITE sip:a SIP/2.0\n", Unframable::BareLineFeed),
        (b"INVITE sip:a SIP/2.0\r\nl: 0\n", Unframable::BareLineFeed),
        (b"INVITE sip:a SIP/2.0\r\n\n", Unframable::BareLineFeed),
    ] {
        assert_eq!(of(bytes), Err(error), "{:?}", bytes.escape_ascii().to_string());
    }
}

#[test]
fn a_start_line_without_an_end_is_refused_at_its_limit() {
    let method = "M".repeat(129);
    assert_eq!(of(&method[..128]), Ok(Frame::Incomplete));
    assert_eq!(of(&method), Err(Unframable::StartLine));
    assert_eq!(of(format!("{} sip:a", &method[..128])), Ok(Frame::Incomplete));
    let line = format!("INVITE sip:{}", "a".repeat(MAX_START_LINE_BYTES));
    assert_eq!(of(&line[..MAX_START_LINE_BYTES - 1]), Ok(Frame::Incomplete));
    assert_eq!(of(&line[..MAX_START_LINE_BYTES]), Err(Unframable::StartLineTooLong));
    let fits = format!("INVITE sip:{} SIP/2.0\r\n", "a".repeat(MAX_START_LINE_BYTES - 21));
    assert_eq!(fits.len(), MAX_START_LINE_BYTES);
    assert_eq!(of(&fits), Ok(Frame::Incomplete));
    assert_eq!(of(fits.replacen("sip:", "sip:a", 1)), Err(Unframable::StartLineTooLong));
}

#[test]
fn what_only_the_parser_can_refuse_is_framed_to_be_answered() {
    for start in [
        "INVITE sip:a SIP/7.0",
        "INVITE <sip:a> SIP/2.0",
        "INVITE  sip:a; lr  SIP/2.0  ",
        "SIP/2.0 4294967301 better",
        "SIP/2.0 200",
        "SIP/2.0 200 \u{43e}\u{43a}",
        "!interesting-Method0123456789_*+`.%indeed'~ sip:a SIP/2.0",
    ] {
        let text = format!("{start}\r\nl: 0\r\nno colon\r\n\r\n");
        assert_eq!(of(&text), Ok(Frame::Message { length: text.len() }), "{start}");
    }
}

#[test]
fn a_bare_carriage_return_hides_no_length() {
    for (headers, body) in [
        // A parser that ends a line there reads the first of the two lengths, others the second.
        ("X: a\rContent-Length: 300\r\nContent-Length: 0\r\n", ""),
        ("Content-Length: 0\r\nX: a\rContent-Length: 300\r\n", ""),
        ("X: a\r b\r\nl: 0\r\n", ""),
        ("X: a\r\r\nl: 0\r\n", ""),
        ("X: a\r\n b\rl: 3\r\nl: 0\r\n", ""),
        ("X: a\r\n\rl: 3\r\nl: 0\r\n", ""),
        ("\rl: 3\r\nl: 0\r\n", ""),
        ("l\r: 3\r\n", "abc"),
        ("l: 3\r\nX: a\r", "\r\nabc"),
        ("l: 3\r\n\r", "abc"),
    ] {
        let text = request(headers, body);
        let bare = Unframable::BareCarriageReturn;
        assert_eq!(of(&text), Err(bare), "{headers:?}");
        for at in 1..text.len() {
            // A segment may end anywhere, between CR and what follows it as well.
            assert_eq!(
                cut(text.as_bytes(), &[at], &Limits::DEFAULT),
                (vec![], Some(bare)),
                "{headers:?} {at}"
            );
        }
    }
}

#[test]
fn carriage_returns_of_a_body_are_its_own() {
    let text = request("l: 4\r\n", "\r\ra\r");
    assert_eq!(of(&text), Ok(Frame::Message { length: text.len() }));
}

#[test]
fn a_carriage_return_at_the_end_of_a_segment_waits() {
    let text = request("X: a\r", "");
    assert_eq!(of(&text[..text.len() - 2]), Ok(Frame::Incomplete));
}

#[test]
fn the_length_of_a_message_is_known_with_its_head() {
    let mut framer = Framer::new(&Limits::DEFAULT);
    let head = OPTIONS.len() - 4;
    assert_eq!(framer.frame(&OPTIONS.as_bytes()[..head - 1]), Ok(Frame::Incomplete));
    assert_eq!(framer.expected(), None);
    assert_eq!(framer.frame(&OPTIONS.as_bytes()[..head]), Ok(Frame::Incomplete));
    assert_eq!(framer.expected(), Some(OPTIONS.len()));
    assert_eq!(framer.frame(OPTIONS.as_bytes()), Ok(Frame::Message { length: OPTIONS.len() }));
    assert_eq!(framer, Framer::new(&Limits::DEFAULT));
}

#[test]
fn no_byte_is_searched_twice_when_bytes_come_one_by_one() {
    let folded = "Subject: a\r\n b\r\n".repeat(20);
    let text = request(&format!("{folded}{}l: 0\r\n", "x".repeat(3_000)), "");
    let mut framer = Framer::new(&Limits::DEFAULT);
    let mut before = 0;
    for end in 1..text.len() {
        assert_eq!(framer.frame(&text.as_bytes()[..end]), Ok(Frame::Incomplete));
        // One byte may be looked at again: a CR, or the line feed before what may be a fold.
        assert!(framer.searched >= before && framer.searched + 2 >= end, "{} {end}", framer.searched);
        before = framer.searched;
    }
}

#[test]
fn fewer_bytes_than_before_are_incomplete() {
    for before in [20, 60, OPTIONS.len() - 1] {
        let mut framer = Framer::new(&Limits::DEFAULT);
        assert_eq!(framer.frame(&OPTIONS.as_bytes()[..before]), Ok(Frame::Incomplete));
        assert_eq!(framer.frame(b"OPTI"), Ok(Frame::Incomplete), "{before}");
    }
}

/// Pieces a stream may be made of: right ones, wrong ones, and halves.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => (0_usize..40, any::<bool>()).prop_map(|(body, compact)| {
            let name = if compact { "l" } else { "Content-Length" };
            request(&format!("Call-ID: 1\r\n{name}:\r\n {body}\r\n"), &"\r\n".repeat(20)[..body]).into_bytes()
        }),
        4 => Just(b"\r\n\r\n".to_vec()),
        2 => Just(b"\r\n".to_vec()),
        1 => Just(b"INVITE sip:a SIP/2.0\r\nl: 3\r\nl: 4\r\n\r\n".to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..8),
    ]
}

proptest! {
    #[test]
    fn any_split_of_a_stream_gives_the_same_frames(
        stream in proptest::collection::vec(piece(), 0..8).prop_map(|pieces| pieces.concat()),
        pieces in proptest::collection::vec(1_usize..30, 0..200),
        longest in prop_oneof![Just(65_535_u32), 60_u32..140],
    ) {
        let limits = limits(longest);
        let whole = cut(&stream, &[], &limits);
        let single = vec![1; stream.len()];
        prop_assert_eq!(cut(&stream, &pieces, &limits), whole.clone());
        prop_assert_eq!(cut(&stream, &single, &limits), whole);
    }

    #[test]
    fn the_parser_sees_the_same_end(
        lines in proptest::collection::vec(
            prop_oneof![
                Just("l: 3\r\n"), Just("L\r\n :3\r\n"), Just("Content-Length: 3 \r\n"), Just(" folded: 1\r\n"),
                Just("\tl: 9\r\n"), Just("x\r\n"), Just("\rl: 9\r\n"), Just("l\r: 9\r\n"), Just("X: y\r\r\n"), Just(":\r\n"),
                Just("Content-Length\t:\t3\r\n"), Just("lx: 9\r\n"), Just("\r\r\n"), Just("l;: 9\r\n"),
            ],
            0..8,
        ),
    ) {
        let text = request(&lines.concat(), "abcNEXT");
        if let Ok(Frame::Message { length }) = of(&text) {
            prop_assert_eq!(&text[length..], "NEXT");
            let message = Message::parse(text.into_bytes(), &Limits::DEFAULT);
            let message = message.map_err(|(error, _)| error).unwrap();
            prop_assert_eq!(message.body(), b"abc");
        }
    }
}
