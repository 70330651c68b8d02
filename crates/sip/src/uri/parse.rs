//! The one pass that finds the parts of a URI.

use super::{Scheme, UriSpans};
use crate::grammar::{URI, host_end, is, port};
use crate::span::Span;
use crate::{Limits, ParseError};
use memchr::memchr;

/// Finds the parts of a URI.
///
/// Bytes beyond ASCII, malformed escapes and reserved characters in the user part are let pass: they are met
/// in the field and hurt nobody, since nothing here decodes without being asked. White space, controls,
/// quotes and angle brackets are not.
pub(super) fn spans(text: &[u8], limits: &Limits) -> Result<UriSpans, ParseError> {
    if text.len() > usize::from(limits.uri) {
        return Err(ParseError::UriTooLong);
    }
    if !text.iter().all(|&byte| is(byte, URI)) {
        return Err(ParseError::UriCharacter);
    }
    let colon = scheme_end(text)?;
    let scheme = match &text[..colon] {
        name if name.eq_ignore_ascii_case(b"sip") => Scheme::Sip,
        name if name.eq_ignore_ascii_case(b"sips") => Scheme::Sips,
        name if name.eq_ignore_ascii_case(b"tel") => Scheme::Tel,
        name if name.eq_ignore_ascii_case(b"urn") => Scheme::Urn,
        _ => Scheme::Other,
    };
    let mut spans = UriSpans { scheme, scheme_text: Span::new(0, colon), ..UriSpans::default() };
    match scheme {
        Scheme::Sip | Scheme::Sips => sip(text, colon + 1, limits, &mut spans)?,
        Scheme::Tel => tel(text, colon + 1, limits, &mut spans)?,
        Scheme::Urn | Scheme::Other if text.len() == colon + 1 => return Err(ParseError::UriHost),
        Scheme::Urn | Scheme::Other => {}
    }
    Ok(spans)
}

/// `ALPHA *( ALPHA / DIGIT / "+" / "-" / "." ) ":"`: where the colon is.
fn scheme_end(text: &[u8]) -> Result<usize, ParseError> {
    let colon = memchr(b':', text).ok_or(ParseError::UriScheme)?;
    let name = &text[..colon];
    let letters = name.first().is_some_and(u8::is_ascii_alphabetic)
        && name.iter().all(|&byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    if letters { Ok(colon) } else { Err(ParseError::UriScheme) }
}

/// `[ userinfo ] hostport uri-parameters [ headers ]`, from `at` on.
fn sip(text: &[u8], at: usize, limits: &Limits, spans: &mut UriSpans) -> Result<(), ParseError> {
    let mut host = at;
    if let Some(sign) = memchr(b'@', &text[at..]) {
        let end = at + sign;
        host = end + 1;
        if memchr(b'@', &text[host..]).is_some() {
            return Err(ParseError::UriUser);
        }
        let user_end = memchr(b':', &text[at..end]).map_or(end, |colon| at + colon);
        if user_end == at {
            return Err(ParseError::UriUser);
        }
        spans.user = Some(Span::new(at, user_end));
        spans.password = (user_end < end).then(|| Span::new(user_end + 1, end));
    }
    let mut next = host_end(text, host)?;
    spans.host = Span::new(host, next);
    if text.get(next) == Some(&b':') {
        let start = next + 1;
        next = start + text[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let digits = &text[start..next];
        // Port 0 leads nowhere: it counts as none.
        if digits.is_empty() || digits.iter().any(|digit| *digit != b'0') {
            spans.port = Some(port(digits).ok_or(ParseError::UriPort)?);
        }
    }
    match text.get(next) {
        None => Ok(()),
        Some(b';' | b'?') => tail(text, next, limits, spans),
        Some(_) if spans.port.is_some() => Err(ParseError::UriPort),
        Some(_) => Err(ParseError::UriHost),
    }
}

/// `telephone-subscriber`: the number stands where a user would.
fn tel(text: &[u8], at: usize, limits: &Limits, spans: &mut UriSpans) -> Result<(), ParseError> {
    let end = memchr(b';', &text[at..]).map_or(text.len(), |semicolon| at + semicolon);
    if end == at || memchr(b'@', &text[at..end]).is_some() {
        return Err(ParseError::UriUser);
    }
    spans.user = Some(Span::new(at, end));
    parameters(text, end, text.len(), limits, spans)
}

/// `uri-parameters [ headers ]`.
fn tail(text: &[u8], at: usize, limits: &Limits, spans: &mut UriSpans) -> Result<(), ParseError> {
    let end = memchr(b'?', &text[at..]).map_or(text.len(), |mark| at + mark);
    parameters(text, at, end, limits, spans)?;
    if end == text.len() {
        return Ok(());
    }
    let mut count = 0;
    for header in text[end + 1..].split(|&byte| byte == b'&') {
        if matches!(header.first(), None | Some(b'=')) {
            return Err(ParseError::UriParameters);
        }
        count += 1;
        if count > limits.parameters {
            return Err(ParseError::TooManyParameters);
        }
    }
    spans.headers = Some(Span::new(end + 1, text.len()));
    Ok(())
}

/// `*( ";" name [ "=" value ] )` in `text[at..end]`.
fn parameters(
    text: &[u8],
    at: usize,
    end: usize,
    limits: &Limits,
    spans: &mut UriSpans,
) -> Result<(), ParseError> {
    spans.params = Span::new(at, end);
    let mut count = 0;
    for param in text[at..end].split(|&byte| byte == b';').skip(1) {
        if matches!(param.first(), None | Some(b'=')) {
            return Err(ParseError::UriParameters);
        }
        count += 1;
        if count > limits.parameters {
            return Err(ParseError::TooManyParameters);
        }
    }
    Ok(())
}
