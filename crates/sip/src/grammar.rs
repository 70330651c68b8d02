//! The characters and small productions of RFC 3261 section 25.1 that everything else is made of.

use crate::ParseError;
use crate::span::Span;
use memchr::memchr2;
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Linear white space; CR and LF are here because a folded value keeps them.
pub(crate) const LWS: u8 = 1;
/// `token`.
pub(crate) const TOKEN: u8 = 2;
/// Host names, with the underscore the field uses against the grammar.
pub(crate) const HOST: u8 = 4;
/// Anything that may stand in a URI: visible, and not one of `<>"`.
pub(crate) const URI: u8 = 8;
/// Anything that may stand unquoted as the value of a header parameter.
pub(crate) const VALUE: u8 = 16;
/// `DIGIT`.
pub(crate) const DIGIT: u8 = 32;
/// What an unquoted display name may hold: tokens, and the punctuation senders forget to quote.
pub(crate) const DISPLAY: u8 = 64;

const CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        table[index] = class_of(index as u8);
        index += 1;
    }
    table
}

const fn class_of(byte: u8) -> u8 {
    let alphanumeric = byte.is_ascii_alphanumeric();
    let visible = byte > b' ' && byte != 0x7f;
    let mut class = 0;
    if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
        class |= LWS | DISPLAY;
    }
    if alphanumeric || matches!(byte, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~') {
        class |= TOKEN | DISPLAY;
    }
    if alphanumeric || matches!(byte, b'-' | b'.' | b'_') {
        class |= HOST;
    }
    if visible && !matches!(byte, b'<' | b'>' | b'"') {
        class |= URI;
    }
    if visible && !matches!(byte, b'<' | b'>' | b'"' | b';' | b',') {
        class |= VALUE;
    }
    if byte.is_ascii_digit() {
        class |= DIGIT;
    }
    if byte >= 0x80 || matches!(byte, b',' | b'(' | b')' | b'/' | b'&' | b'#' | b'[' | b']') {
        class |= DISPLAY;
    }
    class
}

/// Whether the byte belongs to one of the classes.
#[inline]
pub(crate) fn is(byte: u8, class: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

/// Whether the text is not empty and all of one of the classes.
pub(crate) fn all(text: &[u8], class: u8) -> bool {
    !text.is_empty() && text.iter().all(|&byte| is(byte, class))
}

/// The text without linear white space around it.
#[inline]
pub(crate) fn trim(text: &[u8]) -> &[u8] {
    let (start, end) = trimmed(text, 0, text.len());
    text.get(start..end).unwrap_or_default()
}

/// The bounds of `text[start..end]` without linear white space around it.
#[inline]
pub(crate) fn trimmed(text: &[u8], mut start: usize, mut end: usize) -> (usize, usize) {
    while start < end && is(text[start], LWS) {
        start += 1;
    }
    while end > start && is(text[end - 1], LWS) {
        end -= 1;
    }
    (start, end)
}

/// A number of digits only; one too large for `u64` becomes `u64::MAX`, so that every bound still refuses it.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    all(text, DIGIT).then(|| {
        text.iter().fold(0_u64, |sum, &digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
    })
}

/// A port: digits, from 1 to 65535.
pub(crate) fn port(text: &[u8]) -> Option<u16> {
    number(text).and_then(|port| u16::try_from(port).ok()).filter(|&port| port != 0)
}

/// `delta-seconds` as RFC 3261 section 20.19 wants it read: too large means the largest there is.
pub(crate) fn seconds(text: &[u8]) -> Result<u32, ParseError> {
    number(text).map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX)).ok_or(ParseError::Number)
}

/// Where the host that begins at `at` ends: behind the bracket of an IPv6 reference, or behind the last
/// character of a name.
pub(crate) fn host_end(text: &[u8], at: usize) -> Result<usize, ParseError> {
    let rest = text.get(at..).unwrap_or_default();
    if rest.first() == Some(&b'[') {
        let close =
            rest.iter().take(MAX_IPV6_REFERENCE).position(|&byte| byte == b']').ok_or(ParseError::UriHost)?;
        ipv6(&rest[1..close]).ok_or(ParseError::UriHost)?;
        return Ok(at + close + 1);
    }
    match rest.iter().take_while(|&&byte| is(byte, HOST)).count() {
        0 => Err(ParseError::UriHost),
        length => Ok(at + length),
    }
}

/// The address a host is, if it is one: IPv4, or IPv6 with or without brackets.
///
/// `:::` is read as `::`: the ABNF of RFC 3261 generates it, and RFC 5118 section 4.10 asks to accept it.
#[must_use]
pub fn host_address(host: &[u8]) -> Option<IpAddr> {
    if let Some(inner) = host.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")) {
        return ipv6(inner).map(IpAddr::V6);
    }
    match host.first() {
        Some(byte) if byte.is_ascii_digit() && !host.contains(&b':') => ipv4(host).map(IpAddr::V4),
        Some(byte) if (byte.is_ascii_hexdigit() || *byte == b':') && host.contains(&b':') => {
            ipv6(host).map(IpAddr::V6)
        }
        _ => None,
    }
}

/// Whether `name` names the header or parameter `known`: letters of either case.
pub(crate) fn same(name: &[u8], known: &[u8]) -> bool {
    name.eq_ignore_ascii_case(known)
}

/// The inside of a quoted string, or the text as it is when it is not quoted.
pub(crate) fn inside_quotes(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(text)
}

/// A `quoted-string` without its quotes and with its escapes taken away; borrowed when there are none.
#[must_use]
pub fn unquote(text: &[u8]) -> Cow<'_, [u8]> {
    let inside = inside_quotes(text);
    if inside.len() == text.len() || !inside.contains(&b'\\') {
        return Cow::Borrowed(inside);
    }
    let mut plain = Vec::with_capacity(inside.len());
    let mut bytes = inside.iter();
    while let Some(&byte) = bytes.next() {
        plain.push(if byte == b'\\' { bytes.next().copied().unwrap_or(byte) } else { byte });
    }
    Cow::Owned(plain)
}

/// A header value on one line: each fold becomes one space (RFC 3261 section 7.3.1); borrowed when nothing is
/// folded.
#[must_use]
pub fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr2(b'\r', b'\n', value) else { return Cow::Borrowed(value) };
    let mut plain = value[..first].to_vec();
    let mut at = first;
    while let Some(&byte) = value.get(at) {
        if matches!(byte, b'\r' | b'\n') {
            while plain.last().is_some_and(|&last| is(last, LWS)) {
                plain.pop();
            }
            plain.push(b' ');
            while value.get(at).is_some_and(|&next| is(next, LWS)) {
                at += 1;
            }
        } else {
            plain.push(byte);
            at += 1;
        }
    }
    Cow::Owned(plain)
}

/// A place in a text that moves forward.
pub(crate) struct Cursor<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    pub(crate) fn at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    /// Steps over the byte if it is next.
    #[inline]
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Steps over every byte of the class: the piece stepped over, which may be empty.
    #[inline]
    pub(crate) fn run(&mut self, class: u8) -> Span {
        let start = self.at;
        while self.peek().is_some_and(|byte| is(byte, class)) {
            self.at += 1;
        }
        Span::new(start, self.at)
    }

    #[inline]
    pub(crate) fn skip_lws(&mut self) {
        while self.peek().is_some_and(|byte| is(byte, LWS)) {
            self.at += 1;
        }
    }

    /// Steps over a quoted string that begins here: the piece with its quotes.
    pub(crate) fn quoted(&mut self) -> Result<Span, ParseError> {
        let start = self.at;
        if !self.eat(b'"') {
            return Err(ParseError::Quotes);
        }
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let stop = memchr2(b'"', b'\\', rest).ok_or(ParseError::Quotes)?;
            self.at += stop + 1;
            if rest[stop] == b'"' {
                return Ok(Span::new(start, self.at));
            }
            self.at += 1;
        }
    }
}

/// The longest IPv6 reference there is, brackets and an IPv4 tail included, and one colon more.
const MAX_IPV6_REFERENCE: usize = 48;

fn ipv4(host: &[u8]) -> Option<Ipv4Addr> {
    std::str::from_utf8(host).ok()?.parse().ok()
}

fn ipv6(inner: &[u8]) -> Option<Ipv6Addr> {
    let text = std::str::from_utf8(inner).ok().filter(|text| text.len() < MAX_IPV6_REFERENCE)?;
    text.parse()
        .ok()
        .or_else(|| if text.contains(":::") { text.replacen(":::", "::", 1).parse().ok() } else { None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_saturate_instead_of_wrapping() {
        assert_eq!(number(b"4294967328"), Some(4_294_967_328));
        assert_eq!(number(b"99999999999999999999999999"), Some(u64::MAX));
        assert_eq!(number(b"-1"), None);
        assert_eq!(number(b""), None);
        assert_eq!(seconds(b"280297596632815"), Ok(u32::MAX));
        assert_eq!(seconds(b"3600"), Ok(3600));
        assert_eq!(seconds(b"1h"), Err(ParseError::Number));
    }

    #[test]
    fn ports_are_never_negative_zero_or_large() {
        assert_eq!(port(b"5060"), Some(5060));
        assert_eq!(port(b"05060"), Some(5060));
        for bad in [&b"0"[..], b"65536", b"-5060", b"", b"5060 ", b"4294972356"] {
            assert_eq!(port(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn quotes_and_folds_come_off() {
        assert_eq!(&*unquote(br#""a \"b\" c""#), br#"a "b" c"#);
        assert_eq!(&*unquote(b"plain"), b"plain");
        assert_eq!(&*unfold(b"one\r\n two \r\n\t three"), b"one two three");
        assert!(matches!(unfold(b"one"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_quoted_string_may_not_end_in_its_escape() {
        for bad in [&br#""abc"#[..], br#""abc\""#, br#"""#, br#""\"#] {
            assert_eq!(Cursor::new(bad).quoted(), Err(ParseError::Quotes), "{bad:?}");
        }
        assert_eq!(Cursor::new(br#""\\" x"#).quoted(), Ok(Span::new(0, 4)));
    }

    #[test]
    fn hosts_that_are_addresses() {
        assert_eq!(host_address(b"192.0.2.1"), Some(Ipv4Addr::new(192, 0, 2, 1).into()));
        assert_eq!(host_address(b"[2001:db8::1]"), host_address(b"2001:db8::1"));
        assert_eq!(host_address(b"[2001:db8:::192.0.2.1]"), host_address(b"[2001:db8::192.0.2.1]"));
        assert!(host_address(b"[2001:db8:::192.0.2.1]").is_some());
        for name in
            [&b"example.com"[..], b"1.2.3", b"[1.2.3.4]", b"", b"[", b"[]", b"face.example", b"256.1.1.1"]
        {
            assert_eq!(host_address(name), None, "{name:?}");
        }
    }
}
