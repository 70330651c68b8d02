//! Strings: in quotes, in raw quotes, and in the quotes of word processors.

use super::{Kind, Scan, Text};
use crate::source::Span;
use crate::value::Bytes;

/// What word processors make of `"` and `'`.
const TYPOGRAPHIC_QUOTES: &[&str] =
    &["\u{201c}", "\u{201d}", "\u{201e}", "\u{201f}", "\u{2018}", "\u{2019}", "\u{201a}", "\u{ab}", "\u{bb}"];

impl Scan<'_, '_> {
    pub(super) fn raw_text(&mut self) -> Kind {
        let start = self.at;
        match memchr::memchr(b'\'', &self.rest()[1..]) {
            Some(len) => {
                let bytes = Bytes::new(&self.rest()[1..=len]);
                self.at += len + 2;
                Kind::Text(Text { bytes, plain: true })
            }
            None => self.text_without_end(start),
        }
    }

    pub(super) fn escaped_text(&mut self) -> Kind {
        let start = self.at;
        let mut bytes = Vec::new();
        let mut plain = true;
        self.at += 1;
        loop {
            let Some(len) = memchr::memchr2(b'"', b'\\', self.rest()) else {
                return self.text_without_end(start);
            };
            bytes.extend_from_slice(&self.rest()[..len]);
            self.at += len;
            if self.rest()[0] == b'"' {
                self.at += 1;
                return Kind::Text(Text { bytes: Bytes::from(bytes), plain });
            }
            plain = false;
            self.at += unescape(self.rest(), &mut bytes);
        }
    }

    /// Reading goes on in the next line: what follows was not meant to be a part of the string.
    fn text_without_end(&mut self, start: usize) -> Kind {
        self.at = start;
        self.skip_line();
        let span = self.span(start);
        self.errors.add(Span { end: span.start + 1, ..span }, "string without closing quote");
        Kind::Bad
    }

    /// A string in quotes of a word processor: taken as what it looks like, so that it is one error.
    pub(super) fn typographic_text(&mut self) -> Option<Kind> {
        let is_quote =
            |text: &[u8]| TYPOGRAPHIC_QUOTES.iter().find(|quote| text.starts_with(quote.as_bytes()));
        let start = self.at;
        let opening = is_quote(self.rest())?.len();
        self.at += opening;
        let line = memchr::memchr(b'\n', self.rest()).unwrap_or(self.rest().len());
        let line = &self.rest()[..line];
        let closing = (0..line.len()).find_map(|at| is_quote(&line[at..]).map(|quote| (at, quote.len())));
        let (inside, quote) = closing.unwrap_or((0, 0));
        let bytes = Bytes::new(&line[..inside]);
        self.at += inside + quote;
        let span = self.span(start);
        let help = Some("write `\"`".to_owned());
        self.errors.add_with_help(span, "syntax error: a typographic quote", help);
        Some(Kind::Text(Text { bytes, plain: false }))
    }
}

/// Whether a string goes on over a line's end that no backslash stands before.
pub(super) fn runs_over_lines(text: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', text).any(|at| at > 0 && text[at - 1] != b'\\')
}

pub(super) fn is_octal(digit: u8) -> bool {
    (b'0'..=b'7').contains(&digit)
}

/// Adds what the escape at the start of `text` stands for, and returns its length. An escape that means nothing is
/// kept with its backslash: regular expressions are full of them.
fn unescape(text: &[u8], out: &mut Vec<u8>) -> usize {
    let hex = |byte: u8| (byte as char).to_digit(16);
    let plain = match text.get(1) {
        Some(b'n') => b'\n',
        Some(b'r') => b'\r',
        Some(b't') => b'\t',
        Some(b'a') => 0x07,
        Some(b'\\') => b'\\',
        Some(b'"') => b'"',
        // a line that goes on
        Some(b'\n') => return 2,
        Some(b'x') => {
            let digits: Vec<u32> = text[2..].iter().take(2).map_while(|byte| hex(*byte)).collect();
            if digits.is_empty() {
                out.extend_from_slice(b"\\x");
                return 2;
            }
            out.push(digits.iter().fold(0, |value, digit| value * 16 + digit) as u8);
            return 2 + digits.len();
        }
        Some(b'0') if matches!(text.get(2), Some(b'0'..=b'7')) => {
            let digits = text[2..].iter().take(3).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
            let value =
                text[2..2 + digits].iter().fold(0u32, |value, digit| value * 8 + u32::from(digit - b'0'));
            out.push(value as u8);
            return 2 + digits;
        }
        // two or three octal digits
        Some(b'1'..=b'7') if text.get(2).copied().is_some_and(is_octal) => {
            let digits: Vec<u8> =
                text[1..].iter().take(3).copied().take_while(|byte| is_octal(*byte)).collect();
            out.push(digits.iter().fold(0u32, |value, digit| value * 8 + u32::from(digit - b'0')) as u8);
            return 1 + digits.len();
        }
        Some(other) => {
            out.extend_from_slice(&[b'\\', *other]);
            return 2;
        }
        None => return 1,
    };
    out.push(plain);
    2
}
