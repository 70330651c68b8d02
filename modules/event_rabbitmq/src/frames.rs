//! Frames of AMQP 0-9-1 as bytes.
//!
//! Only methods that a publisher may get are read; all others are refused before anything is made of them. Tables are not
//! read at all: they nest as deep as their sender likes.

use std::ops::Range;

use amq_protocol::frame::{AMQPContentHeader, AMQPFrame, gen_frame};
use amq_protocol::protocol::basic::{AMQPProperties, Publish};
use amq_protocol::protocol::{AMQPClass, basic, parse_class};

use super::ended::Ended;

/// The largest frame that is taken and sent, with all that belongs to it.
pub(super) const MAX_FRAME_BYTES: usize = 131_072;
/// The smallest that a broker must take (section 4.2.3 of the specification).
pub(super) const MIN_FRAME_BYTES: usize = 4_096;
/// The channel that events are published over.
pub(super) const CHANNEL: u16 = 1;

/// Bytes of a frame before its payload: type, channel, length.
const HEAD: usize = 7;
/// Bytes of a frame that are not its payload.
const AROUND: usize = HEAD + 1;
const END: u8 = 0xCE;

/// What came.
#[derive(Debug)]
pub(super) enum Received {
    Heartbeat,
    /// The broker introduces itself; only what a client needs.
    Start {
        mechanisms: Vec<u8>,
    },
    Method(u16, AMQPClass),
}

/// Reads the next frame of `bytes`, and how many bytes it has; none as long as it is not complete.
///
/// # Errors
/// This is no frame that a publisher may get.
pub(super) fn read(bytes: &[u8]) -> Result<Option<(Received, usize)>, Ended> {
    if bytes.starts_with(b"AMQP") {
        return Err(Ended::Protocol("the broker does not speak AMQP 0-9-1"));
    }
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() else { return Ok(None) };
    let [kind, channel_high, channel_low, length @ ..] = *head;
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_FRAME_BYTES - AROUND {
        return Err(Ended::Protocol("the broker sent a frame that is too large"));
    }
    let (Some(payload), Some(end)) = (rest.get(..length), rest.get(length)) else { return Ok(None) };
    if *end != END {
        return Err(Ended::Protocol("the broker sent a frame without an end"));
    }
    let channel = u16::from_be_bytes([channel_high, channel_low]);
    let received = match kind {
        1 => method(channel, payload)?,
        8 => Received::Heartbeat,
        _ => return Err(Ended::Protocol("the broker sent a frame that is not for publishers")),
    };
    Ok(Some((received, AROUND + length)))
}

fn method(channel: u16, payload: &[u8]) -> Result<Received, Ended> {
    let broken = Ended::Protocol("the broker sent a broken method");
    let Some((id, arguments)) = payload.split_first_chunk::<4>() else { return Err(broken) };
    let [class, method] = [u16::from_be_bytes([id[0], id[1]]), u16::from_be_bytes([id[2], id[3]])];
    match (class, method) {
        (10, 10) => {
            // The version, then a table about the broker, then the ways to log in.
            let mechanisms = arguments.get(2..).and_then(long).and_then(|(_, rest)| long(rest));
            let (mechanisms, _) = mechanisms.ok_or(broken)?;
            Ok(Received::Start { mechanisms: mechanisms.to_vec() })
        }
        (10, 30 | 41 | 50 | 51) | (20, 11 | 20 | 40 | 41) | (60, 80 | 120) | (85, 11) => {
            match parse_class(payload) {
                Ok((_, class)) => Ok(Received::Method(channel, class)),
                Err(_) => Err(broken),
            }
        }
        _ => Err(Ended::Protocol("the broker sent a method that is not for publishers")),
    }
}

/// A text or a table with its length before it, and what follows.
fn long(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}

/// Appends a frame to `out`.
pub(super) fn write(frame: &AMQPFrame, out: &mut Vec<u8>) -> Result<(), Ended> {
    match gen_frame(frame)(std::mem::take(out).into()) {
        Ok(written) => {
            *out = written.into_inner().0;
            Ok(())
        }
        Err(_) => Err(Ended::Protocol("a frame could not be written")),
    }
}

/// Appends a method of `channel` to `out`.
pub(super) fn write_method(channel: u16, class: AMQPClass, out: &mut Vec<u8>) -> Result<(), Ended> {
    write(&AMQPFrame::Method(channel, class), out)
}

/// What stands before the body of each message of a subscriber, but for its length.
#[derive(Debug)]
pub(super) struct Envelope {
    /// The frame that says where a message goes, and the one that says what it is.
    frames: Box<[u8]>,
    /// Where the length of the body stands.
    length: Range<usize>,
}

impl Envelope {
    pub(super) fn new(exchange: &str, routing_key: &str, persistent: bool) -> Result<Self, Ended> {
        let publish = Publish {
            exchange: exchange.into(),
            routing_key: routing_key.into(),
            mandatory: false,
            immediate: false,
        };
        let mut frames = Vec::new();
        write_method(CHANNEL, AMQPClass::Basic(basic::AMQPMethod::Publish(publish)), &mut frames)?;
        let properties = AMQPProperties::default();
        let properties = if persistent { properties.with_delivery_mode(2) } else { properties };
        // The class and the weight, two octets each, are before the length (section 4.2.6.1 of the specification).
        let at = frames.len() + HEAD + 4;
        let header = AMQPContentHeader { class_id: 60, body_size: 0, properties };
        write(&AMQPFrame::Header(CHANNEL, header), &mut frames)?;
        Ok(Self { frames: frames.into(), length: at..at + size_of::<u64>() })
    }

    /// Appends a message to `out`, in frames of at most `frame_limit` bytes.
    pub(super) fn write(&self, body: &[u8], frame_limit: usize, out: &mut Vec<u8>) {
        let Range { start, end } = self.length;
        out.extend_from_slice(&self.frames[..start]);
        out.extend_from_slice(&(body.len() as u64).to_be_bytes());
        out.extend_from_slice(&self.frames[end..]);
        for part in body.chunks(frame_limit - AROUND) {
            out.push(3);
            out.extend_from_slice(&CHANNEL.to_be_bytes());
            out.extend_from_slice(&(part.len() as u32).to_be_bytes());
            out.extend_from_slice(part);
            out.push(END);
        }
    }
}

#[cfg(test)]
mod tests {
    use amq_protocol::frame::parse_frame;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn recorded_rabbitmq_raw_the_bytes_of_a_message() {
        let body = br#"{"jsonrpc":"2.0","method":"E_TEST","params":{"n":1,"s":"two, \"q\" <x>&y","e":""}}"#;
        let mut out = Vec::new();
        Envelope::new("", "q1", false).unwrap().write(body, MAX_FRAME_BYTES, &mut out);
        let recorded = [
            b"\x01\x00\x01\x00\x00\x00\x0b\x00<\x00(\x00\x00\x00\x02q1\x00\xce\x02\x00\x01\x00\x00\x00\x0e\x00<\x00\x00\x00\x00\x00\x00\x00\x00\x00R\x00\x00\xce\x03\x00\x01\x00\x00\x00R".as_slice(),
            body,
            b"\xce",
        ];
        assert_eq!(out, recorded.concat());
    }

    #[test]
    fn a_long_body_goes_in_parts() {
        let mut out = Vec::new();
        Envelope::new("ex", "k", true).unwrap().write(&[b'x'; 10_000], MIN_FRAME_BYTES, &mut out);
        let (mut rest, mut sizes) = (out.as_slice(), Vec::new());
        while !rest.is_empty() {
            let (left, frame) = parse_frame(rest).unwrap();
            match frame {
                AMQPFrame::Body(CHANNEL, part) => sizes.push(part.len()),
                AMQPFrame::Header(CHANNEL, header) => {
                    assert_eq!((header.body_size, *header.properties.delivery_mode()), (10_000, Some(2)));
                }
                AMQPFrame::Method(CHANNEL, _) => {}
                other => panic!("{other:?}"),
            }
            assert!(rest.len() - left.len() <= MIN_FRAME_BYTES);
            rest = left;
        }
        assert_eq!(sizes, [4088, 4088, 1824]);
    }

    #[test]
    fn what_is_not_for_publishers_is_refused() {
        for bytes in [
            &b"AMQP\x00\x00\x09\x01"[..],
            // Too large, a delivery, a content header, an end that is none, an empty method.
            b"\x01\x00\x01\x00\x02\x00\x00",
            b"\x01\x00\x01\x00\x00\x00\x04\x00\x3c\x00\x3c\xce",
            b"\x02\x00\x01\x00\x00\x00\x00\xce",
            b"\x08\x00\x00\x00\x00\x00\x00\xcd",
            b"\x01\x00\x00\x00\x00\x00\x00\xce",
        ] {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_table_that_nests_without_end_does_no_harm() {
        // Each level: a name of no bytes, the type of a table, the length of the rest.
        let mut table = Vec::new();
        for _ in 0..20_000 {
            let length = (table.len() as u32).to_be_bytes();
            table = [b"\0F".as_slice(), &length, &table].concat();
        }
        let length = (table.len() as u32).to_be_bytes();
        let payload =
            [b"\x00\x0a\x00\x0a\x00\x09".as_slice(), &length, &table, b"\0\0\0\x05PLAIN\0\0\0\0"].concat();
        let frame =
            [b"\x01\0\0".as_slice(), &(payload.len() as u32).to_be_bytes(), &payload, &[END]].concat();
        let (received, taken) = read(&frame).unwrap().unwrap();
        assert!(matches!(received, Received::Start { mechanisms } if mechanisms == b"PLAIN"));
        assert_eq!(taken, frame.len());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }

        #[test]
        fn any_payload_is_read_without_harm(
            class in prop_oneof![Just(10_u16), Just(20), Just(60), Just(85)],
            method in prop_oneof![Just(10_u16), Just(11), Just(30), Just(50), Just(40), Just(80), Just(120)],
            arguments in proptest::collection::vec(any::<u8>(), 0..60),
        ) {
            let payload = [&class.to_be_bytes()[..], &method.to_be_bytes(), &arguments].concat();
            let length = (payload.len() as u32).to_be_bytes();
            let frame = [&[1, 0, 0][..], &length, &payload, &[END]].concat();
            if let Ok(read) = read(&frame) {
                prop_assert_eq!(read.unwrap().1, frame.len());
            }
        }
    }
}
