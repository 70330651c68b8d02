//! Any bytes as the two sides of a WebSocket: handshakes, and frames in any split.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tocsin_net::websocket::{
    Decoded, Decoder, Event, Offer, Rules, Sender, Violation, read_request, write_close, write_message,
};

const LONGEST: usize = 300;

fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, bytes)) = bytes.split_first() else { return };
    match choice % 8 {
        0 => handshakes(bytes),
        1 => written(bytes),
        _ => frames(bytes, choice),
    }
});

fn handshakes(bytes: &[u8]) {
    let mut out = Vec::new();
    match read_request(bytes, &Rules { resource: Some("/"), require_origin: true }) {
        Ok(Some(request)) => {
            assert!(request.length <= bytes.len() && request.origin.is_some());
            request.accept_into(&mut out);
        }
        Ok(None) => {}
        Err(refusal) => refusal.refuse_into(&mut out),
    }
    assert!(out.is_empty() || out.ends_with(b"\r\n\r\n"));
    let offer = Offer::new(*b"the sample nonce");
    assert!(!matches!(offer.read_answer(bytes), Ok(Some(length)) if length > bytes.len()));
    out.clear();
    if let Ok(text) = std::str::from_utf8(bytes)
        && offer.request_into("h", text, None, &mut out).is_ok()
        && !text.contains("://")
    {
        let request = read_request(&out, &Rules::default()).ok().flatten();
        assert!(request.is_none_or(|request| request.resource == text && request.length == out.len()));
    }
}

fn written(bytes: &[u8]) {
    for key in [None, Some([0x80, 1, 2, 0xff])] {
        let sender = if key.is_some() { Sender::Client } else { Sender::Server };
        let mut out = Vec::new();
        write_message(&mut out, bytes, key);
        write_close(&mut out, 1000, &String::from_utf8_lossy(bytes), key);
        let mut decoder = Decoder::new(sender, bytes.len());
        let Ok(Decoded::Frame { length, event: Event::Message(payload) }) = decoder.decode(&mut out) else {
            panic!("no message")
        };
        assert_eq!(payload.of(&out), bytes);
        let close = decoder.decode(&mut out[length..]);
        assert!(matches!(close, Ok(Decoded::Frame { event: Event::Close { code: Some(1000), .. }, .. })));
    }
}

fn frames(bytes: &[u8], choice: u8) {
    let sender = if choice & 0x80 == 0 { Sender::Client } else { Sender::Server };
    let whole = decode(bytes, bytes.len(), sender);
    assert_eq!(decode(bytes, usize::from(choice % 32) + 1, sender), whole);
}

/// The events of a stream that arrives in pieces of this length, with their bytes, and what stopped it.
fn decode(stream: &[u8], step: usize, sender: Sender) -> (Vec<(Event, Vec<u8>)>, Option<Violation>) {
    let mut decoder = Decoder::new(sender, LONGEST);
    let (mut bytes, mut events) = (Vec::new(), Vec::new());
    for piece in stream.chunks(step.max(1)) {
        bytes.extend_from_slice(piece);
        loop {
            let (length, event) = match decoder.decode(&mut bytes) {
                Ok(Decoded::Incomplete { needed }) => {
                    assert!(needed > bytes.len());
                    break;
                }
                Ok(Decoded::Frame { length, event }) => (length, event),
                Err(violation) => {
                    assert!(violation.close_code() > 1000);
                    return (events, Some(violation));
                }
            };
            let text = match &event {
                Event::Message(payload) => payload.of(&bytes),
                Event::Ping(place) | Event::Pong(place) | Event::Close { reason: place, .. } => {
                    &bytes[place.clone()]
                }
                Event::Fragment => &[],
            };
            assert!(text.len() <= LONGEST);
            events.push((event.clone(), text.to_vec()));
            assert_eq!(
                matches!(event, Event::Fragment),
                matches!(event, Event::Fragment) && !decoder.is_between_messages()
            );
            bytes.drain(..length);
        }
    }
    (events, None)
}
