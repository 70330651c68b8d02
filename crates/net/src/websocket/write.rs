//! Writing frames (RFC 6455 section 5.2). A client masks each with a fresh random key, a server does not.

use super::frames::MAX_CONTROL_BYTES;
use super::mask::mask;

/// The bit of the only, or the last, frame of a message.
const LAST: u8 = 0x80;
/// The bit of a masked frame.
const MASKED: u8 = 0x80;

/// Appends one message in one frame: text if it is UTF-8, which is what scripts in browsers expect, binary if
/// its body is not (RFC 7118 section 5).
pub fn write_message(out: &mut Vec<u8>, message: &[u8], key: Option<[u8; 4]>) {
    let opcode = if std::str::from_utf8(message).is_ok() { 1 } else { 2 };
    write(out, opcode, &[message], key);
}

/// Appends a close frame with a code (RFC 6455 section 7.4) and what of the reason fits.
pub fn write_close(out: &mut Vec<u8>, code: u16, reason: &str, key: Option<[u8; 4]>) {
    let fits = reason.floor_char_boundary(MAX_CONTROL_BYTES - 2);
    write(out, 8, &[&code.to_be_bytes(), &reason.as_bytes()[..fits]], key);
}

/// Appends a ping with what of the payload fits into 125 bytes.
pub fn write_ping(out: &mut Vec<u8>, payload: &[u8], key: Option<[u8; 4]>) {
    write(out, 9, &[&payload[..payload.len().min(MAX_CONTROL_BYTES)]], key);
}

/// Appends the answer to a ping with what of its payload fits into 125 bytes: all of it.
pub fn write_pong(out: &mut Vec<u8>, payload: &[u8], key: Option<[u8; 4]>) {
    write(out, 10, &[&payload[..payload.len().min(MAX_CONTROL_BYTES)]], key);
}

fn write(out: &mut Vec<u8>, opcode: u8, payload: &[&[u8]], key: Option<[u8; 4]>) {
    /// Bytes of the longest head.
    const MAX_HEAD_BYTES: usize = 14;
    let length = payload.iter().map(|part| part.len()).sum::<usize>();
    out.reserve(MAX_HEAD_BYTES + length);
    out.push(LAST | opcode);
    let masked = if key.is_some() { MASKED } else { 0 };
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..=125), _) => out.push(masked | short),
        (_, Ok(long)) => {
            out.push(masked | 126);
            out.extend_from_slice(&long.to_be_bytes());
        }
        _ => {
            out.push(masked | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(key.as_ref().map_or(&[][..], |key| key));
    let start = out.len();
    for part in payload {
        out.extend_from_slice(part);
    }
    if let Some(key) = key {
        mask(&mut out[start..], key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }

    #[test]
    fn rfc_6455_section_5_7_examples() {
        let key = Some([0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(written(|out| write_message(out, b"Hello", None)), b"\x81\x05Hello");
        assert_eq!(
            written(|out| write_message(out, b"Hello", key)),
            b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"
        );
        assert_eq!(written(|out| write_ping(out, b"Hello", None)), b"\x89\x05Hello");
        assert_eq!(
            written(|out| write_pong(out, b"Hello", key)),
            b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"
        );
        let long = [0xff; 256];
        assert_eq!(written(|out| write_message(out, &long, None))[..5], *b"\x82\x7e\x01\x00\xff");
        let long = vec![b'x'; 65_536];
        assert_eq!(written(|out| write_message(out, &long, None))[..11], *b"\x81\x7f\0\0\0\0\0\x01\0\0x");
    }

    #[test]
    fn lengths_take_the_fewest_bytes() {
        for (length, head) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let payload = vec![b'x'; length];
            assert_eq!(written(|out| write_message(out, &payload, None)).len(), head + length);
            assert_eq!(written(|out| write_message(out, &payload, Some([1; 4]))).len(), head + 4 + length);
        }
    }

    #[test]
    fn control_frames_are_never_too_long() {
        let reason = "\u{e4}".repeat(100);
        let close = written(|out| write_close(out, 1002, &reason, None));
        assert_eq!(close[..4], [0x88, 124, 0x03, 0xea]);
        assert_eq!(std::str::from_utf8(&close[4..]).unwrap(), "\u{e4}".repeat(61));
        assert_eq!(written(|out| write_ping(out, &[7; 200], None)).len(), 127);
        assert_eq!(written(|out| write_pong(out, &[7; 200], Some([1; 4]))).len(), 131);
    }
}
