//! Texts written in other letters: hexadecimal, escapes, base64; and two numbers made of texts.

use crate::value::{Bytes, Value};

const HEX: &[u8; 16] = b"0123456789abcdef";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(super) fn to_hex(text: &[u8]) -> Value {
    let digits = |byte: &u8| [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
    Value::Str(Bytes::from(text.iter().flat_map(digits).collect::<Vec<u8>>()))
}

pub(super) fn from_hex(text: &[u8]) -> Value {
    let (pairs, []) = text.as_chunks::<2>() else { return Value::Null };
    let bytes: Option<Vec<u8>> =
        pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    bytes.map_or(Value::Null, |bytes| Value::Str(Bytes::from(bytes)))
}

fn digit(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).map(|digit| digit as u8)
}

pub(super) fn escape_common(text: &[u8]) -> Value {
    let mut out = Vec::with_capacity(text.len() + 8);
    for byte in text {
        match byte {
            b'\'' | b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            0 => out.extend_from_slice(b"\\0"),
            _ => out.push(*byte),
        }
    }
    Value::Str(Bytes::from(out))
}

pub(super) fn unescape_common(text: &[u8]) -> Value {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match (byte, bytes.as_slice().first()) {
            (b'\\', Some(next @ (b'\'' | b'"' | b'\\'))) => {
                out.push(*next);
                bytes.next();
            }
            (b'\\', Some(b'0')) => {
                out.push(0);
                bytes.next();
            }
            _ => out.push(*byte),
        }
    }
    Value::Str(Bytes::from(out))
}

/// RFC 3261 section 25.1: user = 1*( unreserved / escaped / user-unreserved ).
pub(super) fn escape_user(text: &[u8]) -> Value {
    escape_percent(text, b"-_.!~*'()&=+$,;?/")
}

/// RFC 3261 section 25.1: paramchar = param-unreserved / unreserved / escaped.
pub(super) fn escape_param(text: &[u8]) -> Value {
    escape_percent(text, b"-_.!~*'()[]/:&+$")
}

fn escape_percent(text: &[u8], allowed: &[u8]) -> Value {
    let mut out = Vec::with_capacity(text.len() + 8);
    for byte in text {
        if byte.is_ascii_alphanumeric() || allowed.contains(byte) {
            out.push(*byte);
        } else {
            out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
    Value::Str(Bytes::from(out))
}

pub(super) fn unescape_percent(text: &[u8]) -> Value {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            out.push(*byte);
            continue;
        }
        let [high, low, after @ ..] = rest else { return Value::Null };
        let (Some(high), Some(low)) = (digit(*high), digit(*low)) else { return Value::Null };
        out.push(high << 4 | low);
        rest = after;
    }
    Value::Str(Bytes::from(out))
}

pub(super) fn decimal_to_hex(text: &[u8]) -> Value {
    crate::value::decimal(text).map_or(Value::Null, |number| Value::str(format!("{number:x}")))
}

pub(super) fn hex_to_decimal(text: &[u8]) -> Value {
    let digits = text.strip_prefix(b"0x").or_else(|| text.strip_prefix(b"0X")).unwrap_or(text);
    let number = std::str::from_utf8(digits).ok().and_then(|digits| i64::from_str_radix(digits, 16).ok());
    number.map_or(Value::Null, Value::Int)
}

/// RFC 4648 section 4.
pub(super) fn to_base64(text: &[u8]) -> Value {
    let mut out = Vec::with_capacity(text.len().div_ceil(3) * 4);
    for group in text.chunks(3) {
        let bits =
            group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for position in 0..4 {
            let six = (bits >> (18 - 6 * position)) & 63;
            out.push(if position <= group.len() { BASE64[six as usize] } else { b'=' });
        }
    }
    Value::Str(Bytes::from(out))
}

/// As many bytes as the text holds up to its padding or the first byte that is no base64.
pub(super) fn from_base64(text: &[u8]) -> Value {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0);
    for byte in text {
        let Some(six) = BASE64.iter().position(|known| known == byte) else { break };
        bits = bits << 6 | six as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Value::Str(Bytes::from(out))
}

/// The CRC-32 of ISO 3309, in decimal.
pub(super) fn crc32(text: &[u8]) -> Value {
    let mut crc = u32::MAX;
    for byte in text {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    Value::Str(Bytes::decimal(i64::from(!crc)))
}

/// `Thu, 13 Jun 2024 12:48:00 GMT` (RFC 3261 section 20.17) in seconds since 1970.
pub(super) fn date_to_unix(text: &[u8]) -> Value {
    std::str::from_utf8(text).ok().and_then(unix_time).map_or(Value::Null, Value::Int)
}

fn unix_time(date: &str) -> Option<i64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, date) = date.trim().split_once(", ")?;
    let mut words = date.split_ascii_whitespace();
    let day: i64 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|known| known.eq_ignore_ascii_case(month))? as i64 + 1;
    let year: i64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.splitn(3, ':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let in_range = (1..=31).contains(&day)
        && (1970..=9999).contains(&year)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    if !in_range || words.next() != Some("GMT") {
        return None;
    }
    // days since 1970, with the year beginning in March so that the leap day is its last
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = year / 4 - year / 100 + year / 400;
    let days = year * 365 + leaps + (month * 153 + 2) / 5 + day - 1 - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_values() {
        assert_eq!(crc32(b"123456789"), Value::from("3421780262"));
        assert_eq!(to_hex(b"\x00\xffA"), Value::from("00ff41"));
        assert_eq!(from_hex(b"0g"), Value::Null);
        assert_eq!(from_hex(b"abc"), Value::Null);
        assert_eq!(decimal_to_hex(b"255"), Value::from("ff"));
        assert_eq!(hex_to_decimal(b"FF"), Value::Int(255));
        assert_eq!(escape_user(b"a b@c"), Value::from("a%20b%40c"));
        assert_eq!(unescape_percent(b"a%2"), Value::Null);
        assert_eq!(escape_common(b"a'\"\\\0"), Value::from("a\\'\\\"\\\\\\0"));
        assert_eq!(to_base64(b"a"), Value::from("YQ=="));
        assert_eq!(date_to_unix(b"Thu, 01 Jan 1970 00:00:00 GMT"), Value::Int(0));
        assert_eq!(date_to_unix(b"Thu, 29 Feb 2024 00:00:00 GMT"), Value::Int(1_709_164_800));
        assert_eq!(date_to_unix(b"Thu, 99 Foo 2024 00:00:00 GMT"), Value::Null);
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back(text in proptest::collection::vec(any::<u8>(), 0..60)) {
            let back = |encode: fn(&[u8]) -> Value, decode: fn(&[u8]) -> Value| match encode(&text) {
                Value::Str(encoded) => decode(&encoded),
                other => other,
            };
            let expected = Value::Str(Bytes::new(&text));
            prop_assert_eq!(&back(to_hex, from_hex), &expected);
            prop_assert_eq!(&back(to_base64, from_base64), &expected);
            prop_assert_eq!(&back(escape_user, unescape_percent), &expected);
            prop_assert_eq!(&back(escape_param, unescape_percent), &expected);
            prop_assert_eq!(&back(escape_common, unescape_common), &expected);
        }
    }
}
