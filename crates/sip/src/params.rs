//! Parameters: `;name=value;name`, of header values and of URIs.

use crate::ParseError;
use crate::grammar::{Cursor, LWS, TOKEN, VALUE, inside_quotes, is, same, unquote};
use crate::span::Span;
use std::borrow::Cow;

/// One parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    /// The name as it came; compare without regard to case.
    pub name: &'a [u8],
    /// The value as it came, quotes included; `None` when there is no `=`.
    pub value: Option<&'a [u8]>,
}

impl<'a> Param<'a> {
    /// Whether the parameter has this name, letters of either case.
    #[must_use]
    pub fn is(&self, name: &[u8]) -> bool {
        same(self.name, name)
    }

    /// The value without the quotes around it, escapes left as they are; empty when there is no value.
    #[must_use]
    pub fn inside_quotes(&self) -> &'a [u8] {
        inside_quotes(self.value.unwrap_or_default())
    }

    /// The value without quotes and escapes.
    #[must_use]
    pub fn plain(&self) -> Cow<'a, [u8]> {
        unquote(self.value.unwrap_or_default())
    }
}

/// The parameters of a value or a URI, in their order. The text has been checked when the value it belongs to
/// was parsed.
#[derive(Clone, Copy, Debug)]
pub struct Params<'a> {
    text: &'a [u8],
}

impl<'a> Params<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text }
    }

    /// The bytes, from the first `;` on; empty if there are no parameters.
    #[must_use]
    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    /// The first parameter of this name.
    #[must_use]
    pub fn named(mut self, name: &[u8]) -> Option<Param<'a>> {
        self.find(|param| param.is(name))
    }
}

impl<'a> Iterator for Params<'a> {
    type Item = Param<'a>;

    fn next(&mut self) -> Option<Param<'a>> {
        let mut cursor = Cursor::new(self.text);
        cursor.skip_lws();
        while cursor.eat(b';') {
            cursor.skip_lws();
        }
        if cursor.at_end() {
            self.text = &[];
            return None;
        }
        let name = until(&mut cursor, |byte| matches!(byte, b'=' | b';'));
        cursor.skip_lws();
        let mut value = None;
        if cursor.eat(b'=') {
            cursor.skip_lws();
            value = Some(match cursor.peek() {
                Some(b'"') => cursor.quoted().unwrap_or_default(),
                _ => until(&mut cursor, |byte| byte == b';'),
            });
        }
        let text = self.text;
        // A step forward is certain only here: no text makes the walk stand still.
        self.text = text.get(cursor.at.max(1)..).unwrap_or_default();
        Some(Param { name: name.of(text), value: value.map(|value| value.of(text)) })
    }
}

/// Reads `*( SEMI generic-param )` up to the end of the text and passes on each name and value.
///
/// # Errors
/// A parameter without a name, an unquoted value out of the grammar, an open quote, or more than `limit`
/// parameters.
pub(crate) fn scan_params(
    cursor: &mut Cursor<'_>,
    limit: u16,
    mut found: impl FnMut(Span, Option<Span>) -> Result<(), ParseError>,
) -> Result<(), ParseError> {
    let mut count = 0;
    loop {
        cursor.skip_lws();
        if cursor.at_end() {
            return Ok(());
        }
        if !cursor.eat(b';') {
            return Err(ParseError::Parameter);
        }
        if count == limit {
            return Err(ParseError::TooManyParameters);
        }
        count += 1;
        let (name, value) = scan_param(cursor)?;
        found(name, value)?;
    }
}

/// Reads `token [ EQUAL gen-value ]`.
pub(crate) fn scan_param(cursor: &mut Cursor<'_>) -> Result<(Span, Option<Span>), ParseError> {
    cursor.skip_lws();
    let name = cursor.run(TOKEN);
    if name.start == name.end {
        return Err(ParseError::Parameter);
    }
    cursor.skip_lws();
    if !cursor.eat(b'=') {
        return Ok((name, None));
    }
    cursor.skip_lws();
    let value = match cursor.peek() {
        Some(b'"') => cursor.quoted()?,
        _ => cursor.run(VALUE),
    };
    Ok((name, Some(value)))
}

fn until(cursor: &mut Cursor<'_>, stop: impl Fn(u8) -> bool) -> Span {
    let start = cursor.at;
    while cursor.peek().is_some_and(|byte| !stop(byte) && !is(byte, LWS)) {
        cursor.at += 1;
    }
    Span::new(start, cursor.at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(text: &[u8]) -> Result<usize, ParseError> {
        let mut count = 0;
        scan_params(&mut Cursor::new(text), 4, |_, _| {
            count += 1;
            Ok(())
        })?;
        Ok(count)
    }

    #[test]
    fn params_are_walked_with_their_quotes() {
        let text = b"; tag = 98asjd8 ;lr\r\n ; x=\"a;b=\\\"c\" ;empty=";
        assert_eq!(scan(text), Ok(4));
        let all: Vec<_> = Params::new(text).collect();
        assert_eq!(all.len(), 4);
        assert_eq!(Params::new(text).named(b"TAG").and_then(|tag| tag.value), Some(&b"98asjd8"[..]));
        assert_eq!(all[1], Param { name: b"lr", value: None });
        assert_eq!(&*all[2].plain(), b"a;b=\"c");
        assert_eq!(all[3].value, Some(&b""[..]));
    }

    #[test]
    fn params_out_of_the_grammar() {
        assert_eq!(scan(b";;"), Err(ParseError::Parameter));
        assert_eq!(scan(b";"), Err(ParseError::Parameter));
        assert_eq!(scan(b";=x"), Err(ParseError::Parameter));
        assert_eq!(scan(b";a b"), Err(ParseError::Parameter));
        assert_eq!(scan(b";a=\"b"), Err(ParseError::Quotes));
        assert_eq!(scan(b";a;b;c;d;e"), Err(ParseError::TooManyParameters));
    }
}
