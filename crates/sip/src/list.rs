//! Comma-separated values of one header field.

use crate::ParseError;
use crate::grammar::trimmed;
use memchr::memchr;

/// The values of a header field, split at the commas that stand outside quotes and angle brackets.
#[derive(Clone, Debug)]
pub struct Values<'a> {
    text: &'a [u8],
    at: usize,
    left: u16,
    done: bool,
}

/// One value of a list and where it lies in the header field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'a> {
    /// The value without white space around it; empty between two commas.
    pub text: &'a [u8],
    /// Bytes from the begin of the header field's value.
    pub start: usize,
}

impl<'a> Values<'a> {
    /// The values in `text`, at most `limit` of them.
    #[must_use]
    pub fn new(text: &'a [u8], limit: u16) -> Self {
        Self { text, at: 0, left: limit, done: false }
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Result<Value<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let Some(left) = self.left.checked_sub(1) else {
            self.done = true;
            return Some(Err(ParseError::TooManyValues));
        };
        self.left = left;
        let comma = comma(self.text, self.at);
        let (start, end) = trimmed(self.text, self.at, comma);
        self.at = comma + 1;
        self.done = comma >= self.text.len();
        Some(Ok(Value { text: self.text.get(start..end).unwrap_or_default(), start }))
    }
}

/// The next comma outside quotes and angle brackets, or the end of the text.
fn comma(text: &[u8], from: usize) -> usize {
    // Most values are alone.
    if memchr(b',', text.get(from..).unwrap_or_default()).is_none() {
        return text.len();
    }
    let (mut at, mut quoted, mut bracketed) = (from, false, false);
    while let Some(&byte) = text.get(at) {
        match byte {
            b'\\' if quoted => at += 1,
            b'"' if !bracketed => quoted = !quoted,
            b'<' if !quoted => bracketed = true,
            b'>' if !quoted => bracketed = false,
            b',' if !quoted && !bracketed => return at,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &[u8]) -> Vec<&[u8]> {
        Values::new(text, 8).map(|value| value.unwrap().text).collect()
    }

    #[test]
    fn commas_in_quotes_and_brackets_do_not_split() {
        assert_eq!(split(b"a, b ,c"), [&b"a"[..], b"b", b"c"]);
        assert_eq!(split(br#""x, \"y" <sip:a,b@c>, <sip:d>"#), [&br#""x, \"y" <sip:a,b@c>"#[..], b"<sip:d>"]);
        assert_eq!(split(b",,"), [&b""[..], b"", b""]);
        assert_eq!(split(b""), [&b""[..]]);
        assert_eq!(split(b"\"open, quote"), [&b"\"open, quote"[..]]);
        assert_eq!(split(b"\"\\"), [&b"\"\\"[..]]);
    }

    #[test]
    fn a_list_has_a_limit() {
        let values: Vec<_> = Values::new(b"a,b,c", 2).collect();
        assert_eq!(values.len(), 3);
        assert_eq!(values[2], Err(ParseError::TooManyValues));
    }
}
