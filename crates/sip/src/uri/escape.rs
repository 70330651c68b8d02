//! `%HH` escapes.

use std::borrow::Cow;

/// The text with every `%HH` replaced by its byte; borrowed when there is none. A `%` that begins no escape
/// stays as it is.
#[must_use]
pub fn unescape(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'%') {
        return Cow::Borrowed(text);
    }
    Cow::Owned(Unescaped { text }.map(|(byte, _)| byte).collect())
}

/// The text with every byte that may not stand in the user part of a SIP URI written as `%HH` (RFC 3261
/// section 25.1).
#[must_use]
pub fn escape_user(text: &[u8]) -> Cow<'_, [u8]> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    if text.iter().all(|&byte| may_stand_in_user(byte)) {
        return Cow::Borrowed(text);
    }
    let mut escaped = Vec::with_capacity(text.len() + 8);
    for &byte in text {
        if may_stand_in_user(byte) {
            escaped.push(byte);
        } else {
            escaped.extend_from_slice(&[
                b'%',
                DIGITS[usize::from(byte >> 4)],
                DIGITS[usize::from(byte & 15)],
            ]);
        }
    }
    Cow::Owned(escaped)
}

/// The bytes of a text with the escapes decoded, each with whether it was escaped and is reserved: such a
/// byte differs from the same one unescaped (RFC 3261 section 19.1.4).
pub(super) struct Unescaped<'a> {
    pub(super) text: &'a [u8],
}

impl Iterator for Unescaped<'_> {
    type Item = (u8, bool);

    fn next(&mut self) -> Option<(u8, bool)> {
        if let [b'%', high, low, rest @ ..] = self.text
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            self.text = rest;
            let byte = high << 4 | low;
            return Some((byte, is_reserved(byte)));
        }
        let (&byte, rest) = self.text.split_first()?;
        self.text = rest;
        Some((byte, false))
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// `reserved` of RFC 3261 section 25.1.
fn is_reserved(byte: u8) -> bool {
    matches!(byte, b';' | b'/' | b'?' | b':' | b'@' | b'&' | b'=' | b'+' | b'$' | b',')
}

/// `unreserved / user-unreserved`.
fn may_stand_in_user(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')')
        || matches!(byte, b'&' | b'=' | b'+' | b'$' | b',' | b';' | b'?' | b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_and_nonsense_is_kept() {
        assert_eq!(&*unescape(b"%61l%69ce"), b"alice");
        assert_eq!(&*unescape(b"null-%00-null"), b"null-\0-null");
        assert_eq!(&*unescape(b"%Z%45%4"), b"%ZE%4");
        assert_eq!(&*unescape(b"%"), b"%");
        assert!(matches!(unescape(b"alice"), Cow::Borrowed(_)));
    }

    #[test]
    fn what_is_escaped_comes_back() {
        let every: Vec<u8> = (0..=255).collect();
        assert_eq!(&*unescape(&escape_user(&every)), &every[..]);
        assert_eq!(&*escape_user(b"a@b:c d"), b"a%40b%3Ac%20d");
    }
}
