//! Any bytes as a stream: any split of it gives the same frames, and the parser agrees where each message ends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tocsin_sip::{Frame, Framer, Limits, Message, ParseError, Unframable, frame};

fuzz_target!(|bytes: &[u8]| {
    let Some((&step, stream)) = bytes.split_first() else { return };
    let small = Limits { message: 400, ..Limits::DEFAULT };
    for limits in [Limits::DEFAULT, small] {
        let whole = cut(stream, stream.len(), &limits);
        assert_eq!(cut(stream, usize::from(step % 16) + 1, &limits), whole);
        check(stream, &whole.0, &limits);
    }
});

/// The frames of a stream that arrives in pieces of this length, and what stopped it.
fn cut(stream: &[u8], step: usize, limits: &Limits) -> (Vec<Frame>, Option<Unframable>) {
    let mut framer = Framer::new(limits);
    let (mut frames, mut begin, mut arrived) = (Vec::new(), 0, 0);
    while arrived < stream.len() {
        arrived = (arrived + step).min(stream.len());
        loop {
            let found = match framer.frame(&stream[begin..arrived]) {
                Ok(Frame::Incomplete) => break,
                Ok(found) => found,
                Err(error) => return (frames, Some(error)),
            };
            assert_eq!(frame(&stream[begin..arrived], limits), Ok(found));
            frames.push(found);
            begin += length(found);
            assert!(begin <= arrived);
        }
    }
    (frames, None)
}

fn check(mut stream: &[u8], frames: &[Frame], limits: &Limits) {
    for &frame in frames {
        let (taken, rest) = stream.split_at(length(frame));
        stream = rest;
        if let Frame::Message { length } = frame {
            assert!(length <= limits.message as usize);
            agree(taken, rest, limits);
        }
    }
}

/// The parser finds the same end, whatever else it finds wrong.
fn agree(taken: &[u8], rest: &[u8], limits: &Limits) {
    let alone = Message::parse(taken.to_vec(), limits).map_err(|(error, _)| error);
    let Ok(alone) = alone else {
        assert_ne!(alone.err(), Some(ParseError::MessageTooLong));
        return;
    };
    assert_eq!(alone.bytes(), taken);
    assert!(alone.content_length().is_some());
    let followed = Message::parse([taken, rest].concat(), &Limits { message: u32::MAX, ..*limits });
    assert!(followed.is_ok_and(|followed| followed.bytes() == taken));
}

fn length(frame: Frame) -> usize {
    match frame {
        Frame::Incomplete => 0,
        Frame::Ping { length } | Frame::Pong { length } | Frame::Message { length } => length,
    }
}
