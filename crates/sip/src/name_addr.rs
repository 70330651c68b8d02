//! Addresses in header fields: From, To, Contact, Route and their like (RFC 3261 section 20.10).

use crate::grammar::{Cursor, DISPLAY, LWS, is, number, same, seconds, trim, unquote};
use crate::params::{Param, Params, scan_params};
use crate::span::Span;
use crate::{Limits, ParseError, UriRef};
use memchr::memchr;
use std::borrow::Cow;

/// Where the parts of an address lie in its text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NameAddrSpans {
    display: Span,
    uri: Span,
    params: Span,
    tag: Option<Span>,
    bracketed: bool,
}

/// One `name-addr` or `addr-spec` with its header parameters, read in place.
#[derive(Clone, Copy, Debug)]
pub struct NameAddrRef<'a> {
    text: &'a [u8],
    spans: NameAddrSpans,
    limits: Limits,
}

impl<'a> NameAddrRef<'a> {
    /// Reads one value. The URI inside is read when it is asked for.
    ///
    /// Unquoted display names may hold what senders forget to quote (commas, text that is not ASCII); a URI
    /// without angle brackets ends at the first semicolon, and may hold neither comma nor question mark.
    ///
    /// # Errors
    /// [`ParseError::Address`], [`ParseError::Quotes`], [`ParseError::UnbracketedUri`], a parameter error, or
    /// [`ParseError::HeaderValueTooLong`].
    pub fn parse(text: &'a [u8], limits: &Limits) -> Result<Self, ParseError> {
        if text.len() > usize::from(limits.header_value) {
            return Err(ParseError::HeaderValueTooLong);
        }
        let text = trim(text);
        Ok(Self { text, spans: spans(text, limits)?, limits: *limits })
    }

    pub(crate) fn from_spans(text: &'a [u8], spans: NameAddrSpans, limits: &Limits) -> Self {
        Self { text, spans, limits: *limits }
    }

    pub(crate) fn spans(&self) -> NameAddrSpans {
        self.spans
    }

    /// The whole value as it came.
    #[must_use]
    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    /// The display name as it came, quotes included; empty when there is none.
    #[must_use]
    pub fn display(&self) -> &'a [u8] {
        self.spans.display.of(self.text)
    }

    /// The display name without quotes and escapes.
    #[must_use]
    pub fn display_plain(&self) -> Cow<'a, [u8]> {
        unquote(self.display())
    }

    /// The bytes of the URI, without the brackets.
    #[must_use]
    pub fn uri_text(&self) -> &'a [u8] {
        self.spans.uri.of(self.text)
    }

    /// The URI.
    ///
    /// # Errors
    /// One of the `Uri...` errors.
    pub fn uri(&self) -> Result<UriRef<'a>, ParseError> {
        UriRef::parse_within(self.uri_text(), &self.limits)
    }

    /// Whether the URI stands in angle brackets.
    #[must_use]
    pub fn is_bracketed(&self) -> bool {
        self.spans.bracketed
    }

    /// The header parameters: what follows the address.
    #[must_use]
    pub fn params(&self) -> Params<'a> {
        Params::new(self.spans.params.of(self.text))
    }

    /// The header parameter of this name.
    #[must_use]
    pub fn param(&self, name: &[u8]) -> Option<Param<'a>> {
        self.params().named(name)
    }

    /// The `tag`; never empty.
    #[must_use]
    pub fn tag(&self) -> Option<&'a [u8]> {
        self.spans.tag.map(|tag| tag.of(self.text))
    }

    /// The `q` of a Contact in thousandths: 0 to 1000 (RFC 3261 section 25.1, `qvalue`).
    ///
    /// # Errors
    /// [`ParseError::Number`] if it is no `qvalue`.
    pub fn q(&self) -> Result<Option<u16>, ParseError> {
        match self.param(b"q") {
            None => Ok(None),
            Some(param) => thousandths(param.value.unwrap_or_default()).map(Some).ok_or(ParseError::Number),
        }
    }

    /// The `expires` of a Contact in seconds; too large a number is `u32::MAX` (RFC 3261 section 20.19).
    ///
    /// # Errors
    /// [`ParseError::Number`] if it is no number.
    pub fn expires(&self) -> Result<Option<u32>, ParseError> {
        self.param(b"expires").map(|param| seconds(param.inside_quotes())).transpose()
    }

    /// The `+sip.instance` of a Contact, without quotes, with the angle brackets of the URN (RFC 5626 section
    /// 4.1).
    #[must_use]
    pub fn instance(&self) -> Option<&'a [u8]> {
        self.param(b"+sip.instance").map(|param| param.inside_quotes()).filter(|urn| !urn.is_empty())
    }

    /// The `reg-id` of a Contact (RFC 5626 section 4.2).
    ///
    /// # Errors
    /// [`ParseError::Number`] if it is not a number from 1 to 2^31 - 1.
    pub fn reg_id(&self) -> Result<Option<u32>, ParseError> {
        let Some(param) = self.param(b"reg-id") else { return Ok(None) };
        let id = number(param.value.unwrap_or_default()).and_then(|id| u32::try_from(id).ok());
        id.filter(|id| (1..1 << 31).contains(id)).map(Some).ok_or(ParseError::Number)
    }

    /// A copy that owns its text.
    #[must_use]
    pub fn to_name_addr(&self) -> NameAddr {
        NameAddr { text: self.text.to_vec(), spans: self.spans, limits: self.limits }
    }
}

/// An address that owns its text.
#[derive(Clone, Debug)]
pub struct NameAddr {
    text: Vec<u8>,
    spans: NameAddrSpans,
    limits: Limits,
}

impl NameAddr {
    /// Reads one value within [`Limits::DEFAULT`].
    ///
    /// # Errors
    /// As [`NameAddrRef::parse`].
    pub fn parse(text: &[u8]) -> Result<Self, ParseError> {
        Ok(NameAddrRef::parse(text, &Limits::DEFAULT)?.to_name_addr())
    }

    /// The address to read from.
    #[must_use]
    pub fn view(&self) -> NameAddrRef<'_> {
        NameAddrRef::from_spans(&self.text, self.spans, &self.limits)
    }
}

fn spans(text: &[u8], limits: &Limits) -> Result<NameAddrSpans, ParseError> {
    let mut cursor = Cursor::new(text);
    let mut spans = match cursor.peek() {
        None => return Err(ParseError::Address),
        Some(b'"') => {
            let display = cursor.quoted()?;
            cursor.skip_lws();
            bracketed(&mut cursor, display)?
        }
        Some(_) => match memchr(b'<', text) {
            Some(open) if text[..open].iter().all(|&byte| is(byte, DISPLAY)) => {
                cursor.at = open;
                let (start, end) = crate::grammar::trimmed(text, 0, open);
                bracketed(&mut cursor, Span::new(start, end))?
            }
            _ => unbracketed(&mut cursor)?,
        },
    };
    spans.params = Span::new(cursor.at, text.len());
    scan_params(&mut cursor, limits.parameters, |name, value| {
        if !same(name.of(text), b"tag") {
            return Ok(());
        }
        let value = value.filter(|value| value.start < value.end).ok_or(ParseError::Parameter)?;
        if spans.tag.replace(value).is_some() { Err(ParseError::DuplicateParameter) } else { Ok(()) }
    })?;
    Ok(spans)
}

/// `"<" addr-spec ">"`.
fn bracketed(cursor: &mut Cursor<'_>, display: Span) -> Result<NameAddrSpans, ParseError> {
    if !cursor.eat(b'<') {
        return Err(ParseError::Address);
    }
    let start = cursor.at;
    let length = memchr(b'>', &cursor.text[start..]).ok_or(ParseError::Address)?;
    if length == 0 {
        return Err(ParseError::Address);
    }
    cursor.at = start + length + 1;
    let uri = Span::new(start, start + length);
    Ok(NameAddrSpans { display, uri, params: Span::default(), tag: None, bracketed: true })
}

/// `addr-spec`: what follows a semicolon belongs to the header field, not to the URI.
fn unbracketed(cursor: &mut Cursor<'_>) -> Result<NameAddrSpans, ParseError> {
    let start = cursor.at;
    while let Some(byte) = cursor.peek().filter(|&byte| byte != b';' && !is(byte, LWS)) {
        match byte {
            b',' | b'?' => return Err(ParseError::UnbracketedUri),
            b'<' | b'>' | b'"' => return Err(ParseError::Address),
            _ => cursor.at += 1,
        }
    }
    if cursor.at == start {
        return Err(ParseError::Address);
    }
    let uri = Span::new(start, cursor.at);
    Ok(NameAddrSpans { display: Span::default(), uri, params: Span::default(), tag: None, bracketed: false })
}

/// `( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] )`, and `.5` as some write it.
fn thousandths(text: &[u8]) -> Option<u16> {
    let point = text.iter().position(|&byte| byte == b'.').unwrap_or(text.len());
    let (whole, fraction) = (&text[..point], text.get(point + 1..).unwrap_or_default());
    if fraction.len() > 3
        || (whole.is_empty() && fraction.is_empty())
        || !fraction.iter().all(u8::is_ascii_digit)
    {
        return None;
    }
    let fraction = [100, 10, 1]
        .into_iter()
        .zip(fraction)
        .map(|(weight, digit)| weight * u16::from(digit - b'0'))
        .sum::<u16>();
    match whole {
        b"" | b"0" => Some(fraction),
        b"1" if fraction == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Result<NameAddrRef<'_>, ParseError> {
        NameAddrRef::parse(text.as_bytes(), &Limits::DEFAULT)
    }

    #[test]
    fn every_form_is_read() {
        let full = address("\"J \\\"Q\\\" <x>\"  <sip:a@b;lr?x=y>\r\n ; tag = 98asjd8;+sip.instance=\"<urn:uuid:1>\";reg-id=1").unwrap();
        assert_eq!(&*full.display_plain(), b"J \"Q\" <x>");
        assert_eq!(full.uri_text(), b"sip:a@b;lr?x=y");
        assert_eq!(full.tag(), Some(&b"98asjd8"[..]));
        assert_eq!(full.instance(), Some(&b"<urn:uuid:1>"[..]));
        assert_eq!(full.reg_id(), Ok(Some(1)));
        let tokens = address("token1~` token2'+_ token3*%!.- <sip:mundane@example.com>;x").unwrap();
        assert_eq!(tokens.display(), b"token1~` token2'+_ token3*%!.-");
        let bare = address("sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n").unwrap();
        assert_eq!(
            (bare.uri_text(), bare.tag()),
            (&b"sip:vivekg@chair-dnrc.example.com"[..], Some(&b"1918181833n"[..]))
        );
        assert_eq!(address("caller<sip:caller@example.com>;tag=323").unwrap().display(), b"caller");
        assert_eq!(address("<sip:a@b>").unwrap().display(), b"");
        assert_eq!(address("sip:a@b;x=\"<\"").unwrap().uri_text(), b"sip:a@b");
        assert_eq!(address("Bell, Alexander <sip:a@b>").unwrap().display(), b"Bell, Alexander");
        assert_eq!(address("\u{434}\u{430} <sip:a@b>").unwrap().display(), "\u{434}\u{430}".as_bytes());
    }

    #[test]
    fn what_is_no_address() {
        for (text, error) in [
            ("", ParseError::Address),
            ("<>", ParseError::Address),
            ("<sip:a@b", ParseError::Address),
            ("\"x\" sip:a@b", ParseError::Address),
            ("\"x", ParseError::Quotes),
            ("\"Mr. J. User <sip:j.user@example.com>", ParseError::Quotes),
            ("sip:a@b?Route=x", ParseError::UnbracketedUri),
            ("sip:a,b@c", ParseError::UnbracketedUri),
            ("sip:a@b sip:c@d", ParseError::Parameter),
            ("<sip:a@b>;;", ParseError::Parameter),
            ("<sip:a@b>x", ParseError::Parameter),
            ("<sip:a@b>;tag", ParseError::Parameter),
            ("<sip:a@b>;tag=", ParseError::Parameter),
            ("<sip:a@b>;tag=1;tag=2", ParseError::DuplicateParameter),
            (";tag=1", ParseError::Address),
            ("sip:a@b;x=y <sip:evil@c>", ParseError::Parameter),
        ] {
            assert_eq!(address(text).err(), Some(error), "{text}");
        }
    }

    #[test]
    fn contact_parameters() {
        let with = |params: &str| NameAddr::parse(format!("<sip:a@b>{params}").as_bytes()).unwrap();
        for (text, q) in [
            ("0.33", Ok(Some(330))),
            ("1", Ok(Some(1000))),
            ("1.000", Ok(Some(1000))),
            ("0", Ok(Some(0))),
            (".5", Ok(Some(500))),
        ] {
            assert_eq!(with(&format!(";q={text}")).view().q(), q, "{text}");
        }
        for text in ["1.1", "2", "-1", "0.3333", "", ".", "0.x"] {
            assert_eq!(with(&format!(";q={text}")).view().q(), Err(ParseError::Number), "{text}");
        }
        assert_eq!(with("").view().q(), Ok(None));
        assert_eq!(with(";expires=280297596632815").view().expires(), Ok(Some(u32::MAX)));
        assert_eq!(with(";expires=\"60\"").view().expires(), Ok(Some(60)));
        assert_eq!(with(";expires").view().expires(), Err(ParseError::Number));
        assert_eq!(with(";reg-id=0").view().reg_id(), Err(ParseError::Number));
    }
}
