//! WebSocket (RFC 6455) as SIP uses it (RFC 7118), without sockets or clocks.
//!
//! In flow the bytes of a connection: first the request that opens it ([`read_request`]; on our own side of an
//! opened one, the answer to an [`Offer`]), then frames ([`Decoder`]). Out flow the answer or the refusal,
//! whole messages - unmasked where they lie, copied only if they came in fragments - and the control frames
//! to react to. What a peer may not do is a [`Violation`], which knows the code to close with. The encoders
//! ([`write_message`], [`write_ping`], [`write_pong`], [`write_close`]) append to a buffer.

mod accept;
mod frames;
mod mask;
mod offer;
mod write;

pub use accept::{MAX_REQUEST_BYTES, Refusal, Request, Rules, read_request};
pub use frames::{Decoded, Decoder, Event, Payload, Sender, Violation};
pub use offer::{AnswerError, NotWritable, Offer};
pub use write::{write_close, write_message, write_ping, write_pong};

/// The subprotocol that means SIP (RFC 7118 section 4).
const SUBPROTOCOL: &str = "sip";

/// The proof that the peer read the key: base64 of the SHA-1 of the key and a fixed text (RFC 6455 section
/// 4.2.2).
fn accept_of(key: &[u8]) -> [u8; ACCEPT] {
    const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let mut sum = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    sum.update(key);
    sum.update(GUID);
    let mut accept = [0; ACCEPT];
    data_encoding::BASE64.encode_mut(sum.finish().as_ref(), &mut accept);
    accept
}

/// Characters of a Sec-WebSocket-Accept: 20 bytes in base64.
const ACCEPT: usize = 28;

/// Bytes of the nonce that opens a connection (RFC 6455 section 4.1).
const NONCE: usize = 16;

/// Characters of a Sec-WebSocket-Key: the nonce in base64.
const KEY: usize = 24;

/// The values of a comma-separated header field, over all fields of that name.
fn listed<'a>(headers: &[httparse::Header<'a>], name: &str) -> impl Iterator<Item = &'a str> {
    headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name))
        .filter_map(|header| std::str::from_utf8(header.value).ok())
        .flat_map(|value| value.split(','))
        .map(|value| value.trim_matches([' ', '\t']))
}

/// Whether a comma-separated header field names this, letters of either case.
fn lists(headers: &[httparse::Header<'_>], name: &str, wanted: &str) -> bool {
    listed(headers, name).any(|value| value.eq_ignore_ascii_case(wanted))
}

/// The value of a header field that may be there once.
fn single<'a>(headers: &[httparse::Header<'a>], name: &str) -> Single<'a> {
    let mut values = headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
    match (values.next(), values.next()) {
        (None, _) => Single::Missing,
        (Some(header), None) => std::str::from_utf8(header.value).map_or(Single::Wrong, Single::Is),
        _ => Single::Wrong,
    }
}

/// What a search for one header field gives.
enum Single<'a> {
    /// It is there once, with this value.
    Is(&'a str),
    /// It is not there.
    Missing,
    /// It is there several times, or is no text.
    Wrong,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_6455_section_1_3_accept() {
        assert_eq!(&accept_of(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
