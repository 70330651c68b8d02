//! Content-Type (RFC 3261 section 20.15, RFC 2046).

use crate::grammar::{Cursor, TOKEN, same};
use crate::params::{Param, Params, scan_params};
use crate::span::Span;
use crate::{Limits, ParseError};

/// The longest boundary of a multipart body (RFC 2046 section 5.1.1).
const MAX_BOUNDARY: usize = 70;

/// A Content-Type value, read in place.
#[derive(Clone, Copy, Debug)]
pub struct ContentTypeRef<'a> {
    text: &'a [u8],
    main: Span,
    sub: Span,
    params: Span,
}

impl<'a> ContentTypeRef<'a> {
    /// Reads `m-type SLASH m-subtype *( SEMI m-parameter )`.
    ///
    /// # Errors
    /// [`ParseError::ContentType`], a parameter error, or [`ParseError::HeaderValueTooLong`].
    pub fn parse(text: &'a [u8], limits: &Limits) -> Result<Self, ParseError> {
        if text.len() > usize::from(limits.header_value) {
            return Err(ParseError::HeaderValueTooLong);
        }
        let mut cursor = Cursor::new(text);
        cursor.skip_lws();
        let main = cursor.run(TOKEN);
        cursor.skip_lws();
        let slash = cursor.eat(b'/');
        cursor.skip_lws();
        let sub = cursor.run(TOKEN);
        if !slash || main.start == main.end || sub.start == sub.end {
            return Err(ParseError::ContentType);
        }
        let params = Span::new(cursor.at, text.len());
        scan_params(&mut cursor, limits.parameters, |_, _| Ok(()))?;
        Ok(Self { text, main, sub, params })
    }

    /// The whole value as it came.
    #[must_use]
    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    /// The type: `application` of `application/sdp`.
    #[must_use]
    pub fn main_type(&self) -> &'a [u8] {
        self.main.of(self.text)
    }

    /// The subtype: `sdp` of `application/sdp`.
    #[must_use]
    pub fn subtype(&self) -> &'a [u8] {
        self.sub.of(self.text)
    }

    /// Whether it is this type, letters of either case.
    #[must_use]
    pub fn is(&self, main: &[u8], sub: &[u8]) -> bool {
        same(self.main_type(), main) && same(self.subtype(), sub)
    }

    /// Whether the body is made of parts.
    #[must_use]
    pub fn is_multipart(&self) -> bool {
        same(self.main_type(), b"multipart")
    }

    /// The parameters.
    #[must_use]
    pub fn params(&self) -> Params<'a> {
        Params::new(self.params.of(self.text))
    }

    /// The parameter of this name.
    #[must_use]
    pub fn param(&self, name: &[u8]) -> Option<Param<'a>> {
        self.params().named(name)
    }

    /// The boundary between the parts, without its quotes.
    ///
    /// # Errors
    /// [`ParseError::Multipart`] if there is none, or it is empty, too long or holds what cannot be in one.
    pub fn boundary(&self) -> Result<&'a [u8], ParseError> {
        let boundary = self.param(b"boundary").map(|param| param.inside_quotes()).unwrap_or_default();
        let usable = (1..=MAX_BOUNDARY).contains(&boundary.len())
            && boundary.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ')
            && boundary.last() != Some(&b' ');
        if usable { Ok(boundary) } else { Err(ParseError::Multipart) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_boundaries() {
        let read = |text: &'static str| ContentTypeRef::parse(text.as_bytes(), &Limits::DEFAULT);
        assert!(read("Application / SDP").unwrap().is(b"application", b"sdp"));
        assert_eq!(read("multipart/mixed;boundary=\"a b\"").unwrap().boundary(), Ok(&b"a b"[..]));
        for text in ["", "application", "application/", "/sdp", "text plain"] {
            assert_eq!(read(text).err(), Some(ParseError::ContentType), "{text}");
        }
        for text in [
            "multipart/mixed",
            "multipart/mixed;boundary",
            "multipart/mixed;boundary=\"\"",
            "multipart/mixed;boundary=\"a \"",
        ] {
            assert_eq!(read(text).unwrap().boundary(), Err(ParseError::Multipart), "{text}");
        }
        let long = format!("multipart/mixed;boundary={}", "b".repeat(71));
        let long = ContentTypeRef::parse(long.as_bytes(), &Limits::DEFAULT).unwrap().boundary();
        assert_eq!(long, Err(ParseError::Multipart));
    }
}
