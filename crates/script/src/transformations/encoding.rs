//! `{s.*}`: texts written in other letters: hexadecimal, escapes, base64; and a sum.

use data_encoding::{BASE64, HEXLOWER};

use super::row::Transformation;
use crate::value::{Bytes, Value};

pub(super) const ROWS: &[Transformation] = &[
    Transformation::text("s.encode.hexa", to_hex, "The bytes in hexadecimal, in lower case."),
    Transformation::text(
        "s.decode.hexa",
        from_hex,
        "Decodes hexadecimal; an odd digit at the end is dropped. NULL if there is anything but hexadecimal digits.",
    ),
    Transformation::text(
        "s.escape.common",
        escape_common,
        "Puts a backslash before single quotes, double quotes and backslashes, and writes a zero byte as `\\0`, \
         for use in SQL strings.",
    ),
    Transformation::text("s.unescape.common", unescape_common, "Undoes `{s.escape.common}`."),
    Transformation::text(
        "s.escape.user",
        escape_user,
        "Escapes as `%hh` what is not allowed in the user part of a URI (RFC 3261). NULL if the text is not \
         printable ASCII.",
    ),
    Transformation::text(
        "s.unescape.user",
        unescape_percent,
        "Undoes `{s.escape.user}`. NULL if a `%` begins no escape.",
    ),
    Transformation::text(
        "s.escape.param",
        escape_param,
        "Escapes as `%hh` what is not allowed in a URI parameter (RFC 3261). NULL if the text is not printable \
         ASCII.",
    ),
    Transformation::text(
        "s.unescape.param",
        unescape_percent,
        "Undoes `{s.escape.param}`. NULL if a `%` begins no escape.",
    ),
    Transformation::value(
        "s.dec2hex",
        decimal_to_hex,
        "A decimal number in hexadecimal: its lowest 32 bits, without `0x`.",
    ),
    Transformation::value(
        "s.hex2dec",
        hex_to_decimal,
        "The number that hexadecimal digits without `0x` stand for. A value that already is a number stays as it is.",
    ),
    Transformation::text("s.b64encode", to_base64, "Encodes in base64 (RFC 4648)."),
    Transformation::text(
        "s.b64decode",
        from_base64,
        "Decodes base64 (RFC 4648). Characters that do not belong to base64 are skipped.",
    ),
    Transformation::text(
        "s.crc32",
        crc32,
        "A CRC-32 as decimal text: that of ISO 3309 without its final complement.",
    ),
];

pub(super) fn to_hex(text: &[u8]) -> Value {
    Value::Str(Bytes::from(HEXLOWER.encode(text)))
}

fn from_hex(text: &[u8]) -> Value {
    let (pairs, _) = text.as_chunks::<2>();
    let bytes: Option<Vec<u8>> =
        pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    bytes.map_or(Value::Null, |bytes| Value::Str(Bytes::from(bytes)))
}

fn digit(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).map(|digit| digit as u8)
}

fn escape_common(text: &[u8]) -> Value {
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

fn unescape_common(text: &[u8]) -> Value {
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
fn escape_user(text: &[u8]) -> Value {
    escape_percent(text, b"-_.!~*'()&=+$,;?/")
}

/// RFC 3261 section 25.1: paramchar = param-unreserved / unreserved / escaped.
fn escape_param(text: &[u8]) -> Value {
    escape_percent(text, b"-_.!~*'()[]/:&+$")
}

fn escape_percent(text: &[u8], allowed: &[u8]) -> Value {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut out = Vec::with_capacity(text.len() + 8);
    for byte in text {
        match byte {
            _ if byte.is_ascii_alphanumeric() || allowed.contains(byte) => out.push(*byte),
            b' '..=b'~' => {
                out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
            _ => return Value::Null,
        }
    }
    Value::Str(Bytes::from(out))
}

fn unescape_percent(text: &[u8]) -> Value {
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

/// OpenSIPS takes 32 bits of a number, whatever its size.
fn decimal_to_hex(value: Value) -> Value {
    let number = match value {
        Value::Int(number) => Some(number as u32),
        Value::Str(text) => {
            let (negative, digits) = match &*text {
                [b'-', digits @ ..] => (true, digits),
                [b'+', digits @ ..] => (false, digits),
                digits => (false, digits),
            };
            let number = number_in(digits, 10);
            number.map(|number| if negative { number.wrapping_neg() } else { number })
        }
        Value::Null => None,
    };
    number.map_or(Value::Null, |number| Value::str(format!("{number:x}")))
}

/// OpenSIPS takes 32 bits, and writes them as a number of 64 that is negative in its thirty-second bit.
fn hex_to_decimal(value: Value) -> Value {
    let number = match value {
        Value::Str(text) if text.is_empty() => Some(0),
        Value::Str(text) => number_in(&text, 16),
        other => return other,
    };
    match number.map(|number| number as i32) {
        Some(number @ 0..) => Value::Int(number.into()),
        Some(number) => Value::str(i64::from(number).cast_unsigned().to_string()),
        None => Value::Null,
    }
}

/// The lowest 32 bits of the number that digits stand for.
fn number_in(digits: &[u8], base: u32) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u32, |number, byte| {
        (*byte as char).to_digit(base).map(|digit| number.wrapping_mul(base).wrapping_add(digit))
    })
}

fn to_base64(text: &[u8]) -> Value {
    Value::Str(Bytes::from(BASE64.encode(text)))
}

fn from_base64(text: &[u8]) -> Value {
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut bits, mut count) = (0u32, 0);
    for six in text.iter().filter_map(|byte| six_bits(*byte)) {
        bits = bits << 6 | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Value::Str(Bytes::from(out))
}

fn six_bits(letter: u8) -> Option<u8> {
    match letter {
        b'A'..=b'Z' => Some(letter - b'A'),
        b'a'..=b'z' => Some(letter - b'a' + 26),
        b'0'..=b'9' => Some(letter - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

fn crc32(text: &[u8]) -> Value {
    let mut crc = u32::MAX;
    for byte in text {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    Value::Str(Bytes::decimal(crc.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
            prop_assert_eq!(&back(escape_common, unescape_common), &expected);
        }

        #[test]
        fn printable_text_comes_back_from_a_uri(text in "[ -~]{0,40}") {
            for (escape, unescape) in [(escape_user as fn(&[u8]) -> Value, unescape_percent), (escape_param, unescape_percent)] {
                let escaped = escape(text.as_bytes()).to_bytes().unwrap();
                prop_assert_eq!(unescape(&escaped), Value::str(text.as_str()));
            }
        }
    }
}
