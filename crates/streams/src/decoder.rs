//! Cutting the bytes of a connection into messages: those of SIP itself, and those that WebSocket frames carry.

use std::ops::Range;

use tocsin_net::websocket::{self, Decoded, Decoder, Event, Offer, Payload, Rules, Sender};
use tocsin_sip::{Frame, Framer, Limits};

use super::end::End;
use crate::stream_options::StreamOptions;

/// The close code of a WebSocket for an ordinary end (RFC 6455 section 7.4.1).
const NORMAL: u16 = 1000;

/// What the bytes at hand begin with.
#[derive(Debug)]
pub(super) enum Cut {
    /// Undecided: more bytes are needed.
    Incomplete,
    /// Bytes that are dealt with.
    Skip(usize),
    /// A message: where it is, and how many bytes are dealt with once it is served.
    Message(usize, Range<usize>),
    /// A message that came in pieces.
    Joined(usize, Vec<u8>),
    /// The WebSocket is open.
    Upgraded(usize),
    /// The peer says good-bye; the answer must be sent, and nothing behind it is read.
    GoodBye,
}

/// How a connection is cut.
#[derive(Debug)]
pub(super) enum StreamDecoder {
    /// SIP as it is.
    Sip(Framer),
    /// A WebSocket that was not asked for yet.
    Accepting,
    /// A WebSocket that we asked for, at this host.
    Offering(Offer, Box<str>),
    /// Frames of a WebSocket.
    Web(Decoder, Sender),
}

impl StreamDecoder {
    /// For SIP without frames.
    pub(super) fn sip(limits: &Limits) -> Self {
        Self::Sip(Framer::new(limits))
    }

    /// For the frames of a WebSocket that is open already; `outgoing`: we opened it.
    pub(super) fn web(outgoing: bool, limits: &Limits) -> Self {
        let peer = if outgoing { Sender::Server } else { Sender::Client };
        Self::Web(Decoder::new(peer, limits.message as usize), peer)
    }

    /// Whether nothing of a message lies in here.
    pub(super) fn is_between_messages(&self) -> bool {
        match self {
            Self::Sip(_) => true,
            Self::Accepting | Self::Offering(..) => false,
            Self::Web(decoder, _) => decoder.is_between_messages(),
        }
    }

    /// Whether messages are written in frames, and with a mask.
    pub(super) fn frames(&self) -> Option<Sender> {
        match self {
            Self::Web(_, peer) => Some(*peer),
            _ => None,
        }
    }

    /// Looks at the start of `bytes`. Appends what to send to the peer to `answer`, also with an error.
    pub(super) fn cut(
        &mut self,
        bytes: &mut [u8],
        options: &StreamOptions,
        limits: &Limits,
        answer: &mut Vec<u8>,
    ) -> Result<Cut, End> {
        let upgraded = match self {
            // Alone it may be the first half of a ping, which `crlf_drop` says it is not.
            Self::Sip(_) if options.crlf_drop && bytes == b"\r\n" => return Ok(Cut::Skip(bytes.len())),
            Self::Sip(framer) => return frame(framer, bytes, options, answer),
            Self::Web(decoder, peer) => {
                let cut = unframe(decoder, *peer, bytes, answer)?;
                if options.crlf_pingpong && is_ping(&cut, bytes) {
                    websocket::write_message(answer, PONG, mask_to(*peer));
                }
                return Ok(cut);
            }
            Self::Accepting => accept(bytes, options, answer)?,
            Self::Offering(offer, _) => {
                offer.read_answer(bytes).map_err(|cause| End::NoWebSocket(cause.to_string()))?
            }
        };
        let Some(length) = upgraded else { return Ok(Cut::Incomplete) };
        *self = Self::web(matches!(self, Self::Offering(..)), limits);
        Ok(Cut::Upgraded(length))
    }
}

/// What answers a keep-alive (RFC 5626 section 3.5.1).
const PONG: &[u8] = b"\r\n";

/// Whether a message in frames is the keep-alive of RFC 5626 section 3.5.1: browsers cannot send pings of WebSocket.
fn is_ping(cut: &Cut, bytes: &[u8]) -> bool {
    let message = match cut {
        Cut::Message(_, place) => bytes.get(place.clone()).unwrap_or_default(),
        Cut::Joined(_, message) => message,
        _ => return false,
    };
    message == b"\r\n\r\n"
}

fn frame(
    framer: &mut Framer,
    bytes: &[u8],
    options: &StreamOptions,
    answer: &mut Vec<u8>,
) -> Result<Cut, End> {
    Ok(match framer.frame(bytes)? {
        Frame::Incomplete => Cut::Incomplete,
        Frame::Ping { length } => {
            if options.crlf_pingpong {
                answer.extend_from_slice(PONG);
            }
            Cut::Skip(length)
        }
        Frame::Pong { length } => Cut::Skip(length),
        Frame::Message { length } => Cut::Message(length, 0..length),
    })
}

/// Accepts a WebSocket. The length of the request for it, once it is whole.
fn accept(bytes: &[u8], options: &StreamOptions, answer: &mut Vec<u8>) -> Result<Option<usize>, End> {
    // `ws_resource` is what we ask for at others; every path is served here.
    let rules = Rules { resource: None, require_origin: options.require_origin };
    let request = websocket::read_request(bytes, &rules).inspect_err(|refusal| {
        refusal.refuse_into(answer);
    })?;
    Ok(request.map(|request| {
        request.accept_into(answer);
        request.length
    }))
}

/// The mask of one frame to `peer`: a client masks each with a key that nobody may know before (RFC 6455 section 5.3), a
/// server none. Without randomness there is none, and the peer refuses the frame.
pub(super) fn mask_to(peer: Sender) -> Option<[u8; 4]> {
    if peer == Sender::Client {
        return None;
    }
    getrandom::u32().ok().map(u32::to_le_bytes)
}

fn unframe(decoder: &mut Decoder, peer: Sender, bytes: &mut [u8], answer: &mut Vec<u8>) -> Result<Cut, End> {
    let decoded = decoder.decode(bytes).inspect_err(|violation| {
        websocket::write_close(answer, violation.close_code(), "", mask_to(peer));
    })?;
    let Decoded::Frame { length, event } = decoded else { return Ok(Cut::Incomplete) };
    Ok(match event {
        Event::Message(Payload::InPlace(place)) => Cut::Message(length, place),
        Event::Message(Payload::Joined(message)) => Cut::Joined(length, message),
        Event::Fragment | Event::Pong(_) => Cut::Skip(length),
        Event::Ping(payload) => {
            websocket::write_pong(answer, &bytes[payload], mask_to(peer));
            Cut::Skip(length)
        }
        Event::Close { code, .. } => {
            websocket::write_close(answer, code.unwrap_or(NORMAL), "", mask_to(peer));
            Cut::GoodBye
        }
    })
}

#[cfg(test)]
mod tests {
    use tocsin_net::Protocol;

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Protocol: sip\r\nOrigin: http://h\r\n\r\n";

    fn cut(decoder: &mut StreamDecoder, bytes: &[u8]) -> (Result<Cut, End>, Vec<u8>) {
        cut_with(decoder, bytes, &StreamOptions::of(Protocol::Ws))
    }

    fn cut_with(
        decoder: &mut StreamDecoder,
        bytes: &[u8],
        options: &StreamOptions,
    ) -> (Result<Cut, End>, Vec<u8>) {
        let mut answer = Vec::new();
        let cut = decoder.cut(&mut bytes.to_vec(), options, &Limits::default(), &mut answer);
        (cut, answer)
    }

    #[test]
    fn a_ping_is_answered_between_messages() {
        let mut decoder = StreamDecoder::sip(&Limits::default());
        let (first, answer) = cut(&mut decoder, b"\r\n\r\n");
        assert!(matches!(first, Ok(Cut::Skip(4))), "{first:?}");
        assert_eq!(answer, b"\r\n");
    }

    #[test]
    fn a_single_line_end_waits_for_a_second_one_or_is_dropped() {
        let mut decoder = StreamDecoder::sip(&Limits::default());
        assert!(matches!(cut(&mut decoder, b"\r\n"), (Ok(Cut::Incomplete), answer) if answer.is_empty()));
        let options = StreamOptions { crlf_drop: true, ..StreamOptions::of(Protocol::Tcp) };
        let dropped = cut_with(&mut decoder, b"\r\n", &options);
        assert!(matches!(dropped, (Ok(Cut::Skip(2)), answer) if answer.is_empty()));
        let (ping, answer) = cut_with(&mut decoder, b"\r\n\r\n", &options);
        assert!(matches!(ping, Ok(Cut::Skip(4))) && answer == b"\r\n", "{ping:?}");
        let silent = StreamOptions { crlf_pingpong: false, ..options };
        let (ping, answer) = cut_with(&mut decoder, b"\r\n\r\n", &silent);
        assert!(matches!(ping, Ok(Cut::Skip(4))) && answer.is_empty(), "{ping:?}");
    }

    #[test]
    fn rfc_6455_section_5_3_each_control_frame_of_a_client_has_a_mask_of_its_own() {
        let mut decoder = StreamDecoder::web(true, &Limits::default());
        let mut masks = Vec::new();
        for _ in 0..4 {
            let (ping, answer) = cut(&mut decoder, b"\x89\x02hi");
            assert!(matches!(ping, Ok(Cut::Skip(4))), "{ping:?}");
            let [0x8a, 0x82, a, b, c, d, h, i] = answer[..] else { panic!("{answer:x?}") };
            assert_eq!([h ^ a, i ^ b], *b"hi");
            masks.push([a, b, c, d]);
        }
        // That one comes again among four happens once in 700 million times.
        masks.dedup();
        assert_eq!(masks.len(), 4);
        assert_eq!(cut(&mut StreamDecoder::web(false, &Limits::default()), b"\x89\x80\0\0\0\0").1, b"\x8a\0");
    }

    #[test]
    fn a_websocket_is_opened_and_carries_messages() {
        let mut decoder = StreamDecoder::Accepting;
        let (cut_short, answer) = cut(&mut decoder, &REQUEST[..40]);
        assert!(matches!(cut_short, Ok(Cut::Incomplete)) && answer.is_empty());
        let (upgraded, answer) = cut(&mut decoder, REQUEST);
        assert!(matches!(upgraded, Ok(Cut::Upgraded(length)) if length == REQUEST.len()), "{upgraded:?}");
        assert!(answer.starts_with(b"HTTP/1.1 101 "));
        let mut frame = Vec::new();
        websocket::write_message(&mut frame, b"hello", Some([1, 2, 3, 4]));
        let (message, _) = cut(&mut decoder, &frame);
        assert!(matches!(message, Ok(Cut::Message(11, place)) if place == (6..11)));
    }

    #[test]
    fn a_refusal_and_a_violation_are_answered() {
        let (refused, answer) = cut(&mut StreamDecoder::Accepting, b"POST / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(matches!(refused, Err(End::WebSocketRefused(_))));
        assert!(answer.starts_with(b"HTTP/1.1 405 "));
        let mut decoder = StreamDecoder::Accepting;
        let _ = cut(&mut decoder, REQUEST);
        let (violation, answer) = cut(&mut decoder, &[0x81, 0x01, b'x']);
        assert!(matches!(violation, Err(End::Violation(_))));
        assert_eq!(answer[0], 0x88);
    }
}
