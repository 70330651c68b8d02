use super::super::{write_close, write_message, write_ping, write_pong};
use super::*;
use proptest::prelude::*;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const LONGEST: usize = 70_000;

/// A frame with this first byte.
fn frame(first: u8, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let mut out = Vec::new();
    write_message(&mut out, payload, key);
    out[0] = first;
    out
}

/// What a server reads in a frame of a client.
fn read(bytes: &[u8]) -> Result<Decoded, Violation> {
    Decoder::new(Sender::Client, LONGEST).decode(&mut bytes.to_vec())
}

/// What the last of several masked frames gives, none of which is incomplete.
fn last(frames: &[(u8, &[u8])]) -> Result<Event, Violation> {
    let mut decoder = Decoder::new(Sender::Client, LONGEST);
    let mut event = Ok(Event::Fragment);
    for (first, payload) in frames {
        match decoder.decode(&mut frame(*first, payload, Some(KEY)))? {
            Decoded::Frame { event: decoded, .. } => event = Ok(decoded),
            Decoded::Incomplete { .. } => panic!("incomplete"),
        }
    }
    event
}

/// The events of a stream that arrives in pieces of these lengths, their bytes, and the violation at its end.
fn decode(stream: &[u8], pieces: &[usize], sender: Sender) -> (Vec<(Event, Vec<u8>)>, Option<Violation>) {
    let mut decoder = Decoder::new(sender, LONGEST);
    let (mut bytes, mut events, mut arrived) = (Vec::new(), Vec::new(), 0);
    let mut pieces = pieces.iter().copied();
    while arrived < stream.len() {
        let more = pieces.next().unwrap_or(stream.len()).clamp(1, stream.len() - arrived);
        bytes.extend_from_slice(&stream[arrived..arrived + more]);
        arrived += more;
        loop {
            let before = bytes.len();
            let (length, event) = match decoder.decode(&mut bytes) {
                Ok(Decoded::Incomplete { needed }) => {
                    assert!(needed > before);
                    break;
                }
                Ok(Decoded::Frame { length, event }) => (length, event),
                Err(violation) => return (events, Some(violation)),
            };
            let text = match &event {
                Event::Message(payload) => payload.of(&bytes).to_vec(),
                Event::Ping(place) | Event::Pong(place) => bytes[place.clone()].to_vec(),
                Event::Close { reason, .. } => bytes[reason.clone()].to_vec(),
                Event::Fragment => Vec::new(),
            };
            events.push((event, text));
            bytes.drain(..length);
        }
    }
    (events, None)
}

#[test]
fn rfc_6455_section_5_7_examples() {
    let mut bytes = *b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    let decoded = Decoder::new(Sender::Client, 5).decode(&mut bytes);
    let event = Event::Message(Payload::InPlace(6..11));
    assert_eq!(decoded, Ok(Decoded::Frame { length: 11, event }));
    assert_eq!(&bytes[6..11], b"Hello");

    let mut decoder = Decoder::new(Sender::Server, 5);
    let event = Event::Message(Payload::InPlace(2..7));
    assert_eq!(decoder.decode(&mut b"\x81\x05Hello"[..].to_vec()), Ok(Decoded::Frame { length: 7, event }));
    let event = Event::Fragment;
    assert_eq!(decoder.decode(&mut b"\x01\x03Hel"[..].to_vec()), Ok(Decoded::Frame { length: 5, event }));
    assert!(!decoder.is_between_messages());
    let event = Event::Ping(2..7);
    assert_eq!(decoder.decode(&mut b"\x89\x05Hello"[..].to_vec()), Ok(Decoded::Frame { length: 7, event }));
    let event = Event::Message(Payload::Joined(b"Hello".to_vec()));
    assert_eq!(decoder.decode(&mut b"\x80\x02lo"[..].to_vec()), Ok(Decoded::Frame { length: 4, event }));
    assert!(decoder.is_between_messages());
}

#[test]
fn part_of_a_frame_is_left_as_it_is() {
    for length in [0, 5, 125, 126, 65_535, 65_536] {
        let whole = frame(0x82, &vec![b'x'; length], Some(KEY));
        let head = whole.len() - length;
        for end in (0..head + 1).chain([whole.len() - 1]).filter(|&end| end < whole.len()) {
            let mut bytes = whole[..end].to_vec();
            let needed = if end < 2 {
                2
            } else if end < head {
                head
            } else {
                whole.len()
            };
            let decoded = Decoder::new(Sender::Client, LONGEST).decode(&mut bytes);
            assert_eq!(decoded, Ok(Decoded::Incomplete { needed }), "{length} {end}");
            assert_eq!(bytes, whole[..end]);
        }
    }
}

#[test]
fn section_5_violations_show_in_the_head() {
    for (bytes, expected) in [
        (&b"\xc1\x80"[..], Violation::Reserved),
        (b"\xa1\x80", Violation::Reserved),
        (b"\x91\x80", Violation::Reserved),
        (b"\x83\x80", Violation::Opcode),
        (b"\x87\x80", Violation::Opcode),
        (b"\x8b\x80", Violation::Opcode),
        (b"\x8f\x80", Violation::Opcode),
        (b"\x81\x05", Violation::Unmasked),
        (b"\x89\xfe", Violation::Control),
        (b"\x88\xff", Violation::Control),
        (b"\x09\x80", Violation::Control),
        (b"\x08\x80", Violation::Control),
        (b"\x81\xfe\x00\x7d", Violation::Length),
        (b"\x81\xff\0\0\0\0\0\0\xff\xff", Violation::Length),
        (b"\x81\xff\x80\0\0\0\0\0\0\x05", Violation::Length),
        (b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff", Violation::Length),
        (b"OPTIONS sip:a SIP/2.0\r\n", Violation::Opcode),
        (b"GET / HTTP/1.1\r\n", Violation::Opcode),
    ] {
        assert_eq!(read(bytes), Err(expected), "{:?}", bytes.escape_ascii().to_string());
        assert_eq!(expected.close_code(), 1002);
    }
    let mut client = Decoder::new(Sender::Server, LONGEST);
    assert_eq!(client.decode(&mut [0x81, 0x85]), Err(Violation::Masked));
}

#[test]
fn lengths_never_overflow() {
    for (length, expected) in [
        (0x7fff_ffff_ffff_ffff_u64, Violation::TooLong),
        (0x7fff_ffff_ffff_fff0, Violation::TooLong),
        (0x1_0000_0000 + 32, Violation::TooLong),
        (70_001, Violation::TooLong),
    ] {
        let bytes = [&b"\x81\xff"[..], &length.to_be_bytes(), &KEY].concat();
        assert_eq!(read(&bytes), Err(expected), "{length}");
        // A continuation adds to what is kept already.
        let mut decoder = Decoder::new(Sender::Client, LONGEST);
        assert!(decoder.decode(&mut frame(0x01, b"kept", Some(KEY))).is_ok());
        let mut bytes = [&b"\x80\xff"[..], &length.to_be_bytes(), &KEY].concat();
        assert_eq!(decoder.decode(&mut bytes), Err(expected), "{length}");
    }
    assert_eq!(Violation::TooLong.close_code(), 1009);
}

#[test]
fn a_message_may_reach_its_limit_and_not_pass_it() {
    let decode = |payloads: &[usize]| {
        let mut decoder = Decoder::new(Sender::Client, 100);
        let mut decoded = Ok(Decoded::Incomplete { needed: 0 });
        for (at, &length) in payloads.iter().enumerate() {
            let first = if at == 0 { 2 } else { 0 } | if at + 1 == payloads.len() { 0x80 } else { 0 };
            decoded = decoder.decode(&mut frame(first, &vec![b'x'; length], Some(KEY)));
        }
        decoded.map(drop)
    };
    assert_eq!(decode(&[100]), Ok(()));
    assert_eq!(decode(&[101]), Err(Violation::TooLong));
    assert_eq!(decode(&[60, 40]), Ok(()));
    assert_eq!(decode(&[60, 0, 41]), Err(Violation::TooLong));
    assert_eq!(decode(&[0; 1_024]), Ok(()));
    assert_eq!(decode(&[0; 1_025]), Err(Violation::TooManyFragments));
}

#[test]
fn section_5_4_fragments_keep_their_order() {
    assert_eq!(last(&[(0x80, b"x")]), Err(Violation::Continuation));
    assert_eq!(last(&[(0x00, b"x")]), Err(Violation::Continuation));
    assert_eq!(last(&[(0x01, b"x"), (0x81, b"y")]), Err(Violation::Interrupted));
    assert_eq!(last(&[(0x02, b"x"), (0x01, b"y")]), Err(Violation::Interrupted));
    assert_eq!(last(&[(0x01, b"x"), (0x80, b"y"), (0x80, b"z")]), Err(Violation::Continuation));
    let joined = Event::Message(Payload::Joined(b"xyz".to_vec()));
    assert_eq!(last(&[(0x01, b"x"), (0x8a, b"pong"), (0x00, b"y"), (0x80, b"z")]), Ok(joined));
}

#[test]
fn text_is_utf_8_as_a_whole() {
    let (text, cut) = ("\u{20ac}".as_bytes(), Err(Violation::Utf8));
    assert!(last(&[(0x81, text)]).is_ok());
    assert!(last(&[(0x01, &text[..1]), (0x80, &text[1..])]).is_ok());
    assert_eq!(last(&[(0x81, &text[..2])]), cut);
    assert_eq!(last(&[(0x01, &text[..1]), (0x80, &text[..1])]), cut);
    assert!(last(&[(0x82, &text[..2])]).is_ok());
    assert!(last(&[(0x02, &text[..1]), (0x80, &text[..1])]).is_ok());
    assert_eq!(Violation::Utf8.close_code(), 1007);
}

#[test]
fn section_7_4_close_codes() {
    let close = |payload: &[u8]| last(&[(0x88, payload)]);
    assert_eq!(close(b""), Ok(Event::Close { code: None, reason: 6..6 }));
    assert_eq!(close(b"\x03"), Err(Violation::CloseCode));
    for code in [1000_u16, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 4999] {
        let expected = Ok(Event::Close { code: Some(code), reason: 8..11 });
        assert_eq!(close(&[&code.to_be_bytes()[..], b"bye"].concat()), expected);
    }
    for code in [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
        assert_eq!(close(&code.to_be_bytes()), Err(Violation::CloseCode), "{code}");
    }
    assert_eq!(close(b"\x03\xe8\xff"), Err(Violation::Utf8));
}

/// A stream of messages in fragments with control frames between them, and the messages.
fn conversation() -> impl Strategy<Value = (Vec<u8>, Vec<Vec<u8>>)> {
    let message = proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..140), 1..5);
    let message = (message, any::<[u8; 4]>(), any::<bool>());
    proptest::collection::vec(message, 0..5).prop_map(|messages| {
        let (mut stream, mut whole) = (Vec::new(), Vec::new());
        for (fragments, key, ping) in messages {
            for (at, fragment) in fragments.iter().enumerate() {
                let first = if at == 0 { 2 } else { 0 } | if at + 1 == fragments.len() { 0x80 } else { 0 };
                stream.extend(frame(first, fragment, Some(key)));
                if ping {
                    write_ping(&mut stream, &key, Some(key));
                    write_pong(&mut stream, b"", Some(key));
                }
            }
            whole.push(fragments.concat());
        }
        (stream, whole)
    })
}

proptest! {
    #[test]
    fn any_fragmentation_and_any_split_gives_the_same_messages(
        (stream, messages) in conversation(),
        pieces in proptest::collection::vec(1_usize..50, 0..100),
    ) {
        let (events, violation) = decode(&stream, &pieces, Sender::Client);
        prop_assert_eq!(violation, None);
        prop_assert_eq!(&decode(&stream, &[], Sender::Client).0, &events);
        let found: Vec<_> =
            events.into_iter().filter(|(event, _)| matches!(event, Event::Message(_))).map(|(_, text)| text).collect();
        prop_assert_eq!(found, messages);
    }

    #[test]
    fn any_bytes_are_decoded_or_refused_whatever_their_split(
        mut stream in proptest::collection::vec(any::<u8>(), 0..200),
        from_client: bool,
        pieces in proptest::collection::vec(1_usize..30, 0..100),
    ) {
        let sender = if from_client { Sender::Client } else { Sender::Server };
        // Otherwise most streams would end at their second byte.
        if let [first, second, ..] = &mut stream[..] {
            (*first, *second) = (*first & 0x8f, *second & 0x7f | u8::from(from_client) << 7);
        }
        prop_assert_eq!(decode(&stream, &pieces, sender), decode(&stream, &[], sender));
    }

    #[test]
    fn what_is_written_is_read(
        message in proptest::collection::vec(any::<u8>(), 0..300),
        reason in "\\PC{0,80}",
        key: Option<[u8; 4]>,
    ) {
        let sender = if key.is_some() { Sender::Client } else { Sender::Server };
        let mut stream = Vec::new();
        write_message(&mut stream, &message, key);
        write_close(&mut stream, 1001, &reason, key);
        let (events, violation) = decode(&stream, &[], sender);
        prop_assert_eq!(violation, None);
        prop_assert_eq!(&events[0].1, &message);
        prop_assert!(reason.as_bytes().starts_with(&events[1].1));
        let closed = matches!(events[1].0, Event::Close { code: Some(1001), .. });
        prop_assert!(closed);
    }
}
