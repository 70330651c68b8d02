//! What the header fields of a message say, read when asked for.

use super::{CSeqNumber, Found, Message};
use crate::grammar::{is, number, seconds};
use crate::lines::Place;
use crate::{
    CSeqRef, ContentTypeRef, DigestRef, HeaderName, NameAddrRef, ParseError, Parts, UriRef, Values, ViaRef,
    grammar,
};

impl Message {
    /// The Request-URI.
    ///
    /// # Errors
    /// One of the `Uri...` errors; [`ParseError::StartLine`] if the message is a reply.
    pub fn ruri(&self) -> Result<UriRef<'_>, ParseError> {
        if !self.is_request() {
            return Err(ParseError::StartLine);
        }
        let text = self.start.second.of(&self.buffer);
        let spans = self
            .remembered
            .ruri
            .get_or_init(|| UriRef::parse_within(text, &self.limits).map(|uri| uri.spans()));
        spans.map(|spans| UriRef::from_spans(text, spans))
    }

    /// The topmost Via.
    ///
    /// # Errors
    /// [`ParseError::Missing`], or as [`ViaRef::parse`].
    pub fn via(&self) -> Result<ViaRef<'_>, ParseError> {
        let found = self.remembered.via.get_or_init(|| {
            let place = self.first(HeaderName::Via).ok_or(ParseError::Missing(HeaderName::Via))?.value();
            let first = Values::new(place.of(&self.buffer), 1).next().ok_or(ParseError::Via)??;
            let place = piece(place, first.start, first.text.len());
            ViaRef::parse(first.text, &self.limits).map(|via| Found { place, spans: via.spans() })
        });
        found.map(|found| ViaRef::from_spans(found.place.of(&self.buffer), found.spans))
    }

    /// All Via values from the topmost on.
    ///
    /// # Errors
    /// Each as [`ViaRef::parse`]; [`ParseError::TooManyVias`] in place of the first beyond the limit.
    pub fn vias(&self) -> impl Iterator<Item = Result<ViaRef<'_>, ParseError>> {
        let limit = usize::from(self.limits.vias);
        self.values(HeaderName::Via).take(limit + 1).enumerate().map(move |(count, value)| {
            if count == limit {
                Err(ParseError::TooManyVias)
            } else {
                ViaRef::parse(value?.text, &self.limits)
            }
        })
    }

    /// From.
    ///
    /// # Errors
    /// [`ParseError::Missing`], or as [`NameAddrRef::parse`].
    pub fn from(&self) -> Result<NameAddrRef<'_>, ParseError> {
        let found = *self.remembered.from.get_or_init(|| self.single_address(HeaderName::From));
        found.map(|found| NameAddrRef::from_spans(found.place.of(&self.buffer), found.spans, &self.limits))
    }

    /// To.
    ///
    /// # Errors
    /// [`ParseError::Missing`], or as [`NameAddrRef::parse`].
    pub fn to(&self) -> Result<NameAddrRef<'_>, ParseError> {
        let found = *self.remembered.to.get_or_init(|| self.single_address(HeaderName::To));
        found.map(|found| NameAddrRef::from_spans(found.place.of(&self.buffer), found.spans, &self.limits))
    }

    /// Call-ID.
    ///
    /// # Errors
    /// [`ParseError::Missing`]; [`ParseError::CallId`] if it is empty or holds white space or control
    /// characters.
    pub fn call_id(&self) -> Result<&[u8], ParseError> {
        let value = self.header(HeaderName::CallId).ok_or(ParseError::Missing(HeaderName::CallId))?;
        let word = !value.is_empty() && value.iter().all(|&byte| byte > b' ' && byte != 0x7f);
        if word { Ok(value) } else { Err(ParseError::CallId) }
    }

    /// CSeq.
    ///
    /// # Errors
    /// [`ParseError::Missing`], or as [`CSeqRef::parse`].
    pub fn cseq(&self) -> Result<CSeqRef<'_>, ParseError> {
        let found = *self.remembered.cseq.get_or_init(|| {
            let place = self.first(HeaderName::CSeq).ok_or(ParseError::Missing(HeaderName::CSeq))?.value();
            let cseq = CSeqRef::parse(place.of(&self.buffer))?;
            let spans = CSeqNumber { number: cseq.number, method: cseq.method };
            // The method is the last thing in the value, and the value is trimmed.
            let start = place.end as usize - cseq.method_text.len();
            Ok(Found { place: Place::new(start, place.end as usize), spans })
        });
        found.map(|found| found.view(&self.buffer))
    }

    /// Max-Forwards, if it is there.
    ///
    /// # Errors
    /// [`ParseError::MaxForwards`] if it is not a number from 0 to 255 (RFC 3261 section 20.22).
    pub fn max_forwards(&self) -> Result<Option<u8>, ParseError> {
        let Some(value) = self.header(HeaderName::MaxForwards) else { return Ok(None) };
        number(value).and_then(|hops| u8::try_from(hops).ok()).map(Some).ok_or(ParseError::MaxForwards)
    }

    /// Expires in seconds, if it is there; too large a number is `u32::MAX` (RFC 3261 section 20.19).
    ///
    /// # Errors
    /// [`ParseError::Number`] if it is no number.
    pub fn expires(&self) -> Result<Option<u32>, ParseError> {
        self.header(HeaderName::Expires).map(seconds).transpose()
    }

    /// Content-Length, if it is there and can be believed.
    #[must_use]
    pub fn content_length(&self) -> Option<u32> {
        self.content_length
    }

    /// Content-Type, if it is there.
    ///
    /// # Errors
    /// As [`ContentTypeRef::parse`].
    pub fn content_type(&self) -> Result<Option<ContentTypeRef<'_>>, ParseError> {
        self.header(HeaderName::ContentType)
            .map(|value| ContentTypeRef::parse(value, &self.limits))
            .transpose()
    }

    /// The parts of a multipart body.
    ///
    /// # Errors
    /// [`ParseError::Multipart`] if the body is none, or as [`Parts::new`].
    pub fn parts(&self) -> Result<Parts<'_>, ParseError> {
        let content_type = self.content_type()?.ok_or(ParseError::Multipart)?;
        Parts::new(self.body(), &content_type, &self.limits)
    }

    /// The addresses in all header fields of this name, in their order.
    ///
    /// # Errors
    /// Each as [`NameAddrRef::parse`]; [`ParseError::TooManyValues`] in place of the first beyond the limit.
    pub fn addresses(&self, name: HeaderName) -> impl Iterator<Item = Result<NameAddrRef<'_>, ParseError>> {
        self.values(name).map(|value| NameAddrRef::parse(value?.text, &self.limits))
    }

    /// The addresses of Contact; `*` is none (see [`contact_is_star`](Message::contact_is_star)).
    ///
    /// # Errors
    /// Each as [`addresses`](Message::addresses).
    pub fn contacts(&self) -> impl Iterator<Item = Result<NameAddrRef<'_>, ParseError>> {
        let values = self
            .values(HeaderName::Contact)
            .filter(|value| !matches!(value, Ok(value) if value.text == b"*"));
        values.map(|value| NameAddrRef::parse(value?.text, &self.limits))
    }

    /// Whether a Contact is `*`: remove every binding (RFC 3261 section 10.2.2).
    #[must_use]
    pub fn contact_is_star(&self) -> bool {
        self.values(HeaderName::Contact).any(|value| matches!(value, Ok(value) if value.text == b"*"))
    }

    /// The addresses of Route.
    ///
    /// # Errors
    /// Each as [`addresses`](Message::addresses).
    pub fn routes(&self) -> impl Iterator<Item = Result<NameAddrRef<'_>, ParseError>> {
        self.addresses(HeaderName::Route)
    }

    /// The addresses of Record-Route.
    ///
    /// # Errors
    /// Each as [`addresses`](Message::addresses).
    pub fn record_routes(&self) -> impl Iterator<Item = Result<NameAddrRef<'_>, ParseError>> {
        self.addresses(HeaderName::RecordRoute)
    }

    /// The credentials in all Authorization header fields.
    ///
    /// # Errors
    /// Each as [`DigestRef::parse`].
    pub fn authorization(&self) -> impl Iterator<Item = Result<DigestRef<'_>, ParseError>> {
        self.credentials(HeaderName::Authorization)
    }

    /// The credentials in all Proxy-Authorization header fields.
    ///
    /// # Errors
    /// Each as [`DigestRef::parse`].
    pub fn proxy_authorization(&self) -> impl Iterator<Item = Result<DigestRef<'_>, ParseError>> {
        self.credentials(HeaderName::ProxyAuthorization)
    }

    /// The credentials or challenges in all header fields of this name.
    ///
    /// # Errors
    /// Each as [`DigestRef::parse`].
    pub fn credentials(&self, name: HeaderName) -> impl Iterator<Item = Result<DigestRef<'_>, ParseError>> {
        self.headers(name).map(|header| DigestRef::parse(header.value, &self.limits))
    }

    /// Whether a header field of this name lists the token, letters of either case: `Supported: path, gruu`.
    #[must_use]
    pub fn lists_token(&self, name: HeaderName, token: &[u8]) -> bool {
        self.values(name)
            .any(|value| matches!(value, Ok(value) if grammar::same(token_of(value.text), token)))
    }

    fn single_address(&self, name: HeaderName) -> Result<Found<crate::name_addr::NameAddrSpans>, ParseError> {
        let place = self.first(name).ok_or(ParseError::Missing(name))?.value();
        NameAddrRef::parse(place.of(&self.buffer), &self.limits)
            .map(|address| Found { place, spans: address.spans() })
    }
}

/// The place of a piece of what lies at `place`.
fn piece(place: Place, start: usize, length: usize) -> Place {
    let start = place.start as usize + start;
    Place::new(start, start + length)
}

/// The value without its parameters.
fn token_of(value: &[u8]) -> &[u8] {
    let end = value.iter().position(|&byte| byte == b';' || is(byte, grammar::LWS)).unwrap_or(value.len());
    &value[..end]
}
