//! URIs (RFC 3261 section 19.1, RFC 3966, RFC 8141): parsed into offsets, compared, printed.

mod compare;
mod escape;
mod parse;

pub use compare::equivalent;
pub use escape::{escape_user, unescape};

use crate::grammar::host_address;
use crate::params::{Param, Params};
use crate::span::Span;
use crate::via::Transport;
use crate::{Limits, ParseError};
use std::borrow::Cow;
use std::net::IpAddr;

/// The scheme of a URI. Schemes are case-insensitive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `sip`, RFC 3261.
    Sip,
    /// `sips`, RFC 3261.
    Sips,
    /// `tel`, RFC 3966.
    Tel,
    /// `urn`, RFC 8141.
    Urn,
    /// Any other: the rest of the URI is opaque.
    #[default]
    Other,
}

/// Where the parts of a URI lie in its text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct UriSpans {
    pub(crate) scheme: Scheme,
    /// Without the colon.
    pub(crate) scheme_text: Span,
    pub(crate) user: Option<Span>,
    pub(crate) password: Option<Span>,
    pub(crate) host: Span,
    pub(crate) port: Option<u16>,
    /// From the first `;` on.
    pub(crate) params: Span,
    /// Without the `?`.
    pub(crate) headers: Option<Span>,
}

/// A URI, read in place.
#[derive(Clone, Copy, Debug)]
pub struct UriRef<'a> {
    text: &'a [u8],
    spans: UriSpans,
}

impl<'a> UriRef<'a> {
    /// Reads a URI of at most [`Limits::DEFAULT`] size. The text is the URI alone, without brackets or white
    /// space.
    ///
    /// # Errors
    /// One of the `Uri...` errors.
    pub fn parse(text: &'a [u8]) -> Result<Self, ParseError> {
        Self::parse_within(text, &Limits::DEFAULT)
    }

    /// Reads a URI within these limits.
    ///
    /// # Errors
    /// One of the `Uri...` errors, or [`ParseError::TooManyParameters`].
    pub fn parse_within(text: &'a [u8], limits: &Limits) -> Result<Self, ParseError> {
        Ok(Self { text, spans: parse::spans(text, limits)? })
    }

    pub(crate) fn from_spans(text: &'a [u8], spans: UriSpans) -> Self {
        Self { text, spans }
    }

    pub(crate) fn spans(&self) -> UriSpans {
        self.spans
    }

    /// The whole URI as it came.
    #[must_use]
    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    /// The scheme.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.spans.scheme
    }

    /// The scheme as it came, without the colon.
    #[must_use]
    pub fn scheme_text(&self) -> &'a [u8] {
        self.spans.scheme_text.of(self.text)
    }

    /// The user part, escapes and all, never empty; of a `tel` URI the number.
    #[must_use]
    pub fn user(&self) -> Option<&'a [u8]> {
        self.spans.user.map(|user| user.of(self.text))
    }

    /// The user part without escapes.
    #[must_use]
    pub fn user_plain(&self) -> Option<Cow<'a, [u8]>> {
        self.user().map(unescape)
    }

    /// The password, escapes and all; may be empty.
    #[must_use]
    pub fn password(&self) -> Option<&'a [u8]> {
        self.spans.password.map(|password| password.of(self.text))
    }

    /// The host as it came, brackets of an IPv6 reference included; empty unless the scheme is `sip` or
    /// `sips`.
    #[must_use]
    pub fn host(&self) -> &'a [u8] {
        self.spans.host.of(self.text)
    }

    /// The address the host is, if it is no name.
    #[must_use]
    pub fn host_address(&self) -> Option<IpAddr> {
        host_address(self.host())
    }

    /// The port written in the URI.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.spans.port
    }

    /// What follows the scheme of a URI that is not `sip` or `sips`, up to its parameters if it is `tel`.
    #[must_use]
    pub fn opaque(&self) -> &'a [u8] {
        match self.spans.scheme {
            Scheme::Sip | Scheme::Sips => &[],
            Scheme::Tel => self.user().unwrap_or_default(),
            _ => self.text.get(usize::from(self.spans.scheme_text.end) + 1..).unwrap_or_default(),
        }
    }

    /// The URI parameters.
    #[must_use]
    pub fn params(&self) -> Params<'a> {
        Params::new(self.spans.params.of(self.text))
    }

    /// The URI parameter of this name.
    #[must_use]
    pub fn param(&self, name: &[u8]) -> Option<Param<'a>> {
        self.params().named(name)
    }

    /// What follows the `?`, if there is one.
    #[must_use]
    pub fn headers_text(&self) -> Option<&'a [u8]> {
        self.spans.headers.map(|headers| headers.of(self.text))
    }

    /// The headers of the URI: name and value, both still escaped.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let text = self.headers_text().unwrap_or_default();
        text.split(|&byte| byte == b'&').filter(|header| !header.is_empty()).map(|header| {
            let equals = header.iter().position(|&byte| byte == b'=').unwrap_or(header.len());
            (&header[..equals], header.get(equals + 1..).unwrap_or_default())
        })
    }

    /// Whether the URI names a loose router (RFC 3261 section 16.12).
    #[must_use]
    pub fn is_loose(&self) -> bool {
        self.param(b"lr").is_some()
    }

    /// The `transport` parameter.
    #[must_use]
    pub fn transport(&self) -> Option<Transport> {
        self.param(b"transport").map(|param| Transport::of(param.value.unwrap_or_default()))
    }

    /// Whether the two URIs are equivalent by RFC 3261 section 19.1.4.
    #[must_use]
    pub fn equivalent(&self, other: &UriRef<'_>) -> bool {
        equivalent(self, other)
    }

    /// Appends the key of the address of record: `user@host`, user without escapes, host in lower case; the
    /// host alone when there is no user; the number of a `tel` URI; any other URI as it is (RFC 3261 section
    /// 10.3 step 5).
    ///
    /// A host holds no `@`, so the last one always parts the two, whatever the user held escaped.
    pub fn aor_key_into(&self, out: &mut Vec<u8>) {
        match self.spans.scheme {
            Scheme::Sip | Scheme::Sips => {
                if let Some(user) = self.user_plain() {
                    out.extend_from_slice(&user);
                    out.push(b'@');
                }
                out.extend(self.host().iter().map(u8::to_ascii_lowercase));
            }
            Scheme::Tel => {
                out.extend(self.opaque().iter().filter(|byte| !compare::is_visual_separator(**byte)));
            }
            _ => out.extend_from_slice(self.text),
        }
    }

    /// A copy that owns its text.
    #[must_use]
    pub fn to_uri(&self) -> Uri {
        Uri { text: self.text.to_vec(), spans: self.spans }
    }
}

/// A URI that owns its text.
#[derive(Clone, Debug)]
pub struct Uri {
    text: Vec<u8>,
    spans: UriSpans,
}

impl Uri {
    /// Reads a URI of at most [`Limits::DEFAULT`] size.
    ///
    /// # Errors
    /// One of the `Uri...` errors.
    pub fn parse(text: impl Into<Vec<u8>>) -> Result<Self, ParseError> {
        let text = text.into();
        let spans = parse::spans(&text, &Limits::DEFAULT)?;
        Ok(Self { text, spans })
    }

    /// The URI to read from.
    #[must_use]
    pub fn view(&self) -> UriRef<'_> {
        UriRef { text: &self.text, spans: self.spans }
    }

    /// The bytes.
    #[must_use]
    pub fn into_text(self) -> Vec<u8> {
        self.text
    }
}

impl PartialEq for Uri {
    /// Equal byte by byte; see [`UriRef::equivalent`] for the comparison of RFC 3261.
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Uri {}

/// The parts of a `sip`, `sips` or `tel` URI, each to be changed at will, then printed.
#[derive(Clone, Copy, Debug)]
pub struct UriParts<'a> {
    /// Without the colon.
    pub scheme: &'a [u8],
    /// Escaped as needed: see [`escape_user`].
    pub user: Option<&'a [u8]>,
    /// Escaped as needed.
    pub password: Option<&'a [u8]>,
    /// With the brackets of an IPv6 reference.
    pub host: &'a [u8],
    /// Left out when `None`.
    pub port: Option<u16>,
    /// With the `;` in front, or empty.
    pub params: &'a [u8],
    /// Without the `?`.
    pub headers: Option<&'a [u8]>,
}

impl<'a> UriParts<'a> {
    /// The parts of this URI.
    #[must_use]
    pub fn of(uri: &UriRef<'a>) -> Self {
        Self {
            scheme: uri.scheme_text(),
            user: uri.user(),
            password: uri.password(),
            host: if uri.spans.host == Span::default() && uri.spans.user.is_none() {
                uri.opaque()
            } else {
                uri.host()
            },
            port: uri.port(),
            params: uri.params().text(),
            headers: uri.headers_text(),
        }
    }

    /// Appends the URI. Parts are written as they are: the result must be parsed again before it is
    /// trusted.
    pub fn print_into(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.scheme);
        out.push(b':');
        if let Some(user) = self.user {
            out.extend_from_slice(user);
            if let Some(password) = self.password {
                out.push(b':');
                out.extend_from_slice(password);
            }
            if !self.host.is_empty() {
                out.push(b'@');
            }
        }
        out.extend_from_slice(self.host);
        if let Some(port) = self.port {
            out.push(b':');
            crate::print::decimal(port.into(), out);
        }
        out.extend_from_slice(self.params);
        if let Some(headers) = self.headers {
            out.push(b'?');
            out.extend_from_slice(headers);
        }
    }
}

#[cfg(test)]
mod tests;
