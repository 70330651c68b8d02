//! The client's side of WebSocket (RFC 6455), as far as the cases need it: frames that are not split.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
/// Any key would do: it only has to be there.
const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

/// Opens the handshake and waits for its end. Returns what came behind it.
pub(super) fn shake_hands(stream: &mut TcpStream, port: u16) -> Result<Vec<u8>> {
    const HOST: &str = "127.0.0.1";
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {HOST}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://{HOST}\r\nSec-WebSocket-Protocol: sip\r\n\
         Sec-WebSocket-Version: 13\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    loop {
        if let Some(end) = find(&answer, b"\r\n\r\n") {
            return Ok(answer.split_off(end + 4));
        }
        let mut data = [0; 4096];
        let length = stream.read(&mut data)?;
        if length == 0 {
            return Err(Error::new(ErrorKind::UnexpectedEof, "no end of the WebSocket handshake"));
        }
        answer.extend(&data[..length]);
    }
}

/// A frame with a message.
pub(super) fn message(payload: &[u8]) -> Vec<u8> {
    frame(payload, TEXT)
}

/// A frame of this kind.
pub(super) fn frame(payload: &[u8], kind: u8) -> Vec<u8> {
    let mut frame = vec![FINAL | kind];
    match u16::try_from(payload.len()).expect("cases have short messages") {
        length if length < 126 => frame.push(MASKED | u8::try_from(length).unwrap()),
        length => {
            frame.push(MASKED | 126);
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// Takes a frame from the front of the buffer if it is there as a whole. A control frame is shown by its number.
pub(super) fn take(buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let (kind, short) = (buffer.first()? & 15, usize::from(buffer.get(1)? & 127));
    let (length, start) = match short {
        126 => (usize::from(u16::from_be_bytes(buffer.get(2..4)?.try_into().unwrap())), 4),
        127 => (usize::try_from(u64::from_be_bytes(buffer.get(2..10)?.try_into().unwrap())).unwrap(), 10),
        length => (length, 2),
    };
    let payload = buffer.get(start..start + length)?.to_vec();
    buffer.drain(..start + length);
    Some(match kind {
        TEXT | BINARY => payload,
        CLOSE => [format!("<ws {kind}>").as_bytes(), &payload[..payload.len().min(2)]].concat(),
        _ => [format!("<ws {kind}>").as_bytes(), &payload].concat(),
    })
}

/// Where a sequence of bytes begins.
pub(super) fn find(bytes: &[u8], sequence: &[u8]) -> Option<usize> {
    bytes.windows(sequence.len()).position(|window| window == sequence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_when_they_are_whole() {
        let mut buffer = vec![FINAL | TEXT, 3, b'a', b'b'];
        assert_eq!(take(&mut buffer), None);
        buffer.extend(b"c\x8a\x01p");
        assert_eq!(take(&mut buffer).as_deref(), Some(&b"abc"[..]));
        assert_eq!(take(&mut buffer).as_deref(), Some(&b"<ws 10>p"[..]));
        assert_eq!(take(&mut buffer), None);
    }

    #[test]
    fn what_the_client_sends_is_masked() {
        let sent = frame(&[b'x'; 200], BINARY);
        assert_eq!(sent[..4], [FINAL | BINARY, MASKED | 126, 0, 200]);
        assert_eq!(sent[4..8], MASK);
        assert_eq!(sent[8] ^ MASK[0], b'x');
    }
}
